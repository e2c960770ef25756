//! Thousands of containers, and thousands of changes.

use super::fake::Fake;
use crate::harness::{Backend, Setup, within};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CONTAINERS: usize = 5000;
const MIB: u64 = 1 << 20;

fn labels(n: usize, port: u16) -> Value {
    json!({
        format!("traefik.http.routers.r{n}.rule"): format!("Host(`h{n}.test`)"),
        format!("traefik.http.routers.r{n}.middlewares"): format!("m{n}"),
        format!("traefik.http.middlewares.m{n}.headers.customrequestheaders.X-N"): n.to_string(),
        format!("traefik.http.services.s{n}.loadbalancer.server.port"): port.to_string(),
        "org.example.image.title": "web",
    })
}

#[test]
fn five_thousand_containers_and_a_thousand_changes_a_second() {
    let backend = Backend::named("b");
    let port = backend.address.port();
    let fake = Fake::start();
    let start = || Setup::new().flag(format!("--providers.docker.endpoint={}", fake.endpoint())).start();
    let idle = start().settled_rss();

    fake.set((0..CONTAINERS).map(|n| (format!("c{n}"), labels(n, port))));
    let begin = Instant::now();
    let gateway = start();
    let last = CONTAINERS - 1;
    within(Duration::from_secs(30), "all of them are served", || {
        let served = |n: usize| gateway.connect().get(&format!("h{n}.test"), "/").status == 200;
        (super::provider(&gateway, "docker")["objects"] == CONTAINERS && [0, last / 2, last].into_iter().all(served)).then_some(())
    });
    let took = begin.elapsed();
    assert_eq!(fake.looks(), 0, "a list says it all");
    let grown = gateway.settled_rss().saturating_sub(idle);
    eprintln!("{CONTAINERS} containers: {took:?}, {} MiB", grown / MIB);
    assert!(took < Duration::from_secs(if cfg!(debug_assertions) { 15 } else { 5 }), "{took:?}");

    // One container changes: that costs one look, and no list.
    let looks = fake.looks();
    let begin = Instant::now();
    fake.running("new", labels(CONTAINERS, port), true);
    within(Duration::from_secs(10), "the new one is served", || {
        (gateway.connect().get(&format!("h{CONTAINERS}.test"), "/").status == 200).then_some(())
    });
    eprintln!("one more: {:?}", begin.elapsed());
    assert_eq!(fake.looks() - looks, 1);

    // A flood of changes, while requests go on.
    let before = gateway.settled_rss();
    let over = AtomicBool::new(false);
    let slowest = std::thread::scope(|s| {
        let requests = s.spawn(|| {
            let mut slowest = Duration::ZERO;
            let mut connection = gateway.connect();
            while !over.load(Ordering::Relaxed) {
                let begin = Instant::now();
                assert_eq!(connection.get("h1.test", "/").status, 200);
                slowest = slowest.max(begin.elapsed());
                std::thread::park_timeout(Duration::from_millis(2));
            }
            slowest
        });
        let begin = Instant::now();
        for n in 0..10_000_u64 {
            let c = 2 + (n as usize * 7) % (CONTAINERS - 2);
            fake.running(&format!("c{c}"), labels(c, port), n % 2 == 0);
            let due = begin + Duration::from_millis(n + 1);
            std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        }
        over.store(true, Ordering::Relaxed);
        requests.join().unwrap()
    });
    fake.running("after", labels(CONTAINERS + 1, port), true);
    within(Duration::from_secs(20), "the flood is over", || {
        (gateway.connect().get(&format!("h{}.test", CONTAINERS + 1), "/").status == 200).then_some(())
    });
    let after = gateway.settled_rss();
    eprintln!("10,000 changes: slowest request {slowest:?}, memory {} -> {} MiB", before / MIB, after / MIB);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert!(after < before + 60 * MIB, "{} -> {} MiB", before / MIB, after / MIB);
}
