//! What Torana tells about itself: the application log, the access log, metrics, and the names of everything in them.

pub mod access_log;
pub mod log;
pub mod metrics;
pub mod names;
mod record;

pub use record::{Record, Records, Severity, Trace};
