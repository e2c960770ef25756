//! `tcp.serversTransports`: how TCP servers are reached.

use super::HostPort;
use super::proxy_protocol::{Version, header};
use super::relay::Ends;
use crate::connect::Stream;
use crate::spiffe::SpiffeSource;
use crate::transport::{HANDSHAKE_TIMEOUT, TransportError, files_digest, tls_config};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use torana_config::routing::{ServersTransportConfig, TcpServersTransportConfig};

/// A compiled `tcp.serversTransports.<name>`.
#[derive(Debug)]
pub struct TcpTransport {
    dial_timeout: Option<Duration>,
    /// `None` for none.
    keep_alive: Option<Duration>,
    proxy_protocol: Option<Version>,
    /// How long one direction goes on after the other has ended; `None` for ever.
    pub termination_delay: Option<Duration>,
    /// Why `tls: true` cannot work, or how it does.
    tls: Result<Arc<ClientConfig>, String>,
    /// What the certificate is verified for, and SNI. Some name that means nothing where neither happens.
    server_name: ServerName<'static>,
    /// Options that cannot be honoured: an unreadable certificate is left out.
    pub problems: Vec<TransportError>,
}

/// What the files hold that the transport names, so that it can be kept while they are the same.
pub fn tcp_files_digest(config: &TcpServersTransportConfig) -> u64 {
    config.tls.as_ref().map_or(0, |_| files_digest(&http_form(config)))
}

/// The TLS options in the form of an HTTP transport, which has the same and more.
fn http_form(config: &TcpServersTransportConfig) -> ServersTransportConfig {
    let tls = config.tls.clone().unwrap_or_default();
    ServersTransportConfig {
        server_name: tls.server_name,
        insecure_skip_verify: tls.insecure_skip_verify,
        root_cas: tls.root_cas,
        certificates: tls.certificates,
        peer_cert_uri: tls.peer_cert_uri,
        spiffe: tls.spiffe,
        ..ServersTransportConfig::default()
    }
}

/// 1 or 2; the error says so.
pub(crate) fn version(number: i64) -> Result<Version, String> {
    match number {
        1 => Ok(Version::V1),
        2 => Ok(Version::V2),
        n => Err(format!("unknown proxyProtocol version: {n}; there are 1 and 2")),
    }
}

impl TcpTransport {
    /// Reads the certificates that it names. The error is about `proxyProtocol.version`.
    pub fn build(config: &TcpServersTransportConfig) -> Result<Self, String> {
        TcpTransport::build_with(config, None)
    }

    /// The same, with the identity that `tls.spiffe` is about.
    pub fn build_with(config: &TcpServersTransportConfig, spiffe: Option<&Arc<SpiffeSource>>) -> Result<Self, String> {
        let form = http_form(config);
        let mut problems = Vec::new();
        let mut tls = tls_config(&form, spiffe, &mut problems).map_err(|e| {
            let told = format!("{}: {}", e.key, e.message);
            problems.push(e);
            told
        });
        let named = !form.server_name.is_empty();
        if !named && !form.insecure_skip_verify && form.spiffe.is_none() {
            // As in Go, which has nothing to verify the certificate for.
            tls = Err("TLS to a server needs `tls.serverName`, or `tls.insecureSkipVerify`, in its serversTransport".to_owned());
        }
        let name = if named { form.server_name } else { "unnamed.invalid".to_owned() };
        let server_name = ServerName::try_from(name.clone()).or_else(|_| {
            tls = Err(format!("tls.serverName `{name}` is no name of a server"));
            ServerName::try_from("unnamed.invalid").map_err(|e| e.to_string())
        })?;
        let tls = tls.map(|mut t| {
            t.enable_sni = named;
            Arc::new(t)
        });
        Ok(TcpTransport {
            dial_timeout: config.dial_timeout.positive(),
            keep_alive: match config.dial_keep_alive.0 {
                0 => Some(Duration::from_secs(15)),
                _ => config.dial_keep_alive.positive(),
            },
            proxy_protocol: config.proxy_protocol.map(|p| version(p.version)).transpose()?,
            termination_delay: (config.termination_delay.0 >= 0).then(|| config.termination_delay.as_duration()),
            tls,
            server_name,
            problems,
        })
    }

    /// Connects, says who the client is if that is wanted, and shakes hands. `ends` is `None` for a health check,
    /// which comes from nobody.
    pub(crate) async fn dial(&self, address: &HostPort, tls: bool, ends: Option<Ends>) -> io::Result<Stream> {
        let connect = async {
            match address.literal() {
                Some(literal) => TcpStream::connect(literal).await,
                None => TcpStream::connect((address.name(), address.port)).await,
            }
        };
        let late = |what: &str| io::Error::new(io::ErrorKind::TimedOut, what);
        let mut tcp = match self.dial_timeout {
            None => connect.await?,
            Some(limit) => tokio::time::timeout(limit, connect).await.map_err(|_| late("no connection in time"))??,
        };
        tcp.set_nodelay(true)?;
        if let Some(period) = self.keep_alive {
            let _ = socket2::SockRef::from(&tcp).set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(period).with_interval(period));
        }
        if let (Some(version), Some(ends)) = (self.proxy_protocol, ends) {
            tcp.write_all(&header(version, ends.client, ends.local)).await?;
        }
        if !tls {
            return Ok(Stream::Plain(tcp));
        }
        let config = self.tls.as_ref().map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why.as_str()))?;
        let shake = tokio_rustls::TlsConnector::from(config.clone()).connect(self.server_name.clone(), tcp);
        let limit = self.dial_timeout.unwrap_or(HANDSHAKE_TIMEOUT);
        Ok(Stream::Tls(Box::new(tokio::time::timeout(limit, shake).await.map_err(|_| late("no TLS handshake in time"))??)))
    }
}
