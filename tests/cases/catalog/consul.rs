//! Consul's catalogue, with the real Consul.

use super::{Server, answers, gone, rejects, status};
use crate::harness::{Backend, Gateway, Reply, Setup, eventually, within};
use serde_json::{Value, json};
use std::time::Duration;

const PORTS: [&str; 2] = ["PORT", "PORT_SERVER"];

pub(super) fn start(env: &[(&str, &str)]) -> Option<Server> {
    Server::start("consul.sh", &PORTS, env)
}

pub(super) fn flag(server: &Server) -> String {
    format!("--providers.consulcatalog.endpoint.address=127.0.0.1:{}", server.port())
}

fn watching(server: &Server) -> Setup {
    Setup::new().flag(flag(server)).flag("--providers.consulcatalog.watch=true")
}

/// Tries come less often the longer a source is away.
pub(super) const AGAIN: Duration = Duration::from_secs(60);

/// An instance on this machine, for `/v1/agent/service/register`.
pub(super) fn service(id: &str, name: &str, backend: &Backend, tags: &[&str]) -> Value {
    json!({"ID": id, "Name": name, "Address": "127.0.0.1", "Port": backend.address.port(), "Tags": tags})
}

pub(super) fn register(server: &Server, service: &Value) {
    server.put("/v1/agent/service/register", service);
}

pub(super) fn deregister(server: &Server, id: &str) {
    server.put(&format!("/v1/agent/service/deregister/{id}"), &json!({}));
}

fn rule(path: &str) -> String {
    format!("traefik.http.routers.{}.rule=Path(`{path}`)", path.trim_start_matches('/'))
}

#[test]
fn services_come_change_and_go() {
    let Some(consul) = start(&[]) else { return };
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = watching(&consul).start();
    eventually("the provider has delivered", || status(&gateway, "consulcatalog")["delivered"].as_bool()?.then_some(()));
    register(&consul, &service("web-1", "web", &a, &[&rule("/web")]));
    within(Duration::from_secs(5), "a new service", || (gateway.get("/web").status == 200).then_some(()));
    // the default rule, for the service of Consul itself too
    let routers = gateway.admin("/api/http/routers").text().to_owned();
    assert!(routers.contains("Host(`consul`)"), "{routers}");
    // a second instance: both serve
    register(&consul, &service("web-2", "web", &b, &[&rule("/web")]));
    answers(&gateway, "/web", "a");
    answers(&gateway, "/web", "b");
    // another rule, on both: instances that disagree would be a conflict
    for (id, backend) in [("web-1", &a), ("web-2", &b)] {
        register(&consul, &service(id, "web", backend, &["traefik.http.routers.web.rule=Path(`/other`)"]));
    }
    answers(&gateway, "/other", "a");
    gone(&gateway, "/web");
    deregister(&consul, "web-1");
    eventually("one server is left", || {
        let shown = gateway.admin("/api/http/services/web@consulcatalog").json();
        (shown["loadBalancer"]["servers"].as_array()?.len() == 1).then_some(())
    });
    assert_eq!(gateway.get("/other").text(), "b");
    deregister(&consul, "web-2");
    gone(&gateway, "/other");
    let shown = status(&gateway, "consulcatalog");
    assert!(shown["connectedSince"].is_string() && shown["objects"] == 1, "{shown}");
}

#[test]
fn checks_decide_who_serves() {
    let Some(consul) = start(&[]) else { return };
    let backend = Backend::named("a");
    let strict = watching(&consul).start();
    let passing = watching(&consul).flag("--providers.consulcatalog.strictchecks=passing").start();
    let any = watching(&consul).flag("--providers.consulcatalog.strictchecks=any").start();
    let mut checked = service("web", "web", &backend, &[&rule("/web")]);
    checked["Check"] = json!({"CheckID": "c", "Name": "c", "TTL": "1h", "Status": "passing"});
    register(&consul, &checked);
    for gateway in [&strict, &passing, &any] {
        answers(gateway, "/web", "a");
    }
    consul.put("/v1/agent/check/warn/c", &json!({}));
    gone(&passing, "/web");
    assert_eq!(strict.get("/web").status, 200);
    consul.put("/v1/agent/check/fail/c", &json!({}));
    gone(&strict, "/web");
    assert_eq!(any.get("/web").status, 200);
    consul.put("/v1/agent/check/pass/c", &json!({}));
    answers(&strict, "/web", "a");
    consul.put("/v1/agent/service/maintenance/web?enable=true", &json!({}));
    gone(&strict, "/web");
    assert_eq!(any.get("/web").status, 200);
}

#[test]
fn one_bad_service_harms_no_other() {
    let Some(consul) = start(&[]) else { return };
    let backend = Backend::named("a");
    let gateway = watching(&consul).start();
    register(&consul, &service("good", "good", &backend, &[&rule("/good")]));
    answers(&gateway, "/good", "a");
    let bad: [(&str, &str, &str); 4] = [
        ("unknown", "traefik.http.routers.r.rulle=Path(`/x`)", "rulle"),
        ("enable", "traefik.enable=perhaps", "perhaps"),
        ("canary", "traefik.consulcatalog.canary=perhaps", "`traefik.consulcatalog.canary`"),
        ("mesh", "traefik.consulcatalog.connect=true", "connectAware"),
    ];
    for (name, tag, _) in bad {
        register(&consul, &service(name, name, &backend, &[tag]));
    }
    for (name, _, reason) in bad {
        rejects(&gateway, "consulcatalog", &format!("service {name}, instance {name} on test"), reason);
    }
    let mut nowhere = service("nowhere", "nowhere", &backend, &[]);
    nowhere["Port"] = json!(0);
    register(&consul, &nowhere);
    rejects(&gateway, "consulcatalog", "service nowhere", "port");
    answers(&gateway, "/good", "a");
    for (name, _, _) in bad {
        deregister(&consul, name);
    }
    deregister(&consul, "nowhere");
    eventually("nothing is rejected", || status(&gateway, "consulcatalog")["rejected"].as_array().is_none_or(Vec::is_empty).then_some(()));
}

#[test]
fn an_agent_that_is_restarted_is_found_again() {
    let Some(consul) = start(&[]) else { return };
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = watching(&consul).start();
    register(&consul, &service("web", "web", &a, &[&rule("/web")]));
    answers(&gateway, "/web", "a");
    consul.stop();
    eventually("the failure is told", || status(&gateway, "consulcatalog")["lastError"].is_string().then_some(()));
    let shown = status(&gateway, "consulcatalog");
    assert!(shown["connectedSince"].is_null() && shown["lastError"].as_str().unwrap().contains("Connection refused"), "{shown}");
    assert_eq!(gateway.get("/web").text(), "a", "what was good last is served");
    consul.start_again();
    within(AGAIN, "it is connected again", || status(&gateway, "consulcatalog")["connectedSince"].is_string().then_some(()));
    register(&consul, &service("web", "web", &b, &[&rule("/web")]));
    answers(&gateway, "/web", "b");
    assert!(gateway.log().matches("Connection refused").count() <= 2, "a failure that stays is logged once");
}

#[test]
fn options_choose_what_is_published() {
    let Some(consul) = start(&[]) else { return };
    let backend = Backend::named("a");
    let hidden = service("hidden", "hidden", &backend, &[]);
    let shown = service("shown", "shown", &backend, &["edge.enable=true", "edge.http.routers.shown.rule=Path(`/shown`)", "stage-prod"]);
    let own = service("own", "own", &backend, &["torana.enable=true", "torana.http.routers.own.rule=Path(`/own`)", "stage-prod"]);
    let test = service("test", "test", &backend, &["edge.enable=true", "edge.http.routers.test.rule=Path(`/test`)", "stage-test"]);
    for one in [&hidden, &shown, &own, &test] {
        register(&consul, one);
    }
    let gateway = Setup::new()
        .flag(flag(&consul))
        .flag("--providers.consulcatalog.prefix=edge")
        .flag("--providers.consulcatalog.exposedbydefault=false")
        .flag("--providers.consulcatalog.constraints=TagRegex(`^stage-`) && !Tag(`stage-test`)")
        .flag("--providers.consulcatalog.defaultrule=Path(`/by-default/{{ .Name }}/{{ index .Labels \"traefik.enable\" }}`)")
        .flag("--providers.consulcatalog.refreshinterval=100ms")
        .start();
    answers(&gateway, "/shown", "a");
    answers(&gateway, "/own", "a");
    assert_eq!(gateway.get("/test").status, 404);
    register(&consul, &service("plain", "plain", &backend, &["edge.enable=true", "stage-x"]));
    answers(&gateway, "/by-default/plain/true", "a");
    assert_eq!(gateway.get("/by-default/hidden/").status, 404);
}

#[test]
fn canaries_are_services_of_their_own() {
    let Some(consul) = start(&[]) else { return };
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    register(&consul, &service("web-1", "web", &a, &["traefik.http.routers.web.rule=Path(`/web`)"]));
    register(
        &consul,
        &service("web-2", "web", &b, &["traefik.consulcatalog.canary=true", "traefik.http.routers.canary.rule=Path(`/canary`)"]),
    );
    let gateway = watching(&consul).start();
    answers(&gateway, "/web", "a");
    answers(&gateway, "/canary", "b");
    assert_eq!(gateway.get("/web").text(), "a", "not the canary's server");
}

/// What Consul asks for when it is secured, and what is said when it is not given.
#[test]
fn a_token_is_needed_and_never_shown() {
    const TOKEN: &str = "5bd0c2a4-7a43-4ac4-a2a2-0c2b6f2f9b11";
    let Some(consul) = start(&[("TOKEN", TOKEN)]) else { return };
    let backend = Backend::named("a");
    let body = service("web", "web", &backend, &[&rule("/web")]).to_string();
    let answer = consul.ask("PUT", "/v1/agent/service/register", &format!("X-Consul-Token: {TOKEN}\r\n"), &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let with = |token: &str| watching(&consul).flag(format!("--providers.consulcatalog.endpoint.token={token}")).start();
    let gateway = with(TOKEN);
    answers(&gateway, "/web", "a");
    let wrong = with("cf7d0ad3-6a84-4b8e-8b6d-0d3a4c1dcb0e");
    let told = |g: &Gateway| status(g, "consulcatalog")["lastError"].as_str().map(str::to_owned);
    let error = eventually("a wrong token is told", || told(&wrong));
    assert!(error.contains("Consul refuses") && error.contains("endpoint.token"), "{error}");
    for (gateway, token) in [(&gateway, TOKEN), (&wrong, "cf7d0ad3")] {
        assert!(!gateway.log().contains(token) && !gateway.admin("/api/rawdata").text().contains(token));
    }
}

#[test]
fn namespaces_are_providers_of_their_own() {
    let Some(consul) = start(&[]) else { return };
    // This Consul has none, which is what it answers when it is asked for one.
    let gateway = watching(&consul).flag("--providers.consulcatalog.namespaces=one,two").start();
    for provider in ["consulcatalog-one", "consulcatalog-two"] {
        let error = eventually("it is told", || status(&gateway, provider)["lastError"].as_str().map(str::to_owned));
        assert!(error.contains("Namespaces are a Consul Enterprise feature"), "{error}");
    }
}

#[test]
fn a_rule_that_is_no_template_is_told() {
    let gateway = Setup::new()
        .flag("--providers.consulcatalog.endpoint.address=127.0.0.1:1")
        .flag("--providers.consulcatalog.defaultrule=Host(`{{ nothing .Name }}`)")
        .without_waiting()
        .start();
    gateway.wait_serving();
    let told = eventually("it is told", || {
        let text = status(&gateway, "consulcatalog").to_string();
        text.contains("nothing").then_some(text)
    });
    assert!(told.contains("defaultRule"), "{told}");
}

/// Of the mesh's own authority, by the name that a service has there.
fn in_mesh(consul: &Server, name: &str) -> rustls::ServerConfig {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let json = |target: &str| consul.ask("GET", target, "", "").json();
    let leaf = json(&format!("/v1/agent/connect/ca/leaf/{name}"));
    let mut roots = rustls::RootCertStore::empty();
    for root in json("/v1/agent/connect/ca/roots")["Roots"].as_array().unwrap() {
        roots.add(CertificateDer::from_pem_slice(root["RootCert"].as_str().unwrap().as_bytes()).unwrap()).unwrap();
    }
    let crypto = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), crypto.clone()).build().unwrap();
    let chain = CertificateDer::pem_slice_iter(leaf["CertPEM"].as_str().unwrap().as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(leaf["PrivateKeyPEM"].as_str().unwrap().as_bytes()).unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(crypto).with_safe_default_protocol_versions().unwrap();
    builder.with_client_cert_verifier(clients).with_single_cert(chain, key).unwrap()
}

#[test]
fn services_in_the_mesh_are_reached_by_their_names() {
    let Some(consul) = start(&[]) else { return };
    let serve = |name: &str| Backend::tls(in_mesh(&consul, name), |_| Reply::ok("meshed"));
    let (web, liar) = (serve("web"), serve("other"));
    let plain = Backend::named("plain");
    for (name, backend) in [("web", &web), ("liar", &liar)] {
        let path = format!("/{name}");
        let mut native = service(name, name, backend, &[&rule(&path), "traefik.consulcatalog.connect=true"]);
        native["Connect"] = json!({"Native": true});
        register(&consul, &native);
    }
    register(&consul, &service("plain", "plain", &plain, &[&rule("/plain")]));
    let gateway = watching(&consul).flag("--providers.consulcatalog.connectaware=true").start();
    answers(&gateway, "/web", "meshed");
    answers(&gateway, "/plain", "plain");
    assert_eq!(gateway.get("/liar").status, 502, "its certificate names another service");
    assert!(!gateway.admin("/api/rawdata").text().contains("PRIVATE KEY") && !gateway.log().contains("PRIVATE KEY"));
}
