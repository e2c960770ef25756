//! What an accepted socket turns out to be: TLS or not, HTTP or a TCP router's (order of Traefik's router,
//! features 3.3). Looks at the first bytes without taking them.

use crate::deadline::{Deadline, Signal};
use crate::entry_point::EntryPoint;
use crate::secure::Handshake;
use crate::snapshot::View;
use crate::worker::Connection;
use crate::{h1, h2};
use http::HeaderValue;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use torana_http::h1::Io;
use torana_http::proxy_protocol::{self, Header};
use torana_http::{Peer, TlsFacts};
use torana_tls::{Peeked, UNRECOGNIZED_NAME, cipher_name, peek, version_name};

/// What a ClientHello asks for.
#[derive(Default)]
struct Hello {
    sni: Option<String>,
    alpn: Vec<Vec<u8>>,
}

const HANDSHAKE_RECORD: u8 = 0x16;
/// SSL 2, which nobody speaks any more: Traefik takes it for TLS too, and lets it fail there.
const SSL2_RECORD: u8 = 0x80;

/// A connection of which only the addresses are known.
pub(crate) struct Accepted {
    pub(crate) from: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) entry_point: Arc<EntryPoint>,
    pub(crate) view: Rc<View>,
    pub(crate) hostname: HeaderValue,
    pub(crate) deadline: Rc<Deadline>,
}

impl Accepted {
    /// Serves the connection until it closes.
    pub(crate) async fn serve(mut self, stream: TcpStream) {
        let mut io = Io::new(stream);
        self.deadline.set(self.entry_point.read_timeout);
        self.deadline.set_idle(true);
        if self.entry_point.proxy_protocol.as_ref().is_some_and(|t| t.includes(self.from.ip().to_canonical()))
            && !self.proxy_header(&mut io).await
        {
            return;
        }
        if io.read.is_empty() && !self.fill(&mut io).await {
            return;
        }
        match io.read[0] {
            HANDSHAKE_RECORD | SSL2_RECORD => Box::pin(self.secure(io)).await,
            _ => {
                let connection = Rc::new(self.into_connection(None));
                if let Some(io) = h1::serve(io, &connection).await {
                    Box::pin(h2::serve(io, &connection)).await;
                }
            }
        }
    }

    fn into_connection(self, tls: Option<Rc<TlsFacts>>) -> Connection {
        let trusted = self.entry_point.trust.includes(self.from.ip().to_canonical());
        let peer = Rc::new(Peer::new(self.from, self.local, tls, self.entry_point.name.clone(), trusted));
        Connection { peer, entry_point: self.entry_point, view: self.view, hostname: self.hostname, deadline: self.deadline }
    }

    /// Reads more; false at the end of the connection or of its time.
    async fn fill(&self, io: &mut Io<TcpStream>) -> bool {
        poll_fn(|cx| match self.deadline.poll(cx) {
            Signal::None => Poll::Ready(matches!(ready!(io.poll_fill(cx)), Ok(1..))),
            Signal::Drain if !io.read.is_empty() => Poll::Ready(matches!(ready!(io.poll_fill(cx)), Ok(1..))),
            _ => Poll::Ready(false),
        })
        .await
    }

    /// Whether the connection goes on, with the addresses that a PROXY header gives if there is one.
    async fn proxy_header(&mut self, io: &mut Io<TcpStream>) -> bool {
        loop {
            match proxy_protocol::parse(&io.read) {
                Header::More => {
                    if !self.fill(io).await {
                        return false;
                    }
                }
                Header::None => return true,
                Header::Addresses { length, from, to } => {
                    if let Some((from, to)) = from.zip(to) {
                        (self.from, self.local) = (from, to);
                    }
                    bytes::Buf::advance(&mut io.read, length);
                    return true;
                }
                Header::Malformed(why) => {
                    tracing::debug!(peer = %self.from, entryPointName = &*self.entry_point.name, why, "bad PROXY header");
                    return false;
                }
            }
        }
    }

    /// TLS: routed by what the ClientHello says.
    async fn secure(self, mut io: Io<TcpStream>) {
        let hello = loop {
            match peek(&io.read) {
                Peeked::Hello { sni, alpn } => break Hello { sni, alpn },
                Peeked::More => {
                    if !self.fill(&mut io).await {
                        return;
                    }
                }
                // The handshake finds the words for what is wrong.
                Peeked::NotTls | Peeked::Malformed => break Hello::default(),
            }
        };
        let snapshot = self.view.current();
        let Some(handshake) = snapshot.handshake(&self.entry_point.name, hello.sni.as_deref()).cloned() else {
            return tracing::debug!(sni = hello.sni, entryPointName = &*self.entry_point.name, "no usable TLS options: closed");
        };
        drop(snapshot);
        self.https(io, hello, handshake).await;
    }

    async fn https(self, io: Io<TcpStream>, hello: Hello, handshake: Arc<Handshake>) {
        let Some(stream) = self.handshake(io, &hello, &handshake).await else { return };
        let (h2, facts) = {
            let (_, tls) = stream.get_ref();
            (tls.alpn_protocol() == Some(b"h2"), facts(tls, hello.sni, handshake.options.name().clone()))
        };
        let connection = Rc::new(self.into_connection(Some(Rc::new(facts))));
        connection.deadline.set(connection.entry_point.read_timeout);
        if h2 {
            h2::serve(Io::new(stream), &connection).await;
        } else {
            // HTTP/2 is for those that agreed on it; the preface of another is answered like any bad request.
            h1::serve(Io::new(stream), &connection).await;
        }
    }

    /// Shakes hands within the connection's time.
    async fn handshake(&self, io: Io<TcpStream>, hello: &Hello, handshake: &Handshake) -> Option<TlsStream<Io<TcpStream>>> {
        let Some(config) = handshake.config_for(hello.sni.as_deref(), &hello.alpn, self.local.ip()) else {
            tracing::debug!(peer = %self.from, sni = hello.sni, entryPointName = &*self.entry_point.name, "no certificate for the name: refused");
            let _ = io.stream.try_write(&UNRECOGNIZED_NAME);
            return None;
        };
        let mut accepting = pin!(TlsAcceptor::from(config).accept(io));
        let done = poll_fn(|cx| match self.deadline.poll(cx) {
            Signal::Expired => Poll::Ready(None),
            _ => accepting.as_mut().poll(cx).map(Some),
        })
        .await;
        match done {
            Some(Ok(stream)) => Some(stream),
            Some(Err(error)) => {
                tracing::debug!(%error, peer = %self.from, sni = hello.sni, entryPointName = &*self.entry_point.name, "TLS handshake failed");
                None
            }
            None => None,
        }
    }
}

fn facts(tls: &rustls::ServerConnection, sni: Option<String>, options: Arc<str>) -> TlsFacts {
    TlsFacts {
        sni,
        version: tls.protocol_version().map_or("", version_name),
        cipher: tls.negotiated_cipher_suite().map_or("", |s| cipher_name(s.suite())),
        certificates: tls.peer_certificates().unwrap_or_default().iter().map(|c| c.to_vec()).collect(),
        options,
    }
}
