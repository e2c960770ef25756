//! What a plugin tells about itself.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

/// What a plugin asks the operator for (`permissions` in the gateway's configuration). Nothing is granted by it.
///
/// ```
/// # use torana_plugin_sdk::Capabilities;
/// const CAPABILITIES: Capabilities = Capabilities::NONE.http().kv(&["sessions"]).secrets(&["api-key"]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    pub(crate) http: bool,
    pub(crate) kv: &'static [&'static str],
    pub(crate) secrets: &'static [&'static str],
    pub(crate) env: &'static [&'static str],
}

impl Capabilities {
    /// Nothing.
    pub const NONE: Capabilities = Capabilities { http: false, kv: &[], secrets: &[], env: &[] };

    /// Requests to other servers.
    pub const fn http(mut self) -> Capabilities {
        self.http = true;
        self
    }

    /// Namespaces of the key-value store.
    pub const fn kv(mut self, namespaces: &'static [&'static str]) -> Capabilities {
        self.kv = namespaces;
        self
    }

    /// Secrets, by the plugin's name for them.
    pub const fn secrets(mut self, names: &'static [&'static str]) -> Capabilities {
        self.secrets = names;
        self
    }

    /// Environment variables of the gateway, read with `std::env::var`.
    pub const fn env(mut self, names: &'static [&'static str]) -> Capabilities {
        self.env = names;
        self
    }

    fn json(&self) -> Value {
        let mut all = Map::new();
        if self.http {
            all.insert("http".into(), true.into());
        }
        for (name, list) in [("kv", self.kv), ("secrets", self.secrets), ("env", self.env)] {
            if !list.is_empty() {
                all.insert(name.into(), json!(list));
            }
        }
        all.into()
    }
}

/// Name, version and description of the plugin's crate; filled in by the export macros.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// `CARGO_PKG_NAME`.
    pub name: &'static str,
    /// `CARGO_PKG_VERSION`.
    pub version: &'static str,
    /// `CARGO_PKG_DESCRIPTION`.
    pub description: &'static str,
}

pub(crate) fn manifest<C: JsonSchema>(package: Package, kind: &str, capabilities: Capabilities) -> String {
    json!({
        "name": package.name,
        "version": package.version,
        "kind": kind,
        "description": package.description,
        "capabilities": capabilities.json(),
        "schema": crate::config::schema::<C>(),
    })
    .to_string()
}
