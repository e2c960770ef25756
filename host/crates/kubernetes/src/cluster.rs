//! What stands in a cluster at one moment: read-only, cheap to clone, made without a server in tests.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::DynamicObject;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Namespace (empty for what has none) and name.
pub type Key = (String, String);

/// The objects of one kind.
pub type Objects<K> = BTreeMap<Key, Arc<K>>;

/// Everything that was read from the API server. Kinds that a provider does not watch are empty.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub services: Objects<Service>,
    /// By namespace and name of the service that they belong to.
    pub slices: BTreeMap<Key, Vec<Arc<EndpointSlice>>>,
    pub secrets: Objects<Secret>,
    pub config_maps: Objects<ConfigMap>,
    pub namespaces: Objects<Namespace>,
    pub nodes: Objects<Node>,
    pub ingresses: Objects<Ingress>,
    pub ingress_classes: Objects<IngressClass>,
    /// Objects of custom kinds, by kind (`IngressRoute`), unparsed: one that is not as its schema says must not
    /// stop the others.
    pub custom: BTreeMap<String, Objects<DynamicObject>>,
    /// Kinds that cannot be read now, and why: no such definition, or no right to.
    pub unreadable: BTreeMap<String, String>,
}

impl Cluster {
    /// The objects of a custom kind, none when it is not watched.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = (&Key, &Arc<DynamicObject>)> {
        self.custom.get(kind).into_iter().flatten()
    }

    pub fn custom(&self, kind: &str, namespace: &str, name: &str) -> Option<&Arc<DynamicObject>> {
        self.custom.get(kind)?.get(&key(namespace, name))
    }

    pub fn service(&self, namespace: &str, name: &str) -> Option<&Arc<Service>> {
        self.services.get(&key(namespace, name))
    }

    pub fn slices_of(&self, namespace: &str, service: &str) -> &[Arc<EndpointSlice>] {
        self.slices.get(&key(namespace, service)).map_or(&[], Vec::as_slice)
    }

    /// A secret, or a reason that says what to do.
    pub fn secret(&self, namespace: &str, name: &str) -> Result<&Arc<Secret>, String> {
        self.secrets.get(&key(namespace, name)).ok_or_else(|| match self.unreadable.get("Secret") {
            Some(why) => format!("secret {namespace}/{name} cannot be read: {why}"),
            None => format!("there is no secret {namespace}/{name}"),
        })
    }

    pub fn config_map(&self, namespace: &str, name: &str) -> Result<&Arc<ConfigMap>, String> {
        self.config_maps.get(&key(namespace, name)).ok_or_else(|| match self.unreadable.get("ConfigMap") {
            Some(why) => format!("config map {namespace}/{name} cannot be read: {why}"),
            None => format!("there is no config map {namespace}/{name}"),
        })
    }
}

pub fn key(namespace: &str, name: &str) -> Key {
    (namespace.to_owned(), name.to_owned())
}

/// The text under a key of a secret; `None` where there is none or it is no text.
pub fn secret_text(secret: &Secret, key: &str) -> Option<String> {
    secret.data.as_ref()?.get(key).and_then(|v| String::from_utf8(v.0.clone()).ok())
}

/// For kinds read leniently: an absent field and null are the same.
pub(crate) fn without_nulls(value: &Json) -> Json {
    match value {
        Json::Object(map) => map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect(),
        Json::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use serde::de::DeserializeOwned;
    use torana_config::parse::{Format, parse};

    /// A cluster with the objects of some YAML documents, separated by `---`; those without a namespace are in
    /// `default`.
    pub(crate) fn cluster(yaml: &str) -> Cluster {
        let mut all = Cluster::default();
        for text in yaml.split("\n---").filter(|t| !t.trim().is_empty()) {
            let text = text.trim_start_matches('-');
            let json = parse(text, Format::Yaml, "test".into()).unwrap_or_else(|d| panic!("{d}\n{text}")).to_json();
            let kind = json["kind"].as_str().unwrap_or_else(|| panic!("no kind: {text}")).to_owned();
            match kind.as_str() {
                "Service" => put(&mut all.services, json),
                "EndpointSlice" => {
                    let slice: EndpointSlice = serde_json::from_value(json).unwrap();
                    let namespace = slice.metadata.namespace.clone().unwrap_or_else(|| "default".into());
                    let service = slice.metadata.labels.as_ref().unwrap()["kubernetes.io/service-name"].clone();
                    all.slices.entry((namespace, service)).or_default().push(Arc::new(slice));
                }
                "Secret" => put(&mut all.secrets, json),
                "ConfigMap" => put(&mut all.config_maps, json),
                "Namespace" => put_global(&mut all.namespaces, json),
                "Node" => put_global(&mut all.nodes, json),
                "Ingress" => put(&mut all.ingresses, json),
                "IngressClass" => put_global(&mut all.ingress_classes, json),
                _ => put(all.custom.entry(kind).or_default(), json),
            }
        }
        all
    }

    fn put<K: DeserializeOwned>(into: &mut Objects<K>, json: serde_json::Value) {
        let namespace = json["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
        let name = json["metadata"]["name"].as_str().unwrap().to_owned();
        into.insert((namespace, name), Arc::new(serde_json::from_value(json).unwrap()));
    }

    fn put_global<K: DeserializeOwned>(into: &mut Objects<K>, json: serde_json::Value) {
        let name = json["metadata"]["name"].as_str().unwrap().to_owned();
        into.insert((String::new(), name), Arc::new(serde_json::from_value(json).unwrap()));
    }
}
