//! Connections to servers that wait for their next request. Each worker has its own: no lock, and a
//! connection never crosses a thread.

use crate::connect::Stream;
use crate::h2client::H2Connection;
use crate::target::Target;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use torana_http::h1::Io;

/// Workers of this process: idle connections are shared out among them.
static WORKERS: AtomicUsize = AtomicUsize::new(1);

pub fn set_workers(n: usize) {
    WORKERS.store(n.max(1), Ordering::Relaxed);
}

#[derive(Default)]
struct Host {
    /// The last one back is the first to leave: the others may grow idle and be closed.
    idle: Vec<(Io<Stream>, Instant)>,
    h2: Vec<H2Connection>,
    idle_timeout: Option<Duration>,
}

thread_local! {
    static HOSTS: RefCell<FxHashMap<u64, Host>> = RefCell::default();
}

/// A connection that is believed to be open.
pub(crate) fn take(target: &Target) -> Option<Io<Stream>> {
    HOSTS.with_borrow_mut(|hosts| {
        let host = hosts.get_mut(&target.id)?;
        while let Some((mut io, since)) = host.idle.pop() {
            if host.idle_timeout.is_none_or(|t| since.elapsed() < t) && is_quiet(&mut io) {
                return Some(io);
            }
        }
        None
    })
}

/// Nothing came on an idle connection: no end, and no bytes that nobody asked for.
fn is_quiet(io: &mut Io<Stream>) -> bool {
    io.read.is_empty() && matches!(io.poll_fill(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}

/// Keeps a connection whose last response was read to its end.
pub(crate) fn give(target: &Target, mut io: Io<Stream>) {
    let limit = match target.transport.max_idle {
        0 => return,
        n => n.div_ceil(WORKERS.load(Ordering::Relaxed)),
    };
    io.release();
    HOSTS.with_borrow_mut(|hosts| {
        let host = hosts.entry(target.id).or_default();
        host.idle_timeout = target.transport.idle_timeout;
        if host.idle.len() < limit {
            host.idle.push((io, Instant::now()));
        }
    });
}

/// Closes the connections of a target that nobody uses any more.
pub(crate) fn forget(target: &Target) {
    // Nothing is left where the thread ends.
    _ = HOSTS.try_with(|hosts| hosts.try_borrow_mut().map(|mut hosts| hosts.remove(&target.id)));
}

/// An HTTP/2 connection with room for another stream.
pub(crate) fn take_h2(target: &Target) -> Option<H2Connection> {
    HOSTS.with_borrow_mut(|hosts| {
        let host = hosts.get_mut(&target.id)?;
        host.h2.retain(|c| !c.is_closed());
        host.h2.iter().find(|c| c.has_room()).cloned()
    })
}

pub(crate) fn give_h2(target: &Target, connection: H2Connection) {
    HOSTS.with_borrow_mut(|hosts| {
        let host = hosts.entry(target.id).or_default();
        host.idle_timeout = target.transport.idle_timeout;
        host.h2.push(connection);
    });
}

/// Closes what was idle for too long. Each worker runs this every second.
pub fn sweep() {
    HOSTS.with_borrow_mut(|hosts| {
        hosts.retain(|_, host| {
            let limit = host.idle_timeout;
            host.idle.retain_mut(|(io, since)| limit.is_none_or(|t| since.elapsed() < t) && is_quiet(io));
            host.h2.retain(|c| !c.is_closed() && limit.is_none_or(|t| c.idle_for() < t));
            !host.idle.is_empty() || !host.h2.is_empty()
        });
    });
}
