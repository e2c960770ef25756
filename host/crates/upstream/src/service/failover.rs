use crate::balance::Balancer;
use http::StatusCode;
use std::sync::Arc;
use torana_base::StatusRanges;
use torana_http::{Body, Endpoint, Exchange, Interim, LocalFuture, Peer, Response, SavedHead, WholeBody, respond};

/// Position of the service that answers as long as it can.
const MAIN: usize = 0;
const FALLBACK: usize = 1;

/// `failover`
pub struct Failover {
    /// Which of the two are up: candidate 0 is the service, 1 its fallback.
    pub balancer: Arc<Balancer>,
    pub service: Arc<dyn Endpoint>,
    pub fallback: Arc<dyn Endpoint>,
    pub errors: Option<FailoverErrors>,
}

/// `failover.errors`
#[derive(Clone, Debug)]
pub struct FailoverErrors {
    /// Codes of the service that the fallback answers in place of.
    pub status: StatusRanges,
    /// Largest body that can be sent a second time, in bytes; a request with more is answered with 413. `None`: no
    /// limit, though one of more than 64 MiB is sent but once.
    pub max_body: Option<usize>,
}

/// Bytes of a body without a limit that are kept to be sent a second time.
const MOST_KEPT: usize = 64 << 20;

impl Endpoint for Failover {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            if self.balancer.is_up(MAIN) {
                let Some(errors) = &self.errors else { return self.service.serve(exchange).await };
                if let Some(response) = self.try_service(exchange, errors).await {
                    return response;
                }
            }
            if self.balancer.is_up(FALLBACK) {
                return self.fallback.serve(exchange).await;
            }
            respond::error_text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
        })
    }
}

impl Failover {
    /// The answer, unless it is one of the errors; then the request is as it was before.
    async fn try_service(&self, exchange: &mut Exchange, errors: &FailoverErrors) -> Option<Response> {
        let whole = match WholeBody::read(std::mem::take(&mut exchange.request.body), errors.max_body.unwrap_or(MOST_KEPT)).await {
            Ok(Ok(whole)) => whole,
            Ok(Err(body)) if errors.max_body.is_none() => {
                exchange.request.body = body;
                return Some(self.service.serve(exchange).await);
            }
            Ok(Err(_)) => return Some(respond::error_text(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large")),
            // As in Traefik; the client is seldom there to see it.
            Err(_) => return Some(respond::error_text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")),
        };
        let head = SavedHead::of(exchange);
        exchange.request.body = whole.body();
        let response = {
            let _silent = Silenced::new(exchange);
            self.service.serve(exchange).await
        };
        if matches!(response.body(), Body::Tunnel(_)) || !errors.status.contains(response.status().as_u16()) {
            return Some(response);
        }
        head.restore(exchange);
        exchange.request.body = whole.body();
        None
    }
}

/// Keeps interim responses from the client, as they may be of an answer that it never sees.
struct Silenced {
    peer: std::rc::Rc<Peer>,
    interim: Option<Interim>,
}

impl Silenced {
    fn new(exchange: &Exchange) -> Self {
        Silenced { peer: exchange.peer.clone(), interim: exchange.peer.interim.take() }
    }
}

impl Drop for Silenced {
    fn drop(&mut self) {
        self.peer.interim.replace(self.interim.take());
    }
}
