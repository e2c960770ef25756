//! Command-line flags to a tree: `--a.b.c=value`, `--a.b.c value`, `--a.block`, `--a.list[0].b=value`.

use super::removed;
use crate::node::{Key, Node, Value, position};
use crate::parse::MAX_DEPTH;
use crate::schema::{Branch, Kind};
use torana_base::{Diagnostic, Place};

/// Items of a list that flags or variables may name by index, at most.
const MAX_INDEX: usize = 1_000;

/// One step of the way to an option.
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The tree of `args`, which hold flags only.
pub(super) fn parse(args: &[String], root: &Branch) -> (Node, Vec<Diagnostic>) {
    let mut tree = Node::empty(Place::whole("flags"));
    let mut diagnostics = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            continue;
        }
        let Some(flag) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|f| !f.is_empty()) else {
            let d = Diagnostic::error("", format!("`{arg}` is neither a command nor a flag"));
            diagnostics.push(d.hint("flags begin with `--`, as in `--entrypoints.web.address=:80`"));
            continue;
        };
        let (name, value) = flag.split_once('=').map_or((flag, None), |(n, v)| (n, Some(v.to_owned())));
        let (steps, branch) = match resolve(name, root) {
            Ok(found) => found,
            Err(d) => {
                diagnostics.push(*d);
                // its value, when it stands apart
                if value.is_none() && args.as_slice().first().is_some_and(|next| !next.starts_with('-')) {
                    args.next();
                }
                continue;
            }
        };
        let value = match value {
            Some(value) => value,
            // `--ping` and `--ping true` are the same.
            None if matches!(branch.kind(), Kind::Bool | Kind::Block) => match args.as_slice().first() {
                Some(next) if matches!(next.as_str(), "true" | "false") => args.next().cloned().unwrap_or_default(),
                _ => "true".to_owned(),
            },
            None => match args.next() {
                Some(next) => next.clone(),
                None => {
                    diagnostics
                        .push(Diagnostic::error(name, format!("flag `--{name}` needs a value")).hint(format!("write `--{name}=...`")));
                    continue;
                }
            },
        };
        // Traefik appends too, but below a name of the user's choice only in about every second run.
        put(&mut tree, &steps, &value, &Place::whole(format!("flag --{name}")), branch.kind() == Kind::List);
    }
    (tree, diagnostics)
}

/// The way to the option that `name` spells, and what the table says of it.
fn resolve<'t>(name: &str, root: &'t Branch) -> Result<(Vec<Step>, &'t Branch), Box<Diagnostic>> {
    let mut at = root;
    let mut steps = Vec::new();
    let mut rest = name;
    let mut before = String::new();
    while !rest.is_empty() {
        // a key of the user's choice with nothing below it may hold dots
        let leaf = |a: &Branch| a.is_leaf() && !a.is_free();
        let free = at.known(rest.split(['.', '[']).next().unwrap_or(rest)).is_none() && at.any.as_deref().is_some_and(leaf);
        let (part, tail) = if free { (rest, "") } else { rest.split_once('.').unwrap_or((rest, "")) };
        let (key, mut indexes) = if free { (part, "") } else { part.find('[').map_or((part, ""), |i| part.split_at(i)) };
        at = match (at.child(key), at.known(key)) {
            _ if at.is_free() && !key.is_empty() => {
                steps.push(Step::Key(key.to_owned()));
                at
            }
            (Some(next), known) if !key.is_empty() => {
                steps.push(Step::Key(known.map_or_else(|| key.to_owned(), |k| k.name.to_owned())));
                next
            }
            _ => {
                let mut d = Diagnostic::error(name, format!("unknown flag `--{name}`"));
                d.hint = at.suggest(key).map(|hint| if before.is_empty() { hint } else { format!("below `--{before}`, {hint}") });
                removed::explain(&mut d, name);
                return Err(Box::new(d));
            }
        };
        while let Some((index, after)) = indexes.strip_prefix('[').and_then(|i| i.split_once(']')) {
            let bad = || Box::new(Diagnostic::error(name, format!("`[{index}]` of flag `--{name}` is no index from 0 to {MAX_INDEX}")));
            let index = index.parse::<usize>().ok().filter(|i| *i <= MAX_INDEX).ok_or_else(bad)?;
            if at.is_free() {
                steps.push(Step::Index(index));
                indexes = after;
                continue;
            }
            let Some(item) = &at.item else {
                return Err(Box::new(
                    Diagnostic::error(name, format!("unknown flag `--{name}`")).hint(format!("`{key}` has no items that take an index")),
                ));
            };
            at = item;
            steps.push(Step::Index(index));
            indexes = after;
        }
        if !before.is_empty() {
            before.push('.');
        }
        before.push_str(&part.to_ascii_lowercase());
        rest = tail;
    }
    if steps.is_empty() {
        return Err(Box::new(Diagnostic::error("", "a flag without a name")));
    }
    if steps.len() > MAX_DEPTH {
        return Err(Box::new(Diagnostic::error("", format!("a flag of more than {MAX_DEPTH} levels"))));
    }
    Ok((steps, at))
}

/// Puts a value where `steps` lead. A list given twice gets longer; a bare `true` leaves a block as it is.
pub(super) fn put(node: &mut Node, steps: &[Step], value: &str, place: &Place, list: bool) {
    match steps.split_first() {
        None => match &mut node.value {
            Value::Scalar { text, .. } if list => {
                text.push(',');
                text.push_str(value);
            }
            Value::Map(_) if value == "true" => {}
            _ => *node = Node::plain(place.clone(), value),
        },
        Some((Step::Key(name), rest)) => {
            if !matches!(node.value, Value::Map(_)) {
                *node = Node::empty(place.clone());
            }
            let Value::Map(entries) = &mut node.value else { return };
            let at = position(entries, name).unwrap_or_else(|| {
                entries.push((Key { text: name.clone(), place: place.clone() }, Node::new(place.clone(), Value::Null)));
                entries.len() - 1
            });
            put(&mut entries[at].1, rest, value, place, list);
        }
        Some((Step::Index(index), rest)) => {
            if !matches!(node.value, Value::List(_)) {
                *node = Node::new(place.clone(), Value::List(Vec::new()));
            }
            let Value::List(items) = &mut node.value else { return };
            while items.len() <= *index {
                items.push(Node::new(place.clone(), Value::Null));
            }
            put(&mut items[*index], rest, value, place, list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    fn flags(args: &[&str]) -> (String, Vec<String>) {
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        let (tree, diagnostics) = parse(&args, &schema::install().root);
        (tree.to_json().to_string(), diagnostics.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_grammar() {
        for (args, tree) in [
            (
                &["--ping", "--log.level", "DEBUG", "-api.insecure=false"][..],
                r#"{"ping":true,"log":{"level":"DEBUG"},"api":{"insecure":false}}"#,
            ),
            (
                &["--entryPoints.WebSec.address=:443", "--entrypoints.websec.asDefault"],
                r#"{"entryPoints":{"WebSec":{"address":":443","asDefault":true}}}"#,
            ),
            (
                &["--entrypoints.web.http.middlewares=a,b", "--entrypoints.web.http.middlewares=c"],
                r#"{"entryPoints":{"web":{"http":{"middlewares":"a,b,c"}}}}"#,
            ),
            (
                &["--entrypoints.w.http.tls.domains[1].main=b", "--entrypoints.w.http.tls.domains[0].main=a"],
                r#"{"entryPoints":{"w":{"http":{"tls":{"domains":[{"main":"a"},{"main":"b"}]}}}}}"#,
            ),
            (&["--ocsp.responderoverrides.http://a.b/c=x"], r#"{"ocsp":{"responderOverrides":{"http://a.b/c":"x"}}}"#),
            (
                &["--providers.plugin.x.Y.z=1", "--providers.plugin.x.l[1].a", "b", "--providers.plugin.w"],
                r#"{"providers":{"plugin":{"x":{"Y":{"z":1},"l":[null,{"a":"b"}]},"w":true}}}"#,
            ),
            (
                &["--plugins.Auth.path=a.wasm", "--plugins.Auth.permissions.kv=a", "--plugins.auth.permissions.kv=b"],
                r#"{"plugins":{"Auth":{"path":"a.wasm","permissions":{"kv":"a,b"}}}}"#,
            ),
            (&["--api.insecure", "--api"], r#"{"api":{"insecure":true}}"#),
        ] {
            assert_eq!(flags(args), (tree.to_owned(), vec![]), "{args:?}");
        }
    }

    #[test]
    fn mistakes() {
        for (args, told) in [
            (
                &["--entrypoints.web.adress", ":80"][..],
                "error: unknown flag `--entrypoints.web.adress`\n  at  entrypoints.web.adress\n  hint: below `--entrypoints.web`, did you mean `address`?",
            ),
            (
                &["--entrypoint.web.address=:80"],
                "error: unknown flag `--entrypoint.web.address`\n  at  entrypoint.web.address\n  hint: did you mean `entryPoints`?",
            ),
            (&["--log.level"], "error: flag `--log.level` needs a value\n  at  log.level\n  hint: write `--log.level=...`"),
            (
                &["serve"],
                "error: `serve` is neither a command nor a flag\n  hint: flags begin with `--`, as in `--entrypoints.web.address=:80`",
            ),
            (
                &["--entrypoints.w.http.tls.domains[99999999999].main=a"],
                "error: `[99999999999]` of flag `--entrypoints.w.http.tls.domains[99999999999].main` is no index from 0 to 1000\n  at  entrypoints.w.http.tls.domains[99999999999].main",
            ),
            (&["--log[0]=a"], "error: unknown flag `--log[0]`\n  at  log[0]\n  hint: `log` has no items that take an index"),
            (&["--pilot.token=x"], "error: `pilot` was removed in Traefik v3\n  at  pilot.token\n  hint: remove it"),
            (&["--=x"], "error: a flag without a name"),
        ] {
            assert_eq!(flags(args).1, [told], "{args:?}");
        }
        let deep = format!("--plugins.x.config{}=1", ".a".repeat(100_000));
        assert_eq!(flags(&[&deep]).1, ["error: a flag of more than 100 levels"]);
        let deep = format!("--plugins.x.config.a{}=1", "[0]".repeat(100_000));
        assert_eq!(flags(&[&deep]).1, ["error: a flag of more than 100 levels"]);
    }

    proptest::proptest! {
        #[test]
        fn no_flag_panics(args in proptest::collection::vec("(--?)?[a-zA-Z.=\\[\\]0-9 -]{0,30}", 0..5)) {
            parse(&args, &schema::install().root);
        }
    }
}
