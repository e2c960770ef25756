//! Services in catalogues: Consul's, Nomad's and Amazon's (PRV-09, PRV-10, PRV-11; LBL-08, LBL-09).

mod consul;
mod differential;
mod ecs;
mod nomad;

use crate::harness::{Conn, Gateway, Response, eventually, free_port, root};
use std::net::SocketAddr;
use std::process::Command;

/// A server of `tests/services`, loudly missing at home, an error where `CI` is set.
struct Server {
    script: &'static str,
    dir: tempfile::TempDir,
    ports: Vec<(&'static str, u16)>,
    env: Vec<(String, String)>,
}

impl Server {
    fn start(script: &'static str, ports: &[&'static str], env: &[(&str, &str)]) -> Option<Server> {
        let mut said = String::new();
        // Somebody may have taken one of the ports meanwhile.
        for _ in 0..3 {
            let server = Server {
                script,
                dir: tempfile::tempdir().unwrap(),
                ports: ports.iter().map(|n| (*n, free_port())).collect(),
                env: env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            };
            let output = server.script("start").output().unwrap();
            if output.status.success() {
                return Some(server);
            }
            said = String::from_utf8_lossy(&output.stderr).into_owned();
        }
        assert!(std::env::var_os("CI").is_none(), "{script}: {said}");
        eprintln!("SKIPPED: tests of catalogues need {script}: {said}");
        None
    }

    fn script(&self, verb: &str) -> Command {
        let mut c = Command::new(root().join("tests/services").join(self.script));
        c.arg(verb).arg(self.dir.path()).envs(self.ports.iter().map(|(n, p)| (n, p.to_string()))).envs(self.env.clone());
        c
    }

    fn stop(&self) {
        assert!(self.script("stop").status().unwrap().success());
    }

    fn start_again(&self) {
        assert!(self.script("start").output().unwrap().status.success());
    }

    fn port(&self) -> u16 {
        self.ports[0].1
    }

    /// A request with JSON, or none.
    #[track_caller]
    fn ask(&self, method: &str, target: &str, headers: &str, body: &str) -> Response {
        let address: SocketAddr = ([127, 0, 0, 1], self.port()).into();
        let mut conn = Conn::open(address);
        conn.send(format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()));
        conn.response()
    }

    /// Which is to be taken.
    #[track_caller]
    fn put(&self, target: &str, body: &serde_json::Value) {
        let answer = self.ask("PUT", target, "", &body.to_string());
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.script("stop").output();
    }
}

/// What the API says of a provider.
fn status(gateway: &Gateway, provider: &str) -> serde_json::Value {
    let all = gateway.admin("/api/providers").json();
    let all = all.as_array().unwrap_or_else(|| panic!("{all}"));
    all.iter().find(|p| p["name"] == provider).unwrap_or_else(|| panic!("no {provider} in {all:?}")).clone()
}

/// Waits until the status of a provider names an object and a part of the reason.
#[track_caller]
fn rejects(gateway: &Gateway, provider: &str, name: &str, reason: &str) {
    let mut last = serde_json::Value::Null;
    eventually(&format!("{name} is rejected: {reason}"), || {
        last = status(gateway, provider)["rejected"].take();
        let right =
            |o: &serde_json::Value| o["name"].as_str().is_some_and(|n| n.contains(name)) && o["reasons"].to_string().contains(reason);
        let found = last.as_array().is_some_and(|all| all.iter().any(right));
        found.then_some(())
    });
}

/// Waits for an answer.
#[track_caller]
fn answers(gateway: &Gateway, target: &str, body: &str) {
    eventually(&format!("{target} answers {body}"), || {
        let answer = gateway.get(target);
        (answer.status == 200 && answer.body == body.as_bytes()).then_some(())
    });
}

#[track_caller]
fn gone(gateway: &Gateway, target: &str) {
    eventually(&format!("{target} is gone"), || (gateway.get(target).status == 404).then_some(()));
}
