//! What a client of HTTP/3 can make the gateway hold, and what hostile ones get (EP-16).

use super::http3::{everything, setup};
use crate::harness::{Backend, Gateway, H3Conn, Reply, TlsClient, eventually, exchange};
use bytes::Bytes;
use http::Request;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const LARGE: u64 = 100 * MIB;

/// Answers every request with `LARGE` bytes, and counts what it got rid of.
fn endless() -> (Backend, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let count = sent.clone();
    let backend = Backend::raw(move |mut raw| {
        while raw.head().is_some() {
            raw.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"));
            let piece = vec![b'x'; 64 * 1024];
            for _ in 0..LARGE / piece.len() as u64 {
                if raw.io.get_mut().write_all(&piece).is_err() {
                    return;
                }
                count.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
        }
    });
    (backend, sent)
}

/// Until nothing moves any more; what has moved then.
fn at_rest(counter: &AtomicU64) -> u64 {
    let mut last = (counter.load(Ordering::SeqCst), Instant::now());
    eventually("nothing moves", || {
        let now = counter.load(Ordering::SeqCst);
        if now != last.0 || now == 0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_secs(1)).then_some(())
    });
    last.0
}

#[test]
fn a_large_download_takes_little_memory() {
    let (backend, _) = endless();
    let gateway = setup(everything(&backend, "")).start();
    let c = H3Conn::open(gateway.web(), "a.test");
    let before = gateway.rss();
    let mut requests = c.requests();
    let mut most = 0;
    let got = c.run(async {
        let mut stream = requests.send_request(Request::get("https://a.test/").body(()).unwrap()).await.unwrap();
        stream.finish().await.unwrap();
        stream.recv_response().await.unwrap();
        let mut got = 0;
        while let Some(data) = stream.recv_data().await.unwrap() {
            got += bytes::Buf::remaining(&data) as u64;
            if got % (8 * MIB) < 65_536 {
                most = most.max(gateway.rss());
            }
        }
        got
    });
    assert_eq!(got, LARGE);
    let grown = most.saturating_sub(before);
    assert!(grown < 24 * MIB, "grew by {} KiB", grown / 1024);
}

/// The client's windows allow a GiB; it just does not come to its packets, so nothing is acknowledged.
#[test]
fn clients_that_do_not_read_cost_little() {
    let (backend, sent) = endless();
    let gateway = setup(everything(&backend, "")).start();
    let before = gateway.settled_rss();
    const CLIENTS: usize = 4;
    const STREAMS: usize = 25;
    let clients: Vec<H3Conn> = (0..CLIENTS)
        .map(|_| {
            let c = H3Conn::open(gateway.web(), "a.test");
            for _ in 0..STREAMS {
                let stream = c.begin(Request::get("https://a.test/").body(()).unwrap());
                // Dropped, it would tell the gateway that it wants nothing.
                std::mem::forget(stream);
            }
            c
        })
        .collect();
    eventually("all have asked", || (backend.connections() >= CLIENTS * STREAMS / 2).then_some(()));
    let taken = at_rest(&sent);
    let grown = gateway.settled_rss().saturating_sub(before);
    // Most of it waits in the kernel, between service and gateway.
    assert!(taken < CLIENTS as u64 * STREAMS as u64 * 8 * MIB, "{} MiB left the service", taken / MIB);
    assert!(grown < 32 * MIB, "grew by {} KiB for {CLIENTS} clients", grown / 1024);
    // Others do not notice.
    let mut requests = H3Conn::open(gateway.web(), "a.test");
    assert_eq!(requests.get("unknown.test", "/").status, 200);
    requests = clients.into_iter().next().unwrap();
    assert_eq!(requests.quic.close_reason(), None);
}

#[test]
fn uploads_that_nobody_reads_wait_at_the_client() {
    let backend = Backend::raw(|mut raw| {
        if raw.head().is_some_and(|(start, _)| start.starts_with("GET")) {
            raw.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
        }
        let (_keep, wait) = std::sync::mpsc::channel::<()>();
        let _ = wait.recv_timeout(Duration::from_secs(30));
    });
    let gateway = setup(everything(&backend, "")).start();
    let c = H3Conn::open(gateway.web(), "a.test");
    let before = gateway.settled_rss();
    let sent = Arc::new(AtomicU64::new(0));
    for _ in 0..8 {
        let (mut requests, sent) = (c.requests(), sent.clone());
        c.spawn(async move {
            let mut stream = requests.send_request(Request::post("https://a.test/").body(()).unwrap()).await.unwrap();
            while stream.send_data(Bytes::from_static(&[b'u'; 16 * 1024])).await.is_ok() {
                sent.fetch_add(16 * 1024, Ordering::SeqCst);
                if sent.load(Ordering::SeqCst) > 512 * MIB {
                    return;
                }
            }
        });
    }
    c.run(async { tokio::time::sleep(Duration::from_secs(3)).await });
    let grown = gateway.settled_rss().saturating_sub(before);
    assert!(grown < 24 * MIB, "grew by {} KiB", grown / 1024);
    // Not even the same client's other requests: none of them had all of the connection's window.
    drop(sent);
    let other = H3Conn::open(gateway.web(), "a.test");
    assert_eq!(other.get("a.test", "/").text(), "a");
}

/// Number and length of a frame in front of its payload, which may be shorter.
fn frame(kind: u8, length: u64, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &(length | 0xc000_0000_0000_0000).to_be_bytes(), payload].concat()
}

/// `:method`, `:scheme`, `:path`, `:authority` as entries of the static table, and a name.
fn head(more: &[u8]) -> Vec<u8> {
    let block = [&[0, 0, 0xc0 | 17, 0xc0 | 23, 0xc0 | 1, 0x50, 1, b'a'], more].concat();
    frame(1, block.len() as u64, &block)
}

/// What becomes of a stream with these bytes: what came back, or why it or the connection ended.
fn outcome(c: &H3Conn, bytes: Vec<u8>, finish: bool) -> Result<Vec<u8>, String> {
    let quic = c.quic.clone();
    c.run(async move {
        let (mut send, mut recv) = quic.open_bi().await.map_err(|e| e.to_string())?;
        let _ = send.write_all(&bytes).await;
        if finish {
            let _ = send.finish();
        }
        let got = recv.read_to_end(1 << 20).await;
        match (got, quic.close_reason()) {
            (_, Some(reason)) => Err(reason.to_string()),
            (got, None) => got.map_err(|e| format!("{e:?}")),
        }
    })
}

fn bare(gateway: &Gateway) -> H3Conn {
    let c = H3Conn::bare(TlsClient::new(), gateway.web(), "a.test").unwrap();
    uni(&c, &[0, 4, 0]);
    c
}

fn uni(c: &H3Conn, bytes: &[u8]) {
    let (quic, bytes) = (c.quic.clone(), bytes.to_vec());
    c.run(async move {
        let mut s = quic.open_uni().await.unwrap();
        s.write_all(&bytes).await.unwrap();
        // Open for as long as the connection.
        std::mem::forget(s);
    });
}

#[test]
fn what_is_no_request_ends_its_stream() {
    let backend = Backend::named("a");
    let gateway = setup(everything(&backend, "")).start();
    let c = bare(&gateway);
    assert!(outcome(&c, head(&[]), true).unwrap().ends_with(&[0, 1, b'a']));
    // Frames that nobody knows are passed over.
    let known = [frame(0x21, 5, b"12345"), head(&[]), frame(0x21, 0, b"")].concat();
    assert!(outcome(&c, known, true).unwrap().ends_with(&[0, 1, b'a']));
    let malformed = "Reset(270)";
    for (bytes, wanted) in [
        (head(&[0xc0 | 1]), malformed),                                       // `:path` again
        (head(&[0x23, b'X', b'-', b'A', 1, b'x']), malformed),                // capitals
        (head(&[0x23, b'a', b' ', b'b', 1, b'x']), malformed),                // no name
        (head(&[0x22, b't', b'e', 1, b'x']), malformed),                      // of a connection
        ([head(&[0x54, 1, b'5']), frame(0, 4, b"four")].concat(), malformed), // content-length: 5
        ([head(&[0x54, 1, b'3']), frame(0, 4, b"four")].concat(), malformed),
        ([head(&[0x54, 1, b'0']), frame(0, 4, b"four")].concat(), malformed),
        (vec![], "Reset(269)"),
    ] {
        let got = outcome(&c, bytes.clone(), true);
        // What has gone to the service already is answered by its own end.
        assert!(got.as_ref().is_err_and(|e| e.contains(wanted)) || got.as_ref().is_ok_and(|b| b.len() > 2), "{bytes:?}: {got:?}");
    }
    assert_eq!(c.quic.close_reason(), None);
    assert!(outcome(&c, head(&[]), true).unwrap().ends_with(&[0, 1, b'a']));
    assert_eq!(backend.requests().len(), 3, "{:?}", backend.requests());
}

#[test]
fn what_breaks_the_protocol_ends_its_connection() {
    let backend = Backend::named("a");
    let gateway = setup(everything(&backend, "")).start();
    let streams: [(Vec<u8>, &str); 5] = [
        (frame(0, 1, b"x"), "0x105"),
        (frame(4, 0, b""), "0x105"),
        (frame(2, 0, b""), "0x105"),
        (frame(1, 3, &[0, 0, 0x80]), "0x200"),
        (frame(1, 9, b"short"), "0x106"),
    ];
    let number = |code: &str| u64::from_str_radix(&code[2..], 16).unwrap().to_string();
    let is = |why: &str, code: &str| why.contains(&number(code)) || why.contains(code);
    for (bytes, code) in streams {
        let why = outcome(&bare(&gateway), bytes.clone(), true).unwrap_err();
        assert!(is(&why, code), "{bytes:?}: {why}");
    }
    for (first, second, code) in [
        (&[0u8, 4, 0][..], &[0u8, 4, 0][..], "0x103"), // two control streams
        (&[0, 7, 1, 0], &[], "0x10a"),                 // no settings
        (&[0, 4, 0, 4, 0], &[], "0x105"),              // settings twice
        (&[0, 4, 2, 4, 0], &[], "0x109"),              // of HTTP/2
        (&[0, 4, 0, 0, 1, 1], &[], "0x105"),           // a body
        (&[0, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[], "0x10"),
        (&[1, 0], &[], "0x103"),                // a push
        (&[2, 0x3f, 0xe1, 0x1f], &[], "0x201"), // a dynamic table
    ] {
        let c = H3Conn::bare(TlsClient::new(), gateway.web(), "a.test").unwrap();
        uni(&c, first);
        if !second.is_empty() {
            uni(&c, second);
        }
        let why = c.closed();
        assert!(is(&why, code) || (code == "0x10" && why.contains("26")), "{first:?}: {why}");
    }
    assert_eq!(H3Conn::open(gateway.web(), "a.test").get("a.test", "/").text(), "a");
}

#[test]
fn large_heads_are_refused_however_they_come() {
    let backend = Backend::named("a");
    let gateway = setup(everything(&backend, "")).flag("--entrypoints.web.http.maxheaderbytes=20000").start();
    let c = H3Conn::open(gateway.web(), "a.test");
    let with = |n: usize| {
        let mut r = Request::get("https://a.test/").body(()).unwrap();
        r.headers_mut().insert("x-long", "~".repeat(n).parse().unwrap());
        let mut requests = c.requests();
        c.run(async move { exchange(&mut requests, r, vec![], None).await })
    };
    assert_eq!(with(15_000).unwrap().status, 200);
    // The client heeds our settings.
    assert!(with(30_000).is_err());
    let c = bare(&gateway);
    let status_431 = |bytes: Vec<u8>| outcome(&c, bytes, false).map(|b| b.windows(3).any(|w| w == b"431") || b.len() < 60);
    let before = gateway.settled_rss();
    // A frame without end; and a small one that stands for much.
    assert_eq!(status_431(frame(1, 1 << 40, &[0; 100])), Ok(true));
    assert_eq!(status_431(head(&[0xc0 | 31; 2000])), Ok(true));
    // Something unknown without end is not kept.
    let quic = c.quic.clone();
    c.run(async move {
        let (mut send, _recv) = quic.open_bi().await.unwrap();
        send.write_all(&frame(0x21, 1 << 40, &[])).await.unwrap();
        for _ in 0..32 {
            send.write_all(&vec![0; 1 << 20]).await.unwrap();
        }
    });
    let grown = gateway.settled_rss().saturating_sub(before);
    assert!(grown < 16 * MIB, "grew by {} KiB", grown / 1024);
}

/// The smallest frames there are: more than their payload is read with them.
#[test]
fn bodies_of_tiny_frames_take_little_memory() {
    let backend = Backend::http(|r| Reply::ok(r.body.len().to_string()));
    let gateway = setup(everything(&backend, "")).start();
    let c = bare(&gateway);
    let n = 2_000_000;
    let before = gateway.settled_rss();
    let mut bytes = head(&[]);
    bytes.extend([0, 1, b'x'].repeat(n));
    let got = outcome(&c, bytes, true).unwrap();
    assert!(got.ends_with(n.to_string().as_bytes()), "{got:?}");
    let grown = gateway.settled_rss().saturating_sub(before);
    assert!(grown < 24 * MIB, "grew by {} KiB", grown / 1024);
}

#[test]
fn connections_that_are_idle_are_closed() {
    let backend = Backend::named("a");
    let gateway = setup(everything(&backend, ""))
        .flag("--entrypoints.web.transport.respondingtimeouts.idletimeout=300ms")
        .flag("--entrypoints.web.transport.respondingtimeouts.readtimeout=400ms")
        .start();
    let c = H3Conn::open(gateway.web(), "a.test");
    assert_eq!(c.get("a.test", "/").status, 200);
    assert!(c.closed().contains("closed by peer"), "{}", c.closed());
    // Half a head is not waited for long.
    let c = bare(&gateway);
    let why = outcome(&c, vec![1, 0x40], false).unwrap_err();
    assert!(why.contains("269"), "{why}");
    // Nonsense is no connection, and harms nobody.
    let nonsense = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for first in [0x00u8, 0x40, 0x80, 0xc0, 0xff] {
        for length in [1, 9, 20, 1200] {
            nonsense.send_to(&vec![first; length], gateway.web()).unwrap();
        }
    }
    nonsense.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let _ = nonsense.recv(&mut [0; 1500]);
    assert_eq!(H3Conn::open(gateway.web(), "a.test").get("a.test", "/").status, 200);
}

/// A request that ends a connection is the last one, and the client is told so.
#[test]
fn a_connection_ends_after_its_last_allowed_request() {
    let backend = Backend::named("a");
    let gateway = setup(everything(&backend, "")).flag("--entrypoints.web.transport.keepalivemaxrequests=3").start();
    let c = H3Conn::open(gateway.web(), "a.test");
    for _ in 0..3 {
        assert_eq!(c.get("a.test", "/").status, 200);
    }
    assert!(c.closed().contains("closed"), "{}", c.closed());
}

/// Beyond some hundreds of handshakes that go nowhere clients prove their address first, which others do not notice.
#[test]
fn handshakes_that_go_nowhere_keep_nobody_out() {
    let backend = Backend::named("a");
    let gateway = setup(everything(&backend, "")).start();
    let before = gateway.settled_rss();
    (0..4).for_each(|_| H3Conn::half_open(gateway.web(), 1200));
    for _ in 0..4 {
        assert_eq!(H3Conn::open(gateway.web(), "a.test").get("a.test", "/").text(), "a");
    }
    let grown = gateway.settled_rss().saturating_sub(before);
    assert!(grown < 64 * MIB, "grew by {} KiB", grown / 1024);
}
