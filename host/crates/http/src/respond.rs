//! The only place that maps an error to a status.

use crate::body::Body;
use crate::error::{ErrorKind, ProxyError};
use crate::exchange::Response;
use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, StatusCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `499 Client Closed Request`: seen in logs only.
pub const CLIENT_CLOSED_REQUEST: u16 = 499;

/// From 1970 to the last second of the year 9999.
const LAST: Duration = Duration::from_secs(253_402_300_799);

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

/// A moment as headers have it (RFC 9110, 5.6.7). What that form cannot say becomes the first or the last that it can.
pub fn date(at: SystemTime) -> String {
    httpdate::fmt_http_date(at.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST))
}

/// [`date`] of a moment that is that far ahead.
pub fn date_in(time: Duration) -> String {
    date(SystemTime::now().checked_add(time).unwrap_or(UNIX_EPOCH + LAST))
}

/// [`date`] of a moment that is that long ago.
pub fn date_before(time: Duration) -> String {
    date(SystemTime::now().checked_sub(time).unwrap_or(UNIX_EPOCH))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_out_of_range_are_the_last_or_the_first() {
        assert_eq!(date(UNIX_EPOCH + Duration::from_secs(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
        for far in [Duration::MAX, Duration::from_secs(300_000_000_000)] {
            assert_eq!([date_in(far), date_before(far)], ["Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"]);
        }
    }
}
