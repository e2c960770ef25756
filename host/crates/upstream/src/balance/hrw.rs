//! Rendezvous hashing: every candidate gets a score from a key, such as the client's address, and its own name; the
//! highest wins. When one goes down, only its clients move. What is hashed is what Traefik 3.7 hashes, so that a
//! client stays where it was after a migration. The price: FNV mixes its last bytes badly, so of names that
//! differ only in their last character (ports `:9101`, `:9102`) the heavier takes nearly all, whatever the
//! weights say.

use super::Candidate;
use std::fmt::{self, Display, Write};

/// 64-bit FNV-1a.
struct Fnv1a(u64);

impl Write for Fnv1a {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = text.bytes().fold(self.0, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Ok(())
    }
}

/// `ready`: positions of those with a positive weight that may be picked. On a draw the first wins.
pub(super) fn pick(ready: &[usize], candidates: &[Candidate], key: impl Display) -> Option<usize> {
    let mut of_key = Fnv1a(0xcbf2_9ce4_8422_2325);
    _ = write!(of_key, "{key}");
    let mut best: Option<(f64, usize)> = None;
    for &index in ready {
        let Candidate { name, weight, .. } = &candidates[index];
        let mut hash = Fnv1a(of_key.0);
        _ = hash.write_str(name);
        let score = *weight as f64 / -(hash.0 as f64 / 2f64.powi(64)).ln();
        if best.is_none_or(|(s, _)| score > s) {
            best = Some((score, index));
        }
    }
    best.map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use super::super::{Balancer, Candidate, Strategy};
    use std::net::IpAddr;

    fn hrw(all: &[(&str, i64)]) -> Balancer {
        let all = all.iter().map(|&(name, weight)| Candidate { name: name.to_owned(), weight, fenced: false });
        Balancer::new(Strategy::Hrw, all.collect())
    }

    fn by_client(b: &Balancer) -> Vec<usize> {
        (1..=30).map(|i| b.pick(IpAddr::from([127, 0, 0, i])).unwrap().index).collect()
    }

    /// Recorded from Traefik 3.7.15 for clients 127.0.0.1 to 127.0.0.30, and ::1.
    #[test]
    fn chooses_as_traefik_does() {
        let b = hrw(&[("http://127.0.0.1:9101", 1), ("http://127.0.0.1:9102", 1), ("http://127.0.0.1:9103/", 1)]);
        assert_eq!(by_client(&b), [2, 0, 2, 2, 0, 2, 2, 2, 2, 0, 1, 1, 0, 0, 2, 2, 0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 0, 2]);
        assert_eq!(b.pick("::1").unwrap().index, 1);
    }

    /// The same for a `highestRandomWeight` service: names count as written, with or without provider.
    #[test]
    fn chooses_children_as_traefik_does() {
        let b = hrw(&[("one", 1), ("two", 1), ("three@file", 2)]);
        assert_eq!(by_client(&b), [2, 2, 0, 2, 2, 1, 2, 1, 2, 2, 0, 2, 1, 0, 2, 0, 2, 2, 1, 2, 1, 0, 1, 0, 2, 1, 2, 0, 2, 0]);
    }

    #[test]
    fn only_the_clients_of_a_lost_server_move() {
        let b = hrw(&[("a", 1), ("b", 1), ("c", 1)]);
        let before = by_client(&b);
        b.set_up(1, false);
        let without = by_client(&b);
        assert!(before.iter().zip(&without).all(|(x, y)| *y != 1 && (*x == 1 || x == y)));
        b.set_up(1, true);
        assert_eq!(by_client(&b), before);
    }

    /// Recorded from Traefik 3.7.15 too: 5 to 1 is 30 to 0 when only the last character differs.
    #[test]
    fn weights_and_names_alike() {
        let b = hrw(&[("http://127.0.0.1:9101", 5), ("http://127.0.0.1:9102", 1), ("http://127.0.0.1:9103/", 0)]);
        assert_eq!(by_client(&b), [0; 30]);
    }

    #[test]
    fn weights_count() {
        let b = hrw(&[("a.backend.test", 3), ("b.backend.test", 1), ("c.backend.test", 0)]);
        let clients = (0..=255).flat_map(|a| (0..40).map(move |b| IpAddr::from([10, 1, b, a])));
        let first = clients.filter(|c| b.pick(*c).unwrap().index == 0).count();
        assert!(first.abs_diff(256 * 30) < 500, "{first}");
    }
}
