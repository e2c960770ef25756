//! `hostResolver`: rules are asked for what a host is an alias of, as a real DNS server has it (`tests/services/knot.sh`).

use crate::harness::{Backend, Gateway, Setup, root};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// `resolv.conf` has no ports: this is for no other test.
const SERVER: &str = "127.96.79.53";

const RECORDS: &str = "origin A 127.0.0.1
www CNAME edge
edge CNAME origin
far CNAME origin.other.test.
one CNAME two
two CNAME one
s1 CNAME s2
s2 CNAME s3
s3 CNAME s4
s4 CNAME s5
s5 CNAME s6
s6 CNAME origin";

struct Dns {
    dir: tempfile::TempDir,
}

impl Dns {
    fn start() -> Option<Dns> {
        let dns = Dns { dir: tempfile::tempdir().unwrap() };
        let output = dns.script("start");
        if output.status.success() {
            return Some(dns);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "knot.sh: {said}");
        eprintln!("SKIPPED: tests of `hostResolver` need a DNS server on port 53 of {SERVER}: {said}");
        None
    }

    fn script(&self, verb: &str) -> Output {
        let mut c = Command::new(root().join("tests/services/knot.sh"));
        let env = [("HOST", SERVER), ("PORT", "53"), ("ZONES", "flat.test. other.test."), ("RECORDS", RECORDS)];
        c.arg(verb).arg(self.dir.path()).envs(env).output().unwrap()
    }

    fn gateway(&self, backend: &Backend, depth: &str) -> Gateway {
        let resolv = self.dir.path().join("resolv.conf");
        std::fs::write(&resolv, format!("# a comment\nsearch flat.test\nnameserver {SERVER}\n")).unwrap();
        let routing = format!(
            "http: {{routers: {{r: {{rule: 'Host(`origin.flat.test`) || Host(`origin.other.test`)', service: s}}}}, \
             services: {{s: {{loadBalancer: {{servers: [{{url: '{}'}}]}}}}}}}}",
            backend.url()
        );
        let setup = Setup::new().file("routing.yml", routing).flag("--hostresolver.cnameflattening=true");
        setup.flag(format!("--hostresolver.resolvconfig={}", resolv.display())).flag(format!("--hostresolver.resolvdepth={depth}")).start()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.script("stop");
    }
}

fn status(gateway: &Gateway, host: &str) -> u16 {
    gateway.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).status
}

#[test]
fn aliases_of_a_real_server_are_followed() {
    let Some(dns) = Dns::start() else { return };
    let backend = Backend::named("a");
    let gateway = dns.gateway(&backend, "5");
    for (host, wanted) in [
        ("origin.flat.test", 200),
        ("edge.flat.test", 200),
        ("www.flat.test", 200),
        ("WWW.Flat.Test", 200),
        ("www.flat.test:8080", 200),
        ("www.flat.test.", 200),
        ("far.flat.test", 200),
        ("s2.flat.test", 200),
        ("s1.flat.test", 404),
        ("one.flat.test", 404),
        ("other.flat.test", 404),
        ("nowhere.invalid", 404),
        ("127.0.0.1", 404),
    ] {
        assert_eq!(status(&gateway, host), wanted, "{host}");
        assert_eq!(status(&gateway, host), wanted, "{host}, once more");
    }
    let shallow = dns.gateway(&backend, "1");
    assert_eq!([status(&shallow, "edge.flat.test"), status(&shallow, "www.flat.test")], [200, 404]);

    // Nobody answers: hosts that need no answer are served, the others soon have theirs.
    dns.script("stop");
    let begun = Instant::now();
    let alone = dns.gateway(&backend, "5");
    assert_eq!([status(&alone, "origin.flat.test"), status(&alone, "www.flat.test")], [200, 404]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
