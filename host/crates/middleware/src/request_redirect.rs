//! Redirects as routes of the Gateway API describe them. Only providers use this kind.

use crate::url_rewrite::NewPath;
use crate::{go_url, omit};
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::forwarded::port_of;
use torana_http::{Exchange, Filter, Flow, Step, respond};

/// Sends clients elsewhere; what is not said stays as the request has it.
pub struct RequestRedirect;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Empty for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The whole path, or what takes the place of `pathPrefix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// 301, 302, 303, 307 or 308; default 302.
    #[serde(skip_serializing_if = "omit::empty")]
    pub status_code: u16,
}

impl Default for Config {
    fn default() -> Self {
        Config { scheme: None, hostname: None, port: None, path: None, path_prefix: None, status_code: 302 }
    }
}

impl MiddlewareSpec for RequestRedirect {
    const NAME: &'static str = "requestRedirect";
    const EXAMPLE: &'static str = "scheme: https\nstatusCode: 301\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let status = StatusCode::from_u16(config.status_code).ok().filter(|s| matches!(s.as_u16(), 301 | 302 | 303 | 307 | 308));
        let status = status.ok_or_else(|| BuildError::new("statusCode", "a redirect has the status 301, 302, 303, 307 or 308"))?;
        let path = NewPath::new(config.path.as_deref(), config.path_prefix.as_deref());
        Ok(vec![Step::filter(Runtime { scheme: config.scheme, hostname: config.hostname, port: config.port, path, status })])
    }
}

struct Runtime {
    scheme: Option<String>,
    hostname: Option<String>,
    port: Option<String>,
    path: Option<NewPath>,
    status: StatusCode,
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let request = &exchange.request;
        let scheme = self.scheme.as_deref().unwrap_or(exchange.scheme());
        let came_to = port_of(&request.host);
        let name = came_to.map_or(&*request.host, |p| &request.host[..request.host.len() - p.len() - 1]);
        let host = self.hostname.as_deref().unwrap_or(name);
        let port = self.port.as_deref().or(came_to).filter(|p| !p.is_empty());
        let colon = if port.is_some() { ":" } else { "" };
        let path = self.path.as_ref().map(|p| p.of(&request.path));
        let path = path.as_deref().unwrap_or(&request.path);
        let path = if path.is_empty() { "/" } else { path };
        let query = request.query.as_ref().map(|q| format!("?{q}")).unwrap_or_default();
        let url = format!("{scheme}://{host}{colon}{}{path}{query}", port.unwrap_or_default());
        let Some(location) = go_url::reprint(&url).and_then(|u| HeaderValue::from_bytes(u.as_bytes()).ok()) else {
            return Flow::respond(respond::status_text(StatusCode::BAD_GATEWAY));
        };
        Flow::respond(respond::with_header(respond::status_text(self.status), LOCATION, location))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, build_error, exchange, https, run_exchange};

    #[test]
    fn what_is_not_said_stays() {
        for (config, tls, host, target, status, location) in [
            ("scheme: https\nport: ''", false, "a.test:8080", "/p?q=1", 302, "https://a.test/p?q=1"),
            ("hostname: b.test", false, "a.test:8080", "/p", 302, "http://b.test:8080/p"),
            ("hostname: b.test", true, "a.test", "/", 302, "https://b.test/"),
            ("port: '8443'\nstatusCode: 301", false, "a.test", "/p", 301, "http://a.test:8443/p"),
            ("path: /full\nstatusCode: 308", false, "a.test", "/p/x?q", 308, "http://a.test/full?q"),
            ("path: /new\npathPrefix: /old", false, "a.test", "/old/x/", 302, "http://a.test/new/x/"),
            ("path: /new\npathPrefix: /old", false, "a.test", "/old", 302, "http://a.test/new"),
            ("path: /\npathPrefix: /old", false, "a.test", "/old", 302, "http://a.test/"),
        ] {
            let mut x = if tls { https("GET", target) } else { exchange("GET", target) };
            x.request.host = host.into();
            let ran = run_exchange(&build::<RequestRedirect>(config), x);
            assert_eq!((ran.status(), ran.header("location")), (status, Some(location)), "{config} {target}");
        }
        assert_eq!(build_error::<RequestRedirect>("statusCode: 200").key, "statusCode");
    }
}
