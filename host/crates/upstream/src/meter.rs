//! What is measured of a request to a server of a service, each try by itself.

use crate::held::HeldTunnel;
use bytes::Bytes;
use http::StatusCode;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use torana_http::{Body, BodyError, Exchange, Frame, Peer, Response, respond};
use torana_telemetry::metrics::{Ended, Kind, Metrics, Scope};

/// Where a service counts.
#[derive(Clone, Debug)]
pub struct ServiceMeter {
    pub metrics: Arc<Metrics>,
    pub requests: Arc<Scope>,
}

/// One try. Dropped before its answer, the client went away.
pub(crate) struct Attempt<'a> {
    meter: &'a ServiceMeter,
    tally: Option<Tally>,
    /// Length of a request body in memory.
    whole: Option<u64>,
}

/// What is known of a try so far.
struct Tally {
    started: Instant,
    kind: Kind,
    code: u16,
    received: u64,
    /// Of a body that arrives in pieces: what was read, and what of it before this try.
    upload: Option<(Rc<Cell<u64>>, u64)>,
    headers: String,
}

impl Tally {
    fn record(self, scope: &Scope, sent: u64) {
        scope.record(&Ended {
            kind: self.kind,
            code: self.code,
            took: self.started.elapsed(),
            received: self.upload.map_or(self.received, |(count, before)| count.get().saturating_sub(before)),
            sent,
            headers: &self.headers,
        });
    }
}

impl<'a> Attempt<'a> {
    pub(crate) fn begin(meter: &'a ServiceMeter, exchange: &mut Exchange) -> Self {
        if std::mem::take(&mut exchange.again) {
            meter.requests.record_retry();
        }
        let request = &exchange.request;
        if let Some((version, cipher)) = exchange.tls_names() {
            meter.requests.record_tls(version, cipher);
        }
        let whole = matches!(request.body, Body::Full(_)).then(|| request.body.length()).flatten();
        let tally = Tally {
            started: Instant::now(),
            kind: Kind::of(&request.method, &request.headers, exchange.upgrade.as_ref()),
            code: 0,
            received: 0,
            upload: exchange.upload.clone().map(|count| (count.clone(), count.get())),
            headers: meter.metrics.header_values(&request.headers),
        };
        Attempt { meter, tally: Some(tally), whole }
    }

    /// Counts the answer, at once or when its body has ended.
    pub(crate) fn answered(mut self, response: &mut Response, exchange: &Exchange) {
        let Some(mut tally) = self.tally.take() else { return };
        tally.code = tally.kind.code(response.status(), response.headers());
        // A body that was not touched is still there.
        if let Some(n) = self.whole.filter(|_| exchange.request.body.is_empty()) {
            tally.received = n;
        }
        let trailers = tally.kind.awaits_trailers(response.headers());
        match response.body_mut() {
            Body::Empty => tally.record(&self.meter.requests, 0),
            Body::Full(bytes) => tally.record(&self.meter.requests, bytes.len() as u64),
            body => {
                let counting = |tally| Counting { scope: self.meter.requests.clone(), tally: Some(tally), sent: 0 };
                *body = match std::mem::take(body) {
                    Body::Tunnel(tunnel) => {
                        // As Traefik counts them: a connection that leaves HTTP has no status.
                        tally.code = 0;
                        Body::Tunnel(Box::new(HeldTunnel { tunnel, _held: counting(tally) }))
                    }
                    streamed => {
                        let length = streamed.length();
                        Body::stream(
                            Metered { body: streamed, length, trailers, counting: counting(tally), peer: exchange.peer.clone() },
                            length,
                        )
                    }
                };
            }
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(mut tally) = self.tally.take()
            && !std::thread::panicking()
        {
            tally.code = respond::CLIENT_CLOSED_REQUEST;
            let text = StatusCode::from_u16(tally.code).map_or("", respond::text_of);
            tally.record(&self.meter.requests, text.len() as u64);
        }
    }
}

/// Counts when it is dropped, unless the tally was taken away.
struct Counting {
    scope: Arc<Scope>,
    tally: Option<Tally>,
    sent: u64,
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(tally) = self.tally.take() {
            tally.record(&self.scope, self.sent);
        }
    }
}

/// A response body that is counted when it ends, or when a middleware wants no more of it. One that breaks
/// off on either side is not, as in Traefik.
struct Metered {
    body: Body,
    length: Option<u64>,
    /// The trailers have the code.
    trailers: bool,
    counting: Counting,
    peer: Rc<Peer>,
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let this = &mut *self;
        let frame = this.body.poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    this.counting.sent += data.len() as u64;
                } else if let (true, Some(tally), Some(trailers)) = (this.trailers, &mut this.counting.tally, frame.trailers_ref()) {
                    tally.code = Kind::code_of_trailers(trailers);
                }
            }
            Poll::Ready(Some(Err(_))) => this.counting.tally = None,
            Poll::Ready(None) | Poll::Pending => {}
        }
        frame
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        if self.peer.cut.get() {
            self.counting.tally = None;
        }
        // What a middleware does not want the server has sent all the same.
        self.counting.sent = self.length.unwrap_or(self.counting.sent);
    }
}
