//! What a WebAssembly file is, says of itself, needs and offers.

use crate::say;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::Write;
use std::path::Path;
use torana_base::Diagnostic;
use torana_extend::{Capabilities, Manifest, PluginKind};
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A component with the hooks of a kind. The text tells those of wasi:http apart, by their world.
    Plugin(PluginKind, &'static str),
    /// A component without hooks that the gateway knows.
    Component,
    /// A core module that becomes a component with `torana plugin build`: it has its types with it.
    Unwrapped,
    /// A core module for Traefik's plugins in WebAssembly.
    HttpWasm,
    /// A core module for Envoy.
    ProxyWasm,
    /// Any other core module.
    Module,
}

/// All that can be told of a file without running it.
#[derive(Clone, Debug)]
pub struct Report {
    pub format: Format,
    /// Bytes.
    pub size: usize,
    /// SHA-256 in hexadecimal.
    pub digest: String,
    /// Embedded manifest, or why it cannot be read.
    pub manifest: Result<Option<Manifest>, String>,
    /// Interfaces with version, or modules of a core module; in the order of the file.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// Interfaces that the gateway has for plugins, version 0.1.
const OURS: [&str; 10] = ["types", "log", "config", "clock", "kv", "metrics", "secrets", "outgoing-http", "exchange", "servers"];
/// Packages of WASI that the gateway has, 0.2 and 0.3.
const WASI: [&str; 7] = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

/// Prints what the file at `path` is, as text or JSON. An error when it cannot be read, or is no whole WebAssembly.
pub fn inspect(path: &Path, json: bool, out: &mut dyn Write) -> Result<Report, Diagnostic> {
    let bytes = std::fs::read(path).map_err(|e| crate::io("read", path, &e))?;
    let report = Report::of(&bytes).map_err(|message| Diagnostic {
        hint: Some("give the path of a .wasm file; `torana plugin build` makes one of a project".to_owned()),
        ..Diagnostic::error("", format!("{}: {message}", path.display()))
    })?;
    if json {
        say!(out, "{:#}", report.to_json());
    } else {
        let _ = write!(out, "{report}");
    }
    Ok(report)
}

impl Report {
    /// Looks at a file that is wholly valid; else says what is wrong.
    pub fn of(bytes: &[u8]) -> Result<Report, String> {
        let manifest = Manifest::read(bytes);
        // What is no WebAssembly or cut off is told by the same words everywhere.
        let sections = scan(bytes)?;
        Validator::new_with_features(WasmFeatures::all())
            .validate_all(bytes)
            .map_err(|e| format!("the file is not valid WebAssembly: {e}"))?;
        let Scan { component, typed, imports, exports } = sections;
        Ok(Report {
            format: if component { of_component(&imports, &exports) } else { of_module(typed, &imports, &exports) },
            size: bytes.len(),
            digest: hex(&Sha256::digest(bytes)),
            manifest,
            imports,
            exports,
        })
    }

    /// What the imports allow it to do; see [`Capabilities`]. Names within a store are not known before it runs.
    fn can(&self) -> Vec<&'static str> {
        let imports = |prefixes: &[&str]| self.imports.iter().any(|i| prefixes.iter().any(|p| i.starts_with(p)));
        let mut can = Vec::new();
        for (name, prefixes) in [
            ("http", ["torana:plugin/outgoing-http@", "wasi:http/outgoing-handler@", "wasi:http/client@"].as_slice()),
            ("kv", &["torana:plugin/kv@"]),
            ("secrets", &["torana:plugin/secrets@"]),
            ("env", &["wasi:cli/environment@"]),
        ] {
            if imports(prefixes) {
                can.push(name);
            }
        }
        can
    }

    /// Whether its `describe` may be asked for a manifest.
    pub fn describes(&self) -> bool {
        self.exports.iter().any(|e| e.starts_with("torana:plugin/description@0.1."))
    }

    /// Imports that the gateway does not have, so that the component would not load.
    pub fn unknown(&self) -> Vec<&str> {
        let component = matches!(self.format, Format::Plugin(..) | Format::Component);
        self.imports.iter().filter(|i| component && group(i) == "unknown").map(String::as_str).collect()
    }

    /// What is wrong with it as a plugin of this kind; `None` when it exports what it has to.
    pub fn not_a(&self, kind: PluginKind) -> Option<Diagnostic> {
        if matches!(&self.format, Format::Plugin(found, _) if *found == kind) {
            return None;
        }
        let hooks: Vec<_> = self.exports.iter().filter(|e| e.contains(':')).map(|e| format!("`{e}`")).collect();
        let exports = if hooks.is_empty() { "no interface".to_owned() } else { hooks.join(", ") };
        let wanted = kind.hooks().join("` or `");
        let d = Diagnostic::error("kind", format!("the component exports {exports}; a {kind} exports `{wanted}`"));
        Some(match &self.format {
            Format::Plugin(found, _) => d.hint(format!("write `kind = \"{found}\"` in plugin.toml, or export the hooks of a {kind}")),
            _ => match self.exports.iter().find(|e| kind.hooks().iter().any(|h| unversioned(h) == unversioned(e))) {
                Some(other) => d.hint(format!("`{other}` is of another version; build it with the WIT files of this gateway (wit/)")),
                None => d.hint(format!("build it for the world `{kind}` of torana:plugin@0.1.0")),
            },
        })
    }

    pub fn to_json(&self) -> serde_json::Value {
        let (kind, world) = match &self.format {
            Format::Plugin(kind, world) => (Some(kind.name()), Some(*world)),
            _ => (None, None),
        };
        let [torana, wasi, unknown] = self.groups().map(|(_, imports)| imports);
        let manifest = self.manifest.as_ref().ok().and_then(Option::as_ref);
        json!({
            "format": self.format.name(),
            "kind": kind,
            "world": world,
            "size": self.size,
            "sha256": self.digest,
            "manifest": manifest,
            "manifestError": self.manifest.as_ref().err(),
            "describes": self.describes(),
            "imports": { "torana": torana, "wasi": wasi, "unknown": unknown },
            "exports": self.exports,
            "capabilities": { "canUse": self.can(), "asksFor": manifest.map(|m| &m.capabilities) },
            "loads": self.loads(),
            "hint": self.format.hint(),
        })
    }

    /// Whether the gateway has all that it needs and it has what the gateway needs.
    fn loads(&self) -> bool {
        let kind = self.manifest.as_ref().map(|m| m.as_ref().map(|m| m.kind));
        matches!((&self.format, kind), (Format::Plugin(found, _), Ok(said)) if said.is_none_or(|k| k == *found))
            && self.unknown().is_empty()
    }

    /// What it can use and whether it asks for it, one per line.
    pub(crate) fn capabilities(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let none = Capabilities::default();
        let asked = self.manifest.as_ref().ok().and_then(Option::as_ref).map_or(&none, |m| &m.capabilities);
        let can = self.can();
        let mut title = "capabilities";
        for (name, asks) in [
            ("http", if asked.http { "yes".to_owned() } else { String::new() }),
            ("kv", asked.kv.join(", ")),
            ("secrets", asked.secrets.join(", ")),
            ("env", asked.env.join(", ")),
        ] {
            let line = match (can.contains(&name), asks.is_empty()) {
                (false, true) => continue,
                // Every component with a standard library imports it.
                (true, true) if name == "env" => continue,
                (true, true) => "imported, not asked for".to_owned(),
                (true, false) => format!("asked for: {asks}"),
                (false, false) => format!("asked for: {asks}; not imported"),
            };
            writeln!(out, "  {title:<13} {name:<8} {line}")?;
            title = "";
        }
        if title.is_empty() { Ok(()) } else { writeln!(out, "  {title:<13} none") }
    }

    /// Imports by who gives them; those of a core module are nobody's.
    fn groups(&self) -> [(&'static str, Vec<&str>); 3] {
        ["torana", "wasi", "unknown"].map(|g| (g, self.imports.iter().map(String::as_str).filter(|i| group(i) == g).collect()))
    }

    /// Size and the beginning of the digest.
    pub(crate) fn figures(&self) -> String {
        format!("{}, sha256 {}", size(self.size), &self.digest[..12])
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.format {
            Format::Plugin(kind, world) => writeln!(f, "{kind} ({world})")?,
            other => writeln!(f, "{}", other.name())?,
        }
        writeln!(f, "  file          {}", self.figures())?;
        match &self.manifest {
            Err(e) => writeln!(f, "  manifest      cannot be read: {}", e.replace('\n', "\n                "))?,
            Ok(None) if self.describes() => writeln!(f, "  manifest      none embedded; the component describes itself when it runs")?,
            Ok(None) => writeln!(f, "  manifest      none")?,
            Ok(Some(m)) => {
                writeln!(f, "  manifest      {} {}, {}", m.name, m.version, m.kind)?;
                if !m.description.is_empty() {
                    writeln!(f, "                {}", m.description)?;
                }
            }
        }
        self.capabilities(f)?;
        for (from, imports) in ["from torana", "from wasi", "from others"].into_iter().zip(self.groups()) {
            list(f, from, imports.1.into_iter())?;
        }
        list(f, "exports", self.exports.iter().map(String::as_str))?;
        let unknown = self.unknown();
        if !unknown.is_empty() {
            writeln!(f, "  does not load: the gateway has no {}", unknown.join(", "))?;
        }
        if let (Format::Plugin(found, _), Ok(Some(m))) = (&self.format, &self.manifest)
            && m.kind != *found
        {
            writeln!(f, "  does not load: the manifest says {}, the component is a {found}", m.kind)?;
        }
        if let Some(hint) = self.format.hint() {
            writeln!(f, "  hint: {hint}")?;
        }
        if let Ok(Some(Manifest { schema: Some(schema), .. })) = &self.manifest {
            writeln!(f, "  schema")?;
            for line in format!("{schema:#}").lines() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}

impl Format {
    fn name(&self) -> &'static str {
        match self {
            Format::Plugin(..) => "plugin",
            Format::Component => "component",
            Format::Unwrapped => "core module with component types",
            Format::HttpWasm => "core module, http-wasm",
            Format::ProxyWasm => "core module, proxy-wasm",
            Format::Module => "core module",
        }
    }

    /// What to do with one that the gateway cannot load as it is.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Format::Plugin(..) => None,
            Format::Component => Some("it exports no hooks of torana:plugin@0.1.0 and no handler of wasi:http"),
            Format::Unwrapped => Some("not a component yet; `torana plugin build` makes one of it"),
            Format::HttpWasm => None,
            Format::ProxyWasm => Some("not a component; the gateway has no interface of proxy-wasm"),
            Format::Module => Some("not a component; build it for wasm32-wasip2, or with `torana plugin build` in its project"),
        }
    }
}

struct Scan {
    component: bool,
    /// It has a section with the types of the component that it is to become.
    typed: bool,
    imports: Vec<String>,
    exports: Vec<String>,
}

/// Names on the outermost level.
fn scan(bytes: &[u8]) -> Result<Scan, String> {
    if !bytes.starts_with(b"\0asm") {
        return Err(if bytes.starts_with(b"(module") || bytes.starts_with(b"(component") {
            "this is WebAssembly as text; the gateway reads the binary form".to_owned()
        } else {
            "this is not WebAssembly: it does not begin with `\\0asm`".to_owned()
        });
    }
    let mut scan = Scan { component: Parser::is_component(bytes), typed: false, imports: Vec::new(), exports: Vec::new() };
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(broken)?;
        match payload {
            Payload::Version { encoding, .. } => {
                depth += 1;
                scan.component = if depth == 1 { encoding == Encoding::Component } else { scan.component };
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth != 1 => {}
            Payload::ComponentImportSection(all) => {
                for import in all {
                    scan.imports.push(import.map_err(broken)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(all) => {
                for export in all {
                    scan.exports.push(export.map_err(broken)?.name.name.to_owned());
                }
            }
            Payload::ImportSection(all) => {
                for import in all.into_imports() {
                    let import = import.map_err(broken)?;
                    scan.imports.push(format!("{}/{}", import.module, import.name));
                }
            }
            Payload::ExportSection(all) => {
                for export in all {
                    scan.exports.push(export.map_err(broken)?.name.to_owned());
                }
            }
            Payload::CustomSection(section) => scan.typed |= section.name().starts_with("component-type"),
            _ => {}
        }
    }
    Ok(scan)
}

fn broken(e: wasmparser::BinaryReaderError) -> String {
    format!("the file is cut off or broken: {e}")
}

fn of_component(imports: &[String], exports: &[String]) -> Format {
    let has = |names: &[String], prefix: &str| names.iter().any(|n| n.starts_with(prefix));
    for kind in PluginKind::ALL.into_iter().filter(|k| *k != PluginKind::Service) {
        if exports.iter().any(|e| kind.hooks().contains(&e.as_str())) {
            return Format::Plugin(kind, "torana:plugin@0.1.0");
        }
    }
    let service = |world| Format::Plugin(PluginKind::Service, world);
    if has(exports, "wasi:http/handler@0.3.") && has(imports, "wasi:http/handler@0.3.") {
        Format::Plugin(PluginKind::Middleware, "wasi:http/middleware@0.3")
    } else if has(exports, "wasi:http/handler@0.3.") {
        service("wasi:http/service@0.3")
    } else if has(exports, "wasi:http/incoming-handler@0.2.") {
        service("wasi:http/proxy@0.2")
    } else {
        Format::Component
    }
}

fn of_module(typed: bool, imports: &[String], exports: &[String]) -> Format {
    if typed {
        Format::Unwrapped
    } else if imports.iter().any(|i| i.starts_with("http_handler/")) {
        Format::HttpWasm
    } else if exports.iter().any(|e| e.starts_with("proxy_abi_version_")) {
        Format::ProxyWasm
    } else {
        Format::Module
    }
}

/// A title with the names below each other.
fn list<'a>(f: &mut fmt::Formatter<'_>, title: &str, names: impl Iterator<Item = &'a str>) -> fmt::Result {
    names.enumerate().try_for_each(|(i, name)| writeln!(f, "  {:<13} {name}", if i == 0 { title } else { "" }))
}

/// Who gives an import.
fn group(import: &str) -> &'static str {
    let known = |rest: &str, names: &[&str], end: char| rest.find(end).is_some_and(|at| names.contains(&&rest[..at]));
    let version = import.rsplit_once('@').map_or("", |(_, v)| v);
    if let Some(rest) = import.strip_prefix("torana:plugin/") {
        return if known(rest, &OURS, '@') && version.starts_with("0.1.") { "torana" } else { "unknown" };
    }
    match import.strip_prefix("wasi:") {
        Some(rest) if known(rest, &WASI, '/') && (version.starts_with("0.2.") || version.starts_with("0.3.")) => "wasi",
        _ => "unknown",
    }
}

fn unversioned(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{component, module, wat};
    use proptest::prelude::*;

    fn told(bytes: &[u8]) -> (String, serde_json::Value) {
        let report = Report::of(bytes).unwrap();
        (report.to_string(), report.to_json())
    }

    #[test]
    fn every_kind_is_known() {
        for kind in PluginKind::ALL.into_iter().filter(|k| *k != PluginKind::Service) {
            let (text, json) = told(&component(kind.name()));
            assert!(text.starts_with(&format!("{kind} (torana:plugin@0.1.0)\n")), "{text}");
            assert_eq!((json["kind"].as_str(), json["loads"].as_bool()), (Some(kind.name()), Some(true)), "{json}");
            assert!(Report::of(&component(kind.name())).unwrap().not_a(kind).is_none());
        }
        for (exports, imports, kind, world) in [
            ("wasi:http/incoming-handler@0.2.3", "", "service", "wasi:http/proxy@0.2"),
            ("wasi:http/handler@0.3.0", "", "service", "wasi:http/service@0.3"),
            ("wasi:http/handler@0.3.0", "wasi:http/handler@0.3.0", "middleware", "wasi:http/middleware@0.3"),
        ] {
            let import = if imports.is_empty() { String::new() } else { format!("(import \"{imports}\" (instance))") };
            let (_, json) = told(&wat(&format!("(component {import} (instance $i) (export \"{exports}\" (instance $i)))")));
            assert_eq!((json["kind"].as_str(), json["world"].as_str()), (Some(kind), Some(world)));
        }
    }

    #[test]
    fn what_does_not_load_is_told() {
        let hooks = "(instance $i) (export \"torana:plugin/matcher-hooks@0.1.0\" (instance $i))";
        for (text, expected) in [
            (
                format!(
                    "(component (import \"wasi:keyvalue/store@0.2.0\" (instance)) (import \"torana:plugin/log@0.2.0\" (instance)) {hooks})"
                ),
                "does not load: the gateway has no wasi:keyvalue/store@0.2.0, torana:plugin/log@0.2.0\n",
            ),
            ("(component)".to_owned(), "component\n"),
            ("(component)".to_owned(), "hint: it exports no hooks"),
            ("(module)".to_owned(), "core module\n"),
            ("(module)".to_owned(), "hint: not a component; build it for wasm32-wasip2"),
            ("(module (import \"http_handler\" \"log\" (func)))".to_owned(), "core module, http-wasm\n"),
            ("(module (func (export \"proxy_abi_version_0_2_1\")))".to_owned(), "core module, proxy-wasm\n"),
        ] {
            let (told, json) = told(&wat(&text));
            assert!(told.contains(expected), "{told}");
            assert_eq!(json["loads"], false);
        }
        let (text, _) = told(&module("matcher", true));
        assert!(text.contains("`torana plugin build` makes one of it"), "{text}");
        let older = Report::of(&wat("(component (instance $i) (export \"torana:plugin/matcher-hooks@0.0.9\" (instance $i)))")).unwrap();
        assert!(older.not_a(PluginKind::Matcher).unwrap().hint.unwrap().contains("is of another version"));
    }

    #[test]
    fn manifest_and_capabilities_are_shown() {
        let manifest = Manifest {
            name: "ab".into(),
            version: "0.1.0".into(),
            kind: PluginKind::Middleware,
            description: "does it".into(),
            capabilities: Capabilities { kv: vec!["a".into(), "b".into()], env: vec!["X".into()], ..Default::default() },
            schema: Some(json!({"type": "object"})),
        };
        let (text, json) = told(&manifest.embed(&component("middleware")).unwrap());
        for line in [
            "  manifest      ab 0.1.0, middleware\n                does it\n",
            "  capabilities  http     imported, not asked for\n                kv       asked for: a, b\n",
            "                env      asked for: X; not imported\n",
            "  from torana   torana:plugin/types@0.1.0\n",
            "  exports       torana:plugin/middleware-hooks@0.1.0\n",
            "    {\n      \"type\": \"object\"\n    }\n",
        ] {
            assert!(text.contains(line), "{line}--- not in\n{text}");
        }
        assert_eq!(json["capabilities"]["asksFor"]["kv"][1], "b");
        assert_eq!(json["manifest"]["schema"]["type"], "object");
        let other = Manifest { kind: PluginKind::Matcher, ..manifest };
        let (text, json) = told(&other.embed(&component("middleware")).unwrap());
        assert!(text.contains("does not load: the manifest says matcher") && json["loads"] == false, "{text}");
    }

    #[test]
    fn other_files_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.wasm");
        let mut out = Vec::new();
        assert!(inspect(&path, false, &mut out).unwrap_err().message.starts_with("cannot read"));
        let whole = component("matcher");
        for (bytes, expected) in [
            (b"".as_slice(), "not WebAssembly"),
            (b"(module)", "WebAssembly as text"),
            (b"\0asm", "cut off or broken"),
            (&whole[..whole.len() - 1], "cut off or broken"),
            (&whole[..whole.len() / 2], "cut off or broken"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let wrong = inspect(&path, true, &mut out).unwrap_err().to_string();
            assert!(wrong.contains(expected) && wrong.contains("a.wasm"), "{wrong}");
        }
        assert!(out.is_empty());
        std::fs::write(&path, whole).unwrap();
        inspect(&path, true, &mut out).unwrap();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&out).unwrap()["kind"], "matcher");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(at in 0usize..4000, byte: u8, cut in 0usize..4000) {
            let mut bytes = component("matcher");
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = Report::of(&bytes).map(|r| (r.to_string(), r.to_json()));
            bytes.truncate(cut);
            let _ = Report::of(&bytes);
        }
    }
}
