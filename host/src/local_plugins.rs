//! Traefik's `experimental.localPlugins`: a folder `./plugins-local/src/<moduleName>` with a `.traefik.yml`.

use std::path::Path;
use std::sync::Arc;
use torana_base::{Diagnostic, Place};
use torana_config::install::Loaded;
use torana_config::parse::{Format, parse};
use torana_config::routing::{Item, Items, PluginConfig};

const ROOT: &str = "plugins-local/src";

/// The plugins of the install configuration: `plugins`, and the local ones that are WebAssembly.
pub(crate) fn installed(loaded: &Loaded) -> (Items<PluginConfig>, Vec<Diagnostic>) {
    let mut plugins = loaded.plugins();
    let mut wrong = Vec::new();
    for (name, local) in &loaded.config.experimental.local_plugins {
        let key = format!("experimental.localPlugins.{name}");
        let place = loaded.node.at(&key).map_or_else(|| Place::whole("install configuration"), |n| n.place.clone());
        match component(&local.module_name) {
            Ok(path) => {
                let config = PluginConfig::from_local(local, path);
                let digest = name
                    .bytes()
                    .chain(local.module_name.bytes())
                    .fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
                plugins.insert(name.clone(), Arc::new(Item::new(config, place, digest)));
            }
            Err((what, hint)) => wrong.push(Diagnostic::error(format!("{key}.moduleName"), what).at(&place).hint(hint)),
        }
    }
    (plugins, wrong)
}

/// The file of a local plugin; what is wrong, and what to do about it, otherwise.
fn component(module: &str) -> Result<String, (String, &'static str)> {
    let folder = Path::new(ROOT).join(module);
    let manifest = folder.join(".traefik.yml");
    let text = std::fs::read_to_string(&manifest).map_err(|e| {
        (format!("cannot read `{}`: {e}", manifest.display()), "a local plugin is a folder below ./plugins-local/src with a .traefik.yml")
    })?;
    let source: Arc<str> = manifest.display().to_string().into();
    let node = parse(&text, Format::Yaml, source).map_err(|d| (d.message, "repair the file"))?;
    let field = |name: &str| node.child(name).and_then(|n| n.as_str()).unwrap_or_default().to_owned();
    if field("runtime") != "wasm" {
        return Err((
            format!("the plugin `{module}` is Go source for Traefik's interpreter"),
            "Torana runs WebAssembly: build it as a component (docs/plugins) and declare it under `plugins`",
        ));
    }
    let wasm = Some(field("wasmPath")).filter(|p| !p.is_empty()).unwrap_or_else(|| "plugin.wasm".to_owned());
    if Path::new(&wasm).components().any(|c| !matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir)) {
        return Err((format!("`wasmPath: {wasm}` leads out of the plugin's folder"), "write a path below the folder"));
    }
    Ok(folder.join(wasm).display().to_string())
}
