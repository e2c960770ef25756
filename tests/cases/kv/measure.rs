//! How fast changes are live, and what many routes cost, beside the real Traefik on the same store. It measures and
//! asserts nothing; run it with an optimised build on a quiet machine:
//!
//! ```sh
//! cargo build --release
//! TORANA_BIN=target/release/torana cargo test -p torana-tests kv::measure -- --ignored --nocapture --test-threads 1
//! ```

use super::server::{Kind, Server, ask, base64};
use crate::harness::{Backend, Conn, Peer, quantile, traefik, within};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ROUTES: usize = 5000;
const CHANGES: usize = 200;
const RATE: u64 = 1000;
const SECONDS: u64 = 10;
const LONG: Duration = Duration::from_secs(120);

/// Writes keys without starting a process for each.
enum Writer {
    Etcd(Conn),
    Redis(BufReader<TcpStream>),
}

impl Writer {
    fn new(server: &Server) -> Writer {
        let address: SocketAddr = ([127, 0, 0, 1], server.port()).into();
        match server.kind {
            Kind::Etcd => Writer::Etcd(Conn::open(address)),
            _ => {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                Writer::Redis(BufReader::new(stream))
            }
        }
    }

    fn put(&mut self, key: &str, value: &str) {
        let key = format!("traefik/{key}");
        match self {
            Writer::Etcd(conn) => {
                let body = format!("{{\"key\":\"{}\",\"value\":\"{}\"}}", base64(key.as_bytes()), base64(value.as_bytes()));
                assert_eq!(ask(conn, "POST", "/v3/kv/put", body.as_bytes()).status, 200);
            }
            Writer::Redis(io) => {
                write!(io.get_mut(), "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len()).unwrap();
                let mut line = String::new();
                io.read_line(&mut line).unwrap();
                assert_eq!(line, "+OK\r\n");
            }
        }
    }
}

fn start(program: Option<&Path>, server: &Server) -> Peer {
    Peer::start(program, &[server.flag(), "--providers.providersthrottleduration=0s".to_owned()], &[])
}

fn measure(kind: Kind) {
    let (Some(server), Some(traefik)) = (Server::start(kind), traefik()) else { return };
    let backend = Backend::named("a");
    let mut writer = Writer::new(&server);
    eprintln!(
        "\n{}: | gateway | change to live p50 / p99 ms | {ROUTES} routes attached s | memory for them MB | p99 of requests ms: quiet, at {RATE} changes/s | memory grown MB |",
        kind.name()
    );
    for (name, program) in [("Torana", None), ("Traefik", Some(traefik.as_path()))] {
        server.clear();
        if kind == Kind::Redis {
            server.redis("config set notify-keyspace-events KEA\n");
        }
        writer.put("http/services/s/loadBalancer/servers/0/url", &backend.url());
        writer.put("http/routers/r/service", "s");
        writer.put("http/routers/r/rule", "Path(`/r`)");

        // one change after the other, each of which may be live at once
        let peer = start(program, &server);
        within(LONG, "the first route", || (peer.status("test.local", "/r") == 200).then_some(()));
        let idle = peer.gateway.settled_rss();
        let mut times = Vec::new();
        for n in 0..CHANGES {
            let target = format!("/r{n}");
            let begin = Instant::now();
            writer.put("http/routers/r/rule", &format!("Path(`{target}`)"));
            let mut conn = Conn::open(peer.web);
            while conn.get("test.local", &target).status != 200 {
                assert!(begin.elapsed() < LONG, "{target} does not come");
                std::thread::park_timeout(Duration::from_micros(500));
            }
            times.push(begin.elapsed());
            std::thread::park_timeout(Duration::from_millis(20));
        }
        drop(peer);

        // many routes, from the start of the process
        for n in 0..ROUTES {
            writer.put(&format!("http/routers/many{n}/service"), "s");
            writer.put(&format!("http/routers/many{n}/rule"), &format!("Host(`h{n}.test`) && PathPrefix(`/many{n}`)"));
        }
        writer.put("http/routers/last/service", "s");
        writer.put("http/routers/last/rule", "Path(`/last`)");
        let begin = Instant::now();
        let peer = start(program, &server);
        within(LONG, "all routes", || (peer.status("test.local", "/last") == 200).then_some(()));
        let attached = begin.elapsed();
        let full = peer.gateway.settled_rss();

        // traffic, first alone and then with changes
        let traffic = |time: Duration| {
            let mut conn = Conn::open(peer.web);
            let (begin, mut times) = (Instant::now(), Vec::new());
            while begin.elapsed() < time {
                let one = Instant::now();
                assert_eq!(conn.get("test.local", "/last").status, 200);
                times.push(one.elapsed());
                std::thread::park_timeout(Duration::from_millis(1));
            }
            times
        };
        let mut quiet = traffic(Duration::from_secs(3));
        let over = AtomicBool::new(false);
        let (mut busy, written) = std::thread::scope(|scope| {
            let changing = scope.spawn(|| {
                let mut writer = Writer::new(&server);
                let (begin, mut n) = (Instant::now(), 0u64);
                while !over.load(Ordering::Relaxed) {
                    while n < (begin.elapsed().as_secs_f64() * RATE as f64) as u64 && !over.load(Ordering::Relaxed) {
                        writer.put(&format!("http/routers/many{}/rule", n % ROUTES as u64), &format!("Path(`/changed{n}`)"));
                        n += 1;
                    }
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                n
            });
            let busy = traffic(Duration::from_secs(SECONDS));
            over.store(true, Ordering::Relaxed);
            (busy, changing.join().unwrap())
        });
        let grown = peer.gateway.settled_rss();
        let mb = |a: u64, b: u64| (a as f64 - b as f64) / 1e6;
        eprintln!(
            "| {name} | {:.1} / {:.1} | {:.2} | {:.0} | {:.2}, {:.2} ({} changes written) | {:.0} |",
            quantile(&mut times, 0.5),
            quantile(&mut times, 0.99),
            attached.as_secs_f64(),
            mb(full, idle),
            quantile(&mut quiet, 0.99),
            quantile(&mut busy, 0.99),
            written,
            mb(grown, full),
        );
    }
}

#[test]
#[ignore = "measures, and takes minutes"]
fn etcd() {
    measure(Kind::Etcd);
}

#[test]
#[ignore = "measures, and takes minutes"]
fn redis() {
    measure(Kind::Redis);
}
