use super::{FailoverConfig, HighestRandomWeightConfig, MirroringConfig, PluginUse, WeightedConfig};
use crate::install::{is_false, is_no_time, is_zero};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use torana_base::GoDuration;

/// `http.services.<name>`: exactly one kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancerConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weighted: Option<WeightedConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest_random_weight: Option<HighestRandomWeightConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirroring: Option<MirroringConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<FailoverConfig>,
    /// A component that answers requests. Traefik has no such kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginUse>,
    /// Requests meet them when they enter the service, after those of the router.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub middlewares: Vec<String>,
}

impl ServiceConfig {
    /// The plugins that it names, as service or as balancer.
    pub fn plugins(&self) -> impl Iterator<Item = &PluginUse> {
        self.plugin.iter().chain(self.load_balancer.as_ref().and_then(|l| l.plugin.as_ref()))
    }

    /// The kind as it is written: `loadBalancer`, `weighted`, `plugin`, ...; empty for none.
    pub fn kind(&self) -> &'static str {
        let kinds = [
            ("loadBalancer", self.load_balancer.is_some()),
            ("weighted", self.weighted.is_some()),
            ("highestRandomWeight", self.highest_random_weight.is_some()),
            ("mirroring", self.mirroring.is_some()),
            ("failover", self.failover.is_some()),
            ("plugin", self.plugin.is_some()),
        ];
        kinds.into_iter().find(|(_, written)| *written).map_or("", |(kind, _)| kind)
    }
}

/// `http.services.<name>.loadBalancer`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LoadBalancerConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<StickyConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerConfig>,
    pub strategy: Strategy,
    /// Chooses in place of `strategy`. Traefik has no such option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginUse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheckConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passive_health_check: Option<PassiveHealthCheckConfig>,
    /// Default true; false sends the server's own host.
    pub pass_host_header: bool,
    /// Whether a request goes to another server when its own cannot be connected to. Default: only where servers
    /// come and go by themselves, as with Docker. Traefik has no such option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redispatch: Option<bool>,
    pub response_forwarding: ResponseForwardingConfig,
    /// `None` for `default@internal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers_transport: Option<String>,
    /// With `hrw`: what is hashed in place of the client's address, a text with variables of nginx. Only the
    /// provider of ingress-nginx says so.
    #[serde(skip_deserializing, skip_serializing_if = "String::is_empty")]
    pub nginx_upstream_hash_by: String,
}

impl Default for LoadBalancerConfig {
    fn default() -> Self {
        LoadBalancerConfig {
            sticky: None,
            servers: Vec::new(),
            strategy: Strategy::Wrr,
            plugin: None,
            health_check: None,
            passive_health_check: None,
            pass_host_header: true,
            redispatch: None,
            response_forwarding: ResponseForwardingConfig::default(),
            servers_transport: None,
            nginx_upstream_hash_by: String::new(),
        }
    }
}

/// How a load balancer chooses. Names are compared with case, as Traefik does; the empty one is `wrr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Weighted round robin.
    #[default]
    Wrr,
    /// The less busy of two random servers.
    P2c,
    /// Highest random weight of the client's address.
    Hrw,
    /// The shortest time to first byte.
    LeastTime,
}

impl<'de> Deserialize<'de> for Strategy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" | "wrr" => Ok(Strategy::Wrr),
            "p2c" => Ok(Strategy::P2c),
            "hrw" => Ok(Strategy::Hrw),
            "leasttime" => Ok(Strategy::LeastTime),
            other => Err(serde::de::Error::custom(format_args!(
                "no load-balancer strategy is called `{other}`; there are wrr, p2c, hrw and leasttime"
            ))),
        }
    }
}

/// `http.services.<name>.loadBalancer.servers[n]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServerConfig {
    /// `http://`, `https://` or `h2c://`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// `None` is 1; 0 and below take the server out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    /// Put the path of the URL before that of the request.
    #[serde(skip_serializing_if = "is_false")]
    pub preserve_path: bool,
    /// It is going away: new clients go elsewhere, a sticky cookie still leads here. Only providers say so.
    #[serde(skip_deserializing, skip_serializing_if = "is_false")]
    pub fenced: bool,
}

/// `sticky` of a load balancer or a weighted service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StickyConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<CookieConfig>,
}

/// `sticky.cookie`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CookieConfig {
    /// Empty for a name made of the service's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "is_false")]
    pub secure: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub http_only: bool,
    /// `none`, `lax` or `strict` in any case; empty for no attribute.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub same_site: String,
    /// Seconds; 0 for no attribute, below 0 for `Max-Age=0`.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_age: i64,
    /// Default `/`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Seconds until the `Expires` of the cookie; 0 for none, below 0 for a time that has passed. Only the provider
    /// of ingress-nginx says so.
    #[serde(skip)]
    pub expires: i64,
}

impl Default for CookieConfig {
    fn default() -> Self {
        CookieConfig {
            name: String::new(),
            secure: false,
            http_only: false,
            same_site: String::new(),
            max_age: 0,
            path: "/".into(),
            domain: String::new(),
            expires: 0,
        }
    }
}

/// `http.services.<name>.loadBalancer.healthCheck`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HealthCheckConfig {
    /// In place of the server's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scheme: String,
    /// `grpc`, or anything else for HTTP; default `http`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Empty for GET.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// 0 for 200 to 399.
    #[serde(skip_serializing_if = "is_zero")]
    pub status: u16,
    /// 0 for the server's.
    #[serde(skip_serializing_if = "is_zero")]
    pub port: u16,
    /// Default 30s.
    pub interval: GoDuration,
    /// Of servers that are down; `None` for `interval`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_interval: Option<GoDuration>,
    /// Default 5s.
    pub timeout: GoDuration,
    /// Sent as Host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Default true.
    pub follow_redirects: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

impl Default for HealthCheckConfig {
    fn default() -> Self {
        HealthCheckConfig {
            scheme: String::new(),
            mode: "http".into(),
            path: String::new(),
            method: String::new(),
            status: 0,
            port: 0,
            interval: GoDuration::from_secs(30),
            unhealthy_interval: None,
            timeout: GoDuration::from_secs(5),
            hostname: String::new(),
            follow_redirects: true,
            headers: BTreeMap::new(),
        }
    }
}

/// `http.services.<name>.loadBalancer.passiveHealthCheck`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PassiveHealthCheckConfig {
    /// How long failures count, and how long a server is left out. Default 10s; 0 and below never leave one out.
    #[serde(skip_serializing_if = "is_no_time")]
    pub failure_window: GoDuration,
    /// Failures within the window that take a server out. Default 1; less is 1 too.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_failed_attempts: i64,
}

impl Default for PassiveHealthCheckConfig {
    fn default() -> Self {
        PassiveHealthCheckConfig { failure_window: GoDuration::from_secs(10), max_failed_attempts: 1 }
    }
}

/// `http.services.<name>.loadBalancer.responseForwarding`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResponseForwardingConfig {
    /// Default 100ms; below 0 to flush each write.
    pub flush_interval: GoDuration,
}

impl Default for ResponseForwardingConfig {
    fn default() -> Self {
        ResponseForwardingConfig { flush_interval: GoDuration::from_millis(100) }
    }
}
