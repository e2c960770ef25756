//! Cross-origin rules of gRPC-Web: any header of an allowed origin, with credentials.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{Method, StatusCode};
use torana_http::{Exchange, Request, Response, exchange};

/// Seconds that a browser may remember an answer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Whether a browser asks in advance if it may call.
pub(super) fn asks_for_grpc(exchange: &Exchange) -> bool {
    let request = &exchange.request;
    let wanted = request.header(ACCESS_CONTROL_REQUEST_HEADERS.as_str()).unwrap_or("");
    request.method == Method::OPTIONS && wanted.to_ascii_lowercase().contains("x-grpc-web")
}

pub(super) struct Origins {
    listed: Vec<String>,
    any: bool,
}

impl Origins {
    pub(super) fn new(listed: Vec<String>) -> Self {
        Origins { any: listed.iter().any(|o| o == "*"), listed }
    }

    fn allowed<'r>(&self, request: &'r Request) -> Option<&'r HeaderValue> {
        let origin = request.headers.get(ORIGIN).filter(|o| !o.is_empty())?;
        (self.any || self.listed.iter().any(|o| o.as_bytes() == origin.as_bytes())).then_some(origin)
    }

    /// The answer to a question in advance; `None` if it is none.
    pub(super) fn preflight(&self, request: &Request) -> Option<Response> {
        let method = request.headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|m| !m.is_empty())?;
        if request.method != Method::OPTIONS {
            return None;
        }
        let mut response = exchange::status(StatusCode::OK);
        let headers = response.headers_mut();
        for name in ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"] {
            headers.append(VARY, HeaderValue::from_static(name));
        }
        let upper = method.as_bytes().to_ascii_uppercase();
        let known = matches!(&*upper, b"GET" | b"POST" | b"HEAD" | b"OPTIONS");
        if let Some(origin) = self.allowed(request).filter(|_| known)
            && let Ok(method) = HeaderValue::from_bytes(&upper)
        {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method);
            let wanted = request.header(ACCESS_CONTROL_REQUEST_HEADERS.as_str()).unwrap_or("");
            let wanted: Vec<String> = wanted.split([',', ' ']).map(canonical_text).filter(|n| !n.is_empty()).collect();
            if let Ok(wanted) = HeaderValue::from_str(&wanted.join(", ")) {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
            }
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        Some(response)
    }

    /// What the answer to a call says.
    pub(super) fn headers(&self, request: &Request) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.allowed(request) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        headers
    }
}

/// As Go spells it: `Grpc-Status`.
pub(super) fn canonical(name: &HeaderName) -> String {
    canonical_text(name.as_str())
}

/// The same for a text; what no name has is left out.
fn canonical_text(name: &str) -> String {
    let mut upper = true;
    let mut out = String::with_capacity(name.len());
    for c in name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        out.push(if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() });
        upper = matches!(c, '-' | '_');
    }
    out
}
