//! What is measured of a request: from its routing to the end of its response.

use crate::entry_point::EntryPoint;
use crate::layer::Scopes;
use crate::snapshot::Router;
use bytes::Bytes;
use http::StatusCode;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use torana_http::{Body, BodyError, Exchange, Frame, Response, respond};
use torana_telemetry::metrics::{Ended, Kind, Level, Metrics, Scope};

/// Where an entry point counts.
#[derive(Clone, Debug)]
pub struct EntryPointMeter {
    pub metrics: Arc<Metrics>,
    /// `None` without `addEntryPointsLabels`.
    pub requests: Option<Arc<Scope>>,
    pub connections: Arc<Level>,
    /// Requests that no router serves count too (`observability.metrics` of the entry point).
    pub unrouted: bool,
}

/// An open connection is counted as long as this lives.
pub(crate) struct Open(Arc<Level>);

impl Open {
    pub(crate) fn new(entry_point: &EntryPoint) -> Option<Open> {
        let level = entry_point.meter.as_ref()?.connections.clone();
        level.up();
        Some(Open(level))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.down();
    }
}

/// Holds the record of a request from its routing on; empty while nothing is measured.
pub(crate) type Slot = Cell<Option<Record>>;

/// A request that is being measured. One that is dropped is not counted: as in Traefik, a response that broke
/// off is none.
pub(crate) struct Record {
    started: Instant,
    kind: Kind,
    router: Option<Arc<Scope>>,
    /// Of the routers behind it, as the request comes to them.
    behind: Option<Scopes>,
    /// Bytes of the request's body, if it came whole.
    whole: Option<u64>,
    /// Bytes of it that were read.
    received: u64,
    /// The same, of a body that arrives in pieces.
    upload: Option<Rc<Cell<u64>>>,
    /// Values of header labels.
    headers: String,
    code: u16,
    /// The code that the trailers of a gRPC response have.
    late: Option<Rc<Cell<u16>>>,
}

impl Record {
    /// Begins, if a request to this router, or to none, is to be measured.
    pub(crate) fn begin(
        exchange: &mut Exchange,
        entry_point: &EntryPoint,
        router: Option<&Router>,
        behind: Option<Scopes>,
    ) -> Option<Record> {
        let meter = entry_point.meter.as_ref()?;
        if !router.map_or(meter.unrouted, |r| r.metered) {
            return None;
        }
        exchange.metered = true;
        let request = &mut exchange.request;
        let kind = Kind::of(&request.method, &request.headers, exchange.upgrade.as_ref());
        let headers = meter.metrics.header_values(&request.headers);
        let whole = matches!(request.body, Body::Full(_)).then(|| request.body.length()).flatten();
        let upload = matches!(request.body, Body::Stream { .. }).then(|| {
            let count = Rc::new(Cell::new(0));
            let body = std::mem::take(&mut request.body);
            let length = body.length();
            request.body = Body::stream(Counted { body, count: count.clone() }, length);
            count
        });
        exchange.upload.clone_from(&upload);
        let router = router.and_then(|r| r.meter.clone());
        let record = Record { started: Instant::now(), kind, router, behind, whole, received: 0, upload, headers, code: 0, late: None };
        if let Some((version, cipher)) = exchange.tls_names() {
            record.scopes(entry_point).for_each(|s| s.record_tls(version, cipher));
        }
        Some(record)
    }

    fn scopes<'a>(&'a self, entry_point: &'a EntryPoint) -> impl Iterator<Item = &'a Scope> {
        entry_point.meter.iter().filter_map(|m| m.requests.as_deref()).chain(self.router.as_deref())
    }

    /// The response is there, its body not yet.
    pub(crate) fn answered(&mut self, response: &mut Response, exchange: &Exchange) {
        self.code = if matches!(response.body(), Body::Tunnel(_)) {
            // As Traefik counts them: a connection that leaves HTTP has no status.
            0
        } else {
            self.kind.code(response.status(), response.headers())
        };
        // Somebody took it.
        if let Some(n) = self.whole.filter(|_| exchange.request.body.is_empty()) {
            self.received = n;
        }
        if matches!(response.body(), Body::Stream { .. }) && self.kind.awaits_trailers(response.headers()) {
            let code = Rc::new(Cell::new(self.code));
            let body = std::mem::take(response.body_mut());
            let length = body.length();
            *response.body_mut() = Body::stream(Trailing { body, code: code.clone() }, length);
            self.late = Some(code);
        }
    }

    /// The response is sent; `sent`: bytes of its body.
    pub(crate) fn finish(mut self, entry_point: &EntryPoint, sent: u64) {
        let late = self.late.take();
        let ended = Ended {
            kind: self.kind,
            code: late.map_or(self.code, |c| c.get()),
            took: self.started.elapsed(),
            received: self.upload.as_ref().map_or(self.received, |c| c.get()),
            sent,
            headers: &self.headers,
        };
        self.scopes(entry_point).for_each(|s| s.record(&ended));
        self.behind.iter().for_each(|b| b.borrow().iter().for_each(|s| s.record(&ended)));
    }

    /// The client went away before there was a response: counted with the one that nobody could be sent.
    pub(crate) fn abandoned(mut self, entry_point: &EntryPoint) {
        self.code = respond::CLIENT_CLOSED_REQUEST;
        let text = StatusCode::from_u16(self.code).map_or("", respond::text_of);
        self.finish(entry_point, text.len() as u64);
    }
}

/// A response body whose trailers have the code.
struct Trailing {
    body: Body,
    code: Rc<Cell<u16>>,
}

impl http_body::Body for Trailing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let frame = self.body.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.code.set(Kind::code_of_trailers(trailers));
        }
        frame
    }
}

/// Counts what is read of a request's body.
struct Counted {
    body: Body,
    count: Rc<Cell<u64>>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let frame = self.body.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.count.set(self.count.get() + data.len() as u64);
        }
        frame
    }
}
