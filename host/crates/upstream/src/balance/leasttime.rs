//! Least time: the candidate with the lowest `average time to the first byte * (1 + requests under way) /
//! weight`. The average is over the last samples, in whole milliseconds like Traefik's, so that servers
//! quicker than that are equal; equal ones, new ones among them, take turns by weight.

use super::{Candidate, Slot};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How many samples the average is over.
const SAMPLES: usize = 100;

/// What one candidate has shown. A ring without locks: the sum changes by exactly what goes in and comes
/// out of the ring, so it is right as soon as every writer is done.
#[derive(Debug)]
pub(super) struct Times {
    /// Milliseconds.
    ring: [AtomicU32; SAMPLES],
    sum: AtomicU64,
    /// Samples ever recorded.
    recorded: AtomicU64,
    /// Ties won, for taking turns.
    turns: AtomicU64,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            ring: [const { AtomicU32::new(0) }; SAMPLES],
            sum: AtomicU64::new(0),
            recorded: AtomicU64::new(0),
            turns: AtomicU64::new(0),
        }
    }
}

impl Times {
    pub(super) fn record(&self, took: Duration) {
        let new = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        let at = self.recorded.fetch_add(1, Relaxed) % SAMPLES as u64;
        let old = self.ring[at as usize].swap(new, Relaxed);
        self.sum.fetch_add(u64::from(new).wrapping_sub(u64::from(old)), Relaxed);
    }

    /// Milliseconds; zero before the first sample.
    fn average(&self) -> f64 {
        let recorded = self.recorded.load(Relaxed).min(SAMPLES as u64);
        // A writer between its two steps can make the sum seem negative for a moment.
        let sum = (self.sum.load(Relaxed) as i64).max(0);
        if recorded == 0 { 0.0 } else { sum as f64 / recorded as f64 }
    }
}

fn weight(c: &Candidate) -> u64 {
    c.weight.max(1).unsigned_abs()
}

/// `ready`: positions of those with a positive weight that may be picked.
pub(super) fn pick(ready: &[usize], candidates: &[Candidate], slots: &[Arc<Slot>]) -> Option<usize> {
    if ready.len() < 2 {
        return ready.first().copied();
    }
    let score = |&i: &usize| {
        let slot = &slots[i];
        let average = slot.times.as_ref().map_or(0.0, |t| t.average());
        (average * (1.0 + slot.in_flight.load(Relaxed) as f64) / weight(&candidates[i]) as f64, i)
    };
    let mut best: SmallVec<[(f64, usize); 16]> = ready.iter().map(score).collect();
    let lowest = best.iter().fold(f64::INFINITY, |least, (s, _)| least.min(*s));
    best.retain(|(s, _)| *s <= lowest);
    if best.len() == 1 {
        return Some(best[0].1);
    }
    // Earliest deadline first among the equals. Turns only ever grow, so the one whose count is still what
    // was read is still the earliest; a lost race begins again.
    loop {
        let mut first: Option<(u64, u64, usize, &AtomicU64)> = None;
        for &(_, i) in &best {
            let (Some(times), w) = (&slots[i].times, weight(&candidates[i])) else { continue };
            let turn = times.turns.load(Relaxed);
            if first.is_none_or(|(t, v, ..)| deadline(turn, v) < deadline(t, w)) {
                first = Some((turn, w, i, &times.turns));
            }
        }
        let (turn, _, index, turns) = first?;
        if turns.compare_exchange_weak(turn, turn + 1, Relaxed, Relaxed).is_ok() {
            return Some(index);
        }
    }
}

/// `(turn + 1) / own weight`, both sides multiplied by both weights.
fn deadline(turn: u64, others_weight: u64) -> u128 {
    (u128::from(turn) + 1) * u128::from(others_weight)
}

/// A candidate that comes back does not make up for the turns it missed.
pub(super) fn catch_up(index: usize, candidates: &[Candidate], slots: &[Arc<Slot>]) {
    let own = weight(&candidates[index]);
    let turns = |i: usize| slots[i].times.as_ref().map_or(0, |t| t.turns.load(Relaxed));
    let missed = (0..slots.len())
        .filter(|&i| i != index && slots[i].up.load(Relaxed))
        .map(|i| u128::from(turns(i)) * u128::from(own) / u128::from(weight(&candidates[i])))
        .max();
    if let (Some(times), Some(missed)) = (&slots[index].times, missed) {
        times.turns.fetch_max(u64::try_from(missed).unwrap_or(u64::MAX / 2), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CLIENT, candidates, counts};
    use super::super::{Balancer, Strategy};
    use super::*;

    fn least_time(weights: &[i64], ms: &[u64]) -> Balancer {
        let b = Balancer::new(Strategy::LeastTime, candidates(weights));
        for (slot, ms) in b.slots.iter().zip(ms) {
            slot.times.as_ref().unwrap().record(Duration::from_millis(*ms));
        }
        b
    }

    #[test]
    fn cold_servers_take_turns_by_weight() {
        assert_eq!(counts(&least_time(&[1, 1], &[]), 10), [5, 5]);
        assert_eq!(counts(&least_time(&[3, 1, 0], &[]), 400), [300, 100, 0]);
    }

    #[test]
    fn the_quickest_wins_until_it_is_busy() {
        let b = least_time(&[1, 1], &[10, 25]);
        assert_eq!(counts(&b, 7), [7, 0]);
        let mut held = vec![b.pick(CLIENT), b.pick(CLIENT)];
        assert_eq!(counts(&b, 7), [0, 7]);
        held.pop();
        assert_eq!(counts(&b, 7), [7, 0]);
    }

    #[test]
    fn weight_makes_up_for_time() {
        assert_eq!(counts(&least_time(&[1, 4], &[10, 30]), 7), [0, 7]);
    }

    #[test]
    fn the_first_byte_is_measured_once() {
        let b = least_time(&[1, 1], &[]);
        let mut p = b.pick(CLIENT).unwrap();
        p.since = Instant::now().checked_sub(Duration::from_millis(50));
        p.first_byte();
        p.first_byte();
        let slow = p.index;
        drop(p);
        let times = b.slots[slow].times.as_ref().unwrap();
        assert_eq!(times.recorded.load(Relaxed), 1);
        assert!(times.average() >= 50.0);
        assert_eq!(counts(&b, 3)[slow], 0);
    }

    #[test]
    fn old_samples_are_forgotten() {
        let times = Times::default();
        (0..150).for_each(|_| times.record(Duration::from_millis(500)));
        (0..60).for_each(|_| times.record(Duration::from_millis(100)));
        assert_eq!(times.average(), (60.0 * 100.0 + 40.0 * 500.0) / 100.0);
        (0..100).for_each(|_| times.record(Duration::from_micros(900)));
        assert_eq!(times.average(), 0.0);
    }

    #[test]
    fn coming_back_is_not_flooded() {
        let b = least_time(&[1, 2], &[]);
        b.set_up(0, false);
        assert_eq!(counts(&b, 900), [0, 900]);
        b.set_up(0, true);
        assert_eq!(counts(&b, 30), [10, 20]);
    }

    #[test]
    fn turns_are_exact_across_threads() {
        let b = least_time(&[2, 1, 1], &[]);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| (0..10_000).for_each(|_| _ = b.pick(CLIENT)));
            }
        });
        let turns: Vec<_> = b.slots.iter().map(|s| s.times.as_ref().unwrap().turns.load(Relaxed)).collect();
        assert_eq!(turns, [20_000, 10_000, 10_000]);
    }

    use std::time::Instant;
}
