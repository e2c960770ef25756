//! Collectors of OpenTelemetry, and what they were told.

use super::{Backend, Reply, Request};
use flate2::read::GzDecoder;
use prost::Message;
use std::io::Read;

/// A collector that takes everything, over HTTP.
pub(crate) fn collector() -> Backend {
    Backend::http(|_| Reply::status(200))
}

/// The same, over gRPC.
pub(crate) fn grpc_collector() -> Backend {
    Backend::h2c(|_| Reply::ok([0; 5]).header("content-type", "application/grpc").trailer("grpc-status", "0"))
}

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

/// The messages of requests to this path; of gRPC without the frame around each.
pub(crate) fn messages<M: Message + Default>(collector: &Backend, path: &str) -> Vec<M> {
    let of = |r: &Request| {
        let body = if r.headers.one("content-type") == Some("application/grpc") { &r.body[5..] } else { &r.body[..] };
        M::decode(&*unzipped(body)).unwrap()
    };
    collector.requests().iter().filter(|r| r.path() == path).map(of).collect()
}
