//! Sending a request to a server and its response back.

use crate::connect::{self, Offer};
use crate::h1client::{self, Expect};
use crate::target::{Protocol, Target};
use crate::{h2client, pinned, pool, spans};
use bytestring::ByteString;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Instant;
use torana_http::{Body, ErrorKind, Exchange, Interim, ProxyError, Request, Response, hop};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// The request line and headers as they leave, made from the exchange without copying the map.
pub(crate) struct Outgoing<'a> {
    pub method: &'a Method,
    pub path: ByteString,
    pub query: Option<ByteString>,
    pub host: ByteString,
    pub headers: &'a HeaderMap,
    named: SmallVec<[HeaderName; 2]>,
    pub te_trailers: bool,
    /// `X-Forwarded-For` with the peer appended; `None` when it is to go as it is.
    forwarded_for: Option<HeaderValue>,
    pub upgrade: Option<HeaderValue>,
    /// `Accept-Encoding: gzip` is added on our own account, and undone on the way back.
    pub own_gzip: bool,
    /// A request of the gateway's own: whoever made it chose its headers.
    own: bool,
}

impl<'a> Outgoing<'a> {
    fn new(exchange: &'a Exchange, host: ByteString, path: ByteString) -> Self {
        let request = &exchange.request;
        let headers = &request.headers;
        let named = if headers.contains_key(header::CONNECTION) {
            hop::tokens(headers, &header::CONNECTION).filter_map(|t| HeaderName::from_bytes(t.as_bytes()).ok()).collect()
        } else {
            SmallVec::new()
        };
        let forwarded_for = (!exchange.keep_forwarded_for).then(|| torana_http::forwarded::with_peer(headers, &exchange.peer.ip_value));
        Outgoing {
            method: &request.method,
            path,
            query: request.query.as_ref().map(|q| torana_http::path::replace_semicolons(q, "&").unwrap_or_else(|| q.clone())),
            host,
            headers,
            named,
            te_trailers: headers.contains_key(header::TE) && hop::has_token(headers, &header::TE, "trailers"),
            forwarded_for,
            upgrade: exchange.upgrade.clone(),
            own_gzip: adds_gzip(request),
            own: false,
        }
    }

    /// Of a request that is the gateway's own.
    pub(crate) fn own(request: &'a Request, authority: &ByteString) -> Self {
        Outgoing {
            method: &request.method,
            path: request.path.clone(),
            query: request.query.clone(),
            host: if request.host.is_empty() { authority.clone() } else { request.host.clone() },
            headers: &request.headers,
            named: SmallVec::new(),
            te_trailers: false,
            forwarded_for: None,
            upgrade: None,
            own_gzip: adds_gzip(request),
            own: true,
        }
    }

    /// Whether what stands between blanks on the wire holds none: a middleware may have put something decoded there,
    /// and a server would read the rest as headers, or as another request (as Go's transport, which refuses it).
    fn fits_a_line(&self) -> bool {
        let fits = |text: &str, least: u8| text.bytes().fold(true, |fits, b| fits & (b >= least) & (b != 0x7f));
        // As there, a query may hold a blank: one in the path of a health check goes out as it is written.
        fits(&self.host, b'!') && fits(&self.path, b'!') && self.query.as_deref().is_none_or(|q| fits(q, b' '))
    }

    /// Every end-to-end header, in order.
    pub(crate) fn each(&self, mut f: impl FnMut(&HeaderName, &HeaderValue)) {
        for (name, value) in self.headers {
            // `Host` is written once, from where it stands: a middleware may have put another one here.
            let hop = *name == header::HOST
                || *name == header::CONNECTION
                || *name == header::TE
                || *name == header::TRAILER
                || *name == header::TRANSFER_ENCODING
                || *name == header::CONTENT_LENGTH
                || *name == header::UPGRADE
                || *name == KEEP_ALIVE
                || *name == PROXY_CONNECTION
                || (!self.own && (*name == header::PROXY_AUTHENTICATE || *name == header::PROXY_AUTHORIZATION))
                || (self.forwarded_for.is_some() && *name == torana_http::forwarded::X_FORWARDED_FOR)
                || self.named.contains(name);
            if !hop {
                f(name, value);
            }
        }
        if let Some(v) = &self.forwarded_for {
            f(&torana_http::forwarded::X_FORWARDED_FOR, v);
        }
        if self.own_gzip {
            f(&header::ACCEPT_ENCODING, &HeaderValue::from_static("gzip"));
        }
        if self.te_trailers {
            f(&header::TE, &HeaderValue::from_static("trailers"));
        }
    }
}

/// Whether Go's transport would ask for gzip by itself.
fn adds_gzip(request: &Request) -> bool {
    let none = |name| request.headers.get(name).is_none_or(HeaderValue::is_empty);
    request.method != Method::HEAD && none(header::ACCEPT_ENCODING) && none(header::RANGE)
}

/// A request that did not get a response; the body comes back if no byte of it was taken.
pub(crate) struct Failure {
    pub error: ProxyError,
    pub body: Option<Body>,
    /// The connection was an old one and died before it answered: another may do better.
    pub stale: bool,
}

/// Options of a service that concern forwarding.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Send the client's `Host`; else the server's.
    pub pass_host_header: bool,
    /// A request whose server cannot be reached goes to another one.
    pub redispatch: bool,
}

/// Sends the exchange's request to `target`, with `prefix` before its path. On a failure that allows
/// another try the request's body is back in place.
pub async fn forward(exchange: &mut Exchange, target: &Arc<Target>, prefix: &str, options: Options) -> Result<Response, ProxyError> {
    let depth = spans::begin(exchange, target, prefix);
    let began = exchange.calls.is_some().then(Instant::now);
    let sent = send(exchange, target, prefix, options).await;
    spans::end(exchange, target, depth, began, &sent);
    let mut response = sent.inspect_err(|error| tracing::debug!(error = %error, server = %target.authority, "request failed"))?;
    if !matches!(response.body(), Body::Tunnel(_)) {
        let trailer = response.headers().contains_key(header::TRAILER).then(|| hop::announced_trailers(response.headers()));
        hop::strip(response.headers_mut());
        if let Some(Some(t)) = trailer {
            response.headers_mut().insert(header::TRAILER, t);
        }
    }
    Ok(response)
}

/// Sends a request as it stands and gives the answer, or why there is none.
pub async fn send(exchange: &mut Exchange, target: &Arc<Target>, prefix: &str, options: Options) -> Result<Response, ProxyError> {
    if exchange.upgrade.as_ref().is_some_and(|u| !u.as_bytes().iter().all(|b| matches!(b, b' '..=b'~'))) {
        return Err(ProxyError::client(ErrorKind::Internal, "an upgrade to a protocol of no name"));
    }
    pinned::foresee(&exchange.peer, target, &exchange.request.headers);
    let own = pinned::own(&exchange.peer, target);
    let (target, shared) = own.as_ref().map_or((target, true), |own| (own, false));
    let body = std::mem::take(&mut exchange.request.body);
    let host = match options.pass_host_header && !exchange.request.host.is_empty() {
        true => exchange.request.host.clone(),
        false => target.authority.clone(),
    };
    let path = outgoing_path(&exchange.request.path, prefix);
    let interim = exchange.peer.interim.borrow().clone();
    let sent = send_body(&Outgoing::new(exchange, host, path), body, interim, target).await.map_err(|(error, body)| {
        exchange.request.body = body;
        error
    });
    if let (true, Ok(response)) = (shared, &sent) {
        pinned::look(&exchange.peer, target, response);
    }
    sent
}

/// Sends a request on an idle connection or a new one. What was not read of the body comes back with an error.
pub(crate) async fn send_body(
    outgoing: &Outgoing<'_>,
    mut body: Body,
    interim: Option<Interim>,
    target: &Arc<Target>,
) -> Result<Response, (ProxyError, Body)> {
    if !outgoing.fits_a_line() {
        return Err((ProxyError::client(ErrorKind::BadRequest, "host, path or query hold what would end the line"), body));
    }
    let idempotent = is_replayable(outgoing);
    // One more try than there may be stale connections would be endless; two old ones, then a new one.
    for attempt in 0.. {
        let replay = if idempotent { body.replayable() } else { None };
        let fresh = attempt >= 2;
        match send_once(outgoing, body, interim.clone(), target, fresh).await {
            Ok(r) => return Ok(crate::stall::watched(r, target.transport.read_timeout)),
            Err(failure) => {
                match (failure.stale && !fresh, failure.body, replay) {
                    (true, Some(untouched), _) => body = untouched,
                    (true, None, Some(again)) => body = again,
                    (_, untouched, _) => return Err((failure.error, untouched.unwrap_or_default())),
                };
            }
        }
    }
    Err((ProxyError::server(ErrorKind::Internal, false, "no attempt was made"), Body::Empty))
}

/// Whether a request may be sent again on another connection after some of it went out
/// (RFC 9110, 9.2.2, and the two headers by which a client says so itself).
fn is_replayable(request: &Outgoing<'_>) -> bool {
    matches!(*request.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
        || request.headers.contains_key("idempotency-key")
        || request.headers.contains_key("x-idempotency-key")
}

/// What is seldom waited for is boxed: a request that needs no new connection shall not carry, and move, the room for
/// one.
async fn send_once(
    outgoing: &Outgoing<'_>,
    body: Body,
    interim: Option<Interim>,
    target: &Arc<Target>,
    fresh: bool,
) -> Result<Response, Failure> {
    let upgrade = outgoing.upgrade.is_some();
    let early = |error: ProxyError, body: Body| Failure { error, body: Some(body), stale: false };
    let h2_possible = !upgrade && (target.protocol == Protocol::H2c || (target.protocol == Protocol::Https && target.transport.http2));
    if h2_possible {
        if let Some(c) = pool::take_h2(target) {
            return h2client::send(outgoing, body, &c, target, interim).await;
        }
        if target.protocol == Protocol::H2c {
            let stream = match Box::pin(connect::connect(&target.address, &target.transport, Offer::Http2AndHttp1)).await {
                Ok(s) => s,
                Err(e) => return Err(early(e, body)),
            };
            let c = match h2client::handshake(stream, target).await {
                Ok(c) => c,
                Err(e) => return Err(early(e, body)),
            };
            return h2client::send(outgoing, body, &c, target, interim).await;
        }
    }
    let pooled = if upgrade || fresh { None } else { pool::take(target) };
    let reused = pooled.is_some();
    let io = match pooled {
        Some(io) => io,
        None => {
            let offer = if upgrade { Offer::Http1 } else { Offer::Http2AndHttp1 };
            let stream = match Box::pin(connect::connect(&target.address, &target.transport, offer)).await {
                Ok(s) => s,
                Err(e) => return Err(early(e, body)),
            };
            if stream.is_h2() {
                let c = match h2client::handshake(stream, target).await {
                    Ok(c) => c,
                    Err(e) => return Err(early(e, body)),
                };
                return h2client::send(outgoing, body, &c, target, interim).await;
            }
            torana_http::h1::Io::new(stream)
        }
    };
    let expect = if outgoing.headers.contains_key(header::EXPECT) { Expect::Wait } else { Expect::No };
    h1client::send(outgoing, body, io, reused, target, interim, expect).await
}

/// `prefix` and the path, joined by one slash. Without a prefix the path goes as a middleware left it.
pub(crate) fn outgoing_path(path: &ByteString, prefix: &str) -> ByteString {
    let prefix = prefix.trim_end_matches('/');
    match (prefix.is_empty(), path.is_empty()) {
        (true, true) => ByteString::from_static("/"),
        (true, false) => path.clone(),
        _ => format!("{prefix}/{}", path.trim_start_matches('/')).into(),
    }
}

/// Undoes the gzip that was asked for on the gateway's own account.
pub(crate) fn ungzip(response: &mut Response) {
    let gzip = response.headers().get(header::CONTENT_ENCODING).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"gzip"));
    if gzip && !matches!(response.body(), Body::Empty | Body::Tunnel(_)) {
        let body = std::mem::take(response.body_mut());
        response.headers_mut().remove(header::CONTENT_ENCODING);
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = crate::gunzip::body(body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_the_line_of_a_request_is_not_sent() {
        let fits = |host: &str, path: &str, query: Option<&str>| {
            let request = Request { host: host.into(), path: path.into(), query: query.map(Into::into), ..Request::default() };
            Outgoing::own(&request, &ByteString::from_static("s:80")).fits_a_line()
        };
        assert!(fits("a.test:8080", "/a%0d%0a/é", Some("b=c")) && fits("", "/", None) && fits("a", "/", Some("b c")));
        for bad in ["a\r\nX: y", "a\n", "a\0", "a\x7f", "a\t"] {
            assert!(!fits(bad, "/", None) && !fits("a", &format!("/{bad}"), None) && !fits("a", "/", Some(bad)), "{bad:?}");
        }
        assert!(!fits("a b", "/", None) && !fits("a", "/a b", None));
    }
}
