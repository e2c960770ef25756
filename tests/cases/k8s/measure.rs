//! How fast changes of objects are live, and what many routes cost, beside the real Traefik on the same API server.
//! It measures and asserts nothing; run it with an optimised build on a quiet machine:
//!
//! ```sh
//! cargo build --release
//! TORANA_BIN=target/release/torana cargo test -p torana-tests k8s::measure -- --ignored --nocapture --test-threads 1
//! ```

use super::cluster::Namespace;
use super::{Cluster, address, route, service};
use crate::harness::{Backend, Conn, Peer, TlsClient, quantile, traefik, within};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ROUTES: usize = 5000;
const CHANGES: usize = 100;
const SECONDS: u64 = 10;
const LONG: Duration = Duration::from_secs(120);

/// Writes objects of one namespace over one connection.
struct Writer<'a> {
    conn: crate::harness::TlsConn,
    namespace: &'a Namespace<'a>,
}

impl Writer<'_> {
    fn new<'a>(namespace: &'a Namespace<'a>) -> Writer<'a> {
        let at: SocketAddr = namespace.cluster.env["URL"].rsplit('/').next().unwrap().parse().unwrap();
        Writer { conn: TlsClient::new().open(at, "127.0.0.1"), namespace }
    }

    fn send(&mut self, method: &str, group: &str, rest: &str, kind: &str, body: &Value) {
        let (token, ns, body) = (&self.namespace.cluster.env["TOKEN"], &self.namespace.name, body.to_string());
        let head = format!(
            "{method} /apis/{group}/namespaces/{ns}/{rest} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.conn.try_send(head.as_bytes()).unwrap();
        let answer = self.conn.try_response().unwrap();
        assert!(answer.status < 300, "{} {}", answer.status, answer.text());
    }

    fn change(&mut self, group: &str, object: &str, body: &Value) {
        self.send("PATCH", group, object, "application/merge-patch+json", body);
    }

    /// Another rule for an IngressRoute.
    fn rule(&mut self, name: &str, rule: &str) {
        self.change("traefik.io/v1alpha1", &format!("ingressroutes/{name}"), &json!({ "spec": spec(rule) }));
    }

    fn create(&mut self, name: &str, rule: &str) {
        let object =
            json!({ "apiVersion": "traefik.io/v1alpha1", "kind": "IngressRoute", "metadata": { "name": name }, "spec": spec(rule) });
        self.send("POST", "traefik.io/v1alpha1", "ingressroutes", "application/json", &object);
    }
}

fn spec(rule: &str) -> Value {
    json!({ "routes": [{ "match": rule, "kind": "Rule", "services": [{ "name": "s", "port": 80 }] }] })
}

fn start(program: Option<&Path>, namespace: &Namespace<'_>) -> Peer {
    let flags = [
        "--providers.kubernetescrd=true".to_owned(),
        format!("--providers.kubernetescrd.namespaces={}", namespace.name),
        "--providers.providersthrottleduration=0s".to_owned(),
    ];
    Peer::start(program, &flags, &[("KUBECONFIG", &namespace.cluster.env["KUBECONFIG"])])
}

/// From the end of the write (the API server has it, and tells it) to the first answer.
fn live(change: impl FnOnce(), mut there: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    change();
    while !there() {
        assert!(begin.elapsed() < LONG, "it does not come");
        std::thread::park_timeout(Duration::from_micros(500));
    }
    let took = begin.elapsed();
    std::thread::park_timeout(Duration::from_millis(20));
    took
}

fn traffic(at: SocketAddr, time: Duration) -> Vec<Duration> {
    let mut conn = Conn::open(at);
    let (begin, mut times) = (Instant::now(), Vec::new());
    while begin.elapsed() < time {
        let one = Instant::now();
        assert_eq!(conn.get("last.test", "/").status, 200);
        times.push(one.elapsed());
        std::thread::park_timeout(Duration::from_millis(1));
    }
    times
}

#[test]
#[ignore = "measures, and takes minutes"]
fn changes_and_many_routes() {
    let (Some(cluster), Some(traefik)) = (Cluster::start(), traefik()) else { return };
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let ns = cluster.namespace();
    ns.apply(&[service("s", &[address(&a)]), route("r", "{match: Path(`/r`), kind: Rule, services: [{name: s, port: 80}]}")].concat());
    let peers = [("Torana", None), ("Traefik", Some(traefik.as_path()))];
    let mut idle = [0; 2];
    for ((name, program), idle) in peers.iter().zip(&mut idle) {
        let mut writer = Writer::new(&ns);
        writer.rule("r", "Path(`/r`)");
        let peer = start(*program, &ns);
        within(LONG, "the first route", || (peer.status("x.test", "/r") == 200).then_some(()));
        *idle = peer.gateway.settled_rss();
        let mut rules: Vec<Duration> = (0..CHANGES)
            .map(|n| live(|| writer.rule("r", &format!("Path(`/r{n}`)")), || peer.status("x.test", &format!("/r{n}")) == 200))
            .collect();
        let last = format!("/r{}", CHANGES - 1);
        let mut servers: Vec<Duration> = (0..CHANGES)
            .map(|n| {
                let (to, says) = if n % 2 == 0 { (&b, "b") } else { (&a, "a") };
                let slice = json!({ "ports": [{ "name": "http", "port": address(to).port() }] });
                let change = || writer.change("discovery.k8s.io/v1", "endpointslices/s-0", &slice);
                live(change, || Conn::open(peer.web).get("x.test", &last).text() == says)
            })
            .collect();
        eprintln!(
            "{name}: a rule changed, p50 / p99 ms: {:.1} / {:.1}; the server of a service changed: {:.1} / {:.1}",
            quantile(&mut rules, 0.5),
            quantile(&mut rules, 0.99),
            quantile(&mut servers, 0.5),
            quantile(&mut servers, 0.99)
        );
    }
    let mut writer = Writer::new(&ns);
    for n in 0..ROUTES {
        writer.create(&format!("many{n}"), &format!("Host(`h{n}.test`) && PathPrefix(`/many{n}`)"));
    }
    writer.create("zlast", "Host(`last.test`)");
    for ((name, program), idle) in peers.iter().zip(idle) {
        let begin = Instant::now();
        let peer = start(*program, &ns);
        within(LONG, "all routes", || (peer.status("last.test", "/") == 200).then_some(()));
        let attached = begin.elapsed();
        let full = peer.gateway.settled_rss();
        let mut one = (0..20)
            .map(|n| live(|| writer.rule("r", &format!("Path(`/more{n}`)")), || peer.status("x.test", &format!("/more{n}")) == 200))
            .collect::<Vec<_>>();
        let mut quiet = traffic(peer.web, Duration::from_secs(3));
        let over = AtomicBool::new(false);
        let (mut busy, written) = std::thread::scope(|scope| {
            let changing = scope.spawn(|| {
                let (mut writer, mut n) = (Writer::new(&ns), 0);
                while !over.load(Ordering::Relaxed) {
                    writer.rule(&format!("many{}", n % ROUTES), &format!("Path(`/changed{n}`)"));
                    n += 1;
                }
                n
            });
            let busy = traffic(peer.web, Duration::from_secs(SECONDS));
            over.store(true, Ordering::Relaxed);
            (busy, changing.join().unwrap())
        });
        let grown = peer.gateway.settled_rss();
        let mb = |a: u64, b: u64| (a as f64 - b as f64) / 1e6;
        eprintln!(
            "{name}: {ROUTES} routes after {:.2} s, {:.0} MB; one of them changed, p50 / most ms: {:.1} / {:.1}; requests, p99 ms: {:.2} quiet, \
             {:.2} with {} changes a second, {:.0} MB more after them",
            attached.as_secs_f64(),
            mb(full, idle),
            quantile(&mut one, 0.5),
            quantile(&mut one, 1.0),
            quantile(&mut quiet, 0.99),
            quantile(&mut busy, 0.99),
            written / SECONDS as usize,
            mb(grown, full)
        );
    }
}
