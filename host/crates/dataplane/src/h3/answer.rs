//! What is sent on the stream of a request. quinn holds what the client has not acknowledged; how much that may
//! be follows what its network has shown to take, so that a client that reads nothing costs little.

use crate::measure::Sending;
use crate::quic::SEND_WINDOW;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use quinn::{SendStream, StoppedError, VarInt};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use torana_http::h3::frame::{self, write_header};
use torana_http::h3::{self, code};
use torana_http::{Body, BodyError, Frame};

/// The window is looked at after this many bytes.
const LOOK: usize = 64 << 10;

pub(super) struct Answer {
    stream: SendStream,
    quic: quinn::Connection,
    /// Finished or reset. Else the client must not take what it has for the whole.
    done: bool,
    /// Since the window was looked at.
    written: usize,
}

/// What became of the client's side of the stream.
type Stopped = Result<Option<VarInt>, StoppedError>;

impl Answer {
    pub(super) fn new(stream: SendStream, quic: quinn::Connection) -> Self {
        Answer { stream, quic, done: false, written: 0 }
    }

    /// Ends when the client wants no more of the answer, or has it all.
    pub(super) fn stopped(&self) -> impl Future<Output = Stopped> + use<> {
        self.stream.stopped()
    }

    pub(super) fn reset(&mut self, code: u32) {
        self.done = true;
        let _ = self.stream.reset(VarInt::from_u32(code));
    }

    /// Writes some of it; `None` if the client is not there any more.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Option<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes).map(Result::ok)
    }

    /// An answer without a body, to what is no request.
    pub(super) async fn refuse(&mut self, status: StatusCode) {
        let mut bytes = Vec::new();
        h3::response(status, &HeaderMap::new(), &mut bytes);
        if self.stream.write_all(&bytes).await.is_ok() && self.finish() {
            let _ = self.stopped().await;
        }
    }

    fn finish(&mut self) -> bool {
        self.done = true;
        self.stream.finish().is_ok()
    }

    async fn write(&mut self, parts: &mut [Bytes]) -> bool {
        self.written += parts.iter().map(Bytes::len).sum::<usize>();
        if self.written >= LOOK {
            self.written = 0;
            // Twice of what may be on its way at a time, so that more is there when it has arrived.
            let cwnd = self.quic.stats().path.cwnd;
            self.quic.set_send_window(cwnd.saturating_mul(2).clamp(SEND_WINDOW.0, SEND_WINDOW.1));
        }
        self.stream.write_all_chunks(parts).await.is_ok()
    }

    /// Sends `begin`, frames that are complete, and the body. Bytes of the body, if it went to its end; else the
    /// stream is reset, and `cut` is set before the body goes.
    pub(super) async fn send(
        &mut self,
        begin: Vec<u8>,
        mut body: Body,
        cut: &Cell<bool>,
        stopped: Pin<&mut impl Future<Output = Stopped>>,
    ) -> Option<u64> {
        // Goes before the body, which is an argument: the time for the response may end at any moment.
        let sending = Sending::new(cut);
        let sent = match &mut body {
            Body::Full(data) => self.send_full(begin, std::mem::take(data)).await,
            body => self.send_stream(begin, body, stopped).await,
        };
        if sent.is_some() {
            sending.done();
        }
        sent
    }

    async fn send_full(&mut self, mut begin: Vec<u8>, data: Bytes) -> Option<u64> {
        let sent = data.len() as u64;
        if sent > 0 {
            write_header(frame::DATA, sent, &mut begin);
        }
        (self.write(&mut [begin.into(), data]).await && self.finish()).then_some(sent)
    }

    async fn send_stream(&mut self, begin: Vec<u8>, body: &mut Body, mut stopped: Pin<&mut impl Future<Output = Stopped>>) -> Option<u64> {
        let mut sent = 0;
        if !self.write(&mut [begin.into()]).await {
            return None;
        }
        while let Some(frame) = next(body, stopped.as_mut()).await {
            let data = match frame {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) => {
                        let Ok(trailers) = frame.into_trailers() else { continue };
                        let mut bytes = Vec::new();
                        h3::write_trailers(&trailers, &mut bytes);
                        return (self.write(&mut [bytes.into()]).await && self.finish()).then_some(sent);
                    }
                },
                Err(Ended::Stopped) => {
                    self.reset(code::REQUEST_CANCELLED);
                    return None;
                }
                Err(Ended::Body(error)) => {
                    tracing::debug!(%error, "response cut short");
                    self.reset(code::INTERNAL_ERROR);
                    return None;
                }
            };
            if data.is_empty() {
                continue;
            }
            sent += data.len() as u64;
            let mut header = Vec::with_capacity(9);
            write_header(frame::DATA, data.len() as u64, &mut header);
            if !self.write(&mut [header.into(), data]).await {
                return None;
            }
        }
        self.finish().then_some(sent)
    }
}

impl Drop for Answer {
    /// Dropped, quinn's stream would end as if it were complete.
    fn drop(&mut self) {
        if !self.done {
            self.reset(code::INTERNAL_ERROR);
        }
    }
}

enum Ended {
    Body(BodyError),
    /// By the client.
    Stopped,
}

async fn next(body: &mut Body, mut stopped: Pin<&mut impl Future<Output = Stopped>>) -> Option<Result<Frame, Ended>> {
    poll_fn(|cx| match body.poll_frame(cx) {
        Poll::Ready(frame) => Poll::Ready(frame.map(|f| f.map_err(Ended::Body))),
        Poll::Pending => stopped.as_mut().poll(cx).map(|_| Some(Err(Ended::Stopped))),
    })
    .await
}
