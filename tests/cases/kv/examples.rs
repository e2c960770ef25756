//! `examples/kv-…`: as they stand, with their own servers and ports.

use super::server::{Kind, Server};
use crate::cases::examples::{Ports, ask};
use crate::harness::{Backend, Gateway, Reply, command, eventually, root, run};
use std::fs;

fn example(kind: Kind) {
    let Some(server) = Server::start(kind) else { return };
    let name = format!("kv-{}", kind.name());
    let read = |file: &str| fs::read_to_string(root().join("examples").join(&name).join(file)).unwrap();
    let (keys, install, requests) = (read("keys.txt"), read("torana.yml"), read("requests.txt"));
    assert!(read("README.md").contains("keys.txt"));
    let backends = [(); 2].map(|()| Backend::http(|r| Reply::ok(format!("{} {}", r.method, r.target))));
    let mut free = backends.iter();
    // Servers first: their lines begin as in a file.
    let servers = keys.lines().filter_map(|l| Some(format!("url: {}", l.split_once("/url ")?.1))).collect::<Vec<_>>().join("\n");
    let ports = Ports::moved([servers.as_str(), &install].into_iter(), || free.next().unwrap().address.port());
    let keys = ports.rewrite(&keys);
    let pairs: Vec<(&str, &str)> =
        keys.lines().map(|l| l.split_once(' ').unwrap()).map(|(k, v)| (k.strip_prefix("traefik/").unwrap(), v)).collect();
    server.put(&pairs);

    let folder = tempfile::tempdir().unwrap();
    let default = if kind == Kind::Etcd { 2379 } else { 6379 };
    let install = ports.rewrite(&install.replace(&default.to_string(), &server.port().to_string()));
    // The store's own address was moved as if it were an entry point.
    let moved = ports.rewrite(&format!("127.0.0.1:{default}"));
    let install = install.replace(&moved, &format!("127.0.0.1:{}", server.port()));
    fs::write(folder.path().join("torana.yml"), install).unwrap();
    let out = run(folder.path(), &["check", "--configfile=torana.yml"], &[]);
    assert_eq!(String::from_utf8_lossy(&out.stdout), "the configuration is good\n", "{out:?}");
    let mut c = command(folder.path());
    c.args(["--configfile=torana.yml", "--log.level=info", "--log.format=json"]);
    let gateway = Gateway::spawn(c, folder);
    gateway.wait_serving();
    for line in ports.rewrite(&requests).lines().filter(|l| !l.starts_with('#')) {
        let (request, status) = line.split_once(" -> ").unwrap();
        let (method, url) = request.split_once(' ').unwrap();
        assert_eq!(ask(method, url, "").status.to_string(), status, "{line}");
    }
    // what the README goes on with
    let url = ports.rewrite("http://127.0.0.1:8000/nothing");
    server.put(&[("http/routers/shop/rule", "PathPrefix(`/`)")]);
    eventually("the changed rule is live", || (ask("GET", &url, "").status == 200).then_some(()));
}

#[test]
fn routes_in_etcd() {
    example(Kind::Etcd);
}

#[test]
fn routes_in_redis() {
    example(Kind::Redis);
}
