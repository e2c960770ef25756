//! The time. Tests turn it with `testing::clock`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::host::clock;

/// The time of day.
pub fn now() -> SystemTime {
    UNIX_EPOCH + unix()
}

/// The time since 1970-01-01T00:00:00Z.
pub fn unix() -> Duration {
    Duration::from_nanos(clock::now())
}

/// A clock that never goes back; its zero means nothing.
pub fn monotonic() -> Duration {
    Duration::from_nanos(clock::monotonic())
}
