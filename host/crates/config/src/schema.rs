//! The option tables: every static and every dynamic option of Traefik 3.7.15, and our own, with what is built.
//! The data stands in `static.tsv` and `dynamic.tsv`; a feature that lands changes a row there.

use crate::de::{Part, Path};
use crate::node::{Key, Node, Value, parse_bool, parse_int};
use std::sync::OnceLock;
use torana_base::{Diagnostic, GoDuration, Place, closest};

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int,
    Float,
    Duration,
    String,
    /// Scalars, or blocks when options stand below `path[n]`.
    List,
    /// Options below it; `true` and `{}` switch it on.
    Block,
    Any,
}

impl Kind {
    fn of(name: &str) -> Kind {
        match name {
            "bool" => Kind::Bool,
            "int" => Kind::Int,
            "float" => Kind::Float,
            "duration" => Kind::Duration,
            "string" => Kind::String,
            "list" => Kind::List,
            "block" => Kind::Block,
            _ => Kind::Any,
        }
    }

    /// As help and messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Duration => "duration",
            Kind::String => "string",
            Kind::List => "list",
            Kind::Block => "block",
            Kind::Any => "any",
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Kind::Bool => "`true` or `false`",
            Kind::Int => "a whole number",
            Kind::Float => "a number",
            Kind::Duration => "a duration",
            Kind::String => "a text",
            Kind::List => "a list",
            Kind::Block | Kind::Any => "a block of options",
        }
    }
}

/// How far an option is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Built,
    /// Accepted for the sake of old configurations, without effect.
    NoOp,
    /// Refused, but for the values in `accept` (separated by `|`, or all but the one behind `!`), or the
    /// default when there are none.
    Unbuilt {
        feature: &'static str,
        accept: Option<&'static str>,
    },
}

impl State {
    fn of(text: &'static str) -> State {
        match text {
            "built" => State::Built,
            "no-op" => State::NoOp,
            _ => match text.split_once('=') {
                Some((feature, accept)) => State::Unbuilt { feature, accept: Some(accept) },
                None => State::Unbuilt { feature: text, accept: None },
            },
        }
    }
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// With `<name>` for a key of the user's choice and `[n]` for an index.
    pub path: &'static str,
    pub kind: Kind,
    /// Traefik's default; `-` for none.
    pub default: &'static str,
    pub state: State,
    /// One line; empty for dynamic options.
    pub help: &'static str,
}

/// The options below one point of the tree.
#[derive(Debug, Default)]
pub struct Branch {
    pub name: &'static str,
    pub row: Option<Row>,
    pub children: Vec<Branch>,
    /// Below any key of the user's choice.
    pub any: Option<Box<Branch>>,
    /// Below each item of a list.
    pub item: Option<Box<Branch>>,
}

/// A table as rows and as the tree that they make.
#[derive(Debug)]
pub struct Table {
    pub rows: Vec<Row>,
    pub root: Branch,
}

/// The static options.
pub fn install() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        Table::of(rows(include_str!("static.tsv")).filter_map(|mut columns| {
            let (path, kind, default) = (columns.next()?, Kind::of(columns.next()?), columns.next()?);
            Some(Row { path, kind, default, state: State::of(columns.next()?), help: columns.next()? })
        }))
    })
}

/// The dynamic options.
pub fn routing() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        Table::of(rows(include_str!("dynamic.tsv")).filter_map(|mut columns| {
            let (path, kind) = (columns.next()?, Kind::of(columns.next()?));
            Some(Row { path, kind, default: "-", state: State::of(columns.next()?), help: "" })
        }))
    })
}

fn rows(text: &'static str) -> impl Iterator<Item = std::str::Split<'static, char>> {
    text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).map(|l| l.split('\t'))
}

impl Table {
    fn of(rows: impl Iterator<Item = Row>) -> Table {
        let rows: Vec<Row> = rows.collect();
        let mut root = Branch::default();
        for row in &rows {
            let mut at = &mut root;
            for part in row.path.split('.') {
                let (name, item) = part.strip_suffix("[n]").map_or((part, false), |n| (n, true));
                at = at.below(name);
                if item {
                    at = at.item.get_or_insert_default();
                }
            }
            at.row = Some(*row);
        }
        Table { rows, root }
    }
}

impl Branch {
    fn below(&mut self, name: &'static str) -> &mut Branch {
        if name.starts_with('<') {
            return self.any.get_or_insert_default();
        }
        let i = self.children.iter().position(|c| c.name == name).unwrap_or_else(|| {
            self.children.push(Branch { name, ..Branch::default() });
            self.children.len() - 1
        });
        &mut self.children[i]
    }

    /// The branch under `name`, found without case; a key of the user's choice is any.
    pub fn child(&self, name: &str) -> Option<&Branch> {
        self.known(name).or(self.any.as_deref())
    }

    /// The option `name` of the table itself, found without case.
    pub fn known(&self, name: &str) -> Option<&Branch> {
        self.children.iter().find(|c| c.name == name).or_else(|| self.children.iter().find(|c| c.name.eq_ignore_ascii_case(name)))
    }

    /// The branch under a dotted path, `[0]` or `[n]` being an item of a list.
    pub fn at(&self, path: &str) -> Option<&Branch> {
        path.split('.').filter(|p| !p.is_empty()).try_fold(self, |at, part| match part.split_once('[') {
            Some((name, _)) => at.child(name)?.item.as_deref(),
            None => at.child(part),
        })
    }

    /// The feature that the first option here or below waits for.
    pub(crate) fn feature(&self) -> Option<&'static str> {
        match self.row.map(|r| r.state) {
            Some(State::Unbuilt { feature, .. }) => Some(feature),
            _ => self.children.iter().chain(self.any.as_deref()).chain(self.item.as_deref()).find_map(Branch::feature),
        }
    }

    pub fn is_leaf(&self) -> bool {
        self.children.is_empty() && self.any.is_none() && self.item.is_none()
    }

    /// Whether everything below is free-form.
    pub fn is_free(&self) -> bool {
        self.is_leaf() && self.kind() == Kind::Any
    }

    pub fn kind(&self) -> Kind {
        match (&self.row, &self.item) {
            (Some(row), _) => row.kind,
            (None, Some(_)) => Kind::List,
            (None, None) => Kind::Block,
        }
    }

    /// The nearest name, or all that are known, as a hint.
    pub(crate) fn suggest(&self, name: &str) -> Option<String> {
        let names = || self.children.iter().map(|c| c.name);
        match closest(name, names()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if self.children.is_empty() => None,
            None => {
                let mut known: Vec<_> = names().take(12).collect();
                if self.children.len() > known.len() {
                    known.push("...");
                }
                Some(format!("known here: {}", known.join(", ")))
            }
        }
    }

    /// `node` as JSON, scalars by the types of the table.
    pub fn to_json(&self, node: &Node) -> serde_json::Value {
        use serde_json::Value as Json;
        let list = || self.row.is_some_and(|r| r.kind == Kind::List) && self.item.is_none();
        match &node.value {
            Value::Map(entries) => {
                // what is free-form is shown as written
                let free = |k: &Key| self.child(&k.text).is_some_and(Branch::is_free);
                let shown = entries.iter().filter(|(k, v)| !v.is_null() || free(k));
                Json::Object(
                    shown
                        .map(|(k, v)| {
                            let below = self.child(&k.text);
                            let name = self.known(&k.text).map_or(k.text.as_str(), |b| b.name);
                            (name.to_owned(), below.map_or_else(|| v.to_json(), |b| b.to_json(v)))
                        })
                        .collect(),
                )
            }
            Value::List(items) if list() => Json::Array(items.iter().map(text_json).collect()),
            Value::List(items) => {
                Json::Array(items.iter().map(|i| self.item.as_deref().map_or_else(|| i.to_json(), |b| b.to_json(i))).collect())
            }
            Value::Scalar { text, .. } => match self.kind() {
                Kind::Bool => parse_bool(text).map_or_else(|| Json::from(text.as_str()), Json::Bool),
                Kind::Int => parse_int(text).and_then(|n| i64::try_from(n).ok()).map_or_else(|| Json::from(text.as_str()), Json::from),
                Kind::Duration => text.parse::<GoDuration>().map_or_else(|_| Json::from(text.as_str()), |d| d.to_string().into()),
                Kind::String => Json::from(text.as_str()),
                Kind::List => Json::Array(text.split(',').map(|t| Json::from(t.trim())).collect()),
                Kind::Block if parse_bool(text) == Some(true) => Json::Object(serde_json::Map::new()),
                Kind::Float | Kind::Any | Kind::Block => node.to_json(),
            },
            Value::Null => Json::Null,
        }
    }
}

fn text_json(node: &Node) -> serde_json::Value {
    node.as_str().map_or_else(|| node.to_json(), serde_json::Value::from)
}

/// What is wrong with `node`, whose options are those of `branch` and whose dotted path is `key`: unknown
/// keys, wrong shapes, options that are not built or have no effect. Afterwards known keys are spelled as
/// in the table.
pub fn check(node: &mut Node, branch: &Branch, key: &str) -> Vec<Diagnostic> {
    let diagnostics = inspect(node, branch, key);
    canonicalise(node, branch);
    diagnostics
}

/// [`check`] without a change.
pub fn inspect(node: &Node, branch: &Branch, key: &str) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    look(node, &node.place, branch, &Path { up: None, part: Part::Root(key) }, &mut out);
    out
}

/// Spells known keys as in the table, here and below.
pub fn canonicalise(node: &mut Node, branch: &Branch) {
    match &mut node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                let Some(below) = branch.child(&key.text) else { continue };
                if let Some(known) = branch.known(&key.text)
                    && known.name != key.text
                {
                    key.text = known.name.to_owned();
                }
                canonicalise(value, below);
            }
        }
        Value::List(items) => {
            if let Some(item) = &branch.item {
                items.iter_mut().for_each(|i| canonicalise(i, item));
            }
        }
        _ => {}
    }
}

fn look(node: &Node, key: &Place, branch: &Branch, path: &Path<'_>, out: &mut Vec<Diagnostic>) {
    if node.is_null() {
        return;
    }
    if let Some(row) = &branch.row {
        match row.state {
            State::Built => {}
            State::NoOp => {
                if !is_value(node, row.default, row.kind) {
                    let d = Diagnostic::warning(path.to_string(), format!("`{}` has no effect", path.last()));
                    out.push(d.at(key).hint(if row.help.is_empty() { "the option is accepted and ignored; remove it" } else { row.help }));
                }
                return;
            }
            State::Unbuilt { feature, accept } => {
                let built = match accept.unwrap_or(row.default).split_once('!') {
                    Some((_, refused)) => !is_value(node, refused, row.kind),
                    None => accept.unwrap_or(row.default).split('|').any(|value| is_value(node, value, row.kind)),
                };
                if !built {
                    out.push(unbuilt(&path.to_string(), path.last(), feature, accept).at(key));
                }
                return;
            }
        }
    }
    match &node.value {
        Value::Map(entries) if !branch.children.is_empty() || branch.any.is_some() => {
            entries_of(entries, branch, path, out);
        }
        Value::Map(entries) if branch.kind() == Kind::Any || branch.is_leaf() && branch.kind() == Kind::Block && entries.is_empty() => {}
        Value::List(items) => match &branch.item {
            Some(item) => {
                for (i, node) in items.iter().enumerate() {
                    look(node, &node.place, item, &Path { up: Some(path), part: Part::Index(i) }, out);
                }
            }
            None if matches!(branch.kind(), Kind::List | Kind::Any) => {}
            None => out.push(wrong(node, branch, path, "a list")),
        },
        Value::Map(_) => out.push(wrong(node, branch, path, "a block of options")),
        Value::Scalar { text, .. } => {
            let block = branch.kind() == Kind::Block || branch.item.is_some();
            if block && !text.is_empty() && (parse_bool(text).is_none() || branch.item.is_some()) {
                out.push(wrong(node, branch, path, "a single value"));
            }
        }
        Value::Null => {}
    }
}

fn entries_of(entries: &[(Key, Node)], branch: &Branch, path: &Path<'_>, out: &mut Vec<Diagnostic>) {
    for (i, (key, value)) in entries.iter().enumerate() {
        let below = Path { up: Some(path), part: Part::Key(&key.text) };
        match branch.known(&key.text) {
            Some(known) => {
                if let Some((first, _)) = entries[..i].iter().find(|(k, _)| k.text.eq_ignore_ascii_case(&key.text)) {
                    let d = Diagnostic::error(below.to_string(), format!("`{}` is written twice", known.name)).at(&key.place);
                    out.push(d.hint(format!("the first is at {}; remove one of them", first.place)));
                    continue;
                }
                look(value, &key.place, known, &Path { up: Some(path), part: Part::Key(known.name) }, out);
            }
            None => match &branch.any {
                Some(any) => look(value, &key.place, any, &below, out),
                None => {
                    let mut d = Diagnostic::error(below.to_string(), format!("unknown option `{}`", key.text)).at(&key.place);
                    d.hint = branch.suggest(&key.text);
                    out.push(d);
                }
            },
        }
    }
}

fn wrong(node: &Node, branch: &Branch, path: &Path<'_>, found: &str) -> Diagnostic {
    Diagnostic::error(path.to_string(), format!("{} belongs here, not {found}", branch.kind().wanted())).at(&node.place)
}

/// The diagnostic of an option (or a value of it) that waits for `feature`.
pub(crate) fn unbuilt(path: &str, name: &str, feature: &str, accept: Option<&str>) -> Diagnostic {
    let message = match accept {
        Some(value) if value.starts_with('!') => format!("`{}` as `{name}` is not built yet ({feature})", &value[1..]),
        Some(values) => format!("`{name}` takes only `{}` so far: the rest is not built yet ({feature})", values.replace('|', "` or `")),
        None => format!("`{name}` is not built yet ({feature})"),
    };
    Diagnostic::error(path, message).hint(advice(feature))
}

/// What to do instead.
fn advice(feature: &str) -> &'static str {
    match feature.split_once('-').map_or(feature, |(area, _)| area) {
        "ACM" => "remove it, and use `acme`",
        "PRV" | "K8S" | "GW" | "NGX" | "KN" => "remove it, and configure with `providers.file`",
        "API" => "remove it; the rest of the API is served",
        "LOG" => "remove it; files and standard output are built",
        "MET" | "TRC" => "remove it; the log of the gateway itself (`log`) is built",
        "RUL" => "write the rules in v3 syntax",
        "MW" => "remove it; other middlewares are not affected, routers that use this one are disabled",
        "MLR" => "put the rule and the middlewares of the parent into this router",
        _ => "remove it",
    }
}

/// Whether `node` says `value`, whatever the spelling.
fn is_value(node: &Node, value: &str, kind: Kind) -> bool {
    if value == "-" {
        return false;
    }
    let Some(text) = node.as_str() else {
        return kind == Kind::List && !node.items().is_empty() && node.items().iter().map(Node::as_str).eq(value.split(", ").map(Some));
    };
    match kind {
        Kind::Bool | Kind::Block => parse_bool(text).is_some() && parse_bool(text) == parse_bool(value),
        Kind::Int => parse_int(text).is_some() && parse_int(text) == parse_int(value),
        Kind::Duration => matches!((text.parse::<GoDuration>(), value.parse::<GoDuration>()), (Ok(a), Ok(b)) if a == b),
        Kind::Float => matches!((text.parse::<f64>(), value.parse::<f64>()), (Ok(a), Ok(b)) if a == b),
        Kind::String | Kind::List | Kind::Any => text.eq_ignore_ascii_case(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Format, parse};

    fn say(text: &str, table: &Table) -> Vec<String> {
        let mut node = parse(text, Format::Yaml, "t.yml".into()).unwrap();
        check(&mut node, &table.root, "").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_tables_are_whole() {
        // Traefik's options, and those that it does not have
        let own = [
            "plugins.",
            "providers.plugin.<name>.<key>",
            "http.services.<s>.plugin",
            "http.services.<s>.loadBalancer.plugin",
            "http.services.<s>.loadBalancer.redispatch",
            "tcp.services.<s>.loadBalancer.redispatch",
            "certificatesResolvers.<name>.acme.dnsChallenge.config",
            "certificatesResolvers.<name>.acme.cluster",
            "certificatesResolvers.<name>.acme.onDemand",
            "providers.startupTimeout",
            "accessLog.countRetries",
            "secrets.",
        ];
        let count = |t: &Table| {
            let ours = t.rows.iter().filter(|r| own.iter().any(|o| r.path.starts_with(o))).count();
            (t.rows.len() - ours, ours)
        };
        assert_eq!(count(install()), (547, 56));
        assert!(install().rows.iter().all(|r| !r.help.is_empty()));
        assert_eq!(count(routing()), (421, 35));
        let features: std::collections::HashSet<&str> = install()
            .rows
            .iter()
            .chain(&routing().rows)
            .filter_map(|r| match r.state {
                State::Unbuilt { feature, .. } => Some(feature),
                _ => None,
            })
            .collect();
        for feature in features {
            let (area, number) = feature.split_once('-').unwrap();
            assert!(area.chars().all(|c| c.is_ascii_uppercase() || c == '8') && number.parse::<u8>().is_ok(), "{feature}");
        }
    }

    #[test]
    fn unknown_and_unbuilt_options_are_told() {
        for (text, told) in [
            ("api: {insecure: true, dashboard: false}\nlog: true\nping:\n", vec![]),
            ("entryPoints: {web: {HTTP3: {}, udp: {timeout: 3}}}\naccessLog: false", vec![]),
            ("api: {dashboard: true}", vec![]),
            (
                "hostResolver: {cnameFlattning: true}",
                vec![
                    "error: unknown option `cnameFlattning`\n  at  hostResolver.cnameFlattning  (t.yml:1:16)\n  hint: did you mean `cnameFlattening`?",
                ],
            ),
            (
                "entryPoints: {web: {adress: ':80'}}",
                vec!["error: unknown option `adress`\n  at  entryPoints.web.adress  (t.yml:1:21)\n  hint: did you mean `address`?"],
            ),
            (
                "global: {notAppendXForwardedFor: true}",
                vec![
                    "warning: `notAppendXForwardedFor` has no effect\n  at  global.notAppendXForwardedFor  (t.yml:1:10)\n  hint: Has no effect; use forwardedHeaders of the entry point.",
                ],
            ),
            (
                "log: {level: {}, Level: INFO}",
                vec![
                    "error: a text belongs here, not a block of options\n  at  log.level  (t.yml:1:14)",
                    "error: `level` is written twice\n  at  log.Level  (t.yml:1:18)\n  hint: the first is at t.yml:1:7; remove one of them",
                ],
            ),
            (
                "ping: [1]\nlog: loud",
                vec![
                    "error: a block of options belongs here, not a list\n  at  ping  (t.yml:1:7)",
                    "error: a block of options belongs here, not a single value\n  at  log  (t.yml:2:6)",
                ],
            ),
        ] {
            assert_eq!(say(text, install()), told, "{text}");
        }
    }

    #[test]
    fn json_by_the_types_of_the_table() {
        let mut node =
            parse("ratelimit: {average: '5', period: 2, sourcecriterion: {requestHost: 'true'}}", Format::Yaml, "t".into()).unwrap();
        let branch = routing().root.at("http.middlewares.x").unwrap();
        assert_eq!(check(&mut node, branch, ""), []);
        let free =
            parse("headers: {customRequestHeaders: {a: ~}}\nplugin: {Auth: {A: ~, a: ['1', 2, ~]}}", Format::Yaml, "t".into()).unwrap();
        assert_eq!(
            branch.to_json(&free).to_string(),
            r#"{"headers":{"customRequestHeaders":{}},"plugin":{"Auth":{"A":null,"a":["1",2,null]}}}"#
        );
        assert_eq!(
            branch.to_json(&node).to_string(),
            r#"{"rateLimit":{"average":5,"period":"2s","sourceCriterion":{"requestHost":true}}}"#
        );
    }
}
