//! Bad plugins, and what they cannot do to the rest.

use super::{File, MIB, beside, one, says, status};
use crate::harness::{Backend, Gateway, Guests, Reply, eventually, guests};
use serde_json::{Value, json};
use std::fs;

/// A gateway with the fixture `bad` in one mode; `more` goes into its declaration.
pub(super) fn bad(guests: &Guests, server: &str, config: Value, more: Value) -> Gateway {
    let mut declaration = json!({"path": guests.path("bad")});
    for (k, v) in more.as_object().unwrap() {
        declaration[k] = v.clone();
    }
    one(server, declaration, config)
}

/// Closed: 500, then 503 while it rests. Open: the backend answers. The other route serves all the time.
#[track_caller]
fn assert_fails(config: Value, limits: Value, says: &str) {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let gateway = bad(guests, &backend.url(), config.clone(), json!({"limits": limits}));
    beside(&gateway, || {
        let first = gateway.get("/m");
        assert_eq!((first.status, first.header("x-smuggled")), (500, None), "{first:?}");
        let statuses: Vec<u16> = (0..20).map(|_| gateway.get("/m").status).collect();
        assert!(statuses.iter().all(|s| [500, 503].contains(s)), "{statuses:?}");
        assert!(statuses.contains(&503), "it does not rest: {statuses:?}");
    });
    gateway.wait_log(says, |l| l.contains(r#""level":"error""#) && l.contains(says));
    let shown = status(&gateway, "p");
    assert!(shown["traps"].as_u64() >= Some(5) && shown["refused"].as_u64() >= Some(1), "{shown:#}");
    assert_eq!(shown["instances"].as_u64().filter(|n| *n > 64), None, "{shown:#}");
    assert_eq!(backend.requests().iter().filter(|r| r.path() == "/m").count(), 0, "a request went past the plugin");

    let gateway = bad(guests, &backend.url(), config, json!({"limits": limits, "failure": "open"}));
    beside(&gateway, || {
        for _ in 0..8 {
            let r = gateway.get("/m");
            assert_eq!((r.status, r.text(), r.header("x-smuggled")), (200, "b", None), "{r:?}");
        }
    });
}

#[test]
fn an_endless_loop() {
    assert_fails(json!({"mode": "loop"}), json!({}), "limits.deadline");
}

#[test]
fn an_endless_loop_counts_as_deadline_hit() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let gateway = bad(guests, &backend.url(), json!({"mode": "loop"}), json!({"limits": {"deadline": "20ms"}}));
    assert_eq!(gateway.get("/m").status, 500);
    assert_eq!(status(&gateway, "p")["deadlineHits"], 1);
}

#[test]
fn a_memory_bomb() {
    assert_fails(json!({"mode": "memory"}), json!({"memory": "16MiB", "deadline": "2s"}), "limits.memory is 16 MiB");
}

#[test]
fn a_memory_bomb_leaves_no_memory_behind() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let gateway = bad(guests, &backend.url(), json!({"mode": "memory"}), json!({"limits": {"deadline": "2s"}}));
    let before = gateway.rss();
    assert_eq!(gateway.get("/m").status, 500);
    (0..20).for_each(|_| _ = gateway.get("/m"));
    let after = gateway.settled_rss();
    eprintln!("RSS {:.1} MiB, after memory bombs {:.1} MiB", before as f64 / MIB as f64, after as f64 / MIB as f64);
    assert!(after < before + 48 * MIB, "{before} bytes grew to {after}");
}

#[test]
fn a_trap() {
    assert_fails(json!({"mode": "trap"}), json!({}), "the plugin trapped");
}

#[test]
fn a_panic() {
    assert_fails(json!({"mode": "panic"}), json!({}), "the plugin trapped");
}

#[test]
fn a_stack_overflow() {
    assert_fails(json!({"mode": "stack"}), json!({"deadline": "2s"}), "the plugin trapped");
}

#[test]
fn an_exit() {
    assert_fails(json!({"mode": "exit"}), json!({}), "the plugin");
}

#[test]
fn many_headers() {
    assert_fails(json!({"mode": "many-headers"}), json!({"deadline": "2s"}), "the plugin's answer is not usable");
}

#[test]
fn a_long_header() {
    assert_fails(json!({"mode": "long-header", "count": 200_000}), json!({}), "the plugin's answer is not usable");
}

#[test]
fn a_header_with_a_line_break() {
    assert_fails(json!({"mode": "broken-header"}), json!({}), "the plugin's answer is not usable");
}

#[test]
fn a_long_body() {
    assert_fails(json!({"mode": "long-body", "count": 2_000_000}), json!({}), "the plugin's answer is not usable");
}

#[test]
fn a_status_that_there_is_not() {
    assert_fails(json!({"mode": "bad-status"}), json!({}), "the plugin's answer is not usable");
}

#[test]
fn a_path_without_a_slash() {
    assert_fails(json!({"mode": "bad-path"}), json!({}), "the plugin's answer is not usable");
}

/// Only the response suffers; its request was served.
#[test]
fn a_failure_in_the_response() {
    let Some(guests) = guests() else { return };
    let backend = Backend::http(|_| Reply::ok("b").header("x-backend", "1"));
    for (mode, failure, wanted) in
        [("loop", "closed", 500), ("trap", "closed", 500), ("loop", "open", 200), ("trap", "open", 200), ("long-header", "closed", 500)]
    {
        let config = json!({"mode": mode, "inResponse": true, "count": 200_000});
        let gateway = bad(guests, &backend.url(), config, json!({"failure": failure}));
        beside(&gateway, || {
            let r = gateway.get("/m");
            assert_eq!((r.status, r.header("x-backend").is_some()), (wanted, wanted == 200), "{mode} {failure}: {r:?}");
        });
    }
}

/// It recovers by itself: the failures of some requests do not end the others.
#[test]
fn a_plugin_that_fails_now_and_then_serves_the_others() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let gateway = bad(guests, &backend.url(), json!({"mode": "trap", "onlyWith": "x-trap"}), json!({}));
    let mut c = gateway.connect();
    for _ in 0..20 {
        c.send("GET /m HTTP/1.1\r\nHost: a\r\nX-Trap: 1\r\n\r\n");
        assert_eq!(c.response().status, 500);
        assert_eq!(c.get("a", "/m").text(), "b");
    }
    for _ in 0..8 {
        _ = gateway.ask("GET /m HTTP/1.1\r\nHost: a\r\nX-Trap: 1\r\n\r\n");
    }
    eventually("it has rested", || (c.get("a", "/m").status == 200).then_some(()));
}

/// Its routers are disabled, and the log says why.
#[track_caller]
fn assert_unusable(config: Value, limits: Value, words: &str) {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let gateway = bad(guests, &backend.url(), config, json!({"limits": limits}));
    gateway.wait_log(words, |l| l.contains(words));
    beside(&gateway, || assert_eq!(gateway.get("/m").status, 404));
    let router = gateway.admin("/api/http/routers/m@file").json();
    assert_eq!(router["status"], "disabled", "{router:#}");
}

#[test]
fn a_panic_in_configure() {
    assert_unusable(json!({"mode": "panic-in-configure"}), json!({}), "trapped while it was configured");
}

#[test]
fn a_loop_in_configure() {
    assert_unusable(json!({"mode": "loop-in-configure"}), json!({"start": "200ms"}), "limits.start");
}

#[test]
fn a_refused_configuration() {
    assert_unusable(json!({"mode": "refuse"}), json!({}), "refused");
}

#[test]
fn a_configuration_against_the_schema() {
    assert_unusable(json!({"mode": "fine", "cuont": 1}), json!({}), "unknown option `cuont`");
}

/// A file that is no usable plugin: told of in log and API, its router disabled, the others serve.
#[track_caller]
fn assert_not_loaded(bytes: &[u8], words: &str) {
    let backend = Backend::named("b");
    let file = File::new(bytes);
    let gateway = one(&backend.url(), file.declared(), json!({}));
    gateway.wait_log(words, |l| l.contains(r#""level":"error""#) && l.contains(words));
    beside(&gateway, || assert_eq!(gateway.get("/m").status, 404));
    let shown = status(&gateway, "p");
    assert_eq!((&shown["status"], &shown["loads"]), (&json!("disabled"), &json!(0)), "{shown:#}");
    assert!(says(&shown, words) && shown["loadFailures"].as_u64() >= Some(1), "{shown:#}");
}

#[test]
fn a_file_that_is_not_webassembly() {
    assert_not_loaded(b"#!/bin/sh\n", "is not WebAssembly");
}

#[test]
fn a_core_module() {
    assert_not_loaded(b"\0asm\x01\0\0\0", "is a WebAssembly module, not a component");
}

#[test]
fn a_truncated_component() {
    let Some(guests) = guests() else { return };
    let bytes = guests.bytes("reload");
    assert_not_loaded(&bytes[..bytes.len() / 2], "cut off");
}

#[test]
fn a_component_of_another_world() {
    let Some(guests) = guests() else { return };
    assert_not_loaded(&guests.bytes("wrong-world"), "is not a plugin: it exports wasi:cli/run");
}

#[test]
fn a_component_that_imports_what_there_is_not() {
    let Some(guests) = guests() else { return };
    assert_not_loaded(&guests.bytes("missing-import"), "imports what this gateway does not have: test:missing/nowhere");
}

#[test]
fn a_component_of_another_version() {
    let Some(guests) = guests() else { return };
    assert_not_loaded(&guests.bytes("other-version"), "was built for torana:plugin@");
}

#[test]
fn a_missing_file_that_comes_later() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(b"");
    fs::remove_file(file.path()).unwrap();
    let gateway = one(&backend.url(), file.declared(), json!({}));
    assert_eq!((gateway.get("/m").status, gateway.get("/other").status), (404, 200));
    assert!(says(&status(&gateway, "p"), "cannot read"));
    file.replace(&guests.bytes("reload"));
    eventually("it serves", || (gateway.get("/m").body == b"version 1").then_some(()));
}

/// The two ways to the log: the interface, and standard output.
#[track_caller]
fn assert_lines_bounded(mode: &str) {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let gateway = bad(guests, &backend.url(), json!({"mode": mode}), json!({"limits": {"deadline": "2s"}}));
    beside(&gateway, || assert_eq!(gateway.get("/m").status, 200));
    gateway.wait_log("how many lines were dropped", |l| l.contains("more lines of one call were dropped"));
    let lines = || gateway.log().lines().filter(|l| l.contains(r#""message":"line "#)).count();
    let first = lines();
    assert!((1..1000).contains(&first), "{first} lines");
    // The bound is that of one call: the same instance may write in the next one, too.
    let mut c = gateway.connect();
    for _ in 0..4 {
        assert_eq!(c.get("a", "/m").status, 200);
    }
    eventually("the next calls are heard", || (lines() >= 3 * first).then_some(()));
}

#[test]
fn thousands_of_log_lines_are_bounded() {
    assert_lines_bounded("log");
}

#[test]
fn thousands_of_lines_to_standard_output_are_bounded() {
    assert_lines_bounded("stdout");
}

#[test]
fn a_long_log_line_is_cut() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let gateway = bad(guests, &backend.url(), json!({"mode": "long-log", "count": 1_000_000}), json!({"limits": {"deadline": "2s"}}));
    beside(&gateway, || assert_eq!(gateway.get("/m").status, 200));
    let longest = gateway.log().lines().map(str::len).max();
    assert!(longest < Some(100_000), "{longest:?}");
}
