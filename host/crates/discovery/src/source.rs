//! All items of one source to one document.

use crate::constraint::Constraint;
use crate::decode::{Decoded, decode};
use crate::item::{AddressWanted, Item};
use crate::merge::{Merge, Merged, Part};
use crate::rule::Rule;
use std::sync::Arc;
use torana_base::{Diagnostic, Objects, RejectedObject};
use torana_config::routing::{RoutingConfig, ServiceConfig, TcpServiceConfig, UdpServiceConfig};

/// A source of objects with labels, as configured, and what its objects said last.
#[derive(Debug)]
pub struct Source {
    /// Behind `@`, as in `docker`.
    pub provider: &'static str,
    /// `traefik`, unless configured otherwise; `torana.` is accepted beside it.
    pub prefix: String,
    /// Whether objects have tags, for messages.
    pub tags: bool,
    pub exposed_by_default: bool,
    pub allow_empty_services: bool,
    pub default_rule: Rule,
    pub constraints: Option<Constraint>,
    /// In the order of their origins.
    kept: Vec<Kept>,
    http: Merged<ServiceConfig>,
    tcp: Merged<TcpServiceConfig>,
    udp: Merged<UdpServiceConfig>,
}

/// An item as of the last build.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) item: Item,
    decoded: Arc<Decoded>,
}

/// What all items say together.
#[derive(Debug, Default)]
pub struct Found {
    pub config: RoutingConfig,
    pub diagnostics: Vec<Diagnostic>,
    pub objects: Objects,
}

impl Source {
    /// With Traefik's defaults: labels, all objects exposed, no empty services, no constraints.
    pub fn new(provider: &'static str, default_rule: Rule) -> Source {
        Source {
            provider,
            prefix: "traefik".to_owned(),
            tags: false,
            exposed_by_default: true,
            allow_empty_services: false,
            default_rule,
            constraints: None,
            kept: Vec::new(),
            http: Merged::default(),
            tcp: Merged::default(),
            udp: Merged::default(),
        }
    }

    /// One with the same options that has seen nothing yet.
    pub fn fresh(&self) -> Source {
        Source {
            provider: self.provider,
            prefix: self.prefix.clone(),
            tags: self.tags,
            exposed_by_default: self.exposed_by_default,
            allow_empty_services: self.allow_empty_services,
            default_rule: self.default_rule.clone(),
            constraints: self.constraints.clone(),
            kept: Vec::new(),
            http: Merged::default(),
            tcp: Merged::default(),
            udp: Merged::default(),
        }
    }

    /// The document of all `items`, which are all that there are. An item that has not changed since the last
    /// time is not read again, and objects of it are the same ones.
    pub fn build(&mut self, mut items: Vec<Item>) -> Found {
        items.sort_by(|a, b| a.origin.cmp(&b.origin));
        let mut before = std::mem::take(&mut self.kept).into_iter().peekable();
        let mut kept: Vec<Kept> = Vec::with_capacity(items.len());
        for item in items {
            while before.next_if(|k| k.item.origin < item.origin).is_some() {}
            let same = before.next_if(|k| k.item.origin == item.origin).filter(|k| k.is_of(&item));
            let decoded = same.map_or_else(|| Arc::new(decode(self, &item)), |k| k.decoded);
            kept.push(Kept { item, decoded });
        }
        let found = self.merge(&kept);
        self.kept = kept;
        found
    }

    fn merge(&mut self, all: &[Kept]) -> Found {
        let mut merge = Merge::new(all);
        let mut config = RoutingConfig::default();
        macro_rules! parts {
            ($($field:ident).+) => {
                all.iter().enumerate().flat_map(|(i, k)| k.decoded.config.$($field).+.iter().map(move |(name, object)| Part { name, of: i, object })).collect()
            };
        }
        config.http.routers = merge.equal("http.routers", parts!(http.routers));
        config.http.services = merge.services("http.services", parts!(http.services), &mut self.http);
        config.http.middlewares = merge.equal("http.middlewares", parts!(http.middlewares));
        config.http.servers_transports = merge.equal("http.serversTransports", parts!(http.servers_transports));
        config.tcp.routers = merge.equal("tcp.routers", parts!(tcp.routers));
        config.tcp.services = merge.services("tcp.services", parts!(tcp.services), &mut self.tcp);
        config.tcp.middlewares = merge.equal("tcp.middlewares", parts!(tcp.middlewares));
        config.udp.routers = merge.equal("udp.routers", parts!(udp.routers));
        config.udp.services = merge.services("udp.services", parts!(udp.services), &mut self.udp);
        config.tls.stores = merge.equal("tls.stores", parts!(tls.stores));
        for kept in all {
            config.rejected.extend(kept.decoded.config.rejected.iter().cloned());
        }
        let (mut diagnostics, mut conflicts) = merge.into_parts();
        let mut objects = Objects { seen: all.len(), rejected: Vec::new() };
        for (i, Kept { item, decoded }) in all.iter().enumerate() {
            diagnostics.extend(decoded.warnings.iter().cloned());
            let mut reasons = decoded.reasons.clone();
            reasons.extend(conflicts.remove(&i).unwrap_or_default());
            if !reasons.is_empty() {
                objects.rejected.push(RejectedObject { name: item.origin.clone(), reasons });
            }
        }
        Found { config, diagnostics, objects }
    }
}

impl Kept {
    /// Whether decoding `item` would give the same again.
    fn is_of(&self, item: &Item) -> bool {
        let mine = &self.item;
        let labels = Arc::ptr_eq(&mine.labels, &item.labels) || mine.labels == item.labels;
        let transport = match (&mine.transport, &item.transport) {
            (Some((a, x)), Some((b, y))) => a == b && (Arc::ptr_eq(x, y) || x == y),
            (None, None) => true,
            _ => false,
        };
        let facts =
            mine.state == item.state && mine.service_name == item.service_name && mine.tags == item.tags && mine.template == item.template;
        labels
            && transport
            && facts
            && self.decoded.answers.iter().all(|a| {
                let wanted = AddressWanted { port_label: a.port_label.as_deref(), protocol: a.protocol };
                (item.addresses)(&wanted) == a.answer
            })
    }
}
