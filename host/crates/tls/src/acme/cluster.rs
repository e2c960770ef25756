//! What a resolver does together with others that share its storage.

use super::AcmeError;
use super::account::blocking;
use super::challenge::{Answering, Challenges};
use super::storage::{SharedAnswer, Storage, Stored};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at what the others did.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// While the shared place does not answer.
pub(super) const LONGEST_LOOK: Duration = Duration::from_secs(8);
/// In which all gateways have looked, and those behind a slow network too.
const SPREAD: Duration = Duration::from_millis(1500);
/// A lease ends by itself after this, and is made longer in time: so long nobody takes over from a gateway that died.
const LEASE: Duration = Duration::from_secs(30);
/// How long others are kept from trying what failed here, at most.
const REST: Duration = Duration::from_secs(3600);

/// Where answers to challenges go.
pub(super) struct Answers {
    pub(super) challenges: Arc<Challenges>,
    pub(super) storage: Arc<dyn Storage>,
}

impl Answers {
    /// Makes answers known to all gateways, and waits until they have them.
    pub(super) async fn publish(&self, answers: Vec<SharedAnswer>) -> Result<(), AcmeError> {
        if answers.is_empty() || self.storage.cluster().is_none() {
            return Ok(());
        }
        let storage = Arc::clone(&self.storage);
        blocking(move || storage.cluster().map_or(Ok(()), |c| c.put_answers(&answers))).await?;
        tokio::time::sleep(SPREAD).await;
        Ok(())
    }

    pub(super) async fn withdraw(&self, answers: Vec<SharedAnswer>) {
        if answers.is_empty() || self.storage.cluster().is_none() {
            return;
        }
        let storage = Arc::clone(&self.storage);
        if let Err(e) = blocking(move || storage.cluster().map_or(Ok(()), |c| c.remove_answers(&answers))).await {
            tracing::debug!(error = %e, "answers to challenges stay until their time is over");
        }
    }
}

/// The right to order a certificate; ends some time after it is dropped.
pub(super) struct Lease {
    longer: tokio::task::JoinHandle<()>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.longer.abort();
    }
}

/// `None` while another gateway orders. Without a cluster one always may.
pub(super) async fn lease(storage: &Arc<dyn Storage>, resolver: &Arc<str>, names: &[String]) -> Result<Option<Lease>, AcmeError> {
    let take = {
        let (storage, resolver, names) = (Arc::clone(storage), Arc::clone(resolver), names.to_vec());
        move || {
            let (storage, resolver, names) = (Arc::clone(&storage), Arc::clone(&resolver), names.clone());
            blocking(move || storage.cluster().map_or(Ok(true), |c| c.lease(&resolver, &names, LEASE)))
        }
    };
    if !take().await? {
        return Ok(None);
    }
    let alone = storage.cluster().is_none();
    let longer = tokio::spawn(async move {
        if alone {
            return;
        }
        loop {
            tokio::time::sleep(LEASE / 3).await;
            if let Err(e) = take().await {
                tracing::warn!(error = %e, "a lease could not be made longer");
            }
        }
    });
    Ok(Some(Lease { longer }))
}

/// After an order: lets others try, at once or after a failure only later.
pub(super) async fn rest(storage: Arc<dyn Storage>, resolver: Arc<str>, names: Vec<String>, wait: Option<Duration>) {
    let result = blocking(move || match (storage.cluster(), wait) {
        (None, _) => Ok(()),
        (Some(c), None) => c.release(&resolver, &names),
        (Some(c), Some(wait)) => c.lease(&resolver, &names, wait.min(REST)).map(|_| ()),
    });
    if let Err(e) = result.await {
        tracing::debug!(error = %e, "a lease stays until its time is over");
    }
}

/// What a look at the shared place found.
pub(super) struct Seen {
    pub(super) revision: u64,
    /// When the revision is another one.
    pub(super) stored: Option<Stored>,
    pub(super) answers: Vec<SharedAnswer>,
}

/// Looks, after a pause.
pub(super) async fn look(storage: Arc<dyn Storage>, resolver: Arc<str>, known: Option<u64>, pause: Duration) -> Result<Seen, AcmeError> {
    tokio::time::sleep(pause).await;
    blocking(move || {
        let Some(cluster) = storage.cluster() else { return Err(AcmeError::lasting("nothing is shared")) };
        let revision = cluster.revision(&resolver)?;
        let stored = if known == Some(revision) { None } else { Some(storage.load(&resolver)?) };
        Ok(Seen { revision, stored, answers: cluster.answers()? })
    })
    .await
}

/// Answers of other gateways that are in place here.
#[derive(Default)]
pub(super) struct Theirs(FxHashMap<SharedAnswer, Answering>);

impl Theirs {
    pub(super) fn update(&mut self, now: Vec<SharedAnswer>, challenges: &Arc<Challenges>) {
        self.0.retain(|known, _| now.contains(known));
        for answer in now {
            if self.0.contains_key(&answer) {
                continue;
            }
            let answering = match &answer {
                SharedAnswer::Http { host, token, authorization } => Ok(challenges.answer_http(host, token, authorization.clone())),
                SharedAnswer::Alpn { host, digest } => challenges.answer_alpn(host, digest),
            };
            match answering {
                Ok(a) => drop(self.0.insert(answer, a)),
                Err(e) => tracing::warn!(error = %e, "an answer of another gateway cannot be used"),
            }
        }
    }
}
