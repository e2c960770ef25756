//! Bodies on HTTP/2 streams, for both sides of the gateway.

use crate::body::{Body, BodyError};
use bytes::Bytes;
use http::header::{self, HeaderMap};
use std::future::poll_fn;
use std::task::Poll;

/// Why a body could not be sent whole.
#[derive(Debug)]
pub enum SendError {
    Body(BodyError),
    H2(h2::Error),
    /// The peer reset the stream.
    Reset,
}

/// Sends a body on an HTTP/2 stream, no faster than its window allows; its trailers if they are wanted. Returns
/// the length of the body in bytes.
pub async fn send_body(body: &mut Body, stream: &mut h2::SendStream<Bytes>, trailers: bool) -> Result<u64, SendError> {
    let mut sent = 0;
    loop {
        let frame = poll_fn(|cx| {
            if let Poll::Ready(r) = stream.poll_reset(cx) {
                return Poll::Ready(Err(r.map_or_else(SendError::H2, |_| SendError::Reset)));
            }
            body.poll_frame(cx).map(Ok)
        })
        .await?;
        match frame {
            None => return stream.send_data(Bytes::new(), true).map(|()| sent).map_err(SendError::H2),
            Some(Err(e)) => return Err(SendError::Body(e)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(mut data) => {
                    let last = matches!(body, Body::Empty);
                    sent += data.len() as u64;
                    while !data.is_empty() {
                        stream.reserve_capacity(data.len());
                        let room = poll_fn(|cx| match stream.poll_reset(cx) {
                            Poll::Ready(r) => Poll::Ready(Err(r.map_or_else(SendError::H2, |_| SendError::Reset))),
                            Poll::Pending => stream.poll_capacity(cx).map(|c| match c {
                                Some(Ok(n)) => Ok(n),
                                Some(Err(e)) => Err(SendError::H2(e)),
                                None => Err(SendError::Reset),
                            }),
                        })
                        .await?;
                        let piece = data.split_to(room.min(data.len()));
                        let end = last && data.is_empty();
                        stream.send_data(piece, end).map_err(SendError::H2)?;
                    }
                    if last {
                        return Ok(sent);
                    }
                }
                Err(frame) => {
                    let done = match frame.into_trailers() {
                        Ok(t) if trailers => stream.send_trailers(t).map_err(SendError::H2),
                        _ => stream.send_data(Bytes::new(), true).map_err(SendError::H2),
                    };
                    return done.map(|()| sent);
                }
            },
        }
    }
}

/// Headers that HTTP/2 does not know (RFC 9113, 8.2.2).
pub fn strip_connection_headers(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}
