//! Weighted round robin as Traefik's TCP and UDP services do it: round after round over the members, each one
//! taking part while its weight reaches the level of the round; the level goes down from the highest weight by
//! the greatest common divisor of all.

use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Shared by all workers; picking takes no lock.
#[derive(Debug)]
pub struct Rotor {
    weights: Box<[i64]>,
    up: Box<[AtomicBool]>,
    order: ArcSwap<Order>,
    cursor: AtomicU64,
    /// Held while `order` is made anew.
    change: Mutex<()>,
}

/// One period of the rotation, as runs of rounds with the same members.
#[derive(Debug, Default)]
struct Order {
    period: u128,
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    start: u128,
    end: u128,
    members: Box<[u32]>,
}

impl Order {
    fn new(weights: &[i64], up: &[AtomicBool]) -> Self {
        let weight = |i: usize| u64::try_from(weights[i]).unwrap_or(0);
        let ready: Vec<usize> = (0..weights.len()).filter(|i| weight(*i) > 0 && up[*i].load(Relaxed)).collect();
        let step = ready.iter().fold(0, |g, i| gcd(g, weight(*i))).max(1);
        let mut levels: Vec<u64> = ready.iter().map(|i| weight(*i)).collect();
        levels.sort_unstable_by(|a, b| b.cmp(a));
        levels.dedup();
        let mut order = Order::default();
        for (at, level) in levels.iter().enumerate() {
            let members: Box<[u32]> = ready.iter().filter(|i| weight(**i) >= *level).map(|i| *i as u32).collect();
            let rounds = (level - levels.get(at + 1).copied().unwrap_or(0)) / step;
            let start = order.period;
            order.period += u128::from(rounds) * members.len() as u128;
            order.runs.push(Run { start, end: order.period, members });
        }
        order
    }

    fn at(&self, n: u64) -> Option<usize> {
        let n = u128::from(n).checked_rem(self.period)?;
        let run = self.runs.get(self.runs.partition_point(|r| r.end <= n))?;
        let place = (n - run.start) % run.members.len() as u128;
        run.members.get(place as usize).map(|i| *i as usize)
    }
}

impl Rotor {
    /// All members start up. A weight of 0 and below takes a member out.
    pub fn new(weights: impl IntoIterator<Item = i64>) -> Self {
        let weights: Box<[i64]> = weights.into_iter().collect();
        let up: Box<[_]> = weights.iter().map(|_| AtomicBool::new(true)).collect();
        let order = ArcSwap::from_pointee(Order::new(&weights, &up));
        Rotor { weights, up, order, cursor: AtomicU64::new(0), change: Mutex::new(()) }
    }

    /// The next member; `None` when none is up, or all weights are 0.
    pub fn next(&self) -> Option<usize> {
        self.order.load().at(self.cursor.fetch_add(1, Relaxed))
    }

    /// Records whether a member is up; true if that is news.
    pub fn set_up(&self, index: usize, up: bool) -> bool {
        let Some(state) = self.up.get(index) else { return false };
        if state.load(Relaxed) == up {
            return false;
        }
        let _held = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        if state.swap(up, Relaxed) == up {
            return false;
        }
        self.order.store(std::sync::Arc::new(Order::new(&self.weights, &self.up)));
        true
    }

    pub fn is_up(&self, index: usize) -> bool {
        self.up.get(index).is_some_and(|u| u.load(Relaxed))
    }

    /// Whether any member is up, whatever its weight.
    pub fn any_up(&self) -> bool {
        self.up.iter().any(|u| u.load(Relaxed))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(weights: &[i64], n: usize) -> Vec<usize> {
        let r = Rotor::new(weights.iter().copied());
        (0..n).map_while(|_| r.next()).collect()
    }

    /// Traefik's loop, step by step.
    fn reference(weights: &[i64], n: usize) -> Vec<usize> {
        let max = weights.iter().copied().max().unwrap_or(0);
        let g = weights.iter().fold(0, |g, w| gcd(g, *w as u64)) as i64;
        let (mut index, mut current, mut out) = (usize::MAX, 0, Vec::new());
        while out.len() < n {
            index = index.wrapping_add(1) % weights.len();
            if index == 0 {
                current -= g;
                if current <= 0 {
                    current = max;
                }
            }
            if weights[index] >= current {
                out.push(index);
            }
        }
        out
    }

    #[test]
    fn the_order_is_that_of_traefik() {
        assert_eq!(order(&[3, 1], 8), [0, 0, 0, 1, 0, 0, 0, 1]);
        for weights in [&[1][..], &[1, 1, 1], &[3, 1], &[4, 2, 6], &[5, 3, 2, 1], &[10, 0, 5], &[0, 7]] {
            assert_eq!(order(weights, 60), reference(weights, 60), "{weights:?}");
        }
    }

    #[test]
    fn without_weight_or_health_there_is_none() {
        assert!(order(&[], 1).is_empty() && order(&[0, 0], 1).is_empty() && order(&[-1], 1).is_empty());
        let r = Rotor::new([1, 1]);
        assert!(r.set_up(0, false) && !r.set_up(0, false) && !r.set_up(9, false) && r.any_up());
        assert_eq!((0..3).map(|_| r.next()).collect::<Vec<_>>(), [Some(1); 3]);
        assert!(r.set_up(1, false) && r.next().is_none() && !r.any_up() && !r.is_up(1));
        assert!(r.set_up(0, true));
        assert_eq!(r.next(), Some(0));
    }

    #[test]
    fn huge_weights_cost_no_memory() {
        let r = Rotor::new([i64::MAX, i64::MAX, 1]);
        let n = (0..1000).filter(|_| r.next() == Some(0)).count();
        assert_eq!(n, 500);
    }
}
