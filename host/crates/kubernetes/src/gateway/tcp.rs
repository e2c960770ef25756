//! Rules of `TLSRoute` and `TCPRoute` to routers and services of connections.

use super::listeners::{Listener, Protocol};
use super::model::{Object, RouteSpec};
use super::names;
use super::refs::{Backend, Refs, Unresolved};
use crate::made::Made;
use torana_base::Place;
use torana_config::routing::{
    TcpRouterConfig, TcpRouterTlsConfig, TcpServerConfig, TcpServiceConfig, TcpWeightedConfig, WeightedServiceConfig,
};

/// A route on a listener that has accepted it.
pub(super) struct Attached<'a> {
    /// `TLSRoute` or `TCPRoute`
    pub(super) kind: &'static str,
    pub(super) route: &'a Object<RouteSpec>,
    pub(super) listener: &'a Listener,
    pub(super) hostnames: &'a [String],
    pub(super) place: &'a Place,
}

impl Attached<'_> {
    /// Makes its routers; what of its references leads nowhere.
    pub(super) fn build(&self, refs: &mut Refs<'_>, made: &mut Made) -> Vec<Unresolved> {
        let mut wrong = Vec::new();
        let tls = self.listener.protocol == Some(Protocol::Tls);
        let (ns, name) = &self.route.key;
        let (gw_ns, gw) = &self.listener.gateway;
        let rule = if tls { names::sni_rule(self.hostnames) } else { names::sni_rule(&[]) };
        let longest = self.hostnames.iter().map(|h| h.trim_start_matches('*').len()).max().unwrap_or(0) as i64;
        // Rules of one route have nothing to tell them apart: the first serves.
        let rules = self.route.spec.rules.iter().take(1);
        for (i, backends) in rules.enumerate() {
            let key = format!("{}-{ns}-{name}-gw-{gw_ns}-{gw}-ep-{}-{i}", self.kind.to_ascii_lowercase(), self.listener.entry_point);
            let router = names::router(&key, &rule);
            if !made.is_first(&self.listener.entry_point, tls, &rule, self.place) {
                continue;
            }
            let mut shares = Vec::with_capacity(backends.backend_refs.len());
            for (i, reference) in backends.backend_refs.iter().enumerate() {
                let weight = reference.weight.unwrap_or(1);
                let name = match refs.tcp(self.kind, &self.route.key, reference) {
                    Ok(Backend::Named(name)) => name,
                    Ok(Backend::Servers(found)) => {
                        let namespace = reference.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or(ns);
                        let name = format!("{router}-svc-{namespace}-{}-{i}", torana_base::normalize(&reference.name));
                        let servers = found.backends.servers.iter().filter(|s| !s.draining);
                        let servers = servers.map(|s| TcpServerConfig { address: s.address.clone(), tls: false }).collect();
                        made.tcp_servers(&name, servers, self.place);
                        name
                    }
                    Err(unresolved) => {
                        wrong.push(unresolved);
                        let name = format!("{router}-err-lb");
                        made.tcp_servers(&name, Vec::new(), self.place);
                        name
                    }
                };
                shares.push(WeightedServiceConfig { name, weight, answer: None });
            }
            let service = format!("{router}-wrr");
            let weighted = Some(TcpWeightedConfig { services: shares, health_check: None });
            made.tcp_service(&service, TcpServiceConfig { weighted, ..Default::default() }, self.place);
            let config = TcpRouterConfig {
                entry_points: vec![self.listener.entry_point.clone()],
                service: Some(service),
                rule: rule.clone(),
                priority: if tls { longest } else { -1 },
                tls: tls.then(|| TcpRouterTlsConfig { passthrough: self.listener.passthrough, ..Default::default() }),
                ..TcpRouterConfig::default()
            };
            made.tcp_router(&router, config, self.place);
        }
        wrong
    }
}

/// Closes connections whose server name no route knows, on the entry points of listeners for TLS.
pub(super) fn deny_unknown_hosts(made: &mut Made, entry_points: Vec<String>, place: &Place) {
    const NAME: &str = "deny-unknown-host";
    made.tcp_servers(NAME, Vec::new(), place);
    let config = TcpRouterConfig {
        entry_points,
        service: Some(NAME.into()),
        rule: "HostSNI(`*`) && !ALPN(`h2`) && !ALPN(`http/1.1`)".into(),
        priority: 1,
        tls: Some(TcpRouterTlsConfig::default()),
        ..TcpRouterConfig::default()
    };
    made.tcp_router(NAME, config, place);
}
