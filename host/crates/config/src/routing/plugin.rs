use super::Item;
use crate::ByteSize;
use crate::de;
use crate::node::Node;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use torana_base::{Diagnostic, GoDuration, Place, Secret};

/// `plugins.<name>`: a WebAssembly component, and what it may do and use. Nothing is granted by default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PluginConfig {
    /// File of the component; relative to the working directory.
    pub path: String,
    /// A map, as written; for the kinds that have no other place for their configuration.
    #[serde(deserialize_with = "de::some_tree", skip_serializing_if = "Option::is_none")]
    pub config: Option<Node>,
    pub failure: Failure,
    pub permissions: PluginPermissions,
    pub limits: PluginLimits,
    /// `None`: a new file replaces the old one at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutConfig>,
}

/// `plugins.<name>.failure`: what becomes of a request when a call of the plugin fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Failure {
    /// It is answered with an error.
    #[default]
    Closed,
    /// It goes on as if the plugin were not there.
    Open,
}

/// `plugins.<name>.permissions`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PluginPermissions {
    /// Hosts that it may send requests to: `host`, `host:port`, `*.domain` or `*.domain:port`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<String>,
    /// Namespaces of the key-value store.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kv: Vec<String>,
    /// Environment variables of the gateway.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// By the plugin's name for them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Folders for a core module, as `host[:guest][:ro]`; granted in `experimental.localPlugins` only.
    #[serde(skip)]
    pub mounts: Vec<String>,
}

/// `plugins.<name>.permissions.secrets.<name>`: where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable of the gateway.
    Env(String),
    File(String),
    /// The secret itself; serialised as `xxxx`.
    Value(Secret),
}

impl Serialize for SecretSource {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map([match self {
            SecretSource::Env(name) => ("env", name.as_str()),
            SecretSource::File(path) => ("file", path.as_str()),
            SecretSource::Value(_) => ("value", "xxxx"),
        }])
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Written {
            env: String,
            file: String,
            value: Secret,
        }
        let w = Written::deserialize(d)?;
        match (w.env.is_empty(), w.file.is_empty(), w.value.expose().is_empty()) {
            (false, true, true) => Ok(SecretSource::Env(w.env)),
            (true, false, true) => Ok(SecretSource::File(w.file)),
            (true, true, false) => Ok(SecretSource::Value(w.value)),
            (true, true, true) => Err(D::Error::custom("the secret has no source: write one of `env`, `file` and `value`")),
            _ => Err(D::Error::custom("the secret has more than one source: write only one of `env`, `file` and `value`")),
        }
    }
}

/// `plugins.<name>.limits`; all are above 0.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PluginLimits {
    /// CPU time of one call; default 50ms.
    pub deadline: GoDuration,
    /// Time of one call with all its waiting, and of one outgoing request; default 5s.
    pub timeout: GoDuration,
    /// CPU time to start and configure an instance; default 2s.
    pub start: GoDuration,
    /// Of one instance; default 64MiB, 1GiB at most.
    pub memory: ByteSize,
    /// Of buffered bodies, of answers to outgoing requests and of bodies that the plugin makes; default 1MiB.
    pub body: ByteSize,
    /// All header names and values that one call hands back; default 64KiB.
    pub headers: ByteSize,
    /// At once, for each worker and configuration; default 64.
    pub instances: u32,
}

impl Default for PluginLimits {
    fn default() -> Self {
        PluginLimits {
            deadline: GoDuration::from_millis(50),
            timeout: GoDuration::from_secs(5),
            start: GoDuration::from_secs(2),
            memory: ByteSize::from_mib(64),
            body: ByteSize::from_mib(1),
            headers: ByteSize::from_kib(64),
            instances: 64,
        }
    }
}

/// `plugins.<name>.rollout`: how a new file takes the place of the old one.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutConfig {
    /// Percent of the calls that the new file gets, rising, each from 1 to 99; then 100. Default 5, 25, 50.
    pub steps: Vec<u8>,
    /// Time of one step, at least; default 30s.
    pub interval: GoDuration,
    /// Calls of the new file in one step, at least; default 20.
    pub minimum_calls: u32,
    /// Percentage points that its failure rate may exceed that of the old file, 0 to 100; default 1.
    pub tolerance: f64,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        RolloutConfig { steps: vec![5, 25, 50], interval: GoDuration::from_secs(30), minimum_calls: 20, tolerance: 1.0 }
    }
}

/// Which plugin, and its configuration: `{<name>: {...}}`, serialised so.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginUse {
    /// As written; a key of `plugins`.
    pub name: String,
    /// A map, keys as written.
    pub config: Node,
}

impl PluginUse {
    /// From `{<name>: {...}}`; null and `true` are a configuration without options. `Err` says what is wrong and
    /// what to do when there is not exactly one name.
    pub(super) fn of(node: &Node) -> Result<PluginUse, (String, &'static str)> {
        let mut named = node.entries().iter().filter(|(_, config)| config.as_bool() != Some(false));
        let hint = "write exactly one, as in `plugin: {auth: {realm: x}}`";
        match (named.next(), named.next()) {
            (Some((name, config)), None) => Ok(PluginUse { name: name.text.clone(), config: config.as_block() }),
            (None, _) => Err(("no plugin is named".to_owned(), hint)),
            (Some((a, _)), Some((b, _))) => Err((format!("more than one plugin is named: {}, {}", a.text, b.text), hint)),
        }
    }
}

impl Serialize for PluginUse {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map([(&self.name, &self.config)])
    }
}

impl<'de> Deserialize<'de> for PluginUse {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        PluginUse::of(&de::tree(d)?).map_err(|(what, hint)| D::Error::custom(format!("{what}: {hint}")))
    }
}

/// Whether a plugin may be called `name`: a letter, then letters, digits, `_` and `-`.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// What is wrong with the name of a plugin whose dotted path is `key`.
pub(crate) fn check_name(name: &str, key: &str) -> Option<Diagnostic> {
    let d = || Diagnostic::error(key, format!("`{name}` is no name of a plugin"));
    (!is_name(name)).then(|| d().hint("begin with a letter, and use only letters, digits, `_` and `-`"))
}

impl PluginConfig {
    /// What is wrong with the values. `key` is the dotted path of the plugin, `node` what was written there;
    /// without a place when nothing was.
    pub(crate) fn check(&self, node: &Node, key: &str) -> Vec<Diagnostic> {
        let mut out = Vec::new();
        let mut say = |option: &str, message: String, hint: &str| {
            let d = Diagnostic::error(format!("{key}.{option}"), message).hint(hint);
            out.push(Diagnostic { place: nearest(node, option), ..d });
        };
        if self.path.is_empty() {
            say("path", "the plugin has no path".into(), "write `path`, the file of the component, such as `plugins/auth.wasm`");
        }
        for (i, text) in self.permissions.http.iter().enumerate() {
            if !is_host_grant(text) {
                let hint = "write `host`, `host:port` or `*.domain`, without scheme and path";
                say(&format!("permissions.http[{i}]"), format!("`{text}` is no host"), hint);
            }
        }
        for (i, text) in self.permissions.kv.iter().enumerate() {
            if text.is_empty() {
                say(&format!("permissions.kv[{i}]"), "the namespace has no name".into(), "write a name, such as `sessions`");
            }
        }
        for (i, text) in self.permissions.env.iter().enumerate() {
            if !is_variable(text) {
                let hint = "write the name alone, such as `REGION`";
                say(&format!("permissions.env[{i}]"), format!("`{text}` is no name of an environment variable"), hint);
            }
        }
        let l = &self.limits;
        let interval = self.rollout.as_ref().map(|r| ("rollout.interval", r.interval));
        let times = [("limits.deadline", l.deadline), ("limits.timeout", l.timeout), ("limits.start", l.start)];
        for (option, time) in times.into_iter().chain(interval) {
            if time.positive().is_none() {
                say(option, format!("`{time}` is not above 0"), "write a time such as `50ms`, or leave the option out for its default");
            }
        }
        for (option, size) in [("limits.memory", l.memory), ("limits.body", l.body), ("limits.headers", l.headers)] {
            if size.0 == 0 {
                say(option, "`0` is not above 0".into(), "write a size such as `1MiB`, or leave the option out for its default");
            }
        }
        if l.memory > ByteSize::from_mib(1024) {
            say("limits.memory", format!("`{}` is more than an instance can have", l.memory), "write `1GiB` or less");
        }
        if l.instances == 0 {
            say("limits.instances", "`0` is not above 0".into(), "write 1 or more, or leave the option out for its default");
        }
        if let Some(r) = &self.rollout {
            let hint = "write rising percentages from 1 to 99, such as `[5, 25, 50]`; 100 follows by itself";
            if r.steps.is_empty() {
                say("rollout.steps", "there is no step".into(), "write at least one, or leave `rollout` out");
            }
            let mut before = 0;
            for (i, step) in r.steps.iter().enumerate() {
                if !(1..=99).contains(step) {
                    say(&format!("rollout.steps[{i}]"), format!("`{step}` is no percentage from 1 to 99"), hint);
                } else if *step <= before {
                    say(&format!("rollout.steps[{i}]"), format!("`{step}` is not above the step before"), hint);
                }
                before = *step;
            }
            if !(0.0..=100.0).contains(&r.tolerance) {
                let message = format!("`{}` is no number of percentage points", r.tolerance);
                say("rollout.tolerance", message, "write a number from 0 to 100");
            }
        }
        out
    }
}

impl Item<PluginConfig> {
    /// Keeps the places of what may turn out wrong when the plugin is loaded.
    pub(crate) fn keep_plugin(&mut self, node: &Node) {
        for option in ["path", "config", "failure", "permissions", "permissions.secrets", "limits", "limits.memory", "rollout"] {
            self.keep(node, option, "", option);
        }
        self.keep(node, "permissions.http", "", "permissions.http[]");
        self.keep(node, "permissions.kv", "", "permissions.kv[]");
        self.keep(node, "permissions.env", "", "permissions.env[]");
    }
}

/// The place of `option`, or of the nearest block above it that was written.
fn nearest(node: &Node, mut option: &str) -> Option<Place> {
    while !option.is_empty() {
        if let Some(found) = node.at(option) {
            return Some(found.place.clone());
        }
        option = option.rsplit_once(['.', '[']).map_or("", |(up, _)| up);
    }
    None
}

/// Whether an environment variable can have the name.
pub(crate) fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace)
}

/// `host[:port]` or `*.domain[:port]`; an IPv6 address stands in brackets.
fn is_host_grant(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok() && port.is_none_or(is_port);
    }
    let name = host.strip_prefix("*.").unwrap_or(host);
    let label = |l: &str| {
        let edge = |c: char| c == '-';
        (1..=63).contains(&l.len()) && !l.starts_with(edge) && !l.ends_with(edge) && l.bytes().all(is_label_byte)
    };
    // what ends in a number is an address, and must be a whole one
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let good = if numeric { name == host && name.parse::<Ipv4Addr>().is_ok() } else { name.split('.').all(label) };
    good && port.is_none_or(is_port)
}

fn is_label_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|p| p > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_hosts() {
        for (name, good) in [("a", true), ("Jwt-Auth_2", true), ("", false), ("2a", false), ("-a", false), ("a.b", false), ("ä", false)] {
            assert_eq!(is_name(name), good, "{name}");
        }
        for text in ["api.example.com", "localhost:8080", "*.internal:8443", "*.a.b", "10.0.0.1:80", "[::1]", "[::1]:443", "my_host", "1a"]
        {
            assert!(is_host_grant(text), "{text}");
        }
        for text in [
            "",
            "*",
            "*:80",
            "*.",
            "a.*.b",
            "*a.b",
            "https://a",
            "a/b",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:b",
            "a b",
            "a..b",
            ".a",
            "a.",
            "-a",
            "::1",
            "[::1",
            "[x]:1",
            "1.2.3",
            "*.1.2.3.4",
            "u@a",
            "é.fr",
        ] {
            assert!(!is_host_grant(text), "{text}");
        }
    }
}
