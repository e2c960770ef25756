//! What many items say of objects with one name: equal routers are one, services give their servers to one
//! another, and what contradicts itself is left out.

use crate::decode::{mixed, server_key};
use crate::source::Kept;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use torana_base::Diagnostic;
use torana_config::routing::{
    Item as Object, Items, LoadBalancerConfig, MiddlewareConfig, PluginUse, RouterConfig, ServersTransportConfig, ServiceConfig,
    TcpLoadBalancerConfig, TcpMiddlewareConfig, TcpRouterConfig, TcpServiceConfig, TlsStoreConfig, UdpRouterConfig, UdpServiceConfig,
};

/// Where the servers of a service are written.
const SERVERS: &str = "loadBalancer.servers";
/// Origins that one message names, at most.
const MAX_NAMED: usize = 5;

/// An object of one item.
pub(crate) struct Part<'a, T> {
    pub(crate) name: &'a str,
    /// Index of the item.
    pub(crate) of: usize,
    pub(crate) object: &'a Arc<Object<T>>,
}

/// Services that several items made together, with their parts: as long as these are the same, so is what was
/// made of them.
#[derive(Debug)]
pub(crate) struct Merged<T>(FxHashMap<String, (Parts<T>, Arc<Object<T>>)>);

type Parts<T> = Vec<Arc<Object<T>>>;

impl<T> Default for Merged<T> {
    fn default() -> Self {
        Merged(FxHashMap::default())
    }
}

/// Whether two objects say the same, wherever they stand.
pub(crate) trait Same {
    fn same(&self, other: &Self) -> bool;
}

macro_rules! same {
    ($($config:ty)*) => { $(impl Same for $config {
        fn same(&self, other: &Self) -> bool { self == other }
    })* };
}

same!(RouterConfig ServersTransportConfig TcpRouterConfig UdpRouterConfig TlsStoreConfig);

/// Trees know where they were written: what they mean is compared.
macro_rules! same_tree {
    ($($config:ty)*) => { $(impl Same for $config {
        fn same(&self, other: &Self) -> bool {
            self.kind == other.kind && serde_json::to_value(self).ok() == serde_json::to_value(other).ok()
        }
    })* };
}

same_tree!(MiddlewareConfig TcpMiddlewareConfig);

fn same_plugin(a: &Option<PluginUse>, b: &Option<PluginUse>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.name == b.name && a.config.digest() == b.config.digest(),
        (None, None) => true,
        _ => false,
    }
}

/// A service whose servers may come from several items.
pub(crate) trait Pooled: Clone + PartialEq + Send + Sync + 'static {
    /// Whether both are equal but for their servers, and have servers.
    fn agrees(&self, other: &Self) -> bool;
    /// All servers of `parts` in place of its own, each once; what they are goes into the digest.
    fn pool<'a>(&mut self, parts: impl Iterator<Item = &'a Self>) -> u64
    where
        Self: 'a;
    /// The servers of another one in place of its own.
    fn take_servers(&mut self, from: &Self);
}

pub(crate) struct Merge<'a> {
    all: &'a [Kept],
    diagnostics: Vec<Diagnostic>,
    /// By index of the item.
    conflicts: FxHashMap<usize, Vec<String>>,
}

impl<'a> Merge<'a> {
    pub(crate) fn new(all: &'a [Kept]) -> Self {
        Merge { all, diagnostics: Vec::new(), conflicts: FxHashMap::default() }
    }

    pub(crate) fn into_parts(self) -> (Vec<Diagnostic>, FxHashMap<usize, Vec<String>>) {
        (self.diagnostics, self.conflicts)
    }

    /// Objects that have to be equal wherever they have one name.
    pub(crate) fn equal<T: Same>(&mut self, section: &str, parts: Vec<Part<'a, T>>) -> Items<T> {
        self.grouped(section, parts, |group| {
            let first = group[0].object;
            // What stands for a number is nothing yet in what was read.
            let alike = |p: &Part<'a, T>| p.object.config.same(&first.config) && p.object.same_references(first, "");
            let same = |p: &Part<'a, T>| p.object.digest == first.digest || alike(p);
            group[1..].iter().all(same).then(|| first.clone())
        })
    }

    /// Services: equal but for their servers.
    pub(crate) fn services<T: Pooled>(&mut self, section: &str, parts: Vec<Part<'a, T>>, merged: &mut Merged<T>) -> Items<T> {
        let mut before = std::mem::take(&mut merged.0);
        let mut now = FxHashMap::default();
        let mut broken: Vec<(usize, String)> = Vec::new();
        let items = self.grouped(section, parts, |group| {
            let first = group[0].object;
            if group.len() == 1 {
                return Some(first.clone());
            }
            let agrees = |p: &Part<'a, T>| first.config.agrees(&p.object.config) && first.same_references(p.object, SERVERS);
            if !group[1..].iter().all(agrees) {
                return None;
            }
            let known = before.remove(group[0].name);
            let unchanged = |parts: &[Arc<Object<T>>]| {
                parts.len() == group.len() && parts.iter().zip(group).all(|(kept, p)| Arc::ptr_eq(kept, p.object))
            };
            let made = match known {
                Some((parts, made)) if unchanged(&parts) => made,
                _ => Arc::new(pooled(section, group)),
            };
            if !made.has_errors() {
                for part in group.iter().filter(|p| p.object.has_errors()) {
                    let why = part.object.diagnostics.iter().find(|d| d.is_error()).map_or("", |d| d.message.as_str());
                    broken.push((part.of, format!("service `{}`: {why}; its server is left out", part.name)));
                }
            }
            now.insert(group[0].name.to_owned(), (group.iter().map(|p| p.object.clone()).collect(), made.clone()));
            Some(made)
        });
        for (of, reason) in broken {
            self.conflicts.entry(of).or_default().push(reason);
        }
        merged.0 = now;
        items
    }

    fn grouped<T>(
        &mut self,
        section: &str,
        mut parts: Vec<Part<'a, T>>,
        mut one: impl FnMut(&[Part<'a, T>]) -> Option<Arc<Object<T>>>,
    ) -> Items<T> {
        // stable: in each group the items are in their order
        parts.sort_by(|a, b| a.name.cmp(b.name));
        let mut items = Vec::with_capacity(parts.len());
        for group in parts.chunk_by(|a, b| a.name == b.name) {
            match one(group) {
                Some(object) => items.push((group[0].name.to_owned(), object)),
                None => self.conflict(section, group),
            }
        }
        items.into_iter().collect()
    }

    fn conflict<T>(&mut self, section: &str, group: &[Part<'a, T>]) {
        let key = format!("{section}.{}", group[0].name);
        let mut origins: Vec<&str> = group.iter().take(MAX_NAMED).map(|p| self.all[p.of].item.origin.as_str()).collect();
        let more = group.len().saturating_sub(MAX_NAMED);
        let rest = format!("{more} more");
        if more > 0 {
            origins.push(&rest);
        }
        let message = format!("`{key}` is left out: it is not the same in {}", origins.join(", "));
        for part in group {
            self.conflicts.entry(part.of).or_default().push(message.clone());
        }
        let hint = "write the same everywhere, or give it different names";
        self.diagnostics.push(Diagnostic::error(key, message).at(&group[0].object.place).hint(hint));
    }
}

/// One service of all parts; those with mistakes of their own give no server, unless all have.
fn pooled<T: Pooled>(section: &str, group: &[Part<'_, T>]) -> Object<T> {
    // Servers are put together before references are followed: what one of them means is not known here.
    if let Some(part) = group.iter().find(|p| p.object.refers_in(SERVERS)) {
        let mut made = (**part.object).clone();
        let message =
            "an option of the server is written with a reference, which cannot be followed where several objects have one service";
        let d = Diagnostic::error(format!("{section}.{}.{SERVERS}", part.name), message).at(&made.place);
        let d = d.hint("write the value itself in all of them");
        made.complete(move |made| made.diagnostics.push(d.clone()));
        return made;
    }
    let first = group.iter().find(|p| !p.object.has_errors()).unwrap_or(&group[0]);
    let mut made = (**first.object).clone();
    let good = group.iter().filter(|p| first.object.has_errors() || !p.object.has_errors());
    let mut pool = made.config.clone();
    let servers = pool.pool(good.map(|p| &p.object.config));
    made.complete(move |made| {
        made.config.take_servers(&pool);
        made.digest = mixed(made.digest, &servers);
    });
    made
}

impl Pooled for ServiceConfig {
    fn take_servers(&mut self, from: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.load_balancer, &from.load_balancer) {
            mine.servers.clone_from(&theirs.servers);
        }
    }

    fn agrees(&self, other: &Self) -> bool {
        match (&self.load_balancer, &other.load_balancer) {
            (Some(a), Some(b)) => {
                let LoadBalancerConfig {
                    sticky,
                    servers: _,
                    strategy,
                    plugin,
                    health_check,
                    passive_health_check,
                    pass_host_header,
                    response_forwarding,
                    servers_transport,
                    redispatch,
                    nginx_upstream_hash_by,
                } = a;
                *sticky == b.sticky
                    && *strategy == b.strategy
                    && same_plugin(plugin, &b.plugin)
                    && *health_check == b.health_check
                    && *passive_health_check == b.passive_health_check
                    && *pass_host_header == b.pass_host_header
                    && *response_forwarding == b.response_forwarding
                    && *servers_transport == b.servers_transport
                    && *redispatch == b.redispatch
                    && *nginx_upstream_hash_by == b.nginx_upstream_hash_by
                    && self.middlewares == other.middlewares
            }
            (None, None) => {
                same_plugin(&self.plugin, &other.plugin)
                    && self.weighted == other.weighted
                    && self.highest_random_weight == other.highest_random_weight
                    && self.mirroring == other.mirroring
                    && self.failover == other.failover
            }
            _ => false,
        }
    }

    fn pool<'a>(&mut self, parts: impl Iterator<Item = &'a Self>) -> u64 {
        let mut seen = FxHashSet::default();
        let servers = parts.filter_map(|p| p.load_balancer.as_ref()).flat_map(|b| &b.servers);
        let servers: Vec<_> = servers.filter(|s| seen.insert(s.url.as_str())).cloned().collect();
        let digest = mixed(0, &servers.iter().map(server_key).collect::<Vec<_>>());
        if let Some(balancer) = &mut self.load_balancer {
            balancer.servers = servers;
        }
        digest
    }
}

impl Pooled for TcpServiceConfig {
    fn take_servers(&mut self, from: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.load_balancer, &from.load_balancer) {
            mine.servers.clone_from(&theirs.servers);
        }
    }

    fn agrees(&self, other: &Self) -> bool {
        match (&self.load_balancer, &other.load_balancer) {
            (Some(a), Some(b)) => {
                let TcpLoadBalancerConfig { servers: _, servers_transport, proxy_protocol, termination_delay, health_check, redispatch } =
                    a;
                *servers_transport == b.servers_transport
                    && *proxy_protocol == b.proxy_protocol
                    && *termination_delay == b.termination_delay
                    && *health_check == b.health_check
                    && *redispatch == b.redispatch
            }
            _ => self == other,
        }
    }

    fn pool<'a>(&mut self, parts: impl Iterator<Item = &'a Self>) -> u64 {
        let mut seen = FxHashSet::default();
        let servers = parts.filter_map(|p| p.load_balancer.as_ref()).flat_map(|b| &b.servers);
        let servers: Vec<_> = servers.filter(|s| seen.insert(s.address.as_str())).cloned().collect();
        let digest = mixed(0, &servers.iter().map(|s| (s.address.as_str(), s.tls)).collect::<Vec<_>>());
        if let Some(balancer) = &mut self.load_balancer {
            balancer.servers = servers;
        }
        digest
    }
}

impl Pooled for UdpServiceConfig {
    fn take_servers(&mut self, from: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.load_balancer, &from.load_balancer) {
            mine.servers.clone_from(&theirs.servers);
        }
    }

    fn agrees(&self, other: &Self) -> bool {
        self.load_balancer.is_some() && other.load_balancer.is_some() || self == other
    }

    fn pool<'a>(&mut self, parts: impl Iterator<Item = &'a Self>) -> u64 {
        let mut seen = FxHashSet::default();
        let servers = parts.filter_map(|p| p.load_balancer.as_ref()).flat_map(|b| &b.servers);
        let servers: Vec<_> = servers.filter(|s| seen.insert(s.address.as_str())).cloned().collect();
        let digest = mixed(0, &servers.iter().map(|s| s.address.as_str()).collect::<Vec<_>>());
        if let Some(balancer) = &mut self.load_balancer {
            balancer.servers = servers;
        }
        digest
    }
}
