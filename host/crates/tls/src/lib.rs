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

pub use certificate::{Certificate, CertificateError, Loaded};
pub use hello::{MAX_HELLO, Peeked, Peeker, peek_message};
pub use names::{cipher_name, version_name};
pub use ocsp::Stapler;
pub use options::TlsOptions;
pub use server::{SessionShared, UNRECOGNIZED_NAME, challenge_config, choose, quic_config, server_config};
pub use store::Store;
pub use subject::subject;

use rustls::crypto::CryptoProvider;
use std::sync::{Arc, LazyLock};

/// The one crypto provider of the gateway.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    PROVIDER.clone()
}
