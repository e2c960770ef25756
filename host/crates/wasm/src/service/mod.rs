//! Components of `wasi:http` as services.

mod body;
mod call;
mod outgoing;
mod turn;

pub(crate) use outgoing::Hooks;

use crate::linker::Linkers;
use crate::load::{Form, Loaded};
use crate::middleware::closed;
use crate::passing::one_line;
use crate::pool::{Failure, OpenError, Use, block_on};
use crate::rest::Rest;
use crate::state::{Environment, State};
use crate::stats::slot;
use body::{Piped, Pump, Whole};
use bytes::Bytes;
use call::{Guest, Pre, Reply, rehearse};
use http::{Method, StatusCode, header};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
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
    Ok(linkers)
}

/// A component as a service; for threads that may block.
pub(crate) fn endpoint(loaded: &Arc<Loaded>, config: String) -> Result<Arc<dyn Endpoint>, OpenError> {
    let pre = match loaded.form {
        Form::HttpP2 => ProxyPre::new(loaded.pre.clone()).map(Pre::P2),
        Form::HttpP3 => ServicePre::new(loaded.pre.clone()).map(Pre::P3),
        Form::Hooks | Form::HttpP3Middleware => return Err(OpenError::Broken("it exports no handler of wasi:http".to_owned())),
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
    match block_on(rehearse(&service)) {
        Ok(()) | Err(Failure::Busy) => Ok(Arc::new(Service(Arc::new(service)))),
        Err(Failure::Deadline(_)) => {
            Err(OpenError::Broken(format!("it takes longer than limits.start, {:?}, to begin", service.environment.limits.start)))
        }
        Err(f) => Err(OpenError::Broken(f.to_string())),
    }
}

/// A 0.3 component that wraps a handler, as a middleware.
pub(crate) fn middleware(_: &Arc<Loaded>, _: String) -> Result<Step, OpenError> {
    Err(OpenError::Broken("wasi:http 0.3 middleware components are not supported yet; export torana:plugin/middleware-hooks instead".to_owned()))
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
        if self.rest.rests() {
            self.loaded.stats.refused();
            return Err(Failure::Resting);
        }
        let Some((request, mut pump)) = incoming(exchange) else { return Ok(respond::status_text(StatusCode::BAD_REQUEST)) };
        let seat = self.seat().await?;
        let (reply, mut answer): (Reply, _) = oneshot::channel();
        let mut guest = Guest::start(self, request, reply, seat);
        match self.head(&mut guest, &mut pump, &mut answer).await {
            Ok(Ok(answer)) => {
                guest.tally.answered(answer.status().is_server_error());
                Ok(answering(answer, guest, pump, exchange).await)
            }
            Ok(Err(error)) => {
                tracing::error!(target: "plugin", plugin = &*self.loaded.plugin, %error, "the plugin answered with an error");
                guest.tally.answered(true);
                guest.linger(None);
                Ok(respond::status_text(status_of(&error)))
            }
            Err(f) => {
                guest.fail(f.clone());
                Err(f)
            }
        }
    }

    /// The right to have an instance; waits for one, at most for `limits.timeout`.
    async fn seat(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let seats = self.seats[slot(self.seats.len())].clone();
        match tokio::time::timeout(self.environment.limits.timeout, seats.acquire_owned()).await {
            Ok(Ok(seat)) => Ok(seat),
            _ => {
                self.loaded.stats.refused();
                Err(Failure::Busy)
            }
        }
    }

    /// The head of the answer. `limits.timeout` begins anew with each piece of the request that is taken over:
    /// a slow client is not the component's fault.
    async fn head(
        &self,
        guest: &mut Guest,
        pump: &mut Option<Pump>,
        answer: &mut oneshot::Receiver<Result<http::Response<WasiBody>, Error>>,
    ) -> Result<Result<http::Response<WasiBody>, Error>, Failure> {
        let timeout = self.environment.limits.timeout;
        let mut give_up = tokio::time::Instant::now() + timeout;
        loop {
            let head = std::future::poll_fn(|cx| {
                guest.poll(cx);
                if let Some(p) = pump {
                    p.poll(cx);
                }
                Pin::new(&mut *answer).poll(cx)
            });
            match tokio::time::timeout_at(give_up, head).await {
                Ok(Ok(Ok(head))) => return self.checked(head).map(Ok),
                Ok(Ok(Err(error))) => return Ok(Err(error)),
                // Nobody can answer any more: it has ended.
                Ok(Err(_)) => return Err(guest.tally.failure.take().unwrap_or_else(|| Failure::Output("there is none".to_owned()))),
                Err(_) => match pump.as_ref().map(|p| tokio::time::Instant::from_std(p.moved()) + timeout) {
                    Some(later) if later > give_up => give_up = later,
                    _ => return Err(Failure::Timeout(timeout)),
                },
            }
        }
    }

    fn checked(&self, head: http::Response<WasiBody>) -> Result<http::Response<WasiBody>, Failure> {
        if head.status().is_informational() {
            return Err(Failure::Output(format!("a status of {} ends no exchange", head.status().as_u16())));
        }
        let size: usize = head.headers().iter().map(|(n, v)| n.as_str().len() + v.len()).sum();
        if size > self.environment.limits.headers {
            return Err(Failure::Output(format!("its headers have {size} bytes, more than limits.headers")));
        }
        Ok(head)
    }
}

/// What the client sees of an error that a component handed back.
fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::InternalError(_) | Error::ConfigurationError => StatusCode::INTERNAL_SERVER_ERROR,
        Error::HttpResponseTimeout | Error::ConnectionTimeout | Error::ConnectionReadTimeout | Error::DnsTimeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// The request as a server behind the gateway gets it; `None` when its URL is none.
fn incoming(exchange: &mut Exchange) -> Option<(http::Request<WasiBody>, Option<Pump>)> {
    let r = &mut exchange.request;
    let host = if r.host.is_empty() { exchange.peer.local.to_string() } else { r.host.to_string() };
    let scheme = if exchange.peer.tls { "https" } else { "http" };
    let uri = http::Uri::builder().scheme(scheme).authority(host).path_and_query(r.target()).build().ok()?;
    let mut headers = r.headers.clone();
    hop::strip(&mut headers);
    if !exchange.keep_forwarded_for {
        headers.insert(forwarded::X_FORWARDED_FOR, forwarded::with_peer(&headers, &exchange.peer.ip_value));
    }
    let (body, pump) = match std::mem::take(&mut r.body) {
        Body::Empty | Body::Tunnel(_) => (WasiBody::new(Whole::new(Bytes::new())), None),
        Body::Full(b) => (WasiBody::new(Whole::new(b)), None),
        stream => {
            let (pump, piped): (Pump, Piped) = Pump::new(stream);
            (WasiBody::new(piped), Some(pump))
        }
    };
    let mut request = http::Request::new(body);
    *request.method_mut() = r.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Some((request, pump))
}

/// The answer with a body that runs the component on as it is read.
async fn answering(answer: http::Response<WasiBody>, guest: Guest, pump: Option<Pump>, exchange: &Exchange) -> Response {
    let (parts, body) = answer.into_parts();
    let status = parts.status;
    if exchange.request.method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        guest.linger(Some(body));
        return Response::from_parts(parts, Body::Empty);
    }
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    // Trailers do not survive when a body becomes whole.
    let trailers = exchange.request.headers.contains_key(header::TE) || parts.headers.contains_key(header::TRAILER);
    let whole = guest.is_done() && !trailers;
    let stream = Body::stream(Answering { guest: Some(guest), pump, body: Some(body), left: length }, length);
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
    pump: Option<Pump>,
    /// `None` after its end.
    body: Option<WasiBody>,
    /// Bytes that are still to come, when the component said how many.
    left: Option<u64>,
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let Answering { guest: Some(guest), pump, body: slot, left } = &mut *self else { return Poll::Ready(None) };
        guest.poll(cx);
        if let Some(p) = pump {
            p.poll(cx);
        }
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
