//! Routing configuration from a web service and by `PUT` (PRV-04, PRV-05).

use crate::harness::{Backend, Conn, Gateway, Reply, Response, Setup, eventually, lock, route};
use std::sync::{Arc, Mutex};

/// A web service that answers with what it is told to.
struct Service {
    backend: Backend,
    answer: Arc<Mutex<Reply>>,
}

impl Service {
    fn new(text: &str) -> Service {
        let answer = Arc::new(Mutex::new(Reply::ok(text)));
        let backend = Backend::http({
            let answer = answer.clone();
            move |_| lock(&answer).clone()
        });
        Service { backend, answer }
    }

    fn set(&self, reply: Reply) {
        *lock(&self.answer) = reply;
    }

    fn gateway(&self, flags: &[&str]) -> Gateway {
        let setup = Setup::new()
            .flag(format!("--providers.http.endpoint={}/routing", self.backend.url()))
            .flag("--providers.http.pollinterval=50ms");
        flags.iter().fold(setup, |s, f| s.flag(*f)).start()
    }
}

fn status(gateway: &Gateway, name: &str) -> serde_json::Value {
    let all = gateway.admin("/api/providers").json();
    all.as_array().unwrap().iter().find(|p| p["name"] == name).unwrap().clone()
}

#[track_caller]
fn answers(gateway: &Gateway, target: &str, expected: u16) {
    eventually(&format!("{target} answers {expected}"), || (gateway.get(target).status == expected).then_some(()));
}

#[track_caller]
fn wrong(gateway: &Gateway, what: &str) {
    eventually(&format!("the status says {what}"), || status(gateway, "http")["lastError"].as_str()?.contains(what).then_some(()));
}

#[test]
fn a_web_service_is_followed() {
    let a = Backend::named("a");
    let service = Service::new(&route("Path(`/a`)", &[&a.url()]));
    let gateway = service.gateway(&["--providers.http.headers.x-key=s3cret", "--providers.http.maxresponsebodysize=2000"]);
    answers(&gateway, "/a", 200);
    let asked = service.backend.requests();
    assert!(asked.iter().all(|r| r.target == "/routing" && r.headers.one("x-key") == Some("s3cret")), "{asked:?}");
    assert!(!gateway.log().contains("s3cret") && !gateway.admin("/api/rawdata").text().contains("s3cret"));

    // JSON is welcome too
    let json = |path: &str| {
        format!(
            r#"{{"http": {{"routers": {{"r": {{"rule": "Path(`{path}`)", "service": "s"}}}}, "services": {{"s": {{"loadBalancer": {{"servers": [{{"url": "{}"}}]}}}}}}}}}}"#,
            a.url()
        )
    };
    service.set(Reply::ok(json("/b")));
    answers(&gateway, "/b", 200);
    let changes = status(&gateway, "http")["changes"].clone();

    // whatever is wrong, what was there before serves
    for (reply, what) in [
        (Reply::status(500), "500"),
        (Reply::ok("http: ["), ""),
        (Reply::ok("x".repeat(2001)), "maxResponseBodySize"),
        (Reply::ok(&b"\xff\xfe"[..]), "UTF-8"),
        (Reply::ok("- a\n"), "block"),
    ] {
        service.set(reply);
        wrong(&gateway, what);
        assert_eq!(gateway.get("/b").status, 200, "{what}");
        service.set(Reply::ok(json("/b")));
        eventually("all is well again", || status(&gateway, "http")["lastError"].is_null().then_some(()));
    }
    assert_eq!(status(&gateway, "http")["changes"], changes, "the same is no change");

    // one object is wrong
    service.set(Reply::ok(
        json("/c").replace("\"routers\": {", "\"routers\": {\"bad\": {\"rule\": \"Path(`/x`)\", \"priority\": \"high\"}, "),
    ));
    answers(&gateway, "/c", 200);
    assert_eq!(status(&gateway, "http")["rejected"][0]["name"], "http.routers.bad");

    // no content at all has to be said twice
    service.set(Reply::ok(""));
    answers(&gateway, "/c", 404);
    service.set(Reply::ok(json("/d")));
    answers(&gateway, "/d", 200);
}

#[test]
fn redirections_are_followed_and_slow_answers_are_not_waited_for() {
    let a = Backend::named("a");
    let real = Service::new(&route("Path(`/a`)", &[&a.url()]));
    let service = Service::new("");
    service.set(Reply::status(302).header("location", &format!("{}/routing", real.backend.url())));
    let gateway = service.gateway(&[]);
    answers(&gateway, "/a", 200);
}

fn put(gateway: &Gateway, target: &str, body: &str) -> Response {
    put_at(gateway, "traefik", target, body)
}

fn put_at(gateway: &Gateway, entry_point: &str, target: &str, body: &str) -> Response {
    let mut c = Conn::open(gateway.address(entry_point));
    c.send(format!("PUT {target} HTTP/1.1\r\nHost: test.local\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    c.response()
}

#[test]
fn configuration_is_put() {
    let a = Backend::named("a");
    let gateway = Setup::new().flag("--providers.rest.insecure=true").start();
    let body = |path: &str, more: &str| {
        format!(
            r#"{{"http":{{"routers":{{"r":{{"rule":"Path(`{path}`)","service":"s"{more}}}}},"services":{{"s":{{"loadBalancer":{{"servers":[{{"url":"{}"}}]}}}}}}}}}}"#,
            a.url()
        )
    };
    let answer = put(&gateway, "/api/providers/rest", &body("/a", r#","bogus":1,"Priority":3"#));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json; charset=UTF-8")));
    assert_eq!(answer.json()["http"]["routers"]["r"], serde_json::json!({"rule": "Path(`/a`)", "service": "s", "priority": 3}));
    answers(&gateway, "/a", 200);
    assert!(gateway.admin("/api/diagnostics").text().contains("bogus"));
    assert_eq!(gateway.admin("/api/http/routers/r@rest").status, 200);

    for (target, body, status) in [
        ("/api/providers/rest", "{", 400),
        ("/api/providers/rest", "", 400),
        ("/api/providers/rest", "[]", 400),
        ("/api/providers/rest", r#"{"http":{"routers":{"r":{"priority":"x"}}}}"#, 400),
        ("/api/providers/file", "{}", 400),
        ("/api/providers/rest", "{}", 200),
        ("/api/providers/rest/x", "{}", 404),
    ] {
        assert_eq!(put(&gateway, target, body).status, status, "{target} {body}");
        assert_eq!(gateway.get("/a").status, 200, "{target} {body}");
    }
    assert_eq!(gateway.admin("/api/providers/rest").status, 405);
    assert_eq!(gateway.admin("/api/providers").status, 200);
    put(&gateway, "/api/providers/rest", &body("/b", ""));
    answers(&gateway, "/b", 200);
    put(&gateway, "/api/providers/rest", r#"{"http":{"routers":{}}}"#);
    answers(&gateway, "/b", 404);
}

#[test]
fn without_insecure_a_router_of_the_user_leads_there() {
    let routing = "http:\n  routers:\n    put: {rule: 'PathPrefix(`/api/providers/`)', entryPoints: [web], service: rest@internal, middlewares: [auth]}\n  middlewares:\n    auth: {ipAllowList: {sourceRange: [10.1.2.3]}}\n";
    let gateway = Setup::new().flag("--providers.rest=true").file("routing.yml", routing).start();
    assert_eq!(put_at(&gateway, "web", "/api/providers/rest", "{}").status, 403);
    assert_eq!(put(&gateway, "/api/providers/rest", "{}").status, 404);
    gateway.reload("routing.yml", &routing.replace("10.1.2.3", "127.0.0.1"));
    eventually("it is let in", || (put_at(&gateway, "web", "/api/providers/rest", "{}").status == 200).then_some(()));
}
