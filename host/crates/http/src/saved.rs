use crate::body::Body;
use crate::exchange::{Exchange, Request};
use crate::peer::Peer;
use bytestring::ByteString;
use http::{HeaderMap, HeaderValue, Method, Version};
use std::rc::Rc;
use std::sync::Arc;

/// The head of a request as it was at one moment: what follows may change it.
pub struct SavedHead {
    method: Method,
    version: Version,
    path: ByteString,
    query: Option<ByteString>,
    host: ByteString,
    headers: HeaderMap,
    router: Option<Arc<str>>,
    original_path: ByteString,
    keep_forwarded_for: bool,
    upgrade: Option<HeaderValue>,
    metered: bool,
}

impl SavedHead {
    pub fn of(exchange: &Exchange) -> Self {
        let r = &exchange.request;
        SavedHead {
            method: r.method.clone(),
            version: r.version,
            path: r.path.clone(),
            query: r.query.clone(),
            host: r.host.clone(),
            headers: r.headers.clone(),
            router: exchange.router.clone(),
            original_path: exchange.original_path.clone(),
            keep_forwarded_for: exchange.keep_forwarded_for,
            upgrade: exchange.upgrade.clone(),
            metered: exchange.metered,
        }
    }

    /// Puts back what of the head may have been changed.
    pub fn restore(&self, exchange: &mut Exchange) {
        let r = &mut exchange.request;
        r.method.clone_from(&self.method);
        r.path.clone_from(&self.path);
        r.query.clone_from(&self.query);
        r.host.clone_from(&self.host);
        r.headers.clone_from(&self.headers);
        exchange.keep_forwarded_for = self.keep_forwarded_for;
        exchange.upgrade.clone_from(&self.upgrade);
    }

    /// The same request once more, as an exchange of its own. `peer` is the client's connection as that exchange is to
    /// see it: one that shall not write to the client is a [`Peer::stream`] without a way for 1xx.
    pub fn again(&self, peer: Rc<Peer>, body: Body) -> Exchange {
        let request = Request {
            method: self.method.clone(),
            version: self.version,
            path: self.path.clone(),
            query: self.query.clone(),
            host: self.host.clone(),
            headers: self.headers.clone(),
            body,
        };
        let mut exchange = Exchange::new(request, peer);
        exchange.router.clone_from(&self.router);
        exchange.original_path = self.original_path.clone();
        exchange.keep_forwarded_for = self.keep_forwarded_for;
        exchange.upgrade.clone_from(&self.upgrade);
        exchange.metered = self.metered;
        exchange
    }
}
