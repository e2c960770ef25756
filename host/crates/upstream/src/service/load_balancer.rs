use super::{choose, no_server, set_cookie};
use crate::balance::{Balancer, External, OwnedPick, Pick, StickyCookie, Strategy};
use crate::forward::{Options, forward};
use crate::meter::{Attempt, ServiceMeter};
use crate::passive::{Passive, PassiveHealthCheck};
use crate::spans;
use crate::target::Target;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use torana_http::{Body, Endpoint, ErrorKind, Exchange, LocalFuture, Origin, ProxyError, Response, Side, respond};

/// What the active health check has found of a server.
const NOTHING: u8 = 0;
const DOWN: u8 = 1;
const UP: u8 = 2;

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
    passive: Option<Passive>,
    /// By server: what the active health check has found.
    found: Box<[AtomicU8]>,
    /// Ends the health check when no snapshot holds this service any more.
    checking: Mutex<Option<tokio::task::AbortHandle>>,
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
        let found = servers.iter().map(|_| AtomicU8::new(NOTHING)).collect();
        LoadBalancer {
            name,
            balancer,
            servers,
            sticky,
            options,
            health,
            external: None,
            meter: None,
            passive: None,
            found,
            checking: Mutex::default(),
        }
    }

    /// Ends the health check; what is known of the servers stays.
    pub fn deactivate(&self) {
        if let Some(task) = self.checking.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }

    /// Leaves servers out that fail requests.
    pub fn watch(&mut self, check: PassiveHealthCheck) {
        self.passive = Some(Passive::new(check, self.servers.len()));
    }

    /// What the active health check has found of a server; `None` before its first look.
    pub fn found_up(&self, index: usize) -> Option<bool> {
        match self.found.get(index)?.load(Relaxed) {
            NOTHING => None,
            found => Some(found == UP),
        }
    }

    /// Whether a server is up, as far as any health check has said something of it.
    pub fn known_up(&self, index: usize) -> Option<bool> {
        let told = self.found_up(index).is_some() || self.passive.as_ref().is_some_and(|p| p.was_out(index));
        told.then(|| self.balancer.is_up(index))
    }

    /// Records what an active check has found of a server; true if that is news.
    pub fn found(&self, index: usize, up: bool) -> bool {
        if let Some(found) = self.found.get(index) {
            found.store(if up { UP } else { DOWN }, Relaxed);
        }
        self.balancer.set_up(index, up)
    }

    /// Goes on with what an earlier configuration has found out about the servers.
    pub fn take_over(&mut self, before: &LoadBalancer) {
        // Servers of the same URL are told apart by their order.
        let mut taken = vec![false; before.servers.len()];
        for (i, server) in self.servers.iter().enumerate() {
            let Some(j) = before.servers.iter().zip(&taken).position(|(s, taken)| !taken && s.url == server.url) else { continue };
            taken[j] = true;
            if self.health.is_some() {
                self.balancer.set_up(i, before.balancer.is_up(j));
                self.found[i].store(before.found[j].load(Relaxed), Relaxed);
            }
            if let (Some(passive), Some(before)) = (&mut self.passive, &before.passive) {
                passive.take_over(i, before, j, &self.balancer);
            }
        }
    }

    fn note(&self, index: usize, well: bool) {
        if let Some(passive) = &self.passive
            && passive.note(index, well, &self.balancer)
        {
            let url = self.servers.get(index).map_or("", |s| &*s.url);
            tracing::warn!(serviceName = &*self.name, server = url, "server is left out for a while: requests to it have failed");
        }
    }

    /// Starts the health check, once, on the current thread's local runtime.
    pub fn activate(self: &Arc<Self>) {
        if let Some(passive) = &self.passive {
            passive.resume(&self.balancer);
        }
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
            let depth = spans::enter(exchange, &self.name, attempt.is_some());
            let mut tried: SmallVec<[usize; MOST_SERVERS]> = SmallVec::new();
            let mut response = loop {
                let Some(server) = self.servers.get(pick.index) else { return no_server() };
                if exchange.logged {
                    exchange.origin = Some(self.origin(server));
                }
                match forward(exchange, &server.target, &server.prefix, self.options).await {
                    Ok(response) => {
                        pick.first_byte();
                        self.note(pick.index, response.status().as_u16() < 500);
                        break response;
                    }
                    Err(error) => {
                        if error.side == Side::Server {
                            self.note(pick.index, false);
                        }
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
            spans::leave(exchange, depth, &response);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Candidate;
    use crate::target::ServerUrl;
    use crate::transport::Transport;
    use std::time::Duration;

    fn service(urls: &[&str]) -> LoadBalancer {
        let transport = Arc::new(Transport::build(&Default::default()));
        let server = |url: &&str| {
            let target = Target::new(&url.parse::<ServerUrl>().unwrap(), transport.clone());
            Server { url: (*url).into(), target: Arc::new(target), prefix: String::new() }
        };
        let candidates = urls.iter().map(|url| Candidate { name: (*url).to_owned(), weight: 1, fenced: false });
        let balancer = Balancer::new(Strategy::Wrr, candidates.collect());
        let options = Options { pass_host_header: true, redispatch: false };
        let mut service = LoadBalancer::new("s@file".into(), Arc::new(balancer), urls.iter().map(server).collect(), None, options, None);
        // With an active check no server is brought back, which needs a runtime.
        service.watch(PassiveHealthCheck { window: Duration::from_secs(60), attempts: 1, active: true });
        service
    }

    #[test]
    fn a_reload_tells_servers_of_the_same_url_apart() {
        let before = service(&["http://a", "http://b", "http://a"]);
        before.note(2, false);
        let mut after = service(&["http://a", "http://a", "http://a", "http://b"]);
        after.take_over(&before);
        let passive = after.passive.as_ref().unwrap();
        assert_eq!([0, 1, 2, 3].map(|i| passive.was_out(i)), [false, true, false, false]);
        // What happens to one of them is no matter of the others.
        after.note(0, false);
        assert_eq!([0, 1, 2, 3].map(|i| passive.was_out(i)), [true, true, false, false]);
    }
}
