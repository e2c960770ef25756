//! A client's connection joined to one of a server, byte for byte both ways.

use super::{POSTGRES_SSL_ACCEPTED, POSTGRES_SSL_REQUEST, TcpServer, TcpService};
use crate::connect::Stream;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

const ROOM: usize = 32 * 1024;

thread_local! {
    /// What is on its way through this thread: a connection holds memory of its own only while its writer is
    /// slower than its reader.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; ROOM].into_boxed_slice());
}

/// Both ends of the client's connection, for the PROXY protocol.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The client, after the PROXY protocol of its own.
    pub client: SocketAddr,
    /// The address that it connected to.
    pub local: SocketAddr,
}

/// What is settled with the server before anything is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    None,
    /// The client asked PostgreSQL for TLS and was told to go on: the same is asked of the server.
    PostgresTls,
}

/// Why nothing was relayed; the client's connection is to be closed.
#[derive(Debug)]
pub enum RelayError {
    /// The service has no server, or none that is up.
    NoServer,
    /// Name of the server, and what went wrong with it.
    Server(String, io::Error),
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelayError::NoServer => f.write_str("no server is up"),
            RelayError::Server(name, e) => write!(f, "server `{name}`: {e}"),
        }
    }
}

impl std::error::Error for RelayError {}

/// What went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    pub to_server: u64,
    pub to_client: u64,
}

/// How many servers a connection is offered to.
const MOST_SERVERS: usize = 4;

/// Picks a server of the service, connects, and copies both ways until both have ended. `first` is what was read
/// from the client already; it goes to the server before the rest.
///
/// When one side ends what it sends, the other is told, and then has the transport's `terminationDelay` to end
/// too: after that it is cut off.
pub async fn relay<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut S,
    first: &[u8],
    service: &TcpService,
    ends: Ends,
    opening: Opening,
) -> Result<Relayed, RelayError> {
    let mut tried: SmallVec<[&TcpServer; MOST_SERVERS]> = SmallVec::new();
    let mut server = service.pick().ok_or(RelayError::NoServer)?;
    let mut stream = loop {
        let error = match server.transport.dial(&server.address, server.tls, Some(ends)).await {
            Ok(stream) => break stream,
            Err(error) => error,
        };
        // Nothing of the client's was sent yet.
        tried.push(server);
        // Asking for another one moves the rotation on.
        match if server.redispatch { another(service, &tried) } else { None } {
            Some(next) => {
                tracing::debug!(%error, server = server.name, "server passed over");
                server = next;
            }
            None => return Err(RelayError::Server(server.name.clone(), error)),
        }
    };
    let failed = |e| RelayError::Server(server.name.clone(), e);
    if opening == Opening::PostgresTls {
        ask_for_tls(&mut stream).await.map_err(failed)?;
    }
    Ok(join(client, first, &mut stream, server.transport.termination_delay).await)
}

/// A server that was not tried. What the service names again and again is not asked for again and again.
fn another<'s>(service: &'s TcpService, tried: &[&TcpServer]) -> Option<&'s TcpServer> {
    if tried.len() >= MOST_SERVERS {
        return None;
    }
    (0..2 * MOST_SERVERS).find_map(|_| service.pick().filter(|s| !tried.iter().any(|t| std::ptr::eq(*t, *s))))
}

async fn ask_for_tls(server: &mut Stream) -> io::Result<()> {
    server.write_all(&POSTGRES_SSL_REQUEST).await?;
    match server.read_u8().await? {
        POSTGRES_SSL_ACCEPTED => Ok(()),
        _ => Err(io::Error::other("the server does not accept TLS for PostgreSQL")),
    }
}

/// One direction.
#[derive(Default)]
struct Way {
    /// Read, but not taken by the writer.
    rest: Vec<u8>,
    at: usize,
    /// Nothing more is read.
    ended: bool,
    /// Over: all is written, and the writer was told.
    done: bool,
    bytes: u64,
}

impl Way {
    /// Goes on as far as it can; returns when it waits or is over. An error of either side ends the direction.
    fn run<R, W>(&mut self, reader: &mut R, writer: &mut W, cx: &mut Context<'_>)
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        while !self.done {
            while self.at < self.rest.len() {
                match Pin::new(&mut *writer).poll_write(cx, &self.rest[self.at..]) {
                    Poll::Ready(Ok(n)) if n > 0 => self.at += n,
                    Poll::Ready(_) => return self.give_up(writer, cx),
                    Poll::Pending => return,
                }
            }
            self.rest.clear();
            self.at = 0;
            if self.ended {
                // Told or failed: there is nothing more to do for this direction.
                self.done = Pin::new(&mut *writer).poll_shutdown(cx).is_ready();
                return;
            }
            if self.step(reader, writer, cx).is_pending() {
                return;
            }
        }
    }

    /// Reads once and passes on what the writer takes at once.
    fn step<R, W>(&mut self, reader: &mut R, writer: &mut W, cx: &mut Context<'_>) -> Poll<()>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        SCRATCH.with_borrow_mut(|room| {
            let mut buf = ReadBuf::new(room);
            match Pin::new(&mut *reader).poll_read(cx, &mut buf) {
                Poll::Pending => {
                    // A reader that keeps up with its writer is in no hurry: nothing is held while it waits.
                    self.rest = Vec::new();
                    // What a TLS writer still holds.
                    let _ = Pin::new(&mut *writer).poll_flush(cx);
                    return Poll::Pending;
                }
                Poll::Ready(Err(_)) => self.ended = true,
                Poll::Ready(Ok(())) if buf.filled().is_empty() => self.ended = true,
                Poll::Ready(Ok(())) => {
                    let data = buf.filled();
                    self.bytes += data.len() as u64;
                    let taken = match Pin::new(&mut *writer).poll_write(cx, data) {
                        Poll::Ready(Ok(n)) => n,
                        Poll::Ready(Err(_)) => {
                            self.ended = true;
                            return Poll::Ready(());
                        }
                        Poll::Pending => 0,
                    };
                    self.rest.extend_from_slice(&data[taken..]);
                }
            }
            Poll::Ready(())
        })
    }

    fn give_up<W: AsyncWrite + Unpin + ?Sized>(&mut self, writer: &mut W, cx: &mut Context<'_>) {
        self.rest = Vec::new();
        self.at = 0;
        self.ended = true;
        self.done = Pin::new(writer).poll_shutdown(cx).is_ready();
    }
}

async fn join<A, B>(client: &mut A, first: &[u8], server: &mut B, delay: Option<std::time::Duration>) -> Relayed
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Way { rest: first.to_vec(), bytes: first.len() as u64, ..Way::default() }, Way::default());
    let mut cut: Option<Pin<Box<Sleep>>> = None;
    std::future::poll_fn(|cx| {
        loop {
            // First of all: on a busy worker what comes too late may be there already.
            if cut.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
                (there.ended, back.ended) = (true, true);
            }
            there.run(client, server, cx);
            back.run(server, client, cx);
            let other = match (there.done, back.done) {
                (true, true) => return Poll::Ready(()),
                (false, false) => return Poll::Pending,
                (true, false) => &mut back,
                (false, true) => &mut there,
            };
            if other.ended || cut.is_some() {
                return Poll::Pending;
            }
            match delay {
                None => return Poll::Pending,
                Some(delay) if delay.is_zero() => other.ended = true,
                Some(delay) => cut = Some(Box::pin(sleep_until(Instant::now() + delay))),
            }
        }
    })
    .await;
    Relayed { to_server: there.bytes, to_client: back.bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::duplex;

    /// What the server and the client see of each other, each ending its side after `say`.
    async fn talk(delay: Option<Duration>, client_says: &[u8], server_waits: Duration, server_says: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut near, mut client) = duplex(64);
        let (mut far, mut server) = duplex(64);
        let client_side = async {
            client.write_all(client_says).await.unwrap();
            client.shutdown().await.unwrap();
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            got
        };
        let server_side = async {
            let mut got = Vec::new();
            server.read_to_end(&mut got).await.unwrap();
            tokio::time::sleep(server_waits).await;
            let _ = server.write_all(server_says).await;
            let _ = server.shutdown().await;
            drop(server);
            got
        };
        let relaying = async {
            let done = join(&mut near, b"first ", &mut far, delay).await;
            drop((near, far));
            done
        };
        let (_, to_client, to_server) = tokio::join!(relaying, client_side, server_side);
        (to_server, to_client)
    }

    #[tokio::test(start_paused = true)]
    async fn the_other_direction_has_its_time() {
        let ms = Duration::from_millis;
        let long = vec![b'x'; 100_000];
        for (delay, waits, arrives) in
            [(Some(ms(100)), ms(50), true), (Some(ms(100)), ms(500), false), (None, ms(100_000), true), (Some(ms(0)), ms(0), false)]
        {
            let (to_server, to_client) = talk(delay, &long, waits, b"answer").await;
            assert_eq!(to_server.len(), long.len() + 6);
            assert!(to_server.starts_with(b"first x"));
            assert_eq!(to_client, if arrives { &b"answer"[..] } else { b"" }, "{delay:?} {waits:?}");
        }
    }

    /// A service with one server, that runs a script.
    async fn service<F: Future<Output = ()> + Send>(script: impl FnOnce(tokio::net::TcpStream) -> F + Send + 'static) -> TcpService {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { script(listener.accept().await.unwrap().0).await });
        let transport = std::sync::Arc::new(super::super::TcpTransport::build(&Default::default()).unwrap());
        let server =
            super::super::TcpServer { name: address.clone(), address: address.parse().unwrap(), tls: false, redispatch: false, transport };
        TcpService::LoadBalancer(std::sync::Arc::new(super::super::TcpLoadBalancer::new("s@file".into(), vec![server], None)))
    }

    #[test]
    fn no_server_is_tried_twice() {
        let transport = std::sync::Arc::new(super::super::TcpTransport::build(&Default::default()).unwrap());
        let server = |n: u16| {
            let (name, address) = (n.to_string(), format!("127.0.0.1:{n}").parse().unwrap());
            super::super::TcpServer { name, address, tls: false, redispatch: true, transport: transport.clone() }
        };
        let servers = (1..4).map(server).collect();
        let service = TcpService::LoadBalancer(std::sync::Arc::new(super::super::TcpLoadBalancer::new("s@docker".into(), servers, None)));
        let mut tried = vec![service.pick().unwrap()];
        while let Some(next) = another(&service, &tried) {
            tried.push(next);
        }
        let mut names: Vec<&str> = tried.iter().map(|s| s.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["1", "2", "3"]);
    }

    #[tokio::test]
    async fn postgres_servers_are_asked_for_tls_first() {
        let ends = Ends { client: "127.0.0.1:1".parse().unwrap(), local: "127.0.0.1:2".parse().unwrap() };
        for (answer, good) in [(b'S', true), (b'N', false)] {
            let s = service(move |mut server| async move {
                let mut asked = [0; 8];
                server.read_exact(&mut asked).await.unwrap();
                assert_eq!(asked, POSTGRES_SSL_REQUEST);
                server.write_all(&[answer]).await.unwrap();
                let mut hello = [0; 5];
                if server.read_exact(&mut hello).await.is_ok() {
                    server.write_all(&hello).await.unwrap();
                }
            })
            .await;
            let (mut near, mut client) = duplex(64);
            let relaying = relay(&mut near, b"hello", &s, ends, Opening::PostgresTls);
            if good {
                let mut got = [0; 5];
                let (relayed, _) = tokio::join!(relaying, async {
                    client.read_exact(&mut got).await.unwrap();
                    client.shutdown().await.unwrap();
                });
                assert_eq!((&got, relayed.unwrap()), (b"hello", Relayed { to_server: 5, to_client: 5 }));
            } else {
                assert!(relaying.await.unwrap_err().to_string().contains("does not accept TLS"));
            }
        }
        let nobody = TcpService::LoadBalancer(std::sync::Arc::new(super::super::TcpLoadBalancer::new("s@file".into(), Vec::new(), None)));
        assert!(matches!(relay(&mut duplex(1).0, b"", &nobody, ends, Opening::None).await, Err(RelayError::NoServer)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_ends_first_ends_the_client_too() {
        let (mut near, mut client) = duplex(64);
        let (mut far, mut server) = duplex(64);
        let relaying = tokio::spawn(async move { join(&mut near, b"", &mut far, Some(Duration::from_millis(100))).await });
        server.write_all(b"banner").await.unwrap();
        server.shutdown().await.unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"banner");
        assert_eq!(relaying.await.unwrap(), Relayed { to_server: 0, to_client: 6 });
    }
}
