//! The dynamic configuration: routers, services, middlewares, transports, TLS and plugins, as one provider wrote them.
//! A bad object is disabled alone; the objects beside it are not touched.

mod composite;
mod decode;
mod decode_tcp;
mod incremental;
mod merge;
mod plugin;
mod router;
mod service;
mod tcp;
mod tls;
mod transport;
mod udp;
mod written;

pub use composite::*;
pub use decode::decode;
pub use incremental::Incremental;
pub use merge::merge_first_wins;
pub use plugin::*;
pub(crate) use plugin::{check_name as check_plugin_name, is_variable};
pub use router::*;
pub use service::*;
pub use tcp::*;
pub use tls::*;
pub use transport::*;
pub use udp::*;

use crate::node::Node;
use crate::reference::Conceal;
use crate::schema;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_base::{Diagnostic, Place};

/// What one provider published, or several files merged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoutingConfig {
    pub http: HttpConfig,
    pub tcp: TcpConfig,
    pub udp: UdpConfig,
    pub tls: TlsConfig,
    /// `plugins`.
    pub plugins: Items<PluginConfig>,
    /// Objects of trees that are not built, such as `tls.options.default`.
    pub rejected: Vec<Rejected>,
}

/// `http`.
#[derive(Clone, Debug, Default)]
pub struct HttpConfig {
    pub routers: Items<RouterConfig>,
    pub services: Items<ServiceConfig>,
    pub middlewares: Items<MiddlewareConfig>,
    pub servers_transports: Items<ServersTransportConfig>,
}

/// Objects that were taken over from the last reading are the same ones: most comparisons end there.
impl PartialEq for HttpConfig {
    fn eq(&self, other: &Self) -> bool {
        use tcp::same;
        same(&self.routers, &other.routers)
            && same(&self.services, &other.services)
            && same(&self.middlewares, &other.middlewares)
            && same(&self.servers_transports, &other.servers_transports)
    }
}

/// Objects by name, unqualified, as written.
pub type Items<T> = BTreeMap<String, Arc<Item<T>>>;

/// One object: what could be read, and all that is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item<T> {
    pub config: T,
    /// Of its name.
    pub place: Place,
    /// Hash of the content as written, without places.
    pub digest: u64,
    pub diagnostics: Vec<Diagnostic>,
    /// Places of what may turn out wrong later: option, index, place.
    places: Vec<(&'static str, u32, Place)>,
    /// Of an object with references in its values, which are not followed yet.
    written: Option<Arc<written::Written<T>>>,
    /// Of an object whose references were followed: itself with the references, which is what may be shown.
    shown: Option<Arc<Item<T>>>,
    /// Of an object with references that was changed after it was read: the change again.
    completion: Option<written::Completion<T>>,
    /// Of an object whose references were followed: what they came to.
    conceal: Option<Arc<Conceal>>,
}

impl<T> Item<T> {
    /// An object that was not read from a tree: made by Torana itself, or by a test.
    pub fn new(config: T, place: Place, digest: u64) -> Self {
        Item {
            config,
            place,
            digest,
            diagnostics: Vec::new(),
            places: Vec::new(),
            written: None,
            shown: None,
            completion: None,
            conceal: None,
        }
    }

    /// Has something else shown in its place, for a provider that put secrets into it.
    pub fn show(&mut self, shown: Arc<Item<T>>) {
        self.shown = Some(shown);
    }

    /// Whether the object is disabled.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// Where an option of the object stands, such as `rule`, `middlewares[0]`, `weighted.services[1].name`;
    /// the place of the object when that was not kept.
    pub fn place_of(&self, path: &str) -> Place {
        let (before, index, after) = match path.split_once('[').and_then(|(b, rest)| Some((b, rest.split_once(']')?))) {
            Some((before, (index, after))) => (before, index.parse().unwrap_or(0), after),
            None => (path, 0, ""),
        };
        // kept paths say `[]` for an index
        let same = |kept: &str| match kept.split_once("[]") {
            Some((b, a)) => b == before && a == after,
            None => kept == path,
        };
        self.places.iter().find(|(kept, i, _)| *i == index && same(kept)).map_or_else(|| self.place.clone(), |(_, _, p)| p.clone())
    }

    /// Keeps the place of what stands under `path`, of each item where a list does; `suffix` is the option
    /// inside the item.
    fn keep(&mut self, node: &Node, path: &str, suffix: &str, kept: &'static str) {
        let Some(found) = node.at(path) else { return };
        if !kept.contains("[]") {
            self.places.push((kept, 0, found.place.clone()));
            return;
        }
        match found.items() {
            [] => {
                let parts = found.as_str().map_or(0, |t| t.split(',').count());
                self.places.extend((0..parts as u32).map(|i| (kept, i, found.place.clone())));
            }
            items => {
                let place = |n: &Node| if suffix.is_empty() { n.place.clone() } else { n.child(suffix).unwrap_or(n).place.clone() };
                self.places.extend(items.iter().enumerate().map(|(i, n)| (kept, i as u32, place(n))));
            }
        }
    }
}

/// An object that Torana cannot serve yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// Dotted path, as in `tcp.routers.db`.
    pub key: String,
    pub diagnostic: Diagnostic,
}

/// `http.middlewares.<name>`: its kind and the options, which the middleware's own crate reads.
#[derive(Clone, Debug, PartialEq)]
pub struct MiddlewareConfig {
    /// As Traefik spells it, such as `stripPrefix`; empty when there is not exactly one.
    pub kind: String,
    /// The options, keys spelled as in the table.
    pub node: Node,
}

impl MiddlewareConfig {
    /// Name and configuration (a map) of the plugin, for the kind `plugin`.
    pub fn plugin(&self) -> Option<(&str, &Node)> {
        let (name, config) = self.node.entries().first().filter(|_| self.kind == "plugin")?;
        Some((&name.text, config))
    }
}

/// `{"<kind>": {...}}`, the options as written.
impl Serialize for MiddlewareConfig {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let branch = schema::routing().root.at("http.middlewares.x").and_then(|b| b.known(&self.kind));
        let options = branch.map_or_else(|| self.node.to_json(), |b| b.to_json(&self.node));
        let shown = (!self.kind.is_empty()).then_some((&self.kind, options));
        s.collect_map(shown)
    }
}

#[cfg(test)]
mod tests;
