//! The only place that maps an error to a status.

use crate::body::Body;
use crate::error::{ErrorKind, ProxyError};
use crate::exchange::Response;
use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, StatusCode};

/// `499 Client Closed Request`: seen in logs only.
pub const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The status text that Go gives a code; used as the body of error responses.
pub fn text_of(status: StatusCode) -> &'static str {
    if status.as_u16() == CLIENT_CLOSED_REQUEST { "Client Closed Request" } else { status.canonical_reason().unwrap_or("") }
}

/// A response whose body is its own status text, without Content-Type, as Traefik's proxy sends them.
pub fn status_text(status: StatusCode) -> Response {
    let mut r = Response::new(Body::from(text_of(status)));
    *r.status_mut() = status;
    r
}

/// A response with a text and Go's `http.Error` headers.
pub fn error_text(status: StatusCode, text: impl Into<String>) -> Response {
    let mut text = text.into();
    text.push('\n');
    let mut r = Response::new(Body::from(text));
    *r.status_mut() = status;
    r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    r.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    r
}

/// Nothing matched.
pub fn not_found() -> Response {
    error_text(StatusCode::NOT_FOUND, "404 page not found")
}

/// A response that is its own status text, with another status.
pub fn with_status(mut r: Response, status: StatusCode) -> Response {
    *r.status_mut() = status;
    *r.body_mut() = Body::from(text_of(status));
    r
}

/// A response with one header.
pub fn with_header(mut r: Response, name: HeaderName, value: HeaderValue) -> Response {
    r.headers_mut().insert(name, value);
    r
}

/// The status that a failed exchange has.
pub fn status_of(error: &ProxyError) -> StatusCode {
    match error.kind {
        ErrorKind::NoServer => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unreachable => StatusCode::BAD_GATEWAY,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::ClientGone => StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST),
        ErrorKind::BadRequest => StatusCode::BAD_REQUEST,
        ErrorKind::Protocol | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What a client sees of a failed exchange; the error stays on the response as an extension.
pub fn proxy_error(error: ProxyError) -> Response {
    let mut r = match error.kind {
        ErrorKind::NoServer => error_text(status_of(&error), "no available server"),
        _ => status_text(status_of(&error)),
    };
    r.extensions_mut().insert(error);
    r
}
