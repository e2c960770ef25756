//! Plugins in a running gateway: what they do, how they are replaced, and what bad ones cannot do.

use crate::harness::{
    Backend, Gateway, Guests, PATIENCE, Reply, Setup, binary, eventually, first_party, guests, lock, retouched, run, within,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1024 * 1024;

/// A changed plugin is live in that time. The debug build of the gateway compiles guests more slowly.
fn soon() -> Duration {
    let debug = binary().parent().is_some_and(|p| p.ends_with("debug"));
    Duration::from_secs(if debug { 3 } else { 1 })
}

/// A document with a router `/<m>` for each middleware `m`, and `/other` without any; all to `server`.
fn document(server: &str, plugins: Value, middlewares: &[(&str, Value)]) -> Value {
    let mut routers = json!({"other": {"rule": "Path(`/other`)", "service": "s"}});
    let mut uses = json!({});
    for (name, plugin) in middlewares {
        routers[name] = json!({"rule": format!("PathPrefix(`/{name}`)"), "service": "s", "middlewares": [name]});
        uses[name] = json!({"plugin": plugin});
    }
    json!({
        "plugins": plugins,
        "http": {
            "routers": routers,
            "middlewares": uses,
            "services": {"s": {"loadBalancer": {"servers": [{"url": server}]}}},
        },
    })
}

fn start(document: &Value) -> Gateway {
    loaded(Setup::new().file("routing.yml", document.to_string()))
}

/// Starts, and waits for the plugins: a gateway serves before slow ones are loaded.
fn loaded(setup: Setup) -> Gateway {
    let gateway = setup.start();
    let loading = || gateway.admin("/api/plugins").json().as_array().is_some_and(|all| all.iter().any(|p| p["status"] == "loading"));
    eventually("the plugins are loaded", || (!loading()).then_some(()));
    if gateway.log().contains("still being loaded") {
        gateway.settle();
    }
    gateway
}

/// One plugin `p` and one middleware `m` with it.
fn one(server: &str, declaration: Value, config: Value) -> Gateway {
    start(&document(server, json!({"p": declaration}), &[("m", json!({"p": config}))]))
}

/// What the API says of a plugin.
fn status(gateway: &Gateway, plugin: &str) -> Value {
    let r = gateway.admin(&format!("/api/plugins/{plugin}@file"));
    assert_eq!(r.status, 200, "{r:?}");
    r.json()
}

fn says(shown: &Value, words: &str) -> bool {
    shown["error"].as_array().is_some_and(|all| all.iter().any(|e| e.as_str().is_some_and(|e| e.contains(words))))
}

fn post(gateway: &Gateway, target: &str, body: &str) -> crate::harness::Response {
    gateway.ask(format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// A component that is replaced.
struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn new(bytes: &[u8]) -> File {
        let file = File { folder: tempfile::tempdir().unwrap() };
        fs::write(file.path(), bytes).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("plugin.wasm")
    }

    fn declared(&self) -> Value {
        json!({"path": self.path()})
    }

    /// In one step.
    fn replace(&self, bytes: &[u8]) {
        let new = self.folder.path().join("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.path()).unwrap();
    }
}

/// Does something while others use `/other`: each of their requests is answered with 200.
fn beside<T>(gateway: &Gateway, work: impl FnOnce() -> T) -> T {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let stop = AtomicBool::new(false);
    let address = gateway.web();
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let (mut count, mut slowest) = (0, Duration::ZERO);
            while count == 0 || !stop.load(Ordering::SeqCst) {
                let begin = Instant::now();
                // A connection for each: they come to all workers.
                let r = crate::harness::Conn::open(address).get("a", "/other");
                assert_eq!(r.status, 200, "the other route");
                slowest = slowest.max(begin.elapsed());
                count += 1;
                std::thread::park_timeout(Duration::from_millis(1));
            }
            (count, slowest)
        });
        let done = {
            let _stop = Stop(&stop);
            work()
        };
        let (count, slowest) = others.join().unwrap();
        eprintln!("the other route: {count} requests, the slowest {slowest:?}");
        done
    })
}

// --- replaced while the gateway serves ---

#[test]
fn two_hundred_replacements_fail_no_request() {
    const SWAPS: usize = 200;
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let versions = [guests.bytes("reload"), guests.second("reload")];
    let file = File::new(&versions[0]);
    let gateway = one(&backend.url(), file.declared(), json!({}));
    eventually("the plugin serves", || (gateway.get("/m").text() == "version 1").then_some(()));

    let (stop, requests) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (seen, failed) = (Mutex::new(BTreeMap::<String, usize>::new()), Mutex::new(Vec::<String>::new()));
    let begin = Instant::now();
    let (mut warm, mut slowest) = (0, Duration::ZERO);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut c = gateway.connect();
                let mut mine = BTreeMap::<String, usize>::new();
                while !stop.load(Ordering::SeqCst) {
                    requests.fetch_add(1, Ordering::SeqCst);
                    let sent = c.try_send(b"GET /m HTTP/1.1\r\nHost: a\r\n\r\n").and_then(|()| c.try_response(false));
                    match sent {
                        Ok(Some(r)) if r.status == 200 => *mine.entry(r.text().to_owned()).or_default() += 1,
                        other => {
                            lock(&failed).push(format!("{other:?}"));
                            c = gateway.connect();
                        }
                    }
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                for (version, n) in mine {
                    *lock(&seen).entry(version).or_default() += n;
                }
            });
        }
        // Nothing in here panics: the threads would go on for ever.
        let mut c = gateway.connect();
        for swap in 1..=SWAPS {
            let (bytes, wanted) = (&versions[swap % 2], format!("version {}", swap % 2 + 1));
            file.replace(bytes);
            let written = Instant::now();
            loop {
                if written.elapsed() > PATIENCE {
                    lock(&failed).push(format!("replacement {swap} is not live after {PATIENCE:?}"));
                    break;
                }
                _ = c.try_send(b"GET /m HTTP/1.1\r\nHost: a\r\n\r\n");
                match c.try_response(false) {
                    Ok(Some(r)) if r.body == wanted.as_bytes() => break,
                    Ok(Some(r)) if r.status == 200 => std::thread::park_timeout(Duration::from_millis(2)),
                    other => {
                        lock(&failed).push(format!("{other:?}"));
                        break;
                    }
                }
            }
            slowest = slowest.max(written.elapsed());
            if swap == 20 {
                warm = gateway.rss();
            }
            if !lock(&failed).is_empty() {
                break;
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    let took = begin.elapsed();
    let after = gateway.settled_rss();
    let (requests, seen) = (requests.load(Ordering::SeqCst), lock(&seen).clone());
    eprintln!(
        "{SWAPS} replacements in {took:?} (the slowest live after {slowest:?}), {requests} requests, {seen:?}; RSS {:.1} MiB after 20, {:.1} MiB after {SWAPS}",
        warm as f64 / MIB as f64,
        after as f64 / MIB as f64,
    );
    assert!(lock(&failed).is_empty(), "{:?}", lock(&failed));
    assert_eq!(seen.keys().map(String::as_str).collect::<Vec<_>>(), ["version 1", "version 2"]);
    let shown = status(&gateway, "p");
    assert_eq!((&shown["loads"], &shown["loadFailures"]), (&json!(SWAPS + 1), &json!(0)), "{shown:#}");
    assert_eq!((&shown["status"], &shown["traps"], &shown["refused"]), (&json!("enabled"), &json!(0), &json!(0)), "{shown:#}");
    assert!(after < warm + 32 * MIB, "{warm} bytes grew to {after}");
}

/// Version 2 is live after `change`; prints how soon.
#[track_caller]
fn assert_live_soon(gateway: &Gateway, how: &str, version: u8, change: impl FnOnce()) {
    let mut c = gateway.connect();
    let begin = Instant::now();
    change();
    let wanted = format!("version {version}");
    within(soon(), &format!("{how} is live"), || {
        let r = c.get("a", "/m");
        assert_eq!(r.status, 200, "{r:?}");
        (r.text() == wanted).then_some(())
    });
    let took = begin.elapsed();
    eprintln!("{how}: live after {took:?}");
    assert!(took < soon(), "{how}: live after {took:?}");
}

#[test]
fn a_rewritten_plugin_is_live_within_a_second() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(&guests.bytes("reload"));
    let second = guests.second("reload");
    let gateway = one(&backend.url(), file.declared(), json!({}));
    assert_eq!(gateway.get("/m").text(), "version 1");
    assert_live_soon(&gateway, "a rewrite", 2, || fs::write(file.path(), &second).unwrap());
}

#[test]
fn a_renamed_plugin_is_live_within_a_second() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(&guests.bytes("reload"));
    let second = guests.second("reload");
    let gateway = one(&backend.url(), file.declared(), json!({}));
    assert_eq!(gateway.get("/m").text(), "version 1");
    assert_live_soon(&gateway, "a rename", 2, || file.replace(&second));
}

#[test]
fn a_switched_link_is_live_within_a_second() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("1")).unwrap();
    fs::create_dir(at("2")).unwrap();
    fs::write(at("1/p.wasm"), guests.bytes("reload")).unwrap();
    fs::write(at("2/p.wasm"), guests.second("reload")).unwrap();
    symlink("1", at("current")).unwrap();
    let gateway = one(&backend.url(), json!({"path": at("current/p.wasm")}), json!({}));
    assert_eq!(gateway.get("/m").text(), "version 1");
    for (how, version) in [("a switched link", 2), ("a link switched back", 1)] {
        assert_live_soon(&gateway, how, version, || {
            symlink(version.to_string(), at("new")).unwrap();
            fs::rename(at("new"), at("current")).unwrap();
        });
    }
}

#[test]
fn the_same_bytes_do_nothing() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let bytes = guests.bytes("reload");
    let file = File::new(&bytes);
    let gateway = one(&backend.url(), file.declared(), json!({}));
    assert_eq!(gateway.get("/m").text(), "version 1");
    let before = status(&gateway, "p");
    file.replace(&bytes);
    // The look at another plugin, declared now, comes after that at this one: when it was replaced, this one was seen.
    let witness = File::new(&bytes);
    gateway.reload("w.yml", &json!({"plugins": {"w": witness.declared()}}).to_string());
    eventually("the witness is declared", || (gateway.admin("/api/plugins/w@file").status == 200).then_some(()));
    eventually("the witness is loaded", || (status(&gateway, "w")["loads"] == 1).then_some(()));
    witness.replace(&guests.second("reload"));
    eventually("the witness is replaced", || (status(&gateway, "w")["loads"] == 2).then_some(()));
    let after = status(&gateway, "p");
    for key in ["loads", "loadFailures", "digest", "status"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!(after["loads"], 1);
}

#[test]
fn a_broken_new_file_keeps_the_old_one() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(&guests.bytes("reload"));
    let gateway = one(&backend.url(), file.declared(), json!({}));
    let digest = status(&gateway, "p")["digest"].clone();
    let second = guests.second("reload");
    let broken: [(&str, &[u8]); 3] = [("is not WebAssembly", b"oh no"), ("cut off", &second[..second.len() / 2]), ("is empty", b"")];
    for (n, (words, bytes)) in broken.into_iter().enumerate() {
        beside(&gateway, || {
            file.replace(bytes);
            let shown = eventually("the API tells of it", || {
                assert_eq!(gateway.get("/m").text(), "version 1");
                let shown = status(&gateway, "p");
                (shown["loadFailures"] == n + 1).then_some(shown)
            });
            assert_eq!((&shown["status"], &shown["digest"]), (&json!("warning"), &digest), "{shown:#}");
            assert!(says(&shown, words), "{shown:#}");
        });
        gateway.wait_log("what is wrong", |l| l.contains(r#""level":"error""#) && l.contains(words) && l.contains("version before stays"));
        assert_eq!(gateway.get("/m").text(), "version 1");
    }
    assert_live_soon(&gateway, "a repaired file", 2, || file.replace(&second));
    let shown = status(&gateway, "p");
    assert_eq!((&shown["status"], &shown["loads"], shown.get("error")), (&json!("enabled"), &json!(2), None), "{shown:#}");
}

#[test]
fn a_new_file_that_refuses_a_configuration_in_use_keeps_the_old_one() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(&guests.bytes("reload"));
    let gateway = one(&backend.url(), file.declared(), json!({}));
    assert_eq!(gateway.get("/m").text(), "version 1");
    // It needs `mode`.
    file.replace(&guests.bytes("bad"));
    eventually("it is refused", || says(&status(&gateway, "p"), "cannot take over").then_some(()));
    assert_eq!((status(&gateway, "p")["status"].clone(), gateway.get("/m").text()), (json!("warning"), "version 1"));
}

// --- bad plugins ---

/// A gateway with the fixture `bad` in one mode; `more` goes into its declaration.
fn bad(guests: &Guests, server: &str, config: Value, more: Value) -> Gateway {
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

// --- what a plugin is granted ---

#[test]
fn environment_and_secrets_are_granted_by_name() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("k"), "from a file\n").unwrap();
    let permissions = json!({
        "env": ["REGION"],
        "secrets": {"a": {"env": "API_KEY"}, "b": {"file": folder.path().join("k")}, "c": {"value": "as it is"}},
    });
    let asked = [
        ("region", "env", "REGION", "north"),
        ("key", "env", "API_KEY", "environment variable not found"),
        ("home", "env", "HOME", "environment variable not found"),
        ("a", "secret", "a", "key of the api"),
        ("b", "secret", "b", "from a file"),
        ("c", "secret", "c", "as it is"),
        ("d", "secret", "d", "not granted"),
    ];
    let uses: Vec<(&str, Value)> = asked.iter().map(|(name, mode, text, _)| (*name, json!({"p": {"mode": mode, "text": text}}))).collect();
    let plugins = json!({"p": {"path": guests.path("bad"), "permissions": permissions}});
    let setup = Setup::new().file("routing.yml", document(&backend.url(), plugins, &uses).to_string());
    let gateway = loaded(setup.env("REGION", "north").env("API_KEY", "key of the api"));
    for (name, _, _, wanted) in asked {
        // Rules of `PathPrefix` are ordered by their length.
        assert_eq!(gateway.get(&format!("/{name}")).text(), wanted, "{name}");
    }
    assert!(!gateway.log().contains("key of the api"));
    let raw = gateway.admin("/api/rawdata");
    assert!(!raw.text().contains("as it is"), "{raw:?}");
}

#[test]
fn nothing_is_granted_by_default() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let plugins = json!({"bad": {"path": guests.path("bad")}, "extras": {"path": guests.path("wasi-extras")}});
    let uses = [
        ("env", json!({"bad": {"mode": "env", "text": "REGION"}})),
        ("secret", json!({"bad": {"mode": "secret", "text": "a"}})),
        ("kv", json!({"bad": {"mode": "kv"}})),
        ("file", json!({"extras": {"mode": "file", "text": "/etc/hostname"}})),
        ("socket", json!({"extras": {"mode": "connect", "text": backend.address.to_string()}})),
    ];
    let gateway = loaded(Setup::new().file("routing.yml", document(&backend.url(), plugins, &uses).to_string()).env("REGION", "north"));
    assert_eq!(gateway.get("/env").text(), "environment variable not found");
    assert_eq!(gateway.get("/secret").text(), "not granted");
    let kv = gateway.get("/kv");
    assert!(kv.text().contains("granted") || kv.text().contains("denied"), "{kv:?}");
    for route in ["/file", "/socket"] {
        let r = gateway.get(route);
        assert!(r.status == 200 && r.text().starts_with("error"), "{r:?}");
    }
    assert_eq!(backend.requests().len(), 0);
}

/// The fixture `outgoing` in front of `server`.
fn outgoing(guests: &Guests, server: &str, granted: &str, config: Value, limits: Value) -> Gateway {
    let declaration = json!({"path": guests.path("outgoing"), "permissions": {"http": [granted]}, "limits": limits});
    one(server, declaration, config)
}

#[test]
fn an_outgoing_request_goes_to_granted_hosts_only() {
    let Some(guests) = guests() else { return };
    let (backend, asked) = (Backend::named("b"), Backend::named("asked"));
    let config = json!({"url": asked.url()});
    let granted = outgoing(guests, &backend.url(), &asked.address.to_string(), config.clone(), json!({}));
    assert_eq!(granted.get("/m").text(), "200 asked");
    for other in ["example.com", "127.0.0.1:1", "*.example.com"] {
        let gateway = outgoing(guests, &backend.url(), other, config.clone(), json!({}));
        beside(&gateway, || {
            let r = gateway.get("/m");
            assert_eq!(r.status, 502, "{other}: {r:?}");
        });
    }
    assert_eq!(asked.requests().len(), 1);
}

#[test]
fn a_slow_outgoing_request_ends_in_time() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let silent = Backend::raw(|mut raw| {
        raw.head();
        // Until the gateway gives up.
        raw.head();
    });
    let granted = silent.address.to_string();
    let own = json!({"url": silent.url(), "timeoutMs": 100});
    let gateway = outgoing(guests, &backend.url(), &granted, own, json!({}));
    beside(&gateway, || assert_eq!(gateway.get("/m").status, 502, "its own timeout"));
    // Each request may last, all together may not.
    let many = json!({"url": silent.url(), "timeoutMs": 300, "times": 10});
    let gateway = outgoing(guests, &backend.url(), &granted, many, json!({"timeout": "1s"}));
    beside(&gateway, || {
        let begin = Instant::now();
        let r = gateway.get("/m");
        assert_eq!(r.status, 504, "{r:?}");
        assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
        assert!(begin.elapsed() < Duration::from_millis(2500), "{:?}", begin.elapsed());
    });
    gateway.wait_log("limits.timeout", |l| l.contains("limits.timeout"));
    assert_eq!(status(&gateway, "p")["deadlineHits"], 1);
}

#[test]
fn waiting_is_not_computing() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let slow = Backend::http(|_| {
        std::thread::park_timeout(Duration::from_millis(400));
        Reply::ok("late")
    });
    let granted = slow.address.to_string();
    let gateway = outgoing(guests, &backend.url(), &granted, json!({"url": slow.url()}), json!({"deadline": "50ms"}));
    assert_eq!(gateway.get("/m").text(), "200 late");
    // A loop after it has waited is found all the same.
    let gateway = outgoing(guests, &backend.url(), &granted, json!({"url": slow.url(), "then": "loop"}), json!({"deadline": "50ms"}));
    beside(&gateway, || assert_eq!(gateway.get("/m").status, 500));
}

// --- what plugins do ---

#[test]
fn a_middleware_edits_request_and_response() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let gateway = one(&backend.url(), json!({"path": guests.path("bench-headers")}), json!({}));
    let r = gateway.get("/m");
    assert_eq!((r.status, r.text(), r.header("x-bench-resp")), (200, "b", Some("1")));
    assert_eq!(backend.request(0).header("x-bench-req"), Some("1"));
    let shown = status(&gateway, "p");
    assert_eq!((&shown["kind"], &shown["status"], &shown["calls"]), (&json!("middleware"), &json!("enabled"), &json!(2)), "{shown:#}");
}

#[test]
fn a_middleware_is_told_of_the_request() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let gateway = bad(guests, &backend.url(), json!({"mode": "echo"}), json!({}));
    let r = gateway.ask("PUT /m/x?y=1 HTTP/1.1\r\nHost: a.test\r\nX-One: 1\r\nX-One: 2\r\nContent-Length: 0\r\n\r\n");
    let text = r.text().to_lowercase();
    for wanted in ["put http a.test /m/x?y=1 127.0.0.1 http/1.1 m@file web as p@file", "x-one: 1\nx-one: 2\n"] {
        assert!(text.contains(wanted), "{wanted:?} is not in {text}");
    }
}

#[test]
fn routers_share_instances() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let names: Vec<String> = (0..50).map(|n| format!("m{n}x")).collect();
    // A middleware for each router, all with one configuration.
    let uses: Vec<(&str, Value)> = names.iter().map(|n| (n.as_str(), json!({"p": {}}))).collect();
    let gateway = start(&document(&backend.url(), json!({"p": {"path": guests.path("bench-headers")}}), &uses));
    for _ in 0..3 {
        for name in &names {
            assert_eq!(gateway.get(&format!("/{name}")).header("x-bench-resp"), Some("1"), "{name}");
        }
    }
    let workers = std::thread::available_parallelism().unwrap().get();
    let shown = status(&gateway, "p");
    eprintln!("{} instances of {} bytes for 50 routers on {workers} workers", shown["instances"], shown["memory"]);
    assert!((1..=workers as u64 + 1).contains(&shown["instances"].as_u64().unwrap()), "{shown:#}");
    assert_eq!(shown["calls"], 300);
}

#[test]
fn buffered_bodies_are_changed() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("quiet");
    let config = json!({"request": "buffered", "response": "buffered"});
    let gateway = one(&backend.url(), json!({"path": guests.path("body")}), config);
    let r = post(&gateway, "/m", "hello");
    assert_eq!((r.status, r.text(), r.header("content-length")), (200, "QUIET", Some("5")));
    assert_eq!(backend.request(0).body, b"HELLO");
}

#[test]
fn streamed_bodies_are_changed_piece_by_piece() {
    let Some(guests) = guests() else { return };
    let backend = Backend::http(|_| Reply::ok("quiet").trailer("x-sum", "1"));
    let config = json!({"request": "streamed", "response": "streamed"});
    let gateway = one(&backend.url(), json!({"path": guests.path("body")}), config);
    let r = gateway.ask("POST /m HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
    assert_eq!((r.status, r.text()), (200, "QUIET 1 chunks"));
    assert_eq!(r.trailers.one("x-sum"), Some("1"));
    let body = String::from_utf8(backend.request(0).body).unwrap();
    assert!(body.starts_with("ABCDEF ") && body.ends_with(" chunks"), "{body}");
}

/// More than one buffer, and than `limits.body`: nothing is kept.
#[test]
fn a_streamed_body_may_be_long() {
    let Some(guests) = guests() else { return };
    let backend = Backend::http(|r| Reply::ok(r.body.len().to_string()));
    let declaration = json!({"path": guests.path("body"), "limits": {"body": "256KiB"}});
    let gateway = one(&backend.url(), declaration, json!({"request": "seen"}));
    assert_eq!(post(&gateway, "/m", &"a".repeat(4_000_000)).text(), "4000000");
}

#[test]
fn a_body_that_is_too_long_is_refused() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let declaration = json!({"path": guests.path("body"), "limits": {"body": "1KiB"}});
    let gateway = one(&backend.url(), declaration, json!({"request": "buffered"}));
    assert_eq!(post(&gateway, "/m", &"a".repeat(1024)).status, 200);
    assert_eq!(post(&gateway, "/m", &"a".repeat(1025)).status, 413);
    let chunked = format!("POST /m HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n{}\r\n0\r\n\r\n", "a".repeat(2048));
    assert_eq!(gateway.ask(chunked).status, 413);
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn a_response_that_is_too_long_is_refused() {
    let Some(guests) = guests() else { return };
    let backend = Backend::http(|_| Reply::ok("a".repeat(1025)));
    let declaration = json!({"path": guests.path("body"), "limits": {"body": "1KiB"}});
    let gateway = one(&backend.url(), declaration, json!({"response": "buffered"}));
    assert_eq!(gateway.get("/m").status, 502);
}

#[test]
fn values_are_shared_by_instances_and_survive_a_reload() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let bytes = guests.bytes("kv-counter");
    let file = File::new(&bytes);
    let declaration = json!({"path": file.path(), "permissions": {"kv": ["counts"]}});
    let gateway = one(&backend.url(), declaration, json!({}));
    let count = || gateway.get("/m").text().parse::<usize>().unwrap();
    let all: BTreeSet<usize> = std::thread::scope(|scope| {
        let some = || (0..10).map(|_| count()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(some)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(all, (1..=40).collect());
    file.replace(&retouched(&bytes, 1));
    eventually("the new version is loaded", || (status(&gateway, "p")["loads"] == 2).then_some(()));
    assert_eq!(count(), 41);
    eventually("the new version counts on", || {
        let before = count();
        assert_eq!(count(), before + 1);
        (before > 60).then_some(())
    });
}

#[test]
fn values_are_for_granted_namespaces() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let gateway = one(&backend.url(), json!({"path": guests.path("kv-counter")}), json!({}));
    assert_eq!(gateway.get("/m").status, 503);
    gateway.wait_log("what is missing", |l| l.contains("permissions.kv") || l.contains("`counts`, which is not granted"));
}

#[test]
fn state_goes_over_to_the_next_version() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(&guests.bytes("state"));
    let gateway = one(&backend.url(), file.declared(), json!({}));
    // One connection stays on one worker, and so with one instance.
    let mut c = gateway.connect();
    let mut ask = || {
        let r = c.get("a", "/m");
        let (version, count) = r.text().split_once(' ').unwrap_or_else(|| panic!("{r:?}"));
        (version.to_owned(), count.parse::<usize>().unwrap())
    };
    for n in 1..=10 {
        assert_eq!(ask(), ("1".to_owned(), n));
    }
    file.replace(&guests.second("state"));
    let mut before = 10;
    eventually("version 2 serves", || {
        let (version, count) = ask();
        assert_eq!(count, before + 1, "version {version}");
        before = count;
        (version == "2").then_some(())
    });
}

/// With a rollout in quick steps.
fn staged(file: &File) -> Value {
    json!({"path": file.path(), "rollout": {"steps": [20, 50], "interval": "200ms", "minimumCalls": 5}})
}

#[test]
fn a_rollout_in_steps_succeeds() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(&guests.bytes("reload"));
    let gateway = one(&backend.url(), staged(&file), json!({}));
    let old = status(&gateway, "p")["digest"].clone();
    file.replace(&guests.second("reload"));
    let (mut seen, mut percents) = (BTreeMap::<String, usize>::new(), BTreeSet::new());
    let shown = eventually("the new version has taken over", || {
        for _ in 0..10 {
            let r = gateway.get("/m");
            assert_eq!(r.status, 200, "{r:?}");
            *seen.entry(r.text().to_owned()).or_default() += 1;
        }
        let shown = status(&gateway, "p");
        percents.extend(shown["rollout"]["percent"].as_u64());
        (shown["digest"] != old).then_some(shown)
    });
    assert_eq!((&shown["status"], shown.get("rollout")), (&json!("enabled"), None), "{shown:#}");
    eprintln!("a rollout: {seen:?}, at {percents:?} percent");
    assert_eq!(percents.into_iter().collect::<Vec<_>>(), [20, 50]);
    assert!(seen["version 1"] > 0 && seen["version 2"] > 0);
    eventually("only the new one serves", || (0..30).all(|_| gateway.get("/m").text() == "version 2").then_some(()));
}

#[test]
fn a_rollout_is_rolled_back() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let file = File::new(&guests.bytes("reload"));
    let gateway = one(&backend.url(), staged(&file), json!({}));
    let old = status(&gateway, "p")["digest"].clone();
    // It takes the same configuration, and without its grant all that it does is to answer 503.
    file.replace(&guests.bytes("kv-counter"));
    let (mut good, mut failed) = (0, 0);
    let shown = eventually("it is rolled back", || {
        for _ in 0..10 {
            match gateway.get("/m").status {
                200 => good += 1,
                503 => failed += 1,
                other => panic!("{other}"),
            }
        }
        let shown = status(&gateway, "p");
        says(&shown, "rolled back").then_some(shown)
    });
    eprintln!("a rollback: {good} good answers, {failed} failed");
    assert!(failed >= 5 && good > failed, "{good} good, {failed} failed");
    assert_eq!((&shown["status"], &shown["digest"], &shown["loadFailures"]), (&json!("warning"), &old, &json!(1)), "{shown:#}");
    eventually("only the old one serves", || (0..30).all(|_| gateway.get("/m").body == b"version 1").then_some(()));
    // A repaired one is tried again.
    file.replace(&guests.second("reload"));
    eventually("the next version takes over", || {
        assert_eq!(gateway.get("/m").status, 200);
        (status(&gateway, "p")["digest"] != old).then_some(())
    });
}

#[test]
fn a_provider() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let second = AtomicBool::new(false);
    let second = std::sync::Arc::new(second);
    let documents = {
        let (url, second) = (backend.url(), second.clone());
        Backend::http(move |_| {
            let path = if second.load(Ordering::SeqCst) { "/two" } else { "/one" };
            let document = json!({"http": {
                "routers": {"r": {"rule": format!("Path(`{path}`)"), "service": "s"}},
                "services": {"s": {"loadBalancer": {"servers": [{"url": url}]}}},
            }});
            Reply::ok(document.to_string())
        })
    };
    let plugins = json!({"fixture": {"path": guests.path("provider"), "permissions": {"http": [documents.address.to_string()]}}});
    let gateway = Setup::new()
        .file("routing.yml", document(&backend.url(), plugins, &[]).to_string())
        .flag(format!("--providers.plugin.fixture.url={}", documents.url()))
        .flag("--providers.plugin.fixture.againMs=100")
        .start();
    eventually("its route is there", || (gateway.get("/one").status == 200).then_some(()));
    assert_eq!(gateway.admin("/api/http/routers/r@plugin-fixture").status, 200);
    second.store(true, Ordering::SeqCst);
    eventually("its next document is live", || (gateway.get("/two").status == 200).then_some(()));
    assert_eq!((gateway.get("/one").status, gateway.get("/other").status), (404, 200));
}

#[test]
fn a_matcher() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("b");
    let mut doc = document(&backend.url(), json!({"HeaderIn": {"path": guests.path("matcher")}}), &[]);
    doc["http"]["routers"]["m"] = json!({"rule": "Path(`/m`) && HeaderIn(`x-kind`, `a`, `b`)", "service": "s"});
    let gateway = start(&doc);
    let ask = |kind: &str| gateway.ask(format!("GET /m HTTP/1.1\r\nHost: a\r\nX-Kind: {kind}\r\n\r\n")).status;
    assert_eq!((ask("a"), ask("b"), ask("c"), gateway.get("/m").status), (200, 200, 404, 404));
    beside(&gateway, || assert_eq!((ask("panic"), ask("loop"), ask("a")), (404, 404, 200)));
}

#[test]
fn a_balancer() {
    let Some(guests) = guests() else { return };
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let mut doc = document(&a.url(), json!({"pick": {"path": guests.path("balancer")}}), &[]);
    doc["http"]["routers"]["m"] = json!({"rule": "Path(`/m`)", "service": "c"});
    let servers = json!([{"url": a.url()}, {"url": b.url()}]);
    doc["http"]["services"]["c"] = json!({"loadBalancer": {"plugin": {"pick": {"header": "x-server"}}, "servers": servers}});
    let gateway = start(&doc);
    let ask = |server: &str| gateway.ask(format!("GET /m HTTP/1.1\r\nHost: a\r\nX-Server: {server}\r\n\r\n"));
    // The index is that of the list which the plugin is given, in the gateway's order.
    let seen: Vec<String> = ["0", "1", "0", "1"].map(|i| ask(i).text().to_owned()).into();
    assert!(seen[0] != seen[1] && seen[..2] == seen[2..], "{seen:?}");
    beside(&gateway, || {
        for wrong in ["none", "7"] {
            assert_eq!(ask(wrong).status, 503, "{wrong}");
        }
        eprintln!("a balancer that panics: {}", ask("panic").status);
    });
    assert_eq!(gateway.get("/m").status, 200);
}

/// A plugin of our own, as `torana plugin build` or cargo make it.
#[test]
fn a_first_party_plugin() {
    let Some(path) = first_party("whoami") else { return };
    let backend = Backend::named("b");
    let mut doc = document(&backend.url(), json!({"whoami": {"path": path}}), &[]);
    doc["http"]["routers"]["m"] = json!({"rule": "Path(`/m`)", "service": "w"});
    doc["http"]["services"]["w"] = json!({"plugin": {"whoami": {}}});
    let gateway = start(&doc);
    let r = gateway.get("/m");
    assert!(r.status == 200 && r.text().contains("/m"), "{r:?}");
}

// --- the command line ---

/// `torana check` of a dynamic file with a plugin and one middleware; the configuration of it begins in line 7.
fn checked(component: &Path, declaration: &str, config: &str) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("torana.yml"),
        "entryPoints:\n  web:\n    address: 127.0.0.1:0\nproviders:\n  file:\n    filename: routing.yml\n",
    )
    .unwrap();
    let routing = format!(
        "plugins:\n  p:\n    path: {}\n{declaration}http:\n  middlewares:\n    m:\n      plugin:\n        p:\n{config}  routers:\n    r:\n      \
         rule: Path(`/`)\n      service: s\n      middlewares: [m]\n  services:\n    s:\n      loadBalancer:\n        servers:\n          - url: http://127.0.0.1:1\n",
        component.display()
    );
    fs::write(folder.path().join("routing.yml"), routing).unwrap();
    run(folder.path(), &["check", "--configfile=torana.yml"], &[])
}

#[track_caller]
fn assert_checked(out: &std::process::Output, wanted: &[&str]) {
    let text = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(1), "{text}");
    for w in wanted {
        assert!(text.contains(w), "{w:?} is missing in:\n{text}");
    }
}

#[test]
fn check_finds_a_configuration_against_the_schema() {
    let Some(guests) = guests() else { return };
    let out = checked(&guests.path("bad"), "", "          mode: fine\n          cuont: 7\n");
    assert_checked(
        &out,
        &["error: unknown option `cuont`", "http.middlewares.m.plugin.p.cuont", "routing.yml:10:11", "hint: did you mean `count`?"],
    );
    let out = checked(&guests.path("bad"), "", "          count: 7\n");
    assert_checked(&out, &["error: `mode` is missing", "http.middlewares.m.plugin.p", "routing.yml:", "hint: add `mode:`"]);
}

#[test]
fn check_asks_the_plugin() {
    let Some(guests) = guests() else { return };
    let out = checked(&guests.path("bad"), "", "          mode: refuse\n");
    assert_checked(&out, &["error: refused", "http.middlewares.m.plugin.p.mode", "routing.yml:9:17", "hint: any other"]);
}

#[test]
fn check_finds_a_file_that_is_no_plugin() {
    let out = checked(Path::new("nothing.wasm"), "", "          mode: fine\n");
    assert_checked(&out, &["error: cannot read `nothing.wasm`", "plugins.p.path", "routing.yml:3:11", "hint: a relative path begins at"]);
    let Some(guests) = guests() else { return };
    let out = checked(&guests.path("wrong-world"), "", "          mode: fine\n");
    assert_checked(&out, &["is not a plugin", "plugins.p.path", "routing.yml:3:11", "hint: a middleware exports"]);
}

#[test]
fn check_finds_a_bad_limit() {
    let Some(guests) = guests() else { return };
    let out = checked(&guests.path("bad"), "    limits:\n      deadlin: 1s\n", "          mode: fine\n");
    assert_checked(
        &out,
        &["error: unknown option `deadlin`", "plugins.p.limits.deadlin", "routing.yml:5:7", "hint: did you mean `deadline`?"],
    );
}

#[test]
fn check_is_content_with_a_good_one() {
    let Some(guests) = guests() else { return };
    let out = checked(&guests.path("bad"), "", "          mode: fine\n");
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stdout));
}
