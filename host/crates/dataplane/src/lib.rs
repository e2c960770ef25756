//! Connections in, requests through the current snapshot, responses out. Knows no configuration:
//! `torana-control` compiles what stands here.

mod accept;
mod access;
pub mod deadline;
mod drain;
mod encoder_limit;
pub mod entry_point;
mod flatten;
mod h1;
mod h2;
mod h3;
mod layer;
mod measure;
mod multiplex;
pub mod quic;
pub mod secure;
mod serve;
pub mod snapshot;
pub mod tcp;
pub mod trace;
mod tunnel;
mod udp;
pub mod worker;

pub use access::EntryPointLog;
pub use drain::Drain;
pub use entry_point::{EntryPoint, HeaderStrategy, Http3, Trust};
pub use flatten::Flattening;
pub use layer::Layer;
pub use measure::EntryPointMeter;
pub use quic::QuicSockets;
pub use secure::{Handshake, Secure};
pub use snapshot::{Live, Router, Snapshot};
pub use tcp::{TcpEntryPoints, TcpRouter, TcpRoutes, TcpTls};
pub use trace::{EntryPointTracer, Verbosity};
pub use udp::{UdpEntryPoint, UdpRouter, bind_udp};
pub use worker::{Workers, bind};
