//! From bytes to a plugin that can be instantiated.

use crate::cache::{Cache, digest};
use crate::clock::Clock;
use crate::engine::Engines;
use crate::grants::Grants;
use crate::kv::Kv;
use crate::linker::{Linkers, may_wait};
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
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};

/// What components are loaded with; one for a process.
pub(crate) struct Loader {
    pub(crate) engines: Engines,
    linkers: Linkers,
    concurrent: OnceLock<Result<Linkers, String>>,
    pub(crate) cache: Cache,
    pub(crate) egress: Arc<dyn Egress>,
    /// Instances are kept apart for that many threads.
    pub(crate) slots: usize,
    clock: Clock,
    versions: AtomicU64,
}

/// How a component is called.
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
    pub(crate) component: Component,
    pub(crate) pre: InstancePre<State>,
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

const PACKAGE: &str = "torana:plugin/";
const KINDS: [(&str, PluginKind); 5] = [
    ("middleware-hooks", PluginKind::Middleware),
    ("provider-hooks", PluginKind::Provider),
    ("matcher-hooks", PluginKind::Matcher),
    ("balancer-hooks", PluginKind::Balancer),
    ("dns-challenge-hooks", PluginKind::DnsChallenge),
];
/// The version of the WIT package that this gateway speaks.
pub(crate) const WIT: &str = "0.1.0";

impl Loader {
    /// The error says why plugins cannot run on this machine.
    pub(crate) fn new(egress: Arc<dyn Egress>, cache: Cache, slots: usize, clock: Clock) -> Result<Loader, String> {
        let engines = Engines::new()?;
        let linkers = Linkers::new(&engines.fast).map_err(|e| one_line(&e))?;
        let (concurrent, versions) = (OnceLock::new(), AtomicU64::new(1));
        Ok(Loader { engines, linkers, concurrent, cache, egress, slots: slots.max(1), clock, versions })
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
        sniff(bytes).map_err(|(what, hint)| at(format!("`{path}` {what}"), hint))?;
        let (grants, wrong) = Grants::read(item, &key);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let digest = digest(bytes);
        let manifest = Manifest::read(bytes)
            .map_err(|e| at(format!("the manifest in `{path}` is broken: {e}"), "build it again with `torana plugin build`"))?;
        // wasi:http 0.3 needs the other engine: known from the names before anything is compiled.
        let concurrent = names_wasi_http_p3(bytes);
        let engine = if concurrent { self.engines.concurrent().map_err(|e| at(e, ""))? } else { &self.engines.fast };
        let component = self.cache.component(engine, bytes, &digest).map_err(|e| match one_line(&e) {
            e if e.contains("executable") => at(
                format!("this machine forbids to run compiled plugins: {e}"),
                "allow executable memory (systemd: MemoryDenyWriteExecute=no), and a cache directory that is not mounted noexec",
            ),
            e => at(format!("`{path}` is not a valid component: {e}"), "the file may be cut off: build it again"),
        })?;
        let ty = component.component_type();
        let imports: Vec<String> = ty.imports(engine).map(|(n, _)| n.to_owned()).collect();
        let exports: Vec<String> = ty.exports(engine).map(|(n, _)| n.to_owned()).collect();
        let (kind, form) = kind_of(&exports, &imports).map_err(|(what, hint)| at(format!("`{path}` {what}"), &hint))?;
        if let Some(m) = &manifest
            && m.kind != kind
        {
            return Err(at(format!("the manifest in `{path}` says it is a {}, but it exports the hooks of a {kind}", m.kind), ""));
        }
        let waits = may_wait(imports.iter().map(String::as_str)) || form != Form::Hooks;
        if waits && matches!(kind, PluginKind::Matcher | PluginKind::Balancer) {
            return Err(at(format!("a {kind} may not wait, but `{path}` imports something to wait for: {}", waiting(&imports)), ""));
        }
        let linkers = if concurrent { self.concurrent(engine).map_err(|e| at(e, ""))? } else { &self.linkers };
        let linker = if waits { &linkers.waiting } else { &linkers.plain };
        let pre = linker.instantiate_pre(&component).map_err(|e| at(missing(path, &imports, &e), MISSING_HINT))?;
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
            component,
            pre,
            waits,
            failure: item.config.failure,
            limits,
            grants: Arc::new(grants),
            lasting: lasting.clone(),
            stats: Arc::new(Stats::new(self.slots)),
            loader: self.clone(),
            warnings: Vec::new(),
        };
        if loaded.manifest.is_none() && exports.iter().any(|e| e.starts_with("torana:plugin/description@")) {
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

    fn concurrent(&self, engine: &wasmtime::Engine) -> Result<&Linkers, String> {
        self.concurrent.get_or_init(|| crate::service::p3_linkers(engine).map_err(|e| one_line(&e))).as_ref().map_err(Clone::clone)
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

const MISSING_HINT: &str = "a plugin finds the interfaces of torana:plugin@0.1 and WASI 0.2; build it against these";

/// Whether this can be a component at all; what is wrong and the hint otherwise.
fn sniff(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    match bytes {
        [] => Err(("is empty", "is it still being written?")),
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err((
            "is a WebAssembly module, not a component",
            "build it as a component: `torana plugin build`, or cargo with `--target wasm32-wasip2`",
        )),
        [0, b'a', b's', b'm', ..] => Err(("is WebAssembly of another kind", "build it as a component: `torana plugin build`")),
        _ => Err(("is not WebAssembly", "name the `.wasm` file that `torana plugin build` makes")),
    }
}

fn names_wasi_http_p3(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"wasi:http/handler@0.3").is_some()
}

fn version_of(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

type Wrong = (String, String);

fn kind_of(exports: &[String], imports: &[String]) -> Result<(PluginKind, Form), Wrong> {
    let mut found = Vec::new();
    for e in exports {
        let (interface, version) = version_of(e);
        if let Some(hooks) = interface.strip_prefix(PACKAGE)
            && let Some((_, kind)) = KINDS.iter().find(|(n, _)| *n == hooks)
        {
            if !version.starts_with("0.1.") {
                return Err((format!("was built for torana:plugin@{version}"), format!("this gateway speaks {WIT}")));
            }
            found.push((*kind, Form::Hooks));
        } else if interface == "wasi:http/incoming-handler" && version.starts_with("0.2.") {
            found.push((PluginKind::Service, Form::HttpP2));
        } else if interface == "wasi:http/handler" && version.starts_with("0.3.") {
            let wraps = imports.iter().any(|i| i.starts_with("wasi:http/handler@"));
            found.push(if wraps { (PluginKind::Middleware, Form::HttpP3Middleware) } else { (PluginKind::Service, Form::HttpP3) });
        }
    }
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            let list = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
            let hint =
                "a middleware exports torana:plugin/middleware-hooks@0.1.0, a service wasi:http/incoming-handler@0.2.x; see docs/plugins";
            Err((format!("is not a plugin: it exports {list}"), hint.to_owned()))
        }
        _ => Err(("is several plugins at once".to_owned(), "export the hooks of one kind".to_owned())),
    }
}

fn waiting(imports: &[String]) -> String {
    let some: Vec<&str> = imports.iter().map(String::as_str).filter(|i| may_wait(std::iter::once(*i))).collect();
    some.join(", ")
}

/// The imports that nobody provides.
fn missing(path: &str, imports: &[String], error: &wasmtime::Error) -> String {
    let known = |i: &str| {
        let (interface, version) = version_of(i);
        match interface.strip_prefix(PACKAGE) {
            Some(name) => {
                version.starts_with("0.1.")
                    && ["types", "log", "config", "clock", "kv", "metrics", "secrets", "outgoing-http", "exchange", "servers"]
                        .contains(&name)
            }
            None => ["wasi:io/", "wasi:cli/", "wasi:clocks/", "wasi:random/", "wasi:filesystem/", "wasi:sockets/", "wasi:http/"]
                .iter()
                .any(|p| i.starts_with(p)),
        }
    };
    let unknown: Vec<&str> = imports.iter().map(String::as_str).filter(|i| !known(i)).collect();
    if unknown.is_empty() {
        return format!("`{path}` does not fit this gateway: {}", one_line(error));
    }
    format!("`{path}` imports what this gateway does not have: {}", unknown.join(", "))
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

/// Function of an exported interface.
pub(crate) fn export<P, R>(
    loaded: &Loaded,
    store: &mut wasmtime::Store<State>,
    instance: &wasmtime::component::Instance,
    interface: &str,
    name: &str,
) -> wasmtime::Result<wasmtime::component::TypedFunc<P, R>>
where
    P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower,
    R: wasmtime::component::ComponentNamedList + wasmtime::component::Lift,
{
    let full = format!("{PACKAGE}{interface}@{WIT}");
    let missing = |what: &str| wasmtime::Error::msg(format!("it does not export {what}"));
    let (item, interface) = loaded.component.get_export(None, full.as_str()).ok_or_else(|| missing(&full))?;
    if !matches!(item, ComponentItem::ComponentInstance(_)) {
        return Err(missing(&full));
    }
    let index = loaded.component.get_export_index(Some(&interface), name).ok_or_else(|| missing(&format!("{full} {name}")))?;
    instance.get_typed_func(store, index)
}
