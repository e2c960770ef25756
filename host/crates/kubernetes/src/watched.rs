//! What is kept of the API server: one watch for each kind and namespace, and what it has seen.
//!
//! A watch that breaks is taken up again where it was; one whose place the server has forgotten (410) lists anew and
//! replaces what is kept in one step. What was read stays while the server is away.

use crate::client::chain;
use crate::cluster::{Cluster, Key, Objects};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use torana_extend::Backoff;

/// The label of an endpoint slice that names its service.
const SERVICE_OF_SLICE: &str = "kubernetes.io/service-name";
/// Secrets in which Helm keeps its releases are large and never ours.
const NOT_HELM: &str = "owner!=helm";
/// Objects of one answer to a list.
const PAGE: u32 = 500;
/// After how long the server ends a watch; it is then taken up where it ended.
const WATCH_SECONDS: u32 = 240;
/// How much later than that a watch is given up.
const LATE: Duration = Duration::from_secs(30);

/// What a provider wants to see.
#[derive(Clone, Debug)]
pub enum Wanted {
    Services,
    EndpointSlices,
    Secrets,
    ConfigMaps,
    Namespaces,
    Nodes,
    /// With a label selector, empty for all.
    Ingresses(String),
    IngressClasses,
    Custom(CustomKind),
}

/// A kind that this crate knows no type of.
#[derive(Clone, Debug)]
pub struct CustomKind {
    pub resource: ApiResource,
    pub namespaced: bool,
    /// Empty for all.
    pub label_selector: String,
}

/// How a watch is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    /// Everything has been read once.
    listed: bool,
    /// The server answers, but not what is wanted: no such kind, or no right to read it. Says what to do.
    refused: Option<String>,
    /// The server cannot be reached, and why.
    away: Option<String>,
}

/// One watch: shared between its task and who reads.
#[derive(Debug)]
struct Part<K> {
    objects: Mutex<Objects<K>>,
    state: Mutex<State>,
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

#[derive(Clone, Debug)]
struct Table<K>(Vec<Arc<Part<K>>>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table(Vec::new())
    }
}

impl<K> Table<K> {
    fn all(&self) -> Objects<K> {
        match self.0.as_slice() {
            [one] => lock(&one.objects).clone(),
            many => many.iter().flat_map(|p| lock(&p.objects).clone()).collect(),
        }
    }

    fn find<T>(&self, look: impl Fn(&State) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(|p| look(&lock(&p.state)))
    }

    fn pending(&self) -> bool {
        self.find(|s| (!s.listed && s.refused.is_none()).then_some(())).is_some()
    }

    fn refused(&self) -> Option<String> {
        self.find(|s| s.refused.clone())
    }

    fn away(&self) -> Option<String> {
        self.find(|s| s.away.clone())
    }
}

/// All watches of a provider; they end when it is dropped.
#[derive(Debug, Default)]
pub struct Watched {
    services: Table<Service>,
    slices: Table<EndpointSlice>,
    secrets: Table<Secret>,
    config_maps: Table<ConfigMap>,
    namespaces: Table<Namespace>,
    nodes: Table<Node>,
    ingresses: Table<Ingress>,
    ingress_classes: Table<IngressClass>,
    custom: BTreeMap<String, Table<DynamicObject>>,
    tasks: tokio::task::JoinSet<()>,
}

impl Watched {
    /// Starts a watch for each kind, in each of `namespaces` (in all of them when there are none).
    pub fn spawn(client: &Client, namespaces: &[String], wanted: Vec<Wanted>, signal: &Signal) -> Watched {
        let mut all = Watched::default();
        let mut places: Vec<Option<String>> = namespaces.iter().cloned().map(Some).collect();
        places.sort();
        places.dedup();
        if places.is_empty() {
            places.push(None);
        }
        let cx = Spawn { client, places, signal };
        for w in wanted {
            match w {
                Wanted::Services => all.services = cx.typed("Service", "", &mut all.tasks),
                Wanted::EndpointSlices => all.slices = cx.typed("EndpointSlice", "", &mut all.tasks),
                Wanted::Secrets => all.secrets = cx.typed("Secret", NOT_HELM, &mut all.tasks),
                Wanted::ConfigMaps => all.config_maps = cx.typed("ConfigMap", "", &mut all.tasks),
                Wanted::Ingresses(labels) => all.ingresses = cx.typed("Ingress", &labels, &mut all.tasks),
                Wanted::Namespaces => all.namespaces = cx.global("Namespace", &mut all.tasks),
                Wanted::Nodes => all.nodes = cx.global("Node", &mut all.tasks),
                Wanted::IngressClasses => all.ingress_classes = cx.global("IngressClass", &mut all.tasks),
                Wanted::Custom(kind) => {
                    let table = cx.custom(&kind, &mut all.tasks);
                    all.custom.insert(kind.resource.kind.clone(), table);
                }
            }
        }
        all
    }

    /// Whether each kind has been read once, or cannot be.
    pub fn is_complete(&self) -> bool {
        let typed = self.services.pending()
            || self.slices.pending()
            || self.secrets.pending()
            || self.config_maps.pending()
            || self.namespaces.pending()
            || self.nodes.pending()
            || self.ingresses.pending()
            || self.ingress_classes.pending();
        !typed && !self.custom.values().any(Table::pending)
    }

    /// Why the server cannot be reached; `None` while all watches run.
    pub fn away(&self) -> Option<String> {
        let typed = self.services.away().or_else(|| self.slices.away()).or_else(|| self.secrets.away());
        let typed = typed.or_else(|| self.config_maps.away()).or_else(|| self.namespaces.away()).or_else(|| self.nodes.away());
        let typed = typed.or_else(|| self.ingresses.away()).or_else(|| self.ingress_classes.away());
        typed.or_else(|| self.custom.values().find_map(Table::away))
    }

    /// What is there now.
    pub fn cluster(&self) -> Cluster {
        let mut slices: BTreeMap<Key, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
        for ((namespace, _), slice) in self.slices.all() {
            if let Some(service) = slice.metadata.labels.as_ref().and_then(|l| l.get(SERVICE_OF_SLICE)) {
                slices.entry((namespace, service.clone())).or_default().push(slice);
            }
        }
        let mut unreadable = BTreeMap::new();
        let mut note = |kind: &str, why: Option<String>| unreadable.extend(why.map(|w| (kind.to_owned(), w)));
        note("Service", self.services.refused());
        note("EndpointSlice", self.slices.refused());
        note("Secret", self.secrets.refused());
        note("ConfigMap", self.config_maps.refused());
        note("Namespace", self.namespaces.refused());
        note("Node", self.nodes.refused());
        note("Ingress", self.ingresses.refused());
        note("IngressClass", self.ingress_classes.refused());
        self.custom.iter().for_each(|(kind, table)| note(kind, table.refused()));
        Cluster {
            services: self.services.all(),
            slices,
            secrets: self.secrets.all(),
            config_maps: self.config_maps.all(),
            namespaces: self.namespaces.all(),
            nodes: self.nodes.all(),
            ingresses: self.ingresses.all(),
            ingress_classes: self.ingress_classes.all(),
            custom: self.custom.iter().map(|(kind, table)| (kind.clone(), table.all())).collect(),
            unreadable,
        }
    }
}

struct Spawn<'a> {
    client: &'a Client,
    places: Vec<Option<String>>,
    signal: &'a Signal,
}

type Tasks = tokio::task::JoinSet<()>;

impl Spawn<'_> {
    fn typed<K>(&self, kind: &str, labels: &str, tasks: &mut Tasks) -> Table<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Watchable,
    {
        let apis = self.places.iter().map(|p| match p {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        });
        self.follow(apis.collect(), kind, labels, tasks)
    }

    fn global<K>(&self, kind: &str, tasks: &mut Tasks) -> Table<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope> + Watchable,
    {
        self.follow(vec![Api::all(self.client.clone())], kind, "", tasks)
    }

    fn custom(&self, kind: &CustomKind, tasks: &mut Tasks) -> Table<DynamicObject> {
        let api = |place: &Option<String>| match place {
            Some(namespace) if kind.namespaced => Api::namespaced_with(self.client.clone(), namespace, &kind.resource),
            _ => Api::all_with(self.client.clone(), &kind.resource),
        };
        let places = if kind.namespaced { self.places.as_slice() } else { &[None] };
        self.follow(places.iter().map(api).collect(), &kind.resource.kind, &kind.label_selector, tasks)
    }

    fn follow<K: Watchable>(&self, apis: Vec<Api<K>>, kind: &str, labels: &str, tasks: &mut Tasks) -> Table<K> {
        let parts = apis.into_iter().map(|api| {
            let part = Arc::new(Part { objects: Mutex::default(), state: Mutex::default(), signal: self.signal.clone() });
            tasks.spawn(follow(api, labels.to_owned(), kind.to_owned(), part.clone()));
            part
        });
        Table(parts.collect())
    }
}

/// What can be watched, whatever its type.
trait Watchable: Resource + Clone + PartialEq + DeserializeOwned + Debug + Send + Sync + 'static {}
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

async fn follow<K: Watchable>(api: Api<K>, labels: String, kind: String, part: Arc<Part<K>>) {
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
    fn replace(&self, objects: Objects<K>) {
        *lock(&self.objects) = objects;
        *lock(&self.state) = State { listed: true, ..State::default() };
        self.signal.tell();
    }

    fn put(&self, object: K) {
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
    fn runs(&self) {
        self.set(State { listed: true, ..State::default() });
    }

    fn failed(&self, kind: &str, error: &kube::Error) {
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn service(name: &str) -> Service {
        let mut s = Service::default();
        s.metadata.name = Some(name.into());
        s.metadata.namespace = Some("a".into());
        s.metadata.managed_fields = Some(Vec::new());
        s
    }

    fn part() -> Part<Service> {
        Part { objects: Mutex::default(), state: Mutex::default(), signal: Signal::default() }
    }

    fn error(code: u16) -> kube::Error {
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
    fn refusals_say_what_to_do_and_objects_stay() {
        let p = Arc::new(part());
        let table = Table(vec![p.clone()]);
        assert!(table.pending());
        p.failed("IngressRoute", &error(404));
        assert!(table.refused().is_some_and(|w| w.contains("CRD")) && !table.pending() && table.away().is_none());
        p.failed("Secret", &error(403));
        assert!(table.refused().is_some_and(|w| w.contains("RBAC")));
        p.replace(Objects::new());
        p.put(service("x"));
        assert!(table.refused().is_none());
        p.failed("Service", &error(401));
        assert!(table.away().is_some_and(|w| w.contains("token")) && table.refused().is_none());
        p.failed("Service", &error(500));
        assert!(table.away().is_some() && table.all().len() == 1);
        p.runs();
        assert!(table.away().is_none() && table.all().len() == 1);
    }

    #[test]
    fn a_forgotten_place_is_no_error() {
        assert!(matches!(Broken::from(error(410)), Broken::Forgotten));
        assert!(matches!(Broken::from(error(500)), Broken::Error(_)));
    }
}
