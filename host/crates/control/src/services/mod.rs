//! Services by name, built once per compile and kept while neither they nor what they refer to change.

mod behind;
mod composite;
mod load_balancer;
mod plugin;
mod site;
#[cfg(test)]
mod tests;
mod transports;

pub(crate) use load_balancer::servers_come_and_go;
pub(crate) use transports::transport_problems;

use crate::internal::Internals;
use crate::resolve::{Inputs, Resolver, known, too_deep};
use behind::Behind;
use rustc_hash::FxHashMap;
use site::Site;
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_base::{Diagnostic, Keep, provider_of, qualify, unqualified};
use torana_config::routing::{Item, ServiceConfig};
use torana_extend::PluginHost;
use torana_http::Endpoint;
use torana_telemetry::metrics::Metrics;
use torana_upstream::balance::Balancer;
use torana_upstream::{LoadBalancer, ServerUrl, SpiffeSource, Target, Transport};

/// A service that can be used.
#[derive(Clone)]
pub(crate) struct Usable {
    pub endpoint: Arc<dyn Endpoint>,
    pub load_balancer: Option<Arc<LoadBalancer>>,
    /// What a service above may follow the health of; only where a health check is configured.
    pub health: Option<Arc<Balancer>>,
    /// Servers that nothing can reach.
    pub warnings: Arc<[Diagnostic]>,
}

struct Kept {
    /// Of the service, and of the version of the plugin that it uses.
    digest: u64,
    /// What it was built from: transport or children.
    transport: Option<Arc<Transport>>,
    children: Vec<Arc<dyn Endpoint>>,
    usable: Usable,
}

/// What outlives a compile.
#[derive(Default)]
pub(crate) struct Store {
    services: FxHashMap<Arc<str>, Kept>,
    behind: FxHashMap<Arc<str>, Arc<Behind>>,
    transports: FxHashMap<Arc<str>, (u64, Arc<Transport>)>,
    targets: Keep<(ServerUrl, usize), Target>,
    spiffe: Option<Arc<SpiffeSource>>,
}

impl Store {
    pub(crate) fn new(spiffe: Option<Arc<SpiffeSource>>) -> Self {
        Store { spiffe, ..Store::default() }
    }
}

pub(crate) type Outcome = Result<Usable, Vec<Diagnostic>>;

/// Services within one compile.
pub(crate) struct Services<'a> {
    inputs: &'a Inputs,
    internals: &'a Internals,
    plugins: &'a dyn PluginHost,
    metrics: Option<&'a Arc<Metrics>>,
    resolver: &'a Resolver<'a>,
    before: &'a mut Store,
    after: FxHashMap<Arc<str>, Kept>,
    behind: FxHashMap<Arc<str>, Arc<Behind>>,
    transports: FxHashMap<Arc<str>, (u64, Arc<Transport>)>,
    default_transport: Arc<Transport>,
    done: BTreeMap<Arc<str>, Outcome>,
    /// Parts of services, up to the first that cannot be used.
    parts: FxHashMap<Arc<str>, Vec<Arc<str>>>,
}

fn service_item<'a>(inputs: &'a Inputs, qualified: &str) -> Option<&'a Arc<Item<ServiceConfig>>> {
    inputs.get(provider_of(qualified))?.http.services.get(unqualified(qualified))
}

impl<'a> Services<'a> {
    pub(crate) fn new(
        inputs: &'a Inputs,
        internals: &'a Internals,
        plugins: &'a dyn PluginHost,
        metrics: Option<&'a Arc<Metrics>>,
        resolver: &'a Resolver<'a>,
        before: &'a mut Store,
        default_transport: Arc<Transport>,
    ) -> Self {
        Services {
            inputs,
            internals,
            plugins,
            metrics,
            resolver,
            before,
            after: FxHashMap::default(),
            behind: FxHashMap::default(),
            transports: FxHashMap::default(),
            default_transport,
            done: BTreeMap::new(),
            parts: FxHashMap::default(),
        }
    }

    /// Keeps what was used for the next compile; what is wrong with the transports, used or not.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        let mut wrong = Vec::new();
        for (provider, config) in self.inputs {
            for name in config.http.servers_transports.keys() {
                let _ = self.named_transport(&qualify(name, provider));
            }
        }
        for (name, (_, transport)) in &self.transports {
            let item = self.inputs.get(provider_of(name)).and_then(|c| c.http.servers_transports.get(unqualified(name)));
            let key = format!("http.serversTransports.{}", unqualified(name));
            let told = transport_problems(&key, transport);
            wrong.extend(told.zip(&transport.problems).map(|(d, p)| match item {
                Some(item) => item.conceal_in(d).at(&item.place_of(p.key)),
                None => d,
            }));
        }
        self.before.services = self.after;
        self.before.behind = self.behind;
        self.before.transports = self.transports;
        self.before.targets.sweep();
        wrong
    }

    /// A service by qualified name.
    pub(crate) fn service(&mut self, qualified: &str) -> Outcome {
        self.build(qualified, &mut Vec::new())
    }

    /// The parts of a service that was asked for before: as in Traefik those behind one that cannot be used are none.
    pub(crate) fn parts(&self, service: &str) -> Vec<Arc<str>> {
        self.parts.get(service).cloned().unwrap_or_default()
    }

    fn keep(&mut self, name: &Arc<str>, kept: Kept) {
        self.after.insert(name.clone(), kept);
    }

    fn build(&mut self, qualified: &str, above: &mut Vec<String>) -> Outcome {
        if let Some(done) = self.done.get(qualified) {
            return done.clone();
        }
        if provider_of(qualified) == "internal" {
            let name = unqualified(qualified);
            return match self.internals.get(name) {
                Some(e) => Ok(Usable { endpoint: e.clone(), load_balancer: None, health: None, warnings: Arc::default() }),
                None => Err(vec![internal_missing(name)]),
            };
        }
        if above.len() >= crate::resolve::MOST_LEVELS {
            return Err(vec![too_deep("services")]);
        }
        if above.iter().any(|a| a == qualified) {
            let round = above.iter().map(String::as_str).chain([qualified]).collect::<Vec<_>>().join(" -> ");
            return Err(vec![Diagnostic::error("", format!("services refer to each other in a circle: {round}"))]);
        }
        let Some(item) = service_item(self.inputs, qualified).cloned() else {
            let all: Vec<String> = self.inputs.iter().flat_map(|(p, c)| c.http.services.keys().map(move |n| qualify(n, p))).collect();
            return Err(vec![Diagnostic::error("", format!("unknown service `{qualified}`")).hint(known(qualified, &all, "services"))]);
        };
        let name: Arc<str> = qualified.into();
        let site = Site { name: &name, item: &item };
        above.push(qualified.to_owned());
        let outcome = self.build_new(site, above).and_then(|usable| self.behind_middlewares(site, usable, above));
        above.pop();
        self.done.insert(name, outcome.clone());
        outcome
    }

    fn build_new(&mut self, site: Site<'_>, above: &mut Vec<String>) -> Outcome {
        if site.item.has_errors() {
            return Err(site.item.diagnostics.clone());
        }
        let config = &site.item.config;
        // One of them: what has several is said to be wrong where it is read.
        if let Some(lb) = &config.load_balancer {
            return self.load_balancer(site, lb);
        }
        if let Some(weighted) = &config.weighted {
            return self.weighted(site, weighted, above);
        }
        if let Some(hashed) = &config.highest_random_weight {
            return self.highest_random_weight(site, hashed, above);
        }
        if let Some(mirroring) = &config.mirroring {
            return self.mirroring(site, mirroring, above);
        }
        if let Some(failover) = &config.failover {
            return self.failover(site, failover, above);
        }
        match &config.plugin {
            Some(plugin) => self.plugin_service(site, plugin),
            None => Err(vec![
                site.wrong("", "the service has no type").hint("add `loadBalancer` with `servers`, `weighted` with `services`, or another"),
            ]),
        }
    }
}

fn internal_missing(name: &str) -> Diagnostic {
    let d = Diagnostic::error("", format!("the internal service `{name}@internal` is not enabled"));
    match name {
        "api" => d.hint("add `api: {}` to the install configuration"),
        "dashboard" => d.hint("add `api: {}` to the install configuration, without `dashboard: false`"),
        "prometheus" => d.hint("add `metrics: {prometheus: {}}` to the install configuration"),
        "ping" | "ready" => d.hint("add `ping: {}` to the install configuration"),
        _ => d,
    }
}
