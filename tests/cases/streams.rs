//! Bodies and connections that go on for a while: streaming, upgrades, trailers, HTTP/2 (PXY-03, PXY-06, EP-15).

use crate::harness::{Backend, Gate, Gateway, Raw, Reply, eventually, h2_request, route};
use bytes::Bytes;
use http::HeaderMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MIB: u64 = 1 << 20;
const LARGE: u64 = 64 * MIB;

fn everything(backend: &Backend) -> String {
    route("PathPrefix(`/`)", &[&backend.url()])
}

/// Reads up to `n` bytes; how many came.
fn swallow(from: &mut impl Read, n: u64) -> u64 {
    std::io::copy(&mut from.take(n), &mut std::io::sink()).unwrap_or(0)
}

/// Uploads `PUT`, downloads `GET`, as long as `LARGE`.
fn large(mut raw: Raw) {
    while let Some((start, headers)) = raw.head() {
        if start.starts_with("PUT") {
            let n: u64 = headers.one("content-length").unwrap().parse().unwrap();
            let got = swallow(&mut raw.io, n).to_string();
            raw.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{got}", got.len()));
        } else {
            raw.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"));
            let piece = vec![b'x'; 64 * 1024];
            for _ in 0..LARGE / piece.len() as u64 {
                if raw.io.get_mut().write_all(&piece).is_err() {
                    return;
                }
            }
        }
    }
}

#[test]
fn large_bodies_are_streamed_in_little_memory() {
    let backend = Backend::raw(large);
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    assert_eq!(c.get("a", "/warm").body.len() as u64, LARGE);
    let before = gateway.rss();
    let mut most = before;
    c.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"));
    let piece = vec![b'y'; MIB as usize];
    for _ in 0..LARGE / MIB {
        c.send(&piece);
        most = most.max(gateway.rss());
    }
    assert_eq!(c.response().text(), LARGE.to_string());
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_, headers) = c.head();
    assert_eq!(headers.one("content-length"), Some(LARGE.to_string().as_str()));
    for _ in 0..LARGE / MIB {
        assert_eq!(swallow(&mut c.io, MIB), MIB);
        most = most.max(gateway.rss());
    }
    let grown = most - before;
    assert!(grown < 16 * MIB, "grew by {} KiB", grown / 1024);
}

/// A client that does not read holds its server back; the gateway does not store what waits.
#[test]
fn a_slow_reader_holds_the_server_back() {
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    let backend = Backend::raw(move |mut raw| {
        raw.head();
        raw.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut chunk = b"10000\r\n".to_vec();
        chunk.resize(7 + 0x10000, b'x');
        chunk.extend(b"\r\n");
        while counted.load(Ordering::SeqCst) < LARGE && raw.io.get_mut().write_all(&chunk).is_ok() {
            counted.fetch_add(0x10000, Ordering::SeqCst);
        }
    });
    let gateway = Gateway::start(&everything(&backend));
    let before = gateway.rss();
    let mut c = gateway.connect();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(c.head().0, "HTTP/1.1 200 OK");
    // Until nothing moves any more.
    let mut last = 0;
    eventually("the server is held back", || {
        std::thread::park_timeout(std::time::Duration::from_millis(100));
        let now = sent.load(Ordering::SeqCst);
        (now > 0 && std::mem::replace(&mut last, now) == now).then_some(())
    });
    assert!(last < LARGE, "everything was taken from the server");
    let grown = gateway.rss().saturating_sub(before);
    assert!(grown < 4 * MIB, "grew by {} KiB", grown / 1024);
}

#[test]
fn the_first_event_arrives_before_the_second_is_sent() {
    let gate = Arc::new(Gate::default());
    let held = gate.clone();
    let backend = Backend::raw(move |mut raw| {
        raw.head();
        raw.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n");
        held.wait();
        raw.write("9\r\ndata: 2\n\n\r\n0\r\n\r\n");
    });
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    assert_eq!(c.head().1.one("content-type"), Some("text/event-stream"));
    assert_eq!(c.chunk().unwrap(), b"data: 1\n\n");
    gate.open();
    assert_eq!((c.chunk(), c.chunk()), (Some(b"data: 2\n\n".to_vec()), None));
}

#[test]
fn a_head_arrives_before_its_body_is_sent() {
    let gate = Arc::new(Gate::default());
    let held = gate.clone();
    let backend = Backend::raw(move |mut raw| {
        raw.head();
        raw.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        held.wait();
        raw.write("hello");
    });
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(c.head().0, "HTTP/1.1 200 OK");
    gate.open();
    assert_eq!(c.exact(5), b"hello");
}

/// The same the other way: a piece of a request body goes out as soon as it is there.
#[test]
fn the_first_piece_of_an_upload_arrives_before_the_second_is_sent() {
    let gate = Arc::new(Gate::default());
    let held = gate.clone();
    let backend = Backend::raw(move |mut raw| {
        raw.head();
        let mut piece = [0; 8];
        raw.io.read_exact(&mut piece).unwrap();
        assert_eq!(&piece, b"3\r\none\r\n");
        held.open();
        raw.io.read_exact(&mut piece).unwrap();
        assert_eq!(&piece, b"3\r\ntwo\r\n");
        raw.write("HTTP/1.1 204 No Content\r\n\r\n");
    });
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    gate.wait();
    c.send("3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(c.response().status, 204);
}

/// PXY-06
#[test]
fn a_body_waits_for_100_continue() {
    let backend = Backend::named("a");
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(c.head().0, "HTTP/1.1 100 Continue");
    assert_eq!(backend.requests().len(), 0);
    c.send("hello");
    let r = c.response();
    assert_eq!((r.status, r.text(), r.interim.len()), (200, "a", 0));
    assert_eq!(backend.request(0).body, b"hello");
}

/// PXY-06: a final answer comes instead of `100 Continue`, and the body is never asked for.
#[test]
fn a_server_may_refuse_a_body_before_it_comes() {
    let backend = Backend::raw(|mut raw| {
        raw.head();
        raw.write("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    });
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let r = c.response();
    assert_eq!((r.status, r.text()), (413, "no"));
    assert!(r.interim.iter().all(|(s, _)| *s != 100), "the body was asked for");
}

/// PXY-06
#[test]
fn early_hints_are_passed_on_before_the_answer() {
    let gate = Arc::new(Gate::default());
    let held = gate.clone();
    let backend = Backend::raw(move |mut raw| {
        raw.head();
        raw.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
        held.wait();
        raw.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (line, headers) = c.head();
    assert_eq!((line.as_str(), headers.one("link")), ("HTTP/1.1 103 Early Hints", Some("</a.css>; rel=preload")));
    gate.open();
    assert_eq!(c.response().text(), "ok");
}

/// PXY-06: those of a response are passed on; those of a request are announced and end at the gateway, as with
/// Traefik, whose proxy clones them before they have come.
#[test]
fn trailers_of_responses_are_passed_on() {
    let backend = Backend::http(|_| Reply::ok("body").header("Trailer", "X-Sum").trailer("X-Sum", "42"));
    let gateway = Gateway::start(&everything(&backend));
    let r = gateway.ask("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Check\r\n\r\n2\r\nab\r\n0\r\nX-Check: 7\r\n\r\n");
    assert_eq!((r.text(), r.header("trailer"), r.trailers.one("x-sum")), ("body", Some("X-Sum"), Some("42")));
    let seen = backend.request(0);
    assert_eq!((&seen.body[..], seen.header("te"), seen.header("trailer")), (&b"ab"[..], Some("trailers"), Some("X-Check")));
    assert_eq!(seen.trailers.0, []);
}

/// PXY-03: bytes both ways, and each side may end first.
#[test]
fn a_websocket_is_relayed_to_the_end_of_both_sides() {
    let backend = Backend::raw(|mut raw| {
        let (_, headers) = raw.head().unwrap();
        assert_eq!(headers.one("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
        assert_eq!(headers.one("upgrade"), Some("websocket"));
        // Servers exist that know only this spelling.
        assert!(headers.0.iter().any(|(n, v)| n == "Sec-WebSocket-Key" && v == "abc=="), "{headers:?}");
        raw.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: xyz\r\n\r\nhello",
        );
        let mut buf = [0; 4096];
        loop {
            match raw.io.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => raw.write(&buf[..n]),
                Err(_) => return,
            }
        }
        // The client has ended; this side has something to say still.
        raw.write("bye");
    });
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: abc==\r\n\r\n");
    let (line, headers) = c.head();
    assert_eq!(line, "HTTP/1.1 101 Switching Protocols");
    assert_eq!((headers.one("upgrade"), headers.one("sec-websocket-accept")), (Some("websocket"), Some("xyz")));
    assert_eq!(c.exact(5), b"hello");
    for i in 0..50u8 {
        let frame = vec![i; 1 + 100 * usize::from(i)];
        c.send(&frame);
        assert_eq!(c.exact(frame.len()), frame);
    }
    c.finish();
    assert_eq!(c.rest(), b"bye");
    eventually("the backend's connection ends", || (backend.open() == 0).then_some(()));
}

/// A connection that is upgraded does not end with the read or idle time-outs of requests, nor does a reload
/// touch it.
#[test]
fn a_websocket_outlives_a_reload() {
    let backend = Backend::raw(|mut raw| {
        raw.head();
        raw.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
        let mut buf = [0; 64];
        while let Ok(n @ 1..) = raw.io.read(&mut buf) {
            raw.write(&buf[..n]);
        }
    });
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(c.head().0, "HTTP/1.1 101 Switching Protocols");
    gateway.reload("routing.yml", "http: {routers: {gone: {rule: 'Path(`/gone`)', service: noop@internal}}}\n");
    eventually("the change is live", || (gateway.get("/gone").status == 418).then_some(()));
    c.send("still here");
    assert_eq!(c.exact(10), b"still here");
}

#[test]
fn a_refused_upgrade_is_an_ordinary_response() {
    let backend = Backend::http(|_| Reply::status(426).header("Upgrade", "other"));
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(c.response().status, 426);
    assert_eq!(c.get("a", "/again").status, 426);
}

fn grpc(path: &str) -> http::Request<()> {
    let request = http::Request::post(format!("http://grpc.test{path}")).version(http::Version::HTTP_2);
    request.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap()
}

/// PXY-06, EP-15: gRPC in shape. Frames in, frames out, status in the trailers.
#[test]
fn grpc_goes_over_h2c_with_its_trailers() {
    let backend = Backend::h2c(|r| match r.path() {
        "/svc/Fail" => Reply::ok("").header("content-type", "application/grpc").trailer("grpc-status", "5").trailer("grpc-message", "none"),
        _ => Reply::ok(r.body.clone()).header("content-type", "application/grpc").trailer("grpc-status", "0"),
    });
    let gateway = Gateway::start(&everything(&backend));
    let message = Bytes::from_static(b"\0\0\0\0\x05hello");
    let a = h2_request(gateway.web(), grpc("/svc/Echo"), vec![message.clone(), message.clone()], None);
    assert_eq!((a.status, &a.body[..], a.trailers.one("grpc-status")), (200, &[&message[..], &message].concat()[..], Some("0")));
    assert_eq!(a.headers.one("content-type"), Some("application/grpc"));
    let seen = backend.request(0);
    assert_eq!((seen.version.as_str(), seen.method.as_str(), seen.target.as_str()), ("HTTP/2.0", "POST", "/svc/Echo"));
    assert_eq!((seen.header("te"), seen.header("host"), seen.header("connection")), (Some("trailers"), Some("grpc.test"), None));
    let a = h2_request(gateway.web(), grpc("/svc/Fail"), vec![message], None);
    assert_eq!((a.status, a.trailers.one("grpc-status"), a.trailers.one("grpc-message")), (200, Some("5"), Some("none")));
}

/// EP-15: HTTP/2 in front, HTTP/1.1 behind.
#[test]
fn h2_clients_reach_h1_servers() {
    let backend = Backend::http(|r| Reply::ok(r.body.clone()).header("Connection", "X-Hop").header("X-Hop", "1").trailer("X-Sum", "42"));
    let gateway = Gateway::start(&everything(&backend));
    let request = http::Request::post("http://a.test/p?q")
        .version(http::Version::HTTP_2)
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(())
        .unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-check", "7".parse().unwrap());
    let a = h2_request(gateway.web(), request, vec!["one".into(), "two".into()], Some(trailers));
    assert_eq!((a.status, &a.body[..], a.trailers.one("x-sum")), (200, &b"onetwo"[..], Some("42")));
    assert_eq!((a.headers.one("connection"), a.headers.one("x-hop"), a.headers.one("transfer-encoding")), (None, None, None));
    let seen = backend.request(0);
    assert_eq!((seen.target.as_str(), seen.header("host"), &seen.body[..]), ("/p?q", Some("a.test"), &b"onetwo"[..]));
    assert_eq!(seen.trailers.0, []);
    // RFC 9113, 8.2.3: one line again for HTTP/1.
    assert_eq!(seen.headers.all("cookie"), ["a=1; b=2"]);
}

/// PXY-05: nobody waits for the answer any more.
#[test]
fn a_client_that_leaves_cancels_its_request() {
    let backend = Backend::raw(|mut raw| {
        raw.head();
        // Ends when the gateway lets go.
        swallow(&mut raw.io, LARGE);
    });
    let gateway = Gateway::start(&everything(&backend));
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"] {
        let mut c = gateway.connect();
        c.send(request);
        eventually("the request is there", || (backend.open() == 1).then_some(()));
        drop(c);
        eventually("the request is cancelled", || (backend.open() == 0).then_some(()));
    }
}

/// And while the answer comes.
#[test]
fn a_client_that_leaves_cancels_its_response() {
    let backend = Backend::raw(|mut raw| {
        raw.head();
        raw.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        _ = raw.io.read(&mut [0; 1]);
    });
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((c.head().0.as_str(), c.chunk()), ("HTTP/1.1 200 OK", Some(b"x".to_vec())));
    drop(c);
    eventually("the response is cancelled", || (backend.open() == 0).then_some(()));
}

/// What nobody asked for belongs to nobody: bytes behind a response never answer the next request.
#[test]
fn bytes_behind_a_response_answer_nobody() {
    const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let backend = Backend::raw(|mut raw| {
        while let Some((start, _)) = raw.head() {
            let answer = match start.split(' ').nth(1).unwrap() {
                "/twice" => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
                "/no-content" => "HTTP/1.1 204 No Content\r\nContent-Length: 46\r\n\r\n",
                "/not-modified" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 46\r\n\r\n",
                "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 46\r\n\r\n",
                "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
                _ => {
                    raw.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright");
                    continue;
                }
            };
            // In one piece, as an attacker behind a server would have it.
            raw.write(format!("{answer}{EVIL}"));
        }
    });
    let gateway = Gateway::start(&everything(&backend));
    for path in ["/twice", "/no-content", "/not-modified", "/head", "/chunked"] {
        let mut c = gateway.connect();
        let head = path == "/head";
        c.send(format!("{} {path} HTTP/1.1\r\nHost: a\r\n\r\n", if head { "HEAD" } else { "GET" }));
        let r = c.try_response(head).unwrap().unwrap();
        assert!(!r.text().contains("evil"), "{path}: {r:?}");
        for _ in 0..4 {
            assert_eq!(c.get("a", "/right").text(), "right", "behind {path}");
        }
    }
}

/// A server that changes the protocol unasked is not joined with a client that did not ask for it.
#[test]
fn an_upgrade_that_was_not_asked_for_is_an_error() {
    let backend = Backend::raw(|mut raw| {
        raw.head();
        raw.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\ntunnel");
        swallow(&mut raw.io, LARGE);
    });
    let gateway = Gateway::start(&everything(&backend));
    for headers in ["", "Connection: Upgrade\r\nUpgrade: other\r\n"] {
        let r = gateway.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
        assert!(matches!(r.status, 500 | 502), "{headers:?}: {r:?}");
    }
    eventually("the backend's connections end", || (backend.open() == 0).then_some(()));
}

/// An answer that comes before the body was read reaches a client that is still sending.
#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    let backend = Backend::raw(|mut raw| {
        raw.head();
        raw.write("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        // A moment's patience with what is on its way, as good servers have it.
        swallow(&mut raw.io, MIB);
    });
    let gateway = Gateway::start(&everything(&backend));
    for _ in 0..5 {
        let mut c = gateway.connect();
        c.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"));
        let mut upload = c.io.get_ref().try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            let piece = [b'x'; 16 * 1024];
            while upload.write_all(&piece).is_ok() {}
        });
        let r = c.response();
        assert_eq!((r.status, r.text(), r.header("connection")), (413, "no", Some("close")));
        drop(c.io.get_ref().shutdown(std::net::Shutdown::Both));
        sender.join().unwrap();
    }
}

#[test]
fn http_1_0_clients_get_bodies_that_they_understand() {
    let backend = Backend::raw(|mut raw| {
        while raw.head().is_some() {
            raw.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        }
    });
    let gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let r = c.response();
    // As in Go, the end of the connection is the end of the body, without a word.
    assert_eq!((r.text(), r.header("transfer-encoding"), r.header("connection")), ("hello", None, None));
    c.assert_closed();
    let fixed = Backend::named("fixed");
    gateway.reload("routing.yml", &everything(&fixed));
    eventually("the change is live", || (gateway.get("/").text() == "fixed").then_some(()));
    let mut c = gateway.connect();
    for _ in 0..3 {
        c.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let r = c.response();
        assert_eq!((r.text(), r.header("connection")), ("fixed", Some("keep-alive")));
    }
    c.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(c.response().text(), "fixed");
    c.assert_closed();
}
