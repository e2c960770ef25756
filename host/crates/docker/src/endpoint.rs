//! Where the engine's API is, and how a connection to it is opened.

use crate::piped::{Said, spawned};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use torana_base::shown;

/// `endpoint`, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    at: At,
    /// What goes before each path; without a slash at its end.
    pub base: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    Unix(PathBuf),
    Tcp {
        host: String,
        port: u16,
        tls: bool,
    },
    /// `docker system dial-stdio` on another machine.
    Ssh {
        user: Option<String>,
        host: String,
        port: Option<u16>,
        /// The engine's socket over there, when it is not the usual one.
        socket: Option<String>,
    },
}

impl Endpoint {
    /// From `unix:///path`, `tcp://host:port`, `http://host:port`, `https://host:port` or `ssh://[user@]host[:port][/socket]`.
    pub(crate) fn parse(text: &str) -> Result<Endpoint, String> {
        let wrong = |why: &str| format!("`{}` {why}", shown(text));
        let known = "write `unix:///var/run/docker.sock`, `tcp://host:port`, `https://host:port` or `ssh://user@host`";
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong(&format!("is no endpoint: {known}")))?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |i| rest.split_at(i));
        let at = match scheme.to_ascii_lowercase().as_str() {
            "unix" if rest.starts_with('/') => return Ok(Endpoint { at: At::Unix(rest.into()), base: String::new() }),
            "unix" => return Err(wrong("names no socket: write its whole path, as in `unix:///var/run/docker.sock`")),
            scheme @ ("tcp" | "http" | "https") => {
                let default = if scheme == "https" { Some(443) } else { None };
                if authority.contains('@') {
                    return Err(wrong("takes neither user nor password: write them as `username` and `password`"));
                }
                let (host, port) = host_port(authority).ok_or_else(|| wrong("has no host that can be read"))?;
                let port = port.or(default).ok_or_else(|| wrong("has no port: write 2375, or 2376 with TLS, behind the host"))?;
                At::Tcp { host, port, tls: scheme == "https" }
            }
            "ssh" => {
                let (user, authority) = authority.rsplit_once('@').map_or((None, authority), |(u, a)| (Some(u.to_owned()), a));
                if user.as_deref().is_some_and(|u| u.contains(':')) {
                    return Err("an `ssh://` endpoint takes no password: use a key that ssh finds by itself".into());
                }
                let (host, port) = host_port(authority).ok_or_else(|| wrong("has no host that can be read"))?;
                // ssh would take it for an option.
                if host.starts_with('-') || user.as_deref().is_some_and(|u| u.is_empty() || u.starts_with('-')) {
                    return Err(wrong("has no host or user that can be used"));
                }
                let socket = Some(path).filter(|p| p.len() > 1).map(str::to_owned);
                return Ok(Endpoint { at: At::Ssh { user, host, port, socket }, base: String::new() });
            }
            "npipe" => return Err(wrong("is a pipe of Windows, where Torana does not run")),
            _ => return Err(wrong(&format!("is of no kind that Torana knows: {known}"))),
        };
        Ok(Endpoint { at, base: path.trim_end_matches('/').to_owned() })
    }

    /// Whether TLS options mean anything for it.
    pub(crate) fn takes_tls(&self) -> bool {
        matches!(self.at, At::Tcp { .. })
    }

    /// Whether it wants TLS by its own scheme.
    pub(crate) fn wants_tls(&self) -> bool {
        matches!(self.at, At::Tcp { tls: true, .. })
    }

    /// For the `Host` header.
    pub(crate) fn authority(&self) -> String {
        match &self.at {
            At::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            At::Tcp { host, port, .. } => format!("{host}:{port}"),
            At::Unix(_) | At::Ssh { .. } => "docker".to_owned(),
        }
    }

    pub(crate) fn is_ssh(&self) -> bool {
        matches!(self.at, At::Ssh { .. })
    }

    /// A new connection. What a program that carries it complains of is in `said`.
    pub(crate) async fn dial(&self, tls: Option<Arc<ClientConfig>>, said: &Said) -> io::Result<Stream> {
        match &self.at {
            At::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(|e| explain(path, e))?)),
            At::Tcp { host, port, .. } => {
                let tcp = TcpStream::connect((host.as_str(), *port)).await?;
                tcp.set_nodelay(true)?;
                let Some(tls) = tls else { return Ok(Box::new(tcp)) };
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                Ok(Box::new(TlsConnector::from(tls).connect(name, tcp).await?))
            }
            At::Ssh { user, host, port, socket } => {
                let command = ssh(user.as_deref(), host, *port, socket.as_deref());
                let missing = |e: io::Error| io::Error::new(e.kind(), format!("cannot run `ssh`, which `ssh://` endpoints need: {e}"));
                Ok(Box::new(spawned(command, said).map_err(missing)?))
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Unix(path) => write!(f, "unix://{}", path.display()),
            At::Tcp { tls, .. } => {
                let scheme = if *tls { "https" } else { "tcp" };
                f.write_str(&shown(&format!("{scheme}://{}{}", self.authority(), self.base)))
            }
            At::Ssh { host, .. } => write!(f, "ssh://{host}"),
        }
    }
}

/// `host`, `host:port` or `[v6]:port`.
fn host_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => authority.split_once(':').map_or((authority, None), |(h, p)| (h, Some(p))),
    };
    let port = port.map(str::parse).transpose().ok()?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// What to do about a socket that cannot be opened.
fn explain(path: &Path, e: io::Error) -> io::Error {
    let what = match e.kind() {
        io::ErrorKind::NotFound => "there is no such socket: is the engine running, and is the socket mounted where the gateway runs?",
        io::ErrorKind::PermissionDenied => {
            "the gateway may not open the socket: let its user into the socket's group (often `docker`), or use a proxy for it"
        }
        io::ErrorKind::ConnectionRefused => "nobody listens on the socket: is the engine running?",
        _ => return e,
    };
    io::Error::new(e.kind(), format!("{}: {what}", path.display()))
}

fn ssh(user: Option<&str>, host: &str, port: Option<u16>, socket: Option<&str>) -> Command {
    let mut c = Command::new("ssh");
    c.args(["-o", "ConnectTimeout=30", "-o", "BatchMode=yes", "-T"]);
    if let Some(user) = user {
        c.args(["-l", user]);
    }
    if let Some(port) = port {
        c.args(["-p", &port.to_string()]);
    }
    c.args(["--", host, "docker"]);
    if let Some(socket) = socket {
        // What stands behind the host is read by a shell.
        c.arg(format!("'--host=unix://{}'", socket.replace('\'', "'\\''")));
    }
    c.args(["system", "dial-stdio"]);
    c
}

/// A connection of any kind.
pub(crate) type Stream = Box<dyn Duplex>;

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Tokio's streams as hyper's.
pub(crate) struct Io(pub Stream);

impl hyper::rt::Read for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: hyper::rt::ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut room = [0; 16 * 1024];
        let len = room.len().min(buf.remaining());
        let mut read = ReadBuf::new(&mut room[..len]);
        std::task::ready!(Pin::new(&mut self.0).poll_read(cx, &mut read))?;
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let tcp = |host: &str, port, tls| At::Tcp { host: host.into(), port, tls };
        for (text, at, base) in [
            ("unix:///var/run/docker.sock", At::Unix("/var/run/docker.sock".into()), ""),
            ("tcp://127.0.0.1:2375", tcp("127.0.0.1", 2375, false), ""),
            ("http://proxy:80/docker/", tcp("proxy", 80, false), "/docker"),
            ("https://e.test", tcp("e.test", 443, true), ""),
            ("tcp://[::1]:2376", tcp("::1", 2376, false), ""),
            ("ssh://me@h", At::Ssh { user: Some("me".into()), host: "h".into(), port: None, socket: None }, ""),
            ("ssh://h:22/run/x.sock", At::Ssh { user: None, host: "h".into(), port: Some(22), socket: Some("/run/x.sock".into()) }, ""),
        ] {
            assert_eq!(Endpoint::parse(text), Ok(Endpoint { at, base: base.into() }), "{text}");
        }
        for (text, why) in [
            ("/var/run/docker.sock", "is no endpoint"),
            ("unix://docker.sock", "whole path"),
            ("tcp://host", "has no port"),
            ("tcp://:2375", "no host"),
            ("tcp://h:x", "no host"),
            ("npipe:////./pipe/docker_engine", "Windows"),
            ("ssh://me:secret@h", "no password"),
            ("ssh://-oProxyCommand=x", "no host or user"),
            ("fd://", "no kind"),
            ("tcp://me:secret@h:2375", "neither user nor password"),
            ("tcp://h:2375?secret", "no host"),
            ("me:secret@h", "is no endpoint"),
            ("tpc://me:secret@h:2375", "no kind"),
        ] {
            let error = Endpoint::parse(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_secret_in_a_path_is_not_shown() {
        let endpoint = Endpoint::parse("https://h/docker?token=hunter2").unwrap();
        assert_eq!((endpoint.base.as_str(), endpoint.to_string().as_str()), ("/docker?token=hunter2", "https://h:443/docker"));
    }

    #[test]
    fn a_shell_over_there_reads_the_socket_as_one_word() {
        let c = ssh(Some("me"), "h", Some(2222), Some("/a b'c"));
        let args: Vec<_> = c.get_args().map(|a| a.to_str().unwrap()).collect();
        assert_eq!(args[5..], ["-l", "me", "-p", "2222", "--", "h", "docker", "'--host=unix:///a b'\\''c'", "system", "dial-stdio"]);
    }
}
