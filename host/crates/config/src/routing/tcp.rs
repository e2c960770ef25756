//! `tcp`: routers, services, middlewares and transports of raw connections.

use super::{CertificateConfig, DomainConfig, Items, SpiffeClientConfig, WeightedServiceConfig};
use crate::install::{CoreConfig, RuleSyntax, is_false, is_no_time, is_zero};
use crate::node::Node;
use crate::schema;
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;
use torana_base::GoDuration;

/// `tcp`.
#[derive(Clone, Debug, Default)]
pub struct TcpConfig {
    pub routers: Items<TcpRouterConfig>,
    pub services: Items<TcpServiceConfig>,
    pub middlewares: Items<TcpMiddlewareConfig>,
    pub servers_transports: Items<TcpServersTransportConfig>,
}

/// Objects that were taken over from the last reading are the same ones: most comparisons end there.
impl PartialEq for TcpConfig {
    fn eq(&self, other: &Self) -> bool {
        same(&self.routers, &other.routers)
            && same(&self.services, &other.services)
            && same(&self.middlewares, &other.middlewares)
            && same(&self.servers_transports, &other.servers_transports)
    }
}

pub(super) fn same<T: PartialEq>(a: &Items<T>, b: &Items<T>) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|((n, x), (m, y))| n == m && (Arc::ptr_eq(x, y) || x == y))
}

/// `tcp.routers.<name>`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpRouterConfig {
    /// Empty for the default entry points.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entry_points: Vec<String>,
    /// In the order in which connections meet them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub middlewares: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// `v2`, which is deprecated, or else v3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_syntax: Option<String>,
    /// 0 for the length of the rule, or -1 where the rule is exactly ``HostSNI(`*`)``.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: i64,
    /// `None` for connections without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TcpRouterTlsConfig>,
}

impl TcpRouterConfig {
    /// The syntax of its rule, as far as anything says so: its own, or else the gateway's.
    pub fn syntax<'a>(&'a self, core: &CoreConfig) -> &'a str {
        match self.rule_syntax.as_deref().unwrap_or_default() {
            "" => core.rule_syntax().map_or("", RuleSyntax::as_str),
            own => own,
        }
    }
}

/// `tcp.routers.<name>.tls`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpRouterTlsConfig {
    /// The server ends TLS, not the gateway.
    pub passthrough: bool,
    /// Empty for `default`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub options: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_resolver: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<DomainConfig>,
}

/// `tcp.services.<name>`: exactly one kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpServiceConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<TcpLoadBalancerConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weighted: Option<TcpWeightedConfig>,
}

/// `tcp.services.<name>.loadBalancer`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpLoadBalancerConfig {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<TcpServerConfig>,
    /// `None` for `default@internal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers_transport: Option<String>,
    /// Whether a connection goes to another server when its own does not accept it. Default: only where servers come
    /// and go by themselves, as with Docker. Traefik has no such option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redispatch: Option<bool>,
    /// Deprecated: counts only where no transport is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolConfig>,
    /// Deprecated: nanoseconds, and only where no transport is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_delay: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<TcpHealthCheckConfig>,
}

/// `tcp.services.<name>.loadBalancer.servers[n]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpServerConfig {
    /// `host:port`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Speak TLS to it.
    #[serde(skip_serializing_if = "is_false")]
    pub tls: bool,
}

/// `proxyProtocol` of a transport or a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProxyProtocolConfig {
    /// 1 or 2; default 2.
    #[serde(skip_serializing_if = "is_zero")]
    pub version: i64,
}

impl Default for ProxyProtocolConfig {
    fn default() -> Self {
        ProxyProtocolConfig { version: 2 }
    }
}

/// `tcp.services.<name>.loadBalancer.healthCheck`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpHealthCheckConfig {
    /// 0 for the server's.
    #[serde(skip_serializing_if = "is_zero")]
    pub port: u16,
    /// Sent once connected; empty for nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub send: String,
    /// What the server must say first; empty for anything.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expect: String,
    /// Default 30s.
    #[serde(skip_serializing_if = "is_no_time")]
    pub interval: GoDuration,
    /// Of servers that are down; `None` for `interval`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_interval: Option<GoDuration>,
    /// Default 5s.
    #[serde(skip_serializing_if = "is_no_time")]
    pub timeout: GoDuration,
}

impl Default for TcpHealthCheckConfig {
    fn default() -> Self {
        TcpHealthCheckConfig {
            port: 0,
            send: String::new(),
            expect: String::new(),
            interval: GoDuration::from_secs(30),
            unhealthy_interval: None,
            timeout: GoDuration::from_secs(5),
        }
    }
}

/// `tcp.services.<name>.weighted`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpWeightedConfig {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<WeightedServiceConfig>,
    /// Leave services out that are down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<PropagationConfig>,
}

/// `healthCheck` of a weighted service: has no options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct PropagationConfig {}

/// `tcp.serversTransports.<name>`: how servers are reached.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpServersTransportConfig {
    /// Default 15s, which is also 0; below 0 for none.
    #[serde(skip_serializing_if = "is_no_time")]
    pub dial_keep_alive: GoDuration,
    /// Default 30s; 0 for no limit.
    #[serde(skip_serializing_if = "is_no_time")]
    pub dial_timeout: GoDuration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolConfig>,
    /// How long the other direction may go on once one has ended; default 100ms, below 0 for ever.
    #[serde(skip_serializing_if = "is_no_time")]
    pub termination_delay: GoDuration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TcpClientTlsConfig>,
}

impl Default for TcpServersTransportConfig {
    fn default() -> Self {
        TcpServersTransportConfig {
            dial_keep_alive: GoDuration::from_secs(15),
            dial_timeout: GoDuration::from_secs(30),
            proxy_protocol: None,
            termination_delay: GoDuration::from_millis(100),
            tls: None,
        }
    }
}

/// `tcp.serversTransports.<name>.tls`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpClientTlsConfig {
    /// Sent as SNI and verified; there is no other name to verify.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_name: String,
    #[serde(skip_serializing_if = "is_false")]
    pub insecure_skip_verify: bool,
    /// Files or PEM text; in place of the system's authorities.
    #[serde(rename = "rootCAs", skip_serializing_if = "Vec::is_empty")]
    pub root_cas: Vec<String>,
    /// Client certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateConfig>,
    /// URI that must be among the names of the server's certificate.
    #[serde(rename = "peerCertURI", skip_serializing_if = "String::is_empty")]
    pub peer_cert_uri: String,
    /// TLS by SPIFFE identities, in place of all others here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spiffe: Option<SpiffeClientConfig>,
}

/// `tcp.middlewares.<name>`: its kind and the options, which the middleware's own crate reads.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpMiddlewareConfig {
    /// As Traefik spells it, such as `inFlightConn`; empty when there is none.
    pub kind: String,
    /// The options, keys spelled as in the table.
    pub node: Node,
    /// Kinds written beside it, which have no effect.
    pub others: Vec<(String, Node)>,
}

/// `{"<kind>": {...}}`, the options as written.
impl Serialize for TcpMiddlewareConfig {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let branch = schema::routing().root.at("tcp.middlewares.x");
        let own = (!self.kind.is_empty()).then_some((&self.kind, &self.node));
        let all = self.others.iter().map(|(k, n)| (k, n)).chain(own);
        s.collect_map(
            all.map(|(kind, node)| (kind, branch.and_then(|b| b.known(kind)).map_or_else(|| node.to_json(), |b| b.to_json(node)))),
        )
    }
}
