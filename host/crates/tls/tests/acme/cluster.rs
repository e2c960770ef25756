//! Several gateways with one storage.

use crate::lab::*;
use std::sync::Arc;
use std::time::Duration;
use torana_base::Secret;
use torana_config::install::{AcmeClusterConfig, AcmeConfig, AcmeConsulConfig, AcmeEtcdConfig, AcmeRedisConfig};
use torana_tls::acme::*;

/// A shared place, with its real server (`tests/services`).
struct Place {
    kind: &'static str,
    dir: String,
    env: Vec<(&'static str, String)>,
    _files: tempfile::TempDir,
}

const PLACES: [&str; 3] = ["redis", "etcd", "consul"];

impl Place {
    fn start(kind: &'static str) -> Option<Place> {
        let files = tempfile::tempdir().unwrap();
        let mut env = vec![("PORT", free_port().to_string())];
        match kind {
            "redis" => env.push(("PASSWORD", "secret".to_owned())),
            "etcd" => env.extend([("PASSWORD", "secret".to_owned()), ("PORT_PEER", free_port().to_string())]),
            _ => env.extend([("TOKEN", "secret".to_owned()), ("PORT_SERVER", free_port().to_string())]),
        }
        let place = Place { kind, dir: files.path().display().to_string(), env, _files: files };
        place.run("start")?;
        Some(place)
    }

    fn run(&self, verb: &str) -> Option<String> {
        script(&format!("{}.sh", self.kind), &[verb, &self.dir], &self.env)
    }

    fn config(&self, config: AcmeConfig) -> AcmeConfig {
        let (at, secret) = (format!("127.0.0.1:{}", self.env[0].1), Secret::new("secret"));
        let mut cluster = AcmeClusterConfig::default();
        match self.kind {
            "redis" => {
                let url = Secret::new(format!("redis://:secret@{at}/0"));
                cluster.redis = Some(AcmeRedisConfig { url, ..AcmeRedisConfig::default() });
            }
            "etcd" => {
                // the first one is not there
                let endpoints = vec!["127.0.0.1:1".to_owned(), at];
                cluster.etcd = Some(AcmeEtcdConfig { endpoints, username: "root".into(), password: secret, ..AcmeEtcdConfig::default() });
            }
            _ => cluster.consul = Some(AcmeConsulConfig { address: at, token: secret, ..AcmeConsulConfig::default() }),
        }
        AcmeConfig { cluster: Some(cluster), storage: "/no/such/file".into(), ..config }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.run("stop");
    }
}

/// What a storage promises, whatever it is made of.
#[test]
fn one_holds_a_lease_and_all_see_the_same() {
    for kind in PLACES {
        let Some(place) = Place::start(kind) else { return };
        let open = || {
            let config =
                place.config(AcmeConfig { key_type: "EC256".into(), http_challenge: Some(Default::default()), ..AcmeConfig::default() });
            open_cluster(&config).unwrap().unwrap()
        };
        let (one, two) = (open(), open());
        let (a, b) = (one.cluster().unwrap(), two.cluster().unwrap());
        let names = ["x.test".to_owned(), "y.test".to_owned()];
        let time = Duration::from_secs(30);
        assert!(a.lease("le", &names, time).unwrap(), "{kind}");
        assert!(!b.lease("le", &names, time).unwrap() && b.lease("other", &names, time).unwrap(), "{kind}");
        assert!(a.lease("le", &names, time).unwrap() && a.lease("le", &names, time * 2).unwrap(), "{kind}: one's own is made longer");
        b.release("le", &names).unwrap();
        assert!(!b.lease("le", &names, time).unwrap(), "{kind}: what is another's is not given back");
        a.release("le", &names).unwrap();
        assert!(b.lease("le", &names, time).unwrap(), "{kind}");

        // the account is that of whoever was first
        let account = |uri: &str| StoredAccount { email: String::new(), uri: uri.into(), body: serde_json::json!({}), key: vec![1] };
        let before = a.revision("le").unwrap();
        assert_eq!(one.put_account("le", &account("https://ca/1"), "").unwrap().uri, "https://ca/1", "{kind}");
        assert_eq!(two.put_account("le", &account("https://ca/2"), "").unwrap().uri, "https://ca/1", "{kind}");
        assert_eq!(two.put_account("le", &account("https://ca/3"), "https://ca/1").unwrap().uri, "https://ca/3", "{kind}");
        assert_eq!(one.load("le").unwrap().account.unwrap().uri, "https://ca/3", "{kind}");
        assert!(a.revision("le").unwrap() != before && one.load("other").unwrap() == Stored::default(), "{kind}");

        // answers are for the others
        let answers = [
            SharedAnswer::Http { host: "x.test".into(), token: "t/../?".into(), authorization: "a".into() },
            SharedAnswer::Alpn { host: "x.test".into(), digest: vec![0, 255] },
        ];
        a.put_answers(&answers).unwrap();
        assert!(a.answers().unwrap().is_empty(), "{kind}");
        let mut seen = b.answers().unwrap();
        seen.sort_by_key(|s| matches!(s, SharedAnswer::Alpn { .. }));
        assert_eq!(seen, answers, "{kind}");
        a.remove_answers(&answers).unwrap();
        assert!(b.answers().unwrap().is_empty(), "{kind}");
    }
}

async fn all_have(r: &Running, count: usize) {
    let mut all = r.resolver.certificates();
    let found = tokio::time::timeout(Duration::from_secs(60), all.wait_for(|c| c.len() == count)).await.is_ok();
    assert!(found, "{:#?}", r.resolver.status().borrow().clone());
}

#[tokio::test]
async fn one_orders_and_any_answers() {
    for kind in PLACES {
        one_orders(kind).await;
    }
}

async fn one_orders(kind: &'static str) {
    let Some(place) = Place::start(kind) else { return };
    let Some(lab) = Lab::start(&[("NONCE_REJECT", "0")]) else { return };
    let (first, second) = (shared(), shared());
    // the CA only reaches the second one
    serve_http(lab.ports["PORT_HTTP"], Arc::clone(&second.challenges)).await;
    let config = place.config(lab.http());
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
    for kind in PLACES {
        is_away(kind).await;
    }
}

async fn is_away(kind: &'static str) {
    let Some(place) = Place::start(kind) else { return };
    let Some(lab) = Lab::start(&[]) else { return };
    let shared = shared();
    serve_http(lab.ports["PORT_HTTP"], Arc::clone(&shared.challenges)).await;
    // what a file has comes along
    let alone = Running::new("le", &lab.http(), &shared, &[&["a.test"]]);
    alone.certificate("a.test").await;
    alone.end().await;
    let config = AcmeConfig { storage: lab.path("acme.json"), ..place.config(lab.http()) };
    let accounts = lab.log_lines("POST /sign-me-up");
    let r = Running::new("le", &config, &shared, &[&["a.test"]]);
    assert_eq!(r.resolver.certificates().borrow().len(), 1);
    place.run("stop").unwrap();
    r.wanted.send_replace(wanted(&[&["a.test"], &["b.test"]]));
    let status = r.until(one_failed).await;
    let failed = status.certificates.iter().find(|c| c.state == CertificateState::Failed).unwrap();
    assert!(failed.error.as_ref().unwrap().starts_with("the shared storage: "), "{failed:?}");
    assert_eq!(r.resolver.certificates().borrow().len(), 1, "what is there serves on");
    // opened while it is away: not left out
    let late = AcmeResolver::open("le", &config, shared.clone()).unwrap();
    assert_eq!(late.certificates().borrow().len(), 0);
    place.run("start").unwrap();
    r.certificate("b.test").await;
    assert_eq!(lab.log_lines("POST /sign-me-up"), accounts, "the account of the file is used");
    r.end().await;
    let text = format!("{config:?}");
    assert!(!text.contains("secret"), "{text}");
}
