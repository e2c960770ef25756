mod spool;

use crate::expression::{self, Expression, Kind, Value};
use crate::omit;
use http::header::TRAILER;
use http::{Method, StatusCode, Version};
use serde::{Deserialize, Serialize};
use spool::{Limits, Spill, Spool};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Around, Body, BodyError, Exchange, LocalFuture, Next, Response, SavedHead, Step, respond};

/// Reads requests whole before a server sees them, and responses before the client does.
pub struct Buffering;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Bytes of a request's body, at most: more is answered with 413. 0: no limit.
    #[serde(skip_serializing_if = "omit::empty")]
    pub max_request_body_bytes: i64,
    /// Bytes of a request's body in memory, the rest is in a file; 0: 1 MiB.
    #[serde(skip_serializing_if = "omit::empty")]
    pub mem_request_body_bytes: i64,
    /// Bytes of a response's body, at most: more is answered with 500. 0: no limit.
    #[serde(skip_serializing_if = "omit::empty")]
    pub max_response_body_bytes: i64,
    /// Bytes of a response's body in memory, the rest is in a file; 0: 1 MiB.
    #[serde(skip_serializing_if = "omit::empty")]
    pub mem_response_body_bytes: i64,
    /// When to send a request again: `IsNetworkError()`, `Attempts()`, `ResponseCode()` and `RequestMethod()`,
    /// compared with constants and joined by `&&` and `||`. Empty: never, and never for requests without a body.
    #[serde(skip_serializing_if = "omit::empty")]
    pub retry_expression: String,
    /// Requests pass as they come; only providers say so.
    #[serde(skip_serializing_if = "omit::empty")]
    pub disable_request_buffer: bool,
    /// Responses pass as they come; only providers say so.
    #[serde(skip_serializing_if = "omit::empty")]
    pub disable_response_buffer: bool,
}

/// Kept in memory where the configuration says nothing.
const MEMORY: u64 = 1 << 20;
/// A request is not sent more often, whatever the expression says.
const MOST_ATTEMPTS: i64 = 11;

impl MiddlewareSpec for Buffering {
    const NAME: &'static str = "buffering";
    const EXAMPLE: &'static str = "maxRequestBodyBytes: 2000000\nretryExpression: IsNetworkError() && Attempts() < 3\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let bytes = |value: i64, key: &str| {
            u64::try_from(value).map_err(|_| BuildError::new(key, format!("{value} bytes are less than none")).hint("0 means the default"))
        };
        let limits = |memory: u64, most: u64| Limits {
            memory: if memory == 0 { MEMORY } else { memory },
            most: (most > 0).then_some(most),
        };
        let retry = match &*config.retry_expression {
            "" => None,
            text => Some(expression::parse(text, &mut Asks::named).map_err(|why| {
                BuildError::new("retryExpression", format!("this is no condition: {why}"))
                    .hint("write for example `IsNetworkError() && Attempts() < 3`")
            })?),
        };
        let request = limits(
            bytes(config.mem_request_body_bytes, "memRequestBodyBytes")?,
            bytes(config.max_request_body_bytes, "maxRequestBodyBytes")?,
        );
        let response = limits(
            bytes(config.mem_response_body_bytes, "memResponseBodyBytes")?,
            bytes(config.max_response_body_bytes, "maxResponseBodyBytes")?,
        );
        Ok(vec![Step::around(Runtime {
            request: (!config.disable_request_buffer).then_some(request),
            response: (!config.disable_response_buffer).then_some(response),
            retry,
        })])
    }
}

/// What the expression may ask for.
#[derive(Debug)]
enum Asks {
    NetworkError,
    Attempts,
    Code,
    Method,
}

impl Asks {
    fn named(name: &str, arguments: &[expression::Literal]) -> Result<(Asks, Kind), String> {
        let call = match name {
            "IsNetworkError" => (Asks::NetworkError, Kind::Truth),
            "Attempts" => (Asks::Attempts, Kind::Int),
            "ResponseCode" => (Asks::Code, Kind::Int),
            "RequestMethod" => (Asks::Method, Kind::Text),
            _ => return Err(format!("there is no `{name}`: known are `IsNetworkError`, `Attempts`, `ResponseCode` and `RequestMethod`")),
        };
        if arguments.is_empty() { Ok(call) } else { Err(format!("`{name}` takes no arguments")) }
    }
}

struct Runtime {
    /// `None` for what passes as it comes.
    request: Option<Limits>,
    response: Option<Limits>,
    retry: Option<Expression<Asks>>,
}

impl Around for Runtime {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(self.run(exchange, next))
    }
}

impl Runtime {
    async fn run(&self, exchange: &mut Exchange, next: Next<'_>) -> Response {
        let Some(limits) = self.request else {
            let interim = self.response.and_then(|_| exchange.peer.interim.take());
            let response = next.run(exchange).await;
            let response = self.keep(response, &exchange.request.method, exchange.request.version).await;
            if interim.is_some() {
                *exchange.peer.interim.borrow_mut() = interim;
            }
            return response;
        };
        let spool = match Spool::read(std::mem::take(&mut exchange.request.body), limits).await {
            Ok(spool) => spool,
            Err(spill) => return refuse_request(spill),
        };
        // Traefik sends only those again that have a body.
        let saved = self.retry.as_ref().filter(|_| spool.length > 0).map(|_| SavedHead::of(exchange));
        // What is kept back is no news: interim responses end here.
        let interim = self.response.and_then(|_| exchange.peer.interim.take());
        let mut attempts = 1;
        let response = loop {
            exchange.request.body = spool.body();
            let response = self.keep(next.run(exchange).await, &exchange.request.method, exchange.request.version).await;
            match &saved {
                Some(saved) if attempts < MOST_ATTEMPTS && self.again(attempts, &exchange.request.method, &response) => {
                    saved.restore(exchange);
                    exchange.again = true;
                    attempts += 1;
                }
                _ => break response,
            }
        };
        if interim.is_some() {
            *exchange.peer.interim.borrow_mut() = interim;
        }
        response
    }

    fn again(&self, attempts: i64, method: &Method, response: &Response) -> bool {
        let code = response.status().as_u16();
        // A failure of our own is no answer of a server, and a tunnel is taken.
        response.extensions().get::<Own>().is_none()
            && !matches!(response.body(), Body::Tunnel(_))
            && self.retry.as_ref().is_some_and(|e| {
                e.holds(&|ask| match ask {
                    Asks::NetworkError => Value::Truth(matches!(code, 502 | 504)),
                    Asks::Attempts => Value::Int(attempts),
                    Asks::Code => Value::Int(i64::from(code)),
                    Asks::Method => Value::Text(method.as_str()),
                })
            })
    }

    /// Reads a response to its end.
    async fn keep(&self, mut response: Response, method: &Method, version: Version) -> Response {
        let (Some(limits), false) = (self.response, matches!(response.body(), Body::Tunnel(_))) else { return response };
        let body = std::mem::take(response.body_mut());
        if !has_body(&response, method) {
            return response;
        }
        let declared = body.length().is_some();
        match Spool::read(body, limits).await {
            Ok(spool) => {
                *response.body_mut() = outgoing(&spool, declared, version);
                // What was announced is known before the body goes, and stands there too.
                if let Some(trailers) = spool.trailers.filter(|_| response.headers().contains_key(TRAILER)) {
                    response.headers_mut().extend(trailers);
                }
                response
            }
            // A server that broke off: of its answer nothing has gone out yet.
            Err(Spill::Body(e)) => {
                tracing::debug!(error = %e, "buffering: the response ended early");
                let mut r = respond::error_text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
                r.extensions_mut().insert(Own);
                r
            }
            Err(Spill::TooLarge) => own(StatusCode::INTERNAL_SERVER_ERROR),
            Err(Spill::File(e)) => file_failed(&e),
        }
    }
}

/// Mark of a response that is not a server's.
#[derive(Clone)]
struct Own;

fn own(status: StatusCode) -> Response {
    let mut r = respond::status_text(status);
    r.extensions_mut().insert(Own);
    r
}

fn file_failed(error: &std::io::Error) -> Response {
    tracing::error!(%error, "buffering: a temporary file cannot be used");
    own(StatusCode::INTERNAL_SERVER_ERROR)
}

fn refuse_request(spill: Spill) -> Response {
    match spill {
        Spill::TooLarge => {
            let mut r = own(StatusCode::PAYLOAD_TOO_LARGE);
            // As Go calls 413.
            *r.body_mut() = Body::from("Request Entity Too Large");
            r
        }
        Spill::Body(BodyError::Timeout) => own(StatusCode::GATEWAY_TIMEOUT),
        Spill::Body(_) => own(StatusCode::INTERNAL_SERVER_ERROR),
        Spill::File(e) => file_failed(&e),
    }
}

/// Whether Traefik looks at the body of a response.
fn has_body(response: &Response, method: &Method) -> bool {
    let failed_call = response.headers().get("grpc-status").is_some_and(|s| !s.is_empty() && s != "0");
    *method != Method::HEAD
        && !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        && !response.status().is_informational()
        && !failed_call
}

/// A response that nobody gave a length gets one only while it is short, as from Go's server. In HTTP/1 none has both
/// a length and trailers.
fn outgoing(spool: &Spool, declared: bool, version: Version) -> Body {
    let multiplexed = version >= Version::HTTP_2;
    let measured = declared || spool.length <= if multiplexed { 4096 } else { 2048 };
    match (&spool.trailers, measured) {
        (None, true) => spool.body(),
        (Some(_), true) if multiplexed => spool.stream(Some(spool.length)),
        _ => spool.stream(None),
    }
}

#[cfg(test)]
mod tests;
