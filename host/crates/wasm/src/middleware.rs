//! Plugins as middlewares.

use crate::abi::v0_1::exports::torana::plugin::middleware_hooks::{ChunkAction, Interest, RequestAction, ResponseAction};
use crate::abi::v0_1::torana::plugin::types::{BodyAccess, ConfigError};
use crate::code::Instance;
use crate::component::export;
use crate::load::Loaded;
use crate::passing::{self, About, OutputLimits, Passing, ResponseHead, Wanted};
use crate::pool::{Call, Failure, Hooks, Lease, Live, Pool, Seat};
use crate::rollout::Versions;
use crate::state::State;
use crate::stats::{Hook, Outcome};
use bytes::Bytes;
use http::{StatusCode, header};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use torana_config::routing::Failure as Policy;
use torana_http::{Around, Body, BodyError, Exchange, Filter, Flow, Frame, LocalFuture, Next, Response, respond};
use wasmtime::component::TypedFunc;
use wasmtime::{Result, Store};

type Values = Vec<Option<String>>;

/// The hooks of a middleware.
#[derive(Clone, Copy)]
pub(crate) struct MiddlewareHooks {
    configure: TypedFunc<(String,), (std::result::Result<Interest, ConfigError>,)>,
    on_request: TypedFunc<(Values,), (RequestAction,)>,
    on_response: TypedFunc<(Values, Option<String>), (ResponseAction,)>,
    on_request_body: TypedFunc<(Vec<u8>, bool), (ChunkAction,)>,
    on_response_body: TypedFunc<(Vec<u8>, bool), (ChunkAction,)>,
}

/// Compiled interest.
pub(crate) struct Setup {
    request: bool,
    response: bool,
    request_values: Box<[Wanted]>,
    response_values: Box<[Wanted]>,
    pub(crate) request_body: BodyAccess,
    pub(crate) response_body: BodyAccess,
}

impl Setup {
    fn new(interest: &Interest) -> std::result::Result<Setup, String> {
        let request_values = Wanted::parse_all(&interest.request_values)?;
        if request_values.contains(&Wanted::Status) {
            return Err("a request has no `:status`".to_owned());
        }
        Ok(Setup {
            request: interest.request || interest.request_body != BodyAccess::None,
            response: interest.response || interest.response_body != BodyAccess::None,
            request_values,
            response_values: Wanted::parse_all(&interest.response_values)?,
            request_body: interest.request_body,
            response_body: interest.response_body,
        })
    }

    /// Whether heads alone are looked at.
    fn heads_only(&self) -> bool {
        self.request_body == BodyAccess::None && self.response_body == BodyAccess::None
    }

    fn streams(&self) -> bool {
        self.request_body == BodyAccess::Streamed || self.response_body == BodyAccess::Streamed
    }
}

impl Hooks for MiddlewareHooks {
    type Setup = Setup;

    fn bind(loaded: &Loaded, store: &mut Store<State>, instance: &Instance) -> Result<Self> {
        const HOOKS: &str = "middleware-hooks";
        Ok(MiddlewareHooks {
            configure: export(loaded, store, instance, HOOKS, "configure")?,
            on_request: export(loaded, store, instance, HOOKS, "on-request")?,
            on_response: export(loaded, store, instance, HOOKS, "on-response")?,
            on_request_body: export(loaded, store, instance, HOOKS, "on-request-body")?,
            on_response_body: export(loaded, store, instance, HOOKS, "on-response-body")?,
        })
    }

    async fn configure(&self, call: &mut Call<'_>) -> Result<std::result::Result<Setup, ConfigError>> {
        let config = call.environment().config.clone();
        match call.run(&self.configure, (config,)).await?.0 {
            Ok(interest) => match Setup::new(&interest) {
                Ok(setup) => Ok(Ok(setup)),
                Err(e) => Err(wasmtime::Error::msg(format!("what it asks for: {e}"))),
            },
            Err(e) => Ok(Err(e)),
        }
    }
}

pub(crate) type MiddlewarePool = Pool<MiddlewareHooks>;

impl MiddlewarePool {
    fn limits(&self) -> OutputLimits {
        OutputLimits { headers: self.loaded.limits.headers, body: self.loaded.limits.body }
    }
}

/// The steps of a middleware that a plugin is.
pub(crate) fn step(versions: Versions<MiddlewareHooks>) -> torana_http::Step {
    let plain = versions.all().all(|p| !p.loaded.waits && p.setup.heads_only());
    if plain { torana_http::Step::filter(Plain { versions }) } else { torana_http::Step::around(Full { versions }) }
}

/// What the request carries from `on_request` to `on_response`, other than the heads.
struct Passed {
    pool: Arc<MiddlewarePool>,
    state: Option<String>,
}

enum Decision {
    Next { state: Option<String>, body: Option<Bytes> },
    Respond(Response),
}

/// Puts the head into the instance.
fn lend(live: &mut Live<MiddlewareHooks>, exchange: &mut Exchange, body: Option<Bytes>, about: About) {
    live.store.data_mut().passing = Some(Passing::take(exchange, about, body));
}

/// Takes it back; also out of an instance that trapped.
fn give_back(live: &mut Live<MiddlewareHooks>, exchange: &mut Exchange) -> Option<ResponseHead> {
    live.store.data_mut().passing.take()?.put_back(exchange)
}

fn request_values(setup: &Setup, exchange: &Exchange, about: &About) -> Values {
    setup.request_values.iter().map(|w| passing::request_value(w, &exchange.request, about)).collect()
}

fn response_values(setup: &Setup, exchange: &Exchange, about: &About, response: &Response) -> Values {
    let value = |w| passing::response_value(w, response.status(), response.headers(), &exchange.request, about);
    setup.response_values.iter().map(value).collect()
}

/// What `on-request` said, done.
fn decide(
    live: &mut Live<MiddlewareHooks>,
    exchange: &mut Exchange,
    action: RequestAction,
    limits: OutputLimits,
) -> std::result::Result<Decision, Failure> {
    match action {
        RequestAction::Next(passed) => {
            let body = match passed.edits.is_empty() {
                true => None,
                false => passing::edit_request(&mut exchange.request, passed.edits, &mut live.names, limits).map_err(Failure::Output)?,
            };
            Ok(Decision::Next { state: passed.state, body })
        }
        RequestAction::Respond(a) => Ok(Decision::Respond(passing::answer(a, &mut live.names, limits).map_err(Failure::Output)?)),
    }
}

/// Ends a call: the instance goes back, or away.
fn settle<T>(
    lease: Lease<'_, MiddlewareHooks>,
    hook: Hook,
    begin: Instant,
    result: &std::result::Result<T, Failure>,
    outcome: impl FnOnce(&T) -> Outcome,
) {
    match result {
        Ok(v) => lease.good(hook, begin.elapsed(), outcome(v)),
        Err(f) => lease.bad(hook, f, begin.elapsed()),
    }
}

fn judged(decision: &Decision) -> Outcome {
    match decision {
        Decision::Respond(r) if r.status().is_server_error() => Outcome::BadAnswer,
        _ => Outcome::Good,
    }
}

/// The response of the gateway when a plugin fails and `failure` is `closed`.
pub(crate) fn closed(failure: &Failure) -> Response {
    respond::status_text(match failure {
        Failure::Busy | Failure::Resting => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    })
}

fn span(pool: &MiddlewarePool, hook: &'static str) -> tracing::Span {
    tracing::debug_span!(target: "plugin", "plugin", plugin = &*pool.loaded.plugin, hook)
}

/// A middleware that neither waits nor looks at bodies.
struct Plain {
    versions: Versions<MiddlewareHooks>,
}

impl Plain {
    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn request(&self, pool: &MiddlewarePool, exchange: &mut Exchange) -> std::result::Result<Decision, Failure> {
        let mut lease = pool.checkout_now()?;
        let begin = Instant::now();
        let about = About::of(exchange);
        let values = request_values(&pool.setup, exchange, &about);
        lend(lease.live(), exchange, None, about);
        let result = lease.call_now(|h| h.on_request, (values,));
        give_back(lease.live(), exchange);
        let result = result.and_then(|(action,)| decide(lease.live(), exchange, action, pool.limits()));
        settle(lease, Hook::OnRequest, begin, &result, judged);
        result
    }

    fn response(
        &self,
        pool: &MiddlewarePool,
        state: Option<String>,
        exchange: &mut Exchange,
        response: &mut Response,
    ) -> std::result::Result<(), Failure> {
        let mut lease = pool.checkout_now()?;
        let begin = Instant::now();
        let about = About::of(exchange);
        let values = response_values(&pool.setup, exchange, &about, response);
        lend(lease.live(), exchange, None, about);
        let head = ResponseHead { status: response.status(), headers: std::mem::take(response.headers_mut()) };
        if let Some(p) = &mut lease.live().store.data_mut().passing {
            p.response = Some(head);
        }
        let result = lease.call_now(|h| h.on_response, (values, state));
        let head = give_back(lease.live(), exchange).unwrap_or_default();
        let result = match result {
            Ok((action,)) => change(lease.live(), head, response, action, pool.limits()),
            Err(f) => {
                *response.headers_mut() = head.headers;
                Err(f)
            }
        };
        settle(lease, Hook::OnResponse, begin, &result, |()| Outcome::Good);
        result
    }
}

/// What `on-response` said, done. After an error the response has its head all the same, perhaps half changed.
fn change(
    live: &mut Live<MiddlewareHooks>,
    mut head: ResponseHead,
    response: &mut Response,
    action: ResponseAction,
    limits: OutputLimits,
) -> std::result::Result<(), Failure> {
    match action {
        ResponseAction::Next(edits) => {
            let body = if edits.is_empty() { Ok(None) } else { passing::edit_response(&mut head, edits, &mut live.names, limits) };
            *response.status_mut() = head.status;
            *response.headers_mut() = head.headers;
            if let Some(b) = body.map_err(Failure::Output)? {
                replace_body(response, b);
            }
            Ok(())
        }
        ResponseAction::Replace(a) => match passing::answer(a, &mut live.names, limits) {
            Ok(r) => {
                *response = r;
                Ok(())
            }
            Err(e) => {
                *response.headers_mut() = head.headers;
                Err(Failure::Output(e))
            }
        },
    }
}

fn replace_body(response: &mut Response, body: Bytes) {
    let new = passing::set_body(response.headers_mut(), body);
    response.headers_mut().remove(header::ETAG);
    *response.body_mut() = new;
}

impl Filter for Plain {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let pool = self.versions.choose();
        if !pool.setup.request {
            if pool.setup.response && self.versions.several() {
                exchange.keep(self.key(), Passed { pool: pool.clone(), state: None });
            }
            return Flow::Continue;
        }
        let _in = span(pool, "on-request").entered();
        match self.request(pool, exchange) {
            Ok(Decision::Next { state, body }) => {
                if let Some(b) = body {
                    exchange.request.body = passing::set_body(&mut exchange.request.headers, b);
                }
                if pool.setup.response && (state.is_some() || self.versions.several()) {
                    exchange.keep(self.key(), Passed { pool: pool.clone(), state });
                }
                Flow::Continue
            }
            Ok(Decision::Respond(r)) => Flow::respond(r),
            Err(f) if pool.loaded.failure == Policy::Closed => Flow::respond(closed(&f)),
            Err(_) => Flow::Continue,
        }
    }

    fn on_response(&self, exchange: &mut Exchange, response: &mut Response) {
        let (pool, state) = match exchange.kept::<Passed>(self.key()) {
            Some(p) => (p.pool, p.state),
            None => (self.versions.stable().clone(), None),
        };
        if !pool.setup.response {
            return;
        }
        let _in = span(&pool, "on-response").entered();
        if let Err(f) = self.response(&pool, state, exchange, response)
            && pool.loaded.failure == Policy::Closed
        {
            *response = closed(&f);
        }
    }
}

/// A middleware that may wait, or looks at bodies.
struct Full {
    versions: Versions<MiddlewareHooks>,
}

impl Full {
    async fn run(&self, exchange: &mut Exchange, next: Next<'_>) -> Response {
        let pool = self.versions.choose().clone();
        let policy = pool.loaded.failure;
        let (mut state, mut seat) = (None, None);
        if pool.setup.request {
            match self.request(&pool, exchange).await {
                Ok((Decision::Respond(r), _)) => return r,
                Ok((Decision::Next { state: s, body }, taken)) => {
                    if let Some(b) = body {
                        exchange.request.body = passing::set_body(&mut exchange.request.headers, b);
                    }
                    (state, seat) = (s, taken);
                }
                Err(Stop::Respond(r)) => return r,
                Err(Stop::Failed(f)) if policy == Policy::Closed => return closed(&f),
                // As if the plugin were not there, neither now nor on the way back.
                Err(Stop::Failed(_)) => return next.run(exchange).await,
            }
        } else if pool.setup.streams() {
            match pool.checkout().await {
                Ok(lease) => seat = Some(share(lease.seat(&pool))),
                Err(f) if policy == Policy::Closed => return closed(&f),
                Err(_) => return next.run(exchange).await,
            }
        }
        if let (Some(seat), BodyAccess::Streamed) = (&seat, pool.setup.request_body) {
            exchange.request.body = transformed(std::mem::take(&mut exchange.request.body), seat.clone(), Side::Request);
            exchange.request.headers.remove(header::CONTENT_LENGTH);
        }
        let mut response = next.run(exchange).await;
        if !pool.setup.response || matches!(response.body(), Body::Tunnel(_)) {
            return response;
        }
        match self.response(&pool, seat.as_ref(), state, exchange, &mut response).await {
            Ok(()) => {}
            Err(Stop::Respond(r)) => return r,
            Err(Stop::Failed(f)) if policy == Policy::Closed => return closed(&f),
            Err(Stop::Failed(_)) => return response,
        }
        if let (Some(seat), BodyAccess::Streamed) = (seat, pool.setup.response_body) {
            let body = std::mem::take(response.body_mut());
            *response.body_mut() = transformed(body, seat, Side::Response);
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        response
    }

    async fn request(&self, pool: &Arc<MiddlewarePool>, exchange: &mut Exchange) -> std::result::Result<(Decision, Option<Shared>), Stop> {
        let mut bytes = None;
        if pool.setup.request_body == BodyAccess::Buffered {
            let body = std::mem::take(&mut exchange.request.body);
            match body.collect(pool.loaded.limits.body).await {
                Ok(Ok(all)) => {
                    exchange.request.body = if all.is_empty() { Body::Empty } else { Body::Full(all.clone()) };
                    bytes = Some(all);
                }
                Ok(Err(_)) => return Err(Stop::Respond(respond::status_text(StatusCode::PAYLOAD_TOO_LARGE))),
                Err(_) => return Err(Stop::Respond(respond::status_text(StatusCode::BAD_REQUEST))),
            }
        }
        let mut lease = pool.checkout().await?;
        let begin = Instant::now();
        let about = About::of(exchange);
        let values = request_values(&pool.setup, exchange, &about);
        lend(lease.live(), exchange, bytes, about);
        let call = lease.call(|h| h.on_request, (values,));
        let result = tracing::Instrument::instrument(call, span(pool, "on-request")).await;
        give_back(lease.live(), exchange);
        let result = result.and_then(|(action,)| decide(lease.live(), exchange, action, pool.limits()));
        match result {
            Ok(Decision::Next { state, body }) if pool.setup.streams() => {
                pool.count(Hook::OnRequest, begin.elapsed(), Outcome::Good);
                Ok((Decision::Next { state, body }, Some(share(lease.seat(pool)))))
            }
            result => {
                settle(lease, Hook::OnRequest, begin, &result, judged);
                Ok((result?, None))
            }
        }
    }

    async fn response(
        &self,
        pool: &Arc<MiddlewarePool>,
        seat: Option<&Shared>,
        state: Option<String>,
        exchange: &mut Exchange,
        response: &mut Response,
    ) -> std::result::Result<(), Stop> {
        let mut bytes = None;
        if pool.setup.response_body == BodyAccess::Buffered {
            let body = std::mem::take(response.body_mut());
            let streamed = matches!(body, Body::Stream { .. });
            match body.collect(pool.loaded.limits.body).await {
                Ok(Ok(all)) => {
                    *response.body_mut() = if all.is_empty() { Body::Empty } else { Body::Full(all.clone()) };
                    if streamed && !all.is_empty() {
                        response.headers_mut().remove(header::TRAILER);
                    }
                    bytes = Some(all);
                }
                Ok(Err(_)) => {
                    let limit = pool.loaded.limits.body;
                    tracing::error!(target: "plugin", plugin = &*pool.loaded.plugin, limit, "a response is longer than limits.body");
                    return Err(Stop::Respond(respond::status_text(StatusCode::BAD_GATEWAY)));
                }
                Err(_) => return Err(Stop::Respond(respond::status_text(StatusCode::BAD_GATEWAY))),
            }
        }
        let about = About::of(exchange);
        let values = response_values(&pool.setup, exchange, &about, response);
        let head = ResponseHead { status: response.status(), headers: std::mem::take(response.headers_mut()) };
        let passing = Passing { response: Some(head), response_body: bytes, ..Passing::take(exchange, about, None) };
        if let Some(seat) = seat {
            let mut seat = seat.lock().await;
            let Some(live) = seat.live() else {
                let head = passing.put_back(exchange).unwrap_or_default();
                *response.headers_mut() = head.headers;
                return Err(Stop::Failed(Failure::Trapped("it failed earlier in this exchange".to_owned())));
            };
            live.store.data_mut().passing = Some(passing);
            let call = seat.call(Hook::OnResponse, |h| h.on_response, (values, state));
            let result = tracing::Instrument::instrument(call, span(pool, "on-response")).await;
            let Some(live) = seat.live() else { return Err(Stop::Failed(Failure::Trapped("it failed".to_owned()))) };
            let head = give_back(live, exchange).unwrap_or_default();
            return match result {
                Ok((action,)) => Ok(change(live, head, response, action, pool.limits())?),
                Err(f) => {
                    *response.headers_mut() = head.headers;
                    Err(Stop::Failed(f))
                }
            };
        }
        let mut lease = match pool.checkout().await {
            Ok(lease) => lease,
            Err(f) => {
                *response.headers_mut() = passing.put_back(exchange).unwrap_or_default().headers;
                return Err(Stop::Failed(f));
            }
        };
        let begin = Instant::now();
        lease.live().store.data_mut().passing = Some(passing);
        let call = lease.call(|h| h.on_response, (values, state));
        let result = tracing::Instrument::instrument(call, span(pool, "on-response")).await;
        let head = give_back(lease.live(), exchange).unwrap_or_default();
        let result = match result {
            Ok((action,)) => change(lease.live(), head, response, action, pool.limits()),
            Err(f) => {
                *response.headers_mut() = head.headers;
                Err(f)
            }
        };
        settle(lease, Hook::OnResponse, begin, &result, |()| Outcome::Good);
        Ok(result?)
    }
}

impl Around for Full {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(self.run(exchange, next))
    }
}

/// Why a hook ends the exchange.
enum Stop {
    Respond(Response),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(f: Failure) -> Self {
        Stop::Failed(f)
    }
}

/// The instance of an exchange whose bodies it sees.
type Shared = Arc<tokio::sync::Mutex<Seat<MiddlewareHooks>>>;

fn share(seat: Seat<MiddlewareHooks>) -> Shared {
    Arc::new(tokio::sync::Mutex::new(seat))
}

#[derive(Clone, Copy)]
enum Side {
    Request,
    Response,
}

type Chunk = std::result::Result<Bytes, BodyError>;

/// A body that goes through a plugin piece by piece.
struct Transformed {
    inner: Body,
    seat: Option<Shared>,
    side: Side,
    /// The plugin has a piece.
    calling: Option<LocalFuture<'static, Chunk>>,
    /// The source has ended.
    ended: bool,
    trailers: Option<http::HeaderMap>,
}

fn transformed(body: Body, seat: Shared, side: Side) -> Body {
    Body::stream(Transformed { inner: body, seat: Some(seat), side, calling: None, ended: false, trailers: None }, None)
}

async fn call_chunk(seat: Shared, side: Side, chunk: Bytes, last: bool) -> Chunk {
    let mut seat = seat.lock().await;
    let limit = seat.pool().loaded.limits.body;
    let (hook, func): (Hook, fn(&MiddlewareHooks) -> _) = match side {
        Side::Request => (Hook::OnRequestBody, |h| h.on_request_body),
        Side::Response => (Hook::OnResponseBody, |h| h.on_response_body),
    };
    match seat.call(hook, func, (chunk.to_vec(), last)).await {
        Ok((ChunkAction::Pass,)) => Ok(chunk),
        Ok((ChunkAction::Replace(b),)) if b.len() <= limit => Ok(b.into()),
        Ok((ChunkAction::Replace(_),)) => Err(BodyError::Malformed("a plugin made a piece longer than limits.body")),
        Ok((ChunkAction::Fail(reason),)) => {
            tracing::warn!(target: "plugin", plugin = &*seat.pool().loaded.plugin, reason, "the plugin broke a message off");
            Err(BodyError::Malformed("a plugin broke it off"))
        }
        Err(_) if seat.pool().loaded.failure == Policy::Open => Ok(chunk),
        Err(_) => Err(BodyError::Malformed("the plugin that sees it failed")),
    }
}

impl http_body::Body for Transformed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<std::result::Result<Frame, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(call) = &mut this.calling {
                let chunk = std::task::ready!(call.as_mut().poll(cx));
                this.calling = None;
                match chunk {
                    Ok(b) if b.is_empty() => continue,
                    Ok(b) => return Poll::Ready(Some(Ok(Frame::data(b)))),
                    Err(e) => {
                        this.seat = None;
                        this.ended = true;
                        this.trailers = None;
                        return Poll::Ready(Some(Err(e)));
                    }
                }
            }
            if this.ended {
                this.seat = None;
                return Poll::Ready(this.trailers.take().map(|t| Ok(Frame::trailers(t))));
            }
            let (chunk, last) = match std::task::ready!(this.inner.poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => (data, false),
                    Err(other) => {
                        this.trailers = other.into_trailers().ok();
                        (Bytes::new(), true)
                    }
                },
                Some(Err(e)) => {
                    this.seat = None;
                    this.ended = true;
                    return Poll::Ready(Some(Err(e)));
                }
                None => (Bytes::new(), true),
            };
            this.ended = last;
            let Some(seat) = this.seat.clone() else { return Poll::Ready(None) };
            this.calling = Some(Box::pin(call_chunk(seat, this.side, chunk, last)));
        }
    }
}
