//! What all stores have in common, each with its real server.

use super::server::{Kind, Server, answers, gone, status, told};
use crate::harness::{Backend, Setup, eventually};

/// A route, written as people do: one key after the other.
fn route(server: &Server, name: &str, path: &str, url: &str) {
    server.put(&[
        (&format!("http/services/{name}/loadBalancer/servers/0/url"), url),
        (&format!("http/routers/{name}/rule"), &format!("Path(`{path}`)")),
        (&format!("http/routers/{name}/service"), name),
    ]);
}

fn lives(kind: Kind) {
    let Some(server) = Server::start(kind) else { return };
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = server.gateway();
    let name = kind.name();
    assert_eq!(gateway.get("/a").status, 404);

    // routes come, change, and go
    route(&server, "a", "/a", &a.url());
    answers(&gateway, "/a", "a");
    server.put(&[("http/services/a/loadBalancer/servers/0/url", &b.url())]);
    answers(&gateway, "/a", "b");
    server.put(&[("http/routers/a/rule", "Path(`/moved`)")]);
    answers(&gateway, "/moved", "b");
    gone(&gateway, "/a");
    let seen = status(&gateway, name);
    assert!(seen["connectedSince"].is_string() && seen["lastError"].is_null(), "{seen}");

    // one object is wrong: it is named, and the others serve
    server.put(&[("http/routers/bad/rule", "Path(`/bad`)"), ("http/routers/bad/service", "a"), ("http/routers/bad/priority", "high")]);
    let wrong = eventually("the bad router is named", || {
        let s = status(&gateway, name);
        let rejected = s["rejected"].as_array()?.clone();
        (!rejected.is_empty()).then_some(rejected)
    });
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!(wrong[0]["name"], "traefik/http/routers/bad");
    assert!(wrong[0]["reasons"].to_string().contains("high"), "{wrong:?}");
    assert_eq!(gateway.get("/moved").status, 200);

    // what is no configuration is left alone, and told
    server.put(&[("somethingelse/x", "1"), ("http/bogus/y", "1")]);
    eventually("unknown keys are told", || {
        let said = told(&gateway);
        (said.contains("somethingelse") && said.contains("bogus")).then_some(())
    });
    assert_eq!(gateway.get("/moved").status, 200);

    // mended
    server.put(&[("http/routers/bad/priority", "7")]);
    answers(&gateway, "/bad", "b");
    assert_eq!(status(&gateway, name)["rejected"].as_array().map(Vec::len), Some(1), "http/bogus");
    server.delete(&["http/bogus/y", "somethingelse/x"]);
    server.delete(&["http/routers/bad/priority", "http/routers/bad/rule", "http/routers/bad/service"]);
    if kind == Kind::ZooKeeper {
        server.delete(&["http/routers/bad"]);
    }
    gone(&gateway, "/bad");

    // the server goes away, what it said last serves; it comes back, and what changed while nobody looked is found
    server.stop();
    eventually("the status says that it is away", || {
        let s = status(&gateway, name);
        (s["connectedSince"].is_null() && s["failures"].as_u64() > Some(0)).then_some(())
    });
    assert_eq!(gateway.get("/moved").text(), "b");
    server.start_again();
    route(&server, "late", "/late", &a.url());
    answers(&gateway, "/late", "a");
    assert_eq!(gateway.get("/moved").text(), "b");
    eventually("the status says that it is back", || status(&gateway, name)["connectedSince"].is_string().then_some(()));

    // and follows again
    server.delete(&["http/routers/late/rule", "http/routers/late/service"]);
    gone(&gateway, "/late");

    // everything goes
    server.clear();
    gone(&gateway, "/moved");
    eventually("nothing is left", || (status(&gateway, name)["objects"] == 0).then_some(()));
    route(&server, "a", "/a", &a.url());
    answers(&gateway, "/a", "a");
}

#[test]
fn routes_live_in_etcd() {
    lives(Kind::Etcd);
}

#[test]
fn routes_live_in_consul() {
    lives(Kind::Consul);
}

#[test]
fn routes_live_in_redis() {
    lives(Kind::Redis);
}

#[test]
fn routes_live_in_zookeeper() {
    lives(Kind::ZooKeeper);
}

/// Bytes that are no text are told, and harm only what they belong to.
#[test]
fn binary_values_disable_one_object() {
    for kind in [Kind::Etcd, Kind::Redis, Kind::Consul] {
        let Some(server) = Server::start(kind) else { return };
        let a = Backend::named("a");
        let gateway = server.gateway();
        route(&server, "a", "/a", &a.url());
        server.put(&[("http/routers/b/service", "a"), ("http/routers/b/rule", "Path(`/b`)")]);
        answers(&gateway, "/b", "a");
        server.put_bytes(&[("http/routers/b/rule", b"Path(`/b\xff\x00\xfe`)")]);
        gone(&gateway, "/b");
        let s = status(&gateway, kind.name());
        assert!(s["rejected"][0]["reasons"].to_string().contains("UTF-8"), "{s}");
        assert_eq!(gateway.get("/a").status, 200);
    }
}

/// What etcd has compacted while the gateway was not connected is found by reading again.
#[test]
fn compaction_while_away_loses_nothing() {
    let Some(server) = Server::start(Kind::Etcd) else { return };
    let a = Backend::named("a");
    route(&server, "a", "/a", &a.url());
    let gateway = server.gateway();
    answers(&gateway, "/a", "a");
    server.stop();
    eventually("it is away", || status(&gateway, "etcd")["connectedSince"].is_null().then_some(()));
    server.start_again();
    for n in 0..20 {
        server.put(&[("http/routers/a/rule", &format!("Path(`/a{n}`)"))]);
    }
    server.etcdctl(&["compact", "15"]);
    answers(&gateway, "/a19", "a");
}

/// Without notifications changes are looked for, and the status has the command that switches them on.
#[test]
fn redis_without_notifications_is_polled() {
    let Some(server) = Server::start(Kind::Redis) else { return };
    server.redis("config set notify-keyspace-events \"\"\n");
    let a = Backend::named("a");
    let gateway = server.gateway();
    let said = told(&gateway);
    assert!(said.contains("config set notify-keyspace-events"), "{said}");
    route(&server, "a", "/a", &a.url());
    answers(&gateway, "/a", "a");
    // switched on, it is no longer said
    server.redis("config set notify-keyspace-events KA\n");
    eventually("the hint goes", || (!told(&gateway).contains("notify-keyspace-events")).then_some(()));
}

/// The first that answers is used, and another one when it goes.
#[test]
fn several_endpoints_stand_in_for_each_other() {
    let (Some(one), Some(two)) = (Server::start(Kind::Redis), Server::start(Kind::Redis)) else { return };
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    route(&one, "a", "/a", &a.url());
    route(&two, "a", "/a", &b.url());
    let endpoints = format!("--providers.redis.endpoints=127.0.0.1:1,127.0.0.1:{},127.0.0.1:{}", one.port(), two.port());
    let gateway = Setup::new().flag(endpoints).start();
    answers(&gateway, "/a", "a");
    one.stop();
    answers(&gateway, "/a", "b");
}

/// Sentinels name the server.
#[test]
fn a_sentinel_names_the_server() {
    let Some(server) = Server::start(Kind::Redis) else { return };
    let Some(sentinel) = Server::with(Kind::Redis, &[("SENTINEL", &format!("{},shop", server.port()))]) else { return };
    let a = Backend::named("a");
    route(&server, "a", "/a", &a.url());
    let start = |more: &str| Setup::new().flag(sentinel.flag()).flag("--providers.redis.sentinel.mastername=shop").flag(more).start();
    for strategy in ["replica", "random", "latency"] {
        let gateway = start(&format!("--providers.redis.sentinel.{strategy}strategy=true"));
        answers(&gateway, "/a", "a");
    }
    let gateway = Setup::new().flag(sentinel.flag()).flag("--providers.redis.sentinel.mastername=other").start();
    let said = eventually("the status says what is wrong", || Some(status(&gateway, "redis")["lastError"].as_str()?.to_owned()));
    assert!(said.contains("knows no master `other`"), "{said}");
}
