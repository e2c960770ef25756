//! File, environment and flags to one static configuration.

use super::{InstallConfig, env, flags, removed};
use crate::de;
use crate::node::{Node, Value};
use crate::parse::{Format, parse};
use crate::reference::{self, Conceal, Trusted, Values};
use crate::schema;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use torana_base::{Diagnostic, Place};

/// Where the static configuration may come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Flags, without the name of the program and of the command.
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Look for a file in the usual directories when none is named.
    pub cwd_lookup: bool,
}

/// A static configuration that Torana can start with.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: InstallConfig,
    /// All sources laid over each other, as written, with what references lead to.
    pub node: Node,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Key of each option that was written, and the source that won.
    pub origins: Vec<(String, String)>,
    pub warnings: Vec<Diagnostic>,
}

impl Loaded {
    /// Which keys came from where, without values, for one line of the log.
    pub fn origins_summary(&self) -> String {
        if self.origins.is_empty() {
            return "nothing is configured, defaults are used".to_owned();
        }
        let mut by_source: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, source) in &self.origins {
            let source = match source.split_once(' ') {
                Some(("flag", _)) => "flags",
                Some(("environment", _)) => "environment",
                _ => source,
            };
            by_source.entry(source).or_default().push(key);
        }
        by_source.iter().map(|(source, keys)| format!("{source}: {}", keys.join(", "))).collect::<Vec<_>>().join("; ")
    }
}

/// Reads all sources and lays them over each other: flags over `TORANA_` variables over `TRAEFIK_` variables
/// over the file. (Traefik takes the first source that says anything and ignores the others.)
pub fn load(sources: &Sources) -> Result<Loaded, Vec<Diagnostic>> {
    let root = &schema::install().root;
    let (flags, mut diagnostics) = flags::parse(&sources.args, root);
    let (ours, more) = env::parse(&sources.env, "TORANA_", true, root);
    diagnostics.extend(more);
    let (theirs, more) = env::parse(&sources.env, "TRAEFIK_", false, root);
    diagnostics.extend(more);

    let named = [&flags, &ours, &theirs].into_iter().find_map(|n| n.child("configFile")).filter(|n| n.as_str() != Some(""));
    let file = match named {
        Some(node) => node.as_str().map(PathBuf::from),
        None if sources.cwd_lookup => lookup(&sources.env),
        None => None,
    };
    let mut node = Node::empty(Place::whole("defaults"));
    let mut layers = Vec::with_capacity(4);
    if let Some(path) = &file {
        match read(path) {
            Ok(tree) => layers.push(root_only(tree, &mut diagnostics)),
            Err(mut d) => {
                d.place = d.place.or_else(|| named.map(|n| n.place.clone()));
                diagnostics.push(d);
            }
        }
    }
    layers.extend([theirs, ours, flags]);
    let mut written = None;
    let mut values = Values::new();
    if layers.iter().any(reference::any) {
        let mut tree = Node::empty(Place::whole("defaults"));
        for layer in &mut layers {
            let mut before = layer.clone();
            schema::canonicalise(&mut before, root);
            tree.merge(before);
            let expanded = reference::expand(layer, "", &|_| true, &mut Trusted);
            *layer = expanded.node;
            diagnostics.extend(expanded.diagnostics);
            values.extend(expanded.values);
        }
        written = Some(tree);
    }
    for mut layer in layers {
        for mut d in schema::check(&mut layer, root, "") {
            let key = d.key.clone();
            if d.is_error() {
                removed::explain(&mut d, &key);
            }
            diagnostics.push(d);
        }
        node.merge(layer);
    }

    let read = de::read::<InstallConfig>(&node, "");
    let mut config = read.value;
    for mut d in read.diagnostics {
        if d.key == "log.level" {
            // as in Traefik, a wrong level is no reason not to start
            d.severity = torana_base::Severity::Warning;
            d.message.push_str(": ERROR is used");
        }
        if !diagnostics.iter().any(|told| told.is_error() && told.key == d.key) {
            diagnostics.push(d);
        }
    }
    for name in &mut config.providers.precedence {
        name.make_ascii_lowercase();
    }
    config.complete();
    for d in config.validate(&node) {
        if !diagnostics.iter().any(|told| told.is_error() && told.key.starts_with(&d.key)) {
            diagnostics.push(d);
        }
    }
    let conceal = Conceal::new(values);
    diagnostics.iter_mut().for_each(|d| conceal.diagnostic(d));
    if let Some(tree) = written {
        config.written = Some(Arc::new(as_written(&tree)));
    }
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    let mut origins = Vec::new();
    node.walk("", &mut |key, leaf| {
        if !key.is_empty() {
            origins.push((key.to_owned(), leaf.place.source.to_string()));
        }
    });
    Ok(Loaded { config, node, file, origins, warnings: diagnostics })
}

/// What may be shown: references where text belongs, and what they lead to where a number does.
fn as_written(tree: &Node) -> InstallConfig {
    let read = de::read::<InstallConfig>(tree, "");
    let mut config = if read.diagnostics.is_empty() {
        read.value
    } else {
        let wrong = |key: &str| read.diagnostics.iter().any(|d| d.key.eq_ignore_ascii_case(key));
        de::read(&reference::expand(tree, "", &wrong, &mut Trusted).node, "").value
    };
    config.complete();
    config
}

/// The first file there is in the usual directories.
fn lookup(env: &[(String, String)]) -> Option<PathBuf> {
    let var = |name: &str| env.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| PathBuf::from(v));
    let places = [Some(PathBuf::from("/etc/")), var("XDG_CONFIG_HOME"), var("HOME").map(|h| h.join(".config")), Some(PathBuf::from("."))];
    for name in ["torana", "traefik"] {
        for (i, place) in places.iter().enumerate() {
            let Some(place) = place else { continue };
            let base = if i == 0 { place.join(name).join(name) } else { place.join(name) };
            for extension in ["toml", "yaml", "yml"] {
                let path = base.with_extension(extension);
                if path.is_file() {
                    return Some(path);
                }
            }
        }
    }
    None
}

fn read(path: &Path) -> Result<Node, Diagnostic> {
    let shown = path.display();
    let Some(format) = Format::of_path(path) else {
        return Err(Diagnostic::error("configFile", format!("`{shown}` is no configuration file"))
            .hint("its name must end in .yml, .yaml or .toml"));
    };
    let text = std::fs::read_to_string(path).map_err(|e| {
        Diagnostic::error("configFile", format!("cannot read `{shown}`: {e}")).hint("name a file that is there and may be read")
    })?;
    parse(&text, format, shown.to_string().into())
}

/// The options of a file, without root keys that are none (as in Traefik, they are no mistake).
fn root_only(mut tree: Node, diagnostics: &mut Vec<Diagnostic>) -> Node {
    let root = &schema::install().root;
    let nothing = |tree: &Node| {
        Diagnostic::error("", "no option stands in the file")
            .at(&tree.place)
            .hint("write at least one, such as `entryPoints: {web: {address: \":80\"}}`")
    };
    let Value::Map(entries) = &mut tree.value else {
        diagnostics.push(nothing(&tree));
        return Node::empty(tree.place);
    };
    entries.retain(|(key, _)| {
        if root.known(&key.text).is_some() {
            return true;
        }
        if removed::find(&key.text).is_some() {
            let mut d = Diagnostic::error(&key.text, "").at(&key.place);
            removed::explain(&mut d, &key.text);
            diagnostics.push(d);
        } else if !key.text.to_ascii_lowercase().starts_with("x-") {
            let d = Diagnostic::warning(&key.text, format!("unknown option `{}` is ignored", key.text)).at(&key.place);
            let hint = removed::v1(&key.text).map(str::to_owned).or_else(|| root.suggest(&key.text));
            diagnostics.push(Diagnostic { hint, ..d });
        }
        false
    });
    if tree.entries().is_empty() {
        diagnostics.push(nothing(&tree));
    }
    tree
}
