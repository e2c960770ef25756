//! What the client sends on the stream of a request: the head, the body, trailers. Nothing is read before it is
//! wanted, so that the window of the stream bounds what waits.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method};
use quinn::{ReadError, RecvStream, VarInt};
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use torana_http::h3::frame::{FrameError, Frames, Piece, of_request};
use torana_http::h3::{self, Head, HeadError, code};
use torana_http::{Body, BodyError, Frame, Request};

/// What is read at once, at most.
const ROOM: usize = 32 << 10;
/// How long the end of a request that has no body is waited for, where it does not come with the head. Without
/// it the service would be told of a body of unknown length.
const NO_BODY: Duration = Duration::from_millis(200);

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; ROOM].into_boxed_slice());
}

/// Why there is no request.
pub(super) enum Refusal {
    TooLarge,
    Connection(u32, &'static str),
    Stream(u32),
    /// The client has left.
    Gone,
}

#[derive(PartialEq, Eq)]
enum State {
    Head,
    Body,
    Trailed,
    /// Ended, or given up.
    Done,
}

pub(super) struct Upload {
    recv: RecvStream,
    quic: quinn::Connection,
    frames: Frames,
    /// Read, and not looked at yet.
    input: Bytes,
    state: State,
    /// Of headers and of trailers.
    limit: usize,
    /// What `Content-Length` leaves.
    left: Option<u64>,
    /// Of the body, read to see whether there is one.
    ahead: Option<Result<Frame, BodyError>>,
}

impl Upload {
    pub(super) fn new(recv: RecvStream, quic: quinn::Connection, limit: usize) -> Self {
        // Coded, a head may take more than it is: a little, or it is made to.
        let frames = Frames::new(of_request, limit.saturating_mul(2));
        Upload { recv, quic, frames, input: Bytes::new(), state: State::Head, limit, left: None, ahead: None }
    }

    /// Wants no more of it.
    pub(super) fn stop(&mut self, code: u32) {
        self.state = State::Done;
        let _ = self.recv.stop(VarInt::from_u32(code));
    }

    /// The next piece, `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece>, Refusal>> {
        loop {
            match self.frames.next(&mut self.input) {
                Ok(Some(piece)) => return Poll::Ready(Ok(Some(piece))),
                Ok(None) => {}
                Err(FrameError::TooLong(_)) => return Poll::Ready(Err(Refusal::TooLarge)),
                Err(FrameError::Refused(_)) => {
                    return Poll::Ready(Err(Refusal::Connection(code::FRAME_UNEXPECTED, "a frame that does not belong to a request")));
                }
            }
            let read = SCRATCH.with_borrow_mut(|room| match ready!(self.recv.poll_read(cx, room)) {
                Ok(n) => Poll::Ready(Ok(Bytes::copy_from_slice(&room[..n]))),
                Err(e) => Poll::Ready(Err(e)),
            });
            match ready!(read) {
                Ok(bytes) if !bytes.is_empty() => self.input = bytes,
                Ok(_) if self.frames.is_between() => return Poll::Ready(Ok(None)),
                Ok(_) => return Poll::Ready(Err(Refusal::Connection(code::FRAME_ERROR, "a stream ended inside a frame"))),
                Err(ReadError::ClosedStream | ReadError::Reset(_) | ReadError::ConnectionLost(_)) => {
                    return Poll::Ready(Err(Refusal::Gone));
                }
                Err(_) => return Poll::Ready(Err(Refusal::Gone)),
            }
        }
    }

    /// Reads the head.
    pub(super) async fn head(&mut self) -> Result<Head, Refusal> {
        match poll_fn(|cx| self.poll_piece(cx)).await? {
            Some(Piece::Whole(_, block)) => {
                let head = h3::request(&block, self.limit).map_err(refusal)?;
                self.left = declared(&head.headers)?;
                self.state = State::Body;
                Ok(head)
            }
            Some(Piece::Part(_)) => Err(Refusal::Connection(code::FRAME_UNEXPECTED, "a body without a head")),
            None => Err(Refusal::Stream(code::REQUEST_INCOMPLETE)),
        }
    }

    /// Gives the request its body; `None` if that is malformed from its beginning.
    pub(super) async fn into_body(mut self, mut request: Request) -> Option<Request> {
        let length = self.left;
        let usually_none = matches!(request.method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE);
        let waits = usually_none && length.is_none();
        let mut time = waits.then(|| Box::pin(tokio::time::sleep(NO_BODY)));
        let first = poll_fn(|cx| match self.poll_body(cx) {
            Poll::Ready(first) => Poll::Ready(Some(first)),
            Poll::Pending => match &mut time {
                Some(time) => time.as_mut().poll(cx).map(|()| None),
                None => Poll::Ready(None),
            },
        })
        .await;
        match first {
            Some(None) => return Some(request),
            Some(Some(Err(_))) => return None,
            Some(first) => self.ahead = first,
            None => {}
        }
        request.body = Body::stream(self, length);
        Some(request)
    }

    fn fail(&mut self, code: u32, what: &'static str) -> Poll<Option<Result<Frame, BodyError>>> {
        self.stop(code);
        Poll::Ready(Some(Err(BodyError::Malformed(what))))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            if self.state == State::Done {
                return Poll::Ready(None);
            }
            let piece = match ready!(self.poll_piece(cx)) {
                Ok(piece) => piece,
                Err(Refusal::Connection(code, why)) => {
                    super::close(&self.quic, code, why);
                    return self.fail(code, why);
                }
                Err(Refusal::TooLarge) => return self.fail(code::EXCESSIVE_LOAD, "the trailers are too large"),
                Err(Refusal::Stream(code)) => return self.fail(code, "the message"),
                Err(Refusal::Gone) => {
                    self.state = State::Done;
                    return Poll::Ready(Some(Err(BodyError::Truncated)));
                }
            };
            match piece {
                Some(Piece::Part(data)) if self.state == State::Body => {
                    if data.is_empty() {
                        continue;
                    }
                    if let Some(left) = &mut self.left {
                        match left.checked_sub(data.len() as u64) {
                            Some(rest) => *left = rest,
                            None => return self.fail(code::MESSAGE_ERROR, "longer than Content-Length says"),
                        }
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Piece::Whole(_, block)) if self.state == State::Body => {
                    self.state = State::Trailed;
                    return match h3::trailers(&block, self.limit) {
                        Ok(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                        Err(HeadError::Undecodable) => {
                            super::close(&self.quic, code::QPACK_DECOMPRESSION_FAILED, "trailers");
                            self.fail(code::QPACK_DECOMPRESSION_FAILED, "trailers")
                        }
                        Err(_) => self.fail(code::MESSAGE_ERROR, "trailers"),
                    };
                }
                Some(_) => {
                    super::close(&self.quic, code::FRAME_UNEXPECTED, "something after the trailers");
                    return self.fail(code::FRAME_UNEXPECTED, "something after the trailers");
                }
                None if self.left.is_some_and(|n| n > 0) => return self.fail(code::MESSAGE_ERROR, "shorter than Content-Length says"),
                None => self.state = State::Done,
            }
        }
    }
}

fn refusal(e: HeadError) -> Refusal {
    match e {
        HeadError::TooLarge => Refusal::TooLarge,
        HeadError::Undecodable => Refusal::Connection(code::QPACK_DECOMPRESSION_FAILED, "the head"),
        HeadError::Malformed(why) => {
            tracing::debug!(why, "malformed request");
            Refusal::Stream(code::MESSAGE_ERROR)
        }
    }
}

/// `Content-Length`, which may stand there more than once if it says the same.
fn declared(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let mut all = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = all.next() else { return Ok(None) };
    let digits = first.to_str().ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    match digits.and_then(|t| t.parse().ok()) {
        Some(n) if all.all(|other| other == first) => Ok(Some(n)),
        _ => Err(Refusal::Stream(code::MESSAGE_ERROR)),
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match self.ahead.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.poll_body(cx),
        }
    }
}

impl Drop for Upload {
    /// Of a request that was answered without the rest of its body (RFC 9114, 4.1).
    fn drop(&mut self) {
        if self.state != State::Done {
            self.stop(code::NO_ERROR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn lengths() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            values.iter().for_each(|v| _ = headers.append(CONTENT_LENGTH, HeaderValue::from_static(v)));
            declared(&headers).map_err(drop)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["5"]), Ok(Some(5)));
        assert_eq!(of(&["5", "5"]), Ok(Some(5)));
        for bad in [&["5", "6"][..], &["+5"], &["5, 5"], &[""], &["99999999999999999999"]] {
            assert_eq!(of(bad), Err(()), "{bad:?}");
        }
    }
}
