mod cors;
mod payload;

use crate::frames::without_length;
use crate::omit;
use cors::Origins;
use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE, HeaderMap, HeaderValue, TRAILER};
use http::Method;
use payload::{Outgoing, Text};
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Around, Body, Exchange, LocalFuture, Next, ProxyError, Response, Step};

const GRPC: &str = "application/grpc";
const WEB: &str = "application/grpc-web";
const WEB_TEXT: &str = "application/grpc-web-text";

/// Lets browsers call gRPC services: gRPC-Web on their side, gRPC on the service's.
pub struct GrpcWeb;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Origins whose pages may call, as browsers send them, or `*` for all.
    #[serde(skip_serializing_if = "omit::empty")]
    pub allow_origins: Vec<String>,
}

impl MiddlewareSpec for GrpcWeb {
    const NAME: &'static str = "grpcWeb";
    const EXAMPLE: &'static str = "allowOrigins: ['https://app.example.com']\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        Ok(vec![Step::around(Runtime { origins: Origins::new(config.allow_origins) })])
    }
}

struct Runtime {
    origins: Origins,
}

impl Around for Runtime {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let kind = exchange.request.header(CONTENT_TYPE.as_str()).unwrap_or("").to_owned();
            let call = exchange.request.method == Method::POST && kind.starts_with(WEB);
            if !call && !cors::asks_for_grpc(exchange) {
                return next.run(exchange).await;
            }
            if let Some(answer) = self.origins.preflight(&exchange.request) {
                return answer;
            }
            let allowed = self.origins.headers(&exchange.request);
            let text = kind.starts_with(WEB_TEXT);
            translate_request(exchange, &kind, text);
            let mut response = next.run(exchange).await;
            if !matches!(response.body(), Body::Tunnel(_)) {
                translate_response(&mut response, allowed, text);
            }
            response
        })
    }
}

fn translate_request(exchange: &mut Exchange, kind: &str, text: bool) {
    let request = &mut exchange.request;
    let grpc = kind.replacen(if text { WEB_TEXT } else { WEB }, GRPC, 1);
    if let Ok(grpc) = HeaderValue::from_str(&grpc) {
        request.headers.insert(CONTENT_TYPE, grpc);
    }
    if request.body.is_empty() && request.method != Method::POST {
        return;
    }
    let body = std::mem::take(&mut request.body);
    // gRPC has no length of a body, only of its messages.
    request.body = if text { Body::stream(Text::new(body), None) } else { without_length(body) };
}

/// `headers` are those that stand there before the service's, which win.
fn translate_response(response: &mut Response, mut headers: HeaderMap, text: bool) {
    let own = response.headers_mut();
    own.remove(TRAILER);
    let web = if text { WEB_TEXT } else { WEB };
    let kinds: Vec<HeaderValue> = own.get_all(CONTENT_TYPE).iter().cloned().collect();
    own.remove(CONTENT_TYPE);
    for kind in kinds {
        let kind = kind.to_str().ok().and_then(|k| HeaderValue::from_str(&k.replacen(GRPC, web, 1)).ok()).unwrap_or(kind);
        own.append(CONTENT_TYPE, kind);
    }
    for name in own.keys() {
        headers.remove(name);
    }
    headers.extend(std::mem::take(own));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed(&headers));
    *own = headers;
    // What a server measured leaves no room for a frame behind it.
    let measured = !text && response.body().length().is_some_and(|n| n > 0) && response.extensions().get::<ProxyError>().is_none();
    if !measured {
        let sent = response.headers().keys().cloned().collect();
        let body = std::mem::take(response.body_mut());
        *response.body_mut() = Body::stream(Outgoing::new(body, text, sent), None);
    }
}

/// All headers, and those of the status.
fn exposed(headers: &HeaderMap) -> HeaderValue {
    let mut names: Vec<String> = headers.keys().filter(|n| **n != CONTENT_TYPE).map(cors::canonical).collect();
    // It stands there even where there is none.
    names.push("Content-Type".into());
    names.sort();
    names.extend(["grpc-status".to_owned(), "grpc-message".to_owned()]);
    HeaderValue::from_str(&names.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("grpc-status, grpc-message"))
}

#[cfg(test)]
mod tests;
