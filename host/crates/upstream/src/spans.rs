//! The spans of services, and of requests to servers.

use crate::forward::outgoing_path;
use crate::target::{Protocol, Target};
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;
use std::time::Instant;
use torana_http::forwarded::{X_FORWARDED_FOR, with_peer};
use torana_http::{Exchange, ProxyError, Response, respond};
use torana_trace::{Call, Kind, Traced, redacted};

/// Opens the span of a service. What was open goes to [`leave`].
pub(crate) fn enter(exchange: &mut Exchange, service: &Arc<str>, counted: bool) -> usize {
    let Some(trace) = &mut exchange.trace else { return 0 };
    let depth = trace.depth();
    trace.enter_with("Service", || vec![("traefik.service.name".into(), service.clone().into())]);
    if counted {
        trace.enter_with("Metrics", || vec![("traefik.middleware.name".into(), "metrics-service".into())]);
    }
    depth
}

/// The service has answered.
pub(crate) fn leave(exchange: &mut Exchange, depth: usize, response: &Response) {
    if let Some(trace) = &mut exchange.trace {
        trace.close(depth, response.body().is_streamed());
    }
}

/// Opens the span of a request to a server and puts its context into the request. What was open goes to [`end`].
pub(crate) fn begin(exchange: &mut Exchange, target: &Target, prefix: &str) -> usize {
    let Some(mut trace) = exchange.trace.take() else { return 0 };
    let depth = trace.depth();
    trace.open("ReverseProxy", Kind::Client);
    if trace.is_sampled() {
        describe(&mut trace, exchange, target, prefix);
    }
    trace.inject(&mut exchange.request.headers);
    exchange.trace = Some(trace);
    depth
}

/// The server has answered, or could not. `began`: when it was asked, if that is told.
pub(crate) fn end(exchange: &mut Exchange, target: &Target, depth: usize, began: Option<Instant>, outcome: &Result<Response, ProxyError>) {
    let status = match outcome {
        Ok(response) => response.status(),
        Err(error) => respond::status_of(error),
    };
    if let (Some((calls, _)), Some(began)) = (&exchange.calls, began) {
        let request = &exchange.request;
        let scheme =
            request.headers.get("x-forwarded-proto").map_or_else(String::new, |v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        let call = Call {
            received: false,
            method: request.method.clone(),
            status: status.as_u16(),
            version: "1.1",
            address: (&*target.authority).into(),
            port: Some(target.address.port),
            // As Traefik has it: the client's, not the server's.
            scheme: scheme.into(),
        };
        calls.record(call, began.elapsed());
    }
    let Some(trace) = &mut exchange.trace else { return };
    let none = HeaderMap::new();
    trace.response(status.as_u16(), outcome.as_ref().map_or(&none, |r| r.headers()));
    trace.close(depth, false);
}

/// The attributes of a client's span (OpenTelemetry's semantic conventions), as Traefik words them.
fn describe(trace: &mut Traced, exchange: &Exchange, target: &Target, prefix: &str) {
    let request = &exchange.request;
    let scheme = match target.protocol {
        Protocol::Http1 => "http",
        Protocol::H2c => "h2c",
        Protocol::Https => "https",
    };
    trace.set("http.request.method", request.method.as_str().to_owned());
    // Of the request before it is known what the server speaks.
    trace.set("network.protocol.version", "1.1");
    let mut url = format!("{scheme}://{}{}", target.authority, outgoing_path(&request.path, prefix));
    if let Some(query) = &request.query {
        url.push('?');
        url.push_str(&redacted(query, &trace.tracer().options().safe_query));
    }
    trace.set("url.full", url);
    trace.set("url.scheme", scheme);
    let agent = request.headers.get(USER_AGENT).map_or_else(String::new, |v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    trace.set("user_agent.original", agent);
    trace.set("network.peer.address", target.address.host.clone());
    trace.set("network.peer.port", target.address.port);
    trace.set("server.address", target.address.host.clone());
    trace.set("server.port", target.address.port);
    let appended: Option<HeaderValue> = (!exchange.keep_forwarded_for).then(|| with_peer(&request.headers, &exchange.peer.ip_value));
    trace.request_headers(&request.headers, |name| appended.clone().filter(|_| *name == X_FORWARDED_FOR));
}
