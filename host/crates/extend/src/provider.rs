use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use torana_base::Diagnostic;
pub use torana_base::{Objects, RejectedObject};
use torana_config::routing::RoutingConfig;

/// What a provider delivers: its whole routing configuration, every time; the newest wins.
#[derive(Default)]
pub struct Document {
    /// Name behind `@` in references, as in `file`.
    pub provider: &'static str,
    pub config: RoutingConfig,
    /// What is wrong with the sources, for the log and the API.
    pub diagnostics: Vec<Diagnostic>,
    /// What stands in the source: containers, services, keys, objects of an API.
    pub objects: Objects,
    /// `providers.providersThrottleDuration` does not hold this document up: the provider keeps a pace of its own
    /// (`throttleDuration`), or servers leave by it that are about to end.
    pub own_pace: bool,
}

/// How a provider is doing.
#[derive(Clone, Debug, Default)]
pub struct ProviderStatus {
    pub provider: &'static str,
    /// It has delivered at least once.
    pub delivered: bool,
    /// Since when its source answers; `None` while it is away, or when a provider has nothing to connect to.
    pub connected_since: Option<SystemTime>,
    pub last_change: Option<SystemTime>,
    /// What is wrong now: the source is away, or what it holds cannot be used.
    pub last_error: Option<String>,
    /// When `last_error` was said last.
    pub last_failure: Option<SystemTime>,
    /// How often the source could not be read.
    pub failures: u64,
    /// How often what it delivered was another thing than before.
    pub changes: u64,
    pub objects: Objects,
    /// What is wrong with its sources, as of its last document.
    pub diagnostics: Vec<Diagnostic>,
}

/// Where providers publish.
#[derive(Clone)]
pub struct ProviderOut {
    sender: mpsc::Sender<Event>,
}

/// From a provider to the one task that applies.
pub enum Event {
    Document(Box<Document>),
    /// The source answers.
    Connected {
        provider: &'static str,
    },
    /// The source cannot be read; the last good document stays.
    Failed {
        provider: &'static str,
        error: String,
    },
    /// The source was read, and what it holds cannot be used at all; the last good document stays.
    Refused {
        provider: &'static str,
        diagnostics: Vec<Diagnostic>,
    },
}

impl ProviderOut {
    pub fn channel(capacity: usize) -> (ProviderOut, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (ProviderOut { sender }, receiver)
    }

    async fn send(&self, event: Event) -> Result<(), Stopped> {
        self.sender.send(event).await.map_err(|_| Stopped)
    }

    /// Returns when the document was taken over; an error only when the gateway is stopping.
    pub async fn publish(&self, document: Document) -> Result<(), Stopped> {
        self.send(Event::Document(Box::new(document))).await
    }

    /// Waits until all that was published before has been taken over, so that a source that changes faster than it
    /// can be applied leaves out what is outdated already. Returns at once when the gateway is stopping.
    pub async fn taken(&self) {
        let all = self.sender.reserve_many(self.sender.max_capacity()).await;
        drop(all);
    }

    /// The source answers (again). Said when a connection stands, before the first document over it.
    pub async fn connected(&self, provider: &'static str) -> Result<(), Stopped> {
        self.send(Event::Connected { provider }).await
    }

    /// The source is away: from now on it does not count as connected. Said once for each failed try; equal
    /// errors in a row are logged once.
    pub async fn failed(&self, provider: &'static str, error: impl Into<String> + Send) -> Result<(), Stopped> {
        self.send(Event::Failed { provider, error: error.into() }).await
    }

    /// The source answers, but nothing of what it holds can be used.
    pub async fn refused(&self, provider: &'static str, diagnostics: Vec<Diagnostic>) -> Result<(), Stopped> {
        self.send(Event::Refused { provider, diagnostics }).await
    }
}

/// The gateway is stopping.
#[derive(Debug)]
pub struct Stopped;

/// Becomes true when the gateway stops.
pub type Stop = watch::Receiver<bool>;

/// A provider at work.
pub type ProviderRun<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A source of routing configuration.
///
/// While its source is away a provider says so by [`ProviderOut::failed`], tries again after a [`Backoff`], and
/// publishes nothing: what it delivered last goes on being served.
pub trait Provider: Send {
    /// Name behind `@`.
    fn name(&self) -> &'static str;

    /// Publishes at once what is there, then each change, for as long as the gateway runs: the future is dropped when
    /// the gateway stops. When it panics that is told, and it is called again.
    fn run(&mut self, out: ProviderOut) -> ProviderRun<'_>;
}

/// Pauses between tries: each twice as long as the one before, half a second at first and thirty at most, and
/// spread by a fifth so that many gateways do not come back at the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    pub const FIRST: Duration = Duration::from_millis(500);
    pub const LONGEST: Duration = Duration::from_secs(30);

    /// How long to wait now.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.8 + 0.4 * fastrand::f64());
        self.next = (self.next * 2).min(Self::LONGEST);
        pause
    }

    /// The source has answered: the next failure begins with the shortest pause.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { next: Self::FIRST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_begin_anew() {
        let mut backoff = Backoff::default();
        let mut expected = Backoff::FIRST;
        for _ in 0..12 {
            let pause = backoff.pause();
            assert!(pause >= expected.mul_f64(0.79) && pause <= expected.mul_f64(1.21), "{pause:?} for {expected:?}");
            expected = (expected * 2).min(Backoff::LONGEST);
        }
        backoff.reset();
        assert!(backoff.pause() <= Backoff::FIRST.mul_f64(1.21));
    }
}
