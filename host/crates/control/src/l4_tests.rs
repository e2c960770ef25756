//! What a compile of `tcp` and `udp` makes, and what it takes over from the one before.

use crate::{Compiled, Compiler, Internals, Parts, State};
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_config::install::InstallConfig;
use torana_config::parse::{Format, parse};
use torana_config::routing::decode;
use torana_dataplane::{TcpRouter, TcpTls};
use torana_router::TcpFacts;
use torana_upstream::l4::TcpService;

fn compiler() -> Compiler {
    let install: InstallConfig = serde_json::from_value(serde_json::json!({
        "entryPoints": {"tcp": {"address": ":1"}, "more": {"address": ":2"}, "dns": {"address": ":3/udp"}, "ntp": {"address": ":4/udp"}},
    }))
    .unwrap();
    let parts = Parts {
        install: Arc::new(install),
        kinds: |_| None,
        tcp_kinds: |_| None,
        internals: Internals::new(),
        plugins: Arc::new(torana_extend::NoPlugins),
        tracer: None,
        metrics: None,
        access_log: None,
        resolvers: crate::Resolvers::default(),
        stapler: None,
        spiffe: None,
    };
    Compiler::new(parts).unwrap()
}

fn compile(compiler: &mut Compiler, text: &str) -> Compiled {
    let config = decode(&parse(text, Format::Yaml, "t.yml".into()).unwrap());
    assert!(config.diagnostics.is_empty(), "{:?}", config.diagnostics);
    compiler.compile(&BTreeMap::from([("file", Arc::new(config.value))]))
}

fn told(compiled: &Compiled) -> Vec<String> {
    compiled.status.diagnostics.iter().map(|d| format!("{}: {}", d.key, d.message)).collect()
}

const TCP: &str = "
tcp:
  routers:
    a: {rule: 'HostSNI(`a.test`)', service: a, tls: {passthrough: true}, entryPoints: [tcp]}
    b: {rule: 'HostSNI(`b.test`)', service: b, tls: {options: o}, entryPoints: [tcp, more]}
    w: {rule: 'HostSNI(`*`)', service: w}
  services:
    a: {loadBalancer: {servers: [{address: 'a:1'}], healthCheck: {}}}
    b: {loadBalancer: {serversTransport: t, servers: [{address: 'b:1'}]}}
    w: {weighted: {services: [{name: a}, {name: b, weight: 2}]}}
  serversTransports:
    t: {terminationDelay: 1s}
tls:
  options:
    o: {minVersion: VersionTLS12}
";

/// Routers of the entry point `tcp`: that of a, of b, and the catch-all.
fn routers(compiled: &Compiled) -> [Arc<TcpRouter>; 3] {
    let routes = &compiled.snapshot.tcp["tcp"];
    let tls = |sni| routes.tls.find(&TcpFacts { sni, alpn: &[], peer: [127, 0, 0, 1].into() }).unwrap().target.clone();
    [tls("a.test"), tls("b.test"), routes.plain([127, 0, 0, 1].into()).unwrap().clone()]
}

#[test]
fn what_does_not_change_is_taken_over() {
    let mut c = compiler();
    let first = compile(&mut c, TCP);
    assert_eq!(told(&first), [""; 0]);
    let before = routers(&first);
    assert_eq!(before[0].tls, TcpTls::Passthrough);
    assert_eq!(before[1].tls, TcpTls::Terminate { options: "o@file".into() });
    assert!(first.snapshot.tcp["more"].plain([1, 1, 1, 1].into()).is_some());
    // Moved and re-read, but the same.
    let same = routers(&compile(&mut c, &format!("# a comment\n{TCP}")));
    assert!(before.iter().zip(&same).all(|(a, b)| Arc::ptr_eq(a, b)));
    // Another server of `b`: its router and the one of the weighted service, not that of `a`.
    let after = routers(&compile(&mut c, &TCP.replace("b:1", "b:2")));
    assert!(Arc::ptr_eq(&before[0], &after[0]) && !Arc::ptr_eq(&before[1], &after[1]) && !Arc::ptr_eq(&before[2], &after[2]));
    // Another transport reaches what uses it.
    let other = routers(&compile(&mut c, &TCP.replace("b:1", "b:2").replace("1s", "2s")));
    assert!(Arc::ptr_eq(&after[0], &other[0]) && !Arc::ptr_eq(&after[1], &other[1]));
}

/// Its connections are closed, not given to the next router.
#[test]
fn a_router_whose_tls_options_are_missing_keeps_its_place() {
    let compiled = compile(&mut compiler(), &TCP.replace("    o: {", "    other: {"));
    assert_eq!(told(&compiled), ["tcp.routers.b.tls.options: unknown TLS options: o@file"]);
    assert_eq!(compiled.status.tcp.routers["b@file"].object.state, State::Disabled);
    assert_eq!(routers(&compiled)[1].tls, TcpTls::Terminate { options: "o@file".into() });
    assert!(!compiled.snapshot.handshakes.contains_key("o@file"));
}

#[test]
fn health_outlives_a_change_of_the_service() {
    let mut c = compiler();
    let first = routers(&compile(&mut c, TCP));
    let down = |r: &TcpRouter| match &r.service {
        TcpService::LoadBalancer(lb) => {
            lb.servers.iter().enumerate().filter(|(i, _)| !lb.rotor.is_up(*i)).map(|(_, s)| s.name.clone()).collect()
        }
        TcpService::Weighted(_) => Vec::new(),
    };
    let TcpService::LoadBalancer(lb) = &first[0].service else { panic!() };
    assert!(lb.rotor.set_up(0, false));
    let more = TCP.replace("[{address: 'a:1'}]", "[{address: 'a:2'}, {address: 'a:1'}]");
    assert_eq!(down(&routers(&compile(&mut c, &more))[0]), ["a:1"]);
}

#[test]
fn mistakes_disable_one_object_and_name_its_place() {
    let mut c = compiler();
    for (from, to, key, message) in [
        ("service: a,", "service: x,", "tcp.routers.a.service", "does not exist in tcp.services"),
        ("service: a,", "", "tcp.routers.a.service", "the service is missing"),
        (", tls: {passthrough: true}", "", "tcp.routers.a.rule", "no TLS on the router"),
        ("'HostSNI(`a.test`)'", "''", "tcp.routers.a.rule", "router has no rule"),
        ("'HostSNI(`a.test`)'", "'Host(`a.test`)'", "tcp.routers.a.rule", "unknown matcher `Host`"),
        ("entryPoints: [tcp]}", "entryPoints: [dns]}", "tcp.routers.a.entryPoints", "no valid entryPoint"),
        ("entryPoints: [tcp]}", "middlewares: [m]}", "tcp.routers.a.middlewares[0]", "does not exist in tcp.middlewares"),
        ("entryPoints: [tcp]}", "priority: 9223372036854775807}", "tcp.routers.a.priority", "exceeds"),
        ("serversTransport: t", "serversTransport: x", "tcp.services.b.loadBalancer.serversTransport", "no transport configuration"),
        ("terminationDelay: 1s", "proxyProtocol: {version: 7}", "tcp.serversTransports.t", "unknown proxyProtocol version: 7"),
        ("{name: b, weight: 2}", "{name: w}", "tcp.services.w.weighted.services[1].name", "in a circle"),
        ("weighted: {", "weighted: {healthCheck: {}, ", "tcp.services.w.weighted.services[1].name", "no healthCheck of its own"),
    ] {
        let compiled = compile(&mut c, &TCP.replacen(from, to, 1));
        let all = told(&compiled);
        assert!(all.iter().any(|t| t.starts_with(&format!("{key}: ")) && t.contains(message)), "{to}: {all:?}");
        let status = |name: &str| compiled.status.tcp.routers[name].object.state;
        let harmed = ["a@file", "b@file", "w@file"].map(|n| status(n) == State::Disabled);
        assert!(harmed.contains(&false) && harmed.contains(&true), "{to}: {harmed:?}");
    }
}

#[test]
fn old_options_and_odd_servers_are_told_and_served() {
    let mut c = compiler();
    let text = "
tcp:
  routers: {r: {rule: 'HostSNI(`*`)', service: s, entryPoints: [tcp, nowhere]}}
  services:
    s: {loadBalancer: {terminationDelay: 100, servers: [{address: 'a'}, {address: 'b:1'}], healthCheck: {interval: 0s}}}
";
    let compiled = compile(&mut c, text);
    let all = told(&compiled).join("\n");
    for what in ["counts nanoseconds", "`a` has no port", "`interval` is not above 0", "entryPoint `nowhere` does not exist"] {
        assert!(all.contains(what), "{what}: {all}");
    }
    assert!(compiled.status.diagnostics.iter().all(|d| !d.is_error()));
    assert_eq!(compiled.status.tcp.routers["r@file"].object.state, State::Warning);
    let routes = &compiled.snapshot.tcp["tcp"];
    assert_eq!(routes.at_once([9, 9, 9, 9].into(), false).unwrap().service.pick().unwrap().name, "b:1");
    assert!(routes.at_once([9, 9, 9, 9].into(), true).is_none());
}

#[test]
fn udp_routers() {
    let mut c = compiler();
    let text = "
udp:
  routers:
    a: {service: s}
    b: {service: s, entryPoints: [dns]}
    z: {service: none, entryPoints: [dns]}
  services:
    s: {loadBalancer: {servers: [{address: '127.0.0.1:1'}, {address: x}]}}
";
    let first = compile(&mut c, text);
    let name = |c: &Compiled, e: &str| c.snapshot.udp[e].name.to_string();
    assert_eq!((name(&first, "dns"), name(&first, "ntp")), ("b@file".into(), "a@file".into()));
    let all = told(&first).join("\n");
    for what in [
        "udp.routers.a: entry point `dns` has more than one",
        "serves all UDP ones: dns, ntp",
        "`none@file` does not exist",
        "`x` has no port",
    ] {
        assert!(all.contains(what), "{what}: {all}");
    }
    let second = compile(&mut c, &format!("{text}    t: {{loadBalancer: {{}}}}\n"));
    assert!(Arc::ptr_eq(&first.snapshot.udp["dns"], &second.snapshot.udp["dns"]));
    let third = compile(&mut c, &text.replace("127.0.0.1:1", "127.0.0.1:2"));
    assert!(!Arc::ptr_eq(&second.snapshot.udp["dns"], &third.snapshot.udp["dns"]));
    assert!(compile(&mut c, "udp: {}").snapshot.udp.is_empty());
}

#[test]
fn the_old_syntax_is_told_of_each_time() {
    let mut c = compiler();
    let text = "
tcp:
  routers:
    old: {rule: 'HostSNI(`a.test`, `b.test`)', ruleSyntax: v2, service: s, tls: {}, entryPoints: [tcp]}
    new: {rule: 'HostSNI(`c.test`)', ruleSyntax: default, service: s, tls: {}, entryPoints: [tcp]}
  services: {s: {loadBalancer: {servers: [{address: 'a:1'}]}}}
";
    for _ in 0..2 {
        assert_eq!(told(&compile(&mut c, text)), ["tcp.routers.old.ruleSyntax: `ruleSyntax` is deprecated"]);
    }
}
