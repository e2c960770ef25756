//! Certificates that the first handshake for a name asks for, from a real CA (docs/decisions/013).

use super::acme::{Ca, Redis, has_its_own};
use crate::harness::{Backend, Gateway, Reply, Setup, TlsClient, eventually, within};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ANY: &str = "http:
  routers:
    any: {rule: 'PathPrefix(`/`)', entryPoints: [tls], service: noop@internal, tls: {certResolver: le}}
";

impl Ca {
    /// Where the CA looks, with the resolver `le` and these options of it.
    fn on_demand(&self, routing: &str, options: &[&str]) -> Setup {
        let setup = Setup::new()
            .file("routing.yml", routing)
            .flag(format!("--entrypoints.web.address=127.0.0.1:{}", self.ports[4]))
            .flag(format!("--entrypoints.tls.address=127.0.0.1:{}", self.ports[5]))
            .flag("--metrics.prometheus=true")
            .flag("--certificatesresolvers.le.acme.ondemand.waittimeout=20s");
        let setup = self.resolver(setup, "le");
        options.iter().fold(setup, |s, o| s.flag(format!("--certificatesresolvers.le.acme.{o}")))
    }
}

/// What the API says of `onDemand` of the resolver `le`.
fn state(gateway: &Gateway) -> Value {
    let all: Value = serde_json::from_slice(&gateway.admin("/api/certificatesResolvers").body).unwrap();
    let le = all.as_array().unwrap().iter().find(|r| r["resolver"] == "le").unwrap();
    le["onDemand"].clone()
}

fn is_self_signed(gateway: &Gateway, name: &str) -> bool {
    let der = TlsClient::new().open(gateway.address("tls"), name).certificate().to_vec();
    String::from_utf8_lossy(&der).contains("TRAEFIK DEFAULT CERT")
}

#[test]
fn the_first_handshake_gets_the_certificate() {
    let Some(ca) = Ca::start() else { return };
    let backend = Backend::raw(|mut r| r.write("hello"));
    let routing = format!(
        "{ANY}    shops: {{rule: 'Host(`*.shops.test`)', entryPoints: [tls], service: noop@internal, tls: {{certResolver: le}}}}
tcp:
  routers:
    t: {{rule: 'HostSNI(`*`)', entryPoints: [tcp], service: s, tls: {{certResolver: le}}}}
  services:
    s: {{loadBalancer: {{servers: [{{address: '{}'}}]}}}}
",
        backend.address
    );
    let start = || {
        let options = ["httpchallenge.entrypoint=web", "ondemand.hosts=*.customers.test,*.shops.test,^[a-z]+-db\\.test$"];
        ca.on_demand(&routing, &options).flag("--entrypoints.tcp.address=127.0.0.1:0").start()
    };
    let mut gateway = start();
    // many at once: all of them wait, one is ordered, and nobody else is held up
    let first = std::thread::scope(|s| {
        let asked: Vec<_> = (0..8).map(|_| s.spawn(|| has_its_own(&gateway, "one.customers.test"))).collect();
        assert!(is_self_signed(&gateway, "one.else.test") && is_self_signed(&gateway, "deep.one.customers.test"));
        let all: Vec<_> = asked.into_iter().map(|a| a.join().unwrap().expect("its own certificate")).collect();
        assert!(all.iter().all(|c| *c == all[0]));
        all[0].clone()
    });
    assert_eq!(ca.orders(), 1);
    assert!(has_its_own(&gateway, "a.shops.test").is_some(), "a wildcard in a rule, and no DNS to prove it by");
    let mut conn = TlsClient::new().open(gateway.address("tcp"), "my-db.test");
    let text = String::from_utf8_lossy(&conn.certificate()).into_owned();
    assert!(text.contains("Pebble Intermediate") && text.contains("my-db.test"));
    assert_eq!(conn.try_send(b"x").map_err(|e| e.kind()), Ok(()));
    assert_eq!(TlsClient::new().open(gateway.address("tls"), "one.customers.test").get("one.customers.test", "/").status, 418);
    let seen = state(&gateway);
    assert_eq!((&seen["certificates"], &seen["obtained"], &seen["pending"]), (&3.into(), &3.into(), &Value::Array(vec![])), "{seen}");
    assert!(seen["refused"]["hosts"].as_u64() >= Some(2), "{seen}");
    let figures = gateway.admin("/metrics").text().to_owned();
    for line in [
        "torana_acme_on_demand_certificates{resolver=\"le\"} 3",
        "torana_acme_on_demand_total{outcome=\"obtained\",resolver=\"le\"} 3",
        "torana_acme_on_demand_total{outcome=\"failed\",resolver=\"le\"} 0",
    ] {
        assert!(figures.contains(line), "{line}: {figures}");
    }
    assert_eq!(gateway.stop(), Some(0));

    let again = start();
    assert_eq!(has_its_own(&again, "one.customers.test"), Some(first));
    assert_eq!((ca.orders(), &state(&again)["certificates"]), (3, &3.into()), "nothing is ordered again");
}

#[test]
fn inside_a_handshake_and_by_dns() {
    let Some(ca) = Ca::start() else { return };
    // a program that makes the records at the CA's own DNS server
    let script = ca.dir.path().join("records.sh");
    let api = format!("http://127.0.0.1:{}", ca.ports[3]);
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = present ] && w=set-txt || w=clear-txt\n\
         exec curl -sf --noproxy '*' -d \"{{\\\"host\\\": \\\"$2\\\", \\\"value\\\": \\\"$3\\\"}}\" {api}/$w\n"
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let routing =
        format!("{ANY}    dns: {{rule: 'HostRegexp(`.*`)', entryPoints: [tls], service: noop@internal, tls: {{certResolver: dns}}}}\n");
    let setup = ca.on_demand(&routing, &["tlschallenge=true", "ondemand.hosts=*.alpn.test"]);
    let flag = |o: &str| format!("--certificatesresolvers.dns.acme.{o}");
    let gateway = ca
        .resolver(setup, "dns")
        .flag(flag("dnschallenge.provider=exec"))
        .flag(flag("dnschallenge.propagation.disablechecks=true"))
        .flag(flag("ondemand.hosts=*.dns.test"))
        .flag(flag("ondemand.waittimeout=20s"))
        .env("EXEC_PATH", script.to_str().unwrap())
        .start();
    assert!(has_its_own(&gateway, "a.alpn.test").is_some());
    assert!(has_its_own(&gateway, "a.dns.test").is_some());
    assert!(is_self_signed(&gateway, "a.b.test"));
}

#[test]
fn a_service_says_which_names() {
    let Some(ca) = Ca::start() else { return };
    let (away, late) = (AtomicBool::new(false), AtomicBool::new(false));
    let flags = std::sync::Arc::new((away, late));
    let seen = flags.clone();
    let service = Backend::http(move |r| {
        let good = ["domain=good.test", "domain=next.test", "domain=third.test"].iter().any(|d| r.target.ends_with(d))
            || r.target.ends_with("domain=late.test") && seen.1.load(Ordering::Relaxed);
        assert!(r.target.starts_with("/allowed?token=t&"), "{}", r.target);
        Reply::status(if seen.0.load(Ordering::Relaxed) {
            500
        } else if good {
            200
        } else {
            404
        })
    });
    let ask = format!("ondemand.ask={}/allowed?token=t", service.url());
    let options =
        ["httpchallenge.entrypoint=web", &ask, "ondemand.refusedfor=3s", "ondemand.ratelimit.average=1", "ondemand.ratelimit.burst=3"];
    let gateway = ca.on_demand(ANY, &options).start();
    assert!(has_its_own(&gateway, "good.test").is_some());
    for _ in 0..5 {
        assert!(is_self_signed(&gateway, "late.test"));
    }
    let asked = |name: &str| service.requests().iter().filter(|r| r.target.ends_with(name)).count();
    assert_eq!((asked("late.test"), asked("good.test")), (1, 1), "a no is remembered, and a certificate needs no question");
    // what nobody could have is not asked about
    for name in ["localhost", "a_b.test"] {
        assert!(is_self_signed(&gateway, name));
    }
    assert_eq!(service.requests().len(), 2);
    flags.1.store(true, Ordering::Relaxed);
    eventually("the no is forgotten", || has_its_own(&gateway, "late.test"));
    flags.0.store(true, Ordering::Relaxed);
    assert!(is_self_signed(&gateway, "next.test"));
    gateway.wait_log("the service is away", |l| l.contains("`onDemand.ask` gives no clear answer"));
    flags.0.store(false, Ordering::Relaxed);
    // three orders at once and one in an hour: the third name is the last
    eventually("it is back", || has_its_own(&gateway, "next.test"));
    assert!(is_self_signed(&gateway, "third.test"));
    let seen = state(&gateway);
    let refused = &seen["refused"];
    assert_eq!((&refused["rateLimit"], &refused["askFailed"], &seen["obtained"]), (&1.into(), &1.into(), &3.into()), "{seen}");
    assert_eq!(
        (&seen["recentlyRefused"][0]["domain"], &seen["recentlyRefused"][0]["reason"]),
        (&"third.test".into(), &"`rateLimit`".into())
    );
    assert!(!gateway.log().contains("token=t") && !gateway.admin("/api/rawdata").text().contains("token=t"));
    assert_eq!(ca.orders(), 3);
}

#[test]
fn a_failure_is_told_once_and_rests() {
    let Some(ca) = Ca::start() else { return };
    // nobody answers the challenge where the CA looks
    let setup = Setup::new().file("routing.yml", ANY).flag("--entrypoints.tls.address=127.0.0.1:0");
    let flag = |o: &str| format!("--certificatesresolvers.le.acme.{o}");
    let gateway = ca.resolver(setup, "le").flag(flag("tlschallenge=true")).flag(flag("ondemand.hosts=*.a.test")).start();
    for _ in 0..3 {
        assert!(is_self_signed(&gateway, "x.a.test"));
    }
    let seen = eventually("it failed", || Some(state(&gateway)).filter(|s| s["failures"] == 1));
    let failed = &seen["failed"][0];
    assert_eq!((&failed["domain"], &failed["failures"]), (&"x.a.test".into(), &1.into()), "{seen}");
    assert!(
        failed["errorType"].as_str().unwrap().starts_with("urn:ietf:params:acme:error:") && failed["nextAttempt"].is_string(),
        "{seen}"
    );
    assert!(is_self_signed(&gateway, "x.a.test"));
    assert_eq!(ca.orders(), 1);
}

/// A first message for any name of the form `nNNNNN.storm.test`.
fn hello(number: usize) -> Vec<u8> {
    static TEMPLATE: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    let mut bytes = TEMPLATE.lock().unwrap();
    if bytes.is_empty() {
        let config = std::sync::Arc::new(TlsClient::new().config);
        let mut c = rustls::ClientConnection::new(config, "n00000.storm.test".try_into().unwrap()).unwrap();
        c.write_tls(&mut *bytes).unwrap();
    }
    let at = bytes.windows(6).position(|w| w == b"n00000").unwrap();
    let mut mine = bytes.clone();
    mine[at..at + 6].copy_from_slice(format!("n{number:05}").as_bytes());
    mine
}

/// Names that nobody has: memory stays what it was, the service is asked seldom, and requests are served.
#[test]
fn a_storm_of_names() {
    let Some(ca) = Ca::start() else { return };
    let service = Backend::http(|_| Reply::status(404));
    let ask = format!("ondemand.ask={}/", service.url());
    let gateway = ca.on_demand(ANY, &["httpchallenge.entrypoint=web", &ask]).start();
    let address = gateway.address("tls");
    let one = |number: usize| {
        let mut s = TcpStream::connect(address).unwrap();
        s.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        s.write_all(&hello(number)).unwrap();
        let mut first = [0; 1];
        s.read_exact(&mut first).unwrap();
        assert_eq!(first, [22], "the default certificate");
    };
    (0..500).for_each(&one);
    let before = gateway.settled_rss();
    let began = Instant::now();
    std::thread::scope(|s| {
        for worker in 0..4 {
            s.spawn(move || (0..2500).for_each(|n| one(1000 + worker * 2500 + n)));
        }
        for _ in 0..20 {
            let asked = Instant::now();
            assert_eq!(gateway.get("/nothing").status, 404);
            assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        }
    });
    let grown = gateway.settled_rss().saturating_sub(before);
    let seen = state(&gateway);
    eprintln!("{} questions, {grown} bytes in {:?}: {seen}", service.requests().len(), began.elapsed());
    assert!(grown < 8 << 20, "{grown} bytes");
    // as many at once, and so many in a second
    let most = 100 + 20 * (began.elapsed().as_secs() + 30);
    assert!(service.requests().len() as u64 <= most, "{} questions", service.requests().len());
    assert!(seen["refused"]["busy"].as_u64() > Some(1000) && seen["remembered"].as_u64() <= Some(most), "{seen}");
    assert_eq!(ca.orders(), 0);
}

#[test]
fn two_gateways_order_once() {
    let Some(redis) = Redis::start() else { return };
    let Some(ca) = Ca::start() else { return };
    let url = format!("cluster.redis.url=redis://127.0.0.1:{}/0", redis.port);
    let options = ["httpchallenge.entrypoint=web", "ondemand.hosts=*.a.test", &url];
    let start =
        || ca.on_demand(ANY, &options).flag("--entrypoints.web.reuseport=true").flag("--entrypoints.tls.address=127.0.0.1:0").start();
    let (first, second) = (start(), start());
    let (a, b) = std::thread::scope(|s| {
        let other = s.spawn(|| has_its_own(&second, "x.a.test"));
        (has_its_own(&first, "x.a.test"), other.join().unwrap())
    });
    assert!(a.is_some() && a == b, "both handshakes waited for the one certificate");
    assert_eq!(ca.orders(), 1);
    let obtained = |g: &Gateway| state(g)["certificates"].as_u64();
    assert_eq!((obtained(&first), obtained(&second)), (Some(1), Some(1)));
}

/// After a restart nobody asks for the name: it is not renewed, and the first handshake after its end orders it anew.
/// When the service does not want it any more it is not renewed either.
#[test]
fn what_nobody_uses_or_wants_is_not_renewed() {
    let Some(ca) = Ca::with(&[("LIFE", "20")]) else { return };
    let wanted = std::sync::Arc::new(AtomicBool::new(true));
    let says = wanted.clone();
    let service = Backend::http(move |_| Reply::status(if says.load(Ordering::Relaxed) { 200 } else { 404 }));
    let ask = format!("ondemand.ask={}/", service.url());
    let start = || ca.on_demand(ANY, &["httpchallenge.entrypoint=web", &ask]).start();
    let mut first = start();
    let old = has_its_own(&first, "x.test").expect("a certificate");
    assert_eq!((first.stop(), ca.orders()), (Some(0), 1));
    drop(first);

    let gateway = start();
    let status = |g: &Gateway| g.admin("/api/certificatesResolvers").json()[0].clone();
    let over = within(Duration::from_secs(60), "it ends", || {
        Some(status(&gateway)).filter(|s| s["certificates"][0]["state"] == "expired" && s["onDemand"]["certificates"] == 0)
    });
    assert_eq!((&over["certificates"][0]["onDemand"], ca.orders()), (&true.into(), 1), "{over}");
    let new = within(Duration::from_secs(20), "it is not served any more", || has_its_own(&gateway, "x.test").filter(|c| *c != old));
    assert_eq!(ca.orders(), 2);
    wanted.store(false, Ordering::Relaxed);
    let told = within(Duration::from_secs(60), "it is not renewed", || {
        Some(status(&gateway)).filter(|s| s["certificates"][0]["error"].is_string())
    });
    assert_eq!(told["certificates"][0]["error"], "`onDemand.ask` does not want a certificate for `x.test` any more");
    assert!(has_its_own(&gateway, "x.test").is_none_or(|c| c == new), "what is there serves to its end");
    assert_eq!(ca.orders(), 2);
}
