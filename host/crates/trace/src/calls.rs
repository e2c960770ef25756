//! How long requests took, by what OpenTelemetry's semantic conventions want to know of them.

use http::Method;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Kinds of requests that each shard tells apart, so that no client can fill the memory with names of hosts.
const MOST: usize = 2000;
const SHARDS: usize = 16;
/// Bytes of what clients write that a kind of requests may keep for ever: no name of a host is longer, no scheme and
/// no method that anybody uses either.
const LONGEST_ADDRESS: usize = 255;
const LONGEST_SCHEME: usize = 16;
const LONGEST_METHOD: usize = 32;

/// A kind of requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// It was received; else it was sent.
    pub received: bool,
    pub method: Method,
    pub status: u16,
    /// `1.0`, `1.1`, `2.0` or `3.0`.
    pub version: &'static str,
    /// What the client calls the server, or the server's host and port.
    pub address: Box<str>,
    pub port: Option<u16>,
    pub scheme: Box<str>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// By upper bound; the last has none.
    pub buckets: Vec<u64>,
    pub seconds: f64,
}

#[derive(Default)]
struct Shard {
    kinds: HashMap<Call, Durations>,
    /// Those that there was no room for: sent and received.
    overflow: [Durations; 2],
}

/// All durations of a process. Each thread has a shard that hardly any other uses.
pub struct Calls {
    /// Upper bounds in seconds, rising.
    bounds: Vec<f64>,
    shards: [Mutex<Shard>; SHARDS],
}

impl Call {
    /// Whether it is small enough to be remembered.
    fn is_short(&self) -> bool {
        self.address.len() <= LONGEST_ADDRESS && self.scheme.len() <= LONGEST_SCHEME && self.method.as_str().len() <= LONGEST_METHOD
    }
}

impl Durations {
    fn add(&mut self, bounds: &[f64], took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = bounds.iter().position(|b| seconds <= *b).unwrap_or(bounds.len());
        self.buckets.resize(bounds.len() + 1, 0);
        self.buckets[bucket] += 1;
        self.seconds += seconds;
    }

    fn merge(&mut self, other: &Durations) {
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, n)| *sum += n);
        self.seconds += other.seconds;
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl Calls {
    /// `bounds` of durations in seconds, rising.
    pub fn new(bounds: Vec<f64>) -> Self {
        Calls { bounds, shards: Default::default() }
    }

    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    pub fn record(&self, call: Call, took: Duration) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static MINE: usize = NEXT.fetch_add(1, Relaxed) % SHARDS);
        let mut shard = self.shards[MINE.with(|m| *m)].lock().unwrap_or_else(PoisonError::into_inner);
        if !call.is_short() {
            shard.overflow[usize::from(call.received)].add(&self.bounds, took);
        } else if let Some(known) = shard.kinds.get_mut(&call) {
            known.add(&self.bounds, took);
        } else if shard.kinds.len() < MOST {
            shard.kinds.entry(call).or_default().add(&self.bounds, took);
        } else {
            shard.overflow[usize::from(call.received)].add(&self.bounds, took);
        }
    }

    /// Everything so far; an error and whether it was received for what there was no room for.
    pub fn totals(&self) -> Vec<(Result<Call, bool>, Durations)> {
        let mut kinds: HashMap<Call, Durations> = HashMap::new();
        let mut overflow: [Durations; 2] = Default::default();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.kinds.iter().for_each(|(call, d)| kinds.entry(call.clone()).or_default().merge(d));
            overflow.iter_mut().zip(&shard.overflow).for_each(|(all, d)| all.merge(d));
        }
        let rest = overflow.into_iter().zip([false, true]).filter(|(d, _)| d.count() > 0).map(|(d, received)| (Err(received), d));
        kinds.into_iter().map(|(call, d)| (Ok(call), d)).chain(rest).collect()
    }
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Calls")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(host: &str) -> Call {
        Call { received: true, method: Method::GET, status: 200, version: "1.1", address: host.into(), port: None, scheme: "http".into() }
    }

    #[test]
    fn kinds_are_told_apart_up_to_a_limit() {
        let calls = Calls::new(vec![0.005, 0.01]);
        for i in 0..MOST + 3 {
            calls.record(call(&i.to_string()), Duration::from_millis(7));
            calls.record(call("0"), Duration::from_secs(60));
        }
        let totals = calls.totals();
        let of = |key: Result<Call, bool>| totals.iter().find(|(k, _)| *k == key).map(|(_, d)| d.clone()).unwrap();
        assert_eq!((totals.len(), of(Err(true)).count()), (MOST + 1, 3));
        let first = of(Ok(call("0")));
        assert_eq!((first.buckets[1], first.buckets[2]), (1, MOST as u64 + 3));
    }

    #[test]
    fn what_is_too_long_is_not_remembered() {
        let calls = Calls::new(vec![1.0]);
        let took = Duration::ZERO;
        let most = Call { scheme: "s".repeat(LONGEST_SCHEME).into(), ..call(&"h".repeat(LONGEST_ADDRESS)) };
        calls.record(most.clone(), took);
        calls.record(call(&"h".repeat(LONGEST_ADDRESS + 1)), took);
        calls.record(Call { scheme: "s".repeat(LONGEST_SCHEME + 1).into(), ..call("h") }, took);
        calls.record(Call { method: Method::from_bytes("M".repeat(LONGEST_METHOD + 1).as_bytes()).unwrap(), ..call("h") }, took);
        calls.record(Call { received: false, ..call(&"h".repeat(1 << 20)) }, took);
        let counts: HashMap<Result<Call, bool>, u64> = calls.totals().into_iter().map(|(key, d)| (key, d.count())).collect();
        assert_eq!(counts, HashMap::from([(Ok(most), 1), (Err(true), 3), (Err(false), 1)]));
    }
}
