//! TCP services: which server gets a connection.

use super::health::{self, TcpHealthCheck};
use super::{HostPort, Rotor, TcpTransport};
use std::sync::{Arc, Mutex, PoisonError};

/// Where the connections of a router go.
#[derive(Clone)]
pub enum TcpService {
    LoadBalancer(Arc<TcpLoadBalancer>),
    Weighted(Arc<TcpWeighted>),
}

/// A server of a load balancer.
pub struct TcpServer {
    /// As configured: its name in the API and the log.
    pub name: String,
    pub address: HostPort,
    /// Speak TLS to it.
    pub tls: bool,
    /// A connection that it does not accept goes to another server.
    pub redispatch: bool,
    pub transport: Arc<TcpTransport>,
}

/// `loadBalancer`
pub struct TcpLoadBalancer {
    /// `name@provider`
    pub name: Arc<str>,
    pub servers: Vec<TcpServer>,
    /// Over `servers`, in the order given: the caller shuffles, as Traefik does.
    pub rotor: Rotor,
    pub health: Option<TcpHealthCheck>,
    /// Ends the health check when no snapshot holds this service any more.
    checking: Mutex<Option<tokio::task::AbortHandle>>,
}

/// `weighted`
pub struct TcpWeighted {
    pub name: Arc<str>,
    pub children: Vec<TcpService>,
    pub rotor: Rotor,
    /// Leaves children out that have no server up (`weighted.healthCheck`).
    pub watches: bool,
}

impl TcpService {
    /// The server for a new connection; `None` when there is none.
    pub fn pick(&self) -> Option<&TcpServer> {
        match self {
            TcpService::LoadBalancer(lb) => lb.servers.get(lb.rotor.next()?),
            TcpService::Weighted(w) => {
                w.look();
                w.children.get(w.rotor.next()?)?.pick()
            }
        }
    }

    /// Whether any server is up.
    pub fn is_up(&self) -> bool {
        match self {
            TcpService::LoadBalancer(lb) => lb.rotor.any_up(),
            TcpService::Weighted(w) => {
                w.look();
                w.rotor.any_up()
            }
        }
    }

    /// Whether it knows the health of its servers, which `weighted.healthCheck` above it asks for.
    pub fn checks_health(&self) -> bool {
        match self {
            TcpService::LoadBalancer(lb) => lb.health.is_some(),
            TcpService::Weighted(w) => w.watches,
        }
    }

    /// Whether both are the same object.
    pub fn is_same(&self, other: &TcpService) -> bool {
        match (self, other) {
            (TcpService::LoadBalancer(a), TcpService::LoadBalancer(b)) => Arc::ptr_eq(a, b),
            (TcpService::Weighted(a), TcpService::Weighted(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl TcpWeighted {
    pub fn new(name: Arc<str>, children: Vec<(TcpService, i64)>, watches: bool) -> Self {
        let rotor = Rotor::new(children.iter().map(|(_, weight)| *weight));
        TcpWeighted { name, children: children.into_iter().map(|(c, _)| c).collect(), rotor, watches }
    }

    /// Takes the health of the children over; only a change costs more than a few loads.
    fn look(&self) {
        if self.watches {
            self.children.iter().enumerate().for_each(|(i, child)| _ = self.rotor.set_up(i, child.is_up()));
        }
    }
}

impl TcpLoadBalancer {
    pub fn new(name: Arc<str>, servers: Vec<TcpServer>, health: Option<TcpHealthCheck>) -> Self {
        let rotor = Rotor::new(servers.iter().map(|_| 1));
        TcpLoadBalancer { name, servers, rotor, health, checking: Mutex::default() }
    }

    /// Starts the health check, once, on the current thread's local runtime.
    pub fn activate(self: &Arc<Self>) {
        let mut checking = self.checking.lock().unwrap_or_else(PoisonError::into_inner);
        if self.health.is_some() && checking.is_none() {
            *checking = Some(tokio::task::spawn_local(health::run(Arc::downgrade(self))).abort_handle());
        }
    }

    /// Ends the health check; what is known of the servers stays.
    pub fn deactivate(&self) {
        if let Some(task) = self.checking.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Drop for TcpLoadBalancer {
    fn drop(&mut self) {
        self.deactivate();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use torana_config::routing::TcpServersTransportConfig;

    fn balancer(name: &str, addresses: &[&str], checked: bool) -> TcpService {
        let transport = Arc::new(TcpTransport::build(&TcpServersTransportConfig::default()).unwrap());
        let server = |a: &&str| TcpServer {
            name: (*a).into(),
            address: a.parse().unwrap(),
            tls: false,
            redispatch: false,
            transport: transport.clone(),
        };
        let second = Duration::from_secs(1);
        let health = checked.then(|| TcpHealthCheck {
            port: 0,
            send: String::new(),
            expect: String::new(),
            interval: second,
            unhealthy_interval: second,
            timeout: second,
        });
        TcpService::LoadBalancer(Arc::new(TcpLoadBalancer::new(name.into(), addresses.iter().map(server).collect(), health)))
    }

    fn picked(service: &TcpService, n: usize) -> Vec<&str> {
        (0..n).map(|_| service.pick().map_or("", |s| s.name.as_str())).collect()
    }

    #[test]
    fn weighted_services_go_by_weight_and_watch_health_if_told() {
        let (a, b) = (balancer("a", &["a:1", "a:2"], true), balancer("b", &["b:1"], true));
        let w = TcpService::Weighted(Arc::new(TcpWeighted::new("w".into(), vec![(a.clone(), 2), (b.clone(), 1)], true)));
        assert_eq!(picked(&w, 6), ["a:1", "a:2", "b:1", "a:1", "a:2", "b:1"]);
        let TcpService::LoadBalancer(lb) = &b else { panic!() };
        lb.rotor.set_up(0, false);
        assert_eq!(picked(&w, 2), ["a:1", "a:2"]);
        assert!(w.is_up() && w.checks_health() && !b.is_up());
        let TcpService::LoadBalancer(la) = &a else { panic!() };
        la.rotor.set_up(0, false);
        assert_eq!(picked(&w, 2), ["a:2", "a:2"]);
        la.rotor.set_up(1, false);
        assert!(w.pick().is_none() && !w.is_up());
        lb.rotor.set_up(0, true);
        assert_eq!(picked(&w, 2), ["b:1", "b:1"]);
        // One that does not watch sends connections where nobody answers.
        let w = TcpService::Weighted(Arc::new(TcpWeighted::new("w".into(), vec![(a, 1), (b, 1)], false)));
        assert_eq!(picked(&w, 2), ["", "b:1"]);
        assert!(!w.checks_health());
    }
}
