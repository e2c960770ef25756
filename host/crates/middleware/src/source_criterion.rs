//! What requests are counted by (Traefik `sourceCriterion`).

use crate::ip_strategy::{Client, IpStrategy, IpStrategyConfig};
use crate::omit;
use http::HeaderName;
use serde::{Deserialize, Serialize};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use torana_extend::BuildError;
use torana_http::Exchange;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceCriterionConfig {
    /// By the client's address, found like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_strategy: Option<IpStrategyConfig>,
    /// By the value of this request header.
    #[serde(skip_serializing_if = "omit::empty")]
    pub request_header_name: String,
    /// By `Host`, as it was sent.
    #[serde(skip_serializing_if = "omit::empty")]
    pub request_host: bool,
}

enum By {
    Ip(IpStrategy),
    Header(HeaderName),
    Host,
}

/// A compiled criterion.
pub struct Source {
    by: By,
    /// Hidden from clients, so that none can aim at another's key.
    seeds: [RandomState; 2],
}

/// Whom a request is counted for: of fixed size, whatever the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceKey(u64, u64);

impl SourceKey {
    /// One of `shards`, evenly.
    pub(crate) fn shard(self, shards: usize) -> usize {
        (self.0 % shards as u64) as usize
    }
}

impl Source {
    /// `key` is where the criterion stands; `fallback` is used when it names nothing.
    pub fn build(config: Option<&SourceCriterionConfig>, key: &str, fallback: Fallback) -> Result<Self, BuildError> {
        let config = config.cloned().unwrap_or_default();
        let set = [config.ip_strategy.is_some(), !config.request_header_name.is_empty(), config.request_host];
        if set.iter().filter(|s| **s).count() > 1 {
            return Err(BuildError::new(key, "only one of `ipStrategy`, `requestHeaderName` and `requestHost` can be used"));
        }
        let by = if config.request_host {
            By::Host
        } else if !config.request_header_name.is_empty() {
            let name = config.request_header_name.trim();
            let name = HeaderName::from_bytes(name.as_bytes());
            By::Header(name.map_err(|_| BuildError::new(format!("{key}.requestHeaderName"), "this is not a header name"))?)
        } else if config.ip_strategy.is_some() {
            By::Ip(IpStrategy::build(config.ip_strategy.as_ref(), &format!("{key}.ipStrategy"))?)
        } else {
            match fallback {
                Fallback::Peer => By::Ip(IpStrategy::PEER),
                Fallback::Host => By::Host,
            }
        };
        Ok(Source { by, seeds: [RandomState::new(), RandomState::new()] })
    }

    pub fn key(&self, exchange: &Exchange) -> SourceKey {
        match &self.by {
            By::Ip(strategy) => match strategy.client(exchange) {
                Client::Ip(ip) => self.hash(ip),
                Client::Text(text) => self.hash(text),
            },
            By::Header(name) => self.hash(exchange.request.headers.get(name).map_or(&b""[..], |v| v.as_bytes())),
            By::Host => self.hash(&*exchange.request.host),
        }
    }

    /// Whom a request is counted for, as other gateways call it too.
    pub(crate) fn text(&self, exchange: &Exchange) -> String {
        match &self.by {
            By::Ip(strategy) => match strategy.client(exchange) {
                Client::Ip(ip) => ip.to_string(),
                Client::Text(text) => text.to_string(),
            },
            By::Header(name) => {
                exchange.request.headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).unwrap_or_default()
            }
            By::Host => exchange.request.host.to_string(),
        }
    }

    fn hash(&self, value: impl Hash) -> SourceKey {
        SourceKey(self.seeds[0].hash_one(&value), self.seeds[1].hash_one(&value))
    }
}

/// What counts where a criterion names nothing.
#[derive(Clone, Copy, Debug)]
pub enum Fallback {
    /// The connection's peer.
    Peer,
    /// The `Host` header.
    Host,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::exchange;

    #[test]
    fn keys_differ_as_the_sources_do() {
        let source = |c: SourceCriterionConfig| Source::build(Some(&c), "sourceCriterion", Fallback::Peer).unwrap();
        let (mut a, mut b) = (exchange("GET", "/"), exchange("GET", "/"));
        b.request.headers.insert("x-k", "b".parse().unwrap());
        b.request.host = "other.test".into();
        let peer = source(SourceCriterionConfig::default());
        assert_eq!(peer.key(&a), peer.key(&b));
        let header = source(SourceCriterionConfig { request_header_name: "X-K".into(), ..SourceCriterionConfig::default() });
        assert_ne!(header.key(&a), header.key(&b));
        a.request.headers.insert("x-k", "b".parse().unwrap());
        assert_eq!(header.key(&a), header.key(&b));
        let host = source(SourceCriterionConfig { request_host: true, ..SourceCriterionConfig::default() });
        assert_ne!(host.key(&a), host.key(&b));
    }

    #[test]
    fn only_one_at_a_time() {
        let both = SourceCriterionConfig { request_host: true, request_header_name: "X".into(), ip_strategy: None };
        assert_eq!(Source::build(Some(&both), "sourceCriterion", Fallback::Host).err().unwrap().key, "sourceCriterion");
    }
}
