//! What is counted of one entry point, router or service. Each worker writes cells of its own; a scrape adds
//! them up. Nobody waits for anybody: the one lock of a shard is the worker's own and is touched only once
//! more kinds of requests were seen than there are slots, or for labels from headers.

use super::kind::Kind;
use rustc_hash::FxHashMap;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Kinds of requests that one worker counts without a lock, in the order of their first appearance.
const SLOTS: usize = 8;
/// Sets of header values per kind of request and worker; what comes after them is counted as [`OVERFLOW`].
const MAX_HEADER_SETS: usize = 2000;
/// Bytes of a header value that is kept as a label: clients choose them, and what was kept once stays.
const MAX_HEADER_VALUE: usize = 256;
/// In place of header values when there are too many, or one is too long.
pub(crate) const OVERFLOW: &str = "overflow";
/// Between header values; no header value has it.
pub(crate) const SEPARATOR: char = '\0';

thread_local!(static WORKER: Cell<usize> = const { Cell::new(usize::MAX) });

/// Makes this thread the worker `index`, the only one that writes that worker's cells. Threads that never
/// call it share one shard.
pub fn enter_worker(index: usize) {
    WORKER.with(|w| w.set(index));
}

/// The worker that this thread is; `usize::MAX` for other threads.
pub(crate) fn worker() -> usize {
    WORKER.with(Cell::get)
}

/// What all scopes of a process have in common.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Upper bounds of durations in nanoseconds, rising.
    bounds: Box<[u64]>,
    pub(crate) workers: usize,
    /// How many labels come from headers.
    pub(crate) headers: usize,
}

impl Shape {
    /// `buckets` in seconds.
    pub(crate) fn new(buckets: &[f64], workers: usize, headers: usize) -> Self {
        Shape { bounds: buckets.iter().map(|b| (b * 1e9).round() as u64).collect(), workers, headers }
    }
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    pub kind: Kind,
    /// Status, or the number of `grpc-status`.
    pub code: u16,
    pub took: Duration,
    /// Bytes of the bodies.
    pub received: u64,
    pub sent: u64,
    /// Values of the header labels, joined by NUL in the order of the labels; empty without such labels.
    pub headers: &'a str,
}

/// A cell that mostly one thread writes.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    /// `alone`: no other thread writes it, so that no bus has to be locked.
    fn add(&self, n: u64, alone: bool) {
        if n == 0 {
        } else if alone {
            self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
        } else {
            self.0.fetch_add(n, Relaxed);
        }
    }

    fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A few entries without a lock, the rest with one.
#[derive(Debug)]
struct Slots<K, V> {
    first: [OnceLock<Box<(K, V)>>; SLOTS],
    rest: Mutex<FxHashMap<K, V>>,
}

impl<K, V> Default for Slots<K, V> {
    fn default() -> Self {
        Slots { first: std::array::from_fn(|_| OnceLock::new()), rest: Mutex::default() }
    }
}

impl<K: Copy + Eq + Hash, V> Slots<K, V> {
    fn with(&self, key: K, make: impl Fn() -> V, then: impl FnOnce(&V)) {
        // Slots fill in order and are never emptied: two threads cannot give one key two of them.
        for slot in &self.first {
            let entry = slot.get_or_init(|| Box::new((key, make())));
            if entry.0 == key {
                return then(&entry.1);
            }
        }
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        then(rest.entry(key).or_insert_with(make));
    }

    fn each(&self, mut f: impl FnMut(K, &V)) {
        for entry in self.first.iter().filter_map(OnceLock::get) {
            f(entry.0, &entry.1);
        }
        for (key, value) in &*self.rest.lock().unwrap_or_else(PoisonError::into_inner) {
            f(*key, value);
        }
    }
}

/// Requests of one kind with one code.
#[derive(Debug)]
struct Series {
    /// By upper bound; the last has none. Their sum is the number of requests.
    buckets: Box<[Count]>,
    nanos: Count,
    received: Count,
    sent: Count,
    by_headers: Option<Mutex<FxHashMap<Box<str>, u64>>>,
}

impl Series {
    fn new(shape: &Shape) -> Self {
        Series {
            buckets: (0..=shape.bounds.len()).map(|_| Count::default()).collect(),
            nanos: Count::default(),
            received: Count::default(),
            sent: Count::default(),
            by_headers: (shape.headers > 0).then(Mutex::default),
        }
    }

    fn record(&self, shape: &Shape, ended: &Ended<'_>, alone: bool) {
        let nanos = u64::try_from(ended.took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = shape.bounds.iter().position(|b| nanos <= *b).unwrap_or(shape.bounds.len());
        self.buckets[bucket].add(1, alone);
        self.nanos.add(nanos, alone);
        self.received.add(ended.received, alone);
        self.sent.add(ended.sent, alone);
        if let Some(sets) = &self.by_headers {
            let mut sets = sets.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(n) = sets.get_mut(ended.headers) {
                *n += 1;
            } else if sets.len() < MAX_HEADER_SETS && ended.headers.split(SEPARATOR).all(|v| v.len() <= MAX_HEADER_VALUE) {
                sets.insert(ended.headers.into(), 1);
            } else {
                let all = vec![OVERFLOW; shape.headers].join(&SEPARATOR.to_string());
                *sets.entry(all.into()).or_default() += 1;
            }
        }
    }
}

#[derive(Debug, Default)]
struct Shard {
    requests: Slots<(Kind, u16), Series>,
    tls: Slots<(&'static str, &'static str), Count>,
    retries: Count,
}

/// One entry point, router or service.
#[derive(Debug)]
pub struct Scope {
    shape: Arc<Shape>,
    /// Which of all scopes it is.
    number: u64,
    /// One for each worker, and one for all other threads; made when first written.
    shards: Box<[OnceLock<Box<Shard>>]>,
}

/// Requests of one kind and code, of all workers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Total {
    /// Requests by upper bound of their duration, not added up; the last has no bound.
    pub buckets: Vec<u64>,
    pub seconds: f64,
    pub received: u64,
    pub sent: u64,
    /// Requests by values of header labels; empty without such labels.
    pub by_headers: BTreeMap<Box<str>, u64>,
}

impl Total {
    pub fn requests(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl Scope {
    pub(crate) fn new(shape: Arc<Shape>, number: u64) -> Self {
        let shards = (0..=shape.workers).map(|_| OnceLock::new()).collect();
        Scope { shape, number, shards }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn mine(&self) -> (&Shard, bool) {
        let worker = worker();
        let alone = worker < self.shape.workers;
        (self.shards[worker.min(self.shape.workers)].get_or_init(Box::default), alone)
    }

    /// Counts a request.
    pub fn record(&self, ended: &Ended<'_>) {
        let (shard, alone) = self.mine();
        shard.requests.with((ended.kind, ended.code), || Series::new(&self.shape), |s| s.record(&self.shape, ended, alone));
    }

    /// Counts a request over TLS; `version` as `1.3`, `cipher` by its name of the IANA registry.
    pub fn record_tls(&self, version: &'static str, cipher: &'static str) {
        let (shard, alone) = self.mine();
        shard.tls.with((version, cipher), Count::default, |n| n.add(1, alone));
    }

    /// Counts that a request is sent again.
    pub fn record_retry(&self) {
        let (shard, alone) = self.mine();
        shard.retries.add(1, alone);
    }

    pub fn retries(&self) -> u64 {
        self.shards.iter().filter_map(OnceLock::get).map(|s| s.retries.value()).sum()
    }

    pub fn totals(&self) -> BTreeMap<(Kind, u16), Total> {
        let mut all: BTreeMap<(Kind, u16), (Total, u64)> = BTreeMap::new();
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            shard.requests.each(|key, s| {
                let (total, nanos) = all.entry(key).or_default();
                total.buckets.resize(s.buckets.len(), 0);
                total.buckets.iter_mut().zip(&s.buckets).for_each(|(sum, n)| *sum += n.value());
                *nanos = nanos.wrapping_add(s.nanos.value());
                total.received += s.received.value();
                total.sent += s.sent.value();
                if let Some(sets) = &s.by_headers {
                    for (values, n) in &*sets.lock().unwrap_or_else(PoisonError::into_inner) {
                        *total.by_headers.entry(values.clone()).or_default() += n;
                    }
                }
            });
        }
        all.into_iter().map(|(key, (total, nanos))| (key, Total { seconds: nanos as f64 / 1e9, ..total })).collect()
    }

    /// Requests over TLS by version and cipher.
    pub fn tls_totals(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        let mut all = BTreeMap::new();
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            shard.tls.each(|key, n| *all.entry(key).or_default() += n.value());
        }
        all
    }
}

/// A number that goes up and down on every worker, such as of open connections.
#[derive(Debug)]
pub struct Level {
    cells: Box<[Padded]>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded {
    up: Count,
    down: Count,
}

impl Level {
    pub(crate) fn new(workers: usize) -> Self {
        Level { cells: (0..=workers).map(|_| Padded::default()).collect() }
    }

    fn mine(&self) -> (&Padded, bool) {
        let (worker, last) = (worker(), self.cells.len() - 1);
        (&self.cells[worker.min(last)], worker < last)
    }

    pub fn up(&self) {
        let (cell, alone) = self.mine();
        cell.up.add(1, alone);
    }

    pub fn down(&self) {
        let (cell, alone) = self.mine();
        cell.down.add(1, alone);
    }

    pub fn value(&self) -> u64 {
        // What came after the first sum was taken may be in the second.
        let down: u64 = self.cells.iter().map(|c| c.down.value()).sum();
        self.cells.iter().map(|c| c.up.value()).sum::<u64>().saturating_sub(down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::kind::{MethodLabel, Protocol};

    fn kind() -> Kind {
        Kind { method: MethodLabel::Get, protocol: Protocol::Http }
    }

    fn ended(code: u16, took: Duration) -> Ended<'static> {
        Ended { kind: kind(), code, took, received: 3, sent: 5, headers: "" }
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        // Workers of their own, two threads that are none, and more codes than slots.
        let scope = Scope::new(Arc::new(Shape::new(&[0.1, 1.0], 3, 0)), 1);
        std::thread::scope(|s| {
            for worker in [Some(0), Some(1), Some(2), None, None] {
                let scope = &scope;
                s.spawn(move || {
                    worker.into_iter().for_each(enter_worker);
                    for i in 0..20_000u16 {
                        scope.record(&ended(200 + i % 20, Duration::from_micros(7)));
                        scope.record_tls("1.3", "TLS_AES_128_GCM_SHA256");
                    }
                });
            }
            for _ in 0..50 {
                assert!(scope.totals().values().map(Total::requests).sum::<u64>() <= 100_000);
            }
        });
        let totals = scope.totals();
        assert_eq!(totals.len(), 20);
        for total in totals.values() {
            assert_eq!((total.requests(), total.received, total.sent), (5000, 15_000, 25_000));
            assert!((total.seconds - 0.035).abs() < 1e-9);
        }
        assert_eq!(scope.tls_totals(), BTreeMap::from([(("1.3", "TLS_AES_128_GCM_SHA256"), 100_000)]));
    }

    #[test]
    fn a_duration_on_a_bound_is_below_it() {
        let scope = Scope::new(Arc::new(Shape::new(&[0.1, 0.3, 1.2, 5.0], 1, 0)), 1);
        for (took, bucket) in [
            (Duration::ZERO, 0),
            (Duration::from_millis(100), 0),
            (Duration::from_nanos(100_000_001), 1),
            (Duration::from_millis(300), 1),
            (Duration::from_millis(1200), 2),
            (Duration::from_secs(5), 3),
            (Duration::from_nanos(5_000_000_001), 4),
            (Duration::MAX, 4),
        ] {
            let before = scope.totals().remove(&(kind(), 200)).map_or(vec![0; 5], |t| t.buckets);
            scope.record(&ended(200, took));
            let after = scope.totals().remove(&(kind(), 200)).unwrap().buckets;
            let grown: Vec<usize> = (0..5).filter(|i| after[*i] > before[*i]).collect();
            assert_eq!(grown, [bucket], "{took:?}");
        }
    }

    #[test]
    fn header_values_are_bounded() {
        let scope = Scope::new(Arc::new(Shape::new(&[1.0], 1, 2)), 1);
        for i in 0..MAX_HEADER_SETS + 7 {
            let headers = format!("{i}{SEPARATOR}x");
            scope.record(&Ended { headers: &headers, ..ended(200, Duration::ZERO) });
        }
        let total = scope.totals().remove(&(kind(), 200)).unwrap();
        assert_eq!((total.requests(), total.by_headers.len()), (2007, MAX_HEADER_SETS + 1));
        assert_eq!(total.by_headers["overflow\0overflow"], 7);
    }

    #[test]
    fn long_header_values_are_not_kept() {
        let scope = Scope::new(Arc::new(Shape::new(&[1.0], 1, 2)), 1);
        let most = format!("{0}{SEPARATOR}{0}", "v".repeat(MAX_HEADER_VALUE));
        let first = format!("{}{SEPARATOR}x", "v".repeat(MAX_HEADER_VALUE + 1));
        let last = format!("x{SEPARATOR}{}", "v".repeat(1 << 20));
        for headers in [&most, &first, &last] {
            scope.record(&Ended { headers, ..ended(200, Duration::ZERO) });
        }
        let total = scope.totals().remove(&(kind(), 200)).unwrap();
        let expected: BTreeMap<Box<str>, u64> = BTreeMap::from([(most.into(), 1), ("overflow\0overflow".into(), 2)]);
        assert_eq!(total.by_headers, expected);
    }

    #[test]
    fn a_level_goes_down_on_another_thread() {
        let level = Level::new(1);
        level.up();
        std::thread::scope(|s| {
            s.spawn(|| {
                enter_worker(0);
                level.up();
                level.up();
                level.down();
            });
        });
        level.down();
        assert_eq!(level.value(), 1);
    }
}
