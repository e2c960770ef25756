//! When a certificate was last shown to a client.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

const HOUR: u64 = 3600;

/// The hour of the last use. Written once in an hour, so that workers do not fight for it.
#[derive(Debug, Default)]
pub struct Used(AtomicU32);

impl Used {
    pub fn touch(&self) {
        let now = hours(SystemTime::now());
        if self.0.load(Ordering::Relaxed) != now {
            self.0.store(now, Ordering::Relaxed);
        }
    }

    /// Whether it was used by this process, no longer ago than that.
    pub(in crate::acme) fn within(&self, time: Duration) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        last != 0 && u64::from(hours(SystemTime::now()).saturating_sub(last)) <= time.as_secs() / HOUR
    }
}

/// What is used is the same whenever it was.
impl PartialEq for Used {
    fn eq(&self, _: &Used) -> bool {
        true
    }
}

impl Eq for Used {}

fn hours(time: SystemTime) -> u32 {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    u32::try_from(seconds / HOUR).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_used_is_not() {
        let used = Used::default();
        assert!(!used.within(Duration::from_secs(u64::MAX)));
        used.touch();
        assert!(used.within(Duration::ZERO));
        used.0.fetch_sub(3, Ordering::Relaxed);
        assert_eq!([2, 3].map(|h| used.within(Duration::from_secs(h * HOUR))), [false, true]);
    }
}
