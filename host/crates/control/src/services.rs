//! Services by name, built once per compile and kept while neither they nor what they refer to change.

use crate::internal::Internals;
use crate::references::{self, reason};
use crate::resolve::{Inputs, Resolver, known, own};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use torana_base::{Diagnostic, Keep, provider_of, qualify, unqualified};
use torana_config::routing::{CookieConfig, HealthCheckConfig, Item, LoadBalancerConfig, ServiceConfig, ShareAnswer, WeightedConfig};
use torana_extend::PluginHost;
use torana_http::{Endpoint, Exchange, LocalFuture, Response, Step, respond, run};
use torana_telemetry::metrics::Metrics;
use torana_upstream::balance::{Balancer, Candidate, CookieOptions, External, StickyCookie, Strategy};
use torana_upstream::{
    HealthCheck, LoadBalancer, Options, Server, ServerUrl, ServiceMeter, SpiffeSource, Target, Transport, Weighted, files_digest,
};

/// A service that can be used.
#[derive(Clone)]
pub(crate) struct Usable {
    pub endpoint: Arc<dyn Endpoint>,
    pub load_balancer: Option<Arc<LoadBalancer>>,
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

/// A service behind middlewares of its own.
struct Behind {
    steps: Vec<Step>,
    endpoint: Arc<dyn Endpoint>,
}

impl Endpoint for Behind {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(run(&self.steps, &*self.endpoint, exchange))
    }
}

/// Answers a share of requests that leads to no service.
struct Share(ShareAnswer);

impl Endpoint for Share {
    fn serve<'a>(&'a self, _: &'a mut Exchange) -> LocalFuture<'a, Response> {
        let response = match self.0 {
            ShareAnswer::Status(s) => respond::status_text(StatusCode::from_u16(s).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)),
            ShareAnswer::GrpcUnavailable => {
                let mut r = Response::default();
                r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                r.headers_mut().insert("grpc-status", HeaderValue::from_static("14"));
                r.headers_mut().insert("grpc-message", HeaderValue::from_static("Service Unavailable"));
                r
            }
        };
        Box::pin(std::future::ready(response))
    }
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

    fn build(&mut self, qualified: &str, above: &mut Vec<String>) -> Outcome {
        if let Some(done) = self.done.get(qualified) {
            return done.clone();
        }
        if provider_of(qualified) == "internal" {
            let name = unqualified(qualified);
            return match self.internals.get(name) {
                Some(e) => Ok(Usable { endpoint: e.clone(), load_balancer: None, warnings: Arc::default() }),
                None => Err(vec![internal_missing(name)]),
            };
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
        above.push(qualified.to_owned());
        let outcome = self.build_new(&name, &item, above).and_then(|usable| self.behind_middlewares(&name, &item, usable));
        above.pop();
        self.done.insert(name, outcome.clone());
        outcome
    }

    /// Puts the middlewares of the service before it. One that cannot be used disables it.
    fn behind_middlewares(&mut self, name: &Arc<str>, item: &Item<ServiceConfig>, usable: Usable) -> Outcome {
        if item.config.middlewares.is_empty() {
            return Ok(usable);
        }
        let mut steps = Vec::new();
        for (i, written) in item.config.middlewares.iter().enumerate() {
            let qualified = qualify(written, provider_of(name));
            let option = format!("middlewares[{i}]");
            steps.extend(self.resolver.steps(&qualified, name).map_err(|wrong| {
                let (why, hint) = wrong.into_iter().next().map(|d| reason(item, d)).unwrap_or_default();
                let colon = if why.is_empty() { "" } else { ": " };
                let key = format!("http.services.{}.{option}", unqualified(name));
                let message = format!("middleware {} cannot be used{colon}{why}", references::name(item, &qualified));
                vec![Diagnostic { hint, ..Diagnostic::error(key, message).at(&item.place_of(&option)) }]
            })?);
        }
        let behind = match self.before.behind.get(name) {
            Some(b) if Arc::ptr_eq(&b.endpoint, &usable.endpoint) && same_steps(&b.steps, &steps) => b.clone(),
            _ => Arc::new(Behind { steps, endpoint: usable.endpoint.clone() }),
        };
        self.behind.insert(name.clone(), behind.clone());
        Ok(Usable { endpoint: behind, ..usable })
    }

    fn build_new(&mut self, name: &Arc<str>, item: &Item<ServiceConfig>, above: &mut Vec<String>) -> Outcome {
        if item.has_errors() {
            return Err(item.diagnostics.clone());
        }
        let quote = |option: &str, message: String| {
            let key = format!("http.services.{}{}{option}", unqualified(name), if option.is_empty() { "" } else { "." });
            Diagnostic::error(key, message).at(&item.place_of(option))
        };
        // What is not said by another object is its own text.
        let at = |option: &str, message: String| quote(option, item.conceal(message));
        let own = |wrong: Vec<Diagnostic>| own(item, wrong);
        // Of a service that uses no plugin, its own.
        let mut digest = item.digest;
        let mut used = None;
        for (option, p) in
            item.config.plugins().map(|p| (if item.config.load_balancer.is_some() { "loadBalancer.plugin" } else { "plugin" }, p))
        {
            let key = format!("http.services.{}.{option}.{}", unqualified(name), p.name);
            let Some(found) = self.plugins.find(&p.name, provider_of(name)) else {
                return Err(vec![crate::plugins::unknown(self.inputs, &p.name, &key).at(&item.place_of(option))]);
            };
            digest = crate::plugins::mixed(digest, self.plugins.version(&found));
            used = Some((found, p, key));
        }
        if let (None, None, Some((plugin, p, key))) = (&item.config.load_balancer, &item.config.weighted, &used) {
            let usable = match self.before.services.get(name) {
                Some(k) if k.digest == digest => k.usable.clone(),
                _ => {
                    let endpoint = self.plugins.service(plugin, &p.config, key).map_err(own)?;
                    Usable { endpoint, load_balancer: None, warnings: Arc::default() }
                }
            };
            self.after.insert(name.clone(), Kept { digest, transport: None, children: Vec::new(), usable: usable.clone() });
            return Ok(usable);
        }
        match (&item.config.load_balancer, &item.config.weighted) {
            (Some(lb), None) => {
                let transport = self.transport(lb, name, item).map_err(|e| vec![quote("loadBalancer.serversTransport", e)])?;
                if let Some(kept) = self.before.services.get(name)
                    && kept.digest == digest
                    && kept.transport.as_ref().is_some_and(|t| Arc::ptr_eq(t, &transport))
                {
                    let usable = kept.usable.clone();
                    self.after
                        .insert(name.clone(), Kept { digest, transport: Some(transport), children: Vec::new(), usable: usable.clone() });
                    return Ok(usable);
                }
                let external: Option<Arc<dyn External>> = match &used {
                    Some((plugin, p, key)) => {
                        Some(Arc::new(crate::plugins::Strategy(self.plugins.choice(plugin, &p.config, key).map_err(own)?)))
                    }
                    None => None,
                };
                let built = self.load_balancer(name, lb, &transport, external).map_err(|(option, e)| vec![at(&option, e)])?;
                let nowhere = built.servers.iter().filter(|s| s.target.address.host.is_empty()).map(|s| {
                    let d = at("loadBalancer.servers", format!("no server can be reached at `{}`: each request to it fails", s.url));
                    Diagnostic { severity: torana_base::Severity::Warning, ..d }
                        .hint("write `http://host:port`, `https://host` or `h2c://host:port`")
                });
                let usable = Usable { endpoint: built.clone(), warnings: nowhere.collect(), load_balancer: Some(built.clone()) };
                self.after.insert(name.clone(), Kept { digest, transport: Some(transport), children: Vec::new(), usable: usable.clone() });
                Ok(usable)
            }
            (None, Some(weighted)) => {
                let mut children = Vec::with_capacity(weighted.services.len());
                let kept = self.before.services.get(name).filter(|k| k.digest == item.digest).map(|k| k.children.clone());
                for (i, child) in weighted.services.iter().enumerate() {
                    if let Some(answer) = child.answer {
                        let before = kept.as_ref().and_then(|k| k.get(i).cloned());
                        children.push(before.unwrap_or_else(|| Arc::new(Share(answer))));
                        continue;
                    }
                    let qualified = qualify(&child.name, provider_of(name));
                    let usable = self.build(&qualified, above).map_err(|wrong| {
                        let option = format!("weighted.services[{i}].name");
                        let child = references::name(item, &qualified);
                        let (text, hint) = match wrong.into_iter().next().map(|d| reason(item, d)) {
                            Some((why, hint)) => (format!("service {child} cannot be used: {why}"), hint),
                            None => (format!("service {child} is disabled"), None),
                        };
                        vec![Diagnostic { hint, ..quote(&option, text) }]
                    })?;
                    children.push(usable.endpoint);
                }
                let usable = match self.before.services.get(name) {
                    Some(k) if k.digest == item.digest && same(&k.children, &children) => k.usable.clone(),
                    _ => Usable {
                        endpoint: Arc::new(self.weighted(name, weighted, children.clone())),
                        load_balancer: None,
                        warnings: Arc::default(),
                    },
                };
                self.after.insert(name.clone(), Kept { digest: item.digest, transport: None, children, usable: usable.clone() });
                Ok(usable)
            }
            (Some(_), Some(_)) => Err(vec![
                at("", "a service has one type only, this one has several".to_owned())
                    .hint("keep one of loadBalancer, weighted and plugin"),
            ]),
            (None, None) => Err(vec![
                at("", "the service has no type".to_owned())
                    .hint("add `loadBalancer` with `servers`, `weighted` with `services`, or `plugin`"),
            ]),
        }
    }

    fn transport(&mut self, lb: &LoadBalancerConfig, service: &str, item: &Item<ServiceConfig>) -> Result<Arc<Transport>, String> {
        let Some(named) = lb.servers_transport.as_deref().filter(|n| !n.is_empty()) else { return Ok(self.default_transport.clone()) };
        let qualified = qualify(named, provider_of(service));
        if qualified == "default@internal" {
            return Ok(self.default_transport.clone());
        }
        self.named_transport(&qualified).map_err(|why| {
            let shown = references::name(item, &qualified);
            why.map_or_else(|| format!("unknown serversTransport {shown}"), |why| format!("serversTransport {shown} cannot be used: {why}"))
        })
    }

    /// The error is what is wrong with it, or `None` where there is none of this name.
    fn named_transport(&mut self, qualified: &str) -> Result<Arc<Transport>, Option<String>> {
        if let Some((_, t)) = self.transports.get(qualified) {
            return Ok(t.clone());
        }
        let item =
            self.inputs.get(provider_of(qualified)).and_then(|c| c.http.servers_transports.get(unqualified(qualified))).ok_or(None)?;
        if let Some(d) = item.diagnostics.iter().find(|d| d.is_error()) {
            return Err(Some(d.message.clone()));
        }
        let digest = item.digest ^ files_digest(&item.config);
        let t = match self.before.transports.get(qualified) {
            Some((before, t)) if *before == digest => t.clone(),
            _ => Arc::new(Transport::build_with(&item.config, self.before.spiffe.as_ref())),
        };
        self.transports.insert(qualified.into(), (digest, t.clone()));
        Ok(t)
    }

    fn load_balancer(
        &self,
        name: &Arc<str>,
        config: &LoadBalancerConfig,
        transport: &Arc<Transport>,
        external: Option<Arc<dyn External>>,
    ) -> Result<Arc<LoadBalancer>, (String, String)> {
        let mut servers = Vec::with_capacity(config.servers.len());
        for (i, s) in config.servers.iter().enumerate() {
            let url: ServerUrl = s.url.parse().map_err(|e| (format!("loadBalancer.servers[{i}].url"), e))?;
            let prefix = if s.preserve_path { url.path.clone() } else { String::new() };
            let target =
                self.before.targets.get_or((ServerUrl { path: String::new(), ..url.clone() }, Arc::as_ptr(transport) as usize), || {
                    Target::new(&url, transport.clone())
                });
            servers.push((Server { url: s.url.as_str().into(), target, prefix }, s.weight.unwrap_or(1), s.fenced));
        }
        // Several gateways that start together do not all begin with the same server.
        // The order means something to a strategy from outside, which is told indexes.
        if external.is_none() {
            fastrand::shuffle(&mut servers);
        }
        let candidates: Vec<Candidate> =
            servers.iter().map(|(s, weight, fenced)| Candidate { name: s.url.to_string(), weight: *weight, fenced: *fenced }).collect();
        let sticky = config.sticky.as_ref().and_then(|s| s.cookie.as_ref()).map(|c| StickyCookie::new(&cookie(c), name, &candidates));
        let strategy = match config.strategy {
            torana_config::routing::Strategy::Wrr => Strategy::Wrr,
            torana_config::routing::Strategy::P2c => Strategy::P2c,
            torana_config::routing::Strategy::Hrw => Strategy::Hrw,
            torana_config::routing::Strategy::LeastTime => Strategy::LeastTime,
        };
        // Traefik has no cookie where the client's address decides.
        let sticky = sticky.filter(|_| strategy != Strategy::Hrw);
        let balancer = Balancer::new(strategy, candidates);
        let health = config.health_check.as_ref().map(health_check).transpose()?;
        if let (Some(before), true) = (self.before.services.get(name).and_then(|k| k.usable.load_balancer.as_ref()), health.is_some()) {
            for (i, (server, ..)) in servers.iter().enumerate() {
                let down = before.servers.iter().position(|s| s.url == server.url).is_some_and(|j| !before.balancer.is_up(j));
                balancer.set_up(i, !down);
            }
        }
        let servers = servers.into_iter().map(|(s, ..)| s).collect();
        let redispatch = config.redispatch.unwrap_or_else(|| servers_come_and_go(name));
        let options = Options { pass_host_header: config.pass_host_header, redispatch };
        let mut built = LoadBalancer::new(name.clone(), Arc::new(balancer), servers, sticky, options, health);
        built.external = external;
        if let Some(before) = self.before.services.get(name).and_then(|k| k.usable.load_balancer.as_ref()) {
            built.take_over_checks(before);
        }
        built.meter = self.metrics.and_then(|m| Some(ServiceMeter { requests: m.service(name)?, metrics: m.clone() }));
        Ok(Arc::new(built))
    }

    fn weighted(&self, name: &Arc<str>, config: &WeightedConfig, children: Vec<Arc<dyn Endpoint>>) -> Weighted {
        // By the names as written: the cookie of Traefik hashes them so.
        let candidates: Vec<Candidate> =
            config.services.iter().map(|s| Candidate { name: s.name.clone(), weight: s.weight, fenced: false }).collect();
        let sticky = config.sticky.as_ref().and_then(|s| s.cookie.as_ref()).map(|c| StickyCookie::new(&cookie(c), name, &candidates));
        Weighted { name: name.clone(), balancer: Arc::new(Balancer::new(Strategy::Wrr, candidates)), children, sticky }
    }
}

/// Sources whose servers come and go by themselves: between the end of one and its source saying so, another takes
/// its requests. Where somebody wrote the servers down, a dead one is answered with 502, as in Traefik.
pub(crate) fn servers_come_and_go(service: &str) -> bool {
    let provider = service.rsplit_once('@').map_or("", |(_, provider)| provider);
    let family = provider.split_once('-').map_or(provider, |(family, _)| family);
    matches!(family, "docker" | "swarm" | "kubernetes" | "kubernetescrd" | "kubernetesgateway" | "consulcatalog" | "nomad" | "ecs")
}

fn same_steps(a: &[Step], b: &[Step]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|pair| match pair {
            (Step::Filter(a), Step::Filter(b)) => Arc::ptr_eq(a, b),
            (Step::Around(a), Step::Around(b)) => Arc::ptr_eq(a, b),
            _ => false,
        })
}

fn same(a: &[Arc<dyn Endpoint>], b: &[Arc<dyn Endpoint>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}

fn internal_missing(name: &str) -> Diagnostic {
    let d = Diagnostic::error("", format!("the internal service `{name}@internal` is not enabled"));
    match name {
        "api" => d.hint("add `api: {}` to the install configuration"),
        "prometheus" => d.hint("add `metrics: {prometheus: {}}` to the install configuration"),
        "ping" | "ready" => d.hint("add `ping: {}` to the install configuration"),
        _ => d,
    }
}

/// A transport serves what it can; what it cannot honour is told.
pub(crate) fn transport_problems(key: &str, transport: &Transport) -> impl Iterator<Item = Diagnostic> {
    transport.problems.iter().map(move |p| Diagnostic::error(format!("{key}.{}", p.key), p.message.clone()))
}

fn cookie(c: &CookieConfig) -> CookieOptions {
    CookieOptions {
        name: c.name.clone(),
        secure: c.secure,
        http_only: c.http_only,
        same_site: c.same_site.clone(),
        max_age: c.max_age,
        path: Some(c.path.clone()),
        domain: c.domain.clone(),
    }
}

fn health_check(c: &HealthCheckConfig) -> Result<HealthCheck, (String, String)> {
    let wrong = |option: &str, message: String| (format!("loadBalancer.healthCheck.{option}"), message);
    let mut headers = HeaderMap::new();
    for (name, value) in &c.headers {
        let n = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("headers", format!("`{name}` is not a header name")))?;
        let v = HeaderValue::from_str(value).map_err(|_| wrong("headers", format!("the value of `{name}` cannot stand in a header")))?;
        // `Host` comes from `hostname` alone, as Go's client would have it.
        if n != http::header::HOST {
            headers.insert(n, v);
        }
    }
    let method = if c.method.is_empty() { "GET" } else { &c.method };
    let default = Duration::from_secs(30);
    let interval = c.interval.positive().unwrap_or(default);
    Ok(HealthCheck {
        grpc: c.mode == "grpc",
        path: c.path.clone(),
        // As written; with one that is none each check fails.
        method: Method::from_bytes(method.as_bytes()).ok(),
        scheme: c.scheme.clone(),
        port: c.port,
        hostname: c.hostname.clone(),
        headers,
        status: c.status,
        interval,
        unhealthy_interval: c.unhealthy_interval.and_then(|i| i.positive()).unwrap_or(interval),
        timeout: c.timeout.positive().unwrap_or(Duration::from_secs(5)),
        follow_redirects: c.follow_redirects,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use torana_config::parse::{Format, parse};
    use torana_config::routing::decode;

    fn inputs(yaml: &str) -> Inputs {
        let config = decode(&parse(yaml, Format::Yaml, "t.yml".into()).unwrap()).value;
        Inputs::from([("file", Arc::new(config))])
    }

    /// Whether each service of a document can be used, and what is told about them and their transports.
    fn built(yaml: &str, names: &[&str]) -> (Vec<bool>, Vec<String>) {
        let (inputs, internals, mut store) = (inputs(yaml), Internals::new(), Store::default());
        let kept = crate::resolve::Kept::default();
        let resolver = Resolver::new(&inputs, |_| None, &torana_extend::NoPlugins, &kept);
        let mut services = Services::new(
            &inputs,
            &internals,
            &torana_extend::NoPlugins,
            None,
            &resolver,
            &mut store,
            Arc::new(Transport::build(&Default::default())),
        );
        let outcomes: Vec<Outcome> = names.iter().map(|n| services.service(n)).collect();
        let mut told: Vec<String> = outcomes.iter().flatten().flat_map(|u| u.warnings.iter().map(|d| d.key.clone())).collect();
        told.extend(services.finish().into_iter().map(|d| d.key));
        (outcomes.iter().map(Result::is_ok).collect(), told)
    }

    #[test]
    fn what_cannot_be_reached_is_a_server_all_the_same() {
        let yaml =
            "http: {services: {a: {loadBalancer: {servers: [{url: 'ftp://x'}]}}, b: {loadBalancer: {servers: [{url: '127.0.0.1:80'}]}}}}";
        assert_eq!(built(yaml, &["a@file", "b@file"]), (vec![true, false], vec!["http.services.a.loadBalancer.servers".to_owned()]));
    }

    #[test]
    fn a_transport_with_a_bad_option_is_told_and_used() {
        let yaml = "http: {services: {a: {loadBalancer: {serversTransport: t}}, b: {loadBalancer: {serversTransport: u}}}, serversTransports: {t: {rootCAs: [/nope.crt]}}}";
        assert_eq!(built(yaml, &["a@file", "b@file"]), (vec![true, false], vec!["http.serversTransports.t.rootCAs".to_owned()]));
    }

    #[test]
    fn a_child_has_its_cookie_by_the_name_as_written() {
        let inputs = inputs("http: {services: {w: {weighted: {sticky: {cookie: {name: c}}, services: [{name: a}, {name: b@file}]}}}}");
        let (internals, mut store) = (Internals::new(), Store::default());
        let kept = crate::resolve::Kept::default();
        let resolver = Resolver::new(&inputs, |_| None, &torana_extend::NoPlugins, &kept);
        let services = Services::new(
            &inputs,
            &internals,
            &torana_extend::NoPlugins,
            None,
            &resolver,
            &mut store,
            Arc::new(Transport::build(&Default::default())),
        );
        let item = service_item(&inputs, "w@file").unwrap();
        let weighted = services.weighted(&"w@file".into(), item.config.weighted.as_ref().unwrap(), Vec::new());
        // Recorded from Traefik 3.7.15.
        assert_eq!(weighted.sticky.unwrap().set_cookie(0).unwrap(), "c=ca978112ca1bbdca; Path=/");
    }

    #[test]
    fn a_service_without_its_middleware_is_disabled() {
        let yaml =
            "http: {services: {a: {loadBalancer: {}, middlewares: [gone]}, b: {loadBalancer: {}}, w: {weighted: {services: [{name: a}]}}}}";
        assert_eq!(built(yaml, &["a@file", "b@file", "w@file"]).0, [false, true, false]);
    }

    #[test]
    fn a_share_without_a_service_is_answered() {
        let served = |answer| {
            let at = "127.0.0.1:1".parse().unwrap();
            let peer = torana_http::Peer::new(at, at, None, "web".into(), false);
            let mut x = Exchange::new(Default::default(), std::rc::Rc::new(peer));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(Share(answer).serve(&mut x))
        };
        assert_eq!(served(ShareAnswer::Status(500)).status(), 500);
        let grpc = served(ShareAnswer::GrpcUnavailable);
        assert_eq!((grpc.status().as_u16(), &grpc.headers()["grpc-status"]), (200, &HeaderValue::from_static("14")));
    }

    #[test]
    fn a_method_is_sent_as_written_and_host_comes_from_hostname() {
        let check = |method: &str| HealthCheckConfig {
            method: method.into(),
            headers: BTreeMap::from([("Host".into(), "x".into())]),
            ..HealthCheckConfig::default()
        };
        let built = health_check(&check("head")).unwrap();
        assert_eq!((built.method.unwrap().as_str(), built.headers.len(), built.hostname.as_str()), ("head", 0, ""));
        assert!(health_check(&check("G ET")).unwrap().method.is_none());
    }
}
