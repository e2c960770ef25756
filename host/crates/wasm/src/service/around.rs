//! Components that import the handler they export: middlewares.

use super::body::{Piped, Pump, Whole};
use super::call::{Asked, Event, Serving};
use super::{Inner, answering, incoming};
use crate::middleware::closed;
use crate::pool::Failure;
use crate::state::State;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use torana_config::routing::Failure as Policy;
use torana_http::{Around, Body, BodyError, Exchange, Frame, LocalFuture, Next, Response, respond};
use wasmtime::Result;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{WasiBody, WasiHttpView, p3};

type Answer = std::result::Result<Resource<p3::Response>, ErrorCode>;

/// The imported handler: the rest of the chain.
pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.instance("wasi:http/handler@0.3.0")?.func_wrap_concurrent("handle", |accessor, (request,): (Resource<p3::Request>,)| {
        Box::pin(async move { Ok((handle(accessor, request).await?,)) })
    })
}

async fn handle(accessor: &Accessor<State>, request: Resource<p3::Request>) -> Result<Answer> {
    let gone = || Ok(Err(ErrorCode::InternalError(Some("there is nobody to ask any more".to_owned()))));
    let (request, chain) = accessor.with(|mut s| {
        let request = s.data_mut().table.delete(request)?;
        let request = request.into_http(&mut s, std::future::ready(Ok(())));
        wasmtime::error::Ok((request, s.data_mut().hooks.chain.clone()))
    })?;
    let request = match request {
        Ok((request, _)) => request,
        Err(e) => return Ok(Err(e.downcast()?)),
    };
    let Some(chain) = chain else { return gone() };
    let (reply, answer) = oneshot::channel();
    if chain.send(Asked { request, reply }).await.is_err() {
        return gone();
    }
    let Ok(response) = answer.await else { return gone() };
    accessor.with(|mut s| {
        let (response, _) = p3::Response::from_http(s.data_mut().http().hooks, response);
        Ok(Ok(s.data_mut().table.push(response)?))
    })
}

pub(super) struct Middleware(pub(super) Arc<Inner>);

impl Around for Middleware {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let open = self.0.loaded.failure == Policy::Open;
            let seat = match self.0.admit().await {
                Ok(seat) => seat,
                Err(_) if open => return next.run(exchange).await,
                Err(f) => return closed(&f),
            };
            let whole = exchange.request.body.replayable();
            let mut ran = false;
            match (self.0.pass(exchange, next, seat, &mut ran).await, whole) {
                (Ok(r), _) => r,
                // Nobody behind it has seen the request, and all of it is still there.
                (Err(_), Some(body)) if open && !ran => {
                    exchange.request.body = body;
                    next.run(exchange).await
                }
                (Err(f), _) => closed(&f),
            }
        })
    }
}

impl Inner {
    /// `ran`: whether the rest of the chain did.
    async fn pass(
        self: &Arc<Inner>,
        exchange: &mut Exchange,
        next: Next<'_>,
        seat: OwnedSemaphorePermit,
        ran: &mut bool,
    ) -> std::result::Result<Response, Failure> {
        let bodiless = matches!(exchange.request.body, Body::Empty);
        let Some((request, pump)) = incoming(exchange) else { return Ok(respond::status_text(StatusCode::BAD_REQUEST)) };
        let (chain, asked) = mpsc::channel(1);
        let mut serving = Serving::start(self, request, pump, seat, Some((chain, asked)));
        // What other parts of the gateway noted on the response of the chain.
        let mut extensions = http::Extensions::new();
        loop {
            let asked = match serving.event().await? {
                Event::Head(head) => return Ok(noted(answering(head, serving, exchange).await, extensions)),
                Event::Asked(asked) => asked,
            };
            *ran = true;
            apply(exchange, asked.request, bodiless, &mut serving).await;
            let first = {
                let mut chain = pin!(next.run(exchange));
                // It goes on while the chain runs: bodies pass through it. Its time-out does not.
                let both = std::future::poll_fn(|cx| match serving.poll_head(cx) {
                    Poll::Ready(head) => Poll::Ready(Err(head)),
                    Poll::Pending => chain.as_mut().poll(cx).map(Ok),
                });
                both.await
            };
            match first {
                Err(head) => return Ok(noted(answering(serving.settled(head)?, serving, exchange).await, extensions)),
                Ok(response) => {
                    let (mut parts, body) = response.into_parts();
                    if matches!(body, Body::Tunnel(_)) {
                        // From here on it is no HTTP any more.
                        return Ok(Response::from_parts(parts, body));
                    }
                    extensions = std::mem::take(&mut parts.extensions);
                    with_length(&mut parts.headers, &body);
                    let (body, pump) = piped(body);
                    serving.pumps.extend(pump);
                    // An error means that it does not care any more.
                    let _ = asked.reply.send(http::Response::from_parts(parts, body));
                }
            }
        }
    }
}

fn noted(mut response: Response, extensions: http::Extensions) -> Response {
    response.extensions_mut().extend(extensions);
    response
}

fn with_length(headers: &mut HeaderMap, body: &Body) {
    if let Some(n) = body.length().filter(|n| *n > 0) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(n));
    }
}

/// A body for the component, with what has to be polled for it.
pub(super) fn piped(body: Body) -> (WasiBody, Option<Pump>) {
    match body {
        Body::Empty | Body::Tunnel(_) => (WasiBody::new(Whole::new(Bytes::new())), None),
        Body::Full(b) => (WasiBody::new(Whole::new(b)), None),
        stream => {
            let (pump, piped): (Pump, Piped) = Pump::new(stream);
            (WasiBody::new(piped), Some(pump))
        }
    }
}

/// Makes the component's request the one that goes on.
async fn apply(exchange: &mut Exchange, request: http::Request<WasiBody>, bodiless: bool, serving: &mut Serving) {
    let (parts, body) = request.into_parts();
    let r = &mut exchange.request;
    r.method = parts.method;
    if let Some(target) = parts.uri.path_and_query() {
        r.path = target.path().into();
        r.query = target.query().map(Into::into);
    }
    if let Some(authority) = parts.uri.authority() {
        r.host = authority.as_str().into();
    }
    r.headers = parts.headers;
    let length = r.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let mut body = FromWasi { ahead: None, body };
    if length == Some(0) {
        r.body = Body::Empty;
        return;
    }
    // What came without a body goes on without one, not as an empty stream.
    if bodiless && length.is_none() {
        let first = std::future::poll_fn(|cx| {
            serving.drive(cx);
            http_body::Body::poll_frame(Pin::new(&mut body), cx)
        });
        match first.await {
            None => {
                r.body = Body::Empty;
                return;
            }
            first => body.ahead = first,
        }
    }
    r.body = Body::stream(body, length);
}

/// A body that the component sends on.
struct FromWasi {
    /// Read before the rest.
    ahead: Option<std::result::Result<Frame, BodyError>>,
    body: WasiBody,
}

impl http_body::Body for FromWasi {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<std::result::Result<Frame, BodyError>>> {
        if let Some(first) = self.ahead.take() {
            return Poll::Ready(Some(first));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map(|f| f.map(|f| f.map_err(|e| BodyError::Io(std::io::Error::other(e.to_string())))))
    }
}
