//! Services behind middlewares of their own.

use super::site::Site;
use super::{Outcome, Services, Usable};
use crate::references::{self, reason};
use crate::resolve::ServiceByName;
use std::sync::Arc;
use torana_base::{Diagnostic, provider_of, qualify};
use torana_http::{Endpoint, Exchange, LocalFuture, Response, Step, run};

pub(super) struct Behind {
    steps: Vec<Step>,
    endpoint: Arc<dyn Endpoint>,
}

impl Endpoint for Behind {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(run(&self.steps, &*self.endpoint, exchange))
    }
}

impl Services<'_> {
    /// Puts the middlewares of the service before it. One that cannot be used disables it.
    pub(super) fn behind_middlewares(&mut self, site: Site<'_>, usable: Usable, above: &mut Vec<String>) -> Outcome {
        let Site { name, item } = site;
        if item.config.middlewares.is_empty() {
            return Ok(usable);
        }
        let mut steps = Vec::new();
        // A router of the same name has middlewares of its own. No router can have this name.
        let owner = format!("service {name}").into();
        for (i, written) in item.config.middlewares.iter().enumerate() {
            let qualified = qualify(written, provider_of(name));
            let option = format!("middlewares[{i}]");
            let built = self.resolver.steps(&qualified, &owner, &mut Within { services: self, above });
            steps.extend(built.map_err(|wrong| {
                let (why, hint) = wrong.into_iter().next().map(|d| reason(item, d)).unwrap_or_default();
                let colon = if why.is_empty() { "" } else { ": " };
                let message = format!("middleware {} cannot be used{colon}{why}", references::name(item, &qualified));
                vec![Diagnostic { hint, ..site.quote(&option, message) }]
            })?);
        }
        let behind = match self.before.behind.get(name) {
            Some(b) if Arc::ptr_eq(&b.endpoint, &usable.endpoint) && same_steps(&b.steps, &steps) => b.clone(),
            _ => Arc::new(Behind { steps, endpoint: usable.endpoint.clone() }),
        };
        self.behind.insert(name.clone(), behind.clone());
        Ok(Usable { endpoint: behind, ..usable })
    }
}

/// Services as a middleware of one of them finds them.
struct Within<'s, 'a> {
    services: &'s mut Services<'a>,
    /// Those that are being built.
    above: &'s mut Vec<String>,
}

impl ServiceByName for Within<'_, '_> {
    fn endpoint(&mut self, qualified: &str) -> Result<Arc<dyn Endpoint>, Vec<Diagnostic>> {
        self.services.build(qualified, self.above).map(|usable| usable.endpoint)
    }
}

impl ServiceByName for Services<'_> {
    fn endpoint(&mut self, qualified: &str) -> Result<Arc<dyn Endpoint>, Vec<Diagnostic>> {
        self.service(qualified).map(|usable| usable.endpoint)
    }
}

fn same_steps(a: &[Step], b: &[Step]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is(b))
}
