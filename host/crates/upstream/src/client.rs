//! Requests of the gateway's own, as middlewares send them.

use crate::forward::{Outgoing, send_body};
use crate::target::{ServerUrl, Target};
use crate::transport::Transport;
use std::sync::Arc;
use torana_http::{LocalFuture, ProxyError, Request, Response};

/// Reaches one server with a transport of its own. Its connections live as long as it does.
#[derive(Debug)]
pub struct Client {
    target: Arc<Target>,
}

impl Client {
    /// Of a URL its scheme, host and port count. One that leads nowhere makes each request fail.
    pub fn new(url: &str, transport: Transport) -> Self {
        Client::sharing(url, Arc::new(transport))
    }

    fn sharing(url: &str, transport: Arc<Transport>) -> Self {
        let url = url.parse().unwrap_or_else(|_| ServerUrl::nowhere());
        Client { target: Arc::new(Target::new(&url, transport)) }
    }
}

impl torana_http::Client for Client {
    fn send<'a>(&'a self, request: &'a mut Request) -> LocalFuture<'a, Result<Response, ProxyError>> {
        Box::pin(async move {
            let body = std::mem::take(&mut request.body);
            let outgoing = Outgoing::own(request, &self.target.authority);
            send_body(&outgoing, body, None, &self.target).await.map_err(|(error, _)| error)
        })
    }
}

/// Clients that share a transport.
#[derive(Debug)]
pub struct Clients {
    transport: Arc<Transport>,
}

impl Clients {
    pub fn new(transport: Transport) -> Self {
        Clients { transport: Arc::new(transport) }
    }
}

impl torana_http::Clients for Clients {
    fn to(&self, url: &str) -> Arc<dyn torana_http::Client> {
        Arc::new(Client::sharing(url, self.transport.clone()))
    }
}
