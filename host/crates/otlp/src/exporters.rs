//! The thread that sends.

use crate::batch::TARGET;
use crate::destination::Destination;
use crate::environment::Environment;
use crate::logs;
use crate::metrics;
use crate::resource::Resource;
use crate::spans;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use torana_telemetry::Records;
use torana_telemetry::metrics::Source;
use torana_trace::{Calls, Sink};

/// Runs until it is told to stop, and a little longer to send what is left.
pub type Work = Box<dyn FnOnce(watch::Receiver<bool>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// What is to be sent from one thread; gathered before it starts.
#[derive(Default)]
pub struct Exporters {
    /// With what is sent, for the log.
    work: Vec<(&'static str, Work)>,
}

impl Exporters {
    /// Sends spans; they are put into what is given back.
    pub fn spans(&mut self, destination: Destination, resource: Resource, environment: &Environment) -> Arc<dyn Sink> {
        let signal = destination.signal();
        let (queue, batches) = spans::spans(destination, environment);
        let work: Work = Box::new(move |stop| Box::pin(spans::run(batches, resource, stop)));
        self.work.push((signal.name(), work));
        Arc::new(queue)
    }

    /// Sends log records; they are put into what is given back.
    pub fn logs(&mut self, destination: Destination, resource: Resource, environment: &Environment) -> Arc<dyn Records> {
        let signal = destination.signal();
        let (queue, batches) = logs::logs(destination, environment);
        let work: Work = Box::new(move |stop| Box::pin(logs::run(batches, resource, stop)));
        self.work.push((signal.name(), work));
        Arc::new(queue)
    }

    /// Reports metrics every `interval`: what `source` says, and `calls`.
    pub fn metrics(&mut self, destination: Destination, resource: Resource, interval: Duration, source: Source, calls: Arc<Calls>) {
        let signal = destination.signal();
        let work: Work = Box::new(move |stop| Box::pin(metrics::run(destination, resource, interval, source, calls, stop)));
        self.work.push((signal.name(), work));
    }

    /// Sends something else from the same thread.
    pub fn other(&mut self, what: &'static str, work: Work) {
        self.work.push((what, work));
    }

    /// Starts the thread, if there is anything to send.
    pub fn start(self) -> std::io::Result<Running> {
        let (stop, stopped) = watch::channel(false);
        let (over, ended) = mpsc::channel();
        if self.work.is_empty() {
            return Ok(Running { stop, ended, thread: None });
        }
        let thread = std::thread::Builder::new().name("otlp".into()).spawn(move || {
            torana_telemetry::log::enter_sender();
            let built = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
            match built {
                Ok(runtime) => runtime.block_on(all(self.work, stopped)),
                Err(error) => tracing::error!(%error, "cannot start what sends to collectors"),
            }
            // Nobody may wait for it any more.
            let _ = over.send(());
        })?;
        Ok(Running { stop, ended, thread: Some(thread) })
    }
}

async fn all(work: Vec<(&'static str, Work)>, stopped: watch::Receiver<bool>) {
    let watched = work.into_iter().map(|(signal, w)| {
        // A panic of one does not end the others.
        let task = tokio::task::spawn_local(w(stopped.clone()));
        // In a task of its own: the others may go on for ever, and it is to be told at once.
        tokio::task::spawn_local(async move {
            if let Err(error) = task.await {
                tracing::error!(target: TARGET, %error, signal, "nothing more is sent to the collector because of a bug in Torana");
            }
        })
    });
    for task in watched.collect::<Vec<_>>() {
        let _ = task.await;
    }
}

/// The thread that sends, until it is told to finish.
pub struct Running {
    stop: watch::Sender<bool>,
    ended: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Sends what waits, and gives up after `within`.
    pub fn finish(self, within: Duration) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread
            && self.ended.recv_timeout(within).is_ok()
        {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::{Debug, Write};
    use std::sync::Mutex;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// Keeps what is logged.
    #[derive(Default)]
    struct Heard(Mutex<String>);

    struct Fields<'a>(&'a mut String);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            write!(self.0, "{field}={value:?} ").unwrap();
        }
    }

    impl Subscriber for Heard {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == TARGET
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            event.record(&mut Fields(&mut self.0.lock().unwrap()));
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    async fn broken() {
        panic!("on purpose");
    }

    #[test]
    fn an_end_by_a_panic_is_told_while_others_go_on() {
        let heard = Arc::new(Heard::default());
        let (_stop, stopped) = watch::channel(false);
        let until_told = heard.clone();
        let others: Work = Box::new(|_| {
            Box::pin(async move {
                while until_told.0.lock().unwrap().is_empty() {
                    tokio::task::yield_now().await;
                }
            })
        });
        let broken: Work = Box::new(|_| Box::pin(broken()));
        let work = vec![("traces", others), ("metrics", broken)];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
        tracing::subscriber::with_default(heard.clone(), || {
            runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), all(work, stopped)).await.unwrap() });
        });
        let told = heard.0.lock().unwrap();
        assert!(told.contains("signal=\"metrics\"") && told.contains("on purpose"), "{told}");
    }
}
