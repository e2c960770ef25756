//! A tree to routing configuration, object by object.

use super::written::{Object, Read};
use super::{
    HttpConfig, Item, Items, MiddlewareConfig, PluginConfig, PluginUse, Rejected, RouterConfig, RoutingConfig, ServersTransportConfig,
    ServiceConfig, Strategy, TlsCertificateConfig, TlsConfig, TlsOptionsConfig, TlsStoreConfig, decode_tcp, plugin,
};
use crate::de;
use crate::node::{Key, Node, Value};
use crate::schema::{self, Branch};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use torana_base::{Checked, Diagnostic};

/// The four built maps of `http`, and `models`, which Traefik uses inside and refuses from files.
const HTTP: [&str; 4] = ["routers", "services", "middlewares", "serversTransports"];

/// Reads a whole dynamic document. The diagnostics are about the document itself; what is wrong with one
/// object stands with that object, and objects of trees that are not built are in `rejected`.
///
/// As in Traefik, unknown keys at the root are ignored (so that YAML anchors can stand there); a warning
/// tells them unless their name starts with `x-`.
pub fn decode(node: &Node) -> Checked<RoutingConfig> {
    let mut out = Checked::<RoutingConfig>::default();
    let root = &schema::routing().root;
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                match root.known(&key.text) {
                    Some(Branch { name: "http", .. }) => http(value, &mut out.value.http, &mut out.diagnostics),
                    Some(tree @ Branch { name: "tls", .. }) => tls(tree, value, &mut out.value.tls, &mut out.diagnostics),
                    Some(tree @ Branch { name: "plugins", .. }) => plugins(tree, value, &mut out),
                    Some(tree @ Branch { name: "tcp", .. }) => decode_tcp::tcp(tree, value, &mut out.value.tcp, &mut out.diagnostics),
                    Some(tree @ Branch { name: "udp", .. }) => decode_tcp::udp(tree, value, &mut out.value.udp, &mut out.diagnostics),
                    Some(tree) => reject(tree, value, &mut out),
                    None if key.text.starts_with("x-") || key.text.starts_with("X-") => {}
                    None => {
                        let d = Diagnostic::warning(&key.text, format!("unknown option `{}` is ignored", key.text)).at(&key.place);
                        out.diagnostics.push(Diagnostic { hint: root.suggest(&key.text), ..d });
                    }
                }
            }
        }
        Value::Null => {}
        _ => out.diagnostics.push(
            Diagnostic::error("", "a dynamic configuration is a block of options")
                .at(&node.place)
                .hint("write `http:` and what belongs below it"),
        ),
    }
    out
}

fn http(node: &Node, config: &mut HttpConfig, diagnostics: &mut Vec<Diagnostic>) {
    let Some(branch) = schema::routing().root.known("http") else { return };
    let Some(entries) = block(node, "http", diagnostics) else { return };
    for (key, value) in entries {
        let Some(section) = branch.known(&key.text) else {
            let d = Diagnostic::error(format!("http.{}", key.text), format!("unknown option `{}`", key.text)).at(&key.place);
            diagnostics.push(Diagnostic { hint: branch.suggest(&key.text), ..d });
            continue;
        };
        let path = format!("http.{}", section.name);
        let Some(objects) = block(value, &path, diagnostics) else { continue };
        let Some(options) = section.any.as_deref() else { continue };
        let mut cx = Section { path: &path, options, objects, diagnostics };
        match HTTP.iter().position(|name| *name == section.name) {
            Some(0) => cx.items(&mut config.routers, |node, key, _, item| typed(node, key, item, finish_router)),
            Some(1) => cx.items(&mut config.services, |node, key, _, item| typed(node, key, item, finish_service)),
            Some(2) => cx.items(&mut config.middlewares, middleware),
            Some(3) => cx.items(&mut config.servers_transports, |node, key, _, item| typed(node, key, item, |_, _, _| {})),
            _ => {}
        }
    }
}

fn tls(tree: &'static Branch, node: &Node, config: &mut TlsConfig, diagnostics: &mut Vec<Diagnostic>) {
    let Some(entries) = block(node, "tls", diagnostics) else { return };
    for (key, value) in entries {
        let Some(section) = tree.known(&key.text) else {
            let d = Diagnostic::error(format!("tls.{}", key.text), format!("unknown option `{}`", key.text)).at(&key.place);
            diagnostics.push(Diagnostic { hint: tree.suggest(&key.text), ..d });
            continue;
        };
        let path = format!("tls.{}", section.name);
        if let Some(options) = section.item.as_deref() {
            certificates(options, value, &path, config, diagnostics);
            continue;
        }
        let Some(objects) = block(value, &path, diagnostics) else { continue };
        let Some(options) = section.any.as_deref() else { continue };
        let mut cx = Section { path: &path, options, objects, diagnostics };
        match section.name {
            "options" => cx.items(&mut config.options, |node, key, _, item| typed(node, key, item, finish_tls_options)),
            "stores" => cx.items(&mut config.stores, |node, key, _, item| typed(node, key, item, finish_tls_store)),
            _ => {}
        }
    }
}

fn certificates(options: &'static Branch, node: &Node, path: &str, config: &mut TlsConfig, diagnostics: &mut Vec<Diagnostic>) {
    if !matches!(node.value, Value::List(_) | Value::Null) {
        diagnostics
            .push(Diagnostic::error(path, "a list belongs here").at(&node.place).hint("write `- certFile:` and `keyFile:` below it"));
    }
    for (i, node) in node.items().iter().enumerate() {
        let key = format!("{path}[{i}]");
        let object = Object { place: &node.place, node, key: &key, options };
        config.certificates.push(Arc::new(object.read(|node, key, _, item| typed(node, key, item, finish_tls_certificate))));
    }
}

fn plugins(tree: &'static Branch, node: &Node, out: &mut Checked<RoutingConfig>) {
    let Some(objects) = block(node, tree.name, &mut out.diagnostics) else { return };
    let Some(options) = tree.any.as_deref() else { return };
    let mut cx = Section { path: tree.name, options, objects, diagnostics: &mut out.diagnostics };
    cx.items(&mut out.value.plugins, |node, key, _, item| typed(node, key, item, finish_plugin));
    for (name, item) in &mut out.value.plugins {
        if item.written.is_some() {
            let d = Diagnostic::error(format!("{}.{name}", tree.name), "references such as `${file:...}` are not followed here");
            let item = Arc::make_mut(item);
            item.diagnostics.push(d.at(&item.place).hint("give the plugin a secret: `permissions.secrets.<name>.file` or `.env`"));
            item.written = None;
        }
    }
}

/// The entries of a block, none for a null one; anything else is a mistake of the document.
pub(super) fn block<'n>(node: &'n Node, path: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<&'n [(Key, Node)]> {
    match &node.value {
        Value::Map(entries) => Some(entries),
        Value::Null => None,
        Value::Scalar { text, .. } if text.is_empty() || text == "true" => None,
        _ => {
            diagnostics.push(Diagnostic::error(path, "a block of options belongs here").at(&node.place));
            None
        }
    }
}

pub(super) struct Section<'a> {
    pub(super) path: &'a str,
    pub(super) options: &'static Branch,
    pub(super) objects: &'a [(Key, Node)],
    pub(super) diagnostics: &'a mut Vec<Diagnostic>,
}

impl Section<'_> {
    pub(super) fn items<T: Empty>(&mut self, items: &mut Items<T>, read: Read<T>) {
        for (name, node) in self.objects {
            let key = format!("{}.{}", self.path, name.text);
            let item = Object { place: &name.place, node, key: &key, options: self.options }.read(read);
            if let Some(first) = items.get(&name.text) {
                let d = Diagnostic::error(key, "the name is used twice").at(&name.place);
                self.diagnostics.push(d.hint(format!("the first is at {}", first.place)));
                continue;
            }
            items.insert(name.text.clone(), Arc::new(item));
        }
    }
}

/// What an object is before it is read.
pub(super) trait Empty {
    fn empty(node: &Node) -> Self;
}

macro_rules! empty {
    ($($config:ty)*) => { $(impl $crate::routing::decode::Empty for $config {
        fn empty(_: &Node) -> Self { <$config>::default() }
    })* };
}

pub(super) use empty;

empty!(RouterConfig ServiceConfig ServersTransportConfig PluginConfig TlsOptionsConfig TlsStoreConfig TlsCertificateConfig);

impl Empty for MiddlewareConfig {
    fn empty(node: &Node) -> Self {
        MiddlewareConfig { kind: String::new(), node: Node::empty(node.place.clone()) }
    }
}

pub(super) fn typed<T: DeserializeOwned + Default>(node: &Node, key: &str, item: &mut Item<T>, finish: impl Fn(&Node, &str, &mut Item<T>)) {
    let read = de::read::<T>(node, key);
    item.config = read.value;
    add(item, read.diagnostics);
    finish(node, key, item);
}

/// Adds what has not been said of the same option already, by the option table for instance.
fn add<T>(item: &mut Item<T>, diagnostics: impl IntoIterator<Item = Diagnostic>) {
    for d in diagnostics {
        if !item.diagnostics.iter().any(|told| told.is_error() && told.key == d.key) {
            item.diagnostics.push(d);
        }
    }
}

fn finish_router(node: &Node, _: &str, item: &mut Item<RouterConfig>) {
    item.keep(node, "rule", "", "rule");
    item.keep(node, "service", "", "service");
    item.keep(node, "priority", "", "priority");
    item.keep(node, "tls.options", "", "tls.options");
    item.keep(node, "tls.certResolver", "", "tls.certResolver");
    item.keep(node, "entryPoints", "", "entryPoints[]");
    item.keep(node, "middlewares", "", "middlewares[]");
    item.keep(node, "parentRefs", "", "parentRefs[]");
    item.keep(node, "ruleSyntax", "", "ruleSyntax");
}

/// Says so where not exactly one of the kinds of a service is written.
pub(super) fn finish_kinds<T>(node: &Node, key: &str, item: &mut Item<T>, kinds: &[&'static str]) {
    let written: Vec<&'static str> = kinds.iter().copied().filter(|k| node.child(k).is_some_and(present)).collect();
    match written.as_slice() {
        [] => {
            let d = Diagnostic::error(key, "the service has no kind").at(&item.place);
            item.diagnostics.push(d.hint("write `loadBalancer` with its servers, or `weighted` with its services"));
        }
        [_] => {}
        _ => {
            let d = Diagnostic::error(key, format!("the service has more than one kind: {}", written.join(", "))).at(&item.place);
            item.diagnostics.push(d.hint("make a service of its own for each"));
        }
    }
}

fn finish_service(node: &Node, key: &str, item: &mut Item<ServiceConfig>) {
    let kinds = ["loadBalancer", "weighted", "plugin", "highestRandomWeight", "mirroring", "failover"];
    finish_kinds(node, key, item, &kinds);
    if item.config.load_balancer.as_ref().is_some_and(|l| l.plugin.is_some() && l.strategy != Strategy::Wrr) {
        item.keep(node, "loadBalancer.strategy", "", "loadBalancer.strategy");
        let d = Diagnostic::error(format!("{key}.loadBalancer.strategy"), "the plugin chooses already, in place of a strategy");
        item.diagnostics.push(d.at(&item.place_of("loadBalancer.strategy")).hint("remove `strategy`, or `plugin`"));
    }
    item.keep(node, "plugin", "", "plugin");
    item.keep(node, "loadBalancer.plugin", "", "loadBalancer.plugin");
    item.keep(node, "loadBalancer.serversTransport", "", "loadBalancer.serversTransport");
    item.keep(node, "loadBalancer.servers", "url", "loadBalancer.servers[].url");
    item.keep(node, "weighted.services", "name", "weighted.services[].name");
    item.keep(node, "highestRandomWeight.services", "name", "highestRandomWeight.services[].name");
    item.keep(node, "mirroring.service", "", "mirroring.service");
    item.keep(node, "mirroring.mirrors", "name", "mirroring.mirrors[].name");
    item.keep(node, "mirroring.mirrors", "percent", "mirroring.mirrors[].percent");
    item.keep(node, "failover.service", "", "failover.service");
    item.keep(node, "failover.fallback", "", "failover.fallback");
    item.keep(node, "failover.errors.status", "", "failover.errors.status[]");
    item.keep(node, "middlewares", "", "middlewares[]");
}

fn finish_plugin(node: &Node, key: &str, item: &mut Item<PluginConfig>) {
    let name = key.strip_prefix("plugins.").unwrap_or(key);
    // what is no block at all has no options to look at
    let readable = !item.diagnostics.iter().any(|told| told.is_error() && told.key == key);
    let wrong = if readable { item.config.check(node, key) } else { Vec::new() };
    add(item, plugin::check_name(name, key).into_iter().chain(wrong));
    item.keep_plugin(node);
}

fn finish_tls_certificate(node: &Node, key: &str, item: &mut Item<TlsCertificateConfig>) {
    item.keep(node, "certFile", "", "certFile");
    item.keep(node, "keyFile", "", "keyFile");
    item.keep(node, "stores", "", "stores[]");
    for (option, text) in [("certFile", item.config.cert_file.as_str()), ("keyFile", item.config.key_file.expose())] {
        if text.is_empty() && !item.diagnostics.iter().any(Diagnostic::is_error) {
            let d = Diagnostic::error(format!("{key}.{option}"), format!("`{option}` is missing")).at(&item.place);
            item.diagnostics.push(d.hint("write the path of a PEM file, or its text"));
        }
    }
    for (i, store) in item.config.stores.iter().enumerate().filter(|(_, s)| *s != "default") {
        let d = Diagnostic::warning(format!("{key}.stores[{i}]"), format!("no client is served from the store `{store}`"));
        item.diagnostics.push(d.at(&item.place_of(&format!("stores[{i}]"))).hint("write `default`, or leave `stores` out"));
    }
}

fn finish_tls_options(node: &Node, _: &str, item: &mut Item<TlsOptionsConfig>) {
    item.keep(node, "minVersion", "", "minVersion");
    item.keep(node, "maxVersion", "", "maxVersion");
    item.keep(node, "cipherSuites", "", "cipherSuites[]");
    item.keep(node, "curvePreferences", "", "curvePreferences[]");
    item.keep(node, "clientAuth.caFiles", "", "clientAuth.caFiles[]");
    item.keep(node, "clientAuth.clientAuthType", "", "clientAuth.clientAuthType");
    item.keep(node, "alpnProtocols", "", "alpnProtocols[]");
}

fn finish_tls_store(node: &Node, key: &str, item: &mut Item<TlsStoreConfig>) {
    item.keep(node, "defaultCertificate", "", "defaultCertificate");
    item.keep(node, "defaultCertificate.certFile", "", "defaultCertificate.certFile");
    item.keep(node, "defaultCertificate.keyFile", "", "defaultCertificate.keyFile");
    item.keep(node, "defaultGeneratedCert", "", "defaultGeneratedCert");
    item.keep(node, "defaultGeneratedCert.resolver", "", "defaultGeneratedCert.resolver");
    if key != "tls.stores.default" {
        let d = Diagnostic::warning(key, "only the store `default` is used").at(&item.place);
        item.diagnostics.push(d.hint("move what it says to `tls.stores.default`"));
    }
    if item.config.default_certificate.is_some() && item.config.default_generated_cert.is_some() {
        let d = Diagnostic::warning(format!("{key}.defaultGeneratedCert"), "`defaultCertificate` is used in its place");
        item.diagnostics.push(d.at(&item.place_of("defaultGeneratedCert")).hint("remove one of them"));
    }
}

/// Whether a block is switched on: not null, not `false`.
pub(super) fn present(node: &Node) -> bool {
    !node.is_null() && node.as_bool() != Some(false)
}

fn middleware(node: &Node, key: &str, options: &'static Branch, item: &mut Item<MiddlewareConfig>) {
    let kinds: Vec<(&'static str, &Node)> = node
        .entries()
        .iter()
        .filter(|(_, v)| present(v))
        .filter_map(|(k, v)| options.children.iter().find(|b| b.name.eq_ignore_ascii_case(&k.text)).map(|b| (b.name, v)))
        .collect();
    let names = || kinds.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let problem = match kinds.as_slice() {
        [(name, value)] => {
            item.config.kind = (*name).to_owned();
            item.config.node = Node { place: value.place.clone(), value: value.value.clone() };
            if let Some(branch) = options.known(name) {
                schema::canonicalise(&mut item.config.node, branch);
            }
            if *name == "plugin" {
                finish_plugin_use(key, item);
            }
            (*name == "ipWhiteList")
                .then(|| Diagnostic::warning(key, "`ipWhiteList` is an old name").hint("write `ipAllowList`; its options are the same"))
        }
        [] if item.diagnostics.iter().any(Diagnostic::is_error) => None,
        [] => Some(Diagnostic::error(key, "the middleware has no kind").hint("write one, such as `addPrefix`, with its options")),
        _ => Some(
            Diagnostic::error(key, format!("the middleware has more than one kind: {}", names()))
                .hint("make a middleware of its own for each, and a `chain` of them"),
        ),
    };
    item.diagnostics.extend(problem.map(|d| d.at(&item.place)));
    item.keep(node, "chain.middlewares", "", "chain.middlewares[]");
    item.keep(node, "plugin", "", "plugin");
}

/// Leaves of a plugin middleware `{<name>: {...}}`, or says that there is not exactly one.
fn finish_plugin_use(key: &str, item: &mut Item<MiddlewareConfig>) {
    let node = &mut item.config.node;
    match PluginUse::of(node) {
        Ok(PluginUse { name, config }) => {
            if let Value::Map(entries) = &mut node.value {
                entries.retain(|(k, _)| k.text == name);
                entries.iter_mut().for_each(|(_, v)| v.clone_from(&config));
            }
        }
        Err((what, hint)) => {
            let d = Diagnostic::error(format!("{key}.plugin"), what).at(&node.place).hint(hint);
            add(item, [d]);
        }
    }
}

/// Objects of `tcp` and `udp`: refused one by one.
fn reject(tree: &Branch, node: &Node, out: &mut Checked<RoutingConfig>) {
    let Some(sections) = block(node, tree.name, &mut out.diagnostics) else { return };
    for (key, value) in sections {
        let Some(section) = tree.known(&key.text) else {
            let d = Diagnostic::error(format!("{}.{}", tree.name, key.text), format!("unknown option `{}`", key.text)).at(&key.place);
            out.diagnostics.push(Diagnostic { hint: tree.suggest(&key.text), ..d });
            continue;
        };
        let path = format!("{}.{}", tree.name, section.name);
        let mut push = |key: String, name: &str, place, feature| {
            let diagnostic = schema::unbuilt(&key, name, feature, None).at(place);
            out.value.rejected.push(Rejected { key, diagnostic });
        };
        let feature = section.feature().unwrap_or("");
        match &value.value {
            Value::Map(objects) => objects.iter().for_each(|(k, _)| push(format!("{path}.{}", k.text), &path, &k.place, feature)),
            Value::List(items) => items.iter().enumerate().for_each(|(i, n)| push(format!("{path}[{i}]"), &path, &n.place, feature)),
            Value::Null => {}
            Value::Scalar { .. } => push(path.clone(), &path, &value.place, feature),
        }
    }
}
