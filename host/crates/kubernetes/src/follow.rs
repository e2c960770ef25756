//! One watch: what it reads, and how it is doing.

use crate::client::chain;
use crate::cluster::{Key, Objects};
use futures_util::StreamExt;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use torana_extend::Backoff;

/// Objects of one answer to a list.
const PAGE: u32 = 500;
/// After how long the server ends a watch; it is then taken up where it ended.
const WATCH_SECONDS: u32 = 240;
/// How much later than that a watch is given up.
const LATE: Duration = Duration::from_secs(30);

/// How a watch is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Everything has been read once.
    pub(crate) listed: bool,
    /// The server answers, but not what is wanted: no such kind, or no right to read it. Says what to do.
    pub(crate) refused: Option<String>,
    /// The server cannot be reached, and why.
    pub(crate) away: Option<String>,
}

/// One watch: shared between its task and who reads.
#[derive(Debug)]
pub(crate) struct Part<K> {
    pub(crate) objects: Mutex<Objects<K>>,
    pub(crate) state: Mutex<State>,
    signal: Signal,
}

/// Tells that something has changed, be it an object or how a watch is doing.
#[derive(Clone, Debug, Default)]
pub struct Signal(Arc<Notify>);

impl Signal {
    /// At least one change since the last call has ended.
    pub async fn changed(&self) {
        self.0.notified().await;
    }

    fn tell(&self) {
        self.0.notify_one();
    }
}

/// What can be watched, whatever its type.
pub(crate) trait Watchable: Resource + Clone + PartialEq + DeserializeOwned + Debug + Send + Sync + 'static {}
impl<K: Resource + Clone + PartialEq + DeserializeOwned + Debug + Send + Sync + 'static> Watchable for K {}

/// Why a watch cannot go on from where it is.
enum Broken {
    /// The server has forgotten the place in its stream (410).
    Forgotten,
    Error(kube::Error),
}

impl From<kube::Error> for Broken {
    fn from(e: kube::Error) -> Broken {
        match e {
            kube::Error::Api(s) if s.code == 410 => Broken::Forgotten,
            e => Broken::Error(e),
        }
    }
}

/// Reads and watches, for ever.
pub(crate) async fn follow<K: Watchable>(api: Api<K>, labels: String, kind: String, part: Arc<Part<K>>) {
    let mut backoff = Backoff::default();
    let mut version: Option<String> = None;
    loop {
        let ended = match &mut version {
            None => list(&api, &labels).await.map(|(objects, at)| {
                part.replace(objects);
                version = Some(at);
                backoff.reset();
            }),
            Some(at) => watch(&api, &labels, at, &part, &mut backoff).await,
        };
        match ended {
            Ok(()) => {}
            Err(Broken::Forgotten) => version = None,
            Err(Broken::Error(e)) => {
                part.failed(&kind, &e);
                tokio::time::sleep(backoff.pause()).await;
            }
        }
    }
}

/// All objects, page by page, and the place in the stream of changes that they stand for.
async fn list<K: Watchable>(api: &Api<K>, labels: &str) -> Result<(Objects<K>, String), Broken> {
    let mut params = ListParams { limit: Some(PAGE), ..ListParams::default() };
    if !labels.is_empty() {
        params.label_selector = Some(labels.to_owned());
    }
    let mut all = Objects::new();
    loop {
        let page = api.list(&params).await?;
        all.extend(page.items.into_iter().map(|o| kept(o)).map(|(k, o)| (k, Arc::new(o))));
        match page.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(more) => params.continue_token = Some(more),
            None => return Ok((all, page.metadata.resource_version.unwrap_or_default())),
        }
    }
}

/// Takes changes over until the stream ends, as the server ends each after a while; `at` follows along.
async fn watch<K: Watchable>(api: &Api<K>, labels: &str, at: &mut String, part: &Part<K>, backoff: &mut Backoff) -> Result<(), Broken> {
    let mut params = WatchParams { timeout: Some(WATCH_SECONDS), ..WatchParams::default() };
    if !labels.is_empty() {
        params.label_selector = Some(labels.to_owned());
    }
    let mut events = std::pin::pin!(api.watch(&params, at).await?);
    part.runs();
    let begun = Instant::now();
    // A peer that has vanished without a word ends no stream.
    let late = begun + Duration::from_secs(u64::from(WATCH_SECONDS)) + LATE;
    while let Ok(Some(event)) = tokio::time::timeout_at(late, events.next()).await {
        match event? {
            WatchEvent::Added(o) | WatchEvent::Modified(o) => {
                *at = o.resource_version().unwrap_or_default();
                part.put(o);
            }
            WatchEvent::Deleted(o) => {
                *at = o.resource_version().unwrap_or_default();
                part.remove(o);
            }
            WatchEvent::Bookmark(b) => at.clone_from(&b.metadata.resource_version),
            WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
        }
        backoff.reset();
    }
    if begun.elapsed() < Duration::from_secs(1) {
        // A server, or something before it, that ends streams at once.
        tokio::time::sleep(backoff.pause()).await;
    }
    Ok(())
}

impl<K: Watchable> Part<K> {
    pub(crate) fn new(signal: Signal) -> Self {
        Part { objects: Mutex::default(), state: Mutex::default(), signal }
    }

    pub(crate) fn replace(&self, objects: Objects<K>) {
        *lock(&self.objects) = objects;
        *lock(&self.state) = State { listed: true, ..State::default() };
        self.signal.tell();
    }

    pub(crate) fn put(&self, object: K) {
        let (key, object) = kept(object);
        let object = Arc::new(object);
        // Much of what is told is a lease renewed or a heartbeat.
        let before = lock(&self.objects).insert(key, object.clone());
        if before.is_none_or(|b| b != object) {
            self.signal.tell();
        }
    }

    fn remove(&self, object: K) {
        lock(&self.objects).remove(&kept(object).0);
        self.signal.tell();
    }

    /// The server has taken the watch up (again).
    pub(crate) fn runs(&self) {
        self.set(State { listed: true, ..State::default() });
    }

    pub(crate) fn failed(&self, kind: &str, error: &kube::Error) {
        let status = match error {
            kube::Error::Api(s) => Some(s.as_ref()),
            _ => None,
        };
        let listed = lock(&self.state).listed;
        let text = match status.map(|s| s.code) {
            Some(404) => format!("the API server does not know the kind {kind}: install its definition (CRD); it is tried again"),
            Some(401) => "the API server does not know who the gateway is: look at its token or certificate".into(),
            Some(403) => {
                let why = status.map(|s| s.message.as_str()).unwrap_or_default();
                format!("the gateway may not read {kind}: grant `get`, `list` and `watch` by RBAC ({why})")
            }
            _ => return self.set(State { listed, refused: None, away: Some(chain(error)) }),
        };
        // Nobody who is not known is told what there is.
        let unknown = status.is_some_and(|s| s.code == 401);
        self.set(State { listed, away: unknown.then(|| text.clone()), refused: (!unknown).then_some(text) });
    }

    fn set(&self, state: State) {
        if std::mem::replace(&mut *lock(&self.state), state.clone()) != state {
            self.signal.tell();
        }
    }
}

/// Without what nobody reads: it is most of the bytes.
fn kept<K: Resource>(mut object: K) -> (Key, K) {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    meta.resource_version = None;
    if let Some(a) = &mut meta.annotations {
        a.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    ((object.namespace().unwrap_or_default(), object.name_any()), object)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;
    use kube::core::Status;

    pub(crate) fn service(name: &str) -> Service {
        let mut s = Service::default();
        s.metadata.name = Some(name.into());
        s.metadata.namespace = Some("a".into());
        s.metadata.managed_fields = Some(Vec::new());
        s
    }

    pub(crate) fn part() -> Part<Service> {
        Part { objects: Mutex::default(), state: Mutex::default(), signal: Signal::default() }
    }

    pub(crate) fn error(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(Status { code, ..Status::default() }))
    }

    #[test]
    fn objects_are_kept_without_what_nobody_reads() {
        let p = part();
        p.replace([kept(service("x"))].into_iter().map(|(k, o)| (k, Arc::new(o))).collect());
        p.put(service("y"));
        p.remove(service("x"));
        let left = lock(&p.objects).clone();
        assert_eq!(left.keys().map(|k| k.1.as_str()).collect::<Vec<_>>(), ["y"]);
        assert!(left.values().all(|s| s.metadata.managed_fields.is_none()));
    }

    #[test]
    fn a_forgotten_place_is_no_error() {
        assert!(matches!(Broken::from(error(410)), Broken::Forgotten));
        assert!(matches!(Broken::from(error(500)), Broken::Error(_)));
    }
}
