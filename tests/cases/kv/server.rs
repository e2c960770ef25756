//! The servers (`tests/services/<name>.sh`), loudly missing at home, an error where `CI` is set.

use crate::harness::{Conn, Gateway, Response, Setup, eventually, free_port, root};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Consul,
    Etcd,
    Redis,
    ZooKeeper,
}

impl Kind {
    /// Behind `@`, and of its script.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Consul => "consul",
            Kind::Etcd => "etcd",
            Kind::Redis => "redis",
            Kind::ZooKeeper => "zookeeper",
        }
    }
}

pub(super) struct Server {
    pub(super) kind: Kind,
    dir: tempfile::TempDir,
    ports: Vec<(&'static str, u16)>,
    env: Vec<(String, String)>,
}

impl Server {
    pub(super) fn start(kind: Kind) -> Option<Server> {
        Server::with(kind, &[])
    }

    pub(super) fn with(kind: Kind, env: &[(&str, &str)]) -> Option<Server> {
        let names: &[&'static str] = match kind {
            Kind::Etcd => &["PORT", "PORT_PEER"],
            Kind::Consul => &["PORT", "PORT_SERVER"],
            Kind::Redis | Kind::ZooKeeper => &["PORT"],
        };
        let mut said = String::new();
        // Somebody may have taken one of the ports meanwhile.
        for _ in 0..3 {
            let server = Server {
                kind,
                dir: tempfile::tempdir().unwrap(),
                ports: names.iter().map(|n| (*n, free_port())).collect(),
                env: env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            };
            let output = server.script("start").output().unwrap();
            if output.status.success() {
                if kind == Kind::Redis {
                    server.redis("config set notify-keyspace-events KEA\n");
                }
                return Some(server);
            }
            said = String::from_utf8_lossy(&output.stderr).into_owned();
        }
        assert!(std::env::var_os("CI").is_none(), "{}.sh: {said}", kind.name());
        eprintln!("SKIPPED: tests of providers need {}: {said}", kind.name());
        None
    }

    fn script(&self, verb: &str) -> Command {
        let mut c = Command::new(root().join(format!("tests/services/{}.sh", self.kind.name())));
        c.arg(verb).arg(self.dir.path()).envs(self.ports.iter().map(|(n, p)| (n, p.to_string()))).envs(self.env.clone());
        c
    }

    pub(super) fn stop(&self) {
        assert!(self.script("stop").status().unwrap().success());
    }

    /// With what it held before.
    pub(super) fn start_again(&self) {
        assert!(self.script("start").output().unwrap().status.success());
        if self.kind == Kind::Redis {
            self.redis("config set notify-keyspace-events KEA\n");
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.ports[0].1
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port()).into()
    }

    /// Of the gateway, to find it.
    pub(super) fn flag(&self) -> String {
        format!("--providers.{}.endpoints=127.0.0.1:{}", self.kind.name(), self.port())
    }

    pub(super) fn gateway(&self) -> Gateway {
        Setup::new().flag(self.flag()).start()
    }

    /// Keys below the root, in this order.
    pub(super) fn put(&self, pairs: &[(&str, &str)]) {
        let pairs: Vec<(&str, &[u8])> = pairs.iter().map(|(k, v)| (*k, v.as_bytes())).collect();
        self.put_bytes(&pairs);
    }

    pub(super) fn put_bytes(&self, pairs: &[(&str, &[u8])]) {
        match self.kind {
            Kind::Etcd => {
                self.etcd("put", pairs.iter().map(|(k, v)| format!("\"key\": \"{}\", \"value\": \"{}\"", base64(&full(k)), base64(v))))
            }
            Kind::Consul => self.consul(pairs.iter().map(|(k, v)| ("PUT", (*k).to_owned(), v.to_vec()))),
            Kind::Redis => {
                let line = |(k, v): &(&str, &[u8])| {
                    format!("set \"traefik/{k}\" \"{}\"\n", v.iter().map(|b| format!("\\x{b:02x}")).collect::<String>())
                };
                self.redis(&pairs.iter().map(line).collect::<String>());
            }
            Kind::ZooKeeper => {
                let mut lines = String::new();
                for (key, value) in pairs {
                    let full = format!("/traefik/{key}");
                    for (i, _) in full.match_indices('/').skip(1) {
                        lines += &format!("create {} \"\"\n", &full[..i]);
                    }
                    let value = String::from_utf8_lossy(value);
                    lines += &format!("create {full} \"\"\nset {full} \"{value}\"\n");
                }
                self.zookeeper(&lines);
            }
        }
    }

    /// Keys below the root.
    pub(super) fn delete(&self, keys: &[&str]) {
        match self.kind {
            Kind::Etcd => self.etcd("deleterange", keys.iter().map(|k| format!("\"key\": \"{}\"", base64(&full(k))))),
            Kind::Consul => self.consul(keys.iter().map(|k| ("DELETE", (*k).to_owned(), Vec::new()))),
            Kind::Redis => drop(self.redis(&keys.iter().map(|k| format!("del traefik/{k}\n")).collect::<String>())),
            Kind::ZooKeeper => self.zookeeper(&keys.iter().map(|k| format!("deleteall /traefik/{k}\n")).collect::<String>()),
        }
    }

    /// All keys below the root.
    pub(super) fn clear(&self) {
        match self.kind {
            Kind::Etcd => {
                self.etcd("deleterange", [format!("\"key\": \"{}\", \"range_end\": \"{}\"", base64(b"traefik/"), base64(b"traefik0"))])
            }
            Kind::Consul => self.consul([("DELETE", "?recurse".to_owned(), Vec::new())]),
            Kind::Redis => drop(self.redis("flushall\n")),
            Kind::ZooKeeper => self.zookeeper("deleteall /traefik\n"),
        }
    }

    fn etcd(&self, call: &str, bodies: impl IntoIterator<Item = String>) {
        let mut conn = Conn::open(self.address());
        for body in bodies {
            let body = format!("{{{body}}}");
            let answer = ask(&mut conn, "POST", &format!("/v3/kv/{call}"), body.as_bytes());
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }

    fn consul(&self, requests: impl IntoIterator<Item = (&'static str, String, Vec<u8>)>) {
        let mut conn = Conn::open(self.address());
        for (method, key, body) in requests {
            let answer = ask(&mut conn, method, &format!("/v1/kv/traefik/{key}"), &body);
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }

    /// Commands of its client, one a line; what it said.
    pub(super) fn redis(&self, lines: &str) -> String {
        let password = self.env.iter().find(|(n, _)| n == "PASSWORD").map_or("", |(_, v)| v);
        let mut c = Command::new("redis-cli");
        if let Some((_, ca)) = self.env.iter().find(|(n, _)| n == "CA") {
            c.args(["--tls", "--cacert", ca]);
        }
        for (name, option) in [("CLIENT", "--cert"), ("CLIENT_KEY", "--key")] {
            if let Some((_, file)) = self.env.iter().find(|(n, _)| n == name) {
                c.args([option, file]);
            }
        }
        piped(c.args(["-p", &self.port().to_string()]).env("REDISCLI_AUTH", password), lines)
    }

    fn zookeeper(&self, lines: &str) {
        let mut c = Command::new(root().join("tests/services/zookeeper.sh"));
        piped(c.arg("cli").env("PORT", self.port().to_string()), lines);
    }

    /// With the client that comes with it.
    pub(super) fn etcdctl(&self, args: &[&str]) {
        let mut c = Command::new("etcdctl");
        let of = |name: &str| self.env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let scheme = if of("CA").is_some() { "https" } else { "http" };
        c.env("ETCDCTL_API", "3").arg(format!("--endpoints={scheme}://127.0.0.1:{}", self.port()));
        c.args(of("CA").map(|ca| format!("--cacert={ca}"))).args(of("PASSWORD").map(|p| format!("--user=root:{p}"))).args(args);
        let output = c.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.script("stop").output();
    }
}

fn piped(c: &mut Command, lines: &str) -> String {
    let mut child = c.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    drop(stdin);
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}

fn full(key: &str) -> Vec<u8> {
    format!("traefik/{key}").into_bytes()
}

pub(super) fn ask(conn: &mut Conn, method: &str, target: &str, body: &[u8]) -> Response {
    conn.send(
        [format!("{method} {target} HTTP/1.1\r\nHost: test.local\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat(),
    );
    conn.response()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let n = three.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for i in 0..4 {
            text.push(if i <= three.len() { DIGITS[(n >> (18 - 6 * i)) as usize & 63] as char } else { '=' });
        }
    }
    text
}

/// What the API says of a provider.
pub(super) fn status(gateway: &Gateway, provider: &str) -> serde_json::Value {
    let all = gateway.admin("/api/providers").json();
    let all = all.as_array().unwrap_or_else(|| panic!("{all}"));
    all.iter().find(|p| p["name"] == provider).unwrap_or_else(|| panic!("no {provider} in {all:?}")).clone()
}

/// All that the API says is wrong.
pub(super) fn told(gateway: &Gateway) -> String {
    gateway.admin("/api/diagnostics").text().to_owned()
}

/// Waits for an answer.
#[track_caller]
pub(super) fn answers(gateway: &Gateway, target: &str, body: &str) {
    let mut last = None;
    eventually(&format!("{target} answers {body}"), || {
        let answer = gateway.get(target);
        let right = answer.status == 200 && answer.body == body.as_bytes();
        last = Some(answer.status);
        right.then_some(())
    });
}

#[track_caller]
pub(super) fn gone(gateway: &Gateway, target: &str) {
    eventually(&format!("{target} is gone"), || (gateway.get(target).status == 404).then_some(()));
}
