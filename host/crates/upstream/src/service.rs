//! Services: what stands at the end of a router's chain.

use crate::balance::{Balancer, External, OwnedPick, Pick, StickyCookie, Strategy};
use crate::forward::{Options, forward};
use crate::meter::{Attempt, ServiceMeter};
use crate::target::Target;
use http::header::SET_COOKIE;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use torana_http::{Body, Endpoint, ErrorKind, Exchange, LocalFuture, Origin, ProxyError, Response, respond};

/// A server of a load balancer.
pub struct Server {
    /// URL as configured: its name in the API and in the sticky cookie.
    pub url: Arc<str>,
    pub target: Arc<Target>,
    /// What goes before the request's path; empty unless `preservePath`.
    pub prefix: String,
}

/// `loadBalancer`
pub struct LoadBalancer {
    /// `name@provider`
    pub name: Arc<str>,
    pub balancer: Arc<Balancer>,
    pub servers: Vec<Server>,
    pub sticky: Option<StickyCookie>,
    pub options: Options,
    pub health: Option<crate::health::HealthCheck>,
    /// Chooses in place of the balancer's own strategy; a sticky cookie goes before.
    pub external: Option<Arc<dyn External>>,
    /// Where its requests are counted, if they are.
    pub meter: Option<ServiceMeter>,
    /// By server: the health check has looked at it.
    checked: Box<[AtomicBool]>,
    /// Ends the health check when no snapshot holds this service any more.
    checking: Mutex<Option<tokio::task::AbortHandle>>,
}

/// `weighted`
pub struct Weighted {
    pub name: Arc<str>,
    pub balancer: Arc<Balancer>,
    pub children: Vec<Arc<dyn Endpoint>>,
    pub sticky: Option<StickyCookie>,
}

fn no_server() -> Response {
    respond::proxy_error(ProxyError::server(ErrorKind::NoServer, false, "no server is up"))
}

/// Where a request goes, and the cookie index to set, if one is to be set.
fn choose(
    balancer: &Balancer,
    external: Option<&dyn External>,
    sticky: Option<&StickyCookie>,
    exchange: &Exchange,
) -> Option<(OwnedPick, Option<usize>)> {
    if let Some(cookie) = sticky
        && let Some((index, rewrite)) = cookie.read(&exchange.request.headers)
        && let Some(pick) = balancer.pick_index(index)
    {
        return Some((pick.into_owned(), rewrite.then_some(index)));
    }
    let pick = match external {
        Some(e) => balancer.pick_index(e.choose(exchange, balancer)?)?,
        None => balancer.pick(exchange.peer.ip())?,
    };
    let pick = pick.into_owned();
    let index = pick.index;
    Some((pick, sticky.map(|_| index)))
}

fn set_cookie(response: &mut Response, sticky: Option<&StickyCookie>, index: Option<usize>) {
    if let (Some(cookie), Some(index)) = (sticky, index)
        && let Some(value) = cookie.set_cookie(index)
    {
        // Before what the server sets: Traefik writes it when it chooses, which is earlier.
        let headers = response.headers_mut();
        let others: Vec<_> = headers.get_all(SET_COOKIE).iter().cloned().collect();
        headers.insert(SET_COOKIE, value);
        for other in others {
            headers.append(SET_COOKIE, other);
        }
    }
}

impl LoadBalancer {
    pub fn new(
        name: Arc<str>,
        balancer: Arc<Balancer>,
        servers: Vec<Server>,
        sticky: Option<StickyCookie>,
        options: Options,
        health: Option<crate::health::HealthCheck>,
    ) -> Self {
        let checked = servers.iter().map(|_| AtomicBool::new(false)).collect();
        LoadBalancer { name, balancer, servers, sticky, options, health, external: None, meter: None, checked, checking: Mutex::default() }
    }

    /// Ends the health check; what is known of the servers stays.
    pub fn deactivate(&self) {
        if let Some(task) = self.checking.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }

    /// What the health check has found of a server; `None` before its first look.
    pub fn found_up(&self, index: usize) -> Option<bool> {
        self.checked.get(index).filter(|c| c.load(Relaxed)).map(|_| self.balancer.is_up(index))
    }

    pub(crate) fn note_checked(&self, index: usize) {
        if let Some(c) = self.checked.get(index) {
            c.store(true, Relaxed);
        }
    }

    /// Goes on with what the health check of an earlier configuration has looked at.
    pub fn take_over_checks(&self, before: &LoadBalancer) {
        for (server, checked) in self.servers.iter().zip(&self.checked) {
            let known = before.servers.iter().position(|s| s.url == server.url).is_some_and(|i| before.found_up(i).is_some());
            checked.store(known, Relaxed);
        }
    }

    /// Starts the health check, once, on the current thread's local runtime.
    pub fn activate(self: &Arc<Self>) {
        let mut checking = self.checking.lock().unwrap_or_else(PoisonError::into_inner);
        if self.health.is_some() && checking.is_none() {
            *checking = Some(tokio::task::spawn_local(crate::health::run(Arc::downgrade(self))).abort_handle());
        }
    }
}

/// How many servers a request is offered to.
const MOST_SERVERS: usize = 4;

impl LoadBalancer {
    /// A server for a request that reached none of those that were tried.
    fn another(&self, error: &ProxyError, exchange: &Exchange, tried: &[usize]) -> Option<OwnedPick> {
        if !self.options.redispatch
            || !error.retry
            || !matches!(error.kind, ErrorKind::Unreachable | ErrorKind::Timeout)
            || tried.len() >= MOST_SERVERS
        {
            return None;
        }
        let chosen = self.balancer.pick(exchange.peer.ip()).filter(|p| !tried.contains(&p.index)).map(Pick::into_owned);
        // By its own rule the balancer may name the same one again and again.
        chosen.or_else(|| {
            let candidates = self.balancer.candidates();
            let start = fastrand::usize(..candidates.len().max(1));
            let mut others = (start..candidates.len()).chain(0..start).filter(|i| !tried.contains(i) && !candidates[*i].fenced);
            others.find_map(|i| self.balancer.pick_index(i)).map(Pick::into_owned)
        })
    }
}

impl LoadBalancer {
    fn origin(&self, server: &Server) -> Origin {
        Origin {
            service: self.name.clone(),
            url: server.url.clone(),
            address: server.target.authority.clone(),
            started: Instant::now(),
            answered: false,
            size: None,
        }
    }
}

impl Drop for LoadBalancer {
    fn drop(&mut self) {
        self.deactivate();
    }
}

impl Endpoint for LoadBalancer {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let Some((mut pick, mut cookie)) = choose(&self.balancer, self.external.as_deref(), self.sticky.as_ref(), exchange) else {
                return no_server();
            };
            let attempt = self.meter.as_ref().filter(|_| exchange.metered).map(|m| Attempt::begin(m, exchange));
            let mut tried: SmallVec<[usize; MOST_SERVERS]> = SmallVec::new();
            let mut response = loop {
                let Some(server) = self.servers.get(pick.index) else { return no_server() };
                if exchange.logged {
                    exchange.origin = Some(self.origin(server));
                }
                match forward(exchange, &server.target, &server.prefix, self.options).await {
                    Ok(response) => {
                        pick.first_byte();
                        break response;
                    }
                    Err(error) => {
                        tried.push(pick.index);
                        let Some(next) = self.another(&error, exchange, &tried) else { break respond::proxy_error(error) };
                        pick = next;
                        cookie = self.sticky.is_some().then_some(pick.index);
                    }
                }
            };
            if let Some(origin) = &mut exchange.origin {
                origin.answered = true;
            }
            if let Some(attempt) = attempt {
                attempt.answered(&mut response, exchange);
            }
            let counts = self.external.is_some() || matches!(self.balancer.strategy(), Strategy::P2c | Strategy::LeastTime);
            if counts && matches!(response.body(), Body::Stream { .. }) {
                let body = std::mem::take(response.body_mut());
                let length = body.length();
                *response.body_mut() = Body::stream(Counted { body, _pick: pick }, length);
            }
            set_cookie(&mut response, self.sticky.as_ref(), cookie);
            response
        })
    }
}

impl Endpoint for Weighted {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let Some((pick, cookie)) = choose(&self.balancer, None, self.sticky.as_ref(), exchange) else { return no_server() };
            let Some(child) = self.children.get(pick.index) else { return no_server() };
            let mut response = child.serve(exchange).await;
            set_cookie(&mut response, self.sticky.as_ref(), cookie);
            response
        })
    }
}

/// A body whose server counts as busy until it ends.
struct Counted {
    body: Body,
    _pick: OwnedPick,
}

impl http_body::Body for Counted {
    type Data = bytes::Bytes;
    type Error = torana_http::BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<torana_http::Frame, torana_http::BodyError>>> {
        self.body.poll_frame(cx)
    }
}
