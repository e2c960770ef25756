use crate::omit;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Around, Body, Exchange, LocalFuture, Next, Response, Step, sniff};

/// Says what an answer is where its server did not. Without this middleware nothing is ever guessed.
pub struct ContentType;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// `false` turns the middleware off; deprecated.
    #[serde(skip_serializing_if = "omit::empty")]
    pub auto_detect: Option<bool>,
}

impl MiddlewareSpec for ContentType {
    const NAME: &'static str = "contentType";
    const EXAMPLE: &'static str = "autoDetect: true\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        Ok(if config.auto_detect == Some(false) { Vec::new() } else { vec![Step::around(Runtime)] })
    }
}

struct Runtime;

impl Around for Runtime {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let mut response = next.run(exchange).await;
            if !is_untold(&response) {
                return response;
            }
            let (first, body) = std::mem::take(response.body_mut()).peek().await;
            *response.body_mut() = body;
            if !first.is_empty() {
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(sniff::kind(&first)));
            }
            response
        })
    }
}

/// Whether nobody has said what there is, and there is something that may be looked into. Of a body without a length
/// Traefik sends the head before it sees any of it.
fn is_untold(response: &Response) -> bool {
    let headers = response.headers();
    let may_have_body = !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) && !response.status().is_informational();
    may_have_body
        && !headers.contains_key(CONTENT_TYPE)
        && headers.get(CONTENT_ENCODING).is_none_or(HeaderValue::is_empty)
        && !matches!(response.body(), Body::Empty | Body::Tunnel(_))
        && response.body().length().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, exchange, run_with};

    fn told(config: &str, answer: impl Fn() -> http::response::Builder + Send + Sync + 'static, body: &'static str) -> Option<String> {
        let ran = run_with(&build::<ContentType>(config), exchange("GET", "/"), move |_| answer().body(Body::from(body)).unwrap());
        assert_eq!(ran.body, body);
        ran.header("content-type").map(str::to_owned)
    }

    #[test]
    fn says_what_nobody_said() {
        let plain = http::Response::builder;
        assert_eq!(told("{}", plain, "<html>").as_deref(), Some("text/html; charset=utf-8"));
        assert_eq!(told("autoDetect: true", plain, "a").as_deref(), Some("text/plain; charset=utf-8"));
        assert_eq!(told("autoDetect: false", plain, "<html>"), None);
        assert_eq!(told("{}", || http::Response::builder().header("content-type", "a/b"), "<html>").as_deref(), Some("a/b"));
        assert_eq!(told("{}", || http::Response::builder().header("content-type", ""), "<html>").as_deref(), Some(""));
        assert_eq!(told("{}", || http::Response::builder().header("content-encoding", "br"), "<html>"), None);
        assert_eq!(told("{}", || http::Response::builder().header("content-encoding", ""), "<").as_deref(), Some("text/plain; charset=utf-8"));
        assert_eq!(told("{}", plain, ""), None);
    }
}
