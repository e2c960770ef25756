//! `providers.docker` and `providers.swarm`: routing configuration in the labels of containers and services.

use super::super::effective::Validate;
use super::super::{is_false, is_no_time};
use super::ClientTlsConfig;
use serde::{Deserialize, Serialize};
use torana_base::{Diagnostic, GoDuration, Secret};

const ENDPOINT: &str = "unix:///var/run/docker.sock";
/// The rule of routers that have none.
const DEFAULT_RULE: &str = "Host(`{{ normalize .Name }}`)";

/// `providers.docker`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DockerConfig {
    /// The engine's API: `unix://`, `tcp://`, `http://`, `https://` or `ssh://`. Default `unix:///var/run/docker.sock`.
    pub endpoint: String,
    /// Sent together with `password`, as basic authentication.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing)]
    pub password: Secret,
    /// TLS towards a TCP endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsConfig>,
    /// Of one request and its answer; default 0 for a minute. Events may be silent as long as they like.
    #[serde(skip_serializing_if = "is_no_time")]
    pub http_client_timeout: GoDuration,
    /// Default true: containers are served unless they say `traefik.enable=false`.
    #[serde(skip_serializing_if = "is_false")]
    pub exposed_by_default: bool,
    /// Expression over labels; empty for all containers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub constraints: String,
    /// Go template of the rule of routers that have none.
    pub default_rule: String,
    /// Name of the network whose addresses are used, unless a label says otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// Use the address and port of the host where one is published.
    #[serde(rename = "useBindPortIP", skip_serializing_if = "is_false")]
    pub use_bind_port_ip: bool,
    /// Keep the routers of containers that are not healthy, with services without servers.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_empty_services: bool,
    /// Default true; false reads once.
    #[serde(skip_serializing_if = "is_false")]
    pub watch: bool,
}

impl Default for DockerConfig {
    fn default() -> Self {
        DockerConfig {
            endpoint: ENDPOINT.into(),
            username: String::new(),
            password: Secret::default(),
            tls: None,
            http_client_timeout: GoDuration(0),
            exposed_by_default: true,
            constraints: String::new(),
            default_rule: DEFAULT_RULE.into(),
            network: String::new(),
            use_bind_port_ip: false,
            allow_empty_services: false,
            watch: true,
        }
    }
}

/// `providers.swarm`: the options of `providers.docker`, for services of a swarm.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SwarmConfig {
    /// As of [`DockerConfig`]; of a manager.
    pub endpoint: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing)]
    pub password: Secret,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsConfig>,
    #[serde(skip_serializing_if = "is_no_time")]
    pub http_client_timeout: GoDuration,
    #[serde(skip_serializing_if = "is_false")]
    pub exposed_by_default: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub constraints: String,
    pub default_rule: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network: String,
    #[serde(rename = "useBindPortIP", skip_serializing_if = "is_false")]
    pub use_bind_port_ip: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub allow_empty_services: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub watch: bool,
    /// Between two looks at everything; default 15s. Events of the engine make it look at once.
    pub refresh_seconds: GoDuration,
}

impl Default for SwarmConfig {
    fn default() -> Self {
        let d = DockerConfig::default();
        SwarmConfig {
            endpoint: d.endpoint,
            username: d.username,
            password: d.password,
            tls: d.tls,
            http_client_timeout: d.http_client_timeout,
            exposed_by_default: d.exposed_by_default,
            constraints: d.constraints,
            default_rule: d.default_rule,
            network: d.network,
            use_bind_port_ip: d.use_bind_port_ip,
            allow_empty_services: d.allow_empty_services,
            watch: d.watch,
            refresh_seconds: GoDuration::from_secs(15),
        }
    }
}

impl SwarmConfig {
    /// What it has in common with `providers.docker`.
    pub fn common(&self) -> DockerConfig {
        let c = self.clone();
        DockerConfig {
            endpoint: c.endpoint,
            username: c.username,
            password: c.password,
            tls: c.tls,
            http_client_timeout: c.http_client_timeout,
            exposed_by_default: c.exposed_by_default,
            constraints: c.constraints,
            default_rule: c.default_rule,
            network: c.network,
            use_bind_port_ip: c.use_bind_port_ip,
            allow_empty_services: c.allow_empty_services,
            watch: c.watch,
        }
    }
}

impl Validate<'_> {
    pub(in crate::install) fn docker(&mut self) {
        let providers = &self.config.providers;
        let swarm = providers.swarm.as_ref().map(SwarmConfig::common);
        for (name, config) in [("docker", &providers.docker), ("swarm", &swarm)] {
            let Some(config) = config else { continue };
            let key = |option: &str| format!("providers.{name}.{option}");
            if config.username.is_empty() != config.password.expose().is_empty() {
                let (there, missing) = if config.username.is_empty() { ("password", "username") } else { ("username", "password") };
                let d = Diagnostic::warning(key(there), format!("nothing is sent without `{missing}`"));
                self.push(d, "write both, or none");
            }
            if config.tls.is_some() && !["tcp://", "http://", "https://"].iter().any(|s| config.endpoint.starts_with(s)) {
                let d = Diagnostic::warning(key("tls"), "TLS is for `tcp://` and `https://` endpoints alone");
                self.push(d, "remove it");
            }
        }
        if let Some(swarm) = &self.config.providers.swarm
            && swarm.watch
            && swarm.refresh_seconds.positive().is_none()
        {
            let d = Diagnostic::error("providers.swarm.refreshSeconds", "the time is not above 0");
            self.push(d, "leave it out for 15s");
        }
    }
}
