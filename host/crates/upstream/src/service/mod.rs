//! Services: what stands at the end of a router's chain.

mod failover;
mod load_balancer;
mod mirroring;
mod weighted;

pub use failover::{Failover, FailoverErrors};
pub use load_balancer::{LoadBalancer, Server};
pub use mirroring::{Mirror, Mirroring};
pub use weighted::Weighted;

use crate::balance::{Balancer, External, OwnedPick, StickyCookie};
use http::header::SET_COOKIE;
use torana_http::{ErrorKind, Exchange, ProxyError, Response, respond};

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
