//! Rules: no text panics, what parses also negates, compiles or says why not, and a compiled rule answers
//! any request; the index agrees with asking the rule itself.
#![no_main]

use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr};
use torana_router::{RequestView, Route, RouteTable, canonical_host, compile, default_priority, parse, routing_path};

fuzz_target!(|data: &str| {
    // The first line is the rule, what follows are a host and a path to try it on.
    let mut lines = data.splitn(3, '\n');
    let text = lines.next().unwrap_or_default();
    let (host, path) = (lines.next().unwrap_or("a.example"), lines.next().unwrap_or("/"));
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
