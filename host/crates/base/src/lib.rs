//! Words that every other crate speaks: diagnostics with places, Go-style durations, qualified names,
//! secrets, names of TLS, spelling suggestions, what sources hold, and state that outlives a reload. No I/O, no
//! async.

mod diagnostic;
mod duration;
mod keep;
mod name;
mod objects;
mod secret;
mod shown;
mod status_ranges;
mod suggest;
pub mod tls;

pub use diagnostic::{Checked, Diagnostic, Place, Severity};
pub use duration::GoDuration;
pub use keep::Keep;
pub use name::{normalize, provider_of, qualify, unqualified};
pub use objects::{Objects, RejectedObject};
pub use secret::Secret;
pub use shown::shown;
pub use status_ranges::{NoStatusRange, StatusRanges};
pub use suggest::closest;
