//! TLS, passwords and tokens.

use super::server::{Kind, Server, answers, status};
use crate::harness::{Backend, Pki, Setup, eventually};

fn pairs(url: &str) -> [(&'static str, String); 3] {
    [
        ("http/services/a/loadBalancer/servers/0/url", url.to_owned()),
        ("http/routers/a/rule", "Path(`/a`)".to_owned()),
        ("http/routers/a/service", "a".to_owned()),
    ]
}

#[test]
fn etcd_with_tls_and_a_password() {
    let pki = Pki::new();
    let pair = pki.pair("server", &["127.0.0.1"]);
    let ca = pki.ca().display().to_string();
    let (cert, key) = (pair.cert_file.display().to_string(), pair.key_file.display().to_string());
    let Some(server) = Server::with(Kind::Etcd, &[("CERT", &cert), ("KEY", &key), ("CA", &ca), ("PASSWORD", "s3cret")]) else { return };
    let a = Backend::named("a");
    for (key, value) in pairs(&a.url()) {
        server.etcdctl(&["put", &format!("traefik/{key}"), &value]);
    }
    let start = |ca: &str, password: &str| {
        Setup::new()
            .flag(server.flag())
            .flag("--providers.etcd.username=root")
            .flag(format!("--providers.etcd.password={password}"))
            .flag(format!("--providers.etcd.tls.ca={ca}"))
            .start()
    };
    let gateway = start(&ca, "s3cret");
    answers(&gateway, "/a", "a");
    server.etcdctl(&["put", "traefik/http/routers/a/rule", "Path(`/b`)"]);
    answers(&gateway, "/b", "a");
    assert!(!gateway.log().contains("s3cret") && !gateway.admin("/api/rawdata").text().contains("s3cret"));

    for (gateway, wrong) in [(start(&ca, "wr0ng"), "password"), (start("/nowhere.pem", "s3cret"), "tls.ca")] {
        let said = eventually("the status says what is wrong", || Some(status(&gateway, "etcd")["lastError"].as_str()?.to_owned()));
        assert!(said.contains(wrong) && !said.contains("wr0ng"), "{said}");
    }
    let skip = Setup::new()
        .flag(server.flag())
        .flag("--providers.etcd.username=root")
        .flag("--providers.etcd.password=s3cret")
        .flag("--providers.etcd.tls.insecureskipverify=true")
        .start();
    answers(&skip, "/b", "a");
}

#[test]
fn redis_with_tls_and_a_password() {
    let pki = Pki::new();
    let pair = pki.pair("server", &["127.0.0.1"]);
    let ca = pki.ca().display().to_string();
    let (cert, key) = (pair.cert_file.display().to_string(), pair.key_file.display().to_string());
    let Some(server) = Server::with(Kind::Redis, &[("CERT", &cert), ("KEY", &key), ("CA", &ca), ("PASSWORD", "s3cret")]) else { return };
    let a = Backend::named("a");
    let own = pairs(&a.url());
    server.put(&own.each_ref().map(|(k, v)| (*k, v.as_str())));
    let gateway =
        Setup::new().flag(server.flag()).flag("--providers.redis.password=s3cret").flag(format!("--providers.redis.tls.ca={ca}")).start();
    answers(&gateway, "/a", "a");
    server.put(&[("http/routers/a/rule", "Path(`/b`)")]);
    answers(&gateway, "/b", "a");
    assert!(!gateway.log().contains("s3cret"));

    let gateway = Setup::new().flag(server.flag()).flag(format!("--providers.redis.tls.ca={ca}")).start();
    let said = eventually("the status says what is wrong", || Some(status(&gateway, "redis")["lastError"].as_str()?.to_owned()));
    assert!(said.contains("password"), "{said}");
}

#[test]
fn consul_with_a_token() {
    let Some(server) = Server::with(Kind::Consul, &[("TOKEN", "t0ken")]) else { return };
    let gateway = Setup::new().flag(server.flag()).flag("--providers.consul.token=t0ken").start();
    eventually("it is connected", || status(&gateway, "consul")["connectedSince"].is_string().then_some(()));
    assert!(!gateway.log().contains("t0ken"));
    let gateway = Setup::new().flag(server.flag()).flag("--providers.consul.token=wr0ng").start();
    let said = eventually("the status says what is wrong", || Some(status(&gateway, "consul")["lastError"].as_str()?.to_owned()));
    assert!(said.contains("403") && !said.contains("wr0ng"), "{said}");
}

#[test]
fn consul_by_namespaces() {
    let Some(server) = Server::start(Kind::Consul) else { return };
    // The free one has no namespaces: what counts is that each has its own provider, which says so.
    let gateway = Setup::new().flag(server.flag()).flag("--providers.consul.namespaces=one,two").start();
    for name in ["consul-one", "consul-two"] {
        let said = eventually("the status of each", || {
            let s = status(&gateway, name);
            s["lastError"].as_str().map(str::to_owned).or_else(|| s["connectedSince"].as_str().map(|_| String::new()))
        });
        assert!(said.is_empty() || said.contains("Enterprise"), "{said}");
    }
}
