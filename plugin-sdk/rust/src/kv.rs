//! Values kept outside the instances: all instances of a plugin on all workers see the same ones, and they outlive a new version of the
//! plugin. A namespace has to be granted (`permissions.kv`).
//!
//! ```no_run
//! # use torana_plugin_sdk::kv;
//! const SEEN: kv::Namespace = kv::Namespace::new("seen");
//! # fn main() -> Result<(), kv::Error> {
//! let times = SEEN.increment("bob", 1, Some(std::time::Duration::from_secs(60)))?;
//! # let _ = times; Ok(()) }
//! ```

use std::time::Duration;

use crate::host::kv;

/// Why the store refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The namespace is not granted.
    Denied,
    /// The key or value is too long, or the namespace is full.
    TooLarge,
    /// The store cannot be reached.
    Unavailable(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Denied => f.write_str("the namespace is not granted; add it to permissions.kv of the plugin"),
            Error::TooLarge => f.write_str("the key or value is too long, or the namespace is full"),
            Error::Unavailable(why) => write!(f, "the store cannot be reached: {why}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<crate::bindings::hosts::torana::plugin::kv::KvError> for Error {
    fn from(error: crate::bindings::hosts::torana::plugin::kv::KvError) -> Error {
        use crate::bindings::hosts::torana::plugin::kv::KvError;
        match error {
            KvError::Denied => Error::Denied,
            KvError::TooLarge => Error::TooLarge,
            KvError::Unavailable(why) => Error::Unavailable(why),
        }
    }
}

fn millis(ttl: Option<Duration>) -> Option<u64> {
    ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}

/// A part of the store with keys of its own.
#[derive(Clone, Copy, Debug)]
pub struct Namespace(&'static str);

impl Namespace {
    /// The namespace of that name.
    pub const fn new(name: &'static str) -> Namespace {
        Namespace(name)
    }

    /// The value of a key; `None` when there is none, or its time has passed.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(kv::get(self.0, key)?)
    }

    /// The value of a key as text; what is not UTF-8 in it becomes U+FFFD.
    pub fn get_text(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(self.get(key)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Sets a key, for a time when one is given.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<(), Error> {
        Ok(kv::set(self.0, key, value.as_ref(), millis(ttl))?)
    }

    /// Removes a key; no error when there is none.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        Ok(kv::delete(self.0, key)?)
    }

    /// Adds to a number in one step, 0 when there is none, and gives the sum. The time counts from the moment the key is made.
    pub fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, Error> {
        Ok(kv::increment(self.0, key, by, millis(ttl))?)
    }
}
