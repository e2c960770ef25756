//! Queries without what may be secret.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::collections::BTreeMap;

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const REDACTED: &[u8] = b"REDACTED";

/// A query, by name and each once, where only the values of `safe` parameters are told (`tracing.safeQueryParams`).
/// What is not understood is left out.
pub fn redacted(query: &str, safe: &[String]) -> String {
    let mut all: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
    for pair in query.split(['&', ';']).filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(key), Some(value)) = (unescaped(key), unescaped(value)) {
            all.entry(key).or_default().push(value);
        }
    }
    let mut out = String::with_capacity(query.len());
    for (key, values) in &all {
        let shown = safe.iter().any(|s| s.as_bytes() == key.as_slice());
        let hidden = [REDACTED.to_vec()];
        for value in if shown { values.as_slice() } else { &hidden } {
            if !out.is_empty() {
                out.push('&');
            }
            escape(&mut out, key);
            out.push('=');
            escape(&mut out, value);
        }
    }
    out
}

fn escape(out: &mut String, text: &[u8]) {
    for (i, word) in text.split(|b| *b == b' ').enumerate() {
        if i > 0 {
            out.push('+');
        }
        out.extend(percent_encode(word, ESCAPED));
    }
}

/// `None` for an escape that is none.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).map(|d| d as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'+' => b' ',
            b'%' => digit(bytes.next())? << 4 | digit(bytes.next())?,
            b => b,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from Traefik 3.7.15 with `safeQueryParams: [b, c]`.
    #[test]
    fn as_traefik_writes_them() {
        let safe = ["b".to_owned(), "c".to_owned()];
        for (query, out) in [
            ("a=1&b=2&c=%20x&a=3&d&=e&B=4", "=REDACTED&B=REDACTED&a=REDACTED&b=2&c=+x&d=REDACTED"),
            ("", ""),
            ("a=%zz&b=1;c=2", "b=1&c=2"),
            ("b=1&b=%2f&%62=x", "b=1&b=%2F&b=x"),
        ] {
            assert_eq!(redacted(query, &safe), out, "{query}");
        }
    }
}
