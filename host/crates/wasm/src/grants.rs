//! What the operator lets a plugin do.

use std::collections::BTreeMap;
use torana_base::Diagnostic;
use torana_config::routing::{Item, PluginConfig, SecretSource};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// Compiled `permissions`.
#[derive(Clone, Default)]
pub(crate) struct Grants {
    http: Vec<HostGrant>,
    kv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Variables that are granted, but not set.
    pub(crate) unset: Vec<String>,
    pub(crate) mounts: Vec<Mount>,
    secrets: BTreeMap<String, String>,
}

/// `host[:port]`; a leading `*` stands for one or more labels.
#[derive(Clone)]
struct HostGrant {
    host: String,
    wildcard: bool,
    port: Option<u16>,
}

impl HostGrant {
    fn parse(text: &str) -> Option<HostGrant> {
        let (host, port) = match text.rsplit_once(':') {
            Some((h, p)) if !h.ends_with(':') && (!h.contains(':') || h.ends_with(']')) => (h, Some(p.parse().ok()?)),
            _ => (text, None),
        };
        let (wildcard, host) = match host.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, host),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        Some(HostGrant { host, wildcard, port })
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        if self.port.is_some_and(|p| p != port) {
            return false;
        }
        if !self.wildcard {
            return host == self.host;
        }
        host.strip_suffix(self.host.as_str()).is_some_and(|first| first.len() > 1 && first.ends_with('.'))
    }
}

/// A folder that a guest sees: `host[:guest][:ro]`, as in Traefik.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) host: String,
    guest: String,
    read_only: bool,
}

impl Mount {
    fn parse(text: &str) -> Result<Mount, String> {
        let (paths, read_only) = text.strip_suffix(":ro").map_or((text, false), |p| (p, true));
        let (host, guest) = paths.split_once(':').unwrap_or((paths, paths));
        if guest.contains(':') {
            return Err("it has too many parts".to_owned());
        }
        // What is relative for a guest is so to the root of what it sees.
        let guest = if guest.starts_with('/') { guest.to_owned() } else { format!("/{}", guest.trim_start_matches("./")) };
        Ok(Mount { host: host.to_owned(), guest, read_only })
    }

    /// Gives it to a guest.
    pub(crate) fn open(&self, wasi: &mut WasiCtxBuilder) -> wasmtime::Result<()> {
        let perms = if self.read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
        wasi.preopened_dir(&self.host, &self.guest, perms).map(drop)
    }
}

impl Grants {
    /// Reads secrets and environment; what cannot be read is told with its place.
    pub(crate) fn read(item: &Item<PluginConfig>, key: &str) -> (Grants, Vec<Diagnostic>) {
        let p = &item.config.permissions;
        let mut wrong = Vec::new();
        let mut grants = Grants { kv: p.kv.clone(), ..Grants::default() };
        for (i, text) in p.http.iter().enumerate() {
            match HostGrant::parse(text) {
                Some(g) => grants.http.push(g),
                None => wrong.push(
                    Diagnostic::error(format!("{key}.permissions.http[{i}]"), format!("`{text}` is not a host"))
                        .at(&item.place_of(&format!("permissions.http[{i}]")))
                        .hint("write `api.example.com`, `api.example.com:8443` or `*.example.com`"),
                ),
            }
        }
        for name in &p.env {
            // One that is not set is not set for a component either.
            match std::env::var(name) {
                Ok(value) => grants.env.push((name.clone(), value)),
                Err(_) => grants.unset.push(name.clone()),
            }
        }
        for text in &p.mounts {
            match Mount::parse(text).and_then(|m| m.open(&mut WasiCtxBuilder::new()).map(|()| m).map_err(|e| format!("{e:#}"))) {
                Ok(mount) => grants.mounts.push(mount),
                Err(e) => wrong.push(
                    Diagnostic::error(format!("{key}.settings.mounts"), format!("cannot mount `{text}`: {e}"))
                        .at(&item.place)
                        .hint("write `folder`, `folder:seen-as` or `folder:seen-as:ro`, with a folder that torana's user can read"),
                ),
            }
        }
        for (name, source) in &p.secrets {
            let at = |message: String, hint: &str| {
                Diagnostic::error(format!("{key}.permissions.secrets.{name}"), message).at(&item.place_of("permissions.secrets")).hint(hint)
            };
            match source {
                SecretSource::Env(variable) => match std::env::var(variable) {
                    Ok(v) => _ = grants.secrets.insert(name.clone(), v),
                    Err(_) => wrong
                        .push(at(format!("the environment variable `{variable}` is not set"), "set it, or read the secret from a `file`")),
                },
                SecretSource::File(path) => match std::fs::read_to_string(path) {
                    Ok(v) => _ = grants.secrets.insert(name.clone(), v.trim_end_matches(['\r', '\n']).to_owned()),
                    Err(e) => wrong
                        .push(at(format!("cannot read the secret from `{path}`: {e}"), "create the file, or let torana's user read it")),
                },
                SecretSource::Value(v) => _ = grants.secrets.insert(name.clone(), v.expose().to_owned()),
            }
        }
        (grants, wrong)
    }

    /// Whether requests may go to the URL's host; its name with port otherwise.
    pub(crate) fn may_ask(&self, url: &http::Uri) -> Result<(), String> {
        let host = url.host().unwrap_or("").trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let default = if url.scheme_str() == Some("https") { 443 } else { 80 };
        let port = url.port_u16().unwrap_or(default);
        if self.http.iter().any(|g| g.covers(&host, port)) { Ok(()) } else { Err(format!("{host}:{port}")) }
    }

    pub(crate) fn may_keep(&self, namespace: &str) -> bool {
        self.kv.iter().any(|n| n == namespace)
    }

    pub(crate) fn secret(&self, name: &str) -> Option<&str> {
        self.secrets.get(name).map(String::as_str)
    }

    pub(crate) fn has_http(&self) -> bool {
        !self.http.is_empty()
    }

    pub(crate) fn has_secret(&self, name: &str) -> bool {
        self.secrets.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let may = |grant: &str, url: &str| {
            let g = Grants { http: vec![HostGrant::parse(grant).unwrap()], ..Grants::default() };
            g.may_ask(&url.parse().unwrap()).is_ok()
        };
        assert!(may("api.example.com", "https://API.example.com/x"));
        assert!(may("api.example.com", "http://api.example.com:81/x"));
        assert!(may("api.example.com:443", "https://api.example.com"));
        assert!(!may("api.example.com:443", "http://api.example.com"));
        assert!(!may("example.com", "http://api.example.com"));
        assert!(may("*.example.com", "http://a.b.example.com"));
        assert!(!may("*.example.com", "http://example.com"));
        assert!(!may("*.example.com", "http://badexample.com"));
        assert!(may("[::1]:80", "http://[::1]/"));
        assert!(!may("127.0.0.1", "http://127.0.0.2/"));
        assert!(Grants::default().may_ask(&"http://a/".parse().unwrap()).is_err());
    }
}
