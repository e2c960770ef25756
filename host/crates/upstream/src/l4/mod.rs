//! Raw connections and datagrams towards servers: balancing, dialling, relaying, health.

mod address;
mod health;
mod proxy_protocol;
mod relay;
mod rotor;
mod tcp;
mod transport;
mod udp;

pub use address::HostPort;
pub use health::TcpHealthCheck;
pub use proxy_protocol::{Header, Version, header};
pub use relay::{Ends, Opening, RelayError, Relayed, relay};
pub use rotor::Rotor;
pub use tcp::{TcpLoadBalancer, TcpServer, TcpService, TcpWeighted};
pub use transport::{TcpTransport, tcp_files_digest};
pub use udp::{UdpLoadBalancer, UdpService, UdpWeighted};

/// What starts a PostgreSQL connection that wants TLS: length 8, code 80877103 (PostgreSQL, "SSL Session Encryption").
pub const POSTGRES_SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// The answer to it of a server that goes on with TLS.
pub const POSTGRES_SSL_ACCEPTED: u8 = b'S';
