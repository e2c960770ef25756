//! Keys of a store: `traefik/http/routers/web/rule`.

use super::{MAX_DEPTH, Raw};
use crate::node::{Key, Node, Value};
use crate::schema::{self, Branch, Kind};
use torana_base::{Checked, Diagnostic, Place};

/// The tree of all keys below `root`, for [`crate::routing::decode`]; what is wrong with one object is found
/// there, and disables that object alone. `owner` names the store in messages. The diagnostics tell keys that
/// have no effect.
///
/// Names between slashes match options without case. Where a list belongs they are its numbers, whose order is
/// that of the texts (`10` before `2`), as in Traefik.
pub fn tree<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, root: &str, owner: &str) -> Checked<Node> {
    let root = root.trim_matches('/');
    let mut diagnostics = Vec::new();
    let mut found: Vec<(String, &str, &str, &str)> = Vec::new();
    for (key, value) in pairs {
        let trimmed = key.trim_start_matches('/');
        let Some(path) = trimmed.strip_prefix(root).and_then(|p| if root.is_empty() { Some(p) } else { p.strip_prefix('/') }) else {
            continue;
        };
        // stores keep directories as keys that end in a slash
        if path.is_empty() || path.ends_with('/') && value.is_empty() {
            continue;
        }
        found.push((path.to_ascii_lowercase(), path, key, value));
    }
    found.sort_unstable();
    let mut raw = Raw::new("", &Place::whole(format!("{owner}, key `{root}`")));
    for (_, path, key, value) in &found {
        let place = Place::whole(format!("{owner}, key `{key}`"));
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        if parts.len() > MAX_DEPTH {
            let d = Diagnostic::warning("", "a key with that many parts is ignored").at(&place);
            diagnostics.push(d.hint("no option stands so deep"));
            continue;
        }
        raw.insert(parts, value, &place);
    }
    Checked { value: node(&raw, Some(&schema::routing().root)), diagnostics }
}

fn node(raw: &Raw, branch: Option<&Branch>) -> Node {
    if raw.children.is_empty() {
        return raw.value.clone().unwrap_or_else(|| Node::empty(raw.place.clone()));
    }
    let numbered = raw.children.iter().all(|c| c.name.bytes().all(|b| b.is_ascii_digit()));
    let list = match branch {
        Some(b) if b.is_free() => numbered,
        Some(b) => numbered && b.kind() == Kind::List,
        None => false,
    };
    let value = if list {
        let item = branch.and_then(|b| if b.is_free() { Some(b) } else { b.item.as_deref() });
        Value::List(raw.children.iter().map(|c| node(c, item)).collect())
    } else {
        let below = |c: &Raw| branch.and_then(|b| if b.is_free() { Some(b) } else { b.child(&c.name) });
        let key = |c: &Raw| Key { text: c.name.clone(), place: c.place.clone() };
        Value::Map(raw.children.iter().map(|c| (key(c), node(c, below(c)))).collect())
    };
    Node::new(raw.place.clone(), value)
}

#[cfg(test)]
#[path = "kv_tests.rs"]
mod tests;
