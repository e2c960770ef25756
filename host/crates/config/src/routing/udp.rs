//! `udp`: routers and services of datagrams.

use super::tcp::same;
use super::{Items, WeightedServiceConfig};
use serde::{Deserialize, Serialize};

/// `udp`.
#[derive(Clone, Debug, Default)]
pub struct UdpConfig {
    pub routers: Items<UdpRouterConfig>,
    pub services: Items<UdpServiceConfig>,
}

impl PartialEq for UdpConfig {
    fn eq(&self, other: &Self) -> bool {
        same(&self.routers, &other.routers) && same(&self.services, &other.services)
    }
}

/// `udp.routers.<name>`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UdpRouterConfig {
    /// Empty for all UDP entry points.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entry_points: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// `udp.services.<name>`: exactly one kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UdpServiceConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<UdpLoadBalancerConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weighted: Option<UdpWeightedConfig>,
}

/// `udp.services.<name>.loadBalancer`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UdpLoadBalancerConfig {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<UdpServerConfig>,
}

/// `udp.services.<name>.loadBalancer.servers[n]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UdpServerConfig {
    /// `host:port`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
}

/// `udp.services.<name>.weighted`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UdpWeightedConfig {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<WeightedServiceConfig>,
}
