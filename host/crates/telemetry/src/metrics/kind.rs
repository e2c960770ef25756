//! The labels `method`, `protocol` and `code`, as Traefik derives them from a request and its response.

use http::header::{ACCEPT, CONTENT_TYPE, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// `UNKNOWN`, for an answer that does not tell.
const GRPC_UNKNOWN: u16 = 2;

/// The label `method`: other methods than these are one, so that clients cannot make series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MethodLabel {
    Connect,
    Delete,
    Extension,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Pri,
    Put,
    Trace,
}

impl MethodLabel {
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::GET => MethodLabel::Get,
            Method::POST => MethodLabel::Post,
            Method::HEAD => MethodLabel::Head,
            Method::PUT => MethodLabel::Put,
            Method::DELETE => MethodLabel::Delete,
            Method::PATCH => MethodLabel::Patch,
            Method::OPTIONS => MethodLabel::Options,
            Method::CONNECT => MethodLabel::Connect,
            Method::TRACE => MethodLabel::Trace,
            _ if method.as_str() == "PRI" => MethodLabel::Pri,
            _ => MethodLabel::Extension,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            MethodLabel::Connect => "CONNECT",
            MethodLabel::Delete => "DELETE",
            MethodLabel::Extension => "EXTENSION_METHOD",
            MethodLabel::Get => "GET",
            MethodLabel::Head => "HEAD",
            MethodLabel::Options => "OPTIONS",
            MethodLabel::Patch => "PATCH",
            MethodLabel::Post => "POST",
            MethodLabel::Pri => "PRI",
            MethodLabel::Put => "PUT",
            MethodLabel::Trace => "TRACE",
        }
    }
}

/// The label `protocol`: what the request asks for, granted or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Grpc,
    GrpcWeb,
    Http,
    Sse,
    Websocket,
}

impl Protocol {
    /// `asked`: the token of `Upgrade`, if the request asks for another protocol.
    pub fn of(headers: &HeaderMap, asked: Option<&HeaderValue>) -> Self {
        if asked.is_some_and(|token| has_token(Some(token), "websocket")) {
            return Protocol::Websocket;
        }
        if has_token(headers.get(ACCEPT), "text/event-stream") {
            return Protocol::Sse;
        }
        match headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) {
            Some(t) if t.starts_with(b"application/grpc-web") => Protocol::GrpcWeb,
            Some(t) if t.starts_with(b"application/grpc") => Protocol::Grpc,
            _ => Protocol::Http,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Grpc => "grpc",
            Protocol::GrpcWeb => "grpc-web",
            Protocol::Http => "http",
            Protocol::Sse => "sse",
            Protocol::Websocket => "websocket",
        }
    }
}

/// Whether one of the comma-separated items of a header line is `token`, in any case.
fn has_token(value: Option<&HeaderValue>, token: &str) -> bool {
    value.is_some_and(|v| v.as_bytes().split(|b| *b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes())))
}

/// What is known of a request from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    pub method: MethodLabel,
    pub protocol: Protocol,
}

impl Kind {
    /// For `asked` see [`Protocol::of`].
    pub fn of(method: &Method, headers: &HeaderMap, asked: Option<&HeaderValue>) -> Self {
        Kind { method: MethodLabel::of(method), protocol: Protocol::of(headers, asked) }
    }

    fn is_grpc(self) -> bool {
        matches!(self.protocol, Protocol::Grpc | Protocol::GrpcWeb)
    }

    /// Whether the trailers of a response decide on its code. As in Traefik only those that its headers announce
    /// are looked at.
    pub fn awaits_trailers(self, headers: &HeaderMap) -> bool {
        self.is_grpc() && headers.get_all(TRAILER).iter().any(|v| has_token(Some(v), GRPC_STATUS.as_str()))
    }

    /// The label `code` by the trailers of a gRPC response.
    pub fn code_of_trailers(trailers: &HeaderMap) -> u16 {
        trailers.get(GRPC_STATUS).and_then(grpc_status).unwrap_or(GRPC_UNKNOWN)
    }

    /// The label `code` of a response: of gRPC its own status, as far as the headers tell it.
    pub fn code(self, status: StatusCode, headers: &HeaderMap) -> u16 {
        if self.is_grpc() { Kind::code_of_trailers(headers) } else { status.as_u16() }
    }
}

fn grpc_status(value: &HeaderValue) -> Option<u16> {
    value.to_str().ok()?.parse().ok().filter(|n| *n <= 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn protocols() {
        for (list, expected) in [
            (&[][..], "http"),
            (&[("accept", "text/html, text/event-stream")], "sse"),
            (&[("accept", "text/event-stream;q=1")], "http"),
            (&[("content-type", "application/grpc+proto")], "grpc"),
            (&[("content-type", "application/grpc-web-text")], "grpc-web"),
        ] {
            assert_eq!(Protocol::of(&headers(list), None).as_str(), expected, "{list:?}");
        }
        for (token, expected) in [("WebSocket", Protocol::Websocket), ("h2c, websocket", Protocol::Websocket), ("h2c", Protocol::Http)] {
            assert_eq!(Protocol::of(&HeaderMap::new(), Some(&HeaderValue::from_static(token))), expected);
        }
    }

    #[test]
    fn methods_of_clients_make_no_series() {
        for (method, expected) in [("GET", "GET"), ("PRI", "PRI"), ("get", "EXTENSION_METHOD"), ("PROPFIND", "EXTENSION_METHOD")] {
            assert_eq!(MethodLabel::of(&method.parse().unwrap()).as_str(), expected);
        }
    }

    #[test]
    fn codes_of_grpc_come_from_its_own_status() {
        let code = |protocol, list: &[(&'static str, &'static str)]| {
            Kind { method: MethodLabel::Post, protocol }.code(StatusCode::OK, &headers(list))
        };
        assert_eq!(code(Protocol::Http, &[("grpc-status", "5")]), 200);
        assert_eq!(code(Protocol::Grpc, &[("grpc-status", "5")]), 5);
        assert_eq!(code(Protocol::GrpcWeb, &[("grpc-status", "0")]), 0);
        assert_eq!(code(Protocol::Grpc, &[]), 2);
        assert_eq!(code(Protocol::Grpc, &[("grpc-status", "17")]), 2);
        let awaits = |protocol, value| Kind { method: MethodLabel::Post, protocol }.awaits_trailers(&headers(&[("trailer", value)]));
        assert!(awaits(Protocol::Grpc, "Grpc-Message, Grpc-Status"));
        assert!(!awaits(Protocol::Grpc, "x") && !awaits(Protocol::Http, "Grpc-Status"));
    }
}
