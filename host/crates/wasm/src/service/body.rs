//! Bodies between the gateway, whose streams stay on their thread, and wasmtime, which wants to send them.

use bytes::Bytes;
use http_body::Frame;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::sync::mpsc;
use torana_http::{Body, BodyError, LocalFuture};
use wasmtime_wasi_http::Error;

/// Pieces that may wait for the component.
const AHEAD: usize = 2;

/// A body that is in memory.
pub(super) struct Whole(Option<Bytes>);

impl Whole {
    pub(super) fn new(bytes: Bytes) -> Whole {
        Whole(Some(bytes).filter(|b| !b.is_empty()))
    }
}

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(self.0.take().map(|b| Ok(Frame::data(b))))
    }
}

/// The far end of a pump.
pub(super) struct Piped {
    /// `None` is the end; without it the body was cut off.
    pieces: mpsc::Receiver<Option<Result<Frame<Bytes>, Error>>>,
    ended: bool,
}

impl http_body::Body for Piped {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let piece = match ready!(self.pieces.poll_recv(cx)) {
            Some(piece) => piece,
            None => Some(Err(Error::ConnectionTerminated)),
        };
        self.ended = !matches!(piece, Some(Ok(_)));
        Poll::Ready(piece)
    }
}

/// Moves a stream to where wasmtime reads it, whenever it is polled.
pub(super) struct Pump {
    job: Option<LocalFuture<'static, ()>>,
    moved: Rc<Cell<Instant>>,
}

impl Pump {
    pub(super) fn new(mut body: Body) -> (Pump, Piped) {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let moved = Rc::new(Cell::new(Instant::now()));
        let last = moved.clone();
        let job = async move {
            loop {
                let piece = body.frame().await.map(|p| p.map_err(told));
                let over = !matches!(piece, Some(Ok(_)));
                // Nobody reads it any more: what is left of it is not asked for.
                if sender.send(piece).await.is_err() || over {
                    return;
                }
                last.set(Instant::now());
            }
        };
        (Pump { job: Some(Box::pin(job)), moved }, Piped { pieces, ended: false })
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(job) = &mut self.job
            && job.as_mut().poll(cx).is_ready()
        {
            self.job = None;
        }
    }

    /// When a piece was last taken over.
    pub(super) fn moved(&self) -> Instant {
        self.moved.get()
    }
}

fn told(e: BodyError) -> Error {
    match e {
        BodyError::Truncated => Error::ConnectionTerminated,
        BodyError::Malformed(_) => Error::HttpProtocolError,
        BodyError::Timeout => Error::ConnectionReadTimeout,
        BodyError::Io(_) | BodyError::H2(_) => Error::ConnectionTerminated,
    }
}
