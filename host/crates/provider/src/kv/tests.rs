use super::keys::Keys;
use super::*;
use std::sync::Arc;
use torana_config::routing::RoutingConfig;
use torana_extend::{Document, Event};

fn pairs(of: &[(&str, &str)]) -> Pairs {
    of.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())).collect()
}

fn keys(of: &[(&str, &str)]) -> Keys {
    let mut keys = Keys::new("etcd", "traefik");
    keys.replace(pairs(of));
    keys
}

fn set(keys: &mut Keys, changes: &[(&str, Option<&str>)]) {
    let changes = changes.iter().map(|(k, v)| ((*k).to_owned(), v.map(|v| v.as_bytes().to_vec()))).collect();
    assert!(keys.take(Ok(Change::Some(changes))).is_ok());
}

const TWO: [(&str, &str); 5] = [
    ("http/routers/a/rule", "Path(`/a`)"),
    ("http/routers/a/service", "s"),
    ("HTTP/Routers/b/Rule", "Path(`/b`)"),
    ("http/services/s/loadBalancer/servers/0/url", "http://127.0.0.1:1"),
    ("http/services/s/loadBalancer/servers/10/url", "http://127.0.0.1:2"),
];

#[test]
fn only_what_changed_is_decoded_again() {
    let mut keys = keys(&TWO);
    let first = keys.document();
    assert_eq!((first.objects.seen, first.config.http.routers.len()), (3, 2));
    assert!(!keys.changed());
    set(&mut keys, &[("http/routers/a/rule", Some("Path(`/other`)")), ("http/routers/a/service", Some("s"))]);
    let second = keys.document();
    assert_eq!(second.config.http.routers["a"].config.rule, "Path(`/other`)");
    assert!(Arc::ptr_eq(&first.config.http.routers["b"], &second.config.http.routers["b"]), "decoded again without need");
    assert!(Arc::ptr_eq(&first.config.http.services["s"], &second.config.http.services["s"]));
    // what says the same is no change
    set(&mut keys, &[("http/routers/a/service", Some("s")), ("http/routers/nobody/rule", None)]);
    assert!(!keys.changed());
    // nor is reading all of it again
    let same = [&TWO[1..], &[("http/routers/a/rule", "Path(`/other`)")]].concat();
    keys.replace(pairs(&same));
    assert!(!keys.changed());
    keys.replace(Pairs::new());
    let last = keys.document();
    assert!(last.config == RoutingConfig::default() && last.objects.seen == 0);
}

/// Any order of changes gives what reading everything gives.
#[test]
fn changes_and_the_whole_agree() {
    let names = [
        "http/routers/a/rule",
        "http/routers/a/priority",
        "http/services/a/loadBalancer/servers/0/url",
        "tls/certificates/0/certFile",
        "tls/certificates/0/keyFile",
        "tls/certificates/1/certFile",
        "tls/options/o/minVersion",
        "udp/services/u/loadBalancer/servers/0/address",
        "tcp/routers/t/rule",
        "plugins/p/path",
        "http/routers",
        "http",
        "x/y",
        "http/bogus/z",
        "tls/stores/default/defaultCertificate/certFile",
        "http//routers/a/service",
        "/udp/services/u/loadBalancer/servers/1/address",
    ];
    let values = ["1", "a,b", "true", "", "x y", "\u{e4}"];
    let mut random = 12345u32;
    let mut next = |n: usize| {
        random = random.wrapping_mul(1664525).wrapping_add(1013904223);
        (random >> 16) as usize % n
    };
    let mut all = Pairs::new();
    let mut followed = keys(&[]);
    for _ in 0..400 {
        let key = names[next(names.len())];
        let value = (next(3) > 0).then(|| values[next(values.len())]);
        match value {
            Some(v) => drop(all.insert(key.to_owned(), v.as_bytes().to_vec())),
            None => drop(all.remove(key)),
        }
        set(&mut followed, &[(key, value)]);
        let mut fresh = Keys::new("etcd", "traefik");
        fresh.replace(all.clone());
        let (followed, fresh) = (followed.document(), fresh.document());
        assert!(followed.config == fresh.config, "{all:?}");
        assert_eq!((followed.diagnostics, followed.objects), (fresh.diagnostics, fresh.objects), "{all:?}");
    }
}

#[test]
fn what_is_wrong_is_named_and_harms_nothing_else() {
    let mut keys = keys(&TWO);
    set(
        &mut keys,
        &[
            ("http/routers/bad/priority", Some("high")),
            ("http/routers/bad/rule", Some("Path(`/bad`)")),
            ("http/nothing/x", Some("1")),
            ("other/program", Some("1")),
            ("x-note", Some("hello")),
        ],
    );
    assert!(keys.take(Ok(Change::Some(vec![("http/routers/bin/rule".into(), Some(b"\xff\xfe".to_vec()))]))).is_ok());
    let d = keys.document();
    assert!(
        !d.config.http.routers["a"].has_errors() && d.config.http.routers["bad"].has_errors() && d.config.http.routers["bin"].has_errors()
    );
    let rejected: Vec<&str> = d.objects.rejected.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(rejected, ["traefik/http/nothing/x", "traefik/http/routers/bad", "traefik/http/routers/bin"]);
    assert!(d.objects.rejected[2].reasons[0].contains("UTF-8"), "{:?}", d.objects.rejected);
    let said: Vec<String> = d.diagnostics.iter().map(ToString::to_string).collect();
    assert!(said[0].contains("2 keys below `traefik`") && said[0].contains("other/program"), "{said:?}");
    // mended
    set(&mut keys, &[("http/routers/bad/priority", Some("5")), ("http/routers/bin/rule", None), ("http/nothing/x", None)]);
    assert!(keys.document().objects.rejected.is_empty());
}

#[test]
fn lists_are_in_the_order_of_their_keys() {
    let mut keys = keys(&[
        ("http/services/s/loadBalancer/servers/2/url", "http://two"),
        ("http/services/s/loadBalancer/servers/10/url", "http://ten"),
        ("http/routers/r/middlewares", "a, b"),
    ]);
    let d = keys.document();
    let servers = &d.config.http.services["s"].config.load_balancer.as_ref().unwrap().servers;
    assert_eq!(servers.iter().map(|s| s.url.as_str()).collect::<Vec<_>>(), ["http://ten", "http://two"]);
    assert_eq!(d.config.http.routers["r"].config.middlewares, ["a", "b"]);
}

/// A store whose connections bring what a test says, and then end.
struct Script(Vec<Result<(Pairs, Vec<Change>), String>>);

impl Store for Script {
    async fn open(&mut self) -> Result<Opened, String> {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let (pairs, changes) = self.0.remove(0)?;
        let watch = move |tell: mpsc::Sender<News>| {
            let work = async move {
                for change in changes {
                    let _ = tell.send(Ok(change)).await;
                }
                let _ = tell.send(Err("cut".into())).await;
            };
            Box::pin(work) as Pin<Box<dyn Future<Output = ()> + Send>>
        };
        Ok(Opened { pairs, watch: Box::new(watch), notes: Vec::new() })
    }
}

#[tokio::test(start_paused = true)]
async fn connections_come_and_go() {
    let a = ("http/routers/a/rule", "Path(`/a`)");
    let b = ("http/routers/b/rule", "Path(`/b`)");
    let some = |key: &str, value: &str| Change::Some(vec![(key.to_owned(), Some(value.as_bytes().to_vec()))]);
    let script = vec![
        Err("refused".to_owned()),
        Ok((pairs(&[a]), vec![some(b.0, b.1), some(b.0, "Path(`/c`)")])),
        // back with the same, and then without anything
        Ok((pairs(&[a, (b.0, "Path(`/c`)")]), vec![])),
        Ok((Pairs::new(), vec![])),
    ];
    let (out, mut events) = ProviderOut::channel(8);
    let mut provider = Kv { name: "etcd", root: "traefik".into(), store: Script(script) };
    let running = tokio::spawn(async move { provider.run(out).await });
    let mut seen = Vec::new();
    while seen.len() < 11 {
        seen.push(match events.recv().await.unwrap() {
            Event::Document(d) => {
                let Document { config, .. } = *d;
                config.http.routers.iter().map(|(n, r)| format!("{n} {}", r.config.rule)).collect::<Vec<_>>().join(", ")
            }
            Event::Connected { .. } => "connected".into(),
            Event::Failed { error, .. } => error,
            Event::Refused { .. } => "refused".into(),
        });
    }
    // two changes at once are one document; nothing new is none
    let expected = [
        "refused",
        "connected",
        "a Path(`/a`)",
        "a Path(`/a`), b Path(`/c`)",
        "cut",
        "connected",
        "a Path(`/a`), b Path(`/c`)",
        "cut",
        "connected",
        "",
        "cut",
    ];
    assert_eq!(seen, expected);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_bug_is_told_and_ends_nothing() {
    let a = ("http/routers/a/rule", "Path(`/a`)");
    let bug = ("http/routers/a-bug/rule", "Path(`/`)");
    let script = vec![Ok((pairs(&[bug]), vec![])), Ok((pairs(&[a]), vec![Change::All(pairs(&[a, bug]))])), Ok((pairs(&[a]), vec![]))];
    let (out, mut events) = ProviderOut::channel(8);
    let mut provider = Kv { name: "etcd", root: "traefik".into(), store: Script(script) };
    tokio::spawn(async move { provider.run(out).await });
    let mut seen = Vec::new();
    while seen.len() < 8 {
        seen.push(match events.recv().await.expect("it has ended") {
            Event::Document(d) => d.config.http.routers.keys().cloned().collect(),
            Event::Connected { .. } => "connected".into(),
            Event::Failed { error, .. } => error,
            Event::Refused { .. } => "refused".to_owned(),
        });
    }
    let told = "a bug in Torana: odd; please report it";
    assert_eq!(seen, ["connected", told, "connected", "a", told, "connected", "a", "cut"]);
}
