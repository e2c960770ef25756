//! Servers that authenticate a connection instead of each request (NTLM, Negotiate; RFC 4559, 6): once one has said so,
//! the client's connection has connections to servers of its own. With shared ones, a client would go on as another.

use crate::pool;
use crate::target::Target;
use crate::transport::Transport;
use http::HeaderMap;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use torana_http::{Peer, Response};

/// Targets of one client's connection, through one transport.
struct Pinned {
    /// Held, so that no other has its address.
    transport: Arc<Transport>,
    /// By the target that all others use.
    targets: RefCell<Vec<(u64, Arc<Target>)>>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.targets.get_mut().iter().for_each(|(_, own)| pool::forget(own));
    }
}

fn key(transport: &Arc<Transport>) -> usize {
    Arc::as_ptr(transport) as usize
}

/// The target that the client's connection has for itself, if it is to have one.
pub(crate) fn own(peer: &Peer, target: &Arc<Target>) -> Option<Arc<Target>> {
    let pinned = peer.attached.get::<Pinned>(key(&target.transport))?;
    let mut targets = pinned.targets.borrow_mut();
    if let Some((_, own)) = targets.iter().find(|(id, _)| *id == target.id) {
        return Some(own.clone());
    }
    let own = Arc::new(target.again());
    targets.push((target.id, own.clone()));
    Some(own)
}

/// Looks whether a server that all share authenticates connections.
pub(crate) fn look(peer: &Peer, target: &Arc<Target>, response: &Response) {
    let mut challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
    if challenges.any(|c| is_of_connections(c.as_bytes())) {
        pin(peer, target);
    }
}

/// Looks whether a client authenticates a connection unasked, as one with a ticket of Kerberos does: it must not be one
/// that others go on with.
pub(crate) fn foresee(peer: &Peer, target: &Arc<Target>, request: &HeaderMap) {
    if request.get_all(AUTHORIZATION).iter().any(|v| is_of_connections(v.as_bytes())) {
        pin(peer, target);
    }
}

fn pin(peer: &Peer, target: &Arc<Target>) {
    // Streams of one connection may learn of it at once.
    if peer.attached.get::<Pinned>(key(&target.transport)).is_none() {
        let pinned = Pinned { transport: target.transport.clone(), targets: RefCell::default() };
        peer.attached.keep(key(&pinned.transport), Rc::new(pinned));
    }
}

/// The scheme of a challenge stands before the first space, in any case (RFC 9110, 11.1).
fn is_of_connections(challenge: &[u8]) -> bool {
    let scheme = challenge.split(|b| *b == b' ').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"NTLM") || scheme.eq_ignore_ascii_case(b"Negotiate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes() {
        for (challenge, connections) in
            [("NTLM", true), ("ntlm TlRM", true), ("Negotiate oYG", true), ("Basic realm=\"NTLM\"", false), ("NTLMx", false), ("", false)]
        {
            assert_eq!(is_of_connections(challenge.as_bytes()), connections, "{challenge}");
        }
    }

    #[test]
    fn who_authenticates_unasked_has_its_own_at_once() {
        let target = Arc::new(Target::new(&"http://a:1".parse().unwrap(), Arc::new(Transport::build(&Default::default()))));
        let at = "127.0.0.1:1".parse().unwrap();
        for (value, pinned) in [("Negotiate YII", true), ("NTLM TlRM", true), ("Basic YTpi", false)] {
            let peer = Peer::new(at, at, None, "web".into(), false);
            foresee(&peer, &target, &HeaderMap::from_iter([(AUTHORIZATION, http::HeaderValue::from_static(value))]));
            assert_eq!(own(&peer, &target).is_some(), pinned, "{value}");
        }
    }

    #[test]
    fn each_client_has_its_own() {
        let transport = |_| Arc::new(Transport::build(&Default::default()));
        let [used, other] = [0, 1].map(transport);
        let target = |t: &Arc<Transport>| Arc::new(Target::new(&"http://a:1".parse().unwrap(), t.clone()));
        let at = "127.0.0.1:1".parse().unwrap();
        let [one, two] = [0, 1].map(|_| Peer::new(at, at, None, "web".into(), false));
        let (a, b, c) = (target(&used), target(&used), target(&other));
        assert!(own(&one, &a).is_none());
        let mut response = Response::default();
        look(&one, &a, &response);
        assert!(own(&one, &a).is_none());
        response.headers_mut().insert(WWW_AUTHENTICATE, http::HeaderValue::from_static("NTLM"));
        look(&one, &a, &response);
        look(&two, &a, &response);
        let mine = own(&one, &a).unwrap();
        assert!(mine.id != a.id && Arc::ptr_eq(&mine, &own(&one.stream(None), &a).unwrap()));
        // Of another server, for another client, and through a transport that has not been asked for it.
        assert!(own(&one, &b).unwrap().id != mine.id && own(&two, &a).unwrap().id != mine.id && own(&one, &c).is_none());
    }
}
