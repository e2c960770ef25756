//! What the access log tells of a request: gathered on its way, written when its response has ended or broken off.

use crate::entry_point::EntryPoint;
use crate::measure::watched;
use crate::snapshot::Router;
use bytes::Bytes;
use bytestring::ByteString;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use torana_http::forwarded::X_FORWARDED_FOR;
use torana_http::{Body, Exchange, Frame, Peer, ProxyError, Response, path, respond};
use torana_telemetry::access_log::{AccessLog, Entry, Origin, OriginAnswer, Tls, Trace};

/// Where an entry point logs requests.
#[derive(Clone, Debug)]
pub struct EntryPointLog {
    pub log: Arc<AccessLog>,
    /// Requests that no router serves are logged too (`observability.accessLogs` of the entry point).
    pub unrouted: bool,
}

/// The same for one connection, so that its requests share nothing with other workers.
pub(crate) struct ConnectionLog {
    at: EntryPointLog,
    /// Subject of the client's certificate, once some line has needed it.
    subject: OnceCell<Option<String>>,
}

impl ConnectionLog {
    pub(crate) fn new(entry_point: &EntryPoint) -> Option<Rc<ConnectionLog>> {
        entry_point.log.clone().map(|at| Rc::new(ConnectionLog { at, subject: OnceCell::new() }))
    }

    fn tls<'a>(&'a self, peer: &'a Peer) -> Option<Tls<'a>> {
        let facts = peer.tls.as_ref()?;
        let subject = self.subject.get_or_init(|| facts.certificates.first().and_then(|c| torana_tls::subject(c)));
        Some(Tls { version: facts.version, cipher: facts.cipher, subject: subject.as_deref() })
    }
}

/// What of a response has been taken to be sent.
#[derive(Default)]
struct Progress {
    sent: Cell<u64>,
    trailers: RefCell<HeaderMap>,
}

/// A request that will be a line of the log.
pub(crate) struct Line {
    on: Rc<ConnectionLog>,
    peer: Rc<Peer>,
    started: Instant,
    at: SystemTime,
    count: u64,
    method: Method,
    version: Version,
    host: ByteString,
    path: ByteString,
    query: Option<ByteString>,
    forwarded_for: Option<HeaderValue>,
    router: Option<Arc<str>>,
    user: Option<String>,
    origin: Option<torana_http::Origin>,
    retries: u32,
    trace: Option<Trace>,
    request: HeaderMap,
    response: HeaderMap,
    status: u16,
    progress: Option<Rc<Progress>>,
}

impl Line {
    /// Begins, if a request to this router, or to none, is to be logged.
    pub(crate) fn begin(on: &Rc<ConnectionLog>, exchange: &mut Exchange, router: Option<&Router>, started: Instant) -> Option<Box<Line>> {
        if !router.map_or(on.at.unrouted, |r| r.logged) {
            return None;
        }
        exchange.logged = true;
        let request = &exchange.request;
        // Where they were not escaped they part parameters, as in what is sent on.
        let query = request.query.as_ref().map(|q| path::replace_semicolons(q, "&").unwrap_or_else(|| q.clone()));
        Some(Box::new(Line {
            on: on.clone(),
            peer: exchange.peer.clone(),
            started,
            at: SystemTime::now(),
            count: on.at.log.begin(),
            method: request.method.clone(),
            version: request.version,
            host: request.host.clone(),
            path: exchange.original_path.clone(),
            query,
            forwarded_for: request.headers.get(X_FORWARDED_FOR).cloned(),
            router: router.map(|r| r.name.clone()),
            user: None,
            origin: None,
            retries: 0,
            trace: None,
            request: HeaderMap::new(),
            response: HeaderMap::new(),
            status: 0,
            progress: None,
        }))
    }

    /// The request is traced.
    pub(crate) fn traced(&mut self, at: &torana_trace::Context) {
        self.trace = Some(Trace { id: at.trace.0, span: at.span.0, sampled: at.is_sampled() });
    }

    /// The response is there, its body not yet.
    pub(crate) fn answered(&mut self, response: &mut Response, exchange: &Exchange) {
        let log = &self.on.at.log;
        let tunnel = matches!(response.body(), Body::Tunnel(_));
        // A connection that leaves HTTP has no status, as in Traefik.
        self.status = if tunnel { 0 } else { response.status().as_u16() };
        self.response = log.kept(response.headers());
        // Traefik says that there is no type, lest Go guesses one.
        if !response.headers().contains_key(CONTENT_TYPE) && log.keeps_header(&CONTENT_TYPE) {
            self.response.insert(CONTENT_TYPE, log.shown(&CONTENT_TYPE, HeaderValue::from_static("")));
        }
        if let Some(length) = self.server_length(response, exchange).filter(|_| log.keeps_header(&CONTENT_LENGTH)) {
            self.response.insert(CONTENT_LENGTH, log.shown(&CONTENT_LENGTH, length.into()));
        }
        if matches!(response.body(), Body::Stream { .. }) {
            let progress = Rc::new(Progress::default());
            self.progress = Some(progress.clone());
            let trailers = log.wants_headers();
            watched(response.body_mut(), move |frame: &Frame| match frame.data_ref() {
                Some(data) => progress.add(data),
                None if trailers => progress.trailers.borrow_mut().extend(frame.trailers_ref().cloned().unwrap_or_default()),
                None => {}
            });
        }
    }

    /// The length that a server gave its body. It has become the body's own, and so stands in no header any more.
    fn server_length(&self, response: &Response, exchange: &Exchange) -> Option<u64> {
        let servers = exchange.origin.is_some() && response.extensions().get::<ProxyError>().is_none();
        let bodiless = response.body().is_empty() && (self.method == Method::HEAD || matches!(response.status().as_u16(), 204 | 304));
        response.body().length().filter(|_| servers && !bodiless && !response.headers().contains_key(CONTENT_LENGTH))
    }

    /// Nobody handles the request any more; what they have found out of it stays.
    pub(crate) fn left(&mut self, exchange: &mut Exchange) {
        self.user = exchange.user.take();
        self.origin = exchange.origin.take();
        self.retries = exchange.retries;
        // The last one, where routers stand behind routers: its name has theirs.
        if let Some(router) = &exchange.router {
            self.router = Some(router.clone());
        }
        self.request = self.on.at.log.kept(&exchange.request.headers);
        // Of the framing only the length counts as a header, as in Go.
        self.request.remove(TRAILER);
        self.request.remove(TRANSFER_ENCODING);
    }

    /// The response is sent.
    pub(crate) fn finish(mut self: Box<Self>, received: u64, sent: u64) {
        if let Some(progress) = &self.progress {
            self.response.extend(self.on.at.log.kept(&progress.trailers.take()));
        }
        let answer = self.origin.as_ref().filter(|o| o.answered).map(|o| OriginAnswer {
            status: self.status,
            size: o.size.as_ref().map_or(sent, |s| s.get()),
            took: o.started.elapsed(),
        });
        self.write(received, sent, answer);
    }

    /// The client went away before there was a response: the one that nobody could be sent stands for it.
    pub(crate) fn abandoned(mut self: Box<Self>, received: u64) {
        self.status = respond::CLIENT_CLOSED_REQUEST;
        if let Some(origin) = &mut self.origin {
            origin.answered = true;
        }
        let text = StatusCode::from_u16(self.status).map_or("", respond::text_of);
        self.finish(received, text.len() as u64);
    }

    /// The response broke off, or there was no time for one.
    pub(crate) fn cut(self: Box<Self>, received: u64) {
        let sent = self.progress.as_ref().map_or(0, |p| p.sent.get());
        self.write(received, sent, None);
    }

    fn write(&self, received: u64, sent: u64, answer: Option<OriginAnswer>) {
        self.on.at.log.write(&Entry {
            started: self.at,
            took: self.started.elapsed(),
            count: self.count,
            entry_point: &self.peer.entry_point,
            client: self.peer.addr,
            forwarded_for: self.forwarded_for.as_ref().map(HeaderValue::as_bytes),
            user: self.user.as_deref(),
            method: &self.method,
            version: self.version,
            host: &self.host,
            path: &self.path,
            query: self.query.as_deref(),
            tls: self.on.tls(&self.peer),
            router: self.router.as_deref(),
            origin: self.origin.as_ref().map(|o| Origin { service: &o.service, url: &o.url, address: &o.address, answer }),
            status: self.status,
            received,
            sent,
            retries: self.retries.into(),
            trace: self.trace,
            request: &self.request,
            response: &self.response,
        });
    }
}

impl Progress {
    fn add(&self, data: &Bytes) {
        self.sent.set(self.sent.get() + data.len() as u64);
    }
}
