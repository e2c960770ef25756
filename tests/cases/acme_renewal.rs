//! Renewal in the real gateway, by every challenge, while clients keep connecting (ACM-05).

use super::acme::{Ca, Place, has_its_own};
use crate::harness::{Gateway, Setup, eventually, free_port, root, within};
use std::process::Command;
use std::time::Duration;

/// A DNS server that takes updates (`tests/services/knot.sh`).
struct Knot {
    dir: tempfile::TempDir,
    port: u16,
}

impl Knot {
    fn start() -> Option<Knot> {
        let knot = Knot { dir: tempfile::tempdir().unwrap(), port: free_port() };
        let output = knot.script("start").output().unwrap();
        if output.status.success() {
            return Some(knot);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "knot.sh: {said}");
        eprintln!("SKIPPED: renewal by DNS needs Knot: {said}");
        None
    }

    fn script(&self, verb: &str) -> Command {
        let mut c = Command::new(root().join("tests/services/knot.sh"));
        c.arg(verb).arg(self.dir.path()).env("PORT", self.port.to_string()).env("ZONES", "test.");
        c
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Settings of `rfc2136`.
    fn env(&self, setup: Setup) -> Setup {
        let text = std::fs::read_to_string(self.dir.path().join("env")).unwrap();
        let setup = setup.env("RFC2136_NAMESERVER", self.address()).env("RFC2136_POLLING_INTERVAL", "200ms");
        text.lines().filter_map(|l| l.split_once('=')).fold(setup, |s, (name, value)| s.env(&format!("RFC2136_{name}"), value))
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.script("stop").output();
    }
}

/// Every name is asked for all the time, from its first certificate to its second.
#[test]
fn every_challenge_renews_without_a_failed_handshake() {
    let Some(knot) = Knot::start() else { return };
    let Some(ca) = Ca::with(&[("LIFE", "60"), ("DNS", &knot.address())]) else { return };
    let names = ["http.test", "alpn.test", "dns.test"];
    let routers: String = names
        .iter()
        .map(|n| {
            let resolver = n.trim_end_matches(".test");
            format!(
                "    {resolver}: {{rule: 'Host(`{n}`)', entryPoints: [tls], service: noop@internal, tls: {{certResolver: {resolver}}}}}\n"
            )
        })
        .collect();
    let mut setup = Setup::new()
        .file("routing.yml", format!("http:\n  routers:\n{routers}"))
        .flag(format!("--entrypoints.web.address=127.0.0.1:{}", ca.ports[4]))
        .flag(format!("--entrypoints.tls.address=127.0.0.1:{}", ca.ports[5]));
    for (name, challenges) in [
        ("http", &["httpchallenge.entrypoint=web".to_owned()][..]),
        ("alpn", &["tlschallenge=true".to_owned()]),
        (
            "dns",
            &[
                "dnschallenge.provider=rfc2136".to_owned(),
                format!("dnschallenge.resolvers={}", knot.address()),
                // the zone's own server would have to listen on port 53
                "dnschallenge.propagation.disableanschecks=true".to_owned(),
                "dnschallenge.propagation.requireallrns=true".to_owned(),
            ],
        ),
    ] {
        setup = ca.resolver(setup, name);
        for c in challenges {
            setup = setup.flag(format!("--certificatesresolvers.{name}.acme.{c}"));
        }
    }
    let gateway = knot.env(setup).start();
    let first: Vec<_> = names.map(|n| within(Duration::from_secs(40), "a certificate", || has_its_own(&gateway, n))).into();
    let mut renewed = [false; 3];
    within(Duration::from_secs(150), "all of them are renewed", || {
        for (i, name) in names.iter().enumerate() {
            let now = has_its_own(&gateway, name).unwrap_or_else(|| panic!("a failed handshake: {name}"));
            renewed[i] |= now != first[i];
        }
        renewed.iter().all(|r| *r).then_some(())
    });
    let status = String::from_utf8(gateway.admin("/api/certificatesResolvers").body).unwrap();
    assert!(!status.contains("\"error\""), "{status}");
    assert!(!gateway.log().contains("Unable to obtain"), "no try failed");
}

/// The one that renews dies over it: the other one takes over when its lease has ended, and serves all the time.
#[test]
fn another_gateway_takes_over_a_renewal() {
    let Some(place) = Place::start("redis") else { return };
    let Some(ca) = Ca::with(&[("LIFE", "60")]) else { return };
    let routing = "http: {routers: {a: {rule: 'Host(`a.test`)', entryPoints: [tls], service: noop@internal, tls: {certResolver: le}}}}\n";
    let start = || {
        let flag = |option: &str| format!("--certificatesresolvers.le.acme.{option}");
        let setup = Setup::new()
            .file("routing.yml", routing)
            .flag(format!("--entrypoints.web.address=127.0.0.1:{}", ca.ports[4]))
            .flag("--entrypoints.web.reuseport=true")
            .flag("--entrypoints.tls.address=127.0.0.1:0");
        ca.resolver(setup, "le")
            .flag(flag(&format!("cluster.{}", place.flag())))
            .flag(flag("httpchallenge.entrypoint=web"))
            // time to die in
            .flag(flag("httpchallenge.delay=3s"))
            .start()
    };
    let mut both = vec![start(), start()];
    let old = within(Duration::from_secs(40), "a certificate", || has_its_own(&both[0], "a.test"));
    eventually("the other one has it too", || has_its_own(&both[1], "a.test").filter(|c| *c == old));
    let orders = ca.orders();
    let states = |g: &Gateway| String::from_utf8(g.admin("/api/certificatesResolvers").body).unwrap();
    // the one that has the lease has begun; the other one says the same for a moment at most
    let at = within(Duration::from_secs(90), "one of them renews", || {
        let renewing: Vec<usize> = (0..2).filter(|i| states(&both[*i]).contains("\"renewing\"")).collect();
        (renewing.len() == 1 && ca.orders() > orders).then(|| renewing[0])
    });
    let dead = both.remove(at);
    dead.signal(libc::SIGKILL);
    drop(dead);
    let new = within(Duration::from_secs(120), "the other one renews", || {
        let now = has_its_own(&both[0], "a.test").expect("a failed handshake");
        (now != old).then_some(now)
    });
    assert_eq!(ca.orders(), orders + 2, "once by each of them");
    let third = start();
    assert_eq!(eventually("one that comes later", || has_its_own(&third, "a.test")), new);
}
