//! An HTTP/3 client (quinn and h3, another implementation than the gateway's), on a runtime that moves only
//! while a test waits for something: a client that is not asked reads nothing and acknowledges nothing.

use super::backend::headers_of;
use super::message::Headers;
use super::{PATIENCE, TlsClient};
use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use http::{HeaderMap, Request};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Endpoint, EndpointConfig, TransportConfig, VarInt};
use std::future::poll_fn;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

pub(crate) type H3Stream = RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct H3Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
}

impl H3Answer {
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) struct H3Conn {
    runtime: tokio::runtime::Runtime,
    endpoint: Endpoint,
    pub(crate) quic: quinn::Connection,
    requests: Option<SendRequest<h3_quinn::OpenStreams, Bytes>>,
}

/// As browsers have it, and more: nothing but the gateway itself limits what it sends.
fn unlimited() -> TransportConfig {
    let mut t = TransportConfig::default();
    t.stream_receive_window(VarInt::from_u32(1 << 30)).receive_window(VarInt::from_u32(1 << 30)).send_window(1 << 30);
    t
}

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

impl H3Conn {
    #[track_caller]
    pub(crate) fn open(at: SocketAddr, name: &str) -> H3Conn {
        H3Conn::with(TlsClient::new(), at, name).unwrap_or_else(|e| panic!("no HTTP/3 with {name}: {e}"))
    }

    /// HTTP/3 with what `tls` says; the error is that of the handshake.
    pub(crate) fn with(tls: TlsClient, at: SocketAddr, name: &str) -> Result<H3Conn, String> {
        let mut c = H3Conn::bare(tls, at, name)?;
        let quic = c.quic.clone();
        let made = c.run(async { h3::client::new(h3_quinn::Connection::new(quic)).await.map_err(|e| e.to_string()) });
        let (mut driver, requests) = made?;
        c.runtime.spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
        c.requests = Some(requests);
        Ok(c)
    }

    /// A connection on which no HTTP/3 was spoken yet.
    pub(crate) fn bare(tls: TlsClient, at: SocketAddr, name: &str) -> Result<H3Conn, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut client = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls.alpn(&["h3"]).config).unwrap()));
        client.transport_config(Arc::new(unlimited()));
        let entered = runtime.enter();
        let endpoint = Endpoint::new(EndpointConfig::default(), None, socket(), Arc::new(quinn::TokioRuntime)).unwrap();
        let connecting = endpoint.connect_with(client, at, name).unwrap();
        drop(entered);
        let quic = runtime
            .block_on(async { tokio::time::timeout(PATIENCE, connecting).await })
            .map_err(|_| "no handshake in time".to_owned())?
            .map_err(|e| e.to_string())?;
        Ok(H3Conn { runtime, endpoint, quic, requests: None })
    }

    /// The first packets of `n` handshakes, from a client that sends nothing more and hears nothing.
    #[track_caller]
    pub(crate) fn half_open(at: SocketAddr, n: usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let tls = TlsClient::new().alpn(&["h3"]).config;
        let client = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        // The client takes this for the server; what it sends goes on from another address.
        let (taken, sender) = (socket(), socket());
        taken.set_nonblocking(true).unwrap();
        runtime.block_on(async {
            let endpoint = Endpoint::new(EndpointConfig::default(), None, socket(), Arc::new(quinn::TokioRuntime)).unwrap();
            let mut all = Vec::new();
            for _ in 0..n {
                all.push(endpoint.connect_with(client.clone(), taken.local_addr().unwrap(), "a.test").unwrap());
                tokio::task::yield_now().await;
                let mut room = [0; 2048];
                while let Ok(n) = taken.recv(&mut room) {
                    sender.send_to(&room[..n], at).unwrap();
                }
            }
        });
    }

    /// What ends the attempt, be it the handshake or, as for client certificates, what follows.
    #[track_caller]
    pub(crate) fn refused(tls: TlsClient, at: SocketAddr, name: &str) -> String {
        let outcome = H3Conn::bare(tls, at, name).and_then(|c| {
            let quic = c.quic.clone();
            c.run(async move {
                let (mut send, mut recv) = quic.open_bi().await.map_err(|e| e.to_string())?;
                send.write_all(&[0x21, 0]).await.map_err(|e| e.to_string())?;
                recv.read_to_end(100).await.map_err(|e| e.to_string())
            })
            .map_err(|e| c.quic.close_reason().map_or(e, |reason| reason.to_string()))
        });
        outcome.expect_err("it is let in")
    }

    /// Waits for something of the connection.
    #[track_caller]
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await }).expect("not over HTTP/3 in time")
    }

    /// Runs something beside.
    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(work)
    }

    pub(crate) fn requests(&self) -> SendRequest<h3_quinn::OpenStreams, Bytes> {
        self.requests.clone().unwrap()
    }

    /// The client goes on from another address.
    pub(crate) fn move_away(&self) {
        let _entered = self.runtime.enter();
        self.endpoint.rebind(socket()).unwrap();
    }

    #[track_caller]
    pub(crate) fn get(&self, host: &str, target: &str) -> H3Answer {
        self.send(Request::get(format!("https://{host}{target}")).body(()).unwrap(), vec![], None)
    }

    /// One request; its body goes out piece by piece.
    #[track_caller]
    pub(crate) fn send(&self, request: Request<()>, body: Vec<Bytes>, trailers: Option<HeaderMap>) -> H3Answer {
        let mut requests = self.requests();
        self.run(async move { exchange(&mut requests, request, body, trailers).await }).unwrap()
    }

    /// Sends a request without a body, and waits for nothing.
    #[track_caller]
    pub(crate) fn begin(&self, request: Request<()>) -> H3Stream {
        let mut requests = self.requests();
        self.run(async move {
            let mut stream = requests.send_request(request).await.unwrap();
            stream.finish().await.unwrap();
            // The connection has a task of its own, which must come to it.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            stream
        })
    }

    /// Why the gateway closed the connection.
    #[track_caller]
    pub(crate) fn closed(&self) -> String {
        self.run(self.quic.closed()).to_string()
    }
}

pub(crate) async fn exchange(
    requests: &mut SendRequest<h3_quinn::OpenStreams, Bytes>,
    request: Request<()>,
    body: Vec<Bytes>,
    trailers: Option<HeaderMap>,
) -> Result<H3Answer, String> {
    let mut stream = requests.send_request(request).await.map_err(|e| format!("send: {e}"))?;
    for piece in body {
        stream.send_data(piece).await.map_err(|e| format!("body: {e}"))?;
    }
    if let Some(t) = trailers {
        stream.send_trailers(t).await.map_err(|e| format!("trailers: {e}"))?;
    }
    stream.finish().await.map_err(|e| format!("finish: {e}"))?;
    answer(&mut stream).await
}

/// The answer to a request that was sent.
pub(crate) async fn answer(stream: &mut H3Stream) -> Result<H3Answer, String> {
    let head = stream.recv_response().await.map_err(|e| format!("head: {e}"))?;
    let mut answer = H3Answer { status: head.status().as_u16(), headers: headers_of(head.headers()), ..H3Answer::default() };
    while let Some(mut data) = stream.recv_data().await.map_err(|e| format!("data: {e}"))? {
        answer.body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    let trailers = stream.recv_trailers().await.map_err(|e| format!("trailers: {e}"))?;
    answer.trailers = trailers.as_ref().map(headers_of).unwrap_or_default();
    Ok(answer)
}
