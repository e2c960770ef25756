//! The static configuration: what Torana reads once, when it starts. Field by field Traefik's install
//! configuration, as far as it is built.

mod access_log;
mod acme;
mod address;
mod effective;
mod entry_point;
mod env;
mod flags;
mod help;
mod load;
mod metrics;
mod otlp;
mod plugins;
mod providers;
mod removed;
mod secrets;
mod tracing;

pub use access_log::*;
pub use acme::*;
pub use address::{Address, Protocol};
pub use entry_point::*;
pub use help::help;
pub use load::{Loaded, Sources, load};
pub use metrics::*;
pub use otlp::*;
pub use plugins::*;
pub use providers::*;
pub use secrets::*;
pub use tracing::*;

use crate::de;
use crate::node::Node;
use crate::routing::{
    ForwardingTimeoutsConfig, PluginConfig, ServersTransportConfig, SpiffeClientConfig, TcpClientTlsConfig, TcpServersTransportConfig,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_base::GoDuration;

/// The whole static configuration. The JSON form is the one of Traefik's API.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InstallConfig {
    pub global: GlobalConfig,
    pub entry_points: BTreeMap<String, EntryPointConfig>,
    pub providers: ProvidersConfig,
    pub servers_transport: ServersTransportDefaultsConfig,
    #[serde(rename = "tcpServersTransport")]
    pub tcp_servers_transport: TcpServersTransportDefaultsConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<PingConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<TracingConfig>,
    pub log: LogConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLogConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ocsp: Option<OcspConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_resolver: Option<HostResolverConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spiffe: Option<SpiffeConfig>,
    pub core: CoreConfig,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates_resolvers: BTreeMap<String, CertificatesResolverConfig>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, PluginConfig>,
    #[serde(skip_serializing_if = "is_zero")]
    pub secrets: SecretsConfig,
    #[serde(skip_serializing)]
    pub experimental: ExperimentalConfig,
    /// Itself with the references that it was written with, if there are any.
    #[serde(skip)]
    written: Option<Arc<InstallConfig>>,
    /// `configFile`: where the file was looked for; kept so that the option may stand in any source.
    #[serde(skip_serializing)]
    config_file: Option<String>,
}

/// `spiffe`: where the gateway's own identity comes from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SpiffeConfig {
    /// `unix:///path` or `tcp://address:port` of the Workload API.
    #[serde(rename = "workloadAPIAddr", skip_serializing_if = "String::is_empty")]
    pub workload_api_addr: String,
}

/// `ocsp`: what the issuers of certificates say of them is sent in handshakes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OcspConfig {
    /// Responders to ask in place of those that certificates name, by URL.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub responder_overrides: BTreeMap<String, String>,
}

/// `hostResolver`: what hosts are aliases of.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HostResolverConfig {
    /// Rules are asked for the alias of the host too.
    #[serde(skip_serializing_if = "is_false")]
    pub cname_flattening: bool,
    /// Names the servers.
    pub resolv_config: String,
    /// Aliases of aliases, at most; none below 1.
    pub resolv_depth: i64,
}

impl Default for HostResolverConfig {
    fn default() -> Self {
        HostResolverConfig { cname_flattening: false, resolv_config: "/etc/resolv.conf".into(), resolv_depth: 5 }
    }
}

/// `global`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GlobalConfig {
    /// Default true, without effect: Torana never phones home.
    pub check_new_version: bool,
    /// Without effect: Torana never phones home.
    #[serde(skip_serializing_if = "is_false")]
    pub send_anonymous_usage: bool,
    /// Without effect, as in Traefik: the switch that works is the entry point's.
    #[serde(skip_serializing_if = "is_false")]
    pub not_append_x_forwarded_for: bool,
}

impl Default for GlobalConfig {
    fn default() -> Self {
        GlobalConfig { check_new_version: true, send_anonymous_usage: false, not_append_x_forwarded_for: false }
    }
}

/// `providers`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProvidersConfig {
    /// Time between two reloads from one provider, at least; 0 for no limit. By default four times what the last
    /// one took; Traefik has 2s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub providers_throttle_duration: Option<GoDuration>,
    /// Ours: how long `/ready` waits for the first delivery of each provider; default unlimited. After that the
    /// gateway is ready without those that have not delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_timeout: Option<GoDuration>,
    /// Provider names, lower case: the earlier one wins between routers of equal priority.
    pub precedence: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileProviderConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<DockerConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swarm: Option<SwarmConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consul: Option<ConsulProviderConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consul_catalog: Option<ConsulCatalogConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs: Option<EcsConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd: Option<EtcdProviderConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProviderConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nomad: Option<NomadConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisProviderConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<RestProviderConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zoo_keeper: Option<ZooKeeperProviderConfig>,
    #[serde(rename = "kubernetesCRD", skip_serializing_if = "Option::is_none")]
    pub kubernetes_crd: Option<KubernetesCrdConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_ingress: Option<KubernetesIngressConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_gateway: Option<KubernetesGatewayConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knative: Option<KnativeConfig>,
    #[serde(rename = "kubernetesIngressNGINX", skip_serializing_if = "Option::is_none")]
    pub kubernetes_ingress_nginx: Option<IngressNginxConfig>,
    /// Free-form maps, keys as written, by the name of the plugin that provides.
    #[serde(deserialize_with = "de::trees", skip_serializing_if = "BTreeMap::is_empty")]
    pub plugin: BTreeMap<String, Node>,
}

/// Traefik's default of `providers.precedence`, which is also the list of all names that may stand there, beside
/// `plugin-<name>` of the providers that are plugins.
pub const PRECEDENCE: [&str; 17] = [
    "kubernetesgateway",
    "kubernetescrd",
    "kubernetes",
    "kubernetesingressnginx",
    "swarm",
    "docker",
    "file",
    "redis",
    "knative",
    "consul",
    "consulcatalog",
    "nomad",
    "etcd",
    "ecs",
    "http",
    "zookeeper",
    "rest",
];

impl Default for ProvidersConfig {
    fn default() -> Self {
        ProvidersConfig {
            providers_throttle_duration: None,
            startup_timeout: None,
            precedence: PRECEDENCE.map(str::to_owned).into(),
            file: None,
            docker: None,
            swarm: None,
            consul: None,
            consul_catalog: None,
            ecs: None,
            etcd: None,
            http: None,
            nomad: None,
            redis: None,
            rest: None,
            zoo_keeper: None,
            kubernetes_crd: None,
            kubernetes_ingress: None,
            kubernetes_gateway: None,
            knative: None,
            kubernetes_ingress_nginx: None,
            plugin: BTreeMap::new(),
        }
    }
}

/// `providers.file`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FileProviderConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filename: String,
    /// Wins when `filename` is written too.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub directory: String,
    /// Default true.
    #[serde(skip_serializing_if = "is_false")]
    pub watch: bool,
    /// Log templates and what they come to at level DEBUG.
    #[serde(skip_serializing_if = "is_false")]
    pub debug_log_generated_template: bool,
}

impl Default for FileProviderConfig {
    fn default() -> Self {
        FileProviderConfig { filename: String::new(), directory: String::new(), watch: true, debug_log_generated_template: false }
    }
}

/// `serversTransport`: how backends are reached that name no transport of their own (`default@internal`).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServersTransportDefaultsConfig {
    #[serde(skip_serializing_if = "is_false")]
    pub insecure_skip_verify: bool,
    /// Files or PEM text; in place of the system's authorities.
    #[serde(rename = "rootCAs", skip_serializing_if = "Vec::is_empty")]
    pub root_cas: Vec<String>,
    /// Default 200; 0 for 2, below 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_idle_conns_per_host: i64,
    pub forwarding_timeouts: DefaultForwardingTimeoutsConfig,
    /// TLS by SPIFFE identities, in place of the other TLS options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spiffe: Option<SpiffeClientConfig>,
}

impl Default for ServersTransportDefaultsConfig {
    fn default() -> Self {
        ServersTransportDefaultsConfig {
            insecure_skip_verify: false,
            root_cas: Vec::new(),
            max_idle_conns_per_host: 200,
            forwarding_timeouts: DefaultForwardingTimeoutsConfig::default(),
            spiffe: None,
        }
    }
}

impl ServersTransportDefaultsConfig {
    /// As the transport that it stands for.
    pub fn transport(&self) -> ServersTransportConfig {
        let t = self.forwarding_timeouts;
        ServersTransportConfig {
            insecure_skip_verify: self.insecure_skip_verify,
            root_cas: self.root_cas.clone(),
            max_idle_conns_per_host: self.max_idle_conns_per_host,
            spiffe: self.spiffe.clone(),
            forwarding_timeouts: ForwardingTimeoutsConfig {
                dial_timeout: t.dial_timeout,
                response_header_timeout: t.response_header_timeout,
                idle_conn_timeout: t.idle_conn_timeout,
                ..ForwardingTimeoutsConfig::default()
            },
            ..ServersTransportConfig::default()
        }
    }
}

/// `tcpServersTransport`: how TCP backends are reached that name no transport of their own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpServersTransportDefaultsConfig {
    /// Default 15s, which is also 0; below 0 for none.
    #[serde(skip_serializing_if = "is_no_time")]
    pub dial_keep_alive: GoDuration,
    /// Default 30s; 0 for no limit.
    #[serde(skip_serializing_if = "is_no_time")]
    pub dial_timeout: GoDuration,
    /// Without effect, as in Traefik: see [`Self::transport`].
    #[serde(skip_serializing_if = "is_no_time")]
    pub termination_delay: GoDuration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TcpTlsDefaultsConfig>,
}

impl Default for TcpServersTransportDefaultsConfig {
    fn default() -> Self {
        let t = TcpServersTransportConfig::default();
        TcpServersTransportDefaultsConfig {
            dial_keep_alive: t.dial_keep_alive,
            dial_timeout: t.dial_timeout,
            termination_delay: GoDuration(0),
            tls: None,
        }
    }
}

impl TcpServersTransportDefaultsConfig {
    /// As the transport that it stands for. Its termination delay is always 0: Traefik forgets to copy it, and
    /// so cuts the other direction as soon as one ends.
    pub fn transport(&self) -> TcpServersTransportConfig {
        TcpServersTransportConfig {
            dial_keep_alive: self.dial_keep_alive,
            dial_timeout: self.dial_timeout,
            proxy_protocol: None,
            termination_delay: GoDuration(0),
            tls: self.tls.as_ref().map(|tls| TcpClientTlsConfig {
                insecure_skip_verify: tls.insecure_skip_verify,
                root_cas: tls.root_cas.clone(),
                spiffe: tls.spiffe.clone(),
                ..TcpClientTlsConfig::default()
            }),
        }
    }
}

/// `tcpServersTransport.tls`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpTlsDefaultsConfig {
    #[serde(skip_serializing_if = "is_false")]
    pub insecure_skip_verify: bool,
    /// Files or PEM text; in place of the system's authorities.
    #[serde(rename = "rootCAs", skip_serializing_if = "Vec::is_empty")]
    pub root_cas: Vec<String>,
    /// TLS by SPIFFE identities, in place of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spiffe: Option<SpiffeClientConfig>,
}

/// `serversTransport.forwardingTimeouts`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DefaultForwardingTimeoutsConfig {
    /// Default 30s; 0 for no limit.
    pub dial_timeout: GoDuration,
    /// Default 0: no limit.
    #[serde(skip_serializing_if = "is_no_time")]
    pub response_header_timeout: GoDuration,
    /// Default 90s; 0 for no limit.
    pub idle_conn_timeout: GoDuration,
}

impl Default for DefaultForwardingTimeoutsConfig {
    fn default() -> Self {
        let t = ForwardingTimeoutsConfig::default();
        DefaultForwardingTimeoutsConfig {
            dial_timeout: t.dial_timeout,
            response_header_timeout: t.response_header_timeout,
            idle_conn_timeout: t.idle_conn_timeout,
        }
    }
}

/// `api`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ApiConfig {
    /// Default `/`.
    pub base_path: String,
    /// Serve the API without authentication on the entry point `traefik`.
    #[serde(skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Serve the dashboard beside the API. Default true.
    #[serde(skip_serializing_if = "is_false")]
    pub dashboard: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub disable_dashboard_ad: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dashboard_name: String,
}

impl Default for ApiConfig {
    fn default() -> Self {
        ApiConfig { base_path: "/".into(), insecure: false, dashboard: true, disable_dashboard_ad: false, dashboard_name: String::new() }
    }
}

/// `ping`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PingConfig {
    /// Default `traefik`.
    pub entry_point: String,
    /// Make no router: `ping@internal` is then used by routers of the user.
    #[serde(skip_serializing_if = "is_false")]
    pub manual_routing: bool,
    /// Status code while stopping, default 503.
    pub terminating_status_code: u16,
}

impl Default for PingConfig {
    fn default() -> Self {
        PingConfig { entry_point: "traefik".into(), manual_routing: false, terminating_status_code: 503 }
    }
}

/// `log`: the log of the gateway itself.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LogConfig {
    /// Default `ERROR`.
    pub level: LogLevel,
    /// `json`, or anything else for text; default `common`.
    pub format: String,
    #[serde(skip_serializing_if = "is_false")]
    pub no_color: bool,
    /// Empty for standard output.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file_path: String,
    /// Megabytes at which the file is begun anew; 0 for 100.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_size: i64,
    /// Days that old files are kept; 0 for ever.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_age: i64,
    /// Old files that are kept; 0 for all.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_backups: i64,
    /// Compress old files. They are if nothing is written here, as in Traefik, which compresses them whatever is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<bool>,
    /// Send to an OpenTelemetry collector too; needs `experimental.otlplogs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpLogConfig>,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            level: LogLevel::Error,
            format: "common".into(),
            no_color: false,
            file_path: String::new(),
            max_size: 0,
            max_age: 0,
            max_backups: 0,
            compress: None,
            otlp: None,
        }
    }
}

impl LogConfig {
    pub fn is_json(&self) -> bool {
        self.format == "json"
    }
}

/// `log.level`, from the most to the least talkative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    #[default]
    Error,
    Fatal,
    Panic,
}

/// `core`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CoreConfig {
    /// Of routers without `ruleSyntax`; v3 where nothing says so. Deprecated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_rule_syntax: Option<RuleSyntax>,
    /// Routers on one host that name different TLS options are disabled; else they all get the default ones.
    #[serde(rename = "strictTLSOptions", skip_serializing_if = "is_false")]
    pub strict_tls_options: bool,
}

impl CoreConfig {
    /// What routers without a syntax of their own are given; `None` where nothing of `core` is set. Traefik makes
    /// copies of routers by entry point for it.
    pub fn rule_syntax(&self) -> Option<RuleSyntax> {
        self.default_rule_syntax.or(self.strict_tls_options.then_some(RuleSyntax::V3))
    }
}

/// `core.defaultRuleSyntax`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleSyntax {
    V2,
    V3,
}

impl RuleSyntax {
    pub fn as_str(self) -> &'static str {
        match self {
            RuleSyntax::V2 => "v2",
            RuleSyntax::V3 => "v3",
        }
    }
}

impl InstallConfig {
    /// The same with references in place of what they lead to: what may be shown.
    pub fn shown(self: &Arc<Self>) -> Arc<InstallConfig> {
        self.written.as_ref().unwrap_or(self).clone()
    }

    /// `metrics.prometheus`, if it is there.
    pub fn prometheus(&self) -> Option<&PrometheusConfig> {
        self.metrics.as_ref()?.prometheus.as_ref()
    }
}

pub(crate) fn is_false(b: &bool) -> bool {
    !b
}

pub(crate) fn is_zero<N: Default + PartialEq>(n: &N) -> bool {
    *n == N::default()
}

pub(crate) fn is_no_time(d: &GoDuration) -> bool {
    d.0 == 0
}

#[cfg(test)]
mod tests;
