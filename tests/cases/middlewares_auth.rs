//! `forwardAuth`, `digestAuth` and `errors` with servers of their own (MW-03, MW-10, MW-11).

use crate::harness::{Backend, Gateway, Pki, Reply, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// One router for everything, with the middleware `m`, whose kind and options are `written`.
fn behind(written: &str, server: &Backend, more: &str) -> String {
    let url = server.url();
    format!(
        "http:\n  routers:\n    r: {{rule: 'PathPrefix(`/`)', service: s, middlewares: [m]}}\n  middlewares:\n    m: {{{written}}}\n  \
         services:\n    s: {{loadBalancer: {{servers: [{{url: '{url}'}}]}}}}\n{more}"
    )
}

fn auth(url: &str, rest: &str) -> String {
    format!("forwardAuth: {{address: '{url}'{rest}}}")
}

/// MW-11
#[test]
fn another_server_decides() {
    let server = Backend::named("server");
    let judge = Backend::http(|r| match r.path() {
        "/ok" => Reply::status(200).header("X-User", "alice"),
        _ => Reply::status(403).header("X-Why", "because"),
    });
    let yes = Gateway::start(&behind(&auth(&format!("{}/ok", judge.url()), ", authResponseHeaders: [X-User]"), &server, ""));
    let r = yes.ask("POST /a?b HTTP/1.1\r\nHost: h.test\r\nX-User: mallory\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!((r.status, r.text()), (200, "server"));
    let (asked, seen) = (judge.request(0), server.request(0));
    assert_eq!((asked.method.as_str(), asked.path(), asked.body.len()), ("GET", "/ok", 0));
    let header = |name: &str| asked.header(name).map(str::to_owned);
    assert_eq!(header("x-forwarded-method").as_deref(), Some("POST"));
    assert_eq!(header("x-forwarded-uri").as_deref(), Some("/a?b"));
    assert_eq!(header("x-forwarded-host").as_deref(), Some("h.test"));
    assert_eq!((seen.header("x-user"), &seen.body[..], seen.header("x-forwarded-method")), (Some("alice"), &b"body"[..], None));
    let no = Gateway::start(&behind(&auth(&format!("{}/no", judge.url()), ""), &server, ""));
    let r = no.get("/");
    assert_eq!((r.status, r.header("x-why")), (403, Some("because")));
    assert_eq!(server.requests().len(), 1);
}

/// Questions go over one connection, one after the other, also when the answers have bodies that nobody needs.
#[test]
fn connections_to_the_server_that_is_asked_are_kept() {
    let (server, judge) = (Backend::named("server"), Backend::http(|_| Reply::ok(vec![b'x'; 100_000])));
    let gateway = Gateway::start(&behind(&auth(&judge.url(), ""), &server, ""));
    let mut c = gateway.connect();
    (0..50).for_each(|_| assert_eq!(c.get("a", "/").status, 200));
    assert_eq!((judge.requests().len(), judge.connections()), (50, 1));
}

/// MW-11: over TLS, by HTTP/2 where the server wants it, and only if its certificate is good.
#[test]
fn the_server_that_is_asked_may_want_tls() {
    let (pki, server) = (Pki::new(), Backend::named("server"));
    let ca = format!("ca: '{}'", pki.ca().display());
    let (cert, key) = pki.client("gateway");
    let own = format!("cert: '{}', key: '{}'", cert.display(), key.display());
    for (alpn, wants_client, tls, status) in [
        (&["http/1.1"][..], false, ca.clone(), 200),
        (&["h2"], false, ca.clone(), 200),
        (&[], false, "insecureSkipVerify: true".to_owned(), 200),
        (&[], false, "insecureSkipVerify: false".to_owned(), 500),
        (&[], true, ca.clone(), 500),
        (&[], true, format!("{ca}, {own}"), 200),
    ] {
        let judge = Backend::tls(pki.server("127.0.0.1", alpn, wants_client), |_| Reply::status(200));
        let gateway = Gateway::start(&behind(&auth(&judge.url(), &format!(", tls: {{{tls}}}")), &server, ""));
        let r = gateway.get("/");
        assert_eq!((r.status, r.text()), (status, if status == 200 { "server" } else { "" }), "{alpn:?} {tls}");
    }
}

/// MW-11: whoever nobody has judged does not pass.
#[test]
fn without_a_judge_nobody_passes() {
    let server = Backend::named("server");
    let secret = "http://user:hunter2@127.0.0.1:1/x?token=hunter3";
    let gateway = Gateway::start(&behind(&auth(secret, ""), &server, ""));
    for _ in 0..3 {
        let r = gateway.get("/");
        assert_eq!((r.status, r.text(), r.header("content-type")), (500, "", None));
    }
    let broken = Backend::raw(|mut raw| {
        raw.head();
        raw.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    });
    assert_eq!(Gateway::start(&behind(&auth(&broken.url(), ""), &server, "")).get("/").status, 500);
    assert!(server.requests().is_empty());
    let log = gateway.log();
    assert!(!log.contains("hunter2") && !log.contains("hunter3"), "{log}");
}

/// A client that goes away takes its question along.
#[test]
fn a_question_of_nobody_is_not_waited_for() {
    let server = Backend::named("server");
    let judge = Backend::raw(|mut raw| {
        raw.head();
        // Never answers; ends with its connection.
        assert!(raw.head().is_none());
    });
    let gateway = Gateway::start(&behind(&auth(&judge.url(), ""), &server, ""));
    let mut c = gateway.connect();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the question is asked", || (judge.open() == 1).then_some(()));
    drop(c);
    eventually("the question is given up", || (judge.open() == 0).then_some(()));
}

fn errors(rest: &str) -> String {
    format!("errors: {{status: ['500-599'], service: pages{rest}}}")
}

fn pages(server: &Backend) -> String {
    format!("    pages: {{loadBalancer: {{servers: [{{url: '{}'}}]}}}}\n", server.url())
}

/// MW-10: the page is that of the service as it is now.
#[test]
fn pages_come_from_a_service() {
    let code = Arc::new(AtomicU16::new(503));
    let wanted = code.clone();
    let server = Backend::http(move |_| Reply::status(wanted.load(Ordering::SeqCst)).header("X-Own", "1"));
    let page = Backend::http(|r| Reply::ok(format!("{} {}", r.method, r.target)).header("X-Page", "1"));
    let gateway = Gateway::start(&behind(&errors(", query: '/{status}?{url}'"), &server, &pages(&page)));
    let r = gateway.ask("POST /x?y HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!((r.status, r.text()), (503, "GET /503?http%3A%2F%2Fa.test%2Fx%3Fy"));
    assert_eq!((r.header("x-page"), r.header("x-own")), (Some("1"), None));
    assert_eq!(page.request(0).body.len(), 0);
    code.store(404, Ordering::SeqCst);
    assert_eq!((gateway.get("/").status, page.requests().len()), (404, 1));
    // Only the service changes: the middleware follows.
    code.store(500, Ordering::SeqCst);
    let other = Backend::named("other page");
    gateway.reload("routing.yml", &behind(&errors(", query: '/{status}?{url}'"), &server, &pages(&other)));
    let r = eventually("the new page", || Some(gateway.get("/")).filter(|r| r.text() == "other page"));
    assert_eq!(r.status, 500);
    // It goes: the router goes too, and comes back with it.
    gateway.reload("routing.yml", &behind(&errors(""), &server, ""));
    eventually("no page, no router", || (gateway.get("/").status == 404).then_some(()));
    gateway.reload("routing.yml", &behind(&errors(""), &server, &pages(&page)));
    eventually("all is back", || (gateway.get("/").text() == "GET /").then_some(()));
}

/// What leads back to itself is an error, said once, and harms nothing else.
#[test]
fn circles_through_services_are_refused() {
    let server = Backend::named("server");
    let url = server.url();
    let gateway = Gateway::start(&format!(
        "http:\n  routers:\n    r: {{rule: 'Path(`/r`)', service: s}}\n    e: {{rule: 'Path(`/e`)', service: plain, middlewares: [m]}}\n    \
         w: {{rule: 'Path(`/w`)', service: w}}\n    good: {{rule: 'Path(`/good`)', service: plain}}\n  middlewares:\n    \
         m: {{errors: {{status: ['500'], service: w}}}}\n    chain: {{chain: {{middlewares: [m]}}}}\n  services:\n    \
         plain: {{loadBalancer: {{servers: [{{url: '{url}'}}]}}}}\n    \
         s: {{middlewares: [chain], loadBalancer: {{servers: [{{url: '{url}'}}]}}}}\n    w: {{weighted: {{services: [{{name: s}}]}}}}\n"
    ));
    let mut c = gateway.connect();
    for (path, status) in [("/r", 404), ("/e", 404), ("/w", 404), ("/good", 200)] {
        assert_eq!(c.get("a", path).status, status, "{path}");
    }
    assert!(gateway.log().contains("in a circle"), "{}", gateway.log());
}
