//! Hop-by-hop headers (RFC 9110, 7.6.1).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Whether a comma-separated header has `token` among its values, without regard to case.
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|t| t.eq_ignore_ascii_case(token))
}

/// The comma-separated values of all lines of a header.
pub fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(str::trim).filter(|t| !t.is_empty())
}

/// The protocol that a handshake asks for: the `Upgrade` header, if `Connection` names it. A wish for
/// h2c is not passed on: the server's answer would be HTTP/2 on a connection that nobody here reads so.
pub fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let upgrade = headers.get(header::UPGRADE)?;
    (has_token(headers, &header::CONNECTION, "upgrade") && !has_token(headers, &header::UPGRADE, "h2c")).then(|| upgrade.clone())
}

/// The names that `Trailer` announces, on one line, each once, without those that frame a message.
pub fn announced_trailers(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut line = Vec::new();
    let mut seen: Vec<HeaderName> = Vec::new();
    for token in tokens(headers, &header::TRAILER) {
        let Ok(name) = HeaderName::from_bytes(token.as_bytes()) else { continue };
        if seen.contains(&name) || [header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::TRAILER].contains(&name) {
            continue;
        }
        if !line.is_empty() {
            line.extend_from_slice(b", ");
        }
        crate::h1::head::write_name(&mut line, &name);
        seen.push(name);
    }
    (!line.is_empty()).then(|| HeaderValue::from_bytes(&line).ok()).flatten()
}

/// Removes what concerns one connection only. `TE: trailers` stays, as it concerns the whole way.
pub fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> =
            tokens(headers, &header::CONNECTION).filter_map(|t| HeaderName::from_bytes(t.as_bytes()).ok()).collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    let trailers = headers.contains_key(header::TE) && has_token(headers, &header::TE, "trailers");
    for name in [
        KEEP_ALIVE,
        PROXY_CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2c_is_no_upgrade() {
        for (upgrade, passed) in [("websocket", true), ("h2c", false), ("foo, H2C", false), ("foo", true)] {
            let mut h = HeaderMap::new();
            h.insert(header::CONNECTION, HeaderValue::from_static("Upgrade, HTTP2-Settings"));
            h.insert(header::UPGRADE, HeaderValue::from_static(upgrade));
            assert_eq!(upgrade_of(&h).is_some(), passed, "{upgrade}");
        }
    }

    #[test]
    fn announces_each_trailer_once() {
        let mut h = HeaderMap::new();
        h.append(header::TRAILER, HeaderValue::from_static("x-a, X-B,x-a"));
        h.append(header::TRAILER, HeaderValue::from_static("content-length, x-c"));
        assert_eq!(announced_trailers(&h).unwrap(), "X-A, X-B, X-C");
        assert!(announced_trailers(&HeaderMap::new()).is_none());
    }

    #[test]
    fn strips_named_and_known_headers_but_keeps_te_trailers() {
        let mut h = HeaderMap::new();
        for (k, v) in
            [("connection", "close, x-a"), ("x-a", "1"), ("x-b", "2"), ("te", "gzip, trailers"), ("upgrade", "h2c"), ("keep-alive", "5")]
        {
            h.append(k, HeaderValue::from_static(v));
        }
        strip(&mut h);
        let left: Vec<_> = h.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-b", "te"]);
        assert_eq!(h["te"], "trailers");
    }
}
