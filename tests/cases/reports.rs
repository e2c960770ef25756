//! Metrics that are reported to StatsD, Datadog and InfluxDB 2 (MET-03, MET-04).

use crate::harness::{Backend, Conn, Gateway, Reply, Setup, eventually, free_port, route, service};
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A receiver of lines.
struct Lines {
    socket: UdpSocket,
    all: Arc<Mutex<Vec<String>>>,
}

impl Lines {
    fn open() -> Lines {
        let (socket, all) = (UdpSocket::bind("127.0.0.1:0").unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let (from, to) = (socket.try_clone().unwrap(), all.clone());
        std::thread::spawn(move || {
            let mut packet = [0; 65536];
            while let Ok(n) = from.recv(&mut packet) {
                to.lock().unwrap().extend(std::str::from_utf8(&packet[..n]).unwrap().lines().map(str::to_owned));
            }
        });
        Lines { socket, all }
    }

    fn address(&self) -> String {
        self.socket.local_addr().unwrap().to_string()
    }

    /// Everything that was sent before.
    fn all(&self) -> Vec<String> {
        self.socket.send_to(b"end", self.socket.local_addr().unwrap()).unwrap();
        eventually("the last line", || self.all.lock().unwrap().iter().any(|l| l == "end").then_some(()));
        let mut all = self.all.lock().unwrap();
        all.retain(|l| l != "end");
        all.clone()
    }
}

/// The counters of a name, added up by their tags.
fn counters(lines: &[String], name: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in lines {
        let Some(rest) = line.strip_prefix(&format!("{name}:")) else { continue };
        let (value, tags) = rest.split_once("|c").unwrap();
        *sums.entry(tags.to_owned()).or_default() += value.parse::<f64>().unwrap();
    }
    sums
}

/// How many durations there are, those that stand for others included.
fn durations(lines: &[String], name: &str) -> f64 {
    let of = |line: &&String| line.starts_with(&format!("{name}:"));
    let rate = |line: &String| line.split('|').find_map(|p| p.strip_prefix('@')).map_or(1.0, |r| r.parse::<f64>().unwrap());
    lines.iter().filter(of).map(|line| 1.0 / rate(line)).sum()
}

/// The points of a measurement by what they are and when, so that one that came twice is one; their sum.
fn points(database: &Backend, name: &str, tag: &str) -> f64 {
    let mut all = BTreeMap::new();
    for request in database.requests() {
        for line in std::str::from_utf8(&request.body).unwrap().lines().filter(|l| l.starts_with(&format!("{name},")) && l.contains(tag)) {
            let (series, rest) = line.rsplit_once(" count=").unwrap();
            let (count, at) = rest.split_once(' ').unwrap();
            all.insert((series.to_owned(), at.to_owned()), count.parse::<f64>().unwrap());
        }
    }
    all.into_values().sum()
}

fn influx(setup: Setup, url: &str) -> Setup {
    let flags = ["token=hidden", "org=o", "bucket=b", "pushinterval=50ms"].map(|f| format!("--metrics.influxdb2.{f}"));
    flags
        .into_iter()
        .fold(setup, Setup::flag)
        .flag(format!("--metrics.influxdb2.address={url}"))
        .flag("--metrics.influxdb2.addrouterslabels")
}

fn requests(gateway: &Gateway, path: &str) {
    let web = gateway.web();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(move || {
                for _ in 0..5 {
                    let mut c = Conn::open(web);
                    for _ in 0..2 {
                        assert_eq!(c.get("test.local", path).status, 200);
                    }
                }
            });
        }
    });
}

#[test]
fn every_request_is_reported_once_over_workers_reloads_and_a_stop() {
    let server = Backend::http(|_| Reply::ok("12345"));
    let (statsd, datadog, database) = (Lines::open(), Lines::open(), Backend::http(|_| Reply::status(204)));
    let one = route("PathPrefix(`/`)", &[&server.url()]);
    let other = format!("http:\n  routers:\n    q: {{rule: 'Path(`/other`)', service: t}}\n{}", service("t", &[&server.url()]));
    let mut setup = Setup::new().file("routing.yml", &one).flag("--log.level=TRACE");
    for (sink, lines) in [("statsd", &statsd), ("datadog", &datadog)] {
        setup = setup.flag(format!("--metrics.{sink}.address={}", lines.address()));
        setup = setup.flag(format!("--metrics.{sink}.pushinterval=70ms")).flag(format!("--metrics.{sink}.addrouterslabels"));
    }
    let mut gateway = influx(setup, &database.url()).start();
    requests(&gateway, "/a");
    for (routing, path) in [(&other, "/other"), (&one, "/a")] {
        let before = gateway.generation();
        gateway.reload("routing.yml", routing);
        eventually("the reload", || (gateway.generation() > before).then_some(()));
        requests(&gateway, path);
    }
    gateway.stop();
    let (statsd, datadog) = (statsd.all(), datadog.all());
    for scope in ["entrypoint", "router", "service"] {
        let name = format!("traefik.{scope}.request.total");
        assert_eq!(counters(&statsd, &name), BTreeMap::from([(String::new(), 120.0)]));
        assert_eq!(counters(&datadog, &name).values().sum::<f64>(), 120.0);
        for lines in [&statsd, &datadog] {
            assert_eq!(counters(lines, &format!("traefik.{scope}.responses.bytes.total")).values().sum::<f64>(), 600.0);
            assert!((durations(lines, &format!("traefik.{scope}.request.duration")) - 120.0).abs() < 1e-6);
        }
        assert_eq!(points(&database, &format!("traefik.{scope}.requests.total"), ""), 120.0);
    }
    assert_eq!(counters(&datadog, "traefik.service.request.total")["|#service:s@file,method:GET,protocol:http,code:200"], 80.0);
    assert_eq!(database.request(0).header("authorization"), Some("Token hidden"));
    assert!(!gateway.log().contains("hidden"));
}

#[test]
fn a_receiver_that_is_away_harms_nothing() {
    let server = Backend::named("a");
    let away = free_port();
    let mut setup = Setup::new().file("routing.yml", route("PathPrefix(`/`)", &[&server.url()]));
    for sink in ["statsd", "datadog"] {
        setup = setup.flag(format!("--metrics.{sink}.address=127.0.0.1:{away}")).flag(format!("--metrics.{sink}.pushinterval=20ms"));
    }
    let mut gateway = influx(setup, &format!("http://127.0.0.1:{away}")).start();
    for _ in 0..20 {
        assert_eq!(gateway.get("/").status, 200);
    }
    gateway.wait_log("that it is away", |l| l.contains("metrics cannot be reported") && l.contains("InfluxDB"));
    for _ in 0..20 {
        assert_eq!(gateway.get("/").status, 200);
    }
    gateway.stop();
    let told = gateway.log().lines().filter(|l| l.contains("metrics cannot be reported") && l.contains("InfluxDB")).count();
    assert_eq!(told, 1, "{}", gateway.log());
}

#[test]
fn what_a_database_did_not_take_is_written_again() {
    let server = Backend::named("a");
    let seen = AtomicUsize::new(0);
    let database = Backend::http(move |_| match seen.fetch_add(1, Ordering::Relaxed) {
        0..4 => Reply::status(503),
        _ => Reply::status(204),
    });
    let gateway = influx(Setup::new().file("routing.yml", route("PathPrefix(`/`)", &[&server.url()])), &database.url()).start();
    for _ in 0..7 {
        gateway.get("/");
    }
    eventually("what was refused", || (database.requests().len() > 6).then_some(()));
    eventually("all requests", || (points(&database, "traefik.entrypoint.requests.total", "entrypoint=web") == 7.0).then_some(()));
}

#[test]
fn a_block_that_cannot_be_used_switches_off_itself_alone() {
    let (server, lines) = (Backend::named("a"), Lines::open());
    let setup = Setup::new().file("routing.yml", route("PathPrefix(`/`)", &[&server.url()]));
    let setup = setup.flag(format!("--metrics.statsd.address={}", lines.address())).flag("--metrics.statsd.pushinterval=50ms");
    let gateway = setup.flag("--metrics.datadog.address=nowhere").flag("--metrics.influxdb2.org=o").start();
    gateway.wait_log("one", |l| l.contains("metrics are not reported") && l.contains("metrics.datadog.address"));
    gateway.wait_log("the other", |l| l.contains("metrics are not reported") && l.contains("metrics.influxDB2.token"));
    gateway.get("/");
    eventually("a report", || lines.all().iter().any(|l| l == "traefik.entrypoint.request.total:1.000000|c").then_some(()));
}
