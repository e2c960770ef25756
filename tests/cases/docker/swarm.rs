//! Services of a swarm of one node. The machine does not reach the overlay network's addresses: the gateway runs inside it,
//! and is asked over the bridge that every container of the swarm has too.

use super::rolling::under_load;
use super::{Engine, provider};
use crate::harness::{Conn, Gateway, Response, binary, eventually, within};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

const IMAGE: &str = "torana-test/web:latest";
const WEB: u16 = 18080;
const ADMIN: u16 = 18081;

struct Swarm {
    engine: Engine,
    gateway: Gateway,
    /// The gateway's own on the bridge.
    ip: String,
}

impl Swarm {
    /// A gateway on the network `mesh`.
    fn start(flags: &[&str]) -> Option<Swarm> {
        let engine = Engine::start_with(&[("LIVE", "")])?;
        let made = engine.script("swarm");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let networks = "{{range .Containers}}{{.Name}} {{.IPv4Address}}\n{{end}}";
        let all = engine.docker(&["network", "inspect", "docker_gwbridge", "-f", networks]);
        let sandbox = engine.docker(&["inspect", "-f", "{{.NetworkSettings.SandboxID}}", "inside"]);
        let line = all.lines().find(|l| l.starts_with(&format!("gateway_{}", &sandbox[..12]))).unwrap_or_else(|| panic!("{all}"));
        let ip = line.split([' ', '/']).nth(1).unwrap().to_owned();
        let mut c: Command = engine.command("enter");
        c.arg(binary()).args([
            &format!("--entrypoints.web.address=:{WEB}"),
            &format!("--entrypoints.traefik.address=:{ADMIN}"),
            "--ping",
            "--api.insecure",
            "--api.dashboard=false",
            "--providers.providersthrottleduration=0s",
            "--log.level=info",
            "--log.format=json",
            &format!("--providers.swarm.endpoint={}", engine.endpoint()),
        ]);
        c.args(flags);
        let gateway = Gateway::spawn(c, tempfile::tempdir().unwrap());
        gateway.wait_serving();
        gateway.listens("web", format!("{ip}:{WEB}").parse().unwrap());
        gateway.listens("traefik", format!("{ip}:{ADMIN}").parse().unwrap());
        Some(Swarm { engine, gateway, ip })
    }

    fn at(&self) -> SocketAddr {
        format!("{}:{WEB}", self.ip).parse().unwrap()
    }

    fn ask(&self, host: &str) -> Response {
        Conn::open(self.at()).get(host, "/cgi-bin/whoami")
    }

    #[track_caller]
    fn create(&self, name: &str, options: &[&str], labels: &[&str]) {
        let port = format!("traefik.http.services.{name}.loadbalancer.server.port=8080");
        let mut args =
            vec!["service", "create", "-d", "--no-resolve-image", "--name", name, "--label", &port, "--env", "SERVER_ID={{.Task.Name}}"];
        labels.iter().for_each(|l| args.extend(["--label", l]));
        args.extend(options);
        args.push(IMAGE);
        self.engine.docker(&args);
    }

    /// The tasks that answer, as many as are expected.
    #[track_caller]
    fn tasks(&self, host: &str, count: usize) -> BTreeSet<String> {
        within(Duration::from_secs(60), &format!("{host} is served by {count} tasks"), || {
            let seen: BTreeSet<String> =
                (0..12).map(|_| self.ask(host)).map(|r| format!("{} {}", r.status, r.text().lines().next().unwrap_or_default())).collect();
            (seen.len() == count && seen.iter().all(|s| s.starts_with("200 Name"))).then_some(seen)
        })
    }
}

#[test]
fn services_of_a_swarm() {
    // What is polled is not why it is quick.
    let Some(swarm) = Swarm::start(&["--providers.swarm.refreshseconds=1h"]) else { return };
    swarm.create("web", &["--network", "mesh", "--replicas", "2"], &["traefik.http.routers.web.rule=Host(`web.test`)"]);
    let two = swarm.tasks("web.test", 2);
    swarm.engine.docker(&["service", "scale", "-d", "web=3"]);
    let three = swarm.tasks("web.test", 3);
    assert!(two.is_subset(&three));
    swarm.engine.docker(&["service", "scale", "-d", "web=1"]);
    swarm.tasks("web.test", 1);

    // One after the other is replaced, a new one first, each when it is healthy.
    swarm.engine.docker(&["service", "scale", "-d", "web=2"]);
    let before = swarm.tasks("web.test", 2);
    let (sent, lost) = under_load(swarm.at(), "web.test", || {
        let health = ["--health-cmd", "wget -q -O /dev/null http://127.0.0.1:8080/health", "--health-interval", "0.5s"];
        let order = ["--update-order", "start-first", "--update-delay", "1s", "--stop-grace-period", "1s"];
        swarm
            .engine
            .docker(&[&["service", "update", "-q", "--detach=false", "--no-resolve-image"], &order[..], &health, &["web"]].concat());
    });
    assert!(lost.is_empty(), "{} of {sent}: {:?}", lost.len(), &lost[..lost.len().min(3)]);
    let after = swarm.tasks("web.test", 2);
    assert!(after.is_disjoint(&before), "{before:?} {after:?}");

    // By the names of the tasks, without a virtual address; and on the node itself.
    swarm.create("plain", &["--network", "mesh", "--endpoint-mode", "dnsrr"], &["traefik.swarm.lbswarm=true"]);
    swarm.tasks("plain", 1);
    let warned = swarm.gateway.wait_log("dnsrr", |l| l.contains("dnsrr") && l.contains("service plain"));
    assert!(warned.contains("warn"), "{warned}");
    swarm.create("virtual", &["--network", "mesh"], &["traefik.docker.lbswarm=true"]);
    swarm.gateway.wait_log("an old name", |l| l.contains("service virtual") && l.contains("traefik.swarm"));
    let address = swarm.engine.docker(&["service", "inspect", "virtual", "-f", "{{(index .Endpoint.VirtualIPs 0).Addr}}"]);
    let expected = format!("http://{}:8080", address.split('/').next().unwrap());
    eventually("its virtual address", || (super::servers(&swarm.gateway, "virtual@swarm") == [expected.as_str()]).then_some(()));

    // Mistakes stay with their service.
    swarm.create("wrong", &["--network", "mesh"], &["traefik.docker.network=mesh", "traefik.swarm.network=mesh"]);
    swarm.create("nowhere", &[], &[]);
    eventually("both are named", || {
        let rejected = provider(&swarm.gateway, "swarm")["rejected"].to_string();
        (rejected.contains("service wrong") && rejected.contains("service nowhere") && rejected.contains("no overlay network"))
            .then_some(())
    });
    assert_eq!(swarm.ask("web.test").status, 200);
    swarm.engine.docker(&["service", "rm", "web"]);
    eventually("it is gone", || (swarm.ask("web.test").status == 404).then_some(()));
}
