//! What is known of names that asked for a certificate, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;

/// Names that were refused, at most; the oldest makes room.
const REFUSED: usize = 10_000;
/// Names for which an order failed, at most.
const FAILED: usize = 1_000;
/// Refusals that are shown.
const RECENT: usize = 20;

/// The newest entries of a map. The hash is keyed: clients choose the names.
#[derive(Debug)]
pub(super) struct Bounded<V> {
    all: HashMap<Box<str>, V>,
    /// In the order of their coming; a name may stand there more than once.
    order: VecDeque<Box<str>>,
    most: usize,
}

impl<V> Bounded<V> {
    fn new(most: usize) -> Self {
        Bounded { all: HashMap::new(), order: VecDeque::new(), most }
    }

    pub(super) fn insert(&mut self, name: &str, value: V) {
        self.all.insert(name.into(), value);
        self.order.push_back(name.into());
        while self.order.len() > self.most {
            if let Some(old) = self.order.pop_front() {
                self.all.remove(&old);
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&V> {
        self.all.get(name)
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<V> {
        self.all.remove(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Box<str>, &V)> {
        self.all.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

/// A name that is asked about or ordered. Those who wait hear of its end when it is dropped.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) over: watch::Sender<()>,
    /// When its certificate came, which is served with the next snapshot.
    pub(super) obtained: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) count: u32,
    pub(super) until: Instant,
    /// The same, for those who look at a clock.
    pub(super) next_at: SystemTime,
    pub(super) error: String,
    pub(super) error_type: Option<String>,
}

/// Lets `average` through in a `period`, and `burst` at once.
#[derive(Debug)]
pub(super) struct Rate {
    /// For one.
    each: Duration,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Rate {
    pub(super) fn new(average: u32, period: Duration, burst: u32, now: Instant) -> Self {
        Rate { each: period / average.max(1), burst: burst.into(), tokens: burst.into(), at: now }
    }

    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        self.tokens = (self.tokens + passed.as_secs_f64() / self.each.as_secs_f64().max(1e-9)).min(self.burst);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// Until there is one again, about.
    pub(super) fn each(&self) -> Duration {
        self.each
    }
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) pending: HashMap<Box<str>, Pending>,
    /// Until when.
    pub(super) refused: Bounded<Instant>,
    pub(super) failed: Bounded<Failure>,
    pub(super) recent: VecDeque<(Box<str>, &'static str)>,
    pub(super) asks: Rate,
    pub(super) orders: Rate,
}

impl Table {
    pub(super) fn new(asks: Rate, orders: Rate) -> Self {
        let (refused, failed) = (Bounded::new(REFUSED), Bounded::new(FAILED));
        Table { pending: HashMap::new(), refused, failed, recent: VecDeque::with_capacity(RECENT), asks, orders }
    }

    pub(super) fn note(&mut self, name: &str, why: &'static str) {
        self.recent.retain(|(n, _)| **n != *name);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((name.into(), why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room() {
        let mut b = Bounded::new(3);
        for n in ["a", "b", "a", "c", "d"] {
            b.insert(n, ());
        }
        let mut left: Vec<&str> = b.iter().map(|(n, ())| &**n).collect();
        left.sort_unstable();
        assert_eq!(left, ["c", "d"]);
        (0..10_000).for_each(|n| b.insert(&n.to_string(), ()));
        assert!(b.len() == 3 && b.order.len() == 3);
    }

    #[test]
    fn so_many_in_a_time() {
        let t = Instant::now();
        let at = |s: u64| t + Duration::from_secs(s);
        let mut r = Rate::new(2, Duration::from_secs(10), 3, t);
        assert_eq!(
            [0, 0, 0, 0, 4, 5, 5, 100, 100, 100, 100].map(|s| r.take(at(s))),
            [true, true, true, false, false, true, false, true, true, true, false]
        );
        // a clock that goes back
        assert!(!r.take(at(1)));
    }
}
