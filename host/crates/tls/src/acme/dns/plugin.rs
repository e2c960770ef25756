//! `plugin:<name>`: a plugin of the kind `dns-challenge`.

use std::sync::Arc;
use std::time::Duration;
use torana_base::Diagnostic;
use torana_config::node::Node;
use torana_extend::{DnsChallenge, PluginHost};

/// Where it stands, below the resolver.
const KEY: &str = "dnsChallenge";
/// Patience with plugins that are being compiled.
const LOADING: Duration = Duration::from_secs(60);

/// Asked for at each order: the plugin may be loaded later, or replaced. What is under way ends with the version that it
/// began with.
#[derive(Clone)]
pub(super) struct Plugin {
    host: Arc<dyn PluginHost>,
    name: String,
    config: Node,
}

impl Plugin {
    pub(super) fn new(host: &Arc<dyn PluginHost>, name: &str, config: &Node) -> Plugin {
        Plugin { host: Arc::clone(host), name: name.to_owned(), config: config.clone() }
    }

    /// The plugin as it is now; `key` is where `dnsChallenge` stands. The error is why it cannot be used.
    pub(super) fn challenge(&self, key: &str) -> Result<Arc<dyn DnsChallenge>, Vec<Diagnostic>> {
        let Some(plugin) = self.host.find(&self.name, "internal") else {
            let hint = format!("write `plugins: {{{}: {{path: FILE.wasm}}}}`", self.name);
            return Err(vec![Diagnostic::error(format!("{key}.provider"), format!("there is no plugin `{}`", self.name)).hint(hint)]);
        };
        self.host.dns_challenge(&plugin, &self.config, &format!("{key}.config"))
    }

    /// The same, when the plugins that are being loaded have been.
    pub(super) async fn loaded_challenge(&self) -> Result<Arc<dyn DnsChallenge>, String> {
        let result = match self.opened().await {
            Err(_) if !self.host.settled(Duration::ZERO).await && self.host.settled(LOADING).await => self.opened().await,
            other => other,
        };
        result.map_err(|all| told(&all))
    }

    /// A first instance is made and configured, which takes its time and needs a thread outside of the runtime.
    async fn opened(&self) -> Result<Arc<dyn DnsChallenge>, Vec<Diagnostic>> {
        let me = self.clone();
        let opened = tokio::task::spawn_blocking(move || me.challenge(KEY)).await;
        opened.unwrap_or_else(|e| Err(vec![Diagnostic::error(KEY, format!("the plugin could not be asked: {e}"))]))
    }
}

/// All that is wrong, on one line.
fn told(all: &[Diagnostic]) -> String {
    let one = |d: &Diagnostic| {
        let hint = d.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}: {}{hint}", d.key, d.message)
    };
    all.iter().map(one).collect::<Vec<_>>().join("; ")
}
