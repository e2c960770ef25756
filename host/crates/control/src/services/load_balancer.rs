//! `loadBalancer`: from what is written to servers, balancer, cookie and health check.

use super::site::Site;
use super::{Kept, Outcome, Services, Usable};
use crate::resolve::own;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::sync::Arc;
use std::time::Duration;
use torana_base::{Diagnostic, Severity};
use torana_config::routing::{CookieConfig, HealthCheckConfig, LoadBalancerConfig};
use torana_http::Exchange;
use torana_http::variables::{OwnVariables, Template, Values};
use torana_upstream::balance::{Balancer, Candidate, CookieOptions, External, StickyCookie, Strategy};
use torana_upstream::{HealthCheck, LoadBalancer, Options, PassiveHealthCheck, Server, ServerUrl, ServiceMeter, Target, Transport};

impl Services<'_> {
    pub(super) fn load_balancer(&mut self, site: Site<'_>, lb: &LoadBalancerConfig) -> Outcome {
        let used = match &lb.plugin {
            Some(p) => Some(self.plugin(site, "loadBalancer.plugin", p)?),
            None => None,
        };
        let digest = used.as_ref().map_or(site.item.digest, |u| u.digest);
        let transport = self.transport(lb, site).map_err(|d| vec![d])?;
        let kept = self.before.services.get(site.name).filter(|k| k.digest == digest);
        if let Some(kept) = kept.filter(|k| k.transport.as_ref().is_some_and(|t| Arc::ptr_eq(t, &transport))) {
            let usable = kept.usable.clone();
            self.keep(site.name, Kept { digest, transport: Some(transport), children: Vec::new(), usable: usable.clone() });
            return Ok(usable);
        }
        let external: Option<Arc<dyn External>> = match &used {
            Some(u) => {
                let choice = self.plugins.choice(&u.plugin, u.config, &u.key).map_err(|wrong| own(site.item, wrong))?;
                Some(Arc::new(crate::plugins::Strategy(choice)))
            }
            None if lb.nginx_upstream_hash_by.is_empty() => None,
            None => Some(Arc::new(HashBy(Template::new(&lb.nginx_upstream_hash_by))) as Arc<dyn External>),
        };
        let built = self.balancer(site.name, lb, &transport, external).map_err(|(option, e)| vec![site.wrong(&option, e)])?;
        let nowhere = built.servers.iter().filter(|s| s.target.address.host.is_empty()).map(|s| {
            let d = site.wrong("loadBalancer.servers", format!("no server can be reached at `{}`: each request to it fails", s.url));
            Diagnostic { severity: Severity::Warning, ..d }.hint("write `http://host:port`, `https://host` or `h2c://host:port`")
        });
        let health = lb.health_check.as_ref().map(|_| built.balancer.clone());
        let usable = Usable { endpoint: built.clone(), warnings: nowhere.collect(), load_balancer: Some(built.clone()), health };
        self.keep(site.name, Kept { digest, transport: Some(transport), children: Vec::new(), usable: usable.clone() });
        Ok(usable)
    }

    fn balancer(
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
        let servers = servers.into_iter().map(|(s, ..)| s).collect();
        let redispatch = config.redispatch.unwrap_or_else(|| servers_come_and_go(name));
        let options = Options { pass_host_header: config.pass_host_header, redispatch };
        let mut built = LoadBalancer::new(name.clone(), Arc::new(balancer), servers, sticky, options, health);
        built.external = external;
        if let Some(passive) = &config.passive_health_check {
            built.watch(PassiveHealthCheck {
                window: passive.failure_window.positive().unwrap_or_default(),
                attempts: u64::try_from(passive.max_failed_attempts).unwrap_or(0),
                active: config.health_check.is_some(),
            });
        }
        if let Some(before) = self.before.services.get(name).and_then(|k| k.usable.load_balancer.as_ref()) {
            built.take_over(before);
        }
        built.meter = self.metrics.and_then(|m| Some(ServiceMeter { requests: m.service(name)?, metrics: m.clone() }));
        Ok(Arc::new(built))
    }
}

/// Sources whose servers come and go by themselves: between the end of one and its source saying so, another takes
/// its requests. Where somebody wrote the servers down, a dead one is answered with 502, as in Traefik.
pub(crate) fn servers_come_and_go(service: &str) -> bool {
    let provider = service.rsplit_once('@').map_or("", |(_, provider)| provider);
    let family = provider.split_once('-').map_or(provider, |(family, _)| family);
    matches!(
        family,
        "docker"
            | "swarm"
            | "kubernetes"
            | "kubernetescrd"
            | "kubernetesgateway"
            | "kubernetesingressnginx"
            | "consulcatalog"
            | "nomad"
            | "ecs"
    )
}

/// `upstream-hash-by` of ingress-nginx: what `hrw` looks at in place of the client's address.
struct HashBy(Template);

impl External for HashBy {
    fn choose(&self, exchange: &Exchange, balancer: &Balancer) -> Option<usize> {
        let key = self.0.fill(Values { exchange, upstream: None, own: &OwnVariables::new() });
        balancer.pick(key).map(|p| p.index)
    }
}

pub(super) fn cookie(c: &CookieConfig) -> CookieOptions {
    CookieOptions {
        name: c.name.clone(),
        secure: c.secure,
        http_only: c.http_only,
        same_site: c.same_site.clone(),
        max_age: c.max_age,
        path: Some(c.path.clone()),
        domain: c.domain.clone(),
        expires: c.expires,
    }
}

pub(super) fn health_check(c: &HealthCheckConfig) -> Result<HealthCheck, (String, String)> {
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
