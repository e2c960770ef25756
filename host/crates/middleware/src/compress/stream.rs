//! A body on its way through an encoder.

use super::accept::Coding;
use super::encoder::Encoder;
use crate::frames::followed_by;
use bytes::{Buf, Bytes};
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;
use torana_http::{Body, BodyError, Frame};

/// How long what was read may wait for more, as in Traefik.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);
/// What is encoded before others get their turn.
const STEP: usize = 64 << 10;

pub(super) struct Encoded {
    inner: Body,
    /// `None` when the body has ended.
    encoder: Option<Encoder>,
    /// Give out each piece at once.
    eager: bool,
    data: Bytes,
    /// Something was written and not given out.
    waiting: bool,
    timer: Option<Pin<Box<Sleep>>>,
    trailers: Option<Frame>,
}

impl Encoded {
    /// `first` was read of `inner` already.
    pub(super) fn new(coding: Coding, first: Bytes, inner: Body, eager: bool) -> io::Result<Self> {
        let encoder = Some(Encoder::new(coding)?);
        Ok(Encoded { inner, encoder, eager, data: first, waiting: false, timer: None, trailers: None })
    }

    /// Encodes a step of what was read.
    fn step(&mut self, encoder: &mut Encoder) -> io::Result<()> {
        let length = self.data.len().min(STEP);
        encoder.write(&self.data[..length])?;
        self.data.advance(length);
        self.waiting = true;
        if self.eager && self.data.is_empty() {
            self.flush(encoder)?;
        }
        Ok(())
    }

    fn flush(&mut self, encoder: &mut Encoder) -> io::Result<()> {
        self.waiting = false;
        self.timer = None;
        encoder.flush()
    }

    /// Whether what waits has waited for too long.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        self.waiting && self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE))).as_mut().poll(cx).is_ready()
    }

    fn poll(&mut self, encoder: &mut Option<Encoder>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            let Some(running) = encoder else { return Poll::Ready(self.trailers.take().map(Ok)) };
            if !self.data.is_empty() {
                self.step(running)?;
                if !running.out.is_empty() {
                    return data(std::mem::take(&mut running.out));
                }
                continue;
            }
            match self.inner.poll_frame(cx) {
                Poll::Pending if self.is_due(cx) => {
                    self.flush(running)?;
                    return data(std::mem::take(&mut running.out));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(more) => self.data = more,
                    Err(trailers) => self.trailers = Some(trailers),
                },
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Some(Err(e))),
                Poll::Ready(None) => {
                    if let Some(running) = encoder.take() {
                        return data(running.finish()?);
                    }
                }
            }
        }
    }
}

fn data(bytes: Vec<u8>) -> Poll<Option<Result<Frame, BodyError>>> {
    Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
}

impl http_body::Body for Encoded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let mut encoder = self.encoder.take();
        let polled = self.poll(&mut encoder, cx);
        self.encoder = encoder;
        polled
    }
}

/// A body that adds up its bytes in `size` as they are read.
pub(super) fn measured(body: Body, size: Rc<Cell<u64>>) -> Body {
    match body {
        Body::Full(b) => {
            size.set(b.len() as u64);
            Body::Full(b)
        }
        Body::Stream { stream, length } => Body::stream(Measured { body: Body::Stream { stream, length }, size }, length),
        other => other,
    }
}

struct Measured {
    body: Body,
    size: Rc<Cell<u64>>,
}

impl http_body::Body for Measured {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let frame = self.body.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            let read = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.size.set(self.size.get() + read);
        }
        frame
    }
}

/// `body` with a length, if its end comes soon and it is not longer than `most`.
pub(super) async fn short(body: Encoded, most: usize) -> Body {
    let mut body = Body::stream(body, None);
    let mut begin: Vec<u8> = Vec::new();
    let mut other = None;
    let mut ended = false;
    // What did not come in time goes without a length.
    let _ = tokio::time::timeout(PATIENCE, async {
        while begin.len() <= most && other.is_none() && !ended {
            match body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => begin.extend_from_slice(&data),
                    Err(trailers) => other = Some(Ok(trailers)),
                },
                Some(Err(e)) => other = Some(Err(e)),
                None => ended = true,
            }
        }
    })
    .await;
    if ended && begin.len() <= most {
        return Body::Full(begin.into());
    }
    let first = (!begin.is_empty()).then(|| Ok(Frame::data(begin.into())));
    followed_by(first.into_iter().chain(other), body)
}
