//! All HTTP routers of a compile, and the tables of routes that come of them.

use crate::behind::Behind;
use crate::copies;
use crate::expand::Models;
use crate::layers::{Layers, is_child};
use crate::objects::deprecated_syntax;
use crate::plugins::PluginMatchers;
use crate::resolve::{Inputs, Resolver};
use crate::router::{KeptRouter, KeptRouters, Made, Parsed, RouterBuild};
use crate::secure::TlsState;
use crate::services::Services;
use crate::status::RouterStatus;
use crate::tls_plan::{TlsPlan, digest};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use torana_base::{Diagnostic, qualify};
use torana_config::routing::{Item, RouterConfig};
use torana_dataplane::Router;
use torana_router::Route;
use torana_telemetry::access_log::AccessLog;
use torana_telemetry::metrics::Metrics;
use torana_trace::Tracer;

/// What every router of a compile is made with.
#[derive(Clone, Copy)]
pub(crate) struct RouterCx<'a> {
    pub models: &'a Models,
    /// Contradictory TLS options disable a router.
    pub strict: bool,
    pub tls: &'a TlsState,
    pub plan: &'a TlsPlan,
    pub layers: &'a Layers,
    pub resolver: &'a Resolver<'a>,
    pub matchers: &'a PluginMatchers<'a>,
    pub metrics: Option<&'a Metrics>,
    pub access_log: Option<&'a AccessLog>,
    pub tracer: Option<&'a Tracer>,
    /// Provider precedence: lower goes first among equal priorities.
    pub ranks: &'a FxHashMap<String, u32>,
    /// Of the last compile.
    pub before: &'a KeptRouters,
}

impl RouterCx<'_> {
    pub(crate) fn rank(&self, provider: &str) -> u32 {
        self.ranks.get(provider).copied().unwrap_or(u32::MAX)
    }
}

/// Routes by name of entry point.
pub(crate) type Routes = FxHashMap<Arc<str>, Vec<Route<Arc<Router>>>>;

/// What the routers have come to so far.
pub(crate) struct Routers<'a, 'b> {
    cx: RouterCx<'a>,
    services: &'a mut Services<'b>,
    /// Rules that were compiled before.
    parsed: Parsed,
    behind: Behind,
    pub routes: Routes,
    /// Of connections with TLS.
    pub secured: Routes,
    pub kept: KeptRouters,
    pub status: Vec<(Arc<str>, Arc<RouterStatus>)>,
    pub diagnostics: Vec<Diagnostic>,
}

impl<'a, 'b> Routers<'a, 'b> {
    pub(crate) fn new(cx: RouterCx<'a>, services: &'a mut Services<'b>, parsed: Parsed) -> Self {
        Routers {
            cx,
            services,
            parsed,
            behind: Behind::default(),
            routes: Routes::default(),
            secured: Routes::default(),
            kept: KeptRouters::default(),
            status: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    /// Builds the routers of all documents: those behind others first.
    pub(crate) fn build(&mut self, inputs: &Inputs) {
        for (provider, name) in self.cx.layers.order() {
            if let Some(item) = inputs.get(provider).and_then(|c| c.http.routers.get(name)) {
                self.add(provider, &Arc::from(*provider), name, item);
            }
        }
        for (provider, config) in inputs {
            self.kept.entry(provider).or_default().reserve(config.http.routers.len());
            let shared: Arc<str> = (*provider).into();
            for (name, item) in config.http.routers.iter().filter(|(_, i)| !is_child(i)) {
                self.add(provider, &shared, name, item);
            }
        }
    }

    fn add(&mut self, provider: &'static str, shared: &Arc<str>, name: &String, item: &Arc<Item<RouterConfig>>) {
        let cx = self.cx;
        let before = cx.before.get(provider).and_then(|b| b.get(name));
        let versions = cx.matchers.versions(&item.config.rule);
        let qualified: Arc<str> = before.map_or_else(|| qualify(name, provider).into(), |b| b.name.clone());
        let child = is_child(item);
        // Without TLS there is nothing in it that other routers could change.
        let may_be_secure = !child && (item.config.tls.is_some() || cx.models.carry_tls());
        let copies = may_be_secure.then(|| copies::of(cx.models, item, &qualified, provider, cx.plan));
        let tls = digest(copies.iter().flatten().flat_map(|c| {
            let usable = c.tls.as_ref().is_none_or(|o| cx.tls.handshake(o).is_some());
            c.entry_points.iter().map(move |e| (e.clone(), c.conflict, usable))
        }));
        let mut build = RouterBuild {
            cx,
            copies,
            parsed: self.parsed.remove(&qualified),
            services: self.services,
            behind: &self.behind,
            name: qualified,
            before: before.filter(|b| b.digest == item.digest && b.versions == versions && b.tls == tls),
            provider: shared,
            item,
            errors: Vec::new(),
        };
        let mut inner = None;
        let made = if child {
            let (made, of_child) = build.child();
            inner = of_child;
            made
        } else {
            build.unchanged().unwrap_or_else(|| build.run())
        };
        self.diagnostics.extend(deprecated_syntax("http", name, item, item.config.rule_syntax.as_deref()));
        let (plain, name_of) = (made.plain && build.errors.is_empty(), build.name.clone());
        self.diagnostics.append(&mut build.errors);
        self.behind.extend(inner.map(|i| (name_of.clone(), i)));
        self.status.extend(made.status.iter().map(|s| (s.name.clone(), s.clone())));
        let Made { rule: Some(rule), priority, placed, status, .. } = made else { return };
        let rank = cx.rank(provider);
        for p in &placed {
            for e in &p.entry_points {
                let route = Route { rule: rule.clone(), priority, rank, name: p.router.name.clone(), target: p.router.clone() };
                let all = if p.tls { &mut self.secured } else { &mut self.routes };
                match all.get_mut(e) {
                    Some(list) => list.push(route),
                    None => {
                        all.insert(e.clone(), vec![route]);
                    }
                }
            }
        }
        if child || !placed.is_empty() {
            let router = KeptRouter { digest: item.digest, name: name_of, rule, versions, tls, priority, placed, status, plain };
            self.kept.entry(provider).or_default().insert(name.clone(), router);
        }
    }
}
