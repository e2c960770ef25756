//! From bytes to a plugin that can be instantiated.

use crate::cache::{Cache, digest};
use crate::clock::Clock;
use crate::code::Code;
use crate::engine::Engines;
use crate::grants::Grants;
use crate::kv::Kv;
use crate::linker::Linkers;
use crate::passing::one_line;
use crate::pool::{Use, block_on, describe};
use crate::schema::Schema;
use crate::state::{Environment, Limits, State};
use crate::stats::{HookCalls, OwnMetrics, Stats, Totals, add_calls};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use torana_base::Diagnostic;
use torana_config::routing::{Failure, Item, PluginConfig};
use torana_extend::{Egress, Manifest, PluginKind};

/// What plugins are loaded with; one for a process.
pub(crate) struct Loader {
    pub(crate) engines: Engines,
    pub(crate) linkers: Linkers,
    pub(crate) concurrent: OnceLock<Result<Linkers, String>>,
    pub(crate) modules: OnceLock<Result<wasmtime::Linker<State>, String>>,
    pub(crate) cache: Cache,
    pub(crate) egress: Arc<dyn Egress>,
    /// Instances are kept apart for that many threads.
    pub(crate) slots: usize,
    clock: Clock,
    versions: AtomicU64,
}

/// How a plugin is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The hooks of a `torana:plugin` world.
    Hooks,
    /// `wasi:http` 0.2 `incoming-handler`.
    HttpP2,
    /// `wasi:http` 0.3 `handler`.
    HttpP3,
    /// The same, and imports it: a middleware.
    HttpP3Middleware,
    /// A core module with the functions of http-wasm: a middleware.
    HttpWasm,
}

/// What is wrong with a file, and what to do about it.
pub(crate) type Wrong = (String, String);

/// A file, ready to be instantiated.
pub(crate) struct Linked {
    pub(crate) code: Code,
    pub(crate) kind: PluginKind,
    pub(crate) form: Form,
    pub(crate) waits: bool,
    /// It can tell its manifest.
    pub(crate) describes: bool,
}

/// One version of a plugin.
pub(crate) struct Loaded {
    /// Rises with each load in this process.
    pub(crate) version: u64,
    pub(crate) plugin: Arc<str>,
    /// Digest of its declaration.
    pub(crate) item: u64,
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) kind: PluginKind,
    pub(crate) form: Form,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) schema: Option<Schema>,
    pub(crate) code: Code,
    /// Called on a stack of its own, because it may wait.
    pub(crate) waits: bool,
    pub(crate) failure: Failure,
    pub(crate) limits: Limits,
    pub(crate) grants: Arc<Grants>,
    pub(crate) lasting: Lasting,
    pub(crate) stats: Arc<Stats>,
    pub(crate) loader: Arc<Loader>,
    /// What is not quite right with it.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Versions of a plugin whose calls are told apart once they are gone.
const MAX_VERSIONS: usize = 20;

/// What outlives the versions of a plugin.
#[derive(Clone, Default)]
pub(crate) struct Lasting {
    pub(crate) kv: Arc<Kv>,
    pub(crate) metrics: Arc<OwnMetrics>,
    /// Counts of versions that are gone.
    pub(crate) retired: Arc<Mutex<Totals>>,
    /// Their calls by version.
    pub(crate) retired_calls: Arc<Mutex<BTreeMap<String, HookCalls>>>,
}

impl Loader {
    /// The error says why plugins cannot run on this machine.
    pub(crate) fn new(egress: Arc<dyn Egress>, cache: Cache, slots: usize, clock: Clock) -> Result<Loader, String> {
        let engines = Engines::new()?;
        let linkers = Linkers::new(&engines.fast).map_err(|e| one_line(&e))?;
        let versions = AtomicU64::new(1);
        let (concurrent, modules) = (OnceLock::new(), OnceLock::new());
        Ok(Loader { engines, linkers, concurrent, modules, cache, egress, slots: slots.max(1), clock, versions })
    }

    /// Compiles and links. The error is what is wrong with the file, and what to do about it.
    pub(crate) fn load(
        self: &Arc<Self>,
        plugin: &Arc<str>,
        item: &Item<PluginConfig>,
        bytes: &[u8],
        lasting: &Lasting,
    ) -> Result<Loaded, Vec<Diagnostic>> {
        let key = format!("plugins.{}", torana_base::unqualified(plugin));
        let at = |message: String, hint: &str| {
            let d = Diagnostic::error(format!("{key}.path"), message).at(&item.place_of("path"));
            vec![if hint.is_empty() { d } else { d.hint(hint) }]
        };
        let path = &item.config.path;
        let layer = Layer::of(bytes).map_err(|(what, hint)| at(format!("`{path}` {what}"), hint))?;
        let (grants, wrong) = Grants::read(item, &key);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let digest = digest(bytes);
        let manifest = Manifest::read(bytes)
            .map_err(|e| at(format!("the manifest in `{path}` is broken: {e}"), "build it again with `torana plugin build`"))?;
        let linked = match layer {
            Layer::Component => self.component(path, bytes, &digest),
            Layer::Module => self.module(path, bytes, &digest),
        };
        let Linked { code, kind, form, waits, describes } = linked.map_err(|(what, hint)| at(what, &hint))?;
        if let Some(m) = &manifest
            && m.kind != kind
        {
            return Err(at(format!("the manifest in `{path}` says it is a {}, but it exports the hooks of a {kind}", m.kind), ""));
        }
        if form != Form::HttpWasm && !grants.mounts.is_empty() {
            return Err(at(format!("`{path}` is a component, and these have no file system"), "take `settings.mounts` out"));
        }
        let lim = &item.config.limits;
        let limits = Limits {
            deadline: lim.deadline.as_duration(),
            timeout: lim.timeout.as_duration(),
            start: lim.start.as_duration(),
            memory: usize::try_from(lim.memory.bytes()).unwrap_or(usize::MAX).min(crate::engine::MAX_MEMORY),
            body: usize::try_from(lim.body.bytes()).unwrap_or(usize::MAX),
            headers: usize::try_from(lim.headers.bytes()).unwrap_or(usize::MAX),
            instances: lim.instances as usize,
        };
        self.engines.ticker.reckon_with(limits.start.max(limits.deadline).max(limits.timeout));
        let mut loaded = Loaded {
            version: self.versions.fetch_add(1, Relaxed),
            plugin: plugin.clone(),
            item: item.digest,
            digest,
            size: bytes.len() as u64,
            kind,
            form,
            manifest,
            schema: None,
            code,
            waits,
            failure: item.config.failure,
            limits,
            grants: Arc::new(grants),
            lasting: lasting.clone(),
            stats: Arc::new(Stats::new(self.slots)),
            loader: self.clone(),
            warnings: Vec::new(),
        };
        if loaded.manifest.is_none() && describes {
            let text = block_on(describe(&loaded)).flatten().map_err(|e| at(format!("`{path}` cannot describe itself: {e}"), ""))?;
            let m: Manifest =
                serde_json::from_str(&text).map_err(|e| at(format!("what `{path}` says of itself is no manifest: {e}"), ""))?;
            loaded.manifest = Some(m);
        }
        if let Some(schema) = loaded.manifest.as_ref().and_then(|m| m.schema.as_ref()) {
            loaded.schema = Some(Schema::compile(schema.clone()).map_err(|e| at(format!("the schema in `{path}` is broken: {e}"), ""))?);
        }
        loaded.warnings = ungranted(&loaded, item, &key);
        Ok(loaded)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let mut t = self.stats.totals();
        (t.instances, t.memory) = (0, 0);
        self.lasting.retired.lock().unwrap_or_else(PoisonError::into_inner).add(&t);
        let mut calls = self.lasting.retired_calls.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.version_name();
        // Files may change all day long.
        let name = if calls.contains_key(version) || calls.len() < MAX_VERSIONS { version } else { "older" };
        add_calls(calls.entry(name.to_owned()).or_default(), &t.hooks);
    }
}

impl Loaded {
    /// As its manifest says; empty without one.
    pub(crate) fn version_name(&self) -> &str {
        self.manifest.as_ref().map_or("", |m| &m.version)
    }

    /// Whether two versions of it can share the calls (`rollout`).
    pub(crate) fn stages(&self) -> bool {
        self.kind == PluginKind::Middleware && self.form == Form::Hooks
    }

    /// What its instances share when they have this configuration.
    pub(crate) fn environment(&self, used: Use) -> Environment {
        Environment {
            plugin: self.plugin.clone(),
            config: used.config,
            args: used.args,
            grants: self.grants.clone(),
            limits: self.limits,
            kv: self.lasting.kv.clone(),
            metrics: self.lasting.metrics.clone(),
            egress: self.loader.egress.clone(),
            ticker: self.loader.engines.ticker.clone(),
            clock: self.loader.clock.clone(),
        }
    }
}

/// What kind of WebAssembly a file is.
enum Layer {
    Component,
    Module,
}

impl Layer {
    fn of(bytes: &[u8]) -> Result<Layer, (&'static str, &'static str)> {
        match bytes {
            [] => Err(("is empty", "is it still being written?")),
            [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(Layer::Component),
            [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(Layer::Module),
            [0, b'a', b's', b'm', ..] => Err(("is WebAssembly of another kind", "build it as a component: `torana plugin build`")),
            _ => Err(("is not WebAssembly", "name the `.wasm` file that `torana plugin build` makes")),
        }
    }
}

/// Why machine code could not be made or used; `what` is what was to become of the file.
pub(crate) fn uncompiled(path: &str, what: &str, error: &wasmtime::Error) -> Wrong {
    match one_line(error) {
        e if e.contains("executable") => (
            format!("this machine forbids to run compiled plugins: {e}"),
            "allow executable memory (systemd: MemoryDenyWriteExecute=no), and a cache directory that is not mounted noexec".to_owned(),
        ),
        e => (format!("`{path}` is not a valid {what}: {e}"), "the file may be cut off: build it again".to_owned()),
    }
}

/// Capabilities that the manifest asks for and nobody granted.
fn ungranted(loaded: &Loaded, item: &Item<PluginConfig>, key: &str) -> Vec<Diagnostic> {
    let Some(m) = &loaded.manifest else { return Vec::new() };
    let mut all = Vec::new();
    let mut tell = |what: String, hint: String| {
        all.push(Diagnostic::warning(format!("{key}.permissions"), what).at(&item.place_of("permissions")).hint(hint));
    };
    let g = &loaded.grants;
    if m.capabilities.http && !g.has_http() {
        tell(format!("`{}` wants to send requests, and no host is granted", m.name), "add the hosts under `permissions.http`".to_owned());
    }
    for n in m.capabilities.kv.iter().filter(|n| !g.may_keep(n)) {
        tell(format!("`{}` wants to keep values in `{n}`, which is not granted", m.name), format!("add `permissions.kv: [{n}]`"));
    }
    for n in m.capabilities.secrets.iter().filter(|n| !g.has_secret(n)) {
        tell(format!("`{}` wants the secret `{n}`, which is not granted", m.name), format!("add it under `permissions.secrets.{n}`"));
    }
    for n in m.capabilities.env.iter().filter(|n| !item.config.permissions.env.contains(n)) {
        tell(
            format!("`{}` wants to read the environment variable `{n}`, which is not granted", m.name),
            format!("add `permissions.env: [{n}]`"),
        );
    }
    all
}
