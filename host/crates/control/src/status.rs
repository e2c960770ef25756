//! What the API shows: every object with its state and errors, as of one snapshot.

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_base::Diagnostic;
use torana_config::routing::{Item, MiddlewareConfig, RouterConfig, RouterTlsConfig, ServiceConfig};
use torana_tls::Certificate;
use torana_upstream::LoadBalancer;

/// `disabled` objects are not served; objects with a `warning` are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    #[default]
    Enabled,
    Warning,
    Disabled,
}

#[derive(Clone, Debug)]
pub struct RouterStatus {
    /// `name@provider`
    pub name: Arc<str>,
    pub provider: Arc<str>,
    pub item: Arc<Item<RouterConfig>>,
    /// As resolved: 0 only of a router behind others that was not built.
    pub priority: i64,
    /// Qualified; those of the entry point first.
    pub middlewares: Vec<Arc<str>>,
    pub service: Arc<str>,
    /// Qualified; copies in place of routers that have several.
    pub parents: Vec<Arc<str>>,
    /// Its own, or else the entry point's.
    pub tls: Option<RouterTlsConfig>,
    /// As configured or by default, known or not.
    pub entry_points: Vec<Arc<str>>,
    /// Entry points that serve it; of a router behind others, those that lead to it.
    pub using: Vec<Arc<str>>,
    pub state: State,
    pub errors: Vec<String>,
}

pub struct ServiceStatus {
    pub name: Arc<str>,
    pub provider: Arc<str>,
    pub item: Arc<Item<ServiceConfig>>,
    pub state: State,
    pub errors: Vec<String>,
    /// For the state of its servers.
    pub balancer: Option<Arc<LoadBalancer>>,
    /// Qualified names of what it is made of, up to the first that cannot be used.
    pub children: Vec<Arc<str>>,
}

#[derive(Debug)]
pub struct MiddlewareStatus {
    pub name: Arc<str>,
    pub provider: Arc<str>,
    pub item: Arc<Item<MiddlewareConfig>>,
    /// Options with their defaults, `null` when they cannot be read.
    pub shown: serde_json::Value,
    pub state: State,
    pub errors: Vec<String>,
}

#[derive(Default)]
pub struct RuntimeStatus {
    pub generation: u64,
    pub routers: BTreeMap<Arc<str>, Arc<RouterStatus>>,
    pub services: BTreeMap<Arc<str>, Arc<ServiceStatus>>,
    pub middlewares: BTreeMap<Arc<str>, Arc<MiddlewareStatus>>,
    pub tcp: crate::TcpStatus,
    pub udp: crate::UdpStatus,
    /// What clients may be shown, without the one that Torana signs itself.
    pub certificates: Vec<Arc<Certificate>>,
    /// Everything that is wrong, in the order of the objects.
    pub diagnostics: Vec<Diagnostic>,
}

impl RuntimeStatus {
    /// Routers that use a service, by qualified name.
    pub fn routers_of_service<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Arc<str>> {
        self.routers.values().filter(move |r| &*r.service == service).map(|r| &r.name)
    }

    /// Routers that use a middleware, by qualified name.
    pub fn routers_of_middleware<'a>(&'a self, middleware: &'a str) -> impl Iterator<Item = &'a Arc<str>> {
        self.routers.values().filter(move |r| r.middlewares.iter().any(|m| &**m == middleware)).map(|r| &r.name)
    }
}
