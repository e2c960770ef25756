//! What the log has said: a source that flaps says the same again and again.

use rustc_hash::{FxHashMap, FxHasher};
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

/// How often the same comes in one period.
const OFTEN: u32 = 5;
const PERIOD: Duration = Duration::from_secs(600);
/// How much is remembered.
const MOST: usize = 10_000;

#[derive(Default)]
pub(crate) struct Said {
    /// By digest: since when, and how often.
    all: FxHashMap<u64, (Instant, u32)>,
}

impl Said {
    /// Whether this is to be said; that it was is noted.
    pub(crate) fn is_news(&mut self, what: impl Hash, now: Instant) -> bool {
        let mut hasher = FxHasher::default();
        what.hash(&mut hasher);
        if self.all.len() >= MOST {
            self.all.retain(|_, (since, _)| now.duration_since(*since) < PERIOD);
            if self.all.len() >= MOST {
                self.all.clear();
            }
        }
        let (since, times) = self.all.entry(hasher.finish()).or_insert((now, 0));
        if now.duration_since(*since) >= PERIOD {
            (*since, *times) = (now, 0);
        }
        *times = times.saturating_add(1);
        *times <= OFTEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_a_few_times_in_a_while() {
        let mut said = Said::default();
        let now = Instant::now();
        assert_eq!((0..20).filter(|_| said.is_news("a", now)).count(), 5);
        assert!(said.is_news("b", now));
        assert!(!said.is_news("a", now + PERIOD / 2));
        assert!(said.is_news("a", now + PERIOD));
        for n in 0..3 * MOST {
            said.is_news(n, now);
        }
        assert!(said.all.len() <= MOST);
    }
}
