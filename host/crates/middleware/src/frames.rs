//! Bodies made of frames that are there already.

use bytes::Bytes;
use torana_http::{Body, BodyError, Frame};

/// `frames`, then `rest`; of no declared length.
pub(crate) fn followed_by(frames: impl IntoIterator<Item = Result<Frame, BodyError>>, rest: Body) -> Body {
    Body::prefixed(frames.into_iter().collect(), rest, None)
}

/// `rest` as it was before `first` was read of it.
pub(crate) fn put_back(first: Bytes, rest: Body, length: Option<u64>) -> Body {
    if matches!(rest, Body::Empty) && length == Some(first.len() as u64) {
        return Body::Full(first);
    }
    Body::prefixed([Ok(Frame::data(first))].into(), rest, length)
}

/// The same body, of no declared length.
pub(crate) fn without_length(body: Body) -> Body {
    followed_by([], body)
}
