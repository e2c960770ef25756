//! Things that wait to be sent, a batch at a time.

use crate::destination::{Connection, Destination};
use crate::environment::BatchLimits;
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Between two tries to send a batch, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long a batch is tried to be sent.
const PATIENCE: Duration = Duration::from_secs(60);
/// What fails is told this often at most.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The end where things are put in; never waits.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    sender: mpsc::Sender<T>,
    dropped: Arc<AtomicU64>,
}

impl<T> Queue<T> {
    /// Drops and counts what there is no room for.
    pub(crate) fn put(&self, thing: T) {
        if self.sender.try_send(thing).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// The end where batches come out.
pub(crate) struct Batches<T> {
    receiver: mpsc::Receiver<T>,
    limits: BatchLimits,
    courier: Courier,
}

pub(crate) fn queue<T>(destination: Destination, limits: BatchLimits) -> (Queue<T>, Batches<T>) {
    let (sender, receiver) = mpsc::channel(limits.queue);
    let courier = Courier::new(destination);
    (Queue { sender, dropped: courier.dropped.clone() }, Batches { receiver, limits, courier })
}

impl<T> Batches<T> {
    /// Sends until `stop`, and then what is left, each batch once.
    pub(crate) async fn run<M, Answer>(mut self, message: impl Fn(Vec<T>) -> M, mut stop: watch::Receiver<bool>)
    where
        M: Message + Clone + 'static,
        Answer: Message + Default + 'static,
    {
        let mut batch = Vec::with_capacity(self.limits.batch);
        let mut open = true;
        while open {
            let due = tokio::time::sleep(self.limits.delay);
            tokio::pin!(due);
            while open && batch.len() < self.limits.batch {
                tokio::select! {
                    n = self.receiver.recv_many(&mut batch, self.limits.batch) => open = n > 0,
                    () = &mut due => break,
                    _ = stop.wait_for(|s| *s) => open = false,
                }
            }
            self.deliver::<M, Answer>(&mut batch, &message, &mut stop).await;
        }
        self.receiver.close();
        while self.receiver.recv_many(&mut batch, self.limits.batch).await > 0 {
            self.deliver::<M, Answer>(&mut batch, &message, &mut stop).await;
        }
    }

    async fn deliver<M, Answer>(&mut self, batch: &mut Vec<T>, message: &impl Fn(Vec<T>) -> M, stop: &mut watch::Receiver<bool>)
    where
        M: Message + Clone + 'static,
        Answer: Message + Default + 'static,
    {
        let things = std::mem::replace(batch, Vec::with_capacity(self.limits.batch));
        if !things.is_empty() {
            let n = things.len() as u64;
            self.courier.deliver::<M, Answer>(&message(things), n, stop).await;
        }
    }
}

/// Sends messages to one destination, again where that may help, and tells what fails.
pub(crate) struct Courier {
    destination: Destination,
    connection: Option<Connection>,
    dropped: Arc<AtomicU64>,
    told: Option<Instant>,
}

impl Courier {
    pub(crate) fn new(destination: Destination) -> Self {
        Courier { destination, connection: None, dropped: Arc::default(), told: None }
    }

    /// `things`: how many are lost with the message.
    pub(crate) async fn deliver<M, Answer>(&mut self, message: &M, things: u64, stop: &mut watch::Receiver<bool>)
    where
        M: Message + Clone + 'static,
        Answer: Message + Default + 'static,
    {
        let begun = Instant::now();
        let mut pause = PAUSE.0;
        let why = loop {
            match self.attempt::<M, Answer>(message).await {
                Ok(()) => return self.tell_dropped(None),
                Err((why, None)) => break why,
                Err((why, Some(at_least))) => {
                    let wait = wait(pause, at_least);
                    if *stop.borrow() || begun.elapsed() + wait > PATIENCE {
                        break why;
                    }
                    self.tell(&why);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        // Once more, and then no more.
                        _ = stop.wait_for(|s| *s) => {}
                    }
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        };
        self.dropped.fetch_add(things, Relaxed);
        self.tell_dropped(Some(&why));
    }

    async fn attempt<M, Answer>(&mut self, message: &M) -> Result<(), (String, Option<Duration>)>
    where
        M: Message + Clone + 'static,
        Answer: Message + Default + 'static,
    {
        let connection = match &self.connection {
            Some(c) => c,
            // Files may have been repaired when it is tried again.
            None => self.connection.insert(self.destination.connect().await.map_err(|why| (why, Some(Duration::ZERO)))?),
        };
        connection.send::<M, Answer>(message).await.map_err(|f| (f.why, f.again))
    }

    fn is_silent(&mut self) -> bool {
        if self.told.is_some_and(|t| t.elapsed() < TOLD_EVERY) {
            return true;
        }
        self.told = Some(Instant::now());
        false
    }

    fn tell(&mut self, why: &str) {
        if !self.is_silent() {
            let signal = self.destination.signal().name();
            tracing::error!(target: TARGET, error = why, signal, "the OpenTelemetry collector takes nothing; it is tried again");
        }
    }

    fn tell_dropped(&mut self, why: Option<&str>) {
        if self.dropped.load(Relaxed) == 0 || self.is_silent() {
            return;
        }
        let (dropped, signal) = (self.dropped.swap(0, Relaxed), self.destination.signal().name());
        match why {
            Some(error) => {
                tracing::error!(target: TARGET, error, signal, dropped, "what could not be sent to the OpenTelemetry collector is lost")
            }
            None => {
                tracing::warn!(target: TARGET, signal, dropped, "there was more to send to the OpenTelemetry collector than it took: some is lost")
            }
        }
    }
}

/// Until the next try, with some chance in it. `at_least` is the collector's word, which may be any number: beyond
/// twice the patience all are the same, and none can overflow.
fn wait(pause: Duration, at_least: Duration) -> Duration {
    pause.max(at_least.min(PATIENCE * 2)).mul_f64(0.5 + fastrand::f64())
}

/// Of log lines about sending; they are not sent themselves.
pub(crate) const TARGET: &str = "torana_otlp";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_word_of_a_collector_gives_a_wait() {
        for seconds in [120, 1 << 40, u64::MAX] {
            let wait = wait(PAUSE.0, Duration::from_secs(seconds));
            assert!(wait >= PATIENCE && wait <= PATIENCE * 3, "{seconds}: {wait:?}");
        }
        assert!(wait(PAUSE.0, Duration::from_secs(40)) >= Duration::from_secs(20));
        assert!(wait(PAUSE.1, Duration::ZERO) <= PAUSE.1 * 3 / 2);
    }
}
