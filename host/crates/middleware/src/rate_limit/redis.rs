//! Buckets in Redis, which several gateways share.
//!
//! Each worker has connections of its own, as a connection belongs to the runtime that made it; many requests are on
//! their way on one at the same time. What is said of a pool is divided among the workers.

mod bucket;
mod connect;
mod links;

use super::Rate;
use bucket::Bucket;
use links::Links;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;
use torana_base::{GoDuration, Secret};
use torana_config::install::ClientTlsConfig;
use torana_trust::client_config;
use torana_extend::BuildError;

use crate::omit;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RedisConfig {
    /// `host:port`; localhost:6379. Several are the nodes of one cluster.
    #[serde(deserialize_with = "endpoints")]
    pub endpoints: Vec<String>,
    /// TLS to the servers; unset: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsConfig>,
    #[serde(skip_serializing_if = "omit::empty")]
    pub username: String,
    /// Never shown.
    #[serde(skip_serializing)]
    pub password: Secret,
    /// Number of the database.
    #[serde(skip_serializing_if = "omit::empty")]
    pub db: i64,
    /// Connections of this gateway; 0: one for each worker, which is also the least.
    #[serde(skip_serializing_if = "omit::empty")]
    pub pool_size: i64,
    /// Connections that are made before they are needed; 0: none.
    #[serde(skip_serializing_if = "omit::empty")]
    pub min_idle_conns: i64,
    /// Connections of this gateway, at most, but one for each worker; 0: no limit beside `pool_size`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub max_active_conns: i64,
    /// For an answer; 3s. 0 and below: no limit.
    pub read_timeout: GoDuration,
    /// For sending; 3s. 0 and below: no limit.
    pub write_timeout: GoDuration,
    /// For connecting; 5s. 0 and below mean the same.
    pub dial_timeout: GoDuration,
}

fn default_endpoints() -> Vec<String> {
    vec!["localhost:6379".to_owned()]
}

/// An empty list means the default, as one that is not there.
fn endpoints<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let given = Vec::deserialize(d)?;
    Ok(if given.is_empty() { default_endpoints() } else { given })
}

impl Default for RedisConfig {
    fn default() -> Self {
        RedisConfig {
            endpoints: default_endpoints(),
            tls: None,
            username: String::new(),
            password: Secret::default(),
            db: 0,
            pool_size: 0,
            min_idle_conns: 0,
            max_active_conns: 0,
            read_timeout: GoDuration::from_secs(3),
            write_timeout: GoDuration::from_secs(3),
            dial_timeout: GoDuration::from_secs(5),
        }
    }
}

/// How to reach the servers.
#[derive(Clone)]
pub(super) struct Servers {
    endpoints: Vec<String>,
    login: redis::RedisConnectionInfo,
    tls: Option<Arc<rustls::ClientConfig>>,
    dial: Duration,
    /// From sending to the answer.
    patience: Option<Duration>,
    /// Connections of a worker to one server.
    connections: usize,
    /// How many of them are made at the first request.
    early: usize,
}

impl Servers {
    fn new(config: RedisConfig) -> Result<Self, BuildError> {
        let none_below = |value: i64, key: &str| {
            usize::try_from(value).map_err(|_| BuildError::new(format!("redis.{key}"), format!("{value} is negative")))
        };
        none_below(config.db, "db")?;
        let pool = none_below(config.pool_size, "poolSize")?;
        let early = none_below(config.min_idle_conns, "minIdleConns")?;
        let most = none_below(config.max_active_conns, "maxActiveConns")?;
        if let Some(i) = config.endpoints.iter().position(|e| e.trim().is_empty()) {
            return Err(BuildError::new(format!("redis.endpoints[{i}]"), "this is empty").hint("write `host:port`"));
        }
        let tls = config.tls.as_ref().map(client_config).transpose();
        let tls = tls.map_err(|why| BuildError::new("redis.tls", why))?.map(Arc::new);
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let connections = pool.div_ceil(workers).clamp(1, if most == 0 { usize::MAX } else { (most / workers).max(1) });
        let patience = config.read_timeout.positive().zip(config.write_timeout.positive()).map(|(read, write)| read.saturating_add(write));
        let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
        Ok(Servers {
            login: redis::RedisConnectionInfo {
                db: config.db,
                username: some(&config.username),
                password: some(config.password.expose()),
                protocol: redis::ProtocolVersion::RESP2,
            },
            endpoints: config.endpoints.iter().map(|e| connect::with_port(e.trim())).collect(),
            tls,
            dial: config.dial_timeout.positive().unwrap_or(Duration::from_secs(5)),
            patience,
            connections,
            early: early.div_ceil(workers).min(connections),
        })
    }
}

/// The buckets of one middleware.
pub(super) struct Shared {
    name: Arc<str>,
    servers: Arc<Servers>,
    bucket: Bucket,
    /// By which workers see that it is gone, and what their connections are for.
    alive: Arc<()>,
}

thread_local! {
    /// The connections of this worker, for middlewares that are in use.
    static LINKS: RefCell<Vec<(Weak<()>, Rc<Links>)>> = const { RefCell::new(Vec::new()) };
}

impl Shared {
    pub(super) fn new(config: RedisConfig, name: &str, rate: Rate) -> Result<Self, BuildError> {
        Ok(Shared { name: name.into(), servers: Arc::new(Servers::new(config)?), bucket: Bucket::new(rate), alive: Arc::default() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Takes a token for `source`: how long to wait for it. A wait that is too long has taken none.
    pub(super) async fn reserve(&self, source: &str) -> Result<Duration, String> {
        let key = bucket::key(&self.name, source);
        self.bucket.take(&key, &self.links()).await
    }

    fn links(&self) -> Rc<Links> {
        let alive = Arc::downgrade(&self.alive);
        LINKS.with_borrow_mut(|all| {
            if let Some((_, links)) = all.iter().find(|(a, _)| a.ptr_eq(&alive)) {
                return links.clone();
            }
            all.retain(|(a, _)| a.strong_count() > 0);
            let links = Rc::new(Links::new(self.servers.clone()));
            all.push((alive, links.clone()));
            links
        })
    }
}

#[cfg(test)]
mod tests;
