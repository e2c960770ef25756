//! Two connections joined after an upgrade.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const ROOM: usize = 32 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; ROOM].into_boxed_slice());
}

/// One direction: what the writer did not take yet, and whether the reader ended.
#[derive(Default)]
struct Way {
    rest: Vec<u8>,
    at: usize,
    ended: bool,
    shut: bool,
}

impl Way {
    /// Ready when this direction is over. Holds memory only while the writer is slower than the reader.
    fn poll<R: AsyncRead + Unpin + ?Sized, W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while self.at < self.rest.len() {
                match Pin::new(&mut *writer).poll_write(cx, &self.rest[self.at..]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(n)) => self.at += n,
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            self.rest = Vec::new();
            self.at = 0;
            if self.ended {
                if !self.shut {
                    match Pin::new(&mut *writer).poll_shutdown(cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(_) => self.shut = true,
                    }
                }
                return Poll::Ready(Ok(()));
            }
            let step = SCRATCH.with_borrow_mut(|room| {
                let mut buf = ReadBuf::new(room);
                match Pin::new(&mut *reader).poll_read(cx, &mut buf) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                    Poll::Ready(Ok(())) => {}
                }
                let data = buf.filled();
                if data.is_empty() {
                    self.ended = true;
                    return Poll::Ready(Ok(()));
                }
                let taken = match Pin::new(&mut *writer).poll_write(cx, data) {
                    Poll::Ready(Ok(n)) => n,
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                    Poll::Pending => 0,
                };
                self.rest.extend_from_slice(&data[taken..]);
                Poll::Ready(Ok(()))
            });
            match step {
                Poll::Ready(Ok(())) => {
                    if self.rest.is_empty()
                        && let Poll::Ready(Err(e)) = Pin::new(&mut *writer).poll_flush(cx)
                    {
                        return Poll::Ready(Err(e));
                    }
                }
                other => return other,
            }
        }
    }
}

/// Copies both ways until both sides have ended, or one fails.
pub(crate) async fn join<A, B>(a: &mut A, b: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let (mut there, mut back) = (Way::default(), Way::default());
    std::future::poll_fn(|cx| {
        let first = there.poll(a, b, cx);
        let second = back.poll(b, a, cx);
        match (first, second) {
            (Poll::Ready(Err(e)), _) | (_, Poll::Ready(Err(e))) => Poll::Ready(Err(e)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    })
    .await
}
