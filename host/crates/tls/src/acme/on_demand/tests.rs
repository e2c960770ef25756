use super::*;
use torana_base::{GoDuration, Secret};
use torana_config::install::OnDemandRateConfig;

fn on_demand(config: OnDemandConfig) -> Arc<OnDemand> {
    let env: Env = Arc::new(|_| None);
    Arc::new(OnDemand::new(&config, &env).unwrap())
}

fn names(by: &Arc<OnDemand>) -> OnDemandNames {
    let mut names = OnDemandNames::default();
    names.add(None, by);
    names.add(None, by);
    names
}

fn by_hosts(hosts: &[&str]) -> OnDemandConfig {
    OnDemandConfig { hosts: hosts.iter().map(|h| (*h).to_owned()).collect(), ..OnDemandConfig::default() }
}

#[tokio::test]
async fn one_order_for_a_name_however_many_wait() {
    let by = on_demand(by_hosts(&["*.a.test"]));
    let names = names(&by);
    let mut queue = by.queued().unwrap();
    let (one, two) = (names.demand("x.a.test").unwrap(), names.demand("x.a.test").unwrap());
    assert!(names.demand("x.b.test").is_none() && names.demand("a").is_none() && names.demand("10.0.0.1").is_none());
    assert_eq!(&*queue.recv().await.unwrap(), "x.a.test");
    assert!(queue.try_recv().is_err());
    let status = by.status();
    assert_eq!((status.pending.as_slice(), status.waiting, status.refused["hosts"]), (&["x.a.test".to_owned()][..], 2, 1));
    let e = AcmeError::local("no");
    by.fail("x.a.test", &e, Duration::from_secs(60));
    one.over().await;
    two.over().await;
    assert!(names.demand("x.a.test").is_none(), "it rests");
    let status = by.status();
    assert_eq!((status.failed[0].failures, status.waiting, status.failures), (1, 0, 1));
    // the time is over, and it fails again
    by.fail("x.a.test", &e, Duration::ZERO);
    assert!(names.demand("x.a.test").is_some());
    assert_eq!(by.failures("x.a.test"), 2);
    by.obtain("x.a.test");
    assert_eq!(by.failures("x.a.test"), 0);
    // until it is served it is waited for
    assert!(names.demand("x.a.test").is_some());
    let made = crate::testing::make("", &["x.a.test"]).certificate();
    let waiting = names.demand("x.a.test").unwrap();
    by.serve(&Arc::new(Store::new([made], None)));
    waiting.over().await;
    assert!(by.status().pending.is_empty());
}

#[tokio::test]
async fn orders_are_limited_for_all_names_together() {
    let rate_limit = OnDemandRateConfig { average: 1, period: GoDuration::from_secs(3600), burst: 3 };
    let by = on_demand(OnDemandConfig { rate_limit, ..by_hosts(&["*.a.test"]) });
    let names = names(&by);
    let got: Vec<bool> = (0..5).map(|n| names.demand(&format!("n{n}.a.test")).is_some()).collect();
    assert_eq!(got, [true, true, true, false, false]);
    let status = by.status();
    assert_eq!((status.refused["rateLimit"], status.recently_refused[0].domain.as_str()), (2, "n4.a.test"));

    let by = on_demand(OnDemandConfig { max_certificates: 2, ..by_hosts(&["*.a.test"]) });
    by.set_certificates(1);
    let names = self::names(&by);
    assert!(names.demand("a.a.test").is_some() && names.demand("b.a.test").is_none());
    assert_eq!(by.status().refused["maxCertificates"], 1);
}

/// Ten thousand names from nobody: a bounded table, and no more questions than the service is to bear.
#[tokio::test]
async fn a_storm_of_names_costs_little() {
    let by = on_demand(OnDemandConfig { ask: Secret::new("http://127.0.0.1:1/"), ..OnDemandConfig::default() });
    let names = names(&by);
    let began = Instant::now();
    let mut waiting = Vec::new();
    for n in 0..100_000 {
        waiting.extend(names.demand(&format!("n{n}.test")));
        if n % 3 == 0 {
            by.refuse(&format!("n{n}.test"), Refusal::Ask);
        }
    }
    let status = by.status();
    let most = u64::from(ASKS.1) + (began.elapsed().as_secs() + 1) * u64::from(ASKS.0);
    assert!(status.asked <= most && status.pending.len() <= PENDING && status.remembered <= 10_000, "{status:?}");
    assert!(status.refused["busy"] > 90_000 && waiting.len() as u64 <= most, "{status:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // what was refused is not asked about again
    assert_eq!((names.demand("n99999.test").is_none(), by.status().asked), (true, status.asked));
}

#[tokio::test]
async fn a_panic_leaves_nobody_waiting() {
    let by = on_demand(by_hosts(&["*.a.test"]));
    let names = names(&by);
    let (bad, good) = (names.demand("bad.a.test").unwrap(), names.demand("good.a.test").unwrap());
    let guard = by.unsettled("bad.a.test");
    let task = tokio::spawn(async move {
        let _guard = guard;
        tokio::task::yield_now().await;
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    bad.over().await;
    by.unsettled("good.a.test").settle();
    assert_eq!(by.status().pending, ["good.a.test"]);
    assert!(names.demand("bad.a.test").is_none(), "it rests");
    drop(good);
}

#[tokio::test]
async fn who_decides() {
    let (one, two) = (on_demand(by_hosts(&["a.test"])), on_demand(by_hosts(&["*.b.test"])));
    let mut names = names(&one);
    names.add(Some("b.test"), &two);
    assert!(names.demand("x.b.test").is_some() && names.demand("a.test").is_some() && names.demand("c.test").is_none());
    assert_eq!([&one, &two].map(|o| o.status().pending.len()), [1, 1]);
    // nobody waits, and it is ordered all the same
    let quiet = on_demand(OnDemandConfig { wait_timeout: GoDuration(0), ..by_hosts(&["a.test"]) });
    assert!(self::names(&quiet).demand("a.test").is_none() && quiet.status().pending.len() == 1);
    assert!(OnDemandNames::default().demand("a.test").is_none());
    let text = format!("{:?}", on_demand(OnDemandConfig { ask: Secret::new("http://u:hidden@h/"), ..OnDemandConfig::default() }));
    assert!(!text.contains("hidden"), "{text}");
}
