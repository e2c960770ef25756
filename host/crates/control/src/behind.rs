//! Routers behind others, made once and placed once for each way that leads to them.

use crate::router::{Made, RouterBuild};
use crate::spans;
use crate::status::{RouterStatus, State};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use torana_base::{Diagnostic, qualify};
use torana_dataplane::{Layer, Router, Verbosity};
use torana_http::{Endpoint, Step};
use torana_router::{CompiledRule, Route, RouteTable, default_priority};
use torana_telemetry::metrics::Scope;

/// Those that can serve, by qualified name.
pub(crate) type Behind = FxHashMap<Arc<str>, Inner>;

/// A router behind others, for whichever way.
pub(crate) struct Inner {
    rule: Arc<CompiledRule>,
    priority: i64,
    rank: u32,
    /// With the marks of all details.
    steps: Vec<Step>,
    end: End,
    /// As metrics and traces name it.
    service: Arc<str>,
    rule_text: String,
    meter: Option<Arc<Scope>>,
}

enum End {
    Service(Arc<dyn Endpoint>),
    /// Names of the routers behind this one.
    Routers(Vec<Arc<str>>),
}

/// The end of a router that leads to others. `way` is what the log calls it, and `traced` how the first router's
/// requests are. `None` if none of them can serve.
pub(crate) fn layer(behind: &Behind, way: &str, children: &[Arc<str>], traced: Option<Verbosity>) -> Option<Arc<dyn Endpoint>> {
    let there = children.iter().filter_map(|c| Some((c, behind.get(c)?)));
    let routes: Vec<_> = there.map(|(c, inner)| inner.route(behind, way, c, traced)).collect();
    (!routes.is_empty()).then(|| Arc::new(Layer::new(RouteTable::new(routes))) as Arc<dyn Endpoint>)
}

impl Inner {
    fn route(&self, behind: &Behind, way: &str, name: &Arc<str>, traced: Option<Verbosity>) -> Route<Arc<Router>> {
        let shown: Arc<str> = format!("{way} -> {name}").into();
        let (service, layered) = match &self.end {
            End::Service(s) => (s.clone(), false),
            // It was looked at before: there is one that can serve.
            End::Routers(children) => {
                (layer(behind, &shown, children, traced).unwrap_or_else(|| Arc::new(Layer::new(RouteTable::default()))), true)
            }
        };
        let router = Router {
            name: shown,
            steps: spans::marked(self.steps.clone(), traced, name, &self.service, &self.rule_text, None),
            service,
            recursion_mark: None,
            denied_escapes: 0,
            tls_options: None,
            layered,
            // The first router says whether the request is.
            logged: false,
            metered: self.meter.is_some(),
            meter: self.meter.clone(),
            traced,
        };
        Route { rule: self.rule.clone(), priority: self.priority, rank: self.rank, name: name.clone(), target: Arc::new(router) }
    }
}

/// The name under which metrics show the end of a router that leads to others.
pub(crate) fn muxer(router: &str) -> Arc<str> {
    format!("{router}-muxer").into()
}

impl RouterBuild<'_, '_> {
    /// Says what is wrong with the router's place among the others; whether it can be served all the same.
    pub(crate) fn placed_well(&mut self, name: &str) -> bool {
        let layers = self.cx.layers;
        let mut good = true;
        for w in layers.wrong(name) {
            self.wrong(&w.option, w.message.clone(), Some(w.hint.to_owned()));
            if let Some(d) = self.errors.last_mut() {
                d.severity = w.severity;
            }
            good &= w.served;
        }
        good
    }

    /// The layer behind a router; tells if there is none that could serve.
    pub(crate) fn layer(&mut self, name: &str, children: &[Arc<str>], traced: Option<Verbosity>) -> Option<Arc<dyn Endpoint>> {
        let layer = layer(self.behind, name, children, traced);
        if layer.is_none() {
            self.wrong(
                "",
                format!("building child routers muxer: no child routers could be added to muxer ({} skipped)", children.len()),
                Some("see what is wrong with the routers that name this one under `parentRefs`".to_owned()),
            );
        }
        layer
    }

    /// A router behind others: what is shown of it, and itself if it can serve.
    pub(crate) fn child(&mut self) -> (Made, Option<Inner>) {
        let config = &self.item.config;
        self.errors.extend(self.item.diagnostics.iter().cloned());
        let name = self.name.clone();
        let well = self.placed_well(&name) && !self.item.has_errors();
        let reached = self.cx.layers.reached(&name);
        let service_name: Arc<str> = config.service.as_deref().map(|s| qualify(s, self.provider)).unwrap_or_default().into();
        let middlewares: Vec<(Option<usize>, String)> =
            config.middlewares.iter().enumerate().map(|(i, m)| (Some(i), qualify(m, self.provider))).collect();
        let mut inner = None;
        let mut rule = None;
        let mut priority = config.priority;
        if priority == 0 && (well && !reached.is_empty() || !config.entry_points.is_empty()) {
            priority = default_priority(&config.rule);
        }
        if well {
            rule = match self.before {
                Some(b) => Some(b.rule.clone()),
                None => self.rule(),
            };
            let children = self.cx.layers.children(&name).to_vec();
            let (end, counted) = if children.is_empty() {
                (self.service(&service_name).map(End::Service), service_name.clone())
            } else {
                (self.layer(&name, &children, None).map(|_| End::Routers(children)), muxer(&name))
            };
            let steps = self.steps(&middlewares, &name);
            if let (Some(rule), Some(end), Some(steps)) = (&rule, end, steps) {
                let metrics = self.cx.metrics.filter(|m| m.options().internals || !counted.ends_with("@internal"));
                let meter = metrics.and_then(|m| m.router(&name, &counted));
                inner = Some(Inner {
                    rule: rule.clone(),
                    priority,
                    rank: self.cx.rank(self.provider),
                    steps,
                    end,
                    service: counted,
                    rule_text: config.rule.clone(),
                    meter,
                });
            }
        }
        let state = match (self.errors.iter().any(Diagnostic::is_error), self.errors.is_empty()) {
            (true, _) => State::Disabled,
            (false, true) => State::Enabled,
            (false, false) => State::Warning,
        };
        let status = RouterStatus {
            name,
            provider: self.provider.clone(),
            item: self.item.clone(),
            priority,
            middlewares: middlewares.into_iter().map(|(_, m)| m.into()).collect(),
            service: service_name,
            parents: self.cx.layers.parents(&self.name).to_vec(),
            tls: config.tls.clone(),
            entry_points: config.entry_points.iter().map(|e| e.as_str().into()).collect(),
            using: if inner.is_some() { reached.to_vec() } else { Vec::new() },
            state,
            errors: self.errors.iter().map(|d| d.message.clone()).collect(),
        };
        (Made { plain: false, rule, priority, placed: Vec::new(), status: vec![Arc::new(status)] }, inner)
    }
}
