//! A message body that was read to its end, to be sent more than once.

use crate::body::{Body, BodyError, Frame};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use std::pin::Pin;
use std::task::{Context, Poll};

#[derive(Clone, Debug, Default)]
pub struct WholeBody {
    pub bytes: Bytes,
    trailers: Option<HeaderMap>,
    /// Whether the sender said how long it is; if not, neither do its copies.
    declared: bool,
}

impl WholeBody {
    /// Reads a body of at most `limit` bytes. Past the limit, gives back a body that yields everything read so far
    /// and then the rest.
    pub async fn read(mut body: Body, limit: usize) -> Result<Result<Self, Body>, BodyError> {
        let declared = body.length();
        if declared.is_some_and(|n| n > limit as u64) {
            return Ok(Err(body));
        }
        let mut whole = WholeBody { declared: declared.is_some(), ..WholeBody::default() };
        let mut pieces = Pieces::default();
        let mut total = 0usize;
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(data) => {
                    total += data.len();
                    pieces.push(data);
                    if total > limit {
                        return Ok(Err(Body::prefixed(pieces.finish().map(|b| Ok(Frame::data(b))).collect(), body, declared)));
                    }
                }
                Err(frame) => whole.trailers = frame.into_trailers().ok(),
            }
        }
        let mut pieces = pieces.finish();
        whole.bytes = match (pieces.next(), pieces.next()) {
            (None, _) => Bytes::new(),
            (Some(only), None) => only,
            (Some(first), Some(second)) => [first, second].into_iter().chain(pieces).fold(BytesMut::with_capacity(total), joined).freeze(),
        };
        Ok(Ok(whole))
    }

    /// `declared`: it tells its length.
    pub fn new(bytes: Bytes, trailers: Option<HeaderMap>, declared: bool) -> Self {
        WholeBody { bytes, trailers, declared }
    }

    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// The body once more.
    pub fn body(&self) -> Body {
        match (self.declared && self.trailers.is_none(), self.bytes.is_empty()) {
            (true, true) => Body::Empty,
            (true, false) => Body::Full(self.bytes.clone()),
            (false, _) => {
                let length = self.declared.then_some(self.bytes.len() as u64);
                Body::stream(Again { data: Body::Full(self.bytes.clone()), trailers: self.trailers.clone() }, length)
            }
        }
    }
}

fn joined(mut all: BytesMut, piece: Bytes) -> BytesMut {
    all.extend_from_slice(&piece);
    all
}

/// What was read, small pieces together: each one alone would hold on to the buffer that it came in.
#[derive(Default)]
struct Pieces {
    done: Vec<Bytes>,
    small: BytesMut,
}

impl Pieces {
    /// Bytes from which on a piece is kept as it is.
    const LARGE: usize = 4096;

    fn push(&mut self, data: Bytes) {
        if data.len() < Self::LARGE {
            self.small.extend_from_slice(&data);
            return;
        }
        if !self.small.is_empty() {
            self.done.push(self.small.split().freeze());
        }
        self.done.push(data);
    }

    fn finish(mut self) -> impl Iterator<Item = Bytes> {
        if !self.small.is_empty() {
            self.done.push(self.small.freeze());
        }
        self.done.into_iter()
    }
}

impl From<Bytes> for WholeBody {
    fn from(bytes: Bytes) -> Self {
        WholeBody { bytes, trailers: None, declared: true }
    }
}

/// A body in memory that does not tell its length, or has trailers.
struct Again {
    data: Body,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for Again {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match self.data.poll_frame(cx) {
            Poll::Ready(None) => Poll::Ready(self.trailers.take().map(|t| Ok(Frame::trailers(t)))),
            frame => frame,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    async fn frames(mut body: Body) -> (Vec<u8>, Option<HeaderMap>) {
        let (mut data, mut trailers) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            match frame.unwrap().into_data() {
                Ok(d) => data.extend_from_slice(&d),
                Err(f) => trailers = f.into_trailers().ok(),
            }
        }
        (data, trailers)
    }

    fn pieces(pieces: &[&'static str], length: Option<u64>) -> Body {
        let frames = pieces.iter().map(|p| Ok(Frame::data(Bytes::from_static(p.as_bytes())))).collect();
        Body::prefixed(frames, Body::Empty, length)
    }

    #[test]
    fn what_was_read_is_sent_as_often_as_one_likes() {
        block_on(async {
            let whole = WholeBody::read(pieces(&["ab", "c"], Some(3)), 3).await.unwrap().unwrap();
            for _ in 0..2 {
                assert_eq!((whole.body().length(), frames(whole.body()).await.0), (Some(3), b"abc".to_vec()));
            }
            let whole = WholeBody::read(pieces(&["ab", "c"], None), 3).await.unwrap().unwrap();
            assert_eq!((whole.body().length(), frames(whole.body()).await.0), (None, b"abc".to_vec()));
            let none = WholeBody::read(pieces(&[], None), 0).await.unwrap().unwrap().body();
            assert!(none.length().is_none() && frames(none).await.0.is_empty());
            assert!(matches!(WholeBody::read(Body::Empty, 0).await.unwrap().unwrap().body(), Body::Empty));
        });
    }

    #[test]
    fn too_much_is_given_back_whole() {
        block_on(async {
            for (length, limit) in [(Some(4), 3), (None, 3), (None, 0)] {
                let back = WholeBody::read(pieces(&["ab", "cd"], length), limit).await.unwrap().unwrap_err();
                assert_eq!((back.length(), frames(back).await.0), (length, b"abcd".to_vec()));
            }
        });
    }

    #[test]
    fn trailers_go_along() {
        block_on(async {
            let trailers = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("x"))]);
            let body = Body::stream(Again { data: "abc".into(), trailers: Some(trailers.clone()) }, Some(3));
            let whole = WholeBody::read(body, 9).await.unwrap().unwrap();
            assert_eq!(whole.body().length(), Some(3));
            assert_eq!(frames(whole.body()).await, (b"abc".to_vec(), Some(trailers)));
        });
    }
}
