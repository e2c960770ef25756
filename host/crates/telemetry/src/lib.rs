//! What Torana tells about itself: so far the application log, and the names of everything in it.

pub mod log;
pub mod names;
