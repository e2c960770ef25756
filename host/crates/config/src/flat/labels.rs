//! Labels of a container, tags of a service: `traefik.http.routers.web.rule=...`.
//!
//! What Traefik refuses is an error here, and the object is to be left out; what it drops in silence is dropped
//! too, with a warning.

use super::{MAX_DEPTH, Raw};
use crate::node::{Key, Node, Value, parse_bool};
use crate::reference;
use crate::schema::{self, Branch, Kind};
use torana_base::{Checked, Diagnostic, GoDuration, Place, closest};

/// Prefix that always works, whatever the configured one; it wins when both say the same.
pub const OWN_PREFIX: &str = "torana";

/// Whose labels are read.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// As messages name it, such as `container whoami-1`.
    pub name: &'a str,
    /// What it has: `label` or `tag`.
    pub noun: &'a str,
    /// `traefik`, unless configured otherwise.
    pub prefix: &'a str,
}

/// What the labels of one object say.
#[derive(Clone, Debug)]
pub struct LabelTree {
    /// For [`crate::routing::decode`]. A service with a `server` has one entry in `servers`, without an address.
    pub node: Node,
    /// What is said of servers and is no option of a service: their address is made of it.
    pub servers: Vec<ServerLabels>,
}

/// `loadbalancer.server` of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerLabels {
    /// `http`, `tcp` or `udp`.
    pub tree: &'static str,
    pub service: String,
    /// Empty when not written.
    pub scheme: String,
    pub port: Option<String>,
    pub place: Place,
}

impl Default for LabelTree {
    fn default() -> Self {
        LabelTree { node: Node::empty(Place::whole("labels")), servers: Vec::new() }
    }
}

/// First names that are no routing configuration: providers read them themselves.
const PROVIDER_KEYS: [&str; 6] = ["enable", "docker", "swarm", "ecs", "consulcatalog", "nomad"];

/// Options that labels cannot set: a container is one server, and what is shared stands elsewhere.
const ELSEWHERE: [&str; 10] = [
    "http.routers.*.parentRefs",
    "http.services.*.weighted",
    "http.services.*.mirroring",
    "http.services.*.failover",
    "http.services.*.highestRandomWeight",
    "http.serversTransports",
    "tcp.services.*.weighted",
    "tcp.serversTransports",
    "udp.services.*.weighted",
    "tls.stores.*.defaultCertificate",
];

/// Blocks that `true` switches on.
const SWITCHES: [&str; 10] = [
    "http.routers.*.tls",
    "http.services.*.loadBalancer.sticky",
    "http.services.*.loadBalancer.sticky.cookie",
    "http.middlewares.*.ipWhiteList.ipStrategy",
    "http.middlewares.*.ipAllowList.ipStrategy",
    "http.middlewares.*.compress",
    "http.middlewares.*.contentType",
    "tcp.routers.*.tls",
    "tcp.services.*.loadBalancer.proxyProtocol",
    "tcp.services.*.loadBalancer.healthCheck",
];

/// The tree of all labels of one object. With an error among the diagnostics, the object is to be left out.
pub fn tree<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>, owner: &Owner<'_>) -> Checked<LabelTree> {
    let mut reader = Reader { servers: Vec::new(), diagnostics: Vec::new() };
    let raw = reader.raw(labels, owner);
    let node = reader.block(&raw, &schema::routing().root, "", "");
    Checked { value: LabelTree { node, servers: reader.servers }, diagnostics: reader.diagnostics }
}

struct Label<'a> {
    /// Behind the prefix.
    path: &'a str,
    /// For the order: without case.
    lower: String,
    own: bool,
    key: &'a str,
    value: &'a str,
}

struct Reader {
    servers: Vec<ServerLabels>,
    diagnostics: Vec<Diagnostic>,
}

impl Reader {
    fn raw<'a>(&mut self, labels: impl IntoIterator<Item = (&'a str, &'a str)>, owner: &Owner<'_>) -> Raw {
        let place = |key: &str| Place::whole(format!("{}, {} `{key}`", owner.name, owner.noun));
        let mut found: Vec<Label<'a>> = Vec::new();
        for (key, value) in labels {
            let Some((own, path)) = self.behind_prefix(key, owner, &place) else { continue };
            if self.is_routing(path, key, &place) {
                found.push(Label { path, lower: path.to_ascii_lowercase(), own, key, value });
            }
        }
        found.sort_unstable_by(|a, b| (&a.lower, a.own, a.key).cmp(&(&b.lower, b.own, b.key)));
        let mut root = Raw::new("", &Place::whole(owner.name));
        for label in &found {
            let place = place(label.key);
            let mut parts = Vec::new();
            for part in label.path.split('.') {
                match part.find('[').filter(|_| part.ends_with(']')) {
                    Some(0) => parts.clear(),
                    Some(i) => parts.extend([&part[..i], &part[i..]]),
                    None if part.is_empty() || part.starts_with('[') => parts.clear(),
                    None => parts.push(part),
                }
                if parts.is_empty() {
                    break;
                }
            }
            if parts.is_empty() || parts.len() > MAX_DEPTH {
                let d = Diagnostic::error(label.path, format!("`{}` is no path of an option", label.path)).at(&place);
                self.diagnostics.push(d.hint("write names with one `.` between them; `[0]` stands behind the name of a list"));
                continue;
            }
            root.insert(parts, label.value, &place);
        }
        root
    }

    /// What follows `traefik.` or `torana.`, and whether it was the latter.
    fn behind_prefix<'a>(&mut self, key: &'a str, owner: &Owner<'_>, place: &impl Fn(&str) -> Place) -> Option<(bool, &'a str)> {
        for (prefix, own) in [(owner.prefix, false), (OWN_PREFIX, true)] {
            let behind = key.get(prefix.len()..).and_then(|rest| rest.strip_prefix('.'));
            match (behind, key.get(..prefix.len())) {
                (Some(path), Some(written)) if written == prefix => return Some((own, path)),
                (Some(path), Some(written)) if written.eq_ignore_ascii_case(prefix) && root_of(path).is_some() => {
                    let d = Diagnostic::error(path, format!("labels begin with `{prefix}.`, not with `{written}.`")).at(&place(key));
                    self.diagnostics.push(d.hint(format!("write `{prefix}.{path}`")));
                    return None;
                }
                _ => {}
            }
        }
        None
    }

    /// Whether a label says something of routing; tells those that nobody reads.
    fn is_routing(&mut self, path: &str, key: &str, place: &impl Fn(&str) -> Place) -> bool {
        if root_of(path).is_some() {
            return true;
        }
        let first = path.split('.').next().unwrap_or_default();
        if PROVIDER_KEYS.iter().any(|known| first.eq_ignore_ascii_case(known)) {
            return false;
        }
        let roots = ["http", "tcp", "udp"];
        if let Some(root) = roots.iter().find(|root| first.get(..root.len()).is_some_and(|f| f.eq_ignore_ascii_case(root))) {
            let d = Diagnostic::error(path, format!("unknown option `{first}`")).at(&place(key));
            self.diagnostics.push(d.hint(format!("did you mean `{root}`?")));
            return false;
        }
        let d = Diagnostic::warning(path, format!("unknown option `{first}` is ignored")).at(&place(key));
        self.diagnostics.push(match first.to_ascii_lowercase().as_str() {
            "tls" => d.hint("of TLS, labels set only `tls.stores.default.defaultgeneratedcert`; write the rest to a file"),
            "plugins" => d.hint("plugins are declared in a file; labels use them by `http.middlewares.<name>.plugin`"),
            "frontend" | "backend" | "port" | "protocol" | "weight" => {
                d.hint("it is of Traefik v1; write `http.routers` and `http.services`")
            }
            name => match closest(name, roots.into_iter().chain(PROVIDER_KEYS)) {
                Some(near) => d.hint(format!("did you mean `{near}`?")),
                None => d.hint("labels begin with `http`, `tcp` or `udp` behind the prefix"),
            },
        });
        false
    }

    fn error(&mut self, key: &str, message: String, place: &Place, hint: Option<String>) {
        let d = Diagnostic::error(key, message).at(place);
        self.diagnostics.push(Diagnostic { hint, ..d });
    }

    fn dropped(&mut self, key: &str, message: String, place: &Place, hint: &str) {
        self.diagnostics.push(Diagnostic::warning(key, message).at(place).hint(hint));
    }

    /// The options below `raw`. `key` is the dotted path as written, `path` the one of the table.
    fn block(&mut self, raw: &Raw, branch: &Branch, key: &str, path: &str) -> Node {
        let mut node = Node::empty(raw.place.clone());
        for child in &raw.children {
            let known = branch.known(&child.name);
            let name = known.map_or(child.name.as_str(), |b| b.name);
            let below = join(key, name);
            if child.name.eq_ignore_ascii_case("server") && path.ends_with(".loadBalancer") {
                if let Some(server) = self.server(child, &below, path) {
                    let key = Key { text: "servers".into(), place: child.place.clone() };
                    let list = Value::List(vec![server]);
                    node.insert(key, Node::new(child.place.clone(), list));
                }
                continue;
            }
            if path == "http" && child.name.eq_ignore_ascii_case("models") {
                self.dropped(&below, "labels cannot set `models`, it is ignored".to_owned(), &child.place, "remove the label");
                continue;
            }
            let Some(option) = known.or(branch.any.as_deref()) else {
                self.error(&below, format!("unknown option `{}`", child.name), &child.place, branch.suggest(&child.name));
                continue;
            };
            if name == "servers" && path.ends_with(".loadBalancer") {
                let hint = "write `server` for the one server that this is: `loadbalancer.server.port`".to_owned();
                self.error(&below, format!("unknown option `{}`", child.name), &child.place, Some(hint));
                continue;
            }
            let path = join(path, known.map_or("*", |b| b.name));
            if ELSEWHERE.contains(&path.as_str()) {
                let hint = "write it to a file (`providers.file`) or a key-value store, and refer to it by `name@file`";
                self.dropped(&below, format!("labels cannot set `{name}`, it is ignored"), &child.place, hint);
                continue;
            }
            if let Some(value) = self.option(child, option, &below, &path) {
                node.insert(Key { text: name.to_owned(), place: child.place.clone() }, value);
            }
        }
        node
    }

    fn option(&mut self, raw: &Raw, branch: &Branch, key: &str, path: &str) -> Option<Node> {
        if branch.is_free() || path.ends_with(".plugin.*") {
            return Some(free(raw));
        }
        match branch.kind() {
            Kind::List if branch.item.is_some() => self.list(raw, branch.item.as_deref()?, key, path),
            Kind::List => self.names(raw, key),
            Kind::Block => self.switch(raw, branch, key, path),
            kind => self.scalar(raw, kind, key),
        }
    }

    fn scalar(&mut self, raw: &Raw, kind: Kind, key: &str) -> Option<Node> {
        let (Some(text), []) = (raw.text(), raw.children.as_slice()) else {
            self.error(key, format!("`{}` has a value and no options below it", raw.name), &raw.place, None);
            return None;
        };
        let wanted = match kind {
            // what it leads to is looked at when it is followed
            _ if reference::mentions(text) => return raw.value.clone(),
            Kind::Bool if parse_bool(text).is_none() => "`true` or `false`",
            Kind::Int if text.parse::<i64>().is_err() => "a whole number",
            Kind::Float if text.parse::<f64>().is_err() => "a number",
            Kind::Duration if text.parse::<GoDuration>().is_err() => "a duration such as `10s`",
            _ => return raw.value.clone(),
        };
        self.error(key, format!("{wanted} belongs here, not `{}`", text.chars().take(60).collect::<String>()), &raw.place, None);
        None
    }

    /// A list of texts, separated by commas.
    fn names(&mut self, raw: &Raw, key: &str) -> Option<Node> {
        if let Some(child) = raw.children.first() {
            let dot = if child.name.starts_with('[') { "" } else { "." };
            let hint = format!("write all values in one label: `{}=a,b`", raw.name);
            self.dropped(key, format!("`{}{dot}{}` is ignored", raw.name, child.name), &child.place, &hint);
        }
        raw.value.clone()
    }

    fn list(&mut self, raw: &Raw, item: &Branch, key: &str, path: &str) -> Option<Node> {
        let mut items = Vec::new();
        for child in &raw.children {
            let below = format!("{key}{}", child.name);
            if child.name.starts_with('[') && !child.children.is_empty() {
                items.push(self.block(child, item, &below, path));
            } else {
                let option = if child.name.starts_with('[') { "main" } else { child.name.as_str() };
                let hint = format!("write `{}[0].{option}`", raw.name);
                self.dropped(key, format!("`{}` is a list of blocks, this is ignored", raw.name), &child.place, &hint);
            }
        }
        if raw.value.is_some() {
            let hint = format!("write `{}[0]` and an option of it", raw.name);
            self.dropped(key, format!("`{}` is a list of blocks, its own value is ignored", raw.name), &raw.place, &hint);
        }
        (!items.is_empty()).then(|| Node::new(raw.place.clone(), Value::List(items)))
    }

    /// A block: of options, or switched on or off by a value.
    fn switch(&mut self, raw: &Raw, branch: &Branch, key: &str, path: &str) -> Option<Node> {
        let can_stand_alone = SWITCHES.contains(&path);
        let off = raw.text().is_some_and(|t| !t.is_empty() && !t.eq_ignore_ascii_case("true"));
        match (raw.children.is_empty(), can_stand_alone) {
            (_, true) if off => {
                if raw.text().and_then(parse_bool) != Some(false) || !raw.children.is_empty() {
                    let message = format!("`{}` is off: its value is neither `true` nor empty", raw.name);
                    self.dropped(key, message, &raw.place, "write `true`, or remove the label");
                }
                None
            }
            (true, true) => Some(Node::plain(raw.place.clone(), "true")),
            // an object without options
            (true, false) if path.matches('.').count() == 2 && path.ends_with(".*") => Some(Node::empty(raw.place.clone())),
            (true, false) => {
                let hint = match branch.children.first() {
                    _ if branch.name == "loadBalancer" => format!("write an option of it, such as `{}.server.port`", raw.name),
                    Some(first) => format!("write an option of it, such as `{}.{}`", raw.name, first.name.to_ascii_lowercase()),
                    None => format!("write `{}.<name>=...`", raw.name),
                };
                self.error(key, format!("`{}` cannot stand alone", raw.name), &raw.place, Some(hint));
                None
            }
            (false, _) => Some(self.block(raw, branch, key, path)),
        }
    }

    /// The one server of a service: what is an option of a server as a node, the rest beside the tree.
    fn server(&mut self, raw: &Raw, key: &str, path: &str) -> Option<Node> {
        let (tree, options): (_, &[(&str, Kind)]) = match path.split('.').next() {
            Some("http") => (
                "http",
                &[
                    ("port", Kind::String),
                    ("scheme", Kind::String),
                    ("url", Kind::String),
                    ("weight", Kind::Int),
                    ("preservePath", Kind::Bool),
                ],
            ),
            Some("tcp") => ("tcp", &[("port", Kind::String), ("tls", Kind::Bool)]),
            _ => ("udp", &[("port", Kind::String)]),
        };
        if raw.children.is_empty() {
            let hint = Some("write an option of it, such as `server.port`".to_owned());
            self.error(key, "`server` cannot stand alone".to_owned(), &raw.place, hint);
            return None;
        }
        let service = key.strip_suffix(".loadBalancer.server").and_then(|k| k.splitn(3, '.').nth(2)).unwrap_or_default();
        let mut labels = ServerLabels { tree, service: service.to_owned(), scheme: String::new(), port: None, place: raw.place.clone() };
        let mut node = Node::empty(raw.place.clone());
        for child in &raw.children {
            let Some((name, kind)) = options.iter().find(|(name, _)| name.eq_ignore_ascii_case(&child.name)) else {
                let elsewhere = if tree == "http" { "fenced" } else { "address" };
                if child.name.eq_ignore_ascii_case(elsewhere) {
                    let hint = "write `server.port`; the host is that of the object itself";
                    let message = format!("labels cannot set `{elsewhere}`, it is ignored");
                    self.dropped(&join(key, elsewhere), message, &child.place, hint);
                    continue;
                }
                let names: Vec<&str> = options.iter().map(|(name, _)| *name).collect();
                let hint = Some(match closest(&child.name, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", names.join(", ")),
                });
                self.error(&join(key, &child.name), format!("unknown option `{}`", child.name), &child.place, hint);
                continue;
            };
            let Some(value) = self.scalar(child, *kind, &join(key, name)) else { continue };
            let text = value.as_str().unwrap_or_default().to_owned();
            match *name {
                "port" => {
                    labels.port = Some(text);
                    labels.place = child.place.clone();
                }
                "scheme" => labels.scheme = text,
                _ => node.insert(Key { text: (*name).to_owned(), place: child.place.clone() }, value),
            }
        }
        self.servers.push(labels);
        Some(node)
    }
}

/// The tree of routing that a path stands in, if any.
fn root_of(path: &str) -> Option<&'static str> {
    let mut parts = path.split('.');
    let first = parts.next()?;
    if first.eq_ignore_ascii_case("tls") {
        let store = parts.next().zip(parts.next());
        return store.filter(|(s, d)| s.eq_ignore_ascii_case("stores") && d.eq_ignore_ascii_case("default")).map(|_| "tls");
    }
    ["http", "tcp", "udp"].into_iter().find(|root| first.eq_ignore_ascii_case(root))
}

/// What is free-form: maps, lists and texts as written.
fn free(raw: &Raw) -> Node {
    if raw.children.is_empty() {
        return raw.value.clone().unwrap_or_else(|| Node::empty(raw.place.clone()));
    }
    let value = if raw.children.iter().all(|c| c.name.starts_with('[')) {
        Value::List(raw.children.iter().map(free).collect())
    } else {
        let key = |c: &Raw| Key { text: c.name.clone(), place: c.place.clone() };
        Value::Map(raw.children.iter().map(|c| (key(c), free(c))).collect())
    };
    Node::new(raw.place.clone(), value)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
#[path = "labels_tests.rs"]
mod tests;
