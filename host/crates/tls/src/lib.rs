//! TLS with clients: certificates by name, options by router, and certificates that are ordered by ACME.
//! Knows no socket: `torana-dataplane` does the handshakes, `torana-control` compiles what stands here.

pub mod acme;
