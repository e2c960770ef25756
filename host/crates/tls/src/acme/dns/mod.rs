//! DNS-01 (RFC 8555, 8.4): records that prove a name, by built-in providers or plugins.

mod ask;
mod exec;
mod httpreq;
mod plugin;
mod propagation;
mod rfc2136;
mod wire;

use super::AcmeError;
use super::resolver::{AcmeShared, Env};
use ask::Resolvers;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use torana_base::{Diagnostic, Secret, closest};
use torana_config::install::{DnsChallengeConfig, PropagationConfig};
use torana_extend::DnsChallenge;

type Build = fn(&Settings) -> Result<Arc<dyn DnsChallenge>, AcmeError>;

/// The built-in providers, by lego's codes. Another one is a file beside this and a row here.
const PROVIDERS: [(&str, Build); 3] = [("exec", exec::build), ("httpreq", httpreq::build), ("rfc2136", rfc2136::build)];

/// Settings of a provider: of the resolver, else of the environment, by lego's names.
pub(crate) struct Settings {
    config: BTreeMap<String, Secret>,
    env: Env,
}

impl Settings {
    /// The resolver's own, the variable, or the content of the file that `<name>_FILE` names.
    fn value(&self, name: &str) -> Result<Option<String>, AcmeError> {
        if let Some((_, value)) = self.config.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)) {
            return Ok(Some(value.expose().to_owned()));
        }
        if let Some(value) = (self.env)(name).filter(|v| !v.is_empty()) {
            return Ok(Some(value));
        }
        match (self.env)(&format!("{name}_FILE")).filter(|v| !v.is_empty()) {
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text.trim().to_owned())),
                Err(e) => Err(AcmeError::lasting(format!("{name}_FILE: `{path}`: {e}"))),
            },
            None => Ok(None),
        }
    }

    fn required(&self, name: &str) -> Result<String, AcmeError> {
        let hint = || AcmeError::lasting(format!("`{name}` is missing: write it below `dnsChallenge.config`, or into the environment"));
        self.value(name)?.ok_or_else(hint)
    }

    /// Seconds, or a duration such as `2m`.
    fn time(&self, name: &str, default: u64) -> Result<Duration, AcmeError> {
        let Some(text) = self.value(name)? else { return Ok(Duration::from_secs(default)) };
        let time = text.parse::<torana_base::GoDuration>().ok().and_then(torana_base::GoDuration::positive);
        time.ok_or_else(|| AcmeError::lasting(format!("`{name}`: `{text}` is no time; write seconds")))
    }

    /// An option of lego that cannot work here.
    fn refuse(&self, name: &str, why: &str) -> Result<(), AcmeError> {
        match self.value(name)?.filter(|v| !v.is_empty()) {
            Some(_) => Err(AcmeError::lasting(format!("`{name}` {why}"))),
            None => Ok(()),
        }
    }
}

/// What proves names by DNS.
pub(crate) struct DnsSolver {
    provider: Provider,
    checks: PropagationConfig,
    resolvers: Resolvers,
    follow: bool,
}

enum Provider {
    BuiltIn(Arc<dyn DnsChallenge>),
    Plugin(plugin::Plugin),
}

/// A record that was made.
pub(crate) struct Record {
    pub(crate) domain: String,
    /// Behind all aliases, with the dot of the root.
    pub(crate) fqdn: String,
    pub(crate) value: String,
    by: Arc<dyn DnsChallenge>,
}

impl DnsSolver {
    pub(crate) fn new(config: &DnsChallengeConfig, shared: &AcmeShared) -> Result<Self, AcmeError> {
        let code = config.provider.as_str();
        let provider = match code.strip_prefix("plugin:") {
            Some(name) => Provider::Plugin(plugin::Plugin::new(&shared.plugins, name, config.config.node())),
            None => {
                let no_text = |key| AcmeError::lasting(format!("`dnsChallenge.config.{key}` has to be a text"));
                let settings = Settings { config: config.config.texts().map_err(no_text)?, env: Arc::clone(&shared.env) };
                let Some((_, build)) = PROVIDERS.iter().find(|(name, _)| *name == code) else { return Err(unknown(code)) };
                Provider::BuiltIn(build(&settings).map_err(|e| e.during(format_args!("dnsChallenge.provider `{code}`")))?)
            }
        };
        let follow = !(shared.env)("LEGO_DISABLE_CNAME_SUPPORT").is_some_and(|v| v == "true" || v == "1");
        Ok(DnsSolver { provider, checks: config.checks(), resolvers: Resolvers::new(&config.resolvers)?, follow })
    }

    /// Why no record can be made now, as far as that is known without making one.
    pub(crate) async fn ready(&self) -> Result<(), AcmeError> {
        self.challenge().await.map(|_| ())
    }

    /// Of the plugin that makes the records, if one does.
    pub(crate) fn version(&self) -> u64 {
        match &self.provider {
            Provider::BuiltIn(_) => 0,
            Provider::Plugin(p) => p.version(),
        }
    }

    /// The same as [`DnsSolver::ready`] at once, for a look at the configuration; `key` is where `dnsChallenge` stands.
    pub(crate) fn check(&self, key: &str) -> Vec<Diagnostic> {
        match &self.provider {
            Provider::BuiltIn(_) => Vec::new(),
            Provider::Plugin(p) => p.challenge(key).err().unwrap_or_default(),
        }
    }

    async fn challenge(&self) -> Result<Arc<dyn DnsChallenge>, AcmeError> {
        match &self.provider {
            Provider::BuiltIn(p) => Ok(Arc::clone(p)),
            Provider::Plugin(p) => p.loaded_challenge().await.map_err(AcmeError::local),
        }
    }

    /// Makes the record for `domain`, where an alias of its own leads to.
    pub(crate) async fn present(&self, domain: &str, value: &str) -> Result<Record, String> {
        let by = self.challenge().await.map_err(|e| e.message)?;
        let mut fqdn = format!("_acme-challenge.{domain}.");
        if self.follow {
            fqdn = self.resolvers.follow(&fqdn).await;
        }
        by.present(domain, &fqdn, value).await?;
        tracing::debug!(domain, fqdn, "a challenge's record was made");
        Ok(Record { domain: domain.to_owned(), fqdn, value: value.to_owned(), by })
    }

    pub(crate) async fn clean_up(&self, record: &Record) -> Result<(), String> {
        record.by.clean_up(&record.domain, &record.fqdn, &record.value).await
    }

    /// Until all records are seen, as the options want it.
    pub(crate) async fn wait(&self, records: &[&Record]) -> Result<(), AcmeError> {
        if records.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(self.checks.delay_before_checks.as_duration()).await;
        if self.checks.disable_checks {
            return Ok(());
        }
        for record in records {
            let (patience, pause) = record.by.timing();
            propagation::wait(&self.resolvers, &self.checks, &record.fqdn, &record.value, patience, pause).await?;
        }
        Ok(())
    }
}

fn unknown(code: &str) -> AcmeError {
    let names: Vec<&str> = PROVIDERS.iter().map(|(name, _)| *name).collect();
    let known = names.join(", ");
    if code == "manual" {
        return AcmeError::lasting(format!("DNS provider `manual` needs somebody at a terminal; known here: {known}"));
    }
    let near = closest(code, names).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    AcmeError::lasting(format!(
        "unrecognized DNS provider: {code}{near}; known here: {known}; `httpreq` and `exec` reach any other one, and so does a plugin of the kind `dns-challenge` (`provider: plugin:<name>`)"
    ))
}

#[cfg(test)]
pub(crate) fn settings(pairs: &[(&str, &str)]) -> Settings {
    let config = pairs.iter().map(|(k, v)| ((*k).to_owned(), Secret::new(*v))).collect();
    Settings { config, env: Arc::new(|_| None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_providers_are_told() {
        let said = unknown("rfc2163").to_string();
        assert!(
            said.starts_with("unrecognized DNS provider: rfc2163; did you mean `rfc2136`?; known here: exec, httpreq, rfc2136;"),
            "{said}"
        );
        assert!(said.contains("plugin:<name>"));
        assert!(unknown("manual").to_string().contains("terminal"));
        let mut sorted = PROVIDERS.map(|(n, _)| n);
        sorted.sort_unstable();
        assert_eq!(sorted, PROVIDERS.map(|(n, _)| n));
    }

    #[test]
    fn settings_come_from_the_resolver_then_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "from file\n").unwrap();
        let path = file.display().to_string();
        let env: Env = Arc::new(move |name| match name {
            "A" | "B" => Some("env".to_owned()),
            "C_FILE" => Some(path.clone()),
            "D_FILE" => Some("/no/such".to_owned()),
            _ => None,
        });
        let s = Settings { config: [("a".to_owned(), Secret::new("own")), ("T".to_owned(), Secret::new("2m"))].into(), env };
        assert_eq!(s.required("A").unwrap(), "own");
        assert_eq!(s.required("B").unwrap(), "env");
        assert_eq!(s.required("C").unwrap(), "from file");
        assert!(s.value("D").unwrap_err().to_string().starts_with("D_FILE: `/no/such`"));
        assert!(s.required("E").unwrap_err().to_string().contains("`E` is missing"));
        assert_eq!((s.time("T", 1).unwrap(), s.time("X", 1).unwrap()), (Duration::from_secs(120), Duration::from_secs(1)));
        assert!(s.time("A", 1).is_err());
    }
}
