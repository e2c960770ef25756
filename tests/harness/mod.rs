//! What a test needs: a [`Gateway`] (the real binary), [`Backend`]s that record what they saw, and a client
//! that shows bytes as they are ([`Conn`]).
//!
//! ```ignore
//! let backend = Backend::named("a");
//! let gateway = Gateway::start(&route("Path(`/`)", &[&backend.url()]));
//! assert_eq!(gateway.get("/").text(), "a");
//! ```
//!
//! No test sleeps: it waits for an event, or asks again until a deadline ([`eventually`]).

mod backend;
mod browser;
mod client;
mod collector;
mod gateway;
mod guests;
mod h2;
mod h3;
mod https;
pub(crate) mod l4;
mod message;
mod peer;
mod pki;

pub(crate) use backend::{Backend, Raw, Reply};
pub(crate) use browser::Browser;
pub(crate) use client::{Conn, Response};
pub(crate) use collector::{collector, grpc_collector, messages};
pub(crate) use gateway::{Gateway, Setup, binary, command, run};
pub(crate) use guests::{Guests, first_party, greeter, guests, http_wasm, python_packages, retouched, toolchains};
pub(crate) use h2::h2_request;
pub(crate) use h3::{H3Conn, answer, exchange};
pub(crate) use https::{TlsClient, TlsConn};
pub(crate) use message::Request;
pub(crate) use peer::{Peer, quantile, traefik};
pub(crate) use pki::{Pair, Pki};

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long anything that is expected may take. Generous: two slow cores run all tests at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Asks until the answer is there; panics with `what` when it does not come.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, ask)
}

/// [`eventually`] with a deadline of its own.
#[track_caller]
pub(crate) fn within<T>(time: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        // The last look is one after the deadline, so that a stalled machine is not to blame.
        let over = begin.elapsed() > time;
        if let Some(t) = ask() {
            return t;
        }
        assert!(!over, "not within {time:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// An address on which nobody listens now, outside the range from which the kernel gives ports away.
pub(crate) fn free_port() -> u16 {
    use std::hash::{BuildHasher, RandomState};
    loop {
        let port = 10_000 + (RandomState::new().hash_one(std::process::id()) % 22_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// `http.routers.r` with a rule, and a service `s` with servers.
pub(crate) fn route(rule: &str, servers: &[&str]) -> String {
    format!("http:\n  routers:\n    r: {{rule: '{rule}', service: s}}\n{}", service("s", servers))
}

/// `  services:` with one load balancer, to stand below `http:`.
pub(crate) fn service(name: &str, servers: &[&str]) -> String {
    let servers: String = servers.iter().map(|s| format!("{{url: \"{s}\"}}, ")).collect();
    format!("  services:\n    {name}: {{loadBalancer: {{servers: [{servers}]}}}}\n")
}

/// A door that is shut until it is opened, once.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *lock(&self.open) = true;
        self.changed.notify_all();
    }

    pub(crate) fn wait(&self) {
        let (open, _) = self.changed.wait_timeout_while(lock(&self.open), PATIENCE, |open| !*open).unwrap_or_else(PoisonError::into_inner);
        assert!(*open, "a gate stayed shut");
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
