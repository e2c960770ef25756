use crate::chain::LocalFuture;
use crate::error::ProxyError;
use crate::exchange::{Request, Response};

/// Sends requests of the gateway's own to one server, on connections of the worker that asks.
///
/// They leave as they are: nothing is added to their headers but what frames the message, and the gzip that is
/// asked for where no coding was, which is undone on the way back. An empty `host` stands for the server's own.
/// Redirects are not followed, and there is no deadline beyond those of the connection: whoever has no patience drops
/// the future.
pub trait Client: Send + Sync {
    fn send<'a>(&'a self, request: &'a mut Request) -> LocalFuture<'a, Result<Response, ProxyError>>;
}
