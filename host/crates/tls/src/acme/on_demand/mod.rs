//! Certificates on demand: the first handshake for a name that no certificate covers may order one
//! (docs/decisions/013). What strangers can cause is bounded here: memory, questions, orders and waiting handshakes.

mod ask;
mod rules;
mod table;
mod used;

pub use used::Used;

use super::AcmeError;
use super::resolver::Env;
use super::status::{OnDemandFailure, OnDemandRefusal, OnDemandStatus};
use crate::Store;
use arc_swap::ArcSwap;
use ask::Ask;
use rules::{Rules, is_fit};
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use table::{Failure, Pending, Rate, Table};
use tokio::sync::{mpsc, watch};
use torana_config::install::OnDemandConfig;

/// Names that are asked about or ordered at the same time, at most.
const PENDING: usize = 256;
/// Handshakes that wait at the same time, at most; others get the default certificate at once.
const WAITING: usize = 1024;
/// Questions to `ask` in a second, and at once.
const ASKS: (u32, u32) = (20, 100);
/// How long a name rests about which `ask` gave no clear answer.
const UNCLEAR: Duration = Duration::from_secs(10);
/// A certificate that came and is not served after this cannot be.
const SERVED_WITHIN: Duration = Duration::from_secs(30);

/// Names of one resolver that are ordered when a handshake asks for them.
#[derive(Debug)]
pub struct OnDemand {
    rules: Rules,
    ask: Option<Ask>,
    refused_for: Duration,
    wait: Duration,
    max: usize,
    table: Mutex<Table>,
    queue: mpsc::Sender<Box<str>>,
    /// Until the resolver works.
    queued: Mutex<Option<mpsc::Receiver<Box<str>>>>,
    waiting: Arc<AtomicUsize>,
    /// Certificates that no router names.
    certificates: AtomicUsize,
    /// What is served now.
    served: ArcSwap<Store>,
    counts: Counts,
}

/// Since the start.
#[derive(Debug, Default)]
struct Counts {
    asked: AtomicU64,
    obtained: AtomicU64,
    failed: AtomicU64,
    hosts: AtomicU64,
    ask: AtomicU64,
    unclear: AtomicU64,
    limited: AtomicU64,
    busy: AtomicU64,
    full: AtomicU64,
}

fn count(c: &AtomicU64) {
    c.fetch_add(1, Ordering::Relaxed);
}

/// Why a name gets no certificate, when it came as far as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `ask` said no.
    Ask,
    /// `ask` said nothing clear.
    Unclear,
    Limited,
    Full,
    /// A router names it: it is ordered without being asked for.
    Named,
}

impl Refusal {
    fn why(self) -> &'static str {
        match self {
            Refusal::Ask => "`ask` said no",
            Refusal::Unclear => "`ask` gave no clear answer",
            Refusal::Limited => "`rateLimit`",
            Refusal::Full => "`maxCertificates`",
            Refusal::Named => "a router names it",
        }
    }
}

impl OnDemand {
    /// Checks the options; asks nobody.
    pub(super) fn new(config: &OnDemandConfig, env: &Env) -> Result<OnDemand, AcmeError> {
        let number = |n: i64| u32::try_from(n.max(1)).unwrap_or(u32::MAX);
        let (limit, now) = (config.rate_limit, Instant::now());
        let orders = Rate::new(number(limit.average), limit.period.as_duration(), number(limit.burst), now);
        let (queue, queued) = mpsc::channel(PENDING);
        Ok(OnDemand {
            rules: Rules::new(&config.hosts)?,
            ask: Ask::new(config, env)?,
            refused_for: config.refused_for.as_duration(),
            wait: config.wait_timeout.as_duration(),
            max: usize::try_from(config.max_certificates).unwrap_or(1),
            table: Mutex::new(Table::new(Rate::new(ASKS.0, Duration::from_secs(1), ASKS.1, now), orders)),
            queue,
            queued: Mutex::new(Some(queued)),
            waiting: Arc::default(),
            certificates: AtomicUsize::new(0),
            served: ArcSwap::default(),
            counts: Counts::default(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the configuration lets such a name ask at all.
    fn takes(&self, name: &str) -> bool {
        self.rules.allow(name)
    }

    /// Sees to a certificate for a name that no certificate covers. `None` when none will come, or nobody waits for
    /// it. Takes a look-up or two, and blocks nobody.
    fn demand(&self, name: &str) -> Option<Waiting> {
        let now = Instant::now();
        let mut table = self.table();
        if let Some(pending) = table.pending.get(name)
            && pending.obtained.is_none_or(|at| at + SERVED_WITHIN > now)
        {
            return self.wait_for(pending);
        }
        if table.refused.get(name).is_some_and(|until| *until > now) {
            return None;
        }
        if table.failed.get(name).is_some_and(|f| f.until > now) {
            return None;
        }
        if self.certificates.load(Ordering::Relaxed) + table.pending.len() >= self.max {
            count(&self.counts.full);
            table.note(name, Refusal::Full.why());
            return None;
        }
        if table.pending.len() >= PENDING {
            count(&self.counts.busy);
            return None;
        }
        if self.ask.is_some() {
            if !table.asks.take(now) {
                count(&self.counts.busy);
                return None;
            }
            count(&self.counts.asked);
        } else if !table.orders.take(now) {
            count(&self.counts.limited);
            table.note(name, Refusal::Limited.why());
            return None;
        }
        if self.queue.try_send(name.into()).is_err() {
            count(&self.counts.busy);
            return None;
        }
        table.refused.remove(name);
        let pending = Pending { over: watch::Sender::new(()), obtained: None };
        let waiting = self.wait_for(&pending);
        table.pending.insert(name.into(), pending);
        waiting
    }

    fn wait_for(&self, pending: &Pending) -> Option<Waiting> {
        if self.wait.is_zero() {
            return None;
        }
        let place = Place(self.waiting.clone());
        (place.0.fetch_add(1, Ordering::Relaxed) < WAITING).then(|| Waiting {
            over: pending.over.subscribe(),
            until: tokio::time::Instant::now() + self.wait,
            _place: place,
        })
    }

    /// Names to see to; once.
    pub(super) fn queued(&self) -> Option<mpsc::Receiver<Box<str>>> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Asks where there is somebody to ask.
    pub(super) async fn ask(&self, name: &str) -> Result<(), Refusal> {
        match &self.ask {
            Some(ask) => ask.about(name).await,
            None => Ok(()),
        }
    }

    /// Whether one more may be ordered now; to be called after [`OnDemand::ask`].
    pub(super) fn admit(&self) -> Result<(), Refusal> {
        // without a question it was counted when it came
        if self.ask.is_none() || self.table().orders.take(Instant::now()) { Ok(()) } else { Err(Refusal::Limited) }
    }

    /// Keeps a name from waiting for ever when the work for it ends badly: to be held during it.
    pub(super) fn unsettled(self: &Arc<Self>, name: &str) -> Unsettled {
        Unsettled { on_demand: Some(Arc::clone(self)), name: name.into() }
    }

    pub(super) fn refuse(&self, name: &str, refusal: Refusal) {
        let mut table = self.table();
        let rest = match refusal {
            Refusal::Ask => self.refused_for,
            Refusal::Unclear => UNCLEAR,
            Refusal::Limited => table.orders.each().min(self.refused_for),
            Refusal::Full | Refusal::Named => UNCLEAR,
        };
        count(match refusal {
            Refusal::Ask => &self.counts.ask,
            Refusal::Unclear => &self.counts.unclear,
            Refusal::Limited => &self.counts.limited,
            Refusal::Full => &self.counts.full,
            Refusal::Named => &self.counts.hosts,
        });
        tracing::debug!(domain = name, why = refusal.why(), "no certificate on demand");
        table.note(name, refusal.why());
        table.refused.insert(name, Instant::now() + rest);
        table.pending.remove(name);
    }

    /// Failures in a row so far.
    pub(super) fn failures(&self, name: &str) -> u32 {
        self.table().failed.get(name).map_or(0, |f| f.count)
    }

    pub(super) fn fail(&self, name: &str, e: &AcmeError, wait: Duration) {
        count(&self.counts.failed);
        let failure = Failure {
            count: self.failures(name) + 1,
            until: Instant::now() + wait,
            next_at: SystemTime::now() + wait,
            error: e.message.clone(),
            error_type: e.kind.clone(),
        };
        let mut table = self.table();
        table.failed.insert(name, failure);
        table.pending.remove(name);
    }

    /// The certificate is there; those who wait hear of it when it is served.
    pub(super) fn obtain(&self, name: &str) {
        count(&self.counts.obtained);
        let mut table = self.table();
        table.failed.remove(name);
        if self.served.load().find(Some(name), None).is_some() {
            table.pending.remove(name);
        } else if let Some(pending) = table.pending.get_mut(name) {
            pending.obtained = Some(Instant::now());
        }
    }

    /// Tells what is served from now on: to be called once handshakes see it.
    pub fn serve(&self, store: &Arc<Store>) {
        self.served.store(store.clone());
        let now = Instant::now();
        let late = |p: &Pending| p.obtained.is_some_and(|at| at + SERVED_WITHIN <= now);
        self.table().pending.retain(|name, p| !late(p) && store.find(Some(name), None).is_none());
    }

    pub(super) fn set_certificates(&self, count: usize) {
        self.certificates.store(count, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> OnDemandStatus {
        let table = self.table();
        let now = Instant::now();
        let mut pending: Vec<String> = table.pending.keys().map(|n| n.to_string()).collect();
        pending.sort_unstable();
        let failed = table.failed.iter().map(|(name, f)| OnDemandFailure {
            domain: name.to_string(),
            error: f.error.clone(),
            error_type: f.error_type.clone(),
            failures: f.count,
            next_attempt: Some(f.next_at).filter(|_| f.until > now),
        });
        let mut failed: Vec<OnDemandFailure> = failed.collect();
        failed.sort_unstable_by(|a, b| a.domain.cmp(&b.domain));
        let recent = table.recent.iter().rev().map(|(n, why)| OnDemandRefusal { domain: n.to_string(), reason: why });
        let of = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let c = &self.counts;
        let refused = [
            ("hosts", &c.hosts),
            ("ask", &c.ask),
            ("askFailed", &c.unclear),
            ("rateLimit", &c.limited),
            ("maxCertificates", &c.full),
            ("busy", &c.busy),
        ];
        OnDemandStatus {
            certificates: self.certificates.load(Ordering::Relaxed),
            max_certificates: self.max,
            waiting: self.waiting.load(Ordering::Relaxed),
            remembered: table.refused.len(),
            asked: of(&c.asked),
            obtained: of(&c.obtained),
            failures: of(&c.failed),
            refused: refused.map(|(why, c)| (why, of(c))).into_iter().collect(),
            recently_refused: recent.collect(),
            pending,
            failed,
        }
    }
}

/// A name that is seen to. Dropped unsettled, as by a panic, it is refused for a while.
pub(super) struct Unsettled {
    on_demand: Option<Arc<OnDemand>>,
    name: Box<str>,
}

impl Unsettled {
    pub(super) fn settle(mut self) {
        self.on_demand = None;
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let Some(on_demand) = self.on_demand.take() {
            on_demand.refuse(&self.name, Refusal::Unclear);
        }
    }
}

/// A handshake that waits for its certificate.
#[derive(Debug)]
pub struct Waiting {
    over: watch::Receiver<()>,
    until: tokio::time::Instant,
    _place: Place,
}

/// One of [`WAITING`].
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waiting {
    /// Until the certificate is served, or there will be none, or the time is over.
    pub async fn over(mut self) {
        // nothing is ever sent: the sender goes away
        let _ = tokio::time::timeout_at(self.until, self.over.changed()).await;
    }
}

/// Who orders on demand on one entry point, by the rules of its routers.
#[derive(Debug, Default)]
pub struct OnDemandNames {
    /// Of routers that name no host.
    any: Vec<Arc<OnDemand>>,
    /// By what follows the star and its dot in a router's `Host`.
    wildcards: FxHashMap<Box<str>, Vec<Arc<OnDemand>>>,
}

impl OnDemandNames {
    /// `tail` of a wildcard in the rule, or none when the rule names no host.
    pub fn add(&mut self, tail: Option<&str>, resolver: &Arc<OnDemand>) {
        let all = match tail {
            Some(tail) => self.wildcards.entry(tail.into()).or_default(),
            None => &mut self.any,
        };
        if !all.iter().any(|r| Arc::ptr_eq(r, resolver)) {
            all.push(resolver.clone());
        }
    }

    /// Sees to a certificate for a name, in lower case and without a dot at its end, that no certificate covers. The
    /// first resolver whose `hosts` allow it decides. `None` when there is nothing to wait for.
    pub fn demand(&self, name: &str) -> Option<Waiting> {
        if !is_fit(name) {
            return None;
        }
        let named = name.split_once('.').and_then(|(_, tail)| self.wildcards.get(tail));
        let mut all = named.into_iter().flatten().chain(&self.any);
        match all.clone().find(|r| r.takes(name)) {
            Some(resolver) => resolver.demand(name),
            None => {
                all.next().inspect(|r| count(&r.counts.hosts))?;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
