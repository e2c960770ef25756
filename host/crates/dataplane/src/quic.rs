//! QUIC, which carries HTTP/3. Every worker has a socket of its own on the port, and its own endpoint: a
//! connection lives and dies on the worker that its first packet came to, as with TCP (docs/decisions/001).

mod route;
mod session;

use crate::access::ConnectionLog;
use crate::deadline::{Deadline, Deadlines, Signal};
use crate::drain::Drain;
use crate::entry_point::EntryPoint;
use crate::h3;
use crate::snapshot::{Live, View};
use crate::worker::{Connection, TICK};
use http::HeaderValue;
use quinn::{Endpoint, EndpointConfig, Incoming, Runtime, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use route::{Generator, Ids, MOST_WORKERS, Mailbox, Socket as Routed};
use session::{Initial, Opening};
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use torana_http::h3::code;
use torana_http::{Peer, TlsFacts};

/// Requests under way on a connection (what Traefik allows).
const STREAMS: u32 = 100;
/// Streams in one direction: three are needed, and clients open others to keep servers honest.
const UNI_STREAMS: u32 = 16;
/// Bytes of uploads that wait for us. Less for one than for all, so that one that nobody reads holds no other up.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;
/// Bytes of answers that the client has not acknowledged: what a connection begins with, and may grow to as its
/// network shows that it takes more.
pub(crate) const SEND_WINDOW: (u64, u64) = (256 << 10, 8 << 20);
/// Silence after which the other side is taken for gone, at least and at most. A request that is answered late
/// is silent too.
const SILENCE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(180));
/// How long a handshake may take; and where many are under way.
const SHAKE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3));
/// Handshakes under way on one worker, from which on clients must prove their address first; and at most.
const HALF_OPEN: (usize, usize) = (256, 4096);
/// What the kernel is asked to hold for a socket; it may give less.
const SOCKET_BUFFER: usize = 4 << 20;
/// How long clients have to hear that their connection is closed.
const FAREWELL: Duration = Duration::from_millis(300);

/// The sockets of an entry point, one for each worker or one for all.
pub struct QuicSockets {
    sockets: Vec<Option<UdpSocket>>,
    address: SocketAddr,
    ids: Ids,
    mail: Arc<[Mailbox]>,
    endpoint: EndpointConfig,
}

impl QuicSockets {
    /// Opens a socket for each worker. `address` is that of the TCP socket.
    pub fn bind(entry_point: &EntryPoint, address: SocketAddr, workers: usize) -> io::Result<Self> {
        let count = workers.clamp(1, MOST_WORKERS);
        let mut sockets = Vec::with_capacity(count);
        // The first is bound alone, so that another process on the port is noticed, and shares it then.
        for i in 0..count {
            let socket = open(address, entry_point.reuse_port || i > 0)?;
            if count > 1 {
                socket.set_reuse_port(true)?;
            }
            sockets.push(Some(socket.into()));
        }
        Ok(Self::new(sockets, address))
    }

    /// A socket that was passed to this process: there is but one, and one worker serves it.
    pub fn adopt(socket: UdpSocket, worker: usize) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let mut sockets: Vec<Option<UdpSocket>> = (0..worker).map(|_| None).collect();
        sockets.push(Some(socket));
        Ok(Self::new(sockets, address))
    }

    fn new(sockets: Vec<Option<UdpSocket>>, address: SocketAddr) -> Self {
        let shared = sockets.iter().flatten().count() > 1;
        let mail = (0..if shared { sockets.len() } else { 1 }).map(|_| Mailbox::default()).collect();
        QuicSockets { sockets, address, ids: Ids::default(), mail, endpoint: EndpointConfig::default() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a worker serves.
    pub(crate) fn take(&mut self, worker: usize) -> Option<QuicSocket> {
        let socket = self.sockets.get_mut(worker)?.take()?;
        let worker = if self.mail.len() > 1 { worker } else { 0 };
        let mut endpoint = self.endpoint.clone();
        let ids = self.ids.clone();
        // Drafts are history, and `Opening` knows one version.
        endpoint.supported_versions(vec![1]);
        endpoint.cid_generator(move || Box::new(Generator { ids: ids.clone(), worker: worker as u8 }));
        Some(QuicSocket { socket, address: self.address, worker, ids: self.ids.clone(), mail: self.mail.clone(), endpoint })
    }
}

fn open(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A socket on its worker.
pub(crate) struct QuicSocket {
    socket: UdpSocket,
    address: SocketAddr,
    worker: usize,
    ids: Ids,
    mail: Arc<[Mailbox]>,
    endpoint: EndpointConfig,
}

/// HTTP/3 of an entry point on one worker.
struct Point {
    entry_point: Arc<EntryPoint>,
    address: SocketAddr,
    view: Rc<View>,
    live: Live,
    hostname: HeaderValue,
    deadlines: Rc<Deadlines>,
    initial: Arc<Initial>,
    config: ServerConfig,
    half_open: Rc<Cell<usize>>,
}

/// Serves a socket until the gateway stops and its connections have ended.
pub(crate) async fn run(
    entry_point: Arc<EntryPoint>,
    socket: QuicSocket,
    view: Rc<View>,
    live: Live,
    hostname: HeaderValue,
    drain: Drain,
) -> io::Result<()> {
    let initial = Arc::new(Initial::new().ok_or_else(|| io::Error::other("no cipher suite for QUIC"))?);
    let opening =
        Opening { initial: initial.clone(), live: live.clone(), entry_point: entry_point.name.clone(), local: socket.address.ip() };
    let mut config = ServerConfig::with_crypto(Arc::new(opening));
    config.transport_config(Arc::new(transport(&entry_point)));
    config.max_incoming(HALF_OPEN.1).incoming_buffer_size(16 << 10).incoming_buffer_size_total(4 << 20);
    let runtime = Arc::new(TokioRuntime);
    let inner = runtime.wrap_udp_socket(socket.socket)?;
    let routed = Routed { inner, worker: socket.worker, ids: socket.ids, all: socket.mail };
    let endpoint = Endpoint::new_with_abstract_socket(socket.endpoint, Some(config.clone()), Arc::new(routed), runtime)?;
    let point = Point {
        address: socket.address,
        view,
        live,
        hostname,
        deadlines: Rc::default(),
        initial,
        config,
        half_open: Rc::default(),
        entry_point,
    };
    point.run(endpoint, drain).await;
    Ok(())
}

fn transport(entry_point: &EntryPoint) -> TransportConfig {
    let silence = entry_point.idle_timeout.unwrap_or(SILENCE.1).clamp(SILENCE.0, SILENCE.1);
    let mut t = TransportConfig::default();
    t.max_concurrent_bidi_streams(STREAMS.into())
        .max_concurrent_uni_streams(UNI_STREAMS.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(SEND_WINDOW.0)
        .max_idle_timeout(silence.try_into().ok())
        .datagram_receive_buffer_size(None);
    t
}

impl Point {
    async fn run(self, endpoint: Endpoint, drain: Drain) {
        let tick = self.entry_point.shortest_timeout().map_or(TICK.1, |t| (t / 8).clamp(TICK.0, TICK.1));
        let deadlines = self.deadlines.clone();
        let sweeper = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(tick).await;
                deadlines.sweep();
            }
        });
        let grace = self.entry_point.accept_grace;
        let mut stop = pin!(async {
            drain.started().await;
            tokio::time::sleep(grace).await;
        });
        loop {
            tokio::select! {
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => self.open(incoming),
                    None => break,
                },
                () = &mut stop => break,
            }
        }
        endpoint.set_server_config(None);
        let end = Instant::now() + self.entry_point.grace;
        loop {
            self.deadlines.drain();
            if self.deadlines.open() == 0 || Instant::now() >= end {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        endpoint.close(VarInt::from_u32(code::NO_ERROR), b"");
        let _ = tokio::time::timeout(FAREWELL, endpoint.wait_idle()).await;
        sweeper.abort();
    }

    fn open(&self, incoming: Incoming) {
        let waiting = self.half_open.get();
        if waiting >= HALF_OPEN.1 {
            return incoming.refuse();
        }
        if waiting >= HALF_OPEN.0 && !incoming.remote_address_validated() && incoming.may_retry() {
            let _ = incoming.retry();
            return;
        }
        let from = incoming.remote_address();
        let local = SocketAddr::new(incoming.local_ip().unwrap_or(self.address.ip()).to_canonical(), self.address.port());
        let mut config = self.config.clone();
        config.crypto = Arc::new(Opening {
            initial: self.initial.clone(),
            live: self.live.clone(),
            entry_point: self.entry_point.name.clone(),
            local: local.ip(),
        });
        let connecting = match incoming.accept_with(Arc::new(config)) {
            Ok(c) => c,
            Err(error) => return tracing::debug!(%error, peer = %from, "QUIC handshake failed"),
        };
        let deadline = self.deadlines.add();
        // A slot is not held for long, least of all when few are left.
        let most = if waiting >= HALF_OPEN.0 { SHAKE.1 } else { SHAKE.0 };
        deadline.set(Some(self.entry_point.read_timeout.map_or(most, |t| t.min(most))));
        let half_open = HalfOpen::new(&self.half_open);
        let (entry_point, view, hostname) = (self.entry_point.clone(), self.view.clone(), self.hostname.clone());
        tokio::task::spawn_local(async move {
            let Some(quic) = shake(connecting, &deadline, from, &entry_point).await else { return };
            drop(half_open);
            let facts = quic.handshake_data().and_then(|d| d.downcast::<TlsFacts>().ok()).unwrap_or_default();
            // The address of the handshake counts for as long as the connection lives: it was proven then, and
            // where a client says it has moved to is not proven when its next request is there.
            let trusted = entry_point.trust.includes(from.ip().to_canonical());
            let peer = Peer::new(from, local, Some(Rc::new(*facts)), entry_point.name.clone(), trusted);
            let log = ConnectionLog::new(&entry_point);
            let connection = Connection { peer: Rc::new(peer), entry_point, view, hostname, deadline, log, _open: None };
            h3::serve(&quic, &Rc::new(connection)).await;
        });
    }
}

/// Shakes hands within the connection's time.
async fn shake(connecting: quinn::Connecting, deadline: &Deadline, from: SocketAddr, at: &EntryPoint) -> Option<quinn::Connection> {
    let mut connecting = pin!(connecting);
    let done = poll_fn(|cx| match deadline.poll(cx) {
        Signal::Expired => Poll::Ready(None),
        _ => connecting.as_mut().poll(cx).map(Some),
    })
    .await;
    match done {
        Some(Ok(quic)) => Some(quic),
        Some(Err(error)) => {
            tracing::debug!(%error, peer = %from, entryPointName = &*at.name, "QUIC handshake failed");
            None
        }
        None => None,
    }
}

/// A handshake under way, as long as it is held.
struct HalfOpen(Rc<Cell<usize>>);

impl HalfOpen {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        HalfOpen(count.clone())
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
