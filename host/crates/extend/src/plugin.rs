use crate::Built;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use torana_base::Diagnostic;
use torana_config::node::Node;
use torana_config::routing::{Item, PluginConfig};
use torana_http::{Endpoint, Exchange};

/// What hosts plugins, as the compiler of configurations sees it.
///
/// Plugins are loaded beside the compiler: [`PluginHost::declare`] returns at once, and [`PluginHost::changed`]
/// tells when something compiled before has to be compiled again.
pub trait PluginHost: Send + Sync {
    /// Takes over which plugins there are, by qualified name. What is new or declared differently begins to
    /// load; what is gone is forgotten once nothing uses it.
    fn declare(&self, declared: BTreeMap<Arc<str>, Arc<Item<PluginConfig>>>);

    /// Waits until every declared plugin has loaded or failed, or the time is over; whether all have.
    fn settled(&self, patience: Duration) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;

    /// Counts up when a plugin became usable, or another version of it did.
    fn changed(&self) -> watch::Receiver<u64>;

    /// Of the version that is used now; what was built with another one has to be built anew. 0 while there
    /// is none.
    fn version(&self, plugin: &str) -> u64;

    /// The qualified name behind a name used by an object of `provider`.
    fn find(&self, name: &str, provider: &str) -> Option<Arc<str>>;

    /// What is wrong with the plugins themselves.
    fn diagnostics(&self) -> Vec<Diagnostic>;

    /// The steps of a middleware that a plugin is; `key` is where its configuration stands.
    fn middleware(&self, plugin: &str, config: &Node, key: &str, provider: &str) -> Result<Built, Vec<Diagnostic>>;

    /// The service that a plugin is.
    fn service(&self, plugin: &str, config: &Node, key: &str) -> Result<Arc<dyn Endpoint>, Vec<Diagnostic>>;

    /// The balancing strategy that a plugin is.
    fn choice(&self, plugin: &str, config: &Node, key: &str) -> Result<Arc<dyn ServerChoice>, Vec<Diagnostic>>;

    /// The matcher that a plugin is, with the arguments of one use in a rule. The error is for the rule.
    fn matcher(&self, plugin: &str, args: &[String]) -> Result<Arc<dyn RequestTest>, String>;

    /// The ACME DNS-01 solver that a plugin is.
    fn dns_challenge(&self, plugin: &str, config: &Node, key: &str) -> Result<Arc<dyn DnsChallenge>, Vec<Diagnostic>>;

    /// All plugins as they are now, for the API.
    fn status(&self) -> Vec<PluginStatus>;
}

/// Facts of a request for a matcher.
pub trait Facts {
    /// By the names that `torana:plugin/types.values` documents; values of several lines joined by `, `.
    fn value(&self, name: &str) -> Option<Cow<'_, str>>;
}

/// A matcher.
pub trait RequestTest: Send + Sync {
    /// A plugin that fails matches nothing.
    fn test(&self, request: &dyn Facts) -> bool;
}

/// Servers of a service, as a balancing strategy sees them.
pub trait Servers {
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    fn url(&self, index: usize) -> &str;
    fn weight(&self, index: usize) -> u32;
    fn is_up(&self, index: usize) -> bool;
    /// Requests that it was given and that still run.
    fn in_flight(&self, index: usize) -> u32;
    /// Changes with what `is_up` says.
    fn generation(&self) -> u64;
}

/// A balancing strategy from outside.
pub trait ServerChoice: Send + Sync {
    /// The index of a server; `None` answers 503.
    fn choose(&self, exchange: &Exchange, servers: &dyn Servers) -> Option<usize>;
}

pub type SendFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes and removes the TXT records of DNS-01 challenges (RFC 8555, 8.4).
pub trait DnsChallenge: Send + Sync {
    /// How long to wait for a record to be seen, and the pause between two looks.
    fn timing(&self) -> (Duration, Duration);
    fn present<'a>(&'a self, domain: &'a str, fqdn: &'a str, value: &'a str) -> SendFuture<'a, Result<(), String>>;
    fn clean_up<'a>(&'a self, domain: &'a str, fqdn: &'a str, value: &'a str) -> SendFuture<'a, Result<(), String>>;
}

/// Requests of plugins to other servers; the whole answer in memory.
pub trait Egress: Send + Sync {
    /// `limit`: bytes of the answer's body. Redirects are not followed.
    fn send(
        &self,
        request: http::Request<bytes::Bytes>,
        timeout: Duration,
        limit: usize,
    ) -> SendFuture<'static, Result<http::Response<bytes::Bytes>, EgressError>>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EgressError {
    Timeout,
    TooLarge,
    Failed(String),
}

/// How a plugin is doing. All counts are since the plugin was first declared.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// `name@provider`
    pub name: String,
    pub path: String,
    /// `enabled`, `loading`, `disabled` (nothing usable was ever loaded), or `warning` (an older version serves).
    pub status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub error: Vec<String>,
    /// `middleware`, `provider`, ...
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// SHA-256 of the component in use.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// As its manifest says.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Bytes of the component.
    pub size: u64,
    /// Versions taken over, the first included.
    pub loads: u64,
    /// New files that were refused.
    pub load_failures: u64,
    pub calls: u64,
    /// The same calls by version and hook; those before the last twenty versions are `older`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls_by: Vec<CallStatus>,
    /// Calls that ended in a trap, deadline hits among them.
    pub traps: u64,
    pub deadline_hits: u64,
    /// Calls refused because all instances were busy, or the plugin rests after repeated traps.
    pub refused: u64,
    /// Live instances and the bytes of their memories.
    pub instances: u64,
    pub memory: u64,
    pub duration: Histogram,
    /// Figures of the plugin's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
}

/// Calls of one version of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CallStatus {
    /// As its manifest says; empty without one.
    pub version: String,
    /// By function, as the WIT package names it; `handle` is a request to a service, `start` an instance that
    /// could not be made.
    pub hooks: BTreeMap<&'static str, u64>,
}

/// Durations of calls.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Histogram {
    /// Upper bounds in seconds, rising, and how many calls took at most that long.
    pub buckets: Vec<(f64, u64)>,
    pub count: u64,
    /// Seconds.
    pub sum: f64,
}

/// A new version that gets a part of the calls.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    pub digest: String,
    pub percent: u8,
    pub calls: u64,
    pub failures: u64,
}

/// A gateway without plugins: whatever names one is told so.
pub struct NoPlugins;

impl PluginHost for NoPlugins {
    fn declare(&self, _: BTreeMap<Arc<str>, Arc<Item<PluginConfig>>>) {}

    fn settled(&self, _: Duration) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(std::future::ready(true))
    }

    fn changed(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }

    fn version(&self, _: &str) -> u64 {
        0
    }

    fn find(&self, _: &str, _: &str) -> Option<Arc<str>> {
        None
    }

    fn diagnostics(&self) -> Vec<Diagnostic> {
        Vec::new()
    }

    fn middleware(&self, plugin: &str, _: &Node, key: &str, _: &str) -> Result<Built, Vec<Diagnostic>> {
        Err(none(plugin, key))
    }

    fn service(&self, plugin: &str, _: &Node, key: &str) -> Result<Arc<dyn Endpoint>, Vec<Diagnostic>> {
        Err(none(plugin, key))
    }

    fn choice(&self, plugin: &str, _: &Node, key: &str) -> Result<Arc<dyn ServerChoice>, Vec<Diagnostic>> {
        Err(none(plugin, key))
    }

    fn matcher(&self, plugin: &str, _: &[String]) -> Result<Arc<dyn RequestTest>, String> {
        Err(format!("there is no plugin `{plugin}`"))
    }

    fn dns_challenge(&self, plugin: &str, _: &Node, key: &str) -> Result<Arc<dyn DnsChallenge>, Vec<Diagnostic>> {
        Err(none(plugin, key))
    }

    fn status(&self) -> Vec<PluginStatus> {
        Vec::new()
    }
}

fn none(plugin: &str, key: &str) -> Vec<Diagnostic> {
    vec![Diagnostic::error(key, format!("there is no plugin `{plugin}`"))]
}
