//! All keys of a store, as objects, and the configuration that they make.

use super::{Change, News, Pairs};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use torana_base::{Diagnostic, Place};
use torana_config::kv;
use torana_config::routing::{self, Item, Rejected, RoutingConfig};
use torana_extend::{Document, Objects, RejectedObject};

/// The trees of a configuration.
const TREES: [&str; 5] = ["http", "tcp", "udp", "tls", "plugins"];

/// Begin of the keys of one object, in lower case but for its name: `http/routers/Blog`, `tls/certificates`,
/// `plugins/Limits`. What belongs to no object has at most two parts too.
type Group = Arc<str>;

pub(super) struct Keys {
    provider: &'static str,
    root: String,
    groups: BTreeMap<Group, Pairs>,
    /// Of other things; those of people are left alone, but told.
    strangers: BTreeSet<String>,
    /// Groups that are not in `config` as they are in `groups`.
    dirty: BTreeSet<Group>,
    strangers_changed: bool,
    config: RoutingConfig,
    found: BTreeMap<Group, Found>,
    /// What the user should know of the store.
    pub(super) notes: Vec<Diagnostic>,
    noted: Vec<Diagnostic>,
}

/// What came of a group beside its configuration.
#[derive(Default)]
struct Found {
    diagnostics: Vec<Diagnostic>,
    unbuilt: Vec<Rejected>,
    reasons: Vec<String>,
}

impl Keys {
    pub(super) fn new(provider: &'static str, root: &str) -> Self {
        Keys {
            provider,
            root: root.to_owned(),
            groups: BTreeMap::new(),
            strangers: BTreeSet::new(),
            dirty: BTreeSet::new(),
            strangers_changed: false,
            config: RoutingConfig::default(),
            found: BTreeMap::new(),
            notes: Vec::new(),
            noted: Vec::new(),
        }
    }

    pub(super) fn changed(&self) -> bool {
        !self.dirty.is_empty() || self.strangers_changed || self.notes != self.noted
    }

    pub(super) fn take(&mut self, news: News) -> Result<(), String> {
        match news? {
            Change::All(pairs) => self.replace(pairs),
            Change::Notes(notes) => self.notes = notes,
            Change::Some(changes) => changes.into_iter().for_each(|(key, value)| self.set(key, value)),
        }
        Ok(())
    }

    /// These, and no others.
    pub(super) fn replace(&mut self, pairs: Pairs) {
        let mut groups: BTreeMap<Group, Pairs> = BTreeMap::new();
        let mut strangers = BTreeSet::new();
        for (key, value) in pairs {
            match group(&key) {
                // Objects stand together: mostly it is the group of the key before.
                Some(g) => match groups.last_entry().filter(|last| **last.key() == *g) {
                    Some(mut last) => drop(last.get_mut().insert(key, value)),
                    None => drop(groups.entry(g.into()).or_default().insert(key, value)),
                },
                None => drop(strangers.insert(key)),
            }
        }
        for (g, pairs) in &groups {
            if self.groups.get(g) != Some(pairs) {
                self.dirty.insert(g.clone());
            }
        }
        self.dirty.extend(self.groups.keys().filter(|g| !groups.contains_key(*g)).cloned());
        self.strangers_changed |= self.strangers != strangers;
        self.groups = groups;
        self.strangers = strangers;
    }

    fn set(&mut self, key: String, value: Option<Vec<u8>>) {
        let Some(g) = group(&key) else {
            self.strangers_changed |= match value {
                Some(_) => self.strangers.insert(key),
                None => self.strangers.remove(&key),
            };
            return;
        };
        let (g, changed) = match (self.groups.get_key_value(&*g).map(|(g, _)| g.clone()), value) {
            (known, Some(value)) => {
                let g = known.unwrap_or_else(|| g.into());
                let pairs = self.groups.entry(g.clone()).or_default();
                let changed = pairs.get(&key) != Some(&value);
                pairs.insert(key, value);
                (g, changed)
            }
            (None, None) => return,
            (Some(g), None) => {
                let Some(pairs) = self.groups.get_mut(&g) else { return };
                let changed = pairs.remove(&key).is_some();
                if pairs.is_empty() {
                    self.groups.remove(&g);
                }
                (g, changed)
            }
        };
        if changed {
            self.dirty.insert(g);
        }
    }

    /// Decodes what has changed.
    pub(super) fn document(&mut self) -> Document {
        #[cfg(test)]
        assert!(!self.groups.contains_key("http/routers/a-bug"), "odd");
        let place = |key: &str| Place::whole(format!("{}, key `{}/{key}`", self.provider, self.root));
        for g in mem::take(&mut self.dirty) {
            remove(&mut self.config, &g);
            self.found.remove(&g);
            let Some(pairs) = self.groups.get(&g) else { continue };
            let (texts, binary) = texts(pairs, &self.root);
            let node = kv::tree(texts.iter().map(|(key, value)| (&**key, &**value)), &self.root, self.provider);
            let decoded = routing::decode(&node.value);
            let mut found = Found { diagnostics: node.diagnostics, ..Found::default() };
            found.diagnostics.extend(decoded.diagnostics);
            let mut config = decoded.value;
            found.unbuilt = mem::take(&mut config.rejected);
            let mut wrong: Vec<Diagnostic> = binary
                .iter()
                .map(|key| Diagnostic::error(key.replace('/', "."), "the value is not UTF-8").at(&place(key)).hint("write text"))
                .collect();
            add(&mut self.config, config, &mut wrong, &mut found.reasons);
            // No object took it.
            found.diagnostics.append(&mut wrong);
            let said = found.diagnostics.iter().chain(found.unbuilt.iter().map(|r| &r.diagnostic)).filter(|d| d.is_error());
            found.reasons.extend(said.map(reason));
            if !found.diagnostics.is_empty() || !found.unbuilt.is_empty() || !found.reasons.is_empty() {
                self.found.insert(g, found);
            }
        }
        self.strangers_changed = false;
        self.noted.clone_from(&self.notes);
        let mut diagnostics = self.notes.clone();
        if let Some(first) = self.strangers.iter().find(|k| !k.starts_with("x-")) {
            let n = self.strangers.len();
            let d =
                Diagnostic::warning("", format!("{n} keys below `{}` are ignored: they belong to no part of a configuration", self.root));
            diagnostics.push(d.at(&place(first)).hint(format!("configuration begins with one of {}", TREES.join(", "))));
        }
        diagnostics.extend(self.found.values().flat_map(|f| f.diagnostics.iter().cloned()));
        let rejected = self.found.iter().filter(|(_, f)| !f.reasons.is_empty());
        let rejected = rejected.map(|(g, f)| RejectedObject { name: format!("{}/{g}", self.root), reasons: f.reasons.clone() }).collect();
        let mut config = self.config.clone();
        config.rejected = self.found.values().flat_map(|f| f.unbuilt.iter().cloned()).collect();
        Document {
            provider: self.provider,
            config,
            diagnostics,
            objects: Objects { seen: self.groups.len(), rejected },
            ..Document::default()
        }
    }
}

/// `None` for what belongs to no tree.
fn group(key: &str) -> Option<String> {
    // as the decoder reads them
    let mut parts = key.split('/').filter(|p| !p.is_empty());
    let tree = parts.next()?.to_ascii_lowercase();
    if !TREES.contains(&&*tree) {
        return None;
    }
    let Some(second) = parts.next() else { return Some(tree) };
    if tree == "plugins" {
        return Some(format!("{tree}/{second}"));
    }
    let section = second.to_ascii_lowercase();
    match parts.next() {
        Some(name) if section != "certificates" => Some(format!("{tree}/{section}/{name}")),
        _ => Some(format!("{tree}/{section}")),
    }
}

/// Whole keys with their values as text, and the keys below the root of those that are none.
fn texts<'a>(pairs: &'a Pairs, root: &str) -> (Vec<(String, Cow<'a, str>)>, Vec<&'a str>) {
    let text = |(key, value): (&'a String, &'a Vec<u8>)| (format!("{root}/{key}"), String::from_utf8_lossy(value));
    let binary = pairs.iter().filter(|(_, value)| std::str::from_utf8(value).is_err());
    (pairs.iter().map(text).collect(), binary.map(|(key, _)| key.as_str()).collect())
}

fn reason(d: &Diagnostic) -> String {
    let at = if d.key.is_empty() { String::new() } else { format!("{}: ", d.key) };
    let hint = d.hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
    format!("{at}{}{hint}", d.message)
}

/// Hands the begin of the groups of each map of objects, and the map itself, to a macro.
macro_rules! maps {
    ($each:ident) => {
        $each! {
            "http/routers" http routers, "http/services" http services, "http/middlewares" http middlewares,
            "http/serverstransports" http servers_transports,
            "tcp/routers" tcp routers, "tcp/services" tcp services, "tcp/middlewares" tcp middlewares,
            "tcp/serverstransports" tcp servers_transports,
            "udp/routers" udp routers, "udp/services" udp services,
            "tls/options" tls options, "tls/stores" tls stores
        }
    };
}

fn remove(config: &mut RoutingConfig, group: &str) {
    if group == "tls/certificates" {
        config.tls.certificates.clear();
    }
    let name = |section| group.strip_prefix(section).and_then(|g: &str| g.strip_prefix('/'));
    macro_rules! each {
        ($($section:literal $tree:ident $map:ident),+) => {
            $(if let Some(name) = name($section) { config.$tree.$map.remove(name); })+
        };
    }
    maps!(each);
    if let Some(name) = name("plugins") {
        config.plugins.remove(name);
    }
}

/// Moves the objects of one group over; `wrong` goes to the object, and its mistakes to `reasons`.
fn add(config: &mut RoutingConfig, from: RoutingConfig, wrong: &mut Vec<Diagnostic>, reasons: &mut Vec<String>) {
    fn look<T>(item: &mut Arc<Item<T>>, wrong: &mut Vec<Diagnostic>, reasons: &mut Vec<String>) {
        if let Some(item) = Arc::get_mut(item) {
            item.diagnostics.append(wrong);
        }
        reasons.extend(item.diagnostics.iter().filter(|d| d.is_error()).map(reason));
    }
    let mut certificates = from.tls.certificates;
    macro_rules! each {
        ($($section:literal $tree:ident $map:ident),+) => {
            $(for (name, mut item) in from.$tree.$map {
                look(&mut item, wrong, reasons);
                config.$tree.$map.insert(name, item);
            })+
        };
    }
    maps!(each);
    for (name, mut item) in from.plugins {
        look(&mut item, wrong, reasons);
        config.plugins.insert(name, item);
    }
    certificates.iter_mut().for_each(|item| look(item, wrong, reasons));
    config.tls.certificates.append(&mut certificates);
}
