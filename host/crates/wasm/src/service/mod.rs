//! Components of `wasi:http` as services and middlewares.

mod around;
mod body;
mod call;
mod outgoing;
#[cfg(test)]
mod tests;
pub(crate) mod turn;

pub(crate) use outgoing::Hooks;

use crate::linker::Linkers;
use crate::load::{Form, Loaded};
use crate::middleware::closed;
use crate::passing::one_line;
use crate::pool::{Failure, OpenError, Use, block_on};
use crate::rest::Rest;
use crate::state::{Environment, State};
use crate::stats::slot;
use body::Pump;
use bytes::Bytes;
use call::{Event, Guest, Head, Pre, Serving, rehearse};
use http::{Method, StatusCode, header};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use torana_http::{Body, BodyError, Endpoint, Exchange, Frame, LocalFuture, Response, Step, forwarded, hop, respond};
use wasmtime::Engine;
use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{Error, WasiBody};

/// Adds `wasi:http` 0.2.
pub(crate) fn link_p2(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// The linkers of the engine for `wasi:http` 0.3.
pub(crate) fn p3_linkers(engine: &Engine) -> wasmtime::Result<Linkers> {
    let mut linkers = Linkers::new(engine)?;
    wasmtime_wasi::p3::add_to_linker(&mut linkers.waiting)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linkers.waiting)?;
    around::link(&mut linkers.waiting)?;
    Ok(linkers)
}

/// A component as a service; for threads that may block.
pub(crate) fn endpoint(loaded: &Arc<Loaded>, config: String) -> Result<Arc<dyn Endpoint>, OpenError> {
    Ok(Arc::new(Service(open(loaded, config)?)))
}

fn open(loaded: &Arc<Loaded>, config: String) -> Result<Arc<Inner>, OpenError> {
    let pre = match (loaded.form, loaded.code.linked()) {
        (Form::HttpP2, Some(pre)) => ProxyPre::new(pre.clone()).map(Pre::P2),
        (Form::HttpP3 | Form::HttpP3Middleware, Some(pre)) => ServicePre::new(pre.clone()).map(Pre::P3),
        _ => return Err(OpenError::Broken("it exports no handler of wasi:http".to_owned())),
    };
    let environment = Arc::new(loaded.environment(Use { config, args: Vec::new() }));
    let instances = environment.limits.instances;
    let service = Inner {
        pre: pre.map_err(|e| OpenError::Broken(one_line(&e)))?,
        seats: (0..loaded.loader.slots).map(|_| Arc::new(Semaphore::new(instances))).collect(),
        rest: Rest::new(),
        loaded: loaded.clone(),
        environment,
    };
    match block_on(rehearse(&service)).map_err(OpenError::Broken)? {
        Ok(()) | Err(Failure::Busy) => Ok(Arc::new(service)),
        Err(Failure::Deadline(_)) => {
            Err(OpenError::Broken(format!("it takes longer than limits.start, {:?}, to begin", service.environment.limits.start)))
        }
        Err(f) => Err(OpenError::Broken(f.to_string())),
    }
}

/// A 0.3 component that wraps a handler, as a middleware; for threads that may block.
pub(crate) fn middleware(loaded: &Arc<Loaded>, config: String) -> Result<Step, OpenError> {
    Ok(Step::around(around::Middleware(open(loaded, config)?)))
}

struct Service(Arc<Inner>);

/// A component with one configuration.
struct Inner {
    loaded: Arc<Loaded>,
    environment: Arc<Environment>,
    pre: Pre,
    /// `limits.instances` for each thread.
    seats: Box<[Arc<Semaphore>]>,
    rest: Rest,
}

impl Endpoint for Service {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(async move { self.0.serve(exchange).await.unwrap_or_else(|f| closed(&f)) })
    }
}

impl Inner {
    async fn serve(self: &Arc<Inner>, exchange: &mut Exchange) -> Result<Response, Failure> {
        let seat = self.admit().await?;
        let Some((mut request, pump)) = incoming(exchange) else { return Ok(respond::status_text(StatusCode::BAD_REQUEST)) };
        if !exchange.keep_forwarded_for {
            let headers = request.headers_mut();
            headers.insert(forwarded::X_FORWARDED_FOR, forwarded::with_peer(headers, &exchange.peer.ip_value));
        }
        let mut serving = Serving::start(self, request, pump, seat, None);
        match serving.event().await? {
            Event::Head(head) => Ok(answering(head, serving, exchange).await),
            Event::Asked(_) => Err(Failure::Output("a service has nobody to ask".to_owned())),
        }
    }

    /// The right to have an instance; waits for one, at most for `limits.timeout`.
    async fn admit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if self.rest.rests() {
            self.loaded.stats.refused();
            return Err(Failure::Resting);
        }
        let seats = self.seats[slot(self.seats.len())].clone();
        match tokio::time::timeout(self.environment.limits.timeout, seats.acquire_owned()).await {
            Ok(Ok(seat)) => Ok(seat),
            _ => {
                self.loaded.stats.refused();
                Err(Failure::Busy)
            }
        }
    }
}

/// What the client sees of an error that a component handed back.
fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::InternalError(_) | Error::ConfigurationError => StatusCode::INTERNAL_SERVER_ERROR,
        Error::HttpResponseTimeout | Error::ConnectionTimeout | Error::ConnectionReadTimeout | Error::DnsTimeout => {
            StatusCode::GATEWAY_TIMEOUT
        }
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// The request as the component gets it; `None` when its URL is none.
fn incoming(exchange: &mut Exchange) -> Option<(http::Request<WasiBody>, Option<Pump>)> {
    let r = &mut exchange.request;
    let host = if r.host.is_empty() { exchange.peer.local.to_string() } else { r.host.to_string() };
    let scheme = if exchange.peer.is_tls() { "https" } else { "http" };
    let uri = http::Uri::builder().scheme(scheme).authority(host).path_and_query(r.target()).build().ok()?;
    let mut headers = r.headers.clone();
    hop::strip(&mut headers);
    let (body, pump) = around::piped(std::mem::take(&mut r.body));
    let mut request = http::Request::new(body);
    *request.method_mut() = r.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Some((request, pump))
}

/// The answer with a body that runs the component on as it is read.
async fn answering(head: Head, serving: Serving, exchange: &Exchange) -> Response {
    let Serving { mut guest, pumps, .. } = serving;
    let (parts, body) = match head {
        Ok(answer) => answer.into_parts(),
        Err(error) => {
            guest.tally.refused(&error);
            guest.linger(None);
            return respond::status_text(status_of(&error));
        }
    };
    let status = parts.status;
    guest.tally.answered(status.is_server_error());
    if exchange.request.method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        guest.linger(Some(body));
        return Response::from_parts(parts, Body::Empty);
    }
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    // Trailers do not survive when a body becomes whole.
    let trailers = exchange.request.headers.contains_key(header::TE) || parts.headers.contains_key(header::TRAILER);
    let whole = guest.is_done() && !trailers;
    let stream = Body::stream(Answering { guest: Some(guest), pumps, body: Some(body), left: length }, length);
    if !whole {
        return Response::from_parts(parts, stream);
    }
    // Nobody adds to it any more, so that this does not wait.
    match stream.collect(usize::MAX).await {
        Ok(Ok(all)) => Response::from_parts(parts, if all.is_empty() { Body::Empty } else { Body::Full(all) }),
        Ok(Err(rest)) => Response::from_parts(parts, rest),
        Err(_) => respond::status_text(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The body of an answer. Dropped before its end, the component is gone, too: the client is.
struct Answering {
    guest: Option<Guest>,
    pumps: Vec<Pump>,
    /// `None` after its end.
    body: Option<WasiBody>,
    /// Bytes that are still to come, when the component said how many.
    left: Option<u64>,
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let Answering { guest: Some(guest), pumps, body: slot, left } = &mut *self else { return Poll::Ready(None) };
        guest.poll(cx);
        pumps.iter_mut().for_each(|p| p.poll(cx));
        let Some(body) = slot else { return Poll::Ready(None) };
        let ended = match Pin::new(body).poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(left), Some(data)) = (left, frame.data_ref()) {
                    *left = left.saturating_sub(data.len() as u64);
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(e))) => Some(Err(BodyError::Io(std::io::Error::other(e.to_string())))),
            // A trap, or too little of it: the client has to notice.
            Poll::Ready(None) if guest.tally.failure.is_some() || left.is_some_and(|n| n > 0) => Some(Err(BodyError::Truncated)),
            Poll::Ready(None) => None,
        };
        *slot = None;
        Poll::Ready(ended)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        // The client has all of it, even if nobody asked whether that was the end.
        if (self.body.is_none() || self.left == Some(0))
            && let Some(guest) = self.guest.take()
        {
            guest.linger(self.body.take());
        }
    }
}
