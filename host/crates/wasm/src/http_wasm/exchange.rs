//! A guest as a middleware: one exchange from its beginning to its end.

use super::answer::Finished;
use super::call;
use super::ending::{Pending, ending};
use super::message::Message;
use super::upload::{Onward, Source};
use super::{GuestPool, HttpWasm};
use crate::middleware::closed;
use crate::passing::{OutputLimits, RequestHead};
use crate::pool::{Failure, Seat};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use std::sync::Arc;
use torana_config::routing::Failure as Policy;
use torana_http::{Around, Body, Exchange, LocalFuture, Next, Response, Step, WholeBody, respond, sniff};

pub(crate) fn step(pool: Arc<GuestPool>) -> Step {
    Step::around(Middleware(pool))
}

struct Middleware(Arc<GuestPool>);

impl Around for Middleware {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(self.run(exchange, next))
    }
}

impl Middleware {
    fn open(&self) -> bool {
        self.0.loaded.failure == Policy::Open
    }

    async fn run(&self, exchange: &mut Exchange, next: Next<'_>) -> Response {
        let mut seat = match self.0.checkout().await {
            Ok(lease) => lease.seat(&self.0),
            Err(_) if self.open() => return next.run(exchange).await,
            Err(f) => return closed(&f),
        };
        let limits = OutputLimits { headers: self.0.loaded.limits.headers, body: self.0.loaded.limits.body };
        let (mut source, upload) = Source::new(std::mem::take(&mut exchange.request.body), limits.body);
        let head = RequestHead::take(&mut exchange.request);
        let features = features(&mut seat);
        let message = Box::new(Message::new(exchange.peer.addr, head, upload, features, limits));
        let (message, result) = call::handle_request(&mut seat, message, &mut source).await;
        let Some(mut message) = message else { return closed(&Failure::Trapped("it failed".to_owned())) };
        std::mem::take(&mut message.request).put_back(&mut exchange.request);
        let decision = match result {
            Ok(decision) => decision,
            Err(_) if message.upload.too_long() => return respond::status_text(StatusCode::PAYLOAD_TOO_LARGE),
            Err(Failure::Client(_)) => return respond::status_text(StatusCode::BAD_REQUEST),
            Err(f) => {
                return match source.untouched() {
                    Some(body) if self.open() => {
                        exchange.request.body = body;
                        next.run(exchange).await
                    }
                    _ => closed(&f),
                };
            }
        };
        inform(exchange, &mut message);
        if decision as u32 == 0 {
            drop(seat);
            let finished = message.answer.finish();
            let trailers = std::mem::take(&mut message.answer.trailers);
            return written(finished, trailers, false, exchange);
        }
        let context = (decision >> 32) as u32;
        let onward = source.onward(&mut message.upload);
        let pending = Pending::new(seat, message, context);
        let response = match onward {
            Onward::Body(body) => {
                exchange.request.body = body;
                next.run(exchange).await
            }
            Onward::Written(body) => {
                exchange.request.headers.remove(header::CONTENT_LENGTH);
                exchange.request.body = body;
                next.run(exchange).await
            }
            // So it is in Traefik: the server cannot be sent what was announced.
            Onward::Lost => respond::status_text(StatusCode::BAD_GATEWAY),
        };
        match pending.held_back() {
            true => self.hold(exchange, response, pending).await,
            false => self.pass(exchange, response, pending).await,
        }
    }

    /// With `buffer_response`: nothing of the response goes before the guest has seen it.
    async fn hold(&self, exchange: &mut Exchange, response: Response, mut pending: Pending) -> Response {
        if matches!(response.body(), Body::Tunnel(_)) {
            return self.pass(exchange, response, pending).await;
        }
        let (parts, body) = response.into_parts();
        let length = body.length();
        let limit = self.0.loaded.limits.body;
        let (whole, failed) = match WholeBody::read(body, limit).await {
            Ok(Ok(whole)) => (whole, false),
            Ok(Err(_)) => {
                tracing::error!(target: "plugin", plugin = &*self.0.loaded.plugin, limit, "a response is longer than limits.body");
                return respond::status_text(StatusCode::BAD_GATEWAY);
            }
            Err(error) => {
                tracing::debug!(target: "plugin", %error, "the response ended early");
                (WholeBody::default(), true)
            }
        };
        let mut headers = parts.headers;
        let bodiless = headers.contains_key(header::CONTENT_LENGTH);
        let announced = announce(&mut headers, whole.trailers());
        if let Some(n) = length.filter(|_| !bodiless && may_have_body(parts.status, &exchange.request.method)) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(n));
        }
        let message = pending.message();
        if announced.is_empty() {
            message.answer.trailers.extend(whole.trailers().cloned().unwrap_or_default());
        }
        merge(&mut message.answer.headers, headers);
        message.answer.asked_for(parts.status);
        message.fetched(whole.bytes);
        message.request = RequestHead::take(&mut exchange.request);
        let (message, result) = pending.respond(failed).await;
        let Some(mut message) = message else { return closed(&Failure::Trapped("it failed".to_owned())) };
        std::mem::take(&mut message.request).put_back(&mut exchange.request);
        if let Err(f) = result
            && !self.open()
        {
            return closed(&f);
        }
        inform(exchange, &mut message);
        let mut finished = message.answer.finish();
        if failed && !finished.replaced {
            return respond::status_text(StatusCode::BAD_GATEWAY);
        }
        let mut trailers = std::mem::take(&mut message.answer.trailers);
        for name in announced {
            trailers.extend(finished.headers.get_all(&name).iter().map(|v| (name.clone(), v.clone())));
        }
        if bodiless && !finished.replaced && finished.body.is_empty() {
            // The length of a body that there would have been, as for HEAD.
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = finished.status.unwrap_or_default();
            *response.headers_mut() = std::mem::take(&mut finished.headers);
            *response.extensions_mut() = parts.extensions;
            return response;
        }
        let mut response = written(finished, trailers, length.is_some(), exchange);
        *response.extensions_mut() = parts.extensions;
        response
    }

    /// The response goes as it comes, and the guest is told when it has gone.
    async fn pass(&self, exchange: &mut Exchange, response: Response, mut pending: Pending) -> Response {
        let (mut parts, mut body) = response.into_parts();
        let finished = pending.message().answer.finish();
        // Go's server finds the length of what is short.
        let short = !finished.flushed && body.length().is_some_and(|n| n <= 2048);
        let mut early = Body::Empty;
        if finished.settled {
            // The guest has begun with a response of its own; what was asked for goes on with it.
            parts.status = finished.status.unwrap_or_default();
            parts.headers = finished.headers;
            parts.headers.remove(header::CONTENT_LENGTH);
            early = Body::from(finished.body);
        } else {
            let mut headers = finished.headers;
            headers.remove(header::CONTENT_LENGTH);
            if !headers.is_empty() {
                merge(&mut headers, std::mem::take(&mut parts.headers));
                parts.headers = headers;
            }
        }
        if let Body::Tunnel(_) = body {
            pending.message().request = RequestHead::of(&exchange.request);
            let _ = pending.respond(false).await;
            return Response::from_parts(parts, body);
        }
        let message = pending.message();
        message.answer.headers = parts.headers.clone();
        if let Some(n) = body.length().filter(|_| !parts.headers.contains_key(header::CONTENT_LENGTH)) {
            message.answer.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(n));
        }
        message.request = RequestHead::of(&exchange.request);
        if body.is_streamed() || finished.settled || !message.answer.trailers.is_empty() {
            body = ending(early, body, pending, !finished.settled || short);
            return Response::from_parts(parts, body);
        }
        let (_, result) = pending.respond(false).await;
        match result {
            Err(f) if !self.open() => closed(&f),
            _ => Response::from_parts(parts, body),
        }
    }
}

fn features(seat: &mut Seat<HttpWasm>) -> u32 {
    seat.live().map_or(0, |live| live.store.data().guest.features)
}

/// Sends what goes before the response.
fn inform(exchange: &Exchange, message: &mut Message) {
    let interim = exchange.peer.interim.borrow().clone();
    for (status, headers) in message.answer.interim.drain(..) {
        if let Some(tell) = &interim {
            tell(status, &headers);
        }
    }
}

/// Adds what the response that was asked for has to what the guest set before: both stand there.
fn merge(to: &mut HeaderMap, from: HeaderMap) {
    let mut last: Option<HeaderName> = None;
    for (name, value) in from {
        last = name.or(last);
        if let Some(name) = &last {
            // A head that is too large for a map does not come from a server.
            let _ = to.try_append(name.clone(), value);
        }
    }
}

/// Names of trailers that were announced: Go has them among the headers, too, once the body has been read.
fn announce(headers: &mut HeaderMap, trailers: Option<&HeaderMap>) -> Vec<HeaderName> {
    let Some(trailers) = trailers.filter(|_| headers.contains_key(header::TRAILER)) else { return Vec::new() };
    headers.extend(trailers.clone());
    trailers.keys().cloned().collect()
}

fn may_have_body(status: StatusCode, method: &Method) -> bool {
    *method != Method::HEAD && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// A response that is all there. `declared`: whoever sent it told its length.
fn written(finished: Finished, trailers: HeaderMap, declared: bool, exchange: &Exchange) -> Response {
    let Finished { status, mut headers, body, flushed, replaced, untyped, .. } = finished;
    let status = status.unwrap_or_default();
    let length = headers.remove(header::CONTENT_LENGTH).is_some_and(|said| said.to_str().is_ok_and(|n| n == body.len().to_string()));
    let multiplexed = exchange.request.version >= Version::HTTP_2;
    // As Go's server: what nobody gave a length gets one only while it is short.
    let short = !flushed && (multiplexed || trailers.is_empty()) && body.len() <= if multiplexed { 4096 } else { 2048 };
    let measured = length || short || (declared && !replaced);
    if untyped && !body.is_empty() && !headers.contains_key(header::CONTENT_TYPE) && !headers.contains_key(header::CONTENT_ENCODING) {
        let kind = sniff::kind(&body[..body.len().min(sniff::LOOKED_AT)]);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let body = match (measured, trailers.is_empty()) {
        _ if !may_have_body(status, &exchange.request.method) && (!flushed || body.is_empty()) => Body::from(body),
        // In HTTP/1 none has both a length and trailers.
        (true, _) if !multiplexed => Body::from(body),
        (measured, no_trailers) => WholeBody::new(body, (!no_trailers).then_some(trailers), measured).body(),
    };
    let mut response = Response::new(if body.is_empty() { Body::Empty } else { body });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
