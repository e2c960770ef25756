//! What is counted of a plugin. Each worker writes counters of its own; readers add them up.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use torana_extend::Histogram;

/// Upper bounds of the histogram, in microseconds.
const BOUNDS: [u64; 13] = [1, 2, 5, 10, 25, 50, 100, 250, 1_000, 5_000, 25_000, 100_000, 1_000_000];
/// Figures of its own that a plugin may have.
const MAX_FIGURES: usize = 64;

/// Which of `slots` belongs to this thread. Workers are started once, so that each has one for itself.
pub(crate) fn slot(slots: usize) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<usize> = const { Cell::new(usize::MAX) });
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Relaxed));
        }
        mine.get() % slots
    })
}

/// Which function of a plugin is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    OnRequest,
    OnRequestBody,
    OnResponse,
    OnResponseBody,
    Matches,
    Pick,
    Poll,
    Present,
    CleanUp,
    /// A request to a service.
    Handle,
    /// An instance that could not be made for a call.
    Start,
}

/// Names of the hooks, in their order, as they stand in the WIT package.
pub(crate) const HOOKS: [&str; 11] = [
    "on-request",
    "on-request-body",
    "on-response",
    "on-response-body",
    "matches",
    "pick",
    "poll",
    "present",
    "clean-up",
    "handle",
    "start",
];

/// Calls by hook.
pub(crate) type HookCalls = [u64; HOOKS.len()];

#[derive(Default)]
#[repr(align(128))]
struct Counters {
    calls: [AtomicU64; HOOKS.len()],
    traps: AtomicU64,
    deadline_hits: AtomicU64,
    refused: AtomicU64,
    /// Answers of its own with a status of 500 and above.
    bad_answers: AtomicU64,
    nanos: AtomicU64,
    buckets: [AtomicU64; BOUNDS.len()],
    instances: AtomicI64,
    memory: AtomicI64,
}

/// Counts of one version of a plugin.
pub(crate) struct Stats {
    slots: Box<[Counters]>,
}

/// Added up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) calls: u64,
    pub(crate) hooks: HookCalls,
    pub(crate) traps: u64,
    pub(crate) deadline_hits: u64,
    pub(crate) refused: u64,
    pub(crate) bad_answers: u64,
    nanos: u64,
    buckets: [u64; BOUNDS.len()],
    pub(crate) instances: i64,
    pub(crate) memory: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Good,
    BadAnswer,
    Trap,
    Deadline,
}

impl Stats {
    pub(crate) fn new(slots: usize) -> Stats {
        Stats { slots: (0..slots.max(1)).map(|_| Counters::default()).collect() }
    }

    fn mine(&self) -> &Counters {
        &self.slots[slot(self.slots.len())]
    }

    pub(crate) fn call(&self, hook: Hook, took: Duration, outcome: Outcome) {
        let c = self.mine();
        c.calls[hook as usize].fetch_add(1, Relaxed);
        let nanos = took.as_nanos() as u64;
        c.nanos.fetch_add(nanos, Relaxed);
        if let Some(i) = BOUNDS.iter().position(|b| nanos <= b * 1000) {
            c.buckets[i].fetch_add(1, Relaxed);
        }
        match outcome {
            Outcome::Good => {}
            Outcome::BadAnswer => _ = c.bad_answers.fetch_add(1, Relaxed),
            Outcome::Trap => _ = c.traps.fetch_add(1, Relaxed),
            Outcome::Deadline => {
                c.traps.fetch_add(1, Relaxed);
                c.deadline_hits.fetch_add(1, Relaxed);
            }
        }
    }

    pub(crate) fn refused(&self) {
        self.mine().refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn instances(&self, by: i64) {
        self.mine().instances.fetch_add(by, Relaxed);
    }

    pub(crate) fn memory(&self, by: i64) {
        self.mine().memory.fetch_add(by, Relaxed);
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut t = Totals::default();
        for c in &self.slots {
            for (sum, n) in t.hooks.iter_mut().zip(&c.calls) {
                *sum += n.load(Relaxed);
            }
            t.traps += c.traps.load(Relaxed);
            t.deadline_hits += c.deadline_hits.load(Relaxed);
            t.refused += c.refused.load(Relaxed);
            t.bad_answers += c.bad_answers.load(Relaxed);
            t.nanos += c.nanos.load(Relaxed);
            t.instances += c.instances.load(Relaxed);
            t.memory += c.memory.load(Relaxed);
            for (sum, b) in t.buckets.iter_mut().zip(&c.buckets) {
                *sum += b.load(Relaxed);
            }
        }
        t.calls = t.hooks.iter().sum();
        t
    }
}

pub(crate) fn add_calls(sum: &mut HookCalls, more: &HookCalls) {
    sum.iter_mut().zip(more).for_each(|(sum, n)| *sum += n);
}

impl Totals {
    pub(crate) fn add(&mut self, o: &Totals) {
        self.calls += o.calls;
        add_calls(&mut self.hooks, &o.hooks);
        self.traps += o.traps;
        self.deadline_hits += o.deadline_hits;
        self.refused += o.refused;
        self.bad_answers += o.bad_answers;
        self.nanos += o.nanos;
        self.instances += o.instances;
        self.memory += o.memory;
        for (sum, b) in self.buckets.iter_mut().zip(&o.buckets) {
            *sum += b;
        }
    }

    /// Calls that went wrong.
    pub(crate) fn failures(&self) -> u64 {
        self.traps + self.bad_answers
    }

    pub(crate) fn histogram(&self) -> Histogram {
        let mut below = 0;
        let buckets = BOUNDS.iter().zip(&self.buckets).map(|(bound, n)| {
            below += n;
            (*bound as f64 / 1e6, below)
        });
        Histogram { buckets: buckets.collect(), count: self.calls, sum: self.nanos as f64 / 1e9 }
    }
}

/// Figures that a plugin keeps through the `metrics` interface. They outlive its versions.
#[derive(Default)]
pub(crate) struct OwnMetrics {
    figures: Mutex<BTreeMap<String, f64>>,
}

impl OwnMetrics {
    fn with(&self, name: &str, change: impl FnOnce(&mut f64)) {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(f) = figures.get_mut(name) {
            return change(f);
        }
        let well_named = name.len() <= 100
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if well_named && figures.len() < MAX_FIGURES {
            change(figures.entry(name.to_owned()).or_default());
        } else {
            *figures.entry("dropped".to_owned()).or_default() += 1.0;
        }
    }

    pub(crate) fn add(&self, name: &str, by: f64) {
        self.with(name, |f| *f += by);
    }

    pub(crate) fn set(&self, name: &str, value: f64) {
        self.with(name, |f| *f = value);
    }

    pub(crate) fn all(&self) -> BTreeMap<String, f64> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_fall_into_buckets() {
        let s = Stats::new(2);
        s.call(Hook::OnRequest, Duration::from_nanos(900), Outcome::Good);
        s.call(Hook::OnResponse, Duration::from_micros(3), Outcome::Trap);
        s.call(Hook::OnResponse, Duration::from_secs(9), Outcome::Deadline);
        let t = s.totals();
        assert_eq!((t.hooks[Hook::OnRequest as usize], t.hooks[Hook::OnResponse as usize]), (1, 2));
        assert_eq!(HOOKS[Hook::Start as usize], "start");
        assert_eq!((t.calls, t.traps, t.deadline_hits, t.failures()), (3, 2, 1, 2));
        let h = t.histogram();
        assert_eq!(h.buckets[0], (1e-6, 1));
        assert_eq!(h.buckets[2], (5e-6, 2));
        assert_eq!(h.buckets.last(), Some(&(1.0, 2)));
        assert_eq!(h.count, 3);
    }

    #[test]
    fn figures_are_bounded() {
        let m = OwnMetrics::default();
        m.add("Bad Name", 1.0);
        (0..100).for_each(|i| m.add(&format!("n{i}"), 1.0));
        m.set("n0", 7.5);
        let all = m.all();
        assert_eq!(all.len(), MAX_FIGURES);
        assert_eq!((all["n0"], all["dropped"]), (7.5, 1.0 + 100.0 - 63.0));
    }
}
