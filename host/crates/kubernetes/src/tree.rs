//! A dynamic configuration in the making: objects of the cluster become the same tree that files become, and are
//! read by the same rules. Each node's place is the object that it came from.

use crate::cluster::Key as ObjectKey;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_base::{Diagnostic, Place};
use torana_config::node::{Key, Node, Value};
use torana_config::routing::{self, Item, Items, RoutingConfig, ServiceConfig};
use torana_extend::{Document, Objects, RejectedObject};

/// The option of a server that is going away.
pub const FENCED: &str = "fenced";

/// What the objects say so far, and what is wrong with them.
#[derive(Debug, Default)]
pub struct Tree {
    /// `http.routers` and the like, to the objects below them.
    sections: BTreeMap<&'static str, BTreeMap<String, (Key, Node)>>,
    certificates: Vec<Node>,
    /// By the name of the middleware.
    concealed: BTreeMap<String, (Key, Node)>,
    rejected: BTreeMap<String, Vec<String>>,
    diagnostics: Vec<Diagnostic>,
    seen: usize,
}

/// An object of the cluster, as messages and places name it.
pub fn place(kind: &str, key: &ObjectKey) -> Place {
    let (namespace, name) = key;
    let kind = kind.to_lowercase();
    Place::whole(if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") })
}

impl Tree {
    /// Counts an object that was looked at.
    pub fn saw(&mut self) {
        self.seen += 1;
    }

    /// Puts `value` under `section` (`http.routers`); whether the name was free, else nothing is changed.
    pub fn put(&mut self, section: &'static str, name: &str, value: &Json, place: &Place) -> bool {
        if self.has(section, name) {
            return false;
        }
        self.replace(section, name, value, place);
        true
    }

    /// Puts `value` under `section`, in the place of what is there.
    pub fn replace(&mut self, section: &'static str, name: &str, value: &Json, place: &Place) {
        let entry = (key(name, place), node(value, place));
        self.sections.entry(section).or_default().insert(name.to_owned(), entry);
    }

    /// Has `value` shown in place of a middleware that has secrets in it.
    pub fn conceal(&mut self, name: &str, value: &Json, place: &Place) {
        self.concealed.insert(name.to_owned(), (key(name, place), node(value, place)));
    }

    pub fn has(&self, section: &str, name: &str) -> bool {
        self.sections.get(section).is_some_and(|entries| entries.contains_key(name))
    }

    /// Takes out what was put there.
    pub fn remove(&mut self, section: &str, name: &str) {
        if let Some(entries) = self.sections.get_mut(section) {
            entries.remove(name);
        }
    }

    /// One of `tls.certificates`: PEM texts.
    pub fn certificate(&mut self, value: &Json, place: &Place) {
        self.certificates.push(node(value, place));
    }

    /// An object, or a part of it, is left out.
    pub fn reject(&mut self, place: &Place, reason: impl Into<String>) {
        let reasons = self.rejected.entry(place.to_string()).or_default();
        let reason = reason.into();
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }

    /// Something that is not as it should be and leaves nothing out.
    pub fn warn(&mut self, place: &Place, key: &str, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(key, message).at(place));
    }

    pub fn diagnose(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reads the tree. What cannot be read of an object is one more reason why it is rejected.
    pub fn finish(self, provider: &'static str) -> Document {
        self.finish_after(provider, &mut RoutingConfig::default())
    }

    /// [`Tree::finish`], which takes what has not changed over from the last time and reads the rest: a change costs
    /// what has changed. `last` is then what this time has.
    pub fn finish_after(mut self, provider: &'static str, last: &mut RoutingConfig) -> Document {
        let whole = Place::whole(provider);
        let mut kept = RoutingConfig::default();
        let mut fences = Vec::new();
        let mut root = Node::empty(whole.clone());
        for (path, mut entries) in std::mem::take(&mut self.sections) {
            match path {
                "http.routers" => take_over(&mut entries, &last.http.routers, &mut kept.http.routers),
                "http.services" => {
                    take_over(&mut entries, &last.http.services, &mut kept.http.services);
                    fences = entries.iter_mut().filter_map(|(name, (_, node))| Some((name.clone(), Fences::take(node)?))).collect();
                }
                "http.middlewares" => {
                    // one that was no secret before may be one now
                    last.http.middlewares.retain(|name, i| i.shown().is_some() == self.concealed.contains_key(name));
                    take_over(&mut entries, &last.http.middlewares, &mut kept.http.middlewares);
                }
                "tcp.routers" => take_over(&mut entries, &last.tcp.routers, &mut kept.tcp.routers),
                "tcp.services" => take_over(&mut entries, &last.tcp.services, &mut kept.tcp.services),
                _ => {}
            }
            let below = Node::new(whole.clone(), Value::Map(entries.into_values().collect()));
            put_below(&mut root, path, below, &whole);
        }
        if !self.certificates.is_empty() {
            let list = Node::new(whole.clone(), Value::List(std::mem::take(&mut self.certificates)));
            put_below(&mut root, "tls.certificates", list, &whole);
        }
        let read = routing::decode(&root);
        let mut config = read.value;
        self.put_concealed(&mut config);
        for (name, fences) in fences {
            if let Some(item) = config.http.services.get_mut(&name) {
                fences.put(Arc::make_mut(item));
            }
        }
        config.http.routers.append(&mut kept.http.routers);
        config.http.services.append(&mut kept.http.services);
        config.http.middlewares.append(&mut kept.http.middlewares);
        config.tcp.routers.append(&mut kept.tcp.routers);
        config.tcp.services.append(&mut kept.tcp.services);
        *last = config.clone();
        self.look_through(&config);
        self.diagnostics.extend(read.diagnostics);
        let rejected = self.rejected.into_iter().map(|(name, reasons)| RejectedObject { name, reasons }).collect();
        let objects = Objects { seen: self.seen, rejected };
        self.diagnostics.extend(objects.diagnostics());
        Document { provider, config, diagnostics: self.diagnostics, objects, own_pace: true }
    }

    fn put_concealed(&mut self, config: &mut RoutingConfig) {
        let whole = Place::whole("");
        let mut root = Node::empty(whole.clone());
        let all = std::mem::take(&mut self.concealed).into_values().collect();
        put_below(&mut root, "http.middlewares", Node::new(whole.clone(), Value::Map(all)), &whole);
        for (name, shown) in routing::decode(&root).value.http.middlewares {
            if let Some(item) = config.http.middlewares.get_mut(&name) {
                Arc::make_mut(item).complete(move |item| item.show(shown.clone()));
            }
        }
    }

    fn look_through(&mut self, config: &RoutingConfig) {
        self.items(&config.http.routers);
        self.items(&config.http.services);
        self.items(&config.http.middlewares);
        self.items(&config.http.servers_transports);
        self.items(&config.tcp.routers);
        self.items(&config.tcp.services);
        self.items(&config.tcp.middlewares);
        self.items(&config.tcp.servers_transports);
        self.items(&config.udp.routers);
        self.items(&config.udp.services);
        self.items(&config.tls.options);
        self.items(&config.tls.stores);
        for r in &config.rejected {
            let place = r.diagnostic.place.clone().unwrap_or_else(|| Place::whole("?"));
            self.reject(&place, text(&r.diagnostic));
        }
    }

    fn items<T>(&mut self, items: &Items<T>) {
        let wrong = items.values().filter(|i| i.has_errors());
        for item in wrong.map(AsRef::<Item<T>>::as_ref) {
            for d in item.diagnostics.iter().filter(|d| d.is_error()) {
                self.reject(&item.place, text(d));
            }
        }
    }
}

/// Which servers of a service are fenced. No file may say so: it goes past what reads files.
struct Fences {
    /// Positions in `loadBalancer.servers`.
    servers: Vec<usize>,
    /// Of the service as it stands in the tree.
    digest: u64,
}

impl Fences {
    /// Takes them out of a service; `None` without any.
    fn take(service: &mut Node) -> Option<Fences> {
        let digest = service.digest();
        let Value::List(servers) = &mut child(child(service, "loadBalancer")?, "servers")?.value else { return None };
        let fenced = |(i, server): (usize, &mut Node)| match &mut server.value {
            Value::Map(options) => {
                let before = options.len();
                options.retain(|(k, _)| k.text != FENCED);
                (options.len() < before).then_some(i)
            }
            _ => None,
        };
        let servers: Vec<usize> = servers.iter_mut().enumerate().filter_map(fenced).collect();
        (!servers.is_empty()).then_some(Fences { servers, digest })
    }

    fn put(self, item: &mut Item<ServiceConfig>) {
        item.digest = self.digest;
        let Some(lb) = &mut item.config.load_balancer else { return };
        self.servers.iter().filter_map(|i| lb.servers.get_mut(*i).map(|s| s.fenced = true)).for_each(drop);
    }
}

fn child<'n>(node: &'n mut Node, name: &str) -> Option<&'n mut Node> {
    match &mut node.value {
        Value::Map(entries) => entries.iter_mut().find(|(k, _)| k.text == name).map(|(_, n)| n),
        _ => None,
    }
}

/// Moves what `last` has, unchanged, to `kept`; what is left has to be read.
fn take_over<T>(entries: &mut BTreeMap<String, (Key, Node)>, last: &Items<T>, kept: &mut Items<T>) {
    entries.retain(|name, (key, node)| match last.get(name) {
        Some(item) if item.place == key.place && item.digest == node.digest() => {
            kept.insert(name.clone(), item.clone());
            false
        }
        _ => true,
    });
}

/// Puts `node` under a path of two names.
fn put_below(root: &mut Node, path: &str, node: Node, whole: &Place) {
    let Some((tree, section)) = path.split_once('.') else { return };
    if root.child(tree).is_none() {
        root.insert(key(tree, whole), Node::empty(whole.clone()));
    }
    if let Value::Map(trees) = &mut root.value
        && let Some((_, at)) = trees.iter_mut().find(|(k, _)| k.text == tree)
    {
        at.insert(key(section, whole), node);
    }
}

fn text(d: &Diagnostic) -> String {
    let hint = d.hint.as_ref().map(|h| format!("; {h}")).unwrap_or_default();
    format!("{}: {}{hint}", d.key, d.message)
}

fn key(text: &str, place: &Place) -> Key {
    Key { text: text.to_owned(), place: place.clone() }
}

/// JSON as a tree. Numbers and booleans are plain, texts are not.
pub fn node(value: &Json, place: &Place) -> Node {
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Scalar { text: b.to_string(), plain: true },
        Json::Number(n) => Value::Scalar { text: n.to_string(), plain: true },
        Json::String(s) => Value::Scalar { text: s.clone(), plain: false },
        Json::Array(items) => Value::List(items.iter().map(|i| node(i, place)).collect()),
        Json::Object(map) => Value::Map(map.iter().map(|(k, v)| (key(k, place), node(v, place))).collect()),
    };
    Node::new(place.clone(), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_that_cannot_be_read_is_named_and_harms_no_other() {
        let mut tree = Tree::default();
        let at = |n: &str| place("Middleware", &("default".into(), n.into()));
        assert!(tree.put("http.middlewares", "good", &json!({"addPrefix": {"prefix": "/x"}}), &at("good")));
        assert!(!tree.put("http.middlewares", "good", &json!({}), &at("good")), "a name is there once");
        tree.put("http.middlewares", "bad", &json!({"addPrefix": {"prefixx": "/x"}}), &at("bad"));
        tree.certificate(&json!({"certFile": "a", "keyFile": "b"}), &at("good"));
        let document = tree.finish("test");
        assert!(!document.config.http.middlewares["good"].has_errors());
        assert_eq!(document.config.tls.certificates.len(), 1);
        assert_eq!(document.objects.rejected.len(), 1);
        assert_eq!(document.objects.rejected[0].name, "middleware default/bad");
        assert!(document.objects.rejected[0].reasons[0].contains("did you mean `prefix`"), "{:?}", document.objects.rejected);
    }

    #[test]
    fn what_has_not_changed_is_taken_over() {
        let at = |n: &str| place("Ingress", &("default".into(), n.into()));
        let tree = |b: &str, from: &str| {
            let mut tree = Tree::default();
            for (name, rule) in [("a", "Path(`/a`)"), ("b", b)] {
                tree.put("http.routers", name, &json!({"rule": rule, "service": "s"}), &at(from));
            }
            tree.put("http.routers", "bad", &json!({"ruel": "x"}), &at("bad"));
            tree
        };
        let mut last = RoutingConfig::default();
        let first = tree("Path(`/b`)", "i").finish_after("test", &mut last);
        let second = tree("Path(`/c`)", "i").finish_after("test", &mut last);
        let same = |name: &str| std::sync::Arc::ptr_eq(&first.config.http.routers[name], &second.config.http.routers[name]);
        assert!(same("a") && !same("b") && same("bad"));
        assert_eq!(second.config, tree("Path(`/c`)", "i").finish("test").config);
        assert_eq!(second.objects.rejected, first.objects.rejected, "what is wrong with it is said again");
        let moved = tree("Path(`/c`)", "other").finish_after("test", &mut last);
        assert_eq!(moved.config.http.routers["a"].place.to_string(), "ingress default/other");
    }

    #[test]
    fn fenced_servers_are_read_and_their_change_is_seen() {
        let at = place("IngressRoute", &("default".into(), "i".into()));
        let tree = |fenced: bool| {
            let mut tree = Tree::default();
            let mut servers = json!([{"url": "http://a"}, {"url": "http://b"}]);
            if fenced {
                servers[1][FENCED] = true.into();
            }
            tree.put("http.services", "s", &json!({"loadBalancer": {"servers": servers}}), &at);
            tree
        };
        let mut last = RoutingConfig::default();
        let mut seen = |fenced| {
            let document = tree(fenced).finish_after("test", &mut last);
            let item = &document.config.http.services["s"];
            assert!(!item.has_errors() && document.objects.rejected.is_empty(), "{:?}", document.objects.rejected);
            let servers = &item.config.load_balancer.as_ref().unwrap().servers;
            (servers.iter().map(|s| s.fenced).collect::<Vec<_>>(), item.digest)
        };
        let (open, fenced, again, opened) = (seen(false), seen(true), seen(true), seen(false));
        assert_eq!([&open.0, &fenced.0], [&[false, false], &[false, true]]);
        assert_eq!((&fenced, &opened), (&again, &open));
        assert_ne!(open.1, fenced.1);
    }

    #[test]
    fn what_has_become_a_secret_is_shown_no_more() {
        let at = place("Middleware", &("default".into(), "m".into()));
        let tree = |secret: bool| {
            let mut tree = Tree::default();
            tree.put("http.middlewares", "m", &json!({"plugin": {"p": {"token": "hidden"}}}), &at);
            if secret {
                tree.conceal("m", &json!({"plugin": {"p": {"token": "urn"}}}), &at);
            }
            tree
        };
        let mut last = RoutingConfig::default();
        let mut shown = |secret| {
            let config = tree(secret).finish_after("test", &mut last).config;
            let item = &config.http.middlewares["m"];
            assert_eq!(item.config.node.to_json()["p"]["token"], "hidden");
            item.shown().map(|s| s.config.node.to_json()["p"]["token"].clone())
        };
        assert_eq!([shown(false), shown(true), shown(true), shown(false)], [None, Some(json!("urn")), Some(json!("urn")), None]);
    }
}
