//! `tcp` of all documents to what is served.

use crate::expand::Models;
use crate::objects::{deprecated_syntax, judge};
use crate::resolve::{Inputs, known, own};
use crate::status::{RuntimeStatus, State};
use crate::status_l4::{ObjectStatus, TcpMiddlewareStatus, TcpRouterStatus, TcpServiceStatus, TcpStatus};
use crate::tcp_router::Build;
use crate::tcp_services::{TcpServiceStore, TcpServices};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use torana_base::{Diagnostic, provider_of, qualify, unqualified};
use torana_config::install::InstallConfig;
use torana_config::routing::{Item, TcpMiddlewareConfig, TcpRouterConfig};
use torana_dataplane::{TcpEntryPoints, TcpRouter, TcpRoutes, TcpTls};
use torana_extend::TcpMiddlewareKind;
use torana_http::TcpFilter;
use torana_router::{CompiledTcpRule, TcpRoute, TcpTable};
use torana_upstream::SpiffeSource;
use torana_upstream::l4::{TcpLoadBalancer, TcpService};

/// Looks a row of the registry of TCP middlewares up.
pub type TcpKinds = fn(&str) -> Option<&'static TcpMiddlewareKind>;

/// Health checks to start once the snapshot is visible, and those to end: nobody uses their services (any more).
#[derive(Default)]
pub struct TcpChecks {
    activate: Vec<Arc<TcpLoadBalancer>>,
    rest: Vec<Arc<TcpLoadBalancer>>,
}

impl TcpChecks {
    /// Must run on a local runtime: the checks live there.
    pub fn apply(self) {
        self.activate.iter().for_each(TcpLoadBalancer::activate);
        self.rest.iter().for_each(|s| s.deactivate());
    }
}

/// A router of the last compile.
#[derive(Clone)]
pub(crate) struct KeptRouter {
    pub digest: u64,
    pub rule: Arc<CompiledTcpRule>,
    pub priority: i64,
    /// By entry point.
    pub placed: Vec<(Arc<str>, Arc<TcpRouter>)>,
    pub status: Arc<TcpRouterStatus>,
    /// Nothing is wrong with it and no middleware is involved: only its service can make it another.
    pub plain: bool,
}

impl KeptRouter {
    /// The router as it was, if nothing that it depends on has changed.
    fn unchanged(&self, item: &Arc<Item<TcpRouterConfig>>, services: &mut TcpServices<'_>, cx: &TcpCx<'_>) -> Option<KeptRouter> {
        let target = &self.placed.first().filter(|_| self.plain && self.digest == item.digest)?.1;
        let options = match &target.tls {
            TcpTls::Terminate { options } => &**options,
            _ => "default",
        };
        let service = services.service(&self.status.service).ok()?.service;
        if !service.is_same(&target.service) || options != "default" && !(cx.tls_options)(options) {
            return None;
        }
        let mut kept = self.clone();
        if !Arc::ptr_eq(&self.status.object.item, item) {
            // The same text on other lines.
            kept.status = Arc::new(TcpRouterStatus {
                object: ObjectStatus { item: item.clone(), ..self.status.object.clone() },
                ..(*self.status).clone()
            });
        }
        Some(kept)
    }
}

/// A middleware's own state belongs to a router on an entry point.
pub(crate) type FilterSlot = (Arc<str>, Arc<str>, Arc<str>);
pub(crate) type Filters = FxHashMap<FilterSlot, (u64, Arc<dyn TcpFilter>)>;

type Routes = Vec<TcpRoute<Arc<TcpRouter>>>;

/// Compiles `tcp`; keeps what does not change.
pub(crate) struct TcpCompiler {
    kinds: TcpKinds,
    services: TcpServiceStore,
    /// By provider and unqualified name.
    routers: FxHashMap<&'static str, FxHashMap<String, KeptRouter>>,
    filters: Filters,
}

/// What the compile of `tcp` needs of the others.
pub(crate) struct TcpCx<'a> {
    pub inputs: &'a Inputs,
    pub models: &'a Models,
    pub ranks: &'a FxHashMap<String, u32>,
    /// Whether there are TLS options of this qualified name; `default` always exists. A router with others is disabled,
    /// but stays in the table: its connections find no options, and are closed.
    pub tls_options: &'a dyn Fn(&str) -> bool,
}

impl TcpCompiler {
    pub(crate) fn new(install: &InstallConfig, kinds: TcpKinds, spiffe: Option<Arc<SpiffeSource>>) -> Result<Self, Diagnostic> {
        let services = TcpServiceStore::new(install.tcp_servers_transport.transport(), spiffe)?;
        Ok(TcpCompiler { kinds, services, routers: FxHashMap::default(), filters: Filters::default() })
    }

    pub(crate) fn compile(&mut self, cx: &TcpCx<'_>, status: &mut RuntimeStatus) -> (TcpEntryPoints, TcpChecks) {
        let mut services = TcpServices::new(cx.inputs, &mut self.services);
        for (provider, config) in cx.inputs {
            let provider: Arc<str> = (*provider).into();
            for (name, item) in &config.tcp.services {
                let name: Arc<str> = qualify(name, &provider).into();
                let outcome = services.service(&name);
                let (state, errors, wrong) = judge(&item.diagnostics, outcome.as_ref().err());
                status.diagnostics.extend(wrong);
                status.diagnostics.extend(outcome.iter().flat_map(|u| u.warnings.iter().cloned()));
                let balancer = match outcome.map(|u| u.service) {
                    Ok(TcpService::LoadBalancer(lb)) => Some(lb),
                    _ => None,
                };
                let children = item.config.weighted.iter().flat_map(|w| &w.services).map(|c| qualify(&c.name, &provider).into()).collect();
                let object = ObjectStatus { name: name.clone(), provider: provider.clone(), item: item.clone(), state, errors };
                status.tcp.services.insert(name, Arc::new(TcpServiceStatus { object, balancer, children }));
            }
            for (name, item) in &config.tcp.middlewares {
                let name: Arc<str> = qualify(name, &provider).into();
                // Built for nobody, to know whether it can be.
                let built = filter(cx.inputs, self.kinds, &name);
                let (state, errors, wrong) = judge(&item.diagnostics, built.as_ref().err());
                status.diagnostics.extend(wrong);
                let object = ObjectStatus { name: name.clone(), provider: provider.clone(), item: item.clone(), state, errors };
                status.tcp.middlewares.insert(name, Arc::new(TcpMiddlewareStatus { object, shown: shown(&item.config, self.kinds) }));
            }
        }
        let mut routes: FxHashMap<Arc<str>, [Routes; 2]> = FxHashMap::default();
        let (mut kept, mut filters) = (FxHashMap::default(), Filters::default());
        let mut statuses = Vec::new();
        for (provider, config) in cx.inputs {
            let rank = cx.ranks.get(*provider).copied().unwrap_or(u32::MAX);
            let before = self.routers.get(provider);
            let kept: &mut FxHashMap<String, KeptRouter> = kept.entry(*provider).or_default();
            let provider: Arc<str> = (*provider).into();
            for (name, item) in &config.tcp.routers {
                status.diagnostics.extend(deprecated_syntax("tcp", name, item, item.config.rule_syntax.as_deref()));
                let before = before.and_then(|b| b.get(name));
                let made = match before.and_then(|b| b.unchanged(item, &mut services, cx)) {
                    Some(made) => made,
                    None => {
                        let mut build = Build {
                            cx,
                            kinds: self.kinds,
                            services: &mut services,
                            before_filters: &self.filters,
                            filters: &mut filters,
                            before: before.filter(|b| b.digest == item.digest),
                            placed_before: before.map_or(&[], |b| &b.placed),
                            name: qualify(name, &provider).into(),
                            provider: &provider,
                            item,
                            errors: item.diagnostics.clone(),
                        };
                        let (router, made) = build.run();
                        status.diagnostics.append(&mut build.errors);
                        let Some(made) = made else {
                            statuses.push((router.object.name.clone(), router));
                            continue;
                        };
                        made
                    }
                };
                for (entry_point, target) in &made.placed {
                    let route = TcpRoute {
                        rule: made.rule.clone(),
                        priority: made.priority,
                        rank,
                        name: target.name.clone(),
                        target: target.clone(),
                    };
                    let side = usize::from(target.tls != TcpTls::None);
                    match routes.get_mut(entry_point) {
                        Some(both) => both[side].push(route),
                        None => routes.entry(entry_point.clone()).or_default()[side].push(route),
                    }
                }
                statuses.push((made.status.object.name.clone(), made.status.clone()));
                kept.insert(name.clone(), made);
            }
        }
        status.tcp.routers = statuses.into_iter().collect();
        status.diagnostics.append(&mut services.finish());
        self.routers = kept;
        self.filters = filters;
        let table = |[plain, tls]: [Routes; 2]| TcpRoutes { plain: TcpTable::new(plain), tls: TcpTable::new(tls) };
        (routes.into_iter().map(|(e, r)| (e, table(r))).collect(), checks(&status.tcp))
    }
}

/// Load balancers that some router leads to, and the others.
fn checks(status: &TcpStatus) -> TcpChecks {
    let mut seen = FxHashSet::default();
    let served = |r: &&Arc<TcpRouterStatus>| r.object.state != State::Disabled;
    let mut open: Vec<&Arc<str>> = status.routers.values().filter(served).map(|r| &r.service).collect();
    while let Some(name) = open.pop() {
        if seen.insert(name)
            && let Some(service) = status.services.get(name)
        {
            open.extend(&service.children);
        }
    }
    let (used, idle): (Vec<_>, Vec<_>) = status.services.values().partition(|s| seen.contains(&s.object.name));
    let balancers = |all: Vec<&Arc<TcpServiceStatus>>| all.into_iter().filter_map(|s| s.balancer.clone()).collect();
    TcpChecks { activate: balancers(used), rest: balancers(idle) }
}

/// Every kind of a middleware that is written, with the options as the kind shows them.
pub(crate) fn shown(config: &TcpMiddlewareConfig, kinds: TcpKinds) -> serde_json::Value {
    let own = (!config.kind.is_empty()).then_some((&config.kind, &config.node));
    let all = config.others.iter().map(|(k, n)| (k, n)).chain(own);
    let read = |(kind, node): (&String, _)| Some((kind.clone(), kinds(kind).and_then(|k| (k.show)(node, "").ok())?));
    match all.map(read).collect::<Option<serde_json::Map<_, _>>>() {
        Some(options) => options.into(),
        None => serde_json::to_value(config).unwrap_or_default(),
    }
}

/// A middleware, made anew, with the digest of its configuration.
pub(crate) fn filter(inputs: &Inputs, kinds: TcpKinds, qualified: &str) -> Result<(u64, Arc<dyn TcpFilter>), Vec<Diagnostic>> {
    let Some(item) = inputs.get(provider_of(qualified)).and_then(|c| c.tcp.middlewares.get(unqualified(qualified))) else {
        let all: Vec<String> = inputs.iter().flat_map(|(p, c)| c.tcp.middlewares.keys().map(move |n| qualify(n, p))).collect();
        let d = Diagnostic::error("", format!("middleware `{qualified}` does not exist in tcp.middlewares"));
        return Err(vec![d.hint(known(qualified, &all, "TCP middlewares"))]);
    };
    if item.has_errors() {
        return Err(item.diagnostics.clone());
    }
    let key = format!("tcp.middlewares.{}.{}", unqualified(qualified), item.config.kind);
    let Some(kind) = kinds(&item.config.kind) else {
        return Err(vec![Diagnostic::error(key, format!("there is no TCP middleware of kind `{}`", item.config.kind)).at(&item.place)]);
    };
    Ok((item.digest, (kind.build)(&item.config.node, &key).map_err(|wrong| own(item, wrong))?))
}
