//! All plugins of a gateway: which are declared, which version of each is in use, and how it changes.

use crate::balancer::{BalancerHooks, Choice};
use crate::cache::Cache;
use crate::clock::Clock;
use crate::dns::{Dns, DnsHooks};
use crate::entry::{Entry, lock};
use crate::http_wasm::HttpWasm;
use crate::load::{Form, Lasting, Loaded, Loader};
use crate::matcher::{Matcher, MatcherHooks};
use crate::middleware::MiddlewareHooks;
use crate::pool::{OpenError, Pool, Use};
use crate::provider::{PluginProvider, ProviderHooks};
use crate::rollout::Versions;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use torana_base::{Diagnostic, qualify, unqualified};
use torana_config::node::Node;
use torana_config::routing::{Item, PluginConfig};
use torana_extend::{Built, DnsChallenge, Egress, PluginHost, PluginKind, PluginStatus, Provider, RequestTest, ServerChoice};
use torana_http::Endpoint;

/// Pause between two looks at the files of the plugins.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// Pause between two rounds that let unneeded instances go.
const TRIM: Duration = Duration::from_secs(10);

/// The plugins of this process.
#[derive(Clone)]
pub struct Plugins {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    egress: Arc<dyn Egress>,
    slots: usize,
    clock: Clock,
    /// Made with the first plugin: who has none pays nothing.
    loader: OnceLock<Result<Arc<Loader>, String>>,
    entries: Mutex<BTreeMap<Arc<str>, Arc<Entry>>>,
    pub(crate) changed: watch::Sender<u64>,
    /// Loads under way.
    loading: watch::Sender<usize>,
    watching: OnceLock<()>,
    /// The first declaration has come.
    declared: AtomicBool,
}

impl Plugins {
    /// `slots`: threads that call plugins.
    pub fn new(egress: Arc<dyn Egress>, slots: usize) -> Plugins {
        Plugins::with_clock(egress, slots, Clock::System)
    }

    pub(crate) fn with_clock(egress: Arc<dyn Egress>, slots: usize, clock: Clock) -> Plugins {
        Plugins {
            inner: Arc::new(Inner {
                egress,
                slots: slots + 1,
                clock,
                loader: OnceLock::new(),
                entries: Mutex::default(),
                changed: watch::Sender::new(1),
                loading: watch::Sender::new(0),
                watching: OnceLock::new(),
                declared: AtomicBool::new(false),
            }),
        }
    }

    /// `providers.plugin.<name>`: a provider whose documents are `@plugin-<name>`.
    pub fn provider(&self, name: &str, config: Node) -> Box<dyn Provider> {
        // Providers are configured once in the life of a process.
        let full: &'static str = Box::leak(format!("plugin-{name}").into_boxed_str());
        Box::new(PluginProvider { inner: self.inner.clone(), name: full, plugin: name.to_owned(), config })
    }
}

impl Inner {
    pub(crate) fn loader(&self) -> Result<&Arc<Loader>, String> {
        let made =
            self.loader.get_or_init(|| Loader::new(self.egress.clone(), Cache::open(), self.slots, self.clock.clone()).map(Arc::new));
        made.as_ref().map_err(Clone::clone)
    }

    /// What a plugin keeps beside its versions.
    pub(crate) fn lasting(&self, name: &str) -> Option<Lasting> {
        Some(self.entry(name)?.lasting.clone())
    }

    fn entry(&self, name: &str) -> Option<Arc<Entry>> {
        lock(&self.entries).get(name).cloned()
    }

    fn find(&self, name: &str, provider: &str) -> Option<Arc<str>> {
        let entries = lock(&self.entries);
        if name.contains('@') {
            return entries.get_key_value(name).map(|(n, _)| n.clone());
        }
        let near = [qualify(name, provider), qualify(name, "internal")];
        near.iter().find_map(|n| entries.get_key_value(n.as_str())).map(|(n, _)| n.clone()).or_else(|| {
            // As in Traefik, a plugin's name is known everywhere.
            entries.keys().find(|n| unqualified(n) == name).cloned()
        })
    }

    /// By a name as written in the install configuration.
    pub(crate) fn version_of(&self, name: &str) -> u64 {
        self.find(name, "internal").and_then(|n| self.entry(&n)).map_or(0, |e| e.version())
    }

    pub(crate) fn settled_now(&self) -> bool {
        self.declared.load(Relaxed) && *self.loading.borrow() == 0
    }

    /// Why a plugin cannot be used.
    pub(crate) fn why_not(&self, name: &str) -> String {
        match self.find(name, "internal").and_then(|n| self.entry(&n)) {
            None => format!("there is no plugin `{name}`: declare it under `plugins`"),
            Some(e) => e.why_not(),
        }
    }

    pub(crate) fn provider_pool(&self, name: &str, config: &Node, key: &str) -> Result<Arc<Pool<ProviderHooks>>, Vec<Diagnostic>> {
        let plugin = self.find(name, "internal").ok_or_else(|| vec![Diagnostic::error(key, self.why_not(name))])?;
        let (entry, loaded) = self.usable(&plugin, PluginKind::Provider, config, key)?;
        let used = checked(&loaded, config, key)?;
        entry.pool::<ProviderHooks>(&loaded, &used).map_err(|e| told(e, config, key, &plugin))
    }

    /// Begins to load; at most one load of a plugin at a time.
    fn load(self: &Arc<Self>, entry: &Arc<Entry>) {
        {
            let mut state = lock(&entry.state);
            if state.loading {
                // The look after it finds what has changed meanwhile.
                return;
            }
            state.loading = true;
        }
        self.loading.send_modify(|n| *n += 1);
        let (inner, job) = (self.clone(), entry.clone());
        let spawned = std::thread::Builder::new().name("torana-plugin-load".into()).spawn(move || {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.load(&inner)));
            if done.is_err() {
                tracing::error!(target: "plugin", plugin = &*job.name, "this plugin cannot be loaded because of a bug in Torana");
            }
            lock(&job.state).loading = false;
            inner.changed.send_modify(|n| *n += 1);
            inner.loading.send_modify(|n| *n -= 1);
        });
        if spawned.is_err() {
            lock(&entry.state).loading = false;
            self.loading.send_modify(|n| *n -= 1);
        }
    }

    fn watch(self: &Arc<Self>) {
        self.watching.get_or_init(|| {
            let inner = Arc::downgrade(self);
            let spawned = std::thread::Builder::new().name("torana-plugins".into()).spawn(move || {
                let mut trimmed = Instant::now();
                loop {
                    std::thread::sleep(LOOK);
                    let Some(inner) = inner.upgrade() else { return };
                    let entries: Vec<Arc<Entry>> = lock(&inner.entries).values().cloned().collect();
                    let trim = trimmed.elapsed() > TRIM;
                    if trim {
                        trimmed = Instant::now();
                    }
                    for entry in entries {
                        if entry.look() {
                            inner.load(&entry);
                        }
                        if entry.roll() {
                            inner.changed.send_modify(|n| *n += 1);
                        }
                        entry.tidy(trim);
                    }
                }
            });
            if let Err(error) = spawned {
                tracing::error!(%error, "changes of plugin files will not be seen");
            }
        });
    }

    /// The version of a plugin that builds can use.
    fn usable(&self, plugin: &str, kind: PluginKind, node: &Node, key: &str) -> Result<(Arc<Entry>, Arc<Loaded>), Vec<Diagnostic>> {
        let wrong = |m: String| vec![Diagnostic::error(key, m).at(&node.place)];
        let entry = self.entry(plugin).ok_or_else(|| wrong(format!("there is no plugin `{plugin}`")))?;
        let stable = lock(&entry.state).stable.clone();
        let loaded = stable.ok_or_else(|| wrong(entry.why_not()))?;
        if loaded.kind != kind {
            return Err(wrong(format!("plugin `{plugin}` is a {}, not a {kind}", loaded.kind)));
        }
        Ok((entry, loaded))
    }
}

/// The use of a plugin with a configuration that fits its schema.
fn checked(loaded: &Loaded, config: &Node, key: &str) -> Result<Use, Vec<Diagnostic>> {
    let json = if config.is_null() { serde_json::json!({}) } else { config.to_json() };
    if let Some(schema) = &loaded.schema {
        let wrong = schema.check(&json, config, key);
        if !wrong.is_empty() {
            return Err(wrong);
        }
    }
    Ok(Use { config: json.to_string(), args: Vec::new() })
}

/// Why a plugin cannot be used in this way.
fn told(e: OpenError, config: &Node, key: &str, plugin: &str) -> Vec<Diagnostic> {
    match e {
        OpenError::Config(e) => {
            let place = config.at(&e.key).map_or(&config.place, |n| &n.place);
            let key = match e.key.as_str() {
                "" => key.to_owned(),
                k if k.starts_with('[') => format!("{key}{k}"),
                k => format!("{key}.{k}"),
            };
            let d = Diagnostic::error(key, e.message).at(place);
            vec![if e.hint.is_empty() { d } else { d.hint(e.hint) }]
        }
        OpenError::Broken(e) => vec![Diagnostic::error(key, format!("plugin `{plugin}` cannot be used: {e}")).at(&config.place)],
    }
}

impl PluginHost for Plugins {
    fn declare(&self, declared: BTreeMap<Arc<str>, Arc<Item<PluginConfig>>>) {
        let mut load = Vec::new();
        let gone = {
            let mut entries = lock(&self.inner.entries);
            for (name, item) in &declared {
                match entries.get(name) {
                    Some(e) => {
                        let mut s = lock(&e.state);
                        if s.item.digest != item.digest {
                            s.given_up = None;
                            load.push(e.clone());
                        }
                        s.item = item.clone();
                    }
                    None => {
                        let e = Arc::new(Entry::new(name, item));
                        entries.insert(name.clone(), e.clone());
                        load.push(e);
                    }
                }
            }
            let (kept, gone) = std::mem::take(&mut *entries).into_iter().partition(|(n, _)| declared.contains_key(n));
            *entries = kept;
            gone
        };
        drop::<BTreeMap<Arc<str>, Arc<Entry>>>(gone);
        if !self.inner.declared.swap(true, Relaxed) {
            // Providers wait for this.
            self.inner.changed.send_modify(|n| *n += 1);
        }
        if !declared.is_empty() {
            self.inner.watch();
        }
        for e in load {
            self.inner.load(&e);
        }
    }

    fn settled(&self, patience: Duration) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(async move {
            let mut loading = self.inner.loading.subscribe();
            tokio::time::timeout(patience, loading.wait_for(|n| *n == 0)).await.is_ok()
        })
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    fn version(&self, plugin: &str) -> u64 {
        self.inner.entry(plugin).map_or(0, |e| e.version())
    }

    fn find(&self, name: &str, provider: &str) -> Option<Arc<str>> {
        self.inner.find(name, provider)
    }

    fn diagnostics(&self) -> Vec<Diagnostic> {
        let entries: Vec<Arc<Entry>> = lock(&self.inner.entries).values().cloned().collect();
        let mut all = Vec::new();
        for e in entries {
            let s = lock(&e.state);
            all.extend(s.error.iter().cloned());
            if let Some(l) = &s.stable {
                all.extend(l.warnings.iter().cloned());
                if s.item.config.rollout.is_some() && !l.stages() {
                    let what = match l.form {
                        Form::HttpP3Middleware => "wasi:http middleware".to_owned(),
                        Form::HttpWasm => "guest of http-wasm".to_owned(),
                        _ => l.kind.to_string(),
                    };
                    let d = Diagnostic::warning(format!("{}.rollout", e.key()), format!("a new version of a {what} takes over at once"));
                    let hint = "rollout is for middlewares with the hooks of torana:plugin: take it out";
                    all.push(d.at(&s.item.place_of("rollout")).hint(hint));
                }
            }
        }
        all
    }

    fn middleware(&self, plugin: &str, config: &Node, key: &str, provider: &str) -> Result<Built, Vec<Diagnostic>> {
        let (entry, loaded) = self.inner.usable(plugin, PluginKind::Middleware, config, key)?;
        if loaded.form == Form::HttpWasm {
            let used = Use { config: crate::http_wasm::given(config, provider), args: Vec::new() };
            let pool = entry.pool::<HttpWasm>(&loaded, &used).map_err(|e| told(e, config, key, plugin))?;
            return Ok(Built { steps: vec![crate::http_wasm::step(pool)] });
        }
        let used = checked(&loaded, config, key)?;
        if loaded.form == Form::HttpP3Middleware {
            let step = crate::service::middleware(&loaded, used.config).map_err(|e| told(e, config, key, plugin))?;
            return Ok(Built { steps: vec![step] });
        }
        let stable = entry.pool::<MiddlewareHooks>(&loaded, &used).map_err(|e| told(e, config, key, plugin))?;
        let trial = lock(&entry.state).candidate.as_ref().map(|c| (c.loaded.clone(), c.share.clone()));
        let candidate = match trial {
            Some((l, share)) => Some((entry.pool::<MiddlewareHooks>(&l, &used).map_err(|e| told(e, config, key, plugin))?, share)),
            None => None,
        };
        Ok(Built { steps: vec![crate::middleware::step(Versions::new(stable, candidate))] })
    }

    fn service(&self, plugin: &str, config: &Node, key: &str) -> Result<Arc<dyn Endpoint>, Vec<Diagnostic>> {
        let (_, loaded) = self.inner.usable(plugin, PluginKind::Service, config, key)?;
        let used = checked(&loaded, config, key)?;
        crate::service::endpoint(&loaded, used.config).map_err(|e| told(e, config, key, plugin))
    }

    fn choice(&self, plugin: &str, config: &Node, key: &str) -> Result<Arc<dyn ServerChoice>, Vec<Diagnostic>> {
        let (entry, loaded) = self.inner.usable(plugin, PluginKind::Balancer, config, key)?;
        let used = checked(&loaded, config, key)?;
        let pool = entry.pool::<BalancerHooks>(&loaded, &used).map_err(|e| told(e, config, key, plugin))?;
        Ok(Arc::new(Choice::new(pool)))
    }

    fn matcher(&self, plugin: &str, args: &[String]) -> Result<Arc<dyn RequestTest>, String> {
        let first = |wrong: Vec<Diagnostic>| wrong.into_iter().next().map(|d| d.message).unwrap_or_default();
        let entry = self.inner.entry(plugin).ok_or_else(|| format!("there is no plugin `{plugin}`"))?;
        let item = lock(&entry.state).item.clone();
        let config = item.config.config.clone().unwrap_or_else(|| Node::empty(item.place.clone()));
        let key = format!("{}.config", entry.key());
        let (entry, loaded) = self.inner.usable(plugin, PluginKind::Matcher, &config, &key).map_err(first)?;
        let used = checked(&loaded, &config, &key).map_err(first)?;
        let used = Use { args: args.to_vec(), ..used };
        match entry.pool::<MatcherHooks>(&loaded, &used) {
            Ok(pool) => Ok(Arc::new(Matcher(pool))),
            Err(OpenError::Config(e)) if e.hint.is_empty() => Err(e.message),
            Err(OpenError::Config(e)) => Err(format!("{}: {}", e.message, e.hint)),
            Err(OpenError::Broken(e)) => Err(format!("plugin `{plugin}` cannot be used: {e}")),
        }
    }

    fn dns_challenge(&self, plugin: &str, config: &Node, key: &str) -> Result<Arc<dyn DnsChallenge>, Vec<Diagnostic>> {
        let (entry, loaded) = self.inner.usable(plugin, PluginKind::DnsChallenge, config, key)?;
        let used = checked(&loaded, config, key)?;
        Ok(Arc::new(Dns(entry.pool::<DnsHooks>(&loaded, &used).map_err(|e| told(e, config, key, plugin))?)))
    }

    fn status(&self) -> Vec<PluginStatus> {
        let entries: Vec<Arc<Entry>> = lock(&self.inner.entries).values().cloned().collect();
        entries.iter().map(|e| e.status()).collect()
    }
}
