//! Services made of other services.

use super::load_balancer::cookie;
use super::site::Site;
use super::{Kept, Outcome, Services, Usable};
use crate::references::{self, reason};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use std::sync::Arc;
use torana_base::{Diagnostic, provider_of, qualify};
use torana_config::routing::{ShareAnswer, WeightedConfig};
use torana_http::{Endpoint, Exchange, LocalFuture, Response, respond};
use torana_upstream::Weighted;
use torana_upstream::balance::{Balancer, Candidate, StickyCookie, Strategy};

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
        let mut children = Vec::with_capacity(config.services.len());
        let kept = self.before.services.get(site.name).filter(|k| k.digest == site.item.digest).map(|k| k.children.clone());
        for (i, child) in config.services.iter().enumerate() {
            if let Some(answer) = child.answer {
                let before = kept.as_ref().and_then(|k| k.get(i).cloned());
                children.push(before.unwrap_or_else(|| Arc::new(Share(answer))));
                continue;
            }
            children.push(self.child(site, &format!("weighted.services[{i}].name"), &child.name, above)?.endpoint);
        }
        let usable = match self.before.services.get(site.name) {
            Some(k) if k.digest == site.item.digest && same(&k.children, &children) => k.usable.clone(),
            _ => Usable { endpoint: Arc::new(spread(site.name, config, children.clone())), load_balancer: None, warnings: Arc::default() },
        };
        self.keep(site.name, Kept { digest: site.item.digest, transport: None, children, usable: usable.clone() });
        Ok(usable)
    }
}

pub(super) fn spread(name: &Arc<str>, config: &WeightedConfig, children: Vec<Arc<dyn Endpoint>>) -> Weighted {
    // By the names as written: the cookie of Traefik hashes them so.
    let candidates: Vec<Candidate> =
        config.services.iter().map(|s| Candidate { name: s.name.clone(), weight: s.weight, fenced: false }).collect();
    let sticky = config.sticky.as_ref().and_then(|s| s.cookie.as_ref()).map(|c| StickyCookie::new(&cookie(c), name, &candidates));
    Weighted { name: name.clone(), balancer: Arc::new(Balancer::new(Strategy::Wrr, candidates)), children, sticky }
}

fn same(a: &[Arc<dyn Endpoint>], b: &[Arc<dyn Endpoint>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}
