use crate::{go_url, omit};
use http::header::{HeaderValue, LOCATION};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::forwarded::{X_FORWARDED_PROTO, port_of};
use torana_http::{Exchange, Filter, Flow, Request, Response, Step, respond};

/// Sends clients to another scheme or port.
pub struct RedirectScheme;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Where to: `https`, or any other scheme; required.
    #[serde(skip_serializing_if = "omit::empty")]
    pub scheme: String,
    /// Port of the new URL; left out where it is the scheme's own. Unset: none.
    #[serde(skip_serializing_if = "omit::empty")]
    pub port: String,
    /// 301 and 308 instead of 302 and 307.
    #[serde(skip_serializing_if = "omit::empty")]
    pub permanent: bool,
    /// 308 whatever the method is; only providers say so, and Traefik does not show it.
    #[serde(skip_serializing)]
    pub force_permanent_redirect: bool,
}

impl MiddlewareSpec for RedirectScheme {
    const NAME: &'static str = "redirectScheme";
    const EXAMPLE: &'static str = "scheme: https\npermanent: true\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        if config.scheme.is_empty() {
            return Err(BuildError::new("scheme", "the scheme to redirect to is missing").hint("write `https`"));
        }
        let own = matches!((&*config.scheme, &*config.port), (_, "") | ("http", "80") | ("https", "443"));
        let port = if own { String::new() } else { format!(":{}", config.port) };
        Ok(vec![Step::filter(Runtime { scheme: config.scheme, port, permanent: config.permanent, always_308: config.force_permanent_redirect })])
    }
}

struct Runtime {
    scheme: String,
    /// With its colon; empty for none.
    port: String,
    permanent: bool,
    always_308: bool,
}

impl Runtime {
    /// Whether the request came as the target says.
    fn is_there(&self, scheme: &str, port: Option<&str>) -> bool {
        let default = if scheme == "https" { "443" } else { "80" };
        let here = port.filter(|p| *p != default).unwrap_or("");
        self.scheme == scheme && self.port.strip_prefix(':').unwrap_or("") == here
    }
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let request = &exchange.request;
        // A hop before us may have meant the scheme of a WebSocket.
        let forwarded = request.header(X_FORWARDED_PROTO.as_str()).unwrap_or("");
        let is = |names: [&str; 2]| names.iter().any(|n| forwarded.eq_ignore_ascii_case(n));
        let scheme = match () {
            () if is(["https", "wss"]) => "https",
            () if is(["http", "ws"]) => "http",
            () => exchange.scheme(),
        };
        let port = port_of(&request.host);
        let host = port.map_or(&*request.host, |p| &request.host[..request.host.len() - p.len() - 1]);
        if self.is_there(scheme, port) {
            return Flow::Continue;
        }
        let url = format!("{}://{host}{}{}", self.scheme, self.port, uri(request));
        let response = redirect(&url, &request.method, self.permanent);
        Flow::respond(match self.always_308 && response.status().is_redirection() {
            true => respond::with_status(response, StatusCode::PERMANENT_REDIRECT),
            false => response,
        })
    }
}

/// Path and query as they would stand in a request line.
pub(crate) fn uri(request: &Request) -> String {
    let target = request.target();
    if request.path.is_empty() { format!("/{target}") } else { target }
}

/// The redirect to `url`: 502 where that is no URL, and a status that keeps the method for all but GET.
pub(crate) fn redirect(url: &str, method: &Method, permanent: bool) -> Response {
    let Some(location) = go_url::reprint(url).and_then(|u| HeaderValue::from_bytes(u.as_bytes()).ok()) else {
        return respond::status_text(StatusCode::BAD_GATEWAY);
    };
    let status = match (permanent, *method == Method::GET) {
        (true, true) => StatusCode::MOVED_PERMANENTLY,
        (true, false) => StatusCode::PERMANENT_REDIRECT,
        (false, true) => StatusCode::FOUND,
        (false, false) => StatusCode::TEMPORARY_REDIRECT,
    };
    respond::with_header(respond::status_text(status), LOCATION, location)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, build_error, exchange, https, run_exchange};

    fn send(config: &str, mut x: Exchange, host: &'static str, forwarded: &'static str) -> Result<(), (u16, String)> {
        x.request.host = host.into();
        x.request.headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(forwarded));
        let ran = run_exchange(&build::<RedirectScheme>(config), x);
        if ran.reached { Ok(()) } else { Err((ran.status(), ran.header("location").unwrap_or(&ran.body).to_owned())) }
    }

    /// Each row was observed with Traefik 3.7.15, but for the IPv6 ones: it answers 502 there.
    #[test]
    fn redirects_like_traefik() {
        let to = |status, url: &str| Err((status, url.to_owned()));
        for (config, method, target, tls, host, result) in [
            ("scheme: https", "GET", "/p%2Fq?a=b&c", false, "r.test", to(302, "https://r.test/p%2Fq?a=b&c")),
            ("scheme: https", "POST", "/p?", false, "r.test:8080", to(307, "https://r.test/p?")),
            ("scheme: https", "GET", "/p", true, "r.test", Ok(())),
            ("scheme: https", "GET", "/p", true, "r.test:9999", to(302, "https://r.test/p")),
            ("scheme: https", "GET", "/", false, "r.test:", to(302, "https://r.test:/")),
            ("scheme: https", "GET", "/", false, "r.test:443", to(302, "https://r.test/")),
            ("{scheme: https, permanent: true, port: '8443'}", "GET", "/p", false, "r.test", to(301, "https://r.test:8443/p")),
            ("{scheme: https, permanent: true, port: '8443'}", "HEAD", "/p", true, "r.test", to(308, "https://r.test:8443/p")),
            ("{scheme: https, port: '8443'}", "GET", "/p", true, "r.test:8443", Ok(())),
            ("{scheme: https, port: '443'}", "GET", "/p", true, "r.test", Ok(())),
            ("{scheme: http, port: '80'}", "GET", "/p", false, "r.test", Ok(())),
            ("{scheme: http, port: '80'}", "GET", "/p", false, "r.test:80", Ok(())),
            ("{scheme: http, port: '80'}", "GET", "/p", true, "r.test", to(302, "http://r.test/p")),
            ("{scheme: http, port: '8080'}", "POST", "/p?", false, "r.test:8080", Ok(())),
            ("scheme: ftp", "GET", "/p", true, "r.test", to(302, "ftp://r.test/p")),
            ("scheme: wss", "GET", "/p", true, "r.test", to(302, "wss://r.test/p")),
            ("{scheme: HTTPS, port: x1}", "GET", "/p", true, "r.test", to(502, "Bad Gateway")),
            ("scheme: https", "GET", "", false, "a~b", to(302, "https://a~b/")),
            ("scheme: https", "GET", "/p", false, "[::1]:8080", to(302, "https://[::1]/p")),
            ("{scheme: https, port: '1'}", "GET", "/p", false, "[::1]", to(302, "https://[::1]:1/p")),
        ] {
            let x = if tls { https(method, target) } else { exchange(method, target) };
            assert_eq!(send(config, x, host, ""), result, "{config} {host}");
        }
    }

    #[test]
    fn believes_forwarded_proto() {
        for (scheme, forwarded, stays) in [
            ("https", "https", true),
            ("https", "wss", true),
            ("https", "HTTPS", true),
            ("https", "ws", false),
            ("https", "junk", false),
            ("http", "ws", true),
            ("http", "https", false),
        ] {
            assert_eq!(send(&format!("scheme: {scheme}"), exchange("GET", "/"), "r.test", forwarded).is_ok(), stays, "{scheme} {forwarded}");
        }
        assert!(send("scheme: http", https("GET", "/"), "r.test", "http").is_ok());
    }

    #[test]
    fn the_body_is_the_status_text() {
        let ran = run_exchange(&build::<RedirectScheme>("scheme: https"), exchange("GET", "/"));
        assert_eq!((&*ran.body, ran.headers()), ("Found", vec!["location: https://a.test/".to_owned()]));
        assert_eq!(build_error::<RedirectScheme>("port: '1'").key, "scheme");
    }
}
