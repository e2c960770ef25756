use crate::install::{is_false, is_no_time};
use serde::{Deserialize, Serialize};
use torana_base::{GoDuration, Secret};

/// How to reach a cluster and what to read there: the options that all Kubernetes providers share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KubernetesConnectionConfig {
    /// URL of the API server; empty for the one of the cluster that the gateway runs in, or of `KUBECONFIG`.
    pub endpoint: String,
    /// A bearer token, or the path of a file with one.
    pub token: Secret,
    /// PEM file of the authority behind the API server's certificate.
    pub cert_auth_file_path: String,
    /// Empty for all.
    pub namespaces: Vec<String>,
    /// Which of the provider's own kinds are read; empty for all.
    pub label_selector: String,
    /// The shortest time between two documents; default 0.
    pub throttle_duration: GoDuration,
}

macro_rules! connection {
    ($($config:ty)*) => { $(impl $config {
        pub fn connection(&self) -> KubernetesConnectionConfig {
            KubernetesConnectionConfig {
                endpoint: self.endpoint.clone(),
                token: self.token.clone(),
                cert_auth_file_path: self.cert_auth_file_path.clone(),
                namespaces: self.namespaces.clone(),
                label_selector: self.label_selector.clone(),
                throttle_duration: self.throttle_duration,
            }
        }
    })* };
}

connection!(KubernetesCrdConfig KubernetesIngressConfig KubernetesGatewayConfig KnativeConfig);

/// `providers.kubernetesCRD`: custom resources of the group `traefik.io`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KubernetesCrdConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Never shown.
    #[serde(skip_serializing)]
    pub token: Secret,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_auth_file_path: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Objects may name those of other namespaces.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_cross_namespace: bool,
    /// Namespaces whose objects may name those of other providers; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_provider_namespaces: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_external_name_services: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label_selector: String,
    /// Empty for objects without a class and those of `traefik`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ingress_class: String,
    #[serde(skip_serializing_if = "is_no_time")]
    pub throttle_duration: GoDuration,
    /// Services without endpoints answer 503; else what leads to them is left out.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_empty_services: bool,
    #[serde(rename = "nativeLBByDefault", skip_serializing_if = "is_false")]
    pub native_lb_by_default: bool,
    /// Nodes and ingress classes are not read.
    #[serde(skip_serializing_if = "is_false")]
    pub disable_cluster_scope_resources: bool,
    /// Names that cannot collide, whatever objects and namespaces are called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe_naming: Option<bool>,
    /// The only namespace that may define the `default` TLS options and store; empty for any.
    #[serde(rename = "defaultTLSResourcesNamespace", skip_serializing_if = "String::is_empty")]
    pub default_tls_resources_namespace: String,
}

/// `providers.kubernetesIngress`: `Ingress` objects; behind `@` it is `kubernetes`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KubernetesIngressConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Never shown.
    #[serde(skip_serializing)]
    pub token: Secret,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_auth_file_path: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label_selector: String,
    /// Name of an `IngressClass`, or value of the old annotation; empty for every class of this controller.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ingress_class: String,
    /// What is told in the status of each ingress; `None` for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_endpoint: Option<IngressEndpointConfig>,
    #[serde(skip_serializing_if = "is_no_time")]
    pub throttle_duration: GoDuration,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_empty_services: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_external_name_services: bool,
    /// Old name of `disableClusterScopeResources`.
    #[serde(skip_serializing_if = "is_false")]
    pub disable_ingress_class_lookup: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub disable_cluster_scope_resources: bool,
    #[serde(rename = "nativeLBByDefault", skip_serializing_if = "is_false")]
    pub native_lb_by_default: bool,
    /// Prefix paths match whole segments only.
    #[serde(skip_serializing_if = "is_false")]
    pub strict_prefix_matching: bool,
    /// Namespaces whose objects may name those of other providers; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_provider_namespaces: Option<Vec<String>>,
}

/// `providers.kubernetesIngress.ingressEndpoint`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IngressEndpointConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// `namespace/name` of the service whose addresses are copied.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub published_service: String,
}

/// `providers.kubernetesGateway`: the Gateway API.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KubernetesGatewayConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Never shown.
    #[serde(skip_serializing)]
    pub token: Secret,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_auth_file_path: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Of gateway classes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label_selector: String,
    #[serde(skip_serializing_if = "is_no_time")]
    pub throttle_duration: GoDuration,
    /// Kinds of the experimental channel too, such as `TCPRoute`.
    #[serde(skip_serializing_if = "is_false")]
    pub experimental_channel: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_address: Option<GatewayStatusAddressConfig>,
    #[serde(rename = "nativeLBByDefault", skip_serializing_if = "is_false")]
    pub native_lb_by_default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_provider_namespaces: Option<Vec<String>>,
    /// Requests to the API server in a second; below 0 for no limit.
    pub qps: i64,
    pub burst: i64,
    /// Empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<GatewayNameConfig>,
}

impl Default for KubernetesGatewayConfig {
    fn default() -> Self {
        KubernetesGatewayConfig {
            endpoint: String::new(),
            token: Secret::default(),
            cert_auth_file_path: String::new(),
            namespaces: Vec::new(),
            label_selector: String::new(),
            throttle_duration: GoDuration(0),
            experimental_channel: false,
            status_address: None,
            native_lb_by_default: false,
            cross_provider_namespaces: None,
            qps: 50,
            burst: 100,
            gateways: Vec::new(),
        }
    }
}

/// `providers.knative`: what Knative Serving makes of its routes. Needs `experimental.knative`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KnativeConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Never shown.
    #[serde(skip_serializing)]
    pub token: Secret,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_auth_file_path: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label_selector: String,
    #[serde(skip_serializing_if = "is_no_time")]
    pub throttle_duration: GoDuration,
    /// For rules that are visible from outside; empty for the default ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub public_entrypoints: Vec<String>,
    /// The service in front of those, as statuses name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_service: Option<GatewayNameConfig>,
    /// For rules that are visible in the cluster alone; without them those are not served.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_entrypoints: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_service: Option<GatewayNameConfig>,
}

/// `providers.kubernetesGateway.statusAddress`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayStatusAddressConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<GatewayNameConfig>,
}

/// An object by name and namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayNameConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}
