//! `providers.<name>`: one file for each family.

mod docker;
mod tls;

pub use docker::*;
pub use tls::*;
