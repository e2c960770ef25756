//! From hosts and paths to rules.

use super::canary::Canary;
use crate::ingress::rule::{by_segment, quoted};

/// The rule of one path. `regex` where the host has its paths as regular expressions.
pub(super) fn of(host: &str, aliases: &[String], path: &str, exact: bool, regex: bool) -> String {
    let mut parts = Vec::new();
    if !host.is_empty() {
        let hosts: Vec<String> =
            std::iter::once(host).chain(aliases.iter().map(String::as_str)).map(|h| format!("Host({})", quoted(h))).collect();
        parts.push(if hosts.len() > 1 { format!("({})", hosts.join(" || ")) } else { hosts.concat() });
    }
    if !path.is_empty() {
        parts.push(match (exact, regex) {
            (true, _) => format!("Path({})", quoted(path)),
            (false, true) => format!("PathRegexp({})", quoted(&format!("(?i)^{path}"))),
            (false, false) => one_slash_less(path),
        });
    }
    parts.join(" && ")
}

/// One slash at the end is cut, not more.
fn one_slash_less(path: &str) -> String {
    match path.strip_suffix('/') {
        Some(cut) if cut.ends_with('/') => format!("(Path({}) || PathPrefix({}))", quoted(cut), quoted(path)),
        _ => by_segment(path),
    }
}

/// For requests that ask for the canary.
pub(super) fn of_canary(rule: &str, canary: &Canary<'_>) -> String {
    let mut asks = Vec::new();
    if let Some(header) = canary.header {
        asks.push(match (canary.header_value, canary.header_pattern) {
            (Some(value), _) => format!("Header({}, {})", quoted(header), quoted(value)),
            (None, Some(pattern)) => format!("HeaderRegexp({}, {})", quoted(header), quoted(pattern)),
            (None, None) => format!("Header({}, \"always\")", quoted(header)),
        });
    }
    if let Some(cookie) = canary.cookie {
        let asked = of_cookie(cookie, "always");
        asks.push(match canary.plain_header() {
            Some(header) => format!("({asked} && !Header({}, \"never\"))", quoted(header)),
            None => asked,
        });
    }
    format!("({rule}) && ({})", asks.join(" || "))
}

/// For requests that refuse the canary.
pub(super) fn of_refusal(rule: &str, canary: &Canary<'_>) -> String {
    let header = canary.plain_header().map(|h| format!("Header({}, \"never\")", quoted(h)));
    let cookie = canary.cookie.map(|c| of_cookie(c, "never"));
    format!("({rule}) && ({})", header.into_iter().chain(cookie).collect::<Vec<_>>().join(" || "))
}

fn of_cookie(cookie: &str, value: &str) -> String {
    format!("HeaderRegexp(\"Cookie\", {})", quoted(&format!(r"(^|;\s*){}={value}(;|$)", escaped(cookie))))
}

/// As Go's `regexp.QuoteMeta`.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| r"\.+*?()|[]{}^$".contains(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row is what Traefik 3.7.15 makes of it.
    #[test]
    fn rules_are_those_of_traefik() {
        for (host, aliases, path, exact, regex, rule) in [
            ("a.test", &[][..], "/exact", true, true, r#"Host("a.test") && Path("/exact")"#),
            ("a.test", &[], "/pre", false, false, r#"Host("a.test") && (Path("/pre") || PathPrefix("/pre/"))"#),
            ("a.test", &[], "/pre/", false, false, r#"Host("a.test") && (Path("/pre") || PathPrefix("/pre/"))"#),
            ("a.test", &[], "/a//", false, false, r#"Host("a.test") && (Path("/a/") || PathPrefix("/a//"))"#),
            ("a.test", &["b.test"], "/", false, false, r#"(Host("a.test") || Host("b.test")) && PathPrefix("/")"#),
            ("a.test", &[], "/x(/|$)(.*)", false, true, r#"Host("a.test") && PathRegexp("(?i)^/x(/|$)(.*)")"#),
            ("a.test", &[], "", false, true, r#"Host("a.test")"#),
            ("", &["b.test"], "/x", true, false, r#"Path("/x")"#),
            ("", &[], "", false, false, ""),
        ] {
            let aliases: Vec<String> = aliases.iter().map(|a| (*a).to_owned()).collect();
            assert_eq!(of(host, &aliases, path, exact, regex), rule);
        }
    }

    #[test]
    fn canaries_are_asked_for_and_refused() {
        let plain = Canary { header: Some("X-C"), cookie: Some("a.b"), ..Canary::default() };
        assert_eq!(
            of_canary("R", &plain),
            r#"(R) && (Header("X-C", "always") || (HeaderRegexp("Cookie", "(^|;\\s*)a\\.b=always(;|$)") && !Header("X-C", "never")))"#
        );
        assert_eq!(of_refusal("R", &plain), r#"(R) && (Header("X-C", "never") || HeaderRegexp("Cookie", "(^|;\\s*)a\\.b=never(;|$)"))"#);
        let pattern = Canary { header: Some("X-C"), header_pattern: Some("^y"), ..Canary::default() };
        assert_eq!(of_canary("R", &pattern), r#"(R) && (HeaderRegexp("X-C", "^y"))"#);
        let value = Canary { header: Some("X-C"), header_value: Some("v"), header_pattern: Some("^y"), ..Canary::default() };
        assert_eq!(of_canary("R", &value), r#"(R) && (Header("X-C", "v"))"#);
    }
}
