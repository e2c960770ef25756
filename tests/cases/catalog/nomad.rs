//! Nomad's services, with a stand-in for Nomad.

use super::consul::AGAIN;
use super::{Server, answers, gone, rejects, status};
use crate::harness::{Backend, Setup, eventually, within};
use serde_json::{Value, json};

fn start(env: &[(&str, &str)]) -> Option<Server> {
    Server::start("nomad.sh", &["PORT"], env)
}

fn setup(nomad: &Server) -> Setup {
    Setup::new().flag(format!("--providers.nomad.endpoint.address=http://127.0.0.1:{}", nomad.port()))
}

fn watching(nomad: &Server) -> Setup {
    setup(nomad).flag("--providers.nomad.watch=true")
}

fn service(name: &str, backend: &Backend, tags: &[&str]) -> Value {
    json!({"ServiceName": name, "Address": "127.0.0.1", "Port": backend.address.port(), "Tags": tags})
}

fn register(nomad: &Server, service: &Value) {
    nomad.put("/test/service", service);
}

fn deregister(nomad: &Server, name: &str, backend: &Backend) {
    nomad.ask("DELETE", &format!("/test/service/_nomad-task-{name}-{}", backend.address.port()), "", "");
}

fn rule(path: &str) -> String {
    format!("traefik.http.routers.{}.rule=Path(`{path}`)", path.trim_start_matches('/'))
}

fn requests(nomad: &Server) -> Vec<String> {
    serde_json::from_slice(&nomad.ask("GET", "/test/requests", "", "").body).unwrap()
}

#[test]
fn services_come_and_go_with_events() {
    let Some(nomad) = start(&[]) else { return };
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = watching(&nomad).flag("--providers.nomad.endpoint.region=eu").start();
    register(&nomad, &service("web", &a, &[&rule("/web")]));
    answers(&gateway, "/web", "a");
    register(&nomad, &service("web", &b, &[&rule("/web")]));
    answers(&gateway, "/web", "b");
    deregister(&nomad, "web", &a);
    eventually("one server is left", || {
        let shown = gateway.admin("/api/http/services/web@nomad").json();
        (shown["loadBalancer"]["servers"].as_array()?.len() == 1).then_some(())
    });
    deregister(&nomad, "web", &b);
    gone(&gateway, "/web");
    let all = requests(&nomad);
    assert!(all.iter().all(|r| r.contains("region=eu")) && all.iter().any(|r| r.contains("topic=Service%3A*")), "{all:?}");
}

#[test]
fn streams_that_end_are_opened_again() {
    let Some(nomad) = start(&[]) else { return };
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let gateway = watching(&nomad).start();
    register(&nomad, &service("web", &a, &[&rule("/web")]));
    answers(&gateway, "/web", "a");
    nomad.put("/test/cut", &json!({}));
    eventually("the failure is told", || (status(&gateway, "nomad")["failures"].as_u64()? > 0).then_some(()));
    assert_eq!(gateway.get("/web").text(), "a");
    register(&nomad, &service("other", &b, &[&rule("/other")]));
    answers(&gateway, "/other", "b");
    nomad.stop();
    eventually("it is away", || status(&gateway, "nomad")["connectedSince"].is_null().then_some(()));
    assert_eq!(gateway.get("/web").text(), "a");
    nomad.start_again();
    register(&nomad, &service("web", &b, &[&rule("/web")]));
    within(AGAIN, "it is read again", || (gateway.get("/web").text() == "b").then_some(()));
    gone(&gateway, "/other");
}

#[test]
fn one_service_that_fails_harms_no_other() {
    let Some(nomad) = start(&[]) else { return };
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    register(&nomad, &service("one", &a, &[&rule("/one")]));
    register(&nomad, &service("two", &b, &[&rule("/two")]));
    let gateway = setup(&nomad).flag("--providers.nomad.refreshinterval=100ms").start();
    answers(&gateway, "/one", "a");
    nomad.put("/test/fail/500/v1/service/one", &json!({}));
    rejects(&gateway, "nomad", "service one", "told to fail");
    register(&nomad, &service("bad", &b, &["traefik.http.routers.x.nonsense=1"]));
    rejects(&gateway, "nomad", "service bad", "nonsense");
    register(&nomad, &service("two", &b, &[&rule("/three")]));
    answers(&gateway, "/three", "b");
    assert_eq!(gateway.get("/one").text(), "a", "it keeps what it said last");
    nomad.put("/test/fail/200/v1/service/one", &json!({}));
    nomad.put("/test/fail/503/v1/services", &json!({}));
    eventually("the failure is told", || status(&gateway, "nomad")["lastError"].as_str()?.contains("503").then_some(()));
    assert_eq!(gateway.get("/three").text(), "b");
}

#[test]
fn namespaces_and_tokens() {
    let Some(nomad) = start(&[("TOKEN", "a-secret-token")]) else { return };
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    register(&nomad, &service("web", &a, &[&rule("/web")]));
    let mut other = service("web", &b, &[&rule("/team")]);
    other["Namespace"] = json!("team");
    register(&nomad, &other);
    let gateway = watching(&nomad)
        .flag("--providers.nomad.endpoint.token=a-secret-token")
        .flag("--providers.nomad.namespaces=default,team")
        .flag("--providers.nomad.stale=true")
        .start();
    answers(&gateway, "/web", "a");
    answers(&gateway, "/team", "b");
    let routers = gateway.admin("/api/http/routers").text().to_owned();
    assert!(routers.contains("web@nomad-default") && routers.contains("team@nomad-team"), "{routers}");
    assert!(requests(&nomad).iter().any(|r| r.starts_with("/v1/services?") && r.contains("stale")));
    let without = watching(&nomad).start();
    let error = eventually("it is told", || status(&without, "nomad")["lastError"].as_str().map(str::to_owned));
    assert!(error.contains("Nomad refuses: Permission denied"), "{error}");
    assert!(!gateway.log().contains("a-secret-token"));
}

#[test]
fn services_at_zero_keep_their_routers_when_wanted() {
    let Some(nomad) = start(&[]) else { return };
    let job = json!({"ID": "shop", "TaskGroups": [{"Name": "g", "Count": 0, "Scaling": {"Enabled": true},
        "Services": [{"Name": "shop", "Tags": [rule("/shop")]}]}]});
    nomad.put("/test/job", &job);
    let gateway = watching(&nomad).flag("--providers.nomad.allowemptyservices=true").start();
    eventually("503 in place of 404", || (gateway.get("/shop").status == 503).then_some(()));
    let without = watching(&nomad).start();
    eventually("it has delivered", || status(&without, "nomad")["delivered"].as_bool()?.then_some(()));
    assert_eq!(without.get("/shop").status, 404);
}
