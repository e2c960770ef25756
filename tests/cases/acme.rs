//! Certificates by ACME in the real gateway, from a real CA (ACM-01 to ACM-08).

use crate::harness::{Gateway, Setup, TlsClient, eventually, free_port, root, within};
use std::process::Command;
use std::time::Duration;

/// Pebble (`tests/services/pebble.sh`), loudly missing at home, an error where `CI` is set.
pub(super) struct Ca {
    pub(super) dir: tempfile::TempDir,
    /// In the order of [`NAMES`].
    pub(super) ports: Vec<u16>,
    env: Vec<(&'static str, String)>,
}

pub(super) const NAMES: [&str; 6] = ["PORT", "PORT_MANAGEMENT", "PORT_DNS", "PORT_DNS_API", "PORT_HTTP", "PORT_TLS"];

impl Ca {
    pub(super) fn start() -> Option<Ca> {
        Ca::with(&[])
    }

    /// With settings of the script.
    pub(super) fn with(env: &[(&'static str, &str)]) -> Option<Ca> {
        let env: Vec<_> = env.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
        // Somebody may have taken one of the ports meanwhile.
        let mut tries = 0;
        let output = loop {
            let ca = Ca { dir: tempfile::tempdir().unwrap(), ports: NAMES.iter().map(|_| free_port()).collect(), env: env.clone() };
            let output = ca.script("start").output().unwrap();
            if output.status.success() {
                return Some(ca);
            }
            tries += 1;
            if tries == 3 {
                break output;
            }
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "pebble.sh: {said}");
        eprintln!("SKIPPED: tests of ACME need Pebble: {said}");
        None
    }

    fn script(&self, verb: &str) -> Command {
        let mut c = Command::new(root().join("tests/services/pebble.sh"));
        let ports = NAMES.iter().zip(&self.ports).map(|(n, p)| (n, p.to_string()));
        // Orders are counted: none is to be sent twice.
        c.arg(verb).arg(self.dir.path()).env("NONCE_REJECT", "0").envs(ports).envs(self.env.iter().map(|(n, v)| (n, v)));
        c
    }

    pub(super) fn orders(&self) -> usize {
        let log = std::fs::read_to_string(self.dir.path().join("pebble.log")).unwrap();
        log.lines().filter(|l| l.contains("POST /order-plz") && !l.contains("->  badNonce")).count()
    }

    /// A gateway where the CA looks, with its storage in this folder.
    fn gateway(&self, routing: &str) -> Gateway {
        let mut setup = Setup::new()
            .file("routing.yml", routing)
            .flag(format!("--entrypoints.web.address=127.0.0.1:{}", self.ports[4]))
            .flag(format!("--entrypoints.tls.address=127.0.0.1:{}", self.ports[5]))
            .flag("--metrics.prometheus=true");
        for (name, challenge) in [("http", "httpchallenge.entrypoint=web"), ("alpn", "tlschallenge=true")] {
            setup = self.resolver(setup, name).flag(format!("--certificatesresolvers.{name}.acme.{challenge}"));
        }
        setup.start()
    }

    /// With a resolver of this CA, which has no challenge yet.
    pub(super) fn resolver(&self, setup: Setup, name: &str) -> Setup {
        let flag = |option: &str| format!("--certificatesresolvers.{name}.acme.{option}");
        setup
            .flag(flag(&format!("caserver=https://127.0.0.1:{}/dir", self.ports[0])))
            .flag(flag(&format!("cacertificates={}", self.dir.path().join("root.pem").display())))
            .flag(flag(&format!("storage={}", self.dir.path().join("acme.json").display())))
            .flag(flag("keytype=EC256"))
            .flag(flag("email=me@example.com"))
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        let _ = self.script("stop").output();
    }
}

/// Whether the certificate in a handshake is one of the CA for `name`.
pub(super) fn has_its_own(gateway: &Gateway, name: &str) -> Option<Vec<u8>> {
    let conn = TlsClient::new().try_open(gateway.address("tls"), name).ok()?;
    let der = conn.certificate().to_vec();
    let text = String::from_utf8_lossy(&der).into_owned();
    (text.contains("Pebble Intermediate") && text.contains(name)).then_some(der)
}

const ROUTING: &str = "http:
  routers:
    a: {rule: 'Host(`a.test`) || Host(`b.test`)', entryPoints: [tls], service: noop@internal, tls: {certResolver: http}}
    c: {rule: 'Host(`c.test`)', entryPoints: [tls], service: noop@internal, tls: {certResolver: alpn}}
    w: {rule: 'Host(`x.w.test`)', entryPoints: [tls], service: noop@internal, tls: {certResolver: http, domains: [{main: '*.w.test'}]}}
    catch: {rule: 'PathPrefix(`/`)', entryPoints: [web], service: noop@internal, priority: 1}
";

#[test]
fn certificates_are_obtained_served_and_kept() {
    let Some(ca) = Ca::start() else { return };
    let mut gateway = ca.gateway(ROUTING);
    let first = eventually("a certificate by HTTP", || has_its_own(&gateway, "a.test"));
    assert_eq!(has_its_own(&gateway, "b.test"), Some(first.clone()), "one certificate for all names of a rule");
    eventually("a certificate inside a handshake", || has_its_own(&gateway, "c.test"));
    let mut conn = TlsClient::new().open(gateway.address("tls"), "a.test");
    assert_eq!(conn.get("a.test", "/").status, 418);
    // nobody else's token
    assert_eq!(gateway.get("/.well-known/acme-challenge/nothing").status, 404);
    assert_eq!(gateway.get("/other").status, 418);

    let status: serde_json::Value = serde_json::from_slice(&gateway.admin("/api/certificatesResolvers").body).unwrap();
    let text = status.to_string();
    assert!(text.contains("a wildcard needs `dnsChallenge`") && text.contains("\"state\":\"valid\""), "{text}");
    assert!(!text.contains("PRIVATE KEY"), "{text}");
    let figures = gateway.admin("/metrics").text().to_owned();
    for line in [
        "torana_acme_obtained_total{resolver=\"http\"} 1",
        "torana_acme_failures{domains=\"a.test,b.test\",resolver=\"http\",state=\"valid\"} 0",
    ] {
        assert!(figures.contains(line), "{line}: {figures}");
    }
    assert_eq!(gateway.stop(), Some(0));
    assert!(!gateway.log().contains("PRIVATE KEY"));

    let orders = ca.orders();
    let again = ca.gateway(ROUTING);
    assert_eq!(eventually("the stored certificate", || has_its_own(&again, "a.test")), first);
    again.settle();
    assert_eq!(ca.orders(), orders, "nothing is ordered again");
    // a new router, while it runs
    again.reload(
        "more.yml",
        "http: {routers: {d: {rule: 'Host(`d.test`)', entryPoints: [tls], service: noop@internal, tls: {certResolver: http}}}}\n",
    );
    eventually("a certificate for a new router", || has_its_own(&again, "d.test"));
}

/// A place that gateways share (`tests/services`).
struct Place {
    kind: &'static str,
    dir: tempfile::TempDir,
    ports: [u16; 2],
}

impl Place {
    fn start(kind: &'static str) -> Option<Place> {
        let place = Place { kind, dir: tempfile::tempdir().unwrap(), ports: [free_port(), free_port()] };
        let output = place.script("start").output().unwrap();
        if output.status.success() {
            return Some(place);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "{kind}.sh: {said}");
        eprintln!("SKIPPED: tests of ACME in a cluster need {kind}: {said}");
        None
    }

    fn script(&self, verb: &str) -> Command {
        let mut c = Command::new(root().join(format!("tests/services/{}.sh", self.kind)));
        let [port, other] = self.ports.map(|p| p.to_string());
        c.arg(verb).arg(self.dir.path()).env("PORT", port).env("PORT_PEER", &other).env("PORT_SERVER", other);
        c
    }

    /// Below `acme.cluster`.
    fn flag(&self) -> String {
        let at = format!("127.0.0.1:{}", self.ports[0]);
        match self.kind {
            "redis" => format!("redis.url=redis://{at}/0"),
            "etcd" => format!("etcd.endpoints={at}"),
            _ => format!("consul.address={at}"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.script("stop").output();
    }
}

#[test]
fn another_gateway_takes_over_from_one_that_dies() {
    takes_over("redis");
}

#[test]
fn another_gateway_takes_over_by_etcd() {
    takes_over("etcd");
}

#[test]
fn another_gateway_takes_over_by_consul() {
    takes_over("consul");
}

/// Two gateways on the ports where the CA looks, with one storage. The one that orders dies over it; the other one takes
/// over and has the certificate.
fn takes_over(kind: &'static str) {
    let Some(place) = Place::start(kind) else { return };
    let Some(ca) = Ca::start() else { return };
    let routing = "http: {routers: {a: {rule: 'Host(`a.test`)', entryPoints: [tls], service: noop@internal, tls: {certResolver: le}}}}\n";
    let start = || {
        let flag = |option: &str| format!("--certificatesresolvers.le.acme.{option}");
        Setup::new()
            .file("routing.yml", routing)
            .flag(format!("--entrypoints.web.address=127.0.0.1:{}", ca.ports[4]))
            .flag("--entrypoints.web.reuseport=true")
            .flag("--entrypoints.tls.address=127.0.0.1:0")
            .flag(flag(&format!("caserver=https://127.0.0.1:{}/dir", ca.ports[0])))
            .flag(flag(&format!("cacertificates={}", ca.dir.path().join("root.pem").display())))
            .flag(flag(&format!("cluster.{}", place.flag())))
            .flag(flag("keytype=EC256"))
            .flag(flag("email=me@example.com"))
            .flag(flag("httpchallenge.entrypoint=web"))
            // time to die in
            .flag(flag("httpchallenge.delay=3s"))
            .start()
    };
    let states = |g: &Gateway| String::from_utf8(g.admin("/api/certificatesResolvers").body).unwrap();
    let first = start();
    eventually("the first one orders", || (ca.orders() == 1).then_some(()));
    let second = start();
    assert!(has_its_own(&second, "a.test").is_none() && states(&first).contains("\"state\":\"ordering\""));
    first.signal(libc::SIGKILL);
    drop(first);
    within(Duration::from_secs(120), "the second one has a certificate", || has_its_own(&second, "a.test"));
    assert_eq!(ca.orders(), 2, "it was ordered once more, by the one that is left");
    // One that comes later has it at once.
    let third = start();
    eventually("the third one has it too", || has_its_own(&third, "a.test"));
    assert_eq!(ca.orders(), 2);
}
