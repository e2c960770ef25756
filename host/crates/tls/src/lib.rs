//! TLS with clients: certificates by name, options by router, and certificates that are ordered by ACME.
//! Knows no socket: `torana-dataplane` does the handshakes, `torana-control` compiles what stands here.

pub mod acme;
mod certificate;
mod client_auth;
mod hello;
mod names;
mod ocsp;
mod options;
mod self_signed;
mod server;
mod store;
mod subject;
#[cfg(test)]
mod testing;

pub use certificate::{Certificate, CertificateError, Details, Loaded, Validity};
pub use hello::{MAX_HELLO, Peeked, Peeker, peek_message};
pub use names::{cipher_name, version_name};
pub use ocsp::Stapler;
pub use options::TlsOptions;
pub use server::{SessionShared, UNRECOGNIZED_NAME, challenge_config, choose, quic_config, server_config};
pub use store::Store;
pub use subject::subject;

pub use torana_trust::crypto as provider;
