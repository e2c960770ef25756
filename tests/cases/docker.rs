//! The provider `docker`, beside real engines (`tests/services/docker.sh`) and one that is made up.

mod compose;
mod fake;
mod labels;
mod podman;
mod rolling;
mod scale;
mod speed;
mod ssh;
mod swarm;

use crate::harness::{Conn, Gateway, Response, Setup, eventually, free_port, root, within};
use std::process::{Command, Output};
use std::time::Duration;

const IMAGE: &str = "torana-test/web";

/// A Docker engine of its own; loudly missing at home, an error where `CI` is set.
struct Engine {
    dir: tempfile::TempDir,
    port: u16,
    /// What starts it, below `tests/services`.
    script: &'static str,
}

impl Engine {
    fn start() -> Option<Engine> {
        Engine::start_with(&[("LIVE", "1")])
    }

    fn start_with(env: &[(&str, &str)]) -> Option<Engine> {
        Engine::run_by("docker.sh", env)
    }

    fn run_by(script: &'static str, env: &[(&str, &str)]) -> Option<Engine> {
        let engine = Engine { dir: tempfile::Builder::new().prefix("trn").tempdir().unwrap(), port: free_port(), script };
        let output = engine.command("start").envs(env.iter().copied()).output().unwrap();
        if output.status.success() {
            return Some(engine);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "{script}: {said}");
        eprintln!("SKIPPED: tests of Docker and Podman need an engine ({script}): {said}");
        None
    }

    fn command(&self, verb: &str) -> Command {
        let mut c = Command::new(root().join("tests/services").join(self.script));
        c.arg(verb).arg(self.dir.path()).env("PORT", self.port.to_string());
        c
    }

    fn script(&self, verb: &str) -> Output {
        self.command(verb).output().unwrap()
    }

    fn endpoint(&self) -> String {
        format!("unix://{}/docker.sock", self.dir.path().display())
    }

    #[track_caller]
    fn docker(&self, args: &[&str]) -> String {
        let output = Command::new("docker").args(args).env("DOCKER_HOST", self.endpoint()).output().unwrap();
        assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A container that says its name at `/cgi-bin/whoami`.
    #[track_caller]
    fn run(&self, name: &str, options: &[&str]) -> String {
        self.run_with(name, options, &[])
    }

    #[track_caller]
    fn run_with(&self, name: &str, options: &[&str], command: &[&str]) -> String {
        let id = format!("SERVER_ID={name}");
        self.docker(&[&["run", "-d", "--name", name, "-e", &id], options, &[IMAGE], command].concat())
    }

    #[track_caller]
    fn address(&self, name: &str, network: &str) -> String {
        let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
        self.docker(&["inspect", "-f", &format, name])
    }

    fn gateway(&self, flags: &[&str]) -> Gateway {
        let setup = Setup::new().flag(format!("--providers.docker.endpoint={}", self.endpoint()));
        flags.iter().fold(setup, |s, f| s.flag(*f)).start()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.script("stop");
    }
}

fn ask(gateway: &Gateway, host: &str) -> Response {
    gateway.connect().get(host, "/cgi-bin/whoami")
}

/// Waits until `host` is answered by the container `name`.
#[track_caller]
fn served_by(gateway: &Gateway, host: &str, name: &str) {
    eventually(&format!("{host} is served by {name}"), || {
        let r = ask(gateway, host);
        (r.status == 200 && r.text().contains(&format!("Name: {name}\n"))).then_some(())
    });
}

#[track_caller]
fn gone(gateway: &Gateway, host: &str, status: u16) {
    eventually(&format!("{host} is answered with {status}"), || (ask(gateway, host).status == status).then_some(()));
}

fn provider(gateway: &Gateway, name: &str) -> serde_json::Value {
    let all = gateway.admin("/api/providers").json();
    all.as_array().unwrap().iter().find(|p| p["name"] == name).unwrap_or_else(|| panic!("{all}")).clone()
}

/// Where the servers of a service are.
fn servers(gateway: &Gateway, service: &str) -> Vec<String> {
    let found = gateway.admin(&format!("/api/http/services/{service}")).json();
    let all = found["loadBalancer"]["servers"].as_array().cloned().unwrap_or_default();
    all.iter().map(|s| s["url"].as_str().unwrap_or_default().to_owned()).collect()
}

fn rule(host: &str) -> String {
    format!("traefik.http.routers.{host}.rule=Host(`{host}.test`)")
}

#[test]
fn containers_come_and_go() {
    let Some(engine) = Engine::start() else { return };
    engine.run("early", &["-l", &rule("early")]);
    let gateway = engine.gateway(&[]);
    served_by(&gateway, "early.test", "early");
    // With no label at all, by its name.
    engine.run("plain", &[]);
    served_by(&gateway, "plain", "plain");
    engine.run("hidden", &["-l", "traefik.enable=false"]);
    // Two containers, one service.
    let labels = [rule("pair"), "traefik.http.services.pair.loadbalancer.server.port=8080".into()];
    for name in ["one", "two"] {
        engine.run(name, &["-l", &labels[0], "-l", &labels[1]]);
    }
    served_by(&gateway, "pair.test", "one");
    served_by(&gateway, "pair.test", "two");
    assert_eq!(ask(&gateway, "hidden").status, 404);

    engine.docker(&["pause", "plain"]);
    // A request that it has got would be answered only when it goes on.
    eventually("it is out", || servers(&gateway, "plain@docker").is_empty().then_some(()));
    gone(&gateway, "plain", 404);
    engine.docker(&["unpause", "plain"]);
    served_by(&gateway, "plain", "plain");
    engine.docker(&["rename", "plain", "other"]);
    served_by(&gateway, "other", "plain");
    engine.docker(&["kill", "-s", "HUP", "other"]);
    served_by(&gateway, "other", "plain");
    engine.docker(&["rm", "-f", "other"]);
    gone(&gateway, "other", 404);
    engine.docker(&["stop", "-t", "0", "one"]);
    eventually("the other one alone", || (servers(&gateway, "pair@docker").len() == 1).then_some(()));
    engine.docker(&["start", "one"]);
    served_by(&gateway, "pair.test", "one");

    // What is stopped may keep its router.
    engine.run("kept", &["-l", &rule("kept"), "-l", "traefik.docker.allownonrunning=true"]);
    served_by(&gateway, "kept.test", "kept");
    engine.docker(&["stop", "-t", "0", "kept"]);
    gone(&gateway, "kept.test", 503);
}

#[test]
fn health_decides() {
    let Some(engine) = Engine::start() else { return };
    let gateway = engine.gateway(&[]);
    let empty = engine.gateway(&["--providers.docker.allowemptyservices=true"]);
    let check = ["--health-cmd", "test -e /tmp/ok", "--health-interval", "0.2s", "--health-retries", "1"];
    engine.run("sick", &check);
    gone(&empty, "sick", 503);
    assert_eq!(ask(&gateway, "sick").status, 404);
    engine.docker(&["exec", "sick", "touch", "/tmp/ok"]);
    served_by(&gateway, "sick", "sick");
    served_by(&empty, "sick", "sick");
    engine.docker(&["exec", "sick", "rm", "/tmp/ok"]);
    gone(&gateway, "sick", 404);
    gone(&empty, "sick", 503);
    engine.docker(&["stop", "-t", "0", "sick"]);
    gone(&empty, "sick", 404);
}

#[test]
fn addresses_are_found() {
    let Some(engine) = Engine::start() else { return };
    engine.docker(&["network", "create", "front"]);
    engine.docker(&["network", "create", "back"]);
    let gateway = engine.gateway(&[]);
    // On two networks; the label chooses.
    engine.docker(&["create", "--name", "both", "--network", "back", "-l", "traefik.docker.network=front", IMAGE]);
    engine.docker(&["start", "both"]);
    let back = engine.address("both", "back");
    eventually("the one that it has", || (servers(&gateway, "both@docker") == [format!("http://{back}:8080")]).then_some(()));
    engine.docker(&["network", "connect", "front", "both"]);
    let front = engine.address("both", "front");
    eventually("the one that was asked for", || (servers(&gateway, "both@docker") == [format!("http://{front}:8080")]).then_some(()));
    // The network of another container, and that of the host.
    engine.run_with("guest", &["--network", "container:both"], &["httpd", "-f", "-p", "8081", "-h", "/www"]);
    eventually("it has no port", || {
        let rejected = provider(&gateway, "docker")["rejected"].to_string();
        (rejected.contains("container guest") && rejected.contains("server.port")).then_some(())
    });
    let port = free_port().to_string();
    let label = |s: &str, port: &str| format!("traefik.http.services.{s}.loadbalancer.server.port={port}");
    engine.run_with(
        "guest2",
        &["--network", "container:both", "-l", &label("guest2", "8082")],
        &["httpd", "-f", "-p", "8082", "-h", "/www"],
    );
    served_by(&gateway, "guest2", "guest2");
    assert_eq!(servers(&gateway, "guest2@docker"), [format!("http://{front}:8082")]);
    engine.run_with("onhost", &["--network", "host", "-l", &label("onhost", &port)], &["httpd", "-f", "-p", &port, "-h", "/www"]);
    served_by(&gateway, "onhost", "onhost");
    assert_eq!(servers(&gateway, "onhost@docker"), [format!("http://127.0.0.1:{port}")]);
    engine.run("alone", &["--network", "none"]);
    eventually("it cannot be reached", || provider(&gateway, "docker")["rejected"].to_string().contains("container alone").then_some(()));

    // Published ports of the host.
    let bound = engine.gateway(&["--providers.docker.usebindportip=true", "--providers.docker.constraints=Label(`bound`, `yes`)"]);
    engine.run("published", &["-l", "bound=yes", "-p", &format!("127.0.0.1:{}:8080", free_port())]);
    served_by(&bound, "published", "published");
    assert!(servers(&bound, "published@docker")[0].starts_with("http://127.0.0.1:"));
    engine.run("everywhere", &["-l", "bound=yes", "-p", &format!("{}:8080", free_port())]);
    served_by(&bound, "everywhere", "everywhere");
    assert_eq!(servers(&bound, "everywhere@docker"), [format!("http://{}:8080", engine.address("everywhere", "bridge"))]);
    assert_eq!(ask(&bound, "both").status, 404, "the constraint");
}

#[test]
fn mistakes_stay_with_their_container() {
    let Some(engine) = Engine::start() else { return };
    engine.run("typo", &["-l", "traefik.http.routers.typo.rul=Host(`x`)"]);
    let gateway = engine.gateway(&[]);
    // What was read and is all wrong has been delivered.
    eventually("it is ready", || (gateway.admin("/ready").status == 200).then_some(()));
    assert!(gateway.admin("/api/diagnostics").json().to_string().contains("container typo "));
    engine.run("good", &["-l", &rule("good")]);
    served_by(&gateway, "good.test", "good");
    engine.run("root", &["-l", "TRAEFIK.http.routers.root.rule=Host(`x`)"]);
    engine.run("enable", &["-l", "traefik.enable=maybe"]);
    engine.run("own", &["-l", "traefik.docker.netwrok=x"]);
    engine.run("port", &["-l", "traefik.http.services.port.loadbalancer.server.port=http"]);
    engine.run("brackets", &["-l", "traefik.http.routers.brackets.rule=Host(`x`"]);
    // Two that do not agree about one router.
    for name in ["clash1", "clash2"] {
        engine.run(name, &["-l", &format!("traefik.http.routers.clash.rule=Host(`{name}`)")]);
    }
    let wrong = ["typo", "enable", "own", "clash1", "clash2"];
    let rejected = eventually("all that is wrong is told", || {
        let rejected = provider(&gateway, "docker")["rejected"].to_string();
        wrong.iter().all(|n| rejected.contains(&format!("container {n} "))).then_some(rejected)
    });
    assert!(rejected.contains("did you mean") || rejected.contains("known here"), "{rejected}");
    assert!(!rejected.contains("container good"), "{rejected}");
    served_by(&gateway, "good.test", "good");
    // Told a few times, however often it comes back.
    for _ in 0..8 {
        engine.docker(&["restart", "-t", "0", "own"]);
    }
    engine.run("last", &[]);
    served_by(&gateway, "last", "last");
    let told = gateway.log().lines().filter(|l| l.contains("netwrok")).count();
    assert!((1..=5).contains(&told), "{}", gateway.log());
}

#[test]
fn an_engine_behind_tls_goes_away_and_comes_back() {
    let Some(engine) = Engine::start() else { return };
    let file = |name: &str| engine.dir.path().join("tls").join(name).display().to_string();
    let start = |flags: &[String]| {
        let setup = Setup::new().flag(format!("--providers.docker.endpoint=tcp://127.0.0.1:{}", engine.port));
        flags.iter().fold(setup, |s, f| s.flag(f))
    };
    let tls = |ca: &str| {
        [("ca", ca), ("cert", "client.pem"), ("key", "client.key")].map(|(o, f)| format!("--providers.docker.tls.{o}={}", file(f)))
    };
    let gateway = start(&tls("ca.pem")).start();
    let stranger = start(&tls("client.pem")).start();
    engine.run("stays", &[]);
    served_by(&gateway, "stays", "stays");
    let status = provider(&gateway, "docker");
    assert!(status["connectedSince"].is_string(), "{status}");
    let error = eventually("it is not trusted", || provider(&stranger, "docker")["lastError"].as_str().map(str::to_owned));
    assert!(error.contains("certificate"), "{error}");

    assert!(engine.script("leave").status.success());
    let status = eventually("its absence is seen", || Some(provider(&gateway, "docker")).filter(|s| s["connectedSince"].is_null()));
    assert!(status["lastError"].is_string() && status["objects"] == 1, "{status}");
    assert_eq!(ask(&gateway, "stays").status, 200, "the last good configuration");
    let again = engine.command("start").env("LIVE", "1").output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    engine.run("new", &[]);
    within(Duration::from_secs(40), "the new one is served", || (ask(&gateway, "new").status == 200).then_some(()));
    assert_eq!(ask(&gateway, "stays").status, 200);
    assert!(provider(&gateway, "docker")["connectedSince"].is_string());
}

/// `watch: false` reads once.
#[test]
fn without_watching_it_is_read_once() {
    let Some(engine) = Engine::start() else { return };
    engine.run("early", &[]);
    let gateway = engine.gateway(&["--providers.docker.watch=false"]);
    served_by(&gateway, "early", "early");
    let watching = engine.gateway(&[]);
    engine.run("late", &[]);
    served_by(&watching, "late", "late");
    assert_eq!(ask(&gateway, "late").status, 404);
}

#[test]
fn endpoints_that_cannot_be_used() {
    for (endpoint, why) in [("unix:///nowhere/docker.sock", "no such socket"), ("tcp://127.0.0.1", "no port"), ("npipe://x", "Windows")] {
        let gateway = Setup::new().flag(format!("--providers.docker.endpoint={endpoint}")).without_waiting().start();
        let error = gateway.wait_log(why, |l| l.contains("\"providerName\":\"docker\"") && l.contains(why));
        assert!(error.contains("ERROR") || error.contains("error"), "{error}");
        gateway.wait_serving();
        assert_eq!(Conn::open(gateway.address("traefik")).get("x", "/ping").status, 200);
    }
}
