//! The ingresses of Knative as far as a translation looks at them. An absent field and null are the same.

use crate::cluster::{Cluster, Key, without_nulls};
use crate::watched::CustomKind;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{ApiResource, DynamicObject};
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;

const KIND: &str = "Ingress";
/// Says who serves an ingress.
const CLASS: &str = "networking.knative.dev/ingress.class";
/// Traefik's, so that its installations work.
const OURS: &str = "traefik.ingress.networking.knative.dev";

/// The kind, for watching and for statuses.
pub(super) fn resource() -> ApiResource {
    ApiResource {
        group: "networking.internal.knative.dev".into(),
        version: "v1alpha1".into(),
        api_version: "networking.internal.knative.dev/v1alpha1".into(),
        kind: KIND.into(),
        plural: "ingresses".into(),
    }
}

pub(super) fn watched(label_selector: &str) -> CustomKind {
    CustomKind { resource: resource(), namespaced: true, label_selector: label_selector.to_owned() }
}

/// `spec`
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    /// `Enabled` or `Redirected`.
    pub(super) http_option: String,
    pub(super) tls: Vec<Tls>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Tls {
    pub(super) secret_name: String,
    pub(super) secret_namespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Rule {
    pub(super) hosts: Vec<String>,
    visibility: String,
    pub(super) http: Http,
}

impl Rule {
    /// For clients inside of the cluster alone; whatever else is written is for all.
    pub(super) fn is_private(&self) -> bool {
        self.visibility == "ClusterLocal"
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Http {
    pub(super) paths: Vec<Path>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Path {
    pub(super) path: String,
    /// By name; all of them must be there.
    pub(super) headers: BTreeMap<String, HeaderMatch>,
    pub(super) rewrite_host: String,
    /// What requests get, or lose when the value is empty.
    pub(super) append_headers: BTreeMap<String, String>,
    pub(super) splits: Vec<Split>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HeaderMatch {
    pub(super) exact: String,
}

/// A share of the requests of a path.
#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Split {
    pub(super) service_namespace: String,
    pub(super) service_name: String,
    pub(super) service_port: IntOrString,
    pub(super) percent: i64,
    pub(super) append_headers: BTreeMap<String, String>,
}

impl Default for Split {
    fn default() -> Self {
        Split {
            service_namespace: String::new(),
            service_name: String::new(),
            service_port: IntOrString::Int(0),
            percent: 0,
            append_headers: BTreeMap::new(),
        }
    }
}

/// The ingresses that are for this gateway.
pub(super) fn ours(cluster: &Cluster) -> impl Iterator<Item = (&Key, &DynamicObject)> {
    let is_ours = |o: &DynamicObject| o.metadata.annotations.as_ref().and_then(|a| a.get(CLASS)).is_some_and(|class| class == OURS);
    cluster.of_kind(KIND).map(|(key, o)| (key, o.as_ref())).filter(move |(_, o)| is_ours(o))
}

pub(super) fn spec(object: &DynamicObject) -> Result<Spec, String> {
    let written = object.data.get("spec").map_or(Json::Object(serde_json::Map::new()), without_nulls);
    serde_json::from_value(written).map_err(|e| format!("`spec` cannot be read: {e}"))
}
