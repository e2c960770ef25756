//! What a translation goes by.

use torana_config::install::{IngressNginxConfig, InstallConfig, Protocol};
use torana_config::node::Node;

/// The options of the provider, with what follows from others.
#[derive(Clone, Debug)]
pub struct Options {
    pub config: IngressNginxConfig,
    /// Where routers without TLS are.
    pub plain: Vec<String>,
    /// Where routers with TLS are; empty for all default entry points.
    pub tls: Vec<String>,
    /// What is wrong with the options of a middleware `snippet`. The middleware knows the directives, and is
    /// of another crate.
    pub check_snippet: CheckSnippet,
}

/// See [`Options::check_snippet`].
pub type CheckSnippet = fn(&Node) -> Result<(), String>;

impl Options {
    pub fn new(config: IngressNginxConfig, install: &InstallConfig, check_snippet: CheckSnippet) -> Options {
        let plain = match config.http_entry_point.as_str() {
            "" => {
                // That of the gateway itself is no place for routes.
                let own = |name: &str| name == "traefik";
                let all =
                    install.entry_points.iter().filter(|(n, e)| !own(n) && e.http.tls.is_none() && e.address.protocol == Protocol::Tcp);
                all.map(|(name, _)| name.clone()).collect()
            }
            one => vec![one.to_owned()],
        };
        let tls = Some(config.https_entry_point.clone()).filter(|e| !e.is_empty()).into_iter().collect();
        Options { config, plain, tls, check_snippet }
    }

    /// Namespace and name of `namespace/name`, if an object of `from` may refer to it.
    pub(super) fn qualified<'r>(&self, from: &str, reference: &'r str) -> Result<(&'r str, &'r str), String> {
        let parts = reference.split_once('/').filter(|(n, o)| !n.is_empty() && !o.is_empty() && !o.contains('/'));
        let (namespace, name) = parts.ok_or_else(|| format!("`{reference}`: write it as namespace/name"))?;
        self.may_refer(from, namespace).map(|()| (namespace, name))
    }

    pub(super) fn may_refer(&self, from: &str, to: &str) -> Result<(), String> {
        if from == to || self.config.allow_cross_namespace_resources {
            return Ok(());
        }
        Err(format!("namespace `{from}` may not refer to what is in `{to}` (`allowCrossNamespaceResources`)"))
    }
}
