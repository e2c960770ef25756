//! A request as a collector takes it: the line, and each field by itself.

use super::entry::Entry;
use super::fields::Field;
use super::format::{Lines, Value, canonical, joined, nanos};
use crate::record::{Record, Severity};
use http::HeaderMap;
use std::borrow::Cow;
use std::time::SystemTime;
use torana_trace as trace;

/// Bytes that a text in a record may have. Clients choose the length of a URL, thousands of records may wait, and what
/// is longer than a collector takes is refused with all records beside it.
const LONGEST: usize = 2 << 10;

/// A text without what goes past [`LONGEST`], which three points stand for.
fn cut(bytes: &[u8]) -> String {
    match bytes.get(..LONGEST) {
        Some(begin) if bytes.len() > LONGEST => String::from_utf8_lossy(begin).into_owned() + "...",
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn text(bytes: &[u8]) -> trace::Value {
    cut(bytes).into()
}

fn number(n: u64) -> trace::Value {
    trace::Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn headers(prefix: &str, headers: &HeaderMap, attributes: &mut Vec<(Cow<'static, str>, trace::Value)>) {
    for name in headers.keys() {
        let mut key = prefix.to_owned();
        key.extend(canonical(name).map(char::from));
        attributes.push((key.into(), text(&joined(headers, name))));
    }
}

#[cfg(test)]
#[test]
fn what_a_client_makes_long_is_cut() {
    assert_eq!(cut(&[b'x'; LONGEST]).len(), LONGEST);
    let long = cut(&[b'x'; LONGEST + 1]);
    assert!(long.len() == LONGEST + 3 && long.ends_with("x..."));
}

impl Lines {
    /// With the fields that are kept; moments are nanoseconds since 1970.
    pub(super) fn record(&self, e: &Entry<'_>) -> Record {
        let mut body = Vec::new();
        self.write(e, &mut body);
        let mut attributes = Vec::with_capacity(Field::ALL.len());
        for field in Field::ALL {
            let Some(value) = self.value(field, e) else { continue };
            let value = match value {
                Value::Text(t) => text(&t),
                Value::Number(n) => number(n),
                Value::Ratio(ratio) => trace::Value::Float(ratio),
                Value::Moment(_) => number(e.started.duration_since(SystemTime::UNIX_EPOCH).map_or(0, nanos)),
            };
            attributes.push((field.name().into(), value));
        }
        headers("request_", e.request, &mut attributes);
        if e.origin.is_some_and(|o| o.answer.is_some()) {
            headers("origin_", e.response, &mut attributes);
        }
        headers("downstream_", e.response, &mut attributes);
        Record {
            at: e.started,
            observed: e.started.checked_add(e.took).unwrap_or(e.started),
            severity: Severity::Info,
            level: Some("info"),
            body: cut(&body),
            attributes,
            trace: e.trace,
        }
    }
}
