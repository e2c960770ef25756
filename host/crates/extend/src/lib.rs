//! Contracts between the core and what extends it: middlewares and providers. Contracts only; the rows
//! of the registries stand in `torana-middleware` and `torana-provider`.

mod middleware;
mod provider;

pub use middleware::{BuildCx, BuildError, BuildMiddleware, Built, MiddlewareKind, MiddlewareSpec, Scope, ShowMiddleware};
pub use provider::{Document, Event, Provider, ProviderOut, ProviderStatus, Stop, Stopped};
