//! CPU time of a component that waits again and again: `limits.deadline` is for what it does between two waits.

use crate::engine::TICK;
use crate::state::State;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use wasmtime::{Store, UpdateDeadline};

/// Since when a component runs without having waited, and how long it may.
pub(crate) struct Turn {
    born: Instant,
    /// Nanoseconds after `born`.
    since: AtomicU64,
    /// Nanoseconds.
    allowed: AtomicU64,
}

impl Default for Turn {
    fn default() -> Turn {
        Turn { born: Instant::now(), since: AtomicU64::new(0), allowed: AtomicU64::new(0) }
    }
}

impl Turn {
    fn now(&self) -> u64 {
        self.born.elapsed().as_nanos() as u64
    }

    /// What is left of it.
    fn left(&self) -> Duration {
        let ran = self.now().saturating_sub(self.since.load(Relaxed));
        Duration::from_nanos(self.allowed.load(Relaxed).saturating_sub(ran))
    }
}

fn ticks(left: Duration) -> u64 {
    (left.as_nanos() / TICK.as_nanos()) as u64 + 1
}

/// From here on it may run for `allowed` at a stretch.
pub(crate) fn allow(store: &mut Store<State>, allowed: Duration) {
    let turn = &store.data().hooks.turn;
    turn.allowed.store(allowed.as_nanos() as u64, Relaxed);
    turn.since.store(turn.now(), Relaxed);
    store.set_epoch_deadline(ticks(allowed));
    store.epoch_deadline_callback(|s| {
        let left = s.data().hooks.turn.left();
        Ok(if left.is_zero() { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(ticks(left)) })
    });
}

/// A future that runs the component: each time it is polled, a new stretch begins.
pub(crate) struct Turns<'a, T> {
    pub(crate) turn: Arc<Turn>,
    pub(crate) future: Pin<Box<dyn Future<Output = T> + Send + 'a>>,
}

impl<T> Future for Turns<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.turn.since.store(self.turn.now(), Relaxed);
        self.future.as_mut().poll(cx)
    }
}
