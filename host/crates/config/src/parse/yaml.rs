//! YAML 1.2 events to nodes, without recursion: anchors, aliases, merge keys, no duplicate keys.

use super::{MAX_DEPTH, MAX_NODES};
use crate::node::{Key, Node, Value};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use torana_base::{Diagnostic, Place};

/// A list or map that is not finished.
struct Open {
    place: Place,
    anchor: usize,
    /// Height of the tallest finished child.
    height: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, key: Option<Key>, merged: Vec<Node> },
}

/// What an anchor stands for, with its size in nodes and its height in levels.
struct Anchored {
    node: Node,
    size: usize,
    height: usize,
}

struct Builder {
    source: Arc<str>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    root: Option<Node>,
}

/// The first document of `text`, like Traefik; later ones are not read.
pub(super) fn parse(text: &str, source: Arc<str>) -> Result<Node, Diagnostic> {
    let mut b = Builder { source, open: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None };
    let mut events = Parser::new_from_str(text);
    while let Some(event) = events.next_event() {
        let (event, span) =
            event.map_err(|e| Diagnostic::error("", format!("not valid YAML: {}", e.info())).at(&place(&b.source, e.marker())))?;
        if matches!(event, Event::StreamEnd | Event::DocumentEnd) {
            break;
        }
        b.event(event, &span.start)?;
    }
    let start = Place::new(b.source, 1, 1);
    Ok(b.root.unwrap_or(Node { place: start, value: Value::Null }))
}

fn place(source: &Arc<str>, at: &Marker) -> Place {
    Place::new(source.clone(), at.line() as u32, at.col() as u32 + 1)
}

impl Builder {
    fn event(&mut self, event: Event<'_>, at: &Marker) -> Result<(), Diagnostic> {
        let here = place(&self.source, at);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let core = tag.as_ref().filter(|t| t.is_yaml_core_schema()).map(|t| t.suffix.as_str());
                let plain = style == ScalarStyle::Plain && core != Some("str");
                if let Some(Open { kind: Kind::Map { key: key @ None, .. }, .. }) = self.open.last_mut() {
                    // an anchored key is rare enough to be looked up by its text only
                    *key = Some(Key { text: text.into_owned(), place: here });
                    return Ok(());
                }
                let null = core == Some("null") || plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Scalar { text: text.into_owned(), plain } };
                self.finish(Node { place: here, value }, anchor, 0)
            }
            Event::SequenceStart(anchor, _) => self.start(here, anchor, Kind::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.start(here, anchor, Kind::Map { entries: Vec::new(), key: None, merged: Vec::new() }),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let value = match open.kind {
                    Kind::List(items) => Value::List(items),
                    Kind::Map { entries, merged, .. } => Value::Map(close_map(entries, merged)?),
                };
                self.finish(Node { place: open.place, value }, open.anchor, open.height + 1)
            }
            Event::Alias(anchor) => {
                let Some(found) = self.anchors.get(&anchor) else {
                    return Err(Diagnostic::error("", "this alias stands inside the anchor that it names").at(&here));
                };
                let (size, height) = (found.size, found.height);
                self.count(size, &here)?;
                if self.open.len() + height > MAX_DEPTH {
                    return Err(too_deep(&here));
                }
                let node = self.anchors.get(&anchor).map(|a| a.node.clone());
                match node {
                    Some(node) => self.finish(node, 0, height),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, place: Place, anchor: usize, kind: Kind) -> Result<(), Diagnostic> {
        if let Some(Open { kind: Kind::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(Diagnostic::error("", "a key must be a plain word, not a list or a map").at(&place));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(&place));
        }
        self.open.push(Open { place, anchor, height: 0, kind });
        Ok(())
    }

    /// Counts `more` nodes and refuses the document when there are too many.
    fn count(&mut self, more: usize, at: &Place) -> Result<(), Diagnostic> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        Err(Diagnostic::error("", format!("the document has more than {MAX_NODES} values once its aliases are expanded"))
            .at(at)
            .hint("use fewer aliases, or split the file"))
    }

    /// Puts a finished value where it belongs.
    fn finish(&mut self, node: Node, anchor: usize, height: usize) -> Result<(), Diagnostic> {
        self.count(1, &node.place)?;
        if anchor > 0 {
            let size = size(&node);
            self.count(size, &node.place)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), size, height });
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.height = open.height.max(height);
        match &mut open.kind {
            Kind::List(items) => items.push(node),
            Kind::Map { entries, key, merged } => match key.take() {
                Some(k) if k.text == "<<" => merged.push(node),
                Some(k) => entries.push((k, node)),
                None => match node.value {
                    Value::Scalar { text, .. } => *key = Some(Key { text, place: node.place }),
                    _ => return Err(Diagnostic::error("", "a key must be a plain word, not a list or a map").at(&node.place)),
                },
            },
        }
        Ok(())
    }
}

/// Refuses keys written twice, then adds what `<<` brings and the map does not say itself.
fn close_map(mut entries: Vec<(Key, Node)>, merged: Vec<Node>) -> Result<Vec<(Key, Node)>, Diagnostic> {
    refuse_duplicates(&entries)?;
    let mut seen: HashSet<String> = if merged.is_empty() { HashSet::new() } else { entries.iter().map(|(k, _)| k.text.clone()).collect() };
    for node in merged {
        let sources = match node.value {
            Value::List(items) => items,
            _ => vec![node],
        };
        for source in sources {
            match source.value {
                Value::Map(more) => entries.extend(more.into_iter().filter(|(k, _)| seen.insert(k.text.clone()))),
                Value::Null => {}
                _ => return Err(Diagnostic::error("", "`<<` takes a map, an alias of a map, or a list of such").at(&source.place)),
            }
        }
    }
    Ok(entries)
}

fn refuse_duplicates(entries: &[(Key, Node)]) -> Result<(), Diagnostic> {
    let twice = |first: &Key, second: &Key| {
        Err(Diagnostic::error("", format!("key `{}` is written twice in one map", second.text))
            .at(&second.place)
            .hint(format!("the first is in line {}; remove one of them", first.place.line)))
    };
    if entries.len() <= 16 {
        for (i, (k, _)) in entries.iter().enumerate() {
            if let Some((first, _)) = entries[..i].iter().find(|(e, _)| e.text == k.text) {
                return twice(first, k);
            }
        }
        return Ok(());
    }
    let mut seen: HashMap<&str, &Key> = HashMap::with_capacity(entries.len());
    for (k, _) in entries {
        if let Some(first) = seen.insert(&k.text, k) {
            return twice(first, k);
        }
    }
    Ok(())
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|(_, v)| size(v)).sum::<usize>(),
        _ => 1,
    }
}

fn too_deep(at: &Place) -> Diagnostic {
    Diagnostic::error("", format!("more than {MAX_DEPTH} levels of maps and lists inside each other")).at(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        match parse(text, "t.yml".into()) {
            Ok(n) => n.to_json().to_string(),
            Err(d) => d.to_string(),
        }
    }

    #[test]
    fn reads_what_people_write() {
        for (text, expected) in [
            ("", "null"),
            ("# only a comment\n", "null"),
            ("a: [1, '1', \"x\\ty\", true, ~]", r#"{"a":[1,"1","x\ty",true,null]}"#),
            ("a: |\n  one\n  two\nb: >-\n  x\n  y\n", r#"{"a":"one\ntwo\n","b":"x y"}"#),
            ("c: &c {s: a, e: [w]}\nr: {<<: *c, s: b}", r#"{"c":{"s":"a","e":["w"]},"r":{"s":"b","e":["w"]}}"#),
            ("a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc: {<<: [*a, *b], z: 4}", r#"{"a":{"x":1},"b":{"x":2,"y":3},"c":{"z":4,"x":1,"y":3}}"#),
            ("a: &x hi\nb: [*x, *x]", r#"{"a":"hi","b":["hi","hi"]}"#),
            ("a: !!str 5\n", r#"{"a":"5"}"#),
            ("a: 1\n---\nb: 2", r#"{"a":1}"#),
            ("{\"a\": {\"b\": [1.5]}}", r#"{"a":{"b":[1.5]}}"#),
        ] {
            assert_eq!(json(text), expected, "{text}");
        }
    }

    #[test]
    fn says_where_it_is_wrong() {
        for (text, expected) in [
            (
                "a: 1\nb: 2\na: 3\n",
                "error: key `a` is written twice in one map\n  at  t.yml:3:1\n  hint: the first is in line 1; remove one of them",
            ),
            ("a: &a [*a]", "error: this alias stands inside the anchor that it names\n  at  t.yml:1:8"),
            ("? [a]\n: b", "error: a key must be a plain word, not a list or a map\n  at  t.yml:1:3"),
            ("a: {<<: 5}", "error: `<<` takes a map, an alias of a map, or a list of such\n  at  t.yml:1:9"),
        ] {
            assert_eq!(json(text), expected, "{text}");
        }
        assert!(json("entryPoints: [\n  oops: {\n").starts_with("error: not valid YAML: "));
    }

    #[test]
    fn places_are_one_based() {
        let n = parse("http:\n  routers:\n    r:\n      rule: x\n", "t.yml".into()).unwrap();
        assert_eq!(n.at("http.routers.r.rule").unwrap().place.to_string(), "t.yml:4:13");
        assert_eq!(n.at("http.routers").unwrap().entry("r").unwrap().0.place.to_string(), "t.yml:3:5");
    }

    #[test]
    fn bombs_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..9 {
            let refs = vec![format!("*a{}", i - 1); 10].join(", ");
            text += &format!("a{i}: &a{i} [{refs}]\n");
        }
        assert!(json(&text).contains("more than 1000000 values"), "{}", json(&text));
        assert!(json(&"[".repeat(5_000)).starts_with("error"));
        let deep = (0..200).map(|i| format!("{}a:\n", " ".repeat(i))).collect::<String>();
        assert!(json(&deep).contains("more than 100 levels"));
        let mut chain = "a0: &a0 {k: v}\n".to_owned();
        for i in 1..150 {
            chain += &format!("a{i}: &a{i} {{k: *a{}}}\n", i - 1);
        }
        assert!(json(&chain).contains("more than 100 levels"));
    }
}
