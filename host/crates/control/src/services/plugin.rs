//! Plugins as services, and as what a load balancer chooses by.

use super::site::Site;
use super::{Kept, Outcome, Services, Usable};
use crate::resolve::own;
use std::sync::Arc;
use torana_base::{Diagnostic, provider_of};
use torana_config::node::Node;
use torana_config::routing::PluginUse;

/// A plugin that a service names.
pub(super) struct Used<'a> {
    /// Qualified name.
    pub(super) plugin: Arc<str>,
    pub(super) config: &'a Node,
    /// The option's dotted path.
    pub(super) key: String,
    /// Of the service, and of the plugin's version.
    pub(super) digest: u64,
}

impl Services<'_> {
    pub(super) fn plugin<'c>(&self, site: Site<'_>, option: &str, written: &'c PluginUse) -> Result<Used<'c>, Vec<Diagnostic>> {
        let key = site.key(&format!("{option}.{}", written.name));
        let Some(plugin) = self.plugins.find(&written.name, provider_of(site.name)) else {
            return Err(vec![crate::plugins::unknown(self.inputs, &written.name, &key).at(&site.item.place_of(option))]);
        };
        let digest = crate::plugins::mixed(site.item.digest, self.plugins.version(&plugin));
        Ok(Used { plugin, config: &written.config, key, digest })
    }

    /// A service that is a plugin.
    pub(super) fn plugin_service(&mut self, site: Site<'_>, written: &PluginUse) -> Outcome {
        let Used { plugin, config, key, digest } = self.plugin(site, "plugin", written)?;
        let usable = match self.before.services.get(site.name) {
            Some(k) if k.digest == digest => k.usable.clone(),
            _ => {
                let endpoint = self.plugins.service(&plugin, config, &key).map_err(|wrong| own(site.item, wrong))?;
                Usable { endpoint, load_balancer: None, health: None, warnings: Default::default() }
            }
        };
        self.keep(site.name, Kept { digest, transport: None, children: Vec::new(), usable: usable.clone() });
        Ok(usable)
    }
}
