//! From hosts, headers and a path to a rule.

use super::model::Path;
use crate::gateway::names::quote;

/// The rule of one path, as Traefik writes it; empty for a path that says nothing at all.
pub(super) fn of(hosts: &[String], path: &Path) -> String {
    let mut parts = Vec::new();
    if !hosts.is_empty() {
        let hosts: Vec<String> = hosts.iter().map(|h| format!("Host({})", quote(h))).collect();
        parts.push(format!("({})", hosts.join(" || ")));
    }
    if !path.headers.is_empty() {
        let headers: Vec<String> = path.headers.iter().map(|(name, m)| format!("Header({},{})", quote(name), quote(&m.exact))).collect();
        parts.push(format!("({})", headers.join(" && ")));
    }
    if !path.path.is_empty() {
        parts.push(format!("PathPrefix({})", quote(&path.path)));
    }
    parts.join(" && ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_are_those_of_traefik() {
        for (hosts, path, rule) in [
            (&["a.test", "b.test"][..], json!({}), r#"(Host("a.test") || Host("b.test"))"#),
            (&["a.test"], json!({"path": "/p"}), r#"(Host("a.test")) && PathPrefix("/p")"#),
            (
                &["a.test"],
                json!({"path": "/p", "headers": {"X-B": {"exact": "two"}, "X-A": {"exact": "a\"b\\c"}}}),
                r#"(Host("a.test")) && (Header("X-A","a\"b\\c") && Header("X-B","two")) && PathPrefix("/p")"#,
            ),
            (&[], json!({"path": "/only"}), r#"PathPrefix("/only")"#),
            (&[], json!({}), ""),
        ] {
            let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
            assert_eq!(of(&hosts, &serde_json::from_value(path).unwrap()), rule);
        }
    }
}
