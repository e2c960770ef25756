use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;
use tokio::sync::{mpsc, watch};
use torana_base::Diagnostic;
use torana_config::routing::RoutingConfig;

/// What a provider delivers: its whole routing configuration, every time; the newest wins.
pub struct Document {
    /// Name behind `@` in references, as in `file`.
    pub provider: &'static str,
    pub config: RoutingConfig,
    /// What is wrong with the sources, for the log and the API.
    pub diagnostics: Vec<Diagnostic>,
}

/// How a provider is doing.
#[derive(Clone, Debug)]
pub struct ProviderStatus {
    pub provider: &'static str,
    /// It has delivered at least once.
    pub delivered: bool,
    pub last_change: Option<SystemTime>,
    pub last_error: Option<String>,
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
    /// The source cannot be read; the last good document stays.
    Failed {
        provider: &'static str,
        error: String,
    },
}

impl ProviderOut {
    pub fn channel(capacity: usize) -> (ProviderOut, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (ProviderOut { sender }, receiver)
    }

    /// Returns when the document was taken over; an error only when the gateway is stopping.
    pub async fn publish(&self, document: Document) -> Result<(), Stopped> {
        self.sender.send(Event::Document(Box::new(document))).await.map_err(|_| Stopped)
    }

    pub async fn failed(&self, provider: &'static str, error: impl Into<String> + Send) -> Result<(), Stopped> {
        self.sender.send(Event::Failed { provider, error: error.into() }).await.map_err(|_| Stopped)
    }
}

/// The gateway is stopping.
#[derive(Debug)]
pub struct Stopped;

/// Becomes true when the gateway stops.
pub type Stop = watch::Receiver<bool>;

/// A source of routing configuration.
pub trait Provider: Send {
    /// Name behind `@`.
    fn name(&self) -> &'static str;

    /// Runs until `stop`; publishes at once what is there, then each change.
    fn run(self: Box<Self>, out: ProviderOut, stop: Stop) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}
