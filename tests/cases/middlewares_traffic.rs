//! Middlewares that shape traffic: what they do over time, and to whom (MW-04, MW-06, MW-07, MW-16, MW-20).

use crate::harness::{Backend, Gate, Gateway, Reply, eventually, free_port, root};
use std::io::Read;
use std::process::Command;
use std::sync::Arc;

const MIB: usize = 1 << 20;

/// Everything goes through one middleware to `backend`.
fn through(middleware: &str, backend: &Backend) -> String {
    format!(
        "http:\n  routers:\n    r: {{rule: 'PathPrefix(`/`)', service: s, middlewares: [m]}}\n  middlewares:\n    m: {{{middleware}}}\n  services:\n    s: {{loadBalancer: {{servers: [{{url: '{}'}}]}}}}\n",
        backend.url()
    )
}

fn status(gateway: &Gateway, target: &str) -> u16 {
    gateway.connect().get("a", target).status
}

/// Sends one piece at once, and the end when the gate opens.
fn streaming(gate: &Arc<Gate>) -> Backend {
    let gate = gate.clone();
    Backend::raw(move |mut raw| {
        while let Some((start, headers)) = raw.head() {
            if headers.one("upgrade").is_some() {
                raw.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
                let _ = raw.io.read(&mut [0]);
                return;
            }
            if !start.contains("/stream") {
                raw.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                continue;
            }
            raw.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n");
            gate.wait();
            raw.write("9\r\ndata: 2\n\n\r\n0\r\n\r\n");
        }
    })
}

#[test]
fn an_event_is_compressed_and_sent_before_the_next() {
    let gate = Arc::new(Gate::default());
    let backend = streaming(&gate);
    let gateway = Gateway::start(&through("compress: {}", &backend));
    for coding in ["gzip", "br", "zstd"] {
        let mut c = gateway.connect();
        c.send(format!("GET /stream HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\nConnection: close\r\n\r\n"));
        let (_, headers) = c.head();
        assert_eq!((headers.one("content-encoding"), headers.one("vary")), (Some(coding), Some("Accept-Encoding")));
        assert!(c.chunk().is_some_and(|piece| !piece.is_empty()), "{coding}");
        drop(c);
    }
    gate.open();
}

#[test]
fn places_come_back_when_a_client_goes_away() {
    let gate = Arc::new(Gate::default());
    let backend = streaming(&gate);
    let gateway = Gateway::start(&through("inFlightReq: {amount: 1}", &backend));
    let mut c = gateway.connect();
    c.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    c.head();
    assert!(c.chunk().is_some());
    let refused = gateway.connect().get("a", "/");
    assert_eq!((refused.status, refused.text()), (429, "max connections reached: 1"));
    drop(c);
    eventually("the place is free again", || (status(&gateway, "/") == 200).then_some(()));
    // A tunnel counts until it ends.
    let mut tunnel = gateway.connect();
    tunnel.send("GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(tunnel.head().0, "HTTP/1.1 101 Switching Protocols");
    assert_eq!(status(&gateway, "/"), 429);
    drop(tunnel);
    eventually("the place is free again", || (status(&gateway, "/") == 200).then_some(()));
    gate.open();
}

#[test]
fn a_large_upload_is_kept_in_a_file() {
    let backend = Backend::raw(|mut raw| {
        while let Some((_, headers)) = raw.head() {
            let length: u64 = headers.one("content-length").map_or(0, |n| n.parse().unwrap());
            let got = std::io::copy(&mut (&mut raw.io).take(length), &mut std::io::sink()).unwrap().to_string();
            raw.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{got}", got.len()));
        }
    });
    let gateway = Gateway::start(&through("buffering: {memRequestBodyBytes: 65536, maxRequestBodyBytes: 100000000}", &backend));
    let mut c = gateway.connect();
    assert_eq!(c.get("a", "/warm").text(), "0");
    let before = gateway.rss();
    let mut most = before;
    c.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut chunk = format!("{MIB:x}\r\n").into_bytes();
    chunk.resize(chunk.len() + MIB, b'x');
    chunk.extend(b"\r\n");
    for _ in 0..64 {
        c.send(&chunk);
        most = most.max(gateway.rss());
    }
    c.send("0\r\n\r\n");
    assert_eq!(c.response().text(), (64 * MIB).to_string());
    let grown = most - before;
    assert!(grown < 16 * MIB as u64, "grew by {} KiB", grown / 1024);
}

#[test]
fn an_open_breaker_stays_open_across_a_reload() {
    let backend = Backend::http(|_| Reply::status(500));
    let gateway = Gateway::start(&through(
        "circuitBreaker: {expression: 'ResponseCodeRatio(500, 600, 0, 600) > 0.5', fallbackDuration: 1h}",
        &backend,
    ));
    assert_eq!(status(&gateway, "/"), 500);
    assert_eq!(status(&gateway, "/"), 503);
    gateway.reload("other.yml", "http: {routers: {other: {rule: 'Path(`/some/other`)', service: s@file}}}");
    eventually("the new router is there", || (status(&gateway, "/some/other") == 500).then_some(()));
    assert_eq!((status(&gateway, "/"), gateway.get("/").text()), (503, "Service Unavailable"));
}

/// A Redis server, or `None` and a word about it where there is none.
struct Redis {
    dir: tempfile::TempDir,
    port: u16,
}

impl Redis {
    fn start() -> Option<Redis> {
        let redis = Redis { dir: tempfile::tempdir().unwrap(), port: free_port() };
        if redis.script("start").status.success() {
            return Some(redis);
        }
        assert!(std::env::var_os("CI").is_none(), "no Redis");
        eprintln!("SKIPPED: tests of `rateLimit.redis` need Redis");
        None
    }

    fn script(&self, verb: &str) -> std::process::Output {
        let mut script = Command::new(root().join("tests/services/redis.sh"));
        script.arg(verb).arg(self.dir.path()).env("PORT", self.port.to_string()).env("PASSWORD", "geheim").output().unwrap()
    }

    fn keys(&self) -> String {
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &self.port.to_string(), "-n", "3", "keys", "*"]).env("REDISCLI_AUTH", "geheim");
        String::from_utf8(cli.output().unwrap().stdout).unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.script("stop");
    }
}

#[test]
fn gateways_share_a_bucket() {
    let Some(redis) = Redis::start() else { return };
    let backend = Backend::named("a");
    let limit = format!(
        "rateLimit: {{average: 1, period: 1h, burst: 3, redis: {{endpoints: ['127.0.0.1:{}'], password: geheim, db: 3, dialTimeout: 1s}}}}",
        redis.port
    );
    let routing = through(&limit, &backend);
    let (one, two) = (Gateway::start(&routing), Gateway::start(&routing));
    assert_eq!([status(&one, "/"), status(&two, "/"), status(&one, "/")], [200; 3]);
    let refused = two.get("/");
    assert_eq!((refused.status, refused.text()), (429, "Too Many Requests"));
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&after), "{after}");
    assert!(redis.keys().contains("rate:m@file:127.0.0.1"), "{}", redis.keys());
    // Without Redis nobody knows.
    redis.script("stop");
    let unknown = one.get("/");
    assert_eq!((unknown.status, unknown.text()), (500, "Could not insert/update bucket\n"));
    assert!(redis.script("start").status.success());
    eventually("the bucket is there again", || (status(&two, "/") == 429).then_some(()));
    assert!(!one.log().contains("geheim") && !one.admin("/api/rawdata").text().contains("geheim"));
}

/// Small requests meet a Redis that does not answer: each waits no longer than it may.
#[test]
fn a_silent_redis_costs_the_time_out() {
    let silent = Backend::raw(|mut raw| {
        let _ = raw.io.read_to_end(&mut Vec::new());
    });
    let backend = Backend::named("a");
    let address = silent.url().trim_start_matches("http://").to_owned();
    let gateway = Gateway::start(&through(
        &format!(
            "rateLimit: {{average: 1, redis: {{endpoints: ['{address}'], readTimeout: 200ms, writeTimeout: 100ms, dialTimeout: 300ms}}}}"
        ),
        &backend,
    ));
    let begun = std::time::Instant::now();
    assert_eq!(status(&gateway, "/"), 500);
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
}
