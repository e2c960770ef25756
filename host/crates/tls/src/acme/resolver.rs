//! A certificate resolver: orders what routers want, renews it, and tells how it goes.

mod demanded;
mod open;
mod results;
#[cfg(test)]
mod tests;

use super::AcmeError;
use super::account::{Accounts, blocking};
use super::challenge::Challenges;
use super::client::{Account, RenewalWindow};
use super::cluster::{self, Answers, Seen, Theirs};
use super::names::covers_all;
use super::on_demand::{OnDemand, Refusal, Used};
use super::order::{Issued, Solver, Wishes, obtain};
use super::pem::{self, Facts};
use super::plan::{Job, Own, Tries, hurry, plan, status_of};
use super::status::AcmeStatus;
use super::storage::{StorageFiles, StoredCertificate};
pub use open::open_cluster;
use results::News;
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use torana_base::Secret;
use torana_config::install::AcmeConfig;
use torana_extend::{PluginHost, Stop};

/// Orders that run at the same time, of one resolver.
const ORDERS: usize = 12;
/// Longest pause between two looks at what is due: the clock of the machine may be set.
const LOOK: Duration = Duration::from_secs(60);

/// Until it is looked again whether another gateway has a certificate.
const ELSEWHERE: Duration = Duration::from_secs(3);
/// For certificates that are being written when the gateway stops.
const WRITES: Duration = Duration::from_secs(3);

/// Whether a certificate that did not come from here covers all of the names.
pub type Covered = Arc<dyn Fn(&[String]) -> bool + Send + Sync>;

/// Reads an environment variable.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What all resolvers have in common.
#[derive(Clone)]
pub struct AcmeShared {
    pub challenges: Arc<Challenges>,
    pub files: Arc<StorageFiles>,
    /// Certificates of the configuration, or of other resolvers. Asked before each order.
    pub covered: Covered,
    pub plugins: Arc<dyn PluginHost>,
    pub env: Env,
}

impl AcmeShared {
    /// With the environment of the process.
    pub fn new(covered: Covered, plugins: Arc<dyn PluginHost>) -> Self {
        let env: Env = Arc::new(|name| std::env::var(name).ok());
        AcmeShared { challenges: Arc::default(), files: Arc::default(), covered, plugins, env }
    }
}

/// Names that some routers want one certificate for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The main one first.
    pub domains: Vec<String>,
    /// Default `default`.
    pub store: String,
}

/// A certificate of a resolver, to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObtainedCertificate {
    pub resolver: Arc<str>,
    /// As ordered, the main one first.
    pub domains: Vec<String>,
    pub store: String,
    /// PEM, the certificate first.
    pub chain: String,
    /// PEM.
    pub key: Secret,
    pub not_after: SystemTime,
    /// To be touched when a client is shown it.
    pub used: Arc<Used>,
}

/// All certificates of a resolver.
pub type Certificates = Arc<Vec<Arc<ObtainedCertificate>>>;

/// One resolver with `acme`. [`AcmeResolver::run`] does its work.
pub struct AcmeResolver {
    name: Arc<str>,
    config: AcmeConfig,
    shared: AcmeShared,
    answers: Answers,
    solver: Result<Solver, AcmeError>,
    wishes: Wishes,
    accounts: Accounts,
    on_demand: Option<Arc<OnDemand>>,
    own: Mutex<Vec<Own>>,
    certificates: watch::Sender<Certificates>,
    status: watch::Sender<Arc<AcmeStatus>>,
    #[cfg(test)]
    plans: std::sync::atomic::AtomicUsize,
}

/// What came of an order.
enum Got {
    /// With whether it is stored already.
    New(StoredCertificate, Facts, bool),
    /// Another gateway has it.
    Known(News),
    /// Another gateway is at it.
    Elsewhere,
}

enum Done {
    Order(Job, Result<Got, AcmeError>),
    /// Of a name that a handshake asked for.
    Demand(Job, Result<Result<Got, AcmeError>, Refusal>),
    Looked(Result<(Seen, News), AcmeError>),
    Window(Vec<String>, String, Result<Option<(RenewalWindow, Duration)>, AcmeError>),
}

impl AcmeResolver {
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What is to be served; the stored ones are there at once.
    pub fn certificates(&self) -> watch::Receiver<Certificates> {
        self.certificates.subscribe()
    }

    /// How it goes, for API, log and metrics.
    pub fn status(&self) -> watch::Receiver<Arc<AcmeStatus>> {
        self.status.subscribe()
    }

    /// What handshakes may ask for; `None` without `onDemand`.
    pub fn on_demand(&self) -> Option<&Arc<OnDemand>> {
        self.on_demand.as_ref()
    }

    /// Whether it can have certificates for wildcards.
    pub fn proves_wildcards(&self) -> bool {
        matches!(self.solver, Ok(Solver::Dns(_)))
    }

    /// Orders and renews until `stop`. `wanted` may change at any time. Never fails: what goes wrong is in the status,
    /// and tried again.
    pub async fn run(self: Arc<Self>, mut wanted: watch::Receiver<Vec<Wanted>>, mut stop: Stop) {
        let permits = Arc::new(Semaphore::new(ORDERS));
        let mut tasks: JoinSet<Done> = JoinSet::new();
        let mut writes: JoinSet<()> = JoinSet::new();
        let mut tries: FxHashMap<Vec<String>, Tries> = FxHashMap::default();
        let mut round = 0;
        let (mut sets, mut named, mut stale) = (Vec::new(), Arc::default(), true);
        let mut counts = (0, 0);
        let mut open = true;
        let mut demands = self.on_demand.as_ref().and_then(|o| o.queued());
        let version = || match &self.solver {
            Ok(Solver::Dns(dns)) => dns.version(),
            _ => 0,
        };
        let (mut plugins, mut seen) = (self.shared.plugins.changed(), version());
        let (mut theirs, mut revision, mut pause) = (Theirs::default(), None, cluster::LOOK);
        let look = |known, pause| {
            let (me, look) = (Arc::clone(&self), cluster::look(Arc::clone(&self.answers.storage), Arc::clone(&self.name), known, pause));
            async move {
                let mut seen = match look.await {
                    Ok(seen) => seen,
                    Err(e) => return Done::Looked(Err(e)),
                };
                let stored = seen.stored.take().map(|s| s.certificates).unwrap_or_default();
                Done::Looked(blocking(move || Ok(me.news(stored))).await.map(|news| (seen, news)))
            }
        };
        if self.answers.storage.cluster().is_some() {
            tasks.spawn(look(None, Duration::ZERO));
        }
        'run: while !*stop.borrow() {
            round += 1;
            #[cfg(test)]
            self.plans.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if std::mem::take(&mut stale) {
                sets.clone_from(&wanted.borrow_and_update());
                named = self.named(&sets);
            }
            let (jobs, mut shown) = {
                let wildcards = self.proves_wildcards();
                self.mark(&sets, wildcards);
                let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
                plan(&own, &sets, &tries, self.config.certificates_duration, wildcards, &*self.shared.covered)
            };
            let now = Instant::now();
            let mut next = now + LOOK;
            for job in jobs {
                let t = tries.entry(job.names.clone()).or_insert(Tries {
                    failures: 0,
                    next: now,
                    next_at: SystemTime::now(),
                    running: false,
                    error: None,
                    seen: 0,
                });
                t.seen = round;
                if !t.running && t.next <= now {
                    t.running = true;
                    tasks.spawn(Arc::clone(&self).allowed(job.clone(), Arc::clone(&permits)));
                } else if !t.running {
                    next = next.min(t.next);
                }
                shown.push(status_of(&job, t));
            }
            tries.retain(|_, t| t.running || t.seen == round);
            self.ask_windows(&mut tasks, &permits, &mut next);
            next = next.min(self.next_renewal());
            shown.sort_by(|a, b| a.domains.cmp(&b.domains));
            self.show(shown, counts);
            // what strangers and the other gateways cause is no reason for a new plan by itself
            loop {
                tokio::select! {
                    _ = stop.wait_for(|s| *s) => break 'run,
                    // when nobody will want anything else, renewals go on
                    changed = wanted.changed(), if open => {
                        (open, stale) = (changed.is_ok(), true);
                        break;
                    }
                    () = tokio::time::sleep_until(next) => break,
                    Ok(()) = plugins.changed() => {
                        let new = version();
                        if std::mem::replace(&mut seen, new) != new {
                            hurry(&mut tries);
                            break;
                        }
                    }
                    Some(_) = writes.join_next() => {}
                    Some(name) = async { demands.as_mut()?.recv().await }, if demands.is_some() => {
                        tasks.spawn(Arc::clone(&self).demanded(name, Arc::clone(&named), Arc::clone(&permits)));
                    }
                    Some(done) = tasks.join_next() => match done {
                        Ok(Done::Looked(looked)) => {
                            let new = self.looked(looked, &mut theirs, &mut revision, &mut pause);
                            tasks.spawn(look(revision, pause));
                            if new {
                                break;
                            }
                        }
                        Ok(Done::Demand(job, Err(refusal))) => {
                            self.demand_done(job, Err(refusal), &mut writes, &mut counts);
                        }
                        done => {
                            self.done(done, &mut writes, &mut tries, &mut counts);
                            break;
                        }
                    },
                }
            }
        }
        tasks.shutdown().await;
        // what was ordered is not to be lost
        let _ = tokio::time::timeout(WRITES, async { while writes.join_next().await.is_some() {} }).await;
    }

    /// Takes in what the other gateways did; whether there are new certificates.
    fn looked(
        &self,
        looked: Result<(Seen, News), AcmeError>,
        theirs: &mut Theirs,
        revision: &mut Option<u64>,
        pause: &mut Duration,
    ) -> bool {
        match looked {
            Ok((seen, news)) => {
                theirs.update(seen.answers, &self.answers.challenges);
                (*revision, *pause) = (Some(seen.revision), cluster::LOOK);
                let new = !news.is_empty();
                self.adopt(news);
                new
            }
            Err(e) => {
                if *pause == cluster::LOOK {
                    tracing::error!(resolver = %self.name, error = %e, "what other gateways do is not known");
                }
                *pause = (*pause * 2).min(cluster::LONGEST_LOOK);
                false
            }
        }
    }

    async fn order(self: Arc<Self>, job: Job, permits: Arc<Semaphore>) -> Done {
        let _permit = permits.acquire_owned().await;
        let storage = &self.answers.storage;
        let lease = match cluster::lease(storage, &self.name, &job.names).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return Done::Order(job, Ok(Got::Elsewhere)),
            Err(e) => return Done::Order(job, Err(e)),
        };
        let mut result = match self.known(&job).await {
            Some(news) => Ok(Got::Known(news)),
            None => self.try_order(&job).await.map(|(stored, facts)| Got::New(stored, facts, false)),
        };
        if let (Ok(Got::New(new, _, stored)), Some(_)) = (&mut result, storage.cluster()) {
            // before the lease is over: then the others look for it
            *stored = self.store(new).await.is_ok();
        }
        drop(lease);
        if result.is_ok() {
            cluster::rest(Arc::clone(storage), Arc::clone(&self.name), job.names.clone(), None).await;
        }
        Done::Order(job, result)
    }

    /// Whether the shared storage has by now what the job is about.
    async fn known(self: &Arc<Self>, job: &Job) -> Option<News> {
        self.answers.storage.cluster()?;
        let (me, job) = (Arc::clone(self), job.clone());
        let look = move || {
            let news = me.news(me.answers.storage.load(&me.name)?.certificates);
            let good = |f: &Facts| covers_all(&f.names, &job.names) && job.not_after.is_none_or(|end| f.not_after > end);
            // another task may have taken it over by now
            let own = || me.own.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|o| good(&o.facts));
            let there = news.iter().any(|(_, f)| good(f)) || own();
            Ok(there.then_some(news))
        };
        blocking(look).await.ok()?
    }

    async fn try_order(&self, job: &Job) -> Result<(StoredCertificate, Facts), AcmeError> {
        let solver = self.solver.as_ref().map_err(Clone::clone)?;
        let mut account = self.accounts.account().await?;
        tracing::debug!(resolver = %self.name, domains = ?job.names, renewal = job.not_after.is_some(), "ordering a certificate");
        let order = |account: Account| async move {
            obtain(&account, solver, &self.answers, &self.wishes, &job.names, job.replaces.as_deref()).await
        };
        let mut result = order(account.clone()).await;
        if let Err(e) = &result {
            if e.is("accountDoesNotExist") {
                tracing::warn!(resolver = %self.name, "the CA has forgotten the account: it is registered again, with the same key");
                self.accounts.forget(&account, true).await;
                account = self.accounts.account().await?;
                result = order(account).await;
            } else if e.kind.is_none() {
                // perhaps the CA has moved
                self.accounts.forget(&account, false).await;
            }
        }
        let Issued { chain, key } = result?;
        let facts = pem::facts(&chain, &key)?;
        if !covers_all(&facts.names, &job.names) {
            return Err(AcmeError::local(format!("the CA's certificate is for other names: {}", facts.names.join(", "))));
        }
        Ok((StoredCertificate { domains: job.domains.clone(), chain, key, store: job.store.clone() }, facts))
    }

    fn ask_windows(self: &Arc<Self>, tasks: &mut JoinSet<Done>, permits: &Arc<Semaphore>, next: &mut Instant) {
        let now = Instant::now();
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        for o in own.iter_mut().filter(|o| !o.gone) {
            let Some(id) = o.facts.id.clone() else { continue };
            if o.ask > now {
                *next = (*next).min(o.ask);
                continue;
            }
            // until the answer is there
            o.ask = now + Duration::from_secs(86_400);
            let (me, permits, domains) = (Arc::clone(self), Arc::clone(permits), o.stored.domains.clone());
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let result = match me.accounts.client().await {
                    Ok(client) => client.renewal_window(&id).await,
                    Err(e) => Err(e),
                };
                Done::Window(domains, id, result)
            });
        }
    }

    /// When a certificate will be due that is not yet; those that are have their tries. One on demand is looked at when
    /// it ends too: it is not served any more.
    fn next_renewal(&self) -> Instant {
        let (now, instant) = (SystemTime::now(), Instant::now());
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let all = own.iter().filter(|o| !o.gone).map(|o| {
            let until = |at: SystemTime| instant + at.duration_since(now).unwrap_or_default().min(LOOK);
            let end = if o.on_demand { until(o.facts.not_after) } else { instant };
            [until(o.due(self.config.certificates_duration)).max(o.earliest), end]
        });
        all.flatten().filter(|at| *at > instant).min().unwrap_or(instant + LOOK)
    }
}

impl std::fmt::Debug for AcmeResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmeResolver").field("name", &self.name).finish_non_exhaustive()
    }
}
