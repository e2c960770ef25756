//! What Torana tells about itself: the application log, metrics, and the names of everything in them.

pub mod log;
pub mod metrics;
pub mod names;
