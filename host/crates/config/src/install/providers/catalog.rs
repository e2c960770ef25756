//! `providers.{consulCatalog,nomad,ecs}`: routing configuration in the tags and labels of a catalogue.

use super::super::effective::Validate;
use super::super::{is_false, is_no_time};
use super::ClientTlsConfig;
use serde::{Deserialize, Serialize};
use torana_base::{Diagnostic, GoDuration, Secret};

/// Rule of routers that have none, unless `defaultRule` says otherwise.
const DEFAULT_RULE: &str = "Host(`{{ normalize .Name }}`)";
/// Prefix of tags, unless `prefix` says otherwise.
const PREFIX: &str = "traefik";
/// What the state of an instance can be in Consul, and `any` for all of them.
const STATES: [&str; 5] = ["passing", "warning", "critical", "maintenance", "any"];

/// `providers.consulCatalog`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsulCatalogConfig {
    pub endpoint: ConsulEndpointConfig,
    /// Of the tags that are read; default `traefik`.
    pub prefix: String,
    /// Time between two polls, where `watch` is off; default 15s.
    pub refresh_interval: GoDuration,
    /// Reads that the leader has confirmed.
    #[serde(skip_serializing_if = "is_false")]
    pub require_consistent: bool,
    /// Reads from any server, that may be old.
    #[serde(skip_serializing_if = "is_false")]
    pub stale: bool,
    /// Reads from the agent's own memory.
    #[serde(skip_serializing_if = "is_false")]
    pub cache: bool,
    /// Default true; else only what has the tag `traefik.enable=true`.
    pub exposed_by_default: bool,
    pub default_rule: String,
    /// Expression over tags; empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub constraints: String,
    /// States of an instance with which it is served; default `passing` and `warning`.
    pub strict_checks: Vec<String>,
    /// Wait for changes instead of polling.
    #[serde(skip_serializing_if = "is_false")]
    pub watch: bool,
    /// Take part in the service mesh.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_aware: bool,
    /// Reach each service through the mesh that does not say otherwise.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_by_default: bool,
    /// Of the gateway itself in the mesh; default `traefik`.
    pub service_name: String,
    /// One provider `consulcatalog-<namespace>` for each (Consul Enterprise); none for `consulcatalog`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
}

impl Default for ConsulCatalogConfig {
    fn default() -> Self {
        ConsulCatalogConfig {
            endpoint: ConsulEndpointConfig::default(),
            prefix: PREFIX.into(),
            refresh_interval: GoDuration::from_secs(15),
            require_consistent: false,
            stale: false,
            cache: false,
            exposed_by_default: true,
            default_rule: DEFAULT_RULE.into(),
            constraints: String::new(),
            strict_checks: vec!["passing".into(), "warning".into()],
            watch: false,
            connect_aware: false,
            connect_by_default: false,
            service_name: PREFIX.into(),
            namespaces: Vec::new(),
        }
    }
}

/// `providers.consulCatalog.endpoint`. What is empty comes from Consul's own environment (`CONSUL_HTTP_ADDR` and
/// the like).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsulEndpointConfig {
    /// `host:port`, an `http://` or `https://` URL, or `unix://` and a path; default `127.0.0.1:8500`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// `http` or `https`; default `http`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scheme: String,
    /// Default: the agent's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub datacenter: String,
    #[serde(skip_serializing)]
    pub token: Secret,
    /// How long a blocking query waits; default 0 for a minute.
    #[serde(skip_serializing_if = "is_no_time")]
    pub endpoint_wait_time: GoDuration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_auth: Option<HttpAuthConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsConfig>,
}

/// `httpAuth`: basic authentication.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpAuthConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing)]
    pub password: Secret,
}

/// `providers.nomad`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NomadConfig {
    pub endpoint: NomadEndpointConfig,
    /// Of the tags that are read; default `traefik`.
    pub prefix: String,
    /// Time between two polls, where `watch` is off or `stale` is on; default 15s.
    pub refresh_interval: GoDuration,
    /// Reads from any server, that may be old.
    #[serde(skip_serializing_if = "is_false")]
    pub stale: bool,
    /// Default true; else only what has the tag `traefik.enable=true`.
    pub exposed_by_default: bool,
    pub default_rule: String,
    /// Expression over tags; empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub constraints: String,
    /// One provider `nomad-<namespace>` for each; none for `nomad` in the default namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Follow Nomad's events instead of polling.
    #[serde(skip_serializing_if = "is_false")]
    pub watch: bool,
    /// With `watch`: time between two reads, at least; default 0.
    #[serde(skip_serializing_if = "is_no_time")]
    pub throttle_duration: GoDuration,
    /// Keep routers of services that are scaled to zero.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_empty_services: bool,
}

impl Default for NomadConfig {
    fn default() -> Self {
        NomadConfig {
            endpoint: NomadEndpointConfig::default(),
            prefix: PREFIX.into(),
            refresh_interval: GoDuration::from_secs(15),
            stale: false,
            exposed_by_default: true,
            default_rule: DEFAULT_RULE.into(),
            constraints: String::new(),
            namespaces: Vec::new(),
            watch: false,
            throttle_duration: GoDuration(0),
            allow_empty_services: false,
        }
    }
}

/// `providers.nomad.endpoint`. What is empty comes from Nomad's own environment (`NOMAD_ADDR` and the like).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NomadEndpointConfig {
    /// URL; default `http://127.0.0.1:4646`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Default: the agent's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    #[serde(skip_serializing)]
    pub token: Secret,
    /// Sent with each read, as Traefik does; default 0 for nothing.
    #[serde(skip_serializing_if = "is_no_time")]
    pub endpoint_wait_time: GoDuration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsConfig>,
}

/// `providers.ecs`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EcsConfig {
    /// Names or ARNs; default `default`.
    pub clusters: Vec<String>,
    /// All clusters of the account and region, in place of `clusters`.
    #[serde(skip_serializing_if = "is_false")]
    pub auto_discover_clusters: bool,
    /// Default: AWS's own environment, profile, or the instance's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Comes together with `secretAccessKey`; default: AWS's own chain of credentials.
    #[serde(rename = "accessKeyID", skip_serializing_if = "String::is_empty")]
    pub access_key_id: String,
    #[serde(skip_serializing)]
    pub secret_access_key: Secret,
    /// Time between two polls; default 15s.
    pub refresh_seconds: GoDuration,
    /// Default true; else only what has the label `traefik.enable=true`.
    pub exposed_by_default: bool,
    pub default_rule: String,
    /// Expression over labels; empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub constraints: String,
    /// Only tasks that ECS found healthy; default: all that it did not find unhealthy.
    #[serde(skip_serializing_if = "is_false")]
    pub healthy_tasks_only: bool,
    /// Find the addresses of external instances (`mi-…`) by SSM.
    #[serde(skip_serializing_if = "is_false")]
    pub ecs_anywhere: bool,
}

impl Default for EcsConfig {
    fn default() -> Self {
        EcsConfig {
            clusters: vec!["default".into()],
            auto_discover_clusters: false,
            region: String::new(),
            access_key_id: String::new(),
            secret_access_key: Secret::default(),
            refresh_seconds: GoDuration::from_secs(15),
            exposed_by_default: true,
            default_rule: DEFAULT_RULE.into(),
            constraints: String::new(),
            healthy_tasks_only: false,
            ecs_anywhere: false,
        }
    }
}

impl Validate<'_> {
    pub(in crate::install) fn catalogues(&mut self) {
        let providers = &self.config.providers;
        let every = [
            ("consulCatalog.refreshInterval", providers.consul_catalog.as_ref().map(|c| c.refresh_interval)),
            ("nomad.refreshInterval", providers.nomad.as_ref().map(|c| c.refresh_interval)),
            ("ecs.refreshSeconds", providers.ecs.as_ref().map(|c| c.refresh_seconds)),
        ];
        for (option, time) in every {
            if time.is_some_and(|t| t.positive().is_none()) {
                self.push(Diagnostic::error(format!("providers.{option}"), "the time is not above 0"), "leave it out for 15s");
            }
        }
        if let Some(consul) = &providers.consul_catalog {
            self.consul_catalog(consul);
        }
        if let Some(nomad) = &providers.nomad {
            self.nomad(nomad);
        }
        if let Some(ecs) = &providers.ecs
            && ecs.access_key_id.is_empty() != ecs.secret_access_key.expose().is_empty()
        {
            let d = Diagnostic::error("providers.ecs.accessKeyID", "`accessKeyID` and `secretAccessKey` come together, and one is empty");
            self.push(d, "write both, or leave both out for AWS's own chain of credentials");
        }
    }

    fn consul_catalog(&mut self, consul: &ConsulCatalogConfig) {
        let key = |option: &str| format!("providers.consulCatalog.{option}");
        if consul.require_consistent && (consul.stale || consul.cache) {
            let d = Diagnostic::error(key("requireConsistent"), "it excludes `stale` and `cache`: Consul refuses to be asked for both");
            self.push(d, "write one of them");
        }
        if !["", "http", "https"].contains(&consul.endpoint.scheme.as_str()) {
            let d = Diagnostic::error(key("endpoint.scheme"), format!("`{}` is no scheme of Consul", consul.endpoint.scheme));
            self.push(d, "write `http` or `https`");
        }
        if consul.connect_by_default && !consul.connect_aware {
            let d = Diagnostic::warning(key("connectByDefault"), "it has no effect without `connectAware`");
            self.push(d, "set `connectAware: true`, or remove it");
        }
        for (i, state) in consul.strict_checks.iter().enumerate().filter(|(_, s)| !STATES.contains(&s.as_str())) {
            let d = Diagnostic::warning(key(&format!("strictChecks[{i}]")), format!("no instance is ever `{state}`"));
            self.push(d, "Consul knows `passing`, `warning`, `critical` and `maintenance`; `any` stands for all of them");
        }
    }

    fn nomad(&mut self, nomad: &NomadConfig) {
        if nomad.throttle_duration.positive().is_some() && !nomad.watch {
            let d = Diagnostic::error("providers.nomad.throttleDuration", "it has no effect without `watch`");
            self.push(d, "set `watch: true`, or leave it out and set `refreshInterval`");
        }
        for (i, namespace) in nomad.namespaces.iter().enumerate() {
            if namespace == "*" || namespace.is_empty() {
                let d = Diagnostic::error(format!("providers.nomad.namespaces[{i}]"), format!("`{namespace}` is no name of a namespace"));
                self.push(d, "write each namespace");
            }
        }
    }
}
