//! What all Kubernetes providers do alike: connect, watch, translate when something has changed, publish.

use crate::client::{Connected, connect};
use crate::cluster::Cluster;
use crate::status::{StatusWrite, Statuses};
use crate::watched::{Signal, Wanted, Watched};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use torana_config::install::KubernetesConnectionConfig;
use torana_extend::{Backoff, Document, Provider, ProviderOut, Stop, Stopped};

/// Changes come in groups: so long it must have been quiet.
const QUIET: Duration = Duration::from_millis(15);
/// So long a change waits for quiet, at most.
const PATIENCE: Duration = Duration::from_millis(150);
/// After so long without the server everything begins anew: its address, its authority or the token may be others.
const RECONNECT: Duration = Duration::from_secs(60);

/// What a view of a cluster means.
pub struct Translated {
    pub document: Document,
    /// What is to be written back, for all objects that this gateway answers for.
    pub statuses: Vec<StatusWrite>,
}

/// One family of objects.
pub trait Translate: Send + 'static {
    /// Behind `@` in references.
    fn name(&self) -> &'static str;

    /// The kinds that a translation looks at.
    fn wanted(&self) -> Vec<Wanted>;

    /// Pure: no I/O, no clock. Runs on a blocking thread.
    fn translate(&mut self, cluster: &Cluster) -> Translated;
}

/// A provider of what `translate` makes of a cluster.
pub fn provider<T: Translate>(connection: KubernetesConnectionConfig, translate: T) -> Box<dyn Provider> {
    Box::new(Kubernetes { connection, translate })
}

struct Kubernetes<T> {
    connection: KubernetesConnectionConfig,
    translate: T,
}

impl<T: Translate> Provider for Kubernetes<T> {
    fn name(&self) -> &'static str {
        self.translate.name()
    }

    fn run(self: Box<Self>, out: ProviderOut, mut stop: Stop) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            tokio::select! {
                _ = stop.wait_for(|s| *s) => {}
                _ = run(self.connection, self.translate, out) => {}
            }
        })
    }
}

async fn run<T: Translate>(connection: KubernetesConnectionConfig, translate: T, out: ProviderOut) -> Result<(), Stopped> {
    let name = translate.name();
    let mut backoff = Backoff::default();
    let mut session =
        Session { throttle: connection.throttle_duration.as_duration(), out, translate: Some(translate), name, next: Instant::now() };
    loop {
        match connect(&connection).await {
            Ok(connected) => {
                session.run(connected, &connection, &mut backoff).await?;
            }
            Err(e) => session.out.failed(name, e).await?,
        }
        sleep(backoff.pause()).await;
    }
}

struct Session<T> {
    out: ProviderOut,
    throttle: Duration,
    /// Away only while it works on a blocking thread.
    translate: Option<T>,
    name: &'static str,
    /// When the next document may be published.
    next: Instant,
}

impl<T: Translate> Session<T> {
    /// Until the server has been away for long.
    async fn run(&mut self, connected: Connected, connection: &KubernetesConnectionConfig, backoff: &mut Backoff) -> Result<(), Stopped> {
        let signal = Signal::default();
        let wanted = self.translate.as_ref().map(Translate::wanted).unwrap_or_default();
        let watched = Watched::spawn(&connected.client, &connection.namespaces, wanted, &signal);
        let statuses = Statuses::spawn(connected, self.name);
        let mut said: Option<String> = None;
        let mut stands = false;
        let mut away_since = None;
        loop {
            tokio::select! {
                () = signal.changed() => {}
                () = sleep_maybe(away_since.map(|s: Instant| s + RECONNECT)) => return Ok(()),
            }
            let away = watched.away();
            match &away {
                Some(error) => {
                    away_since.get_or_insert_with(Instant::now);
                    if said.as_ref() != Some(error) {
                        self.out.failed(self.name, error.clone()).await?;
                    }
                    stands = false;
                }
                None => away_since = None,
            }
            said = away;
            if !watched.is_complete() {
                continue;
            }
            if said.is_none() && !stands {
                stands = true;
                backoff.reset();
                self.out.connected(self.name).await?;
            }
            let patience = Instant::now() + PATIENCE;
            while Instant::now() < patience && timeout(QUIET, signal.changed()).await.is_ok() {}
            sleep_until(self.next).await;
            let Some(translated) = self.translate(watched.cluster()).await else { return Err(Stopped) };
            self.next = Instant::now() + self.throttle;
            self.out.publish(translated.document).await?;
            statuses.write(translated.statuses);
        }
    }

    async fn translate(&mut self, cluster: Cluster) -> Option<Translated> {
        let mut translate = self.translate.take()?;
        let work = move || {
            let made = translate.translate(&cluster);
            (translate, made)
        };
        // It breaks off only when the process is shutting down, or by a bug: then this provider ends.
        let (translate, made) = tokio::task::spawn_blocking(work).await.ok()?;
        self.translate = Some(translate);
        Some(made)
    }
}

async fn sleep_maybe(until: Option<Instant>) {
    match until {
        Some(t) => sleep_until(t).await,
        None => std::future::pending().await,
    }
}
