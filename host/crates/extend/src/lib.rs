//! Contracts between the core and what extends it: middlewares, providers and plugins. Contracts only; the
//! rows of the registries stand in `torana-middleware` and `torana-provider`, the engine in `torana-wasm`.

mod apart;
mod manifest;
mod middleware;
mod plugin;
mod provider;
mod tcp_middleware;

pub use apart::{Undone, apart};
pub use manifest::{Capabilities, Manifest, PluginKind, valid_name};
pub use middleware::{BuildCx, BuildError, BuildMiddleware, Built, MiddlewareKind, MiddlewareSpec, Scope, ShowMiddleware};
pub use plugin::{
    CallStatus, DnsChallenge, Egress, EgressError, Facts, Histogram, NoPlugins, PluginHost, PluginStatus, RequestTest, RolloutStatus,
    SendFuture, ServerChoice, Servers,
};
pub use provider::{Backoff, Document, Event, Objects, Provider, ProviderOut, ProviderRun, ProviderStatus, RejectedObject, Stop, Stopped};
pub use tcp_middleware::{BuildTcpMiddleware, TcpMiddlewareKind, TcpMiddlewareSpec};
