//! Towards servers: services and their balancing, connections and their pools, health.
//!
//! Everything of a request stays on its worker's thread; what workers share (health, counters of the
//! balancers) is atomic.

pub mod balance;
mod client;
pub mod connect;
mod forward;
mod gunzip;
mod h1client;
mod h2client;
pub mod health;
mod held;
pub mod l4;
mod meter;
mod passive;
mod pinned;
pub mod pool;
pub mod service;
mod spans;
mod spiffe;
mod stall;
pub mod target;
pub mod transport;

pub use client::{Client, Clients};
pub use forward::{Options, forward, send};
pub use health::HealthCheck;
pub use meter::ServiceMeter;
pub use passive::PassiveHealthCheck;
pub use service::{Failover, FailoverErrors, LoadBalancer, Mirror, Mirroring, Server, Weighted};
pub use spiffe::SpiffeSource;
pub use target::{Protocol, ServerUrl, Target};
pub use transport::{Transport, TransportError, files_digest};
