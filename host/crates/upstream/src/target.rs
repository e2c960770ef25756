//! A server as the gateway reaches it.

use crate::connect::Address;
use crate::transport::Transport;
use bytestring::ByteString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `http://`: HTTP/1.1
    Http1,
    /// `h2c://`: HTTP/2 without TLS, by prior knowledge
    H2c,
    /// `https://`: what the handshake settles
    Https,
}

/// Address, protocol and transport of a server. Lives as long as some snapshot names it, so its
/// connections survive a reload.
#[derive(Debug)]
pub struct Target {
    /// Key of its connections in each worker's pool.
    pub(crate) id: u64,
    pub address: Address,
    pub protocol: Protocol,
    /// Host and port as written in the URL: the `Host` header when the client's is not passed on.
    pub authority: ByteString,
    pub(crate) transport: Arc<Transport>,
}

/// A server URL, taken apart. As in Traefik only a text that is no URL at all is an error; one without a
/// host or with a strange scheme is a server that answers each request with 500 (its host is empty).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    pub protocol: Protocol,
    pub address: Address,
    pub authority: String,
    /// Path of the URL, for `preservePath`.
    pub path: String,
}

impl ServerUrl {
    /// What no connection can be made to.
    pub(crate) fn nowhere() -> Self {
        ServerUrl {
            protocol: Protocol::Http1,
            address: Address { host: String::new(), port: 0, tls: false },
            authority: String::new(),
            path: String::new(),
        }
    }
}

impl std::str::FromStr for ServerUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let bad = |what: &str| format!("server URL `{url}` {what}: write `http://host:port`, `https://host` or `h2c://host:port`");
        if url.chars().any(char::is_control) {
            return Err(bad("holds a control character"));
        }
        let first = url.split(['/', '?', '#']).next().unwrap_or("");
        let Some((scheme, rest)) = first.split_once(':').map(|(scheme, _)| (scheme, &url[scheme.len() + 1..])) else {
            return Ok(ServerUrl::nowhere());
        };
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        {
            return Err(bad("has no scheme"));
        }
        let Some(rest) = rest.strip_prefix("//") else { return Ok(ServerUrl::nowhere()) };
        let protocol = match scheme.to_ascii_lowercase().as_str() {
            "http" => Some(Protocol::Http1),
            "https" => Some(Protocol::Https),
            "h2c" => Some(Protocol::H2c),
            _ => None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split(['?', '#']).next().unwrap_or("").to_owned();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, a)| a);
        let (host, port) = match authority.rsplit_once(':') {
            Some((h, "")) => (h, None),
            // A number too large for a port is found out when dialling: nothing listens on port 0.
            Some((h, p)) if p.bytes().all(|b| b.is_ascii_digit()) => (h, Some(p.parse::<u16>().unwrap_or(0))),
            Some((_, p)) if !p.contains(']') => return Err(bad("has a bad port")),
            _ => (authority, None),
        };
        let host = match host.strip_prefix('[') {
            Some(v6) => v6.strip_suffix(']').ok_or_else(|| bad("has no `]`"))?.to_owned(),
            None if host.contains([':', ']']) => return Err(bad("has no usable host")),
            None => host.to_owned(),
        };
        if host.contains(char::is_whitespace) {
            return Err(bad("has no usable host"));
        }
        let Some(protocol) = protocol.filter(|_| !host.is_empty()) else { return Ok(ServerUrl::nowhere()) };
        let tls = protocol == Protocol::Https;
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        Ok(ServerUrl { protocol, address: Address { host, port, tls }, authority: authority.to_owned(), path })
    }
}

/// The next key of connections.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Target {
    pub fn new(url: &ServerUrl, transport: Arc<Transport>) -> Self {
        Target { id: next_id(), address: url.address.clone(), protocol: url.protocol, authority: url.authority.as_str().into(), transport }
    }

    /// The same server, with connections of its own.
    pub(crate) fn again(&self) -> Self {
        Target {
            id: next_id(),
            address: self.address.clone(),
            protocol: self.protocol,
            authority: self.authority.clone(),
            transport: self.transport.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_urls() {
        let u: ServerUrl = "http://127.0.0.1:8080/base?x".parse().unwrap();
        assert_eq!(
            (u.address.host.as_str(), u.address.port, u.path.as_str(), u.authority.as_str()),
            ("127.0.0.1", 8080, "/base", "127.0.0.1:8080")
        );
        let u: ServerUrl = "https://[::1]".parse().unwrap();
        assert_eq!((u.address.host.as_str(), u.address.port, u.address.tls), ("::1", 443, true));
        for bad in ["127.0.0.1:80", "://x", "http://a:b", "http://a b", "http://[::1", "http://a:b:1", "http://a\n"] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
        for nowhere in ["", "ftp://x", "http://", "http:x", "/a", "x", "http:///a", "http://:80"] {
            assert!(nowhere.parse::<ServerUrl>().unwrap().address.host.is_empty(), "{nowhere}");
        }
        assert_eq!("http://a:99999".parse::<ServerUrl>().unwrap().address.port, 0);
        assert_eq!("HTTP://Host:".parse::<ServerUrl>().unwrap().address.port, 80);
    }
}
