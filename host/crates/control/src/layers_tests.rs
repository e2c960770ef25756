//! What a compile makes of routers behind routers.

use crate::{Compiled, Compiler, Internals, Parts, State};
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_config::install::InstallConfig;
use torana_config::parse::{Format, parse};
use torana_config::routing::{RoutingConfig, decode};

fn compile(routers: &str) -> Compiled {
    compiler().compile(&document("file", routers))
}

fn document(provider: &'static str, routers: &str) -> BTreeMap<&'static str, Arc<RoutingConfig>> {
    let text = format!("http:\n  services: {{s: {{loadBalancer: {{servers: [{{url: 'http://127.0.0.1:1'}}]}}}}}}\n  routers:\n{routers}");
    BTreeMap::from([(provider, Arc::new(decode(&parse(&text, Format::Yaml, "t.yml".into()).unwrap()).value))])
}

fn compiler() -> Compiler {
    let install = serde_json::json!({"entryPoints": {
        "web": {"address": ":1"},
        "sec": {"address": ":2", "observability": {"tracing": false}},
    }});
    let install: InstallConfig = serde_json::from_value(install).unwrap();
    let parts = Parts {
        install: Arc::new(install),
        kinds: |_| None,
        tcp_kinds: |_| None,
        internals: Internals::new(),
        plugins: Arc::new(torana_extend::NoPlugins),
        metrics: None,
        access_log: None,
        tracer: None,
        resolvers: crate::Resolvers::default(),
        stapler: None,
        spiffe: None,
    };
    Compiler::new(parts).unwrap()
}

fn states(compiled: &Compiled) -> Vec<(&str, State, String)> {
    compiled.status.routers.values().map(|r| (&*r.name, r.state, r.errors.join("; "))).collect()
}

#[test]
fn copies_are_linked_and_ways_have_names() {
    let compiled = compile(
        "    r: {rule: 'PathPrefix(`/`)'}
    c: {rule: 'PathPrefix(`/c`)', parentRefs: [r]}
    d: {rule: 'PathPrefix(`/d`)', parentRefs: [c, sec-r@file], service: s}
",
    );
    assert!(states(&compiled).iter().all(|(_, state, _)| *state == State::Enabled), "{:?}", states(&compiled));
    let parents = |name: &str| compiled.status.routers[name].parents.iter().map(|p| p.to_string()).collect::<Vec<_>>();
    assert_eq!(parents("c@file"), ["r@file", "sec-r@file"]);
    assert_eq!(parents("d@file"), ["c@file", "sec-r@file"]);
    let using = &compiled.status.routers["d@file"].using;
    assert!(using.len() == 2, "{using:?}");
    for (entry_point, router) in [("web", "r@file"), ("sec", "sec-r@file")] {
        let routes = compiled.snapshot.routes[entry_point].routes();
        assert_eq!(routes.iter().map(|r| &*r.target.name).collect::<Vec<_>>(), [router]);
        assert!(routes[0].target.layered);
    }
}

#[test]
fn what_stands_wrong_is_told() {
    let compiled = compile(
        "    r: {rule: 'PathPrefix(`/`)'}
    a: {rule: 'PathPrefix(`/a`)', parentRefs: [r, b]}
    b: {rule: 'PathPrefix(`/b`)', parentRefs: [a]}
    ok: {rule: 'PathPrefix(`/b`)', parentRefs: [a], service: s}
    lost: {rule: 'PathPrefix(`/`)', parentRefs: [nobody], service: s}
    t: {rule: 'PathPrefix(`/`)', parentRefs: [r], service: s, tls: {}}
    both: {rule: 'PathPrefix(`/x`)', service: s}
    behind: {rule: 'PathPrefix(`/`)', parentRefs: [both], service: s}
",
    );
    let told: BTreeMap<&str, String> = states(&compiled).into_iter().map(|(n, _, e)| (n, e)).collect();
    assert_eq!(
        told["b@file"],
        "cyclic reference detected in router tree: a@file -> b@file -> a@file; router has no service and no child routers"
    );
    assert_eq!(told["lost@file"], "parent router \"nobody@file\" does not exist; router is not reachable");
    assert_eq!(told["t@file"], "non-root router cannot have TLS configuration");
    assert_eq!(told["both@file"], "router has both a service and is referenced as a parent by other routers");
    assert!(["r@file", "a@file", "ok@file", "behind@file"].iter().all(|n| told[n].is_empty()), "{told:?}");
}

/// Neither many layers nor many ways take more room or time than there is.
#[test]
fn mazes_are_cut() {
    let mut tower = String::from("    t0: {rule: 'PathPrefix(`/`)'}\n");
    for i in 1..5000 {
        tower += &format!("    t{i}: {{rule: 'PathPrefix(`/`)', parentRefs: [t{}]}}\n", i - 1);
    }
    let told = |compiled: &Compiled| states(compiled).iter().filter(|(.., e)| e.contains("more than 32 routers")).count();
    assert_eq!(told(&compile(&tower)), 5000 - 33);
    let mut maze = String::from("    m0a: {rule: 'PathPrefix(`/`)'}\n    m0b: {rule: 'PathPrefix(`/`)'}\n");
    for i in 1..31 {
        for side in ["a", "b"] {
            let service = if i == 30 { ", service: s" } else { "" };
            maze += &format!("    m{i}{side}: {{rule: 'PathPrefix(`/`)', parentRefs: [m{0}a, m{0}b]{service}}}\n", i - 1);
        }
    }
    // Two ways more with each layer: 2^10 are allowed, one copy of the root for each entry point.
    assert!(told(&compile(&maze)) >= 40);
}

#[test]
fn a_router_that_others_come_to_stand_behind_is_made_anew() {
    let mut compiler = compiler();
    let alone = "    r: {rule: 'PathPrefix(`/`)', service: s}\n";
    let layered = |c: &Compiled| c.snapshot.routes["web"].routes()[0].target.layered;
    assert!(!layered(&compiler.compile(&document("file", alone))));
    let followed = format!("{alone}    c: {{rule: 'PathPrefix(`/`)', service: s, parentRefs: [r]}}\n");
    assert!(layered(&compiler.compile(&document("file", &followed))));
    assert!(!layered(&compiler.compile(&document("file", alone))));
}

#[test]
fn the_gateway_s_own_routers_are_no_parents() {
    let mut inputs = document("internal", "    api: {rule: 'PathPrefix(`/api`)', service: s}\n");
    inputs.extend(document("file", "    c: {rule: 'PathPrefix(`/`)', service: s, parentRefs: [api@internal]}\n"));
    let compiled = compiler().compile(&inputs);
    assert!(compiled.status.routers["c@file"].errors[0].contains("does not exist"));
    let api = compiled.status.routers["api@internal"].errors.join("; ");
    assert!(!api.contains("referenced as a parent"), "{api}");
}

#[test]
fn routers_are_counted_under_what_they_lead_to() {
    let mut inputs = document("internal", "    api: {rule: 'PathPrefix(`/api`)', service: s}\n");
    let own = "    r: {rule: 'PathPrefix(`/`)'}
    c: {rule: 'PathPrefix(`/c`)', parentRefs: [r], service: s}
    plain: {rule: 'PathPrefix(`/p`)', service: s}
    thief: {rule: 'PathPrefix(`/`)', parentRefs: [api@internal], service: s}
";
    inputs.extend(document("file", own));
    let compiled = compiler().compile(&inputs);
    let has = crate::apply::counted(&compiled.status);
    for (router, service) in [
        ("r@file", "r@file-muxer"),
        ("sec-r@file", "sec-r@file-muxer"),
        ("c@file", "s@file"),
        ("plain@file", "s@file"),
        ("api@internal", "s@internal"),
    ] {
        assert!(has(router, service), "{router} {service}");
    }
    for (router, service) in [
        ("r@file", "s@file"),
        ("c@file", "c@file-muxer"),
        ("plain@file", "before@file"),
        ("plain@file", "plain@file-muxer"),
        ("api@internal", "api@internal-muxer"),
        ("gone@file", "s@file"),
    ] {
        assert!(!has(router, service), "{router} {service}");
    }
}
