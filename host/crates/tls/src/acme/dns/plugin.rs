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

    /// Changes with its file; 0 while there is none.
    pub(super) fn version(&self) -> u64 {
        self.host.find(&self.name, "internal").map_or(0, |plugin| self.host.version(&plugin))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use tokio::sync::watch;
    use torana_base::Place;
    use torana_config::routing::{Item, PluginConfig};
    use torana_extend::{Built, PluginStatus, RequestTest, SendFuture, ServerChoice};
    use torana_http::Endpoint;

    type Result<T> = std::result::Result<T, Vec<Diagnostic>>;

    /// One plugin, `slow@internal`, which is loaded once somebody has waited for it.
    #[derive(Default)]
    struct Slow(AtomicBool);

    impl PluginHost for Slow {
        fn declare(&self, _: BTreeMap<Arc<str>, Arc<Item<PluginConfig>>>) {}

        fn settled(&self, patience: Duration) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
            if !patience.is_zero() {
                self.0.store(true, Relaxed);
            }
            Box::pin(std::future::ready(self.0.load(Relaxed)))
        }

        fn changed(&self) -> watch::Receiver<u64> {
            watch::Sender::new(0).subscribe()
        }

        fn version(&self, _: &str) -> u64 {
            1
        }

        fn find(&self, name: &str, provider: &str) -> Option<Arc<str>> {
            (name == "slow").then(|| format!("{name}@{provider}").into())
        }

        fn diagnostics(&self) -> Vec<Diagnostic> {
            Vec::new()
        }

        fn middleware(&self, _: &str, _: &Node, _: &str, _: &str) -> Result<Built> {
            unreachable!()
        }

        fn service(&self, _: &str, _: &Node, _: &str) -> Result<Arc<dyn Endpoint>> {
            unreachable!()
        }

        fn choice(&self, _: &str, _: &Node, _: &str) -> Result<Arc<dyn ServerChoice>> {
            unreachable!()
        }

        fn matcher(&self, _: &str, _: &[String]) -> std::result::Result<Arc<dyn RequestTest>, String> {
            unreachable!()
        }

        fn dns_challenge(&self, plugin: &str, config: &Node, key: &str) -> Result<Arc<dyn DnsChallenge>> {
            assert_eq!((plugin, config.to_json().to_string().as_str()), ("slow@internal", "{}"));
            let wrong = |message: &str| Diagnostic::error(format!("{key}.x"), message);
            // As the real host does, which makes an instance.
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {});
            if self.0.load(Relaxed) { Ok(Arc::new(Nothing)) } else { Err(vec![wrong("one").hint("so"), wrong("two")]) }
        }

        fn status(&self) -> Vec<PluginStatus> {
            Vec::new()
        }
    }

    struct Nothing;

    impl DnsChallenge for Nothing {
        fn timing(&self) -> (Duration, Duration) {
            (Duration::ZERO, Duration::ZERO)
        }

        fn present<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str) -> SendFuture<'a, std::result::Result<(), String>> {
            Box::pin(std::future::ready(Ok(())))
        }

        fn clean_up<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str) -> SendFuture<'a, std::result::Result<(), String>> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    #[tokio::test]
    async fn a_plugin_that_is_being_loaded_is_waited_for() {
        let host: Arc<dyn PluginHost> = Arc::new(Slow::default());
        let plugin = |name: &str| Plugin::new(&host, name, &Node::empty(Place::whole("t")));
        let all = plugin("slow").opened().await.err().unwrap();
        assert_eq!(told(&all), "dnsChallenge.config.x: one (so); dnsChallenge.config.x: two");
        assert!(plugin("slow").loaded_challenge().await.is_ok());
        assert_eq!((plugin("slow").version(), plugin("slaw").version()), (1, 0));
        let said = plugin("slaw").loaded_challenge().await.err().unwrap();
        assert_eq!(said, "dnsChallenge.provider: there is no plugin `slaw` (write `plugins: {slaw: {path: FILE.wasm}}`)");
    }
}
