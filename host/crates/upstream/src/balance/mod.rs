//! Which server or child service takes a request. A balancer is shared by all workers: picking reads one
//! `arc-swap` snapshot of what is usable and touches atomics, it never locks. Only a change of health
//! takes a mutex, to derive the next snapshot.

mod hrw;
mod leasttime;
mod p2c;
mod sticky;
mod wrr;

pub use sticky::{CookieOptions, StickyCookie};

use arc_swap::ArcSwap;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

/// What can be picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Server URL or child service name, exactly as configured: `hrw` and the sticky cookie hash it.
    pub name: String,
    /// Share of the requests, 1 unless configured. Zero and below take the candidate out, except in
    /// `p2c`, which has no weights.
    pub weight: i64,
    /// Draining: new clients go elsewhere, a sticky cookie still leads here.
    pub fenced: bool,
}

/// How `loadBalancer.strategy` spreads requests. Default `wrr`, also for the empty text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Earliest deadline first: in turn, by weight.
    #[default]
    Wrr,
    /// The less busy of two at random.
    P2c,
    /// Rendezvous hashing of the client's address.
    Hrw,
    /// The quickest to answer, by time to the first byte and requests under way.
    LeastTime,
}

/// A strategy nobody knows; names are compared with case, as Traefik does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownStrategy(pub String);

impl fmt::Display for UnknownStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no load-balancer strategy is called `{}`; there are wrr, p2c, hrw and leasttime", self.0)
    }
}

impl std::error::Error for UnknownStrategy {}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, UnknownStrategy> {
        match text {
            "" | "wrr" => Ok(Strategy::Wrr),
            "p2c" => Ok(Strategy::P2c),
            "hrw" => Ok(Strategy::Hrw),
            "leasttime" => Ok(Strategy::LeastTime),
            _ => Err(UnknownStrategy(text.to_owned())),
        }
    }
}

/// What changes about one candidate while requests run. On a cache line of its own, since workers write it.
#[derive(Debug)]
#[repr(align(64))]
pub struct Slot {
    up: AtomicBool,
    in_flight: AtomicUsize,
    /// Only `leasttime` measures, and only it pays for the samples.
    times: Option<Box<leasttime::Times>>,
}

/// The candidates that may be picked now, arranged for the strategy. Derived whenever health changes.
#[derive(Debug)]
enum Ready {
    Wrr(wrr::Rotation),
    P2c(Box<[usize]>),
    Hrw(Box<[usize]>),
    LeastTime(Box<[usize]>),
}

/// Spreads requests over candidates. They all start up.
#[derive(Debug)]
pub struct Balancer {
    strategy: Strategy,
    candidates: Box<[Candidate]>,
    slots: Box<[Arc<Slot>]>,
    ready: ArcSwap<Ready>,
    cursor: wrr::Cursor,
    generation: AtomicU64,
    /// Held while `ready` is derived anew.
    change: Mutex<Parents>,
}

/// Balancers of which a service with this one is a candidate, and the index there: told when the last of its own
/// candidates goes down, and when the first comes back.
type Parents = Vec<(Weak<Balancer>, usize)>;

impl Balancer {
    /// `wrr` begins with the first candidate; Traefik shuffles the servers of a load balancer beforehand
    /// (not the children of a weighted service), which is left to the caller.
    pub fn new(strategy: Strategy, candidates: Vec<Candidate>) -> Self {
        let slot = |_: &Candidate| {
            let times = (strategy == Strategy::LeastTime).then(Box::default);
            Arc::new(Slot { up: AtomicBool::new(true), in_flight: AtomicUsize::new(0), times })
        };
        let slots: Box<[_]> = candidates.iter().map(slot).collect();
        let candidates = candidates.into_boxed_slice();
        let ready = ArcSwap::from_pointee(arrange(strategy, &candidates, &slots));
        Balancer {
            strategy,
            candidates,
            slots,
            ready,
            cursor: wrr::Cursor::default(),
            generation: AtomicU64::new(fastrand::u64(..)),
            change: Mutex::default(),
        }
    }

    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Records the health of a candidate; true if it is news.
    pub fn set_up(&self, index: usize, up: bool) -> bool {
        let Some(slot) = self.slots.get(index) else { return false };
        let parents = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.up.load(Relaxed) == up {
            return false;
        }
        let before = self.any_up();
        if up && self.strategy == Strategy::LeastTime {
            leasttime::catch_up(index, &self.candidates, &self.slots);
        }
        slot.up.store(up, Relaxed);
        self.generation.fetch_add(1, Relaxed);
        self.ready.store(Arc::new(arrange(self.strategy, &self.candidates, &self.slots)));
        let after = self.any_up();
        if before != after {
            for (parent, index) in parents.iter().filter_map(|(p, i)| Some((p.upgrade()?, *i))) {
                parent.set_up(index, after);
            }
        }
        true
    }

    /// From now on `parent` knows of its candidate `index` whether any of these here is up. Services do not refer to
    /// each other in a circle, so neither do balancers. One without anybody to pick is never said to be down: in
    /// Traefik only a health check says so.
    pub fn report_to(&self, parent: &Arc<Balancer>, index: usize) {
        let mut parents = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        parents.retain(|(p, _)| p.strong_count() > 0);
        parents.push((Arc::downgrade(parent), index));
        if self.candidates.iter().any(|c| weighs(self.strategy, c)) {
            parent.set_up(index, self.any_up());
        }
    }

    pub fn is_up(&self, index: usize) -> bool {
        self.slots.get(index).is_some_and(|s| s.up.load(Relaxed))
    }

    /// Whether a candidate with a share of the requests is up, fenced ones included; what a parent service
    /// is told.
    pub fn any_up(&self) -> bool {
        (0..self.slots.len()).any(|i| self.usable(i))
    }

    /// Another number after each change of what is up; no two balancers have the same.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// Requests that were given to a candidate and still run.
    pub fn in_flight(&self, index: usize) -> usize {
        self.slots.get(index).map_or(0, |s| s.in_flight.load(Relaxed))
    }

    /// The candidate for a new client; `None` when there is no server to answer. Only `hrw` looks at `key`: the address
    /// of the connection's peer, or what takes its place.
    pub fn pick(&self, key: impl fmt::Display) -> Option<Picked<'_>> {
        let index = match &**self.ready.load() {
            Ready::Wrr(rotation) => rotation.next(&self.cursor),
            Ready::P2c(ready) => p2c::pick(ready, &self.slots),
            Ready::Hrw(ready) => hrw::pick(ready, &self.candidates, key),
            Ready::LeastTime(ready) => leasttime::pick(ready, &self.candidates, &self.slots),
        }?;
        self.slots.get(index).map(|slot| Pick::new(index, slot))
    }

    /// The candidate that a sticky cookie names, if it is up; a fenced one counts.
    pub fn pick_index(&self, index: usize) -> Option<Picked<'_>> {
        self.usable(index).then(|| self.slots.get(index).map(|slot| Pick::new(index, slot)))?
    }

    fn usable(&self, index: usize) -> bool {
        self.candidates.get(index).is_some_and(|c| weighs(self.strategy, c)) && self.is_up(index)
    }
}

fn weighs(strategy: Strategy, candidate: &Candidate) -> bool {
    strategy == Strategy::P2c || candidate.weight > 0
}

fn arrange(strategy: Strategy, candidates: &[Candidate], slots: &[Arc<Slot>]) -> Ready {
    let ready = |(i, (c, s)): (usize, (&Candidate, &Arc<Slot>))| (weighs(strategy, c) && !c.fenced && s.up.load(Relaxed)).then_some(i);
    let ready: Box<[usize]> = candidates.iter().zip(slots).enumerate().filter_map(ready).collect();
    match strategy {
        Strategy::Wrr => Ready::Wrr(wrr::Rotation::new(&ready, candidates)),
        Strategy::P2c => Ready::P2c(ready),
        Strategy::Hrw => Ready::Hrw(ready),
        Strategy::LeastTime => Ready::LeastTime(ready),
    }
}

/// A strategy from outside; see [`crate::LoadBalancer::external`].
pub trait External: Send + Sync {
    /// The index of a candidate; `None` when there is none for this request.
    fn choose(&self, exchange: &torana_http::Exchange, balancer: &Balancer) -> Option<usize>;
}

/// A request given to a candidate. Counts as under way until dropped.
#[must_use]
#[derive(Debug)]
pub struct Pick<S: AsRef<Slot>> {
    /// Position in [`Balancer::candidates`].
    pub index: usize,
    slot: S,
    /// When it was picked, until the first byte came; unset where nobody measures.
    since: Option<Instant>,
}

/// Lives as long as the balancer is borrowed.
pub type Picked<'a> = Pick<&'a Arc<Slot>>;

/// Owns its share of the balancer's state: can go into a response body.
pub type OwnedPick = Pick<Arc<Slot>>;

impl<S: AsRef<Slot>> Pick<S> {
    fn new(index: usize, slot: S) -> Self {
        let state = slot.as_ref();
        state.in_flight.fetch_add(1, Relaxed);
        let since = state.times.is_some().then(Instant::now);
        Pick { index, slot, since }
    }

    /// The first byte of the response has come: `leasttime` learns how long it took. Only the first call
    /// counts; a request that never answers teaches nothing.
    pub fn first_byte(&mut self) {
        if let (Some(times), Some(since)) = (&self.slot.as_ref().times, self.since.take()) {
            times.record(since.elapsed());
        }
    }
}

impl Picked<'_> {
    /// The same request, still counted once, free of the borrow.
    pub fn into_owned(self) -> OwnedPick {
        let owned = OwnedPick { index: self.index, since: self.since, slot: Arc::clone(self.slot) };
        // Holds nothing but a reference; its count goes over to `owned`.
        std::mem::forget(self);
        owned
    }
}

impl<S: AsRef<Slot>> Drop for Pick<S> {
    fn drop(&mut self) {
        self.slot.as_ref().in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    pub(super) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    pub(super) fn candidates(weights: &[i64]) -> Vec<Candidate> {
        let one = |(i, w): (usize, &i64)| Candidate { name: format!("http://10.0.0.{i}"), weight: *w, fenced: false };
        weights.iter().enumerate().map(one).collect()
    }

    pub(super) fn counts(b: &Balancer, requests: usize) -> Vec<usize> {
        let mut counts = vec![0; b.candidates().len()];
        (0..requests).for_each(|_| counts[b.pick(CLIENT).unwrap().index] += 1);
        counts
    }

    const ALL: [Strategy; 4] = [Strategy::Wrr, Strategy::P2c, Strategy::Hrw, Strategy::LeastTime];

    #[test]
    fn strategies_by_name() {
        assert_eq!(
            ["", "wrr", "p2c", "hrw", "leasttime"].map(|t| t.parse::<Strategy>().unwrap()),
            [ALL[0], ALL[0], ALL[1], ALL[2], ALL[3]]
        );
        assert!("WRR".parse::<Strategy>().unwrap_err().to_string().contains("`WRR`"));
    }

    #[test]
    fn down_fenced_and_weightless_are_not_picked() {
        for strategy in ALL {
            let mut all = candidates(&[1, 1, 1, 0]);
            all[1].fenced = true;
            let b = Balancer::new(strategy, all);
            assert!(b.set_up(2, false) && !b.set_up(2, false), "{strategy:?}");
            let expected: &[usize] = if strategy == Strategy::P2c { &[0, 3] } else { &[0] };
            for _ in 0..200 {
                assert!(expected.contains(&b.pick(CLIENT).unwrap().index), "{strategy:?}");
            }
            assert_eq!(b.pick_index(1).unwrap().index, 1);
            assert!(b.pick_index(2).is_none() && b.pick_index(9).is_none());
            assert_eq!(b.pick_index(3).is_some(), strategy == Strategy::P2c);
        }
    }

    #[test]
    fn without_anyone_there_is_no_pick() {
        for strategy in ALL {
            assert!(Balancer::new(strategy, Vec::new()).pick(CLIENT).is_none());
            let b = Balancer::new(strategy, candidates(&[1, 1]));
            assert!(b.any_up() && b.set_up(0, false) && b.any_up() && b.set_up(1, false) && !b.any_up());
            assert!(b.pick(CLIENT).is_none() && !b.is_up(0) && !b.is_up(7) && !b.set_up(7, false));
            assert!(b.set_up(1, true));
            assert_eq!(counts(&b, 9), [0, 9]);
        }
    }

    #[test]
    fn parents_know_when_the_last_goes_down_and_the_first_comes_back() {
        let balancer = |n| Arc::new(Balancer::new(Strategy::Wrr, candidates(&vec![1; n])));
        let (child, other, parent, top) = (balancer(2), balancer(1), balancer(2), balancer(1));
        parent.report_to(&top, 0);
        child.report_to(&parent, 0);
        other.report_to(&parent, 1);
        child.set_up(0, false);
        assert!(parent.is_up(0));
        child.set_up(1, false);
        assert!(!parent.is_up(0) && top.is_up(0));
        other.set_up(0, false);
        assert!(!parent.is_up(1) && !top.is_up(0));
        // One that is built while they are down begins down, and one that is gone is told nothing.
        let late = balancer(1);
        child.report_to(&late, 0);
        drop(parent);
        child.set_up(1, true);
        assert!(late.is_up(0) && !top.is_up(0));
        // Who has nobody to pick has never been found to be down.
        balancer(0).report_to(&late, 0);
        assert!(late.is_up(0));
    }

    #[test]
    fn fenced_alone_serves_only_those_who_stick() {
        let mut all = candidates(&[1]);
        all[0].fenced = true;
        let b = Balancer::new(Strategy::Wrr, all);
        assert!(b.any_up() && b.pick(CLIENT).is_none() && b.pick_index(0).is_some());
    }

    #[test]
    fn a_pick_counts_until_it_is_dropped() {
        let b = Balancer::new(Strategy::P2c, candidates(&[1]));
        let first = b.pick(CLIENT).unwrap();
        let second = b.pick_index(0).unwrap().into_owned();
        assert_eq!(b.in_flight(0), 2);
        drop(first);
        assert_eq!(b.in_flight(0), 1);
        let alone = Arc::new(b);
        let keeper = alone.clone();
        drop(alone);
        drop(second);
        assert_eq!(keeper.in_flight(0), 0);
    }

    /// Many workers at once: the rotation stays exact, and nobody is lost while health flips.
    #[test]
    fn shared_by_threads() {
        let b = Balancer::new(Strategy::Wrr, candidates(&[1, 1, 1]));
        let tally: Vec<AtomicUsize> = (0..3).map(|_| AtomicUsize::new(0)).collect();
        std::thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| (0..30_000).for_each(|_| _ = tally[b.pick(CLIENT).unwrap().index].fetch_add(1, Relaxed)));
            }
        });
        assert!(tally.iter().all(|n| n.load(Relaxed) == 30_000), "{tally:?}");
        std::thread::scope(|s| {
            s.spawn(|| (0..2_000).for_each(|i| _ = b.set_up(0, i % 2 == 1)));
            s.spawn(|| (0..50_000).for_each(|_| assert!(b.pick(CLIENT).is_some())));
        });
        assert!((0..3).all(|i| b.is_up(i) && b.in_flight(i) == 0));
        assert_eq!(counts(&b, 300), [100, 100, 100]);
    }
}
