#![doc = include_str!("../README.md")]
// The README shows what a test looks like; plugins/add-headers runs one.
#![allow(clippy::test_attr_in_doctest)]

#[doc(hidden)]
pub mod balancer;
#[doc(hidden)]
pub mod bindings;
pub mod clock;
mod config;
#[doc(hidden)]
pub mod dns_challenge;
mod host;
pub mod http;
mod interest;
pub mod kv;
pub mod log;
mod manifest;
#[doc(hidden)]
pub mod matcher;
mod message;
pub mod metrics;
#[doc(hidden)]
pub mod middleware;
#[doc(hidden)]
pub mod provider;
pub mod secrets;
#[doc(hidden)]
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use balancer::{Balancer, Server};
pub use config::ConfigError;
pub use dns_challenge::{Challenge, DnsChallenge, Timing};
pub use interest::Interest;
pub use manifest::{Capabilities, Package};
pub use matcher::Matcher;
pub use message::{Answer, BodyFlow, Flow, Header, Request, RequestHead, Response};
pub use middleware::Middleware;
pub use provider::{Delivery, Provider};
pub use state::State;

pub use {schemars, serde, serde_json};

/// Why something did not work, in words for the gateway's log. `?` makes it of any error, `.into()` of a text.
pub type Failure = Box<dyn std::error::Error>;

/// Under which name the plugin is used, as in `auth@file`.
pub fn used_as() -> String {
    host::config::name()
}

/// What most plugins need: `use torana_plugin_sdk::prelude::*;`
pub mod prelude {
    pub use crate::{
        Answer, Balancer, BodyFlow, Capabilities, Challenge, ConfigError, Delivery, DnsChallenge, Failure, Flow, Interest, Matcher,
        Middleware, Provider, Request, RequestHead, Response, Server, State, Timing,
    };
    pub use crate::{clock, http, kv, log, metrics, secrets};
    pub use crate::{export_balancer, export_dns_challenge, export_matcher, export_middleware, export_provider};
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}
