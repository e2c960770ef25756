//! Nodes to Rust types through serde. Scalars convert by the type that is asked for, field names match
//! without case, and every mistake is collected with its place, not only the first.

use crate::node::{Key, Node, Value, parse_bool, parse_int};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use torana_base::{Checked, Diagnostic, Place, closest};

/// Mistakes looked for in one object, at most.
const MAX_MISTAKES: usize = 50;

/// `node` as a `T`, or everything that is wrong with it. `key` is the dotted path that diagnostics start with.
///
/// Null means "not written": an optional field stays `None`, any other takes its default. A bare `true` is
/// a block without options and a bare `false` a block that is not there. A scalar where a list belongs is
/// split at commas.
pub fn from_node<T: DeserializeOwned>(node: &Node, key: &str) -> Result<T, Vec<Diagnostic>> {
    let (value, diagnostics) = run(node, key, true);
    match value {
        Some(v) if diagnostics.is_empty() => Ok(v),
        _ => Err(diagnostics),
    }
}

/// Like [`from_node`], but what is wrong is left out and the rest kept. Unknown keys are not looked for:
/// the option table has done so.
pub fn read<T: DeserializeOwned + Default>(node: &Node, key: &str) -> Checked<T> {
    let (value, diagnostics) = run(node, key, false);
    Checked { value: value.unwrap_or_default(), diagnostics }
}

/// Asks [`NodeDe`] for the tree itself.
const TREE: &str = "torana::Node";

thread_local! {
    /// The tree on its way from [`NodeDe`] to [`tree`]: serde's values have no places.
    static HANDED: Cell<Option<Node>> = const { Cell::new(None) };
}

/// A block of free-form options as it was written, keys and places included; a map without entries for a bare
/// `true`. Only for what is read by this module.
pub(crate) fn tree<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
    struct Take;
    impl<'de> Visitor<'de> for Take {
        type Value = Node;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a tree with places")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
            HANDED.take().ok_or_else(|| E::custom("no tree was handed over"))
        }
    }
    deserializer.deserialize_newtype_struct(TREE, Take)
}

/// [`tree`] for a field that may be absent.
pub(crate) fn some_tree<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Node>, D::Error> {
    tree(deserializer).map(Some)
}

/// Free-form blocks by name. Null is a block without options, `false` one that is not there; the option table
/// refuses other scalars and lists.
pub(crate) fn trees<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Node>, D::Error> {
    let named = tree(deserializer)?;
    let there = named.entries().iter().filter(|(_, node)| node.as_bool() != Some(false));
    Ok(there.map(|(name, node)| (name.text.clone(), node.as_block())).collect())
}

/// Reads again and again, each time without the nodes that failed before.
fn run<T: DeserializeOwned>(node: &Node, key: &str, deny_unknown: bool) -> (Option<T>, Vec<Diagnostic>) {
    let cx = Cx { deny_unknown, skip: RefCell::default(), unknown: RefCell::default() };
    let mut diagnostics = Vec::new();
    let mut rounds = 0;
    let value = loop {
        cx.unknown.borrow_mut().clear();
        let root = Path { up: None, part: Part::Root(key) };
        match T::deserialize(NodeDe { cx: &cx, path: &root, src: Src::Node(node) }) {
            Ok(value) => break Some(value),
            Err(Error(failure)) => {
                let Failure { diagnostic, node: culprit, absent } = *failure;
                rounds += 1;
                let again = culprit.filter(|at| *at != address(node) && rounds <= MAX_MISTAKES);
                if !absent || again.is_none() {
                    diagnostics.push(diagnostic);
                }
                match again {
                    Some(at) => cx.skip.borrow_mut().push(at),
                    None => break None,
                }
            }
        }
    };
    diagnostics.append(&mut cx.unknown.borrow_mut());
    (value, diagnostics)
}

struct Cx {
    deny_unknown: bool,
    /// Addresses of nodes that count as not written.
    skip: RefCell<Vec<usize>>,
    unknown: RefCell<Vec<Diagnostic>>,
}

impl Cx {
    fn skips(&self, node: &Node) -> bool {
        let skip = self.skip.borrow();
        !skip.is_empty() && skip.contains(&address(node))
    }
}

/// Which node of the tree this is; only ever compared.
fn address(node: &Node) -> usize {
    std::ptr::from_ref(node) as usize
}

/// Where in the tree we are: a list on the stack, so that nothing is written down unless something is wrong.
pub(crate) struct Path<'a> {
    pub(crate) up: Option<&'a Path<'a>>,
    pub(crate) part: Part<'a>,
}

pub(crate) enum Part<'a> {
    Root(&'a str),
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// The last key on the way.
    pub(crate) fn last(&self) -> &'a str {
        match self.part {
            Part::Key(key) => key,
            Part::Root(key) => key.rsplit('.').next().unwrap_or(key),
            Part::Index(_) => self.up.map_or("", Path::last),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(up) = self.up {
            up.fmt(f)?;
        }
        match self.part {
            Part::Root(key) => f.write_str(key),
            Part::Key(key) => match self.up {
                Some(Path { part: Part::Root(""), .. }) | None => f.write_str(key),
                _ => write!(f, ".{key}"),
            },
            Part::Index(i) => write!(f, "[{i}]"),
        }
    }
}

/// Boxed, since it goes up through every level.
struct Error(Box<Failure>);

struct Failure {
    diagnostic: Diagnostic,
    /// The node that cannot be read, once known.
    node: Option<usize>,
    /// Not a mistake: the node says that its block is not there.
    absent: bool,
}

impl Error {
    fn new(message: impl Into<String>) -> Self {
        Error(Box::new(Failure { diagnostic: Diagnostic::error("", message), node: None, absent: false }))
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.diagnostic.hint = Some(hint.into());
        self
    }

    /// Says where, unless a deeper level already did.
    fn or_at(mut self, path: &Path<'_>, node: Option<&Node>) -> Self {
        if self.0.node.is_none() {
            self.0.diagnostic.key = path.to_string();
            self.0.diagnostic.place = node.map(|n| n.place.clone());
            self.0.node = node.map(address);
        }
        self
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.diagnostic.fmt(f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.diagnostic.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    /// A text of the form `what is wrong: what to do` is split into message and hint.
    fn custom<M: fmt::Display>(message: M) -> Self {
        let text = message.to_string();
        match text.split_once(": write ") {
            Some((what, hint)) => Error::new(what).hint(format!("write {hint}")),
            None => Error::new(text),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Error::new(format!("`{field}` is missing"))
    }
}

#[derive(Clone, Copy)]
enum Src<'a> {
    Node(&'a Node),
    /// A key, or one part of a list written with commas; the node is the one that it stands in.
    Text(&'a str, &'a Node),
}

#[derive(Clone, Copy)]
struct NodeDe<'a> {
    cx: &'a Cx,
    path: &'a Path<'a>,
    src: Src<'a>,
}

impl<'a> NodeDe<'a> {
    fn node(&self) -> &'a Node {
        match self.src {
            Src::Node(n) | Src::Text(_, n) => n,
        }
    }

    /// The text of a scalar and whether it was unquoted.
    fn scalar(&self) -> Option<(&'a str, bool)> {
        match self.src {
            Src::Text(t, _) => Some((t, true)),
            Src::Node(Node { value: Value::Scalar { text, plain }, .. }) => Some((text, *plain)),
            Src::Node(_) => None,
        }
    }

    fn text(&self, what: &str) -> Result<&'a str, Error> {
        match (self.src, self.scalar()) {
            (_, Some((text, _))) => Ok(text),
            (Src::Node(Node { value: Value::Null, .. }), _) => Ok(""),
            _ => Err(self.wrong(what)),
        }
    }

    fn wrong(&self, wanted: &str) -> Error {
        let found = match (self.src, self.scalar()) {
            (_, Some((text, _))) => format!("`{}`", text.chars().take(60).collect::<String>()),
            (Src::Node(Node { value: Value::List(_), .. }), _) => "a list".to_owned(),
            (Src::Node(Node { value: Value::Map(_), .. }), _) => "a block of options".to_owned(),
            _ => "nothing".to_owned(),
        };
        self.at(Error::new(format!("{wanted} belongs here, not {found}")))
    }

    fn at(&self, e: Error) -> Error {
        e.or_at(self.path, Some(self.node()))
    }

    fn int<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = self.text("a whole number")?.trim();
        let n = text.parse::<i128>().ok().or_else(|| parse_int(text)).ok_or_else(|| self.wrong("a whole number"))?;
        let read = match (i64::try_from(n), u64::try_from(n)) {
            (Ok(n), _) => visitor.visit_i64(n),
            (_, Ok(n)) => visitor.visit_u64(n),
            _ => Err(Error::new("")),
        };
        read.map_err(|_: Error| self.at(Error::new(format!("`{text}` is out of range"))))
    }

    fn float<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let n = self.text("a number")?.trim().parse::<f64>().map_err(|_| self.wrong("a number"))?;
        visitor.visit_f64(n).map_err(|e| self.at(e))
    }

    fn string<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text("a text")?).map_err(|e| self.at(e))
    }

    /// The entries of a block, whose absence is an error that counts as no mistake.
    fn entries(&self) -> Result<&'a [(Key, Node)], Error> {
        match self.src {
            Src::Node(Node { value: Value::Map(entries), .. }) => Ok(entries.as_slice()),
            Src::Node(Node { value: Value::Null, .. }) => Ok(&[]),
            _ => match self.scalar() {
                Some((text, _)) if text.is_empty() || parse_bool(text) == Some(true) => Ok(&[]),
                Some((text, _)) if parse_bool(text) == Some(false) => {
                    let mut e = self.wrong("a block of options");
                    e.0.absent = true;
                    Err(e)
                }
                _ => Err(self.wrong("a block of options")),
            },
        }
    }

    fn block<'de, V: Visitor<'de>>(self, fields: Option<&'static [&'static str]>, visitor: V) -> Result<V::Value, Error> {
        let entries = self.entries()?;
        let access = Entries { de: self, fields, entries: entries.iter(), now: None, seen: Vec::new() };
        visitor.visit_map(access).map_err(|e| self.at(e))
    }
}

macro_rules! forward {
    ($($from:ident)* => $to:ident) => {
        $(fn $from<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> { self.$to(visitor) })*
    };
}

impl<'de> Deserializer<'de> for NodeDe<'_> {
    type Error = Error;

    forward!(deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 => int);
    forward!(deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 => int);
    forward!(deserialize_f32 deserialize_f64 => float);
    forward!(deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_identifier => string);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (self.src, self.scalar()) {
            (_, Some((text, plain))) => {
                let number = || plain.then(|| parse_int(text)).flatten().and_then(|n| i64::try_from(n).ok());
                match text {
                    "true" | "false" if plain => self.deserialize_bool(visitor),
                    _ if number().is_some() => self.int(visitor),
                    _ if plain && text.parse::<f64>().is_ok_and(f64::is_finite) => self.float(visitor),
                    _ => self.string(visitor),
                }
            }
            (Src::Node(Node { value: Value::List(_), .. }), _) => self.deserialize_seq(visitor),
            (Src::Node(Node { value: Value::Map(_), .. }), _) => self.deserialize_map(visitor),
            _ => visitor.visit_unit().map_err(|e| self.at(e)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.scalar().and_then(|(text, _)| parse_bool(text.trim())) {
            Some(b) => visitor.visit_bool(b).map_err(|e| self.at(e)),
            None => Err(self.wrong("`true` or `false`")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.src {
            Src::Node(n) if n.is_null() || self.cx.skips(n) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name == TREE {
            self.entries()?;
            HANDED.set(Some(self.node().as_block()));
            return visitor.visit_unit();
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = match self.src {
            Src::Node(Node { value: Value::List(items), .. }) => Items::Nodes(items.iter()),
            Src::Node(Node { value: Value::Null, .. }) => Items::Nodes([].iter()),
            _ => match self.scalar() {
                Some((text, _)) if text.trim().is_empty() => Items::Nodes([].iter()),
                Some((text, _)) => Items::Parts(text.split(','), self.node()),
                None => return Err(self.wrong("a list")),
            },
        };
        visitor.visit_seq(Elements { de: self, items, index: 0 }).map_err(|e| self.at(e))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.block(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.block(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, variants: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        let text = self.text("one word")?.trim();
        let Some(name) = variants.iter().find(|v| v.eq_ignore_ascii_case(text)) else {
            let e = Error::new(format!("`{text}` is not known here")).hint(match closest(text, variants.iter().copied()) {
                Some(near) => format!("did you mean `{near}`? known here: {}", variants.join(", ")),
                None => format!("known here: {}", variants.join(", ")),
            });
            return Err(self.at(e));
        };
        visitor.visit_enum((*name).into_deserializer()).map_err(|e| self.at(e))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

/// The entries of a block: of a struct when `fields` are known, else of a map.
struct Entries<'a> {
    de: NodeDe<'a>,
    fields: Option<&'static [&'static str]>,
    entries: std::slice::Iter<'a, (Key, Node)>,
    now: Option<(&'a str, &'a Node)>,
    seen: Vec<(&'static str, &'a Place)>,
}

impl<'a> Entries<'a> {
    /// The canonical name of a field, `None` for one that is to be left out.
    fn field(&mut self, fields: &'static [&'static str], key: &'a Key) -> Option<&'static str> {
        let found = fields.iter().find(|f| **f == key.text).or_else(|| fields.iter().find(|f| f.eq_ignore_ascii_case(&key.text)));
        let cx = self.de.cx;
        let say = |d: Diagnostic| {
            if cx.deny_unknown {
                let below = Path { up: Some(self.de.path), part: Part::Key(&key.text) };
                cx.unknown.borrow_mut().push(Diagnostic { key: below.to_string(), ..d.at(&key.place) });
            }
        };
        match found {
            None => {
                let d = Diagnostic::error("", format!("unknown option `{}`", key.text));
                say(match closest(&key.text, fields.iter().copied()) {
                    Some(near) => d.hint(format!("did you mean `{near}`?")),
                    None if fields.is_empty() => d.hint("no options are known here"),
                    None => d.hint(format!("known here: {}", fields.join(", "))),
                });
                None
            }
            Some(name) => match self.seen.iter().find(|(n, _)| n == name) {
                Some((_, first)) => {
                    say(Diagnostic::error("", format!("`{name}` is written twice"))
                        .hint(format!("the first is at {first}; remove one of them")));
                    None
                }
                None => {
                    self.seen.push((name, &key.place));
                    Some(name)
                }
            },
        }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        while let Some((key, node)) = self.entries.next() {
            let name = match self.fields {
                Some(fields) => match self.field(fields, key) {
                    Some(name) => name,
                    None => continue,
                },
                None => key.text.as_str(),
            };
            if node.is_null() || self.de.cx.skips(node) {
                continue;
            }
            self.now = Some((name, node));
            let path = Path { up: Some(self.de.path), part: Part::Key(name) };
            return seed.deserialize(NodeDe { cx: self.de.cx, path: &path, src: Src::Text(name, node) }).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (name, node) = self.now.take().ok_or_else(|| Error::new("a value was asked for before its key"))?;
        let path = Path { up: Some(self.de.path), part: Part::Key(name) };
        seed.deserialize(NodeDe { cx: self.de.cx, path: &path, src: Src::Node(node) }).map_err(|e| e.or_at(&path, Some(node)))
    }
}

enum Items<'a> {
    Nodes(std::slice::Iter<'a, Node>),
    Parts(std::str::Split<'a, char>, &'a Node),
}

struct Elements<'a> {
    de: NodeDe<'a>,
    items: Items<'a>,
    index: usize,
}

impl<'de> de::SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let src = loop {
            match &mut self.items {
                Items::Nodes(nodes) => match nodes.next() {
                    Some(n) if self.de.cx.skips(n) => self.index += 1,
                    // Of an item that is text, blanks at its ends do not count.
                    Some(n) => break n.as_str().filter(|s| s.trim() != *s).map_or(Src::Node(n), |s| Src::Text(s.trim(), n)),
                    None => return Ok(None),
                },
                Items::Parts(parts, node) => match parts.next() {
                    Some(part) => break Src::Text(part.trim(), node),
                    None => return Ok(None),
                },
            }
        };
        let path = Path { up: Some(self.de.path), part: Part::Index(self.index) };
        self.index += 1;
        seed.deserialize(NodeDe { cx: self.de.cx, path: &path, src }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Format, parse};
    use serde::Deserialize;
    use std::collections::BTreeMap;
    use torana_base::GoDuration;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct All {
        on: bool,
        count: i64,
        small: u16,
        ratio: f64,
        text: String,
        names: Vec<String>,
        codes: Vec<u16>,
        wait: GoDuration,
        mode: Mode,
        maybe: Option<bool>,
        block: Option<Block>,
        blocks: Vec<Block>,
        labels: BTreeMap<String, String>,
        #[serde(rename = "passTLS")]
        pass_tls: bool,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Block {
        deep: i32,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        #[default]
        Fast,
        Safe,
    }

    fn node(text: &str) -> Node {
        parse(text, Format::Yaml, "t.yml".into()).unwrap()
    }

    fn all(text: &str) -> Result<All, Vec<Diagnostic>> {
        from_node(&node(text), "k")
    }

    #[test]
    fn scalars_become_what_is_asked_for() {
        let base = All::default;
        for (text, expected) in [
            ("on: T\ncount: 0x10\nsmall: '7'\nratio: 1\n", All { on: true, count: 16, small: 7, ratio: 1.0, ..base() }),
            (
                "text: 5\nnames: a, b\ncodes: [500, '501']",
                All { text: "5".into(), names: vec!["a".into(), "b".into()], codes: vec![500, 501], ..base() },
            ),
            ("names: ''\ncodes: 502\nNAMES2: ~", All { codes: vec![502], ..base() }),
            ("wait: 90\nmode: SAFE\nmaybe: false", All { wait: GoDuration::from_secs(90), mode: Mode::Safe, maybe: Some(false), ..base() }),
            ("block: true", All { block: Some(Block::default()), ..base() }),
            ("block: {}", All { block: Some(Block::default()), ..base() }),
            ("block: false\nmaybe: ~\ntext: ~", base()),
            ("block:", base()),
            (
                "BLOCK: {Deep: 3}\nblocks: [{deep: 1}, true]",
                All { block: Some(Block { deep: 3 }), blocks: vec![Block { deep: 1 }, Block::default()], ..base() },
            ),
            (
                "labels: {X-Foo: bar, x-foo: 1, y: ~}",
                All { labels: [("X-Foo", "bar"), ("x-foo", "1")].map(|(k, v)| (k.into(), v.into())).into(), ..base() },
            ),
            ("passtls: 1", All { pass_tls: true, ..base() }),
        ] {
            let text = text.replace("NAMES2: ~", "");
            assert_eq!(all(&text).map_err(|d| format!("{d:?}")), Ok(expected), "{text}");
        }
    }

    #[test]
    fn free_form_blocks_keep_everything() {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        struct Free {
            #[serde(deserialize_with = "some_tree")]
            one: Option<Node>,
            #[serde(deserialize_with = "trees")]
            many: BTreeMap<String, Node>,
        }
        let tree = node("one: {B: ~, b: ['1', 2]}\nmany: {A: {X: 1}, n: ~, t: true, f: false}");
        let free: Free = from_node(&tree, "").unwrap();
        assert_eq!(free.one.as_ref(), tree.at("one"));
        let many: Vec<_> = free.many.iter().map(|(name, node)| format!("{name}={}@{}", node.to_json(), node.place)).collect();
        assert_eq!(many, [r#"A={"X":1}@t.yml:2:11"#, "n={}@t.yml:2:22", "t={}@t.yml:2:28"]);
        let free: Free = from_node(&node("one: true\nmany: {}"), "").unwrap();
        assert_eq!(free.one.map(|n| n.value), Some(Value::Map(Vec::new())));
        let free = read::<Free>(&node("one: false\nmany: 5"), "");
        assert!(free.value.one.is_none() && free.value.many.is_empty());
        let told: Vec<_> = free.diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["error: a block of options belongs here, not `5`\n  at  many  (t.yml:2:7)"]);
        assert!(serde_json::from_str::<Free>(r#"{"one": {}}"#).is_err());
    }

    #[test]
    fn every_mistake_is_told() {
        let wrong = all(
            "on: yes\ncounted: 1\ncount: x\nsmall: 70000\nblock: {deeep: 1, deep: []}\ncodes: [1, z]\nmode: saef\nwait: soon\nOn: true",
        );
        let told: Vec<_> = wrong.unwrap_err().iter().map(ToString::to_string).collect();
        for expected in [
            "error: `true` or `false` belongs here, not `yes`\n  at  k.on  (t.yml:1:5)",
            "error: a whole number belongs here, not `x`\n  at  k.count  (t.yml:3:8)",
            "error: `70000` is out of range\n  at  k.small  (t.yml:4:8)",
            "error: a whole number belongs here, not a list\n  at  k.block.deep  (t.yml:5:25)",
            "error: unknown option `deeep`\n  at  k.block.deeep  (t.yml:5:9)\n  hint: did you mean `deep`?",
            "error: unknown option `counted`\n  at  k.counted  (t.yml:2:1)\n  hint: did you mean `count`?",
            "error: a whole number belongs here, not `z`\n  at  k.codes[1]  (t.yml:6:12)",
            "error: `saef` is not known here\n  at  k.mode  (t.yml:7:7)\n  hint: did you mean `safe`? known here: fast, safe",
            "error: `soon` is not a duration\n  at  k.wait  (t.yml:8:7)\n  hint: write `10s`, `1m30s`, `300ms`, or whole seconds",
            "error: `on` is written twice\n  at  k.On  (t.yml:9:1)\n  hint: the first is at t.yml:1:1; remove one of them",
        ] {
            assert!(told.iter().any(|t| t == expected), "{expected}\n--- not in\n{}", told.join("\n"));
        }
        assert_eq!(told.len(), 10);
    }

    #[test]
    fn the_rest_is_kept() {
        let kept = read::<All>(&node("count: 5\nsmall: x\nnames: [a, {}, b]"), "k");
        assert_eq!((kept.value.count, kept.value.names, kept.diagnostics.len()), (5, vec!["a".to_owned(), "b".to_owned()], 2));
        let none = read::<All>(&node("[1]"), "k");
        assert_eq!((none.value, none.diagnostics.len()), (All::default(), 1));
    }

    #[test]
    fn untyped_values_keep_their_kind() {
        let json: serde_json::Value = from_node(&node("{a: 1, b: 'x', c: [true, 1.5, '2'], d: {}}"), "").unwrap();
        assert_eq!(json.to_string(), r#"{"a":1,"b":"x","c":[true,1.5,"2"],"d":{}}"#);
    }
}
