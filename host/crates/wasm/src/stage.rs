//! One plugin on a stage: in the same engine, with the same limits and grants as in a gateway, but with a
//! clock that is turned by hand, and a store of values that can be filled and looked into. For tests of plugins.

use crate::clock::{Clock, TurnedClock};
use crate::host::Plugins;
use crate::pool::Pool;
use crate::provider::{ProviderHooks, document, poll};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use torana_base::Diagnostic;
use torana_config::node::Node;
use torana_config::routing::{Item, PluginConfig};
use torana_extend::{Egress, PluginHost, PluginStatus};

/// Compiling is slow on a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(600);

/// A plugin that is tested.
pub struct Stage {
    plugins: Plugins,
    clock: TurnedClock,
    name: Arc<str>,
}

impl Stage {
    /// Loads the plugin `name` (qualified) of the declaration, as a gateway would; `start`: the time then, in
    /// nanoseconds since 1970. The error is what a gateway would tell. For threads that may block, outside of a runtime.
    pub fn load(name: &str, declared: Item<PluginConfig>, egress: Arc<dyn Egress>, start: u64) -> Result<Stage, Vec<Diagnostic>> {
        let clock = TurnedClock::new(start);
        let plugins = Plugins::with_clock(egress, 1, Clock::Turned(clock.clone()));
        let name: Arc<str> = name.into();
        plugins.declare([(name.clone(), Arc::new(declared))].into());
        let settled = crate::pool::block_on(plugins.settled(PATIENCE)).unwrap_or(false);
        let stage = Stage { plugins, clock, name };
        if !settled {
            return Err(vec![Diagnostic::error("", "the plugin cannot be loaded in time")]);
        }
        let wrong: Vec<_> = stage.plugins.diagnostics().into_iter().filter(Diagnostic::is_error).collect();
        if wrong.is_empty() { Ok(stage) } else { Err(wrong) }
    }

    /// What the rest of a gateway would call.
    pub fn host(&self) -> &dyn PluginHost {
        &self.plugins
    }

    /// Turns the clock. It stands still otherwise, but for WASI's monotonic one.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// A value of the plugin's store, of those that are not past their time.
    pub fn value(&self, namespace: &str, key: &str) -> Option<Vec<u8>> {
        self.plugins.inner.lasting(&self.name)?.kv.get(namespace, key, Clock::Turned(self.clock.clone()).monotonic())
    }

    /// Puts a value into the plugin's store, for ever. False when it is too large.
    pub fn keep(&self, namespace: &str, key: &str, value: Vec<u8>) -> bool {
        let now = Clock::Turned(self.clock.clone()).monotonic();
        self.plugins.inner.lasting(&self.name).is_some_and(|l| l.kv.set(namespace, key, value, None, now).is_ok())
    }

    /// Calls, failures and figures so far.
    pub fn status(&self) -> PluginStatus {
        self.plugins.status().into_iter().next().unwrap_or_default()
    }

    /// The plugin as a provider, configured; `key`: where the configuration stands.
    pub fn feed(&self, config: &Node, key: &str) -> Result<Feed, Vec<Diagnostic>> {
        Ok(Feed(self.plugins.inner.provider_pool(&self.name, config, key)?))
    }

    /// Figures of the plugin's own.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        self.plugins.inner.lasting(&self.name).map(|l| l.metrics.all()).unwrap_or_default()
    }
}

/// A provider that is asked by hand.
pub struct Feed(Arc<Pool<ProviderHooks>>);

/// What a provider answers.
pub struct Delivered {
    /// JSON; `None`: the last one still holds.
    pub document: Option<String>,
    /// What is wrong with the document.
    pub wrong: Vec<Diagnostic>,
    /// When to ask again, as the plugin said.
    pub again: Duration,
}

impl Feed {
    /// Asks once.
    pub async fn poll(&self) -> Result<Delivered, String> {
        let delivery = poll(&self.0).await?;
        let wrong = match delivery.document.as_deref().map(|text| document("plugin", text)) {
            None => Vec::new(),
            Some(Ok(d)) => d.diagnostics,
            Some(Err(e)) => vec![Diagnostic::error("", e)],
        };
        Ok(Delivered { document: delivery.document, wrong, again: Duration::from_millis(delivery.again_ms) })
    }
}
