//! All plugins of a gateway: which are declared, which version of each is in use, and how it changes.

use crate::balancer::{BalancerHooks, Choice};
use crate::cache::{Cache, digest};
use crate::clock::Clock;
use crate::dns::{Dns, DnsHooks};
use crate::load::{Form, Lasting, Loaded, Loader};
use crate::matcher::{Matcher, MatcherHooks};
use crate::middleware::MiddlewareHooks;
use crate::pool::{AnyPool, Hooks, OpenError, Pool, Use};
use crate::provider::{PluginProvider, ProviderHooks};
use crate::rollout::{Share, Versions};
use crate::stats::Totals;
use crate::watch::Stamp;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use torana_base::{Diagnostic, qualify, unqualified};
use torana_config::node::Node;
use torana_config::routing::{Item, PluginConfig};
use torana_extend::{
    Built, DnsChallenge, Egress, PluginHost, PluginKind, PluginStatus, Provider, RequestTest, RolloutStatus, ServerChoice,
};
use torana_http::Endpoint;

/// Largest file that is taken for a plugin.
const MAX_FILE: u64 = 256 << 20;
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

/// A declared plugin.
struct Entry {
    name: Arc<str>,
    lasting: Lasting,
    /// Those that somebody still uses, the newest last.
    versions: Mutex<Vec<Weak<Loaded>>>,
    loads: AtomicU64,
    load_failures: AtomicU64,
    state: Mutex<State>,
    /// By version and use.
    pools: Mutex<HashMap<(u64, Use), Weak<dyn AnyPool>>>,
}

struct State {
    item: Arc<Item<PluginConfig>>,
    /// The file as it was read last, and the digest of the declaration it was read for.
    stamp: Option<Stamp>,
    read_for: Option<u64>,
    /// The file as it was seen last; it is read when it stays so.
    settling: Option<Stamp>,
    loading: bool,
    stable: Option<Arc<Loaded>>,
    candidate: Option<Candidate>,
    /// Bytes that were rolled back: not tried again.
    given_up: Option<String>,
    error: Vec<Diagnostic>,
    /// Opened for the version that has just been loaded, until the compiler asks for them.
    warm: Vec<Arc<dyn AnyPool>>,
    warm_since: Instant,
}

/// A new version that gets a part of the calls.
struct Candidate {
    loaded: Arc<Loaded>,
    share: Arc<Share>,
    step: usize,
    step_since: Instant,
    step_calls: u64,
    /// Of the old version when this one began.
    base: Totals,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn loader(&self) -> Result<&Arc<Loader>, String> {
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

impl Entry {
    fn new(name: &Arc<str>, item: &Arc<Item<PluginConfig>>) -> Entry {
        Entry {
            name: name.clone(),
            lasting: Lasting::default(),
            versions: Mutex::default(),
            loads: AtomicU64::new(0),
            load_failures: AtomicU64::new(0),
            state: Mutex::new(State {
                item: item.clone(),
                stamp: None,
                read_for: None,
                settling: None,
                loading: false,
                stable: None,
                candidate: None,
                given_up: None,
                error: Vec::new(),
                warm: Vec::new(),
                warm_since: Instant::now(),
            }),
            pools: Mutex::default(),
        }
    }

    fn version(&self) -> u64 {
        let s = lock(&self.state);
        let candidate = s.candidate.as_ref().map_or(0, |c| c.loaded.version);
        s.stable.as_ref().map_or(0, |l| l.version << 24 ^ candidate)
    }

    fn why_not(&self) -> String {
        let s = lock(&self.state);
        match s.error.first() {
            _ if s.loading => format!("plugin `{}` is still being loaded", self.name),
            Some(d) => format!("plugin `{}` cannot be used: {}", self.name, d.message),
            None => format!("plugin `{}` is not loaded", self.name),
        }
    }

    fn key(&self) -> String {
        format!("plugins.{}", unqualified(&self.name))
    }

    /// Whether the file has changed and is no longer being written.
    fn look(&self) -> bool {
        let mut s = lock(&self.state);
        if s.loading || s.item.has_errors() {
            return false;
        }
        let now = Stamp::of(Path::new(&s.item.config.path));
        if now == s.stamp {
            s.settling = None;
            // Declared differently while it was being loaded.
            return s.read_for.is_some_and(|d| d != s.item.digest);
        }
        let settled = s.settling == Some(now.clone().unwrap_or_default());
        s.settling = Some(now.unwrap_or_default());
        settled
    }

    /// Reads the file and takes it over if everything is right with it.
    fn load(self: &Arc<Self>, inner: &Inner) {
        let item = lock(&self.state).item.clone();
        let path = &item.config.path;
        let stamp = Stamp::of(Path::new(path));
        let outcome = self.read(inner, &item);
        let mut s = lock(&self.state);
        s.stamp = stamp;
        s.read_for = Some(item.digest);
        match outcome {
            Ok(Some((loaded, warm))) => self.take(&mut s, loaded, warm),
            Ok(None) => s.error.clear(),
            Err(wrong) => {
                self.load_failures.fetch_add(1, Relaxed);
                if let (Some(_), Some(d)) = (&s.stable, wrong.first()) {
                    tracing::error!(target: "plugin", plugin = &*self.name, "{}; the version before stays in use", d.message);
                }
                s.error = wrong;
            }
        }
    }

    #[allow(clippy::type_complexity)]
    fn read(&self, inner: &Inner, item: &Arc<Item<PluginConfig>>) -> Result<Option<(Arc<Loaded>, Vec<Arc<dyn AnyPool>>)>, Vec<Diagnostic>> {
        if item.has_errors() {
            return Err(item.diagnostics.clone());
        }
        let path = &item.config.path;
        let at = |message: String, hint: &str| {
            vec![Diagnostic::error(format!("{}.path", self.key()), message).at(&item.place_of("path")).hint(hint)]
        };
        let size = std::fs::metadata(path).map(|m| m.len()).unwrap_or(0);
        if size > MAX_FILE {
            return Err(at(format!("`{path}` is larger than {} MiB", MAX_FILE >> 20), "is it a component?"));
        }
        let bytes = std::fs::read(path).map_err(|e| {
            let hint = match e.kind() {
                std::io::ErrorKind::NotFound => "a relative path begins at the working directory of the gateway",
                std::io::ErrorKind::PermissionDenied => "let torana's user read it",
                _ => "name the component's file",
            };
            at(format!("cannot read `{path}`: {e}"), hint)
        })?;
        let loader = inner.loader().map_err(|e| at(e, "see docs/plugins for what a machine needs"))?;
        let new = digest(&bytes);
        let (stable, uses) = {
            let s = lock(&self.state);
            let same_item = |l: &Loaded| l.item == item.digest;
            let known = s.stable.iter().chain(s.candidate.iter().map(|c| &c.loaded)).any(|l| l.digest == new && same_item(l));
            let given_up = s.given_up.as_ref() == Some(&new);
            if known || given_up {
                return if given_up { Err(s.error.clone()) } else { Ok(None) };
            }
            (s.stable.clone(), self.uses(s.stable.as_ref()))
        };
        let begin = Instant::now();
        let loaded = loader.load(&self.name, item, &bytes, &self.lasting)?;
        if let Some(before) = &stable
            && before.kind != loaded.kind
            && !uses.is_empty()
        {
            return Err(at(format!("`{path}` is a {} now, and was a {}", loaded.kind, before.kind), "give it another name"));
        }
        // Every configuration in use has to do with the new version, too.
        let loaded = Arc::new(loaded);
        let mut warm = Vec::new();
        for pool in uses {
            let pool = pool.reopen(&loaded).map_err(|e| {
                let why = match e {
                    OpenError::Config(e) => {
                        let key = if e.key.is_empty() { String::new() } else { format!(" at `{}`", e.key) };
                        format!("it refuses a configuration in use{key}: {}", e.message)
                    }
                    OpenError::Broken(e) => e,
                };
                at(format!("`{path}` cannot take over: {why}"), "repair it, or change the configuration first")
            })?;
            warm.push(pool);
        }
        tracing::info!(
            target: "plugin",
            plugin = &*self.name,
            kind = loaded.kind.name(),
            digest = &loaded.digest[..12],
            micros = begin.elapsed().as_micros() as u64,
            "plugin loaded"
        );
        Ok(Some((loaded, warm)))
    }

    /// Pools in use of a version.
    fn uses(&self, of: Option<&Arc<Loaded>>) -> Vec<Arc<dyn AnyPool>> {
        let Some(of) = of else { return Vec::new() };
        lock(&self.pools).iter().filter(|((v, _), _)| *v == of.version).filter_map(|(_, p)| p.upgrade()).collect()
    }

    fn take(&self, s: &mut State, loaded: Arc<Loaded>, warm: Vec<Arc<dyn AnyPool>>) {
        self.loads.fetch_add(1, Relaxed);
        {
            let mut versions = lock(&self.versions);
            versions.retain(|v| v.strong_count() > 0);
            versions.push(Arc::downgrade(&loaded));
        }
        {
            let mut pools = lock(&self.pools);
            for p in &warm {
                pools.insert((loaded.version, p.used().clone()), Arc::downgrade(p));
            }
        }
        s.error.clear();
        s.given_up = None;
        s.warm = warm;
        s.warm_since = Instant::now();
        let staged = s.item.config.rollout.as_ref().filter(|_| loaded.kind == PluginKind::Middleware);
        match (&s.stable, staged) {
            // Other limits or grants of the same bytes are no new version.
            (Some(stable), Some(rollout)) if stable.digest != loaded.digest => {
                let share = Arc::new(Share::default());
                share.set(rollout.steps.first().copied().unwrap_or(100));
                tracing::info!(target: "plugin", plugin = &*self.name, digest = &loaded.digest[..12], percent = share.percent(), "new version on trial");
                let base = stable.stats.totals();
                s.candidate = Some(Candidate { loaded, share, step: 0, step_since: Instant::now(), step_calls: 0, base });
            }
            _ => {
                s.candidate = None;
                s.stable = Some(loaded);
            }
        }
    }

    /// Judges a version on trial; whether something else is to be compiled.
    fn roll(&self) -> bool {
        let mut s = lock(&self.state);
        let State { item, stable, candidate, error, given_up, .. } = &mut *s;
        let (Some(c), Some(stable_now)) = (candidate.as_mut(), stable.as_ref()) else { return false };
        let rollout = item.config.rollout.clone().unwrap_or_default();
        let now = c.loaded.stats.totals();
        let old = stable_now.stats.totals();
        let rate = |failures: u64, calls: u64| if calls == 0 { 0.0 } else { failures as f64 * 100.0 / calls as f64 };
        let new_rate = rate(now.failures(), now.calls);
        let old_rate = rate(old.failures() - c.base.failures(), old.calls - c.base.calls);
        let enough = u64::from(rollout.minimum_calls);
        if now.calls >= enough && new_rate > old_rate + rollout.tolerance {
            let message = format!(
                "the new version {} was rolled back: {new_rate:.1} % of {} calls failed, {old_rate:.1} % of the old version's",
                &c.loaded.digest[..12],
                now.calls
            );
            tracing::error!(target: "plugin", plugin = &*self.name, "{message}");
            self.load_failures.fetch_add(1, Relaxed);
            let d = Diagnostic::error(format!("{}.path", self.key()), message).at(&item.place_of("path"));
            *error = vec![d.hint("the old version serves on; repair the new one and write the file again")];
            *given_up = Some(c.loaded.digest.clone());
            *candidate = None;
            return true;
        }
        if c.step_since.elapsed() < rollout.interval.as_duration() || now.calls - c.step_calls < enough {
            return false;
        }
        c.step += 1;
        c.step_since = Instant::now();
        c.step_calls = now.calls;
        match rollout.steps.get(c.step) {
            Some(percent) => {
                c.share.set(*percent);
                tracing::info!(target: "plugin", plugin = &*self.name, digest = &c.loaded.digest[..12], percent, "new version on trial");
                false
            }
            None => {
                tracing::info!(target: "plugin", plugin = &*self.name, digest = &c.loaded.digest[..12], "new version taken over");
                *stable = Some(c.loaded.clone());
                *candidate = None;
                true
            }
        }
    }

    fn tidy(&self, trim: bool) {
        let mut s = lock(&self.state);
        let dropped = if s.warm_since.elapsed() > Duration::from_secs(5) { std::mem::take(&mut s.warm) } else { Vec::new() };
        drop(s);
        drop(dropped);
        if trim {
            let live: Vec<_> = {
                let mut pools = lock(&self.pools);
                pools.retain(|_, p| p.strong_count() > 0);
                pools.values().filter_map(Weak::upgrade).collect()
            };
            live.iter().for_each(|p| p.trim());
        }
    }

    /// The pool of a version for a use; the same one for all who ask.
    fn pool<H: Hooks>(&self, loaded: &Arc<Loaded>, used: &Use) -> Result<Arc<Pool<H>>, OpenError> {
        let at = (loaded.version, used.clone());
        if let Some(p) = lock(&self.pools).get(&at).and_then(Weak::upgrade)
            && let Ok(p) = p.any().downcast::<Pool<H>>()
        {
            return Ok(p);
        }
        let pool = Pool::<H>::open(loaded, used.clone(), None)?;
        let any: Arc<dyn AnyPool> = pool.clone();
        lock(&self.pools).insert(at, Arc::downgrade(&any));
        Ok(pool)
    }

    fn totals(&self) -> Totals {
        let alive: Vec<Arc<Loaded>> = lock(&self.versions).iter().filter_map(Weak::upgrade).collect();
        let mut t = lock(&self.lasting.retired).clone();
        alive.iter().for_each(|l| t.add(&l.stats.totals()));
        t
    }

    fn status(&self) -> PluginStatus {
        let s = lock(&self.state);
        let t = self.totals();
        let mut p = PluginStatus {
            name: self.name.to_string(),
            path: s.item.config.path.clone(),
            status: match (&s.stable, s.error.is_empty()) {
                (Some(_), true) => "enabled",
                (Some(_), false) => "warning",
                (None, _) if s.loading => "loading",
                (None, _) => "disabled",
            },
            error: s.error.iter().map(|d| d.message.clone()).collect(),
            loads: self.loads.load(Relaxed),
            load_failures: self.load_failures.load(Relaxed),
            calls: t.calls,
            traps: t.traps,
            deadline_hits: t.deadline_hits,
            refused: t.refused,
            instances: t.instances.max(0) as u64,
            memory: t.memory.max(0) as u64,
            duration: t.histogram(),
            metrics: self.lasting.metrics.all(),
            ..PluginStatus::default()
        };
        if let Some(l) = &s.stable {
            p.kind = l.kind.name().to_owned();
            p.digest = l.digest.clone();
            p.size = l.size;
            if let Some(m) = &l.manifest {
                p.version = m.version.clone();
                p.description = m.description.clone();
            }
        }
        p.rollout = s.candidate.as_ref().map(|c| {
            let t = c.loaded.stats.totals();
            RolloutStatus { digest: c.loaded.digest.clone(), percent: c.share.percent(), calls: t.calls, failures: t.failures() }
        });
        p
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
                if s.item.config.rollout.is_some() && l.kind != PluginKind::Middleware {
                    let d =
                        Diagnostic::warning(format!("{}.rollout", e.key()), format!("a new version of a {} takes over at once", l.kind));
                    all.push(d.at(&s.item.place_of("rollout")).hint("rollout is for middlewares: take it out"));
                }
            }
        }
        all
    }

    fn middleware(&self, plugin: &str, config: &Node, key: &str) -> Result<Built, Vec<Diagnostic>> {
        let (entry, loaded) = self.inner.usable(plugin, PluginKind::Middleware, config, key)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use torana_base::Place;

    /// Limits and grants that are changed while the file is being read are not forgotten.
    #[test]
    fn a_declaration_that_changed_meanwhile_is_read_again() {
        let item =
            |digest| Arc::new(Item::new(PluginConfig { path: "/nowhere".into(), ..PluginConfig::default() }, Place::whole("test"), digest));
        let entry = Entry::new(&"p@file".into(), &item(1));
        assert!(!entry.look(), "nothing was read yet, and there is no file");
        lock(&entry.state).read_for = Some(1);
        assert!(!entry.look());
        lock(&entry.state).item = item(2);
        assert!(entry.look());
    }
}
