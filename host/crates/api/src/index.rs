//! Who uses what, counted once per generation.

use crate::certificates::{self, Known};
use crate::l4::L4Index;
use crate::list::internal_services;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use torana_base::qualify;
use torana_config::install::{InstallConfig, Protocol};
use torana_control::{RouterStatus, RuntimeStatus, ServiceStatus, State};

/// The highest priority that a user may give.
const MAX_USER_PRIORITY: i64 = i64::MAX - 1000;

type Users = FxHashMap<Arc<str>, Vec<Arc<str>>>;

/// Holds names only: never what would keep a service alive.
pub(crate) struct Index {
    pub(crate) generation: u64,
    /// Services of the gateway itself, sorted.
    pub(crate) internal: Vec<&'static str>,
    services: Users,
    middlewares: Users,
    /// Services and chains that routers lead to: Traefik makes no others, and shows it.
    made: FxHashSet<Arc<str>>,
    chains: FxHashSet<Arc<str>>,
    pub(crate) l4: L4Index,
    pub(crate) certificates: Vec<Known>,
}

impl Index {
    pub(crate) fn new(status: &RuntimeStatus, install: &InstallConfig) -> Self {
        let mut index = Index {
            generation: status.generation,
            internal: internal_services(install).filter(|n| !status.services.contains_key(*n)).collect(),
            services: Users::default(),
            middlewares: Users::default(),
            made: FxHashSet::default(),
            chains: FxHashSet::default(),
            l4: L4Index::new(status),
            certificates: certificates::known(&status.certificates),
        };
        for router in status.routers.values() {
            index.services.entry(router.service.clone()).or_default().push(router.name.clone());
            for m in &router.middlewares {
                index.middlewares.entry(m.clone()).or_default().push(router.name.clone());
            }
            let allowed = router.priority <= MAX_USER_PRIORITY || &*router.provider == "internal";
            let behind = !router.parents.is_empty() && !router.using.is_empty();
            if behind || allowed && using(router, install).next().is_some() {
                index.follow(router, status);
            }
        }
        index
    }

    /// Notes what a router leads to. Its middlewares come after its service, if that works.
    fn follow(&mut self, router: &RouterStatus, status: &RuntimeStatus) {
        self.follow_service(router.service.clone(), status);
        if status.services.get(&router.service).is_some_and(|s| s.state == State::Disabled) {
            return;
        }
        let mut next = router.middlewares.clone();
        while let Some(name) = next.pop() {
            let Some(middleware) = status.middlewares.get(&name) else { continue };
            match middleware.item.config.kind.as_str() {
                "chain" if self.chains.insert(name) => {
                    let members = middleware.shown["middlewares"].as_array().into_iter().flatten().filter_map(|m| m.as_str());
                    next.extend(members.map(|m| qualify(m, &middleware.provider).into()));
                }
                "errors" => {
                    let service = middleware.shown["service"].as_str().unwrap_or_default();
                    self.follow_service(qualify(service, &middleware.provider).into(), status);
                }
                _ => {}
            }
        }
    }

    fn follow_service(&mut self, name: Arc<str>, status: &RuntimeStatus) {
        let mut next = vec![name];
        while let Some(name) = next.pop() {
            if let Some(service) = status.services.get(&name)
                && self.made.insert(name)
            {
                next.extend(service.children.iter().cloned());
            }
        }
    }

    /// Routers with this service, sorted.
    pub(crate) fn users_of_service(&self, name: &str) -> &[Arc<str>] {
        self.services.get(name).map_or(&[], Vec::as_slice)
    }

    /// Routers with this middleware, sorted, as often as they have it.
    pub(crate) fn users_of_middleware(&self, name: &str) -> &[Arc<str>] {
        self.middlewares.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn is_made(&self, service: &str) -> bool {
        self.made.contains(service)
    }

    pub(crate) fn is_made_chain(&self, middleware: &str) -> bool {
        self.chains.contains(middleware)
    }

    /// Which servers are up, of all that are shown.
    pub(crate) fn health(&self, status: &RuntimeStatus) -> Vec<bool> {
        let shown = status.services.values().filter(|s| self.is_made(&s.name));
        shown.flat_map(|s| servers(s).map(|(_, up)| up)).chain(self.l4.health(status)).collect()
    }
}

/// URLs of a service's servers, and whether they are up, by what the active health check has found.
pub(crate) fn servers(service: &ServiceStatus) -> impl Iterator<Item = (&str, bool)> {
    service.balancer.iter().flat_map(|b| b.servers.iter().enumerate().map(|(i, s)| (&*s.url, b.found_up(i) != Some(false))))
}

/// Entry points of a router that exist; also of a router that is not served.
pub(crate) fn using<'a>(router: &'a RouterStatus, install: &InstallConfig) -> impl Iterator<Item = &'a str> {
    let exists = |n: &&str| install.entry_points.get(*n).is_some_and(|e| e.address.protocol == Protocol::Tcp);
    router.entry_points.iter().map(|n| &**n).filter(exists)
}
