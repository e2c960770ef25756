//! The question in the request's trace.

use super::address::Address;
use http::header::USER_AGENT;
use torana_http::{Exchange, Request};
use torana_trace::{Kind, redacted};

/// Opens the span `AuthRequest`, and puts its context into the question. What was open goes to [`end`].
pub(super) fn begin(exchange: &mut Exchange, address: &Address, question: &mut Request) -> usize {
    let Some(trace) = &mut exchange.trace else { return 0 };
    let depth = trace.depth();
    trace.open("AuthRequest", Kind::Client);
    if trace.is_sampled() {
        let (scheme, authority) = address.base.split_once("://").unwrap_or_default();
        let default = if scheme == "https" { 443 } else { 80 };
        let (host, port): (&str, u16) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(default)),
            _ => (authority, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let mut url = format!("{}{}", address.base, question.path);
        if let Some(query) = &question.query {
            url.push('?');
            url.push_str(&redacted(query, &trace.tracer().options().safe_query));
        }
        trace.set("http.request.method", question.method.as_str().to_owned());
        // Of the question before it is known what the server speaks, as Traefik has it.
        trace.set("network.protocol.version", "1.1");
        trace.set("url.full", url);
        trace.set("url.scheme", scheme.to_owned());
        let agent = question.headers.get(USER_AGENT).map_or_else(String::new, |v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        trace.set("user_agent.original", agent);
        trace.set("network.peer.address", host.clone());
        trace.set("server.address", host);
        trace.set("network.peer.port", port);
        trace.set("server.port", port);
        trace.request_headers(&question.headers, |_| None);
    }
    trace.inject(&mut question.headers);
    depth
}

/// The server has answered, or could not.
pub(super) fn end(exchange: &mut Exchange, depth: usize) {
    if let Some(trace) = &mut exchange.trace {
        trace.close(depth, false);
    }
}
