//! Which requests are written (`accessLog.filters`).

use std::time::Duration;
use torana_base::StatusRanges;

/// Any of these is enough; without any, all requests are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub status: StatusRanges,
    /// Those that were tried again.
    pub retried: bool,
    /// Those that took longer. Below zero none, as in Traefik.
    pub min_nanos: i64,
}

impl Filter {
    pub(super) fn keeps(&self, status: u16, retries: u64, took: Duration) -> bool {
        let all = self.status.is_empty() && !self.retried && self.min_nanos == 0;
        let slow = u64::try_from(self.min_nanos).is_ok_and(|min| min > 0 && took > Duration::from_nanos(min));
        all || self.status.contains(status) || (self.retried && retries > 0) || slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_condition_is_enough() {
        let filter = |codes: &[&str], retried, min_nanos| Filter {
            status: StatusRanges::parse(&codes.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>()).unwrap(),
            retried,
            min_nanos,
        };
        let second = Duration::from_secs(1);
        for (filter, status, retries, kept) in [
            (filter(&[], false, 0), 200, 0, true),
            (filter(&["404"], false, 0), 200, 0, false),
            (filter(&["400-404"], false, 0), 404, 0, true),
            (filter(&[], true, 0), 200, 0, false),
            (filter(&["404"], true, 0), 200, 1, true),
            (filter(&[], false, 999_999_999), 200, 0, true),
            (filter(&[], false, 1_000_000_000), 200, 0, false),
            (filter(&[], false, -1), 200, 0, false),
        ] {
            assert_eq!(filter.keeps(status, retries, second), kept, "{filter:?}");
        }
    }
}
