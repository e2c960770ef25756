//! Resolvers with a real CA (Pebble). Loudly skipped where it cannot be had, an error where `CI` is set.

#![allow(clippy::unwrap_used)]

mod cluster;
mod dns;
mod lab;
mod traefik;
mod trouble;

use lab::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use torana_config::install::{AcmeConfig, EabConfig};
use torana_tls::acme::*;

#[tokio::test]
async fn http_01_then_a_restart() {
    let Some(lab) = Lab::start(&[]) else { return };
    let shared = shared();
    serve_http(lab.ports["PORT_HTTP"], Arc::clone(&shared.challenges)).await;
    let r = Running::new("le", &lab.http(), &shared, &[&["A.test.", "b.test"], &["b.test", "a.test"], &["c.test"]]);
    let first = r.certificate("a.test").await;
    assert_eq!(check(&first).0, ["a.test", "b.test"]);
    check(&*r.certificate("c.test").await);
    let status = r.until(|s| s.obtained == 2 && s.certificates.iter().all(|c| matches!(c.state, CertificateState::Valid))).await;
    let first_row = &status.certificates[0];
    assert_eq!((first_row.domains.len(), first_row.not_after, status.failed), (2, Some(first.not_after), 0));
    r.end().await;

    // as Traefik writes it
    let all = file(lab.path("acme.json"));
    let account = &all["le"]["Account"];
    assert_eq!(account["Email"], "me@example.com");
    assert_eq!(account["Registration"]["body"]["status"], "valid");
    assert!(account["PrivateKey"].as_str().unwrap().starts_with("MIIJ"), "RSA of 4096 bits");
    let stored = all["le"]["Certificates"].as_array().unwrap();
    assert!(stored.iter().any(|c| c["domain"]["main"] == "a.test" && c["domain"]["sans"][0] == "b.test" && c["Store"] == "default"));

    let before = (lab.log_lines("POST /order-plz"), lab.log_lines("POST /sign-me-up"));
    let r = Running::new("le", &lab.http(), &shared, &[&["b.test"], &["d.test"]]);
    assert_eq!(*r.resolver.certificates().borrow().iter().find(|c| c.domains.len() == 2).unwrap().chain, *first.chain);
    r.certificate("d.test").await;
    // the account was taken over, and b.test is covered by what was there
    let after = (lab.log_lines("POST /order-plz"), lab.log_lines("POST /sign-me-up"));
    assert!(after.0 > before.0 && after.1 == before.1, "{before:?} {after:?}");
    assert_eq!(r.resolver.certificates().borrow().len(), 3);
    r.end().await;
}

#[tokio::test]
async fn tls_alpn_01_with_many_names_at_once() {
    let Some(lab) = Lab::start(&[]) else { return };
    let shared = shared();
    serve_alpn(lab.ports["PORT_TLS"], Arc::clone(&shared.challenges)).await;
    let names: Vec<String> = (0..40).map(|n| format!("n{n}.test")).collect();
    let sets: Vec<[&str; 1]> = names.iter().map(|n| [n.as_str()]).collect();
    let sets: Vec<&[&str]> = sets.iter().map(|s| &s[..]).collect();
    let r = Running::new("le", &lab.alpn(), &shared, &sets);
    r.until(|s| s.obtained == 40).await;
    assert_eq!(lab.log_lines("POST /sign-me-up"), 1 + lab.log_lines("sign-me-up -> badNonce"), "one account for all");
    r.end().await;
    assert_eq!(file(lab.path("acme.json"))["le"]["Certificates"].as_array().unwrap().len(), 40);
}

#[tokio::test]
async fn what_is_covered_is_not_ordered_until_it_is_not() {
    let Some(lab) = Lab::start(&[]) else { return };
    let there = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&there);
    let shared = AcmeShared { covered: Arc::new(move |n| n[0] == "a.test" && seen.load(Ordering::Relaxed)), ..shared() };
    serve_http(lab.ports["PORT_HTTP"], Arc::clone(&shared.challenges)).await;
    let r = Running::new("le", &lab.http(), &shared, &[&["a.test"], &["b.test"], &["*.w.test"], &["*.*.w.test"]]);
    r.certificate("b.test").await;
    let status = r.until(|s| s.obtained == 1).await;
    let of = |name: &str| status.certificates.iter().find(|c| c.domains[0] == name).unwrap().clone();
    assert_eq!(of("a.test").state, CertificateState::Covered);
    assert_eq!(of("*.w.test").error.as_deref(), Some("`*.w.test`: a wildcard needs `dnsChallenge`"));
    assert_eq!(of("*.*.w.test").state, CertificateState::Failed);
    there.store(false, Ordering::Relaxed);
    r.wanted.send_replace(wanted(&[&["a.test"]]));
    r.certificate("a.test").await;
    r.end().await;
}

#[tokio::test]
async fn accounts_that_the_ca_knows_already() {
    let Some(lab) = Lab::start(&[("EAB", "1")]) else { return };
    let shared = shared();
    serve_http(lab.ports["PORT_HTTP"], Arc::clone(&shared.challenges)).await;
    let env = std::fs::read_to_string(lab.path("ca/env")).unwrap();
    let var = |name: &str| env.lines().find_map(|l| l.strip_prefix(&format!("{name}="))).unwrap().to_owned();
    let with =
        |kid: String, hmac: String| AcmeConfig { eab: Some(EabConfig { kid, hmac_encoded: torana_base::Secret::new(hmac) }), ..lab.http() };
    for (config, told) in [
        (lab.http(), "the CA wants an account that it knows already"),
        (with("nobody".into(), var("EAB_HMAC")), "urn:ietf:params:acme:error:unauthorized"),
    ] {
        let r = Running::new("wrong", &config, &shared, &[&["a.test"]]);
        let status = r.until(one_failed).await;
        let c = &status.certificates[0];
        let said = format!("{:?} {:?}", c.error, c.error_type);
        assert!(said.contains(told), "{said}");
        r.end().await;
    }
    let r = Running::new("le", &with(var("EAB_KID"), var("EAB_HMAC")), &shared, &[&["a.test"]]);
    r.certificate("a.test").await;
    r.end().await;
}

#[tokio::test]
async fn keys_and_chains() {
    let Some(lab) = Lab::start(&[("CHAINS", "2")]) else { return };
    let shared = shared();
    serve_http(lab.ports["PORT_HTTP"], Arc::clone(&shared.challenges)).await;
    let root = lab.curl(&[&lab.url("PORT_MANAGEMENT", "/roots/2")]);
    let der = pem_der(&root);
    let (_, root) = x509_parser::parse_x509_certificate(&der).unwrap();
    let name = root.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned();
    let config = AcmeConfig { preferred_chain: name.clone(), key_type: "RSA2048".into(), ..lab.http() };
    let r = Running::new("le", &config, &shared, &[&["a.test"]]);
    let c = r.certificate("a.test").await;
    assert_eq!(check(&c).1, name);
    let der = pem_der(&c.chain);
    let (_, x) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(matches!(x.public_key().parsed().unwrap(), x509_parser::public_key::PublicKey::RSA(k) if k.key_size() == 2048));
    r.end().await;
}

pub(crate) fn pem_der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

/// The life of certificates that tests see renewed, in seconds. The CA's window is hours wide around it: at random it
/// is over at once, when the pause between two orders counts, or far behind the end, when nine tenths of the life are
/// the latest.
pub(crate) const LIFE: (&str, &str) = ("LIFE", "20");

/// From the first certificate to the second, by the challenge of `config`.
pub(crate) async fn renews(lab: &Lab, config: &AcmeConfig, shared: &AcmeShared) {
    let r = Running::new("le", config, shared, &[&["a.test"]]);
    let first = r.certificate("a.test").await;
    // the directory offers renewal information, and it is asked for
    let deadline = SystemTime::now() + Duration::from_secs(10);
    while lab.log_lines("/draft-ietf-acme-ari-03/renewalInfo/") == 0 {
        assert!(SystemTime::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut all = r.resolver.certificates();
    let renewed = tokio::time::timeout(Duration::from_secs(150), all.wait_for(|c| c[0].chain != first.chain)).await;
    let Ok(renewed) = renewed else { panic!("not renewed: {:#?}", r.resolver.status().borrow().clone()) };
    let renewed = Arc::clone(&renewed.unwrap()[0]);
    assert!(renewed.not_after > first.not_after);
    let stored = file(lab.path("acme.json"));
    assert_eq!(stored["le"]["Certificates"].as_array().unwrap().len(), 1, "the old one is replaced");
    assert_eq!(r.resolver.status().borrow().failed, 0);
    r.end().await;
}

#[tokio::test]
async fn certificates_are_renewed_before_they_end() {
    let Some(lab) = Lab::start(&[LIFE]) else { return };
    let shared = shared();
    serve_http(lab.ports["PORT_HTTP"], Arc::clone(&shared.challenges)).await;
    renews(&lab, &lab.http(), &shared).await;
}

#[tokio::test]
async fn renewal_inside_handshakes() {
    let Some(lab) = Lab::start(&[LIFE]) else { return };
    let shared = shared();
    serve_alpn(lab.ports["PORT_TLS"], Arc::clone(&shared.challenges)).await;
    renews(&lab, &lab.alpn(), &shared).await;
}
