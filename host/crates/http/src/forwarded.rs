//! `X-Forwarded-*` and `X-Real-Ip` (Traefik `entryPoints.*.forwardedHeaders`, features 1.2.3).

use crate::exchange::Exchange;
use crate::hop;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub const X_FORWARDED_SERVER: HeaderName = HeaderName::from_static("x-forwarded-server");
pub const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What follows `x-forwarded-` in the names that a client may not choose for itself.
const MANAGED: [&str; 10] =
    ["proto", "for", "host", "port", "server", "uri", "method", "prefix", "tls-client-cert", "tls-client-cert-info"];

/// Whether a header belongs to the managed set, also when `-` is written `_`.
pub fn is_managed(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    // Header names are lower case here; the cheap test comes first, as nearly all names fail it.
    if name.len() < 9 || name[0] != b'x' || !matches!(name[1], b'-' | b'_') {
        return false;
    }
    let same = |known: &[u8], given: &[u8]| {
        known.len() == given.len() && known.iter().zip(given).all(|(k, g)| k == g || (*k == b'-' && *g == b'_'))
    };
    if same(b"x-real-ip", name) {
        return true;
    }
    name.len() > 12 && same(b"x-forwarded-", &name[..12]) && MANAGED.iter().any(|m| same(m.as_bytes(), &name[12..]))
}

/// Deletes the managed set from a request that comes from somebody who is not trusted.
pub fn distrust(headers: &mut HeaderMap) {
    let named: SmallVec<[HeaderName; 4]> = headers.keys().filter(|n| is_managed(n)).cloned().collect();
    for name in named {
        headers.remove(name);
    }
}

/// Deletes the headers that `Connection` names, except managed ones and those in `allowed`, and leaves in
/// it only what is still to be deleted when the request leaves. `allowed` holds lower-case names;
/// `upgrade` is the handshake that is asked for.
pub fn connection_headers(headers: &mut HeaderMap, allowed: &[HeaderName], upgrade: Option<&HeaderValue>) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
    let named: SmallVec<[HeaderName; 4]> = hop::tokens(headers, &header::CONNECTION)
        .filter_map(|t| HeaderName::from_bytes(t.as_bytes()).ok())
        .filter(|n| !is_managed(n))
        .collect();
    let mut left: SmallVec<[&str; 2]> = SmallVec::new();
    for name in &named {
        if allowed.contains(name) {
            left.push(name.as_str());
        } else {
            headers.remove(name);
        }
    }
    if let Some(upgrade) = upgrade {
        headers.insert(header::UPGRADE, upgrade.clone());
        left.push("Upgrade");
    }
    match HeaderValue::from_str(&left.join(",")) {
        Ok(v) if !left.is_empty() => headers.insert(header::CONNECTION, v),
        _ => headers.remove(header::CONNECTION),
    };
}

/// Sets what is missing; never overwrites what a trusted peer sent.
pub fn complete(exchange: &mut Exchange, hostname: &HeaderValue) {
    let websocket = exchange.upgrade.as_ref().is_some_and(|u| u.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let peer = exchange.peer.clone();
    let request = &mut exchange.request;
    let headers = &mut request.headers;
    let missing = |headers: &HeaderMap, name: &HeaderName| headers.get(name).is_none_or(|v| v.is_empty());

    if missing(headers, &X_REAL_IP) {
        headers.insert(X_REAL_IP, peer.ip_value.clone());
    }
    if missing(headers, &X_FORWARDED_PROTO) {
        let proto = match (peer.is_tls(), websocket) {
            (true, true) => "wss",
            (true, false) => "https",
            (false, true) => "ws",
            (false, false) => "http",
        };
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    }
    if missing(headers, &X_FORWARDED_PORT) {
        let port = match port_of(&request.host) {
            Some(port) => HeaderValue::from_str(port).unwrap_or(HeaderValue::from_static("80")),
            None => {
                let proto = headers.get(X_FORWARDED_PROTO).map_or(&b""[..], HeaderValue::as_bytes);
                let secure = peer.is_tls() || matches!(proto, b"https" | b"wss");
                HeaderValue::from_static(if secure { "443" } else { "80" })
            }
        };
        headers.insert(X_FORWARDED_PORT, port);
    }
    if missing(headers, &X_FORWARDED_HOST)
        && !request.host.is_empty()
        && let Ok(host) = HeaderValue::from_maybe_shared(request.host.as_bytes().clone())
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
    headers.insert(X_FORWARDED_SERVER, hostname.clone());
    fold_forwarded_for(headers);
}

/// Several lines of `X-Forwarded-For` become one.
fn fold_forwarded_for(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(X_FORWARDED_FOR).iter();
    if lines.next().is_none() || lines.next().is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(v) = HeaderValue::from_bytes(&all.join(&b", "[..])) {
        headers.insert(X_FORWARDED_FOR, v);
    }
}

/// `X-Forwarded-For` as it leaves: what came, and the peer.
pub fn with_peer(headers: &HeaderMap, ip: &HeaderValue) -> HeaderValue {
    match headers.get(X_FORWARDED_FOR) {
        None => ip.clone(),
        Some(before) => HeaderValue::from_bytes(&[before.as_bytes(), b", ", ip.as_bytes()].concat()).unwrap_or_else(|_| ip.clone()),
    }
}

/// The port in a host, if it has one.
pub fn port_of(host: &str) -> Option<&str> {
    let (name, port) = host.rsplit_once(':')?;
    let v6_without_port = name.contains(':') && !name.ends_with(']');
    (!v6_without_port && !port.is_empty()).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_managed_set() {
        for name in [
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded_proto",
            "x-real-ip",
            "x-forwarded-tls-client-cert-info",
            "x-forwarded-prefix",
        ] {
            assert!(is_managed(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["forwarded", "x-forwarded-user", "x-forwarded-", "x-real-ip2", "host", "x-forwarded-fo"] {
            assert!(!is_managed(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn connection_names_what_goes() {
        let mut h = HeaderMap::new();
        for (k, v) in [
            ("connection", "x-a, TE, X-Forwarded-For, x-keep, upgrade"),
            ("x-a", "1"),
            ("te", "trailers"),
            ("x-forwarded-for", "1"),
            ("x-keep", "1"),
            ("upgrade", "foo"),
        ] {
            h.insert(k, HeaderValue::from_static(v));
        }
        let allowed = [HeaderName::from_static("x-keep")];
        connection_headers(&mut h, &allowed, Some(&HeaderValue::from_static("foo")));
        let mut left: Vec<_> = h.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["connection", "upgrade", "x-forwarded-for", "x-keep"]);
        assert_eq!(h["connection"], "x-keep,Upgrade");
        h.insert("connection", HeaderValue::from_static("close"));
        connection_headers(&mut h, &[], None);
        assert!(!h.contains_key("connection"));
    }

    #[test]
    fn ports() {
        for (host, port) in [
            ("a.test:8080", Some("8080")),
            ("a.test", None),
            ("[::1]:80", Some("80")),
            ("[::1]", None),
            ("::1", None),
            ("a:", None),
            ("a:b", Some("b")),
            ("a:b:c", None),
        ] {
            assert_eq!(port_of(host), port, "{host}");
        }
    }
}
