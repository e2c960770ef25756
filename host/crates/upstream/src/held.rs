//! Bodies and tunnels that hold something until they end.

use bytes::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use torana_http::{Body, BodyError, Frame, Tunnel};

/// `watch` sees each frame, and `None` at the end.
pub(crate) struct HeldBody<T, F> {
    pub body: Body,
    pub held: T,
    pub watch: F,
}

impl<T: Unpin, F: FnMut(&mut T, Option<&Result<Frame, BodyError>>) + Unpin> http_body::Body for HeldBody<T, F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let this = &mut *self;
        let frame = this.body.poll_frame(cx);
        if let Poll::Ready(frame) = &frame {
            (this.watch)(&mut this.held, frame.as_ref());
        }
        frame
    }
}

/// The server's side of an accepted upgrade.
pub(crate) struct HeldTunnel<T> {
    pub tunnel: Box<dyn Tunnel>,
    pub _held: T,
}

impl<T: Unpin> AsyncRead for HeldTunnel<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.tunnel).poll_read(cx, buf)
    }
}

impl<T: Unpin> AsyncWrite for HeldTunnel<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.tunnel).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.tunnel).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.tunnel).poll_shutdown(cx)
    }
}
