//! Which worker a packet belongs to. The kernel spreads packets over the workers' sockets by addresses; a client
//! that moves to another address comes out at another socket. The connection ID, which we choose, names the
//! worker, so that such packets are handed on to it.

use futures_util::task::AtomicWaker;
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid, RandomConnectionIdGenerator};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// Workers that a connection ID can name.
pub(super) const MOST_WORKERS: usize = 256;
const ID: usize = 8;
/// The random part of a connection ID.
const RANDOM: usize = 5;
/// Datagrams that wait for another worker; what is more is lost, as in a full network.
const WAITING: usize = 512;
/// The bit of packets with a long header, which are of a handshake: they come from where it began.
const LONG: u8 = 0x80;

/// Makes and reads connection IDs: five random bytes, the worker and two bytes that prove our hand, both hidden
/// by a keyed hash of the random ones, so that nobody else can tell which IDs go together (RFC 9000, 5.1).
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    key: Arc<RandomState>,
}

impl Ids {
    fn mask(&self, random: &[u8]) -> [u8; 8] {
        self.key.hash_one(random).to_le_bytes()
    }

    fn make(&self, worker: u8) -> [u8; ID] {
        let mut id = [0; ID];
        id[..RANDOM].copy_from_slice(&RandomConnectionIdGenerator::new(RANDOM).generate_cid());
        let mask = self.mask(&id[..RANDOM]);
        id[RANDOM] = worker ^ mask[0];
        id[RANDOM + 1..].copy_from_slice(&mask[1..3]);
        id
    }

    /// The worker; `None` for an ID that we did not make.
    fn worker(&self, id: &[u8]) -> Option<usize> {
        let (random, rest) = id.split_at_checked(RANDOM)?;
        let mask = self.mask(random);
        (rest.len() == ID - RANDOM && rest[1..] == mask[1..3]).then(|| usize::from(rest[0] ^ mask[0]))
    }

    /// The worker of a packet that belongs to an open connection.
    fn of_packet(&self, packet: &[u8]) -> Option<usize> {
        let (first, rest) = packet.split_first()?;
        if first & LONG != 0 {
            return None;
        }
        self.worker(rest.get(..ID)?)
    }
}

/// What an endpoint asks for new IDs.
pub(super) struct Generator {
    pub(super) ids: Ids,
    pub(super) worker: u8,
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.ids.make(self.worker))
    }

    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        self.ids.worker(cid).map(drop).ok_or(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        ID
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[derive(Debug)]
struct Datagram {
    bytes: Box<[u8]>,
    from: SocketAddr,
    ecn: Option<EcnCodepoint>,
    to: Option<IpAddr>,
}

/// Datagrams of one worker that came out at others.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    /// Read without the lock.
    any: AtomicBool,
    queue: Mutex<VecDeque<Datagram>>,
    waker: AtomicWaker,
}

impl Mailbox {
    fn put(&self, datagram: Datagram) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() < WAITING {
            queue.push_back(datagram);
            self.any.store(true, Ordering::Release);
            drop(queue);
            self.waker.wake();
        }
    }

    /// Fills what is there; how many.
    fn take(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
        if !self.any.load(Ordering::Acquire) {
            return 0;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut n = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some(d) = queue.pop_front() else { break };
            let len = d.bytes.len().min(buf.len());
            buf[..len].copy_from_slice(&d.bytes[..len]);
            let mut m = RecvMeta::default();
            (m.addr, m.len, m.stride, m.ecn, m.dst_ip) = (d.from, len, len, d.ecn, d.to);
            *meta = m;
            n += 1;
        }
        self.any.store(!queue.is_empty(), Ordering::Release);
        n
    }
}

/// A worker's socket, and the mailboxes of all workers on the same port.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) inner: Arc<dyn AsyncUdpSocket>,
    pub(super) worker: usize,
    pub(super) ids: Ids,
    pub(super) all: Arc<[Mailbox]>,
}

impl Socket {
    /// Hands on what belongs to others; what is left stands at the front of the buffer.
    fn sort(&self, buf: &mut [u8], meta: &mut RecvMeta) {
        let stride = meta.stride.max(1);
        let (mut kept, mut at) = (0, 0);
        while at < meta.len {
            let end = (at + stride).min(meta.len);
            let other = self.ids.of_packet(&buf[at..end]).filter(|w| *w != self.worker);
            match other.and_then(|w| self.all.get(w)) {
                Some(mailbox) => {
                    mailbox.put(Datagram { bytes: buf[at..end].into(), from: meta.addr, ecn: meta.ecn, to: meta.dst_ip });
                }
                None => {
                    if kept < at {
                        buf.copy_within(at..end, kept);
                    }
                    kept += end - at;
                }
            }
            at = end;
        }
        meta.len = kept;
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> Poll<io::Result<usize>> {
        if self.all.len() > 1 {
            let mine = &self.all[self.worker];
            mine.waker.register(cx.waker());
            let n = mine.take(bufs, meta);
            if n > 0 {
                return Poll::Ready(Ok(n));
            }
        }
        let received = self.inner.poll_recv(cx, bufs, meta);
        if self.all.len() > 1
            && let Poll::Ready(Ok(n)) = &received
        {
            for (buf, meta) in bufs.iter_mut().zip(meta).take(*n) {
                self.sort(buf, meta);
            }
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_their_worker_and_hide_it() {
        let ids = Ids::default();
        for worker in [0u8, 1, 7, 255] {
            let mut generator = Generator { ids: ids.clone(), worker };
            let (a, b) = (generator.generate_cid(), generator.generate_cid());
            assert_ne!(a, b);
            assert_eq!(ids.worker(&a), Some(usize::from(worker)));
            assert!(generator.validate(&a).is_ok());
            let packet = [&[0x40][..], &b, &[1, 2, 3]].concat();
            assert_eq!(ids.of_packet(&packet), Some(usize::from(worker)));
            assert_eq!(ids.of_packet(&[&[0xc0][..], &b].concat()), None);
        }
        let shown: std::collections::HashSet<u8> = (0..64).map(|_| ids.make(3)[RANDOM]).collect();
        assert!(shown.len() > 16);
        assert_eq!(Ids::default().worker(&[1; ID]), None);
        for short in 0..ID + 1 {
            assert_eq!(ids.of_packet(&[0x40; ID + 1][..short]), None);
        }
    }

    #[derive(Debug)]
    struct Silent;

    impl AsyncUdpSocket for Silent {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            unreachable!()
        }

        fn try_send(&self, _: &Transmit<'_>) -> io::Result<()> {
            Ok(())
        }

        fn poll_recv(&self, _: &mut Context<'_>, _: &mut [IoSliceMut<'_>], _: &mut [RecvMeta]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok("127.0.0.1:1".parse().unwrap())
        }
    }

    #[test]
    fn packets_of_others_are_handed_on() {
        let (ids, all) = (Ids::default(), Arc::from([Mailbox::default(), Mailbox::default()]));
        let socket = |worker| Socket { inner: Arc::new(Silent), worker, ids: ids.clone(), all: Arc::clone(&all) };
        let packet = |worker, tail: &[u8]| [&[0x40][..], &ids.make(worker), tail].concat();
        let (a, b, c) = (packet(0, b"aaa"), packet(1, b"bbb"), packet(0, b"c"));
        let mut buf = [&a[..], &b, &c].concat();
        let mut meta = RecvMeta::default();
        (meta.len, meta.stride, meta.addr) = (buf.len(), a.len(), "192.0.2.1:9".parse().unwrap());
        socket(0).sort(&mut buf, &mut meta);
        assert_eq!(buf[..meta.len], [&a[..], &c].concat());

        let (mut room, mut metas) = ([0; 64], [RecvMeta::default()]);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let got = socket(1).poll_recv(&mut cx, &mut [IoSliceMut::new(&mut room)], &mut metas);
        assert!(matches!(got, Poll::Ready(Ok(1))));
        assert_eq!((&room[..metas[0].len], metas[0].addr.port()), (&b[..], 9));
        assert!(socket(1).poll_recv(&mut cx, &mut [IoSliceMut::new(&mut room)], &mut metas).is_pending());
        // A full mailbox loses what is more.
        for _ in 0..2 * WAITING {
            (meta.len, meta.stride) = (b.len(), b.len());
            socket(0).sort(&mut b.clone(), &mut meta);
            assert_eq!(meta.len, 0);
        }
        assert_eq!(all[1].queue.lock().unwrap().len(), WAITING);
    }
}
