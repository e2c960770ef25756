//! Work for the moment when a response has gone out.

use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use torana_http::{Body, BodyError, Frame, Response, Tunnel};

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All of its body was taken.
    Whole,
    /// The server broke off, or the client went away.
    Cut,
}

/// Runs `work` once, when the body of `response` has ended, or its tunnel has. What is in memory is done at
/// once: it is on its way before the client can have it.
pub(crate) fn when_done(response: &mut Response, work: impl FnOnce(End) + Unpin + 'static) {
    let mut work = Work(Some(work));
    match std::mem::take(response.body_mut()) {
        Body::Stream { stream, length } => {
            let inner = Body::Stream { stream, length };
            *response.body_mut() = Body::stream(Watched { inner, left: length, work }, length);
        }
        Body::Tunnel(tunnel) => *response.body_mut() = Body::Tunnel(Box::new(WatchedTunnel { tunnel, _work: work })),
        whole => {
            *response.body_mut() = whole;
            work.run(End::Whole);
        }
    }
}

struct Work<F: FnOnce(End)>(Option<F>);

impl<F: FnOnce(End)> Work<F> {
    fn run(&mut self, end: End) {
        if let Some(work) = self.0.take() {
            work(end);
        }
    }
}

impl<F: FnOnce(End)> Drop for Work<F> {
    fn drop(&mut self) {
        self.run(End::Cut);
    }
}

struct Watched<F: FnOnce(End)> {
    inner: Body,
    /// What the sender still owes. A client that has the last byte may ask again before the body is polled
    /// for its end.
    left: Option<u64>,
    work: Work<F>,
}

impl<F: FnOnce(End) + Unpin> http_body::Body for Watched<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let polled = self.inner.poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => self.work.run(End::Whole),
            Poll::Ready(Some(Err(_))) => self.work.run(End::Cut),
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(left), Some(data)) = (self.left, frame.data_ref()) {
                    let left = left.saturating_sub(data.len() as u64);
                    self.left = Some(left);
                    if left == 0 {
                        self.work.run(End::Whole);
                    }
                }
                if frame.is_trailers() {
                    self.work.run(End::Whole);
                }
            }
        }
        polled
    }
}

struct WatchedTunnel<F: FnOnce(End)> {
    tunnel: Box<dyn Tunnel>,
    _work: Work<F>,
}

impl<F: FnOnce(End) + Unpin> AsyncRead for WatchedTunnel<F> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tunnel).poll_read(cx, buf)
    }
}

impl<F: FnOnce(End) + Unpin> AsyncWrite for WatchedTunnel<F> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tunnel).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tunnel).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tunnel).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tunnel).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tunnel.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block_on, pieces};
    use std::cell::Cell;
    use std::rc::Rc;

    fn watched(body: Body) -> (Response, Rc<Cell<Option<End>>>) {
        let seen = Rc::new(Cell::new(None));
        let mut response = Response::new(body);
        let note = seen.clone();
        when_done(&mut response, move |end| note.set(Some(end)));
        (response, seen)
    }

    #[test]
    fn runs_when_the_body_has_ended() {
        assert_eq!(watched(Body::Empty).1.get(), Some(End::Whole));
        assert_eq!(watched(Body::from("x")).1.get(), Some(End::Whole));
        block_on(async {
            let (mut response, seen) = watched(pieces(&["a", "b"], None));
            let body = response.body_mut();
            let _ = (body.frame().await, body.frame().await);
            assert_eq!(seen.get(), None);
            assert!(body.frame().await.is_none());
            assert_eq!(seen.get(), Some(End::Whole));
            // Of known length: with its last byte.
            let (mut response, seen) = watched(pieces(&["a", "b"], Some(2)));
            let _ = response.body_mut().frame().await;
            assert_eq!(seen.get(), None);
            let _ = response.body_mut().frame().await;
            assert_eq!(seen.get(), Some(End::Whole));
        });
    }

    #[test]
    fn runs_when_nobody_wants_the_rest() {
        let (response, seen) = watched(pieces(&["a"], None));
        drop(response);
        assert_eq!(seen.get(), Some(End::Cut));
        let (tunnel, _other) = tokio::io::duplex(8);
        let (response, seen) = watched(Body::Tunnel(Box::new(tunnel)));
        assert_eq!(seen.get(), None);
        drop(response);
        assert_eq!(seen.get(), Some(End::Cut));
    }
}
