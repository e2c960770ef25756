//! Services behind middlewares of their own.

use super::site::Site;
use super::{Outcome, Services, Usable};
use crate::references::{self, reason};
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
    pub(super) fn behind_middlewares(&mut self, site: Site<'_>, usable: Usable) -> Outcome {
        let Site { name, item } = site;
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

fn same_steps(a: &[Step], b: &[Step]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is(b))
}
