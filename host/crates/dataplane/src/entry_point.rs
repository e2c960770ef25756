use crate::access::EntryPointLog;
use crate::measure::EntryPointMeter;
use crate::trace::EntryPointTracer;
use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use torana_trace::Calls;

/// What to do with header names that some servers take for others (`aliasHeadersStrategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HeaderStrategy {
    #[default]
    Keep,
    Delete,
    Reject,
}

/// Whose forwarding headers are believed.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    pub everyone: bool,
    pub nets: Vec<IpNet>,
}

impl Trust {
    pub fn includes(&self, ip: IpAddr) -> bool {
        self.everyone || self.nets.iter().any(|n| n.contains(&ip))
    }
}

/// A compiled `entryPoints.<name>.http3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http3 {
    advertised_port: Option<u64>,
    /// `Alt-Svc` of responses over TCP and TLS.
    pub alt_svc: HeaderValue,
}

impl Http3 {
    /// Without an advertised port it is the one that is listened on.
    pub fn new(advertised_port: Option<u64>, listening: u16) -> Self {
        // As Traefik words it: a month.
        let text = format!("h3=\":{}\"; ma=2592000", advertised_port.unwrap_or(listening.into()));
        let alt_svc = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static("clear"));
        Http3 { advertised_port, alt_svc }
    }
}

/// A compiled `entryPoints.<name>`; lives as long as the process.
#[derive(Clone, Debug)]
pub struct EntryPoint {
    pub name: Arc<str>,
    pub address: SocketAddr,
    pub reuse_port: bool,
    pub trust: Trust,
    /// From whom a PROXY header is read; `None` for nobody.
    pub proxy_protocol: Option<Trust>,
    /// Routers see TLS-ALPN challenges of ACME (`allowACMEByPass`).
    pub acme_bypass: bool,
    /// Headers that survive being named in `Connection`; lower case.
    pub connection_allowed: Vec<HeaderName>,
    pub keep_forwarded_for: bool,
    /// Names with `_`.
    pub underscore: HeaderStrategy,
    /// Names with anything but letters, digits and `-`.
    pub alias: HeaderStrategy,
    pub sanitize_path: bool,
    pub encode_semicolons: bool,
    /// Bytes of request line and headers.
    pub max_header_bytes: usize,
    /// Whole request, body included.
    pub read_timeout: Option<Duration>,
    /// From the end of the request head to the end of the response.
    pub write_timeout: Option<Duration>,
    pub idle_timeout: Option<Duration>,
    /// The response to this many requests ends the connection.
    pub max_requests: Option<u64>,
    pub max_age: Option<Duration>,
    /// How long to go on accepting after a signal to stop.
    pub accept_grace: Duration,
    /// How long open requests then have.
    pub grace: Duration,
    pub h2_max_streams: u32,
    pub h2_decoder_table: u32,
    pub h2_encoder_table: u32,
    /// `None` without HTTP/3.
    pub http3: Option<Http3>,
    /// `None`: nothing is measured.
    pub meter: Option<EntryPointMeter>,
    /// `None`: nothing is logged.
    pub log: Option<EntryPointLog>,
    /// Where durations are told by what OpenTelemetry calls them; `None` for nowhere.
    pub calls: Option<Arc<Calls>>,
    /// `None`: nothing is traced.
    pub tracer: Option<EntryPointTracer>,
}

impl EntryPoint {
    /// Traefik's defaults.
    pub fn new(name: &str, address: SocketAddr) -> Self {
        EntryPoint {
            name: name.into(),
            address,
            reuse_port: false,
            trust: Trust::default(),
            proxy_protocol: None,
            acme_bypass: false,
            connection_allowed: Vec::new(),
            keep_forwarded_for: false,
            underscore: HeaderStrategy::Keep,
            alias: HeaderStrategy::Keep,
            sanitize_path: true,
            encode_semicolons: false,
            max_header_bytes: 1 << 20,
            read_timeout: Some(Duration::from_secs(60)),
            write_timeout: None,
            idle_timeout: Some(Duration::from_secs(180)),
            max_requests: None,
            max_age: None,
            accept_grace: Duration::ZERO,
            grace: Duration::from_secs(10),
            h2_max_streams: 250,
            h2_decoder_table: 4096,
            h2_encoder_table: 4096,
            http3: None,
            meter: None,
            log: None,
            calls: None,
            tracer: None,
        }
    }

    /// The same, where the system chose the address.
    pub fn listening_on(self: Arc<Self>, address: SocketAddr) -> Arc<Self> {
        match &self.http3 {
            Some(http3) if address.port() != self.address.port() => {
                let http3 = Some(Http3::new(http3.advertised_port, address.port()));
                Arc::new(EntryPoint { http3, ..(*self).clone() })
            }
            _ => self,
        }
    }

    /// The shortest time-out, which sets how often time-outs are looked at.
    pub fn shortest_timeout(&self) -> Option<Duration> {
        [self.read_timeout, self.write_timeout, self.idle_timeout, self.max_age].into_iter().flatten().min()
    }
}
