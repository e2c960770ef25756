//! What is kept of the API server: one watch for each kind and namespace, and what it has seen.
//!
//! A watch that breaks is taken up again where it was; one whose place the server has forgotten (410) lists anew and
//! replaces what is kept in one step. What was read stays while the server is away.

use crate::cluster::{Cluster, Key, Objects};
pub use crate::follow::Signal;
use crate::follow::{Part, State, Watchable, follow, lock};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::{Client, Resource};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The label of an endpoint slice that names its service.
const SERVICE_OF_SLICE: &str = "kubernetes.io/service-name";
/// Secrets in which Helm keeps its releases are large and never ours.
const NOT_HELM: &str = "owner!=helm";

/// What a provider wants to see.
#[derive(Clone, Debug)]
pub enum Wanted {
    Services,
    EndpointSlices,
    Secrets,
    ConfigMaps,
    /// With a label selector, empty for all.
    Namespaces(String),
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
                Wanted::Namespaces(labels) => all.namespaces = cx.global("Namespace", &labels, &mut all.tasks),
                Wanted::Nodes => all.nodes = cx.global("Node", "", &mut all.tasks),
                Wanted::IngressClasses => all.ingress_classes = cx.global("IngressClass", "", &mut all.tasks),
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

    fn global<K>(&self, kind: &str, labels: &str, tasks: &mut Tasks) -> Table<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope> + Watchable,
    {
        self.follow(vec![Api::all(self.client.clone())], kind, labels, tasks)
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
            let part = Arc::new(Part::new(self.signal.clone()));
            tasks.spawn(follow(api, labels.to_owned(), kind.to_owned(), part.clone()));
            part
        });
        Table(parts.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::tests::{error, part, service};

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
}
