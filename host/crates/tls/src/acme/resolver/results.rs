//! What came of orders and questions, into what is served, stored and shown.

use super::super::account::blocking;
use super::super::pem::{self, Facts};
use super::super::plan::{Job, Own, Tries};
use super::super::status::{AcmeStatus, CertificateStatus};
use super::super::storage::StoredCertificate;
use super::super::{AcmeError, cluster, renewal};
use super::{AcmeResolver, Done, ELSEWHERE, Got, ObtainedCertificate};
use rustc_hash::FxHashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;
use tokio::time::Instant;
use torana_base::Secret;

/// What other gateways stored, and is not known here.
pub(super) type News = Vec<(StoredCertificate, Facts)>;

/// What a certificate is replaced by: its store and names.
fn place(c: &StoredCertificate) -> (&str, &[String]) {
    (&c.store, &c.domains)
}

fn places(own: &[Own]) -> FxHashMap<(&str, &[String]), usize> {
    // of several the first, as everywhere
    own.iter().enumerate().rev().map(|(at, o)| (place(&o.stored), at)).collect()
}

impl AcmeResolver {
    pub(super) fn done(
        self: &Arc<Self>,
        done: Result<Done, tokio::task::JoinError>,
        writes: &mut JoinSet<()>,
        tries: &mut FxHashMap<Vec<String>, Tries>,
        counts: &mut (u64, u64),
    ) {
        let now = Instant::now();
        match done {
            Err(e) if e.is_cancelled() => {}
            Err(e) => {
                // a bug of ours: the try is not known any more, so that all may begin again, but slowly
                tracing::error!(resolver = %self.name, error = %e, "an order ended badly");
                for t in tries.values_mut().filter(|t| t.running) {
                    (t.running, t.next) = (false, now + Duration::from_secs(300));
                }
            }
            Ok(Done::Order(job, Ok(Got::Elsewhere))) => {
                if let Some(t) = tries.get_mut(&job.names) {
                    (t.running, t.next, t.next_at) = (false, now + ELSEWHERE, SystemTime::now() + ELSEWHERE);
                }
            }
            Ok(Done::Order(job, Ok(Got::Known(news)))) => {
                tries.remove(&job.names);
                self.adopt(news);
            }
            Ok(Done::Demand(job, result)) => self.demand_done(job, result, writes, counts),
            Ok(Done::Looked(_)) => {}
            Ok(Done::Order(job, Ok(Got::New(new, facts, stored)))) => {
                counts.0 += 1;
                tries.remove(&job.names);
                self.take(&job, new, facts, stored, writes);
            }
            Ok(Done::Order(job, Err(e))) => {
                counts.1 += 1;
                let Some(t) = tries.get_mut(&job.names) else { return };
                t.failures += 1;
                t.running = false;
                let wait = renewal::backoff(&e, t.failures, SystemTime::now(), fastrand::f64());
                (t.next, t.next_at) = (now + wait, SystemTime::now() + wait);
                tracing::error!(
                    resolver = %self.name,
                    domains = ?job.names,
                    error = %e,
                    next = ?Duration::from_secs(wait.as_secs()),
                    "Unable to obtain ACME certificate for domains"
                );
                t.error = Some(e);
                if self.answers.storage.cluster().is_some() {
                    writes.spawn(cluster::rest(Arc::clone(&self.answers.storage), Arc::clone(&self.name), job.names, Some(wait)));
                }
            }
            Ok(Done::Window(domains, id, result)) => {
                let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
                let mine = own.iter_mut().find(|o| o.stored.domains == domains && o.facts.id.as_ref() == Some(&id));
                match (mine, result) {
                    (Some(o), Ok(Some((window, wait)))) => {
                        if o.window.as_ref() != Some(&window) {
                            tracing::debug!(resolver = %self.name, domains = ?domains, ?window, "the CA says when to renew");
                        }
                        (o.window, o.ask) = (Some(window), now + wait);
                    }
                    (Some(o), Ok(None)) => o.ask = now + Duration::from_secs(86_400),
                    (Some(o), Err(e)) => {
                        tracing::debug!(resolver = %self.name, domains = ?domains, error = %e, "no renewal information");
                        o.ask = now + renewal::backoff(&e, 7, SystemTime::now(), fastrand::f64()).max(Duration::from_secs(3600));
                    }
                    (None, _) => {}
                }
            }
        }
    }

    /// Serves and stores a new certificate.
    pub(super) fn take(self: &Arc<Self>, job: &Job, stored: StoredCertificate, facts: Facts, done: bool, writes: &mut JoinSet<()>) {
        let now = SystemTime::now();
        if facts.not_before > now + Duration::from_secs(300) || facts.not_after <= now {
            tracing::warn!(
                resolver = %self.name,
                domains = ?job.names,
                from = %humantime::format_rfc3339_seconds(facts.not_before),
                to = %humantime::format_rfc3339_seconds(facts.not_after),
                now = %humantime::format_rfc3339_seconds(now),
                "a new certificate is not valid now: is the clock of this machine right?"
            );
        }
        tracing::info!(
            resolver = %self.name,
            domains = ?job.names,
            not_after = %humantime::format_rfc3339_seconds(facts.not_after),
            "a certificate was {}", if job.not_after.is_some() { "renewed" } else { "obtained" }
        );
        let mut new = Own::new(stored.clone(), facts);
        new.earliest = Instant::now() + renewal::pause(&new.facts);
        {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            match own.iter_mut().find(|o| o.stored.domains == stored.domains && o.stored.store == stored.store) {
                Some(old) => {
                    new.used = Arc::clone(&old.used);
                    *old = new;
                }
                None => own.push(new),
            }
        }
        self.publish();
        if done {
            return;
        }
        let me = Arc::clone(self);
        writes.spawn(async move {
            for pause in [1, 10, 60, 600, 3600] {
                let Err(e) = me.store(&stored).await else { return };
                tracing::error!(
                    resolver = %me.name,
                    domains = ?stored.domains,
                    error = %e,
                    "a certificate could not be stored: it serves, but a restart would order it again; it is tried again in {pause} s"
                );
                tokio::time::sleep(Duration::from_secs(pause)).await;
            }
        });
    }

    pub(super) async fn store(&self, certificate: &StoredCertificate) -> Result<(), AcmeError> {
        let (storage, name, certificate) = (Arc::clone(&self.answers.storage), Arc::clone(&self.name), certificate.clone());
        blocking(move || storage.put_certificate(&name, &certificate)).await
    }

    /// What is new among stored certificates, with its facts. Parses only that; blocks.
    pub(super) fn news(&self, stored: Vec<StoredCertificate>) -> News {
        let changed: Vec<StoredCertificate> = {
            let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            let places = places(&own);
            stored.into_iter().filter(|c| places.get(&place(c)).is_none_or(|at| own[*at].stored.chain != c.chain)).collect()
        };
        changed.into_iter().filter_map(|c| pem::facts(&c.chain, &c.key).ok().map(|facts| (c, facts))).collect()
    }

    /// Takes over what other gateways stored.
    pub(super) fn adopt(&self, news: News) {
        if news.is_empty() {
            return;
        }
        let mut changed = false;
        {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            let known: Vec<Option<usize>> = {
                let places = places(&own);
                news.iter().map(|(c, _)| places.get(&place(c)).copied()).collect()
            };
            for ((c, facts), at) in news.into_iter().zip(known) {
                match at.and_then(|at| own.get_mut(at)) {
                    // ours may be newer, and not stored yet
                    Some(o) if o.facts.not_before >= facts.not_before => continue,
                    Some(o) => *o = Own { used: Arc::clone(&o.used), ..Own::new(c, facts) },
                    None => own.push(Own::new(c, facts)),
                }
                changed = true;
            }
        }
        if changed {
            self.publish();
        }
    }

    pub(super) fn publish(&self) {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let all = own.iter().filter(|o| !o.gone).map(|o| {
            Arc::new(ObtainedCertificate {
                resolver: Arc::clone(&self.name),
                domains: o.stored.domains.clone(),
                store: o.stored.store.clone(),
                chain: o.stored.chain.clone(),
                key: Secret::new(o.stored.key.as_str()),
                not_after: o.facts.not_after,
                used: Arc::clone(&o.used),
            })
        });
        self.certificates.send_replace(Arc::new(all.collect()));
    }

    pub(super) fn show(&self, certificates: Vec<CertificateStatus>, (obtained, failed): (u64, u64)) {
        let new = AcmeStatus { resolver: self.name.to_string(), obtained, failed, certificates, on_demand: None };
        self.status.send_if_modified(|old| {
            let changed = **old != new;
            if changed {
                *old = Arc::new(new);
            }
            changed
        });
    }
}
