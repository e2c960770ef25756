//! A connection to one server.

use super::Servers;
use redis::aio::MultiplexedConnection;
use rustls::pki_types::ServerName;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Commands of many requests on one connection; over when it is dropped.
pub(super) struct Connection {
    pub(super) commands: MultiplexedConnection,
    driver: JoinHandle<()>,
}

impl Connection {
    pub(super) async fn open(servers: &Servers, address: &str) -> Result<Self, String> {
        let opened = timeout(servers.dial, async {
            let stream = stream(servers, address).await?;
            let (commands, driver) = MultiplexedConnection::new(&servers.login, stream).await.map_err(|e| told(&e))?;
            Ok(Connection { commands, driver: tokio::spawn(driver) })
        });
        opened.await.unwrap_or_else(|_| Err("it cannot be reached in time".into())).map_err(|why: String| format!("{address}: {why}"))
    }

    pub(super) fn is_over(&self) -> bool {
        self.driver.is_finished()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// `host:port`, also where no port is said.
pub(super) fn with_port(endpoint: &str) -> String {
    let has_port = endpoint.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { endpoint.to_owned() } else { format!("{endpoint}:6379") }
}

async fn stream(servers: &Servers, address: &str) -> Result<Pin<Box<dyn Io>>, String> {
    let tcp = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let _ = tcp.set_nodelay(true);
    let Some(tls) = &servers.tls else { return Ok(Box::pin(tcp)) };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(|e| e.to_string())?;
    Ok(Box::pin(TlsConnector::from(tls.clone()).connect(name, tcp).await.map_err(|e| e.to_string())?))
}

/// An error without what was sent: that may be a password.
pub(super) fn told(error: &redis::RedisError) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.category()),
        None => error.category().to_owned(),
    }
}
