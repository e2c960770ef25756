use arc_swap::ArcSwap;
use http::HeaderValue;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use torana_http::{Endpoint, Step};
use torana_router::RouteTable;
use torana_telemetry::metrics::Scope;
use torana_tls::acme::{Challenges, OnDemandNames, Waiting};

use crate::secure::{Handshake, Secure};
use crate::trace::Verbosity;

/// A compiled router.
pub struct Router {
    /// `name@provider`; of one behind others, the names of all on the way to it: `a@file -> b@file`.
    pub name: Arc<str>,
    pub steps: Vec<Step>,
    pub service: Arc<dyn Endpoint>,
    /// For rules that no user wrote: what `X-Traefik-Router` says behind this router. A request that brings it
    /// has been here, and is refused before it goes round for ever.
    pub recursion_mark: Option<HeaderValue>,
    /// Escaped characters that are refused, as bits of `torana_http::path::encoded`.
    pub denied_escapes: u8,
    /// Qualified name of the TLS options that the connection must have been opened with; `None` without TLS.
    pub tls_options: Option<Arc<str>>,
    /// Its requests are logged, if any are.
    pub logged: bool,
    /// Its service is a [`crate::Layer`].
    pub layered: bool,
    /// Its requests are measured, if anything is.
    pub metered: bool,
    /// Where they are counted by router; `None` without `addRoutersLabels`.
    pub meter: Option<Arc<Scope>>,
    /// `None`: its requests are not traced.
    pub traced: Option<Verbosity>,
}

/// Everything that is served, at one moment. A request sees one snapshot from its first byte to its last.
#[derive(Default)]
pub struct Snapshot {
    pub generation: u64,
    /// Without TLS, by name of entry point; one that is missing has no routers.
    pub routes: FxHashMap<Arc<str>, RouteTable<Arc<Router>>>,
    /// With TLS, by name of entry point.
    pub secure: FxHashMap<Arc<str>, Secure>,
    /// By qualified name of the options; those that cannot be used are not among them.
    pub handshakes: Arc<FxHashMap<Arc<str>, Arc<Handshake>>>,
    /// The options `default`, for names that no router names; `None` if they cannot be used.
    pub default_handshake: Option<Arc<Handshake>>,
    /// Answers to the TLS-ALPN challenges of ACME (RFC 8737), if some resolver uses them.
    pub challenges: Option<Arc<Challenges>>,
    /// Who orders certificates when a handshake asks for them, by name of entry point.
    pub on_demand: FxHashMap<Arc<str>, OnDemandNames>,
    pub tcp: crate::tcp::TcpEntryPoints,
    /// The one router of each UDP entry point that has any.
    pub udp: FxHashMap<Arc<str>, Arc<crate::udp::UdpRouter>>,
}

impl Snapshot {
    /// Sees to a certificate for a name of which the store has none, where somebody orders on demand; what there is
    /// to wait for.
    pub(crate) fn demand(&self, entry_point: &str, sni: &str, handshake: &Handshake) -> Option<Waiting> {
        let names = self.on_demand.get(entry_point)?;
        // What a router names is ordered without being asked for.
        let named = self.secure.get(entry_point).is_some_and(|s| s.exact.contains_key(sni));
        if named || handshake.store.find(Some(sni), None).is_some() { None } else { names.demand(sni) }
    }
}

/// The current snapshot.
#[derive(Clone)]
pub struct Live(Arc<ArcSwap<Snapshot>>);

impl Default for Live {
    fn default() -> Self {
        Live(Arc::new(ArcSwap::from_pointee(Snapshot::default())))
    }
}

impl Live {
    /// Makes a snapshot visible to every request that begins from now on.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.0.store(snapshot);
    }

    pub fn current(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }
}

/// A snapshot held by one worker.
pub(crate) struct Held(Arc<Snapshot>);

impl std::ops::Deref for Held {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

/// A worker's view: requests count references on memory of their own worker, not on shared memory.
pub(crate) struct View {
    live: Live,
    held: RefCell<Rc<Held>>,
}

impl View {
    pub(crate) fn new(live: Live) -> Self {
        let held = RefCell::new(Rc::new(Held(live.current())));
        View { live, held }
    }

    pub(crate) fn current(&self) -> Rc<Held> {
        let now = self.live.0.load();
        let mut held = self.held.borrow_mut();
        if !Arc::ptr_eq(&now, &held.0) {
            *held = Rc::new(Held(arc_swap::Guard::into_inner(now)));
        }
        held.clone()
    }
}

/// The mark of a router in `X-Traefik-Router`: 64-bit FNV-1 of its name, in hex.
pub fn recursion_mark(router: &str) -> Option<HeaderValue> {
    let hash = router.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| h.wrapping_mul(0x100_0000_01b3) ^ u64::from(b));
    HeaderValue::try_from(format!("{hash:016x}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of FNV's authors.
    #[test]
    fn marks_are_fnv() {
        assert_eq!(recursion_mark("a").unwrap(), "af63bd4c8601b7be");
        assert_eq!(recursion_mark("foobar").unwrap(), "340d8765a4dda9c2");
    }
}
