//! Documents to a snapshot. No I/O but the certificates that a transport names and the files that values refer
//! to, and no clock.

use crate::acme::{Resolvers, Wishes};
use crate::copies::{self, RouterCopy};
use crate::expand::{Model, Models};
use crate::internal::Internals;
use crate::plugins::PluginMatchers;
use crate::references::{Referred, unusable};
use crate::resolve::{Inputs, Kept, Kinds, Resolver, known};
use crate::secure::{Files, TlsState, secure};
use crate::services::{Outcome, Services, Store, transport_problems};
use crate::status::{MiddlewareStatus, RouterStatus, RuntimeStatus, ServiceStatus, State};
use crate::tcp::{TcpChecks, TcpCompiler, TcpCx, TcpKinds};
use crate::tls_plan::{Conflict, DEFAULT, TlsPlan, digest, options_name};
use crate::udp::UdpCompiler;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use torana_base::{Diagnostic, Severity, qualify, unqualified};
use torana_config::install::InstallConfig;
use torana_config::routing::{Item, RouterConfig, RouterTlsConfig};
use torana_dataplane::snapshot::recursion_mark;
use torana_dataplane::{Router, Snapshot};
use torana_extend::PluginHost;
use torana_http::{Endpoint, Step};
use torana_router::{CompiledRule, MAX_USER_PRIORITY, Route, RouteTable, default_priority};
use torana_telemetry::metrics::Metrics;
use torana_tls::Stapler;
use torana_upstream::{LoadBalancer, SpiffeSource, Transport};

/// What the compiler works with.
pub struct Parts {
    pub install: Arc<InstallConfig>,
    pub kinds: Kinds,
    pub tcp_kinds: TcpKinds,
    pub internals: Internals,
    pub plugins: Arc<dyn PluginHost>,
    pub resolvers: Resolvers,
    /// Fetches OCSP answers, if that is configured.
    pub stapler: Option<Arc<Stapler>>,
    /// Where requests are counted, if they are.
    pub metrics: Option<Arc<Metrics>>,
    /// The gateway's own identity for servers, if that is configured.
    pub spiffe: Option<Arc<SpiffeSource>>,
}

/// A compiled configuration, not visible yet.
pub struct Compiled {
    pub snapshot: Arc<Snapshot>,
    pub status: Arc<RuntimeStatus>,
    /// Services whose health checks start once the snapshot is visible.
    pub activate: Vec<Arc<LoadBalancer>>,
    /// Services that no router leads to (any more): their health checks end.
    pub rest: Vec<Arc<LoadBalancer>>,
    pub tcp_checks: TcpChecks,
}

/// A router on some entry points.
#[derive(Clone)]
struct Placed {
    router: Arc<Router>,
    /// Served to connections with TLS only; else only to those without.
    tls: bool,
    entry_points: Vec<Arc<str>>,
}

/// A router of the last compile: valid while its text, its service and its steps are the same.
struct KeptRouter {
    digest: u64,
    name: Arc<str>,
    rule: Arc<CompiledRule>,
    /// Of the plugins that its rule asks.
    versions: u64,
    /// Of what its TLS options come to.
    tls: u64,
    priority: i64,
    placed: Vec<Placed>,
    status: Vec<Arc<RouterStatus>>,
    /// Nothing is wrong with it and no middleware is involved: only its service can make it another.
    plain: bool,
}

/// Routers of the last compile by provider and unqualified name.
type KeptRouters = FxHashMap<&'static str, FxHashMap<String, KeptRouter>>;

pub struct Compiler {
    parts: Parts,
    models: Models,
    /// Provider precedence: lower goes first among equal priorities.
    ranks: FxHashMap<String, u32>,
    default_transport: Arc<Transport>,
    store: Store,
    middlewares: Kept,
    routers: KeptRouters,
    middleware_status: FxHashMap<Arc<str>, (u64, Arc<MiddlewareStatus>)>,
    tls: TlsState,
    tcp: TcpCompiler,
    udp: UdpCompiler,
    referred: Referred,
    generation: u64,
}

impl Compiler {
    /// Fails only where the TCP transport by default cannot be built; all else is told with the first compile.
    pub fn new(parts: Parts) -> Result<Self, Diagnostic> {
        let (tcp, udp) = (TcpCompiler::new(&parts.install, parts.tcp_kinds, parts.spiffe.clone())?, UdpCompiler::new(&parts.install));
        let transport = parts.install.servers_transport.transport();
        let default_transport = Arc::new(Transport::build_with(&transport, parts.spiffe.as_ref()));
        let models = Models::new(&parts.install);
        let ranks = parts.install.providers.precedence.iter().enumerate().map(|(i, n)| (n.to_lowercase(), i as u32)).collect();
        let stapler = parts.stapler.clone();
        let referred = Referred::new(parts.install.secrets.clone());
        let store = Store::new(parts.spiffe.clone());
        Ok(Compiler {
            parts,
            models,
            ranks,
            default_transport,
            store,
            middlewares: Kept::default(),
            routers: FxHashMap::default(),
            middleware_status: FxHashMap::default(),
            tls: TlsState::new(stapler),
            tcp,
            udp,
            referred,
            generation: 0,
        })
    }

    pub(crate) fn resolvers(&self) -> &Resolvers {
        &self.parts.resolvers
    }

    /// Where requests are counted.
    pub fn metrics(&self) -> Option<&Arc<Metrics>> {
        self.parts.metrics.as_ref()
    }

    /// What hosts the plugins.
    pub fn plugins(&self) -> &Arc<dyn PluginHost> {
        &self.parts.plugins
    }

    /// The files that certificates were read from.
    pub(crate) fn tls_files(&self) -> &Arc<Files> {
        self.tls.files()
    }

    /// The files that values refer to.
    pub(crate) fn referred_files(&self) -> &Arc<Files> {
        self.referred.files()
    }

    /// The next compile reads anew what values refer to.
    pub(crate) fn read_referred_files_again(&mut self) {
        self.referred.forget();
    }

    /// See [`TlsState::stapling`].
    pub(crate) fn tls(&self) -> &TlsState {
        &self.tls
    }

    /// The next compile reads certificates anew.
    pub(crate) fn read_tls_files_again(&mut self) {
        self.tls.forget_digest();
    }

    /// Compiles all documents. Bad objects are disabled alone; there is always a snapshot.
    pub fn compile(&mut self, inputs: &Inputs) -> Compiled {
        self.generation += 1;
        let inputs = &self.referred.follow(inputs);
        let mut status = RuntimeStatus { generation: self.generation, ..RuntimeStatus::default() };
        for config in inputs.values() {
            status.diagnostics.extend(config.rejected.iter().map(|r| r.diagnostic.clone()));
            for item in config.http.servers_transports.values() {
                status.diagnostics.extend(item.diagnostics.iter().cloned());
            }
            // The errors of a plugin are told by its host, once it has tried.
            for item in config.plugins.values().filter(|i| !i.has_errors()) {
                status.diagnostics.extend(item.diagnostics.iter().cloned());
            }
        }
        status.diagnostics.extend(self.parts.plugins.diagnostics());
        let plugins = &*self.parts.plugins;
        let matchers = PluginMatchers::new(plugins, inputs);
        let resolver = Resolver::new(inputs, self.parts.kinds, plugins, &self.middlewares);
        let mut services = Services::new(
            inputs,
            &self.parts.internals,
            plugins,
            self.parts.metrics.as_ref(),
            &resolver,
            &mut self.store,
            self.default_transport.clone(),
        );
        for (provider, config) in inputs {
            let provider: Arc<str> = (*provider).into();
            for (name, item) in &config.http.services {
                let name: Arc<str> = qualify(name, &provider).into();
                let outcome = services.service(&name);
                if let Ok(usable) = &outcome {
                    status.diagnostics.extend(usable.warnings.iter().cloned());
                }
                let (state, errors, mut wrong) = judge(&item.diagnostics, outcome.as_ref().err());
                status.diagnostics.append(&mut wrong);
                let children = services.parts(&name);
                let balancer = outcome.ok().and_then(|u| u.load_balancer);
                status.services.insert(
                    name.clone(),
                    Arc::new(ServiceStatus { name, provider: provider.clone(), item: item.clone(), state, errors, balancer, children }),
                );
            }
        }
        let mut middleware_status = FxHashMap::default();
        for (provider, config) in inputs {
            let provider: Arc<str> = (*provider).into();
            for (name, item) in &config.http.middlewares {
                let name: Arc<str> = qualify(name, &provider).into();
                // Built for nobody, to know whether it can be.
                let built = resolver.steps(&name, &Arc::from(""));
                let (state, errors, mut wrong) = judge(&item.diagnostics, built.as_ref().err());
                status.diagnostics.append(&mut wrong);
                let shown = match self.middleware_status.get(&name) {
                    Some((digest, before)) if *digest == item.digest && before.errors == errors && before.state == state => before.clone(),
                    _ => {
                        let kind = (self.parts.kinds)(&item.config.kind);
                        let shown = kind.and_then(|k| (k.show)(&item.config.node, "").ok()).unwrap_or_else(|| item.config.node.to_json());
                        Arc::new(MiddlewareStatus {
                            name: name.clone(),
                            provider: provider.clone(),
                            item: item.clone(),
                            shown,
                            state,
                            errors,
                        })
                    }
                };
                middleware_status.insert(name.clone(), (item.digest, shown.clone()));
                status.middlewares.insert(name, shown);
            }
        }
        let resolvers = self.parts.resolvers.clone();
        self.tls.update(inputs, &resolvers.certificates());
        status.diagnostics.extend(self.tls.diagnostics().cloned());
        if let Some(metrics) = &self.parts.metrics {
            metrics.set_certificates(self.tls.served());
        }
        let mut parsed = Parsed::default();
        let before = &self.routers;
        let mut wishes = Wishes::default();
        let wanted = |name: &str, item: &Item<RouterConfig>, tls: &RouterTlsConfig, hosts: &[Arc<str>], entry_point: &Arc<str>| {
            let key = format!("http.routers.{name}.tls.certResolver");
            wishes.add(
                &resolvers,
                &tls.cert_resolver,
                &tls.domains,
                || hosts.iter().filter(|h| &***h != "*").map(|h| h.to_string()).collect(),
                std::slice::from_ref(entry_point),
                item,
                &key,
            );
        };
        let plan = copies::plan(&self.models, inputs, wanted, |provider, name, item| {
            let versions = matchers.versions(&item.config.rule);
            let kept = before.get(provider).and_then(|b| b.get(name)).filter(|b| b.digest == item.digest && b.versions == versions);
            if let Some(kept) = kept {
                return Some(kept.rule.clone());
            }
            let rule = torana_router::parse_with(&item.config.rule, &matchers).and_then(|r| torana_router::compile_with(&r, &matchers));
            let rule = Arc::new(rule.ok()?);
            parsed.insert(qualify(name, provider).into(), rule.clone());
            Some(rule)
        });
        wishes.add_others(&resolvers, inputs, &self.models);
        status.diagnostics.append(&mut wishes.diagnostics);
        let on_demand = std::mem::take(&mut wishes.on_demand);
        resolvers.want(wishes, self.tls.configured().clone());
        let severity = if self.parts.install.core.strict_tls_options { Severity::Error } else { Severity::Warning };
        status.diagnostics.extend(plan.told.iter().map(|t| Diagnostic { severity, ..Diagnostic::warning("", t.clone()) }));
        let mut routes: FxHashMap<Arc<str>, Vec<Route<Arc<Router>>>> = FxHashMap::default();
        let mut secured: FxHashMap<Arc<str>, Vec<Route<Arc<Router>>>> = FxHashMap::default();
        let mut kept = KeptRouters::default();
        let mut router_status = Vec::new();
        for (provider, config) in inputs {
            let rank = self.ranks.get(*provider).copied().unwrap_or(u32::MAX);
            let before = self.routers.get(provider);
            let kept = kept.entry(provider).or_default();
            kept.reserve(config.http.routers.len());
            let provider: Arc<str> = (*provider).into();
            for (name, item) in &config.http.routers {
                let before = before.and_then(|b| b.get(name));
                let versions = matchers.versions(&item.config.rule);
                let qualified: Arc<str> = before.map_or_else(|| qualify(name, &provider).into(), |b| b.name.clone());
                // Without TLS there is nothing in it that other routers could change.
                let may_be_secure = item.config.tls.is_some() || self.models.carry_tls();
                let copies = may_be_secure.then(|| copies::of(&self.models, item, &qualified, &provider, &plan));
                let tls = digest(copies.iter().flatten().flat_map(|c| {
                    let usable = c.tls.as_ref().is_none_or(|o| self.tls.handshake(o).is_some());
                    c.entry_points.iter().map(move |e| (e.clone(), c.conflict, usable))
                }));
                let mut build = RouterBuild {
                    models: &self.models,
                    strict: self.parts.install.core.strict_tls_options,
                    tls: &self.tls,
                    plan: &plan,
                    copies,
                    parsed: parsed.remove(&qualified),
                    resolver: &resolver,
                    services: &mut services,
                    matchers: &matchers,
                    metrics: self.parts.metrics.as_deref(),
                    name: qualified,
                    before: before.filter(|b| b.digest == item.digest && b.versions == versions && b.tls == tls),
                    provider: &provider,
                    item,
                    errors: Vec::new(),
                };
                let made = build.unchanged().unwrap_or_else(|| build.run());
                let (plain, name_of) = (made.plain && build.errors.is_empty(), build.name.clone());
                status.diagnostics.append(&mut build.errors);
                router_status.extend(made.status.iter().map(|s| (s.name.clone(), s.clone())));
                let Some(rule) = made.rule else { continue };
                for p in &made.placed {
                    for e in &p.entry_points {
                        let route = Route {
                            rule: rule.clone(),
                            priority: made.priority,
                            rank,
                            name: p.router.name.clone(),
                            target: p.router.clone(),
                        };
                        let all = if p.tls { &mut secured } else { &mut routes };
                        match all.get_mut(e) {
                            Some(list) => list.push(route),
                            None => {
                                all.insert(e.clone(), vec![route]);
                            }
                        }
                    }
                }
                if !made.placed.is_empty() {
                    let router = KeptRouter {
                        digest: item.digest,
                        name: name_of,
                        rule,
                        versions,
                        tls,
                        priority: made.priority,
                        placed: made.placed,
                        status: made.status,
                        plain,
                    };
                    kept.insert(name.clone(), router);
                }
            }
        }
        status.routers = router_status.into_iter().collect();
        status.diagnostics.extend(transport_problems("serversTransport", &self.default_transport));
        status.diagnostics.append(&mut services.finish());
        self.middlewares = resolver.into_kept();
        self.routers = kept;
        self.middleware_status = middleware_status;
        let routes = routes.into_iter().map(|(e, r)| (e, RouteTable::new(r))).collect();
        let (activate, rest) = by_use(&status);
        let cx = TcpCx { inputs, models: &self.models, ranks: &self.ranks, tls_options: &|name| self.tls.handshake(name).is_some() };
        let (tcp, tcp_checks) = self.tcp.compile(&cx, &mut status);
        let udp = self.udp.compile(inputs, &mut status);
        self.referred.conceal(&mut status, self.parts.kinds, self.parts.tcp_kinds);
        let snapshot = Snapshot {
            generation: self.generation,
            routes,
            secure: secure(secured, plan.hosts, &self.tls),
            default_handshake: self.tls.handshake(DEFAULT).cloned(),
            handshakes: self.tls.handshakes().clone(),
            challenges: resolvers.in_handshakes(),
            on_demand,
            tcp,
            udp,
        };
        Compiled { snapshot: Arc::new(snapshot), status: Arc::new(status), activate, rest, tcp_checks }
    }
}

/// Load balancers that some router leads to, and the others: as in Traefik, their health is not checked.
fn by_use(status: &RuntimeStatus) -> (Vec<Arc<LoadBalancer>>, Vec<Arc<LoadBalancer>>) {
    let mut seen = FxHashSet::default();
    let mut open: Vec<&Arc<str>> = status.routers.values().filter(|r| !r.using.is_empty()).map(|r| &r.service).collect();
    while let Some(name) = open.pop() {
        if seen.insert(name)
            && let Some(service) = status.services.get(name)
        {
            open.extend(&service.children);
        }
    }
    let (used, idle): (Vec<_>, Vec<_>) = status.services.values().partition(|s| seen.contains(&s.name));
    let balancers = |services: Vec<&Arc<ServiceStatus>>| services.into_iter().filter_map(|s| s.balancer.clone()).collect();
    (balancers(used), balancers(idle))
}

/// State, texts for the API, and the diagnostics of an object, from what its document and its build say.
pub(crate) fn judge(own: &[Diagnostic], built: Option<&Vec<Diagnostic>>) -> (State, Vec<String>, Vec<Diagnostic>) {
    let mut all = own.to_vec();
    for d in built.into_iter().flatten() {
        if !all.contains(d) {
            all.push(d.clone());
        }
    }
    let state = match (built.is_some() || all.iter().any(Diagnostic::is_error), all.is_empty()) {
        (true, _) => State::Disabled,
        (false, false) => State::Warning,
        (false, true) => State::Enabled,
    };
    (state, all.iter().map(|d| d.message.clone()).collect(), all)
}

/// Rules that were compiled for the sake of their hosts, by router.
type Parsed = FxHashMap<Arc<str>, Arc<CompiledRule>>;

struct Made {
    plain: bool,
    rule: Option<Arc<CompiledRule>>,
    priority: i64,
    placed: Vec<Placed>,
    status: Vec<Arc<RouterStatus>>,
}

struct RouterBuild<'a, 'b> {
    models: &'a Models,
    /// Contradictory TLS options disable a router.
    strict: bool,
    tls: &'a TlsState,
    plan: &'a TlsPlan,
    copies: Option<Vec<RouterCopy>>,
    parsed: Option<Arc<CompiledRule>>,
    resolver: &'a Resolver<'a>,
    services: &'a mut Services<'b>,
    matchers: &'a PluginMatchers<'a>,
    metrics: Option<&'a Metrics>,
    /// Of the same digest.
    before: Option<&'a KeptRouter>,
    name: Arc<str>,
    provider: &'a Arc<str>,
    item: &'a Arc<Item<RouterConfig>>,
    errors: Vec<Diagnostic>,
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
    fn wrong(&mut self, option: &str, message: impl Into<String>, hint: Option<String>) {
        let message = self.item.conceal(message);
        self.quote(option, message, hint);
    }

    /// The router as it was, if nothing that it depends on has changed.
    fn unchanged(&mut self) -> Option<Made> {
        let before = self.before.filter(|b| b.plain)?;
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

    fn run(&mut self) -> Made {
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
        let service = self.service(&service_name);
        let (listed, unknown) = self.models.effective(&config.entry_points);
        if listed.is_empty() {
            self.wrong("", "no entry point serves this router", Some("name one under entryPoints".to_owned()));
        }
        let common = std::mem::take(&mut self.errors);
        let broken = common.iter().any(Diagnostic::is_error);
        let mut every = common.clone();
        let (mut placed, mut status) = (Vec::new(), Vec::new());
        let mut plain = true;
        let copies = self.copies.take().unwrap_or_else(|| copies::of(self.models, self.item, &self.name, self.provider, self.plan));
        for copy in copies {
            self.errors.clone_from(&common);
            let name = copy.name.clone();
            let (mut using, strange): (Vec<_>, Vec<_>) = copy.entry_points.iter().cloned().partition(|e| !unknown.contains(e));
            for u in &strange {
                let i = config.entry_points.iter().position(|e| e.as_str() == &**u).unwrap_or(0);
                let all: Vec<String> = self.models.names().map(str::to_owned).collect();
                self.wrong(&format!("entryPoints[{i}]"), format!("unknown entry point `{u}`"), Some(known(u, &all, "entry points")));
            }
            if !using.is_empty() {
                // The router is served all the same, where it can be.
                let from = self.errors.len() - strange.len();
                self.errors[from..].iter_mut().for_each(|d| d.severity = Severity::Warning);
            }
            let model = using.first().and_then(|e| self.models.model(e));
            let defaults = model.map_or(&[][..], |m| &m.middlewares).iter().map(|m| (None, qualify(m, self.provider)));
            let own = config.middlewares.iter().enumerate().map(|(i, m)| (Some(i), qualify(m, self.provider)));
            let middlewares: Vec<(Option<usize>, String)> = defaults.chain(own).collect();
            plain &= middlewares.is_empty();
            let steps = self.steps(&middlewares, &name);
            let secured = self.secured(&copy);
            let fatal = broken || steps.is_none() || using.is_empty() || !secured;
            let state = match (fatal, self.errors.is_empty()) {
                (true, _) => State::Disabled,
                (false, true) => State::Enabled,
                (false, false) => State::Warning,
            };
            if let (Some(service), Some(steps), false) = (&service, steps, fatal) {
                let reuse = same.and_then(|b| b.placed.iter().find(|p| p.router.name == name)).map(|p| &p.router);
                let router = match reuse {
                    Some(r) if Arc::ptr_eq(&r.service, service) && r.tls_options == copy.tls && same_steps(&r.steps, &steps) => r.clone(),
                    _ => {
                        let metrics = self.metrics.filter(|m| self.metered(m, model, &service_name));
                        Arc::new(Router {
                            name: name.clone(),
                            steps,
                            service: service.clone(),
                            recursion_mark: config.default_rule.then(|| recursion_mark(&name)).flatten(),
                            denied_escapes: model.map_or(0, |m| m.denied_escapes),
                            tls_options: copy.tls.clone(),
                            metered: metrics.is_some(),
                            meter: metrics.and_then(|m| m.router(&name, &service_name)),
                        })
                    }
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
            Some(_) if self.strict => {
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
            if self.tls.handshake(name).is_some() {
                continue;
            }
            good = false;
            let (message, hint) = self.tls.why_not(name, self.item);
            self.quote(option, message, hint);
            break;
        }
        good
    }

    /// Whether requests are counted: the router says so, or else its entry point.
    fn metered(&self, metrics: &Metrics, model: Option<&Model>, service: &str) -> bool {
        let own = self.item.config.observability.as_ref().and_then(|o| o.metrics);
        own.unwrap_or_else(|| model.is_none_or(|m| m.metered)) && (metrics.options().internals || !service.ends_with("@internal"))
    }

    fn rule(&mut self) -> Option<Arc<CompiledRule>> {
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
        match torana_router::parse_with(text, self.matchers).and_then(|r| torana_router::compile_with(&r, self.matchers)) {
            Ok(rule) => Some(Arc::new(rule)),
            Err(e) => {
                let d = e.to_diagnostic(format!("http.routers.{}.rule", unqualified(&self.name)), text);
                self.errors.push(self.item.conceal_in(d).at(&self.item.place_of("rule")));
                None
            }
        }
    }

    fn service(&mut self, qualified: &str) -> Option<Arc<dyn Endpoint>> {
        if qualified.is_empty() {
            if !self.item.has_errors() {
                self.wrong("service", "the router has no service", Some("name one of http.services".to_owned()));
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

    fn steps(&mut self, middlewares: &[(Option<usize>, String)], router: &Arc<str>) -> Option<Vec<Step>> {
        let mut steps = Vec::with_capacity(middlewares.len());
        let mut good = true;
        for (index, m) in middlewares {
            match self.resolver.steps(m, router) {
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

fn same_steps(a: &[Step], b: &[Step]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|pair| match pair {
            (Step::Filter(a), Step::Filter(b)) => Arc::ptr_eq(a, b),
            (Step::Around(a), Step::Around(b)) => Arc::ptr_eq(a, b),
            _ => false,
        })
}
