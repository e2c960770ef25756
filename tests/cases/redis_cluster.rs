//! A Redis Cluster of real servers (`tests/services/redis.sh`): what is kept in one, and what refuses to be.

use crate::harness::{Backend, Gateway, Setup, eventually, free_port, root, within};
use std::process::{Command, Output};
use std::time::Duration;

struct Node {
    dir: tempfile::TempDir,
    port: u16,
}

impl Node {
    fn script(&self, verb: &str) -> Output {
        let mut c = Command::new(root().join("tests/services/redis.sh"));
        c.arg(verb).arg(self.dir.path()).env("PORT", self.port.to_string()).env("BUS", free_port().to_string()).output().unwrap()
    }

    #[track_caller]
    fn cli(&self, args: &[&str]) -> String {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn id(&self) -> String {
        self.cli(&["cluster", "myid"])
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.script("stop");
    }
}

/// Nodes that share the keys, and as many replicas of theirs behind them.
struct Cluster(Vec<Node>);

impl Cluster {
    fn start(replicas: usize) -> Option<Cluster> {
        let mut nodes = Vec::new();
        for _ in 0..3 * (1 + replicas) {
            let node = Node { dir: tempfile::tempdir().unwrap(), port: free_port() };
            let output = node.script("start");
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(std::env::var_os("CI").is_none(), "redis.sh: {said}");
                eprintln!("SKIPPED: tests of a Redis Cluster need Redis: {said}");
                return None;
            }
            nodes.push(node);
        }
        let all: Vec<String> = nodes.iter().map(Node::address).collect();
        let mut c = Command::new("redis-cli");
        c.args(["--cluster", "create"]).args(&all).args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"]);
        let output = c.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let cluster = Cluster(nodes);
        within(Duration::from_secs(30), "the cluster is whole", || {
            cluster.0.iter().all(|n| n.cli(&["cluster", "info"]).contains("cluster_state:ok")).then_some(())
        });
        Some(cluster)
    }

    fn endpoints(&self) -> String {
        self.0.iter().map(|n| format!("'{}'", n.address())).collect::<Vec<_>>().join(", ")
    }

    /// Who has the slot as its master.
    fn master_of(&self, slot: &str) -> &Node {
        within(Duration::from_secs(10), "somebody has the slot", || {
            self.0.iter().find(|n| {
                let shards = n.cli(&["cluster", "nodes"]);
                let own = shards.lines().find(|l| l.contains("myself,master")).unwrap_or_default();
                let slot: u32 = slot.parse().unwrap();
                own.split(' ').skip(8).any(|range| {
                    let (from, to) = range.split_once('-').unwrap_or((range, range));
                    from.parse::<u32>().is_ok_and(|f| f <= slot) && to.parse::<u32>().is_ok_and(|t| slot <= t)
                })
            })
        })
    }
}

const KEY: &str = "rate:m@file:127.0.0.1";

fn limited(endpoints: &str, backend: &Backend, burst: u32) -> String {
    format!(
        "http:\n  routers: {{r: {{rule: 'PathPrefix(`/`)', service: s, middlewares: [m]}}}}\n  services: {{s: {{loadBalancer: {{servers: [{{url: '{}'}}]}}}}}}\n  \
         middlewares: {{m: {{rateLimit: {{average: 1, period: 1h, burst: {burst}, redis: {{endpoints: [{endpoints}], dialTimeout: 1s, readTimeout: 1s, writeTimeout: 1s}}}}}}}}",
        backend.url()
    )
}

fn status(gateway: &Gateway) -> u16 {
    gateway.get("/").status
}

#[test]
fn a_bucket_is_found_wherever_its_slot_is() {
    let Some(cluster) = Cluster::start(0) else { return };
    let backend = Backend::named("a");
    let slot = cluster.0[0].cli(&["cluster", "keyslot", KEY]);
    let from = cluster.master_of(&slot);
    let to = cluster.0.iter().find(|n| n.port != from.port).unwrap();
    // Each gateway knows another node, and all of them lead to the one (MOVED).
    let gateways: Vec<Gateway> = cluster.0.iter().map(|n| Gateway::start(&limited(&format!("'{}'", n.address()), &backend, 6))).collect();
    assert_eq!(gateways.iter().map(status).collect::<Vec<_>>(), [200; 3]);
    assert_eq!(from.cli(&["exists", KEY]), "1");

    // The slot moves: what is not there any more is at its new place (ASK), and the bucket goes with it.
    to.cli(&["cluster", "setslot", &slot, "importing", &from.id()]);
    from.cli(&["cluster", "setslot", &slot, "migrating", &to.id()]);
    assert_eq!(status(&gateways[0]), 200, "it is still at the old one");
    from.cli(&["migrate", "127.0.0.1", &to.port.to_string(), KEY, "0", "1000"]);
    assert_eq!(from.cli(&["exists", KEY]), "ASK ".to_owned() + &slot + " " + &to.address());
    assert_eq!(gateways.iter().map(status).collect::<Vec<_>>(), [200, 200, 429], "asked at the new one");
    for node in [to, from] {
        node.cli(&["cluster", "setslot", &slot, "node", &to.id()]);
    }
    assert_eq!(gateways.iter().map(status).collect::<Vec<_>>(), [429; 3]);
    assert_eq!(to.cli(&["exists", KEY]), "1");
    let logs: String = gateways.iter().map(Gateway::log).collect();
    assert!(!logs.contains("MOVED") && !logs.contains("ASK "), "{logs}");
}

#[test]
fn a_replica_takes_over() {
    let Some(cluster) = Cluster::start(1) else { return };
    let backend = Backend::named("a");
    let gateway = Gateway::start(&limited(&cluster.endpoints(), &backend, 3));
    assert_eq!([status(&gateway), status(&gateway)], [200; 2]);
    let slot = cluster.0[0].cli(&["cluster", "keyslot", KEY]);
    let master = cluster.master_of(&slot);
    // What it has said to its replica outlives it.
    assert_eq!(master.cli(&["wait", "1", "5000"]), "1");
    master.script("stop");
    within(Duration::from_secs(60), "another one has the bucket", || matches!(status(&gateway), 200 | 429).then_some(()));
    eventually("and what was taken of it", || (status(&gateway) == 429).then_some(()));
}

#[test]
fn what_needs_all_keys_says_that_a_part_is_not_enough() {
    let Some(cluster) = Cluster::start(0) else { return };
    let gateway = Setup::new().flag(format!("--providers.redis.endpoints={}", cluster.0[0].address())).start();
    let error = eventually("the provider says so", || {
        let all = gateway.admin("/api/providers").json();
        let redis = all.as_array()?.iter().find(|p| p["name"] == "redis")?.clone();
        redis["lastError"].as_str().map(str::to_owned)
    });
    assert!(error.contains("one of 3 that share the keys (Redis Cluster)") && error.contains("sentinel"), "{error}");
    // Two of three have no key of a resolver.
    let refusals = cluster.0.iter().filter(|node| {
        let acme = "--certificatesresolvers.x.acme";
        let gateway = Setup::new()
            .flag(format!("{acme}.cluster.redis.url=redis://{}", node.address()))
            .flag(format!("{acme}.httpchallenge.entrypoint=web"))
            .flag(format!("{acme}.caserver=http://127.0.0.1:1/directory"))
            .flag(format!("{acme}.storage={}", node.dir.path().join("acme.json").display()))
            .start();
        gateway.log().contains("belongs to a Redis Cluster")
    });
    assert!(refusals.count() >= 2);
}
