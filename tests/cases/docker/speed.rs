//! How soon a container answers, by Torana and by Traefik on the same engine in one run: prints the tables of
//! docs/benchmarks.md ("Discovery"). With a release build:
//!
//!     TRAEFIK=/path/to/traefik TORANA_BIN=target/release/torana cargo test -p torana-tests -- --ignored --nocapture docker::speed

use super::Engine;
use super::fake::Fake;
use crate::harness::{Backend, Conn, Gateway, free_port, within};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const STARTS: usize = 30;
const CONTAINERS: usize = 5000;

/// A gateway of either kind, and its port.
fn gateway(binary: &str, endpoint: &str, more: &[&str]) -> (Gateway, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut c = Command::new(binary);
    c.current_dir(folder.path()).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder.path());
    c.args([format!("--entrypoints.web.address=127.0.0.1:{port}"), format!("--providers.docker.endpoint={endpoint}")]);
    c.args(["--log.level=ERROR", "--global.checknewversion=false"]).args(more);
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let gateway = Gateway::spawn(c, folder);
    within(Duration::from_secs(60), binary, || Conn::try_open(at).ok().map(|_| ()));
    (gateway, at)
}

fn status(at: SocketAddr, host: &str) -> u16 {
    let answer = Conn::try_open(at).and_then(|mut c| {
        c.try_send(format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
        c.try_response(false)
    });
    answer.ok().flatten().map_or(0, |r| r.status)
}

/// When `host` is answered, as the time of day.
fn answered(at: SocketAddr, host: &str, limit: Duration) -> Duration {
    within(limit, host, || (status(at, host) == 200).then(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap()))
}

fn percentile(all: &mut [f64], p: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    all[((all.len() as f64 - 1.0) * p).round() as usize]
}

#[test]
#[ignore = "a measurement"]
fn from_start_to_first_answer() {
    let Some(traefik) = std::env::var("TRAEFIK").ok() else { panic!("TRAEFIK is not set") };
    let torana = std::env::var("TORANA_BIN").unwrap_or_else(|_| crate::harness::binary().display().to_string());
    let Some(engine) = Engine::start() else { return };
    // As they come: Torana paces by cost, Traefik by two seconds, which 3 s between starts leave room for.
    for (title, pause, flags) in [("as it comes", 3000, &[][..]), ("no throttle", 300, &["--providers.providersthrottleduration=0s"])] {
        let peers = [("Torana", gateway(&torana, &engine.endpoint(), flags)), ("Traefik", gateway(&traefik, &engine.endpoint(), flags))];
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
                let waiting: Vec<_> = peers.iter().map(|(_, (_, at))| s.spawn(|| answered(*at, &name, Duration::from_secs(30)))).collect();
                engine.run(&name, &[]);
                waiting.into_iter().map(|w| w.join().unwrap()).collect()
            });
            let started = Duration::from_nanos(lines.next().unwrap().unwrap().parse().unwrap());
            for (took, at) in took.iter_mut().zip(times) {
                took.push(at.saturating_sub(started).as_secs_f64() * 1000.0);
            }
            std::thread::sleep(Duration::from_millis(pause));
        }
        _ = events.kill();
        _ = events.wait();
        for ((name, _), took) in peers.iter().zip(&mut took) {
            let (p50, p99) = (percentile(took, 0.5), percentile(took, 0.99));
            println!("{title}: {name}: {} starts, p50 {p50:.1} ms, p99 {p99:.1} ms", took.len());
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn five_thousand_containers() {
    let Some(traefik) = std::env::var("TRAEFIK").ok() else { panic!("TRAEFIK is not set") };
    let torana = std::env::var("TORANA_BIN").unwrap_or_else(|_| crate::harness::binary().display().to_string());
    let backend = Backend::named("b");
    let labels = |n: usize| {
        json!({
            format!("traefik.http.routers.r{n}.rule"): format!("Host(`h{n}.test`)"),
            format!("traefik.http.services.s{n}.loadbalancer.server.port"): backend.address.port().to_string(),
        })
    };
    for (name, binary) in [("Torana", &torana), ("Traefik", &traefik)] {
        let empty = Fake::start();
        let idle = gateway(binary, &empty.endpoint(), &["--providers.providersthrottleduration=0s"]).0.settled_rss();
        let fake = Fake::start();
        fake.set((0..CONTAINERS).map(|n| (format!("c{n}"), labels(n))));
        let begin = Instant::now();
        let (gateway, at) = gateway(binary, &fake.endpoint(), &["--providers.providersthrottleduration=0s"]);
        within(Duration::from_secs(120), "the first and the last", || {
            [0, CONTAINERS / 2, CONTAINERS - 1].iter().all(|n| status(at, &format!("h{n}.test")) == 200).then_some(())
        });
        let all = begin.elapsed();
        let memory = gateway.settled_rss().saturating_sub(idle) >> 20;
        let mut took: Vec<f64> = (0..10)
            .map(|n| {
                let begin = Instant::now();
                fake.running(&format!("new{n}"), labels(CONTAINERS + n), true);
                let host = format!("h{}.test", CONTAINERS + n);
                within(Duration::from_secs(60), &host, || (status(at, &host) == 200).then_some(()));
                let took = begin.elapsed().as_secs_f64() * 1000.0;
                std::thread::sleep(Duration::from_secs(1));
                took
            })
            .collect();
        let (p50, most) = (percentile(&mut took, 0.5), percentile(&mut took, 1.0));
        println!(
            "{name}: {CONTAINERS} containers after {:.2} s, {memory} MiB; one more: p50 {p50:.0} ms, most {most:.0} ms",
            all.as_secs_f64()
        );
    }
}
