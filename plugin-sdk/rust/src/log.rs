//! The gateway's log: `log::info!("{} of {}", done, all)`, and likewise `trace!`, `debug!`, `warn!`, `error!`.
//!
//! Lines carry the name of the plugin and of what it is used as. A line is cut at 8 KiB; more than 100 lines within one call are dropped.
//! Lines of `trace!` and `debug!` are not even formatted when the gateway does not write them.

use crate::host::log;

pub use crate::bindings::hosts::torana::plugin::log::Level;
pub use crate::{__debug as debug, __error as error, __info as info, __trace as trace, __warn as warn};

/// Writes a line.
pub fn write(level: Level, message: &str) {
    log::write(level, message);
}

/// Whether lines of that level are written at all.
pub fn enabled(level: Level) -> bool {
    log::enabled(level)
}

#[doc(hidden)]
#[macro_export]
macro_rules! __trace {
    ($($text:tt)+) => {
        if $crate::log::enabled($crate::log::Level::Trace) {
            $crate::log::write($crate::log::Level::Trace, &::std::format!($($text)+))
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($text:tt)+) => {
        if $crate::log::enabled($crate::log::Level::Debug) {
            $crate::log::write($crate::log::Level::Debug, &::std::format!($($text)+))
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($text)+)) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($text)+)) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($text)+)) };
}
