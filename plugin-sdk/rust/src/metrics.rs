//! Figures of the plugin's own, shown with those the gateway keeps of it. At most 64 names a plugin, `[a-z][a-z0-9_]*`; further ones are
//! dropped and counted.

use crate::host::metrics;

/// Adds to a counter.
pub fn add(name: &str, by: u64) {
    metrics::add(name, by);
}

/// Sets a gauge.
pub fn set(name: &str, value: f64) {
    metrics::set(name, value);
}
