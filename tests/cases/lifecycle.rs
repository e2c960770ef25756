//! Start and stop (CFG-07, EP-14, PNG).

use crate::harness::{Backend, Conn, Gate, Gateway, PATIENCE, Reply, Setup, binary, eventually, free_port, route, run, within};
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Answers when the gate opens.
fn slow() -> (Arc<Gate>, Backend) {
    let gate = Arc::new(Gate::default());
    let held = gate.clone();
    let backend = Backend::http(move |r| {
        if r.path() == "/slow" {
            held.wait();
        }
        Reply::ok("done")
    });
    (gate, backend)
}

fn everything(backend: &Backend) -> String {
    route("PathPrefix(`/`)", &[&backend.url()])
}

const SLOW: &str = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";

/// EP-14
#[test]
fn sigterm_loses_no_accepted_request() {
    let (gate, backend) = slow();
    let mut gateway = Gateway::start(&everything(&backend));
    let mut open: Vec<Conn> = (0..50)
        .map(|_| {
            let mut c = gateway.connect();
            c.send(SLOW);
            c
        })
        .collect();
    eventually("all requests have reached the backend", || (backend.requests().len() == 50).then_some(()));
    gateway.signal(libc::SIGTERM);
    eventually("nothing more is accepted", || Conn::try_open(gateway.web()).is_err().then_some(()));
    gate.open();
    for c in &mut open {
        let r = c.response();
        assert_eq!((r.status, r.text(), r.header("connection")), (200, "done", Some("close")));
        c.assert_closed();
    }
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn sigterm_ends_idle_connections_at_once() {
    let (_gate, backend) = slow();
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut gateway = Gateway::start(&everything(&backend));
        // One that has never asked anything, and one between two requests.
        let (mut new, mut used) = (gateway.connect(), gateway.connect());
        assert_eq!(used.get("a", "/").status, 200);
        let begin = Instant::now();
        gateway.signal(signal);
        new.assert_closed();
        used.assert_closed();
        assert_eq!(gateway.wait().code(), Some(0));
        assert!(begin.elapsed() < Duration::from_secs(2), "the stop took {:?}", begin.elapsed());
    }
}

/// A request whose head is on its way when the stop comes is served.
#[test]
fn sigterm_waits_for_a_request_that_has_begun() {
    let (_gate, backend) = slow();
    let mut gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    assert_eq!(c.get("a", "/").status, 200);
    c.send("GET / HTTP/1.1\r\nHo");
    // Another connection's round trip: the half of a head has been read by now.
    assert_eq!(gateway.get("/").status, 200);
    gateway.signal(libc::SIGTERM);
    eventually("nothing more is accepted", || Conn::try_open(gateway.web()).is_err().then_some(()));
    c.send("st: a\r\n\r\n");
    assert_eq!((c.response().status, gateway.wait().code()), (200, Some(0)));
}

#[test]
fn a_second_signal_ends_at_once() {
    let (_gate, backend) = slow();
    let mut gateway = Gateway::start(&everything(&backend));
    let mut c = gateway.connect();
    c.send(SLOW);
    backend.request(0);
    gateway.signal(libc::SIGTERM);
    // A repeat within a second is taken for the same signal: the request outlives it.
    gateway.signal(libc::SIGTERM);
    let begin = Instant::now();
    eventually("nothing more is accepted", || Conn::try_open(gateway.web()).is_err().then_some(()));
    // Nothing happens in this time: there is no event to wait for.
    std::thread::sleep(Duration::from_millis(1100).saturating_sub(begin.elapsed()));
    assert!(gateway.is_running(), "the repeated signal ended it");
    let begin = Instant::now();
    assert_eq!(gateway.stop(), Some(1));
    assert!(begin.elapsed() < Duration::from_secs(2), "the end took {:?}", begin.elapsed());
}

/// EP-14
#[test]
fn grace_time_out_ends_what_does_not_finish() {
    let (_gate, backend) = slow();
    let mut gateway =
        Setup::new().file("routing.yml", everything(&backend)).flag("--entrypoints.web.transport.lifecycle.gracetimeout=600ms").start();
    let mut c = gateway.connect();
    c.send(SLOW);
    backend.request(0);
    let begin = Instant::now();
    assert_eq!(gateway.stop(), Some(0));
    assert!((590..3000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    c.assert_closed();
}

/// EP-14: load balancers in front see `/ping` fail while requests are still taken.
#[test]
fn requests_are_accepted_for_the_grace_time_while_ping_says_503() {
    let (_gate, backend) = slow();
    let mut gateway = Setup::new()
        .file("routing.yml", everything(&backend))
        .flag("--entrypoints.web.transport.lifecycle.requestacceptgracetimeout=1s")
        .flag("--entrypoints.traefik.transport.lifecycle.requestacceptgracetimeout=1s")
        .start();
    let ping = gateway.admin("/ping");
    assert_eq!((ping.status, ping.text(), gateway.admin("/ready").status), (200, "OK", 200));
    let begin = Instant::now();
    gateway.signal(libc::SIGTERM);
    within(Duration::from_millis(700), "ping fails", || (gateway.admin("/ping").status == 503).then_some(()));
    assert_eq!(gateway.admin("/ready").status, 503);
    assert_eq!(gateway.get("/").text(), "done");
    eventually("nothing more is accepted", || Conn::try_open(gateway.web()).is_err().then_some(()));
    assert!((990..4000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn ping_says_what_it_is_told_to_while_it_stops() {
    let mut gateway = Setup::new()
        .flag("--ping.terminatingstatuscode=204")
        .flag("--entrypoints.traefik.transport.lifecycle.requestacceptgracetimeout=500ms")
        .start();
    gateway.signal(libc::SIGTERM);
    eventually("ping fails", || (gateway.admin("/ping").status == 204).then_some(()));
    assert_eq!(gateway.wait().code(), Some(0));
}

/// CFG-07, LOG
#[test]
fn sigusr1_reopens_the_log() {
    let (web, admin) = (free_port(), free_port());
    let gateway = Setup::new()
        .flag(format!("--entrypoints.web.address=127.0.0.1:{web}"))
        .flag(format!("--entrypoints.traefik.address=127.0.0.1:{admin}"))
        .flag("--log.filepath=logs/torana.log")
        .without_waiting()
        .start();
    gateway.listens("traefik", ([127, 0, 0, 1], admin).into());
    let read = |name: &str| std::fs::read_to_string(gateway.folder.path().join("logs").join(name)).unwrap_or_default();
    eventually("it serves", || read("torana.log").contains(r#""message":"serving""#).then_some(()));
    std::fs::rename(gateway.folder.path().join("logs/torana.log"), gateway.folder.path().join("logs/old.log")).unwrap();
    gateway.signal(libc::SIGUSR1);
    eventually("there is a new file", || gateway.folder.path().join("logs/torana.log").exists().then_some(()));
    let old = read("old.log");
    gateway.reload("bad.yml", "http: [");
    eventually("the new file is written", || read("torana.log").contains("bad.yml").then_some(()));
    assert_eq!(read("old.log"), old);
}

/// PRV-02: what is not there yet may come.
#[test]
fn ready_waits_for_the_first_configuration() {
    let (_gate, backend) = slow();
    let gateway = Setup::new().without_directory().start();
    gateway.wait_log("the provider's trouble", |l| l.contains("dynamic") && l.contains("cannot be read"));
    assert_eq!(gateway.admin("/ready").status, 503);
    assert_eq!(gateway.admin("/ping").status, 200);
    std::fs::create_dir(gateway.folder.path().join("dynamic")).unwrap();
    gateway.reload("routing.yml", &everything(&backend));
    eventually("it is ready", || (gateway.admin("/ready").status == 200).then_some(()));
    assert_eq!(gateway.get("/").text(), "done");
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (web, other) = (format!("--entrypoints.web.address={address}"), format!("--entrypoints.other.address={address}"));
    let out = run(folder.path(), &[&web, &other, "--entrypoints.free.address=127.0.0.1:0"], &[]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    for name in ["web", "other"] {
        assert!(said.contains(&format!("entryPoints.{name}.address")), "{said}");
    }
    assert!(
        said.contains(&format!("cannot listen on {address}")) && said.contains("hint:") && !said.contains("entryPoints.free"),
        "{said}"
    );
    assert!(said.contains("torana does not start: 2 errors"), "{said}");
}

/// Nobody is told 404 only because the gateway is younger than its configuration.
#[test]
fn the_first_request_meets_the_first_configuration() {
    let (_gate, backend) = slow();
    let mut routing = String::from("http:\n  routers:\n");
    for i in 0..1000 {
        routing += &format!("    r{i}: {{rule: 'Host(`h{i}.test`) && PathPrefix(`/`)', service: s}}\n");
    }
    routing += &crate::harness::service("s", &[&backend.url()]);
    let port = free_port();
    let gateway =
        Setup::new().file("routing.yml", routing).flag(format!("--entrypoints.web.address=127.0.0.1:{port}")).without_waiting().start();
    gateway.listens("web", ([127, 0, 0, 1], port).into());
    let begin = Instant::now();
    let mut c = loop {
        match Conn::try_open(gateway.web()) {
            Ok(c) => break c,
            Err(e) => assert!(begin.elapsed() < PATIENCE, "it never listens: {e}"),
        }
    };
    let r = c.get("h999.test", "/");
    assert_eq!((r.status, r.text()), (200, "done"));
}

/// CFG-07
#[test]
fn systemd_is_told_when_the_gateway_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let gateway = Setup::new().env("NOTIFY_SOCKET", path.to_str().unwrap()).start();
    let mut buf = [0; 256];
    let n = socket.recv(&mut buf).unwrap();
    assert!(buf[..n].starts_with(b"READY=1"), "{:?}", String::from_utf8_lossy(&buf[..n]));
    assert_eq!(gateway.admin("/ping").status, 200);
}

/// CFG-07: systemd opened the socket, and it is the one that is served.
#[test]
fn a_socket_that_systemd_opened_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Its own id must stand in LISTEN_PID, which a shell knows before it becomes the gateway.
    let mut c = Command::new("sh");
    c.args(["-c", r#"LISTEN_PID=$$ exec "$0" "$@" 3<&0 </dev/null"#]).arg(binary());
    c.args(["--entrypoints.web.address=127.0.0.1:1", "--log.level=info", "--log.format=json"]);
    c.env_clear().env("PATH", "/usr/bin:/bin").env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "web").current_dir(folder.path());
    let mut gateway = Gateway::spawn(with_stdin(c, listener.into()), folder);
    assert_eq!(gateway.web(), address);
    assert_eq!((gateway.get("/").status, gateway.stop()), (404, Some(0)));
}

fn with_stdin(mut c: Command, fd: OwnedFd) -> Command {
    c.stdin(fd);
    c
}

/// Out of descriptors: who is connected is served, and so are others once there is room.
#[test]
fn too_many_connections_are_survived() {
    let (_gate, backend) = slow();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("dynamic")).unwrap();
    std::fs::write(folder.path().join("dynamic/routing.yml"), everything(&backend)).unwrap();
    let mut c = Command::new("sh");
    c.args(["-c", r#"ulimit -n 64; exec "$0" "$@""#]).arg(binary());
    c.args(["--entrypoints.web.address=127.0.0.1:0", "--providers.file.directory=dynamic", "--log.level=info", "--log.format=json"]);
    c.env_clear().env("PATH", "/usr/bin:/bin").current_dir(folder.path());
    let gateway = Gateway::spawn(c, folder);
    gateway.wait_serving();
    let mut first = gateway.connect();
    assert_eq!(first.get("a", "/").status, 200);
    let many: Vec<Conn> = (0..100).map(|_| gateway.connect()).collect();
    gateway.wait_log("it is out of descriptors", |l| l.contains("cannot accept"));
    assert_eq!(first.get("a", "/").status, 200);
    drop(many);
    assert_eq!(gateway.get("/").status, 200);
}

/// An upgraded connection has the grace time like everybody.
#[test]
fn grace_time_out_ends_upgraded_connections() {
    let backend = Backend::raw(|mut raw| {
        raw.head();
        raw.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
        let mut buf = [0; 64];
        while let Ok(n @ 1..) = raw.io.read(&mut buf) {
            raw.write(&buf[..n]);
        }
    });
    let mut gateway =
        Setup::new().file("routing.yml", everything(&backend)).flag("--entrypoints.web.transport.lifecycle.gracetimeout=600ms").start();
    let mut c = gateway.connect();
    c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(c.head().0, "HTTP/1.1 101 Switching Protocols");
    gateway.signal(libc::SIGTERM);
    eventually("nothing more is accepted", || Conn::try_open(gateway.web()).is_err().then_some(()));
    c.send("ping");
    assert_eq!((c.exact(4), gateway.wait().code()), (b"ping".to_vec(), Some(0)));
    c.assert_closed();
}

/// EP-01
#[test]
fn an_entry_point_listens_on_ipv6() {
    let gateway = Setup::new().flag("--entrypoints.six.address=[::1]:0").start();
    let address = gateway.address("six");
    assert_eq!(address.ip().to_string(), "::1");
    assert_eq!(Conn::open(address).get("a", "/").status, 404);
}
