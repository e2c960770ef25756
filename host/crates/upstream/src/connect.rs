//! Opening connections to servers.

use crate::transport::Transport;
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use torana_http::{ErrorKind, ProxyError};

/// A connection to a server.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether the server chose HTTP/2 in the handshake.
    pub fn is_h2(&self) -> bool {
        matches!(self, Stream::Tls(s) if s.get_ref().1.alpn_protocol() == Some(b"h2"))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Stream::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Stream::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Stream::Tls(s) => Pin::new(s).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}

/// Which protocols to offer in a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    Http1,
    Http2AndHttp1,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Host name or IP address, without brackets; empty where there is nothing to connect to.
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

/// Dials and, for https, shakes hands, within the transport's dial time-out.
pub async fn connect(address: &Address, transport: &Transport, offer: Offer) -> Result<Stream, ProxyError> {
    if address.host.is_empty() {
        return Err(ProxyError::server(ErrorKind::Protocol, false, "the server's URL has no host or an unknown scheme"));
    }
    let dial = async {
        let tcp = match address.host.parse::<std::net::IpAddr>() {
            Ok(ip) => TcpStream::connect((ip, address.port)).await,
            Err(_) => TcpStream::connect((address.host.as_str(), address.port)).await,
        }?;
        tcp.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&tcp);
        if transport.write_timeout.is_some() {
            socket.set_tcp_user_timeout(transport.write_timeout)?;
        }
        let _ = socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(transport.keep_alive).with_interval(transport.keep_alive));
        Ok::<_, io::Error>(tcp)
    };
    let tcp = limited(transport.dial_timeout, dial).await?.map_err(unreachable)?;
    if !address.tls {
        return Ok(Stream::Plain(tcp));
    }
    let config = match offer {
        Offer::Http1 => &transport.tls_http1,
        Offer::Http2AndHttp1 => &transport.tls,
    };
    let Some(config) = config else {
        return Err(ProxyError::server(ErrorKind::Protocol, false, "the TLS options of the servers transport are wrong"));
    };
    let name = transport.server_name.as_deref().unwrap_or(&address.host);
    let name = ServerName::try_from(name.to_owned()).map_err(|e| ProxyError::server(ErrorKind::Protocol, true, e))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
    let tls = limited(Some(crate::transport::HANDSHAKE_TIMEOUT), connector.connect(name, tcp)).await?.map_err(|e| {
        // A certificate that does not verify, or a server that does not speak TLS, is no network error.
        let kind = if is_tls_fault(&e) { ErrorKind::Protocol } else { ErrorKind::Unreachable };
        ProxyError::server(kind, kind == ErrorKind::Unreachable, e)
    })?;
    Ok(Stream::Tls(Box::new(tls)))
}

/// Whether TLS failed on our side: the server speaks something else, or its certificate is not good. An
/// alert that the server sent counts as a failed network connection, as in Go.
pub(crate) fn is_tls_fault(e: &io::Error) -> bool {
    match e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        None | Some(rustls::Error::AlertReceived(_)) => false,
        Some(_) => true,
    }
}

fn unreachable(e: io::Error) -> ProxyError {
    let kind = if e.kind() == io::ErrorKind::TimedOut { ErrorKind::Timeout } else { ErrorKind::Unreachable };
    ProxyError::server(kind, true, e)
}

async fn limited<T>(limit: Option<std::time::Duration>, work: impl Future<Output = T>) -> Result<T, ProxyError> {
    match limit {
        None => Ok(work.await),
        Some(limit) => {
            tokio::time::timeout(limit, work).await.map_err(|_| ProxyError::server(ErrorKind::Timeout, true, "no connection in time"))
        }
    }
}
