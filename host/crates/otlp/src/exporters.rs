//! The thread that sends.

use crate::destination::Destination;
use crate::environment::Environment;
use crate::metrics::{self, Source};
use crate::resource::Resource;
use crate::spans;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use torana_trace::{Calls, Sink};

type Work = Box<dyn FnOnce(watch::Receiver<bool>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// What is to be sent from one thread; gathered before it starts.
#[derive(Default)]
pub struct Exporters {
    work: Vec<Work>,
}

impl Exporters {
    /// Sends spans; they are put into what is given back.
    pub fn spans(&mut self, destination: Destination, resource: Resource, environment: &Environment) -> Arc<dyn Sink> {
        let (queue, batches) = spans::spans(destination, environment);
        self.work.push(Box::new(move |stop| Box::pin(spans::run(batches, resource, stop))));
        Arc::new(queue)
    }

    /// Reports metrics every `interval`: what `source` says, and `calls`.
    pub fn metrics(&mut self, destination: Destination, resource: Resource, interval: Duration, source: Source, calls: Arc<Calls>) {
        self.work.push(Box::new(move |stop| Box::pin(metrics::run(destination, resource, interval, source, calls, stop))));
    }

    /// Starts the thread, if there is anything to send.
    pub fn start(self) -> std::io::Result<Running> {
        let (stop, stopped) = watch::channel(false);
        let (over, ended) = mpsc::channel();
        if self.work.is_empty() {
            return Ok(Running { stop, ended, thread: None });
        }
        let thread = std::thread::Builder::new().name("otlp".into()).spawn(move || {
            let built = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
            match built {
                Ok(runtime) => runtime.block_on(all(self.work, stopped)),
                Err(error) => tracing::error!(%error, "cannot start what sends to OpenTelemetry collectors"),
            }
            // Nobody may wait for it any more.
            let _ = over.send(());
        })?;
        Ok(Running { stop, ended, thread: Some(thread) })
    }
}

async fn all(work: Vec<Work>, stopped: watch::Receiver<bool>) {
    let tasks: Vec<_> = work.into_iter().map(|w| tokio::task::spawn_local(w(stopped.clone()))).collect();
    for task in tasks {
        // A panic of one does not end the others.
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
