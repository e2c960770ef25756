//! The one tree that every source of configuration becomes: values with the place they were written at.

use serde::{Serialize, Serializer};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use torana_base::Place;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

/// What a node holds. Scalars stay text until somebody asks for a type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    /// `plain`: written without quotes, so that `true` and `5` may mean a boolean and a number.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order written; no key occurs twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub text: String,
    pub place: Place,
}

impl Node {
    pub fn new(place: Place, value: Value) -> Self {
        Node { place, value }
    }

    /// A scalar that was not quoted, as flags and environment variables give it.
    pub fn plain(place: Place, text: impl Into<String>) -> Self {
        Node { place, value: Value::Scalar { text: text.into(), plain: true } }
    }

    /// A map without entries.
    pub fn empty(place: Place) -> Self {
        Node { place, value: Value::Map(Vec::new()) }
    }

    /// Itself when it is a map, else a map without entries in its place, as for null and `true`.
    pub(crate) fn as_block(&self) -> Node {
        match &self.value {
            Value::Map(_) => self.clone(),
            _ => Node::empty(self.place.clone()),
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The text of a scalar.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The boolean that a scalar spells (Go's `strconv.ParseBool`).
    pub fn as_bool(&self) -> Option<bool> {
        self.as_str().and_then(parse_bool)
    }

    /// The entries of a map, none for anything else.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list, none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entry of `name`: spelled exactly so, or else differing only in case.
    pub fn entry(&self, name: &str) -> Option<&(Key, Node)> {
        let entries = self.entries();
        position(entries, name).map(|i| &entries[i])
    }

    /// The value under `name`, found like [`Node::entry`].
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|(_, v)| v)
    }

    /// The node under a dotted path such as `entryPoints.web.http.tls.domains[0].main`.
    pub fn at(&self, path: &str) -> Option<&Node> {
        let mut node = self;
        for part in path.split('.').filter(|p| !p.is_empty()) {
            let (name, mut rest) = part.find('[').map_or((part, ""), |i| part.split_at(i));
            if !name.is_empty() {
                node = node.child(name)?;
            }
            while let Some((index, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
                node = node.items().get(index.parse::<usize>().ok()?)?;
                rest = after;
            }
        }
        Some(node)
    }

    /// Puts `child` under `name`, replacing what is there (found like [`Node::entry`]).
    /// Does nothing when `self` is not a map.
    pub fn insert(&mut self, key: Key, child: Node) {
        if let Value::Map(entries) = &mut self.value {
            match position(entries, &key.text) {
                Some(i) => entries[i].1 = child,
                None => entries.push((key, child)),
            }
        }
    }

    /// Lays `over` on top: maps are merged key by key (a key differing only in case is the same key),
    /// everything else, lists too, is replaced. A bare `true` over a map leaves the map: it only says
    /// that the block is there. Null leaves what is there.
    pub fn merge(&mut self, over: Node) {
        match over.value {
            Value::Null => {}
            Value::Scalar { ref text, .. } if matches!(self.value, Value::Map(_)) && parse_bool(text) == Some(true) => {}
            Value::Map(entries) if matches!(self.value, Value::Map(_)) => {
                let Value::Map(mine) = &mut self.value else { return };
                for (key, value) in entries {
                    match position(mine, &key.text) {
                        Some(i) => mine[i].1.merge(value),
                        None => mine.push((key, value)),
                    }
                }
            }
            value => *self = Node { place: over.place, value },
        }
    }

    /// Calls `visit` with the dotted path of every leaf: scalars, nulls, lists of scalars, empty maps.
    pub fn walk(&self, path: &str, visit: &mut dyn FnMut(&str, &Node)) {
        match &self.value {
            Value::Map(entries) if !entries.is_empty() => {
                for (key, value) in entries {
                    let below = if path.is_empty() { key.text.clone() } else { format!("{path}.{}", key.text) };
                    value.walk(&below, visit);
                }
            }
            Value::List(items) if items.iter().any(|i| matches!(i.value, Value::Map(_) | Value::List(_))) => {
                for (i, item) in items.iter().enumerate() {
                    item.walk(&format!("{path}[{i}]"), visit);
                }
            }
            _ => visit(path, self),
        }
    }

    /// A hash of the content, without places. Equal content written in the same order gives the same
    /// number in this process and in any other.
    pub fn digest(&self) -> u64 {
        let mut h = DefaultHasher::new();
        self.feed(&mut h);
        h.finish()
    }

    fn feed(&self, h: &mut DefaultHasher) {
        match &self.value {
            Value::Null => h.write_u8(0),
            Value::Scalar { text, plain } => {
                h.write_u8(1 + u8::from(*plain));
                text.hash(h);
            }
            Value::List(items) => {
                h.write_u8(3);
                h.write_usize(items.len());
                items.iter().for_each(|i| i.feed(h));
            }
            Value::Map(entries) => {
                h.write_u8(4);
                h.write_usize(entries.len());
                for (key, value) in entries {
                    key.text.hash(h);
                    value.feed(h);
                }
            }
        }
    }

    /// As JSON, unquoted scalars that look like booleans and numbers becoming such.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Scalar { text, plain: false } => Json::String(text.clone()),
            Value::Scalar { text, plain: true } => match text.as_str() {
                "true" | "True" | "TRUE" => Json::Bool(true),
                "false" | "False" | "FALSE" => Json::Bool(false),
                _ => parse_int(text)
                    .and_then(|n| i64::try_from(n).ok())
                    .map(Json::from)
                    .or_else(|| text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Json::Number))
                    .unwrap_or_else(|| Json::String(text.clone())),
            },
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => Json::Object(entries.iter().map(|(k, v)| (k.text.clone(), v.to_json())).collect()),
        }
    }
}

/// As [`Node::to_json`].
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(s)
    }
}

/// Where `name` is: spelled exactly so, or else differing only in case.
pub(crate) fn position(entries: &[(Key, Node)], name: &str) -> Option<usize> {
    entries.iter().position(|(k, _)| k.text == name).or_else(|| entries.iter().position(|(k, _)| k.text.eq_ignore_ascii_case(name)))
}

/// The spellings of Go's `strconv.ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// An integer as YAML and TOML write it: decimal, `0x`, `0o`, `0b`, an octal with a leading zero, digits
/// separated by `_`.
pub(crate) fn parse_int(text: &str) -> Option<i128> {
    if let Ok(n) = text.parse::<i64>()
        && !(text.len() > 1 && text.trim_start_matches(['-', '+']).starts_with('0'))
    {
        return Some(n.into());
    }
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| matches!(b, b'0'..=b'7' | b'_')) => (8, digits),
        _ => (10, digits),
    };
    if !digits.bytes().next()?.is_ascii_alphanumeric() || digits.ends_with('_') {
        return None;
    }
    let n = if digits.contains('_') { i128::from_str_radix(&digits.replace('_', ""), radix) } else { i128::from_str_radix(digits, radix) }
        .ok()?;
    Some(if negative { -n } else { n })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Format, parse};

    fn yaml(text: &str) -> Node {
        parse(text, Format::Yaml, "t.yml".into()).unwrap()
    }

    #[test]
    fn integers_in_every_spelling() {
        for (text, n) in
            [("12", 12), ("-3", -3), ("0x10", 16), ("0o17", 15), ("017", 15), ("1_000", 1000), ("0", 0), ("+5", 5), ("0b11", 3)]
        {
            assert_eq!(parse_int(text), Some(n), "{text}");
        }
        for text in ["", "-", "0x", "_1", "1_", "1.5", "abc", "0x-1", "１"] {
            assert_eq!(parse_int(text), None, "{text}");
        }
    }

    #[test]
    fn finds_children_without_case() {
        let n = yaml("A: {b: [x, {C: 5}]}\na: 1");
        assert_eq!(n.at("A.B[1].c").and_then(Node::as_str), Some("5"));
        assert_eq!(n.child("a").and_then(Node::as_str), Some("1"));
        assert!(n.at("A.b[7].c").is_none() && n.at("A.b[x]").is_none());
    }

    #[test]
    fn merges_maps_and_replaces_lists() {
        let mut n = yaml("api: {insecure: true}\nl: [1, 2]\neps: {Web: {address: ':1'}}\nx: {y: 1}");
        n.merge(yaml("API: true\nl: [3]\neps: {web: {asDefault: true}}\nx: false\nz: ~"));
        assert_eq!(
            n.to_json().to_string(),
            r#"{"api":{"insecure":true},"l":[3],"eps":{"Web":{"address":":1","asDefault":true}},"x":false,"z":null}"#
        );
    }

    #[test]
    fn digest_is_of_the_content_alone() {
        assert_eq!(yaml("a: {b: 1}").digest(), yaml("# c\na:\n  b: 1").digest());
        assert_ne!(yaml("a: {b: 1}").digest(), yaml("a: {b: '1'}").digest());
        assert_ne!(yaml("a: [b, c]").digest(), yaml("a: [bc]").digest());
    }
}
