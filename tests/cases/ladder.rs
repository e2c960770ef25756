//! The crates of the host stand on a ladder (ARCHITECTURE): an arrow only goes down.

use crate::harness::root;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// Rungs by the crate's name without `torana-`.
const RUNGS: &[(u8, &[&str])] = &[
    (0, &["base", "trace"]),
    (1, &["config", "http", "telemetry"]),
    (2, &["extend", "discovery", "trust", "router", "registry"]),
    (3, &["upstream", "tls", "middleware", "provider", "docker", "kubernetes", "spiffe", "wasm", "devkit", "otlp", "report"]),
    (4, &["dataplane"]),
    (5, &["control"]),
    (6, &["api"]),
    (7, &["torana"]),
];

/// Extensions: only the binary knows that they exist.
const EXTENSIONS: &[&str] = &["middleware", "provider", "docker", "kubernetes", "spiffe", "wasm", "devkit", "otlp", "report"];

/// Arrows that go another way than the ladder allows, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("upstream", "config", "a transport is built from `ServersTransportConfig`; the rung allows it, `no_config` does not")];

/// Crates on rung 3 and 4 that are not to know how configuration is written.
const NO_CONFIG: &[&str] = &["dataplane", "router", "http", "upstream"];

/// Crate to what it depends on, normally or when it is built; and the same for its tests alone.
fn graph() -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let out = Command::new(cargo).args(["metadata", "--format-version=1", "--no-deps", "--offline"]).current_dir(root()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let meta: Value = serde_json::from_slice(&out.stdout).unwrap();
    let short = |name: &Value| name.as_str().unwrap().trim_start_matches("torana-").to_owned();
    let mut graph = BTreeMap::new();
    for p in meta["packages"].as_array().unwrap() {
        let own = p["dependencies"].as_array().unwrap().iter().filter(|d| d["path"].is_string());
        let (tests, normal): (Vec<_>, Vec<_>) = own.partition(|d| d["kind"] == "dev");
        graph.insert(
            short(&p["name"]),
            (normal.iter().map(|d| short(&d["name"])).collect(), tests.iter().map(|d| short(&d["name"])).collect()),
        );
    }
    graph
}

fn rung(name: &str) -> Option<u8> {
    RUNGS.iter().find(|(_, names)| names.contains(&name)).map(|(r, _)| *r)
}

fn excepted(from: &str, to: &str) -> bool {
    EXCEPTIONS.iter().any(|(a, b, _)| (*a, *b) == (from, to))
}

#[test]
fn arrows_go_down() {
    let mut wrong = Vec::new();
    for (name, (normal, tests)) in graph() {
        if name == "tests" {
            continue;
        }
        let Some(own) = rung(&name) else {
            wrong.push(format!("`{name}` stands on no rung: give it one in tests/cases/ladder.rs and in ARCHITECTURE"));
            continue;
        };
        // What tests use never reaches the binary, but must not bend the ladder either.
        for other in normal.iter().chain(&tests) {
            if rung(other).is_none_or(|r| r >= own) && !excepted(&name, other) {
                wrong.push(format!("{name} (rung {own}) -> {other} ({:?})", rung(other)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_binary_knows_extensions() {
    let mut wrong = Vec::new();
    for (name, (normal, _)) in graph() {
        let extensions = normal.iter().filter(|d| EXTENSIONS.contains(&d.as_str()) && name != "torana" && !excepted(&name, d));
        wrong.extend(extensions.map(|d| format!("{name} -> {d}")));
        if NO_CONFIG.contains(&name.as_str()) && normal.iter().any(|d| d == "config") && !excepted(&name, "config") {
            wrong.push(format!("{name} -> config: it works with compiled things only"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn tests_link_no_host_crate() {
    assert_eq!(graph()["tests"], (vec![], vec![]));
}

/// An exception that nobody needs any more goes.
#[test]
fn exceptions_are_needed() {
    let graph = graph();
    for (from, to, _) in EXCEPTIONS {
        assert!(graph.get(*from).is_some_and(|(n, t)| n.iter().chain(t).any(|d| d == to)), "{from} -> {to} is history");
    }
}
