//! What all Kubernetes providers do alike: connect, watch, translate when something has changed, publish.

use crate::client::{Connected, connect};
use crate::cluster::Cluster;
use crate::status::{StatusWrite, Statuses};
use crate::watched::{Signal, Wanted, Watched};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use torana_config::install::KubernetesConnectionConfig;
use torana_extend::{Backoff, Document, Provider, ProviderOut, ProviderRun, Stopped, Undone, apart};

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
pub trait Translate: Clone + Send + 'static {
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

    fn run(&mut self, out: ProviderOut) -> ProviderRun<'_> {
        Box::pin(async move { _ = run(&self.connection, self.translate.clone(), out).await })
    }
}

async fn run<T: Translate>(connection: &KubernetesConnectionConfig, translate: T, out: ProviderOut) -> Result<(), Stopped> {
    let name = translate.name();
    let mut backoff = Backoff::default();
    let throttle = connection.throttle_duration.as_duration();
    let mut session = Session { throttle, out, blank: translate, translate: None, name, next: Instant::now() };
    loop {
        match connect(connection).await {
            Ok(connected) => {
                session.run(connected, connection, &mut backoff).await?;
            }
            Err(e) => session.out.failed(name, e).await?,
        }
        sleep(backoff.pause()).await;
    }
}

struct Session<T> {
    out: ProviderOut,
    throttle: Duration,
    /// One that has seen nothing yet.
    blank: T,
    /// What has translated last; `None` while it works on a blocking thread, and after a bug.
    translate: Option<T>,
    name: &'static str,
    /// When the next document may be published.
    next: Instant,
}

impl<T: Translate> Session<T> {
    /// Until the server has been away for long, or a bug was met.
    async fn run(&mut self, connected: Connected, connection: &KubernetesConnectionConfig, backoff: &mut Backoff) -> Result<(), Stopped> {
        let signal = Signal::default();
        let wanted = self.blank.wanted();
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
                self.out.connected(self.name).await?;
            }
            let patience = Instant::now() + PATIENCE;
            while Instant::now() < patience && timeout(QUIET, signal.changed()).await.is_ok() {}
            sleep_until(self.next).await;
            let translated = match self.translate(watched.cluster()).await {
                Ok(translated) => translated,
                Err(Undone::Stopped) => return Err(Stopped),
                Err(Undone::Bug(error)) => return self.out.failed(self.name, error).await,
            };
            backoff.reset();
            self.next = Instant::now() + self.throttle;
            self.out.publish(translated.document).await?;
            statuses.write(translated.statuses);
        }
    }

    async fn translate(&mut self, cluster: Cluster) -> Result<Translated, Undone> {
        let mut translate = self.translate.take().unwrap_or_else(|| self.blank.clone());
        let work = move || {
            let made = translate.translate(&cluster);
            (translate, made)
        };
        let (translate, made) = apart(work).await?;
        self.translate = Some(translate);
        Ok(made)
    }
}

async fn sleep_maybe(until: Option<Instant>) {
    match until {
        Some(t) => sleep_until(t).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Odd {
        turn: u32,
    }

    impl Translate for Odd {
        fn name(&self) -> &'static str {
            "odd"
        }

        fn wanted(&self) -> Vec<Wanted> {
            Vec::new()
        }

        fn translate(&mut self, _: &Cluster) -> Translated {
            self.turn += 1;
            assert!(self.turn != 2, "odd");
            Translated { document: Document::default(), statuses: Vec::new() }
        }
    }

    #[tokio::test]
    async fn a_bug_is_told_and_the_next_translation_begins_anew() {
        let (out, _events) = ProviderOut::channel(1);
        let blank = Odd { turn: 0 };
        let mut session = Session { throttle: Duration::ZERO, out, blank, translate: None, name: "odd", next: Instant::now() };
        for expected in [Some(1), None, Some(1)] {
            let bug = match session.translate(Cluster::default()).await {
                Ok(_) => None,
                Err(Undone::Bug(bug)) => Some(bug),
                Err(Undone::Stopped) => panic!("it has ended"),
            };
            assert_eq!(session.translate.as_ref().map(|t| t.turn), expected);
            assert_eq!(bug.is_some_and(|b| b.contains("a bug in Torana: odd")), expected.is_none());
        }
    }
}
