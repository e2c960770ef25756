//! Plugins in the static configuration: our own `plugins`, and what Traefik has below `experimental`.

use super::Loaded;
use super::effective::Validate;
use crate::ByteSize;
use crate::routing::{Item, Items, PluginConfig, PluginLimits, PluginPermissions, check_plugin_name, is_variable};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_base::{Diagnostic, GoDuration};

/// `experimental`: Traefik's way to name plugins. Its gates for other features are accepted without effect.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExperimentalConfig {
    /// Refused: Torana does not start with one.
    pub plugins: BTreeMap<String, CataloguePluginConfig>,
    pub local_plugins: BTreeMap<String, LocalPluginConfig>,
    /// Do not start when a plugin fails to load; default false.
    pub abort_on_plugin_failure: bool,
    /// Logs may be sent to an OpenTelemetry collector.
    pub otlplogs: bool,
    /// `providers.knative` may be used.
    pub knative: bool,
    #[serde(rename = "kubernetesGateway")]
    _kubernetes_gateway: bool,
    #[serde(rename = "kubernetesIngressNGINX")]
    _kubernetes_ingress_nginx: bool,
}

/// `experimental.plugins.<name>`: a plugin of Traefik's catalogue.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CataloguePluginConfig {
    pub module_name: String,
    pub version: String,
    pub hash: String,
    pub settings: PluginSettings,
}

/// `experimental.localPlugins.<name>`: a plugin below `./plugins-local/src/<moduleName>`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LocalPluginConfig {
    /// Its directory, such as `github.com/you/demo`: relative, without `..`.
    pub module_name: String,
    pub settings: PluginSettings,
}

/// `settings` of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PluginSettings {
    /// Environment variables that the plugin may read.
    pub envs: Vec<String>,
    /// Folders that a guest of http-wasm may use: `host[:guest][:ro]`. Components have no file system.
    pub mounts: Vec<String>,
    /// Only false.
    pub use_unsafe: bool,
}

impl PluginConfig {
    /// What a local plugin is whose file is `path`. Traefik has no limits and no option for them: they are wider than
    /// those of a plugin that is declared under `plugins`.
    pub fn from_local(local: &LocalPluginConfig, path: String) -> PluginConfig {
        let PluginSettings { envs, mounts, .. } = local.settings.clone();
        let permissions = PluginPermissions { env: envs, mounts, ..PluginPermissions::default() };
        let limits = PluginLimits {
            deadline: GoDuration::from_secs(1),
            start: GoDuration::from_secs(10),
            memory: ByteSize::from_mib(256),
            body: ByteSize::from_mib(64),
            ..PluginLimits::default()
        };
        PluginConfig { path, permissions, limits, ..PluginConfig::default() }
    }
}

impl Loaded {
    /// `plugins` as objects with places and digests, like those of a routing configuration.
    pub fn plugins(&self) -> Items<PluginConfig> {
        let written = |name: &str| self.node.child("plugins")?.entry(name);
        let items = self.config.plugins.iter().filter_map(|(name, config)| {
            let (key, node) = written(name)?;
            let mut item = Item::new(config.clone(), key.place.clone(), node.digest());
            item.keep_plugin(node);
            Some((name.clone(), Arc::new(item)))
        });
        items.collect()
    }
}

impl Validate<'_> {
    pub(super) fn plugins(&mut self) {
        let config = self.config;
        for (name, plugin) in &config.plugins {
            let Some((written, node)) = self.node.child("plugins").and_then(|all| all.entry(name)) else { continue };
            let key = format!("plugins.{name}");
            let wrong = check_plugin_name(name, &key).into_iter().chain(plugin.check(node, &key));
            self.out.extend(wrong.map(|d| Diagnostic { place: d.place.or_else(|| Some(written.place.clone())), ..d }));
        }
        for name in config.experimental.plugins.keys() {
            let message = format!("`{name}` is Go source of Traefik's catalogue, but Torana runs WebAssembly components");
            let hint =
                format!("remove it, and write `plugins: {{{name}: {{path: plugins/{name}.wasm}}}}` for a component that does the same");
            self.push(Diagnostic::error(format!("experimental.plugins.{name}"), message), &hint);
        }
        for (name, local) in &config.experimental.local_plugins {
            self.local_plugin(name, local);
        }
    }

    fn local_plugin(&mut self, name: &str, local: &LocalPluginConfig) {
        let config = self.config;
        let key = |option: &str| format!("experimental.localPlugins.{name}{option}");
        if let Some(d) = check_plugin_name(name, &key("")) {
            let hint = d.hint.clone().unwrap_or_default();
            self.push(d, &hint);
        }
        let taken =
            [("experimental.plugins", config.experimental.plugins.contains_key(name)), ("plugins", config.plugins.contains_key(name))];
        for (other, _) in taken.into_iter().filter(|(_, taken)| *taken) {
            let d = Diagnostic::error(key(""), format!("`{other}` has a plugin `{name}` too"));
            self.push(d, "give one of them another name");
        }
        let module = &local.module_name;
        if module.is_empty() {
            let d = Diagnostic::error(key(""), format!("local plugin `{name}` has no module name"));
            self.push(d, "write `moduleName`, its directory below `plugins-local/src`, such as `github.com/you/demo`");
        } else if module.starts_with('/') || module.ends_with('/') || module.split('/').any(|part| part == "..") {
            let d = Diagnostic::error(key(".moduleName"), format!("`{module}` is no module name"));
            self.push(d, "write a directory below `plugins-local/src`, without `/` at either end and without `..`");
        }
        for (i, env) in local.settings.envs.iter().enumerate() {
            if !is_variable(env) {
                let d = Diagnostic::error(key(&format!(".settings.envs[{i}]")), format!("`{env}` is no name of an environment variable"));
                self.push(d, "write the name alone, such as `REGION`");
            }
        }
        if local.settings.use_unsafe {
            let d = Diagnostic::error(key(".settings.useUnsafe"), "WebAssembly has nothing unsafe to allow");
            self.push(d, "remove it");
        }
    }
}
