//! A request's body in memory, to be sent more than once.

use bytes::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};
use torana_http::{Body, BodyError, Frame};

pub(crate) struct KeptBody {
    pub(crate) bytes: Bytes,
    /// Whether the client said how long it is; if not, neither do we.
    pub(crate) declared: bool,
}

impl KeptBody {
    pub(crate) fn body(&self) -> Body {
        match (self.declared, self.bytes.is_empty()) {
            (true, true) => Body::Empty,
            (true, false) => Body::Full(self.bytes.clone()),
            (false, _) => Body::stream(Unmeasured(Body::Full(self.bytes.clone())), None),
        }
    }
}

/// A body that does not tell its length.
pub(crate) struct Unmeasured(pub(crate) Body);

impl http_body::Body for Unmeasured {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.0.poll_frame(cx)
    }
}
