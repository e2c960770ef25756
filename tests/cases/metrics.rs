//! What is counted, and how it is served to Prometheus (MET-01, MET-05).

use crate::harness::{Backend, Conn, Gate, Gateway, Reply, Setup, eventually, guests, route, service};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

fn start(routing: &str) -> Gateway {
    Setup::new().file("routing.yml", routing).flag("--metrics.prometheus.addrouterslabels").start()
}

/// All samples by name and labels as they are written.
fn scrape(gateway: &Gateway) -> BTreeMap<String, f64> {
    let r = gateway.admin("/metrics");
    assert_eq!((r.status, r.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8; escaping=underscores")));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    r.text().lines().filter(|l| !l.starts_with('#')).map(sample).collect()
}

/// The value of a sample; 0 where there is none.
fn value(gateway: &Gateway, name: &str) -> f64 {
    scrape(gateway).get(name).copied().unwrap_or_default()
}

#[test]
fn nothing_is_served_unless_it_is_configured() {
    let gateway = Gateway::start("http: {routers: {m: {rule: 'PathPrefix(`/m`)', service: prometheus@internal}}}");
    assert_eq!((gateway.admin("/metrics").status, gateway.get("/m").status), (404, 404));
    gateway.wait_log("what to add", |l| l.contains("metrics: {prometheus: {}}"));
}

#[test]
fn every_request_of_every_worker_is_counted_once() {
    let backend = Backend::http(|r| if r.path() == "/missing" { Reply::status(404) } else { Reply::ok("12345") });
    let gateway = start(&route("PathPrefix(`/`)", &[&backend.url()]));
    let web = gateway.web();
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(move || {
                for _ in 0..5 {
                    let mut c = Conn::open(web);
                    for path in ["/a", "/b", "/missing"] {
                        c.get("test.local", path);
                    }
                }
            });
        }
    });
    // A request is counted when its response has gone, which is a moment after the client has it.
    let all = eventually("all are counted", || {
        let all = scrape(&gateway);
        let of_router = |(name, n): (&String, &f64)| name.starts_with("traefik_router_requests_total{").then_some(*n);
        (all.iter().filter_map(of_router).sum::<f64>() >= 120.0).then_some(all)
    });
    for (code, n) in [("200", 80.0), ("404", 40.0)] {
        for (kind, labels) in [("entrypoint", "entrypoint=\"web\""), ("service", "service=\"s@file\"")] {
            // In the order of their names.
            let labels = if kind == "service" {
                format!("code=\"{code}\",method=\"GET\",protocol=\"http\",{labels}")
            } else {
                format!("code=\"{code}\",{labels},method=\"GET\",protocol=\"http\"")
            };
            assert_eq!(all[&format!("traefik_{kind}_requests_total{{{labels}}}")], n);
            assert_eq!(all[&format!("traefik_{kind}_request_duration_seconds_count{{{labels}}}")], n);
            assert_eq!(all[&format!("traefik_{kind}_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}}")], n);
            let bytes = if code == "200" { 5.0 * n } else { 0.0 };
            assert_eq!(all[&format!("traefik_{kind}_responses_bytes_total{{{labels}}}")], bytes);
        }
    }
    assert_eq!(
        all["traefik_router_requests_total{code=\"200\",method=\"GET\",protocol=\"http\",router=\"r@file\",service=\"s@file\"}"],
        80.0
    );
    // One for each document that came by itself.
    assert!(all["traefik_config_reloads_total"] >= 1.0);
    assert!(all["process_resident_memory_bytes"] > 0.0 && all.contains_key("torana_build_info{version=\"0.1.0\"}"));
}

#[test]
fn a_client_that_gives_up_is_counted_with_499() {
    let gate = Arc::new(Gate::default());
    let held = gate.clone();
    let backend = Backend::http(move |_| {
        held.wait();
        Reply::ok("late")
    });
    let gateway = start(&route("PathPrefix(`/`)", &[&backend.url()]));
    let mut c = gateway.connect();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the backend has the request", || (backend.requests().len() == 1).then_some(()));
    let open = "traefik_open_connections{entrypoint=\"web\",protocol=\"TCP\"}";
    assert_eq!(value(&gateway, open), 1.0);
    drop(c);
    for name in [
        "traefik_entrypoint_requests_total{code=\"499\",entrypoint=\"web\",method=\"GET\",protocol=\"http\"}",
        "traefik_service_requests_total{code=\"499\",method=\"GET\",protocol=\"http\",service=\"s@file\"}",
    ] {
        eventually(name, || (value(&gateway, name) == 1.0).then_some(()));
    }
    eventually("the connection is closed", || (value(&gateway, open) == 0.0).then_some(()));
    gate.open();
}

#[test]
fn what_a_reload_removes_is_shown_once_more() {
    let backend = Backend::named("a");
    let gateway = start(&route("PathPrefix(`/`)", &[&backend.url()]));
    assert_eq!(gateway.get("/").status, 200);
    gateway.reload(
        "routing.yml",
        &format!("http:\n  routers:\n    other: {{rule: 'PathPrefix(`/`)', service: t}}\n{}", service("t", &[&backend.url()])),
    );
    gateway.settle();
    let has = |all: &BTreeMap<String, f64>, word: &str| all.keys().any(|k| k.contains(word));
    let last = scrape(&gateway);
    assert!(has(&last, "router=\"r@file\"") && has(&last, "service=\"s@file\""), "{last:?}");
    let after = scrape(&gateway);
    assert!(!has(&after, "router=\"r@file\"") && !has(&after, "service=\"s@file\""), "{after:?}");
    assert!(has(&after, "entrypoint=\"web\"") && after["traefik_config_reloads_total"] >= 2.0);
}

#[test]
fn a_bad_file_is_no_reload() {
    let backend = Backend::named("a");
    let gateway = start(&route("PathPrefix(`/`)", &[&backend.url()]));
    let before = value(&gateway, "traefik_config_reloads_total");
    fs::write(gateway.dynamic("routing.yml"), "http: [").unwrap();
    gateway.wait_log("the file is told", |l| l.contains("not valid YAML"));
    assert_eq!(value(&gateway, "traefik_config_reloads_total"), before);
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn plugins_are_counted_by_version_and_hook() {
    let Some(guests) = guests() else { return };
    let backend = Backend::named("a");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.wasm");
    fs::write(&file, guests.bytes("reload")).unwrap();
    let document = json!({
        "plugins": {"p": {"path": file}},
        "http": {
            "routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s", "middlewares": ["m"]}},
            "middlewares": {"m": {"plugin": {"p": {}}}},
            "services": {"s": {"loadBalancer": {"servers": [{"url": backend.url()}]}}},
        },
    });
    let gateway = start(&document.to_string());
    eventually("the plugin serves", || (gateway.get("/").status == 200).then_some(()));
    let calls = |all: &BTreeMap<String, f64>, hook: &str| -> f64 {
        all.iter()
            .filter(|(k, _)| k.starts_with("torana_plugin_calls_total{") && k.contains(hook) && k.contains("plugin=\"p@file\""))
            .map(|(_, n)| n)
            .sum()
    };
    let before = calls(&scrape(&gateway), "hook=\"on-re");
    for _ in 0..3 {
        gateway.get("/");
    }
    let all = scrape(&gateway);
    assert_eq!(calls(&all, "hook=\"on-re"), before + 3.0, "{all:?}");
    assert_eq!(all["torana_plugin_call_duration_seconds_count{plugin=\"p@file\"}"], calls(&all, "hook="));
    assert!(all["torana_plugin_instances{plugin=\"p@file\"}"] >= 1.0 && all["torana_plugin_memory_bytes{plugin=\"p@file\"}"] > 0.0);
    let replace = |bytes: &[u8]| {
        let new = folder.path().join("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, &file).unwrap();
    };
    replace(b"no component");
    let failures = "torana_plugin_reload_failures_total{plugin=\"p@file\"}";
    eventually("the broken file is counted", || (value(&gateway, failures) == 1.0).then_some(()));
    assert_eq!(gateway.get("/").status, 200);
    replace(&guests.second("reload"));
    eventually("the next file is taken", || (value(&gateway, "torana_plugin_loads_total{plugin=\"p@file\"}") == 2.0).then_some(()));
    assert!(calls(&scrape(&gateway), "hook=\"on-re") >= before + 4.0, "counts outlive a version");
}

#[test]
fn promtool_finds_nothing_wrong() {
    let found = Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        assert!(std::env::var_os("CI").is_none(), "promtool is missing (Debian: package prometheus)");
        eprintln!("SKIPPED: promtool is missing (Debian: package prometheus)");
        return;
    }
    let backend = Backend::named("a");
    let gateway = Setup::new()
        .file("routing.yml", route("PathPrefix(`/`)", &[&backend.url()]))
        .flag("--metrics.prometheus.addrouterslabels")
        .flag("--metrics.prometheus.headerlabels.ua=User-Agent")
        .start();
    assert_eq!(gateway.ask("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: a\"b\\c\r\n\r\n").status, 200);
    let text = gateway.admin("/metrics").text().to_owned();
    let mut promtool = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let told = promtool.wait_with_output().unwrap();
    assert!(told.status.success(), "{}\nin\n{text}", String::from_utf8_lossy(&told.stderr));
}
