//! Weighted round robin as earliest deadline first: the n-th request of a candidate is due at n / weight,
//! and what is due next is served next. The weights are fixed, so the order repeats; it is worked out once
//! per set of usable candidates and walked with one counter that all workers share. Any run of requests as
//! long as one period is spread exactly by weight.

use super::Candidate;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Longest order kept in memory, in entries. Longer periods are spread by a low-discrepancy walk.
const LONGEST: u64 = 1 << 16;

/// Orders are worked out for at least about as many requests.
const SHORTEST: usize = 256;

/// 2^64 / golden ratio: steps of this size spread most evenly over the 64-bit circle.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Requests served so far. Outlives a change of health, and shares no cache line with what workers read.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Cursor(AtomicU64);

#[derive(Debug)]
pub(super) enum Rotation {
    Nobody,
    One(usize),
    /// One period, candidate by candidate.
    Cycle(Box<[usize]>),
    /// The period is too long to keep: where each candidate's share of the circle ends, ascending.
    Circle(Box<[(u64, usize)]>),
}

/// The next request of a candidate.
struct Due {
    deadline: f64,
    weight: f64,
    index: usize,
}

/// Candidates by deadline. What is due at the same time stands as Go's `container/heap` leaves it, and
/// deadlines are summed up as floats, so that the order is Traefik's to the request.
#[derive(Default)]
struct Schedule(Vec<Due>);

impl Schedule {
    fn push(&mut self, due: Due) {
        self.0.push(due);
        let mut at = self.0.len() - 1;
        while at > 0 && self.0[at].deadline < self.0[(at - 1) / 2].deadline {
            self.0.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn pop(&mut self) -> Option<Due> {
        let due = (!self.0.is_empty()).then(|| self.0.swap_remove(0))?;
        let mut at = 0;
        while let Some(left) = self.0.get(2 * at + 1) {
            let right = self.0.get(2 * at + 2).filter(|r| r.deadline < left.deadline);
            let child = 2 * at + if right.is_some() { 2 } else { 1 };
            if self.0[child].deadline >= self.0[at].deadline {
                break;
            }
            self.0.swap(at, child);
            at = child;
        }
        Some(due)
    }

    /// The next one; its next request comes up behind it.
    fn next(&mut self) -> Option<usize> {
        let mut due = self.pop()?;
        let index = due.index;
        due.deadline += 1.0 / due.weight;
        self.push(due);
        Some(index)
    }
}

impl Rotation {
    /// `ready`: positions of those with a positive weight that may be picked.
    pub(super) fn new(ready: &[usize], candidates: &[Candidate]) -> Self {
        let weight = |i: usize| candidates[i].weight.max(1).unsigned_abs();
        let common = ready.iter().fold(0, |g, &i| gcd(g, weight(i))).max(1);
        let period: u128 = ready.iter().map(|&i| u128::from(weight(i) / common)).sum();
        match *ready {
            [] => Rotation::Nobody,
            [only] => Rotation::One(only),
            _ if period <= u128::from(LONGEST) => {
                let mut schedule = Schedule::default();
                for &index in ready {
                    let weight = weight(index) as f64;
                    schedule.push(Due { deadline: 1.0 / weight, weight, index });
                }
                // Short periods several times over: ties may fall differently in each.
                let length = period as usize * (SHORTEST / period as usize).max(1);
                Rotation::Cycle((0..length).map_while(|_| schedule.next()).collect())
            }
            _ => {
                // An i64 holds 63 bits; scaled down until their sum fits 64.
                let shift = (128 - period.leading_zeros()).saturating_sub(64);
                let mut end = 0u64;
                let share = |&i: &usize| {
                    end = end.saturating_add(((weight(i) / common) >> shift).max(1));
                    (end, i)
                };
                Rotation::Circle(ready.iter().map(share).collect())
            }
        }
    }

    pub(super) fn next(&self, cursor: &Cursor) -> Option<usize> {
        match self {
            Rotation::Nobody => None,
            Rotation::One(index) => Some(*index),
            Rotation::Cycle(order) => {
                let n = cursor.0.fetch_add(1, Relaxed);
                order.get((n % order.len() as u64) as usize).copied()
            }
            Rotation::Circle(ends) => {
                let n = cursor.0.fetch_add(1, Relaxed);
                let total = ends.last()?.0;
                let point = ((u128::from(n.wrapping_mul(STEP)) * u128::from(total)) >> 64) as u64;
                ends.get(ends.partition_point(|(end, _)| *end <= point)).map(|(_, index)| *index)
            }
        }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CLIENT, candidates, counts};
    use super::super::{Balancer, Strategy};

    fn wrr(weights: &[i64]) -> Balancer {
        Balancer::new(Strategy::Wrr, candidates(weights))
    }

    #[test]
    fn equal_servers_take_turns() {
        let b = wrr(&[1, 1, 1]);
        let order: Vec<_> = (0..6).map(|_| b.pick(CLIENT).unwrap().index).collect();
        assert_eq!(order, [0, 2, 1, 2, 1, 0]);
        assert_eq!(counts(&wrr(&[7, 7, 7]), 3), [1, 1, 1]);
    }

    #[test]
    fn weights_are_exact_in_every_window_of_a_period() {
        let b = wrr(&[3, 1, 0]);
        let order: Vec<_> = (0..8).map(|_| b.pick(CLIENT).unwrap().index).collect();
        assert_eq!(order.iter().filter(|i| **i == 0).count(), 6, "{order:?}");
        let b = wrr(&[5, 3, 2]);
        for _ in 0..7 {
            assert_eq!(counts(&b, 10), [5, 3, 2]);
            _ = b.pick(CLIENT);
        }
    }

    /// What Traefik 3.7.15 does with a weighted service.
    #[test]
    fn the_order_is_that_of_traefik() {
        let order = |b: Balancer, n| (0..n).map(|_| b.pick(CLIENT).unwrap().index).collect::<Vec<_>>();
        assert_eq!(order(wrr(&[5, 3, 2]), 10), [0, 1, 0, 2, 0, 1, 0, 1, 0, 2]);
        assert_eq!(order(wrr(&[2, 1]), 6), [0, 1, 0, 0, 1, 0]);
    }

    #[test]
    fn spreads_again_when_health_flips() {
        let b = wrr(&[2, 1, 1]);
        b.set_up(0, false);
        assert_eq!(counts(&b, 100), [0, 50, 50]);
        b.set_up(1, false);
        assert_eq!(counts(&b, 5), [0, 0, 5]);
        b.set_up(0, true);
        b.set_up(1, true);
        assert_eq!(counts(&b, 100), [50, 25, 25]);
    }

    #[test]
    fn long_periods_are_spread_fairly() {
        let b = wrr(&[1_000_003, 500_000, 1]);
        let c = counts(&b, 15_000);
        assert!(c[0].abs_diff(10_000) < 5 && c[1].abs_diff(5_000) < 5, "{c:?}");
        let c = counts(&wrr(&[i64::MAX, i64::MAX, i64::MAX, 1]), 3_000);
        assert!(c[..3].iter().all(|n| n.abs_diff(1_000) < 5), "{c:?}");
        assert_eq!(counts(&wrr(&[i64::MAX, i64::MAX]), 10), [5, 5]);
    }
}
