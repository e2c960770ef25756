//! Components: which kind of plugin one is, and its functions.

use crate::code::{Code, Instance};
use crate::linker::{Linkers, may_wait};
use crate::load::{Form, Linked, Loaded, Loader, Wrong, uncompiled};
use crate::passing::one_line;
use crate::state::State;
use torana_extend::PluginKind;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentNamedList, Lift, Lower, TypedFunc};
use wasmtime::{Engine, Store};

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

const MISSING_HINT: &str = "a plugin finds the interfaces of torana:plugin@0.1 and WASI 0.2; build it against these";

impl Loader {
    /// Compiles and links a component.
    pub(crate) fn component(&self, path: &str, bytes: &[u8], digest: &str) -> Result<Linked, Wrong> {
        let plain = |what: String| (what, String::new());
        // wasi:http 0.3 needs the other engine: known from the names before anything is compiled.
        let concurrent = names_wasi_http_p3(bytes);
        let engine = if concurrent { self.engines.concurrent().map_err(plain)? } else { &self.engines.fast };
        let component: wasmtime::component::Component =
            self.cache.code(engine, bytes, digest).map_err(|e| uncompiled(path, "component", &e))?;
        let ty = component.component_type();
        let imports: Vec<String> = ty.imports(engine).map(|(n, _)| n.to_owned()).collect();
        let exports: Vec<String> = ty.exports(engine).map(|(n, _)| n.to_owned()).collect();
        let (kind, form) = kind_of(&exports, &imports).map_err(|(what, hint)| (format!("`{path}` {what}"), hint))?;
        let waits = may_wait(imports.iter().map(String::as_str)) || form != Form::Hooks;
        if waits && matches!(kind, PluginKind::Matcher | PluginKind::Balancer) {
            return Err(plain(format!("a {kind} may not wait, but `{path}` imports something to wait for: {}", waiting(&imports))));
        }
        let linkers = if concurrent { self.concurrent(engine).map_err(plain)? } else { &self.linkers };
        let linker = if waits { &linkers.waiting } else { &linkers.plain };
        let pre = linker.instantiate_pre(&component).map_err(|e| (missing(path, &imports, &e), MISSING_HINT.to_owned()))?;
        let describes = exports.iter().any(|e| e.starts_with("torana:plugin/description@"));
        Ok(Linked { code: Code::Component { component, pre }, kind, form, waits, describes })
    }

    fn concurrent(&self, engine: &Engine) -> Result<&Linkers, String> {
        self.concurrent.get_or_init(|| crate::service::p3_linkers(engine).map_err(|e| one_line(&e))).as_ref().map_err(Clone::clone)
    }
}

fn names_wasi_http_p3(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"wasi:http/handler@0.3").is_some()
}

fn version_of(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

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

/// Function of an exported interface.
pub(crate) fn export<P, R>(
    loaded: &Loaded,
    store: &mut Store<State>,
    instance: &Instance,
    interface: &str,
    name: &str,
) -> wasmtime::Result<TypedFunc<P, R>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let full = format!("{PACKAGE}{interface}@{WIT}");
    let missing = |what: &str| wasmtime::Error::msg(format!("it does not export {what}"));
    let (Code::Component { component, .. }, Instance::Component(instance)) = (&loaded.code, instance) else { return Err(missing(&full)) };
    let (item, interface) = component.get_export(None, full.as_str()).ok_or_else(|| missing(&full))?;
    if !matches!(item, ComponentItem::ComponentInstance(_)) {
        return Err(missing(&full));
    }
    let index = component.get_export_index(Some(&interface), name).ok_or_else(|| missing(&format!("{full} {name}")))?;
    instance.get_typed_func(store, index)
}
