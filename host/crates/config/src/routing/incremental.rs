//! Reading a large YAML file again after a small edit: objects whose lines have not changed are taken over
//! from the last time, so that touching one router of 10,000 costs about one router.
//!
//! Works on the lines of plain block YAML. Whatever might make an object depend on lines outside its own
//! (anchors, several documents, text over several lines) sends the whole file to the parser, as does the
//! first mistake found: the result is always that of [`super::decode`].

use super::{Item, Items, RoutingConfig, decode};
use crate::parse::{self, Format};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use torana_base::{Checked, Diagnostic};

/// Below this many objects the parser is quick enough.
const WORTH_IT: usize = 64;
/// Spellings whose meaning may reach beyond a line or an object.
const FAR_REACHING: [&str; 9] = [": &", "- &", ": *", "- *", "<<", "!!", "\t", "\n---", "\n..."];

/// The maps whose objects are looked at one by one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Section {
    Routers,
    Services,
    Middlewares,
    ServersTransports,
    TcpRouters,
    TcpServices,
}

/// Tree and name of each; other objects are read every time.
const SECTIONS: [(&str, &str, Section); 6] = [
    ("http", "routers", Section::Routers),
    ("http", "services", Section::Services),
    ("http", "middlewares", Section::Middlewares),
    ("http", "serversTransports", Section::ServersTransports),
    ("tcp", "routers", Section::TcpRouters),
    ("tcp", "services", Section::TcpServices),
];

/// An object as a range of lines.
#[derive(Debug)]
struct Chunk<'t> {
    section: Section,
    name: &'t str,
    /// First line, and the one behind the last; from 0.
    lines: (usize, usize),
    text: &'t str,
}

/// An object of the text that was read last.
#[derive(Debug)]
struct Kept {
    section: Section,
    name: Box<str>,
    line: usize,
    bytes: std::ops::Range<usize>,
}

/// A file as it was read last.
#[derive(Debug, Default)]
pub struct Incremental {
    text: String,
    config: RoutingConfig,
    /// In the order of the text.
    chunks: Vec<Kept>,
}

impl Incremental {
    /// Parses and decodes; `Err` when the text does not parse.
    pub fn decode(&mut self, text: &str, format: Format, source: Arc<str>) -> Result<Checked<RoutingConfig>, Diagnostic> {
        let chunks = (format == Format::Yaml).then(|| chunks(text)).flatten();
        if let Some(chunks) = &chunks
            && let Some(config) = self.update(text, chunks, &source)
        {
            self.keep(text, &config, Some(chunks));
            return Ok(Checked::ok(config));
        }
        let decoded = decode(&parse::parse(text, format, source)?);
        let clean = chunks.as_ref().filter(|_| decoded.diagnostics.is_empty());
        self.keep(text, &decoded.value, clean.map(Vec::as_slice));
        Ok(decoded)
    }

    fn keep(&mut self, text: &str, config: &RoutingConfig, chunks: Option<&[Chunk<'_>]>) {
        let Some(all) = chunks.filter(|c| c.len() >= WORTH_IT) else {
            *self = Incremental::default();
            return;
        };
        let start = |c: &Chunk<'_>| c.text.as_ptr() as usize - text.as_ptr() as usize;
        self.chunks.truncate(all.len());
        for (kept, c) in self.chunks.iter_mut().zip(all) {
            if (kept.section, &*kept.name) != (c.section, c.name) {
                (kept.section, kept.name) = (c.section, c.name.into());
            }
            (kept.line, kept.bytes) = (c.lines.0, start(c)..start(c) + c.text.len());
        }
        let more = &all[self.chunks.len()..];
        self.chunks.extend(more.iter().map(|c| Kept {
            section: c.section,
            name: c.name.into(),
            line: c.lines.0,
            bytes: start(c)..start(c) + c.text.len(),
        }));
        self.text.clear();
        self.text.push_str(text);
        self.config.clone_from(config);
    }

    /// For each object its position in the last text, if it was there, and by how many lines it has moved
    /// since, if it is the same.
    fn compare(&self, chunks: &[Chunk<'_>]) -> Vec<(Option<usize>, Option<i64>)> {
        let mut next = 0;
        let mut by_name: Option<FxHashMap<(Section, &str), usize>> = None;
        let mut one = |c: &Chunk<'_>| {
            // Mostly the order is that of the last time.
            let here = self.chunks.get(next).is_some_and(|k| k.section == c.section && *k.name == *c.name);
            let at = if here {
                Some(next)
            } else {
                let index =
                    by_name.get_or_insert_with(|| self.chunks.iter().enumerate().map(|(i, k)| ((k.section, &*k.name), i)).collect());
                index.get(&(c.section, c.name)).copied()
            };
            let Some(kept) = at.and_then(|at| self.chunks.get(at)) else { return (None, None) };
            next = at.map_or(next, |at| at + 1);
            let same = self.text.get(kept.bytes.clone()) == Some(c.text) && (kept.line == c.lines.0 || self.can_move(c));
            (at, same.then_some(c.lines.0 as i64 - kept.line as i64))
        };
        chunks.iter().map(&mut one).collect()
    }

    /// `None` if the whole text is better parsed.
    fn update(&self, text: &str, chunks: &[Chunk<'_>], source: &Arc<str>) -> Option<RoutingConfig> {
        if self.chunks.is_empty() {
            return None;
        }
        let known = self.compare(chunks);
        if known.iter().filter(|(_, same)| same.is_none()).count() > chunks.len() / 2 {
            return None;
        }
        // What is known becomes empty lines, so that every place in what is parsed is right.
        let mut reduced = String::with_capacity(text.len() / 8);
        let mut end = 0;
        for (c, _) in chunks.iter().zip(&known).filter(|(_, (_, same))| same.is_some()) {
            let start = c.text.as_ptr() as usize - text.as_ptr() as usize;
            reduced.push_str(text.get(end..start)?);
            reduced.extend(std::iter::repeat_n('\n', c.lines.1 - c.lines.0));
            end = start + c.text.len();
        }
        reduced.push_str(text.get(end..)?);
        let decoded = decode(&parse::parse(&reduced, Format::Yaml, source.clone()).ok()?);
        if !decoded.diagnostics.is_empty() {
            return None;
        }
        let mut config = decoded.value;
        let new = std::mem::replace(&mut config.http, self.config.http.clone());
        let new_routers = std::mem::replace(&mut config.tcp.routers, self.config.tcp.routers.clone());
        let new_services = std::mem::replace(&mut config.tcp.services, self.config.tcp.services.clone());
        let (http, tcp) = (&mut config.http, &mut config.tcp);
        let mut there = vec![false; self.chunks.len()];
        for (c, (at, moved)) in chunks.iter().zip(known) {
            if let Some(there) = at.and_then(|at| there.get_mut(at)) {
                *there = true;
            }
            let by = moved.unwrap_or(0);
            if by != 0 {
                match c.section {
                    Section::Routers => shift(&mut http.routers, c.name, by),
                    Section::Services => shift(&mut http.services, c.name, by),
                    Section::Middlewares => {}
                    Section::ServersTransports => shift(&mut http.servers_transports, c.name, by),
                    Section::TcpRouters => shift(&mut tcp.routers, c.name, by),
                    Section::TcpServices => shift(&mut tcp.services, c.name, by),
                }
            }
        }
        for gone in self.chunks.iter().zip(there).filter(|(_, there)| !there).map(|(k, _)| k) {
            match gone.section {
                Section::Routers => drop(http.routers.remove(&*gone.name)),
                Section::Services => drop(http.services.remove(&*gone.name)),
                Section::Middlewares => drop(http.middlewares.remove(&*gone.name)),
                Section::ServersTransports => drop(http.servers_transports.remove(&*gone.name)),
                Section::TcpRouters => drop(tcp.routers.remove(&*gone.name)),
                Section::TcpServices => drop(tcp.services.remove(&*gone.name)),
            }
        }
        http.routers.extend(new.routers);
        http.services.extend(new.services);
        http.middlewares.extend(new.middlewares);
        http.servers_transports.extend(new.servers_transports);
        tcp.routers.extend(new_routers);
        tcp.services.extend(new_services);
        Some(config)
    }

    /// Whether an object may be taken over to other lines: a middleware keeps its places deep inside, and so
    /// does the configuration of a plugin, and what is read again for its references.
    fn can_move(&self, c: &Chunk<'_>) -> bool {
        let http = &self.config.http;
        match c.section {
            Section::Routers => http.routers.get(c.name).is_some_and(|i| i.can_move()),
            Section::Services => http.services.get(c.name).is_some_and(|i| i.can_move() && i.config.plugins().next().is_none()),
            Section::ServersTransports => http.servers_transports.get(c.name).is_some_and(|i| i.can_move()),
            Section::TcpRouters => self.config.tcp.routers.get(c.name).is_some_and(|i| i.can_move()),
            Section::TcpServices => self.config.tcp.services.get(c.name).is_some_and(|i| i.can_move()),
            Section::Middlewares => false,
        }
    }
}

fn shift<T: Clone>(items: &mut Items<T>, name: &str, by: i64) {
    if let Some(item) = items.get_mut(name) {
        *item = Arc::new(shifted(item, by));
    }
}

fn shifted<T: Clone>(item: &Item<T>, by: i64) -> Item<T> {
    let mut item = item.clone();
    let places = item.places.iter_mut().map(|(_, _, p)| p).chain([&mut item.place]);
    for p in places {
        p.line = u32::try_from(i64::from(p.line) + by).unwrap_or(p.line);
    }
    item
}

/// All objects of the maps in [`SECTIONS`]; `None` if the text is not of the plain kind.
fn chunks(text: &str) -> Option<Vec<Chunk<'_>>> {
    if text.starts_with("---") || text.starts_with('%') || FAR_REACHING.iter().any(|s| text.contains(s)) {
        return None;
    }
    let mut found: Vec<Chunk<'_>> = Vec::new();
    let mut seen = FxHashSet::default();
    let mut sections = Vec::new();
    let mut tree: Option<&str> = None;
    let mut trees = Vec::new();
    let mut section: Option<(usize, Section)> = None;
    let mut depth: Option<usize> = None;
    let mut open: Option<Open<'_>> = None;
    let (mut start, mut lines) = (0, 0);
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let this = start;
        start += line.len();
        lines = i + 1;
        let content = line.trim_ascii_start();
        let indent = line.len() - content.len();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if !is_plain(content) {
            return None;
        }
        let inside = section.is_some_and(|(at, _)| indent > at);
        if inside && open.is_some() && depth.is_some_and(|d| indent > d) {
            continue;
        }
        // A line at the level of the objects or above ends the one before.
        found.extend(open.take().and_then(|o| o.close(text, this, i)));
        if inside {
            let name = key_of(content)?;
            let section = section?.1;
            if indent != *depth.get_or_insert(indent) || !seen.insert((section, name)) {
                return None;
            }
            open = Some(Open { section, name, start: this, line: i });
            continue;
        }
        (section, depth) = (None, None);
        if indent == 0 {
            let key = key_of(content);
            tree = SECTIONS.iter().map(|s| s.0).find(|tree| key.is_some_and(|k| k.eq_ignore_ascii_case(tree)));
            if let Some(name) = tree {
                if trees.contains(&name) {
                    return None;
                }
                trees.push(name);
            }
            tree = tree.filter(|_| ends_after_key(content));
        } else if let Some(tree) = tree
            && ends_after_key(content)
        {
            let key = key_of(content)?;
            if let Some((.., which)) = SECTIONS.into_iter().find(|(t, n, _)| *t == tree && n.eq_ignore_ascii_case(key)) {
                if sections.contains(&which) {
                    return None;
                }
                sections.push(which);
                section = Some((indent, which));
            }
        }
    }
    found.extend(open.and_then(|o| o.close(text, text.len(), lines)));
    Some(found)
}

struct Open<'t> {
    section: Section,
    name: &'t str,
    start: usize,
    line: usize,
}

impl<'t> Open<'t> {
    fn close(self, text: &'t str, end: usize, line: usize) -> Option<Chunk<'t>> {
        Some(Chunk { section: self.section, name: self.name, lines: (self.line, line), text: text.get(self.start..end)? })
    }
}

/// A key in plain letters.
fn key_of(content: &str) -> Option<&str> {
    let (key, rest) = content.split_once(':')?;
    let plain = !key.is_empty()
        && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '/'))
        && !key.starts_with(['-', '@']);
    (plain && (rest.is_empty() || rest.starts_with([' ', '\r', '\n']))).then_some(key)
}

/// Nothing but a comment behind the key.
fn ends_after_key(content: &str) -> bool {
    content.split_once(':').is_some_and(|(_, rest)| {
        let rest = rest.trim();
        rest.is_empty() || rest.starts_with('#')
    })
}

/// Whether everything that a line opens it also closes, and no text over several lines begins.
fn is_plain(content: &str) -> bool {
    let mut counts = [0i32; 4];
    for b in content.bytes() {
        match b {
            b'"' => counts[0] ^= 1,
            b'\'' => counts[1] ^= 1,
            b'[' => counts[2] += 1,
            b']' => counts[2] -= 1,
            b'{' => counts[3] += 1,
            b'}' => counts[3] -= 1,
            _ => {}
        }
    }
    let end = content.trim_end();
    counts == [0; 4]
        && !content.starts_with("? ")
        && !end.ends_with(['|', '>', '-', '+', '\\'])
        && !end.bytes().rev().take(3).any(|b| b == b'|' || b == b'>')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(names: &[u32], touched: Option<u32>, blank: usize) -> String {
        let mut text = String::from("# a comment\nhttp:\n  routers:\n");
        for n in names {
            let path = if touched == Some(*n) { "/new" } else { "/old" };
            text.push_str(&format!("    r{n}:\n      rule: \"Host(`h{n}.test`) && Path(`{path}`)\"\n      # why\n      service: s\n"));
        }
        text.push_str(&"\n".repeat(blank));
        text.push_str(
            "  services:\n    s: {loadBalancer: {servers: [{url: \"http://a\"}]}}\n    p: {plugin: {x: {a: 1}}}\n    q: {loadBalancer: {plugin: {x: {a: 1}}}}\n  middlewares:\n    m:\n      addPrefix: {prefix: /x}\n",
        );
        text.push_str("tcp:\n  routers:\n");
        for n in names.iter().filter(|n| **n % 3 == 0) {
            let rule = if touched == Some(*n) { "new" } else { "old" };
            text.push_str(&format!("    r{n}:\n      rule: \"HostSNI(`{rule}.test`)\"\n      tls: {{passthrough: true}}\n"));
        }
        text.push_str(
            "  services:\n    s: {loadBalancer: {servers: [{address: \"a:1\"}]}}\n  middlewares:\n    m: {inFlightConn: {amount: 1}}\n",
        );
        text.push_str("udp:\n  routers:\n    u: {service: s}\n");
        // like a section of `http`, but it is none
        let path = touched.unwrap_or_default();
        text.push_str(&format!("plugins:\n  routers:\n    path: {path}.wasm\n    config: {{a: 1}}\n"));
        text
    }

    fn whole(text: &str) -> RoutingConfig {
        decode(&parse::parse(text, Format::Yaml, "f.yml".into()).unwrap()).value
    }

    #[test]
    fn an_edit_takes_the_other_objects_over() {
        let names: Vec<u32> = (0..200).collect();
        let mut inc = Incremental::default();
        let first = inc.decode(&file(&names, None, 0), Format::Yaml, "f.yml".into()).unwrap().value;
        let text = file(&names, Some(7), 0);
        let second = inc.decode(&text, Format::Yaml, "f.yml".into()).unwrap().value;
        assert_eq!(second, whole(&text));
        assert!(Arc::ptr_eq(&first.http.routers["r8"], &second.http.routers["r8"]));
        assert!(!Arc::ptr_eq(&first.http.routers["r7"], &second.http.routers["r7"]));
    }

    #[test]
    fn what_reaches_far_is_parsed_whole() {
        for text in [
            "x: &a {}\nhttp:\n  routers:\n    r: *a\n",
            "http:\n  routers:\n    r:\n      rule: |\n        Host(`a`)\n",
            "http:\n  routers:\n    r: {a: [\n    b: c]}\n",
            "---\nhttp: {}\n",
        ] {
            assert!(chunks(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_sequence_of_edits_gives_what_the_parser_gives(edits in prop::collection::vec((prop::collection::vec(0u32..150, 80..140), prop::option::of(0u32..150), 0usize..3), 1..6)) {
            let mut inc = Incremental::default();
            for (mut names, touched, blank) in edits {
                let mut seen = std::collections::HashSet::new();
                names.retain(|n| seen.insert(*n));
                let text = file(&names, touched, blank);
                let got = inc.decode(&text, Format::Yaml, "f.yml".into()).unwrap().value;
                prop_assert_eq!(got, whole(&text));
            }
        }
    }
}
