//! Servers of raw connections and of datagrams.

use super::{PATIENCE, lock};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A TCP server that runs a script for each connection. Dropped, it refuses connections.
pub(crate) struct TcpServer {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TcpServer {
    pub(crate) fn start(script: impl Fn(TcpStream) + Send + Sync + 'static) -> TcpServer {
        TcpServer::at(([127, 0, 0, 1], 0).into(), script)
    }

    pub(crate) fn at(address: SocketAddr, script: impl Fn(TcpStream) + Send + Sync + 'static) -> TcpServer {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped, script) = (accepted.clone(), stop.clone(), Arc::new(script));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let script = script.clone();
                std::thread::spawn(move || script(stream));
            }
        });
        TcpServer { address, accepted, stop, thread: Some(thread) }
    }

    /// Says its name, then echoes.
    pub(crate) fn named(name: &'static str) -> TcpServer {
        TcpServer::start(move |s| echo(s, name))
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(t) = self.thread.take() {
            let _ = t.join();
        }
    }
}

/// Says `banner`, then gives back what comes until it ends.
pub(crate) fn echo(mut stream: TcpStream, banner: &str) {
    let _ = stream.write_all(banner.as_bytes());
    let mut room = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut room) {
        if stream.write_all(&room[..n]).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

/// A client's connection.
#[track_caller]
pub(crate) fn dial(address: SocketAddr) -> TcpStream {
    let s = TcpStream::connect(address).unwrap();
    s.set_read_timeout(Some(PATIENCE)).unwrap();
    s
}

/// Sends, and reads as many bytes as `expected` has.
#[track_caller]
pub(crate) fn says(stream: &mut TcpStream, send: &str, expected: &str) {
    stream.write_all(send.as_bytes()).unwrap();
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(String::from_utf8_lossy(&got), expected);
}

/// All that comes until the end.
#[track_caller]
pub(crate) fn rest(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    match stream.read_to_end(&mut got) {
        Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => panic!("the connection stays open"),
        _ => String::from_utf8_lossy(&got).into_owned(),
    }
}

/// A UDP server that answers each datagram with its name, a colon and the datagram.
pub(crate) struct UdpServer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpServer {
    pub(crate) fn named(name: &'static str) -> UdpServer {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (list, stopped) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut room = vec![0; 65_536];
            while !stopped.load(Ordering::SeqCst) {
                let Ok((n, from)) = socket.recv_from(&mut room) else { continue };
                lock(&list).push(room[..n].to_vec());
                let _ = socket.send_to(&[name.as_bytes(), b":", &room[..n.min(60_000)]].concat(), from);
            }
        });
        UdpServer { address, seen, stop, thread: Some(thread) }
    }

    pub(crate) fn seen(&self) -> Vec<Vec<u8>> {
        lock(&self.seen).clone()
    }
}

impl Drop for UdpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(t) = self.thread.take() {
            let _ = t.join();
        }
    }
}

/// A client of a UDP entry point.
pub(crate) struct UdpClient(UdpSocket);

impl UdpClient {
    pub(crate) fn to(address: SocketAddr) -> UdpClient {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        UdpClient(socket)
    }

    pub(crate) fn send(&self, datagram: &[u8]) {
        self.0.send(datagram).unwrap();
    }

    /// The next datagram, if one comes in this time.
    pub(crate) fn receive(&self, within: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(within)).unwrap();
        let mut room = vec![0; 65_536];
        self.0.recv(&mut room).ok().map(|n| String::from_utf8_lossy(&room[..n]).into_owned())
    }

    /// Sends and gives the answer.
    #[track_caller]
    pub(crate) fn ask(&self, datagram: &str) -> String {
        self.send(datagram.as_bytes());
        self.receive(PATIENCE).unwrap_or_else(|| panic!("no answer to `{datagram}`"))
    }
}
