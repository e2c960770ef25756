//! How soon a container answers, by Torana and by Traefik on the same engine in one run: prints the tables of
//! docs/benchmarks.md ("Discovery"). With a release build:
//!
//!     TORANA_BIN=target/release/torana cargo test -p torana-tests -- --ignored --nocapture docker::speed

use super::Engine;
use super::fake::Fake;
use crate::harness::{Backend, Peer, quantile, traefik, within};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const STARTS: usize = 30;
const CONTAINERS: usize = 5000;

fn start(program: Option<&Path>, endpoint: &str, more: &[&str]) -> Peer {
    let endpoint = [format!("--providers.docker.endpoint={endpoint}")];
    Peer::start(program, &endpoint.into_iter().chain(more.iter().map(|m| (*m).to_owned())).collect::<Vec<_>>(), &[])
}

/// When `host` is answered, as the time of day.
fn answered(peer: &Peer, host: &str, limit: Duration) -> Duration {
    within(limit, host, || (peer.status(host, "/health") == 200).then(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap()))
}

#[test]
#[ignore = "a measurement"]
fn from_start_to_first_answer() {
    let (Some(engine), Some(traefik)) = (Engine::start(), traefik()) else { return };
    // As they come: Torana paces by cost, Traefik by two seconds, which 3 s between starts leave room for.
    for (title, pause, flags) in [("as it comes", 3000, &[][..]), ("no throttle", 300, &["--providers.providersthrottleduration=0s"])] {
        let peers = [("Torana", None), ("Traefik", Some(traefik.as_path()))].map(|(n, p)| (n, start(p, &engine.endpoint(), flags)));
        let mut events = Command::new("docker")
            .args(["events", "--filter", "event=start", "--format", "{{.TimeNano}}"])
            .env("DOCKER_HOST", engine.endpoint())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
        std::thread::sleep(Duration::from_secs(3));
        let mut took = [Vec::new(), Vec::new()];
        for n in 0..if pause > 1000 { STARTS / 2 } else { STARTS } {
            let name = format!("speed{pause}x{n}");
            let times: Vec<Duration> = std::thread::scope(|s| {
                let waiting: Vec<_> = peers.iter().map(|(_, peer)| s.spawn(|| answered(peer, &name, Duration::from_secs(30)))).collect();
                engine.run(&name, &[]);
                waiting.into_iter().map(|w| w.join().unwrap()).collect()
            });
            let started = Duration::from_nanos(lines.next().unwrap().unwrap().parse().unwrap());
            for (took, at) in took.iter_mut().zip(times) {
                took.push(at.saturating_sub(started));
            }
            std::thread::sleep(Duration::from_millis(pause));
        }
        _ = events.kill();
        _ = events.wait();
        for ((name, _), took) in peers.iter().zip(&mut took) {
            let (p50, p99) = (quantile(took, 0.5), quantile(took, 0.99));
            println!("{title}: {name}: {} starts, p50 {p50:.1} ms, p99 {p99:.1} ms", took.len());
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn five_thousand_containers() {
    let Some(traefik) = traefik() else { return };
    let backend = Backend::named("b");
    let labels = |n: usize| {
        json!({
            format!("traefik.http.routers.r{n}.rule"): format!("Host(`h{n}.test`)"),
            format!("traefik.http.services.s{n}.loadbalancer.server.port"): backend.address.port().to_string(),
        })
    };
    let now = &["--providers.providersthrottleduration=0s"];
    for (name, program) in [("Torana", None), ("Traefik", Some(traefik.as_path()))] {
        let empty = Fake::start();
        let idle = start(program, &empty.endpoint(), now).gateway.settled_rss();
        let fake = Fake::start();
        fake.set((0..CONTAINERS).map(|n| (format!("c{n}"), labels(n))));
        let begin = Instant::now();
        let peer = start(program, &fake.endpoint(), now);
        within(Duration::from_secs(120), "the first and the last", || {
            [0, CONTAINERS / 2, CONTAINERS - 1].iter().all(|n| peer.status(&format!("h{n}.test"), "/") == 200).then_some(())
        });
        let all = begin.elapsed();
        let memory = peer.gateway.settled_rss().saturating_sub(idle) >> 20;
        let mut took: Vec<Duration> = (0..10)
            .map(|n| {
                let begin = Instant::now();
                fake.running(&format!("new{n}"), labels(CONTAINERS + n), true);
                let host = format!("h{}.test", CONTAINERS + n);
                within(Duration::from_secs(60), &host, || (peer.status(&host, "/") == 200).then_some(()));
                let took = begin.elapsed();
                std::thread::sleep(Duration::from_secs(1));
                took
            })
            .collect();
        let (p50, most) = (quantile(&mut took, 0.5), quantile(&mut took, 1.0));
        println!(
            "{name}: {CONTAINERS} containers after {:.2} s, {memory} MiB; one more: p50 {p50:.0} ms, most {most:.0} ms",
            all.as_secs_f64()
        );
    }
}
