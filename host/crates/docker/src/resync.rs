//! When all containers are to be listed again, whatever events say.

use std::time::{Duration, Instant};

/// Between two lists while events come.
const RESYNC: Duration = Duration::from_secs(60);
/// After a look at one container that failed.
const SOON: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Resync {
    /// `None` until there was a first list.
    at: Option<Instant>,
    /// The first one is under way from the begin.
    listing: bool,
    /// A look has failed that the list under way may be older than.
    missed: bool,
}

impl Resync {
    pub(crate) fn new() -> Resync {
        Resync { at: None, listing: true, missed: false }
    }

    /// Whether there was a list.
    pub(crate) fn begun(&self) -> bool {
        self.at.is_some()
    }

    pub(crate) fn is_listing(&self) -> bool {
        self.listing
    }

    /// When to list again; not while a list is under way.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.at.filter(|_| !self.listing)
    }

    pub(crate) fn list_begins(&mut self) {
        self.listing = true;
    }

    pub(crate) fn listed(&mut self, now: Instant) {
        self.listing = false;
        self.at = Some(now + if std::mem::take(&mut self.missed) { SOON } else { RESYNC });
    }

    pub(crate) fn look_failed(&mut self, now: Instant) {
        self.missed |= self.listing;
        self.at = self.at.map(|at| at.min(now + SOON));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_due_while_a_list_is_under_way_and_nothing_is_forgotten() {
        let now = Instant::now();
        let mut resync = Resync::new();
        assert!(!resync.begun() && resync.due().is_none());
        resync.listed(now);
        assert_eq!(resync.due(), Some(now + RESYNC));
        resync.look_failed(now);
        assert_eq!(resync.due(), Some(now + SOON));
        resync.list_begins();
        assert_eq!(resync.due(), None);
        // what failed before it began is in it
        resync.listed(now);
        assert_eq!(resync.due(), Some(now + RESYNC));
        resync.list_begins();
        resync.look_failed(now);
        assert_eq!(resync.due(), None);
        resync.listed(now);
        assert_eq!(resync.due(), Some(now + SOON));
    }
}
