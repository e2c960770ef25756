//! Transparent decompression of an answer whose compression the client did not ask for.

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use torana_http::{Body, BodyError, Frame};

/// `body` without its gzip coding; of unknown length.
pub(crate) fn body(inner: Body) -> Body {
    Body::stream(Gunzip { inner, decoder: Some(MultiGzDecoder::new(Vec::new())), trailers: None }, None)
}

struct Gunzip {
    inner: Body,
    decoder: Option<MultiGzDecoder<Vec<u8>>>,
    trailers: Option<Frame>,
}

impl http_body::Body for Gunzip {
    type Data = Bytes;
    type Error = BodyError;

    /// Pieces are taken one at a time, so what waits is bounded by what one piece inflates to.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            let Some(decoder) = &mut self.decoder else { return Poll::Ready(self.trailers.take().map(Ok)) };
            if !decoder.get_ref().is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(decoder.get_mut()).into()))));
            }
            match ready!(self.inner.poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if let Some(d) = &mut self.decoder {
                            d.write_all(&data).map_err(|_| BodyError::Malformed("bad gzip from the server"))?;
                        }
                    }
                    Err(trailers) => self.trailers = Some(trailers),
                },
                Some(Err(e)) => return Poll::Ready(Some(Err(e))),
                None => {
                    let rest = self.decoder.take().map(MultiGzDecoder::finish).transpose().map_err(|_| BodyError::Truncated)?;
                    if let Some(rest) = rest.filter(|r| !r.is_empty()) {
                        return Poll::Ready(Some(Ok(Frame::data(rest.into()))));
                    }
                }
            }
        }
    }
}
