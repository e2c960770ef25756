//! `providers.<name>`: one file for each family.

mod http;
mod kv;
mod tls;

pub use http::*;
pub use kv::*;
pub use tls::*;
