//! UDP routers and services (UDP-01, EP-02).

use crate::harness::l4::{UdpClient, UdpServer};
use crate::harness::{Gateway, Setup, command, eventually, within};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

/// Long enough to know that nothing comes.
const SILENCE: Duration = Duration::from_millis(300);

fn setup(routing: impl Into<String>) -> Setup {
    Setup::new().flag("--entrypoints.udp.address=127.0.0.1:0/udp").file("udp.yml", routing)
}

fn balancer(list: &[&UdpServer]) -> String {
    let list: Vec<String> = list.iter().map(|s| format!("{{address: '{}'}}", s.address)).collect();
    format!("loadBalancer: {{servers: [{}]}}", list.join(", "))
}

/// Everything on `udp` to service `s`.
fn all_to(service: &str) -> String {
    format!("udp:\n  routers:\n    r: {{service: s, entryPoints: [udp]}}\n  services:\n    s: {{{service}}}\n")
}

fn who(gateway: &Gateway) -> String {
    UdpClient::to(gateway.address("udp")).ask("q")[..1].to_owned()
}

fn spread(gateway: &Gateway, n: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    (0..n).for_each(|_| *counts.entry(who(gateway)).or_default() += 1);
    counts
}

fn counts(list: &[(&str, usize)]) -> BTreeMap<String, usize> {
    list.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect()
}

/// UDP-01
#[test]
fn a_client_stays_with_its_server_and_clients_take_turns() {
    let (a, b) = (UdpServer::named("a"), UdpServer::named("b"));
    let gateway = setup(all_to(&balancer(&[&a, &b]))).start();
    assert_eq!(spread(&gateway, 8), counts(&[("a", 4), ("b", 4)]));
    let client = UdpClient::to(gateway.address("udp"));
    let first = client.ask("0");
    for i in 1..20 {
        assert_eq!(client.ask(&i.to_string()), format!("{}:{i}", &first[..1]));
    }
}

/// UDP-01
#[test]
fn weights_are_exact_and_names_are_looked_up() {
    let (a, b) = (UdpServer::named("a"), UdpServer::named("b"));
    let weighted = format!(
        "weighted: {{services: [{{name: a, weight: 3}}, {{name: b}}]}}}}\n    a: {{loadBalancer: {{servers: [{{address: 'localhost:{}'}}]}}}}\n    b: {{{}",
        a.address.port(),
        balancer(&[&b])
    );
    let gateway = setup(all_to(&weighted)).start();
    assert_eq!(spread(&gateway, 8), counts(&[("a", 6), ("b", 2)]));
}

/// UDP-01: also the largest datagram, and none that is empty.
#[test]
fn datagrams_of_any_size_go_through_whole() {
    let a = UdpServer::named("a");
    let gateway = setup(all_to(&balancer(&[&a]))).start();
    let client = UdpClient::to(gateway.address("udp"));
    client.send(b"");
    client.send(&[b'x'; 65_507]);
    assert_eq!(client.receive(Duration::from_secs(10)).map(|d| d.len()), Some(60_002));
    assert_eq!(a.seen().iter().map(Vec::len).collect::<Vec<_>>(), [65_507]);
}

/// EP-02
#[test]
fn an_idle_session_ends_and_a_busy_one_does_not() {
    let (a, b) = (UdpServer::named("a"), UdpServer::named("b"));
    let gateway = setup(all_to(&balancer(&[&a, &b]))).flag("--entrypoints.udp.udp.timeout=400ms").start();
    let client = UdpClient::to(gateway.address("udp"));
    let first = client.ask("q");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(1200) {
        assert_eq!(client.ask("q"), first);
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(700));
    // The next server's turn.
    assert_ne!(client.ask("q"), first);
}

/// UDP-01
#[test]
fn a_server_that_is_gone_ends_the_session() {
    let (a, b) = (UdpServer::named("a"), UdpServer::named("b"));
    let gateway = setup(all_to(&balancer(&[&a, &b]))).flag("--entrypoints.udp.udp.timeout=60s").start();
    let client = UdpClient::to(gateway.address("udp"));
    let (first, second) = if client.ask("q") == "a:q" { (a, "b:q") } else { (b, "a:q") };
    drop(first);
    eventually("the other server answers", || {
        client.send(b"q");
        client.receive(Duration::from_millis(100)).filter(|d| d == second)
    });
}

/// UDP-01: a reload ends no session.
#[test]
fn sessions_outlive_reloads() {
    let (a, b) = (UdpServer::named("a"), UdpServer::named("b"));
    let gateway = setup(all_to(&balancer(&[&a]))).flag("--entrypoints.udp.udp.timeout=60s").start();
    let client = UdpClient::to(gateway.address("udp"));
    assert_eq!(client.ask("1"), "a:1");
    gateway.reload("udp.yml", &all_to(&balancer(&[&b])));
    eventually("new clients go elsewhere", || (who(&gateway) == "b").then_some(()));
    assert_eq!(client.ask("2"), "a:2");
    std::fs::remove_file(gateway.dynamic("udp.yml")).unwrap();
    gateway.settle();
    let new = UdpClient::to(gateway.address("udp"));
    new.send(b"q");
    assert_eq!(new.receive(SILENCE), None);
    assert_eq!(client.ask("3"), "a:3");
}

/// UDP-01: one router for each entry point, the one with the greatest name; without entry points, on all.
#[test]
fn one_router_serves_an_entry_point() {
    let (a, b) = (UdpServer::named("a"), UdpServer::named("b"));
    let routing = format!(
        "udp:\n  routers:\n    \
         a: {{service: a}}\n    \
         b: {{service: b, entryPoints: [udp]}}\n    \
         z: {{service: nowhere, entryPoints: [udp]}}\n    \
         web: {{service: a, entryPoints: [web]}}\n  \
         services:\n    a: {{{}}}\n    b: {{{}}}\n",
        balancer(&[&a]),
        balancer(&[&b])
    );
    let gateway = setup(routing).flag("--entrypoints.dns.address=127.0.0.1:0/udp").start();
    assert_eq!(who(&gateway), "b");
    assert_eq!(UdpClient::to(gateway.address("dns")).ask("q"), "a:q");
    let told = gateway.admin("/api/diagnostics").json().to_string();
    for what in ["more than one UDP router", "names no entryPoints", "`web` does not exist", "`nowhere@file` does not exist"] {
        assert!(told.contains(what), "{what}: {told}");
    }
    let router = |name: &str| gateway.admin(&format!("/api/udp/routers/{name}")).json();
    assert_eq!((router("a@file")["using"][1].as_str(), router("z@file")["status"].as_str()), (Some("udp"), Some("disabled")));
}

/// UDP-01: at the end open sessions have their grace, and there are no new ones.
#[test]
fn sessions_have_their_grace_at_the_end() {
    let a = UdpServer::named("a");
    let mut gateway = setup(all_to(&balancer(&[&a])))
        .flag("--entrypoints.udp.udp.timeout=60s")
        .flag("--entrypoints.udp.transport.lifecycle.gracetimeout=900ms")
        .start();
    let client = UdpClient::to(gateway.address("udp"));
    assert_eq!(client.ask("1"), "a:1");
    let begin = Instant::now();
    gateway.signal(libc::SIGTERM);
    within(Duration::from_millis(600), "new clients are refused", || {
        let new = UdpClient::to(gateway.address("udp"));
        new.send(b"q");
        new.receive(Duration::from_millis(100)).is_none().then_some(())
    });
    assert_eq!(client.ask("2"), "a:2");
    assert!(gateway.wait().success());
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
}

/// A gateway without open sessions does not wait.
#[test]
fn without_sessions_the_end_is_at_once() {
    let mut gateway =
        setup("").flag("--entrypoints.udp.udp.timeout=60s").flag("--entrypoints.udp.transport.lifecycle.gracetimeout=60s").start();
    assert_eq!(gateway.stop(), Some(0));
}

/// A flood of client addresses fills a bounded table; who has a session keeps it, and room comes back.
#[test]
fn a_flood_of_clients_is_bounded() {
    let a = UdpServer::named("a");
    let folder = tempfile::tempdir().unwrap();
    let routing = folder.path().join("udp.yml");
    std::fs::write(&routing, all_to(&balancer(&[&a]))).unwrap();
    let torana = command(folder.path());
    let mut limited = Command::new("/bin/sh");
    limited.current_dir(folder.path()).env_clear().args(["-c", "ulimit -n 200; exec \"$0\" \"$@\""]).arg(torana.get_program()).args([
        "--entrypoints.udp.address=127.0.0.1:0/udp",
        "--entrypoints.udp.udp.timeout=2s",
        "--providers.file.filename=udp.yml",
        "--log.level=info",
        "--log.format=json",
    ]);
    let gateway = Gateway::spawn(limited, folder);
    gateway.wait_serving();
    let keeper = UdpClient::to(gateway.address("udp"));
    assert_eq!(keeper.ask("mine"), "a:mine");
    let flood: Vec<UdpClient> = (0..300).map(|_| UdpClient::to(gateway.address("udp"))).collect();
    flood.iter().for_each(|c| c.send(b"q"));
    gateway.wait_log("there are too many", |l| l.contains("too many UDP sessions") && l.contains("\"sessions\":100"));
    assert_eq!(keeper.ask("still"), "a:still");
    assert_eq!(gateway.log().matches("too many UDP sessions").count(), 1);
    eventually("there is room again", || {
        let new = UdpClient::to(gateway.address("udp"));
        new.send(b"q");
        new.receive(Duration::from_millis(200)).filter(|d| d == "a:q")
    });
}
