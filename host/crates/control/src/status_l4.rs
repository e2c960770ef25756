//! What the API shows of `tcp` and `udp`.

use crate::status::State;
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_config::routing::{Item, TcpMiddlewareConfig, TcpRouterConfig, TcpServiceConfig, UdpRouterConfig, UdpServiceConfig};
use torana_upstream::l4::TcpLoadBalancer;

/// What every object has; `C` is its configuration.
#[derive(Clone, Debug)]
pub struct ObjectStatus<C> {
    /// `name@provider`
    pub name: Arc<str>,
    pub provider: Arc<str>,
    pub item: Arc<Item<C>>,
    pub state: State,
    pub errors: Vec<String>,
}

#[derive(Clone)]
pub struct TcpRouterStatus {
    pub object: ObjectStatus<TcpRouterConfig>,
    /// As resolved; 0 only where nothing could be.
    pub priority: i64,
    /// Its own, or else the gateway's; empty where neither is set.
    pub syntax: String,
    /// Qualified.
    pub middlewares: Vec<Arc<str>>,
    /// Qualified; empty for none.
    pub service: Arc<str>,
    /// As configured or by default, known or not.
    pub entry_points: Vec<Arc<str>>,
    /// Entry points that exist, sorted; also of a router that is not served, as Traefik shows it.
    pub using: Vec<Arc<str>>,
}

pub struct TcpServiceStatus {
    pub object: ObjectStatus<TcpServiceConfig>,
    /// For the state of its servers.
    pub balancer: Option<Arc<TcpLoadBalancer>>,
    /// Qualified names of what it refers to.
    pub children: Vec<Arc<str>>,
}

pub struct TcpMiddlewareStatus {
    pub object: ObjectStatus<TcpMiddlewareConfig>,
    /// `{"<kind>": {...}}`, options with their defaults, or as written where they cannot be read.
    pub shown: serde_json::Value,
}

pub struct UdpRouterStatus {
    pub object: ObjectStatus<UdpRouterConfig>,
    /// Qualified; empty for none.
    pub service: Arc<str>,
    /// Entry points that exist, sorted.
    pub using: Vec<Arc<str>>,
}

pub struct UdpServiceStatus {
    pub object: ObjectStatus<UdpServiceConfig>,
    /// Qualified names of what it refers to.
    pub children: Vec<Arc<str>>,
}

type All<T> = BTreeMap<Arc<str>, Arc<T>>;

#[derive(Default)]
pub struct TcpStatus {
    pub routers: All<TcpRouterStatus>,
    pub services: All<TcpServiceStatus>,
    pub middlewares: All<TcpMiddlewareStatus>,
}

#[derive(Default)]
pub struct UdpStatus {
    pub routers: All<UdpRouterStatus>,
    pub services: All<UdpServiceStatus>,
}
