//! HTTP/2 frame by frame: what a well-behaved client library never sends, and what must not get past the
//! gateway to servers that speak HTTP/1 (EP-15).

use crate::harness::{Backend, Conn, Gate, Gateway, Reply, Setup, eventually, route};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A connection of frames, opened and past its settings.
struct Http2 {
    conn: Conn,
    settings: Vec<(u16, u32)>,
}

impl Http2 {
    fn open(gateway: &Gateway) -> Http2 {
        let mut conn = gateway.connect();
        conn.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut this = Http2 { conn, settings: Vec::new() };
        this.frame(SETTINGS, 0, 0, b"");
        let settings = this.next().expect("no settings");
        assert_eq!((settings.kind, settings.flags), (SETTINGS, 0));
        let number = |b: &[u8]| b.iter().fold(0, |n, b| n << 8 | u32::from(*b));
        this.settings = settings.payload.chunks(6).map(|c| (number(&c[..2]) as u16, number(&c[2..]))).collect();
        this.frame(SETTINGS, 1, 0, b"");
        this
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        out.extend([kind, flags]);
        out.extend(stream.to_be_bytes());
        out.extend(payload);
        _ = self.conn.try_send(&out);
    }

    /// A head as literals, none of which is indexed.
    fn request(&mut self, stream: u32, flags: u8, headers: &[(&str, &[u8])]) {
        let mut block = Vec::new();
        for (name, value) in headers {
            block.extend([0, name.len() as u8]);
            block.extend(name.bytes());
            block.push(value.len() as u8);
            block.extend(*value);
        }
        self.frame(HEADERS, END_HEADERS | flags, stream, &block);
    }

    fn get(&mut self, stream: u32, path: &str) {
        self.request(stream, END_STREAM, &[(":method", b"GET"), (":scheme", b"http"), (":authority", b"a"), (":path", path.as_bytes())]);
    }

    /// `None` at the end of the connection.
    fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.conn.io.read_exact(&mut head).ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.conn.io.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// What became of a stream: its status if that is one of HPACK's own, or an error of the stream or of
    /// the whole connection.
    fn outcome(&mut self, stream: u32) -> Outcome {
        while let Some(f) = self.next() {
            match f.kind {
                // Literal statuses begin with another byte: 431 is the one that is looked for.
                HEADERS if f.stream == stream => {
                    return match f.payload[0] {
                        0x88 => Outcome::Status(200),
                        0x8c => Outcome::Status(400),
                        0x8d => Outcome::Status(404),
                        0x8e => Outcome::Status(500),
                        _ => Outcome::OtherStatus,
                    };
                }
                RST_STREAM if f.stream == stream => return Outcome::Reset,
                GOAWAY => return Outcome::GoAway,
                _ => {}
            }
        }
        Outcome::Closed
    }
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Outcome {
    Status(u16),
    OtherStatus,
    Reset,
    GoAway,
    Closed,
}

fn everything(backend: &Backend) -> String {
    route("PathPrefix(`/`)", &[&backend.url()])
}

#[test]
fn the_limits_are_announced() {
    let gateway = Setup::new()
        .flag("--entrypoints.web.http2.maxconcurrentstreams=7")
        .flag("--entrypoints.web.http2.maxdecoderheadertablesize=1024")
        .start();
    let settings = Http2::open(&gateway).settings;
    assert!(settings.contains(&(3, 7)), "MAX_CONCURRENT_STREAMS: {settings:?}");
    assert!(settings.contains(&(1, 1024)), "HEADER_TABLE_SIZE: {settings:?}");
}

/// What HTTP/2 forbids would be a second request, or another one, once it is written as HTTP/1.
#[test]
fn malformed_requests_do_not_reach_http1_servers() {
    let backend = Backend::named("reached");
    let gateway = Gateway::start(&everything(&backend));
    let base: [(&str, &[u8]); 4] = [(":method", b"POST"), (":scheme", b"http"), (":authority", b"a"), (":path", b"/")];
    let with = |more: &[(&'static str, &'static [u8])]| [&base[..], more].concat();
    let without = |name: &str| base.iter().copied().filter(|(n, _)| *n != name).collect::<Vec<_>>();
    let instead = |name: &'static str, value: &'static [u8]| {
        base.iter().map(|(n, v)| if *n == name { (name, value) } else { (*n, *v) }).collect::<Vec<_>>()
    };
    for headers in [
        with(&[("connection", b"close")]),
        with(&[("transfer-encoding", b"chunked")]),
        with(&[("upgrade", b"websocket")]),
        with(&[("te", b"gzip")]),
        with(&[("X-Upper", b"1")]),
        with(&[("x y", b"1")]),
        with(&[("x", b"1\r\nhost: b")]),
        with(&[("x", b"1\0")]),
        with(&[("x: 1\r\ny", b"1")]),
        with(&[(":path", b"/b")]),
        with(&[("x", b"1"), (":method", b"GET")]),
        with(&[(":unknown", b"1")]),
        with(&[("content-length", b"x")]),
        with(&[("content-length", b"5"), ("content-length", b"6")]),
        without(":method"),
        without(":path"),
        instead(":path", b""),
        instead(":path", b"/ HTTP/1.1\r\nhost: b\r\n\r\nGET /b"),
        instead(":path", b"/a b"),
        instead(":method", b"GET / HTTP/1.1\r\n"),
        instead(":authority", b"a b"),
        instead(":authority", b"a\r\nx: y"),
        instead(":authority", b"u@a"),
    ] {
        let shown: Vec<_> = headers.iter().map(|(n, v)| format!("{n}: {}", String::from_utf8_lossy(v))).collect();
        let mut c = Http2::open(&gateway);
        c.request(1, END_STREAM, &headers);
        let outcome = c.outcome(1);
        assert!(matches!(outcome, Outcome::Status(400) | Outcome::Reset | Outcome::GoAway | Outcome::Closed), "{shown:?}: {outcome:?}");
        assert_eq!(backend.requests().len(), 0, "{shown:?}: {:?}", backend.requests());
    }
    assert_eq!(gateway.get("/").text(), "reached");
}

/// As in Go: `:authority` is the host, and a `host` beside it is dropped.
#[test]
fn the_authority_is_the_only_host() {
    let backend = Backend::named("a");
    let gateway = Gateway::start(&everything(&backend));
    let mut c = Http2::open(&gateway);
    c.request(1, END_STREAM, &[(":method", b"GET"), (":scheme", b"http"), (":authority", b"a.test"), (":path", b"/"), ("host", b"b.test")]);
    assert_eq!(c.outcome(1), Outcome::Status(200));
    assert_eq!(backend.request(0).headers.all("host"), ["a.test"]);
}

/// More or less body than was announced is never a whole request behind the gateway.
#[test]
fn a_body_of_another_length_does_not_make_a_request() {
    let backend = Backend::named("reached");
    let gateway = Gateway::start(&everything(&backend));
    for (announced, body) in [(&b"5"[..], &b"abc"[..]), (b"3", b"abcGET / HTTP/1.1\r\n"), (b"0", b"x"), (b"5", b"")] {
        let mut c = Http2::open(&gateway);
        c.request(
            1,
            0,
            &[(":method", b"POST"), (":scheme", b"http"), (":authority", b"a"), (":path", b"/"), ("content-length", announced)],
        );
        c.frame(DATA, END_STREAM, 1, body);
        let outcome = c.outcome(1);
        assert_ne!(outcome, Outcome::Status(200), "{announced:?} {body:?}");
    }
    eventually("the backend's connections end", || (backend.open() == 0).then_some(()));
    assert_eq!(backend.requests().len(), 0, "{:?}", backend.requests());
}

/// With its head alone it would be whole for a server, so its end is waited for.
#[test]
fn a_request_that_declares_no_bytes_is_sent_when_it_has_ended() {
    let backend = Backend::named("reached");
    let gateway = Gateway::start(&everything(&backend));
    let nothing: [(&str, &[u8]); 5] =
        [(":method", b"POST"), (":scheme", b"http"), (":authority", b"a"), (":path", b"/"), ("content-length", b"0")];
    let mut c = Http2::open(&gateway);
    c.request(1, 0, &nothing);
    c.request(3, 0, &nothing);
    // One that comes later is answered: the gateway has seen those before it.
    c.get(5, "/later");
    assert_eq!(c.outcome(5), Outcome::Status(200));
    c.frame(DATA, 0, 3, b"");
    c.frame(DATA, END_STREAM, 3, b"");
    assert_eq!(c.outcome(3), Outcome::Status(200));
    c.frame(DATA, END_STREAM, 1, b"x");
    assert_eq!(c.outcome(1), Outcome::Reset);
    let seen: Vec<_> = backend.requests().iter().map(|r| (r.path().to_owned(), r.header("content-length").map(str::to_owned))).collect();
    assert_eq!(seen, [("/later".to_owned(), None), ("/".to_owned(), Some("0".to_owned()))]);
}

/// EP-08
#[test]
fn large_heads_are_refused_over_http2_too() {
    let backend = Backend::named("reached");
    let gateway = Setup::new().file("routing.yml", everything(&backend)).flag("--entrypoints.web.http.maxheaderbytes=2000").start();
    let value = [b'x'; 250];
    let mut headers: Vec<(&str, &[u8])> = vec![(":method", b"GET"), (":scheme", b"http"), (":authority", b"a"), (":path", b"/")];
    headers.extend((0..40).map(|_| ("x-large", &value[..])));
    let mut c = Http2::open(&gateway);
    c.request(1, END_STREAM, &headers);
    let outcome = c.outcome(1);
    assert!(!matches!(outcome, Outcome::Status(_)), "{outcome:?}");
    assert_eq!(backend.connections(), 0);
}

/// CVE-2023-44487: streams that are opened and reset at once cost the client its connection, not the gateway
/// its life, and servers not more requests than may be open.
#[test]
fn a_rapid_reset_is_survived() {
    let gate = Arc::new(Gate::default());
    let held = gate.clone();
    let backend = Backend::http(move |r| {
        if r.path() == "/held" {
            held.wait();
        }
        Reply::ok("a")
    });
    let gateway = Gateway::start(&everything(&backend));
    let before = gateway.rss();
    let mut c = Http2::open(&gateway);
    for i in 0..20_000u32 {
        c.get(2 * i + 1, "/held");
        c.frame(RST_STREAM, 0, 2 * i + 1, &[0, 0, 0, 8]);
    }
    // The connection has ended, or answers still.
    c.frame(PING, 0, 0, b"12345678");
    while c.next().is_some_and(|f| f.kind != PING && f.kind != GOAWAY) {}
    gate.open();
    assert_eq!(gateway.get("/").text(), "a");
    let grown = gateway.settled_rss().saturating_sub(before);
    assert!(grown < 32 << 20, "grew by {} KiB", grown / 1024);
    eventually("nothing is left at the backend", || (backend.open() <= 4).then_some(()));
}

/// Continuation frames without an end (CVE-2024-27316).
#[test]
fn endless_continuations_are_cut_off() {
    let gateway = Setup::new().start();
    let before = gateway.rss();
    let mut c = Http2::open(&gateway);
    c.frame(HEADERS, 0, 1, &[0, 1, b'x', 1, b'y']);
    let block: Vec<u8> = [0, 1, b'x', 100].into_iter().chain([b'y'; 100]).cycle().take(104 * 150).collect();
    for _ in 0..4000 {
        c.frame(9, 0, 1, &block);
    }
    let outcome = c.outcome(1);
    assert!(matches!(outcome, Outcome::GoAway | Outcome::Closed | Outcome::Reset | Outcome::OtherStatus), "{outcome:?}");
    assert_eq!(gateway.get("/").status, 404);
    let grown = gateway.rss().saturating_sub(before);
    assert!(grown < 16 << 20, "grew by {} KiB", grown / 1024);
}

/// EP-14
#[test]
fn sigterm_lets_open_streams_finish_and_says_goodbye() {
    let gate = Arc::new(Gate::default());
    let held = gate.clone();
    let backend = Backend::http(move |_| {
        held.wait();
        Reply::ok("done")
    });
    let mut gateway = Gateway::start(&everything(&backend));
    let mut idle = Http2::open(&gateway);
    let mut c = Http2::open(&gateway);
    c.get(1, "/");
    backend.request(0);
    gateway.signal(libc::SIGTERM);
    eventually("nothing more is accepted", || Conn::try_open(gateway.web()).is_err().then_some(()));
    while idle.next().is_some() {}
    gate.open();
    let (mut status, mut body, mut goodbye) = (0, Vec::new(), false);
    while let Some(f) = c.next() {
        match f.kind {
            HEADERS => status = f.payload[0],
            DATA => body.extend(f.payload),
            GOAWAY => goodbye = true,
            _ => {}
        }
    }
    assert_eq!((status, &body[..], goodbye), (0x88, &b"done"[..], true));
    assert_eq!(gateway.wait().code(), Some(0));
}

/// Many streams of one client share few connections to an HTTP/2 server.
#[test]
fn streams_share_connections_to_http2_servers() {
    let backend = Backend::h2c(|r| Reply::ok(r.target.clone()));
    let gateway = Gateway::start(&everything(&backend));
    let mut c = Http2::open(&gateway);
    c.get(1, "/1");
    assert_eq!(c.outcome(1), Outcome::Status(200));
    for i in 1..100u32 {
        c.get(2 * i + 1, &format!("/{i}"));
    }
    let mut open: Vec<u32> = (1..100).map(|i| 2 * i + 1).collect();
    while !open.is_empty() {
        let f = c.next().expect("the connection ended");
        assert!(!matches!(f.kind, RST_STREAM | GOAWAY), "{f:?}");
        if f.flags & END_STREAM != 0 && matches!(f.kind, DATA | HEADERS) {
            open.retain(|s| *s != f.stream);
        }
    }
    assert_eq!((backend.requests().len(), backend.connections()), (100, 1));
}

#[test]
fn a_reset_stream_cancels_its_request() {
    let backend = Backend::raw(|mut raw| {
        raw.head();
        _ = raw.io.read(&mut [0; 1]);
    });
    let gateway = Gateway::start(&everything(&backend));
    let mut c = Http2::open(&gateway);
    c.get(1, "/");
    eventually("the request is there", || (backend.open() == 1).then_some(()));
    c.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    eventually("the request is cancelled", || (backend.open() == 0).then_some(()));
    // The connection goes on.
    c.get(3, "/");
    eventually("the next request is there", || (backend.open() == 1).then_some(()));
    drop(c);
    eventually("all requests are cancelled with the connection", || (backend.open() == 0).then_some(()));
}

/// EP-13
#[test]
fn idle_connections_are_ended_by_the_idle_timeout() {
    let gateway = Setup::new().flag("--entrypoints.web.transport.respondingtimeouts.idletimeout=400ms").start();
    let mut c = Http2::open(&gateway);
    c.get(1, "/");
    assert_eq!(c.outcome(1), Outcome::Status(404));
    let begin = Instant::now();
    while c.next().is_some() {}
    assert!((300..4000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
}

/// A window that is never opened holds the server back; the gateway does not store what waits.
#[test]
fn a_slow_reader_holds_the_server_back() {
    const LARGE: u64 = 64 << 20;
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    let backend = Backend::raw(move |mut raw| {
        raw.head();
        raw.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"));
        let piece = [b'x'; 0x10000];
        while counted.load(Ordering::SeqCst) < LARGE && raw.io.get_mut().write_all(&piece).is_ok() {
            counted.fetch_add(0x10000, Ordering::SeqCst);
        }
    });
    let gateway = Gateway::start(&everything(&backend));
    let before = gateway.rss();
    let mut c = Http2::open(&gateway);
    c.get(1, "/");
    assert_eq!(c.outcome(1), Outcome::Status(200));
    let mut last = 0;
    eventually("the server is held back", || {
        std::thread::park_timeout(Duration::from_millis(100));
        let now = sent.load(Ordering::SeqCst);
        (now > 0 && std::mem::replace(&mut last, now) == now).then_some(())
    });
    assert!(last < LARGE, "everything was taken from the server");
    let grown = gateway.rss().saturating_sub(before);
    assert!(grown < 4 << 20, "grew by {} KiB", grown / 1024);
}
