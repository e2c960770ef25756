//! The span of a request that was received: from its routing to the end of its response.

use crate::entry_point::EntryPoint;
use crate::snapshot::Router;
use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use torana_http::{Body, BodyError, Exchange, Frame, Peer, Response, Tunnel};
use torana_trace::{Call, Calls, Mark, Traced, Tracer, redacted};

/// How much of a request's way has spans (`traceVerbosity`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// The request, and those to servers.
    Minimal,
    /// The router, its middlewares and services too.
    Detailed,
}

/// How requests of an entry point are traced.
#[derive(Clone, Debug)]
pub struct EntryPointTracer {
    pub tracer: Arc<Tracer>,
    /// Requests that no router serves; `None` for not at all.
    pub unrouted: Option<Verbosity>,
}

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Begins the trace of a request to this router, or to none, if it is to be traced.
pub(crate) fn begin(exchange: &mut Exchange, entry_point: &EntryPoint, router: Option<&Router>) {
    if exchange.metered
        && let Some(calls) = &entry_point.calls
    {
        exchange.calls = Some((calls.clone(), Instant::now()));
    }
    let Some(on) = &entry_point.tracer else { return };
    let Some(verbosity) = router.map_or(on.unrouted, |r| r.traced) else { return };
    let request = &exchange.request;
    let mut trace = Traced::begin(&on.tracer, request.method.as_str(), &request.headers, verbosity == Verbosity::Detailed);
    if trace.is_sampled() {
        describe(&mut trace, exchange, entry_point);
    }
    if router.is_none() && exchange.metered && entry_point.meter.as_ref().is_some_and(|m| m.requests.is_some()) {
        trace.enter(&entry_point_metrics());
    }
    exchange.trace = Some(Box::new(trace));
}

/// The step in which requests of an entry point are counted.
pub fn entry_point_metrics() -> Mark {
    Mark { name: "Metrics", attributes: vec![("traefik.middleware.name".into(), "metrics-entrypoint".into())] }
}

/// The attributes of a server's span (OpenTelemetry's semantic conventions), as Traefik words them.
fn describe(trace: &mut Traced, exchange: &Exchange, entry_point: &EntryPoint) {
    let (request, peer) = (&exchange.request, &exchange.peer);
    trace.set("entry_point", entry_point.name.clone());
    trace.set("http.request.method", request.method.as_str().to_owned());
    trace.set("network.protocol.version", protocol(request.version));
    trace.set("http.request.body.size", request.body.length().and_then(|n| i64::try_from(n).ok()).unwrap_or(-1));
    trace.set("url.path", percent_decode_str(&request.path).decode_utf8_lossy().into_owned());
    let query = request.query.as_deref().map_or_else(String::new, |q| redacted(q, &trace.tracer().options().safe_query));
    trace.set("url.query", query);
    trace.set("url.scheme", text(request.headers.get(FORWARDED_PROTO)));
    trace.set("user_agent.original", text(request.headers.get(USER_AGENT)));
    trace.set("server.address", request.host.to_string());
    let (address, port) = (peer.ip().to_string(), peer.addr.port());
    trace.set("network.peer.address", address.clone());
    trace.set("client.address", address);
    trace.set("client.port", port);
    trace.set("network.peer.port", port);
    trace.request_headers(&request.headers, |_| None);
}

fn text(value: Option<&HeaderValue>) -> String {
    value.map_or_else(String::new, |v| String::from_utf8_lossy(v.as_bytes()).into_owned())
}

/// As Go's `Proto` is shortened by Traefik: for versions of HTTP/1 only.
fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_09 | http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "HTTP/2.0",
        http::Version::HTTP_3 => "HTTP/3.0",
        _ => "1.1",
    }
}

/// The response is there: what is told of the request ends with its body.
pub(crate) fn answered(exchange: &mut Exchange, response: &mut Response) {
    let tunnel = matches!(response.body(), Body::Tunnel(_));
    let mut trace = exchange.trace.take();
    if let Some(trace) = &mut trace {
        // As Traefik has it: a connection that leaves HTTP was answered well.
        let status = if tunnel { 200 } else { response.status().as_u16() };
        trace.answer(status, response.headers());
    }
    let timed = exchange.calls.take().map(|(calls, began)| {
        // As it is counted elsewhere.
        let status = if tunnel { 0 } else { response.status().as_u16() };
        Timed { calls, began, call: Some(call(exchange, status)) }
    });
    if trace.is_none() && timed.is_none() || !response.body().is_streamed() {
        return;
    }
    let peer = exchange.peer.clone();
    let body = std::mem::take(response.body_mut());
    let length = body.length();
    *response.body_mut() = match body {
        Body::Tunnel(tunnel) => Body::Tunnel(Box::new(TracedTunnel { tunnel, _trace: trace, _timed: timed })),
        body => Body::stream(TracedBody { body, trace, timed, peer }, length),
    };
}

/// What is told of a request's duration, at the end of this.
struct Timed {
    calls: Arc<Calls>,
    began: Instant,
    call: Option<Call>,
}

impl Drop for Timed {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.calls.record(call, self.began.elapsed());
        }
    }
}

fn call(exchange: &Exchange, status: u16) -> Call {
    let request = &exchange.request;
    Call {
        received: true,
        method: request.method.clone(),
        status,
        version: match request.version {
            http::Version::HTTP_09 | http::Version::HTTP_10 => "1.0",
            http::Version::HTTP_2 => "2.0",
            http::Version::HTTP_3 => "3.0",
            _ => "1.1",
        },
        address: (&*request.host).into(),
        port: None,
        scheme: text(request.headers.get(FORWARDED_PROTO)).into(),
    }
}

struct TracedBody {
    body: Body,
    trace: Option<Box<Traced>>,
    timed: Option<Timed>,
    peer: Rc<Peer>,
}

impl TracedBody {
    fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(trace) = &mut self.trace {
            trace.fail(why);
        }
        // As with what is counted: a response that broke off is none.
        if let Some(timed) = &mut self.timed {
            timed.call = None;
        }
    }
}

impl http_body::Body for TracedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let frame = self.body.poll_frame(cx);
        if let Poll::Ready(Some(Err(error))) = &frame {
            let why = format!("the response broke off: {error}");
            self.fail(why);
        }
        frame
    }
}

impl Drop for TracedBody {
    fn drop(&mut self) {
        if self.peer.cut.get() {
            self.fail("the response could not be sent to its end");
        }
    }
}

/// The server's side of an accepted upgrade.
struct TracedTunnel {
    tunnel: Box<dyn Tunnel>,
    _trace: Option<Box<Traced>>,
    _timed: Option<Timed>,
}

impl AsyncRead for TracedTunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.tunnel).poll_read(cx, buf)
    }
}

impl AsyncWrite for TracedTunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.tunnel).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.tunnel).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.tunnel).poll_shutdown(cx)
    }
}
