//! Objects with references in their values: kept as they were written, and read again with what the
//! references lead to.

use super::decode::Empty;
use super::{Item, Items, RoutingConfig};
use crate::node::Node;
use crate::reference::{self, Conceal, References};
use crate::schema::{self, Branch};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use torana_base::{Diagnostic, Place};

/// Fills an object from its tree: tree, dotted path, options.
pub(super) type Read<T> = fn(&Node, &str, &'static Branch, &mut Item<T>);

/// An object that is to be read.
pub(super) struct Object<'a> {
    /// Of its name.
    pub(super) place: &'a Place,
    pub(super) node: &'a Node,
    pub(super) key: &'a str,
    pub(super) options: &'static Branch,
}

impl Object<'_> {
    pub(super) fn read<T: Empty>(&self, read: Read<T>) -> Item<T> {
        let mut item = self.item(T::empty, read);
        if reference::any(self.node) {
            let written = Written {
                place: self.place.clone(),
                node: self.node.clone(),
                key: self.key.to_owned(),
                options: self.options,
                empty: T::empty,
                read,
            };
            // A reference where a number belongs is no mistake yet.
            let keys = reference::expand(self.node, self.key, &|_| false, &mut reference::Trusted).keys;
            item.diagnostics.retain(|d| !keys.iter().any(|k| same(k, &d.key)));
            item.written = Some(Arc::new(written));
        }
        item
    }

    fn item<T>(&self, empty: fn(&Node) -> T, read: Read<T>) -> Item<T> {
        let mut item = Item::new(empty(self.node), self.place.clone(), self.node.digest());
        item.diagnostics = schema::inspect(self.node, self.options, self.key);
        read(self.node, self.key, self.options, &mut item);
        for d in &mut item.diagnostics {
            d.place.get_or_insert_with(|| self.place.clone());
        }
        item
    }
}

pub(super) struct Written<T> {
    place: Place,
    node: Node,
    key: String,
    options: &'static Branch,
    empty: fn(&Node) -> T,
    read: Read<T>,
}

impl<T> Written<T> {
    fn item(&self, node: &Node) -> Item<T> {
        Object { place: &self.place, node, key: &self.key, options: self.options }.item(self.empty, self.read)
    }

    fn resolve(&self, from: &mut dyn References) -> Item<T> {
        let expanded = reference::expand(&self.node, &self.key, &|_| true, from);
        let refused = |key: &str| expanded.diagnostics.iter().any(|d| d.is_error() && same(&d.key, key));
        let mut live = self.item(&expanded.node);
        live.diagnostics.retain(|d| !refused(&d.key));
        let mut shown = self.item(&self.node);
        // What cannot stand for itself, where a number belongs, is shown by its value; what is wrong with the value
        // too is of no use, and may be a secret in a wrong place.
        let wrong = |key: &str| {
            shown.diagnostics.iter().any(|d| same(&d.key, key)) && !live.diagnostics.iter().any(|d| concerns(&d.key, key, &self.key))
        };
        let plain: Vec<&String> = expanded.keys.iter().filter(|k| wrong(k)).collect();
        if !plain.is_empty() {
            let partly = reference::expand(&self.node, &self.key, &|key| plain.iter().any(|p| *p == key), from);
            shown = self.item(&partly.node);
        }
        live.diagnostics.extend(expanded.diagnostics);
        let conceal = Conceal::new(expanded.values);
        live.diagnostics.iter_mut().for_each(|d| conceal.diagnostic(d));
        shown.diagnostics.clone_from(&live.diagnostics);
        live.shown = Some(Arc::new(shown));
        live.conceal = Some(Arc::new(conceal));
        live
    }
}

/// Whether two paths are one: diagnostics spell options as the table does, which is not how they have to be written.
fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Whether something at the path `told` is about `key`: at it, below it, or above it inside of the object.
fn concerns(told: &str, key: &str, object: &str) -> bool {
    let within = |long: &str, short: &str| {
        long.get(..short.len()).is_some_and(|begin| same(begin, short)) && matches!(long.as_bytes().get(short.len()), Some(b'.' | b'['))
    };
    same(told, key) || within(told, key) || within(key, told) && !same(told, object)
}

impl<T> fmt::Debug for Written<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)
    }
}

impl<T> PartialEq for Written<T> {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

/// What was changed of an object after it was read.
#[derive(Clone)]
pub(super) struct Completion<T>(Change<T>);

type Change<T> = Arc<dyn Fn(&mut Item<T>) + Send + Sync>;

impl<T> fmt::Debug for Completion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Completion")
    }
}

/// What a change does is seen in the object itself.
impl<T> PartialEq for Completion<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T: 'static> Item<T> {
    /// Changes what was read from a tree, by what its provider knows beside that: now, and again when the
    /// references in it have been followed. The change has to see to the digest.
    pub fn complete(&mut self, change: impl Fn(&mut Item<T>) + Send + Sync + 'static) {
        change(self);
        if self.written.is_some() {
            let before = self.completion.take();
            self.completion = Some(Completion(Arc::new(move |item| {
                if let Some(Completion(before)) = &before {
                    before(item);
                }
                change(item);
            })));
        }
    }
}

impl<T> Item<T> {
    /// What may be shown of it in place of itself, if that is another thing.
    pub fn shown(&self) -> Option<&Arc<Item<T>>> {
        self.shown.as_ref()
    }

    /// Takes what its references came to out of a text that is its own. What another object says must not go through
    /// this: whoever may write that one would learn by trial what values this one has.
    pub fn conceal(&self, text: impl Into<String>) -> String {
        let mut text = text.into();
        if let Some(conceal) = &self.conceal {
            conceal.text(&mut text);
        }
        text
    }

    /// [`Item::conceal`], for message and hint.
    pub fn conceal_in(&self, mut d: Diagnostic) -> Diagnostic {
        if let Some(conceal) = &self.conceal {
            conceal.diagnostic(&mut d);
        }
        d
    }

    /// Whether there are references, not followed yet, at or below a dotted path of it.
    pub fn refers_in(&self, path: &str) -> bool {
        self.written.as_ref().and_then(|w| w.node.at(path)).is_some_and(reference::any)
    }

    /// Whether the same options of both are written with the same references, but for those below `except`.
    pub fn same_references(&self, other: &Self, except: &str) -> bool {
        self.written_references(except) == other.written_references(except)
    }

    /// Path in lower case, and text.
    fn written_references(&self, except: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        if let Some(written) = &self.written {
            written.node.walk("", &mut |key, leaf| {
                if reference::any(leaf) && (except.is_empty() || !concerns(key, except, "")) {
                    found.insert(key.to_ascii_lowercase(), leaf.to_json().to_string());
                }
            });
        }
        found
    }

    /// Whether it means the same on other lines, so that only its places have to be moved.
    pub(super) fn can_move(&self) -> bool {
        self.diagnostics.is_empty() && self.written.is_none()
    }
}

fn any<T>(items: &Items<T>) -> bool {
    items.values().any(|i| i.written.is_some())
}

fn follow<'i, T: Clone + 'i>(items: impl Iterator<Item = &'i mut Arc<Item<T>>>, from: &mut dyn References) {
    for item in items {
        let Some(written) = &item.written else { continue };
        let mut live = written.resolve(from);
        if let Some(Completion(change)) = &item.completion {
            change(&mut live);
            if let Some(shown) = &mut live.shown {
                change(Arc::make_mut(shown));
            }
        }
        *item = Arc::new(live);
    }
}

impl RoutingConfig {
    /// Whether any object is written with references.
    pub fn has_references(&self) -> bool {
        let (http, tcp, udp, tls) = (&self.http, &self.tcp, &self.udp, &self.tls);
        any(&http.routers)
            || any(&http.services)
            || any(&http.middlewares)
            || any(&http.servers_transports)
            || any(&tcp.routers)
            || any(&tcp.services)
            || any(&tcp.middlewares)
            || any(&tcp.servers_transports)
            || any(&udp.routers)
            || any(&udp.services)
            || any(&tls.options)
            || any(&tls.stores)
            || tls.certificates.iter().any(|c| c.written.is_some())
    }

    /// The document with what its references lead to. An object with one that leads to nothing has an error.
    pub fn resolve(&self, from: &mut dyn References) -> RoutingConfig {
        let mut config = self.clone();
        let (http, tcp, udp, tls) = (&mut config.http, &mut config.tcp, &mut config.udp, &mut config.tls);
        follow(http.routers.values_mut(), from);
        follow(http.services.values_mut(), from);
        follow(http.middlewares.values_mut(), from);
        follow(http.servers_transports.values_mut(), from);
        follow(tcp.routers.values_mut(), from);
        follow(tcp.services.values_mut(), from);
        follow(tcp.middlewares.values_mut(), from);
        follow(tcp.servers_transports.values_mut(), from);
        follow(udp.routers.values_mut(), from);
        follow(udp.services.values_mut(), from);
        follow(tls.options.values_mut(), from);
        follow(tls.stores.values_mut(), from);
        follow(tls.certificates.iter_mut(), from);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MiddlewareConfig, ServiceConfig, decode};
    use super::*;
    use crate::parse::{Format, parse};
    use crate::reference::{Answer, Reference, Refusal};

    struct Table(Vec<(&'static str, &'static str)>);

    impl References for Table {
        fn look_up(&mut self, reference: &Reference) -> Result<Answer, Refusal> {
            let found = self.0.iter().find(|(name, _)| *name == reference.to_string());
            found.map(|(_, v)| Answer { text: (*v).into(), warning: None }).ok_or_else(|| Refusal::new("not there", "set it"))
        }
    }

    const TEXT: &str = "http:
  services:
    plain: {loadBalancer: {servers: [{url: 'http://a'}]}}
    s:
      loadBalancer:
        servers: [{url: 'http://${env:HOST}', weight: '${env:WEIGHT}'}]
        healthCheck: {path: /, headers: {Authorization: 'Bearer ${env:TOKEN}'}}
    broken: {loadBalancer: {servers: [{url: '${env:NONE}'}]}}
  middlewares:
    m: {headers: {customRequestHeaders: {X-Key: '${env:TOKEN}'}}}
";

    fn document(text: &str) -> RoutingConfig {
        let read = decode(&parse(text, Format::Yaml, "t.yml".into()).unwrap());
        assert_eq!(read.diagnostics, []);
        read.value
    }

    fn values() -> Table {
        Table(vec![("${env:HOST}", "b"), ("${env:WEIGHT}", "7"), ("${env:TOKEN}", "hunter2hunter2")])
    }

    #[test]
    fn objects_are_read_again_with_values() {
        let written = document(TEXT);
        assert!(written.has_references() && !document("http: {routers: {r: {rule: '${1}'}}}").has_references());
        let resolved = written.resolve(&mut values());
        let (before, after) = (&written.http.services, &resolved.http.services);
        assert!(Arc::ptr_eq(&before["plain"], &after["plain"]) && after["plain"].shown().is_none());
        assert!(before["s"].diagnostics.is_empty(), "{:?}", before["s"].diagnostics);
        let s = &after["s"];
        assert!(s.diagnostics.is_empty(), "{:?}", s.diagnostics);
        let live = &s.config.load_balancer.as_ref().unwrap().servers[0];
        assert_eq!((live.url.as_str(), live.weight), ("http://b", Some(7)));
        let shown = serde_json::to_string(&s.shown().unwrap().config).unwrap();
        assert!(shown.contains("http://${env:HOST}") && shown.contains("\"weight\":7"), "{shown}");
        assert!(!shown.contains("hunter2") && shown.contains("Bearer ${env:TOKEN}"), "{shown}");
        let broken = after["broken"].diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(broken, ["error: not there\n  at  http.services.broken.loadBalancer.servers[0].url  (t.yml:8:45)\n  hint: set it"]);
        let m = &resolved.http.middlewares["m"];
        assert!(m.config.node.to_json().to_string().contains("hunter2"));
        assert_eq!(m.shown().unwrap().config.node.to_json().to_string(), r#"{"customRequestHeaders":{"X-Key":"${env:TOKEN}"}}"#);
        // Another value is another object.
        let other = written.resolve(&mut Table(vec![("${env:TOKEN}", "other")]));
        assert_ne!(other.http.middlewares["m"].digest, m.digest);
    }

    #[test]
    fn values_that_cannot_be_used_are_not_told() {
        let text = "http: {services: {s: {loadBalancer: {servers: [{url: 'http://a', weight: '${env:TOKEN}'}]}}}}";
        let resolved = document(text).resolve(&mut values());
        let told: Vec<_> = resolved.http.services["s"].diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("error: a whole number belongs here, not `${env:TOKEN}`\n"), "{told:?}");
        let shown = |config: &RoutingConfig| {
            let of = |item: Option<&Arc<Item<MiddlewareConfig>>>| item.map(|i| serde_json::to_string(&i.shown().unwrap().config).unwrap());
            let tcp = config.tcp.middlewares.get("m");
            let tcp = tcp.map(|i| format!("{} {:?}", serde_json::to_string(&i.shown().unwrap().config).unwrap(), i.shown()));
            of(config.http.middlewares.get("m")).or(tcp).unwrap()
        };
        for m in [
            "basicAuth: {user: '${env:TOKEN}'}",
            "basicAuth: '${env:TOKEN}'",
            "headers: {customRequestHeaders: '${env:TOKEN}'}",
            "headers: {sslHost: '${env:TOKEN}'}",
            "plugin: '${env:TOKEN}'",
            "'${env:TOKEN}'",
        ] {
            let text = format!("http: {{middlewares: {{m: {}}}}}", if m.starts_with('\'') { m.to_owned() } else { format!("{{{m}}}") });
            let resolved = document(&text).resolve(&mut values());
            assert!(!shown(&resolved).contains("hunter2"), "{m}: {}", shown(&resolved));
            let item = &resolved.http.middlewares["m"];
            assert!(!item.diagnostics.is_empty() && item.diagnostics.iter().all(|d| !d.to_string().contains("hunter2")), "{m}: {item:?}");
        }
        let resolved = document("tcp: {middlewares: {m: {ipAllowList: '${env:TOKEN}'}}}").resolve(&mut values());
        assert!(!shown(&resolved).contains("hunter2"), "{}", shown(&resolved));
    }

    #[test]
    fn options_may_be_written_in_any_case() {
        let text = "http: {services: {s: {LoadBalancer: {Servers: [{url: 'http://a', Weight: '${env:WEIGHT}'}]}}}}";
        let resolved = document(text).resolve(&mut values());
        let s = &resolved.http.services["s"];
        assert_eq!(s.diagnostics, []);
        let weight = |i: &Item<ServiceConfig>| i.config.load_balancer.as_ref().unwrap().servers[0].weight;
        assert_eq!((weight(s), weight(s.shown().unwrap())), (Some(7), Some(7)));
        let refused = document(&text.replace("WEIGHT", "NONE")).resolve(&mut values());
        let told: Vec<_> = refused.http.services["s"].diagnostics.iter().map(|d| d.message.clone()).collect();
        assert_eq!(told, ["not there"]);
    }

    #[test]
    fn objects_take_their_own_values_out_and_no_others() {
        let text = "http: {middlewares: {a: {headers: {customRequestHeaders: {X: '${env:TOKEN}'}}}, b: {headers: {customRequestHeaders: {X: '${env:HOST}'}}}, c: {headers: {}}}}";
        let resolved = document(text).resolve(&mut values());
        let told = |name: &str| resolved.http.middlewares[name].conceal("`hunter2hunter2` is unknown");
        assert_eq!(told("a"), "`${env:TOKEN}` is unknown");
        let as_said = "`hunter2hunter2` is unknown".to_owned();
        assert_eq!((told("b"), told("c")), (as_said.clone(), as_said));
    }

    #[test]
    fn references_are_compared() {
        let of = |weight: &str, check: &str| {
            let text = format!(
                "http: {{services: {{s: {{loadBalancer: {{healthCheck: {{port: '{check}'}}, servers: [{{weight: '{weight}'}}]}}}}}}}}"
            );
            document(&text).http.services["s"].clone()
        };
        let servers = "loadBalancer.servers";
        let a = of("${env:A}", "${env:A}");
        assert!(a.refers_in(servers) && !of("1", "${env:A}").refers_in(servers));
        assert!(a.same_references(&of("${env:B}", "${env:A}"), servers) && !a.same_references(&of("${env:B}", "${env:A}"), ""));
        assert!(!a.same_references(&of("${env:A}", "${env:B}"), servers) && !a.same_references(&of("${env:A}", "1"), servers));
    }

    #[test]
    fn certificates_and_tcp_are_followed_and_plugins_are_not() {
        let text = "tls: {certificates: [{certFile: '${env:HOST}', keyFile: '${env:TOKEN}'}]}
tcp: {services: {s: {loadBalancer: {servers: [{address: '${env:HOST}:1'}]}}}}
plugins: {p: {path: '${env:HOST}.wasm'}}
";
        let resolved = document(text).resolve(&mut values());
        let c = &resolved.tls.certificates[0].config;
        assert_eq!((c.cert_file.as_str(), c.key_file.expose()), ("b", "hunter2hunter2"));
        assert_eq!(resolved.tcp.services["s"].config.load_balancer.as_ref().unwrap().servers[0].address, "b:1");
        let refused = resolved.plugins["p"].diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(refused.iter().any(|d| d.contains("are not followed here")), "{refused:?}");
    }
}
