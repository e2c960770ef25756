//! The configuration in the making.

use crate::tree::{Tree, node};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
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
    /// Kind, name and object of what was left out, with all that needs it.
    lost: BTreeSet<(&'static str, String, String)>,
}

const ROUTER: &str = "router";
const SERVICE: &str = "service";
const MIDDLEWARE: &str = "middleware";
const TRANSPORT: &str = "servers transport";
const TCP_SERVICE: &str = "TCP service";

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

    /// Whether it is there now: not without its service and middlewares, nor under a name that another object has.
    pub(crate) fn router(&mut self, name: &str, router: RouterConfig, place: &Place) -> bool {
        let service = router.service.iter().map(|s| (SERVICE, s.as_str()));
        let lost = self.are_lost(place, service.chain(router.middlewares.iter().map(|m| (MIDDLEWARE, m.as_str()))));
        self.put(ROUTER, |c| &mut c.http.routers, name, item(router, place), lost)
    }

    pub(crate) fn service(&mut self, name: &str, service: ServiceConfig, place: &Place) {
        let shares = service.weighted.iter().flat_map(|w| &w.services).map(|s| (SERVICE, s.name.as_str()));
        let transport = service.load_balancer.iter().filter_map(|l| Some((TRANSPORT, l.servers_transport.as_deref()?)));
        let middlewares = service.middlewares.iter().map(|m| (MIDDLEWARE, m.as_str()));
        let lost = self.are_lost(place, shares.chain(transport).chain(middlewares));
        self.put(SERVICE, |c| &mut c.http.services, name, item(service, place), lost);
    }

    pub(crate) fn weighted(&mut self, name: &str, services: Vec<WeightedServiceConfig>, place: &Place) {
        let weighted = Some(WeightedConfig { services, ..WeightedConfig::default() });
        self.service(name, ServiceConfig { weighted, ..Default::default() }, place);
    }

    pub(crate) fn middleware(&mut self, name: &str, kind: &str, config: &Value, place: &Place) {
        self.middleware_shown(name, kind, config, None, place);
    }

    /// A middleware in whose place another one is shown, for it has secrets in it.
    pub(crate) fn middleware_shown(&mut self, name: &str, kind: &str, config: &Value, shown: Option<&Value>, place: &Place) {
        let lost = self.are_lost(place, config["service"].as_str().map(|s| (SERVICE, s)).into_iter());
        let item = |config| {
            let node = node(config, place);
            let digest = node.digest();
            Item::new(MiddlewareConfig { kind: kind.to_owned(), node }, place.clone(), digest)
        };
        let shown = shown.map(|s| Arc::new(item(s)));
        let mut item = item(config);
        if let Some(shown) = shown {
            item.show(shown);
        }
        self.put(MIDDLEWARE, |c| &mut c.http.middlewares, name, item, lost);
    }

    pub(crate) fn transport(&mut self, name: &str, transport: ServersTransportConfig, place: &Place) {
        // Keys do not print, and a new one is another transport.
        let keys: String = transport.certificates.iter().map(|c| c.key_file.expose()).collect();
        let digest = Node::plain(place.clone(), format!("{transport:?}{keys}")).digest();
        let item = Item::new(transport, place.clone(), digest);
        self.put(TRANSPORT, |c| &mut c.http.servers_transports, name, item, false);
    }

    pub(crate) fn tls_options(&mut self, name: &str, options: TlsOptionsConfig, place: &Place) {
        self.put("TLS options", |c| &mut c.tls.options, name, item(options, place), false);
    }

    pub(crate) fn has_service(&self, name: &str) -> bool {
        self.config.http.services.contains_key(name)
    }

    /// As [`Made::router`].
    pub(crate) fn tcp_router(&mut self, name: &str, router: TcpRouterConfig, place: &Place) -> bool {
        let lost = self.are_lost(place, router.service.iter().map(|s| (TCP_SERVICE, s.as_str())));
        self.put("TCP router", |c| &mut c.tcp.routers, name, item(router, place), lost)
    }

    pub(crate) fn tcp_service(&mut self, name: &str, service: TcpServiceConfig, place: &Place) {
        let shares = service.weighted.iter().flat_map(|w| &w.services).map(|s| (TCP_SERVICE, s.name.as_str()));
        let lost = self.are_lost(place, shares);
        self.put(TCP_SERVICE, |c| &mut c.tcp.services, name, item(service, place), lost);
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

    /// Whether something of an object that is named here was left out. Names may have the provider's behind `@`.
    fn are_lost<'n>(&self, place: &Place, names: impl Iterator<Item = (&'static str, &'n str)>) -> bool {
        if self.lost.is_empty() {
            return false;
        }
        let owner = place.to_string();
        names.into_iter().any(|(kind, name)| {
            let name = name.split('@').next().unwrap_or_default();
            self.lost.contains(&(kind, name.to_owned(), owner.clone()))
        })
    }

    /// Puts `item` there, unless another object has put something else under the name: names are put together by `-`,
    /// so those of two objects may be alike, and what comes later must not change what is there.
    fn put<T>(
        &mut self,
        kind: &'static str,
        items: impl FnOnce(&mut RoutingConfig) -> &mut Items<T>,
        name: &str,
        item: Item<T>,
        lost: bool,
    ) -> bool {
        let items = items(&mut self.config);
        let place = item.place.clone();
        let there = items.get(name).filter(|there| there.place != place);
        match there {
            None if !lost => {
                items.insert(name.to_owned(), Arc::new(item));
                return true;
            }
            Some(there) if !lost && there.digest == item.digest => return true,
            Some(there) => {
                let why = format!("`{name}` is the name of a {kind} of {} too, which is older: rename one of them", there.place);
                self.tree.reject(&place, why);
            }
            // Why, has been told.
            None => {}
        }
        self.lost.insert((kind, name.to_owned(), place.to_string()));
        false
    }

    pub(crate) fn finish(self, provider: &'static str) -> Document {
        Document { config: self.config, ..self.tree.finish(provider) }
    }
}

/// None of what this is used for holds a secret: its digest is that of how it prints.
fn item<T: Debug>(config: T, place: &Place) -> Item<T> {
    let digest = Node::plain(place.clone(), format!("{config:?}")).digest();
    Item::new(config, place.clone(), digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_one_keeps_its_name() {
        let [first, later] = ["first", "later"].map(Place::whole);
        let mut made = Made::default();
        let router = |service: &str, middleware: &str| RouterConfig {
            service: Some(service.into()),
            middlewares: vec![middleware.into()],
            ..RouterConfig::default()
        };
        let prefix = |p: &str| json!({ "prefix": p });
        for place in [&first, &later] {
            made.middleware("same", "addPrefix", &prefix("/x"), place);
            made.middleware("m", "addPrefix", &prefix(&format!("/{place}")), place);
            made.transport("t", ServersTransportConfig { server_name: place.to_string(), ..Default::default() }, place);
            made.tcp_servers("tcp", vec![TcpServerConfig { address: place.to_string(), ..Default::default() }], place);
        }
        let lb = torana_config::routing::LoadBalancerConfig { servers_transport: Some("t@p".into()), ..Default::default() };
        made.service("s", ServiceConfig { load_balancer: Some(lb), ..Default::default() }, &later);
        made.weighted("w", vec![WeightedServiceConfig { name: "s".into(), ..Default::default() }], &later);
        assert!(made.router("r", router("x", "m"), &first));
        assert!(made.router("r", router("y", "m"), &first), "the own name may be taken again");
        assert!(!made.router("r", router("x", "same"), &later), "the name of another");
        assert!(!made.router("r2", router("x", "m@p"), &later), "without its middleware");
        assert!(!made.router("r3", router("w", "same"), &later), "a share has lost its transport");
        assert!(made.router("r4", router("x", "same"), &later), "what is the same may be shared");
        assert!(!made.tcp_router("tcp", TcpRouterConfig { service: Some("tcp".into()), ..Default::default() }, &later));
        let document = made.finish("p");
        let http = &document.config.http;
        assert_eq!(http.routers.keys().collect::<Vec<_>>(), ["r", "r4"]);
        assert_eq!(http.middlewares["m"].config.node.to_json(), prefix("/first"));
        assert_eq!(http.servers_transports["t"].config.server_name, "first");
        assert!(http.services.is_empty() && document.config.tcp.routers.is_empty());
        let [rejected] = document.objects.rejected.as_slice() else { panic!("{:?}", document.objects.rejected) };
        assert_eq!((rejected.name.as_str(), rejected.reasons.len()), ("later", 4), "{:?}", rejected.reasons);
        assert!(rejected.reasons[0].starts_with("`m` is the name of a middleware of first too"), "{:?}", rejected.reasons);
    }
}
