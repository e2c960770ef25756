//! Workers: one thread and one runtime each. A connection lives and dies on the worker that accepted it,
//! so nothing of a request is shared or locked (docs/decisions/001).

use crate::accept::Accepted;
use crate::access::ConnectionLog;
use crate::deadline::{Deadline, Deadlines};
use crate::drain::Drain;
use crate::entry_point::EntryPoint;
use crate::measure::Open;
use crate::quic::{self, QuicSocket, QuicSockets};
use crate::snapshot::{Live, View};
use crate::udp::UdpEntryPoint;
use http::HeaderValue;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpStream;
use torana_http::Peer;

/// How often time-outs are looked at, at most and at least.
pub(crate) const TICK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
const KEEP_ALIVE: Duration = Duration::from_secs(180);

/// One client connection and what serves it.
pub(crate) struct Connection {
    pub(crate) peer: Rc<Peer>,
    pub(crate) entry_point: Arc<EntryPoint>,
    pub(crate) view: Rc<View>,
    pub(crate) hostname: HeaderValue,
    pub(crate) deadline: Rc<Deadline>,
    pub(crate) log: Option<Rc<ConnectionLog>>,
    pub(crate) _open: Option<Open>,
}

/// Opens the socket of an entry point. Accepted connections inherit its options.
pub fn bind(entry_point: &EntryPoint) -> io::Result<TcpListener> {
    let address = entry_point.address;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    if entry_point.reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// The running workers.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` workers on the sockets of all entry points.
    pub fn spawn(
        count: usize,
        entry_points: Vec<(Arc<EntryPoint>, TcpListener)>,
        udp: &[(Arc<UdpEntryPoint>, UdpSocket)],
        mut quic: Vec<(Arc<EntryPoint>, QuicSockets)>,
        live: &Live,
        drain: &Drain,
        hostname: HeaderValue,
    ) -> io::Result<Workers> {
        torana_upstream::pool::set_workers(count);
        let mut threads = Vec::with_capacity(count);
        for i in 0..count {
            let sockets = entry_points.iter().map(|(e, l)| Ok((e.clone(), l.try_clone()?))).collect::<io::Result<Vec<_>>>()?;
            let udp = udp.iter().skip(i).step_by(count).map(|(e, s)| Ok((e.clone(), s.try_clone()?))).collect::<io::Result<Vec<_>>>()?;
            let quic = quic.iter_mut().filter_map(|(e, s)| Some((e.clone(), s.take(i)?))).collect();
            let (live, drain, hostname) = (live.clone(), drain.clone(), hostname.clone());
            threads.push(std::thread::Builder::new().name(format!("worker-{i}")).spawn(move || {
                torana_telemetry::metrics::enter_worker(i);
                if let Err(e) = run(sockets, udp, quic, live, drain, hostname) {
                    tracing::error!(error = %e, "a worker could not start");
                }
            })?);
        }
        Ok(Workers { threads })
    }

    /// Waits until all workers have ended, which they do after a drain.
    pub fn join(self) {
        for t in self.threads {
            let _ = t.join();
        }
    }
}

type UdpSockets = Vec<(Arc<UdpEntryPoint>, UdpSocket)>;

fn run(
    sockets: Vec<(Arc<EntryPoint>, TcpListener)>,
    udp: UdpSockets,
    quic: Vec<(Arc<EntryPoint>, QuicSocket)>,
    live: Live,
    drain: Drain,
    hostname: HeaderValue,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(31).build_local(Default::default())?;
    runtime.block_on(async move {
        let view = Rc::new(View::new(live.clone()));
        let mut serving = Vec::with_capacity(sockets.len());
        for (entry_point, socket) in sockets {
            let listener = tokio::net::TcpListener::from_std(socket)?;
            let point = Point { entry_point, view: view.clone(), hostname: hostname.clone(), deadlines: Rc::default() };
            serving.push(tokio::task::spawn_local(point.run(listener, drain.clone())));
        }
        for (entry_point, socket) in udp {
            let (view, drain) = (view.clone(), drain.clone());
            serving.push(tokio::task::spawn_local(async move {
                let name = entry_point.name.clone();
                if let Err(error) = crate::udp::run(entry_point, socket, view, drain).await {
                    tracing::error!(%error, entryPointName = &*name, "a UDP socket cannot be served");
                }
            }));
        }
        for (entry_point, socket) in quic {
            let (view, live, hostname, drain) = (view.clone(), live.clone(), hostname.clone(), drain.clone());
            serving.push(tokio::task::spawn_local(async move {
                let name = entry_point.name.clone();
                if let Err(error) = quic::run(entry_point, socket, view, live, hostname, drain).await {
                    tracing::error!(%error, entryPointName = &*name, "HTTP/3 cannot be served");
                }
            }));
        }
        let housekeeping = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(TICK.1).await;
                torana_upstream::pool::sweep();
                // An old snapshot is not held only because this worker has nothing to do.
                drop(view.current());
            }
        });
        for s in serving {
            let _ = s.await;
        }
        housekeeping.abort();
        Ok(())
    })
}

/// An entry point on one worker.
struct Point {
    entry_point: Arc<EntryPoint>,
    view: Rc<View>,
    hostname: HeaderValue,
    deadlines: Rc<Deadlines>,
}

impl Point {
    /// Accepts until the gateway stops, then lets open requests finish.
    async fn run(self, listener: tokio::net::TcpListener, drain: Drain) {
        let tick = self.entry_point.shortest_timeout().map_or(TICK.1, |t| (t / 8).clamp(TICK.0, TICK.1));
        let deadlines = self.deadlines.clone();
        let sweeper = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(tick).await;
                deadlines.sweep();
            }
        });
        let grace = self.entry_point.accept_grace;
        let stop = async {
            drain.started().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            () = self.accept(&listener) => {}
            () = stop => {}
        }
        // What the kernel has accepted already is ours to serve.
        while let Some(Ok((stream, from))) = futures_now(listener.accept()) {
            self.open(stream, from);
        }
        drop(listener);
        let end = Instant::now() + self.entry_point.grace;
        loop {
            self.deadlines.drain();
            if self.deadlines.open() == 0 || Instant::now() >= end {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sweeper.abort();
    }

    async fn accept(&self, listener: &tokio::net::TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => self.open(stream, from),
                Err(e) => {
                    // Out of descriptors, mostly: the connections that close meanwhile make room.
                    tracing::error!(error = %e, entryPointName = &*self.entry_point.name, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn open(&self, stream: TcpStream, from: SocketAddr) {
        let local = stream.local_addr().unwrap_or(self.entry_point.address);
        let accepted = Accepted {
            from,
            local,
            entry_point: self.entry_point.clone(),
            view: self.view.clone(),
            hostname: self.hostname.clone(),
            deadline: self.deadlines.add(),
            open: Open::new(&self.entry_point),
        };
        tokio::task::spawn_local(accepted.serve(stream));
    }
}

/// The result of a future that is ready at once.
fn futures_now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(v) => Some(v),
        std::task::Poll::Pending => None,
    }
}

thread_local! {
    static DATE: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// The current time as in `Date`; made once a second.
pub(crate) fn date() -> HeaderValue {
    DATE.with_borrow_mut(|(second, text)| {
        let now = SystemTime::now();
        let this = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        if this != *second {
            *second = this;
            *text = HeaderValue::from_str(&httpdate::fmt_http_date(now)).unwrap_or(HeaderValue::from_static(""));
        }
        text.clone()
    })
}

pub(crate) fn write_date(out: &mut Vec<u8>) {
    out.extend_from_slice(date().as_bytes());
}
