//! How fast changes are live, and what many routes cost, beside the real Traefik on the same store. It measures and
//! asserts nothing; run it with an optimised build on a quiet machine:
//!
//! ```sh
//! cargo build --release
//! TORANA_BIN=target/release/torana cargo test -p torana-tests kv::measure -- --ignored --nocapture --test-threads 1
//! ```

use super::differential::traefik;
use super::server::{Kind, Server, ask, base64};
use crate::harness::{Backend, Conn, Gateway, command, free_port, within};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
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

/// As users would start it: the throttle is the default, unless `throttle` says otherwise.
fn start(traefik: Option<&str>, server: &Server, throttle: Option<&str>) -> (Gateway, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let mut c = match traefik {
        Some(program) => {
            let mut c = Command::new(program);
            c.env_clear().current_dir(folder.path()).arg("--global.checknewversion=false");
            c
        }
        None => command(folder.path()),
    };
    let port = free_port();
    c.args([format!("--entrypoints.web.address=127.0.0.1:{port}"), server.flag(), "--log.level=error".into()]);
    c.args(throttle.map(|t| format!("--providers.providersthrottleduration={t}")));
    let gateway = Gateway::spawn(c, folder);
    let address = ([127, 0, 0, 1], port).into();
    within(LONG, "it listens", || Conn::try_open(address).ok().map(drop));
    (gateway, address)
}

fn get(address: SocketAddr, target: &str) -> u16 {
    Conn::open(address).get("test.local", target).status
}

fn quantile(times: &mut [Duration], q: f64) -> f64 {
    times.sort();
    times[((times.len() - 1) as f64 * q) as usize].as_secs_f64() * 1000.0
}

fn measure(kind: Kind) {
    let (Some(server), Some(traefik)) = (Server::start(kind), traefik()) else { return };
    let backend = Backend::named("a");
    let mut writer = Writer::new(&server);
    println!(
        "\n{}: | gateway | change to live p50 / p99 ms | {ROUTES} routes attached s | memory for them MB | p99 of requests ms: quiet, at {RATE} changes/s | memory grown MB |",
        kind.name()
    );
    for (name, program) in [("Torana", None), ("Traefik", Some(traefik.as_str()))] {
        server.clear();
        if kind == Kind::Redis {
            server.redis("config set notify-keyspace-events KEA\n");
        }
        writer.put("http/services/s/loadBalancer/servers/0/url", &backend.url());
        writer.put("http/routers/r/service", "s");
        writer.put("http/routers/r/rule", "Path(`/r`)");

        // one change after the other, each of which may be live at once
        let (gateway, address) = start(program, &server, Some("0s"));
        within(LONG, "the first route", || (get(address, "/r") == 200).then_some(()));
        let idle = gateway.settled_rss();
        let mut times = Vec::new();
        for n in 0..CHANGES {
            let target = format!("/r{n}");
            let begin = Instant::now();
            writer.put("http/routers/r/rule", &format!("Path(`{target}`)"));
            let mut conn = Conn::open(address);
            while conn.get("test.local", &target).status != 200 {
                assert!(begin.elapsed() < LONG, "{target} does not come");
                std::thread::park_timeout(Duration::from_micros(500));
            }
            times.push(begin.elapsed());
            std::thread::park_timeout(Duration::from_millis(20));
        }
        drop(gateway);

        // many routes, from the start of the process
        for n in 0..ROUTES {
            writer.put(&format!("http/routers/many{n}/service"), "s");
            writer.put(&format!("http/routers/many{n}/rule"), &format!("Host(`h{n}.test`) && PathPrefix(`/many{n}`)"));
        }
        writer.put("http/routers/last/service", "s");
        writer.put("http/routers/last/rule", "Path(`/last`)");
        let begin = Instant::now();
        let (gateway, address) = start(program, &server, Some("0s"));
        within(LONG, "all routes", || (get(address, "/last") == 200).then_some(()));
        let attached = begin.elapsed();
        let full = gateway.settled_rss();

        // traffic, first alone and then with changes
        let traffic = |time: Duration| {
            let mut conn = Conn::open(address);
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
                    while n < (begin.elapsed().as_secs_f64() * RATE as f64) as u64 {
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
        let grown = gateway.settled_rss();
        let mb = |a: u64, b: u64| (a as f64 - b as f64) / 1e6;
        println!(
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
