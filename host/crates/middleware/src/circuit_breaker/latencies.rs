//! Latencies in buckets of two significant digits, as Traefik's histogram (HDR) has them: six parts, a new one begun
//! by the first request ten seconds after the last was, so that about a minute is seen.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

const PARTS: usize = 6;
const PERIOD: Duration = Duration::from_secs(10);
/// Longer ones do not count.
const LONGEST: Duration = Duration::from_secs(3600);
const EXACT: u64 = 256;
const HALF: u64 = EXACT / 2;
/// Buckets up to `LONGEST`.
const BUCKETS: usize = 3328;

#[derive(Debug)]
pub(super) struct Latencies {
    parts: [Box<[AtomicU32]>; PARTS],
    current: AtomicUsize,
    /// When the current part was begun, in milliseconds of the breaker's clock.
    begun: AtomicU64,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Latencies {
            parts: std::array::from_fn(|_| (0..BUCKETS).map(|_| AtomicU32::new(0)).collect()),
            current: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
        }
    }

    pub(super) fn add(&self, now: Duration, latency: Duration) {
        let (now, begun) = (now.as_millis() as u64, self.begun.load(Relaxed));
        let due = now.saturating_sub(begun) >= PERIOD.as_millis() as u64;
        if due && self.begun.compare_exchange(begun, now, Relaxed, Relaxed).is_ok() {
            let next = (self.current.load(Relaxed) + 1) % PARTS;
            clear(&self.parts[next]);
            self.current.store(next, Relaxed);
        }
        if latency <= LONGEST
            && let Some(bucket) = self.parts[self.current.load(Relaxed) % PARTS].get(bucket_of(latency.as_micros() as u64))
        {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// The latency that this many percent do not exceed; zero if there is none.
    pub(super) fn quantile(&self, percent: f64) -> Duration {
        let count = |bucket: usize| self.parts.iter().map(|p| u64::from(p[bucket].load(Relaxed))).sum::<u64>();
        let total: u64 = (0..BUCKETS).map(count).sum();
        if total == 0 {
            return Duration::ZERO;
        }
        let wanted = (percent.min(100.0) / 100.0 * total as f64 + 0.5) as u64;
        let mut seen = 0;
        let found = (0..BUCKETS).find(|b| {
            seen += count(*b);
            seen > 0 && seen >= wanted
        });
        Duration::from_micros(found.map_or(0, longest_of))
    }

    pub(super) fn reset(&self, now: Duration) {
        self.parts.iter().for_each(|p| clear(p));
        self.begun.store(now.as_millis() as u64, Relaxed);
    }
}

fn clear(part: &[AtomicU32]) {
    part.iter().for_each(|c| c.store(0, Relaxed));
}

/// Up to `EXACT` microseconds each has its own; above, a doubling has `HALF` of them.
fn bucket_of(micros: u64) -> usize {
    if micros < EXACT {
        return micros as usize;
    }
    let shift = u64::from(micros.ilog2()) - u64::from(HALF.ilog2());
    (EXACT + (shift - 1) * HALF + ((micros >> shift) - HALF)) as usize
}

/// The longest time in a bucket, in microseconds.
fn longest_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < EXACT {
        return bucket;
    }
    let (shift, step) = ((bucket - EXACT) / HALF + 1, (bucket - EXACT) % HALF + HALF);
    ((step + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_one_percent() {
        assert!(bucket_of(LONGEST.as_micros() as u64) < BUCKETS);
        let mut last = 0;
        for micros in (0..2000).chain((2000..3_600_000_000).step_by(999_983)) {
            let bucket = bucket_of(micros);
            assert!(bucket >= last && longest_of(bucket) >= micros, "{micros}");
            assert!((longest_of(bucket) - micros) as f64 <= micros as f64 / 100.0, "{micros}");
            last = bucket;
        }
    }

    #[test]
    fn quantiles() {
        let l = Latencies::new();
        assert_eq!(l.quantile(50.0), Duration::ZERO);
        (1..=100).for_each(|ms| l.add(Duration::ZERO, Duration::from_millis(ms)));
        for (percent, ms) in [(50.0, 50), (99.0, 99), (100.0, 100), (200.0, 100), (0.0, 1)] {
            assert_eq!(l.quantile(percent).as_millis(), ms, "{percent}");
        }
        l.reset(Duration::ZERO);
        assert_eq!(l.quantile(50.0), Duration::ZERO);
        l.add(Duration::ZERO, Duration::from_secs(4000));
        assert_eq!(l.quantile(50.0), Duration::ZERO);
    }

    #[test]
    fn a_minute_is_seen_while_requests_come() {
        let l = Latencies::new();
        l.add(Duration::ZERO, Duration::from_millis(900));
        for s in [10, 20, 30, 40, 50] {
            l.add(Duration::from_secs(s), Duration::from_millis(1));
        }
        assert_eq!(l.quantile(100.0).as_millis(), 901);
        l.add(Duration::from_secs(60), Duration::from_millis(1));
        assert_eq!(l.quantile(100.0).as_millis(), 1);
    }
}
