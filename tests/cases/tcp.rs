//! TCP routers, services and middlewares without TLS at the gateway (TCP-01 to TCP-06, TCP-09).

use crate::harness::l4::{TcpServer, dial, echo, rest, says};
use crate::harness::{Pki, Setup, eventually, lock, within};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn setup(routing: impl Into<String>) -> Setup {
    Setup::new().flag("--entrypoints.tcp.address=127.0.0.1:0").file("tcp.yml", routing)
}

/// Everything on the entry point `tcp` to service `s`; `more` stands below `tcp:`.
fn all_to(service: &str, more: &str) -> String {
    format!("tcp:\n  routers:\n    r: {{rule: 'HostSNI(`*`)', service: s, entryPoints: [tcp]}}\n  services:\n    s: {{{service}}}\n{more}")
}

fn servers(list: &[&TcpServer]) -> String {
    let list: Vec<String> = list.iter().map(|s| format!("{{address: '{}'}}", s.address)).collect();
    format!("servers: [{}]", list.join(", "))
}

fn balancer(list: &[&TcpServer], more: &str) -> String {
    format!("loadBalancer: {{{more}{}}}", servers(list))
}

/// What the first server to answer calls itself; empty for a connection that is closed.
fn who(address: SocketAddr) -> String {
    let mut c = dial(address);
    let mut name = [0; 1];
    match c.read(&mut name) {
        Ok(1) => String::from_utf8_lossy(&name).into_owned(),
        _ => String::new(),
    }
}

fn spread(address: SocketAddr, n: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    (0..n).for_each(|_| *counts.entry(who(address)).or_default() += 1);
    counts
}

fn counts(list: &[(&str, usize)]) -> BTreeMap<String, usize> {
    list.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect()
}

/// TCP-03
#[test]
fn a_server_may_speak_first_and_both_sides_go_on() {
    let server = TcpServer::named("hello ");
    let gateway = setup(all_to(&balancer(&[&server], ""), "")).start();
    let mut c = dial(gateway.address("tcp"));
    says(&mut c, "", "hello ");
    for i in 0..20 {
        let text = format!("line {i} {}", "x".repeat(i * 997));
        says(&mut c, &text, &text);
    }
    // HTTP is served beside it.
    assert_eq!(gateway.get("/").status, 404);
}

/// A server that is gone costs no connection when `redispatch` is on.
#[test]
fn a_server_that_does_not_accept_is_passed_over() {
    let server = TcpServer::named("a");
    // Nobody listens there, and nobody is given that port.
    let gone = "{address: '127.0.0.1:1'}";
    for (option, served) in [("redispatch: true, ", 20), ("", 10)] {
        let balancer = balancer(&[&server], option).replace("servers: [", &format!("servers: [{gone}, "));
        assert!(balancer.contains(gone), "{balancer}");
        let gateway = setup(all_to(&balancer, "")).start();
        let answered = (0..20).filter(|_| who(gateway.address("tcp")) == "a").count();
        assert_eq!(answered, served, "{option}");
    }
}

/// TCP-03: what no TCP router takes is HTTP.
#[test]
fn http_is_served_where_no_tcp_router_matches() {
    let server = TcpServer::named("tcp");
    let routing = format!(
        "tcp:\n  routers:\n    r: {{rule: 'ClientIP(`192.0.2.1`)', service: s, entryPoints: [web]}}\n  services:\n    s: {{{}}}\n",
        balancer(&[&server], "")
    );
    let gateway = setup(routing).start();
    assert_eq!(gateway.get("/").status, 404);
    assert_eq!(server.accepted(), 0);
}

/// TCP-01
#[test]
fn priorities_decide_and_a_bad_router_harms_no_other() {
    let (a, b) = (TcpServer::named("a"), TcpServer::named("b"));
    let routing = format!(
        "tcp:\n  routers:\n    \
         any: {{rule: 'HostSNI(`*`)', service: a, entryPoints: [tcp]}}\n    \
         local: {{rule: 'ClientIP(`127.0.0.0/8`)', service: b, entryPoints: [tcp]}}\n    \
         name: {{rule: 'HostSNI(`x.test`)', service: b, entryPoints: [tcp], priority: 1000}}\n    \
         broken: {{rule: 'HostSNI(', service: b, entryPoints: [tcp], priority: 1000}}\n    \
         lost: {{rule: 'HostSNI(`*`)', service: nowhere, entryPoints: [tcp], priority: 1000}}\n  \
         services:\n    a: {{{}}}\n    b: {{{}}}\n",
        balancer(&[&a], ""),
        balancer(&[&b], "")
    );
    let gateway = setup(routing.clone()).start();
    assert_eq!(who(gateway.address("tcp")), "b");
    let all = gateway.admin("/api/tcp/routers").json();
    let state = |name: &str| all.as_array().unwrap().iter().find(|r| r["name"] == name).unwrap()["status"].as_str().unwrap().to_owned();
    assert_eq!(
        ["any@file", "local@file", "name@file", "broken@file", "lost@file"].map(state),
        ["enabled", "enabled", "disabled", "disabled", "disabled"]
    );
    let told = gateway.admin("/api/diagnostics").json().to_string();
    assert!(told.contains("no TLS on the router") && told.contains("tcp.routers.lost.service"), "{told}");
    gateway.reload("tcp.yml", &routing.replace("127.0.0.0/8", "192.0.2.0/24"));
    eventually("the other router takes over", || (who(gateway.address("tcp")) == "a").then_some(()));
}

/// TCP-04
#[test]
fn connections_take_turns_and_weights_are_exact() {
    let all = ["a", "b", "c"].map(TcpServer::named);
    let gateway = setup(all_to(&balancer(&[&all[0], &all[1], &all[2]], ""), "")).start();
    assert_eq!(spread(gateway.address("tcp"), 12), counts(&[("a", 4), ("b", 4), ("c", 4)]));
    let weighted = format!(
        "weighted: {{services: [{{name: a, weight: 3}}, {{name: b}}, {{name: c, weight: 0}}]}}}}\n    a: {{{}}}\n    b: {{{}}}\n    c: {{{}",
        balancer(&[&all[0]], ""),
        balancer(&[&all[1]], ""),
        balancer(&[&all[2]], "")
    );
    let gateway = setup(all_to(&weighted, "")).start();
    assert_eq!(spread(gateway.address("tcp"), 16), counts(&[("a", 12), ("b", 4)]));
}

/// TCP-04: nobody there, nobody listening, no weight.
#[test]
fn without_a_server_the_connection_is_closed() {
    let gone = TcpServer::named("x");
    let nobody = balancer(&[&gone], "");
    drop(gone);
    for service in [&nobody, "loadBalancer: {servers: []}", "weighted: {services: [{name: o, weight: 0}]}}\n    o: {loadBalancer: {}"] {
        let gateway = setup(all_to(service, "")).start();
        assert_eq!(rest(&mut dial(gateway.address("tcp"))), "", "{service}");
    }
}

/// Answers what it got once its client has ended.
fn late(wait: Duration) -> TcpServer {
    TcpServer::start(move |mut s| {
        let mut got = String::new();
        let _ = s.read_to_string(&mut got);
        std::thread::sleep(wait);
        let _ = s.write_all(format!("got {got}").as_bytes());
    })
}

/// TCP-05
#[test]
fn a_client_that_ends_first_gets_its_answer_only_in_the_termination_delay() {
    let server = late(Duration::ZERO);
    let slow = late(Duration::from_millis(400));
    for (server, transport, answer) in [
        (&server, "", ""),
        (&server, "t: {}", "got x"),
        (&slow, "t: {}", ""),
        (&slow, "t: {terminationDelay: 10s}", "got x"),
        (&slow, "t: {terminationDelay: -1s}", "got x"),
    ] {
        let named = if transport.is_empty() { "" } else { "serversTransport: t, " };
        let more = if transport.is_empty() { String::new() } else { format!("  serversTransports:\n    {transport}\n") };
        let gateway = setup(all_to(&balancer(&[server], named), &more)).start();
        let mut c = dial(gateway.address("tcp"));
        c.write_all(b"x").unwrap();
        c.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut c), answer, "{transport}");
    }
}

/// TCP-05
#[test]
fn a_server_that_ends_first_ends_the_client() {
    let server = TcpServer::start(|mut s| {
        let _ = s.write_all(b"bye");
    });
    let gateway = setup(all_to(&balancer(&[&server], ""), "")).start();
    assert_eq!(rest(&mut dial(gateway.address("tcp"))), "bye");
}

/// TCP-06
#[test]
fn servers_are_told_who_the_client_is() {
    let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
    let list = seen.clone();
    let server = TcpServer::start(move |mut s| {
        let mut got = Vec::new();
        let _ = s.read_to_end(&mut got);
        *lock(&list) = got;
    });
    for (transport, version) in [("{proxyProtocol: {version: 1}}", 1), ("{proxyProtocol: {}}", 2), ("{}", 0)] {
        let gateway =
            setup(all_to(&balancer(&[&server], "serversTransport: t, "), &format!("  serversTransports:\n    t: {transport}\n"))).start();
        lock(&seen).clear();
        let mut c = dial(gateway.address("tcp"));
        let (own, local) = (c.local_addr().unwrap(), gateway.address("tcp"));
        c.write_all(b"payload").unwrap();
        drop(c);
        let got = eventually("the server has read it all", || Some(lock(&seen).clone()).filter(|g| g.ends_with(b"payload")));
        let header = match version {
            1 => format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", own.port(), local.port()).into_bytes(),
            2 => {
                let ports = [own.port().to_be_bytes(), local.port().to_be_bytes()].concat();
                [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01"[..], &ports].concat()
            }
            _ => Vec::new(),
        };
        assert_eq!(got, [&header[..], b"payload"].concat(), "{transport}");
    }
}

/// A server that ends TLS and echoes.
fn tls_server(config: rustls::ServerConfig) -> TcpServer {
    let config = Arc::new(config);
    TcpServer::start(move |stream| tls_echo(config.clone(), stream))
}

/// Echoes behind the server name that the client asked for.
fn tls_echo(config: Arc<rustls::ServerConfig>, stream: std::net::TcpStream) {
    let Ok(connection) = rustls::ServerConnection::new(config) else { return };
    let mut tls = rustls::StreamOwned::new(connection, stream);
    let mut room = [0; 4096];
    while let Ok(n @ 1..) = tls.read(&mut room) {
        let name = tls.conn.server_name().unwrap_or("none").to_owned();
        if tls.write_all(&[name.as_bytes(), b":", &room[..n]].concat()).is_err() {
            return;
        }
    }
}

/// TCP-07, TCP-08: PostgreSQL's own request for TLS goes to the server, and then TLS itself.
#[test]
fn postgres_passes_through_to_a_server_that_ends_tls() {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let pki = Pki::new();
    let config = Arc::new(pki.server("db.test", &[], false));
    let server = TcpServer::start(move |mut stream| {
        let mut asked = [0; 8];
        if stream.read_exact(&mut asked).is_ok() && asked == SSL_REQUEST && stream.write_all(b"S").is_ok() {
            tls_echo(config.clone(), stream);
        }
    });
    let routing = format!(
        "tcp:\n  routers:\n    r: {{rule: 'HostSNI(`db.test`)', service: s, entryPoints: [tcp], tls: {{passthrough: true}}}}\n  services:\n    s: {{{}}}\n",
        balancer(&[&server], "")
    );
    let gateway = setup(routing).start();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_file(pki.ca()).unwrap()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut stream = dial(gateway.address("tcp"));
    stream.write_all(&SSL_REQUEST).unwrap();
    let mut answer = [0; 1];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"S");
    let connection = rustls::ClientConnection::new(Arc::new(client), "db.test".try_into().unwrap()).unwrap();
    let mut tls = rustls::StreamOwned::new(connection, stream);
    tls.write_all(b"startup").unwrap();
    let mut got = [0; 15];
    tls.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"db.test:startup");
}

/// TCP-06
#[test]
fn tls_to_a_server_is_verified_by_name() {
    let pki = Pki::new();
    let server = tls_server(pki.server("db.test", &[], false));
    let ca = pki.ca().display().to_string();
    let tls = format!("loadBalancer: {{serversTransport: t, servers: [{{address: '{}', tls: true}}]}}", server.address);
    for (transport, answer) in [
        (format!("{{tls: {{serverName: db.test, rootCAs: ['{ca}']}}}}"), "db.test:hi"),
        ("{tls: {insecureSkipVerify: true}}".to_owned(), "none:hi"),
        (format!("{{tls: {{serverName: other.test, rootCAs: ['{ca}']}}}}"), ""),
        (format!("{{tls: {{rootCAs: ['{ca}']}}}}"), ""),
        ("{tls: {serverName: db.test}}".to_owned(), ""),
        ("{}".to_owned(), ""),
    ] {
        let gateway = setup(all_to(&tls, &format!("  serversTransports:\n    t: {transport}\n"))).start();
        let mut c = dial(gateway.address("tcp"));
        match answer {
            "" => assert_eq!(rest(&mut c), "", "{transport}"),
            answer => says(&mut c, "hi", answer),
        }
    }
}

/// TCP-04
#[test]
fn health_checks_take_servers_out_and_in_again() {
    let checked = |name: &'static str, answer: Arc<Mutex<&'static str>>| {
        TcpServer::start(move |mut s| {
            let mut ping = [0; 4];
            s.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            if s.read_exact(&mut ping).is_ok() && &ping == b"PING" {
                let _ = s.write_all(lock(&answer).as_bytes());
            } else {
                let _ = s.set_read_timeout(None);
                echo(s, name);
            }
        })
    };
    let (good, bad) = (Arc::new(Mutex::new("PONG")), Arc::new(Mutex::new("PONG")));
    let (a, b) = (checked("a", good.clone()), checked("b", bad.clone()));
    let check = "healthCheck: {send: PING, expect: PONG, interval: 50ms, unhealthyInterval: 50ms, timeout: 2s}, ";
    let more = format!(
        "    w: {{weighted: {{healthCheck: {{}}, services: [{{name: s}}, {{name: t}}]}}}}\n    t: {{{}}}\n",
        balancer(&[&a], check)
    );
    let gateway = setup(all_to(&balancer(&[&b], check), &more).replace("service: s", "service: w")).start();
    assert_eq!(spread(gateway.address("tcp"), 8), counts(&[("a", 4), ("b", 4)]));
    let shown = |service: &str| gateway.admin(&format!("/api/tcp/services/{service}")).json()["serverStatus"].to_string();
    *lock(&bad) = "NOPE";
    eventually("the API shows the server down", || shown("s@file").contains("DOWN").then_some(()));
    assert!(shown("t@file").contains("UP"));
    assert_eq!(spread(gateway.address("tcp"), 4), counts(&[("a", 4)]));
    *lock(&good) = "NOPE";
    eventually("both are down", || shown("t@file").contains("DOWN").then_some(()));
    assert_eq!(rest(&mut dial(gateway.address("tcp"))), "");
    *lock(&bad) = "PONG";
    eventually("the server is up again", || shown("s@file").contains("UP").then_some(()));
    assert_eq!(who(gateway.address("tcp")), "b");
}

/// TCP-01: a reload ends no connection, of a router that changes or goes.
#[test]
fn connections_outlive_reloads() {
    let (a, b) = (TcpServer::named("a"), TcpServer::named("b"));
    let gateway = setup(all_to(&balancer(&[&a], ""), "")).start();
    let mut c = dial(gateway.address("tcp"));
    says(&mut c, "", "a");
    gateway.reload("tcp.yml", &all_to(&balancer(&[&b], ""), ""));
    eventually("new connections go elsewhere", || (who(gateway.address("tcp")) == "b").then_some(()));
    says(&mut c, "still there", "still there");
    std::fs::remove_file(gateway.dynamic("tcp.yml")).unwrap();
    gateway.settle();
    says(&mut c, "and now", "and now");
}

/// TCP-09
#[test]
fn middlewares_refuse_before_a_server_is_asked() {
    let server = TcpServer::named("a");
    let middlewares = "  middlewares:\n    far: {ipAllowList: {sourceRange: [192.0.2.0/24]}}\n    near: {ipAllowList: {sourceRange: [127.0.0.1]}}\n    one: {inFlightConn: {amount: 1}}\n";
    let routing = all_to(&balancer(&[&server], ""), middlewares);
    let with = |list: &str| routing.replace("entryPoints: [tcp]", &format!("entryPoints: [tcp], middlewares: [{list}]"));
    let gateway = setup(with("far")).start();
    assert_eq!(rest(&mut dial(gateway.address("tcp"))), "");
    assert_eq!(server.accepted(), 0);
    gateway.reload("tcp.yml", &with("near, one"));
    eventually("the list lets this machine in", || (who(gateway.address("tcp")) == "a").then_some(()));
    let mut first = eventually("the connection before is gone", || {
        let mut c = dial(gateway.address("tcp"));
        (c.read(&mut [0]).ok() == Some(1)).then_some(c)
    });
    assert_eq!(rest(&mut dial(gateway.address("tcp"))), "");
    // The count outlives a reload that does not touch it.
    gateway.settle();
    assert_eq!(rest(&mut dial(gateway.address("tcp"))), "");
    says(&mut first, "mine", "mine");
    drop(first);
    eventually("there is room again", || (who(gateway.address("tcp")) == "a").then_some(()));
}

/// Open connections have their grace when the gateway stops.
#[test]
fn connections_have_their_grace_at_the_end() {
    let server = TcpServer::named("a");
    let grace = Duration::from_millis(700);
    let mut gateway = setup(all_to(&balancer(&[&server], ""), "")).flag("--entrypoints.tcp.transport.lifecycle.gracetimeout=700ms").start();
    let mut c = dial(gateway.address("tcp"));
    says(&mut c, "", "a");
    let begin = Instant::now();
    gateway.signal(libc::SIGTERM);
    gateway.wait_log("it is stopping", |l| l.contains("stopping"));
    within(grace, "nobody new is let in", || std::net::TcpStream::connect(gateway.address("tcp")).is_err().then_some(()));
    says(&mut c, "go on", "go on");
    assert_eq!(rest(&mut c), "");
    assert!(begin.elapsed() >= grace, "{:?}", begin.elapsed());
    assert!(gateway.wait().success());
}

/// Much data, slow readers: nothing is lost, and memory stays bounded.
#[test]
fn a_slow_reader_gets_everything() {
    const SIZE: usize = 24 << 20;
    let server = TcpServer::start(|mut s| {
        let chunk: Vec<u8> = (0..=250).cycle().take(251 * 256).collect();
        let mut left = SIZE;
        while left > 0 {
            let n = left.min(chunk.len());
            if s.write_all(&chunk[..n]).is_err() {
                return;
            }
            left -= n;
        }
    });
    let gateway = setup(all_to(&balancer(&[&server], ""), "")).start();
    let before = gateway.rss();
    let mut c = dial(gateway.address("tcp"));
    let (mut room, mut at) = (vec![0; 65_536], 0usize);
    while at < SIZE {
        let n = c.read(&mut room).unwrap();
        assert!(n > 0, "ended after {at} bytes");
        assert!(room[..n].iter().enumerate().all(|(i, b)| usize::from(*b) == (at + i) % 251), "other bytes near {at}");
        at += n;
        if at < 2 << 20 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    assert_eq!(rest(&mut c), "");
    assert!(gateway.rss() < before + (8 << 20), "{} more bytes", gateway.rss() - before);
}
