//! The head of a request, to be sent again.

use bytestring::ByteString;
use http::Method;
use http::header::{HeaderMap, HeaderValue};
use torana_http::Exchange;

/// What middlewares further in may change, as it was before they did.
pub(crate) struct Saved {
    method: Method,
    path: ByteString,
    query: Option<ByteString>,
    host: ByteString,
    headers: HeaderMap,
    keep_forwarded_for: bool,
    upgrade: Option<HeaderValue>,
}

impl Saved {
    pub(crate) fn of(exchange: &Exchange) -> Self {
        let r = &exchange.request;
        Saved {
            method: r.method.clone(),
            path: r.path.clone(),
            query: r.query.clone(),
            host: r.host.clone(),
            headers: r.headers.clone(),
            keep_forwarded_for: exchange.keep_forwarded_for,
            upgrade: exchange.upgrade.clone(),
        }
    }

    pub(crate) fn restore(&self, exchange: &mut Exchange) {
        let r = &mut exchange.request;
        r.method.clone_from(&self.method);
        r.path.clone_from(&self.path);
        r.query.clone_from(&self.query);
        r.host.clone_from(&self.host);
        r.headers.clone_from(&self.headers);
        exchange.keep_forwarded_for = self.keep_forwarded_for;
        exchange.upgrade.clone_from(&self.upgrade);
    }
}
