//! The power of two choices: of two different candidates at random, the one with fewer requests under way.

use super::Slot;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// `ready`: positions of those that may be picked. On a draw the first drawn wins.
pub(super) fn pick(ready: &[usize], slots: &[Arc<Slot>]) -> Option<usize> {
    let n = ready.len();
    if n < 2 {
        return ready.first().copied();
    }
    let first = fastrand::usize(..n);
    let second = fastrand::usize(..n - 1);
    let second = second + usize::from(second >= first);
    let busy = |at: usize| slots[ready[at]].in_flight.load(Relaxed);
    Some(ready[if busy(second) < busy(first) { second } else { first }])
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CLIENT, candidates, counts};
    use super::super::{Balancer, Strategy};

    #[test]
    fn two_idle_servers_share() {
        let c = counts(&Balancer::new(Strategy::P2c, candidates(&[1, 1])), 10_000);
        assert!(c.iter().all(|n| n.abs_diff(5_000) < 500), "{c:?}");
    }

    /// With everything held, the busiest of three is never the better of two.
    #[test]
    fn the_busiest_is_avoided() {
        let b = Balancer::new(Strategy::P2c, candidates(&[1, 9, 0]));
        let _held: Vec<_> = [0, 0, 0, 1, 1].map(|i| b.pick_index(i)).into();
        let c = counts(&b, 1_000);
        assert!(c[0] == 0 && c[1] > 0 && c[2] > c[1], "{c:?}");
    }

    #[test]
    fn held_requests_even_out() {
        let b = Balancer::new(Strategy::P2c, candidates(&[1, 1]));
        let _held: Vec<_> = (0..100).map(|_| b.pick(CLIENT)).collect();
        assert!(b.in_flight(0).abs_diff(b.in_flight(1)) <= 1);
    }
}
