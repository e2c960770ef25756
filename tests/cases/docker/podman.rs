//! The provider beside a real Podman (`tests/services/podman.sh`), whose API is Docker's but for what it leaves out.

use super::{Engine, IMAGE, ask, gone, provider, rule, served_by, servers};
use crate::harness::{eventually, within};
use std::time::Duration;

fn podman() -> Option<Engine> {
    Engine::run_by("podman.sh", &[])
}

#[test]
fn containers_of_podman_come_and_go() {
    let Some(engine) = podman() else { return };
    engine.run("early", &["-l", &rule("early")]);
    let gateway = engine.gateway(&[]);
    served_by(&gateway, "early.test", "early");
    engine.run("plain", &[]);
    served_by(&gateway, "plain", "plain");
    engine.run("hidden", &["-l", "traefik.enable=false"]);
    let labels = [rule("pair"), "traefik.http.services.pair.loadbalancer.server.port=8080".into()];
    for name in ["one", "two"] {
        engine.run(name, &["-l", &labels[0], "-l", &labels[1]]);
    }
    served_by(&gateway, "pair.test", "one");
    served_by(&gateway, "pair.test", "two");
    assert_eq!(ask(&gateway, "hidden").status, 404);
    assert!(gateway.log().lines().all(|l| !l.contains("panicked")));

    engine.docker(&["pause", "plain"]);
    // A request that it has got would be answered only when it goes on.
    eventually("it is out", || servers(&gateway, "plain@docker").is_empty().then_some(()));
    gone(&gateway, "plain", 404);
    engine.docker(&["unpause", "plain"]);
    served_by(&gateway, "plain", "plain");
    engine.docker(&["rename", "plain", "other"]);
    served_by(&gateway, "other", "plain");
    // Podman does not say which signal it was: this one ends nobody.
    engine.docker(&["kill", "-s", "HUP", "two"]);
    engine.run("after", &[]);
    served_by(&gateway, "after", "after");
    let both = servers(&gateway, "pair@docker");
    assert_eq!(both.len(), 2, "{both:?}");
    served_by(&gateway, "pair.test", "two");
    engine.docker(&["stop", "-t", "0", "one"]);
    eventually("the other one alone", || (servers(&gateway, "pair@docker").len() == 1).then_some(()));
    engine.docker(&["start", "one"]);
    eventually("both again", || (servers(&gateway, "pair@docker").len() == 2).then_some(()));
    engine.docker(&["rm", "-f", "other"]);
    gone(&gateway, "other", 404);
}

#[test]
fn health_networks_and_mistakes_of_podman() {
    let Some(engine) = podman() else { return };
    let gateway = engine.gateway(&[]);
    let check = |name: &str| engine.command("check").arg(name).output().unwrap();
    engine.run("sick", &["--health-cmd", "test -e /tmp/ok", "--health-interval", "1h", "--health-retries", "1"]);
    engine.run("well", &[]);
    served_by(&gateway, "well", "well");
    assert_eq!(ask(&gateway, "sick").status, 404, "it is starting");
    engine.docker(&["exec", "sick", "touch", "/tmp/ok"]);
    check("sick");
    served_by(&gateway, "sick", "sick");
    engine.docker(&["exec", "sick", "rm", "/tmp/ok"]);
    check("sick");
    gone(&gateway, "sick", 404);

    engine.run("both", &["-l", "traefik.docker.network=second"]);
    let address = engine.address("both", "podman");
    eventually("the one that it has", || (servers(&gateway, "both@docker") == [format!("http://{address}:8080")]).then_some(()));
    engine.docker(&["network", "connect", "second", "both"]);
    let address = engine.address("both", "second");
    eventually("the one that was asked for", || (servers(&gateway, "both@docker") == [format!("http://{address}:8080")]).then_some(()));
    served_by(&gateway, "both", "both");
    engine.docker(&["network", "disconnect", "second", "both"]);
    let address = engine.address("both", "podman");
    eventually("the one that is left", || (servers(&gateway, "both@docker") == [format!("http://{address}:8080")]).then_some(()));
    engine.docker(&["run", "-d", "--name", "guest", "--network", "container:both", IMAGE, "httpd", "-f", "-p", "8082", "-h", "/www"]);
    engine.run("typo", &["-l", "traefik.http.routers.typo.rul=Host(`x`)"]);
    eventually("the mistake is told", || provider(&gateway, "docker")["rejected"].to_string().contains("container typo ").then_some(()));
    served_by(&gateway, "well", "well");
}

#[test]
fn podman_goes_away_and_comes_back() {
    let Some(engine) = podman() else { return };
    engine.run("stays", &[]);
    let gateway = engine.gateway(&[]);
    served_by(&gateway, "stays", "stays");
    assert!(engine.script("leave").status.success());
    let status = eventually("its absence is seen", || Some(provider(&gateway, "docker")).filter(|s| s["connectedSince"].is_null()));
    assert!(status["lastError"].is_string(), "{status}");
    assert_eq!(ask(&gateway, "stays").status, 200, "the last good configuration");
    let again = engine.script("start");
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    engine.run("new", &[]);
    within(Duration::from_secs(40), "the new one is served", || (ask(&gateway, "new").status == 200).then_some(()));
    assert_eq!(ask(&gateway, "stays").status, 200);
}
