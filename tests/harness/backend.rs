//! A server in this process: HTTP/1, HTTP/2 with and without TLS, or raw bytes. It records what it saw.

use super::message::{self, Headers, Request};
use super::{PATIENCE, lock};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// What a backend answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Reply {
        Reply { body: body.into(), ..Reply::status(200) }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Reply {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn bytes(&self, head: bool) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} Any\r\n", self.status);
        let lines = |list: &[(String, String)]| list.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect::<String>();
        out += &lines(&self.headers);
        if self.trailers.is_empty() {
            out += &format!("Content-Length: {}\r\n\r\n", self.body.len());
        } else {
            out += &format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", self.body.len());
        }
        let mut out = out.into_bytes();
        if !head {
            out.extend(&self.body);
            if !self.trailers.is_empty() {
                out.extend(format!("\r\n0\r\n{}\r\n", lines(&self.trailers)).bytes());
            }
        }
        out
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    more: Condvar,
    connections: AtomicUsize,
    open: AtomicUsize,
    stop: AtomicBool,
}

impl Seen {
    fn record(&self, request: &Request) {
        lock(&self.requests).push(request.clone());
        self.more.notify_all();
    }

    fn accepted(&self) -> usize {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.connections.fetch_add(1, Ordering::SeqCst)
    }

    fn closed(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A raw connection from the gateway, for scripts of bytes.
pub(crate) struct Raw {
    pub(crate) io: BufReader<TcpStream>,
    /// Number of the connection, from 0.
    pub(crate) number: usize,
}

impl Raw {
    /// Request line and headers; `None` at the end of the connection.
    pub(crate) fn head(&mut self) -> Option<(String, Headers)> {
        message::head(&mut self.io).ok().flatten()
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // A gateway that does not read any more is the test's business, not the backend's.
        _ = self.io.get_mut().write_all(bytes.as_ref());
    }
}

/// Ends with its listener when dropped; connections end with the gateway.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Seen>,
}

impl Backend {
    fn listen(scheme: &'static str) -> (Backend, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (Backend { address: listener.local_addr().unwrap(), scheme, seen: Arc::default() }, listener)
    }

    /// A script for each connection.
    pub(crate) fn raw(script: impl Fn(Raw) + Send + Sync + 'static) -> Backend {
        let (backend, listener) = Self::listen("http");
        let (seen, script) = (backend.seen.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if seen.stop.load(Ordering::SeqCst) {
                    return;
                }
                _ = stream.set_nodelay(true);
                _ = stream.set_read_timeout(Some(PATIENCE));
                _ = stream.set_write_timeout(Some(PATIENCE));
                let number = seen.accepted();
                let (seen, script) = (seen.clone(), script.clone());
                std::thread::spawn(move || {
                    script(Raw { io: BufReader::new(stream), number });
                    seen.closed();
                });
            }
        });
        backend
    }

    /// HTTP/1.1 with keep-alive; answers `100 Continue` where it is asked for.
    pub(crate) fn http(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Backend {
        let seen: Arc<Seen> = Arc::default();
        let recorder = seen.clone();
        let mut backend = Self::raw(move |mut raw| {
            _ = serve_h1(&mut raw, &recorder, &handler);
        });
        // The requests are in the one, the connections in the other.
        seen.connections.store(usize::MAX, Ordering::SeqCst);
        backend.adopt(seen);
        backend
    }

    fn adopt(&mut self, requests: Arc<Seen>) {
        _ = self.requests_of.set(requests);
    }

    /// Says its name, and always 200.
    pub(crate) fn named(name: &str) -> Backend {
        let name = name.to_owned();
        Self::http(move |_| Reply::ok(name.as_str()))
    }
}
