//! `plugin.toml`: what a project says of its plugin, and how it is built.

use crate::{io, wrong};
use serde::Deserialize;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use torana_base::{Diagnostic, Place};
use torana_config::node::{Node, Value};
use torana_config::parse::{Format, parse};
use torana_extend::Manifest;

const FILE: &str = "plugin.toml";

/// A folder with a `plugin.toml`.
#[derive(Debug)]
pub struct Project {
    pub folder: PathBuf,
    /// From `plugin.toml`; the schema from `schema.json` beside it, if that exists.
    pub manifest: Manifest,
    pub build: BuildTable,
    file: Node,
}

/// `[build]` of `plugin.toml`. Not needed for Rust.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BuildTable {
    /// Run by the shell in the project's folder. Default for a project with a `Cargo.toml`:
    /// `cargo build --release --target wasm32-wasip2`.
    pub command: Option<String>,
    /// What the command makes: a component, or a core module that becomes one. Default: the crate's `.wasm`.
    pub output: Option<PathBuf>,
    /// Where the finished plugin goes. Default: `<name>.wasm`.
    pub component: Option<PathBuf>,
}

impl Project {
    /// The project in `folder`, or the nearest one above it.
    pub fn find(folder: &Path) -> Result<Project, Vec<Diagnostic>> {
        let folder = std::fs::canonicalize(folder).map_err(|e| vec![io("read", folder, &e)])?;
        match folder.ancestors().find(|f| f.join(FILE).is_file()) {
            Some(found) => Self::read(found),
            None => Err(vec![wrong(
                "",
                format!("there is no {FILE} in {} or above it", folder.display()),
                "go to the plugin's folder; `torana plugin new` makes a new one",
            )]),
        }
    }

    fn read(folder: &Path) -> Result<Project, Vec<Diagnostic>> {
        let mut node = tree(&folder.join(FILE), FILE, Format::Toml).map_err(|d| vec![d])?;
        let file = node.clone();
        let mut build = BuildTable::default();
        let mut told = Vec::new();
        if let Value::Map(entries) = &mut node.value {
            if let Some(i) = entries.iter().position(|(k, _)| k.text == "build") {
                let (_, table) = entries.remove(i);
                match torana_config::de::from_node(&table, "build") {
                    Ok(table) => build = table,
                    Err(wrong) => told.extend(wrong),
                }
            }
            if let Some(i) = entries.iter().position(|(k, _)| k.text == "schema") {
                let (key, _) = entries.remove(i);
                told.push(
                    wrong("schema", "the schema has a file of its own", "write it into schema.json beside plugin.toml").at(&key.place),
                );
            }
        }
        let mut manifest = match Manifest::from_node(&node) {
            Ok(m) if told.is_empty() => m,
            Ok(_) => return Err(told),
            Err(wrong) => {
                told.extend(wrong);
                return Err(told);
            }
        };
        manifest.schema = schema(folder).map_err(|d| vec![d])?;
        Ok(Project { folder: folder.to_owned(), manifest, build, file })
    }

    /// Where its component is, once it is built.
    pub fn component(&self) -> PathBuf {
        self.folder.join(self.build.component.clone().unwrap_or_else(|| format!("{}.wasm", self.manifest.name).into()))
    }

    /// A diagnostic with the place of its key in `plugin.toml`.
    pub(crate) fn placed(&self, d: Diagnostic) -> Diagnostic {
        let known = self.file.at(&d.key).filter(|_| !d.key.is_empty() && d.place.is_none());
        known.map_or_else(|| d.clone(), |n| d.clone().at(&n.place))
    }
}

/// `schema.json`: a JSON schema, which is an object.
fn schema(folder: &Path) -> Result<Option<Json>, Diagnostic> {
    let path = folder.join("schema.json");
    if !path.exists() {
        return Ok(None);
    }
    let node = tree(&path, "schema.json", Format::Json)?;
    match node.value {
        Value::Map(_) => Ok(Some(node.to_json())),
        _ => {
            Err(wrong("", "a JSON schema is an object", "write `{\"type\": \"object\", \"properties\": {}}`")
                .at(&Place::whole("schema.json")))
        }
    }
}

fn tree(path: &Path, name: &str, format: Format) -> Result<Node, Diagnostic> {
    let text = std::fs::read_to_string(path).map_err(|e| io("read", path, &e))?;
    parse(&text, format, name.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use torana_extend::PluginKind;

    fn read(toml: &str, schema: Option<&str>) -> Result<Project, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), toml).unwrap();
        if let Some(text) = schema {
            std::fs::write(folder.path().join("schema.json"), text).unwrap();
        }
        std::fs::create_dir_all(folder.path().join("src/deep")).unwrap();
        Project::find(&folder.path().join("src/deep")).map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    const GOOD: &str = "name = \"a\"\nversion = \"0.1.0\"\nkind = \"matcher\"\n[capabilities]\nkv = [\"b\"]\n[build]\ncommand = \"make\"\noutput = \"x.wasm\"\n";

    #[test]
    fn is_found_from_below() {
        let p = read(GOOD, Some("{\"type\": \"object\", \"default\": null}")).unwrap();
        assert_eq!((p.manifest.kind, p.manifest.capabilities.kv), (PluginKind::Matcher, vec!["b".to_owned()]));
        assert_eq!(p.build, BuildTable { command: Some("make".into()), output: Some("x.wasm".into()), component: None });
        assert_eq!(p.manifest.schema.unwrap().to_string(), r#"{"type":"object","default":null}"#);
        let empty = tempfile::tempdir().unwrap();
        assert!(Project::find(empty.path()).unwrap_err()[0].message.starts_with("there is no plugin.toml in"));
        assert!(Project::find(&empty.path().join("x")).is_err());
    }

    #[test]
    fn mistakes_have_places() {
        for (toml, schema, expected) in [
            (GOOD.replace("kind = \"matcher\"", "kind = \"macher\""), None, "(plugin.toml:3:8)\n  hint: did you mean `matcher`?"),
            (GOOD.replace("command", "comand"), None, "build.comand  (plugin.toml:7:1)\n  hint: did you mean `command`?"),
            (GOOD.replace("\"a\"", "\"A\""), None, "name  (plugin.toml:1:8)"),
            (format!("{GOOD}[schema]\n"), None, "schema  (plugin.toml:9:2)"),
            ("name = ".to_owned(), None, "not valid TOML"),
            (GOOD.to_owned(), Some("[]"), "at  schema.json"),
            (GOOD.to_owned(), Some("{"), "schema.json:1:2"),
        ] {
            let wrong = read(&toml, schema).unwrap_err();
            assert!(wrong.contains(expected), "{toml}: {wrong}");
        }
    }
}
