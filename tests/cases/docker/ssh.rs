//! An engine behind SSH: a real server of it (`tests/services/sshd.sh`), and the `ssh` of this machine.

use super::{Engine, ask, provider, served_by};
use crate::harness::{Gateway, Setup, free_port, root, within};
use std::process::Command;
use std::time::Duration;

struct Sshd {
    dir: tempfile::TempDir,
    port: u16,
}

impl Sshd {
    fn start() -> Option<Sshd> {
        let server = Sshd { dir: tempfile::Builder::new().prefix("trn").tempdir().unwrap(), port: free_port() };
        match server.script("start") {
            Ok(()) => Some(server),
            Err(said) => {
                assert!(std::env::var_os("CI").is_none(), "sshd.sh: {said}");
                eprintln!("SKIPPED: tests of ssh:// endpoints need an SSH server: {said}");
                None
            }
        }
    }

    fn script(&self, verb: &str) -> Result<(), String> {
        let mut c = Command::new(root().join("tests/services/sshd.sh"));
        let output = c.arg(verb).arg(self.dir.path()).env("PORT", self.port.to_string()).output().unwrap();
        output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn gateway(&self, socket: &str) -> Gateway {
        let path = format!("{}:{}", self.dir.path().join("bin").display(), std::env::var("PATH").unwrap());
        Setup::new().env("PATH", path).flag(format!("--providers.docker.endpoint=ssh://127.0.0.1:{}{socket}", self.port)).start()
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        _ = self.script("stop");
    }
}

/// What the provider says is wrong, once it says `part`.
fn told(gateway: &Gateway, part: &str) -> String {
    within(Duration::from_secs(60), &format!("`{part}` is told"), || {
        let status = provider(gateway, "docker");
        status["lastError"].as_str().filter(|e| status["connectedSince"].is_null() && e.contains(part)).map(str::to_owned)
    })
}

#[test]
fn an_engine_behind_ssh() {
    let (Some(engine), Some(server)) = (Engine::start(), Sshd::start()) else { return };
    let socket = format!("{}/docker.sock", engine.dir.path().display());
    engine.run("early", &[]);
    let gateway = server.gateway(&socket);
    served_by(&gateway, "early", "early");
    engine.run("late", &[]);
    served_by(&gateway, "late", "late");

    // The connection is cut, and what was known is served on.
    server.script("cut").unwrap();
    let error = told(&gateway, "ssh says:");
    assert!(error.contains("Connection refused") || error.contains("closed"), "{error}");
    assert_eq!(ask(&gateway, "early").status, 200);
    server.script("start").unwrap();
    engine.run("after", &[]);
    within(Duration::from_secs(60), "it is found again", || (ask(&gateway, "after").status == 200).then_some(()));
    assert!(provider(&gateway, "docker")["connectedSince"].is_string());
}

#[test]
fn what_ssh_refuses_is_told_with_what_to_do() {
    let (Some(engine), Some(server)) = (Engine::start(), Sshd::start()) else { return };
    let socket = format!("{}/docker.sock", engine.dir.path().display());
    engine.run("here", &[]);
    let known = std::fs::read_to_string(server.dir.path().join("known_hosts")).unwrap();

    // A host that nobody knows, until somebody does.
    server.file("known_hosts", "");
    let gateway = server.gateway(&socket);
    let error = told(&gateway, "Host key verification failed");
    assert!(error.contains("known_hosts") && error.contains("is it the right machine?"), "{error}");
    server.file("known_hosts", &known);
    within(Duration::from_secs(60), "it is known now", || (ask(&gateway, "here").status == 200).then_some(()));
    drop(gateway);

    // One that is known by another key.
    server.script("cut").unwrap();
    server.script("rekey").unwrap();
    server.script("start").unwrap();
    let error = told(&server.gateway(&socket), "Host key verification failed");
    assert!(error.contains("in the place of an old one"), "{error}");

    // A key that is not taken.
    let public = std::fs::read_to_string(server.dir.path().join("host.pub")).unwrap();
    server.file("known_hosts", &format!("[127.0.0.1]:{} {public}", server.port));
    server.file("authorized_keys", "");
    let error = told(&server.gateway(&socket), "Permission denied");
    assert!(error.contains("needs a key without a passphrase"), "{error}");
}

/// The machine is reached, and there is no engine.
#[test]
fn no_engine_behind_ssh() {
    let Some(server) = Sshd::start() else { return };
    let error = told(&server.gateway("/nowhere/docker.sock"), "ssh says:");
    assert!(error.contains("docker"), "{error}");
}
