//! What is known of a request that has ended.

use crate::record::Trace;
use http::{HeaderMap, Method, Version};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// A request that has ended, as one line of the log tells it.
#[derive(Debug)]
pub struct Entry<'a> {
    pub started: SystemTime,
    pub took: Duration,
    /// Which request it is since the start.
    pub count: u64,
    pub entry_point: &'a str,
    pub client: SocketAddr,
    /// `X-Forwarded-For`, as it was believed; goes before the client's address.
    pub forwarded_for: Option<&'a [u8]>,
    /// What an authentication middleware has found, empty where the client named nobody.
    pub user: Option<&'a str>,
    pub method: &'a Method,
    pub version: Version,
    /// Host as received, with its port.
    pub host: &'a str,
    /// As it was when the request was routed.
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub tls: Option<Tls<'a>>,
    /// Qualified name; none where no router matched.
    pub router: Option<&'a str>,
    pub origin: Option<Origin<'a>>,
    /// 0 where there was no answer, or where the connection left HTTP.
    pub status: u16,
    /// Bytes of the request's body that were read.
    pub received: u64,
    /// Bytes of the response's body.
    pub sent: u64,
    pub retries: u64,
    /// If it is traced, whether anybody sees the trace or not.
    pub trace: Option<Trace>,
    /// What [`super::AccessLog::kept`] left of the headers.
    pub request: &'a HeaderMap,
    pub response: &'a HeaderMap,
}

/// The client's side of a TLS connection.
#[derive(Clone, Copy, Debug)]
pub struct Tls<'a> {
    /// `1.2` or `1.3`.
    pub version: &'a str,
    pub cipher: &'a str,
    /// Of the certificate that the client showed.
    pub subject: Option<&'a str>,
}

/// The server that the request went to.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub service: &'a str,
    pub url: &'a str,
    pub address: &'a str,
    /// None where the response did not come to its end, or is not the server's.
    pub answer: Option<OriginAnswer>,
}

#[derive(Clone, Copy, Debug)]
pub struct OriginAnswer {
    pub status: u16,
    pub size: u64,
    /// From the choice of the server to the end of the response.
    pub took: Duration,
}
