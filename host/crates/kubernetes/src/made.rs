//! The configuration in the making.

use crate::tree::{Tree, node};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use torana_base::{Place, Secret};
use torana_config::node::Node;
use torana_config::routing::{
    Item, Items, MiddlewareConfig, RouterConfig, RoutingConfig, ServersTransportConfig, ServiceConfig, TcpLoadBalancerConfig,
    TcpRouterConfig, TcpServerConfig, TcpServiceConfig, TlsCertificateConfig, TlsOptionsConfig, WeightedConfig, WeightedServiceConfig,
};
use torana_extend::Document;

/// Routers, services and what they need, for providers that use kinds which no file can write down: objects are made
/// and not read from a tree.
#[derive(Default)]
pub(crate) struct Made {
    /// What was seen, rejected and warned of.
    pub(crate) tree: Tree,
    config: RoutingConfig,
    /// Who was first to have a rule on an entry point, with TLS or without.
    rules: BTreeMap<(String, bool, String), Place>,
}

impl Made {
    /// Whether `owner` is the first to have a rule on an entry point. The oldest route has its will: one that comes
    /// later with the same rule would never be asked, and is told so.
    pub(crate) fn is_first(&mut self, entry_point: &str, tls: bool, rule: &str, owner: &Place) -> bool {
        let key = (entry_point.to_owned(), tls, rule.to_owned());
        match self.rules.get(&key) {
            None => {
                self.rules.insert(key, owner.clone());
                true
            }
            Some(first) if first == owner => false,
            Some(first) => {
                let why = format!("{first} is older and takes the same on the entry point {entry_point}: {rule}");
                self.tree.reject(owner, why);
                false
            }
        }
    }

    pub(crate) fn router(&mut self, name: &str, router: RouterConfig, place: &Place) {
        put(&mut self.config.http.routers, name, router, place);
    }

    pub(crate) fn service(&mut self, name: &str, service: ServiceConfig, place: &Place) {
        put(&mut self.config.http.services, name, service, place);
    }

    pub(crate) fn weighted(&mut self, name: &str, services: Vec<WeightedServiceConfig>, place: &Place) {
        let weighted = Some(WeightedConfig { services, ..WeightedConfig::default() });
        self.service(name, ServiceConfig { weighted, ..Default::default() }, place);
    }

    pub(crate) fn middleware(&mut self, name: &str, kind: &str, config: &Value, place: &Place) {
        let node = node(config, place);
        let digest = node.digest();
        let item = Item::new(MiddlewareConfig { kind: kind.to_owned(), node }, place.clone(), digest);
        self.config.http.middlewares.insert(name.to_owned(), Arc::new(item));
    }

    pub(crate) fn transport(&mut self, name: &str, transport: ServersTransportConfig, place: &Place) {
        // Keys do not print, and a new one is another transport.
        let keys: String = transport.certificates.iter().map(|c| c.key_file.expose()).collect();
        let digest = Node::plain(place.clone(), format!("{transport:?}{keys}")).digest();
        self.config.http.servers_transports.insert(name.to_owned(), Arc::new(Item::new(transport, place.clone(), digest)));
    }

    pub(crate) fn tls_options(&mut self, name: &str, options: TlsOptionsConfig, place: &Place) {
        put(&mut self.config.tls.options, name, options, place);
    }

    pub(crate) fn has_service(&self, name: &str) -> bool {
        self.config.http.services.contains_key(name)
    }

    pub(crate) fn tcp_router(&mut self, name: &str, router: TcpRouterConfig, place: &Place) {
        put(&mut self.config.tcp.routers, name, router, place);
    }

    pub(crate) fn tcp_service(&mut self, name: &str, service: TcpServiceConfig, place: &Place) {
        put(&mut self.config.tcp.services, name, service, place);
    }

    pub(crate) fn tcp_servers(&mut self, name: &str, servers: Vec<TcpServerConfig>, place: &Place) {
        let load_balancer = Some(TcpLoadBalancerConfig { servers, ..Default::default() });
        self.tcp_service(name, TcpServiceConfig { load_balancer, ..Default::default() }, place);
    }

    /// PEM texts.
    pub(crate) fn certificate(&mut self, cert: &str, key: &str, place: &Place) {
        let config = TlsCertificateConfig { cert_file: cert.to_owned(), key_file: Secret::new(key), stores: Vec::new() };
        let digest = Node::plain(place.clone(), format!("{cert}\n{key}")).digest();
        self.config.tls.certificates.push(Arc::new(Item::new(config, place.clone(), digest)));
    }

    pub(crate) fn finish(self, provider: &'static str) -> Document {
        Document { config: self.config, ..self.tree.finish(provider) }
    }
}

/// None of what is put here holds a secret: its digest is that of how it prints.
fn put<T: Debug>(items: &mut Items<T>, name: &str, config: T, place: &Place) {
    let digest = Node::plain(place.clone(), format!("{config:?}")).digest();
    items.insert(name.to_owned(), Arc::new(Item::new(config, place.clone(), digest)));
}
