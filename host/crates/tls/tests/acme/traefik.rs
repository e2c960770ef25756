//! One `acme.json`, used by Traefik and by us in turn.

use crate::lab::*;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Traefik until it is dropped.
struct Traefik(Child);

impl Drop for Traefik {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it with resolvers that write our file, and routers for `hosts`, each with its resolver.
fn traefik(program: &str, lab: &Lab, hosts: &[(&str, &str)]) -> Traefik {
    let routers: String = hosts
        .iter()
        .enumerate()
        .map(|(n, (host, resolver))| {
            format!("    r{n}: {{rule: 'Host(`{host}`)', service: noop@internal, tls: {{certResolver: {resolver}}}}}\n")
        })
        .collect();
    std::fs::write(lab.path("dynamic.yml"), format!("http:\n  routers:\n{routers}")).unwrap();
    let resolver = |name: &str| {
        format!(
            "  {name}: {{acme: {{email: me@example.com, caServer: '{}', storage: '{}', keyType: EC256, httpChallenge: {{entryPoint: web}}}}}}\n",
            lab.url("PORT", "/dir"),
            lab.path("acme.json")
        )
    };
    let text = format!(
        "entryPoints: {{web: {{address: '127.0.0.1:{}'}}, tls: {{address: '127.0.0.1:{}'}}}}\nproviders: {{file: {{filename: '{}'}}}}\n\
         log: {{level: DEBUG, noColor: true, filePath: '{}'}}\nglobal: {{checkNewVersion: false}}\ncertificatesResolvers:\n{}{}",
        lab.ports["PORT_HTTP"],
        lab.ports["PORT_TLS"],
        lab.path("dynamic.yml"),
        lab.path("traefik.log"),
        resolver("le"),
        resolver("ours")
    );
    std::fs::write(lab.path("traefik.yml"), text).unwrap();
    let _ = std::fs::remove_file(lab.path("traefik.log"));
    let child = Command::new(program)
        .arg(format!("--configFile={}", lab.path("traefik.yml")))
        .env("LEGO_CA_CERTIFICATES", lab.path("ca/root.pem"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Traefik(child.unwrap())
}

fn eventually(what: &str, lab: &Lab, good: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !good() {
        let log = || std::fs::read_to_string(lab.path("traefik.log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "{what}\n{}", log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn has(lab: &Lab, resolver: &str, name: &str) -> bool {
    let Ok(text) = std::fs::read(lab.path("acme.json")) else { return false };
    let Ok(all) = serde_json::from_slice::<serde_json::Value>(&text) else { return false };
    all[resolver]["Certificates"].as_array().is_some_and(|c| c.iter().any(|c| c["domain"]["main"] == name))
}

#[tokio::test]
async fn traefik_and_we_take_over_from_each_other() {
    let Some(program) = script("traefik.sh", &["install"], &[]) else { return };
    let Some(lab) = Lab::start(&[("NONCE_REJECT", "0")]) else { return };
    let first = traefik(program.trim(), &lab, &[("a.test", "le")]);
    eventually("a certificate for Traefik", &lab, || has(&lab, "le", "a.test"));
    drop(first);
    let accounts = lab.log_lines("POST /sign-me-up");

    let shared = shared();
    let http = serve_http(lab.ports["PORT_HTTP"], Arc::clone(&shared.challenges)).await;
    let r = Running::new("le", &lab.http(), &shared, &[&["a.test"], &["b.test"]]);
    let theirs = r.resolver.certificates().borrow()[0].clone();
    assert_eq!(check(&theirs).0, ["a.test"]);
    r.certificate("b.test").await;
    r.end().await;
    assert_eq!(lab.log_lines("POST /sign-me-up"), accounts, "Traefik's account, with its RSA key, is used");
    let r = Running::new("ours", &lab.http(), &shared, &[&["c.test"]]);
    r.certificate("c.test").await;
    r.end().await;
    http.abort();
    let _ = http.await;
    let (accounts, orders) = (lab.log_lines("POST /sign-me-up"), lab.log_lines("POST /order-plz"));

    // Traefik again: it needs nothing for b.test and c.test, and orders d.test with the account that we made
    let hosts = [("a.test", "le"), ("b.test", "le"), ("c.test", "ours"), ("d.test", "ours")];
    let second = traefik(program.trim(), &lab, &hosts);
    eventually("another certificate for Traefik", &lab, || has(&lab, "ours", "d.test"));
    drop(second);
    assert_eq!((lab.log_lines("POST /sign-me-up"), lab.log_lines("POST /order-plz")), (accounts, orders + 1));
    for (resolver, name) in [("le", "a.test"), ("le", "b.test"), ("ours", "c.test")] {
        assert!(has(&lab, resolver, name), "{name} was lost");
    }
    let log = std::fs::read_to_string(lab.path("traefik.log")).unwrap();
    assert!(!log.contains(" ERR "), "{log}");
}
