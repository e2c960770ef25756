//! Servers that fall silent in the middle of an answer.

use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};
use torana_http::{Body, BodyError, Frame, Response};

/// The same response, whose body fails when its server sends nothing for `limit`.
pub(crate) fn watched(response: Response, limit: Option<Duration>) -> Response {
    let Some(limit) = limit else { return response };
    response.map(|body| match body {
        Body::Stream { stream, length } => {
            Body::Stream { stream: Box::new(Watched { stream, limit, timer: Box::pin(sleep(limit)), waits: false }), length }
        }
        other => other,
    })
}

struct Watched {
    stream: Box<dyn torana_http::body::Stream>,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    /// The timer runs: the last look found nothing.
    waits: bool,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut *this.stream).poll_frame(cx) {
            this.waits = false;
            return Poll::Ready(frame);
        }
        // Time in which the client took nothing does not count.
        if !std::mem::replace(&mut this.waits, true) {
            this.timer.as_mut().reset(Instant::now() + this.limit);
        }
        this.timer.as_mut().poll(cx).map(|()| Some(Err(BodyError::Timeout)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three frames, four seconds apart, and then nothing for long.
    struct Slow(u32, Pin<Box<Sleep>>);

    impl http_body::Body for Slow {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            if self.1.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.0 += 1;
            let pause = Duration::from_secs(if self.0 < 3 { 4 } else { 60 });
            self.1.as_mut().reset(Instant::now() + pause);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_body() {
        let body = Body::Stream { stream: Box::new(Slow(0, Box::pin(sleep(Duration::from_secs(4))))), length: None };
        let mut response = watched(Response::new(body), Some(Duration::from_secs(5)));
        for _ in 0..3 {
            assert!(response.body_mut().frame().await.is_some_and(|f| f.is_ok()));
        }
        assert!(matches!(response.body_mut().frame().await, Some(Err(BodyError::Timeout))));
    }
}
