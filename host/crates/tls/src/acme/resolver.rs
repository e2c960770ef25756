//! A certificate resolver: orders what routers want, renews it, and tells how it goes.

use super::challenge::Challenges;
use super::client::{Account, Client, RenewalWindow};
use super::dns::DnsSolver;
use super::http::{HttpClient, HttpOptions};
use super::keys::{AccountKey, CertificateKey};
use super::names::{covers_all, select};
use super::order::{Issued, Solver, Wishes, obtain};
use super::pem::{self, Facts};
use super::status::{AcmeStatus, CertificateState, CertificateStatus};
use super::storage::{Storage, StorageFiles, StoredAccount, StoredCertificate};
use super::{AcmeError, renewal};
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
}

/// All certificates of a resolver.
pub type Certificates = Arc<Vec<Arc<ObtainedCertificate>>>;

/// One resolver with `acme`. [`AcmeResolver::run`] does its work.
pub struct AcmeResolver {
    name: Arc<str>,
    config: AcmeConfig,
    shared: AcmeShared,
    storage: Arc<dyn Storage>,
    http: Arc<HttpClient>,
    solver: Result<Solver, AcmeError>,
    wishes: Wishes,
    account: tokio::sync::Mutex<AccountSlot>,
    own: Mutex<Vec<Own>>,
    certificates: watch::Sender<Certificates>,
    status: watch::Sender<Arc<AcmeStatus>>,
}

#[derive(Default)]
struct AccountSlot {
    stored: Option<StoredAccount>,
    client: Option<Arc<Client>>,
    account: Option<Account>,
    /// What those are told who waited for the same attempt.
    failed: Option<(Instant, AcmeError)>,
}

/// A certificate with what decides about its renewal.
struct Own {
    stored: StoredCertificate,
    facts: Facts,
    /// 0 to 1: its place in the time in which it may be renewed.
    spread: f64,
    window: Option<RenewalWindow>,
    /// When the CA is asked for a window next.
    ask: Instant,
    /// Not renewed before.
    earliest: Instant,
}

/// A try to get one certificate.
#[derive(Clone)]
struct Job {
    names: Vec<String>,
    /// As they are stored; of a renewal perhaps not the same.
    domains: Vec<String>,
    store: String,
    /// The certificate that is renewed, by its id for the CA.
    replaces: Option<String>,
    /// The end of the certificate that is renewed.
    not_after: Option<SystemTime>,
}

/// Tries for one set of names.
#[derive(Clone)]
struct Tries {
    failures: u32,
    next: Instant,
    next_at: SystemTime,
    running: bool,
    error: Option<AcmeError>,
    seen: u64,
}

enum Done {
    Order(Job, Result<(StoredCertificate, Facts), AcmeError>),
    Window(Vec<String>, String, Result<Option<(RenewalWindow, Duration)>, AcmeError>),
}

impl AcmeResolver {
    /// Reads the storage and checks the options; an error leaves the resolver out, as in Traefik. Blocks a little.
    pub fn open(name: &str, config: &AcmeConfig, shared: AcmeShared) -> Result<Arc<AcmeResolver>, AcmeError> {
        if let Some((_, message, _)) = config.wrong() {
            return Err(AcmeError::lasting(message));
        }
        let storage: Arc<dyn Storage> = Arc::new(shared.files.open(&config.storage)?);
        let stored = storage.load(name)?;
        for what in &stored.unreadable {
            tracing::error!(resolver = name, storage = config.storage, "{what} cannot be read; it is left in the file and not used");
        }
        let key = CertificateKey::parse(&config.key_type).unwrap_or_else(|| {
            tracing::info!(resolver = name, "Unable to determine the key type value \"{}\": falling back on RSA4096.", config.key_type);
            CertificateKey::Rsa(aws_lc_rs::rsa::KeySize::Rsa4096)
        });
        let solver = solver(config, &shared);
        if let Err(e) = &solver {
            tracing::error!(resolver = name, error = %e, "the resolver cannot prove names");
        }
        let own: Vec<Own> = stored
            .certificates
            .into_iter()
            .filter_map(|stored| pem::facts(&stored.chain, &stored.key).ok().map(|facts| Own::new(stored, facts)))
            .collect();
        let resolver = AcmeResolver {
            name: name.into(),
            http: Arc::new(HttpClient::new(http_options(config, &shared.env)?)?),
            solver,
            wishes: Wishes {
                key,
                profile: config.profile.clone(),
                preferred_chain: config.preferred_chain.clone(),
                emails: config.email_addresses.clone(),
                common_name: !config.disable_common_name,
                timeout: config.certificate_timeout.as_duration(),
            },
            config: config.clone(),
            shared,
            storage,
            account: tokio::sync::Mutex::new(AccountSlot { stored: stored.account, ..AccountSlot::default() }),
            own: Mutex::new(own),
            certificates: watch::Sender::default(),
            status: watch::Sender::default(),
        };
        resolver.publish();
        Ok(Arc::new(resolver))
    }

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

    /// Orders and renews until `stop`. `wanted` may change at any time. Never fails: what goes wrong is in the status,
    /// and tried again.
    pub async fn run(self: Arc<Self>, mut wanted: watch::Receiver<Vec<Wanted>>, mut stop: Stop) {
        let permits = Arc::new(Semaphore::new(ORDERS));
        let mut tasks: JoinSet<Done> = JoinSet::new();
        let mut writes: JoinSet<()> = JoinSet::new();
        let mut tries: FxHashMap<Vec<String>, Tries> = FxHashMap::default();
        let mut round = 0;
        let mut counts = (0, 0);
        let mut open = true;
        while !*stop.borrow() {
            round += 1;
            let sets = wanted.borrow_and_update().clone();
            let (jobs, mut shown) = self.jobs(&sets, &tries);
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
                    tasks.spawn(Arc::clone(&self).order(job.clone(), Arc::clone(&permits)));
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
            tokio::select! {
                _ = stop.wait_for(|s| *s) => break,
                // when nobody will want anything else, renewals go on
                changed = wanted.changed(), if open => open = changed.is_ok(),
                () = tokio::time::sleep_until(next) => {}
                Some(_) = writes.join_next() => {}
                Some(done) = tasks.join_next() => self.done(done, &mut writes, &mut tries, &mut counts),
            }
        }
        tasks.shutdown().await;
        // what was ordered is not to be lost
        let _ = tokio::time::timeout(WRITES, async { while writes.join_next().await.is_some() {} }).await;
    }

    /// What has to be ordered or renewed now or later, and the status of all that need not.
    fn jobs(&self, sets: &[Wanted], tries: &FxHashMap<Vec<String>, Tries>) -> (Vec<Job>, Vec<CertificateStatus>) {
        let wildcards = matches!(self.solver, Ok(Solver::Dns(_)));
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let by_name = index(own.iter().map(|o| &o.facts.names));
        let (mut jobs, mut shown) = (Vec::new(), Vec::new());
        let now = SystemTime::now();
        for o in own.iter() {
            let renew = o.due(self.config.certificates_duration);
            let state = if o.facts.not_after <= now { CertificateState::Expired } else { CertificateState::Valid };
            let mut status = CertificateStatus::new(o.stored.domains.clone(), &o.stored.store, state);
            status.not_after = Some(o.facts.not_after);
            status.renew_at = Some(renew);
            status.explanation = o.window.as_ref().and_then(|w| w.explanation.clone());
            if renew > now || o.earliest > Instant::now() {
                shown.push(status);
                continue;
            }
            match select(&o.stored.domains, wildcards) {
                Ok(names) => {
                    if !jobs.iter().any(|j: &Job| j.names == names) {
                        let replaces = o.facts.id.clone();
                        jobs.push(Job {
                            names,
                            domains: o.stored.domains.clone(),
                            store: o.stored.store.clone(),
                            replaces,
                            not_after: Some(o.facts.not_after),
                        });
                    }
                }
                Err(e) => shown.push(CertificateStatus { state: CertificateState::Failed, error: Some(e.to_string()), ..status }),
            }
        }
        let mut chosen: Vec<(Vec<String>, String)> = Vec::new();
        let mut known = rustc_hash::FxHashSet::default();
        for want in sets {
            match select(&want.domains, wildcards) {
                Ok(names) if known.insert(names.clone()) => chosen.push((names, want.store.clone())),
                Ok(_) => {}
                Err(e) => {
                    let mut status = CertificateStatus::new(want.domains.clone(), &want.store, CertificateState::Failed);
                    status.error = Some(e.to_string());
                    shown.push(status);
                }
            }
        }
        let by_wanted = index(chosen.iter().map(|(names, _)| names));
        for (i, (names, store)) in chosen.iter().enumerate() {
            if find(&by_name, names, |at| &own[at].facts.names).is_some() {
                continue;
            }
            if (self.shared.covered)(names) {
                shown.push(CertificateStatus::new(names.clone(), store, CertificateState::Covered));
                continue;
            }
            // another set that is wanted too will do, unless it cannot be had
            let other = find(&by_wanted, names, |at| if at == i { &[] } else { &chosen[at].0 })
                .filter(|at| tries.get(&chosen[*at].0).is_none_or(|t| t.failures == 0))
                .filter(|at| *at < i || !covers_all(names, &chosen[*at].0));
            if other.is_some() {
                shown.push(CertificateStatus::new(names.clone(), store, CertificateState::Covered));
                continue;
            }
            jobs.push(Job { names: names.clone(), domains: names.clone(), store: store.clone(), replaces: None, not_after: None });
        }
        (jobs, shown)
    }

    async fn order(self: Arc<Self>, job: Job, permits: Arc<Semaphore>) -> Done {
        let _permit = permits.acquire_owned().await;
        let result = self.try_order(&job).await;
        Done::Order(job, result)
    }

    async fn try_order(&self, job: &Job) -> Result<(StoredCertificate, Facts), AcmeError> {
        let solver = self.solver.as_ref().map_err(Clone::clone)?;
        let mut account = self.account().await?;
        tracing::debug!(resolver = %self.name, domains = ?job.names, renewal = job.not_after.is_some(), "ordering a certificate");
        let order = |account: Account| async move {
            obtain(&account, solver, &self.shared.challenges, &self.wishes, &job.names, job.replaces.as_deref()).await
        };
        let mut result = order(account.clone()).await;
        if let Err(e) = &result {
            if e.is("accountDoesNotExist") {
                tracing::warn!(resolver = %self.name, "the CA has forgotten the account: it is registered again, with the same key");
                self.forget(&account, true).await;
                account = self.account().await?;
                result = order(account).await;
            } else if e.kind.is_none() {
                // perhaps the CA has moved
                self.forget(&account, false).await;
            }
        }
        let Issued { chain, key } = result?;
        let facts = pem::facts(&chain, &key)?;
        if !covers_all(&facts.names, &job.names) {
            return Err(AcmeError::local(format!("the CA's certificate is for other names: {}", facts.names.join(", "))));
        }
        Ok((StoredCertificate { domains: job.domains.clone(), chain, key, store: job.store.clone() }, facts))
    }

    fn done(
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
            Ok(Done::Order(job, Ok((stored, facts)))) => {
                counts.0 += 1;
                tries.remove(&job.names);
                self.take(&job, stored, facts, writes);
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
    fn take(self: &Arc<Self>, job: &Job, stored: StoredCertificate, facts: Facts, writes: &mut JoinSet<()>) {
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
                Some(old) => *old = new,
                None => own.push(new),
            }
        }
        self.publish();
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

    async fn store(&self, certificate: &StoredCertificate) -> Result<(), AcmeError> {
        let (storage, name, certificate) = (Arc::clone(&self.storage), Arc::clone(&self.name), certificate.clone());
        blocking(move || storage.put_certificate(&name, &certificate)).await
    }

    fn publish(&self) {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let all = own.iter().map(|o| {
            Arc::new(ObtainedCertificate {
                resolver: Arc::clone(&self.name),
                domains: o.stored.domains.clone(),
                store: o.stored.store.clone(),
                chain: o.stored.chain.clone(),
                key: Secret::new(o.stored.key.as_str()),
                not_after: o.facts.not_after,
            })
        });
        self.certificates.send_replace(Arc::new(all.collect()));
    }

    fn show(&self, certificates: Vec<CertificateStatus>, (obtained, failed): (u64, u64)) {
        let new = AcmeStatus { resolver: self.name.to_string(), obtained, failed, certificates };
        self.status.send_if_modified(|old| {
            let changed = **old != new;
            if changed {
                *old = Arc::new(new);
            }
            changed
        });
    }

    fn ask_windows(self: &Arc<Self>, tasks: &mut JoinSet<Done>, permits: &Arc<Semaphore>, next: &mut Instant) {
        let now = Instant::now();
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        for o in own.iter_mut() {
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
                let result = match me.client().await {
                    Ok(client) => client.renewal_window(&id).await,
                    Err(e) => Err(e),
                };
                Done::Window(domains, id, result)
            });
        }
    }

    fn next_renewal(&self) -> Instant {
        let now = SystemTime::now();
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let all = own.iter().filter_map(|o| {
            let wait = o.due(self.config.certificates_duration).duration_since(now).ok()?;
            Some((Instant::now() + wait.min(LOOK)).max(o.earliest))
        });
        all.min().unwrap_or_else(|| Instant::now() + LOOK)
    }

    async fn client(&self) -> Result<Arc<Client>, AcmeError> {
        let asked = Instant::now();
        let mut slot = self.account.lock().await;
        self.discover(&mut slot, asked).await
    }

    /// The CA's directory, read once; whoever waited while it failed is told the same.
    async fn discover(&self, slot: &mut AccountSlot, asked: Instant) -> Result<Arc<Client>, AcmeError> {
        if let Some(client) = &slot.client {
            return Ok(Arc::clone(client));
        }
        if let Some((at, e)) = &slot.failed
            && *at >= asked
        {
            return Err(e.clone());
        }
        match Client::discover(Arc::clone(&self.http), &self.config.ca_server).await {
            Ok(client) => Ok(Arc::clone(slot.client.insert(client))),
            Err(e) => {
                let e = e.during(format_args!("the CA's directory `{}`", self.config.ca_server));
                slot.failed = Some((Instant::now(), e.clone()));
                Err(e)
            }
        }
    }

    /// The account, made and registered when there is none.
    async fn account(&self) -> Result<Account, AcmeError> {
        let asked = Instant::now();
        let mut slot = self.account.lock().await;
        if let Some(account) = &slot.account {
            return Ok(account.clone());
        }
        let client = self.discover(&mut slot, asked).await?;
        if let Some((at, e)) = &slot.failed
            && *at >= asked
        {
            return Err(e.clone());
        }
        match self.register(&mut slot, client).await {
            Ok(account) => Ok(slot.account.insert(account).clone()),
            Err(e) => {
                let e = e.during("the account");
                slot.failed = Some((Instant::now(), e.clone()));
                Err(e)
            }
        }
    }

    async fn register(&self, slot: &mut AccountSlot, client: Arc<Client>) -> Result<Account, AcmeError> {
        if let Some(stored) = &slot.stored
            && !stored.uri.is_empty()
            && host(&stored.uri) != host(&self.config.ca_server)
        {
            tracing::warn!(resolver = %self.name, account = stored.uri, "the stored account is one of another CA: a new one is made");
            slot.stored = None;
        }
        let key = match &slot.stored {
            Some(stored) => AccountKey::from_der(&stored.key)?,
            None => blocking(AccountKey::generate).await?,
        };
        let key = Arc::new(key);
        if let Some(stored) = slot.stored.as_ref().filter(|s| !s.uri.is_empty()) {
            return Ok(Account { client, key, uri: stored.uri.clone() });
        }
        let email = slot.stored.as_ref().map_or(&self.config.email, |s| &s.email).clone();
        let eab = self.config.eab.as_ref().filter(|e| !e.kid.is_empty()).map(|e| (e.kid.as_str(), e.hmac_encoded.expose()));
        tracing::info!(resolver = %self.name, ca = self.config.ca_server, "registering an account");
        let registration = client.register(&key, &email, eab).await?;
        let stored = StoredAccount { email, uri: registration.uri.clone(), body: registration.body, key: key.der().to_vec() };
        slot.stored = Some(stored.clone());
        let (storage, name) = (Arc::clone(&self.storage), Arc::clone(&self.name));
        if let Err(e) = blocking(move || storage.put_account(&name, &stored)).await {
            tracing::error!(resolver = %self.name, error = %e, "the account could not be stored");
        }
        Ok(Account { client, key, uri: registration.uri })
    }

    /// Begins anew with the CA; `registration` too.
    async fn forget(&self, account: &Account, registration: bool) {
        let mut slot = self.account.lock().await;
        // another order may have done so already
        if slot.account.as_ref().is_some_and(|a| a.uri == account.uri && Arc::ptr_eq(&a.client, &account.client)) {
            (slot.account, slot.client) = (None, None);
            if let Some(stored) = slot.stored.as_mut().filter(|_| registration) {
                stored.uri.clear();
            }
        }
    }
}

impl std::fmt::Debug for AcmeResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmeResolver").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Own {
    fn new(stored: StoredCertificate, facts: Facts) -> Self {
        let now = Instant::now();
        Own { stored, facts, spread: fastrand::f64(), window: None, ask: now, earliest: now }
    }

    fn due(&self, hours: i64) -> SystemTime {
        renewal::due(&self.facts, hours, self.window.as_ref(), self.spread)
    }
}

fn status_of(job: &Job, t: &Tries) -> CertificateStatus {
    let state = match (t.running, job.not_after.is_some(), t.failures) {
        (true, false, _) => CertificateState::Ordering,
        (true, true, _) => CertificateState::Renewing,
        (false, _, 0) => CertificateState::Waiting,
        (false, ..) => CertificateState::Failed,
    };
    let mut status = CertificateStatus::new(job.domains.clone(), &job.store, state);
    status.failures = t.failures;
    status.not_after = job.not_after;
    if let Some(e) = &t.error {
        status.error = Some(e.message.clone());
        status.error_type = e.kind.clone();
    }
    if !t.running {
        status.next_attempt = Some(t.next_at);
    }
    status
}

/// Which sets have a name.
fn index<'a>(sets: impl Iterator<Item = &'a Vec<String>>) -> FxHashMap<&'a str, Vec<usize>> {
    let mut by_name: FxHashMap<&str, Vec<usize>> = FxHashMap::default();
    for (i, names) in sets.enumerate() {
        for name in names {
            by_name.entry(name).or_default().push(i);
        }
    }
    by_name
}

/// The first set that covers all of `names`.
fn find<'a>(by_name: &FxHashMap<&str, Vec<usize>>, names: &[String], set: impl Fn(usize) -> &'a [String]) -> Option<usize> {
    let first = names.first()?;
    let wildcard = first.split_once('.').map(|(_, rest)| format!("*.{rest}"));
    let sets = [Some(first.as_str()), wildcard.as_deref()].into_iter().flatten().filter_map(|n| by_name.get(n)).flatten();
    sets.copied().find(|at| covers_all(set(*at), names))
}

/// DNS before HTTP before TLS, as Traefik chooses.
fn solver(config: &AcmeConfig, shared: &AcmeShared) -> Result<Solver, AcmeError> {
    if let Some(dns) = config.dns_challenge.as_ref().filter(|d| !d.provider.is_empty()) {
        return DnsSolver::new(dns, shared).map(Solver::Dns);
    }
    if let Some(http) = config.http_challenge.as_ref().filter(|h| !h.entry_point.is_empty()) {
        return Ok(Solver::Http { delay: http.delay.as_duration() });
    }
    match &config.tls_challenge {
        Some(tls) => Ok(Solver::Alpn { delay: tls.delay.as_duration() }),
        None => Err(AcmeError::lasting("ACME challenge not specified, please select TLS or HTTP or DNS Challenge")),
    }
}

fn http_options(config: &AcmeConfig, env: &Env) -> Result<HttpOptions, AcmeError> {
    let var = |name: &str| env(name).filter(|v| !v.is_empty());
    let mut options = HttpOptions {
        authorities: config.ca_certificates.clone(),
        system: config.ca_system_cert_pool,
        server_name: config.ca_server_name.clone(),
        timeout: config.client_timeout.as_duration(),
        header_timeout: config.client_response_header_timeout.as_duration(),
        ..HttpOptions::default()
    };
    if options.authorities.is_empty()
        && let Some(list) = var("LEGO_CA_CERTIFICATES")
    {
        options.authorities = list.split(':').filter(|p| !p.is_empty()).map(str::to_owned).collect();
        options.system |= var("LEGO_CA_SYSTEM_CERT_POOL").is_some_and(|v| matches!(v.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True"));
    }
    if options.server_name.is_empty() {
        options.server_name = var("LEGO_CA_SERVER_NAME").unwrap_or_default();
    }
    options.with_proxy(&|name| env(name))
}

fn host(url: &str) -> Option<String> {
    url.parse::<http::Uri>().ok()?.authority().map(|a| a.as_str().to_lowercase())
}

/// Runs what computes or touches files where it holds up nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, AcmeError> + Send + 'static) -> Result<T, AcmeError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| AcmeError::local(e.to_string()))?
}
