//! What a TCP middleware is to the dataplane. It stands here because both sides of it see this crate.

use std::any::Any;
use std::net::IpAddr;

/// Whether a connection may go on.
pub enum Admission {
    Admit,
    /// It may; what is inside is dropped when the connection ends.
    Hold(Box<dyn Any + Send>),
    /// It is closed, for this reason.
    Refuse(&'static str),
}

/// A TCP middleware: looks at a connection once, before anything of it is served. Shared by all workers.
pub trait TcpFilter: Send + Sync {
    /// `peer` is the client, after the PROXY protocol.
    fn admit(&self, peer: IpAddr) -> Admission;
}
