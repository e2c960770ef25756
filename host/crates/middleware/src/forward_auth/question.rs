use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use torana_http::forwarded::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, is_managed, port_of};
use torana_http::{Exchange, Request, hop, path};

const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// What Traefik's client calls itself where the question has no `User-Agent`; services are known to look at it.
const USER_AGENT: HeaderValue = HeaderValue::from_static("Go-http-client/1.1");

/// What is believed of what came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// What is set anew is our own, all else stays.
    Some,
    None,
    All,
}

/// Makes the headers of questions.
pub(super) struct Headers {
    trust: Trust,
    /// `None` for all of the request.
    listed: Option<Vec<HeaderName>>,
}

impl Headers {
    pub(super) fn new(trust: Option<bool>, listed: &[String]) -> Self {
        let trust = match trust {
            None => Trust::Some,
            Some(false) => Trust::None,
            Some(true) => Trust::All,
        };
        Headers { trust, listed: (!listed.is_empty()).then(|| super::names(listed)) }
    }

    /// Of the question about a request; `authorization` is the address's own.
    pub(super) fn of(&self, exchange: &Exchange, authorization: Option<&HeaderValue>) -> HeaderMap {
        let request = &exchange.request;
        let named: Vec<HeaderName> =
            hop::tokens(&request.headers, &header::CONNECTION).filter_map(|t| HeaderName::from_bytes(t.as_bytes()).ok()).collect();
        let mut headers = HeaderMap::with_capacity(request.headers.len() + 6);
        for (name, value) in &request.headers {
            if self.is_shown(name) && !named.contains(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        match headers.get(header::USER_AGENT) {
            None => _ = headers.insert(header::USER_AGENT, USER_AGENT),
            Some(v) if v.is_empty() => _ = headers.remove(header::USER_AGENT),
            Some(_) => {}
        }
        if let (Some(own), false) = (authorization, headers.get(header::AUTHORIZATION).is_some_and(|v| !v.is_empty())) {
            headers.insert(header::AUTHORIZATION, own.clone());
        }
        self.forwarded(&mut headers, exchange);
        headers
    }

    fn is_shown(&self, name: &HeaderName) -> bool {
        let hop = *name == header::CONNECTION
            || *name == header::TE
            || *name == header::TRAILER
            || *name == header::TRANSFER_ENCODING
            || *name == header::CONTENT_LENGTH
            || *name == header::UPGRADE
            || *name == KEEP_ALIVE;
        match self.trust {
            _ if hop => false,
            Trust::None if is_managed(name) => false,
            Trust::All if is_managed(name) => true,
            _ => self.listed.as_ref().is_none_or(|l| l.contains(name)),
        }
    }

    fn forwarded(&self, headers: &mut HeaderMap, exchange: &Exchange) {
        let (request, peer) = (&exchange.request, &exchange.peer);
        let keep = self.trust == Trust::All;
        let mut set = |name: HeaderName, value: Option<HeaderValue>| {
            // As Traefik 3.7.15: also an empty one, and several.
            if keep && headers.contains_key(&name) {
                return;
            }
            match value {
                Some(value) => _ = headers.insert(name, value),
                None => _ = headers.remove(name),
            }
        };
        set(X_FORWARDED_METHOD, HeaderValue::from_str(request.method.as_str()).ok());
        set(X_FORWARDED_PROTO, Some(HeaderValue::from_static(exchange.scheme())));
        set(X_FORWARDED_HOST, Some(request.host.as_bytes().clone()).filter(|h| !h.is_empty()).and_then(|h| HeaderValue::from_maybe_shared(h).ok()));
        set(X_FORWARDED_URI, request_uri(request));
        if self.trust != Trust::Some {
            let port = port_of(&request.host).and_then(|p| HeaderValue::from_str(p).ok());
            set(X_FORWARDED_PORT, Some(port.unwrap_or(HeaderValue::from_static(if peer.is_tls() { "443" } else { "80" }))));
        }
        let before: Vec<&[u8]> =
            if keep { request.headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect() } else { Vec::new() };
        let whole = match before.is_empty() {
            true => None,
            false => HeaderValue::from_bytes(&[&before.join(&b", "[..]), &b", "[..], peer.ip_value.as_bytes()].concat()).ok(),
        };
        headers.insert(X_FORWARDED_FOR, whole.unwrap_or_else(|| peer.ip_value.clone()));
    }
}

/// Path and query as a server would see them.
pub(crate) fn request_uri(request: &Request) -> Option<HeaderValue> {
    match &request.query {
        None if request.path.starts_with('/') => HeaderValue::from_maybe_shared(request.path.as_bytes().clone()).ok(),
        None => HeaderValue::try_from(format!("/{}", request.path)).ok(),
        Some(query) => {
            let slash = if request.path.starts_with('/') { "" } else { "/" };
            let replaced = path::replace_semicolons(query, "&");
            HeaderValue::try_from(format!("{slash}{}?{}", request.path, replaced.as_ref().unwrap_or(query))).ok()
        }
    }
}
