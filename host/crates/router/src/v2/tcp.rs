//! The matchers of TCP rules in v2 syntax.

use super::template::{Kind, Template};
use crate::matcher::{HostKey, MatcherKind, Need};
use crate::tcp::{TcpMatcher, alpn, client_ip, is_plain};

/// Every matcher of TCP rules in v2 syntax.
pub static TCP_MATCHERS_V2: &[MatcherKind<TcpMatcher>] = &[
    MatcherKind {
        name: "HostSNI",
        arity: super::ANY,
        doc: "The server name of the TLS handshake is one of these, without regard to case; `*` is any name or none.",
        example: "HostSNI(`example.com`, `example.org`)",
        build: host_sni,
    },
    MatcherKind {
        name: "HostSNIRegexp",
        arity: super::ANY,
        doc: "The whole server name fits one of these templates, without regard to case.",
        example: "HostSNIRegexp(`{sub:[a-z]+}.example.com`)",
        build: |args| {
            let templates = args.iter().map(|a| Template::new(a, Kind::Sni)).collect::<Result<Vec<_>, String>>()?;
            Ok(TcpMatcher::new(Need::Anything, move |f| templates.iter().any(|t| t.matches(f.sni.as_bytes()))))
        },
    },
    MatcherKind {
        name: "ClientIP",
        arity: super::ANY,
        doc: "The address of the connection's peer is, or is in, one of these.",
        example: "ClientIP(`10.0.0.0/8`, `::1`)",
        build: client_ip,
    },
    MatcherKind {
        name: "ALPN",
        arity: super::ANY,
        doc: "One of the protocols that the client offers in the TLS handshake is one of these.",
        example: "ALPN(`mqtt`, `xmpp-client`)",
        build: alpn,
    },
];

fn host_sni(args: &[String]) -> Result<TcpMatcher, String> {
    let is_name = |a: &&String| *a != "*" && !is_plain(a);
    if let Some(bad) = args.iter().find(is_name) {
        return Err(format!("`{bad}` is no server name: write a host such as `example.com`, or `*` for any"));
    }
    // Behind others, `*` is any name, but not none.
    if args.first().is_some_and(|first| first == "*") {
        return Ok(TcpMatcher::new(Need::Anything, |_| true));
    }
    if args.iter().any(|a| a == "*") {
        return Ok(TcpMatcher::new(Need::Anything, |f| !f.sni.is_empty()));
    }
    let lower = args.iter().map(|a| a.to_ascii_lowercase());
    let wanted: Vec<String> = lower.map(|a| a.strip_suffix('.').unwrap_or(&a).to_owned()).collect();
    let keys = wanted.iter().map(|w| HostKey::Exact(w.as_str().into())).collect();
    Ok(TcpMatcher::new(Need::Hosts(keys), move |f| !f.sni.is_empty() && wanted.iter().any(|w| f.sni == w)))
}
