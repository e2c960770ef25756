//! From documents to what is served: merge, validate, compile, publish, activate. Pure until `apply`,
//! which is the one task that changes the live snapshot.

mod acme;
pub mod apply;
mod behind;
pub mod compile;
mod copies;
pub mod entry_points;
mod expand;
mod internal;
#[cfg(test)]
mod l4_tests;
mod layers;
#[cfg(test)]
mod layers_tests;
mod objects;
mod plugins;
mod references;
#[cfg(test)]
mod references_tests;
mod resolve;
mod router;
mod routers;
mod said;
mod secure;
mod services;
mod spans;
pub mod status;
mod status_l4;
mod tcp;
mod tcp_router;
mod tcp_services;
mod tls_plan;
mod udp;

pub use acme::Resolvers;
pub use apply::{Apply, Published};
pub use compile::{Compiled, Compiler, Parts};
pub use internal::{Internals, routing as internal_routing, services as internal_services};
pub use plugins::declared as declared_plugins;
pub use resolve::Kinds;
pub use status::{MiddlewareStatus, RouterStatus, RuntimeStatus, ServiceStatus, State};
pub use status_l4::{
    ObjectStatus, TcpMiddlewareStatus, TcpRouterStatus, TcpServiceStatus, TcpStatus, UdpRouterStatus, UdpServiceStatus, UdpStatus,
};
pub use tcp::{TcpChecks, TcpKinds};
pub use torana_tls::{Stapler, acme::AcmeStatus};
