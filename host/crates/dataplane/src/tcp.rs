//! TCP routers: what becomes of a connection that is not HTTP.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use torana_http::{Admission, TcpFilter};
use torana_router::{TcpFacts, TcpTable};
use torana_upstream::l4::{Ends, Opening, POSTGRES_SSL_REQUEST, RelayError, TcpService, relay};

/// A compiled `tcp.routers.<name>`.
pub struct TcpRouter {
    /// `name@provider`
    pub name: Arc<str>,
    pub middlewares: Vec<Arc<dyn TcpFilter>>,
    pub service: TcpService,
    pub tls: TcpTls,
}

/// What happens to the TLS of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpTls {
    /// There is none.
    None,
    /// It goes to the server as it comes.
    Passthrough,
    /// The gateway ends it, with these options (`name@provider`, or `default`).
    Terminate { options: Arc<str> },
}

/// The TCP routers of an entry point.
#[derive(Default)]
pub struct TcpRoutes {
    /// For connections without TLS.
    pub plain: TcpTable<Arc<TcpRouter>>,
    pub tls: TcpTable<Arc<TcpRouter>>,
}

/// By name of entry point; one that is missing has none.
pub type TcpEntryPoints = FxHashMap<Arc<str>, TcpRoutes>;

/// What the middlewares hold while a connection is open.
#[must_use]
#[derive(Default)]
pub struct Admitted(SmallVec<[Box<dyn Any + Send>; 1]>);

impl TcpRoutes {
    /// The router of a connection before anything was read of it, so that servers may speak first; `None` where it
    /// has to be seen first whether it brings TLS. `has_https` says whether the entry point has HTTPS routers.
    pub fn at_once(&self, peer: IpAddr, has_https: bool) -> Option<&Arc<TcpRouter>> {
        if has_https || !self.tls.is_empty() { None } else { self.plain(peer) }
    }

    /// The router of a connection without TLS.
    pub fn plain(&self, peer: IpAddr) -> Option<&Arc<TcpRouter>> {
        self.plain.find(&TcpFacts { sni: "", alpn: &[], peer }).map(|r| &r.target)
    }
}

impl TcpRouter {
    /// Asks the middlewares, in order; `None` to close the connection. What comes out is to be held until the
    /// connection ends.
    pub fn admit(&self, peer: IpAddr) -> Option<Admitted> {
        let mut admitted = Admitted::default();
        for m in &self.middlewares {
            match m.admit(peer) {
                Admission::Admit => {}
                Admission::Hold(held) => admitted.0.push(held),
                Admission::Refuse(reason) => {
                    tracing::debug!(routerName = &*self.name, clientAddr = %peer, reason, "connection refused");
                    return None;
                }
            }
        }
        Some(admitted)
    }

    /// Relays the connection to a server until both sides have ended. `first` is what was read already. The caller
    /// closes the client's side afterwards, by dropping it.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, client: &mut S, first: &[u8], ends: Ends, opening: Opening) {
        match relay(client, first, &self.service, ends, opening).await {
            Ok(_) => {}
            Err(RelayError::NoServer) => tracing::debug!(routerName = &*self.name, "no server is up: the connection is closed"),
            Err(error @ RelayError::Server(..)) => tracing::error!(routerName = &*self.name, %error, "cannot connect to a TCP server"),
        }
    }

    /// [`Self::admit`], then [`Self::serve`].
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(&self, mut client: S, first: &[u8], ends: Ends, opening: Opening) {
        if let Some(_held) = self.admit(ends.client.ip()) {
            self.serve(&mut client, first, ends, opening).await;
        }
    }
}

/// Whether the bytes begin something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    Yes,
    No,
    /// They may: more bytes will tell.
    More,
}

/// Whether a connection begins with PostgreSQL's request for TLS, which is
/// [`POSTGRES_SSL_REQUEST`](torana_upstream::l4::POSTGRES_SSL_REQUEST). The answer to it is
/// [`POSTGRES_SSL_ACCEPTED`](torana_upstream::l4::POSTGRES_SSL_ACCEPTED); the ClientHello follows. A router with
/// passthrough is then run with [`Opening::PostgresTls`].
pub fn is_ssl_request(bytes: &[u8]) -> Match {
    let n = bytes.len().min(POSTGRES_SSL_REQUEST.len());
    match bytes[..n] == POSTGRES_SSL_REQUEST[..n] {
        false => Match::No,
        true if n < POSTGRES_SSL_REQUEST.len() => Match::More,
        true => Match::Yes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssl_requests() {
        let all = POSTGRES_SSL_REQUEST;
        for (bytes, expected) in [
            (&[][..], Match::More),
            (&all[..1], Match::More),
            (&all[..7], Match::More),
            (&all[..], Match::Yes),
            (&[&all[..], b"more"].concat(), Match::Yes),
            (b"GET", Match::No),
            (&[0, 0, 0, 8, 4, 210, 22, 48], Match::No),
            (&[0, 0, 1], Match::No),
        ] {
            assert_eq!(is_ssl_request(bytes), expected, "{bytes:?}");
        }
    }
}
