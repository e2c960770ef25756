//! Certificates that are ordered from a CA by ACME (RFC 8555) and renewed by themselves.
//!
//! [`AcmeResolver`] is one `certificatesResolvers.<name>.acme`. It is told what is wanted by a `watch`, tells what
//! it has by another one, and leaves the answers to challenges in [`Challenges`] for the listeners to serve. It
//! never stands in the way of a request.

mod account;
mod challenge;
mod client;
mod cluster;
mod dns;
mod error;
mod http;
mod keys;
mod names;
mod on_demand;
mod options;
mod order;
mod pem;
mod plan;
mod remote;
mod renewal;
mod resolver;
mod shared;
mod shared_consul;
mod shared_etcd;
mod shared_pairs;
mod status;
mod storage;

pub use challenge::Challenges;
pub use error::AcmeError;
pub use names::as_ordered;
pub use on_demand::{OnDemand, OnDemandNames, Used, Waiting};
pub use resolver::{AcmeResolver, AcmeShared, Certificates, Covered, Env, ObtainedCertificate, Wanted, open_cluster};
pub use shared::RedisStorage;
pub use shared_pairs::PairStorage;
pub use status::{AcmeStatus, CertificateState, CertificateStatus, OnDemandFailure, OnDemandRefusal, OnDemandStatus};
pub use storage::{Cluster, FileStorage, SharedAnswer, Storage, StorageFiles, Stored, StoredAccount, StoredCertificate};
