//! The time, as plugins and their store of values see it: that of the machine, or one that a test turns.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// What the plugins of a process take for the time.
#[derive(Clone, Default)]
pub(crate) enum Clock {
    #[default]
    System,
    Turned(TurnedClock),
}

/// A clock that stands still until it is turned.
#[derive(Clone)]
pub(crate) struct TurnedClock {
    start: u64,
    /// Nanoseconds since 1970.
    now: Arc<AtomicU64>,
}

impl TurnedClock {
    pub(crate) fn new(start: u64) -> Self {
        TurnedClock { start, now: Arc::new(AtomicU64::new(start)) }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.now.fetch_add(by.as_nanos() as u64, Relaxed);
    }

    fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    fn turned(&self) -> u64 {
        self.now() - self.start
    }
}

/// Nanoseconds since the process began to use plugins.
fn running() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

impl Clock {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub(crate) fn now(&self) -> u64 {
        match self {
            Clock::System => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64,
            Clock::Turned(t) => t.now(),
        }
    }

    /// Nanoseconds that never go back.
    pub(crate) fn monotonic(&self) -> u64 {
        match self {
            Clock::System => running(),
            Clock::Turned(t) => t.turned(),
        }
    }

    /// The clocks of WASI. Its monotonic one goes on by itself even when this one is turned by hand: the
    /// runtimes of some languages wait by it, and would wait for ever.
    pub(crate) fn give(&self, wasi: &mut WasiCtxBuilder) {
        if let Clock::Turned(t) = self {
            wasi.wall_clock(t.clone()).monotonic_clock(t.clone());
        }
    }
}

impl HostWallClock for TurnedClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(TurnedClock::now(self))
    }
}

impl HostMonotonicClock for TurnedClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        running() + self.turned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_clock_stands_still() {
        let turned = TurnedClock::new(1_000);
        let clock = Clock::Turned(turned.clone());
        assert_eq!((clock.now(), clock.monotonic()), (1_000, 0));
        turned.advance(Duration::from_nanos(7));
        assert_eq!((clock.now(), clock.monotonic()), (1_007, 7));
        assert!(Clock::System.now() > 1_600_000_000_000_000_000);
    }
}
