use super::KubernetesConnectionConfig;
use crate::install::{is_false, is_no_time};
use serde::{Deserialize, Serialize};
use torana_base::{GoDuration, Secret};

/// `providers.kubernetesIngressNGINX`: `Ingress` objects with the annotations of ingress-nginx; behind `@` it is
/// `kubernetesingressnginx`. Numbers of time are seconds, those of sizes bytes, as in ingress-nginx.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IngressNginxConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Never shown.
    #[serde(skip_serializing)]
    pub token: Secret,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_auth_file_path: String,
    #[serde(skip_serializing_if = "is_no_time")]
    pub throttle_duration: GoDuration,
    /// The only namespace that is read; empty for all. Means nothing beside `watchNamespaceSelector`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub watch_namespace: String,
    /// Labels of the namespaces that are read; empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub watch_namespace_selector: String,
    /// Name of an `IngressClass` for `ingressClassByName`, and value of the old annotation. Default `nginx`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ingress_class: String,
    /// What the `spec.controller` of our ingress classes says. Default `k8s.io/ingress-nginx`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub controller_class: String,
    /// Ingresses that name no class are ours too.
    #[serde(skip_serializing_if = "is_false")]
    pub watch_ingress_without_class: bool,
    /// The ingress class of the name `ingressClass` is ours, whoever its controller is.
    #[serde(skip_serializing_if = "is_false")]
    pub ingress_class_by_name: bool,
    /// `namespace/name` of the service whose addresses stand in the status of each ingress.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub publish_service: String,
    /// Addresses and names that stand there; they win over `publishService`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish_status_address: Vec<String>,
    /// `namespace/name` of the service that gets what nothing else gets.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub default_backend_service: String,
    #[serde(skip_serializing_if = "is_false")]
    pub disable_svc_external_name: bool,
    /// Which address of a client the lists of sources are about; not said: that of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_allow_list_strategy: Option<IpAllowListStrategyConfig>,
    /// Where routers without TLS are; empty for every entry point without TLS of its own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub http_entry_point: String,
    /// Where routers with TLS are; empty for every entry point.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub https_entry_point: String,
    /// Asked before each request of an ingress that has no `auth-url` and no `enable-global-auth: "false"`.
    #[serde(rename = "globalAuthURL", skip_serializing_if = "String::is_empty")]
    pub global_auth_url: String,
    #[serde(skip_serializing_if = "is_false")]
    pub proxy_request_buffering: bool,
    pub client_body_buffer_size: i64,
    /// 0 for no limit.
    pub proxy_body_size: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub proxy_buffering: bool,
    pub proxy_buffer_size: i64,
    pub proxy_buffers_number: i64,
    pub proxy_connect_timeout: i64,
    pub proxy_read_timeout: i64,
    pub proxy_send_timeout: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub proxy_next_upstream: String,
    pub proxy_next_upstream_tries: i64,
    pub proxy_next_upstream_timeout: i64,
    #[serde(rename = "customHTTPErrors", skip_serializing_if = "Vec::is_empty")]
    pub custom_http_errors: Vec<String>,
    pub upstream_keepalive_timeout: i64,
    /// References to secrets and config maps of other namespaces are followed.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_cross_namespace_resources: bool,
    /// Headers that `custom-headers` may set; without any it may set none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub global_allowed_response_headers: Vec<String>,
    /// Ingresses with snippets are served; else they are rejected.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_snippet_annotations: bool,
    /// An ingress with a regular expression in a path of the type `Exact` or `Prefix` is rejected. Default true.
    #[serde(skip_serializing_if = "is_false")]
    pub strict_validate_path_type: bool,
}

impl Default for IngressNginxConfig {
    fn default() -> Self {
        IngressNginxConfig {
            endpoint: String::new(),
            token: Secret::default(),
            cert_auth_file_path: String::new(),
            throttle_duration: GoDuration(0),
            watch_namespace: String::new(),
            watch_namespace_selector: String::new(),
            ingress_class: "nginx".into(),
            controller_class: "k8s.io/ingress-nginx".into(),
            watch_ingress_without_class: false,
            ingress_class_by_name: false,
            publish_service: String::new(),
            publish_status_address: Vec::new(),
            default_backend_service: String::new(),
            disable_svc_external_name: false,
            ip_allow_list_strategy: None,
            http_entry_point: String::new(),
            https_entry_point: String::new(),
            global_auth_url: String::new(),
            proxy_request_buffering: false,
            client_body_buffer_size: 16 << 10,
            proxy_body_size: 1 << 20,
            proxy_buffering: false,
            proxy_buffer_size: 8 << 10,
            proxy_buffers_number: 4,
            proxy_connect_timeout: 60,
            proxy_read_timeout: 60,
            proxy_send_timeout: 60,
            proxy_next_upstream: "error timeout".into(),
            proxy_next_upstream_tries: 3,
            proxy_next_upstream_timeout: 0,
            custom_http_errors: Vec::new(),
            upstream_keepalive_timeout: 60,
            allow_cross_namespace_resources: false,
            global_allowed_response_headers: Vec::new(),
            allow_snippet_annotations: false,
            strict_validate_path_type: true,
        }
    }
}

impl IngressNginxConfig {
    pub fn connection(&self) -> KubernetesConnectionConfig {
        let one = !self.watch_namespace.is_empty() && self.watch_namespace_selector.is_empty();
        KubernetesConnectionConfig {
            endpoint: self.endpoint.clone(),
            token: self.token.clone(),
            cert_auth_file_path: self.cert_auth_file_path.clone(),
            namespaces: one.then(|| self.watch_namespace.clone()).into_iter().collect(),
            label_selector: String::new(),
            throttle_duration: self.throttle_duration,
        }
    }
}

/// `providers.kubernetesIngressNGINX.ipAllowListStrategy`, with the meaning of `ipStrategy` of a middleware.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IpAllowListStrategyConfig {
    #[serde(skip_serializing_if = "crate::install::is_zero")]
    pub depth: i64,
    #[serde(rename = "excludedIPs", skip_serializing_if = "Vec::is_empty")]
    pub excluded_ips: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_subnet: Option<i64>,
}
