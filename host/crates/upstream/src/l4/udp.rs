//! UDP services: which server gets a session.

use super::{HostPort, Rotor};
use std::sync::Arc;

/// Where the sessions of a router go.
#[derive(Clone)]
pub enum UdpService {
    LoadBalancer(Arc<UdpLoadBalancer>),
    Weighted(Arc<UdpWeighted>),
}

/// `loadBalancer`
pub struct UdpLoadBalancer {
    /// `name@provider`
    pub name: Arc<str>,
    pub servers: Vec<HostPort>,
    rotor: Rotor,
}

/// `weighted`
pub struct UdpWeighted {
    pub name: Arc<str>,
    pub children: Vec<UdpService>,
    rotor: Rotor,
}

impl UdpLoadBalancer {
    /// The caller shuffles the servers, as Traefik does.
    pub fn new(name: Arc<str>, servers: Vec<HostPort>) -> Self {
        let rotor = Rotor::new(servers.iter().map(|_| 1));
        UdpLoadBalancer { name, servers, rotor }
    }
}

impl UdpWeighted {
    pub fn new(name: Arc<str>, children: Vec<(UdpService, i64)>) -> Self {
        let rotor = Rotor::new(children.iter().map(|(_, weight)| *weight));
        UdpWeighted { name, children: children.into_iter().map(|(c, _)| c).collect(), rotor }
    }
}

impl UdpService {
    /// The server for a new session; `None` when there is none.
    pub fn pick(&self) -> Option<&HostPort> {
        match self {
            UdpService::LoadBalancer(lb) => lb.servers.get(lb.rotor.next()?),
            UdpService::Weighted(w) => w.children.get(w.rotor.next()?)?.pick(),
        }
    }

    /// Whether both are the same object.
    pub fn is_same(&self, other: &UdpService) -> bool {
        match (self, other) {
            (UdpService::LoadBalancer(a), UdpService::LoadBalancer(b)) => Arc::ptr_eq(a, b),
            (UdpService::Weighted(a), UdpService::Weighted(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}
