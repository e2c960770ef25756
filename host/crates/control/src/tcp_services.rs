//! TCP services by name, built once per compile and kept while neither they nor what they refer to change.

use crate::references;
use crate::resolve::{Inputs, known};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use torana_base::{Diagnostic, provider_of, qualify, unqualified};
use torana_config::routing::{
    Item, TcpHealthCheckConfig, TcpLoadBalancerConfig, TcpServersTransportConfig, TcpServiceConfig, TcpWeightedConfig,
};
use torana_upstream::SpiffeSource;
use torana_upstream::l4::{TcpHealthCheck, TcpLoadBalancer, TcpServer, TcpService, TcpTransport, TcpWeighted, tcp_files_digest};

/// Health checks send and expect at most this much, as in Traefik.
const MOST_PAYLOAD: usize = 65_535;

/// A service that can be used.
#[derive(Clone)]
pub(crate) struct Usable {
    pub service: TcpService,
    /// Servers that are left out, options that are old.
    pub warnings: Arc<[Diagnostic]>,
}

struct Kept {
    digest: u64,
    /// What it was built from: transport or children.
    transport: Option<Arc<TcpTransport>>,
    children: Vec<TcpService>,
    usable: Usable,
}

type Transports = FxHashMap<Arc<str>, (u64, Arc<TcpTransport>)>;

/// What outlives a compile.
pub(crate) struct TcpServiceStore {
    services: FxHashMap<Arc<str>, Kept>,
    transports: Transports,
    default_config: TcpServersTransportConfig,
    default: Arc<TcpTransport>,
    spiffe: Option<Arc<SpiffeSource>>,
}

impl TcpServiceStore {
    /// The error is about the transport by default.
    pub(crate) fn new(default_config: TcpServersTransportConfig, spiffe: Option<Arc<SpiffeSource>>) -> Result<Self, Diagnostic> {
        let default =
            TcpTransport::build_with(&default_config, spiffe.as_ref()).map_err(|e| Diagnostic::error("tcpServersTransport", e))?;
        Ok(TcpServiceStore {
            services: FxHashMap::default(),
            transports: Transports::default(),
            default_config,
            default: Arc::new(default),
            spiffe,
        })
    }
}

pub(crate) type Outcome = Result<Usable, Vec<Diagnostic>>;

/// TCP services within one compile.
pub(crate) struct TcpServices<'a> {
    inputs: &'a Inputs,
    before: &'a mut TcpServiceStore,
    after: FxHashMap<Arc<str>, Kept>,
    transports: Transports,
    done: BTreeMap<Arc<str>, Outcome>,
}

impl<'a> TcpServices<'a> {
    pub(crate) fn new(inputs: &'a Inputs, before: &'a mut TcpServiceStore) -> Self {
        TcpServices { inputs, before, after: FxHashMap::default(), transports: Transports::default(), done: BTreeMap::new() }
    }

    /// Keeps what was used for the next compile; what is wrong with the transports, used or not.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        let mut wrong = Vec::new();
        for (provider, config) in self.inputs {
            for (name, item) in &config.tcp.servers_transports {
                let key = format!("tcp.serversTransports.{name}");
                wrong.extend(item.diagnostics.iter().cloned());
                match self.named_transport(&qualify(name, provider)) {
                    Ok(t) => {
                        wrong.extend(problems(&key, &t).map(|(d, option)| item.conceal_in(d).at(&item.place_of(&format!("tls.{option}")))))
                    }
                    Err(_) if item.has_errors() => {}
                    Err(Unusable::Unknown) => {}
                    Err(Unusable::Disabled(e) | Unusable::Broken(e)) => {
                        wrong.push(Diagnostic::error(key, e).at(&item.place_of("proxyProtocol.version")));
                    }
                }
            }
        }
        wrong.extend(problems("tcpServersTransport", &self.before.default).map(|(d, _)| d));
        self.before.services = self.after;
        self.before.transports = self.transports;
        wrong
    }

    /// A service by qualified name.
    pub(crate) fn service(&mut self, qualified: &str) -> Outcome {
        self.build(qualified, &mut Vec::new())
    }

    fn build(&mut self, qualified: &str, above: &mut Vec<String>) -> Outcome {
        if let Some(done) = self.done.get(qualified) {
            return done.clone();
        }
        if above.iter().any(|a| a == qualified) {
            let round = above.iter().map(String::as_str).chain([qualified]).collect::<Vec<_>>().join(" -> ");
            return Err(vec![Diagnostic::error("", format!("services refer to each other in a circle: {round}"))]);
        }
        let found = self.inputs.get(provider_of(qualified)).and_then(|c| c.tcp.services.get(unqualified(qualified)));
        let Some(item) = found.cloned() else {
            let all: Vec<String> = self.inputs.iter().flat_map(|(p, c)| c.tcp.services.keys().map(move |n| qualify(n, p))).collect();
            return Err(vec![Diagnostic::error("", format!("the service `{qualified}` does not exist in tcp.services")).hint(known(
                qualified,
                &all,
                "TCP services",
            ))]);
        };
        let name: Arc<str> = qualified.into();
        above.push(qualified.to_owned());
        let outcome = self.build_new(&name, &item, above);
        above.pop();
        self.done.insert(name, outcome.clone());
        outcome
    }

    fn build_new(&mut self, name: &Arc<str>, item: &Item<TcpServiceConfig>, above: &mut Vec<String>) -> Outcome {
        if item.has_errors() {
            return Err(item.diagnostics.clone());
        }
        let built = match (&item.config.load_balancer, &item.config.weighted) {
            (Some(lb), _) => self.load_balancer(name, item, lb),
            (_, Some(weighted)) => self.weighted(name, item, weighted, above),
            (None, None) => Err(wrong(name, item, "", "the service has no type").hint("add `loadBalancer` or `weighted`")),
        };
        let kept = built.map_err(|d| vec![d])?;
        let usable = kept.usable.clone();
        self.after.insert(name.clone(), kept);
        Ok(usable)
    }

    fn load_balancer(&mut self, name: &Arc<str>, item: &Item<TcpServiceConfig>, lb: &TcpLoadBalancerConfig) -> Result<Kept, Diagnostic> {
        let named = lb.servers_transport.as_deref().filter(|n| !n.is_empty()).map(|n| qualify(n, provider_of(name)));
        let named = named.filter(|n| n != "default@internal");
        let base = match &named {
            Some(n) => self.named_transport(n).map_err(|e| {
                let shown = references::name(item, n);
                let text = match e {
                    Unusable::Unknown => format!("no transport configuration found for {shown} in tcp.serversTransports"),
                    Unusable::Disabled(why) => format!("serversTransport {shown} cannot be used: {why}"),
                    Unusable::Broken(why) => why,
                };
                quote(name, item, "loadBalancer.serversTransport", text)
            })?,
            None => self.before.default.clone(),
        };
        let before = self.before.services.get(name);
        if let Some(kept) = before.filter(|k| k.digest == item.digest && k.transport.as_ref().is_some_and(|t| Arc::ptr_eq(t, &base))) {
            return Ok(Kept { digest: kept.digest, transport: Some(base), children: Vec::new(), usable: kept.usable.clone() });
        }
        let mut warnings = Vec::new();
        let mut warn = |d: Diagnostic, hint: &str| {
            warnings.push(Diagnostic { severity: torana_base::Severity::Warning, ..d }.hint(hint));
        };
        // The old way to say what a transport says: counts only where none is named.
        let mut own = self.before.default_config.clone();
        for (option, old) in [("proxyProtocol", lb.proxy_protocol.is_some()), ("terminationDelay", lb.termination_delay.is_some())] {
            if old && named.is_some() {
                let text = format!("`{option}` has no effect beside `serversTransport`");
                warn(wrong(name, item, &format!("loadBalancer.{option}"), text), "write it in the serversTransport");
            } else if old {
                let text = format!(
                    "`{option}` of a load balancer is old{}",
                    if option == "terminationDelay" { ", and counts nanoseconds" } else { "" }
                );
                warn(wrong(name, item, &format!("loadBalancer.{option}"), text), "write it in one of tcp.serversTransports, and name that");
            }
        }
        own.proxy_protocol = lb.proxy_protocol.or(own.proxy_protocol);
        if let Some(nanos) = lb.termination_delay {
            own.termination_delay = torana_base::GoDuration(nanos);
        }
        let transport = match named.is_none() && own != self.before.default_config {
            true => Arc::new(
                TcpTransport::build_with(&own, self.before.spiffe.as_ref())
                    .map_err(|e| wrong(name, item, "loadBalancer.proxyProtocol", e))?,
            ),
            false => base.clone(),
        };
        let redispatch = lb.redispatch.unwrap_or_else(|| crate::services::servers_come_and_go(name));
        let mut servers = Vec::with_capacity(lb.servers.len());
        for (i, s) in lb.servers.iter().enumerate() {
            match s.address.parse() {
                Ok(address) => {
                    let (name, transport) = (s.address.clone(), transport.clone());
                    servers.push(TcpServer { name, address, tls: s.tls, redispatch, transport });
                }
                Err(e) => {
                    let d = wrong(name, item, &format!("loadBalancer.servers[{i}].address"), format!("{e}: the server is left out"));
                    warn(d, "write `host:port`");
                }
            }
        }
        // Several gateways that start together do not all begin with the same server.
        fastrand::shuffle(&mut servers);
        let health = lb
            .health_check
            .as_ref()
            .map(|h| health_check(h, &mut |text, hint| warn(wrong(name, item, "loadBalancer.healthCheck", text), hint)));
        let built = TcpLoadBalancer::new(name.clone(), servers, health);
        if let (Some(TcpService::LoadBalancer(old)), true) = (before.map(|k| &k.usable.service), built.health.is_some()) {
            for (i, server) in built.servers.iter().enumerate() {
                if old.servers.iter().position(|s| s.name == server.name).is_some_and(|j| !old.rotor.is_up(j)) {
                    built.rotor.set_up(i, false);
                }
            }
        }
        let usable = Usable { service: TcpService::LoadBalancer(Arc::new(built)), warnings: warnings.into() };
        Ok(Kept { digest: item.digest, transport: Some(base), children: Vec::new(), usable })
    }

    fn weighted(
        &mut self,
        name: &Arc<str>,
        item: &Item<TcpServiceConfig>,
        weighted: &TcpWeightedConfig,
        above: &mut Vec<String>,
    ) -> Result<Kept, Diagnostic> {
        let mut children = Vec::with_capacity(weighted.services.len());
        for (i, child) in weighted.services.iter().enumerate() {
            let qualified = qualify(&child.name, provider_of(name));
            let option = format!("weighted.services[{i}].name");
            let usable = self.build(&qualified, above).map_err(|why| {
                let why = why.into_iter().next().map(|d| references::reason(item, d));
                let (text, hint) = why.unwrap_or_else(|| ("it is disabled".to_owned(), None));
                let shown = references::name(item, &qualified);
                Diagnostic { hint, ..quote(name, item, &option, format!("service {shown} cannot be used: {text}")) }
            })?;
            if weighted.health_check.is_some() && !usable.service.checks_health() {
                let text = format!("service `{qualified}` has no healthCheck of its own that `weighted.healthCheck` could follow");
                return Err(wrong(name, item, &option, text).hint("add `healthCheck` to it, or remove `weighted.healthCheck`"));
            }
            children.push(usable.service);
        }
        let same = |k: &&Kept| {
            k.digest == item.digest && k.children.len() == children.len() && k.children.iter().zip(&children).all(|(a, b)| a.is_same(b))
        };
        let usable = match self.before.services.get(name).filter(same) {
            Some(kept) => kept.usable.clone(),
            None => {
                let members = children.iter().cloned().zip(weighted.services.iter().map(|s| s.weight)).collect();
                let service = TcpWeighted::new(name.clone(), members, weighted.health_check.is_some());
                Usable { service: TcpService::Weighted(Arc::new(service)), warnings: Arc::default() }
            }
        };
        Ok(Kept { digest: item.digest, transport: None, children, usable })
    }

    fn named_transport(&mut self, qualified: &str) -> Result<Arc<TcpTransport>, Unusable> {
        if let Some((_, t)) = self.transports.get(qualified) {
            return Ok(t.clone());
        }
        let item = self
            .inputs
            .get(provider_of(qualified))
            .and_then(|c| c.tcp.servers_transports.get(unqualified(qualified)))
            .ok_or(Unusable::Unknown)?;
        if let Some(d) = item.diagnostics.iter().find(|d| d.is_error()) {
            return Err(Unusable::Disabled(d.message.clone()));
        }
        let digest = item.digest ^ tcp_files_digest(&item.config);
        let t = match self.before.transports.get(qualified) {
            Some((before, t)) if *before == digest => t.clone(),
            _ => {
                let built = TcpTransport::build_with(&item.config, self.before.spiffe.as_ref());
                Arc::new(built.map_err(|e| Unusable::Broken(item.conceal(e)))?)
            }
        };
        self.transports.insert(qualified.into(), (digest, t.clone()));
        Ok(t)
    }
}

/// Why there is no transport of a name.
enum Unusable {
    Unknown,
    /// It has a mistake.
    Disabled(String),
    /// It cannot be made.
    Broken(String),
}

/// What is wrong with a service, in a text that is all its own.
fn wrong(name: &str, item: &Item<TcpServiceConfig>, option: &str, message: impl Into<String>) -> Diagnostic {
    quote(name, item, option, item.conceal(message))
}

/// What is wrong with a service, in a text that may be another object's.
fn quote(name: &str, item: &Item<TcpServiceConfig>, option: &str, message: String) -> Diagnostic {
    let dot = if option.is_empty() { "" } else { "." };
    Diagnostic::error(format!("tcp.services.{}{dot}{option}", unqualified(name)), message).at(&item.place_of(option))
}

/// What is wrong with a transport that works all the same, and the option.
fn problems<'t>(key: &'t str, transport: &'t TcpTransport) -> impl Iterator<Item = (Diagnostic, &'static str)> + 't {
    transport.problems.iter().map(move |p| (Diagnostic::error(format!("{key}.tls.{}", p.key), p.message.as_str()), p.key))
}

fn health_check(config: &TcpHealthCheckConfig, warn: &mut dyn FnMut(String, &str)) -> TcpHealthCheck {
    let mut time = |name: &str, given: torana_base::GoDuration, default: Duration| {
        given.positive().unwrap_or_else(|| {
            warn(format!("`{name}` is not above 0: the default is used"), "write a time such as `10s`");
            default
        })
    };
    let interval = time("interval", config.interval, Duration::from_secs(30));
    let unhealthy_interval = config.unhealthy_interval.map_or(interval, |u| time("unhealthyInterval", u, interval));
    let timeout = time("timeout", config.timeout, Duration::from_secs(5));
    let mut payload = |name: &str, text: &str| {
        let fits = text.len() <= MOST_PAYLOAD;
        if !fits {
            warn(format!("`{name}` is longer than {MOST_PAYLOAD} bytes and left out"), "shorten it");
        }
        if fits { text.to_owned() } else { String::new() }
    };
    TcpHealthCheck {
        port: config.port,
        send: payload("send", &config.send),
        expect: payload("expect", &config.expect),
        interval,
        unhealthy_interval,
        timeout,
    }
}
