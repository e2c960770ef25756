//! Message bodies. What arrived whole with its head is `Full`; only what streams is boxed, once.

use crate::whole::WholeBody;
use bytes::Bytes;
use http::HeaderMap;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

pub type Frame = http_body::Frame<Bytes>;

/// A connection that left HTTP after `101 Switching Protocols`.
pub trait Tunnel: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Tunnel for T {}

/// A body that arrives in pieces.
pub trait Stream: http_body::Body<Data = Bytes, Error = BodyError> + Unpin {}
impl<T: http_body::Body<Data = Bytes, Error = BodyError> + Unpin> Stream for T {}

#[derive(Default)]
pub enum Body {
    #[default]
    Empty,
    Full(Bytes),
    /// Bytes of unknown end; `length` is what the sender declared.
    Stream {
        stream: Box<dyn Stream>,
        length: Option<u64>,
    },
    /// The other side of an accepted upgrade; only with status 101 (or 2xx to CONNECT).
    Tunnel(Box<dyn Tunnel>),
}

impl Body {
    pub fn stream(stream: impl Stream + 'static, length: Option<u64>) -> Self {
        Body::Stream { stream: Box::new(stream), length }
    }

    /// Length in bytes if it is known before the body is read.
    pub fn length(&self) -> Option<u64> {
        match self {
            Body::Empty => Some(0),
            Body::Full(b) => Some(b.len() as u64),
            Body::Stream { length, .. } => *length,
            Body::Tunnel(_) => None,
        }
    }

    /// Whether it goes on when the head has been sent.
    pub fn is_streamed(&self) -> bool {
        matches!(self, Body::Stream { .. } | Body::Tunnel(_))
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Body::Empty) || matches!(self, Body::Full(b) if b.is_empty())
    }

    /// Whether the body can be sent again: it is wholly in memory.
    pub fn replayable(&self) -> Option<Body> {
        match self {
            Body::Empty => Some(Body::Empty),
            Body::Full(b) => Some(Body::Full(b.clone())),
            _ => None,
        }
    }

    /// The next piece, `None` at the end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match self {
            Body::Empty | Body::Tunnel(_) => Poll::Ready(None),
            Body::Full(b) => {
                let b = std::mem::take(b);
                *self = Body::Empty;
                Poll::Ready(if b.is_empty() { None } else { Some(Ok(Frame::data(b))) })
            }
            Body::Stream { stream, .. } => Pin::new(&mut **stream).poll_frame(cx),
        }
    }

    pub async fn frame(&mut self) -> Option<Result<Frame, BodyError>> {
        std::future::poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// Reads the whole body into memory if it is at most `limit` bytes; trailers are dropped.
    /// Past the limit, gives back a body that yields everything read so far and then the rest.
    pub async fn collect(self, limit: usize) -> Result<Result<Bytes, Body>, BodyError> {
        match self {
            Body::Empty => Ok(Ok(Bytes::new())),
            Body::Full(b) if b.len() <= limit => Ok(Ok(b)),
            body => Ok(WholeBody::read(body, limit).await?.map(|whole| whole.bytes)),
        }
    }
}

impl Body {
    /// `frames`, then `rest`; `length` is what the sender declared of all.
    pub fn prefixed(frames: VecDeque<Result<Frame, BodyError>>, rest: Body, length: Option<u64>) -> Body {
        Body::stream(Prefixed { frames, rest }, length)
    }

    /// Waits for the first bytes, empty where none come, and gives them with the body, of which nothing is missing.
    pub async fn peek(mut self) -> (Bytes, Body) {
        if let Body::Full(b) = &self {
            return (b.clone(), self);
        }
        let length = self.length();
        let mut pieces = VecDeque::new();
        let mut first = Bytes::new();
        while first.is_empty() {
            let Some(frame) = self.frame().await else { break };
            let data = frame.as_ref().ok().and_then(|f| f.data_ref()).cloned();
            pieces.push_back(frame);
            let Some(data) = data else { break };
            first = data;
        }
        (first, if pieces.is_empty() { self } else { Body::prefixed(pieces, self, length) })
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Body::Full(Bytes::from_static(text.as_bytes()))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Body::Full(text.into())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body::Full(bytes)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Empty => f.write_str("Empty"),
            Body::Full(b) => write!(f, "Full({})", b.len()),
            Body::Stream { length, .. } => write!(f, "Stream({length:?})"),
            Body::Tunnel(_) => f.write_str("Tunnel"),
        }
    }
}

/// What was read ahead, then the rest.
struct Prefixed {
    frames: VecDeque<Result<Frame, BodyError>>,
    rest: Body,
}

impl http_body::Body for Prefixed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => self.rest.poll_frame(cx),
        }
    }
}

/// Why a body ended early.
#[derive(Debug)]
pub enum BodyError {
    /// The sender went away before the end.
    Truncated,
    /// The framing broke the protocol.
    Malformed(&'static str),
    /// A time-out passed.
    Timeout,
    Io(std::io::Error),
    H2(h2::Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::Truncated => f.write_str("the body ended early"),
            BodyError::Malformed(what) => write!(f, "malformed body: {what}"),
            BodyError::Timeout => f.write_str("time-out while reading the body"),
            BodyError::Io(e) => write!(f, "{e}"),
            BodyError::H2(e) => write!(f, "{e}"),
        }
    }
}

impl std::error::Error for BodyError {}

impl From<std::io::Error> for BodyError {
    fn from(e: std::io::Error) -> Self {
        if e.kind() == std::io::ErrorKind::UnexpectedEof { BodyError::Truncated } else { BodyError::Io(e) }
    }
}

/// The body of an HTTP/2 message.
pub struct H2Body {
    stream: h2::RecvStream,
    data_done: bool,
}

impl H2Body {
    /// `Empty` when the stream already ended with its head.
    pub fn body(stream: h2::RecvStream, headers: &HeaderMap) -> Body {
        if stream.is_end_stream() {
            return Body::Empty;
        }
        let length = headers.get(http::header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        Body::stream(H2Body { stream, data_done: false }, length)
    }
}

impl http_body::Body for H2Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if !self.data_done {
            match self.stream.poll_data(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(data))) => {
                    // The window opens again as the data is taken over: what waits is bounded by one frame.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                // NO_ERROR means "I need no more of it": an end, not a failure (RFC 9113, 8.1).
                Poll::Ready(Some(Err(e))) if e.reason() == Some(h2::Reason::NO_ERROR) => return Poll::Ready(None),
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Some(Err(BodyError::H2(e)))),
                Poll::Ready(None) => self.data_done = true,
            }
        }
        match self.stream.poll_trailers(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Some(t))) => Poll::Ready(Some(Ok(Frame::trailers(t)))),
            Poll::Ready(Ok(None)) => Poll::Ready(None),
            Poll::Ready(Err(e)) => Poll::Ready(Some(Err(BodyError::H2(e)))),
        }
    }
}
