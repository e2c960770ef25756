use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::fmt;
use torana_base::{Diagnostic, closest};
use torana_config::node::Node;
use torana_config::parse::{Format, parse};

/// What a plugin extends, and with it the hooks that its component exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginKind {
    Middleware,
    Provider,
    Matcher,
    Balancer,
    DnsChallenge,
    /// Any component of wasi:http that handles requests.
    Service,
}

impl PluginKind {
    pub const ALL: [PluginKind; 6] = [
        PluginKind::Middleware,
        PluginKind::Provider,
        PluginKind::Matcher,
        PluginKind::Balancer,
        PluginKind::DnsChallenge,
        PluginKind::Service,
    ];

    /// As in a manifest; also the name of the world in `torana:plugin`, but for a service.
    pub const fn name(self) -> &'static str {
        match self {
            PluginKind::Middleware => "middleware",
            PluginKind::Provider => "provider",
            PluginKind::Matcher => "matcher",
            PluginKind::Balancer => "balancer",
            PluginKind::DnsChallenge => "dns-challenge",
            PluginKind::Service => "service",
        }
    }

    /// The interfaces of which a component of this kind exports one, with version.
    pub const fn hooks(self) -> &'static [&'static str] {
        match self {
            PluginKind::Middleware => &["torana:plugin/middleware-hooks@0.1.0"],
            PluginKind::Provider => &["torana:plugin/provider-hooks@0.1.0"],
            PluginKind::Matcher => &["torana:plugin/matcher-hooks@0.1.0"],
            PluginKind::Balancer => &["torana:plugin/balancer-hooks@0.1.0"],
            PluginKind::DnsChallenge => &["torana:plugin/dns-challenge-hooks@0.1.0"],
            PluginKind::Service => &["wasi:http/incoming-handler@0.2.0", "wasi:http/handler@0.3.0"],
        }
    }

    /// The kind of that name, or what to write instead.
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        let names = || Self::ALL.map(PluginKind::name);
        Self::ALL.into_iter().find(|k| k.name() == text).ok_or_else(|| {
            Diagnostic::error("kind", format!("there is no kind of plugin `{text}`")).hint(match closest(text, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write one of {}", names().join(", ")),
            })
        })
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a plugin says of itself: JSON in the custom section [`Manifest::SECTION`] of its component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// `[a-z][a-z0-9-]*`, at most 64 bytes.
    pub name: String,
    /// As in `1.2.3` or `1.2.3-rc.1`.
    pub version: String,
    pub kind: PluginKind,
    /// One line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "Capabilities::is_empty")]
    pub capabilities: Capabilities,
    /// JSON schema (2020-12) of the configuration, an object; without one, any configuration is handed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Json>,
}

/// What a plugin asks for. Asking grants nothing: the operator's `permissions` do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Requests to other servers.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub http: bool,
    /// Namespaces of the key-value store.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kv: Vec<String>,
    /// Secrets, by the plugin's name for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Environment variables of the gateway.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
}

impl Capabilities {
    pub fn is_empty(&self) -> bool {
        *self == Capabilities::default()
    }
}

impl Manifest {
    /// The custom section, on the outermost level of the component.
    pub const SECTION: &str = "torana:manifest";

    /// The manifest that is embedded in a component; `None` when there is none. Of several the last one counts.
    pub fn read(component: &[u8]) -> Result<Option<Self>, String> {
        let mut found = None;
        for section in Sections::new(component)? {
            let section = section?;
            if section.name == Some(Self::SECTION.as_bytes()) {
                found = Some(section.content);
            }
        }
        found.map(Self::from_json).transpose()
    }

    /// The component with this manifest in it, in place of any that was there. Refuses a manifest that
    /// [`Manifest::read`] would refuse.
    pub fn embed(&self, component: &[u8]) -> Result<Vec<u8>, String> {
        told(self.validate())?;
        let json = serde_json::to_vec(self).map_err(|e| e.to_string())?;
        let mut out = component.get(..HEADER).unwrap_or_default().to_vec();
        for section in Sections::new(component)? {
            let section = section?;
            if section.name != Some(Self::SECTION.as_bytes()) {
                out.extend_from_slice(section.whole);
            }
        }
        let mut content = Vec::with_capacity(json.len() + 24);
        write_leb(&mut content, Self::SECTION.len());
        content.extend_from_slice(Self::SECTION.as_bytes());
        content.extend_from_slice(&json);
        out.push(CUSTOM);
        write_leb(&mut out, content.len());
        out.extend_from_slice(&content);
        Ok(out)
    }

    /// From JSON text, as embedded or as the export `description.describe` gives it.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "the manifest is not UTF-8".to_owned())?;
        let node = parse(text, Format::Json, "manifest".into()).map_err(|d| d.to_string())?;
        Self::from_node(&node).or_else(|wrong| told(wrong).and(Err(String::new())))
    }

    /// From a tree of JSON or TOML; everything that is wrong, with its place.
    pub fn from_node(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let mut manifest: Manifest = torana_config::de::from_node(node, "")?;
        // Read again as it stands: null means something in a schema.
        manifest.schema = node.child("schema").map(Node::to_json);
        let mut wrong = manifest.validate();
        for d in &mut wrong {
            d.place = Some(node.at(&d.key).unwrap_or(node).place.clone());
        }
        if wrong.is_empty() { Ok(manifest) } else { Err(wrong) }
    }

    /// What is wrong with the values, by key.
    pub fn validate(&self) -> Vec<Diagnostic> {
        let mut wrong = Vec::new();
        if let Err(d) = valid_name(&self.name) {
            wrong.push(d);
        }
        if !is_version(&self.version) {
            wrong.push(Diagnostic::error("version", format!("`{}` is not a version", self.version)).hint("write `0.1.0` or `0.1.0-rc.1`"));
        }
        if self.description.contains('\n') {
            wrong.push(Diagnostic::error("description", "more than one line").hint("a longer text belongs into the README"));
        }
        for (key, names) in [("kv", &self.capabilities.kv), ("secrets", &self.capabilities.secrets), ("env", &self.capabilities.env)] {
            if let Some(i) = names.iter().position(|n| n.is_empty() || n.contains(char::is_whitespace)) {
                wrong.push(
                    Diagnostic::error(format!("capabilities.{key}[{i}]"), format!("`{}` is not a name", names[i]))
                        .hint("name it without spaces, or remove it"),
                );
            }
        }
        if self.schema.as_ref().is_some_and(|s| !s.is_object()) {
            wrong
                .push(Diagnostic::error("schema", "a JSON schema is an object").hint("write `{\"type\": \"object\", \"properties\": {}}`"));
        }
        wrong
    }
}

/// Whether `name` may be the name of a plugin.
pub fn valid_name(name: &str) -> Result<(), Diagnostic> {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.len() <= 64 && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase) && name.bytes().all(rest) {
        return Ok(());
    }
    Err(Diagnostic::error("name", format!("`{name}` cannot be the name of a plugin"))
        .hint("lower-case letters, digits and `-`, a letter first, 64 at most; as in `jwt-auth`"))
}

/// `1.2.3`, perhaps with `-pre.1` and `+build.5`.
fn is_version(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(v, b)| (v, Some(b)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(v, p)| (v, Some(p)));
    let number = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) && (p.len() == 1 || !p.starts_with('0'));
    let word = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    core.split('.').count() == 3 && core.split('.').all(number) && [pre, build].into_iter().flatten().all(|t| t.split('.').all(word))
}

/// All of it as one text; nothing is fine.
fn told(wrong: Vec<Diagnostic>) -> Result<(), String> {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")) }
}

/// `\0asm`, version, layer.
const HEADER: usize = 8;
const CUSTOM: u8 = 0;

struct Section<'a> {
    /// Header and content.
    whole: &'a [u8],
    /// Of a custom section.
    name: Option<&'a [u8]>,
    /// After the name.
    content: &'a [u8],
}

/// The sections of the outermost level; modules and components within are one section each.
struct Sections<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Sections<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, String> {
        if !bytes.starts_with(b"\0asm") || bytes.len() < HEADER {
            return Err("this is not WebAssembly: it does not begin with `\\0asm`".to_owned());
        }
        Ok(Sections { bytes, at: HEADER })
    }

    fn section(&mut self) -> Option<Section<'a>> {
        let start = self.at;
        let id = *self.bytes.get(start)?;
        let (size, from) = read_leb(self.bytes, start + 1)?;
        let end = from.checked_add(size)?;
        let mut content = self.bytes.get(from..end)?;
        let mut name = None;
        if id == CUSTOM {
            let (length, from) = read_leb(content, 0)?;
            name = Some(content.get(from..from.checked_add(length)?)?);
            content = content.get(from + length..)?;
        }
        self.at = end;
        Some(Section { whole: self.bytes.get(start..end)?, name, content })
    }
}

impl<'a> Iterator for Sections<'a> {
    type Item = Result<Section<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let at = self.at;
        let section = self.section().ok_or_else(|| format!("the file is cut off or broken: no whole section at byte {at}"));
        if section.is_err() {
            self.at = self.bytes.len();
        }
        Some(section)
    }
}

/// An unsigned LEB128 number of 32 bits at `at`, and where it ends.
fn read_leb(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut n = 0u64;
    for i in 0..5 {
        let b = *bytes.get(at + i)?;
        n |= u64::from(b & 0x7f) << (7 * i);
        if b & 0x80 == 0 {
            return Some((u32::try_from(n).ok()? as usize, at + i + 1));
        }
    }
    None
}

fn write_leb(out: &mut Vec<u8>, mut n: usize) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An empty component.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn manifest() -> Manifest {
        Manifest {
            name: "jwt-auth".into(),
            version: "0.1.0".into(),
            kind: PluginKind::DnsChallenge,
            description: "checks tokens".into(),
            capabilities: Capabilities { http: true, kv: vec!["jwks".into()], ..Default::default() },
            schema: Some(serde_json::json!({"type": "object", "properties": {"realm": {"const": null, "default": "a"}}})),
        }
    }

    #[test]
    fn what_is_embedded_is_read() {
        let plain = Manifest { schema: None, capabilities: Capabilities::default(), description: String::new(), ..manifest() };
        for m in [manifest(), plain] {
            let bytes = m.embed(EMPTY).unwrap();
            assert_eq!(Manifest::read(&bytes).unwrap(), Some(m.clone()));
            let other = Manifest { version: "2.0.0-rc.1+5".into(), ..m };
            let again = other.embed(&bytes).unwrap();
            assert_eq!(Manifest::read(&again).unwrap(), Some(other.clone()));
            assert_eq!(again, other.embed(EMPTY).unwrap(), "the old one is gone");
        }
        assert_eq!(Manifest::read(EMPTY).unwrap(), None);
    }

    #[test]
    fn other_sections_stay() {
        // A type section, a custom section of somebody else, and a module that has a manifest of its own.
        let inner = [b"\0asm\x01\0\0\0\0\x10\x0ftorana:manifest".as_slice()].concat();
        let bytes = [EMPTY, b"\x07\x01\0", b"\0\x04\x03abc", &[1, inner.len() as u8], &inner].concat();
        assert_eq!(Manifest::read(&bytes).unwrap(), None);
        assert!(manifest().embed(&bytes).unwrap().starts_with(&bytes));
    }

    #[test]
    fn says_what_is_wrong() {
        for (json, expected) in [
            (r#"{"name":"a","version":"0.1.0","kind":"middleware","shema":{}}"#, "unknown option `shema`"),
            (r#"{"name":"a","version":"0.1.0","kind":"middleware","shema":{}}"#, "did you mean `schema`?"),
            (r#"{"name":"a","version":"0.1.0","kind":"midleware"}"#, "did you mean `middleware`?"),
            (r#"{"name":"A b","version":"0.1.0","kind":"middleware"}"#, "`A b` cannot be the name"),
            (r#"{"name":"a","version":"1","kind":"middleware"}"#, "`1` is not a version"),
            (r#"{"name":"a","version":"0.1.0"}"#, "kind"),
            (r#"{"name":"a","version":"0.1.0","kind":"middleware","capabilities":{"htp":true}}"#, "did you mean `http`?"),
            (r#"{"name":"a","version":"0.1.0","kind":"middleware","capabilities":{"kv":["a b"]}}"#, "capabilities.kv[0]"),
            (r#"{"name":"a","version":"0.1.0","kind":"middleware","schema":true}"#, "a JSON schema is an object"),
            (r#"{"name":"a","version":"0.1.0","kind":"middleware","schema":null}"#, "a JSON schema is an object"),
            ("", "manifest"),
            ("[]", "manifest"),
            ("{", "not valid JSON"),
        ] {
            let wrong = Manifest::from_json(json.as_bytes()).unwrap_err();
            assert!(wrong.contains(expected), "{json}: {wrong}");
        }
        assert!(Manifest { name: String::new(), ..manifest() }.embed(EMPTY).is_err());
    }

    #[test]
    fn broken_files_are_refused() {
        for (bytes, expected) in [
            (b"".as_slice(), "not WebAssembly"),
            (b"\0asm", "not WebAssembly"),
            (b"hello, world", "not WebAssembly"),
            (b"\0asm\x0d\0\x01\0\0", "byte 8"),
            (b"\0asm\x0d\0\x01\0\0\xff\xff\xff\xff\x0f", "byte 8"),
            (b"\0asm\x0d\0\x01\0\0\xff\xff\xff\xff\xff\x01", "byte 8"),
            (b"\0asm\x0d\0\x01\0\0\x01\x05", "byte 8"),
        ] {
            let wrong = Manifest::read(bytes).unwrap_err();
            assert!(wrong.contains(expected), "{wrong}");
            assert_eq!(manifest().embed(bytes).unwrap_err(), wrong);
        }
    }

    #[test]
    fn versions() {
        for good in ["0.1.0", "10.20.30", "1.0.0-rc.1", "1.0.0+a.b", "1.0.0-x-y+z"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0+", "1.0.x", "1.0.0-a..b"] {
            assert!(!is_version(bad), "{bad}");
        }
    }

    #[test]
    fn kinds_by_name() {
        for kind in PluginKind::ALL {
            assert_eq!(PluginKind::parse(kind.name()), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert_eq!(PluginKind::parse("balancr").unwrap_err().hint.as_deref(), Some("did you mean `balancer`?"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tail in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..400) {
            let whole = manifest().embed(EMPTY).unwrap();
            for bytes in [[EMPTY, &tail].concat(), [&whole[..cut.min(whole.len())], &tail].concat(), tail] {
                if Manifest::read(&bytes).is_ok() {
                    let again = manifest().embed(&bytes).unwrap();
                    prop_assert_eq!(Manifest::read(&again).unwrap(), Some(manifest()));
                }
            }
        }

        #[test]
        fn any_manifest_goes_round(name in "[a-z][a-z0-9-]{0,63}", text in "[^\n]{0,40}", kv in proptest::collection::vec("[a-z]{1,8}", 0..3), kind in 0usize..6) {
            let m = Manifest { name, description: text, kind: PluginKind::ALL[kind], capabilities: Capabilities { kv, ..Default::default() }, ..manifest() };
            prop_assert_eq!(Manifest::read(&m.embed(EMPTY).unwrap()).unwrap(), Some(m));
        }
    }
}
