//! `providers.<name>`: one file for each family.

mod docker;
mod catalog;
mod http;
mod kv;
mod tls;

pub use docker::*;
pub use catalog::*;
pub use http::*;
pub use kv::*;
pub use tls::*;
mod kubernetes;

pub use kubernetes::*;
