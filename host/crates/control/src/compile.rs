//! Documents to a snapshot. No I/O but the certificates that a transport names and the files that values refer
//! to, and no clock.

use crate::acme::{Resolvers, Wishes};
use crate::copies;
use crate::expand::Models;
use crate::internal::Internals;
use crate::layers::Layers;
use crate::objects::{MiddlewareStatuses, by_use, middleware_status, service_status};
use crate::plugins::PluginMatchers;
use crate::references::Referred;
use crate::resolve::{Inputs, Kept, Kinds, Resolver};
use crate::router::{KeptRouters, Parsed};
use crate::routers::{RouterCx, Routers};
use crate::secure::{Files, TlsState, secure};
use crate::services::{Services, Store, transport_problems};
use crate::status::RuntimeStatus;
use crate::tcp::{TcpChecks, TcpCompiler, TcpCx, TcpKinds};
use crate::tls_plan::DEFAULT;
use crate::udp::UdpCompiler;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use torana_base::{Diagnostic, Severity, qualify};
use torana_config::install::InstallConfig;
use torana_config::routing::{Item, RouterConfig, RouterTlsConfig};
use torana_dataplane::Snapshot;
use torana_extend::PluginHost;
use torana_router::RouteTable;
use torana_telemetry::access_log::AccessLog;
use torana_telemetry::metrics::Metrics;
use torana_tls::Stapler;
use torana_trace::Tracer;
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
    pub access_log: Option<Arc<AccessLog>>,
    /// Traces requests, if they are traced.
    pub tracer: Option<Arc<Tracer>>,
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

pub struct Compiler {
    parts: Parts,
    models: Models,
    /// Provider precedence: lower goes first among equal priorities.
    ranks: FxHashMap<String, u32>,
    default_transport: Arc<Transport>,
    store: Store,
    middlewares: Kept,
    routers: KeptRouters,
    middleware_status: MiddlewareStatuses,
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
        let resolver = Resolver::new(inputs, self.parts.kinds, plugins, &self.middlewares).marking(self.parts.tracer.is_some());
        let mut services = Services::new(
            inputs,
            &self.parts.internals,
            plugins,
            self.parts.metrics.as_ref(),
            &resolver,
            &mut self.store,
            self.default_transport.clone(),
        );
        service_status(inputs, &mut services, &mut status);
        let middleware_status = middleware_status(inputs, &resolver, &mut services, self.parts.kinds, &self.middleware_status, &mut status);
        let resolvers = self.parts.resolvers.clone();
        self.tls.update(inputs, &resolvers.certificates());
        status.diagnostics.extend(self.tls.diagnostics().cloned());
        status.certificates = self.tls.shown().to_vec();
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
            let rule = self.models.syntax(provider, &item.config).rule(&item.config.rule, &matchers);
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
        let layers = Layers::new(&self.models, inputs, &plan);
        let cx = RouterCx {
            models: &self.models,
            strict: self.parts.install.core.strict_tls_options,
            tls: &self.tls,
            plan: &plan,
            layers: &layers,
            resolver: &resolver,
            matchers: &matchers,
            metrics: self.parts.metrics.as_deref(),
            access_log: self.parts.access_log.as_deref(),
            tracer: self.parts.tracer.as_deref(),
            ranks: &self.ranks,
            before: &self.routers,
        };
        let mut routers = Routers::new(cx, &mut services, parsed);
        routers.build(inputs);
        let Routers { routes, secured, kept, status: router_status, mut diagnostics, .. } = routers;
        status.diagnostics.append(&mut diagnostics);
        status.routers = router_status.into_iter().collect();
        status.diagnostics.extend(transport_problems("serversTransport", &self.default_transport));
        status.diagnostics.append(&mut services.finish());
        let (middlewares, led_to) = resolver.finish();
        self.middlewares = middlewares;
        self.routers = kept;
        self.middleware_status = middleware_status;
        let routes = routes.into_iter().map(|(e, r)| (e, RouteTable::new(r))).collect();
        let (activate, rest) = by_use(&status, &led_to);
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
