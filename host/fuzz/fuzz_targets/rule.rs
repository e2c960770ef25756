//! Rules: no text panics, what parses also negates, compiles or says why not, and a compiled rule answers
//! any request; the index agrees with asking the rule itself.
#![no_main]

use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr};
use torana_router::{
    RequestView, Route, RouteTable, TcpFacts, TcpRoute, TcpTable, canonical_host, canonical_sni, compile, compile_tcp, default_priority, parse,
    parse_tcp, routing_path, tcp_priority,
};

fuzz_target!(|data: &str| {
    // The first line is the rule, what follows are a host and a path to try it on.
    let mut lines = data.splitn(3, '\n');
    let text = lines.next().unwrap_or_default();
    let (host, path) = (lines.next().unwrap_or("a.example"), lines.next().unwrap_or("/"));
    tcp(text, host);
    let Ok(rule) = parse(text) else { return };
    assert_eq!(rule.clone().negate().negate(), rule, "double negation changes {text:?}");
    let Ok(compiled) = compile(&rule) else { return };
    let headers = HeaderMap::new();
    let (host, path) = (canonical_host(host), routing_path(path));
    let view = RequestView::new(&host, &path, "GET", &headers, None, IpAddr::V4(Ipv4Addr::LOCALHOST));
    let alone = compiled.matches(&view);
    let priority = default_priority(text);
    let table = RouteTable::new([Route { rule: compiled.into(), priority, rank: 0, name: "r".into(), target: () }]);
    assert_eq!(table.find(&view).is_some(), alone, "the index and the rule {text:?} disagree on {host:?} {path:?}");
});

/// The same for rules of TCP routers, with `host` as server name.
fn tcp(text: &str, host: &str) {
    let Ok(rule) = parse_tcp(text) else { return };
    let Ok(compiled) = compile_tcp(&rule) else { return };
    let alpn = [b"h2".to_vec()];
    let sni = canonical_sni(host);
    let facts = TcpFacts { sni: &sni, alpn: &alpn, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    let alone = compiled.matches(&facts);
    let priority = tcp_priority(text, &rule);
    let table = TcpTable::new([TcpRoute { rule: compiled.into(), priority, rank: 0, name: "r".into(), target: () }]);
    assert_eq!(table.find(&facts).is_some(), alone, "the index and the TCP rule {text:?} disagree on {sni:?}");
}
