use super::*;
use crate::acme::on_demand::OnDemandNames;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use torana_config::install::{HttpChallengeConfig, OnDemandConfig};

fn resolver(dir: &tempfile::TempDir, ask: &str) -> Arc<AcmeResolver> {
    let on_demand = OnDemandConfig { ask: Secret::new(ask), ..OnDemandConfig::default() };
    let config = AcmeConfig {
        storage: dir.path().join("acme.json").display().to_string(),
        http_challenge: Some(HttpChallengeConfig { entry_point: "web".into(), ..HttpChallengeConfig::default() }),
        on_demand: Some(on_demand),
        ..AcmeConfig::default()
    };
    let shared = AcmeShared { env: Arc::new(|_| None), ..AcmeShared::new(Arc::new(|_| false), Arc::new(torana_extend::NoPlugins)) };
    AcmeResolver::open("le", &config, shared).unwrap()
}

/// A service that wants no name.
async fn refuses() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while let Ok(byte) = tcp.read_u8().await {
                    head.push(byte);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        tcp.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn refused_names_cause_no_plans() {
    let dir = tempfile::tempdir().unwrap();
    let resolver = resolver(&dir, &refuses().await);
    let by = resolver.on_demand().unwrap();
    let mut names = OnDemandNames::default();
    names.add(None, by);
    let (stop, stopped) = watch::channel(false);
    let (wanted, wants) = watch::channel(Vec::new());
    let task = tokio::spawn(Arc::clone(&resolver).run(wants, stopped));
    let waiting: Vec<_> = (0..60).map(|n| names.demand(&format!("n{n}.test")).unwrap()).collect();
    for one in waiting {
        one.over().await;
    }
    assert_eq!(by.status().refused["ask"], 60);
    let plans = || resolver.plans.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(plans(), 1);
    // what a router names is no matter of demands, and what routers want is a reason to plan
    wanted.send_replace(vec![Wanted { domains: vec!["*.named.test".into(), "Named.test".into()], store: "default".into() }]);
    let mut status = resolver.status();
    tokio::time::timeout(Duration::from_secs(10), status.wait_for(|s| !s.certificates.is_empty())).await.unwrap().unwrap();
    assert_eq!(plans(), 2);
    wanted.send_replace(vec![Wanted { domains: vec!["a..b".into()], store: "default".into() }]);
    tokio::time::timeout(Duration::from_secs(10), status.wait_for(|s| s.certificates[0].domains[0] == "a..b")).await.unwrap().unwrap();
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test]
async fn names_of_routers_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let resolver = resolver(&dir, &refuses().await);
    let sets = [Wanted { domains: vec!["Named.test".into()], store: "default".into() }];
    let named = resolver.named(&sets);
    let permits = Arc::new(Semaphore::new(1));
    let demanded = |name: &str| Arc::clone(&resolver).demanded(name.into(), Arc::clone(&named), Arc::clone(&permits));
    assert!(matches!(demanded("named.test").await, Done::Demand(_, Err(Refusal::Named))));
    assert!(matches!(demanded("other.test").await, Done::Demand(_, Err(Refusal::Ask))));
}

#[tokio::test]
async fn only_what_is_new_is_parsed() {
    let dir = tempfile::tempdir().unwrap();
    let resolver = resolver(&dir, "http://127.0.0.1:1/");
    let (first, other) = (crate::testing::make("", &["n7.test"]), crate::testing::make("", &["new.test"]));
    let stored = |name: String, chain: String, key: &str| StoredCertificate {
        domains: vec![name],
        chain,
        key: key.to_owned(),
        store: "default".into(),
    };
    // that cannot be parsed: whoever tries takes none of them
    let all: Vec<StoredCertificate> = (0..20_000).map(|n| stored(format!("n{n}.test"), format!("chain {n}"), "")).collect();
    let facts = Facts { names: Vec::new(), not_before: SystemTime::UNIX_EPOCH, not_after: SystemTime::UNIX_EPOCH, id: None };
    *resolver.own.lock().unwrap() = all.iter().map(|c| Own::new(c.clone(), facts.clone())).collect();
    let began = Instant::now();
    assert!(resolver.news(all.clone()).is_empty());
    let mut changed = all;
    changed[7] = stored("n7.test".into(), first.cert.clone(), &first.key);
    changed[8].chain = "broken".into();
    changed.push(stored("new.test".into(), other.cert.clone(), &other.key));
    let news = resolver.news(changed);
    assert_eq!(news.iter().map(|(c, _)| c.domains[0].as_str()).collect::<Vec<_>>(), ["n7.test", "new.test"]);
    resolver.adopt(news);
    let own = resolver.own.lock().unwrap();
    assert_eq!((own.len(), own[7].stored.chain == first.cert, own[8].stored.chain.as_str()), (20_001, true, "chain 8"));
    assert_eq!(own[20_000].facts.names, ["new.test"]);
    // a comparison of each with each would take minutes
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
