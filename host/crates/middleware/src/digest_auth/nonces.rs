use crate::random_key;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use subtle::ConstantTimeEq;

const SHARDS: usize = 16;
/// Nonces in use that one shard remembers, at most.
const MAX_USED: usize = 1024;
/// With it a nonce needs no `=` at its end: the challenge is read by simple clients too.
const MAC: usize = 14;

/// What a client's count of its requests with a nonce means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Higher than all before.
    Next,
    /// The last one once more.
    Again,
    /// Lower than one before, or the nonce is too old to tell.
    Past,
    /// A nonce of somebody else.
    Foreign,
}

/// Nonces that say by themselves whose they are: only those that somebody used with a right password take memory.
pub(super) struct Nonces {
    key: [u8; 32],
    begin: Instant,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    used: HashMap<Vec<u8>, Used>,
    /// Nonces that were issued up to here and are not among those in use may have been forgotten.
    forgotten: u64,
}

struct Used {
    count: u64,
    issued: u64,
    last: Instant,
}

impl Default for Nonces {
    fn default() -> Self {
        Nonces { key: random_key::new(), begin: Instant::now(), shards: Default::default() }
    }
}

impl Nonces {
    pub(super) fn issue(&self) -> String {
        // From one on: nothing has been forgotten at first.
        let now = u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        let mut nonce = [now.to_be_bytes(), fastrand::u64(..).to_be_bytes()].concat();
        let mac = self.mac(&nonce);
        nonce.extend(mac);
        STANDARD.encode(nonce)
    }

    fn mac(&self, nonce: &[u8]) -> [u8; MAC] {
        let mut mac = [0; MAC];
        mac.copy_from_slice(&Sha256::new().chain_update(self.key).chain_update(nonce).finalize()[..MAC]);
        mac
    }

    /// Takes note of a request with a right password.
    pub(super) fn take(&self, nonce: &str, count: u64) -> Turn {
        let Ok(nonce) = STANDARD.decode(nonce) else { return Turn::Foreign };
        let Some((body, mac)) = nonce.split_last_chunk::<MAC>() else { return Turn::Foreign };
        let (Some(issued), true) = (body.first_chunk().map(|t| u64::from_be_bytes(*t)), bool::from(self.mac(body).ct_eq(mac))) else {
            return Turn::Foreign;
        };
        let mut shard = self.shards[usize::from(mac[0]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        let last = Instant::now();
        if let Some(used) = shard.used.get_mut(&nonce) {
            return match count.cmp(&used.count) {
                std::cmp::Ordering::Less => Turn::Past,
                std::cmp::Ordering::Equal => Turn::Again,
                std::cmp::Ordering::Greater => {
                    (used.count, used.last) = (count, last);
                    Turn::Next
                }
            };
        }
        if issued <= shard.forgotten {
            return Turn::Past;
        }
        shard.make_room();
        shard.used.insert(nonce, Used { count, issued, last });
        Turn::Next
    }
}

impl Shard {
    /// Forgets the quarter that has not been used for longest, when there are too many.
    fn make_room(&mut self) {
        if self.used.len() < MAX_USED {
            return;
        }
        let mut times: Vec<Instant> = self.used.values().map(|u| u.last).collect();
        let (_, limit, _) = times.select_nth_unstable(MAX_USED / 4);
        let (limit, forgotten) = (*limit, &mut self.forgotten);
        self.used.retain(|_, used| {
            let stays = used.last > limit;
            if !stays {
                *forgotten = (*forgotten).max(used.issued);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_up() {
        let (ours, theirs) = (Nonces::default(), Nonces::default());
        let nonce = ours.issue();
        for (count, turn) in [(5, Turn::Next), (5, Turn::Again), (4, Turn::Past), (6, Turn::Next), (u64::MAX, Turn::Next)] {
            assert_eq!(ours.take(&nonce, count), turn, "{count}");
        }
        assert_eq!(theirs.take(&nonce, 1), Turn::Foreign);
        assert_ne!(ours.issue(), nonce);
        for junk in ["", "zz", &nonce[1..], &format!("zz{nonce}"), &STANDARD.encode([0; 32]), &STANDARD.encode([0; 4])] {
            assert_eq!(ours.take(junk, 1), Turn::Foreign, "{junk}");
        }
    }

    #[test]
    fn memory_is_bounded_and_nothing_forgotten_passes_again() {
        let nonces = Nonces::default();
        let first: Vec<String> = (0..2000).map(|_| nonces.issue()).collect();
        first.iter().for_each(|n| assert_eq!(nonces.take(n, 1), Turn::Next));
        for _ in 0..40_000 {
            nonces.issue();
            // What is not used takes no memory.
            assert!(nonces.shards.iter().all(|s| s.lock().unwrap().used.len() <= MAX_USED));
            if fastrand::u8(..) < 128 {
                nonces.take(&nonces.issue(), 1);
            }
        }
        assert!(nonces.shards.iter().all(|s| s.lock().unwrap().used.len() <= MAX_USED));
        assert!(first.iter().all(|n| matches!(nonces.take(n, 1), Turn::Past | Turn::Again)));
        assert_eq!(nonces.take(&nonces.issue(), 1), Turn::Next, "a new one is good");
    }
}
