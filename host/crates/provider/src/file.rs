//! `providers.file`: routing configuration from one file, or from all `.yaml`, `.yml` and `.toml` files of
//! a directory and what is below it, in lexical order; of two objects with one name the first wins.
//!
//! Each file stands for itself: one that is wrong keeps its last good version and does no harm to the
//! others, where Traefik refuses the whole reload. A file with `{{` is a Go template, rendered before it is parsed. `SIGHUP` reads everything again, watched or not.

mod sources;
mod template;
mod watch;

use sources::{Loaded, Root, Sources};
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use torana_config::install::{FileProviderConfig, ProvidersConfig};
use torana_extend::{Document, Provider, ProviderOut, ProviderRun, Stopped};
use watch::Ears;

/// Behind `@` in references.
pub const NAME: &str = "file";

/// How long until a source that cannot be read at all is tried again, should no event come first.
const RETRY: Duration = Duration::from_secs(1);

/// Reads files and, unless `watch` is false, follows them.
pub struct FileProvider {
    config: FileProviderConfig,
}

impl FileProvider {
    pub fn new(config: FileProviderConfig) -> Self {
        FileProvider { config }
    }
}

/// For the registry.
pub(crate) fn configured(config: &ProvidersConfig) -> Option<Box<dyn Provider>> {
    config.file.clone().map(|c| Box::new(FileProvider::new(c)) as Box<dyn Provider>)
}

impl Provider for FileProvider {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, out: ProviderOut) -> ProviderRun<'_> {
        Box::pin(async move { _ = run(&self.config, &out).await })
    }
}

async fn run(config: &FileProviderConfig, out: &ProviderOut) -> Result<(), Stopped> {
    let Some(root) = Root::of(config) else {
        let error = "there is nothing to read: set `providers.file.directory` or `providers.file.filename`";
        out.failed(NAME, error).await?;
        return pending().await;
    };
    let ears = Arc::new(Ears::default());
    let mut hangup = signal(SignalKind::hangup()).inspect_err(|error| tracing::warn!(providerName = NAME, %error, "SIGHUP will not reload")).ok();
    let sources = Sources::new(root, config.watch.then(|| ears.clone())).log_templates(config.debug_log_generated_template);
    let sources = Arc::new(Mutex::new(sources));
    let mut said = None;
    let mut since = None;
    loop {
        let reader = sources.clone();
        let read = tokio::task::spawn_blocking(move || reader.lock().unwrap_or_else(PoisonError::into_inner).load(Instant::now())).await;
        let (loaded, again) = read.unwrap_or_else(|e| (Loaded::Failed(format!("reading broke off: {e}")), Some(RETRY)));
        match loaded {
            Loaded::Same => {}
            Loaded::New(config, diagnostics) => {
                said = None;
                out.publish(Document { provider: NAME, config: *config, diagnostics, ..Document::default() }).await?;
                let took = since.map(|s: Instant| s.elapsed());
                tracing::debug!(providerName = NAME, ?took, "published");
            }
            Loaded::Failed(error) if said.as_ref() == Some(&error) => {}
            Loaded::Failed(error) => {
                said = Some(error.clone());
                out.failed(NAME, error).await?;
            }
        }
        since = tokio::select! {
            first = ears.settled() => Some(first),
            () = recv(&mut hangup) => Some(Instant::now()),
            () = sleep(again) => None,
        };
    }
}

async fn recv(hangup: &mut Option<Signal>) {
    match hangup {
        Some(signal) => _ = signal.recv().await,
        None => pending().await,
    }
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(t) => tokio::time::sleep(t).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
