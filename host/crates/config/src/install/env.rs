//! Environment variables to a tree: `TRAEFIK_ENTRYPOINTS_WEB_ADDRESS`.

use super::flags::{Step, put};
use super::removed;
use crate::node::Node;
use crate::parse::MAX_DEPTH;
use crate::schema::{Branch, Kind};
use torana_base::{Diagnostic, Place};

/// The tree of the variables that begin with `prefix` (`TRAEFIK_`). A variable whose first part is no root
/// option belongs to somebody else: it is ignored, with a warning when `own`.
pub(super) fn parse(vars: &[(String, String)], prefix: &str, own: bool, root: &Branch) -> (Node, Vec<Diagnostic>) {
    let mut tree = Node::empty(Place::whole("environment"));
    let mut diagnostics = Vec::new();
    let mut vars: Vec<_> = vars.iter().filter_map(|(name, value)| Some((name, name.strip_prefix(prefix)?, value))).collect();
    // a block switched on comes before its options
    vars.sort();
    for (name, path, value) in vars {
        let path = path.to_ascii_lowercase();
        let place = Place::whole(format!("environment {name}"));
        let first = path.split('_').next().unwrap_or_default();
        if root.known(first).is_none() {
            if own {
                let d = Diagnostic::warning("", format!("environment variable `{name}` is ignored")).at(&place);
                diagnostics.push(Diagnostic { hint: root.suggest(first), ..d });
            }
            continue;
        }
        match resolve(&path, root) {
            Ok((steps, branch)) => put(&mut tree, &steps, value, &place, branch.kind() == Kind::List),
            Err(hint) => {
                let mut d = Diagnostic::error(path.replace('_', "."), format!("unknown environment variable `{name}`")).at(&place);
                d.hint = hint;
                removed::explain(&mut d, &path.replace('_', "."));
                diagnostics.push(d);
            }
        }
    }
    (tree, diagnostics)
}

/// The way to the option that `path` spells, or a hint.
fn resolve<'t>(path: &str, root: &'t Branch) -> Result<(Vec<Step>, &'t Branch), Option<String>> {
    let mut at = root;
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (part, tail) = rest.split_once('_').unwrap_or((rest, ""));
        if let (Some(item), Ok(index)) = (&at.item, part.parse::<usize>()) {
            if index > 1_000 {
                return Err(Some("the index is too large".to_owned()));
            }
            steps.push(Step::Index(index));
            (at, rest) = (item, tail);
            continue;
        }
        if let Some(known) = at.known(part) {
            steps.push(Step::Key(known.name.to_owned()));
            (at, rest) = (known, tail);
            continue;
        }
        if at.is_free() && !part.is_empty() {
            steps.push(Step::Key(part.to_owned()));
            rest = tail;
            continue;
        }
        match at.any.as_deref() {
            // a key of the user's choice with nothing below it may hold underscores
            Some(any) if any.is_leaf() && !any.is_free() => {
                steps.push(Step::Key(rest.to_owned()));
                (at, rest) = (any, "");
            }
            Some(any) if !part.is_empty() => {
                steps.push(Step::Key(part.to_owned()));
                (at, rest) = (any, tail);
            }
            _ => return Err(at.suggest(part).map(|h| h.to_ascii_lowercase())),
        }
    }
    if steps.len() > MAX_DEPTH {
        return Err(Some(format!("it has more than {MAX_DEPTH} levels")));
    }
    Ok((steps, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    fn env(prefix: &str, vars: &[(&str, &str)]) -> (String, Vec<String>) {
        let vars: Vec<_> = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (tree, diagnostics) = parse(&vars, prefix, prefix == "TORANA_", &schema::install().root);
        (tree.to_json().to_string(), diagnostics.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn variables_become_options() {
        let (tree, told) = env(
            "TRAEFIK_",
            &[
                ("TRAEFIK_ENTRYPOINTS_WebSec_ADDRESS", ":443"),
                ("TRAEFIK_ENTRYPOINTS_websec_HTTP_TLS_DOMAINS_0_MAIN", "a.b"),
                ("TRAEFIK_API_INSECURE", "true"),
                ("TRAEFIK_API", "true"),
                ("TRAEFIK_ACCESSLOG_FIELDS_NAMES_a_b", "keep"),
                ("TRAEFIK_PROVIDERS_PLUGIN_Demo_POLL_EVERY", "5"),
                ("TRAEFIK_PLUGINS_AUTH_LIMITS_MEMORY", "8MiB"),
                ("TRAEFIK_IMAGE", "x"),
                ("PATH", "/bin"),
                ("é", "x"),
            ],
        );
        assert_eq!(
            tree,
            r#"{"accessLog":{"fields":{"names":{"a_b":"keep"}}},"api":{"insecure":true},"entryPoints":{"websec":{"address":":443","http":{"tls":{"domains":[{"main":"a.b"}]}}}},"plugins":{"auth":{"limits":{"memory":"8MiB"}}},"providers":{"plugin":{"demo":{"poll":{"every":5}}}}}"#
        );
        assert_eq!(told, [""; 0]);
    }

    #[test]
    fn mistakes() {
        for (prefix, name, told) in [
            (
                "TRAEFIK_",
                "TRAEFIK_LOG_LEVL",
                "error: unknown environment variable `TRAEFIK_LOG_LEVL`\n  at  log.levl  (environment TRAEFIK_LOG_LEVL)\n  hint: did you mean `level`?",
            ),
            (
                "TORANA_",
                "TORANA_LOGS",
                "warning: environment variable `TORANA_LOGS` is ignored\n  at  environment TORANA_LOGS\n  hint: did you mean `log`?",
            ),
            (
                "TRAEFIK_",
                "TRAEFIK_EXPERIMENTAL_HUB",
                "error: `experimental.hub` was removed in Traefik v3\n  at  experimental.hub  (environment TRAEFIK_EXPERIMENTAL_HUB)\n  hint: remove it",
            ),
        ] {
            assert_eq!(env(prefix, &[(name, "x")]).1, [told]);
        }
        let deep = format!("TORANA_PLUGINS_X_CONFIG{}", "_A".repeat(100_000));
        assert!(env("TORANA_", &[(&deep, "x")]).1[0].ends_with("hint: it has more than 100 levels"));
    }
}
