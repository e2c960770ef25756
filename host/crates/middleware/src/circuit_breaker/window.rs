//! Counts of the last ten seconds, by second.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

const SECONDS: u64 = 10;

thread_local! {
    /// Which cell a thread counts in; two that share one count right all the same.
    static CELL: usize = {
        let mut hasher = DefaultHasher::new();
        thread::current().id().hash(&mut hasher);
        hasher.finish() as usize
    };
}

/// Counters that each thread keeps in a cell of its own, and that are summed when somebody asks.
#[derive(Debug)]
pub(super) struct Window {
    cells: Box<[Cell]>,
    /// Counts of an earlier round are void.
    round: AtomicU64,
}

/// On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Cell {
    seconds: [Second; SECONDS as usize],
}

#[derive(Debug)]
struct Second {
    /// Of which round and second the counts are.
    mark: AtomicU64,
    counts: Box<[AtomicU64]>,
}

impl Window {
    /// With this many counters.
    pub(super) fn new(counters: usize) -> Self {
        let second = |_| Second { mark: AtomicU64::new(0), counts: (0..counters).map(|_| AtomicU64::new(0)).collect() };
        let cells = thread::available_parallelism().map_or(1, usize::from).saturating_mul(2);
        Window { cells: (0..cells).map(|_| Cell { seconds: std::array::from_fn(second) }).collect(), round: AtomicU64::new(1) }
    }

    fn mark(&self, second: u64) -> u64 {
        (self.round.load(Relaxed) << 40) | second
    }

    /// Adds one to each of `counters`.
    pub(super) fn add(&self, now: Duration, counters: impl Iterator<Item = usize>) {
        let cell = &self.cells[CELL.with(|c| *c) % self.cells.len()];
        let slot = &cell.seconds[(now.as_secs() % SECONDS) as usize];
        let mark = self.mark(now.as_secs());
        if slot.mark.swap(mark, Relaxed) != mark {
            slot.counts.iter().for_each(|c| c.store(0, Relaxed));
        }
        for counter in counters {
            if let Some(count) = slot.counts.get(counter) {
                count.fetch_add(1, Relaxed);
            }
        }
    }

    pub(super) fn sum(&self, now: Duration, counter: usize) -> u64 {
        let (oldest, newest) = (self.mark(now.as_secs().saturating_sub(SECONDS - 1)), self.mark(now.as_secs()));
        let slots = self.cells.iter().flat_map(|c| &c.seconds);
        let current = slots.filter(|s| (oldest..=newest).contains(&s.mark.load(Relaxed)));
        current.filter_map(|s| s.counts.get(counter)).map(|c| c.load(Relaxed)).sum()
    }

    pub(super) fn reset(&self) {
        self.round.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_after_ten_seconds() {
        let w = Window::new(2);
        let at = |s: f64| Duration::from_secs_f64(s);
        w.add(at(0.5), [0, 1].into_iter());
        w.add(at(3.0), [0].into_iter());
        assert_eq!((w.sum(at(9.9), 0), w.sum(at(9.9), 1)), (2, 1));
        assert_eq!((w.sum(at(10.0), 0), w.sum(at(10.0), 1)), (1, 0));
        // The same place, ten seconds later.
        w.add(at(10.1), [0].into_iter());
        assert_eq!(w.sum(at(10.2), 0), 2);
        w.reset();
        assert_eq!(w.sum(at(10.2), 0), 0);
        w.add(at(10.3), [0].into_iter());
        assert_eq!(w.sum(at(10.3), 0), 1);
    }

    #[test]
    fn all_threads_count() {
        let w = Window::new(1);
        thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| (0..1000).for_each(|_| w.add(Duration::from_secs(1), std::iter::once(0))));
            }
        });
        // Two that share a cell may lose what they count while one begins a new second.
        assert!((7900..=8000).contains(&w.sum(Duration::from_secs(1), 0)));
    }
}
