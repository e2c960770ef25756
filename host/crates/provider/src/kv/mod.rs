//! What the stores have in common (etcd, Consul, Redis, ZooKeeper): one key below `rootKey` for each option, as in
//! `traefik/http/routers/blog/rule`.
//!
//! A store is read whole once, then followed; an object (a router, a service…) whose keys have not changed is never
//! decoded again. Keys are written one by one, so changes are gathered for some milliseconds, and what is half
//! written harms nothing else: the object that it belongs to is named in the status.

mod keys;

use keys::Keys;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use torana_base::Diagnostic;
use torana_extend::{Backoff, Provider, ProviderOut, ProviderRun, Stopped, Undone, apart};

/// Values by their keys below the root, without the slash in front.
pub(crate) type Pairs = BTreeMap<String, Vec<u8>>;

/// For one exchange with a store.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// For connecting, as in Traefik.
pub(crate) const CONNECT: Duration = Duration::from_secs(3);
/// When nothing has changed for so long, what has changed belongs together.
const QUIET: Duration = Duration::from_millis(4);
/// From the first change to acting on it, however many follow.
const LONGEST: Duration = Duration::from_millis(20);
/// A connection that ends sooner has not been a success: whoever refuses only the watch is not asked twice a second.
const STEADY: Duration = Duration::from_secs(10);
/// News on their way. More wait in the store.
const CHANNEL: usize = 16;
/// Bytes of all keys and values, at most.
pub(crate) const LARGEST: usize = 256 << 20;

/// A connection that is over for good ends the watch with a text that says why.
pub(crate) type News = Result<Change, String>;

/// What has happened in a store.
pub(crate) enum Change {
    /// These keys have other values, or none.
    Some(Vec<(String, Option<Vec<u8>>)>),
    /// This is all that there is.
    All(Pairs),
    /// What the user should know of the store, in place of what was said before.
    Notes(Vec<Diagnostic>),
}

/// A store that has been read.
pub(crate) struct Opened {
    pub(crate) pairs: Pairs,
    /// Sends each later change, until the connection is over. Ends at once when it is dropped.
    pub(crate) watch: Watch,
    /// What the user should know of the store.
    pub(crate) notes: Vec<Diagnostic>,
}

pub(crate) type Watch = Box<dyn FnOnce(mpsc::Sender<News>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Where keys stand.
pub(crate) trait Store: Send + Sync + 'static {
    /// Connects and reads everything. The text says what was tried, and what to do where that is known.
    fn open(&mut self) -> impl Future<Output = Result<Opened, String>> + Send;
}

/// The provider of a store.
pub(crate) struct Kv<S> {
    pub(crate) name: &'static str,
    /// Without slashes at its ends.
    pub(crate) root: String,
    pub(crate) store: S,
}

/// `rootKey` as all of this takes it.
pub(crate) fn root(key: &str) -> String {
    key.trim_matches('/').to_owned()
}

impl<S: Store> Provider for Kv<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, out: ProviderOut) -> ProviderRun<'_> {
        Box::pin(async move { _ = run(self.name, &self.root, &mut self.store, &out).await })
    }
}

async fn run<S: Store>(name: &'static str, root: &str, store: &mut S, out: &ProviderOut) -> Result<(), Stopped> {
    let mut keys = Keys::new(name, root);
    let mut backoff = Backoff::default();
    loop {
        let error = match store.open().await {
            Ok(Opened { pairs, watch, notes }) => {
                out.connected(name).await?;
                keys.replace(pairs);
                keys.notes = notes;
                let begin = Instant::now();
                let ended = follow(name, keys, watch, out).await;
                if begin.elapsed() >= STEADY {
                    backoff.reset();
                }
                match ended {
                    Ok((error, back)) => {
                        keys = back;
                        error
                    }
                    Err(Undone::Stopped) => return Err(Stopped),
                    Err(Undone::Bug(error)) => {
                        keys = Keys::new(name, root);
                        error
                    }
                }
            }
            Err(error) => error,
        };
        out.failed(name, error).await?;
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// Publishes what there is, then changes until the connection is over; why it is.
async fn follow(name: &'static str, mut keys: Keys, watch: Watch, out: &ProviderOut) -> Result<(String, Keys), Undone> {
    // Also when nothing is new: what is wrong with objects is the status again.
    keys = publish(keys, out).await?;
    let (tell, mut news) = mpsc::channel(CHANNEL);
    let _watching = Aborting(tokio::spawn(watch(tell)));
    loop {
        let Some(first) = news.recv().await else { return Ok(("the connection is over".into(), keys)) };
        let begin = Instant::now();
        let mut over = keys.take(first).err();
        while over.is_none() {
            let quiet = Instant::now() + QUIET;
            match timeout_at(quiet.min(begin + LONGEST), news.recv()).await {
                Ok(Some(more)) => over = keys.take(more).err(),
                Ok(None) => over = Some("the connection is over".into()),
                Err(_) => break,
            }
        }
        if keys.changed() {
            // Whoever writes faster than can be applied has outdated what would be published now.
            out.taken().await;
            while over.is_none()
                && let Ok(more) = news.try_recv()
            {
                over = keys.take(more).err();
            }
            keys = publish(keys, out).await?;
            tracing::debug!(providerName = name, took = ?begin.elapsed(), "published");
        }
        if let Some(error) = over {
            return Ok((error, keys));
        }
    }
}

/// Decodes what has changed, on a thread that may block.
async fn publish(mut keys: Keys, out: &ProviderOut) -> Result<Keys, Undone> {
    let work = apart(move || {
        let document = keys.document();
        (keys, document)
    });
    let (keys, document) = work.await?;
    out.publish(document).await?;
    Ok(keys)
}

/// A task that ends with this.
pub(crate) struct Aborting(pub(crate) JoinHandle<()>);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The bytes of all pairs, or that they are too many.
pub(crate) fn bounded(size: usize, root: &str) -> Result<(), String> {
    if size <= LARGEST {
        return Ok(());
    }
    Err(format!("below `{root}` stands more than {} MiB: move what is no configuration elsewhere", LARGEST >> 20))
}

#[cfg(test)]
mod tests;
