//! Host names: which of a route's a listener serves, and what they become in a rule.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The names that a listener (empty for any name) and a route (none for any name) have in common; `None` where they
/// have nothing in common, an empty list where both take any name.
pub(super) fn common(listener: &str, route: &[String]) -> Option<Vec<String>> {
    match (listener, route) {
        ("", names) => Some(names.to_vec()),
        (one, []) => Some(vec![one.to_owned()]),
        (one, names) => {
            let mut both: Vec<String> = Vec::new();
            for name in names.iter().filter_map(|n| narrower(one, n)) {
                if !both.iter().any(|b| b == name) {
                    both.push(name.to_owned());
                }
            }
            (!both.is_empty()).then_some(both)
        }
    }
}

/// Whether two lists of names, of which an empty one means any name, have one in common.
pub(super) fn overlap(a: &[String], b: &[String]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|x| b.iter().any(|y| narrower(x, y).is_some()))
}

/// What two names have in common; a wildcard takes any number of labels.
fn narrower<'a>(a: &'a str, b: &'a str) -> Option<&'a str> {
    let within = |wide: &str, name: &str| wide.strip_prefix('*').is_some_and(|suffix| suffix.starts_with('.') && name.ends_with(suffix));
    match () {
        () if a == b || within(a, b) => Some(b),
        () if within(b, a) => Some(a),
        () => None,
    }
}

/// Matchers for the host of a request, empty for any.
pub(super) fn http_rule(names: &[String]) -> String {
    let one = |name: &String| match name.strip_prefix("*.") {
        Some(rest) => format!("HostRegexp({})", quote(&format!("^[a-z0-9-\\.]+\\.{}$", quote_regex(rest)))),
        None => format!("Host({})", quote(name)),
    };
    match names {
        [] => String::new(),
        [name] => one(name),
        names => format!("({})", names.iter().map(one).collect::<Vec<_>>().join(" || ")),
    }
}

/// Matchers for the server name of a connection; a wildcard takes one label.
pub(super) fn sni_rule(names: &[String]) -> String {
    let one = |name: &String| match name.strip_prefix("*.") {
        Some(rest) => format!("HostSNIRegexp({})", quote(&format!("^[a-z0-9-]+\\.{}$", quote_regex(rest)))),
        None => format!("HostSNI({})", quote(name)),
    };
    if names.is_empty() { "HostSNI(\"*\")".into() } else { names.iter().map(one).collect::<Vec<_>>().join(" || ") }
}

/// The length of the longest name.
pub(super) fn longest(names: &[String]) -> i64 {
    names.iter().map(String::len).max().unwrap_or(0) as i64
}

/// A string literal of Go, as rules have them.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => _ = write!(out, "\\x{:02x}", c as u32),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text that matches itself in a regular expression.
pub(super) fn quote_regex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// `key`, and what tells `rule` from the others of the same key.
pub(super) fn router(key: &str, rule: &str) -> String {
    let mut name = format!("{}-", torana_base::normalize(key));
    for byte in Sha256::digest(rule.as_bytes()).iter().take(10) {
        _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn what_listener_and_route_have_in_common() {
        let both = |listener: &str, route: &[&str]| common(listener, &list(route));
        assert_eq!(both("", &[]), Some(vec![]));
        assert_eq!(both("a.test", &[]), Some(list(&["a.test"])));
        assert_eq!(both("", &["a.test", "*.b.test"]), Some(list(&["a.test", "*.b.test"])));
        assert_eq!(both("*.test", &["a.test", "x.y.test", "a.other"]), Some(list(&["a.test", "x.y.test"])));
        assert_eq!(both("a.b.test", &["*.test", "*.b.test"]), Some(list(&["a.b.test"])));
        assert_eq!(both("*.test", &["*.b.test", "*.other"]), Some(list(&["*.b.test"])));
        assert_eq!(both("*.test", &["test"]), None);
        assert_eq!(both("a.test", &["b.test"]), None);
        assert!(overlap(&[], &list(&["a"])) && overlap(&list(&["*.a"]), &list(&["b.a"])) && !overlap(&list(&["a"]), &list(&["b"])));
    }

    /// As Traefik 3.7.15 writes them.
    #[test]
    fn rules_and_names() {
        let rule = http_rule(&list(&["a.test", "*.b.test"]));
        assert_eq!(rule, r#"(Host("a.test") || HostRegexp("^[a-z0-9-\\.]+\\.b\\.test$"))"#);
        let name = router("tcproute-default-a.b-gw-default-gw-ep-tcp-0", &sni_rule(&[]));
        assert!(name.starts_with("tcproute-default-a-b-gw-default-gw-ep-tcp-0-") && name.len() == 44 + 20, "{name}");
        assert_ne!(name, router("tcproute-default-a.b-gw-default-gw-ep-tcp-0", "other"));
        assert_eq!(sni_rule(&list(&["a.test", "*.b.test"])), r#"HostSNI("a.test") || HostSNIRegexp("^[a-z0-9-]+\\.b\\.test$")"#);
    }
}
