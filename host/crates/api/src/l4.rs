//! Objects of `tcp` and `udp` as rows and as JSON. Fields stand in Traefik's order; empty ones are left out.

use crate::query::{Key, Row, state_name};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_base::{qualify, unqualified};
use torana_config::routing::{TcpRouterTlsConfig, TcpServiceConfig, UdpServiceConfig};
use torana_control::{RuntimeStatus, State, TcpMiddlewareStatus, TcpRouterStatus, TcpServiceStatus, UdpRouterStatus, UdpServiceStatus};

/// Who uses what, counted once per generation. Holds names only: never what would keep a service alive.
#[derive(Default)]
pub(crate) struct L4Index {
    tcp: FxHashMap<Arc<str>, Vec<Arc<str>>>,
    udp: FxHashMap<Arc<str>, Vec<Arc<str>>>,
    /// TCP services that routers lead to: Traefik makes no others, and shows it.
    made: FxHashSet<Arc<str>>,
}

impl L4Index {
    pub(crate) fn new(status: &RuntimeStatus) -> Self {
        let mut index = L4Index::default();
        for router in status.tcp.routers.values().filter(|r| !r.service.is_empty()) {
            index.tcp.entry(router.service.clone()).or_default().push(router.object.name.clone());
            let mut next = if router.using.is_empty() { Vec::new() } else { vec![router.service.clone()] };
            while let Some(name) = next.pop() {
                if let Some(service) = status.tcp.services.get(&name)
                    && index.made.insert(name)
                {
                    next.extend(service.children.iter().cloned());
                }
            }
        }
        for router in status.udp.routers.values().filter(|r| !r.service.is_empty()) {
            index.udp.entry(router.service.clone()).or_default().push(router.object.name.clone());
        }
        index
    }

    /// Which TCP servers are up, of all that are shown.
    pub(crate) fn health(&self, status: &RuntimeStatus) -> Vec<bool> {
        let shown = status.tcp.services.values().filter(|s| self.made.contains(&s.object.name));
        shown.flat_map(|s| servers(s).map(|(_, up)| up)).collect()
    }

    pub(crate) fn tcp_router<'a>(&self, r: &'a TcpRouterStatus) -> TcpRouterView<'a> {
        let config = &r.object.item.config;
        let priority = shown_priority(r);
        TcpRouterView {
            entry_points: if config.entry_points.is_empty() {
                names(&r.entry_points)
            } else {
                config.entry_points.iter().map(String::as_str).collect()
            },
            middlewares: names(&r.middlewares),
            service: config.service.as_deref().unwrap_or_default(),
            rule: &config.rule,
            rule_syntax: &r.syntax,
            priority,
            tls: config.tls.as_ref(),
            error: &r.object.errors,
            status: r.object.state,
            using: names(&r.using),
            name: Some(&r.object.name),
            provider: Some(&r.object.provider),
            priority_str: Some(priority.to_string()),
        }
    }

    pub(crate) fn tcp_service<'a>(&'a self, s: &'a TcpServiceStatus) -> ServiceView<'a, TcpServiceConfig> {
        let made = self.made.contains(&s.object.name);
        let mut config = Cow::Borrowed(&s.object.item.config);
        let transport = config.load_balancer.as_ref().and_then(|l| l.servers_transport.as_deref());
        if let Some(qualified) = transport.filter(|t| made && !t.is_empty()).map(|t| qualify(t, &s.object.provider))
            && let Some(l) = &mut config.to_mut().load_balancer
        {
            l.servers_transport = Some(qualified);
        }
        let kind = kind(config.load_balancer.is_some(), config.weighted.is_some());
        let word = |(name, up)| (name, if up { "UP" } else { "DOWN" });
        ServiceView {
            config,
            error: &s.object.errors,
            status: s.object.state,
            used_by: self.tcp.get(&s.object.name).map_or(&[], Vec::as_slice),
            name: Some(&s.object.name),
            provider: Some(&s.object.provider),
            kind,
            server_status: if made { servers(s).map(word).collect() } else { BTreeMap::new() },
        }
    }

    pub(crate) fn udp_service<'a>(&'a self, s: &'a UdpServiceStatus) -> ServiceView<'a, UdpServiceConfig> {
        let config = &s.object.item.config;
        ServiceView {
            kind: kind(config.load_balancer.is_some(), config.weighted.is_some()),
            config: Cow::Borrowed(config),
            error: &s.object.errors,
            status: s.object.state,
            used_by: self.udp.get(&s.object.name).map_or(&[], Vec::as_slice),
            name: Some(&s.object.name),
            provider: Some(&s.object.provider),
            server_status: BTreeMap::new(),
        }
    }
}

/// Addresses of a service's servers, and whether they are up.
fn servers(service: &TcpServiceStatus) -> impl Iterator<Item = (&str, bool)> {
    service.balancer.iter().flat_map(|b| b.servers.iter().enumerate().map(|(i, s)| (s.name.as_str(), b.rotor.is_up(i))))
}

fn kind(load_balancer: bool, weighted: bool) -> &'static str {
    match (load_balancer, weighted) {
        (true, _) => "loadbalancer",
        (_, true) => "weighted",
        _ => "",
    }
}

/// Only what some entry point could serve has a priority that was not written.
fn shown_priority(r: &TcpRouterStatus) -> i64 {
    if r.using.is_empty() { r.object.item.config.priority } else { r.priority }
}

fn names(list: &[Arc<str>]) -> Vec<&str> {
    list.iter().map(|n| &**n).collect()
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// An element of `/api/tcp/routers`. Without name, provider and text of the priority in `/api/rawdata`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TcpRouterView<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entry_points: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    middlewares: Vec<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    service: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    rule: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    rule_syntax: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    priority: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'a TcpRouterTlsConfig>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    error: &'a [String],
    status: State,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    using: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority_str: Option<String>,
}

/// An element of `/api/tcp/services` or `/api/udp/services`. Without name, provider and type in `/api/rawdata`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceView<'a, C: Clone> {
    #[serde(flatten)]
    config: Cow<'a, C>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    error: &'a [String],
    status: State,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    used_by: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    kind: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    server_status: BTreeMap<&'a str, &'static str>,
}

/// An element of `/api/tcp/middlewares`. Traefik does not say who uses it.
#[derive(Serialize)]
pub(crate) struct TcpMiddlewareView<'a> {
    #[serde(flatten)]
    config: &'a serde_json::Value,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    error: &'a [String],
    status: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    kind: String,
}

pub(crate) fn tcp_middleware(m: &TcpMiddlewareStatus) -> TcpMiddlewareView<'_> {
    let (object, written) = (&m.object, &m.object.item.config);
    TcpMiddlewareView {
        config: &m.shown,
        error: &object.errors,
        status: object.state,
        name: Some(&object.name),
        provider: Some(&object.provider),
        // Of several kinds Traefik names the first.
        kind: written.others.first().map_or(&written.kind, |(kind, _)| kind).to_ascii_lowercase(),
    }
}

/// An element of `/api/udp/routers`. Without name and provider in `/api/rawdata`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UdpRouterView<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    entry_points: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    service: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    error: &'a [String],
    status: State,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    using: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
}

pub(crate) fn udp_router(r: &UdpRouterStatus) -> UdpRouterView<'_> {
    let config = &r.object.item.config;
    UdpRouterView {
        entry_points: &config.entry_points,
        service: config.service.as_deref().unwrap_or_default(),
        error: &r.object.errors,
        status: r.object.state,
        using: names(&r.using),
        name: Some(&r.object.name),
        provider: Some(&r.object.provider),
    }
}

type Views<'a, V> = BTreeMap<&'a str, V>;

/// What `/api/rawdata` has of `tcp` and `udp`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawL4<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tcp_routers: Views<'a, TcpRouterView<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tcp_middlewares: Views<'a, TcpMiddlewareView<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tcp_services: Views<'a, ServiceView<'a, TcpServiceConfig>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    udp_routers: Views<'a, UdpRouterView<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    udp_services: Views<'a, ServiceView<'a, UdpServiceConfig>>,
}

impl<'a> RawL4<'a> {
    pub(crate) fn new(status: &'a RuntimeStatus, index: &'a L4Index) -> Self {
        let mut raw = RawL4::default();
        for (name, r) in &status.tcp.routers {
            raw.tcp_routers.insert(name, TcpRouterView { name: None, provider: None, priority_str: None, ..index.tcp_router(r) });
        }
        for (name, m) in &status.tcp.middlewares {
            raw.tcp_middlewares.insert(name, TcpMiddlewareView { name: None, provider: None, kind: String::new(), ..tcp_middleware(m) });
        }
        for (name, s) in &status.tcp.services {
            raw.tcp_services.insert(name, ServiceView { name: None, provider: None, kind: "", ..index.tcp_service(s) });
        }
        for (name, r) in &status.udp.routers {
            raw.udp_routers.insert(name, UdpRouterView { name: None, provider: None, ..udp_router(r) });
        }
        for (name, s) in &status.udp.services {
            raw.udp_services.insert(name, ServiceView { name: None, provider: None, kind: "", ..index.udp_service(s) });
        }
        raw
    }
}

/// A service that is named without a provider fits any.
fn names_service(written: Option<&str>, asked: &str) -> bool {
    let service = written.unwrap_or_default();
    if service.contains('@') { service == asked } else { service == unqualified(asked) }
}

macro_rules! row {
    ($status:ty, $row:ident => $object:expr, { $($more:item)* }) => {
        impl Row for &$status {
            fn name(&self) -> &str {
                let $row = self;
                &$object.name
            }

            fn provider(&self) -> &str {
                let $row = self;
                &$object.provider
            }

            fn status(&self) -> &'static str {
                let $row = self;
                state_name($object.state)
            }

            $($more)*
        }
    };
}

row!(TcpRouterStatus, r => r.object, {
    fn is_found(&self, found: &dyn Fn(&str) -> bool) -> bool {
        found(self.name()) || found(&self.object.item.config.rule)
    }

    fn key(&self, by: &str) -> Option<Key<'_>> {
        let config = &self.object.item.config;
        match by {
            "priority" => Some(Key::Number(shown_priority(self))),
            "rule" => Some(Key::Text(&config.rule)),
            "service" => Some(Key::Text(config.service.as_deref().unwrap_or_default())),
            "entryPoints" => Some(Key::Number(self.entry_points.len() as i64)),
            _ => None,
        }
    }

    fn has_service(&self, name: &str) -> bool {
        names_service(self.object.item.config.service.as_deref(), name)
    }

    fn has_middleware(&self, name: &str) -> bool {
        self.middlewares.iter().any(|m| **m == *name)
    }
});

row!(TcpServiceStatus, s => s.object, {
    fn key(&self, by: &str) -> Option<Key<'_>> {
        let config = &self.object.item.config;
        match by {
            "type" => Some(Key::Text(kind(config.load_balancer.is_some(), config.weighted.is_some()))),
            "servers" => Some(Key::Number(config.load_balancer.as_ref().map_or(0, |l| l.servers.len() as i64))),
            _ => None,
        }
    }
});

row!(TcpMiddlewareStatus, m => m.object, {
    fn key(&self, by: &str) -> Option<Key<'_>> {
        (by == "type").then(|| Key::Folded(&self.object.item.config.kind))
    }
});

row!(UdpRouterStatus, r => r.object, {
    fn key(&self, by: &str) -> Option<Key<'_>> {
        let config = &self.object.item.config;
        match by {
            "service" => Some(Key::Text(config.service.as_deref().unwrap_or_default())),
            "entryPoints" => Some(Key::Number(config.entry_points.len() as i64)),
            _ => None,
        }
    }

    fn has_service(&self, name: &str) -> bool {
        names_service(self.object.item.config.service.as_deref(), name)
    }
});

row!(UdpServiceStatus, s => s.object, {
    fn key(&self, by: &str) -> Option<Key<'_>> {
        let config = &self.object.item.config;
        match by {
            "type" => Some(Key::Text(kind(config.load_balancer.is_some(), config.weighted.is_some()))),
            "servers" => Some(Key::Number(config.load_balancer.as_ref().map_or(0, |l| l.servers.len() as i64))),
            _ => None,
        }
    }
});
