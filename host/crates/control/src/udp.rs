//! `udp` of all documents to what is served: one router for each entry point.

use crate::objects::judge;
use crate::references::{self, reason, unusable};
use crate::resolve::{Inputs, known};
use crate::status::{RuntimeStatus, State};
use crate::status_l4::{ObjectStatus, UdpRouterStatus, UdpServiceStatus};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_base::{Diagnostic, Severity, provider_of, qualify, unqualified};
use torana_config::install::{InstallConfig, Protocol};
use torana_config::routing::{Item, UdpRouterConfig, UdpServiceConfig};
use torana_dataplane::UdpRouter;
use torana_upstream::l4::{HostPort, UdpLoadBalancer, UdpService, UdpWeighted};

struct Kept {
    digest: u64,
    children: Vec<UdpService>,
    usable: Usable,
}

#[derive(Clone)]
struct Usable {
    service: UdpService,
    warnings: Arc<[Diagnostic]>,
}

type Outcome = Result<Usable, Vec<Diagnostic>>;

/// Compiles `udp`; keeps what does not change.
pub(crate) struct UdpCompiler {
    /// Names of the UDP entry points, sorted.
    entry_points: Vec<Arc<str>>,
    services: FxHashMap<Arc<str>, Kept>,
    /// By entry point.
    routers: FxHashMap<Arc<str>, Arc<UdpRouter>>,
}

impl UdpCompiler {
    pub(crate) fn new(install: &InstallConfig) -> Self {
        let udp = install.entry_points.iter().filter(|(_, e)| e.address.protocol == Protocol::Udp);
        UdpCompiler {
            entry_points: udp.map(|(n, _)| n.as_str().into()).collect(),
            services: FxHashMap::default(),
            routers: FxHashMap::default(),
        }
    }

    pub(crate) fn compile(&mut self, inputs: &Inputs, status: &mut RuntimeStatus) -> FxHashMap<Arc<str>, Arc<UdpRouter>> {
        let mut services = Services { inputs, before: &self.services, after: FxHashMap::default(), done: BTreeMap::new() };
        for (provider, config) in inputs {
            let provider: Arc<str> = (*provider).into();
            for (name, item) in &config.udp.services {
                let name: Arc<str> = qualify(name, &provider).into();
                let outcome = services.build(&name, &mut Vec::new());
                let (state, errors, wrong) = judge(&item.diagnostics, outcome.as_ref().err());
                status.diagnostics.extend(wrong);
                status.diagnostics.extend(outcome.iter().flat_map(|u| u.warnings.iter().cloned()));
                let children = item.config.weighted.iter().flat_map(|w| &w.services).map(|c| qualify(&c.name, &provider).into()).collect();
                let object = ObjectStatus { name: name.clone(), provider: provider.clone(), item: item.clone(), state, errors };
                status.udp.services.insert(name, Arc::new(UdpServiceStatus { object, children }));
            }
        }
        // Who could serve each entry point.
        let mut found: BTreeMap<Arc<str>, Vec<(Arc<str>, UdpService)>> = BTreeMap::new();
        for (provider, config) in inputs {
            let provider: Arc<str> = (*provider).into();
            for (name, item) in &config.udp.routers {
                let name: Arc<str> = qualify(name, &provider).into();
                let (router, service, mut wrong) = self.router(&mut services, &name, &provider, item);
                status.diagnostics.append(&mut wrong);
                for e in service.iter().flat_map(|_| &router.using) {
                    found.entry(e.clone()).or_default().extend(service.clone().map(|s| (name.clone(), s)));
                }
                status.udp.routers.insert(name, Arc::new(router));
            }
        }
        self.services = services.after;
        let mut routers = FxHashMap::default();
        for (entry_point, mut all) in found {
            all.sort_by(|a, b| b.0.cmp(&a.0));
            let mut all = all.into_iter();
            let Some((name, service)) = all.next() else { continue };
            for (other, _) in all {
                let text = format!("entry point `{entry_point}` has more than one UDP router: `{name}` serves it, this one does not");
                let d = Diagnostic::warning(format!("udp.routers.{}", unqualified(&other)), text).hint("leave one of them");
                let place = status.udp.routers.get(&other).map(|r| r.object.item.place.clone());
                status.diagnostics.push(Diagnostic { place, ..d });
            }
            let router = match self.routers.get(&entry_point) {
                Some(r) if r.name == name && r.service.is_same(&service) => r.clone(),
                _ => Arc::new(UdpRouter { name, service }),
            };
            routers.insert(entry_point, router);
        }
        self.routers.clone_from(&routers);
        routers
    }

    fn router(
        &self,
        services: &mut Services<'_>,
        name: &Arc<str>,
        provider: &Arc<str>,
        item: &Arc<Item<UdpRouterConfig>>,
    ) -> (UdpRouterStatus, Option<UdpService>, Vec<Diagnostic>) {
        let config = &item.config;
        let mut wrong = item.diagnostics.clone();
        let quote = |option: &str, message: String| {
            let key = format!("udp.routers.{}.{option}", unqualified(name));
            Diagnostic::error(key, message).at(&item.place_of(option))
        };
        // What is not said by another object is its own text.
        let at = |option: &str, message: String, hint: &str| quote(option, item.conceal(message)).hint(hint);
        let mut using: Vec<Arc<str>> = match config.entry_points.as_slice() {
            [] => self.entry_points.clone(),
            listed => self.entry_points.iter().filter(|e| listed.iter().any(|l| **l == ***e)).cloned().collect(),
        };
        using.dedup();
        if config.entry_points.is_empty() && !using.is_empty() {
            let text = format!("the router names no entryPoints: it serves all UDP ones: {}", using.join(", "));
            wrong.push(Diagnostic { severity: Severity::Warning, ..at("entryPoints", text, "name those that it is meant for") });
        }
        let all: Vec<String> = self.entry_points.iter().map(|e| e.to_string()).collect();
        for (i, e) in config.entry_points.iter().enumerate().filter(|(_, e)| !all.contains(e)) {
            let d = at(&format!("entryPoints[{i}]"), format!("entryPoint `{e}` does not exist"), &known(e, &all, "UDP entry points"));
            wrong.push(Diagnostic { severity: if using.is_empty() { Severity::Error } else { Severity::Warning }, ..d });
        }
        if using.is_empty() {
            wrong.push(at("entryPoints", "no valid entryPoint for this router".to_owned(), "name one of the UDP entry points"));
        }
        let service_name: Arc<str> = config.service.as_deref().map(|s| qualify(s, provider)).unwrap_or_default().into();
        let mut service = None;
        if service_name.is_empty() {
            wrong.push(at("service", "the service is missing on the udp router".to_owned(), "name one of udp.services"));
        } else {
            match services.build(&service_name, &mut Vec::new()) {
                Ok(usable) => service = Some(usable.service),
                Err(why) => {
                    let (text, hint) = unusable(item, "service", &service_name, why.into_iter().next());
                    wrong.push(Diagnostic { hint, ..quote("service", text) });
                }
            }
        }
        // A missing list of entry points is told, but nothing is wrong with the router.
        let told = wrong.iter().filter(|d| d.is_error() || !config.entry_points.is_empty());
        let errors: Vec<String> = told.map(|d| d.message.clone()).collect();
        let state = match (wrong.iter().any(Diagnostic::is_error), errors.is_empty()) {
            (true, _) => State::Disabled,
            (false, true) => State::Enabled,
            (false, false) => State::Warning,
        };
        let object = ObjectStatus { name: name.clone(), provider: provider.clone(), item: item.clone(), state, errors };
        (UdpRouterStatus { object, service: service_name, using }, service.filter(|_| state != State::Disabled), wrong)
    }
}

/// UDP services within one compile.
struct Services<'a> {
    inputs: &'a Inputs,
    before: &'a FxHashMap<Arc<str>, Kept>,
    after: FxHashMap<Arc<str>, Kept>,
    done: BTreeMap<Arc<str>, Outcome>,
}

impl Services<'_> {
    fn build(&mut self, qualified: &str, above: &mut Vec<String>) -> Outcome {
        if let Some(done) = self.done.get(qualified) {
            return done.clone();
        }
        if above.iter().any(|a| a == qualified) {
            let round = above.iter().map(String::as_str).chain([qualified]).collect::<Vec<_>>().join(" -> ");
            return Err(vec![Diagnostic::error("", format!("services refer to each other in a circle: {round}"))]);
        }
        let found = self.inputs.get(provider_of(qualified)).and_then(|c| c.udp.services.get(unqualified(qualified)));
        let Some(item) = found.cloned() else {
            let all: Vec<String> = self.inputs.iter().flat_map(|(p, c)| c.udp.services.keys().map(move |n| qualify(n, p))).collect();
            let d = Diagnostic::error("", format!("the UDP service `{qualified}` does not exist"));
            return Err(vec![d.hint(known(qualified, &all, "UDP services"))]);
        };
        above.push(qualified.to_owned());
        let outcome = self.build_new(&qualified.into(), &item, above);
        above.pop();
        self.done.insert(qualified.into(), outcome.clone());
        outcome
    }

    fn build_new(&mut self, name: &Arc<str>, item: &Item<UdpServiceConfig>, above: &mut Vec<String>) -> Outcome {
        if item.has_errors() {
            return Err(item.diagnostics.clone());
        }
        let quote = |option: &str, message: String| {
            Diagnostic::error(format!("udp.services.{}.{option}", unqualified(name)), message).at(&item.place_of(option))
        };
        let at = |option: &str, message: String| quote(option, item.conceal(message));
        let mut children = Vec::new();
        for (i, child) in item.config.weighted.iter().flat_map(|w| &w.services).enumerate() {
            let qualified = qualify(&child.name, provider_of(name));
            let usable = self.build(&qualified, above).map_err(|why| {
                let why = why.into_iter().next().map(|d| reason(item, d));
                let (text, hint) = why.unwrap_or_else(|| ("it is disabled".to_owned(), None));
                let text = format!("service {} cannot be used: {text}", references::name(item, &qualified));
                vec![Diagnostic { hint, ..quote(&format!("weighted.services[{i}].name"), text) }]
            })?;
            children.push(usable.service);
        }
        let same = |k: &&Kept| {
            k.digest == item.digest && k.children.len() == children.len() && k.children.iter().zip(&children).all(|(a, b)| a.is_same(b))
        };
        let usable = match (self.before.get(name).filter(same), &item.config.load_balancer, &item.config.weighted) {
            (Some(kept), ..) => kept.usable.clone(),
            (None, Some(lb), _) => {
                let (mut servers, mut warnings) = (Vec::<HostPort>::new(), Vec::new());
                for (i, s) in lb.servers.iter().enumerate() {
                    match s.address.parse() {
                        Ok(address) => servers.push(address),
                        Err(e) => {
                            let d = at(&format!("loadBalancer.servers[{i}].address"), format!("{e}: the server is left out"));
                            warnings.push(Diagnostic { severity: Severity::Warning, ..d }.hint("write `host:port`"));
                        }
                    }
                }
                fastrand::shuffle(&mut servers);
                let service = UdpService::LoadBalancer(Arc::new(UdpLoadBalancer::new(name.clone(), servers)));
                Usable { service, warnings: warnings.into() }
            }
            (None, None, Some(weighted)) => {
                let members = children.iter().cloned().zip(weighted.services.iter().map(|s| s.weight)).collect();
                Usable { service: UdpService::Weighted(Arc::new(UdpWeighted::new(name.clone(), members))), warnings: Arc::default() }
            }
            (None, None, None) => return Err(vec![at("", "the service has no type".to_owned()).hint("add `loadBalancer` or `weighted`")]),
        };
        self.after.insert(name.clone(), Kept { digest: item.digest, children, usable: usable.clone() });
        Ok(usable)
    }
}
