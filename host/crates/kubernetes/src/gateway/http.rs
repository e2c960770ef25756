//! Rules of `HTTPRoute` and `GRPCRoute` to routers and services.

use super::filters;
use super::listeners::Listener;
use super::model::{Match, MethodMatch, Object, PathMatch, Reference, RouteSpec, Rule, ValueMatch};
use super::names::{self, quote, quote_regex};
use super::refs::{Backend, Found, Refs, Unresolved};
use crate::made::Made;
use torana_base::Place;
use torana_config::routing::{
    LoadBalancerConfig, RouterConfig, RouterTlsConfig, ServerConfig, ServersTransportConfig, ServiceConfig, ShareAnswer, WeightedConfig,
    WeightedServiceConfig,
};

/// One of the two kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http,
    Grpc,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Http => "HTTPRoute",
            Kind::Grpc => "GRPCRoute",
        }
    }

    /// What requests get that lead nowhere.
    fn failure(self) -> ShareAnswer {
        match self {
            Kind::Http => ShareAnswer::Status(500),
            Kind::Grpc => ShareAnswer::GrpcUnavailable,
        }
    }
}

/// A route on a listener that has accepted it.
pub(super) struct Attached<'a> {
    pub(super) kind: Kind,
    pub(super) route: &'a Object<RouteSpec>,
    pub(super) listener: &'a Listener,
    pub(super) hostnames: &'a [String],
    pub(super) place: &'a Place,
}

impl Attached<'_> {
    /// Makes its routers; what of its references leads nowhere.
    pub(super) fn build(&self, refs: &mut Refs<'_>, made: &mut Made) -> Vec<Unresolved> {
        let mut wrong = Vec::new();
        let rules = &self.route.spec.rules;
        for (i, rule) in rules.iter().enumerate() {
            let (ns, name) = &self.route.key;
            let (gw_ns, gw) = &self.listener.gateway;
            let kind = self.kind.name().to_ascii_lowercase();
            let key = format!("{kind}-{ns}-{name}-gw-{gw_ns}-{gw}-ep-{}-{i}", self.listener.entry_point);
            let any = [Match::default()];
            for m in if rule.matches.is_empty() { &any[..] } else { &rule.matches[..] } {
                let (text, priority) = match self.kind {
                    Kind::Http => http_rule(self.hostnames, m),
                    Kind::Grpc => grpc_rule(self.hostnames, m),
                };
                let priority = if self.kind == Kind::Http { priority + (rules.len() - i) as i64 } else { priority };
                if made.is_first(&self.listener.entry_point, self.listener.is_tls(), &text, self.place) {
                    self.router(refs, made, rule, m, names::router(&key, &text), text, priority, &mut wrong);
                }
            }
        }
        wrong
    }

    #[allow(clippy::too_many_arguments)]
    fn router(
        &self,
        refs: &mut Refs<'_>,
        made: &mut Made,
        rule: &Rule,
        m: &Match,
        name: String,
        text: String,
        priority: i64,
        wrong: &mut Vec<Unresolved>,
    ) {
        let namespace = &self.route.key.0;
        let root = PathMatch::default();
        let path = Some(m.path.as_ref().unwrap_or(&root));
        let (middlewares, service) = match filters::load(made, refs.options, self.place, namespace, &name, &rule.filters, path) {
            Err(why) => {
                made.tree.reject(self.place, format!("{why}; requests of its rule are answered with 500"));
                let service = format!("{name}-err-wrr");
                let share = WeightedServiceConfig {
                    name: format!("invalid-{}-filter", self.kind.name().to_ascii_lowercase()),
                    answer: Some(self.kind.failure()),
                    ..Default::default()
                };
                made.weighted(&service, vec![share], self.place);
                (Vec::new(), service)
            }
            Ok(middlewares) => (middlewares, self.service(refs, made, rule, path, &name, wrong)),
        };
        let router = RouterConfig {
            entry_points: vec![self.listener.entry_point.clone()],
            middlewares,
            service: Some(service),
            rule: text,
            priority,
            tls: self.listener.is_tls().then(RouterTlsConfig::default),
            ..RouterConfig::default()
        };
        made.router(&name, router, self.place);
    }

    /// The service of a rule: one that weighs its backends.
    fn service(
        &self,
        refs: &mut Refs<'_>,
        made: &mut Made,
        rule: &Rule,
        path: Option<&PathMatch>,
        router: &str,
        wrong: &mut Vec<Unresolved>,
    ) -> String {
        if let [only] = rule.backend_refs.as_slice()
            && only.filters.is_empty()
            && let Ok(Backend::Named(internal)) = refs.http(self.kind.name(), &self.route.key, self.listener, only, "http")
            && internal.ends_with("@internal")
        {
            return internal;
        }
        let mut shares = Vec::with_capacity(rule.backend_refs.len());
        for (i, reference) in rule.backend_refs.iter().enumerate() {
            let namespace = reference.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or(&self.route.key.0);
            let name = format!("{router}-svc-{namespace}-{}-{i}", torana_base::normalize(&reference.name));
            let weight = reference.weight.unwrap_or(1);
            let share = match self.backend(refs, made, reference, path, &name) {
                Ok(name) => WeightedServiceConfig { name, weight, answer: None },
                Err(unresolved) => {
                    wrong.push(unresolved);
                    WeightedServiceConfig { name, weight, answer: Some(self.kind.failure()) }
                }
            };
            shares.push(share);
        }
        let answers = rule.filters.iter().any(|f| f.kind == "RequestRedirect");
        // With nowhere to go the API wants 500, also where all weights are 0.
        if !answers && shares.iter().all(|s| s.weight <= 0) {
            shares.push(WeightedServiceConfig { name: "no-backend-refs".into(), weight: 1, answer: Some(self.kind.failure()) });
        }
        let name = format!("{router}-wrr");
        made.weighted(&name, shares, self.place);
        name
    }

    fn backend(
        &self,
        refs: &mut Refs<'_>,
        made: &mut Made,
        reference: &Reference,
        path: Option<&PathMatch>,
        name: &str,
    ) -> Result<String, Unresolved> {
        let plain = if self.kind == Kind::Grpc { "h2c" } else { "http" };
        let found = refs.http(self.kind.name(), &self.route.key, self.listener, reference, plain)?;
        let unsupported = |message| Unresolved { reason: "UnsupportedValue", message };
        let middlewares =
            filters::load(made, refs.options, self.place, &self.route.key.0, name, &reference.filters, path).map_err(unsupported)?;
        let service = match found {
            Backend::Named(named) if middlewares.is_empty() => return Ok(named),
            Backend::Named(named) => {
                let share = WeightedServiceConfig { name: named, ..Default::default() };
                ServiceConfig {
                    weighted: Some(WeightedConfig { services: vec![share], ..WeightedConfig::default() }),
                    middlewares,
                    ..Default::default()
                }
            }
            Backend::Servers(found) => {
                let load_balancer = Some(load_balancer(made, name, found, self.place));
                ServiceConfig { load_balancer, middlewares, ..Default::default() }
            }
        };
        made.service(name, service, self.place);
        Ok(name.to_owned())
    }
}

fn load_balancer(made: &mut Made, name: &str, found: Found, place: &Place) -> LoadBalancerConfig {
    let scheme = found.scheme;
    let server = |(s, fenced): (&crate::backends::Server, bool)| ServerConfig {
        url: format!("{scheme}://{}", s.address),
        fenced,
        ..Default::default()
    };
    let servers = crate::backends::fenced(&found.backends).map(server).collect();
    let servers_transport = found.tls.map(|tls| {
        let transport = ServersTransportConfig { server_name: tls.server_name, root_cas: tls.authorities, ..Default::default() };
        made.transport(name, transport, place);
        format!("{name}@{}", super::NAME)
    });
    LoadBalancerConfig { servers, servers_transport, ..Default::default() }
}

/// The rule of a match, and its priority before that of the rule's place.
fn http_rule(hostnames: &[String], m: &Match) -> (String, i64) {
    let mut parts = host_part(hostnames);
    let (kind, value) = m.path.as_ref().map_or(("PathPrefix", "/"), |p| (p.kind.as_str(), p.value.as_deref().unwrap_or("/")));
    let mut priority = match (kind, value) {
        ("Exact", _) => 100_000,
        ("PathPrefix" | "", "/") => 1,
        (_, value) => 10_000 + 100 * value.len() as i64,
    };
    parts.push(match (kind, value) {
        ("Exact", value) => format!("Path({})", quote(value)),
        ("RegularExpression", value) => format!("PathRegexp({})", quote(value)),
        (_, "/") => "PathPrefix(\"/\")".into(),
        (_, value) => {
            let value = value.trim_end_matches('/');
            format!("(Path({}) || PathPrefix({}))", quote(value), quote(&format!("{value}/")))
        }
    });
    if let Some(MethodMatch::Http(method)) = &m.method {
        parts.push(format!("Method({})", quote(method)));
        priority += 1000;
    }
    parts.extend(m.headers.iter().map(|h| value_rule("Header", h)));
    parts.extend(m.query_params.iter().map(|q| value_rule("Query", q)));
    priority += 100 * m.headers.len() as i64 + 10 * m.query_params.len() as i64 + names::longest(hostnames);
    (parts.join(" && "), priority)
}

fn grpc_rule(hostnames: &[String], m: &Match) -> (String, i64) {
    let mut parts = Vec::new();
    parts.push(match &m.method {
        Some(MethodMatch::Grpc(g)) if g.service.is_some() || g.method.is_some() => {
            let part = |text: &Option<String>| match text.as_deref() {
                None | Some("") => "[^/]+".to_owned(),
                Some(text) if g.kind == "RegularExpression" => text.to_owned(),
                Some(text) => quote_regex(text),
            };
            format!("PathRegexp({})", quote(&format!("/{}/{}", part(&g.service), part(&g.method))))
        }
        _ => "PathPrefix(\"/\")".to_owned(),
    });
    parts.extend(m.headers.iter().map(|h| value_rule("Header", h)));
    let priority = parts.join(" && ").len() as i64 + names::longest(hostnames);
    let mut all = host_part(hostnames);
    all.append(&mut parts);
    (all.join(" && "), priority)
}

fn host_part(hostnames: &[String]) -> Vec<String> {
    Some(names::http_rule(hostnames)).filter(|r| !r.is_empty()).into_iter().collect()
}

fn value_rule(matcher: &str, m: &ValueMatch) -> String {
    let regexp = if m.kind == "RegularExpression" { "Regexp" } else { "" };
    format!("{matcher}{regexp}({},{})", quote(&m.name), quote(&m.value))
}
