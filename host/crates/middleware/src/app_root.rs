//! `/` leads to the page that an application begins with, as ingress-nginx has it. Only providers use this kind.

use http::header::{HeaderValue, LOCATION};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::variables::{OwnVariables, Template, Values};
use torana_http::{Body, Exchange, Filter, Flow, Response, Step};

/// Redirects requests for `/`.
pub struct AppRoot;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Begins with a slash; required. May have variables of nginx.
    pub path: String,
}

impl MiddlewareSpec for AppRoot {
    const NAME: &'static str = "appRoot";
    const EXAMPLE: &'static str = "path: /app\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        if !config.path.starts_with('/') {
            return Err(BuildError::new("path", "the path of the application is missing").hint("write one that begins with `/`"));
        }
        Ok(vec![Step::filter(Runtime(Template::new(&format!("$scheme://$best_http_host{}", config.path))))])
    }
}

struct Runtime(Template);

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        if exchange.request.path != "/" {
            return Flow::Continue;
        }
        let url = self.0.fill(Values { exchange, upstream: None, own: &OwnVariables::new() });
        Flow::respond(redirect_to(&url, StatusCode::FOUND))
    }
}

/// A redirect as the middlewares of ingress-nginx have it: the URL as it is, and no page.
pub(crate) fn redirect_to(url: &str, status: StatusCode) -> Response {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response.headers_mut().extend(HeaderValue::from_bytes(url.as_bytes()).ok().map(|url| (LOCATION, url)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, build_error, exchange, run_exchange};

    #[test]
    fn the_root_leads_to_the_application() {
        let steps = build::<AppRoot>("path: /app?x=1&h=$host");
        let ran = run_exchange(&steps, exchange("GET", "/"));
        assert_eq!((ran.status(), ran.header("location")), (302, Some("http://a.test/app?x=1&h=a.test")));
        assert_eq!(ran.body, "");
        assert_eq!(run_exchange(&steps, exchange("POST", "/?q")).status(), 302);
        assert!(run_exchange(&steps, exchange("GET", "/x")).reached);
        assert_eq!(build_error::<AppRoot>("path: app").key, "path");
    }
}
