use bytes::{Buf, Bytes, BytesMut};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Room that a worker lends to whichever connection reads: an idle connection holds none.
const SCRATCH: usize = 16 * 1024;
/// Largest piece of a body that is read at once.
const MAX_PIECE: usize = 64 * 1024;
/// Bodies up to this size are copied behind their head, so that one write carries both.
const COPY_BELOW: usize = 16 * 1024;

thread_local! {
    static ROOM: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// How many bytes to ask for when `wanted` are known to come.
pub fn fill_size(wanted: u64) -> usize {
    (wanted.min(MAX_PIECE as u64) as usize).max(1)
}

/// A connection with what was read ahead and what waits to be written. Both buffers are empty, and hold
/// no memory, while nothing is under way.
#[derive(Debug)]
pub struct Io<S> {
    pub stream: S,
    pub read: BytesMut,
    /// Heads, chunk frames and small bodies.
    pub write: Vec<u8>,
    written: usize,
    /// A large piece of a body, sent behind `write` without a copy.
    pub piece: Bytes,
    /// Written behind `piece`.
    pub tail: &'static [u8],
}

impl<S: AsyncRead + AsyncWrite + Unpin> Io<S> {
    pub fn new(stream: S) -> Self {
        Io { stream, read: BytesMut::new(), write: Vec::new(), written: 0, piece: Bytes::new(), tail: b"" }
    }

    /// Reads what is there into `read`; 0 at the end of the connection.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ROOM.with_borrow_mut(|room| {
            let mut buf = ReadBuf::new(room);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            self.read.extend_from_slice(buf.filled());
            Poll::Ready(Ok(buf.filled().len()))
        })
    }

    /// As `poll_fill`, straight into a buffer of its own: for bodies, whose pieces are handed on.
    pub fn poll_fill_piece(&mut self, cx: &mut Context<'_>, wanted: u64) -> Poll<io::Result<usize>> {
        if wanted < SCRATCH as u64 / 2 {
            return self.poll_fill(cx);
        }
        self.read.reserve(fill_size(wanted));
        let mut limited = bytes::BufMut::limit(&mut self.read, fill_size(wanted));
        read_into(Pin::new(&mut self.stream), cx, &mut limited)
    }

    /// Queues a piece of a body; call only when `poll_flush` was ready.
    pub fn queue(&mut self, piece: Bytes, tail: &'static [u8]) {
        if piece.len() <= COPY_BELOW {
            self.write.extend_from_slice(&piece);
            self.write.extend_from_slice(tail);
        } else {
            self.piece = piece;
            self.tail = tail;
        }
    }

    pub fn has_output(&self) -> bool {
        self.written < self.write.len() || !self.piece.is_empty() || !self.tail.is_empty()
    }

    /// Writes everything queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.has_output() {
            let head = &self.write[self.written..];
            let n = if self.piece.is_empty() && self.tail.is_empty() {
                ready!(Pin::new(&mut self.stream).poll_write(cx, head))?
            } else {
                let slices = [io::IoSlice::new(head), io::IoSlice::new(&self.piece), io::IoSlice::new(self.tail)];
                ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &slices))?
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = n.min(head.len());
            self.written += of_head;
            let of_piece = (n - of_head).min(self.piece.len());
            self.piece.advance(of_piece);
            self.tail = &self.tail[n - of_head - of_piece..];
        }
        self.write.clear();
        self.written = 0;
        self.piece = Bytes::new();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Gives back the memory of empty buffers.
    pub fn release(&mut self) {
        if self.read.is_empty() {
            self.read = BytesMut::new();
        }
        if self.write.is_empty() {
            self.write = Vec::new();
        }
    }
}

/// Reads once into spare capacity.
fn read_into<S: AsyncRead, B: bytes::BufMut>(stream: Pin<&mut S>, cx: &mut Context<'_>, buf: &mut B) -> Poll<io::Result<usize>> {
    use tokio::io::AsyncReadExt;
    // `read_buf` is the safe way to spare capacity; its future holds no state between polls.
    let mut stream = stream;
    let read = std::pin::pin!(stream.read_buf(buf));
    std::future::Future::poll(read, cx)
}

/// What was read ahead comes first: for protocols that take over a connection.
impl<S: AsyncRead + Unpin> AsyncRead for Io<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let n = buf.remaining().min(self.read.len());
        buf.put_slice(&self.read[..n]);
        self.read.advance(n);
        if self.read.is_empty() {
            self.read = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Io<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
