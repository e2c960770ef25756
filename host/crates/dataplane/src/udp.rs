//! UDP entry points: sessions by client address, each with a server and a socket of its own.
//!
//! A socket is served by one worker, so that its sessions need no lock; several entry points spread over the
//! workers. One socket for each worker (SO_REUSEPORT) would spread one entry point too, but two processes could
//! then listen on the same port unnoticed, and a socket that systemd passes is only one.

use crate::drain::Drain;
use crate::snapshot::View;
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use torana_upstream::l4::{HostPort, UdpService};

/// The largest datagram.
const ROOM: usize = 65_535;
/// Sessions of an entry point, at most; fewer where the process may not open that many files.
const MOST_SESSIONS: usize = 65_536;
/// Datagrams that wait while the server's name is looked up.
const WAITING: usize = 8;
/// Datagrams that are read in a row before others have their turn.
const IN_A_ROW: usize = 64;
/// The same complaint is logged once in this time.
const COMPLAIN: Duration = Duration::from_secs(10);

thread_local! {
    /// Datagrams on their way to clients.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; ROOM].into_boxed_slice());
}

/// A compiled `udp.routers.<name>`.
pub struct UdpRouter {
    /// `name@provider`
    pub name: Arc<str>,
    pub service: UdpService,
}

/// A compiled `entryPoints.<name>` with a UDP address.
#[derive(Clone, Debug)]
pub struct UdpEntryPoint {
    pub name: Arc<str>,
    pub address: SocketAddr,
    pub reuse_port: bool,
    /// Time that an idle session is kept.
    pub timeout: Duration,
    /// How long to go on taking new sessions after a signal to stop.
    pub accept_grace: Duration,
    /// How long open sessions then have.
    pub grace: Duration,
}

/// Opens the socket of an entry point.
pub fn bind_udp(entry_point: &UdpEntryPoint) -> io::Result<std::net::UdpSocket> {
    let address = entry_point.address;
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    if entry_point.reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The socket towards the server, once it is there.
enum Server {
    /// Its name is being looked up.
    Unknown(Vec<Box<[u8]>>),
    Open(Rc<UdpSocket>),
}

struct Session {
    client: SocketAddr,
    server: RefCell<Server>,
    /// When something last went either way.
    last: Cell<Instant>,
    /// The task that brings the server's datagrams.
    task: RefCell<Option<tokio::task::AbortHandle>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// A UDP entry point on its worker.
struct Point {
    entry_point: Arc<UdpEntryPoint>,
    socket: UdpSocket,
    view: Rc<View>,
    /// Clients choose their addresses: the hash must not be foreseeable.
    sessions: RefCell<HashMap<SocketAddr, Rc<Session>>>,
    most: usize,
    accepting: Cell<bool>,
    refused: Complaint,
    failed: Complaint,
}

/// Something that may happen very often and is told seldom.
#[derive(Default)]
struct Complaint {
    told: Cell<Option<Instant>>,
    times: Cell<u64>,
}

impl Complaint {
    /// How often it happened since it was last told, when it is time to tell.
    fn note(&self) -> Option<u64> {
        self.times.set(self.times.get() + 1);
        if self.told.get().is_some_and(|t| t.elapsed() < COMPLAIN) {
            return None;
        }
        self.told.set(Some(Instant::now()));
        Some(self.times.take())
    }
}

/// Serves a UDP socket until the gateway stops and its sessions have ended.
pub(crate) async fn run(entry_point: Arc<UdpEntryPoint>, socket: std::net::UdpSocket, view: Rc<View>, drain: Drain) -> io::Result<()> {
    let socket = UdpSocket::from_std(socket)?;
    let point = Rc::new(Point {
        most: most_sessions(),
        entry_point,
        socket,
        view,
        sessions: RefCell::default(),
        accepting: Cell::new(true),
        refused: Complaint::default(),
        failed: Complaint::default(),
    });
    // As often as Traefik looks.
    let mut sweep = tokio::time::interval((point.entry_point.timeout / 10).max(Duration::from_millis(1)));
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stop = std::pin::pin!(async {
        drain.started().await;
        tokio::time::sleep(point.entry_point.accept_grace).await;
    });
    let mut end: Option<Instant> = None;
    let mut room = vec![0; ROOM].into_boxed_slice();
    loop {
        tokio::select! {
            ready = point.socket.readable() => {
                ready?;
                if point.receive(&mut room) {
                    tokio::task::yield_now().await;
                }
            }
            _ = sweep.tick() => point.sweep(),
            () = tokio::time::sleep_until(end.unwrap_or_else(Instant::now).into()), if end.is_some() => {}
            () = &mut stop, if end.is_none() => {
                point.accepting.set(false);
                end = Some(Instant::now() + point.entry_point.grace);
            }
        }
        if end.is_some_and(|end| point.sessions.borrow().is_empty() || Instant::now() >= end) {
            return Ok(());
        }
    }
}

impl Point {
    /// Takes what has arrived, a while; true if there may be more.
    fn receive(self: &Rc<Self>, room: &mut [u8]) -> bool {
        for _ in 0..IN_A_ROW {
            match self.socket.try_recv_from(room) {
                Ok((n, client)) => self.forward(client, &room[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                // Of a datagram that was sent to a client before; it is no matter of the socket.
                Err(_) => {}
            }
        }
        true
    }

    /// Sends a client's datagram to the server of its session.
    fn forward(self: &Rc<Self>, client: SocketAddr, datagram: &[u8]) {
        let known = self.sessions.borrow().get(&client).cloned();
        let Some(session) = known.or_else(|| self.open(client)) else { return };
        session.last.set(Instant::now());
        // Traefik passes no empty datagrams on.
        if datagram.is_empty() {
            return;
        }
        let sent = match &mut *session.server.borrow_mut() {
            Server::Open(server) => send(server, datagram),
            Server::Unknown(waiting) => {
                if waiting.len() < WAITING {
                    waiting.push(datagram.into());
                }
                return;
            }
        };
        match sent {
            // A full buffer loses the datagram, as a full network would.
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => self.fail(&session, &e),
            _ => {}
        }
    }

    fn open(self: &Rc<Self>, client: SocketAddr) -> Option<Rc<Session>> {
        if !self.accepting.get() {
            return None;
        }
        if self.sessions.borrow().len() >= self.most {
            if let Some(times) = self.refused.note() {
                tracing::error!(
                    entryPointName = &*self.entry_point.name,
                    sessions = self.most,
                    datagrams = times,
                    "too many UDP sessions: datagrams of new clients are dropped"
                );
            }
            return None;
        }
        let view = self.view.current();
        let router = view.udp.get(&self.entry_point.name)?;
        let target = router.service.pick()?;
        let session = Rc::new(Session {
            client,
            server: RefCell::new(Server::Unknown(Vec::new())),
            last: Cell::new(Instant::now()),
            task: RefCell::default(),
        });
        self.sessions.borrow_mut().insert(client, session.clone());
        match target.literal().map(connect) {
            Some(Ok(server)) => {
                let server = Rc::new(server);
                session.server.replace(Server::Open(server.clone()));
                self.start(&session, bring(self.clone(), Rc::downgrade(&session), server));
            }
            Some(Err(e)) => {
                self.fail(&session, &e);
                return None;
            }
            None => self.start(&session, find(self.clone(), Rc::downgrade(&session), target.clone())),
        }
        Some(session)
    }

    fn start(&self, session: &Session, work: impl Future<Output = ()> + 'static) {
        session.task.replace(Some(tokio::task::spawn_local(work).abort_handle()));
    }

    /// The server cannot be reached: the client's next datagram begins a new session.
    fn fail(&self, session: &Rc<Session>, error: &io::Error) {
        if let Some(times) = self.failed.note() {
            tracing::error!(entryPointName = &*self.entry_point.name, clientAddr = %session.client, %error, times, "UDP session failed");
        }
        self.close(session);
    }

    fn close(&self, session: &Rc<Session>) {
        let mut all = self.sessions.borrow_mut();
        if all.get(&session.client).is_some_and(|s| Rc::ptr_eq(s, session)) {
            all.remove(&session.client);
        }
    }

    /// Ends idle sessions.
    fn sweep(&self) {
        let mut all = self.sessions.borrow_mut();
        let limit = self.entry_point.timeout;
        all.retain(|_, s| s.last.get().elapsed() < limit);
        if all.capacity() > 1024 && all.len() < all.capacity() / 4 {
            let keep = all.len() * 2;
            all.shrink_to(keep);
        }
    }
}

type Weak = std::rc::Weak<Session>;

/// Looks the server's name up, sends what has waited, and goes on with [`bring`].
async fn find(point: Rc<Point>, session: Weak, target: HostPort) {
    let host = if target.host.is_empty() { "localhost" } else { &target.host };
    let found = match tokio::net::lookup_host((host, target.port)).await {
        Ok(mut all) => all.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the server's name has no address")),
        Err(e) => Err(e),
    };
    let Some(open) = session.upgrade() else { return };
    match found.and_then(connect) {
        Ok(server) => {
            let server = Rc::new(server);
            if let Server::Unknown(waiting) = open.server.replace(Server::Open(server.clone())) {
                waiting.iter().for_each(|d| _ = send(&server, d));
            }
            drop(open);
            bring(point, session, server).await;
        }
        Err(e) => point.fail(&open, &e),
    }
}

/// Brings the server's datagrams to the client.
async fn bring(point: Rc<Point>, session: Weak, server: Rc<UdpSocket>) {
    loop {
        if server.readable().await.is_err() {
            break;
        }
        for _ in 0..IN_A_ROW {
            let Some(open) = session.upgrade() else { return };
            // Only where the socket is full for the moment the datagram is copied, and waits.
            let late = SCRATCH.with_borrow_mut(|room| match server.try_recv(room) {
                Ok(0) => Ok(None),
                Ok(n) => {
                    open.last.set(Instant::now());
                    match point.socket.try_send_to(&room[..n], open.client) {
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Some(room[..n].to_vec())),
                        _ => Ok(None),
                    }
                }
                Err(e) => Err(e),
            });
            match late {
                Ok(None) => {}
                Ok(Some(datagram)) => {
                    let client = open.client;
                    drop(open);
                    let _ = point.socket.send_to(&datagram, client).await;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return point.fail(&open, &e),
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Without the runtime, which does not know yet whether a new socket can be written to.
fn send(server: &UdpSocket, datagram: &[u8]) -> io::Result<usize> {
    socket2::SockRef::from(server).send(datagram)
}

fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(address)?;
    UdpSocket::from_std(socket)
}

/// Half of the files that the process may have open: connections need the others.
fn most_sessions() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|l| l.strip_prefix("Max open files")).and_then(|l| l.split_whitespace().next());
    soft.and_then(|s| s.parse::<usize>().ok()).map_or(MOST_SESSIONS, |files| (files / 2).clamp(64, MOST_SESSIONS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_rare_and_counted() {
        let c = Complaint::default();
        assert_eq!(c.note(), Some(1));
        assert_eq!((0..5).find_map(|_| c.note()), None);
        c.told.set(Instant::now().checked_sub(COMPLAIN));
        assert_eq!(c.note(), Some(6));
    }

    #[test]
    fn the_limit_leaves_files_for_connections() {
        let most = most_sessions();
        assert!((64..=MOST_SESSIONS).contains(&most), "{most}");
    }
}
