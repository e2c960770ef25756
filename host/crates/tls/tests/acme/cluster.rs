//! Several gateways with one storage.

use crate::lab::*;
use std::sync::Arc;
use std::time::Duration;
use torana_base::Secret;
use torana_config::install::{AcmeClusterConfig, AcmeConfig, AcmeRedisConfig};
use torana_tls::acme::*;

struct Redis {
    dir: String,
    env: [(&'static str, String); 2],
    _files: tempfile::TempDir,
}

impl Redis {
    fn start() -> Option<Redis> {
        let files = tempfile::tempdir().unwrap();
        let env = [("PORT", free_port().to_string()), ("PASSWORD", "secret".to_owned())];
        let redis = Redis { dir: files.path().display().to_string(), env, _files: files };
        redis.run()?;
        Some(redis)
    }

    fn run(&self) -> Option<String> {
        script("redis.sh", &["start", &self.dir], &self.env)
    }

    fn config(&self, config: AcmeConfig) -> AcmeConfig {
        let url = Secret::new(format!("redis://:secret@127.0.0.1:{}/0", self.env[0].1));
        let redis = AcmeRedisConfig { url, ..AcmeRedisConfig::default() };
        AcmeConfig { cluster: Some(AcmeClusterConfig { redis: Some(redis) }), storage: "/no/such/file".into(), ..config }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        script("redis.sh", &["stop", &self.dir], &self.env);
    }
}

async fn all_have(r: &Running, count: usize) {
    let mut all = r.resolver.certificates();
    let found = tokio::time::timeout(Duration::from_secs(60), all.wait_for(|c| c.len() == count)).await.is_ok();
    assert!(found, "{:#?}", r.resolver.status().borrow().clone());
}

#[tokio::test]
async fn one_orders_and_any_answers() {
    let Some(redis) = Redis::start() else { return };
    let Some(lab) = Lab::start(&[("NONCE_REJECT", "0")]) else { return };
    let (first, second) = (shared(), shared());
    // the CA only reaches the second one
    serve_http(lab.ports["PORT_HTTP"], Arc::clone(&second.challenges)).await;
    let config = redis.config(lab.http());
    let names: Vec<String> = (0..6).map(|n| format!("n{n}.test")).collect();
    let sets: Vec<[&str; 1]> = names.iter().map(|n| [n.as_str()]).collect();
    let sets: Vec<&[&str]> = sets.iter().map(|s| &s[..]).collect();
    let a = Running::new("le", &config, &first, &sets);
    let b = Running::new("le", &config, &second, &sets);
    all_have(&a, 6).await;
    all_have(&b, 6).await;
    assert_eq!(lab.log_lines("POST /order-plz"), 6, "each name is ordered once");
    let chains = |r: &Running| {
        let mut all: Vec<String> = r.resolver.certificates().borrow().iter().map(|c| c.chain.clone()).collect();
        all.sort();
        all
    };
    assert_eq!(chains(&a), chains(&b));
    let settled = |s: &AcmeStatus| s.certificates.len() == 6 && s.certificates.iter().all(|c| c.state == CertificateState::Valid);
    let (x, y) = (a.until(settled).await, b.until(settled).await);
    assert_eq!((x.obtained + y.obtained, x.failed + y.failed), (6, 0));
    // a third one, that comes later, has them at once and the same account
    let third = AcmeResolver::open("le", &config, shared()).unwrap();
    assert_eq!(third.certificates().borrow().len(), 6);
    a.end().await;
    b.end().await;
}

#[tokio::test]
async fn a_shared_storage_that_is_away() {
    let Some(redis) = Redis::start() else { return };
    let Some(lab) = Lab::start(&[]) else { return };
    let shared = shared();
    serve_http(lab.ports["PORT_HTTP"], Arc::clone(&shared.challenges)).await;
    // what a file has comes along
    let alone = Running::new("le", &lab.http(), &shared, &[&["a.test"]]);
    alone.certificate("a.test").await;
    alone.end().await;
    let config = AcmeConfig { storage: lab.path("acme.json"), ..redis.config(lab.http()) };
    let accounts = lab.log_lines("POST /sign-me-up");
    let r = Running::new("le", &config, &shared, &[&["a.test"]]);
    assert_eq!(r.resolver.certificates().borrow().len(), 1);
    script("redis.sh", &["stop", &redis.dir], &redis.env).unwrap();
    r.wanted.send_replace(wanted(&[&["a.test"], &["b.test"]]));
    let status = r.until(one_failed).await;
    let failed = status.certificates.iter().find(|c| c.state == CertificateState::Failed).unwrap();
    assert!(failed.error.as_ref().unwrap().starts_with("the shared storage: "), "{failed:?}");
    assert_eq!(r.resolver.certificates().borrow().len(), 1, "what is there serves on");
    // opened while it is away: not left out
    let late = AcmeResolver::open("le", &config, shared.clone()).unwrap();
    assert_eq!(late.certificates().borrow().len(), 0);
    redis.run().unwrap();
    r.certificate("b.test").await;
    assert_eq!(lab.log_lines("POST /sign-me-up"), accounts, "the account of the file is used");
    r.end().await;
    let text = format!("{config:?}");
    assert!(!text.contains("secret"), "{text}");
}
