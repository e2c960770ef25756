//! After failures in a row a plugin rests: longer each time, up to a bound.

use crate::pool::Failure;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Failures in a row after which a plugin rests.
const PATIENCE: u32 = 5;
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(30);

pub(crate) struct Rest {
    failures: AtomicU32,
    /// Milliseconds since `born`.
    until: AtomicU64,
    born: Instant,
}

impl Rest {
    pub(crate) fn new() -> Rest {
        Rest { failures: AtomicU32::new(0), until: AtomicU64::new(0), born: Instant::now() }
    }

    /// Whether it rests now.
    pub(crate) fn rests(&self) -> bool {
        let until = self.until.load(Relaxed);
        until != 0 && (self.born.elapsed().as_millis() as u64) < until
    }

    /// Counts a failure and tells of it.
    pub(crate) fn failed(&self, plugin: &str, failure: &Failure) {
        let row = self.failures.fetch_add(1, Relaxed) + 1;
        if row >= PATIENCE {
            let rest = FIRST_REST.saturating_mul(1 << (row - PATIENCE).min(16)).min(LONGEST_REST);
            self.until.store((self.born.elapsed() + rest).as_millis() as u64, Relaxed);
            tracing::error!(target: "plugin", plugin, failures = row, "{failure}; it rests for {rest:?}");
        } else {
            tracing::error!(target: "plugin", plugin, "{failure}");
        }
    }

    pub(crate) fn succeeded(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
            self.until.store(0, Relaxed);
        }
    }
}
