use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time that plugins see: the real one, or one that a test turns.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Nanoseconds since 1970, for both clocks.
    fixed: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// A clock that stands still until [`Clock::advance`].
    pub fn fixed(now: SystemTime) -> Self {
        let nanos = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        Clock { fixed: Some(Arc::new(AtomicU64::new(nanos))) }
    }

    /// Turns a fixed clock; does nothing to the real one.
    pub fn advance(&self, by: Duration) {
        if let Some(f) = &self.fixed {
            f.fetch_add(by.as_nanos() as u64, Relaxed);
        }
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub(crate) fn now(&self) -> u64 {
        match &self.fixed {
            Some(f) => f.load(Relaxed),
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64,
        }
    }

    /// Nanoseconds that never go back.
    pub(crate) fn monotonic(&self) -> u64 {
        match &self.fixed {
            Some(f) => f.load(Relaxed),
            None => start().elapsed().as_nanos() as u64,
        }
    }
}

fn start() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}

impl wasmtime_wasi::HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(Clock::now(self))
    }
}

impl wasmtime_wasi::HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.monotonic()
    }
}
