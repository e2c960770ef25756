//! From host, path and type of path to a rule.

/// The rule of one path of an ingress. `matcher` is what the annotation `router.pathmatcher` says, for paths whose
/// type leaves it open.
pub(super) fn of(host: &str, path: &str, kind: &str, matcher: Option<&str>, strict: bool) -> String {
    let mut parts = Vec::new();
    if !host.is_empty() {
        parts.push(format!("Host({})", quoted(host)));
    }
    if !path.is_empty() {
        let matcher = match kind {
            "Exact" => "Path",
            "Prefix" => "PathPrefix",
            _ => matcher.unwrap_or("PathPrefix"),
        };
        parts.push(match matcher {
            "PathPrefix" if strict => by_segment(path),
            _ => format!("{matcher}({})", quoted(path)),
        });
    }
    if parts.is_empty() { "PathPrefix(\"/\")".into() } else { parts.join(" && ") }
}

/// `/a` is for `/a` and what is below it, not for `/ab`.
pub(crate) fn by_segment(path: &str) -> String {
    let base = path.trim_end_matches('/');
    if base.is_empty() {
        return "PathPrefix(\"/\")".into();
    }
    format!("(Path({}) || PathPrefix({}))", quoted(base), quoted(&format!("{base}/")))
}

/// As Go's `%q` writes plain texts.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_those_of_traefik() {
        for (host, path, kind, matcher, strict, rule) in [
            ("a.test", "/exact", "Exact", None, false, r#"Host("a.test") && Path("/exact")"#),
            ("a.test", "/pre", "Prefix", None, false, r#"Host("a.test") && PathPrefix("/pre")"#),
            ("b.test", "/re.*", "ImplementationSpecific", Some("PathRegexp"), false, r#"Host("b.test") && PathRegexp("/re.*")"#),
            ("b.test", "/pp", "Prefix", Some("PathRegexp"), false, r#"Host("b.test") && PathPrefix("/pp")"#),
            ("*.wild.test", "", "ImplementationSpecific", None, false, r#"Host("*.wild.test")"#),
            ("", "/a/", "Prefix", None, true, r#"(Path("/a") || PathPrefix("/a/"))"#),
            ("", "/impl", "ImplementationSpecific", None, true, r#"(Path("/impl") || PathPrefix("/impl/"))"#),
            ("", "/", "Prefix", None, true, r#"PathPrefix("/")"#),
            ("", "", "Prefix", None, false, r#"PathPrefix("/")"#),
            ("", "/q\"\\d", "Exact", None, false, r#"Path("/q\"\\d")"#),
        ] {
            assert_eq!(of(host, path, kind, matcher, strict), rule);
        }
    }
}
