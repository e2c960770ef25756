//! Questions to DNS servers.

use super::super::AcmeError;
use super::wire::{self, Answer, Value};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

/// For one question to one server.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Aliases that are followed, at most.
const ALIASES: usize = 16;

/// Recursive servers.
pub(crate) struct Resolvers {
    /// `host:port`
    pub(crate) servers: Vec<String>,
    /// Of the servers of zones; 53.
    pub(crate) port: u16,
}

impl Resolvers {
    /// `given`, or those of the system.
    pub(crate) fn new(given: &[String]) -> Result<Self, AcmeError> {
        let mut servers = Vec::new();
        for server in given {
            servers.push(
                with_port(server)
                    .ok_or_else(|| AcmeError::lasting(format!("dnsChallenge.resolvers: `{server}` is no address; write `host:port`")))?,
            );
        }
        if servers.is_empty() {
            servers = system(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
        }
        Ok(Resolvers { servers, port: 53 })
    }

    /// The first answer of any server, that is one.
    pub(crate) async fn ask(&self, name: &str, kind: u16) -> Result<Answer, String> {
        let mut wrong = "no DNS server is known".to_owned();
        for server in &self.servers {
            match ask(server, name, kind, true, PATIENCE).await {
                // 2 and 5: another one may be able or willing
                Ok(answer) if !matches!(answer.code, 2 | 5) => return Ok(answer),
                Ok(answer) => wrong = format!("{server}: {}", wire::code_name(answer.code)),
                Err(e) => wrong = format!("{server}: {e}"),
            }
        }
        Err(wrong)
    }

    /// Where the aliases of `fqdn` end; itself when there are none, or nobody answers.
    pub(crate) async fn follow(&self, fqdn: &str) -> String {
        let mut name = fqdn.to_lowercase();
        for _ in 0..ALIASES {
            let Ok(answer) = self.ask(&name, wire::CNAME).await else { break };
            let alias = answer.answers.iter().find(|r| r.kind == wire::CNAME && r.name == name);
            match alias.map(|r| &r.value) {
                Some(Value::Name(to)) => name.clone_from(to),
                _ => break,
            }
        }
        name
    }

    /// The zone that `fqdn` is in: the nearest name above it with an SOA record.
    pub(crate) async fn zone(&self, fqdn: &str) -> Result<String, String> {
        let mut name = fqdn.to_lowercase();
        loop {
            let answer = self.ask(&name, wire::SOA).await?;
            if !matches!(answer.code, 0 | 3) {
                return Err(format!("the zone of {fqdn}: {}", wire::code_name(answer.code)));
            }
            if answer.answers.iter().any(|r| r.kind == wire::SOA && r.name == name) {
                return Ok(name);
            }
            name = match name.split_once('.') {
                Some((_, up)) if !up.is_empty() => up.to_owned(),
                _ => return Err(format!("no zone was found for {fqdn}")),
            };
        }
    }
}

/// Asks one server, by UDP, and again by TCP when the answer does not fit.
pub(crate) async fn ask(server: &str, name: &str, kind: u16, recursion: bool, patience: Duration) -> Result<Answer, String> {
    let id = fastrand::u16(..);
    let message = wire::question(id, name, kind, recursion).ok_or_else(|| format!("`{name}` is no name"))?;
    let answer = send(server, &message, patience).await?;
    wire::parse(&answer).filter(|a| a.id == id).ok_or_else(|| "the answer is no DNS".to_owned())
}

/// Sends a message and reads its answer, which has the same number.
pub(crate) async fn send(server: &str, message: &[u8], patience: Duration) -> Result<Vec<u8>, String> {
    let work = async {
        let to = address(server).await?;
        // what is larger than UDP takes everywhere goes by TCP at once
        if message.len() <= 512 {
            let answer = udp(to, message, patience / 2).await;
            match answer {
                Ok(bytes) if wire::parse(&bytes).is_some_and(|a| !a.truncated) => return Ok(bytes),
                Ok(_) => {}
                Err(e) if e.kind() != io::ErrorKind::TimedOut => return Err(e),
                Err(_) => {}
            }
        }
        tcp(to, message).await
    };
    match timeout(patience, work).await {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {patience:?}")),
    }
}

async fn address(server: &str) -> io::Result<SocketAddr> {
    lookup_host(server).await?.next().ok_or_else(|| io::Error::other("the server has no address"))
}

async fn udp(to: SocketAddr, message: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    let mut room = vec![0; 4096];
    // one repetition: datagrams get lost
    for _ in 0..2 {
        socket.send(message).await?;
        let read = async {
            loop {
                let len = socket.recv(&mut room).await?;
                if room[..len].get(..2) == message.get(..2) {
                    return io::Result::Ok(len);
                }
            }
        };
        if let Ok(len) = timeout(patience / 2, read).await {
            let len = len?;
            room.truncate(len);
            return Ok(room);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

async fn tcp(to: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await?;
    let len = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes()[..], message].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// `host:port`, with 53 when there is no port.
pub(crate) fn with_port(server: &str) -> Option<String> {
    let server = server.trim();
    if let Ok(ip) = server.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        return Some(SocketAddr::new(ip, 53).to_string());
    }
    match server.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Some(server.to_owned()),
        None if !server.is_empty() => Some(format!("{server}:53")),
        _ => None,
    }
}

/// `nameserver` lines; the machine itself when there are none, as everywhere.
fn system(resolv: &str) -> Vec<String> {
    let servers = resolv.lines().filter_map(|l| with_port(l.trim().strip_prefix("nameserver")?.split('%').next()?));
    let servers: Vec<_> = servers.collect();
    if servers.is_empty() { vec!["127.0.0.1:53".to_owned()] } else { servers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers() {
        for (given, is) in [
            ("1.1.1.1", Some("1.1.1.1:53")),
            ("1.1.1.1:5353", Some("1.1.1.1:5353")),
            ("::1", Some("[::1]:53")),
            ("[::1]", Some("[::1]:53")),
            ("[::1]:54", Some("[::1]:54")),
            ("ns.test", Some("ns.test:53")),
            ("ns.test:x", None),
            (":53", None),
            ("", None),
        ] {
            assert_eq!(with_port(given).as_deref(), is, "{given}");
        }
        assert_eq!(system("# x\nsearch a\nnameserver 10.0.0.1\n nameserver fe80::1%eth0\n"), ["10.0.0.1:53", "[fe80::1]:53"]);
        assert_eq!(system(""), ["127.0.0.1:53"]);
    }
}
