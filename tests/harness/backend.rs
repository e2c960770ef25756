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

    /// JSON with a status.
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Reply {
        Reply { body: body.to_string().into(), ..Reply::status(status) }.header("content-type", "application/json")
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

const HERE: &str = "127.0.0.1";

/// Ends with its listener when dropped; connections end with the gateway.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Seen>,
}

impl Backend {
    fn listen(scheme: &'static str, ip: &str) -> (Backend, TcpListener) {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        (Backend { address: listener.local_addr().unwrap(), scheme, seen: Arc::default() }, listener)
    }

    fn spawn(ip: &str, script: impl Fn(Raw, &Seen) + Send + Sync + 'static) -> Backend {
        let (backend, listener) = Self::listen("http", ip);
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
                    script(Raw { io: BufReader::new(stream), number }, &seen);
                    seen.closed();
                });
            }
        });
        backend
    }

    /// A script for each connection.
    pub(crate) fn raw(script: impl Fn(Raw) + Send + Sync + 'static) -> Backend {
        Self::spawn(HERE, move |raw, _| script(raw))
    }

    /// HTTP/1.1 with keep-alive; answers `100 Continue` where it is asked for.
    pub(crate) fn http(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Backend {
        Self::http_at(HERE, handler)
    }

    /// The same, at another address of this machine.
    pub(crate) fn http_at(ip: &str, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Backend {
        Self::spawn(ip, move |mut raw, seen| _ = serve_h1(&mut raw, seen, &handler))
    }

    /// Says its name, and always 200.
    pub(crate) fn named(name: &str) -> Backend {
        let name = name.to_owned();
        Self::http(move |_| Reply::ok(name.as_str()))
    }

    /// HTTP/2 without TLS.
    pub(crate) fn h2c(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Backend {
        Self::spawn_async("h2c", None, handler)
    }

    /// HTTPS; HTTP/2 where both sides offer it.
    pub(crate) fn tls(config: rustls::ServerConfig, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Backend {
        Self::spawn_async("https", Some(TlsAcceptor::from(Arc::new(config))), handler)
    }

    fn spawn_async(scheme: &'static str, tls: Option<TlsAcceptor>, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Backend {
        let (backend, listener) = Self::listen(scheme, HERE);
        let (seen, handler): (_, Arc<Handler>) = (backend.seen.clone(), Arc::new(handler));
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    if seen.stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let number = seen.accepted();
                    let (seen, handler, tls) = (seen.clone(), handler.clone(), tls.clone());
                    tokio::spawn(async move {
                        _ = match tls {
                            None => serve_h2(stream, number, &seen, handler).await,
                            Some(tls) => match tls.accept(stream).await {
                                Ok(s) if s.get_ref().1.alpn_protocol() == Some(b"h2") => serve_h2(s, number, &seen, handler).await,
                                Ok(s) => serve_h1_async(s, number, &seen, handler).await,
                                Err(e) => Err(e),
                            },
                        };
                        seen.closed();
                    });
                }
            });
        });
        backend
    }

    /// As a server of a service.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Requests that came in whole, in the order of their ends.
    pub(crate) fn requests(&self) -> Vec<Request> {
        lock(&self.seen.requests).clone()
    }

    /// The request number `n`, waited for.
    #[track_caller]
    pub(crate) fn request(&self, n: usize) -> Request {
        let (requests, _) = self
            .seen
            .more
            .wait_timeout_while(lock(&self.seen.requests), PATIENCE, |r| r.len() <= n)
            .unwrap_or_else(PoisonError::into_inner);
        requests.get(n).unwrap_or_else(|| panic!("the backend saw {} requests only", requests.len())).clone()
    }

    /// Connections that were ever accepted.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub(crate) fn open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        _ = TcpStream::connect(self.address);
    }
}

fn serve_h1(raw: &mut Raw, seen: &Seen, handler: &dyn Fn(&Request) -> Reply) -> io::Result<()> {
    while let Some((start, headers)) = message::head(&mut raw.io)? {
        if headers.one("expect").is_some() {
            raw.write("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let mut request = Request::of_head(raw.number, &start, headers);
        (request.body, request.trailers) = message::body(&mut raw.io, &request.headers, false)?;
        seen.record(&request);
        raw.io.get_mut().write_all(&handler(&request).bytes(request.method == "HEAD"))?;
    }
    Ok(())
}

/// HTTP/1.1 behind TLS: requests are parsed again with each piece that comes, which is good enough here.
async fn serve_h1_async(mut io: impl AsyncRead + AsyncWrite + Unpin, number: usize, seen: &Seen, handler: Arc<Handler>) -> io::Result<()> {
    let mut buf = Vec::new();
    loop {
        let mut rest = &buf[..];
        let parsed = message::head(&mut rest).and_then(|head| {
            let (start, headers) = head.ok_or(io::ErrorKind::UnexpectedEof)?;
            let mut request = Request::of_head(number, &start, headers);
            (request.body, request.trailers) = message::body(&mut rest, &request.headers, false)?;
            Ok(request)
        });
        match parsed {
            Ok(request) => {
                buf.drain(..buf.len() - rest.len());
                seen.record(&request);
                io.write_all(&handler(&request).bytes(request.method == "HEAD")).await?;
                io.flush().await?;
            }
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                if io.read_buf(&mut buf).await? == 0 {
                    return Ok(());
                }
            }
            Err(e) => return Err(e),
        }
    }
}

async fn serve_h2(io: impl AsyncRead + AsyncWrite + Unpin, number: usize, seen: &Arc<Seen>, handler: Arc<Handler>) -> io::Result<()> {
    let mut connection = h2::server::handshake(io).await.map_err(io::Error::other)?;
    while let Some(stream) = connection.accept().await {
        let (request, respond) = stream.map_err(io::Error::other)?;
        let (seen, handler) = (seen.clone(), handler.clone());
        tokio::spawn(async move {
            if let Err(e) = answer_h2(request, respond, number, &seen, &*handler).await {
                eprintln!("backend: {e}");
            }
        });
    }
    Ok(())
}

pub(super) fn headers_of(map: &HeaderMap) -> Headers {
    Headers(map.iter().map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect())
}

fn map_of(list: &[(String, String)]) -> HeaderMap {
    list.iter().map(|(n, v)| (n.parse::<HeaderName>().unwrap(), HeaderValue::from_str(v).unwrap())).collect()
}

async fn answer_h2(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    number: usize,
    seen: &Seen,
    handler: &Handler,
) -> Result<(), h2::Error> {
    let (parts, mut body) = request.into_parts();
    let mut request = Request {
        connection: number,
        version: "HTTP/2.0".to_owned(),
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: headers_of(&parts.headers),
        ..Request::default()
    };
    if let Some(a) = parts.uri.authority() {
        request.headers.0.insert(0, ("host".to_owned(), a.to_string()));
    }
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        request.body.extend(data);
    }
    request.trailers = body.trailers().await?.as_ref().map(headers_of).unwrap_or_default();
    seen.record(&request);
    let reply = handler(&request);
    let mut head = http::Response::builder().status(reply.status).body(()).unwrap();
    *head.headers_mut() = map_of(&reply.headers);
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(reply.body.into(), reply.trailers.is_empty())?;
    if !reply.trailers.is_empty() {
        stream.send_trailers(map_of(&reply.trailers))?;
    }
    Ok(())
}
