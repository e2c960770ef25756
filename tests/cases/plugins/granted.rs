//! What a plugin is granted.

use super::{beside, document, loaded, one, status};
use crate::harness::{Backend, Gateway, Guests, Reply, Setup, guests};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

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
