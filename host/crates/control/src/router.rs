//! One HTTP router: its rule, service, middlewares and entry points to what is served.

use crate::behind::{Behind, muxer};
use crate::copies::{self, RouterCopy};
use crate::expand::Model;
use crate::references::unusable;
use crate::resolve::known;
use crate::routers::RouterCx;
use crate::services::{Outcome, Services};
use crate::spans;
use crate::status::{RouterStatus, State};
use crate::tls_plan::{Conflict, DEFAULT, options_name};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use torana_base::{Diagnostic, Severity, qualify, unqualified};
use torana_config::routing::{Item, RouterConfig};
use torana_dataplane::Router;
use torana_dataplane::snapshot::recursion_mark;
use torana_http::{Endpoint, Step};
use torana_router::{CompiledRule, MAX_USER_PRIORITY, default_priority};
use torana_telemetry::access_log::AccessLog;
use torana_telemetry::metrics::Metrics;

/// A router on some entry points.
#[derive(Clone)]
pub(crate) struct Placed {
    pub router: Arc<Router>,
    /// Served to connections with TLS only; else only to those without.
    pub tls: bool,
    pub entry_points: Vec<Arc<str>>,
}

/// A router of the last compile: valid while its text, its service and its steps are the same.
pub(crate) struct KeptRouter {
    pub digest: u64,
    pub name: Arc<str>,
    pub rule: Arc<CompiledRule>,
    /// Of the plugins that its rule asks.
    pub versions: u64,
    /// Of what its TLS options come to.
    pub tls: u64,
    pub priority: i64,
    pub placed: Vec<Placed>,
    pub status: Vec<Arc<RouterStatus>>,
    /// Nothing is wrong with it and no middleware is involved: only its service can make it another.
    pub plain: bool,
}

/// Routers of the last compile by provider and unqualified name.
pub(crate) type KeptRouters = FxHashMap<&'static str, FxHashMap<String, KeptRouter>>;

/// Rules that were compiled for the sake of their hosts, by router.
pub(crate) type Parsed = FxHashMap<Arc<str>, Arc<CompiledRule>>;

pub(crate) struct Made {
    pub plain: bool,
    pub rule: Option<Arc<CompiledRule>>,
    pub priority: i64,
    pub placed: Vec<Placed>,
    pub status: Vec<Arc<RouterStatus>>,
}

pub(crate) struct RouterBuild<'a, 'b> {
    pub cx: RouterCx<'a>,
    pub copies: Option<Vec<RouterCopy>>,
    pub parsed: Option<Arc<CompiledRule>>,
    pub services: &'a mut Services<'b>,
    /// Routers that stand behind others.
    pub behind: &'a Behind,
    /// Of the same digest.
    pub before: Option<&'a KeptRouter>,
    pub name: Arc<str>,
    pub provider: &'a Arc<str>,
    pub item: &'a Arc<Item<RouterConfig>>,
    pub errors: Vec<Diagnostic>,
}

impl RouterBuild<'_, '_> {
    /// Says what is wrong, in a text that may be another object's.
    fn quote(&mut self, option: &str, message: String, hint: Option<String>) {
        let dot = if option.is_empty() { "" } else { "." };
        let mut d =
            Diagnostic::error(format!("http.routers.{}{dot}{option}", unqualified(&self.name)), message).at(&self.item.place_of(option));
        d.hint = hint;
        self.errors.push(d);
    }

    /// [`RouterBuild::quote`], of text that is all its own.
    pub(crate) fn wrong(&mut self, option: &str, message: impl Into<String>, hint: Option<String>) {
        let message = self.item.conceal(message);
        self.quote(option, message, hint);
    }

    /// The router as it was, if nothing that it depends on has changed.
    pub(crate) fn unchanged(&mut self) -> Option<Made> {
        let before = self.before.filter(|b| b.plain)?;
        let layers = self.cx.layers;
        if !layers.is_empty() && before.status.iter().any(|s| !layers.children(&s.name).is_empty()) {
            return None;
        }
        let service = self.services.service(&before.status.first()?.service).ok()?.endpoint;
        if !before.placed.iter().all(|p| Arc::ptr_eq(&p.router.service, &service)) {
            return None;
        }
        let status = if before.status.iter().all(|s| Arc::ptr_eq(&s.item, self.item)) {
            before.status.clone()
        } else {
            // The same text on other lines.
            before.status.iter().map(|s| Arc::new(RouterStatus { item: self.item.clone(), ..(**s).clone() })).collect()
        };
        Some(Made { plain: true, rule: Some(before.rule.clone()), priority: before.priority, placed: before.placed.clone(), status })
    }

    pub(crate) fn run(&mut self) -> Made {
        self.errors.extend(self.item.diagnostics.iter().cloned());
        let config = &self.item.config;
        let same = self.before;
        let priority = match same {
            Some(b) => b.priority,
            None if config.priority == 0 => default_priority(&config.rule),
            None => config.priority,
        };
        if priority > MAX_USER_PRIORITY && &**self.provider != "internal" {
            self.wrong(
                "priority",
                format!("priority {priority} is above the highest allowed, {MAX_USER_PRIORITY}"),
                Some("lower it".to_owned()),
            );
        }
        let rule = match same {
            Some(b) => Some(b.rule.clone()),
            None => self.rule(),
        };
        let service_name: Arc<str> = config.service.as_deref().map(|s| qualify(s, self.provider)).unwrap_or_default().into();
        let copies = self.copies.take().unwrap_or_else(|| copies::of(self.cx.models, self.item, &self.name, self.provider, self.cx.plan));
        // Where other routers stand behind it, requests go to them.
        let service = if copies.iter().any(|c| self.cx.layers.children(&c.name).is_empty()) { self.service(&service_name) } else { None };
        let (listed, unknown) = self.cx.models.effective(&config.entry_points);
        if listed.is_empty() {
            self.wrong("", "no entry point serves this router", Some("name one under entryPoints".to_owned()));
        }
        let common = std::mem::take(&mut self.errors);
        let broken = common.iter().any(Diagnostic::is_error);
        let mut every = common.clone();
        let (mut placed, mut status) = (Vec::new(), Vec::new());
        let mut plain = true;
        for copy in copies {
            self.errors.clone_from(&common);
            let name = copy.name.clone();
            let (mut using, strange): (Vec<_>, Vec<_>) = copy.entry_points.iter().cloned().partition(|e| !unknown.contains(e));
            for u in &strange {
                let i = config.entry_points.iter().position(|e| e.as_str() == &**u).unwrap_or(0);
                let all: Vec<String> = self.cx.models.names().map(str::to_owned).collect();
                self.wrong(&format!("entryPoints[{i}]"), format!("unknown entry point `{u}`"), Some(known(u, &all, "entry points")));
            }
            if !using.is_empty() {
                // The router is served all the same, where it can be.
                let from = self.errors.len() - strange.len();
                self.errors[from..].iter_mut().for_each(|d| d.severity = Severity::Warning);
            }
            let model = using.first().and_then(|e| self.cx.models.model(e));
            let defaults = model.map_or(&[][..], |m| &m.middlewares).iter().map(|m| (None, qualify(m, self.provider)));
            let own = config.middlewares.iter().enumerate().map(|(i, m)| (Some(i), qualify(m, self.provider)));
            let middlewares: Vec<(Option<usize>, String)> = defaults.chain(own).collect();
            plain &= middlewares.is_empty();
            let children = self.cx.layers.children(&name);
            let layered = !children.is_empty();
            plain &= !layered;
            let counted = if layered { muxer(&name) } else { service_name.clone() };
            let traced = spans::of_router(self.cx.tracer, config, model, &counted);
            let service = if layered { self.layer(&name, children, traced) } else { service.clone() };
            let steps = self.steps(&middlewares, &name);
            let secured = self.secured(&copy);
            let fatal = broken || service.is_none() || steps.is_none() || using.is_empty() || !secured;
            // As in Traefik, it is called disabled where it has too much, and serves.
            self.placed_well(&name);
            let state = match (fatal || self.errors.iter().any(Diagnostic::is_error), self.errors.is_empty()) {
                (true, _) => State::Disabled,
                (false, true) => State::Enabled,
                (false, false) => State::Warning,
            };
            if let (Some(service), Some(steps), false) = (&service, steps, fatal) {
                let metrics = self.cx.metrics.filter(|m| self.metered(m, model, &counted));
                let steps = spans::marked(steps, traced, &name, &counted, &config.rule, metrics);
                let reuse = same.and_then(|b| b.placed.iter().find(|p| p.router.name == name)).map(|p| &p.router);
                let router = match reuse {
                    Some(r) if Arc::ptr_eq(&r.service, service) && r.tls_options == copy.tls && same_steps(&r.steps, &steps) => r.clone(),
                    _ => Arc::new(Router {
                        name: name.clone(),
                        steps,
                        service: service.clone(),
                        recursion_mark: config.default_rule.then(|| recursion_mark(&name)).flatten(),
                        denied_escapes: model.map_or(0, |m| m.denied_escapes),
                        tls_options: copy.tls.clone(),
                        layered,
                        logged: self.cx.access_log.is_some_and(|l| self.logged(l, model, &counted)),
                        metered: metrics.is_some(),
                        meter: metrics.and_then(|m| m.router(&name, &counted)),
                        traced,
                    }),
                };
                placed.push(Placed { router, tls: copy.tls.is_some(), entry_points: using.clone() });
            }
            if fatal {
                using.clear();
            }
            status.push(Arc::new(RouterStatus {
                name,
                provider: self.provider.clone(),
                item: self.item.clone(),
                priority,
                middlewares: middlewares.into_iter().map(|(_, m)| m.into()).collect(),
                service: service_name.clone(),
                parents: Vec::new(),
                tls: copy.shown.clone(),
                entry_points: listed.iter().filter(|l| copy.entry_points.contains(l)).cloned().collect(),
                using,
                state,
                errors: self.errors.iter().map(|d| d.message.clone()).collect(),
            }));
            for d in self.errors.drain(..) {
                if !every.contains(&d) {
                    every.push(d);
                }
            }
        }
        self.errors = every;
        Made { plain, rule, priority, placed, status }
    }

    /// Whether the TLS options of a copy can be used; tells what is wrong with them.
    fn secured(&mut self, copy: &RouterCopy) -> bool {
        let Some(shown) = &copy.shown else { return true };
        let option = if self.item.config.tls.is_some() { "tls.options" } else { "entryPoints" };
        let own = options_name(&shown.options, self.provider);
        let mut good = true;
        match copy.conflict {
            Some(_) if self.cx.strict => {
                good = false;
                self.wrong(
                    option,
                    "router's TLSOptions configuration is conflicting with other routers on the same entrypoint and host",
                    Some("give all routers of a host the same TLS options".to_owned()),
                );
            }
            // Those that name the default ones have what they wanted.
            Some(Conflict::Host) if &*own != DEFAULT => self.wrong(
                option,
                "router's TLSOptions configuration is conflicting with other routers on the same entrypoint and host, default TLS options \
                 will be used instead",
                Some("give all routers of a host the same TLS options".to_owned()),
            ),
            Some(Conflict::NoHost) => self.wrong(
                option,
                format!("no domain found in rule {}, the TLS option {own} cannot be applied", self.item.config.rule),
                Some("add a Host(`..`) to the rule: options are chosen by the name in the handshake".to_owned()),
            ),
            _ => {}
        }
        if good
            && copy.conflict.is_some()
            && let Some(d) = self.errors.last_mut()
            && d.key.ends_with(option)
        {
            d.severity = Severity::Warning;
        }
        for name in [copy.tls.as_ref(), Some(&own)].into_iter().flatten() {
            if self.cx.tls.handshake(name).is_some() {
                continue;
            }
            good = false;
            let (message, hint) = self.cx.tls.why_not(name, self.item);
            self.quote(option, message, hint);
            break;
        }
        good
    }

    /// Whether requests are counted: the router says so, or else its entry point.
    fn metered(&self, metrics: &Metrics, model: Option<&Model>, service: &str) -> bool {
        let own = self.item.config.observability.as_ref().and_then(|o| o.metrics);
        own.unwrap_or_else(|| model.is_none_or(|m| m.metered)) && (metrics.options().internals || !is_internal(service))
    }

    /// The same for the access log.
    fn logged(&self, log: &AccessLog, model: Option<&Model>, service: &str) -> bool {
        let own = self.item.config.observability.as_ref().and_then(|o| o.access_logs);
        own.unwrap_or_else(|| model.is_none_or(|m| m.logged)) && (log.internals() || !is_internal(service))
    }

    pub(crate) fn rule(&mut self) -> Option<Arc<CompiledRule>> {
        if let Some(rule) = self.parsed.take() {
            return Some(rule);
        }
        let text = &self.item.config.rule;
        if text.trim().is_empty() {
            if !self.item.has_errors() {
                self.wrong("rule", "the router has no rule", Some("add one, such as rule: \"Host(`example.com`)\"".to_owned()));
            }
            return None;
        }
        match self.cx.models.syntax(self.provider, &self.item.config).rule(text, self.cx.matchers) {
            Ok(rule) => Some(Arc::new(rule)),
            Err(e) => {
                let d = e.to_diagnostic(format!("http.routers.{}.rule", unqualified(&self.name)), text);
                self.errors.push(self.item.conceal_in(d).at(&self.item.place_of("rule")));
                None
            }
        }
    }

    pub(crate) fn service(&mut self, qualified: &str) -> Option<Arc<dyn Endpoint>> {
        if qualified.is_empty() {
            if !self.item.has_errors() {
                self.wrong("service", "router has no service and no child routers", Some("name one of http.services".to_owned()));
            }
            return None;
        }
        let outcome: Outcome = self.services.service(qualified);
        match outcome {
            Ok(usable) => Some(usable.endpoint),
            Err(wrong) => {
                let (message, hint) = unusable(self.item, "service", qualified, wrong.into_iter().next());
                self.quote("service", message, hint);
                None
            }
        }
    }

    pub(crate) fn steps(&mut self, middlewares: &[(Option<usize>, String)], router: &Arc<str>) -> Option<Vec<Step>> {
        let mut steps = Vec::with_capacity(middlewares.len());
        let mut good = true;
        for (index, m) in middlewares {
            match self.cx.resolver.steps(m, router, self.services) {
                Ok(s) => steps.extend(s),
                Err(wrong) => {
                    good = false;
                    let (message, hint) = unusable(self.item, "middleware", m, wrong.into_iter().next());
                    let option = index.map_or_else(|| "entryPoints".to_owned(), |i| format!("middlewares[{i}]"));
                    self.quote(&option, message, hint);
                }
            }
        }
        good.then_some(steps)
    }
}

/// Whether the gateway answers itself.
fn is_internal(service: &str) -> bool {
    service.ends_with("@internal")
}

fn same_steps(a: &[Step], b: &[Step]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is(b))
}
