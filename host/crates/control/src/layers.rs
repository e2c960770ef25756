//! Routers behind routers (`parentRefs`, features 2.3): who leads to whom, and what is wrong with that. Pure: from
//! the documents to names.

use crate::copies;
use crate::expand::Models;
use crate::resolve::Inputs;
use crate::tls_plan::TlsPlan;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_base::{Severity, provider_of, qualify};
use torana_config::routing::{Item, RouterConfig};

/// How many routers may stand behind each other. Traefik has no limit; here each layer takes room on the stack.
const MAX_LAYERS: u32 = 32;
/// How many ways may lead to a router: it is compiled once for each, and logged with all their names.
const MAX_WAYS: u32 = 1024;

/// What is wrong with a router's place among the others.
pub(crate) struct Wrong {
    /// The option that it is about.
    pub option: String,
    pub message: String,
    pub hint: &'static str,
    /// A child with a warning about a circle is not served either, as in Traefik; one about a missing parent is.
    pub severity: Severity,
    pub served: bool,
}

impl Wrong {
    fn error(option: impl Into<String>, message: impl Into<String>, hint: &'static str) -> Self {
        Wrong { option: option.into(), message: message.into(), hint, severity: Severity::Error, served: false }
    }
}

/// The routers that have a parent or children; empty where no router names a parent.
#[derive(Default)]
pub(crate) struct Layers {
    /// By name of the parent, which is that of a copy where there are several. Sorted.
    children: FxHashMap<Arc<str>, Vec<Arc<str>>>,
    /// Parents of a child, as linked.
    parents: FxHashMap<Arc<str>, Vec<Arc<str>>>,
    /// Entry points from which a child can be reached.
    reached: FxHashMap<Arc<str>, Vec<Arc<str>>>,
    wrong: FxHashMap<Arc<str>, Vec<Wrong>>,
    /// Children, each one after those behind it.
    order: Vec<(&'static str, String)>,
}

/// A router, or a copy of one for some entry points.
struct Node<'a> {
    provider: &'static str,
    name: &'a String,
    item: &'a Item<RouterConfig>,
    entry_points: Vec<Arc<str>>,
}

impl Layers {
    pub(crate) fn new(models: &Models, inputs: &Inputs, plan: &TlsPlan) -> Self {
        let mut layers = Layers::default();
        if !inputs.values().flat_map(|c| c.http.routers.values()).any(|i| is_child(i)) {
            return layers;
        }
        let mut nodes: BTreeMap<Arc<str>, Node<'_>> = BTreeMap::new();
        let mut copies_of: FxHashMap<Arc<str>, Vec<Arc<str>>> = FxHashMap::default();
        for (provider, config) in inputs {
            for (name, item) in &config.http.routers {
                let qualified: Arc<str> = qualify(name, provider).into();
                let node = |entry_points| Node { provider, name, item, entry_points };
                if is_child(item) {
                    nodes.insert(qualified.clone(), node(Vec::new()));
                    copies_of.insert(qualified.clone(), vec![qualified]);
                    continue;
                }
                for copy in copies::of(models, item, &qualified, provider, plan) {
                    let served = copy.entry_points.into_iter().filter(|e| models.model(e).is_some()).collect();
                    copies_of.entry(qualified.clone()).or_default().push(copy.name.clone());
                    nodes.insert(copy.name, node(served));
                }
            }
        }
        // The router itself goes before its copies.
        copies_of.iter_mut().for_each(|(name, copies)| copies.sort_by_key(|c| c != name));
        layers.link(models, &nodes, &copies_of);
        let post_order = layers.walk(&nodes);
        layers.judge(&nodes, &post_order);
        let children = post_order.iter().filter_map(|n| nodes.get(n)).filter(|n| is_child(n.item));
        layers.order = children.map(|n| (n.provider, n.name.clone())).collect();
        // Those that nothing leads to are shown too.
        let seen: FxHashSet<&Arc<str>> = post_order.iter().collect();
        let lost = nodes.iter().filter(|(name, n)| is_child(n.item) && !seen.contains(name));
        layers.order.extend(lost.map(|(_, n)| (n.provider, n.name.clone())));
        layers
    }

    /// Whether no router stands behind another.
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Children of a router, by the name of its copy.
    pub(crate) fn children(&self, name: &str) -> &[Arc<str>] {
        self.children.get(name).map_or(&[], Vec::as_slice)
    }

    /// Parents as linked: copies in place of routers that have several.
    pub(crate) fn parents(&self, name: &str) -> &[Arc<str>] {
        self.parents.get(name).map_or(&[], Vec::as_slice)
    }

    /// Entry points from which a child can be reached.
    pub(crate) fn reached(&self, name: &str) -> &[Arc<str>] {
        self.reached.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn wrong(&self, name: &str) -> &[Wrong] {
        self.wrong.get(name).map_or(&[], Vec::as_slice)
    }

    /// All children, each one after those behind it: provider and name.
    pub(crate) fn order(&self) -> &[(&'static str, String)] {
        &self.order
    }

    fn tell(&mut self, name: &Arc<str>, wrong: Wrong) {
        self.wrong.entry(name.clone()).or_default().push(wrong);
    }

    fn link(&mut self, models: &Models, nodes: &BTreeMap<Arc<str>, Node<'_>>, copies_of: &FxHashMap<Arc<str>, Vec<Arc<str>>>) {
        for (child, node) in nodes.iter().filter(|(_, n)| is_child(n.item)) {
            for (i, written) in node.item.config.parent_refs.iter().enumerate() {
                let parent: Arc<str> = qualify(written, node.provider).into();
                // The gateway's own routers are nobody else's to redirect.
                let foreign = provider_of(&parent) == "internal" && node.provider != "internal";
                let found = match (copies_of.get(&parent), nodes.get_key_value(&parent)) {
                    _ if foreign => &[][..],
                    (Some(copies), _) => copies.as_slice(),
                    (None, Some((copy, _))) => std::slice::from_ref(copy),
                    (None, None) => &[][..],
                };
                if found.is_empty() {
                    // With defaults of entry points Traefik forgets such a reference.
                    let forgiven = models.carry_defaults() && node.item.config.parent_refs.len() > 1;
                    let option = format!("parentRefs[{i}]");
                    let text = format!("parent router \"{parent}\" does not exist");
                    let mut wrong = Wrong::error(option, text, "name a router, with its provider where that is another one");
                    if forgiven {
                        (wrong.severity, wrong.served) = (Severity::Warning, true);
                    } else {
                        self.parents.entry(child.clone()).or_default().push(parent);
                    }
                    self.tell(child, wrong);
                    continue;
                }
                self.parents.entry(child.clone()).or_default().extend(found.iter().cloned());
                for p in found {
                    let children = self.children.entry(p.clone()).or_default();
                    if !children.contains(child) {
                        children.push(child.clone());
                    }
                }
            }
            let config = &node.item.config;
            let forbidden = if config.tls.is_some() {
                Some(("tls", "TLS"))
            } else if config.observability.is_some() {
                Some(("observability", "Observability"))
            } else {
                (!config.entry_points.is_empty()).then_some(("entryPoints", "Entrypoints"))
            };
            if let Some((option, shown)) = forbidden {
                let text = format!("non-root router cannot have {shown} configuration");
                self.tell(child, Wrong::error(option, text, "write it at the routers without `parentRefs` that lead here"));
            }
        }
        self.children.values_mut().for_each(|c| c.sort_unstable());
    }

    /// Goes down from all roots and takes out what closes a circle. What was seen, children before parents.
    fn walk(&mut self, nodes: &BTreeMap<Arc<str>, Node<'_>>) -> Vec<Arc<str>> {
        let mut seen: FxHashSet<Arc<str>> = FxHashSet::default();
        let mut done = Vec::new();
        for (root, _) in nodes.iter().filter(|(_, n)| !is_child(n.item)) {
            // The way down, each with the children that are still to be looked at.
            let mut on_way = FxHashSet::from_iter([root.clone()]);
            let mut way = vec![(root.clone(), self.children(root).to_vec().into_iter())];
            seen.insert(root.clone());
            while let Some((at, rest)) = way.last_mut() {
                let Some(child) = rest.next() else {
                    on_way.remove(at);
                    done.push(at.clone());
                    way.pop();
                    continue;
                };
                if on_way.contains(&child) {
                    let from = way.iter().position(|(n, _)| *n == child).unwrap_or_default();
                    let names = way[from..].iter().map(|(n, _)| &**n).chain([&*child]);
                    let text = format!("cyclic reference detected in router tree: {}", names.collect::<Vec<_>>().join(" -> "));
                    if let Some((guilty, _)) = way.last().cloned() {
                        self.children.entry(guilty.clone()).or_default().retain(|c| *c != child);
                        let hint = "take one of these routers out of `parentRefs`";
                        self.tell(&guilty, Wrong { severity: Severity::Warning, ..Wrong::error("parentRefs", text, hint) });
                    }
                } else if seen.insert(child.clone()) {
                    let behind = self.children(&child).to_vec().into_iter();
                    on_way.insert(child.clone());
                    way.push((child, behind));
                }
            }
        }
        self.children.retain(|_, c| !c.is_empty());
        done
    }

    /// Says what each router lacks, or has too much of, once circles are gone.
    fn judge(&mut self, nodes: &BTreeMap<Arc<str>, Node<'_>>, post_order: &[Arc<str>]) {
        let seen: FxHashSet<&Arc<str>> = post_order.iter().collect();
        for (name, node) in nodes {
            let (leads, serves) = (!self.children(name).is_empty(), node.item.config.service.is_some());
            let wrong = match (seen.contains(name), leads, serves) {
                (false, ..) => Wrong::error("parentRefs", "router is not reachable", "name a parent that an entry point leads to"),
                (_, true, true) => Wrong::error(
                    "service",
                    "router has both a service and is referenced as a parent by other routers",
                    "requests go to the routers behind it: remove `service`, or give it to a router of its own behind this one",
                ),
                // Of a router without children its own build says so.
                (_, false, false) if is_child(node.item) && !node.item.has_errors() => {
                    Wrong::error("service", "router has no service and no child routers", "name one of http.services")
                }
                _ => continue,
            };
            self.tell(name, wrong);
        }
        // From the roots down: how deep, by how many ways, and from which entry points.
        let mut ways: FxHashMap<Arc<str>, (u32, u32)> = FxHashMap::default();
        for name in post_order.iter().rev() {
            let root = nodes.get(name).filter(|n| !is_child(n.item));
            let (depth, count) = *ways.entry(name.clone()).or_insert((0, 1));
            let entry_points = match root {
                Some(root) => root.entry_points.clone(),
                // What is not served leads nowhere.
                None if self.wrong(name).iter().any(|w| !w.served) => Vec::new(),
                None => self.reached(name).to_vec(),
            };
            for child in self.children(name).to_vec() {
                let below = ways.entry(child.clone()).or_insert((0, 0));
                *below = (below.0.max(depth + 1), below.1.saturating_add(count));
                let reached = self.reached.entry(child).or_default();
                for e in &entry_points {
                    if !reached.contains(e) {
                        reached.push(e.clone());
                    }
                }
            }
            if depth > MAX_LAYERS || count > MAX_WAYS {
                let text = format!("more than {MAX_LAYERS} routers stand before it, or more than {MAX_WAYS} ways lead to it");
                self.tell(name, Wrong::error("parentRefs", text, "put the rules of several layers into one"));
            }
        }
    }
}

/// Whether a router stands behind others.
pub(crate) fn is_child(item: &Item<RouterConfig>) -> bool {
    !item.config.parent_refs.is_empty()
}
