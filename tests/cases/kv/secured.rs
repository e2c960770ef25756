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

    // What several gateways share of ACME, by a user who may do nothing else.
    server.redis("acl setuser certs on >c3rts ~torana:acme:* +hgetall +hget +hset +hdel +hincrby +eval +get +set +del +ping\n");
    let acme = |password: &str| {
        let option = |name: &str, value: &str| format!("--certificatesresolvers.x.acme.{name}={value}");
        Setup::new()
            .flag(option("cluster.redis.url", &format!("rediss://certs:{password}@127.0.0.1:{}/0", server.port())))
            .flag(option("cluster.redis.ca", &ca))
            .flag(option("httpchallenge.entrypoint", "web"))
            .flag(option("caserver", "http://127.0.0.1:1/directory"))
            .flag(option("storage", "acme.json"))
            .start()
    };
    let sharing = acme("c3rts");
    eventually("it is connected", || server.redis("client list\n").contains("user=certs").then_some(()));
    assert!(!sharing.log().contains("the shared storage") && !sharing.log().contains("c3rts"), "{}", sharing.log());
    let refused = acme("wr0ng");
    let told = refused.wait_log("the refusal", |l| l.contains("the shared storage"));
    assert!(!told.contains("wr0ng"), "{told}");

    let gateway = Setup::new().flag(server.flag()).flag(format!("--providers.redis.tls.ca={ca}")).start();
    let said = eventually("the status says what is wrong", || Some(status(&gateway, "redis")["lastError"].as_str()?.to_owned()));
    assert!(said.contains("password"), "{said}");
}

/// A user who may do little, and certificates on both sides; the same for `rateLimit.redis`.
#[test]
fn redis_with_a_user_and_certificates_of_both() {
    let pki = Pki::new();
    let pair = pki.pair("server", &["127.0.0.1"]);
    let (client, client_key) = pki.client("client");
    let file = |p: &std::path::Path| p.display().to_string();
    let (ca, client, client_key) = (file(&pki.ca()), file(&client), file(&client_key));
    let env = [
        ("CERT", file(&pair.cert_file)),
        ("KEY", file(&pair.key_file)),
        ("CA", ca.clone()),
        ("CLIENT", client.clone()),
        ("CLIENT_KEY", client_key.clone()),
        ("PASSWORD", "s3cret".to_owned()),
    ];
    let Some(server) = Server::with(Kind::Redis, &env.each_ref().map(|(n, v)| (*n, v.as_str()))) else { return };
    let a = Backend::named("a");
    let own = pairs(&a.url());
    server.put(&own.each_ref().map(|(k, v)| (*k, v.as_str())));
    server.redis("acl setuser reader on >r3ader %R~traefik/* &__keyspace@0__:traefik/* +scan +mget +type +psubscribe +ping +exists\n");
    server.redis("acl setuser limiter on >l1mit ~rate:* +eval +evalsha +time +hmget +hset +expire\n");
    let start = |flags: &[String]| flags.iter().fold(Setup::new().flag(server.flag()), |s, f| s.flag(f)).start();
    let tls = |own: bool| {
        let mut flags = vec![format!("--providers.redis.tls.ca={ca}")];
        if own {
            flags.extend([format!("--providers.redis.tls.cert={client}"), format!("--providers.redis.tls.key={client_key}")]);
        }
        flags
    };
    let login =
        |user: &str, password: &str| [format!("--providers.redis.username={user}"), format!("--providers.redis.password={password}")];
    let gateway = start(&[tls(true), login("reader", "r3ader").to_vec()].concat());
    answers(&gateway, "/a", "a");
    server.put(&[("http/routers/a/rule", "Path(`/b`)")]);
    answers(&gateway, "/b", "a");
    let fails = |flags: Vec<String>, why: &[&str]| {
        let gateway = start(&flags);
        let said = eventually("the status says what is wrong", || Some(status(&gateway, "redis")["lastError"].as_str()?.to_owned()));
        assert!(why.iter().any(|w| said.contains(w)) && !gateway.log().contains("wr0ng"), "{said}");
    };
    fails([tls(true), login("reader", "wr0ng").to_vec()].concat(), &["Password authentication failed"]);
    fails([tls(true), login("limiter", "l1mit").to_vec()].concat(), &["NOPERM", "permission", "allowed"]);
    fails([tls(false), login("reader", "r3ader").to_vec()].concat(), &["certificate", "Certificate"]);

    let limited = |user: &str| {
        let redis = format!(
            "endpoints: ['127.0.0.1:{}'], username: {user}, password: l1mit, tls: {{ca: '{ca}', cert: '{client}', key: '{client_key}'}}",
            server.port()
        );
        crate::harness::Gateway::start(&format!(
            "http: {{routers: {{r: {{rule: 'PathPrefix(`/`)', service: s, middlewares: [m]}}}}, \
             services: {{s: {{loadBalancer: {{servers: [{{url: '{}'}}]}}}}}}, \
             middlewares: {{m: {{rateLimit: {{average: 1, period: 1h, burst: 1, redis: {{{redis}}}}}}}}}}}",
            a.url()
        ))
    };
    let gateway = limited("limiter");
    assert_eq!([gateway.get("/").status, gateway.get("/").status], [200, 429]);
    let gateway = limited("nobody");
    assert_eq!(gateway.get("/").status, 500);
    assert!(!gateway.log().contains("l1mit"));
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
