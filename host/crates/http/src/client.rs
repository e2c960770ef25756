use crate::chain::LocalFuture;
use crate::error::ProxyError;
use crate::exchange::{Request, Response};
use std::sync::Arc;

/// Sends requests of the gateway's own to one server, on connections of the worker that asks.
///
/// They leave as they are: nothing is added to their headers but what frames the message, and the gzip that is
/// asked for where no coding was, which is undone on the way back. An empty `host` stands for the server's own.
/// Redirects are not followed, and there is no deadline beyond those of the connection: whoever has no patience drops
/// the future.
pub trait Client: Send + Sync {
    fn send<'a>(&'a self, request: &'a mut Request) -> LocalFuture<'a, Result<Response, ProxyError>>;
}

/// Makes clients for servers that nobody knew before.
pub trait Clients: Send + Sync {
    /// What sends requests to the server of a URL, of which scheme, host and port count. Its connections end with it.
    fn to(&self, url: &str) -> Arc<dyn Client>;
}
