//! Where lines go: by UDP, or to a socket of this machine.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use tokio::io::AsyncWriteExt;
use tokio::net::{UdpSocket, UnixDatagram, UnixStream, lookup_host};

/// Of StatsD and Datadog's agent.
const PORT: u16 = 8125;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Host and port.
    Udp(String),
    /// A socket for datagrams, or else one for a stream.
    Unix(PathBuf),
    UnixDatagram(PathBuf),
    UnixStream(PathBuf),
}

impl Address {
    /// Host and port, `localhost:8125` if empty.
    pub(crate) fn udp(text: &str) -> Result<Address, &'static str> {
        if text.is_empty() {
            return Ok(Address::Udp(format!("localhost:{PORT}")));
        }
        let (host, port) = text.rsplit_once(':').ok_or("has no port")?;
        if host.contains("://") || host.contains('/') {
            return Err("is no host and port");
        }
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return Err("is no host and port: an IPv6 address stands in brackets");
        }
        port.parse::<u16>().map_err(|_| "has no port")?;
        Ok(Address::Udp(format!("{}:{port}", if host.is_empty() { "localhost" } else { host })))
    }

    /// Of Datadog, which may have a socket of this machine.
    pub(crate) fn datadog(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Address, &'static str> {
        let socket = |path: &str, of: fn(PathBuf) -> Address| if path.is_empty() { Err("has no path") } else { Ok(of(path.into())) };
        if let Some(path) = text.strip_prefix("unix://") {
            return socket(path, Address::Unix);
        }
        if let Some(path) = text.strip_prefix("unixgram://") {
            return socket(path, Address::UnixDatagram);
        }
        if let Some(path) = text.strip_prefix("unixstream://") {
            return socket(path, Address::UnixStream);
        }
        if !text.is_empty() {
            return Address::udp(text);
        }
        let said = |name: &str| variable(name).filter(|v| !v.is_empty());
        let host = said("DD_AGENT_HOST").unwrap_or_else(|| "localhost".into());
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
        Address::udp(&format!("{host}:{}", said("DD_DOGSTATSD_PORT").unwrap_or_else(|| PORT.to_string())))
    }

    /// Sends all of it, each by itself; else how many were sent. Connects anew, so that a receiver that has moved is found.
    pub(crate) async fn send(&self, packets: &[Vec<u8>]) -> Result<(), (usize, io::Error)> {
        let mut to = self.connect().await.map_err(|e| (0, e))?;
        for (i, packet) in packets.iter().enumerate() {
            let sent = match &mut to {
                Connection::Udp(socket) => socket.send(packet).await.map(drop),
                Connection::Datagram(socket) => socket.send(packet).await.map(drop),
                Connection::Stream(stream) => stream.write_all(packet).await,
            };
            sent.map_err(|e| (i, e))?;
        }
        Ok(())
    }

    async fn connect(&self) -> io::Result<Connection> {
        match self {
            Address::Udp(to) => {
                let all: Vec<SocketAddr> = lookup_host(to).await?.collect();
                // `localhost` is both, and most agents listen on IPv4.
                let to = all.iter().find(|a| a.is_ipv4()).or(all.first()).copied().ok_or(io::ErrorKind::NotFound)?;
                let any: SocketAddr = if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(to).await?;
                Ok(Connection::Udp(socket))
            }
            Address::UnixDatagram(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(Connection::Datagram(socket))
            }
            Address::UnixStream(path) => Ok(Connection::Stream(UnixStream::connect(path).await?)),
            Address::Unix(path) => match Box::pin(Address::UnixDatagram(path.clone()).connect()).await {
                Ok(socket) => Ok(socket),
                Err(_) => Box::pin(Address::UnixStream(path.clone()).connect()).await,
            },
        }
    }
}

enum Connection {
    Udp(UdpSocket),
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datadog(text: &str, variables: &[(&str, &str)]) -> Result<Address, &'static str> {
        Address::datadog(text, |name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    fn udp(text: &str) -> Result<Address, &'static str> {
        Ok(Address::Udp(text.to_owned()))
    }

    /// As Traefik 3.7.15 takes them.
    #[test]
    fn addresses() {
        let env = [("DD_AGENT_HOST", "agent"), ("DD_DOGSTATSD_PORT", "9")];
        for (text, variables, expected) in [
            ("", &env[..0], udp("localhost:8125")),
            ("", &env[..1], udp("agent:8125")),
            ("", &env[1..], udp("localhost:9")),
            ("", &env[..], udp("agent:9")),
            ("", &[("DD_AGENT_HOST", "::1")], udp("[::1]:8125")),
            ("h:1", &env[..], udp("h:1")),
            (":1", &[], udp("localhost:1")),
            ("[::1]:1", &[], udp("[::1]:1")),
            ("unix:///a/b", &env[..], Ok(Address::Unix("/a/b".into()))),
            ("unixgram://a", &[], Ok(Address::UnixDatagram("a".into()))),
            ("unixstream:///a", &[], Ok(Address::UnixStream("/a".into()))),
        ] {
            assert_eq!(datadog(text, variables), expected, "{text}");
        }
        for bad in ["h", "h:x", "h:70000", "udp://h:1", "::1:8", "unix://"] {
            assert!(datadog(bad, &[]).is_err(), "{bad}");
        }
        assert!(Address::udp("unix:///a").is_err());
    }

    #[tokio::test]
    async fn sockets_of_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let datagrams = UnixDatagram::bind(path("datagrams")).unwrap();
        let listener = tokio::net::UnixListener::bind(path("stream")).unwrap();
        for address in [Address::Unix(path("datagrams")), Address::UnixDatagram(path("datagrams"))] {
            address.send(&[b"a\n".to_vec(), b"b\n".to_vec()]).await.unwrap();
            for expected in [b"a\n", b"b\n"] {
                let mut got = [0; 9];
                let n = datagrams.recv(&mut got).await.unwrap();
                assert_eq!(&got[..n], expected);
            }
        }
        for address in [Address::Unix(path("stream")), Address::UnixStream(path("stream"))] {
            address.send(&[b"a\n".to_vec(), b"b\n".to_vec()]).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = String::new();
            tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut got).await.unwrap();
            assert_eq!(got, "a\nb\n");
        }
        let none = Address::Unix(path("none")).send(&[b"a\n".to_vec()]).await.unwrap_err();
        assert_eq!((none.0, none.1.kind()), (0, io::ErrorKind::NotFound));
    }
}
