//! The real Traefik, to compare with and to measure beside (`tests/services/traefik.sh`).

use super::{Conn, Gateway, command, free_port, root, within};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Its program: what PyPI brings. Loudly missing at home, an error where `CI` is set.
pub(crate) fn traefik() -> Option<PathBuf> {
    let output = Command::new(root().join("tests/services/traefik.sh")).arg("install").output().unwrap();
    if output.status.success() {
        return Some(String::from_utf8(output.stdout).unwrap().trim().into());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(std::env::var_os("CI").is_none(), "traefik.sh: {said}");
    eprintln!("SKIPPED: comparing needs Traefik: {said}");
    None
}

/// A gateway of either kind with nothing but flags, once it listens. Without `program`, ours.
pub(crate) struct Peer {
    pub(crate) gateway: Gateway,
    /// Of the entry point `web`.
    pub(crate) web: SocketAddr,
    pub(crate) api: SocketAddr,
}

impl Peer {
    #[track_caller]
    pub(crate) fn start(program: Option<&Path>, flags: &[String], env: &[(&str, &str)]) -> Peer {
        let folder = tempfile::tempdir().unwrap();
        let mut c = match program {
            Some(program) => {
                let mut c = Command::new(program);
                c.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder.path()).current_dir(folder.path());
                c.args(["--global.checknewversion=false", "--global.sendanonymoususage=false"]);
                c
            }
            None => command(folder.path()),
        };
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (web, api) = (address(free_port()), address(free_port()));
        c.args([format!("--entrypoints.web.address={web}"), format!("--entrypoints.traefik.address={api}")]);
        c.args(["--api.insecure=true", "--api.dashboard=false", "--log.level=error"]).args(flags).envs(env.iter().copied());
        let gateway = Gateway::spawn(c, folder);
        for at in [web, api] {
            within(Duration::from_secs(120), "it listens", || Conn::try_open(at).ok().map(drop));
        }
        Peer { gateway, web, api }
    }

    /// What stands in `/api/rawdata`, if it answers already.
    pub(crate) fn rawdata(&self) -> Option<serde_json::Value> {
        let answer = Conn::try_open(self.api).ok()?.get("127.0.0.1", "/api/rawdata");
        (answer.status == 200).then(|| answer.json())
    }

    /// The status of a request to `web`; 0 where there is no answer.
    pub(crate) fn status(&self, host: &str, target: &str) -> u16 {
        let answer = Conn::try_open(self.web).and_then(|mut c| {
            c.try_send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
            c.try_response(false)
        });
        answer.ok().flatten().map_or(0, |r| r.status)
    }
}

/// Milliseconds that the part `q` of `times` does not exceed.
pub(crate) fn quantile(times: &mut [Duration], q: f64) -> f64 {
    times.sort();
    times[((times.len() - 1) as f64 * q).round() as usize].as_secs_f64() * 1000.0
}
