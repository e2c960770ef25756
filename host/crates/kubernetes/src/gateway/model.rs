//! The objects of the Gateway API as far as a translation looks at them. Lenient: what is not known here is passed
//! over, an absent field and null are its default, so that one new option does not hide a whole object.

use crate::cluster::{Key, without_nulls};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::DynamicObject;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The group of the API's own kinds.
pub(super) const GROUP: &str = "gateway.networking.k8s.io";
/// Who answers for a class.
pub(super) const CONTROLLER: &str = "traefik.io/gateway-controller";

/// `GatewayClass.spec`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ClassSpec {
    pub(super) controller_name: String,
}

/// `Gateway.spec`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct GatewaySpec {
    pub(super) gateway_class_name: String,
    pub(super) listeners: Vec<ListenerSpec>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListenerSpec {
    pub(super) name: String,
    pub(super) hostname: String,
    pub(super) port: i32,
    pub(super) protocol: String,
    pub(super) tls: Option<ListenerTls>,
    pub(super) allowed_routes: AllowedRoutes,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListenerTls {
    /// Empty for `Terminate`.
    pub(super) mode: String,
    pub(super) certificate_refs: Vec<Reference>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AllowedRoutes {
    pub(super) namespaces: AllowedNamespaces,
    pub(super) kinds: Vec<Reference>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AllowedNamespaces {
    /// Empty for `Same`.
    pub(super) from: String,
    pub(super) selector: Option<LabelSelector>,
}

/// Every reference to another object, of whatever kind; what does not belong to it is empty.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Reference {
    pub(super) group: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) section_name: Option<String>,
    pub(super) port: Option<i32>,
    /// Of a backend.
    pub(super) weight: Option<i64>,
    pub(super) filters: Vec<Filter>,
}

impl Reference {
    /// Group and kind, `default` where they are not written.
    pub(super) fn what<'a>(&'a self, default: (&'a str, &'a str)) -> (&'a str, &'a str) {
        (self.group.as_deref().unwrap_or(default.0), self.kind.as_deref().unwrap_or(default.1))
    }
}

/// `spec` of every kind of route.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RouteSpec {
    /// As written: statuses repeat them.
    pub(super) parent_refs: Vec<Value>,
    pub(super) hostnames: Vec<String>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Rule {
    pub(super) matches: Vec<Match>,
    pub(super) filters: Vec<Filter>,
    pub(super) backend_refs: Vec<Reference>,
    /// Not built.
    pub(super) timeouts: Option<Value>,
    pub(super) retry: Option<Value>,
    pub(super) session_persistence: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Match {
    pub(super) path: Option<PathMatch>,
    pub(super) headers: Vec<ValueMatch>,
    pub(super) query_params: Vec<ValueMatch>,
    pub(super) method: Option<MethodMatch>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct PathMatch {
    /// `Exact`, `PathPrefix` (also where it is empty) or `RegularExpression`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) value: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ValueMatch {
    /// Empty for `Exact`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) value: String,
}

/// A method of HTTP, or one of a gRPC service.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum MethodMatch {
    Http(String),
    Grpc(GrpcMethod),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GrpcMethod {
    /// Empty for `Exact`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) service: Option<String>,
    pub(super) method: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Filter {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) request_header_modifier: Option<HeaderModifier>,
    pub(super) response_header_modifier: Option<HeaderModifier>,
    pub(super) request_redirect: Option<Redirect>,
    pub(super) url_rewrite: Option<Rewrite>,
    pub(super) extension_ref: Option<Extension>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Extension {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct HeaderModifier {
    pub(super) set: Vec<Header>,
    pub(super) add: Vec<Header>,
    pub(super) remove: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Redirect {
    pub(super) scheme: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) path: Option<PathModifier>,
    pub(super) port: Option<i32>,
    pub(super) status_code: Option<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Rewrite {
    pub(super) hostname: Option<String>,
    pub(super) path: Option<PathModifier>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PathModifier {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) replace_full_path: Option<String>,
    pub(super) replace_prefix_match: Option<String>,
}

/// `ReferenceGrant.spec`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GrantSpec {
    pub(super) from: Vec<GrantFrom>,
    pub(super) to: Vec<GrantTo>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GrantFrom {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) namespace: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GrantTo {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) name: Option<String>,
}

/// `BackendTLSPolicy.spec`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PolicySpec {
    pub(super) target_refs: Vec<Reference>,
    pub(super) validation: Validation,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Validation {
    pub(super) hostname: String,
    pub(super) ca_certificate_refs: Vec<Reference>,
    #[serde(rename = "wellKnownCACertificates")]
    pub(super) well_known_ca_certificates: Option<String>,
    #[serde(rename = "subjectAltNames")]
    pub(super) subject_alt_names: Vec<Value>,
}

/// An object and what it says.
#[derive(Clone, Debug)]
pub(super) struct Object<S> {
    pub(super) key: Key,
    pub(super) generation: i64,
    /// RFC 3339, which sorts by time; objects without one are the newest.
    pub(super) created: String,
    pub(super) status: Value,
    pub(super) spec: S,
}

impl<S> Object<S> {
    /// Older objects go first, then by namespace and name.
    pub(super) fn age(&self) -> (bool, &str, &Key) {
        (self.created.is_empty(), &self.created, &self.key)
    }
}

/// Reads an object's `spec`.
pub(super) fn read<S: DeserializeOwned + Default>(key: &Key, object: &DynamicObject) -> Result<Object<S>, String> {
    let spec = match object.data.get("spec") {
        Some(spec) => serde_json::from_value(without_nulls(spec)).map_err(|e| format!("`spec` cannot be read: {e}"))?,
        None => S::default(),
    };
    Ok(Object {
        key: key.clone(),
        generation: object.metadata.generation.unwrap_or(0),
        created: object.metadata.creation_timestamp.as_ref().map(|t| t.0.to_string()).unwrap_or_default(),
        status: object.data.get("status").cloned().unwrap_or(Value::Null),
        spec,
    })
}
