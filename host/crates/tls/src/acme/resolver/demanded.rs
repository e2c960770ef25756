//! What handshakes ask for: from a name to an order.

use super::super::names::{covers_all, select};
use super::super::plan::{Job, mark};
use super::super::status::{AcmeStatus, OnDemandStatus};
use super::super::storage::StoredCertificate;
use super::super::{AcmeError, cluster, pem, renewal};
use super::{AcmeResolver, Done, Got, Refusal, Wanted};
use rustc_hash::FxHashSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How long, and how often, another gateway that orders a name is waited for.
const ELSEWHERE: (Duration, u32) = (Duration::from_millis(500), 120);

impl AcmeResolver {
    /// How it goes, with what stands in no event.
    pub fn status_now(&self) -> Arc<AcmeStatus> {
        let status = self.status.borrow().clone();
        match &self.on_demand {
            Some(o) => Arc::new(AcmeStatus { on_demand: Some(OnDemandStatus::clone(&o.status())), ..(*status).clone() }),
            None => status,
        }
    }

    /// Finds the certificates that no router names, and takes those away that have expired.
    pub(super) fn mark(&self, sets: &[Wanted], wildcards: bool) {
        let Some(on_demand) = &self.on_demand else { return };
        let (served, changed) = mark(&mut self.own.lock().unwrap_or_else(PoisonError::into_inner), sets, wildcards);
        on_demand.set_certificates(served);
        if changed {
            self.publish();
        }
    }

    /// An order of the plan. A renewal of a certificate on demand is allowed like its first order.
    pub(super) async fn allowed(self: Arc<Self>, job: Job, permits: Arc<Semaphore>) -> Done {
        if let Some(on_demand) = self.on_demand.as_ref().filter(|_| job.on_demand) {
            let names = &job.names;
            for name in names {
                let wrong = match on_demand.ask(name).await {
                    Ok(()) => continue,
                    Err(Refusal::Unclear) => AcmeError::local(format!("`onDemand.ask` gave no clear answer about `{name}`")),
                    Err(_) => AcmeError::lasting(format!("`onDemand.ask` does not want a certificate for `{name}` any more")),
                };
                return Done::Order(job, Err(wrong));
            }
        }
        self.order(job, permits).await
    }

    /// Sees to the certificate of a name that a handshake asked for. `named` are the names of routers.
    pub(super) async fn demanded(self: Arc<Self>, name: Box<str>, named: Arc<FxHashSet<String>>, permits: Arc<Semaphore>) -> Done {
        let unsettled = self.on_demand.as_ref().map(|o| o.unsettled(&name));
        let done = self.see_to(name, named, permits).await;
        if let Some(unsettled) = unsettled {
            unsettled.settle();
        }
        done
    }

    async fn see_to(self: Arc<Self>, name: Box<str>, named: Arc<FxHashSet<String>>, permits: Arc<Semaphore>) -> Done {
        let names = vec![name.to_string()];
        let old = self.end_of(&names);
        let job = Job { domains: names.clone(), names, store: "default".to_owned(), replaces: None, not_after: old, on_demand: true };
        let Some(on_demand) = &self.on_demand else { return Done::Demand(job, Err(Refusal::Named)) };
        if named.contains(&*name) || name.split_once('.').is_some_and(|(_, tail)| named.contains(&format!("*.{tail}"))) {
            return Done::Demand(job, Err(Refusal::Named));
        }
        let allowed = match on_demand.ask(&name).await {
            Ok(()) => on_demand.admit(),
            no => no,
        };
        if let Err(refusal) = allowed {
            return Done::Demand(job, Err(refusal));
        }
        for _ in 0..ELSEWHERE.1 {
            let done = Arc::clone(&self).order(job.clone(), Arc::clone(&permits)).await;
            match done {
                Done::Order(_, Ok(Got::Elsewhere)) => tokio::time::sleep(ELSEWHERE.0).await,
                Done::Order(job, result) => return Done::Demand(job, Ok(result)),
                other => return other,
            }
            if self.end_of(&job.names).is_some_and(|end| old.is_none_or(|old| end > old)) {
                return Done::Demand(job, Ok(Ok(Got::Known(Vec::new()))));
            }
        }
        Done::Demand(job, Ok(Err(AcmeError::local("another gateway is at it, or failed not long ago"))))
    }

    /// All names that routers want certificates for.
    pub(super) fn named(&self, sets: &[Wanted]) -> Arc<FxHashSet<String>> {
        if self.on_demand.is_none() {
            return Arc::default();
        }
        let wildcards = self.proves_wildcards();
        Arc::new(sets.iter().filter_map(|w| select(&w.domains, wildcards).ok()).flatten().collect())
    }

    /// When the certificate for these names ends, that is there already.
    fn end_of(&self, names: &[String]) -> Option<SystemTime> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.iter().filter(|o| covers_all(&o.facts.names, names)).map(|o| o.facts.not_after).max()
    }

    pub(super) fn demand_done(
        self: &Arc<Self>,
        job: Job,
        result: Result<Result<Got, AcmeError>, Refusal>,
        writes: &mut JoinSet<()>,
        counts: &mut (u64, u64),
    ) {
        let (Some(on_demand), Some(name)) = (self.on_demand.clone(), job.names.first().cloned()) else { return };
        match result {
            Err(refusal) => on_demand.refuse(&name, refusal),
            Ok(Ok(Got::New(new, facts, stored))) => {
                counts.0 += 1;
                self.take_demanded(&job, new, facts, stored, writes);
                on_demand.obtain(&name);
            }
            Ok(Ok(Got::Known(news))) => {
                self.adopt(news);
                on_demand.obtain(&name);
            }
            // was waited for already
            Ok(Ok(Got::Elsewhere)) => on_demand.refuse(&name, Refusal::Unclear),
            Ok(Err(e)) => {
                counts.1 += 1;
                let wait = renewal::backoff(&e, on_demand.failures(&name) + 1, SystemTime::now(), fastrand::f64());
                tracing::error!(
                    resolver = %self.name,
                    domains = ?job.names,
                    error = %e,
                    next = ?Duration::from_secs(wait.as_secs()),
                    "Unable to obtain ACME certificate for domains (on demand)"
                );
                on_demand.fail(&name, &e, wait);
                if self.answers.storage.cluster().is_some() {
                    writes.spawn(cluster::rest(Arc::clone(&self.answers.storage), Arc::clone(&self.name), job.names, Some(wait)));
                }
            }
        }
    }

    /// As [`AcmeResolver::take`]; whoever waits for it uses it.
    fn take_demanded(self: &Arc<Self>, job: &Job, new: StoredCertificate, facts: pem::Facts, stored: bool, writes: &mut JoinSet<()>) {
        self.take(job, new, facts, stored, writes);
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.iter().filter(|o| o.stored.domains == job.domains).for_each(|o| o.used.touch());
    }
}
