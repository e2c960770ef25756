//! Keys to the tree that configuration is read from.

use std::collections::BTreeMap;
use torana_base::{Checked, Diagnostic, Place};
use torana_config::node::{Key, Node, Value};
use torana_config::schema::{self, Branch, Kind};

/// Parts of a key, at most.
const DEEPEST: usize = 64;

/// Keys in the order of the store, which is also the order of lists: `servers/10` before `servers/2`, as in Traefik.
/// What is a list is known from the table of options.
pub(super) fn tree(pairs: &BTreeMap<&str, String>, place: &dyn Fn(&str) -> Place) -> Checked<Node> {
    let mut diagnostics = Vec::new();
    let mut root = Part::default();
    for (key, value) in pairs {
        let parts: Vec<&str> = key.split('/').filter(|p| !p.is_empty()).collect();
        if parts.len() > DEEPEST {
            let d = Diagnostic::error(parts[..3].join("."), "the key has too many parts");
            diagnostics.push(d.at(&place(key)));
            continue;
        }
        let mut at = &mut root;
        for part in parts {
            let i = at.below.iter().position(|(name, _)| *name == part).unwrap_or_else(|| {
                at.below.push((part, Part { key, ..Part::default() }));
                at.below.len() - 1
            });
            at = &mut at.below[i].1;
        }
        at.value = Some(value);
    }
    Checked { value: root.node(Some(&schema::routing().root), place), diagnostics }
}

#[derive(Default)]
struct Part<'a> {
    /// The first that led here.
    key: &'a str,
    value: Option<&'a str>,
    below: Vec<(&'a str, Part<'a>)>,
}

impl Part<'_> {
    fn node(&self, branch: Option<&Branch>, place: &dyn Fn(&str) -> Place) -> Node {
        let here = place(self.key);
        if let (Some(value), true) = (self.value, self.below.is_empty()) {
            return Node::plain(here, value);
        }
        let list = branch.is_some_and(|b| b.item.is_some() || b.row.is_some_and(|r| r.kind == Kind::List))
            && self.below.iter().all(|(name, _)| name.bytes().all(|b| b.is_ascii_digit()));
        if list {
            let item = branch.and_then(|b| b.item.as_deref());
            return Node::new(here, Value::List(self.below.iter().map(|(_, part)| part.node(item, place)).collect()));
        }
        let below = |name: &str| branch.and_then(|b| b.known(name).or(b.any.as_deref()));
        let entry =
            |(name, part): &(&str, Part<'_>)| (Key { text: (*name).to_owned(), place: place(part.key) }, part.node(below(name), place));
        Node::new(here, Value::Map(self.below.iter().map(entry).collect()))
    }
}
