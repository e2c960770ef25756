//! Bodies of gRPC-Web: base64 or not, and with trailers as a last frame.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use torana_http::{Body, BodyError, Frame};

/// A request body without its base64. Texts that end in padding may follow each other.
pub(super) struct Text {
    inner: Body,
    /// Less than four letters.
    left: Vec<u8>,
}

impl Text {
    pub(super) fn new(inner: Body) -> Self {
        Text { inner, left: Vec::new() }
    }

    fn decode(&mut self, data: &[u8]) -> Result<Bytes, BodyError> {
        self.left.extend(data.iter().filter(|b| !matches!(b, b'\r' | b'\n')));
        let whole = self.left.len() / 4 * 4;
        let mut out = BytesMut::with_capacity(whole / 4 * 3);
        let bad = || BodyError::Malformed("bad base64");
        let mut rest = &self.left[..whole];
        while !rest.is_empty() {
            // One text ends with the four letters that have padding.
            let end = rest.chunks(4).position(|q| q[3] == b'=').map_or(rest.len(), |i| (i + 1) * 4);
            out.extend_from_slice(&STANDARD.decode(&rest[..end]).map_err(|_| bad())?);
            rest = &rest[end..];
        }
        self.left.drain(..whole);
        Ok(out.freeze())
    }
}

impl http_body::Body for Text {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            match ready!(self.inner.poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let decoded = self.decode(&data)?;
                        if !decoded.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(decoded))));
                        }
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                None if !self.left.is_empty() => {
                    self.left.clear();
                    return Poll::Ready(Some(Err(BodyError::Malformed("base64 that ends early"))));
                }
                end => return Poll::Ready(end),
            }
        }
    }
}

/// A response body, with its trailers as a frame.
pub(super) struct Outgoing {
    /// `None` when the last frame is out.
    inner: Option<Body>,
    text: bool,
    trailers: HeaderMap,
    /// Headers that went before: they are no trailers any more.
    sent: Vec<HeaderName>,
    /// What was whole from the beginning goes with the last frame.
    held: Option<BytesMut>,
}

impl Outgoing {
    pub(super) fn new(inner: Body, text: bool, sent: Vec<HeaderName>) -> Self {
        // Only what is in memory already: a length that a server declares is no limit.
        let held = matches!(inner, Body::Empty | Body::Full(_)).then(BytesMut::new);
        Outgoing { inner: Some(inner), text, trailers: HeaderMap::new(), sent, held }
    }

    fn frame(&self, data: Bytes) -> Frame {
        Frame::data(if self.text { STANDARD.encode(&data).into() } else { data })
    }

    /// The frame that says how the call ended: a mark, the length, lines.
    fn last(&self) -> Bytes {
        let mut names: Vec<&HeaderName> = self.trailers.keys().filter(|n| !self.sent.contains(n)).collect();
        names.sort_by_key(|n| n.as_str());
        let mut lines = BytesMut::new();
        for name in names {
            for value in self.trailers.get_all(name) {
                lines.put_slice(name.as_str().as_bytes());
                lines.put_slice(b": ");
                lines.put_slice(value.as_bytes().trim_ascii());
                lines.put_slice(b"\r\n");
            }
        }
        let mut frame = BytesMut::with_capacity(5 + lines.len());
        frame.put_u8(0x80);
        frame.put_u32(u32::try_from(lines.len()).unwrap_or(u32::MAX));
        frame.put(lines);
        frame.freeze()
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
            match ready!(inner.poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => match &mut self.held {
                        Some(held) => held.extend_from_slice(&data),
                        None => return Poll::Ready(Some(Ok(self.frame(data)))),
                    },
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.trailers = trailers;
                        }
                        break;
                    }
                },
                Some(Err(e)) => return Poll::Ready(Some(Err(e))),
                None => break,
            }
        }
        self.inner = None;
        let mut last = self.last();
        if let Some(mut held) = self.held.take() {
            held.put(last);
            last = held.freeze();
        }
        Poll::Ready(Some(Ok(self.frame(last))))
    }
}
