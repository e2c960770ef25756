//! What an accepted socket turns out to be: TLS or not, HTTP or a TCP router's (order of Traefik's router,
//! features 3.3). Looks at the first bytes without taking them.

use crate::access::ConnectionLog;
use crate::deadline::{Deadline, Signal};
use crate::entry_point::EntryPoint;
use crate::measure::Open;
use crate::secure::Handshake;
use crate::snapshot::{Snapshot, View};
use crate::tcp::{Match, TcpRouter, TcpTls, is_ssl_request};
use crate::worker::Connection;
use crate::{h1, h2};
use http::HeaderValue;
use rustls::ServerConfig;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use torana_http::h1::Io;
use torana_http::proxy_protocol::{self, Header};
use torana_http::{Peer, TlsFacts};
use torana_router::TcpFacts;
use torana_tls::acme::Challenges;
use torana_tls::{Peeked, Peeker, TlsOptions, UNRECOGNIZED_NAME, cipher_name, version_name};
use torana_upstream::l4::{Ends, Opening, POSTGRES_SSL_ACCEPTED, POSTGRES_SSL_REQUEST};

/// What a ClientHello asks for.
#[derive(Default)]
struct Hello {
    sni: Option<String>,
    alpn: Vec<Vec<u8>>,
}

const HANDSHAKE_RECORD: u8 = 0x16;
/// SSL 2, which nobody speaks any more: Traefik takes it for TLS too, and lets it fail there.
const SSL2_RECORD: u8 = 0x80;
/// The protocol of the TLS-ALPN challenge.
const ACME_TLS: &[u8] = b"acme-tls/1";
/// Fixed in Traefik too.
const CHALLENGE_TIME: Duration = Duration::from_secs(2);
/// What PostgreSQL's request for TLS begins with.
const POSTGRES: u8 = 0;

/// Where a TLS connection goes.
enum Secured {
    Https(Arc<Handshake>),
    Tcp(Arc<TcpRouter>),
    /// The options for its name cannot be used.
    Nobody,
}

/// A connection that has shaken hands.
struct Https {
    stream: TlsStream<Io<TcpStream>>,
    connection: Connection,
    h2: bool,
}

impl Https {
    async fn serve(self) {
        let (io, connection) = (Io::new(self.stream), Rc::new(self.connection));
        if self.h2 {
            Box::pin(h2::serve(io, &connection)).await;
        } else {
            // HTTP/2 is for those that agreed on it; the preface of another ends the connection.
            h1::serve(io, &connection).await;
        }
    }
}

/// A connection of which only the addresses are known.
pub(crate) struct Accepted {
    pub(crate) from: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) entry_point: Arc<EntryPoint>,
    pub(crate) view: Rc<View>,
    pub(crate) hostname: HeaderValue,
    pub(crate) deadline: Rc<Deadline>,
    pub(crate) open: Option<Open>,
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
        if let Some(router) = self.at_once() {
            return self.relay(&router, io, Opening::None).await;
        }
        if io.read.is_empty() && !self.fill(&mut io).await {
            return;
        }
        match io.read[0] {
            HANDSHAKE_RECORD | SSL2_RECORD => {
                // What waiting and shaking hands took is given back; the rest of the connection is a task of its own.
                if let Some(https) = Box::pin(self.secure(io)).await {
                    tokio::task::spawn_local(https.serve());
                }
            }
            POSTGRES if self.has_tcp() => Box::pin(self.postgres(io)).await,
            _ => self.plain(io).await,
        }
    }

    /// Whether some TCP router serves the entry point.
    fn has_tcp(&self) -> bool {
        self.view.current().tcp.contains_key(&self.entry_point.name)
    }

    /// The router of a connection of which nothing needs to be read.
    fn at_once(&self) -> Option<Arc<TcpRouter>> {
        let snapshot = self.view.current();
        let routes = snapshot.tcp.get(&self.entry_point.name)?;
        let has_https = snapshot.secure.get(&self.entry_point.name).is_some_and(|s| !s.routes.is_empty());
        routes.at_once(self.from.ip().to_canonical(), has_https).cloned()
    }

    /// Without TLS: a TCP router's, or else HTTP.
    async fn plain(self, io: Io<TcpStream>) {
        let snapshot = self.view.current();
        let router = snapshot.tcp.get(&self.entry_point.name).and_then(|t| t.plain(self.from.ip().to_canonical())).cloned();
        drop(snapshot);
        if let Some(router) = router {
            return self.relay(&router, io, Opening::None).await;
        }
        let connection = Rc::new(self.into_connection(None));
        if let Some(io) = h1::serve(io, &connection).await {
            Box::pin(h2::serve(io, &connection)).await;
        }
    }

    /// Passes on what was read and everything that follows.
    async fn relay(self, router: &TcpRouter, mut io: Io<TcpStream>, opening: Opening) {
        self.deadline.set(None);
        let first = std::mem::take(&mut io.read);
        router.run(io.stream, &first, self.ends(), opening).await;
    }

    fn ends(&self) -> Ends {
        Ends { client: self.from, local: self.local }
    }

    fn into_connection(self, tls: Option<Rc<TlsFacts>>) -> Connection {
        let trusted = self.entry_point.trust.includes(self.from.ip().to_canonical());
        let peer = Rc::new(Peer::new(self.from, self.local, tls, self.entry_point.name.clone(), trusted));
        Connection {
            log: ConnectionLog::new(&self.entry_point),
            peer,
            entry_point: self.entry_point,
            view: self.view,
            hostname: self.hostname,
            deadline: self.deadline,
            _open: self.open,
        }
    }

    /// Reads more; false at the end of the connection or of its time.
    async fn fill(&self, io: &mut Io<TcpStream>) -> bool {
        poll_fn(|cx| match self.deadline.poll(cx) {
            Signal::None => Poll::Ready(matches!(ready!(io.poll_fill(cx)), Ok(1..))),
            Signal::Drain if !io.read.is_empty() => Poll::Ready(matches!(ready!(io.poll_fill(cx)), Ok(1..))),
            // What has come already is ours to serve.
            Signal::Drain => Poll::Ready(matches!(io.poll_fill(cx), Poll::Ready(Ok(1..)))),
            Signal::Expired => Poll::Ready(false),
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

    /// What the client asks for; `None` if it goes away, or its time is over.
    async fn hello(&self, io: &mut Io<TcpStream>) -> Option<Hello> {
        let mut peeker = Peeker::default();
        loop {
            match peeker.peek(&io.read) {
                Peeked::Hello { sni, alpn } => return Some(Hello { sni, alpn }),
                Peeked::More if self.fill(io).await => {}
                Peeked::More => return None,
                // The handshake finds the words for what is wrong.
                Peeked::NotTls | Peeked::Malformed => return Some(Hello::default()),
            }
        }
    }

    /// TLS: routed by what the ClientHello says. `None` when it is done with.
    async fn secure(self, mut io: Io<TcpStream>) -> Option<Https> {
        let hello = self.hello(&mut io).await?;
        if !self.entry_point.acme_bypass
            && hello.alpn.iter().any(|p| p == ACME_TLS)
            && let Some(challenges) = self.view.current().challenges.clone()
        {
            self.challenge(io, hello, &challenges).await;
            return None;
        }
        match self.route(&hello) {
            Secured::Https(handshake) => return self.https(io, hello, handshake).await,
            Secured::Tcp(router) => self.secure_tcp(&router, io, hello, Opening::None).await,
            Secured::Nobody => {
                tracing::debug!(peer = %self.from, sni = hello.sni, entryPointName = &*self.entry_point.name, "no usable TLS options: closed");
            }
        }
        None
    }

    /// A handshake with the authority's certificate and nothing more (RFC 8737, 3).
    async fn challenge(self, io: Io<TcpStream>, hello: Hello, challenges: &Challenges) {
        self.deadline.set(Some(CHALLENGE_TIME));
        let Some(key) = hello.sni.as_deref().and_then(|sni| challenges.alpn01(sni)) else {
            return tracing::debug!(peer = %self.from, sni = hello.sni, "a TLS-ALPN challenge that nobody waits for");
        };
        self.shake(torana_tls::challenge_config(key), io, &hello).await;
    }

    /// Names that HTTPS routers name come first, catch-alls last.
    fn route(&self, hello: &Hello) -> Secured {
        let snapshot = self.view.current();
        let name = &self.entry_point.name;
        let (secure, sni) = (snapshot.secure.get(name), hello.sni.as_deref().unwrap_or_default());
        let https = |handshake: &Option<Arc<Handshake>>| handshake.clone().map_or(Secured::Nobody, Secured::Https);
        if let Some(handshake) = secure.and_then(|s| s.named(sni)) {
            return https(handshake);
        }
        let tcp = self.tcp_router(&snapshot, hello);
        match tcp {
            Some((router, false)) => Secured::Tcp(router),
            Some((router, true)) if !secure.is_some_and(|s| s.any) => Secured::Tcp(router),
            _ => https(secure.and_then(|s| s.star.as_ref()).unwrap_or(&snapshot.default_handshake)),
        }
    }

    /// The TCP router for a ClientHello, and whether it takes everything.
    fn tcp_router(&self, snapshot: &Snapshot, hello: &Hello) -> Option<(Arc<TcpRouter>, bool)> {
        let routes = snapshot.tcp.get(&self.entry_point.name)?;
        let peer = self.from.ip().to_canonical();
        let facts = TcpFacts { sni: hello.sni.as_deref().unwrap_or_default(), alpn: &hello.alpn, peer };
        let found = routes.tls.find(&facts)?;
        Some((found.target.clone(), found.rule.is_catch_all()))
    }

    /// PostgreSQL asks for TLS in its own words first (its documentation, 54.2.10).
    async fn postgres(self, mut io: Io<TcpStream>) {
        loop {
            match is_ssl_request(&io.read) {
                Match::Yes => break,
                Match::No => return self.plain(io).await,
                Match::More if self.fill(&mut io).await => {}
                Match::More => return,
            }
        }
        bytes::Buf::advance(&mut io.read, POSTGRES_SSL_REQUEST.len());
        if io.stream.write_all(&[POSTGRES_SSL_ACCEPTED]).await.is_err() || (io.read.is_empty() && !self.fill(&mut io).await) {
            return;
        }
        let Some(hello) = self.hello(&mut io).await else { return };
        let found = self.tcp_router(&self.view.current(), &hello);
        if let Some((router, _)) = found {
            self.secure_tcp(&router, io, hello, Opening::PostgresTls).await;
        }
    }

    async fn secure_tcp(self, router: &TcpRouter, io: Io<TcpStream>, hello: Hello, opening: Opening) {
        let options = match &router.tls {
            TcpTls::Passthrough => return self.relay(router, io, opening).await,
            TcpTls::Terminate { options } => options,
            TcpTls::None => return,
        };
        let Some(_held) = router.admit(self.from.ip().to_canonical()) else { return };
        let Some(handshake) = self.view.current().handshakes.get(options).cloned() else { return };
        let handshake = self.on_demand(&hello, handshake).await;
        if let Some(mut stream) = self.handshake(io, &hello, &handshake).await {
            self.deadline.set(None);
            router.serve(&mut stream, &[], self.ends(), Opening::None).await;
        }
    }

    async fn https(self, io: Io<TcpStream>, hello: Hello, handshake: Arc<Handshake>) -> Option<Https> {
        let handshake = self.on_demand(&hello, handshake).await;
        let stream = self.handshake(io, &hello, &handshake).await?;
        let (h2, facts) = {
            let (_, tls) = stream.get_ref();
            (tls.alpn_protocol() == Some(b"h2"), facts(tls, hello.sni, &handshake.options))
        };
        let connection = self.into_connection(Some(Rc::new(facts)));
        connection.deadline.set(connection.entry_point.read_timeout);
        Some(Https { stream, connection, h2 })
    }

    /// Where no certificate has the name and one may be ordered, waits for it a little.
    async fn on_demand(&self, hello: &Hello, handshake: Arc<Handshake>) -> Arc<Handshake> {
        let entry_point = &self.entry_point.name;
        let waiting = hello.sni.as_deref().and_then(|sni| self.view.current().demand(entry_point, sni, &handshake));
        let Some(waiting) = waiting else { return handshake };
        let mut over = Box::pin(waiting.over());
        poll_fn(|cx| match self.deadline.poll(cx) {
            Signal::Expired => Poll::Ready(()),
            _ => over.as_mut().poll(cx),
        })
        .await;
        self.view.current().handshakes.get(handshake.options.name()).cloned().unwrap_or(handshake)
    }

    /// Shakes hands within the connection's time.
    async fn handshake(&self, io: Io<TcpStream>, hello: &Hello, handshake: &Handshake) -> Option<TlsStream<Io<TcpStream>>> {
        let Some(config) = handshake.config_for(hello.sni.as_deref(), &hello.alpn, self.local.ip()) else {
            tracing::debug!(peer = %self.from, sni = hello.sni, entryPointName = &*self.entry_point.name, "no certificate for the name: refused");
            let _ = io.stream.try_write(&UNRECOGNIZED_NAME);
            return None;
        };
        self.shake(config, io, hello).await
    }

    async fn shake(&self, config: Arc<ServerConfig>, io: Io<TcpStream>, hello: &Hello) -> Option<TlsStream<Io<TcpStream>>> {
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

fn facts(tls: &rustls::ServerConnection, sni: Option<String>, options: &TlsOptions) -> TlsFacts {
    TlsFacts {
        sni,
        version: tls.protocol_version().map_or("", version_name),
        cipher: tls.negotiated_cipher_suite().map_or("", |s| cipher_name(s.suite())),
        certificates: tls.peer_certificates().unwrap_or_default().iter().map(|c| c.to_vec()).collect(),
        options: options.name().clone(),
        options_digest: *options.digest(),
    }
}
