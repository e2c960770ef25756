//! Routers behind a router (`parentRefs`): what a router's middlewares let through is matched once more, as they
//! left it.

use crate::snapshot::Router;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use torana_http::respond::not_found;
use torana_http::{Endpoint, Exchange, LocalFuture, Response};
use torana_router::{RequestView, RouteTable, canonical_host, routing_path};
use torana_telemetry::metrics::Scope;

/// Where the routers behind the first one count.
pub(crate) type Scopes = Rc<RefCell<Vec<Arc<Scope>>>>;

/// The end of a router that other routers stand behind.
pub struct Layer {
    routes: RouteTable<Arc<Router>>,
}

/// What the first router of a request leaves for those behind it.
struct Trail {
    /// The canonical host that the request came with: a middleware that rewrites `Host` does not change where
    /// it goes.
    host: String,
    /// What it is an alias of, where that is asked for.
    flat: Option<Rc<str>>,
    scopes: Scopes,
}

/// By its address a [`Trail`] is kept.
static TRAIL: u8 = 0;

impl Layer {
    pub fn new(routes: RouteTable<Arc<Router>>) -> Self {
        Layer { routes }
    }

    async fn route(&self, exchange: &mut Exchange) -> Response {
        let trail = exchange.kept::<Trail>(key());
        let found = {
            let request = &exchange.request;
            let host = trail.as_ref().map_or_else(|| canonical_host(&request.host), |t| t.host.as_str().into());
            let path = routing_path(&request.path);
            let query = request.query.as_deref();
            let seen = RequestView::new(&host, &path, request.method.as_str(), &request.headers, query, exchange.peer.ip());
            let flat = trail.as_ref().and_then(|t| t.flat.as_deref());
            self.routes.find(&seen.with_raw_host(&request.host).with_flat_host(flat))
        };
        if let Some(trail) = trail {
            if let Some(scope) = found.and_then(|r| r.meter.as_ref()).filter(|_| exchange.metered) {
                if let Some((version, cipher)) = exchange.tls_names() {
                    scope.record_tls(version, cipher);
                }
                trail.scopes.borrow_mut().push(scope.clone());
            }
            // A middleware may send the request again.
            exchange.keep(key(), trail);
        }
        let Some(router) = found else { return not_found() };
        exchange.router = Some(router.name.clone());
        torana_http::run(&router.steps, &*router.service, exchange).await
    }
}

impl Endpoint for Layer {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(self.route(exchange))
    }
}

fn key() -> usize {
    std::ptr::from_ref(&TRAIL).addr()
}

/// To be called before the first router's middlewares run.
pub(crate) fn enter(exchange: &mut Exchange, flat: Option<Rc<str>>) -> Scopes {
    let scopes = Scopes::default();
    let host = canonical_host(&exchange.request.host).into_owned();
    exchange.keep(key(), Trail { host, flat, scopes: scopes.clone() });
    scopes
}
