//! What is measured of a request: from its routing to the end of its response.

use crate::access::{ConnectionLog, Line};
use crate::entry_point::EntryPoint;
use crate::layer::Scopes;
use crate::snapshot::Router;
use bytes::Bytes;
use http::{Method, StatusCode};
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
#[derive(Default)]
pub(crate) struct Slot {
    record: Cell<Option<Record>>,
    log: Option<Rc<ConnectionLog>>,
}

impl Slot {
    pub(crate) fn new(log: &Option<Rc<ConnectionLog>>) -> Slot {
        Slot { record: Cell::default(), log: log.clone() }
    }

    /// A request to this router, or to none, begins.
    pub(crate) fn begin(&self, exchange: &mut Exchange, entry_point: &EntryPoint, router: Option<&Router>, behind: Option<Scopes>) {
        if entry_point.meter.is_some() || self.log.is_some() {
            self.record.set(Record::begin(exchange, entry_point, router, behind, self.log.as_ref()));
        }
    }

    /// Changes the record, if there is one.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Record)) {
        if let Some(mut record) = self.record.take() {
            change(&mut record);
            self.record.set(Some(record));
        }
    }

    pub(crate) fn take(&self) -> Option<Record> {
        self.record.take()
    }
}

/// A request that is being measured. One that is dropped is logged as broken off, and not counted: as in Traefik, a
/// response that broke off is none.
pub(crate) struct Record {
    started: Instant,
    received: Received,
    /// Bytes of an answer to HEAD that was made to be sent and cannot be; they count as if it were, as in Traefik.
    unsent: u64,
    tally: Option<Tally>,
    /// Boxed: a record is moved often, and a line is large, and seldom wanted.
    line: Option<Box<Line>>,
}

/// What was read of the body of a request.
#[derive(Default)]
struct Received {
    /// Bytes of a body that came whole.
    whole: Option<u64>,
    /// Those of them that were read.
    taken: u64,
    /// Bytes that were read of a body that arrives in pieces.
    streamed: Option<Rc<Cell<u64>>>,
}

impl Received {
    fn of(exchange: &mut Exchange) -> Received {
        let body = &mut exchange.request.body;
        let whole = matches!(body, Body::Full(_)).then(|| body.length()).flatten();
        let streamed = matches!(body, Body::Stream { .. }).then(|| {
            let count = Rc::new(Cell::new(0));
            let counting = count.clone();
            watched(body, move |frame| counting.set(counting.get() + frame.data_ref().map_or(0, Bytes::len) as u64));
            count
        });
        exchange.upload.clone_from(&streamed);
        Received { whole, taken: 0, streamed }
    }

    fn bytes(&self) -> u64 {
        self.streamed.as_ref().map_or(self.taken, |c| c.get())
    }
}

/// What metrics want to know of a request.
struct Tally {
    kind: Kind,
    router: Option<Arc<Scope>>,
    /// Of the routers behind it, as the request comes to them.
    behind: Option<Scopes>,
    /// Values of header labels.
    headers: String,
    code: u16,
    /// The code that the trailers of a gRPC response have.
    late: Option<Rc<Cell<u16>>>,
}

impl Tally {
    fn begin(exchange: &mut Exchange, entry_point: &EntryPoint, router: Option<&Router>, behind: Option<Scopes>) -> Option<Tally> {
        let meter = entry_point.meter.as_ref()?;
        if !router.map_or(meter.unrouted, |r| r.metered) {
            return None;
        }
        exchange.metered = true;
        let request = &exchange.request;
        let kind = Kind::of(&request.method, &request.headers, exchange.upgrade.as_ref());
        let headers = meter.metrics.header_values(&request.headers);
        let tally = Tally { kind, router: router.and_then(|r| r.meter.clone()), behind, headers, code: 0, late: None };
        if let Some((version, cipher)) = exchange.tls_names() {
            tally.scopes(entry_point).for_each(|s| s.record_tls(version, cipher));
        }
        Some(tally)
    }

    fn scopes<'a>(&'a self, entry_point: &'a EntryPoint) -> impl Iterator<Item = &'a Scope> {
        entry_point.meter.iter().filter_map(|m| m.requests.as_deref()).chain(self.router.as_deref())
    }

    fn answered(&mut self, response: &mut Response) {
        self.code = if matches!(response.body(), Body::Tunnel(_)) {
            // As Traefik counts them: a connection that leaves HTTP has no status.
            0
        } else {
            self.kind.code(response.status(), response.headers())
        };
        if matches!(response.body(), Body::Stream { .. }) && self.kind.awaits_trailers(response.headers()) {
            let code = Rc::new(Cell::new(self.code));
            let late = code.clone();
            watched(response.body_mut(), move |frame| {
                if let Some(trailers) = frame.trailers_ref() {
                    late.set(Kind::code_of_trailers(trailers));
                }
            });
            self.late = Some(code);
        }
    }
}

impl Record {
    /// Begins, if a request to this router, or to none, is to be measured.
    fn begin(
        exchange: &mut Exchange,
        entry_point: &EntryPoint,
        router: Option<&Router>,
        behind: Option<Scopes>,
        log: Option<&Rc<ConnectionLog>>,
    ) -> Option<Record> {
        let started = Instant::now();
        let tally = Tally::begin(exchange, entry_point, router, behind);
        let line = log.and_then(|log| Line::begin(log, exchange, router, started));
        if tally.is_none() && line.is_none() {
            return None;
        }
        Some(Record { started, received: Received::of(exchange), unsent: 0, tally, line })
    }

    /// The request is traced.
    pub(crate) fn traced(&mut self, at: &torana_trace::Context) {
        if let Some(line) = &mut self.line {
            line.traced(at);
        }
    }

    /// The response is there, its body not yet.
    pub(crate) fn answered(&mut self, response: &mut Response, exchange: &Exchange) {
        // Somebody took it.
        if let Some(n) = self.received.whole.filter(|_| exchange.request.body.is_empty()) {
            self.received.taken = n;
        }
        if let (&Method::HEAD, Body::Full(text)) = (&exchange.request.method, response.body()) {
            self.unsent = text.len() as u64;
        }
        if let Some(tally) = &mut self.tally {
            tally.answered(response);
        }
        if let Some(line) = &mut self.line {
            line.answered(response, exchange);
        }
    }

    /// Nobody handles the request any more, whether there is a response or not.
    pub(crate) fn left(&mut self, exchange: &mut Exchange) {
        if let Some(line) = &mut self.line {
            line.left(exchange);
        }
    }

    /// All of the response is on its way. Its line is written now, so that the client sees nothing of it before: lines
    /// stand in the order in which a client sent its requests.
    pub(crate) fn ended(&mut self, sent: u64) {
        if let Some(line) = self.line.take() {
            line.finish(self.received.bytes(), sent + self.unsent);
        }
    }

    /// The response is sent; `sent`: bytes of its body.
    pub(crate) fn finish(mut self, entry_point: &EntryPoint, sent: u64) {
        self.count(entry_point, sent);
        self.ended(sent);
    }

    fn count(&mut self, entry_point: &EntryPoint, sent: u64) {
        let Some(tally) = self.tally.take() else { return };
        let ended = Ended {
            kind: tally.kind,
            code: tally.late.as_ref().map_or(tally.code, |c| c.get()),
            took: self.started.elapsed(),
            received: self.received.bytes(),
            sent: sent + self.unsent,
            headers: &tally.headers,
        };
        tally.scopes(entry_point).for_each(|s| s.record(&ended));
        tally.behind.iter().for_each(|b| b.borrow().iter().for_each(|s| s.record(&ended)));
    }

    /// The client went away before there was a response: counted with the one that nobody could be sent.
    pub(crate) fn abandoned(mut self, entry_point: &EntryPoint) {
        if let Some(tally) = &mut self.tally {
            (tally.code, tally.late) = (respond::CLIENT_CLOSED_REQUEST, None);
        }
        self.unsent = 0;
        let text = StatusCode::from_u16(respond::CLIENT_CLOSED_REQUEST).map_or("", respond::text_of);
        self.count(entry_point, text.len() as u64);
        if let Some(line) = self.line.take() {
            line.abandoned(self.received.bytes());
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            line.cut(self.received.bytes());
        }
    }
}

/// A response on its way to the client. Unless it is said to be done it has been cut when this goes, whoever lets it
/// go. The body must go later: what measures it looks at `cut` then, and a part of it that goes earlier, because a
/// middleware wants no more of it, must find nothing there.
pub(crate) struct Sending<'a>(Option<&'a Cell<bool>>);

impl<'a> Sending<'a> {
    pub(crate) fn new(cut: &'a Cell<bool>) -> Self {
        Sending(Some(cut))
    }

    pub(crate) fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let Some(cut) = self.0 {
            cut.set(true);
        }
    }
}

/// Shows each frame of a body to `look` on its way.
pub(crate) fn watched(body: &mut Body, look: impl Fn(&Frame) + Unpin + 'static) {
    let inner = std::mem::take(body);
    let length = inner.length();
    *body = Body::stream(Watched { body: inner, look }, length);
}

struct Watched<F> {
    body: Body,
    look: F,
}

impl<F: Fn(&Frame) + Unpin> http_body::Body for Watched<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let frame = self.body.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            (self.look)(frame);
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    /// A part of a body that notes whether it was cut when it went.
    struct Part<'a>(&'a Cell<bool>, &'a Cell<Option<bool>>);

    impl Drop for Part<'_> {
        fn drop(&mut self) {
            self.1.set(Some(self.0.get()));
        }
    }

    #[test]
    fn a_response_is_cut_where_it_is_let_go() {
        async fn send(body: Part<'_>, inner: Part<'_>, ends: bool) {
            let sending = Sending::new(body.0);
            drop(inner);
            if !ends {
                std::future::pending::<()>().await;
            }
            sending.done();
        }

        for ends in [true, false] {
            let (cut, body, inner) = (Cell::new(false), Cell::new(None), Cell::new(None));
            // What is not ready is dropped, as when its time is over.
            assert_eq!(send(Part(&cut, &body), Part(&cut, &inner), ends).now_or_never().is_some(), ends);
            assert_eq!((body.get(), inner.get()), (Some(!ends), Some(false)));
        }
    }
}
