//! What plugins do.

use super::bad::bad;
use super::{File, beside, document, one, post, start, status};
use crate::harness::{Backend, Reply, Setup, eventually, first_party, guests, retouched};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

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
