//! TOML to nodes; spans become lines and columns.

use crate::node::{Key, Node, Value};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use torana_base::{Diagnostic, Place};

pub(super) fn parse(text: &str, source: Arc<str>) -> Result<Node, Diagnostic> {
    let lines = Lines::new(text, source);
    let table = DeTable::parse(text).map_err(|e| {
        let d = Diagnostic::error("", format!("not valid TOML: {}", e.message().lines().next().unwrap_or_default()));
        e.span().map_or_else(|| d.clone(), |span| d.clone().at(&lines.place(span.start)))
    })?;
    let start = table.span().start;
    Ok(Node { place: lines.place(start), value: map(table.into_inner(), &lines) })
}

/// Byte offsets of the lines of a text.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    source: Arc<str>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str, source: Arc<str>) -> Self {
        let starts = std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1)).collect();
        Lines { text, starts, source }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|s| *s <= offset).max(1);
        let start = self.starts[line - 1];
        let column = self.text.get(start..offset).map_or(0, |t| t.chars().count());
        Place::new(self.source.clone(), line as u32, column as u32 + 1)
    }
}

/// The parser bounds the nesting, so that recursion is safe here.
fn map(table: DeTable<'_>, lines: &Lines<'_>) -> Value {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(k, _)| k.span().start);
    let entry = |(k, v): (Spanned<_>, Spanned<_>)| {
        let place = lines.place(k.span().start);
        let key: std::borrow::Cow<'_, str> = k.into_inner();
        (Key { text: key.into_owned(), place }, node(v, lines))
    };
    Value::Map(entries.into_iter().map(entry).collect())
}

fn node(value: Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Node {
    let place = lines.place(value.span().start);
    let scalar = |text: String, plain| Value::Scalar { text, plain };
    let value = match value.into_inner() {
        DeValue::String(s) => scalar(s.into_owned(), false),
        DeValue::Integer(i) => {
            let text = i.as_str().to_owned();
            scalar(if i.radix() == 10 { text } else { i128::from_str_radix(&text, i.radix()).map_or(text, |n| n.to_string()) }, true)
        }
        DeValue::Float(f) => scalar(f.as_str().to_owned(), true),
        DeValue::Boolean(b) => scalar(b.to_string(), true),
        DeValue::Datetime(d) => scalar(d.to_string(), false),
        DeValue::Array(items) => Value::List(items.into_iter().map(|i| node(i, lines)).collect()),
        DeValue::Table(t) => map(t, lines),
    };
    Node { place, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tables_with_places() {
        let text =
            "[http.routers.r]\nrule = \"é\"\npriority = 0x10\n\n[[http.services.s.loadBalancer.servers]]\nurl = 'http://a'\nweight = 2\n";
        let n = parse(text, "t.toml".into()).unwrap();
        assert_eq!(
            n.to_json().to_string(),
            r#"{"http":{"routers":{"r":{"rule":"é","priority":16}},"services":{"s":{"loadBalancer":{"servers":[{"url":"http://a","weight":2}]}}}}}"#
        );
        assert_eq!(n.at("http.routers.r.rule").unwrap().place.to_string(), "t.toml:2:8");
        assert_eq!(n.at("http.services.s.loadBalancer.servers[0].weight").unwrap().place.to_string(), "t.toml:7:10");
    }

    #[test]
    fn says_where_it_is_wrong() {
        let d = parse("a = 1\na = 2\n", "t.toml".into()).unwrap_err();
        assert_eq!(d.place.map(|p| p.to_string()).as_deref(), Some("t.toml:2:1"));
        assert!(parse(&"a = [".repeat(2_000), "t".into()).is_err());
        assert!(parse(&format!("a = {}", "[".repeat(100_000)), "t".into()).is_err());
    }
}
