//! Reports metrics to Datadog, StatsD and InfluxDB 2 at intervals, under Traefik's names.
//!
//! These count what has come since the last report. The one registry (`torana_telemetry::metrics`) has totals: they are
//! read when a report is due and what they have grown by is told, so that a request costs no more than without. Of
//! durations it has buckets and their sum; [`spread`] makes values of them.

mod address;
mod changes;
mod influx;
mod names;
mod push;
mod spread;
mod statsd;

pub use push::Push;

/// Upper bounds of durations in seconds, for what is reported as single values.
pub const BOUNDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0,
    5.0, 7.5, 10.0, 15.0, 30.0, 60.0,
];
