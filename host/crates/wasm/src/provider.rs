//! Plugins as sources of routing configuration.

use crate::abi::v0_1::provider::exports::torana::plugin::provider_hooks::Delivery;
use crate::abi::v0_1::torana::plugin::types::ConfigError;
use crate::code::Instance;
use crate::component::export;
use crate::host::Inner;
use crate::load::Loaded;
use crate::pool::{Call, Hooks, Pool};
use crate::state::State;
use crate::stats::{Hook, Outcome};
use std::sync::Arc;
use std::time::{Duration, Instant};
use torana_base::Diagnostic;
use torana_config::node::Node;
use torana_extend::{Document, Provider, ProviderOut, ProviderRun};
use wasmtime::component::TypedFunc;
use wasmtime::{Result, Store};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Copy)]
pub(crate) struct ProviderHooks {
    configure: TypedFunc<(String,), (std::result::Result<(), ConfigError>,)>,
    poll: TypedFunc<(), (std::result::Result<Delivery, String>,)>,
}

impl Hooks for ProviderHooks {
    type Setup = ();

    fn bind(loaded: &Loaded, store: &mut Store<State>, instance: &Instance) -> Result<Self> {
        const HOOKS: &str = "provider-hooks";
        Ok(ProviderHooks {
            configure: export(loaded, store, instance, HOOKS, "configure")?,
            poll: export(loaded, store, instance, HOOKS, "poll")?,
        })
    }

    async fn configure(&self, call: &mut Call<'_>) -> Result<std::result::Result<(), ConfigError>> {
        let config = call.environment().config.clone();
        Ok(call.run(&self.configure, (config,)).await?.0)
    }
}

/// `providers.plugin.<name>`
pub(crate) struct PluginProvider {
    pub(crate) inner: Arc<Inner>,
    /// `plugin-<name>`
    pub(crate) name: &'static str,
    /// As written.
    pub(crate) plugin: String,
    pub(crate) config: Node,
}

impl Provider for PluginProvider {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, out: ProviderOut) -> ProviderRun<'_> {
        Box::pin(self.polling(out))
    }
}

impl PluginProvider {
    async fn polling(&self, out: ProviderOut) {
        let mut changed = self.inner.changed.subscribe();
        let mut pause = FIRST_PAUSE;
        let mut open: Option<(u64, Arc<Pool<ProviderHooks>>)> = None;
        let mut last: Option<String> = None;
        loop {
            changed.mark_unchanged();
            let version = self.inner.version_of(&self.plugin);
            if version != 0 && open.as_ref().is_none_or(|(v, _)| *v != version) {
                let (inner, plugin, config) = (self.inner.clone(), self.plugin.clone(), self.config.clone());
                let key = format!("providers.plugin.{plugin}");
                let opened = tokio::task::spawn_blocking(move || inner.provider_pool(&plugin, &config, &key)).await;
                match opened {
                    Ok(Ok(pool)) => {
                        open = Some((version, pool));
                        // A new version may see the same source with other eyes.
                        last = None;
                    }
                    Ok(Err(wrong)) => {
                        let text = wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                        if out.failed(self.name, text).await.is_err() {
                            return;
                        }
                        let _ = changed.changed().await;
                        continue;
                    }
                    Err(_) => return,
                }
            }
            let Some((_, pool)) = &open else {
                if self.inner.settled_now() {
                    let error = self.inner.why_not(&self.plugin);
                    if out.failed(self.name, error).await.is_err() {
                        return;
                    }
                }
                let _ = changed.changed().await;
                continue;
            };
            let wait = match poll(pool).await {
                Ok(delivery) => {
                    pause = FIRST_PAUSE;
                    if let Some(text) = delivery.document
                        && last.as_ref() != Some(&text)
                    {
                        match document(self.name, &text) {
                            Ok(document) => {
                                last = Some(text);
                                if out.publish(document).await.is_err() {
                                    return;
                                }
                            }
                            Err(e) => {
                                if out.failed(self.name, format!("the plugin's document cannot be read: {e}")).await.is_err() {
                                    return;
                                }
                            }
                        }
                    }
                    Duration::from_millis(delivery.again_ms).clamp(SHORTEST_PAUSE, LONGEST_WAIT)
                }
                Err(e) => {
                    if out.failed(self.name, e).await.is_err() {
                        return;
                    }
                    let jitter = pause.mul_f64(0.8 + 0.4 * fastrand::f64());
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    jitter
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = changed.changed() => {}
            }
        }
    }
}

pub(crate) async fn poll(pool: &Pool<ProviderHooks>) -> std::result::Result<Delivery, String> {
    let mut lease = pool.checkout().await.map_err(|f| f.to_string())?;
    let begin = Instant::now();
    match lease.call(|h| h.poll, ()).await {
        Ok((result,)) => {
            lease.good(Hook::Poll, begin.elapsed(), Outcome::Good);
            result
        }
        Err(f) => {
            lease.bad(Hook::Poll, &f, begin.elapsed());
            Err(f.to_string())
        }
    }
}

/// A document of JSON, with the keys of a dynamic file.
pub(crate) fn document(provider: &'static str, text: &str) -> std::result::Result<Document, String> {
    let source: Arc<str> = provider.into();
    let node = torana_config::parse::parse(text, torana_config::parse::Format::Json, source)
        .map_err(|d: Diagnostic| d.to_string().replace("\n  ", "; "))?;
    let read = torana_config::routing::decode(&node);
    let mut config = read.value;
    let mut diagnostics = read.diagnostics;
    // Plugins come from the operator, not from plugins.
    for (name, item) in std::mem::take(&mut config.plugins) {
        diagnostics.push(Diagnostic::error(format!("plugins.{name}"), "a plugin cannot declare plugins").at(&item.place));
    }
    Ok(Document { provider, config, diagnostics, ..Document::default() })
}
