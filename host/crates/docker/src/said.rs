//! What the log was told: a container that comes and goes says the same each time, and once is enough.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The same is not said again within this time.
const AGAIN: Duration = Duration::from_secs(600);
/// What is remembered, at most.
const MOST: usize = 10_000;

#[derive(Default)]
pub(crate) struct Said {
    last: HashMap<(String, String), Instant>,
}

impl Said {
    /// Whether this is to be said now.
    pub(crate) fn is_news(&mut self, of: &str, what: &str, now: Instant) -> bool {
        if self.last.len() >= MOST {
            self.last.retain(|_, at| now.duration_since(*at) < AGAIN);
            if self.last.len() >= MOST {
                self.last.clear();
            }
        }
        match self.last.get_mut(&(of.to_owned(), what.to_owned())) {
            Some(at) if now.duration_since(*at) < AGAIN => false,
            Some(at) => {
                *at = now;
                true
            }
            None => {
                self.last.insert((of.to_owned(), what.to_owned()), now);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_in_a_while() {
        let (mut said, now) = (Said::default(), Instant::now());
        assert!(said.is_news("a", "x", now) && said.is_news("a", "y", now) && said.is_news("b", "x", now));
        assert!(!said.is_news("a", "x", now + AGAIN / 2));
        assert!(said.is_news("a", "x", now + AGAIN));
        for i in 0..2 * MOST {
            said.is_news(&i.to_string(), "x", now);
        }
        assert!(said.last.len() <= MOST);
    }
}
