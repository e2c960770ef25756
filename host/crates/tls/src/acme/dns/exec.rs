//! `exec`: a program of one's own, called as lego calls it: `program present|cleanup <fqdn> <value>`.

use super::super::AcmeError;
use super::Settings;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use torana_base::Secret;
use torana_extend::{DnsChallenge, SendFuture};

/// For one run of the program.
const PATIENCE: Duration = Duration::from_secs(300);

struct Exec {
    path: String,
    /// Settings of the resolver, into the program's environment.
    env: Vec<(String, Secret)>,
    timing: (Duration, Duration),
}

pub(super) fn build(s: &Settings) -> Result<Arc<dyn DnsChallenge>, AcmeError> {
    let path = s.required("EXEC_PATH")?;
    s.refuse("EXEC_MODE", "is not built (RAW): the program gets the record's name and value")?;
    Ok(Arc::new(Exec {
        path,
        env: s.config.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        timing: (s.time("EXEC_PROPAGATION_TIMEOUT", 60)?, s.time("EXEC_POLLING_INTERVAL", 2)?),
    }))
}

impl Exec {
    async fn call(&self, what: &'static str, fqdn: &str, value: &str) -> Result<(), String> {
        let mut command = Command::new(&self.path);
        command.args([what, fqdn, value]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.envs(self.env.iter().map(|(k, v)| (k, v.expose())));
        let run = tokio::task::spawn_blocking(move || command.output());
        let output = match timeout(PATIENCE, run).await {
            Ok(Ok(output)) => output.map_err(|e| format!("`{}`: {e}", self.path))?,
            Ok(Err(e)) => return Err(e.to_string()),
            Err(_) => return Err(format!("`{} {what}` did not end within {PATIENCE:?}", self.path)),
        };
        if output.status.success() {
            return Ok(());
        }
        let words: String = String::from_utf8_lossy(&output.stderr).chars().filter(|c| !c.is_control()).take(300).collect();
        Err(format!("`{} {what}` ended with {}: {words}", self.path, output.status))
    }
}

impl DnsChallenge for Exec {
    fn timing(&self) -> (Duration, Duration) {
        self.timing
    }

    fn present<'a>(&'a self, _: &'a str, fqdn: &'a str, value: &'a str) -> SendFuture<'a, Result<(), String>> {
        Box::pin(self.call("present", fqdn, value))
    }

    fn clean_up<'a>(&'a self, _: &'a str, fqdn: &'a str, value: &'a str) -> SendFuture<'a, Result<(), String>> {
        Box::pin(self.call("cleanup", fqdn, value))
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn a_program_is_called_as_lego_does() {
        let dir = tempfile::tempdir().unwrap();
        let (path, log) = (dir.path().join("dns.sh"), dir.path().join("log"));
        std::fs::write(&path, "#!/bin/sh\necho \"$*\" >> \"$EXEC_LOG\"\n[ \"$3\" != bad ] || { echo nothing doing >&2; exit 3; }\n")
            .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (path, shown) = (path.display().to_string(), log.display().to_string());
        let exec = build(&settings(&[("EXEC_PATH", &path), ("EXEC_LOG", &shown)])).unwrap();
        exec.present("a.test", "_acme-challenge.a.test.", "v").await.unwrap();
        exec.clean_up("a.test", "_acme-challenge.a.test.", "v").await.unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "present _acme-challenge.a.test. v\ncleanup _acme-challenge.a.test. v\n");
        let said = exec.present("a.test", "f.", "bad").await.unwrap_err();
        assert!(said.contains("exit status: 3: nothing doing"), "{said}");
        assert!(build(&settings(&[("EXEC_PATH", "x"), ("EXEC_MODE", "RAW")])).is_err());
        let gone = build(&settings(&[("EXEC_PATH", "/no/such")])).unwrap();
        assert!(gone.present("a", "b.", "c").await.is_err());
    }
}
