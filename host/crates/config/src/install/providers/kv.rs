//! `providers.{consul,etcd,redis,zooKeeper}`: routing configuration in the keys of a store.

use super::super::effective::Validate;
use super::super::{is_false, is_zero};
use super::ClientTlsConfig;
use serde::{Deserialize, Serialize};
use torana_base::{Diagnostic, Secret};

/// Under which key the configuration stands, unless `rootKey` says otherwise.
const ROOT: &str = "traefik";

/// `providers.consul`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsulProviderConfig {
    /// Agents, the first that answers is used: `host:port`, or an `http://` or `https://` URL. Default `127.0.0.1:8500`.
    pub endpoints: Vec<String>,
    /// Default `traefik`.
    pub root_key: String,
    #[serde(skip_serializing)]
    pub token: Secret,
    /// One provider `consul-<namespace>` for each (Consul Enterprise); none for `consul`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsConfig>,
}

impl Default for ConsulProviderConfig {
    fn default() -> Self {
        ConsulProviderConfig {
            endpoints: vec!["127.0.0.1:8500".into()],
            root_key: ROOT.into(),
            token: Secret::default(),
            namespaces: Vec::new(),
            tls: None,
        }
    }
}

/// `providers.etcd`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EtcdProviderConfig {
    /// Members of one cluster; default `127.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// Default `traefik`.
    pub root_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing)]
    pub password: Secret,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsConfig>,
}

impl Default for EtcdProviderConfig {
    fn default() -> Self {
        EtcdProviderConfig {
            endpoints: vec!["127.0.0.1:2379".into()],
            root_key: ROOT.into(),
            username: String::new(),
            password: Secret::default(),
            tls: None,
        }
    }
}

/// `providers.zooKeeper`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ZooKeeperProviderConfig {
    /// Servers of one ensemble; default `127.0.0.1:2181`.
    pub endpoints: Vec<String>,
    /// Default `traefik`.
    pub root_key: String,
    /// Of the scheme `digest`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing)]
    pub password: Secret,
}

impl Default for ZooKeeperProviderConfig {
    fn default() -> Self {
        ZooKeeperProviderConfig {
            endpoints: vec!["127.0.0.1:2181".into()],
            root_key: ROOT.into(),
            username: String::new(),
            password: Secret::default(),
        }
    }
}

/// `providers.redis`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RedisProviderConfig {
    /// The server, or with `sentinel` the sentinels; default `127.0.0.1:6379`.
    pub endpoints: Vec<String>,
    /// Default `traefik`.
    pub root_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing)]
    pub password: Secret,
    /// Default 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub db: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<RedisSentinelConfig>,
}

impl Default for RedisProviderConfig {
    fn default() -> Self {
        RedisProviderConfig {
            endpoints: vec!["127.0.0.1:6379".into()],
            root_key: ROOT.into(),
            username: String::new(),
            password: Secret::default(),
            db: 0,
            tls: None,
            sentinel: None,
        }
    }
}

/// `providers.redis.sentinel`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RedisSentinelConfig {
    pub master_name: String,
    /// Of the sentinels; that of the servers stands above.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing)]
    pub password: Secret,
    /// Read from the server that answers fastest.
    #[serde(skip_serializing_if = "is_false")]
    pub latency_strategy: bool,
    /// Read from any server.
    #[serde(skip_serializing_if = "is_false")]
    pub random_strategy: bool,
    /// Read from a replica.
    #[serde(skip_serializing_if = "is_false")]
    pub replica_strategy: bool,
    /// Count replicas that have lost their master.
    #[serde(skip_serializing_if = "is_false")]
    pub use_disconnected_replicas: bool,
}

impl RedisSentinelConfig {
    /// Why it cannot be used; Traefik starts without the provider then.
    pub fn wrong(&self) -> Option<&'static str> {
        let strategies = [self.latency_strategy, self.random_strategy, self.replica_strategy];
        if strategies.iter().filter(|s| **s).count() > 1 {
            return Some("`latencyStrategy`, `randomStrategy` and `replicaStrategy` exclude each other");
        }
        self.master_name.is_empty().then_some("`masterName` is missing")
    }
}

impl Validate<'_> {
    pub(in crate::install) fn stores(&mut self) {
        let p = &self.config.providers;
        let stores = [
            ("consul", p.consul.as_ref().map(|c| (&c.endpoints, &c.root_key))),
            ("etcd", p.etcd.as_ref().map(|c| (&c.endpoints, &c.root_key))),
            ("redis", p.redis.as_ref().map(|c| (&c.endpoints, &c.root_key))),
            ("zooKeeper", p.zoo_keeper.as_ref().map(|c| (&c.endpoints, &c.root_key))),
        ];
        for (name, store) in stores {
            let Some((endpoints, root)) = store else { continue };
            if endpoints.iter().all(|e| e.trim().is_empty()) {
                let d = Diagnostic::error(format!("providers.{name}.endpoints"), "there is no address");
                self.push(d, "write `host:port`, or leave `endpoints` out for the default");
            }
            if root.trim_matches('/').is_empty() {
                let d = Diagnostic::error(format!("providers.{name}.rootKey"), "the key under which the configuration stands is empty");
                self.push(d, "leave it out for `traefik`");
            }
        }
        if let Some(consul) = &p.consul {
            for (i, namespace) in consul.namespaces.iter().enumerate() {
                if namespace == "*" || namespace.is_empty() {
                    let d =
                        Diagnostic::error(format!("providers.consul.namespaces[{i}]"), format!("`{namespace}` is no name of a namespace"));
                    self.push(d, "write each namespace; all at once cannot be watched");
                }
            }
        }
        if let Some(redis) = &p.redis {
            if !(0..=i64::from(u16::MAX)).contains(&redis.db) {
                self.push(Diagnostic::error("providers.redis.db", format!("`{}` is no database", redis.db)), "write 0 or more");
            }
            if let Some(wrong) = redis.sentinel.as_ref().and_then(RedisSentinelConfig::wrong) {
                self.push(Diagnostic::error("providers.redis.sentinel", wrong), "write `masterName`, and at most one strategy");
            }
        }
    }
}
