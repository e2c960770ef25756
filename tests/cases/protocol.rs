//! What is wrong with a request, and what goes wrong behind the gateway (EP-08, EP-13, PXY-01, PXY-04, PXY-05).

use crate::harness::{Backend, Conn, Gateway, Pki, Reply, Setup, eventually, free_port, route};
use std::io::Read;
use std::time::{Duration, Instant};

fn everything(backend: &Backend) -> String {
    route("PathPrefix(`/`)", &[&backend.url()])
}

/// Each request is refused with its status; the connection ends, and the backend never hears of it.
#[track_caller]
fn assert_refused(setup: Setup, cases: &[(u16, &[u8])]) {
    let backend = Backend::named("reached");
    let gateway = setup.file("routing.yml", everything(&backend)).start();
    for (status, request) in cases {
        let shown = String::from_utf8_lossy(&request[..request.len().min(200)]);
        let mut c = gateway.connect();
        c.send(request);
        // What would be a second request, should the first one be taken for shorter than it is.
        _ = c.try_send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let r = c.response();
        assert_eq!(r.status, *status, "{shown:?} answered {:?}", r.line);
        assert_eq!(r.header("connection"), Some("close"), "{shown:?}");
        let text = if *status == 501 { "Unsupported transfer encoding".to_owned() } else { r.line["HTTP/1.1 ".len()..].to_owned() };
        assert!(r.text().starts_with(&text), "{shown:?}: {:?}", r.text());
        c.assert_closed();
    }
    assert_eq!((backend.connections(), backend.requests().len()), (0, 0), "the backend was reached");
    // The gateway is none the worse for it.
    assert_eq!(gateway.get("/").text(), "reached");
}

#[test]
fn ambiguous_lengths_are_refused() {
    assert_refused(
        Setup::new(),
        &[
            (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
            (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
            (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd"),
            (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd"),
            (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
            (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nabcd"),
            (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"),
            (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"),
            (400, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            (501, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
            (501, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            (501, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
            (501, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
        ],
    );
}

#[test]
fn malformed_heads_are_refused() {
    assert_refused(
        Setup::new(),
        &[
            (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\tfolded\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n"),
            (400, b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a\r\nX\0: 1\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\x002\r\n\r\n"),
            (400, b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n"),
            (400, b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, b"GET / x HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, b"GET /\r\nHost: a\r\n\r\n"),
            (400, b" GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ],
    );
}

/// Found by fuzzing (host/fuzz, `request`): with a byte above ASCII in the target, what stands before the
/// method was dropped, while the same line without that byte was refused.
#[test]
fn blanks_before_the_method_are_refused_whatever_the_target() {
    assert_refused(
        Setup::new(),
        &[
            (400, b"\x0cGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, b"\x0cGET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, b" GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, b"\tGET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ],
    );
}

#[test]
fn a_bad_host_is_refused() {
    assert_refused(
        Setup::new(),
        &[
            (400, b"GET / HTTP/1.1\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n"),
        ],
    );
}

#[test]
fn other_versions_are_refused() {
    assert_refused(
        Setup::new(),
        &[
            (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
            (505, b"GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
            (505, b"GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
            (400, b"GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
            (400, b"GET / http/1.1\r\nHost: a\r\n\r\n"),
            (400, b"GET / HTTQ/1.1\r\nHost: a\r\n\r\n"),
        ],
    );
}

/// EP-08: the limit, and 4096 bytes above it as Go has them.
#[test]
fn large_heads_are_refused() {
    let setup = || Setup::new().flag("--entrypoints.web.http.maxheaderbytes=2000");
    let head = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(n)).into_bytes();
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(2000)).into_bytes();
    assert_refused(setup(), &[(431, &head(7000)), (431, &head(2000 + 4096)), (431, &many)]);
    let backend = Backend::named("a");
    let gateway = setup().file("routing.yml", everything(&backend)).start();
    // With no end in sight.
    assert_eq!(gateway.ask(format!("GET /{}", "x".repeat(9000))).status, 431);
    assert_eq!(gateway.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(9000))).status, 431);
    assert_eq!(backend.connections(), 0);
    assert_eq!(gateway.ask(head(2000)).status, 200);
}

/// Bodies break later than heads: the head may have gone out, an end must not.
#[test]
fn malformed_chunks_never_make_a_request() {
    let backend = Backend::named("reached");
    let gateway = Gateway::start(&everything(&backend));
    for body in [
        &b"x\r\n\r\n"[..],
        b"-1\r\na\r\n0\r\n\r\n",
        b"0x1\r\na\r\n0\r\n\r\n",
        b"1 1\r\na\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\na\r\n0\r\n\r\n",
        b"1\na\n0\n\n",
        b"1\r\nab\r\n0\r\n\r\n",
        b"1\r\na0\r\n\r\n",
        b"3\r\nabc\r\nzz\r\n\r\n",
        b"1;\rx\r\na\r\n0\r\n\r\n",
        b"0\r\nno trailer\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
    ] {
        let shown = String::from_utf8_lossy(body).into_owned();
        let mut c = gateway.connect();
        c.send([b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", body].concat());
        let r = c.response();
        assert_eq!((r.status, r.header("connection")), (400, Some("close")), "{shown:?}");
        c.assert_closed();
    }
    eventually("the backend's connections end", || (backend.open() == 0).then_some(()));
    assert_eq!(backend.requests().len(), 0, "{:?}", backend.requests());
}

#[test]
fn a_body_that_is_cut_off_never_makes_a_request() {
    let backend = Backend::named("reached");
    let gateway = Gateway::start(&everything(&backend));
    for framing in ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let mut c = gateway.connect();
        c.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
        eventually("the head goes out", || (backend.open() == 1).then_some(()));
        drop(c);
        eventually("the backend's connection ends", || (backend.open() == 0).then_some(()));
    }
    assert_eq!(backend.requests().len(), 0);
}

/// RFC 9112, 2.2 and 2.3: what is odd and harmless is served.
#[test]
fn odd_requests_are_served() {
    let backend = Backend::named("a");
    let gateway = Gateway::start(&everything(&backend));
    for request in [
        &b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.7\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n1;ext=\"v\"\r\nx\r\n0\r\n\r\n",
        b"brew / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(gateway.ask(request).status, 200, "{:?}", String::from_utf8_lossy(request));
    }
    assert_eq!(backend.request(5).body, b"x");
    assert_eq!(backend.request(6).body, b"x");
    assert_eq!(backend.request(7).method, "brew");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::http(|r| Reply::ok(format!("{} {} {}", r.method, r.target, r.body.len())));
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
         POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHEAD /4 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    for wanted in ["GET /1 0", "POST /2 5", "POST /3 3"] {
        assert_eq!(c.response().text(), wanted);
    }
    let head = c.try_response(true).unwrap().unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("9")));
    let last = c.response();
    assert_eq!((last.text(), last.header("connection")), ("GET /5 0", Some("close")));
    c.assert_closed();
    assert!(backend.requests().iter().all(|r| r.target != "/never"));
}

#[test]
fn nothing_behind_a_refused_request_is_served() {
    let backend = Backend::named("a");
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((c.response().status, c.response().status), (200, 400));
    c.assert_closed();
    assert_eq!(backend.requests().len(), 1);
}

/// EP-13
#[test]
fn slow_requests_are_ended_by_the_read_timeout() {
    let backend = Backend::named("a");
    let gateway = Setup::new()
        .file("routing.yml", everything(&backend))
        .flag("--entrypoints.web.transport.respondingtimeouts.readtimeout=400ms")
        .start();
    // Nothing, a part of a head, and a byte now and then.
    for start in ["", "GET / HTTP/1.1\r\nHost: a\r\nX: "] {
        let (begin, mut c) = (Instant::now(), gateway.connect());
        c.send(start);
        c.assert_closed();
        assert!(begin.elapsed() >= Duration::from_millis(390), "{start:?} was ended after {:?}", begin.elapsed());
        assert!(begin.elapsed() < Duration::from_secs(3), "{start:?} was ended after {:?}", begin.elapsed());
    }
    let (begin, mut c) = (Instant::now(), gateway.connect());
    c.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
    while c.try_send(b"x").is_ok() {
        std::thread::park_timeout(Duration::from_millis(30));
        assert!(begin.elapsed() < Duration::from_secs(3), "a byte now and then keeps a connection");
    }
    assert_eq!(backend.connections(), 0);
    // A body counts too.
    let mut c = gateway.connect();
    c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    let r = c.response();
    assert_eq!((r.status, r.header("connection")), (504, Some("close")));
    c.assert_closed();
    assert_eq!(backend.requests().len(), 0);
}

/// EP-13
#[test]
fn idle_connections_are_ended_by_the_idle_timeout() {
    let backend = Backend::named("a");
    let gateway = Setup::new()
        .file("routing.yml", everything(&backend))
        .flag("--entrypoints.web.transport.respondingtimeouts.idletimeout=400ms")
        .start();
    let mut c = gateway.connect();
    for _ in 0..3 {
        assert_eq!(c.get("a", "/").status, 200);
    }
    let begin = Instant::now();
    c.assert_closed();
    assert!((390..3000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
}

/// EP-13
#[test]
fn a_slow_answer_is_ended_by_the_write_timeout() {
    let backend = Backend::raw(|mut raw| {
        raw.head();
        // No answer, until the gateway has enough of it.
        raw.head();
    });
    let gateway = Setup::new()
        .file("routing.yml", everything(&backend))
        .flag("--entrypoints.web.transport.respondingtimeouts.writetimeout=400ms")
        .start();
    let (begin, mut c) = (Instant::now(), gateway.connect());
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    c.assert_closed();
    assert!((390..3000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    eventually("the request to the backend is cancelled", || (backend.open() == 0).then_some(()));
}

/// EP-13
#[test]
fn a_connection_ends_after_its_last_allowed_request() {
    let backend = Backend::named("a");
    let gateway = Setup::new().file("routing.yml", everything(&backend)).flag("--entrypoints.web.transport.keepalivemaxrequests=3").start();
    let mut c = gateway.connect();
    let seen: Vec<_> = (0..3).map(|_| c.get("a", "/").header("connection").map(str::to_owned)).collect();
    assert_eq!(seen, [None, None, Some("close".to_owned())]);
    c.assert_closed();
}

/// PXY-01, PXY-07, EP-10: what the backend gets, byte by byte.
#[test]
fn a_request_reaches_the_backend_as_it_came() {
    let backend = Backend::named("a");
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    let local = c.io.get_ref().local_addr().unwrap().ip().to_string();
    c.send(
        "GET /p%2Fq/./r?b=2&a=%20;x HTTP/1.1\r\nHost: example.test:81\r\nX-One: 1\r\nx-two: 2\r\nX-One: 3\r\nUser-Agent: test\r\nAccept-Encoding: br\r\n\
         Connection: keep-alive, X-Hop\r\nX-Hop: gone\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: y\r\nTE: gzip\r\n\
         X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n\r\n",
    );
    assert_eq!(c.response().status, 200);
    let r = backend.request(0);
    assert_eq!((r.method.as_str(), r.target.as_str(), r.version.as_str()), ("GET", "/p%2Fq/r?b=2&a=%20&x", "HTTP/1.1"));
    let port = gateway.web().port().to_string();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let mut seen: Vec<(&str, &str)> = r.headers.0.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    seen.sort_unstable();
    let mut wanted = vec![
        ("Host", "example.test:81"),
        ("X-One", "1"),
        ("X-One", "3"),
        ("X-Two", "2"),
        ("User-Agent", "test"),
        ("Accept-Encoding", "br"),
        ("X-Forwarded-For", local.as_str()),
        ("X-Forwarded-Host", "example.test:81"),
        ("X-Forwarded-Port", "81"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Server", host.trim()),
        ("X-Real-Ip", local.as_str()),
    ];
    wanted.sort_unstable();
    assert_eq!(seen, wanted, "the gateway listens on {port}");
}

/// PXY-04
#[test]
fn targets_of_other_forms() {
    let backend = Backend::http(|r| Reply::ok(format!("{} {}", r.target, r.header("host").unwrap_or("-"))));
    let gateway = Gateway::start(&everything(&backend));
    assert_eq!(gateway.ask("GET http://b.test/x?y HTTP/1.1\r\nHost: a\r\n\r\n").text(), "/x?y b.test");
    assert_eq!(gateway.ask("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").status, 501);
    // As in Go: a target like any other, which no `PathPrefix` matches.
    assert_eq!(gateway.ask("GET * HTTP/1.1\r\nHost: a\r\n\r\n").status, 404);
    for bad in ["GET x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"] {
        assert_eq!(gateway.ask(bad).status, 400, "{bad:?}");
    }
    assert_eq!(backend.requests().len(), 1);
}

/// PXY-05, LB-01
#[test]
fn failures_of_servers_have_their_status() {
    let pki = Pki::new();
    let silent = Backend::raw(|mut raw| {
        raw.head();
        raw.head();
    });
    let rude = Backend::raw(|mut raw| _ = raw.head());
    let garbage = Backend::raw(|mut raw| {
        raw.head();
        raw.write("SSH-2.0-OpenSSH_9.9\r\n\r\n");
    });
    let tls = Backend::tls(pki.server("127.0.0.1", &["http/1.1"], false), |_| Reply::ok("tls"));
    let plain = Backend::raw(|mut raw| {
        _ = raw.io.read(&mut [0; 1]);
        raw.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        _ = raw.io.read(&mut [0; 4096]);
    });
    let servers = [
        ("refused", format!("http://127.0.0.1:{}", free_port()), 502, "Bad Gateway"),
        ("rude", rude.url(), 502, "Bad Gateway"),
        ("silent", silent.url(), 504, "Gateway Timeout"),
        ("garbage", garbage.url(), 500, "Internal Server Error"),
        ("untrusted", tls.url(), 500, "Internal Server Error"),
        ("notls", plain.url().replace("http:", "https:"), 500, "Internal Server Error"),
        ("nohost", "http://no.such.host.invalid".to_owned(), 502, "Bad Gateway"),
    ];
    let mut text = String::from(
        "http:\n  serversTransports: {t: {forwardingTimeouts: {responseHeaderTimeout: 300ms}}}\n  services:\n    none: {loadBalancer: {servers: []}}\n",
    );
    for (name, url, ..) in &servers {
        text += &format!("    {name}: {{loadBalancer: {{serversTransport: t, servers: [{{url: '{url}'}}]}}}}\n");
    }
    text += "  routers:\n    none: {rule: 'Path(`/none`)', service: none}\n";
    for (name, ..) in &servers {
        text += &format!("    {name}: {{rule: 'Path(`/{name}`)', service: {name}}}\n");
    }
    let gateway = Gateway::start(&text);
    let mut c = gateway.connect();
    for (name, _, status, body) in &servers {
        let r = c.get("a", &format!("/{name}"));
        assert_eq!((r.status, r.text()), (*status, *body), "{name}");
    }
    let r = c.get("a", "/none");
    assert_eq!((r.status, r.text()), (503, "no available server\n"));
    let r = c.get("a", "/unrouted");
    assert_eq!((r.status, r.text(), r.header("content-type")), (404, "404 page not found\n", Some("text/plain; charset=utf-8")));
}

/// What a server says wrong is not passed on as if it were right.
#[test]
fn malformed_responses_are_not_passed_on() {
    let scripts: [(&str, u16); 6] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 500),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab", 500),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab", 500),
        ("HTTP/1.1 200 OK\r\nX\0: 1\r\n\r\n", 500),
        ("HTTP/1.1 2000 OK\r\n\r\n", 500),
        ("HTTP/1.1 200 OK\r\nX: 1", 500),
    ];
    let backend = Backend::raw(move |mut raw| {
        while let Some((start, _)) = raw.head() {
            let n: usize = start[5..].split(' ').next().unwrap().parse().unwrap();
            raw.write(scripts[n].0);
            if n == 5 {
                return;
            }
        }
    });
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    for (n, (text, status)) in scripts.iter().enumerate() {
        assert_eq!(c.get("a", &format!("/{n}")).status, *status, "{text:?}");
    }
}

/// A body that ends early must not look whole.
#[test]
fn a_response_that_is_cut_off_is_cut_off_for_the_client_too() {
    let backend = Backend::raw(|mut raw| {
        let Some((start, _)) = raw.head() else { return };
        raw.write(match start.as_str() {
            "GET /length HTTP/1.1" => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
            _ => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        });
    });
    let gateway = Gateway::start(&everything(&backend));
    for path in ["/length", "/chunked"] {
        let mut c = Conn::open(gateway.web());
        c.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let (line, _) = c.head();
        assert_eq!(line, "HTTP/1.1 200 OK");
        let rest = c.rest();
        let text = String::from_utf8_lossy(&rest);
        assert!(text.contains("hello") && !text.contains("0\r\n\r\n"), "{path}: {text:?}");
    }
}

/// EP-11: `Connection` must not talk the gateway out of what it says about the client.
#[test]
fn connection_cannot_remove_forwarding_headers() {
    let backend = Backend::named("a");
    let gateway = Gateway::start(&everything(&backend));
    let names = "Host, X-Forwarded-For, X-Real-Ip, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Port, X-Forwarded-Server";
    assert_eq!(gateway.ask(format!("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close, {names}\r\n\r\n")).status, 200);
    let r = backend.request(0);
    for name in names.split(", ") {
        assert_eq!(r.headers.all(name).len(), 1, "{name}: {r:?}");
    }
    assert_eq!(
        (r.header("x-forwarded-for"), r.header("x-real-ip"), r.header("host")),
        (Some("127.0.0.1"), Some("127.0.0.1"), Some("a.test"))
    );
}

/// EP-10: believed when they come from where they are trusted to come from.
#[test]
fn forwarding_headers_are_believed_where_they_are_trusted() {
    let backend = Backend::named("a");
    let forwarded = "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX_Forwarded_Proto: wss\r\nX-Real-Ip: 8.8.8.8\r\n\r\n";
    for (flag, wanted) in [
        ("--entrypoints.web.forwardedheaders.trustedips=127.0.0.0/8", ["9.9.9.9, 127.0.0.1", "https", "8.8.8.8"]),
        ("--entrypoints.web.forwardedheaders.insecure", ["9.9.9.9, 127.0.0.1", "https", "8.8.8.8"]),
        ("--entrypoints.web.forwardedheaders.trustedips=10.0.0.0/8", ["127.0.0.1", "http", "127.0.0.1"]),
    ] {
        let gateway = Setup::new().file("routing.yml", everything(&backend)).flag(flag).start();
        let n = backend.requests().len();
        assert_eq!(gateway.ask(forwarded).status, 200);
        let r = backend.request(n);
        assert_eq!(["x-forwarded-for", "x-forwarded-proto", "x-real-ip"].map(|h| r.headers.all(h).join("|")), wanted, "{flag}");
    }
}
