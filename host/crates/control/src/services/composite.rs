//! Services made of other services.

use super::load_balancer::cookie;
use super::site::Site;
use super::{Kept, Outcome, Services, Usable};
use crate::references::{self, reason};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use std::sync::Arc;
use torana_base::{Diagnostic, provider_of, qualify};
use torana_base::{NoStatusRange, StatusRanges};
use torana_config::routing::{
    CookieConfig, FailoverConfig, HighestRandomWeightConfig, MirroringConfig, ShareAnswer, WeightedConfig, WeightedServiceConfig,
};
use torana_http::{Endpoint, Exchange, LocalFuture, Response, respond};
use torana_upstream::balance::{Balancer, Candidate, StickyCookie, Strategy};
use torana_upstream::{Failover, FailoverErrors, Mirror, Mirroring, Weighted};

/// Answers a share of requests that leads to no service.
pub(super) struct Share(pub(super) ShareAnswer);

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

impl Services<'_> {
    /// The service that an option names.
    fn child(&mut self, site: Site<'_>, option: &str, written: &str, above: &mut Vec<String>) -> Outcome {
        let qualified = qualify(written, provider_of(site.name));
        self.parts.entry(site.name.clone()).or_default().push(qualified.as_str().into());
        self.build(&qualified, above).map_err(|wrong| {
            let child = references::name(site.item, &qualified);
            let (text, hint) = match wrong.into_iter().next().map(|d| reason(site.item, d)) {
                Some((why, hint)) => (format!("service {child} cannot be used: {why}"), hint),
                None => (format!("service {child} is disabled"), None),
            };
            vec![Diagnostic { hint, ..site.quote(option, text) }]
        })
    }

    pub(super) fn weighted(&mut self, site: Site<'_>, config: &WeightedConfig, above: &mut Vec<String>) -> Outcome {
        let sticky = config.sticky.as_ref().and_then(|s| s.cookie.as_ref());
        let spread = Spread {
            kind: "weighted",
            strategy: Strategy::Wrr,
            services: &config.services,
            sticky,
            follows: config.health_check.is_some(),
        };
        self.spread(site, &spread, above)
    }

    pub(super) fn highest_random_weight(&mut self, site: Site<'_>, config: &HighestRandomWeightConfig, above: &mut Vec<String>) -> Outcome {
        let follows = config.health_check.is_some();
        let spread = Spread { kind: "highestRandomWeight", strategy: Strategy::Hrw, services: &config.services, sticky: None, follows };
        self.spread(site, &spread, above)
    }

    fn spread(&mut self, site: Site<'_>, spread: &Spread<'_>, above: &mut Vec<String>) -> Outcome {
        let (mut children, mut reports) = (Vec::with_capacity(spread.services.len()), Vec::new());
        let kept = self.before.services.get(site.name).filter(|k| k.digest == site.item.digest).map(|k| k.children.clone());
        for (i, child) in spread.services.iter().enumerate() {
            if let Some(answer) = child.answer {
                let before = kept.as_ref().and_then(|k| k.get(i).cloned());
                children.push(before.unwrap_or_else(|| Arc::new(Share(answer))));
                continue;
            }
            let option = format!("{}.services[{i}].name", spread.kind);
            let usable = self.child(site, &option, &child.name, above)?;
            if spread.follows {
                reports.push((i, health_of(site, &option, &child.name, &usable, &format!("{}.healthCheck", spread.kind))?));
            }
            children.push(usable.endpoint);
        }
        Ok(self.composite(site, children, |children| {
            let made = spread.make(site.name, children.to_vec());
            reports.into_iter().for_each(|(i, health)| health.report_to(&made.balancer, i));
            let health = spread.follows.then(|| made.balancer.clone());
            (Arc::new(made), health)
        }))
    }

    pub(super) fn mirroring(&mut self, site: Site<'_>, config: &MirroringConfig, above: &mut Vec<String>) -> Outcome {
        let main = self.child(site, "mirroring.service", &config.service, above)?;
        let mut children = vec![main.endpoint];
        for (i, mirror) in config.mirrors.iter().enumerate() {
            children.push(self.child(site, &format!("mirroring.mirrors[{i}].name"), &mirror.name, above)?.endpoint);
            if !(0..=100).contains(&mirror.percent) {
                let d = site.wrong(
                    &format!("mirroring.mirrors[{i}].percent"),
                    format!("{} is no share of all requests in percent", mirror.percent),
                );
                return Err(vec![d.hint("write a number from 0 to 100")]);
            }
        }
        let max_body = usize::try_from(config.max_body_size).unwrap_or(usize::MAX);
        Ok(self.composite(site, children, |children| {
            let shares = config.mirrors.iter().map(|m| u8::try_from(m.percent).unwrap_or(0));
            let mirrors =
                children[1..].iter().zip(shares).map(|(endpoint, percent)| Mirror { endpoint: endpoint.clone(), percent }).collect();
            let made = Mirroring::new(children[0].clone(), mirrors, config.mirror_body, max_body);
            (Arc::new(made), main.health.filter(|_| config.health_check.is_some()))
        }))
    }

    pub(super) fn failover(&mut self, site: Site<'_>, config: &FailoverConfig, above: &mut Vec<String>) -> Outcome {
        let errors = match &config.errors {
            Some(errors) => {
                let status = StatusRanges::parse(&errors.status).map_err(|e| {
                    vec![site.wrong(&format!("failover.errors.status[{}]", e.index), e.to_string()).hint(NoStatusRange::HINT)]
                })?;
                let max_body = usize::try_from(errors.max_request_body_bytes).ok();
                Some(FailoverErrors { status, max_body }).filter(|e| !e.status.is_empty())
            }
            None => None,
        };
        let main = self.child(site, "failover.service", &config.service, above)?;
        // Else nothing would ever lead to the fallback.
        let main_health = match errors {
            Some(_) => main.health.clone(),
            None => Some(health_of(site, "failover.service", &config.service, &main, "failover")?),
        };
        let fallback = self.child(site, "failover.fallback", &config.fallback, above)?;
        let fallback_health = match config.health_check {
            Some(_) => Some(health_of(site, "failover.fallback", &config.fallback, &fallback, "failover.healthCheck")?),
            None => None,
        };
        Ok(self.composite(site, vec![main.endpoint, fallback.endpoint], |children| {
            let candidate = |name: &String| Candidate { name: name.clone(), weight: 1, fenced: false };
            let balancer = Arc::new(Balancer::new(Strategy::Wrr, [&config.service, &config.fallback].map(candidate).into()));
            for (i, health) in [main_health, fallback_health].iter().enumerate() {
                if let Some(health) = health {
                    health.report_to(&balancer, i);
                }
            }
            let health = config.health_check.map(|_| balancer.clone());
            (Arc::new(Failover { balancer, service: children[0].clone(), fallback: children[1].clone(), errors }), health)
        }))
    }

    /// The service of before where neither it nor its parts have changed, or else what `make` makes of the parts.
    fn composite(
        &mut self,
        site: Site<'_>,
        children: Vec<Arc<dyn Endpoint>>,
        make: impl FnOnce(&[Arc<dyn Endpoint>]) -> (Arc<dyn Endpoint>, Option<Arc<Balancer>>),
    ) -> Usable {
        let usable = match self.before.services.get(site.name) {
            Some(k) if k.digest == site.item.digest && same(&k.children, &children) => k.usable.clone(),
            _ => {
                let (endpoint, health) = make(&children);
                Usable { endpoint, load_balancer: None, health, warnings: Arc::default() }
            }
        };
        self.keep(site.name, Kept { digest: site.item.digest, transport: None, children, usable: usable.clone() });
        usable
    }
}

/// What tells whether a part is up, for `follower`, the option that is to follow it.
fn health_of(site: Site<'_>, option: &str, child: &str, usable: &Usable, follower: &str) -> Result<Arc<Balancer>, Vec<Diagnostic>> {
    usable.health.clone().ok_or_else(|| {
        let text = format!("service `{child}` has no healthCheck of its own that `{follower}` could follow");
        vec![site.wrong(option, text).hint(format!("add `healthCheck` to it, or remove `{follower}`"))]
    })
}

/// A service whose requests are spread over others.
pub(super) struct Spread<'a> {
    pub(super) kind: &'static str,
    pub(super) strategy: Strategy,
    pub(super) services: &'a [WeightedServiceConfig],
    pub(super) sticky: Option<&'a CookieConfig>,
    /// Leaves out what is down.
    pub(super) follows: bool,
}

impl Spread<'_> {
    pub(super) fn make(&self, name: &Arc<str>, children: Vec<Arc<dyn Endpoint>>) -> Weighted {
        // By the names as written: the cookie of Traefik hashes them so.
        let candidates: Vec<Candidate> =
            self.services.iter().map(|s| Candidate { name: s.name.clone(), weight: s.weight, fenced: false }).collect();
        let sticky = self.sticky.map(|c| StickyCookie::new(&cookie(c), name, &candidates));
        Weighted { name: name.clone(), balancer: Arc::new(Balancer::new(self.strategy, candidates)), children, sticky }
    }
}

fn same(a: &[Arc<dyn Endpoint>], b: &[Arc<dyn Endpoint>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}
