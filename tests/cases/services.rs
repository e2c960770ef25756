//! Services: who gets a request, and how it gets there (LB-01 to LB-10, STR-01, STR-02, STR-04, PXY-02).

use crate::harness::{Backend, Conn, Gate, Gateway, Pki, Reply, eventually, route};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn named(names: &[&str]) -> Vec<Backend> {
    names.iter().map(|n| Backend::named(n)).collect()
}

/// One service `s` behind everything; `options` are those of its load balancer, beside the servers.
fn balanced(options: &str, servers: &[String]) -> String {
    format!(
        "http:\n  routers:\n    r: {{rule: 'PathPrefix(`/`)', service: s}}\n  services:\n    s: {{loadBalancer: {{{options}servers: [{}]}}}}\n",
        servers.join(", ")
    )
}

fn plain(backends: &[Backend]) -> Vec<String> {
    backends.iter().map(|b| format!("{{url: '{}'}}", b.url())).collect()
}

/// How often each body came in `n` requests.
fn spread(c: &mut Conn, n: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..n {
        let r = c.get("a", "/");
        assert_eq!(r.status, 200);
        *counts.entry(r.text().to_owned()).or_default() += 1;
    }
    counts
}

fn counts(list: &[(&str, usize)]) -> BTreeMap<String, usize> {
    list.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect()
}

/// LB-02
#[test]
fn round_robin_is_exact() {
    let backends = named(&["a", "b", "c"]);
    let gateway = Gateway::start(&balanced("", &plain(&backends)));
    let mut c = gateway.connect();
    // Any window of a multiple of three, wherever it begins.
    for n in [3, 30, 6] {
        assert_eq!(spread(&mut c, n), counts(&[("a", n / 3), ("b", n / 3), ("c", n / 3)]));
    }
    // It is one sequence for all connections.
    let mut all = BTreeMap::new();
    for _ in 0..30 {
        *all.entry(gateway.get("/").text().to_owned()).or_default() += 1;
    }
    assert_eq!(all, counts(&[("a", 10), ("b", 10), ("c", 10)]));
}

/// LB-02
#[test]
fn weights_are_exact() {
    let backends = named(&["a", "b", "c"]);
    let servers: Vec<String> = backends.iter().zip([3, 1, 0]).map(|(b, w)| format!("{{url: '{}', weight: {w}}}", b.url())).collect();
    let gateway = Gateway::start(&balanced("", &servers));
    assert_eq!(spread(&mut gateway.connect(), 40), counts(&[("a", 30), ("b", 10)]));
}

/// LB-05: an answer that never came says nothing of how fast a server is.
#[test]
fn a_dead_server_is_not_the_quickest() {
    let slow = || {
        Backend::http(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            Reply::ok("slow")
        })
    };
    let mut backends = vec![slow(), slow()];
    let gateway = Gateway::start(&balanced("strategy: leasttime, ", &plain(&backends)));
    let mut c = gateway.connect();
    (0..10).for_each(|_| assert_eq!(c.get("a", "/").status, 200));
    backends.pop();
    let answered = (0..40).filter(|_| c.get("a", "/").status == 200).count();
    assert!(answered >= 10, "{answered} of 40 were answered");
}

/// A server that is gone costs no request when `redispatch` is on, whatever the method; a body goes along.
#[test]
fn what_cannot_be_connected_to_is_passed_over() {
    let backends = named(&["a", "b"]);
    let mut servers = plain(&backends);
    // Nobody listens there, and nobody is given that port.
    servers.push("{url: 'http://127.0.0.1:1'}".to_owned());
    for (options, failed) in [("redispatch: true, ", 0), ("", 10), ("redispatch: true, strategy: hrw, ", 0)] {
        let gateway = Gateway::start(&balanced(options, &servers));
        let mut c = gateway.connect();
        let mut bad = 0;
        for n in 0..30 {
            let r = if n % 2 == 0 {
                c.get("a", "/")
            } else {
                c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
                c.response()
            };
            bad += usize::from(r.status == 502);
            assert!(matches!(r.status, 200 | 502), "{}", r.status);
        }
        assert_eq!(bad, failed, "{options}");
    }
    // Nobody is left: the answer is that of the last try.
    let gone = ["{url: 'http://127.0.0.1:1'}".to_owned()];
    assert_eq!(Gateway::start(&balanced("redispatch: true, ", &gone)).get("/").status, 502);
    let bodies: Vec<_> = backends.iter().flat_map(|b| b.requests()).filter(|r| r.method == "POST").map(|r| r.body).collect();
    assert!(bodies.len() >= 30 && bodies.iter().all(|b| &b[..] == b"body"), "{bodies:?}");
}

/// LB-03: the idle one of two is always the better choice.
#[test]
fn p2c_avoids_the_busy_server() {
    let gate = Arc::new(Gate::default());
    let backends: Vec<Backend> = ["a", "b"]
        .map(|name| {
            let gate = gate.clone();
            Backend::http(move |r| {
                if r.path() == "/slow" {
                    gate.wait();
                }
                Reply::ok(name)
            })
        })
        .into();
    let gateway = Gateway::start(&balanced("strategy: p2c, ", &plain(&backends)));
    let mut slow = gateway.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let busy = eventually("one is busy", || backends.iter().position(|b| !b.requests().is_empty()));
    let idle = ["b", "a"][busy];
    assert_eq!(spread(&mut gateway.connect(), 20), counts(&[(idle, 20)]));
    gate.open();
    assert_eq!(slow.response().text(), ["a", "b"][busy]);
    // Nobody is busy now: sooner or later both get something.
    let mut c = gateway.connect();
    eventually("both are used again", || (spread(&mut c, 10).len() == 2).then_some(()));
}

/// LB-04
#[test]
fn hrw_keeps_a_client_at_one_server() {
    let backends = named(&["a", "b", "c", "d"]);
    let gateway = Gateway::start(&balanced("strategy: hrw, ", &plain(&backends)));
    assert_eq!(spread(&mut gateway.connect(), 12).len(), 1);
    assert_eq!((0..12).map(|_| gateway.get("/").text().to_owned()).collect::<std::collections::BTreeSet<_>>().len(), 1);
}

/// LB-06
#[test]
fn a_cookie_sticks_to_its_server() {
    let up = Arc::new(AtomicBool::new(true));
    let backends: Vec<Backend> = ["a", "b"]
        .map(|name| {
            let up = up.clone();
            Backend::http(move |r| {
                if r.path() == "/health" && name == "a" && !up.load(Ordering::SeqCst) { Reply::status(500) } else { Reply::ok(name) }
            })
        })
        .into();
    let options = "healthCheck: {path: /health, interval: 100ms}, sticky: {cookie: {name: lb, httpOnly: true, secure: true, sameSite: lax, maxAge: 60}}, ";
    let gateway = Gateway::start(&balanced(options, &plain(&backends)));
    let mut c = gateway.connect();
    let ask = |c: &mut Conn, cookie: &str| {
        c.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: x=y; lb={cookie}\r\n\r\n"));
        c.response()
    };
    let mut cookies = BTreeMap::new();
    for _ in 0..2 {
        let r = c.get("a", "/");
        let set = r.header("set-cookie").expect("no cookie is set").to_owned();
        let (pair, attributes) = set.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax");
        cookies.insert(r.text().to_owned(), pair.strip_prefix("lb=").unwrap().to_owned());
    }
    assert_eq!(cookies.keys().collect::<Vec<_>>(), ["a", "b"]);
    for (server, cookie) in &cookies {
        for _ in 0..6 {
            let r = ask(&mut c, cookie);
            assert_eq!((r.text(), r.header("set-cookie")), (server.as_str(), None));
        }
    }
    assert!(ask(&mut c, "unknown").header("set-cookie").is_some(), "a cookie of nobody is replaced");
    // When its server is down, the client moves and is told so.
    up.store(false, Ordering::SeqCst);
    let moved = eventually("the server is out", || Some(ask(&mut c, &cookies["a"])).filter(|r| r.text() == "b"));
    assert!(moved.header("set-cookie").is_some_and(|s| s.starts_with(&format!("lb={};", cookies["b"]))), "{moved:?}");
}

/// LB-07
#[test]
fn health_checks_take_a_server_out_and_back() {
    let up = Arc::new(AtomicBool::new(true));
    let seen = up.clone();
    let b = Backend::http(move |r| match r.path() {
        "/health" => Reply::status(if seen.load(Ordering::SeqCst) { 204 } else { 404 }),
        _ => Reply::ok("b"),
    });
    let backends = [Backend::named("a"), b];
    let gateway = Gateway::start(&balanced(
        "healthCheck: {path: '/health?x=1', interval: 100ms, hostname: h.test, headers: {X-Check: '1'}}, ",
        &plain(&backends),
    ));
    let mut c = gateway.connect();
    assert_eq!(spread(&mut c, 10), counts(&[("a", 5), ("b", 5)]));
    let check = eventually("a check comes", || backends[1].requests().into_iter().find(|r| r.path() == "/health"));
    assert_eq!((check.method.as_str(), check.target.as_str()), ("GET", "/health?x=1"));
    assert_eq!((check.header("host"), check.header("x-check")), (Some("h.test"), Some("1")));
    up.store(false, Ordering::SeqCst);
    eventually("the server is out", || (spread(&mut c, 6) == counts(&[("a", 6)])).then_some(()));
    let shown = gateway.admin("/api/http/services/s@file").json();
    assert_eq!(shown["serverStatus"][backends[1].url()], "DOWN", "{shown}");
    up.store(true, Ordering::SeqCst);
    eventually("the server is back", || (spread(&mut c, 6) == counts(&[("a", 3), ("b", 3)])).then_some(()));
    let shown = gateway.admin("/api/http/services/s@file").json();
    assert_eq!(shown["serverStatus"][backends[1].url()], "UP", "{shown}");
}

/// LB-07, LB-01: with all of them down the answer is 503.
#[test]
fn no_server_is_left_when_all_are_down() {
    let backend = Backend::http(|r| Reply::status(if r.path() == "/health" { 500 } else { 200 }));
    let gateway = Gateway::start(&balanced("healthCheck: {path: /health, interval: 100ms}, ", &plain(std::slice::from_ref(&backend))));
    let r = eventually("it is out", || Some(gateway.get("/")).filter(|r| r.status != 200));
    assert_eq!((r.status, r.text()), (503, "no available server\n"));
}

/// LB-10
#[test]
fn weighted_services_are_exact() {
    let backends = named(&["a", "b"]);
    let gateway = Gateway::start(&format!(
        "http:\n  routers:\n    r: {{rule: 'PathPrefix(`/`)', service: w}}\n  services:\n    \
         w: {{weighted: {{services: [{{name: a, weight: 3}}, {{name: inner, weight: 1}}]}}}}\n    \
         inner: {{weighted: {{services: [{{name: b@file}}]}}}}\n    \
         a: {{loadBalancer: {{servers: [{{url: '{}'}}]}}}}\n    b: {{loadBalancer: {{servers: [{{url: '{}'}}]}}}}\n",
        backends[0].url(),
        backends[1].url()
    ));
    assert_eq!(spread(&mut gateway.connect(), 40), counts(&[("a", 30), ("b", 10)]));
}

/// LB-01
#[test]
fn the_host_is_passed_on_unless_told_otherwise() {
    let backend = Backend::named("a");
    for (options, host) in [("", "client.test".to_owned()), ("passHostHeader: false, ", backend.address.to_string())] {
        let gateway = Gateway::start(&balanced(options, &plain(std::slice::from_ref(&backend))));
        let seen = backend.requests().len();
        assert_eq!(gateway.connect().get("client.test", "/").status, 200);
        let r = backend.request(seen);
        assert_eq!((r.header("host"), r.header("x-forwarded-host")), (Some(host.as_str()), Some("client.test")));
    }
}

/// LB-01
#[test]
fn a_server_s_path_counts_only_when_it_is_preserved() {
    let backend = Backend::named("a");
    for (option, target) in [("", "/x?y"), (", preservePath: true", "/base/x?y")] {
        let gateway = Gateway::start(&balanced("", &[format!("{{url: '{}/base'{option}}}", backend.url())]));
        let seen = backend.requests().len();
        assert_eq!(gateway.get("/x?y").status, 200);
        assert_eq!(backend.request(seen).target, target);
    }
}

/// PXY-02: asked for on the gateway's own account, undone on the way back.
#[test]
fn what_a_client_did_not_ask_for_is_not_compressed() {
    // "hello" by gzip.
    const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff\xcbH\xcd\xc9\xc9\x07\0\x86\xa6\x106\x05\0\0\0";
    let backend = Backend::http(|_| Reply::ok(GZIP).header("Content-Encoding", "gzip"));
    let gateway = Gateway::start(&route("PathPrefix(`/`)", &[&backend.url()]));
    let r = gateway.get("/");
    assert_eq!((r.text(), r.header("content-encoding")), ("hello", None));
    assert_eq!(backend.request(0).header("accept-encoding"), Some("gzip"));
    let r = gateway.ask("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!((&r.body[..], r.header("content-encoding")), (GZIP, Some("gzip")));
}

/// STR-01, STR-02: HTTP/2 where the handshake settles on it.
#[test]
fn https_servers_are_verified_and_spoken_to_by_alpn() {
    let pki = Pki::new();
    let both = Backend::tls(pki.server("127.0.0.1", &["h2", "http/1.1"], false), |r| Reply::ok(r.body.clone()));
    let old = Backend::tls(pki.server("127.0.0.1", &[], false), |_| Reply::ok("old"));
    let other = Backend::tls(pki.server("other.test", &["http/1.1"], false), |_| Reply::ok("other"));
    let ca = pki.ca().display().to_string();
    let inline = std::fs::read_to_string(pki.ca()).unwrap().replace('\n', "\\n");
    let gateway = Gateway::start(&format!(
        "http:\n  serversTransports:\n    verified: {{rootCAs: ['{ca}']}}\n    inline: {{rootCAs: [\"{inline}\"]}}\n    \
         h1: {{rootCAs: ['{ca}'], disableHTTP2: true}}\n    named: {{rootCAs: ['{ca}'], serverName: other.test}}\n    blind: {{insecureSkipVerify: true}}\n  \
         services:\n{}  routers:\n{}",
        [
            ("both", &both, "verified"),
            ("inline", &both, "inline"),
            ("h1", &both, "h1"),
            ("old", &old, "verified"),
            ("named", &other, "named"),
            ("misnamed", &other, "verified"),
            ("blind", &other, "blind")
        ]
        .map(|(name, b, t)| format!("    {name}: {{loadBalancer: {{serversTransport: {t}, servers: [{{url: '{}'}}]}}}}\n", b.url()))
        .concat(),
        ["both", "inline", "h1", "old", "named", "misnamed", "blind"]
            .map(|n| format!("    {n}: {{rule: 'Path(`/{n}`)', service: {n}}}\n"))
            .concat(),
    ));
    let mut c = gateway.connect();
    for i in 0..5 {
        let body = format!("message {i}");
        c.send(format!("POST /both HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(c.response().text(), body);
    }
    let seen = both.requests();
    assert!(seen.iter().all(|r| r.version == "HTTP/2.0" && r.connection == 0), "{seen:?}");
    assert_eq!(seen[0].header("host"), Some("a"));
    for (path, status) in [("/inline", 200), ("/h1", 200), ("/old", 200), ("/named", 200), ("/blind", 200), ("/misnamed", 500)] {
        assert_eq!(c.get("a", path).status, status, "{path}");
    }
    assert_eq!(both.request(6).version, "HTTP/1.1");
    assert_eq!(old.request(0).version, "HTTP/1.1");
}

/// STR-01
#[test]
fn servers_may_ask_for_a_client_certificate() {
    let pki = Pki::new();
    let backend = Backend::tls(pki.server("127.0.0.1", &["http/1.1"], true), |_| Reply::ok("known"));
    let (cert, key) = pki.client("client");
    let gateway = Gateway::start(&format!(
        "http:\n  serversTransports:\n    with: {{rootCAs: ['{ca}'], certificates: [{{certFile: '{}', keyFile: '{}'}}]}}\n    without: {{rootCAs: ['{ca}']}}\n  \
         services:\n    with: {{loadBalancer: {{serversTransport: with, servers: [{{url: '{url}'}}]}}}}\n    without: {{loadBalancer: {{serversTransport: without, servers: [{{url: '{url}'}}]}}}}\n  \
         routers:\n    with: {{rule: 'Path(`/with`)', service: with}}\n    without: {{rule: 'Path(`/without`)', service: without}}\n",
        cert.display(),
        key.display(),
        ca = pki.ca().display(),
        url = backend.url(),
    ));
    assert_eq!(gateway.get("/with").text(), "known");
    // The server's alert is a failed connection, as in Go; only a certificate that the gateway itself does not
    // trust is a 500.
    assert_eq!(gateway.get("/without").status, 502);
    assert_eq!(backend.requests().len(), 1);
}

/// A pooled connection that its server closes in the very moment is not the client's business.
#[test]
fn a_stale_connection_is_tried_again() {
    let backend = Backend::raw(|mut raw| {
        while let Some((start, _)) = raw.head() {
            // The first connection takes a second request and ends without an answer.
            if raw.number == 0 && start != "GET /first HTTP/1.1" {
                return;
            }
            raw.write(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", raw.number));
        }
    });
    let gateway = Gateway::start(&route("PathPrefix(`/`)", &[&backend.url()]));
    let mut c = gateway.connect();
    assert_eq!(c.get("a", "/first").text(), "0");
    let r = c.get("a", "/second");
    assert_eq!((r.status, r.text(), backend.connections()), (200, "1", 2));
}

/// What may have had an effect is not sent twice.
#[test]
fn a_post_on_a_stale_connection_is_not_sent_twice() {
    let backend = Backend::raw(|mut raw| {
        while let Some((start, _)) = raw.head() {
            if start.starts_with("POST") {
                return;
            }
            raw.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let gateway = Gateway::start(&route("PathPrefix(`/`)", &[&backend.url()]));
    let mut c = gateway.connect();
    assert_eq!(c.get("a", "/").status, 200);
    c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((c.response().status, backend.connections()), (502, 1));
}

/// A connection that ended while it was idle is seen before anything is sent on it.
#[test]
fn an_ended_connection_is_not_used_again() {
    let backend = Backend::raw(|mut raw| {
        let Some((start, headers)) = raw.head() else { return };
        let n = headers.one("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        std::io::Read::read_exact(&mut raw.io, &mut vec![0; n]).unwrap();
        raw.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{start}", start.len()));
    });
    let gateway = Gateway::start(&route("PathPrefix(`/`)", &[&backend.url()]));
    let mut c = gateway.connect();
    for _ in 0..10 {
        c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        let r = c.response();
        assert_eq!((r.status, r.text()), (200, "POST / HTTP/1.1"));
        eventually("the server has closed", || (backend.open() == 0).then_some(()));
    }
    assert_eq!(backend.connections(), 10);
}

#[test]
fn a_hundred_parallel_requests_are_kept_apart() {
    let gate = Arc::new(Gate::default());
    let held = gate.clone();
    let backend = Backend::http(move |r| {
        held.wait();
        Reply::ok(format!("{} {}", r.target, String::from_utf8_lossy(&r.body)))
    });
    let gateway = Gateway::start(&route("PathPrefix(`/`)", &[&backend.url()]));
    let mut open: Vec<Conn> = (0..100)
        .map(|i| {
            let mut c = gateway.connect();
            let body = format!("body {i}");
            c.send(format!("POST /{i} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
            c
        })
        .collect();
    eventually("all are at the backend at once", || (backend.requests().len() == 100).then_some(()));
    gate.open();
    for (i, c) in open.iter_mut().enumerate() {
        assert_eq!(c.response().text(), format!("/{i} body {i}"));
    }
    // The connections are pooled: a second round opens none.
    let before = backend.connections();
    assert!(before <= 100, "{before}");
    for (i, c) in open.iter_mut().enumerate() {
        assert_eq!(c.get("a", &format!("/again{i}")).text(), format!("/again{i} "));
    }
    assert_eq!(backend.connections(), before);
}

/// STR-04: who has shown who he is on a connection has it for himself.
#[test]
fn connections_that_are_authenticated_are_not_shared() {
    for scheme in ["NTLM", "negotiate TlRM"] {
        let backend = Backend::http(move |r| match r.path() {
            "/login" => Reply::status(401).header("WWW-Authenticate", "Basic realm=x").header("WWW-Authenticate", scheme),
            _ => Reply::status(200),
        });
        let gateway = Gateway::start(&balanced("", &plain(std::slice::from_ref(&backend))));
        let (mut one, mut two) = (gateway.connect(), gateway.connect());
        let over = |c: &mut Conn, path: &str| {
            let seen = backend.requests().len();
            assert!(matches!(c.get("a", path).status, 200 | 401));
            backend.request(seen).connection
        };
        let mut shared = vec![over(&mut one, "/"), over(&mut two, "/"), over(&mut one, "/login")];
        let own = over(&mut one, "/login");
        shared.extend([over(&mut two, "/"), over(&mut two, "/")]);
        assert!(!shared.contains(&own), "{own} of {shared:?}");
        assert_eq!((over(&mut one, "/"), over(&mut one, "/")), (own, own));
        let open = backend.open();
        drop(one);
        eventually("it is closed with the client's", || (backend.open() == open - 1).then_some(()));
    }
}
