//! Opens the sockets of all entry points, or takes over those that systemd opened.

use crate::systemd::Kind;
use crate::wire::workers;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use torana_base::Diagnostic;
use torana_dataplane::{EntryPoint, QuicSockets, UdpEntryPoint, bind, bind_udp};

/// Every open entry point.
#[derive(Default)]
pub(crate) struct Sockets {
    pub(crate) tcp: Vec<(Arc<EntryPoint>, TcpListener)>,
    pub(crate) udp: Vec<(Arc<UdpEntryPoint>, UdpSocket)>,
    /// HTTP/3 of those of `tcp` that have it.
    pub(crate) quic: Vec<(Arc<EntryPoint>, QuicSockets)>,
}

/// Opens every entry point, or says all that cannot be opened.
pub(crate) fn listen(tcp: Vec<Arc<EntryPoint>>, udp: Vec<Arc<UdpEntryPoint>>) -> Result<Sockets, Vec<Diagnostic>> {
    let mut passed = crate::systemd::sockets();
    let mut wrong = Vec::new();
    let ours: Vec<_> = tcp.iter().map(|e| (e.name.to_string(), e.address)).collect();
    let mut failed = |name: &str, option: &str, address: SocketAddr, error: std::io::Error| {
        let other = ours.iter().find(|(n, a)| n != name && a.port() == address.port() && option == "address");
        let own = other.map(|(n, _)| format!("the entry point `{n}` has this port too: give one of them another address"));
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse if own.is_some() => own.as_deref().unwrap_or_default(),
            std::io::ErrorKind::AddrInUse => "another process listens there: stop it, or choose another port",
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need the capability CAP_NET_BIND_SERVICE",
            std::io::ErrorKind::AddrNotAvailable => "this machine has no such address",
            _ => "choose another address",
        };
        let what = if option == "http3" { " for UDP" } else { "" };
        let key = format!("entryPoints.{name}.{option}");
        wrong.push(Diagnostic::error(key, format!("cannot listen on {address}{what}: {error}")).hint(hint));
    };
    let mut sockets = Sockets::default();
    for e in tcp {
        let (stream, datagram) = (passed.remove(&(e.name.to_string(), Kind::Stream)), passed.remove(&(e.name.to_string(), Kind::Datagram)));
        match listen_tcp(&e, stream, datagram, sockets.quic.len()) {
            Ok((socket, quic)) => {
                let e = e.clone().listening_on(socket.local_addr().unwrap_or(e.address));
                sockets.quic.extend(quic.map(|q| (e.clone(), q)));
                sockets.tcp.push((e, socket));
            }
            Err((option, address, error)) => failed(&e.name, option, address, error),
        }
    }
    for e in udp {
        match passed.remove(&(e.name.to_string(), Kind::Datagram)).map_or_else(|| bind_udp(&e), |fd| Ok(fd.into())) {
            Ok(socket) => sockets.udp.push((e, socket)),
            Err(error) => failed(&e.name, "address", e.address, error),
        }
    }
    if wrong.is_empty() { Ok(sockets) } else { Err(wrong) }
}

/// What could not be listened on: the option that says so, the address, why.
type NotOpen = (&'static str, SocketAddr, std::io::Error);

/// Opens an entry point, with the port of the same number for UDP if it has HTTP/3; takes over what was passed.
/// `number` spreads sockets that only one worker can serve.
fn listen_tcp(
    e: &EntryPoint,
    stream: Option<OwnedFd>,
    datagram: Option<OwnedFd>,
    number: usize,
) -> Result<(TcpListener, Option<QuicSockets>), NotOpen> {
    // A port that the system chose for TCP may be taken for UDP.
    let mut tries = if e.address.port() == 0 && stream.is_none() { 20 } else { 1 };
    let passed = stream.map(TcpListener::from);
    loop {
        let socket = match &passed {
            Some(socket) => socket.try_clone(),
            None => bind(e),
        };
        let socket = socket.map_err(|error| ("address", e.address, error))?;
        if e.http3.is_none() {
            return Ok((socket, None));
        }
        let address = socket.local_addr().unwrap_or(e.address);
        if let Some(fd) = datagram {
            let quic = QuicSockets::adopt(fd.into(), number % workers()).map_err(|error| ("http3", address, error))?;
            return Ok((socket, Some(quic)));
        }
        tries -= 1;
        match QuicSockets::bind(e, address, workers()) {
            Err(error) if tries == 0 || error.kind() != std::io::ErrorKind::AddrInUse => return Err(("http3", address, error)),
            Err(_) => {}
            Ok(quic) => return Ok((socket, Some(quic))),
        }
    }
}
