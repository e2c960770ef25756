//! examples/docker-compose: the gateway of its file runs natively with the same flags, the rest as it stands there.

use super::{Engine, gone};
use crate::harness::{Gateway, Setup, eventually, root};
use std::process::Command;

const IMAGE: &str = "torana-test/web:latest";

fn served(gateway: &Gateway, host: &str) -> bool {
    gateway.connect().get(host, "/health").status == 200
}

#[test]
fn the_example_with_compose() {
    let Some(engine) = Engine::start() else { return };
    let folder = root().join("examples/docker-compose");
    let file = std::fs::read_to_string(folder.join("compose.yml")).unwrap();
    let flags: Vec<&str> = file.lines().filter_map(|l| l.trim().strip_prefix("- --")).collect();
    assert!(flags.contains(&"providers.docker.endpoint=unix:///var/run/docker.sock"), "{flags:?}");
    let mut setup = Setup::new();
    for flag in flags.iter().filter(|f| !f.contains(".address=")) {
        setup = setup.flag(format!("--{}", flag.replace("unix:///var/run/docker.sock", &engine.endpoint())));
    }
    let gateway = setup.start();

    let compose = |args: &[&str]| {
        let mut c = Command::new("docker");
        c.args(["compose", "-p", "docker-compose"]).args(args).current_dir(&folder);
        let output = c.env("DOCKER_HOST", engine.endpoint()).env("WHOAMI_IMAGE", IMAGE).output().unwrap();
        assert!(output.status.success(), "compose {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    compose(&["up", "-d", "whoami", "internal"]);
    eventually("the service is served", || served(&gateway, "whoami.localhost").then_some(()));
    let answer = gateway.connect().get("whoami.localhost", "/health");
    assert_eq!(answer.header("x-served-by"), Some("torana"));
    assert_eq!(gateway.connect().get("internal-docker-compose", "/health").status, 404);
    let service = "whoami-docker-compose@docker";
    eventually("both of them", || (super::servers(&gateway, service).len() == 2).then_some(()));
    compose(&["up", "-d", "--scale", "whoami=4", "whoami", "internal"]);
    eventually("four", || (super::servers(&gateway, service).len() == 4).then_some(()));

    // As the README says it.
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let line = readme.lines().find_map(|l| l.trim().strip_prefix("docker run ")).unwrap();
    let line = line.replace("traefik/whoami", IMAGE).replace("server.port=80 ", "server.port=8080 ");
    let run = Command::new("sh").arg("-c").arg(format!("docker run {line}")).env("DOCKER_HOST", engine.endpoint()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    eventually("a container started by hand", || served(&gateway, "hand.localhost").then_some(()));
    engine.docker(&["stop", "-t", "0", "hand"]);
    gone(&gateway, "hand.localhost", 404);
    compose(&["down", "-t", "0", "--remove-orphans"].map(|a| a));
    gone(&gateway, "whoami.localhost", 404);
}
