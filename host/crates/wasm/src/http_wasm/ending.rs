//! `handle_response`: called when the response has been asked for, has gone, or is gone.

use super::HttpWasm;
use super::call::{self, Called};
use super::message::Message;
use crate::pool::{Failure, Seat};
use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderMap;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use torana_config::routing::Failure as Policy;
use torana_http::{Body, BodyError, Frame, LocalFuture};

/// An exchange whose guest has still to be told of its end. Dropped, it is told so at once.
pub(super) struct Pending {
    seat: Option<Seat<HttpWasm>>,
    message: Box<Message>,
    context: u32,
    /// All of the response has gone.
    complete: bool,
}

impl Pending {
    pub(super) fn new(seat: Seat<HttpWasm>, mut message: Box<Message>, context: u32) -> Pending {
        message.pass_on();
        Pending { seat: Some(seat), message, context, complete: false }
    }

    pub(super) fn message(&mut self) -> &mut Message {
        &mut self.message
    }

    pub(super) fn held_back(&self) -> bool {
        self.message.answer.held_back()
    }

    /// `failed`: there is no whole response.
    pub(super) async fn respond(mut self, failed: bool) -> Called<()> {
        let message = std::mem::take(&mut self.message);
        match self.seat.take() {
            Some(mut seat) => call::handle_response(&mut seat, message, self.context, failed).await,
            None => (Some(message), Ok(())),
        }
    }

    fn open(&self) -> bool {
        self.seat.as_ref().is_some_and(|s| s.pool().loaded.failure == Policy::Open)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Without a runtime the worker is at its end, and the guest with it.
        if let Some(mut seat) = self.seat.take()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            let message = std::mem::take(&mut self.message);
            // One that would wait now is given up: its instance goes.
            let _ = call::handle_response(&mut seat, message, self.context, !self.complete).now_or_never();
        }
    }
}

/// `early`, then `rest`, then the guest is told; its trailers follow. `measured`: the length of `rest` is that of all.
pub(super) fn ending(early: Body, rest: Body, pending: Pending, measured: bool) -> Body {
    let length = rest.length().filter(|_| measured);
    let open = pending.open();
    Body::stream(Ending { early, left: length, rest, open, state: Stage::Running(pending), trailers: HeaderMap::new() }, length)
}

enum Stage {
    Running(Pending),
    Telling(LocalFuture<'static, Result<(), Failure>>),
    Done,
}

struct Ending {
    early: Body,
    rest: Body,
    left: Option<u64>,
    /// Whether a failure of the guest is overlooked.
    open: bool,
    state: Stage,
    trailers: HeaderMap,
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                Stage::Done => return Poll::Ready(None),
                Stage::Telling(told) => {
                    let told = ready!(told.as_mut().poll(cx));
                    this.state = Stage::Done;
                    if told.is_err() && !this.open {
                        return Poll::Ready(Some(Err(BodyError::Malformed("a plugin failed when the response had gone"))));
                    }
                    if !this.trailers.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::trailers(std::mem::take(&mut this.trailers)))));
                    }
                }
                Stage::Running(pending) => {
                    if let Some(frame) = ready!(this.early.poll_frame(cx)) {
                        return Poll::Ready(Some(frame));
                    }
                    match ready!(this.rest.poll_frame(cx)) {
                        Some(Ok(frame)) => match frame.into_data() {
                            Ok(data) => {
                                this.left = this.left.map(|n| n.saturating_sub(data.len() as u64));
                                // Whoever has sent all that was promised may ask for no more.
                                pending.complete = this.left == Some(0);
                                return Poll::Ready(Some(Ok(Frame::data(data))));
                            }
                            Err(other) => this.trailers.extend(other.into_trailers().unwrap_or_default()),
                        },
                        Some(Err(e)) => {
                            this.state = Stage::Done;
                            return Poll::Ready(Some(Err(e)));
                        }
                        None => {
                            if let Stage::Running(mut pending) = std::mem::replace(&mut this.state, Stage::Done) {
                                this.trailers.extend(std::mem::take(&mut pending.message().answer.trailers));
                                this.state = Stage::Telling(Box::pin(async move { pending.respond(false).await.1 }));
                            }
                        }
                    }
                }
            }
        }
    }
}
