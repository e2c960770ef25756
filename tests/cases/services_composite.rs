//! Services made of others, and servers that are left out because requests failed (LB-08, LB-09, LB-12, LB-13). What
//! Traefik does with them stands in `differential/services/s_comp.py`.

use crate::harness::{Backend, Conn, Gate, Gateway, Reply, eventually, free_port};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// One router for everything, to the service `s` of these.
fn services(text: &str) -> String {
    format!("http:\n  routers:\n    r: {{rule: 'PathPrefix(`/`)', service: s}}\n  services:\n{text}")
}

fn service(name: &str, options: &str, urls: &[&str]) -> String {
    let servers: Vec<String> = urls.iter().map(|u| format!("{{url: '{u}'}}")).collect();
    format!("    {name}: {{loadBalancer: {{{options}servers: [{}]}}}}\n", servers.join(", "))
}

fn post(c: &mut Conn, body: &str) -> u16 {
    c.send(format!("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    c.response().status
}

/// A server that answers once the gate is open.
fn held(gate: &Arc<Gate>, name: &'static str) -> Backend {
    let gate = gate.clone();
    Backend::http(move |_| {
        gate.wait();
        Reply::ok(name)
    })
}

/// LB-12
#[test]
fn a_mirror_that_hangs_holds_up_nobody() {
    let gate = Arc::new(Gate::default());
    let (main, slow, after) = (Backend::named("main"), held(&gate, "slow"), Backend::named("after"));
    let gateway = Gateway::start(&services(&format!(
        "    s: {{mirroring: {{service: main, mirrors: [{{name: slow, percent: 100}}, {{name: after, percent: 100}}]}}}}\n{}{}{}",
        service("main", "", &[&main.url()]),
        service("slow", "", &[&slow.url()]),
        service("after", "", &[&after.url()]),
    )));
    let mut c = gateway.connect();
    for n in 0..20 {
        assert_eq!(post(&mut c, &format!("body {n}")), 200);
    }
    assert_eq!(main.connections(), 1);
    eventually("all are on their way to the mirror", || (slow.requests().len() == 20).then_some(()));
    assert!(after.requests().is_empty(), "mirrors come one after the other");
    gate.open();
    eventually("the other mirror has them too", || (after.requests().len() == 20).then_some(()));
    let mut bodies: Vec<_> = after.requests().into_iter().map(|r| String::from_utf8(r.body).unwrap()).collect();
    bodies.sort_by_key(|b| b["body ".len()..].parse::<u32>().unwrap());
    assert_eq!(bodies, (0..20).map(|n| format!("body {n}")).collect::<Vec<_>>());
}

/// LB-12
#[test]
fn what_is_being_mirrored_survives_a_reload() {
    let gate = Arc::new(Gate::default());
    let (main, slow, after) = (Backend::named("main"), held(&gate, "slow"), Backend::named("after"));
    let text = |mirrors: &str| {
        services(&format!(
            "    s: {{mirroring: {{service: main, mirrors: [{mirrors}]}}}}\n{}{}{}",
            service("main", "", &[&main.url()]),
            service("slow", "", &[&slow.url()]),
            service("after", "", &[&after.url()]),
        ))
    };
    let gateway = Gateway::start(&text("{name: slow, percent: 100}, {name: after, percent: 100}"));
    let mut c = gateway.connect();
    assert_eq!(post(&mut c, "before"), 200);
    eventually("the mirror has it", || (slow.requests().len() == 1).then_some(()));
    let service = services(&service("s", "", &[&main.url()]));
    gateway.reload(
        "routing.yml",
        &service.replace("service: s}", "service: s}\n    n: {rule: 'Path(`/new`)', priority: 99, service: noop@internal}"),
    );
    eventually("the change is live", || (gateway.get("/new").status == 418).then_some(()));
    assert_eq!(post(&mut c, "behind"), 200);
    gate.open();
    let had = |b: &Backend, body: &str| b.requests().iter().any(|r| r.body == body.as_bytes());
    eventually("the mirrors that are gone get what was theirs", || had(&after, "before").then_some(()));
    assert!(!had(&slow, "behind") && !had(&after, "behind"));
}

/// LB-12: the client goes away in the middle of the answer.
#[test]
fn what_nobody_waited_for_is_not_mirrored() {
    let closed = Arc::new(AtomicBool::new(false));
    let seen = closed.clone();
    let main = Backend::raw(move |mut raw| {
        while let Some((start, _)) = raw.head() {
            raw.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
            if start.contains("/slow") {
                seen.store(raw.head().is_none(), Ordering::SeqCst);
                return;
            }
            raw.write("cd");
        }
    });
    let mirror = Backend::named("mirror");
    let gateway = Gateway::start(&services(&format!(
        "    s: {{mirroring: {{service: main, mirrors: [{{name: mirror, percent: 100}}]}}}}\n{}{}",
        service("main", "", &[&main.url()]),
        service("mirror", "", &[&mirror.url()]),
    )));
    let mut gone = gateway.connect();
    gone.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    gone.head();
    assert_eq!(gone.exact(2), b"ab");
    assert!(mirror.requests().is_empty(), "the answer has not ended");
    drop(gone);
    eventually("the gateway lets go of the server", || closed.load(Ordering::SeqCst).then_some(()));
    assert_eq!(gateway.get("/whole").text(), "abcd");
    assert_eq!(mirror.request(0).path(), "/whole");
}

/// LB-08: of all that is asked while one of two servers fails, nothing is lost.
#[test]
fn no_request_is_lost_while_a_server_fails() {
    let bad = Arc::new(AtomicBool::new(false));
    let seen = bad.clone();
    let b = Backend::http(move |_| if seen.load(Ordering::SeqCst) { Reply::status(503) } else { Reply::ok("b") });
    let a = Backend::named("a");
    let passive = "passiveHealthCheck: {failureWindow: 2s, maxFailedAttempts: 3}, ";
    let text = services(&service("s", passive, &[&a.url(), &b.url()]))
        .replace("service: s}", "service: s, middlewares: [again]}\n  middlewares:\n    again: {retry: {attempts: 3, status: ['503']}}");
    let gateway = Gateway::start(&text);
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                let mut c = gateway.connect();
                while !stop.load(Ordering::SeqCst) {
                    assert_eq!(c.get("a", "/").status, 200);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        eventually("both serve", || (b.requests().len() >= 20).then_some(()));
        bad.store(true, Ordering::SeqCst);
        let (failing, begun) = (b.requests().len(), done.load(Ordering::SeqCst));
        eventually("the load goes on", || (done.load(Ordering::SeqCst) >= begun + 200).then_some(()));
        // Three failures, those that were under way beside them, and what was on its way when it turned bad.
        assert!(b.requests().len() <= failing + 12, "{} requests to a server that fails", b.requests().len() - failing);
        bad.store(false, Ordering::SeqCst);
        let out = b.requests().len();
        eventually("it is back", || (b.requests().len() >= out + 20).then_some(()));
        stop.store(true, Ordering::SeqCst);
    });
}

/// LB-08
#[test]
fn a_reload_leaves_a_failed_server_out() {
    let a = Backend::named("a");
    let b = Backend::http(|r| if r.path() == "/fail" { Reply::status(500) } else { Reply::ok("b") });
    let text = |more: &str| {
        let options = format!("{more}passiveHealthCheck: {{failureWindow: 1500ms}}, ");
        services(&service("s", &options, &[&a.url(), &b.url()]))
            .replace("service: s}", "service: s}\n    n: {rule: 'Path(`/new`)', priority: 99, service: noop@internal}")
    };
    let gateway = Gateway::start(&text("").replace("    n: {rule: 'Path(`/new`)', priority: 99, service: noop@internal}", ""));
    let mut c = gateway.connect();
    let failed = eventually("it has failed", || (c.get("a", "/fail").status == 500).then(Instant::now));
    // The service itself is another one now.
    gateway.reload("routing.yml", &text("passHostHeader: false, "));
    eventually("the change is live", || (gateway.get("/new").status == 418).then_some(()));
    let all_of_a = (0..6).all(|_| c.get("a", "/").text() == "a");
    assert!(all_of_a || failed.elapsed() >= Duration::from_millis(1500), "the server that fails was forgotten");
    eventually("it is back", || (c.get("a", "/").text() == "b").then_some(()));
    assert!(failed.elapsed() >= Duration::from_millis(1500), "back after {:?}", failed.elapsed());
}

/// LB-09: a parent that is new knows at once which of its parts are down.
#[test]
fn a_reload_keeps_what_a_parent_knows() {
    let b = Backend::http(|r| Reply::status(if r.path() == "/health" { 500 } else { 201 }));
    let (a, check) = (Backend::named("a"), "healthCheck: {path: /health, interval: 100ms}, ");
    let text = |weight: u32| {
        services(&format!(
            "    s: {{weighted: {{healthCheck: {{}}, services: [{{name: a, weight: {weight}}}, {{name: b, weight: {weight}}}]}}}}\n{}{}",
            service("a", check, &[&a.url()]),
            service("b", check, &[&b.url()]),
        ))
    };
    let gateway = Gateway::start(&text(1));
    let mut c = gateway.connect();
    eventually("the one that is down is out", || (0..4).all(|_| c.get("a", "/").status == 200).then_some(()));
    for weight in 2..6 {
        let before = gateway.generation();
        gateway.reload("routing.yml", &text(weight));
        eventually("the change is live", || (gateway.generation() > before).then_some(()));
        for _ in 0..8 {
            assert_eq!(c.get("a", "/").status, 200);
        }
    }
}

/// LB-13: with a server that is gone, before any check has said so.
#[test]
fn a_fallback_answers_for_a_server_that_is_gone() {
    let gone = format!("http://127.0.0.1:{}", free_port());
    let fallback = Backend::http(|r| Reply::ok(r.body.clone()));
    let gateway = Gateway::start(&services(&format!(
        "    s: {{failover: {{service: main, fallback: other, errors: {{status: ['500-599']}}}}}}\n{}{}",
        service("main", "", &[&gone]),
        service("other", "", &[&fallback.url()]),
    )));
    let mut c = gateway.connect();
    for n in 0..10 {
        let body = format!("body {n}");
        c.send(format!("POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
        let r = c.response();
        assert_eq!((r.status, r.text()), (200, body.as_str()));
    }
}

/// LB-13: an answer that streams is not right only when it has ended.
#[test]
fn a_fallback_answers_for_an_error_that_streams() {
    let main = Backend::http(|_| Reply::status(500).trailer("X-T", "1").header("X-Main", "1"));
    let fallback = Backend::http(|_| Reply::status(404).header("X-Other", "1"));
    let gateway = Gateway::start(&services(&format!(
        "    s: {{failover: {{service: main, fallback: other, errors: {{status: ['500']}}}}}}\n{}{}",
        service("main", "", &[&main.url()]),
        service("other", "", &[&fallback.url()]),
    )));
    let r = gateway.get("/");
    assert_eq!((r.status, r.header("x-main"), r.header("x-other")), (404, None, Some("1")));
}
