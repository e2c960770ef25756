//! Bodies made of frames that are there already.

use torana_http::{Body, BodyError, Frame};

/// `frames`, then `rest`; of no declared length.
pub(crate) fn followed_by(frames: impl IntoIterator<Item = Result<Frame, BodyError>>, rest: Body) -> Body {
    Body::prefixed(frames.into_iter().collect(), rest, None)
}

/// The same body, of no declared length.
pub(crate) fn without_length(body: Body) -> Body {
    followed_by([], body)
}
