//! The request's body: what a guest reads of it, and what goes on.

use super::message::Refusal;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use std::collections::VecDeque;
use std::task::{Context, Poll};
use tokio::sync::{mpsc, oneshot};
use torana_http::{Body, BodyError, Frame, WholeBody};

/// The guest waits for a piece. A body cannot go to another thread as an instance may, so it asks whoever has it.
pub(super) type Ask = oneshot::Sender<Piece>;

pub(super) struct Piece {
    pub(super) bytes: Bytes,
    pub(super) last: bool,
    /// The client broke off.
    pub(super) broken: bool,
}

/// The guest's end of it.
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// Whom to ask for more; none when all of it is here.
    ask: Option<mpsc::Sender<Ask>>,
    ahead: Bytes,
    read: bool,
    /// With `buffer_request`, what came.
    kept: Option<BytesMut>,
    /// Something came that was not kept.
    lost: bool,
    /// What the guest puts in place of it.
    written: Option<BytesMut>,
    limit: usize,
    too_long: bool,
    broken: bool,
}

const BROKEN: &str = "the client broke off while the body was read";
const TOO_LONG: &str = "the body is longer than limits.body";

impl Upload {
    pub(super) fn keep(&mut self) {
        self.kept.get_or_insert_default();
    }

    pub(super) fn write(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let written = self.written.get_or_insert_default();
        if written.len() + body.len() > self.limit {
            return Err("it writes a body longer than limits.body".to_owned());
        }
        written.extend_from_slice(body);
        Ok(())
    }

    /// What is here already, into `buf`. When there is more to wait for, whom to ask.
    pub(super) fn take(&mut self, buf: &mut [u8]) -> (usize, Option<mpsc::Sender<Ask>>) {
        self.read = true;
        let n = buf.len().min(self.ahead.len());
        buf[..n].copy_from_slice(&self.ahead.split_to(n));
        (n, self.ask.clone().filter(|_| self.ahead.is_empty()))
    }

    /// Whether all of it has been taken.
    pub(super) fn ended(&self) -> bool {
        self.ask.is_none() && self.ahead.is_empty()
    }

    pub(super) fn arrived(&mut self, piece: Piece) -> Result<(), Refusal> {
        if piece.broken {
            self.broken = true;
            return Err(BROKEN.to_owned());
        }
        match &mut self.kept {
            Some(kept) if kept.len() + piece.bytes.len() > self.limit => {
                self.too_long = true;
                return Err(TOO_LONG.to_owned());
            }
            Some(kept) => kept.extend_from_slice(&piece.bytes),
            None => self.lost |= !piece.bytes.is_empty(),
        }
        if piece.last {
            self.ask = None;
        }
        self.ahead = piece.bytes;
        Ok(())
    }

    pub(super) fn too_long(&self) -> bool {
        self.too_long
    }

    /// What is the client's fault and not the guest's.
    pub(super) fn of_the_client(&self) -> Option<&'static str> {
        if self.broken { Some(BROKEN) } else { self.too_long.then_some(TOO_LONG) }
    }
}

/// The gateway's end of it.
pub(super) struct Source {
    body: Body,
    asked: mpsc::Receiver<Ask>,
    /// Bytes that are still to come, if that is known.
    left: Option<u64>,
    length: Option<u64>,
    trailers: Option<HeaderMap>,
    touched: bool,
}

/// The body that goes on.
pub(super) enum Onward {
    Body(Body),
    /// Another one than came, framed as that was.
    Written(Body),
    /// The guest has read it without `buffer_request`: there is none.
    Lost,
}

impl Source {
    pub(super) fn new(body: Body, limit: usize) -> (Source, Upload) {
        // One that asks waits for its answer.
        let (ask, asked) = mpsc::channel(1);
        let (ahead, ask) = match &body {
            Body::Full(all) => (all.clone(), None),
            Body::Stream { .. } => (Bytes::new(), Some(ask)),
            Body::Empty | Body::Tunnel(_) => (Bytes::new(), None),
        };
        let length = body.length();
        let upload = Upload { ask, ahead, limit, ..Upload::default() };
        (Source { body, asked, left: length, length, trailers: None, touched: false }, upload)
    }

    pub(super) fn poll_asked(&mut self, cx: &mut Context<'_>) -> Poll<Ask> {
        match self.asked.poll_recv(cx) {
            Poll::Ready(Some(ask)) => Poll::Ready(ask),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Waits for the next piece, and hands it over.
    pub(super) async fn answer(&mut self, ask: Ask) {
        self.touched = true;
        let piece = loop {
            match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => {
                        self.left = self.left.map(|n| n.saturating_sub(bytes.len() as u64));
                        break Piece { bytes, last: self.left == Some(0), broken: false };
                    }
                    Err(other) => self.trailers = other.into_trailers().ok(),
                },
                None => break Piece { bytes: Bytes::new(), last: true, broken: false },
                Some(Err(e)) => {
                    tracing::debug!(target: "plugin", error = %e, "the body of the request ended early");
                    break Piece { bytes: Bytes::new(), last: true, broken: true };
                }
            }
        };
        // Nobody waits any more when the call was given up.
        let _ = ask.send(piece);
    }

    /// The body, if nothing of it is gone.
    pub(super) fn untouched(self) -> Option<Body> {
        (!self.touched).then_some(self.body)
    }

    pub(super) fn onward(self, upload: &mut Upload) -> Onward {
        let whole = matches!(self.body, Body::Full(_));
        match (upload.written.take(), upload.kept.take()) {
            // Go sends no body with a request that came without one.
            (Some(_), _) if matches!(self.body, Body::Empty) => Onward::Body(Body::Empty),
            (Some(written), _) => Onward::Written(WholeBody::new(written.freeze(), None, self.length.is_some()).body()),
            (None, None) if (whole && upload.read) || upload.lost => Onward::Lost,
            (None, Some(_)) if upload.lost => Onward::Lost,
            (None, Some(kept)) if self.touched => {
                let mut frames: VecDeque<Result<Frame, BodyError>> = VecDeque::new();
                if !kept.is_empty() {
                    frames.push_back(Ok(Frame::data(kept.freeze())));
                }
                frames.extend(self.trailers.map(|t| Ok(Frame::trailers(t))));
                Onward::Body(Body::prefixed(frames, self.body, self.length))
            }
            (None, _) => Onward::Body(self.body),
        }
    }
}
