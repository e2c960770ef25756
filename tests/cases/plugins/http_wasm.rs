//! Guests of http-wasm, the interface of Traefik's WebAssembly plugins. What they see and do is compared with Traefik
//! in tests/differential/plugins; here is what a gateway does around them.

use super::{File, beside, document, one, says, soon, start, status};
use crate::harness::{Backend, Conn, Gateway, Reply, command, eventually, http_wasm, retouched};
use serde_json::{Value, json};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The guest `script`, declared as `p` and used by the middleware `m`.
fn script(server: &str, config: Value, limits: Value) -> Option<Gateway> {
    let guest = http_wasm("script")?;
    Some(one(server, json!({"path": guest, "limits": limits}), config))
}

/// Has the guest do something.
fn told(gateway: &Gateway, request: &str, response: &str) -> crate::harness::Response {
    gateway.ask(format!("GET /m HTTP/1.1\r\nHost: a\r\nX-Req: {request}\r\nX-Res: {response}\r\n\r\n"))
}

#[test]
fn a_local_plugin_as_traefik_has_it() {
    let Some(guest) = http_wasm("script") else { return };
    let backend = Backend::named("b");
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("plugins-local/src/example.com/you/script");
    fs::create_dir_all(&plugin).unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/f.txt"), "mounted").unwrap();
    fs::copy(guest, plugin.join("plugin.wasm")).unwrap();
    fs::write(plugin.join(".traefik.yml"), "displayName: S\ntype: middleware\nruntime: wasm\nsummary: s\ntestData: {}\n").unwrap();
    let routing = document(&backend.url(), json!({}), &[("m", json!({"s": {"request": "env REGION|file /data/f.txt|answer|stop"}}))]);
    fs::write(folder.path().join("routing.yml"), routing.to_string()).unwrap();
    let mut c = command(folder.path());
    c.args(["--entrypoints.web.address=127.0.0.1:0", "--entrypoints.traefik.address=127.0.0.1:0", "--providers.file.filename=routing.yml"]);
    c.args(["--api.insecure", "--api.dashboard=false", "--log.level=info", "--log.format=json", "--ping"]);
    c.args(["--experimental.localPlugins.s.moduleName=example.com/you/script", "--experimental.localPlugins.s.settings.envs=REGION"]);
    c.arg("--experimental.localPlugins.s.settings.mounts=data:/data:ro").env("REGION", "north");
    let gateway = Gateway::spawn(c, folder);
    gateway.wait_serving();
    eventually("the plugin answers", || (gateway.get("/m").text() == "env=north\nfile=mounted").then_some(()));
}

#[test]
fn a_request_and_its_response() {
    let backend = Backend::named("b");
    let Some(gateway) = script(&backend.url(), json!({}), json!({})) else { return };
    let r = told(&gateway, "set 0 x-a 1|set 1 x-early 1|features 2|next 7", "context|readall 1|status|set 1 x-late 1|report 1 x-report");
    assert_eq!((r.status, r.text(), r.header("x-early"), r.header("x-late")), (200, "b", Some("1"), Some("1")));
    assert_eq!(r.header("x-report"), Some("features=2; context=7,0; readall=b; status=200"));
    assert_eq!(backend.request(0).header("x-a"), Some("1"));
    let shown = status(&gateway, "p");
    assert_eq!((&shown["kind"], &shown["status"], &shown["calls"]), (&json!("middleware"), &json!("enabled"), &json!(2)), "{shown:#}");
}

/// What a guest keeps in globals between its two calls is its request's own.
#[test]
fn an_instance_serves_one_request_at_a_time() {
    let backend = Backend::http(|_| {
        std::thread::park_timeout(Duration::from_millis(100));
        Reply::ok("slow")
    });
    let Some(gateway) = script(&backend.url(), json!({}), json!({})) else { return };
    let address = gateway.web();
    std::thread::scope(|scope| {
        for n in 0..20 {
            scope.spawn(move || {
                let text = format!(
                    "GET /m HTTP/1.1\r\nHost: a\r\nX-Req: features 2|next {n}\r\nX-Res: context|set 1 x-mine {n}|report 1 x-report\r\n\r\n"
                );
                let mut conn = Conn::open(address);
                conn.send(text);
                let r = conn.response();
                assert_eq!(r.header("x-mine"), Some(n.to_string().as_str()));
                assert_eq!(r.header("x-report"), Some(format!("features=2; context={n},0").as_str()));
            });
        }
    });
}

#[test]
fn a_failure_hurts_one_request() {
    let backend = Backend::named("b");
    let limits = json!({"deadline": "50ms", "memory": "8MiB", "body": "64KiB", "headers": "1KiB"});
    let Some(gateway) = script(&backend.url(), json!({}), limits) else { return };
    for bad in ["panic", "spin", "grow 100000000", "fill 1 100000|stop", "outside|writeoutside 1|next", "exit 0", "read 0 0", "set 9 a b"] {
        let begin = Instant::now();
        beside(&gateway, || assert_eq!(told(&gateway, bad, "").status, 500, "{bad}"));
        assert!(begin.elapsed() < Duration::from_secs(2), "{bad}: {:?}", begin.elapsed());
        // A failure makes way for a new instance, which has seen nothing.
        let r = told(&gateway, "requests|answer|stop", "");
        assert_eq!((r.status, r.text().starts_with("requests=")), (200, true), "after {bad}: {r:?}");
    }
    let shown = status(&gateway, "p");
    assert!(shown["traps"].as_u64() >= Some(8) && shown["deadlineHits"].as_u64() >= Some(1), "{shown:#}");
    assert_eq!(gateway.get("/other").status, 200);
}

#[test]
fn a_body_larger_than_allowed() {
    let backend = Backend::named("b");
    let Some(gateway) = script(&backend.url(), json!({}), json!({"body": "1KiB"})) else { return };
    let post = |steps: &str| {
        let body = "x".repeat(100_000);
        gateway.ask(format!("POST /m HTTP/1.1\r\nHost: a\r\nX-Req: {steps}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    };
    assert_eq!(post("features 1|count 0|next").status, 413);
    // What is not kept may be as long as it likes.
    assert_eq!(post("count 0|answer|stop").text(), "count=100000");
    assert_eq!(post("next").status, 200);
    let large = Backend::http(|_| Reply::ok("y".repeat(2000)));
    let Some(gateway) = script(&large.url(), json!({}), json!({"body": "1KiB"})) else { return };
    assert_eq!(told(&gateway, "features 2|next", "").status, 502);
    assert_eq!(told(&gateway, "next", "").text().len(), 2000);
}

#[test]
fn failures_may_be_overlooked() {
    let Some(guest) = http_wasm("script") else { return };
    let backend = Backend::named("b");
    let gateway = one(&backend.url(), json!({"path": guest, "failure": "open"}), json!({}));
    assert_eq!((told(&gateway, "panic", "").text(), told(&gateway, "next", "panic").text()), ("b", "b"));
    assert_eq!(told(&gateway, "features 2|next", "panic").text(), "b");
}

/// An instance whose client has gone is told so, and serves on.
#[test]
fn a_client_that_leaves() {
    let backend = Backend::http(|_| Reply::ok("z".repeat(20_000_000)));
    let Some(gateway) = script(&backend.url(), json!({}), json!({})) else { return };
    let mut conn = gateway.connect();
    conn.send("GET /m HTTP/1.1\r\nHost: a\r\nX-Req: next\r\n\r\n");
    drop(conn);
    eventually("the guest is told", || {
        let r = told(&gateway, "gonewrong|answer|stop", "");
        (r.text() == "gonewrong=1").then_some(())
    });
    assert_eq!(status(&gateway, "p")["traps"], 0);
}

#[test]
fn a_new_file_is_used_and_no_request_is_lost() {
    let Some(guest) = http_wasm("script") else { return };
    let backend = Backend::named("b");
    let bytes = fs::read(guest).unwrap();
    let file = File::new(&bytes);
    let gateway = one(&backend.url(), file.declared_patient(), json!({"request": "requests|report 1 x-report|next"}));
    let (stop, address) = (AtomicBool::new(false), gateway.web());
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut conn = Conn::open(address);
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                let r = conn.get("a", "/m");
                assert_eq!((r.status, r.header("x-report").is_some()), (200, true), "{r:?}");
                count += 1;
            }
            count
        });
        // Else a mistake below would leave the requests going on for ever.
        let ends = Ends(&stop);
        for mark in 0..3 {
            let before = status(&gateway, "p")["loads"].as_u64().unwrap();
            file.replace(&retouched(&bytes, mark));
            let begin = Instant::now();
            eventually("the new file is in use", || (status(&gateway, "p")["loads"].as_u64() > Some(before)).then_some(()));
            assert!(begin.elapsed() < soon(), "{:?}", begin.elapsed());
        }
        // A bad one is not taken over.
        file.replace(&bytes[..1000]);
        eventually("the bad file is refused", || says(&status(&gateway, "p"), "cut off").then_some(()));
        drop(ends);
        assert!(load.join().unwrap() > 0);
    });
    assert_eq!(gateway.get("/m").status, 200);
}

/// Else a few of them would put the guest to rest for all others.
#[test]
fn a_client_that_breaks_off_is_no_failure_of_the_guest() {
    let backend = Backend::named("b");
    let Some(gateway) = script(&backend.url(), json!({}), json!({})) else { return };
    for _ in 0..12 {
        let mut c = gateway.connect();
        c.send("POST /m HTTP/1.1\r\nHost: a\r\nX-Req: features 1|readall 0|next\r\nContent-Length: 10\r\n\r\nabc");
    }
    let shown = || status(&gateway, "p");
    eventually("all were handed over", || (shown()["calls"].as_u64() >= Some(12)).then_some(()));
    assert_eq!((&shown()["traps"], &shown()["refused"]), (&json!(0), &json!(0)), "{:#}", shown());
    assert_eq!(told(&gateway, "next", "").status, 200);
}

/// Sets a mark when it goes, however it does.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_guest_that_cannot_start() {
    let Some(guest) = http_wasm("script") else { return };
    let backend = Backend::named("b");
    let uses = [
        ("panics", json!({"p": {"start": "panic"}})),
        ("exits", json!({"p": {"start": "exit 3"}})),
        ("asks", json!({"p": {"start": "method"}})),
        ("good", json!({"p": {}})),
    ];
    let gateway = start(&document(&backend.url(), json!({"p": {"path": guest}}), &uses));
    for (name, words) in [("panics", "it trapped"), ("exits", "exit status 3"), ("asks", "outside of a request")] {
        assert_eq!(gateway.get(&format!("/{name}")).status, 404, "{name}");
        let shown = gateway.admin(&format!("/api/http/middlewares/{name}@file")).json();
        assert!(shown["error"].to_string().contains(words), "{shown:#}");
    }
    assert_eq!(gateway.get("/good").status, 200);
}

#[test]
fn its_log_lines_are_the_gateways() {
    let backend = Backend::named("b");
    let Some(gateway) = script(&backend.url(), json!({"request": "log 1 of-the-guest|print on standard output|next"}), json!({})) else {
        return;
    };
    assert_eq!(gateway.get("/m").status, 200);
    gateway.wait_log("its line", |l| l.contains("of-the-guest") && l.contains(r#""level":"warn""#));
    gateway.wait_log("what it prints", |l| l.contains("on standard output"));
}
