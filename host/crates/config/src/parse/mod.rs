//! YAML, TOML and JSON text to one tree with places. Bounded on purpose: files come from people and
//! from the network, and neither may exhaust memory or stack.

mod json;
mod toml;
mod yaml;

use crate::node::Node;
use std::path::Path;
use std::sync::Arc;
use torana_base::{Diagnostic, Place};

/// Maps and lists inside each other, at most.
pub const MAX_DEPTH: usize = 100;
/// Nodes of one document with all aliases expanded, at most.
pub const MAX_NODES: usize = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Yaml,
    Toml,
    Json,
}

impl Format {
    /// By the extension; `None` for files that are no configuration.
    pub fn of_path(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "yaml" | "yml" => Some(Format::Yaml),
            "toml" => Some(Format::Toml),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}

/// The tree of `text`; `source` is the file name (or address) that places show. An empty document is null.
pub fn parse(text: &str, format: Format, source: Arc<str>) -> Result<Node, Diagnostic> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Yaml => yaml::parse(text, source),
        Format::Toml => toml::parse(text, source),
        Format::Json => json::parse(text, source),
    }
}

/// Refuses a dynamic file that holds Go template actions, which are not built; `{{` in a comment is no
/// action. `None` when there is nothing to refuse.
pub fn refuse_templates(text: &str, source: Arc<str>) -> Option<Diagnostic> {
    if !text.contains("{{") {
        return None;
    }
    for (i, line) in text.lines().enumerate() {
        if let Some(column) = line[..comment(line)].find("{{") {
            let column = line[..column].chars().count() as u32 + 1;
            return Some(
                Diagnostic::error("", "file templates are not built yet (PRV-03)")
                    .at(&Place::new(source, i as u32 + 1, column))
                    .hint("render the template before the file is read, or write the values out; `{{` may stand in comments"),
            );
        }
    }
    None
}

/// Where the comment of a line begins: a `#` after white space and outside quotes.
fn comment(line: &str) -> usize {
    let mut quote = None;
    let mut before = b' ';
    for (i, b) in line.bytes().enumerate() {
        match quote {
            Some(q) if b == q && before != b'\\' => quote = None,
            None if matches!(b, b'"' | b'\'') => quote = Some(b),
            None if b == b'#' && before.is_ascii_whitespace() => return i,
            _ => {}
        }
        before = b;
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_refused_outside_comments() {
        let refused = |t: &str| refuse_templates(t, "a.yml".into()).map(|d| d.place.unwrap().to_string());
        assert_eq!(refused("# {{ range }}\nhttp:\n  a: {{ env \"X\" }}\n").as_deref(), Some("a.yml:3:6"));
        assert_eq!(refused("http: {} # {{ no }}\n  # {{ no }}"), None);
        assert_eq!(refused("a: \"x # {{ . }}\"").as_deref(), Some("a.yml:1:9"));
        assert_eq!(refused("é: {{ . }} # x").as_deref(), Some("a.yml:1:4"));
    }

    #[test]
    fn the_extension_tells_the_format() {
        for (path, format) in
            [("a.yml", Some(Format::Yaml)), ("a.YAML", Some(Format::Yaml)), ("b.toml", Some(Format::Toml)), ("c.txt", None), ("yml", None)]
        {
            assert_eq!(Format::of_path(Path::new(path)), format, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n\t\"'{}\\[\\]:,&*!|>#%@a-c0-9é-]{0,200}") {
            for format in [Format::Yaml, Format::Toml, Format::Json] {
                if let Ok(node) = parse(&text, format, "t".into()) {
                    node.digest();
                }
            }
        }
    }
}
