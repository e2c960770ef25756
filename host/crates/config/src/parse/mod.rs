//! YAML, TOML and JSON text to one tree with places. Bounded on purpose: files come from people and
//! from the network, and neither may exhaust memory or stack.

mod json;
mod toml;
mod yaml;

use crate::node::Node;
use std::path::Path;
use std::sync::Arc;
use torana_base::Diagnostic;

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

/// Whether a dynamic file holds Go template actions; `{{` in a comment alone is none.
pub fn has_template(text: &str) -> bool {
    text.contains("{{") && text.lines().any(|line| line[..comment(line)].contains("{{"))
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
    fn templates_stand_outside_comments() {
        for (text, found) in [
            ("# {{ range }}\nhttp:\n  a: {{ env \"X\" }}\n", true),
            ("http: {} # {{ no }}\n  # {{ no }}", false),
            ("a: \"x # {{ . }}\"", true),
            ("é: {{ . }} # x", true),
            ("a: {b: {}}", false),
        ] {
            assert_eq!(has_template(text), found, "{text}");
        }
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
