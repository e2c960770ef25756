//! Transports by name.

use super::Services;
use super::site::Site;
use crate::references;
use std::sync::Arc;
use torana_base::{Diagnostic, provider_of, qualify, unqualified};
use torana_config::routing::LoadBalancerConfig;
use torana_upstream::{Transport, files_digest};

impl Services<'_> {
    /// The transport of a load balancer.
    pub(super) fn transport(&mut self, lb: &LoadBalancerConfig, site: Site<'_>) -> Result<Arc<Transport>, Diagnostic> {
        let Some(named) = lb.servers_transport.as_deref().filter(|n| !n.is_empty()) else { return Ok(self.default_transport.clone()) };
        let qualified = qualify(named, provider_of(site.name));
        if qualified == "default@internal" {
            return Ok(self.default_transport.clone());
        }
        self.named_transport(&qualified).map_err(|why| {
            let shown = references::name(site.item, &qualified);
            let text = match why {
                None => format!("unknown serversTransport {shown}"),
                Some(why) => format!("serversTransport {shown} cannot be used: {why}"),
            };
            site.quote("loadBalancer.serversTransport", text)
        })
    }

    /// The error is what is wrong with it, or `None` where there is none of this name.
    pub(super) fn named_transport(&mut self, qualified: &str) -> Result<Arc<Transport>, Option<String>> {
        if let Some((_, t)) = self.transports.get(qualified) {
            return Ok(t.clone());
        }
        let item =
            self.inputs.get(provider_of(qualified)).and_then(|c| c.http.servers_transports.get(unqualified(qualified))).ok_or(None)?;
        if let Some(d) = item.diagnostics.iter().find(|d| d.is_error()) {
            return Err(Some(d.message.clone()));
        }
        let digest = item.digest ^ files_digest(&item.config);
        let t = match self.before.transports.get(qualified) {
            Some((before, t)) if *before == digest => t.clone(),
            _ => Arc::new(Transport::build_with(&item.config, self.before.spiffe.as_ref())),
        };
        self.transports.insert(qualified.into(), (digest, t.clone()));
        Ok(t)
    }
}

/// A transport serves what it can; what it cannot honour is told.
pub(crate) fn transport_problems(key: &str, transport: &Transport) -> impl Iterator<Item = Diagnostic> {
    transport.problems.iter().map(move |p| Diagnostic::error(format!("{key}.{}", p.key), p.message.clone()))
}
