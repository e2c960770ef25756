//! The one task that changes what is served.

use crate::behind::muxer;
use crate::compile::{Compiled, Compiler};
use crate::resolve::Inputs;
use crate::said::Said;
use crate::secure::Files;
use crate::status::RuntimeStatus;
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, watch};
use torana_base::{Diagnostic, provider_of};
use torana_config::routing::RoutingConfig;
use torana_dataplane::Live;
use torana_extend::{Document, Event, ProviderStatus};

/// What the rest of the process may look at.
#[derive(Clone)]
pub struct Published {
    pub status: Arc<ArcSwap<RuntimeStatus>>,
    pub providers: Arc<ArcSwap<BTreeMap<&'static str, ProviderStatus>>>,
    /// Generation of the live snapshot; 0 before the first.
    pub generation: watch::Sender<u64>,
    /// Every provider has delivered and what it delivered is live.
    pub ready: watch::Sender<bool>,
}

impl Published {
    pub fn new(providers: impl IntoIterator<Item = &'static str>) -> Self {
        let providers: BTreeMap<_, _> =
            providers.into_iter().map(|p| (p, ProviderStatus { provider: p, ..ProviderStatus::default() })).collect();
        Published {
            status: Arc::default(),
            ready: watch::Sender::new(false),
            providers: Arc::new(ArcSwap::from_pointee(providers)),
            generation: watch::Sender::new(0),
        }
    }

    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    fn update(&self, provider: &'static str, change: impl FnOnce(&mut ProviderStatus)) {
        let mut all = (**self.providers.load()).clone();
        change(all.entry(provider).or_insert(ProviderStatus { provider, ..ProviderStatus::default() }));
        self.providers.store(Arc::new(all));
    }
}

pub struct Apply {
    pub compiler: Compiler,
    pub live: Live,
    pub published: Published,
    pub throttle: Throttle,
    /// Documents that are there from the start.
    pub inputs: Inputs,
    /// Nothing is ready before the plugins have been tried.
    pub waits_for_plugins: bool,
    /// `providers.startupTimeout`: from then on the gateway is ready without what has not been delivered;
    /// `None` for never.
    pub ready_by: Option<Instant>,
}

/// How long a change waits after the last one of its provider. The first always acts at once, and of those that
/// wait the newest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttle {
    /// `providers.providersThrottleDuration`.
    Fixed(Duration),
    /// By what the last change cost: however many there are, applying them takes a fifth of one core at most.
    Measured { last: Duration },
}

impl Throttle {
    /// Times the duration of the last change, from when it began.
    const PAUSE: u32 = 5;
    /// Traefik's default.
    const LONGEST: Duration = Duration::from_secs(2);

    fn pause(self) -> Duration {
        match self {
            Throttle::Fixed(time) => time,
            Throttle::Measured { last } => (last * Self::PAUSE).min(Self::LONGEST),
        }
    }

    fn note(&mut self, took: Duration) {
        if let Throttle::Measured { last } = self {
            *last = took;
        }
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Throttle::Measured { last: Duration::ZERO }
    }
}

/// How long a new configuration waits for plugins that it declares.
const PLUGIN_PATIENCE: Duration = Duration::from_secs(2);

/// What stands in the log.
#[derive(Default)]
struct Logged {
    /// What was wrong with the last compiled configuration.
    last: BTreeSet<String>,
    said: Said,
}

/// A provider's newest document that waits for its turn.
struct Waiting {
    document: Document,
    due: Instant,
}

impl Apply {
    /// Runs until it is aborted. Must run on a local runtime: health checks start on it.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let plugins = self.compiler.plugins().clone();
        let mut reloaded = plugins.changed();
        let mut obtained = self.compiler.resolvers().changed();
        let mut last: BTreeMap<&'static str, Instant> = BTreeMap::new();
        let mut waiting: BTreeMap<&'static str, Waiting> = BTreeMap::new();
        let mut logged = Logged::default();
        self = self.apply(&mut logged).await;
        let files = watch::Sender::new(self.compiler.tls_files().clone());
        let referred = watch::Sender::new(self.compiler.referred_files().clone());
        let (tell, mut rewritten) = mpsc::channel(1);
        let (tell_referred, mut replaced) = mpsc::channel(1);
        let again = tell.clone();
        // A call that is under way already will see the newest answers too.
        if let Some(work) = self.compiler.tls().stapling(move || {
            let _ = again.try_send(());
        }) {
            tokio::task::spawn_local(work);
        }
        tokio::task::spawn_local(follow(files.subscribe(), tell));
        tokio::task::spawn_local(follow(referred.subscribe(), tell_referred));
        let mut over = false;
        let mut tomorrow = Instant::now() + DAY;
        loop {
            for (sender, now) in [(&files, self.compiler.tls_files()), (&referred, self.compiler.referred_files())] {
                sender.send_if_modified(|f| {
                    let other = !Arc::ptr_eq(f, now);
                    f.clone_from(now);
                    other
                });
            }
            let due = waiting.values().map(|w| w.due).min();
            let ready_by = self.ready_by;
            let event = tokio::select! {
                () = sleep_until(ready_by) => {
                    self.ready_by = None;
                    self.ready_without();
                    continue;
                }
                e = events.recv(), if !over => {
                    // Without providers there are still certificates and plugins that change.
                    over = e.is_none();
                    e
                }
                () = sleep_until(due) => None,
                Some(()) = rewritten.recv() => {
                    self.compiler.read_tls_files_again();
                    self = self.apply(&mut logged).await;
                    files.send_replace(self.compiler.tls_files().clone());
                    continue;
                }
                Some(()) = replaced.recv() => {
                    self.compiler.read_referred_files_again();
                    self = self.apply(&mut logged).await;
                    referred.send_replace(self.compiler.referred_files().clone());
                    continue;
                }
                () = sleep_until(Some(tomorrow)) => {
                    tomorrow = Instant::now() + DAY;
                    if self.compiler.tls().is_due(SystemTime::now()) {
                        self.compiler.read_tls_files_again();
                        self = self.apply(&mut logged).await;
                    }
                    continue;
                }
                Ok(()) = obtained.changed() => {
                    self = self.apply(&mut logged).await;
                    continue;
                }
                Ok(()) = reloaded.changed() => {
                    // Only what uses another version of a plugin is built anew.
                    self = self.apply(&mut logged).await;
                    continue;
                }
            };
            match event {
                Some(Event::Failed { provider, error }) => {
                    let before = self.published.providers.load().get(provider).and_then(|s| s.last_error.clone());
                    if before.as_ref() != Some(&error) {
                        tracing::error!(providerName = provider, error, "the source cannot be read; what it delivered last stays in use");
                    }
                    self.published.update(provider, |s| {
                        s.connected_since = None;
                        s.failures += 1;
                        s.last_failure = Some(SystemTime::now());
                        s.last_error = Some(error);
                    });
                    continue;
                }
                Some(Event::Connected { provider }) => {
                    let status = self.published.providers.load().get(provider).cloned().unwrap_or_default();
                    if status.connected_since.is_none() {
                        tracing::info!(providerName = provider, failures = status.failures, "connected to the source");
                    }
                    self.published.update(provider, |s| {
                        s.connected_since.get_or_insert_with(SystemTime::now);
                        s.last_error = None;
                    });
                    continue;
                }
                Some(Event::Refused { provider, diagnostics }) => {
                    let before = self.published.providers.load().get(provider).map(|s| s.diagnostics.clone());
                    if before.as_ref() != Some(&diagnostics) {
                        diagnostics.iter().for_each(|d| log(provider, d));
                    }
                    // What waits is older than this, and good.
                    self.published.update(provider, |s| {
                        s.connected_since.get_or_insert_with(SystemTime::now);
                        s.last_failure = Some(SystemTime::now());
                        s.last_error = first_error(&diagnostics);
                        s.diagnostics = diagnostics;
                    });
                    continue;
                }
                Some(Event::Document(document)) => {
                    let now = Instant::now();
                    let provider = document.provider;
                    let pause = if document.own_pace { Duration::ZERO } else { self.throttle.pause() };
                    let due = last.get(provider).map_or(now, |l| *l + pause).max(now);
                    waiting.insert(provider, Waiting { document: *document, due });
                }
                None => {}
            }
            let now = Instant::now();
            let ready: Vec<&'static str> = waiting.iter().filter(|(_, w)| w.due <= now).map(|(p, _)| *p).collect();
            let mut changed = false;
            for provider in ready {
                let Some(w) = waiting.remove(provider) else { continue };
                last.insert(provider, now);
                changed |= self.take(w.document, &mut logged.said);
            }
            if changed {
                self = self.apply(&mut logged).await;
            }
        }
    }

    /// Takes a document over; whether it differs from the one before.
    fn take(&mut self, document: Document, said: &mut Said) -> bool {
        let Document { provider, config, diagnostics, objects, .. } = document;
        let known = self.published.providers.load().get(provider).map(|s| s.diagnostics.clone()).unwrap_or_default();
        // Sources of many objects deliver often; what was wrong before was said before.
        if diagnostics != known {
            let known: HashSet<&Diagnostic> = known.iter().collect();
            for d in diagnostics.iter().filter(|d| !known.contains(d)) {
                if said.is_news((provider, d), Instant::now()) {
                    log(provider, d);
                }
            }
        }
        let error = first_error(&diagnostics);
        // A source of which nothing at all could be read has not delivered; one whose objects were read, and are all
        // wrong, has.
        let nothing = error.is_some() && objects.seen == 0 && config == RoutingConfig::default();
        let changed = self.inputs.get(provider).is_none_or(|before| **before != config);
        self.published.update(provider, |s| {
            s.delivered |= !nothing;
            s.diagnostics = diagnostics;
            s.connected_since.get_or_insert_with(SystemTime::now);
            s.last_failure = error.is_some().then(SystemTime::now).or(s.last_failure);
            s.last_error = error;
            s.objects = objects;
            if changed {
                s.changes += 1;
                s.last_change = Some(SystemTime::now());
            }
        });
        if changed {
            self.inputs.insert(provider, Arc::new(config));
        } else {
            self.note_ready();
        }
        changed
    }

    /// Compiles on a blocking thread, then makes the result visible.
    async fn apply(self, logged: &mut Logged) -> Self {
        let Apply { mut compiler, live, published, mut throttle, inputs, ready_by, .. } = self;
        // What names a new plugin had better find it; one that takes long does not hold up the others.
        let plugins = compiler.plugins().clone();
        plugins.declare(crate::declared_plugins(&inputs));
        let loaded = plugins.settled(PLUGIN_PATIENCE).await;
        let begin = Instant::now();
        let work = tokio::task::spawn_blocking(move || {
            // What a compile leaves behind when it breaks off is what it had before: safe to go on with.
            let compiled = catch_unwind(AssertUnwindSafe(|| compiler.compile(&inputs)));
            (compiler, inputs, compiled)
        });
        // Only a runtime that is being shut down drops the work.
        let Ok((compiler, inputs, compiled)) = work.await else { return std::future::pending().await };
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(_) => {
                tracing::error!("this configuration cannot be compiled because of a bug in Torana; the last good one stays in use");
                return Apply { compiler, live, published, throttle, inputs, ready_by, waits_for_plugins: false };
            }
        };
        let Compiled { snapshot, status, activate, rest, tcp_checks } = compiled;
        let generation = snapshot.generation;
        live.publish(snapshot);
        if let Some(store) = compiler.tls().what_is_served() {
            compiler.resolvers().served(store);
        }
        for service in activate {
            service.activate();
        }
        for service in rest {
            service.deactivate();
        }
        tcp_checks.apply();
        let mut now = BTreeSet::new();
        for d in &status.diagnostics {
            let text = d.to_string();
            if !logged.last.contains(&text) && logged.said.is_news(&text, begin) {
                log("", d);
            }
            now.insert(text);
        }
        logged.last = now;
        let routers = status.routers.len() + status.tcp.routers.len() + status.udp.routers.len();
        tracing::info!(generation, routers, micros = begin.elapsed().as_micros() as u64, "configuration applied");
        throttle.note(begin.elapsed());
        // Before a provider has delivered there is no configuration that anybody made.
        let delivered = |all: &BTreeMap<_, ProviderStatus>| all.is_empty() || all.values().any(|p| p.delivered);
        if let Some(metrics) = compiler.metrics().filter(|_| delivered(&published.providers.load())) {
            metrics.reloaded(counted(&status), |name| status.services.contains_key(name));
        }
        let old = published.status.swap(status);
        // Freeing ten thousand routers takes its time too.
        tokio::task::spawn_blocking(move || drop(old));
        let waits_for_plugins = !loaded && !published.is_ready();
        let this = Apply { compiler, live, published, throttle, inputs, ready_by, waits_for_plugins };
        this.note_ready();
        this.published.generation.send_replace(generation);
        this
    }

    /// The time to wait for first deliveries is over.
    fn ready_without(&self) {
        if self.published.is_ready() {
            return;
        }
        let providers = self.published.providers.load();
        let missing: Vec<&str> = providers.values().filter(|p| !p.delivered).map(|p| p.provider).collect();
        tracing::warn!(missing = missing.join(", "), "ready without what these providers have not delivered (`providers.startupTimeout`)");
        self.published.ready.send_replace(true);
    }

    fn note_ready(&self) {
        if !self.waits_for_plugins && !self.published.is_ready() && self.published.providers.load().values().all(|p| p.delivered) {
            self.published.ready.send_replace(true);
        }
    }
}

/// How often it is looked whether the certificate that signs itself has to be made again.
const DAY: Duration = Duration::from_secs(86_400);
/// How often the files of certificates, and those that values refer to, are looked at.
const FILE_LOOK: Duration = Duration::from_secs(1);
/// A certificate and its key are two files, and writing takes time: so long nothing must have changed.
const FILE_REST: Duration = Duration::from_millis(100);

/// So long files are given to come to rest.
const FILE_PATIENCE: Duration = Duration::from_secs(2);

/// Tells when files are not what they were, and are at rest. After that it waits for a list of them as they
/// were read again.
async fn follow(mut read: watch::Receiver<Arc<Files>>, changed: mpsc::Sender<()>) {
    loop {
        tokio::time::sleep(FILE_LOOK).await;
        let files = read.borrow_and_update().clone();
        if files.is_empty() {
            if read.changed().await.is_err() {
                return;
            }
            continue;
        }
        let now = async || {
            let files = files.clone();
            tokio::task::spawn_blocking(move || files.now()).await.ok()
        };
        let Some(mut seen) = now().await else { return };
        if seen.same(&files) {
            continue;
        }
        let since = Instant::now();
        loop {
            tokio::time::sleep(FILE_REST).await;
            match now().await {
                // One that is written all the time must not keep the others from being read.
                Some(next) if !next.same(&seen) && since.elapsed() < FILE_PATIENCE => seen = next,
                _ => break,
            }
        }
        if changed.send(()).await.is_err() || read.changed().await.is_err() {
            return;
        }
    }
}

fn first_error(diagnostics: &[Diagnostic]) -> Option<String> {
    diagnostics.iter().find(|d| d.is_error()).map(|d| d.to_string().replace("\n  ", "; "))
}

fn log(provider: &str, d: &Diagnostic) {
    let at = d.place.as_ref().map(|p| p.to_string());
    let hint = d.hint.as_deref();
    let (key, provider) = (some(&d.key), some(provider));
    if d.is_error() {
        tracing::error!(providerName = provider, key, at, hint, "{}", d.message);
    } else {
        tracing::warn!(providerName = provider, key, at, hint, "{}", d.message);
    }
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|t| !t.is_empty())
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Whether requests to a router are counted under a service, as metrics name it: in front of other routers under a name
/// made of its own.
pub(crate) fn counted(status: &RuntimeStatus) -> impl Fn(&str, &str) -> bool {
    // The gateway's own routers lead to no other provider's, whatever those say.
    let leads = |parent: &str, child: &str| provider_of(parent) != "internal" || provider_of(child) == "internal";
    let links = status.routers.values().flat_map(|child| child.parents.iter().map(move |parent| (&**parent, &*child.name)));
    let layered: HashSet<&str> = links.filter(|&(parent, child)| leads(parent, child)).map(|(parent, _)| parent).collect();
    move |name, service| {
        let Some(router) = status.routers.get(name) else { return false };
        if layered.contains(name) { *service == *muxer(name) } else { *service == *router.service }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::Stamp;

    #[tokio::test]
    async fn a_file_that_never_rests_holds_up_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let busy = dir.path().join("busy");
        let files = Files::of([(busy.clone(), Stamp::of(&busy))]);
        let (_read, files) = watch::channel(Arc::new(files));
        let (tell, mut changed) = mpsc::channel(1);
        let write = async {
            for i in 0_usize.. {
                std::fs::write(&busy, "x".repeat(i)).unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = follow(files, tell) => panic!("it goes on"),
            () = write => {}
            told = changed.recv() => assert_eq!(told, Some(())),
            () = tokio::time::sleep(FILE_LOOK + FILE_PATIENCE * 3) => panic!("nothing is told"),
        }
    }

    #[test]
    fn changes_take_a_fifth_of_the_time_at_most() {
        let mut measured = Throttle::default();
        assert_eq!(measured.pause(), Duration::ZERO);
        measured.note(Duration::from_millis(20));
        assert_eq!(measured.pause(), Duration::from_millis(100));
        measured.note(Duration::from_secs(3));
        assert_eq!(measured.pause(), Duration::from_secs(2));
        let mut fixed = Throttle::Fixed(Duration::from_millis(500));
        fixed.note(Duration::from_secs(3));
        assert_eq!(fixed.pause(), Duration::from_millis(500));
    }
}
