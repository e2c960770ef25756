//! What labels say, done: routers, middlewares, servers, secrets, default rules.

use super::{Engine, ask, provider, served_by};
use crate::harness::{Backend, Setup, eventually};

const DEFAULT_RULE: &str =
    r#"--providers.docker.defaultRule=Host(`{{ index .Labels "team" | default "none" }}-{{ normalize .ContainerName }}.test`)"#;

#[test]
fn what_labels_say_is_done() {
    let Some(engine) = Engine::start() else { return };
    let backend = Backend::named("behind");
    let gateway = Setup::new()
        .flag(format!("--providers.docker.endpoint={}", engine.endpoint()))
        .flag(DEFAULT_RULE)
        .flag("--secrets.allow.docker.env=APP_*")
        .env("APP_KEY", "correct-horse")
        .start();
    let url = format!("traefik.http.services.full.loadbalancer.server.url={}", backend.url());
    let full = [
        "traefik.http.routers.full.rule=Host(`full.test`) && PathPrefix(`/api`)",
        "torana.http.routers.full.priority=77",
        "traefik.http.routers.full.middlewares=strip, head",
        "traefik.HTTP.Middlewares.strip.StripPrefix.prefixes=/api",
        "traefik.http.middlewares.head.headers.customrequestheaders.X-Team=a, b",
        "traefik.http.middlewares.head.headers.customrequestheaders.X-Key=${env:APP_KEY}",
        url.as_str(),
    ];
    let options: Vec<&str> = full.iter().flat_map(|l| ["-l", l]).collect();
    // the second one says the same
    for name in ["full1", "full2"] {
        engine.run(name, &options);
    }
    eventually("the labels are followed", || {
        (ask(&gateway, "full.test").status == 404 && gateway.connect().get("full.test", "/api/x").status == 200).then_some(())
    });
    let seen = backend.requests().pop().unwrap();
    assert_eq!((seen.target.as_str(), seen.header("x-team"), seen.header("x-key")), ("/x", Some("a, b"), Some("correct-horse")));
    let router = gateway.admin("/api/http/routers/full@docker").json();
    assert_eq!((&router["priority"], &router["status"]), (&77.into(), &"enabled".into()), "{router}");
    assert!(!gateway.admin("/api/rawdata").text().contains("correct-horse"));

    // what is not allowed disables its middleware, and says so
    engine.run(
        "spy",
        &[
            "-l",
            "traefik.http.middlewares.spy.headers.customrequestheaders.X-Key=${env:HOME}",
            "-l",
            "traefik.http.routers.spy.middlewares=spy",
        ],
    );
    let router = eventually("the router is there", || {
        let router = gateway.admin("/api/http/routers/spy@docker").json();
        (router["status"] == "disabled").then_some(router)
    });
    assert!(router["error"].to_string().contains("spy"), "{router}");

    // by the default rule
    engine.run("plain_one", &["-l", "team=blue"]);
    served_by(&gateway, "blue-plain-one.test", "plain_one");
    engine.run("two", &[]);
    served_by(&gateway, "none-two.test", "two");
}

#[test]
fn a_request_that_comes_back_is_refused() {
    let Some(engine) = Engine::start() else { return };
    let gateway = engine.gateway(&[]);
    let url = format!("traefik.http.services.s.loadbalancer.server.url=http://{}", gateway.web());
    engine.run("loop", &["-l", &url]);
    eventually("the loop is cut", || (ask(&gateway, "loop").status == 400).then_some(()));
    // a rule that somebody wrote may lead to the gateway again
    let backend = Backend::named("end");
    engine.run("end", &["-l", &format!("traefik.http.services.e.loadbalancer.server.url={}", backend.url())]);
    eventually("the end is served", || (ask(&gateway, "end").status == 200).then_some(()));
    let mark = backend.requests().pop().unwrap().header("x-traefik-router").unwrap_or_default().to_owned();
    // 64-bit FNV-1 of `end@docker`
    let expected = "end@docker".bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| h.wrapping_mul(0x100_0000_01b3) ^ u64::from(b));
    assert_eq!(mark, format!("{expected:016x}"));
    let marked = format!("GET / HTTP/1.1\r\nHost: end\r\nX-Traefik-Router: {mark}\r\n\r\n");
    assert_eq!(gateway.ask(marked).status, 400);
}

#[test]
fn a_default_rule_that_cannot_be_read_is_told() {
    let Some(engine) = Engine::start() else { return };
    engine.run("any", &[]);
    let gateway = engine.gateway(&["--providers.docker.defaultRule=Host(`{{ normalise .Name }}`)"]);
    let said = eventually("the mistake is told", || {
        let said = provider(&gateway, "docker").to_string();
        said.contains("normalise").then_some(said)
    });
    for part in ["unknown function `normalise`", "column 10", "normalize"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(ask(&gateway, "any").status, 404);
}
