//! A declared plugin: the version in use, and how a new file takes its place.

use crate::cache::digest;
use crate::host::Inner;
use crate::load::{Lasting, Loaded};
use crate::pool::{AnyPool, Hooks, OpenError, Pool, Use};
use crate::rollout::Candidate;
use crate::stats::{HOOKS, HookCalls, Totals, add_calls};
use crate::watch::Stamp;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use torana_base::{Diagnostic, unqualified};
use torana_config::routing::{Item, PluginConfig};
use torana_extend::{CallStatus, PluginStatus};

/// Largest file that is taken for a plugin.
const MAX_FILE: u64 = 256 << 20;

/// A declared plugin.
pub(crate) struct Entry {
    pub(crate) name: Arc<str>,
    pub(crate) lasting: Lasting,
    /// Those that somebody still uses, the newest last.
    pub(crate) versions: Mutex<Vec<Weak<Loaded>>>,
    pub(crate) loads: AtomicU64,
    pub(crate) load_failures: AtomicU64,
    pub(crate) state: Mutex<State>,
    /// By version and use.
    pub(crate) pools: Mutex<HashMap<(u64, Use), Weak<dyn AnyPool>>>,
}

pub(crate) struct State {
    pub(crate) item: Arc<Item<PluginConfig>>,
    /// The file as it was read last, and the digest of the declaration it was read for.
    pub(crate) stamp: Option<Stamp>,
    pub(crate) read_for: Option<u64>,
    /// The file as it was seen last; it is read when it stays so.
    pub(crate) settling: Option<Stamp>,
    pub(crate) loading: bool,
    pub(crate) stable: Option<Arc<Loaded>>,
    pub(crate) candidate: Option<Candidate>,
    /// Bytes that were rolled back: not tried again.
    pub(crate) given_up: Option<String>,
    pub(crate) error: Vec<Diagnostic>,
    /// Opened for the version that has just been loaded, until the compiler asks for them.
    pub(crate) warm: Vec<Arc<dyn AnyPool>>,
    pub(crate) warm_since: Instant,
}

pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}
impl Entry {
    pub(crate) fn new(name: &Arc<str>, item: &Arc<Item<PluginConfig>>) -> Entry {
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

    pub(crate) fn version(&self) -> u64 {
        let s = lock(&self.state);
        let candidate = s.candidate.as_ref().map_or(0, |c| c.loaded.version);
        s.stable.as_ref().map_or(0, |l| l.version << 24 ^ candidate)
    }

    pub(crate) fn why_not(&self) -> String {
        let s = lock(&self.state);
        match s.error.first() {
            _ if s.loading => format!("plugin `{}` is still being loaded", self.name),
            Some(d) => format!("plugin `{}` cannot be used: {}", self.name, d.message),
            None => format!("plugin `{}` is not loaded", self.name),
        }
    }

    pub(crate) fn key(&self) -> String {
        format!("plugins.{}", unqualified(&self.name))
    }

    /// Whether the file has changed and is no longer being written.
    pub(crate) fn look(&self) -> bool {
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
    pub(crate) fn load(self: &Arc<Self>, inner: &Inner) {
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
        let staged = s.item.config.rollout.as_ref().filter(|_| loaded.stages());
        match (&s.stable, staged) {
            // Other limits or grants of the same bytes are no new version.
            (Some(stable), Some(rollout)) if stable.digest != loaded.digest => {
                s.candidate = Some(Candidate::begin(loaded, stable, rollout));
            }
            _ => {
                s.candidate = None;
                s.stable = Some(loaded);
            }
        }
    }

    pub(crate) fn tidy(&self, trim: bool) {
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
    pub(crate) fn pool<H: Hooks>(&self, loaded: &Arc<Loaded>, used: &Use) -> Result<Arc<Pool<H>>, OpenError> {
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

    /// Calls by version and hook.
    fn calls(&self) -> Vec<CallStatus> {
        let alive: Vec<Arc<Loaded>> = lock(&self.versions).iter().filter_map(Weak::upgrade).collect();
        let mut all = lock(&self.lasting.retired_calls).clone();
        alive.iter().for_each(|l| add_calls(all.entry(l.version_name().to_owned()).or_default(), &l.stats.totals().hooks));
        let told = |(version, calls): (String, HookCalls)| {
            let hooks = HOOKS.iter().zip(calls).filter(|(_, n)| *n > 0).map(|(hook, n)| (*hook, n)).collect();
            CallStatus { version, hooks }
        };
        all.into_iter().map(told).filter(|c| !c.hooks.is_empty()).collect()
    }

    pub(crate) fn status(&self) -> PluginStatus {
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
            calls_by: self.calls(),
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
        p.rollout = s.candidate.as_ref().map(Candidate::status);
        p
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
