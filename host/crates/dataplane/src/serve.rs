//! One request through the entry point's pipeline, the router and its chain. The same for HTTP/1, 2 and 3.

use crate::entry_point::{EntryPoint, HeaderStrategy};
use crate::layer;
use crate::measure::Slot;
use crate::snapshot::{Router, View};
use crate::trace;
use bytestring::ByteString;
use futures_util::FutureExt;
use http::header::{ALT_SVC, CONNECTION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode_str;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use torana_http::path::{self, BadTarget};
use torana_http::respond::not_found;
use torana_http::respond::status_text;
use torana_http::{Exchange, Response, exchange, forwarded, hop};
use torana_router::{RequestView, canonical_host, routing_path};

/// Mark of the router that forwarded a request, where that router's rule is a default one.
const X_TRAEFIK_ROUTER: HeaderName = HeaderName::from_static("x-traefik-router");

/// A request target in its parts.
pub(crate) struct Target {
    pub path: ByteString,
    pub query: Option<ByteString>,
    /// Of an absolute-form target: it overrides `Host` (RFC 9112, 3.2.2).
    pub authority: Option<ByteString>,
    /// The user that an absolute-form target names, if it does.
    pub user: Option<String>,
}

/// Takes a request target apart; `None` if it is of no form (RFC 9112, 3.2).
pub(crate) fn parse_target(method: &Method, target: &ByteString) -> Option<Target> {
    let split = |text: ByteString| match text.find('?') {
        Some(i) => (text.slice_ref(&text[..i]), Some(text.slice_ref(&text[i + 1..]))),
        None => (text, None),
    };
    if target.starts_with('/') {
        let (path, query) = split(target.clone());
        return path::is_well_escaped(&path).then_some(Target { path, query, authority: None, user: None });
    }
    if &**target == "*" {
        return Some(Target { path: target.clone(), query: None, authority: None, user: None });
    }
    if *method == Method::CONNECT {
        return Some(Target { path: ByteString::new(), query: None, authority: Some(target.clone()), user: None });
    }
    // Whatever the scheme: how the client reached us says the connection, not the target.
    let (scheme, rest) = target.split_once("://")?;
    let is_scheme = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(is_scheme) {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let (user, authority) = authority.rsplit_once('@').map_or((None, authority), |(user, a)| (Some(user), a));
    let user = user.map(|u| percent_decode_str(u.split(':').next().unwrap_or(u)).decode_utf8_lossy().into_owned());
    if authority.is_empty() || !authority.bytes().all(torana_http::h1::head::is_host_byte) {
        return None;
    }
    let (path, query) = split(target.slice_ref(&rest[end..]));
    let path = if path.is_empty() { ByteString::from_static("/") } else { path };
    path::is_well_escaped(&path).then(|| Target {
        path,
        query,
        authority: Some(target.slice_ref(authority)),
        user: user.filter(|u| !u.is_empty()),
    })
}

/// Whether a name could be taken for another one by a server that maps everything to `_`.
fn is_alias(name: &HeaderName) -> bool {
    name.as_str().bytes().any(|b| !b.is_ascii_alphanumeric() && b != b'-')
}

/// `false` if the request is to be refused.
fn aliases(headers: &mut HeaderMap, strategy: HeaderStrategy, is_meant: fn(&HeaderName) -> bool) -> bool {
    if strategy == HeaderStrategy::Keep {
        return true;
    }
    let found: SmallVec<[HeaderName; 2]> = headers.keys().filter(|n| is_meant(n)).cloned().collect();
    if strategy == HeaderStrategy::Reject && !found.is_empty() {
        return false;
    }
    for name in found {
        headers.remove(name);
    }
    true
}

fn bad_request() -> Response {
    exchange::status(StatusCode::BAD_REQUEST)
}

/// Serves one request; a bug in a middleware or a service costs that request only. `hostname` is what
/// `X-Forwarded-Server` says; `slot` gets what is measured of it.
pub(crate) async fn serve(exchange: &mut Exchange, entry_point: &EntryPoint, view: &View, hostname: &HeaderValue, slot: &Slot) -> Response {
    let over_tls = exchange.peer.is_tls() && exchange.request.version != http::Version::HTTP_3;
    let advertised = entry_point.http3.as_ref().map(|h| &h.alt_svc).filter(|_| over_tls);
    // What a panic leaves half done belongs to the exchange, which ends here.
    let serving = Serving { exchange, slot };
    let guarded = AssertUnwindSafe(route(serving.exchange, entry_point, view, hostname, slot)).catch_unwind();
    let mut response = guarded.await.unwrap_or_else(|_| {
        tracing::error!("a request made Torana panic: this is a bug, please report it");
        status_text(StatusCode::INTERNAL_SERVER_ERROR)
    });
    trace::answered(serving.exchange, &mut response);
    if let Some(value) = advertised {
        advertise(response.headers_mut(), value);
    }
    slot.with(|record| record.answered(&mut response, serving.exchange));
    response
}

/// A request as long as it is handled. What is known of it then is told to its record, even if the client does not
/// wait for the response.
struct Serving<'a> {
    exchange: &'a mut Exchange,
    slot: &'a Slot,
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.slot.with(|record| record.left(self.exchange));
    }
}

/// Tells of HTTP/3, before what the service says of other places, as in Traefik.
fn advertise(headers: &mut HeaderMap, ours: &HeaderValue) {
    let theirs: SmallVec<[HeaderValue; 1]> = headers.get_all(ALT_SVC).iter().cloned().collect();
    headers.insert(ALT_SVC, ours.clone());
    for t in theirs {
        headers.append(ALT_SVC, t);
    }
}

/// Begins the record and the trace of a request to this router, or to none, if it is to have them.
fn begin(exchange: &mut Exchange, entry_point: &EntryPoint, router: Option<&Router>, behind: Option<layer::Scopes>, slot: &Slot) {
    slot.begin(exchange, entry_point, router, behind);
    trace::begin(exchange, entry_point, router);
    // Now, for the trace goes to the body of the response when there is one.
    if let Some(trace) = exchange.trace.as_ref().filter(|_| exchange.logged) {
        slot.with(|record| record.traced(trace.context()));
    }
}

async fn route(exchange: &mut Exchange, entry_point: &EntryPoint, view: &View, hostname: &HeaderValue, slot: &Slot) -> Response {
    let request = &mut exchange.request;
    if &*request.path == "*" {
        // Of the gateway as a whole; no rule sees it.
        if request.method == Method::OPTIONS {
            return exchange::status(StatusCode::OK);
        }
        begin(exchange, entry_point, None, None, slot);
        return not_found();
    }
    if request.method == Method::CONNECT {
        // What follows may be meant for the tunnel that was not built: it must not be read as requests.
        return torana_http::respond::with_header(
            exchange::status(StatusCode::NOT_IMPLEMENTED),
            CONNECTION,
            HeaderValue::from_static("close"),
        );
    }
    if !aliases(&mut request.headers, entry_point.underscore, |n| n.as_str().contains('_'))
        || !aliases(&mut request.headers, entry_point.alias, is_alias)
    {
        return torana_http::respond::error_text(StatusCode::BAD_REQUEST, "Bad Request");
    }
    match path::normalize(&request.path) {
        Ok(Cow::Borrowed(_)) => {}
        Ok(Cow::Owned(p)) => request.path = p.into(),
        Err(BadTarget::Fragment | BadTarget::Escape) => return bad_request(),
    }
    if entry_point.sanitize_path
        && let Cow::Owned(p) = path::sanitize(&request.path)
    {
        request.path = p.into();
    }
    if entry_point.encode_semicolons
        && let Some(q) = &request.query
        && let Some(encoded) = path::replace_semicolons(q, "%3B")
    {
        request.query = Some(encoded);
    }
    exchange.upgrade = hop::upgrade_of(&exchange.request.headers).filter(|_| exchange.request.version < http::Version::HTTP_2);
    exchange.keep_forwarded_for = entry_point.keep_forwarded_for;
    exchange.original_path = exchange.request.path.clone();
    if !exchange.peer.trusted {
        forwarded::distrust(&mut exchange.request.headers);
    }
    forwarded::complete(exchange, hostname);
    forwarded::connection_headers(&mut exchange.request.headers, &entry_point.connection_allowed, exchange.upgrade.as_ref());

    let flat = match &entry_point.flattening {
        // Boxed, for few want it, and every request would move the room for it.
        Some(flattening) => Some(Box::pin(flattening.flat(&canonical_host(&exchange.request.host))).await),
        None => None,
    };
    let snapshot = view.current();
    let table = match &exchange.peer.tls {
        None => snapshot.routes.get(&entry_point.name),
        Some(_) => snapshot.secure.get(&entry_point.name).map(|s| &s.routes),
    };
    let router = table.and_then(|table| {
        let request = &exchange.request;
        let host = canonical_host(&request.host);
        let path = routing_path(&request.path);
        let seen = RequestView::new(&host, &path, request.method.as_str(), &request.headers, request.query.as_deref(), exchange.peer.ip());
        table.find(&seen.with_raw_host(&request.host).with_flat_host(flat.as_deref()))
    });
    let behind = router.filter(|r| r.layered).map(|_| layer::enter(exchange, flat));
    begin(exchange, entry_point, router.map(|r| &**r), behind, slot);
    let Some(router) = router else { return not_found() };
    if let Some(mark) = &router.recursion_mark
        && exchange.request.headers.insert(X_TRAEFIK_ROUTER, mark.clone()).is_some_and(|before| before == mark)
    {
        return bad_request();
    }
    if path::encoded::denied(&exchange.request.path, router.denied_escapes) {
        return bad_request();
    }
    if let Some(tls) = &exchange.peer.tls
        && let Some(wanted) = &router.tls_options
        && (*wanted != tls.options || snapshot.handshakes.get(wanted).is_none_or(|h| *h.options.digest() != tls.options_digest))
    {
        // Else a name without client authentication would open the door to one with it, and a connection that was
        // opened before the options changed would stay open to what they forbid.
        return torana_http::respond::error_text(StatusCode::MISDIRECTED_REQUEST, "Misdirected Request");
    }
    exchange.router = Some(router.name.clone());
    torana_http::run(&router.steps, &*router.service, exchange).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Live, Snapshot};
    use std::rc::Rc;
    use std::sync::Arc;
    use torana_http::{Endpoint, LocalFuture, Peer, Request};
    use torana_router::{Route, RouteTable, compile, parse};

    struct Panics;

    impl Endpoint for Panics {
        fn serve<'a>(&'a self, _: &'a mut Exchange) -> LocalFuture<'a, Response> {
            Box::pin(async { panic!("meant") })
        }
    }

    #[test]
    fn a_panic_is_an_answer_of_500() {
        let router = Arc::new(Router {
            name: "r".into(),
            steps: Vec::new(),
            service: Arc::new(Panics),
            recursion_mark: None,
            denied_escapes: 0,
            tls_options: None,
            logged: false,
            layered: false,
            metered: false,
            meter: None,
            traced: None,
        });
        let rule = Arc::new(compile(&parse("PathPrefix(`/`)").unwrap()).unwrap());
        let route = Route { rule, priority: 1, rank: 0, name: "r".into(), target: router };
        let mut snapshot = Snapshot::default();
        snapshot.routes.insert("web".into(), RouteTable::new([route]));
        let live = Live::default();
        live.publish(Arc::new(snapshot));
        let address = "127.0.0.1:1".parse().unwrap();
        let entry_point = EntryPoint::new("web", address);
        let peer = Rc::new(Peer::new(address, address, None, "web".into(), false));
        let mut exchange = Exchange::new(Request { path: "/".into(), host: "h".into(), ..Request::default() }, peer);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let hostname = HeaderValue::from_static("host");
        let response = runtime.block_on(serve(&mut exchange, &entry_point, &View::new(live), &hostname, &Slot::default()));
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn what_comes_back_to_a_default_rule_is_refused() {
        struct Echo;

        impl Endpoint for Echo {
            fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
                let mark = exchange.request.headers.get(X_TRAEFIK_ROUTER).cloned().unwrap();
                Box::pin(async move { torana_http::respond::with_header(Response::default(), X_TRAEFIK_ROUTER, mark) })
            }
        }

        let mark = crate::snapshot::recursion_mark("r");
        let router = Arc::new(Router {
            name: "r".into(),
            steps: Vec::new(),
            service: Arc::new(Echo),
            recursion_mark: mark.clone(),
            denied_escapes: 0,
            tls_options: None,
            logged: false,
            layered: false,
            metered: false,
            meter: None,
            traced: None,
        });
        let rule = Arc::new(compile(&parse("PathPrefix(`/`)").unwrap()).unwrap());
        let mut snapshot = Snapshot::default();
        snapshot.routes.insert("web".into(), RouteTable::new([Route { rule, priority: 1, rank: 0, name: "r".into(), target: router }]));
        let live = Live::default();
        live.publish(Arc::new(snapshot));
        let address = "127.0.0.1:1".parse().unwrap();
        let entry_point = EntryPoint::new("web", address);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (brought, status) in [(None, 200), (HeaderValue::try_from("another").ok(), 200), (mark.clone(), 400)] {
            let peer = Rc::new(Peer::new(address, address, None, "web".into(), false));
            let mut request = Request { path: "/".into(), host: "h".into(), ..Request::default() };
            request.headers.extend(brought.map(|b| (X_TRAEFIK_ROUTER, b)));
            let mut exchange = Exchange::new(request, peer);
            let hostname = HeaderValue::from_static("host");
            let response = runtime.block_on(serve(&mut exchange, &entry_point, &View::new(live.clone()), &hostname, &Slot::default()));
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().get(X_TRAEFIK_ROUTER), mark.as_ref().filter(|_| status == 200));
        }
    }

    #[test]
    fn targets() {
        let parse = |m: Method, t: &'static str| {
            parse_target(&m, &ByteString::from_static(t))
                .map(|t| (t.path.to_string(), t.query.map(|q| q.to_string()), t.authority.map(|a| a.to_string())))
        };
        assert_eq!(parse(Method::GET, "/a?b"), Some(("/a".into(), Some("b".into()), None)));
        assert_eq!(parse(Method::GET, "/a?"), Some(("/a".into(), Some("".into()), None)));
        assert_eq!(parse(Method::GET, "http://h.test:1/x?y"), Some(("/x".into(), Some("y".into()), Some("h.test:1".into()))));
        assert_eq!(parse(Method::GET, "HTTP://u@h.test"), Some(("/".into(), None, Some("h.test".into()))));
        assert_eq!(parse(Method::OPTIONS, "*"), Some(("*".into(), None, None)));
        assert_eq!(parse(Method::GET, "*"), Some(("*".into(), None, None)));
        assert_eq!(parse(Method::GET, "ws://h.test/x"), Some(("/x".into(), None, Some("h.test".into()))));
        for bad in ["/%zz", "http://h/%2", "http://h#f", "http:///x", "http:/x", "://x/", "?x", "1s://x/"] {
            assert_eq!(parse(Method::GET, bad), None, "{bad}");
        }
        assert_eq!(parse(Method::GET, "a"), None);
        assert_eq!(parse(Method::GET, "é/"), None);
        assert_eq!(parse(Method::CONNECT, "h:1"), Some(("".into(), None, Some("h:1".into()))));
    }
}
