//! `providers.<name>`: one file for each family.

mod catalog;
mod docker;
mod http;
mod ingress_nginx;
mod knative;
mod kv;
mod tls;

pub use catalog::*;
pub use docker::*;
pub use http::*;
pub use ingress_nginx::*;
pub use kv::*;
pub use tls::*;
mod kubernetes;

pub use kubernetes::*;
