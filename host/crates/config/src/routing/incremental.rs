//! Reading a large YAML file again after a small edit: objects whose lines have not changed are taken over
//! from the last time, so that touching one router of 10,000 costs about one router.
//!
//! Works on the lines of plain block YAML. Whatever might make an object depend on lines outside its own
//! (anchors, several documents, text over several lines) sends the whole file to the parser, as does the
//! first mistake found: the result is always that of [`super::decode`].

use super::{Item, Items, RoutingConfig, decode};
use crate::parse::{self, Format};
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
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
}

/// An object as a range of lines.
#[derive(Debug)]
struct Chunk<'t> {
    section: Section,
    name: &'t str,
    /// First line, and the one behind the last; from 0.
    lines: (usize, usize),
    digest: u64,
}

/// A file as it was read last.
#[derive(Debug, Default)]
pub struct Incremental {
    config: RoutingConfig,
    /// Digest and first line of each object.
    chunks: HashMap<(Section, Box<str>), (u64, usize)>,
}

impl Incremental {
    /// Parses and decodes; `Err` when the text does not parse.
    pub fn decode(&mut self, text: &str, format: Format, source: Arc<str>) -> Result<Checked<RoutingConfig>, Diagnostic> {
        let chunks = (format == Format::Yaml).then(|| chunks(text)).flatten();
        if let Some(chunks) = &chunks
            && let Some(config) = self.update(text, chunks, &source)
        {
            self.keep(&config, Some(chunks));
            return Ok(Checked::ok(config));
        }
        let decoded = decode(&parse::parse(text, format, source)?);
        let clean = chunks.as_ref().filter(|_| decoded.diagnostics.is_empty());
        self.keep(&decoded.value, clean.map(Vec::as_slice));
        Ok(decoded)
    }

    fn keep(&mut self, config: &RoutingConfig, chunks: Option<&[Chunk<'_>]>) {
        match chunks {
            Some(all) if all.len() >= WORTH_IT => {
                self.config = config.clone();
                self.chunks = all.iter().map(|c| ((c.section, c.name.into()), (c.digest, c.lines.0))).collect();
            }
            _ => *self = Incremental::default(),
        }
    }

    /// `None` if the whole text is better parsed.
    fn update(&self, text: &str, chunks: &[Chunk<'_>], source: &Arc<str>) -> Option<RoutingConfig> {
        if self.chunks.is_empty() {
            return None;
        }
        let same = |c: &Chunk<'_>| {
            let (digest, line) = self.chunks.get(&(c.section, Box::from(c.name)))?;
            let movable = *line == c.lines.0 || self.can_move(c);
            (*digest == c.digest && movable).then_some(c.lines.0 as i64 - *line as i64)
        };
        let known: Vec<Option<i64>> = chunks.iter().map(same).collect();
        if known.iter().filter(|k| k.is_none()).count() > chunks.len() / 2 {
            return None;
        }
        // What is known becomes empty lines, so that every place in what is parsed is right.
        let mut reduced = String::with_capacity(text.len() / 8);
        let mut blank = chunks.iter().zip(&known).filter(|(_, k)| k.is_some()).map(|(c, _)| c.lines).peekable();
        for (i, line) in text.split_inclusive('\n').enumerate() {
            while blank.next_if(|(_, end)| *end <= i).is_some() {}
            let known = blank.peek().is_some_and(|(start, _)| *start <= i);
            reduced.push_str(if known { "\n" } else { line });
        }
        let decoded = decode(&parse::parse(&reduced, Format::Yaml, source.clone()).ok()?);
        if !decoded.diagnostics.is_empty() {
            return None;
        }
        let mut config = decoded.value;
        for (c, moved) in chunks.iter().zip(known) {
            let Some(moved) = moved else { continue };
            let (now, before) = (&mut config.http, &self.config.http);
            match c.section {
                Section::Routers => take_over(&mut now.routers, &before.routers, c.name, moved)?,
                Section::Services => take_over(&mut now.services, &before.services, c.name, moved)?,
                Section::Middlewares => take_over(&mut now.middlewares, &before.middlewares, c.name, moved)?,
                Section::ServersTransports => take_over(&mut now.servers_transports, &before.servers_transports, c.name, moved)?,
            }
        }
        Some(config)
    }

    /// Whether an object may be taken over to other lines: a middleware keeps its places deep inside.
    fn can_move(&self, c: &Chunk<'_>) -> bool {
        let http = &self.config.http;
        match c.section {
            Section::Routers => http.routers.get(c.name).is_some_and(|i| i.diagnostics.is_empty()),
            Section::Services => http.services.get(c.name).is_some_and(|i| i.diagnostics.is_empty()),
            Section::ServersTransports => http.servers_transports.get(c.name).is_some_and(|i| i.diagnostics.is_empty()),
            Section::Middlewares => false,
        }
    }
}

fn take_over<T: Clone>(now: &mut Items<T>, before: &Items<T>, name: &str, moved: i64) -> Option<()> {
    let item = before.get(name)?;
    let item = if moved == 0 { item.clone() } else { Arc::new(shifted(item, moved)) };
    now.insert(name.to_owned(), item).is_none().then_some(())
}

fn shifted<T: Clone>(item: &Item<T>, by: i64) -> Item<T> {
    let mut item = item.clone();
    let places = item.places.iter_mut().map(|(_, _, p)| p).chain([&mut item.place]);
    for p in places {
        p.line = u32::try_from(i64::from(p.line) + by).unwrap_or(p.line);
    }
    item
}

/// All objects of the four maps below `http`; `None` if the text is not of the plain kind.
fn chunks(text: &str) -> Option<Vec<Chunk<'_>>> {
    if text.starts_with("---") || text.starts_with('%') || FAR_REACHING.iter().any(|s| text.contains(s)) {
        return None;
    }
    let mut found: Vec<Chunk<'_>> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut sections = Vec::new();
    let mut in_http = false;
    let mut section: Option<(usize, Section)> = None;
    let mut depth: Option<usize> = None;
    let mut open: Open<'_> = None;
    let mut last = 0;
    for (i, line) in text.lines().enumerate() {
        last = i + 1;
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        if content.is_empty() || content.starts_with('#') || content == "\r" {
            if let Some((_, _, hasher)) = &mut open {
                line.hash(hasher);
            }
            continue;
        }
        if !is_plain(content) {
            return None;
        }
        let inside = section.is_some_and(|(at, _)| indent > at);
        if inside && open.is_some() && depth.is_some_and(|d| indent > d) {
            if let Some((_, _, hasher)) = &mut open {
                line.hash(hasher);
            }
            continue;
        }
        // A line at the level of the objects or above ends the one before.
        found.extend(close(open.take(), section, i));
        if inside {
            let d = *depth.get_or_insert(indent);
            let name = key_of(content)?;
            if indent != d || !seen.insert((section?.1, name)) {
                return None;
            }
            let mut hasher = DefaultHasher::new();
            line.hash(&mut hasher);
            open = Some((name, i, hasher));
            continue;
        }
        (section, depth) = (None, None);
        if indent == 0 {
            in_http = key_of(content).is_some_and(|k| k.eq_ignore_ascii_case("http")) && ends_after_key(content);
        } else if in_http && ends_after_key(content) {
            let key = key_of(content)?;
            let which = [
                ("routers", Section::Routers),
                ("services", Section::Services),
                ("middlewares", Section::Middlewares),
                ("serversTransports", Section::ServersTransports),
            ]
            .into_iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(key));
            if let Some((_, which)) = which {
                if sections.contains(&which) {
                    return None;
                }
                sections.push(which);
                section = Some((indent, which));
            }
        }
    }
    found.extend(close(open, section, last));
    Some(found)
}

type Open<'t> = Option<(&'t str, usize, DefaultHasher)>;

fn close(open: Open<'_>, section: Option<(usize, Section)>, end: usize) -> Option<Chunk<'_>> {
    let ((name, start, hasher), (_, section)) = open.zip(section)?;
    Some(Chunk { section, name, lines: (start, end), digest: hasher.finish() })
}

/// A key in plain letters.
fn key_of(content: &str) -> Option<&str> {
    let (key, rest) = content.split_once(':')?;
    let plain = !key.is_empty()
        && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '/'))
        && !key.starts_with(['-', '@']);
    (plain && (rest.is_empty() || rest.starts_with([' ', '\r']))).then_some(key)
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
            "  services:\n    s: {loadBalancer: {servers: [{url: \"http://a\"}]}}\n  middlewares:\n    m:\n      addPrefix: {prefix: /x}\n",
        );
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
