//! How documents are framed: as Go's server does it for handlers that do not say how long their answer is.

use bytes::Bytes;
use http_body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll};
use torana_http::{Body, BodyError};

/// Go's server looks at so many bytes before it decides that the length is not known.
const LOOKED_AT: usize = 2048;

/// A body whose length is told if it is short, and not told else.
pub(crate) fn body(bytes: Bytes) -> Body {
    if bytes.len() <= LOOKED_AT { Body::Full(bytes) } else { Body::stream(Once(Some(bytes)), None) }
}

/// Everything in one piece.
struct Once(Option<Bytes>);

impl http_body::Body for Once {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.get_mut().0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}
