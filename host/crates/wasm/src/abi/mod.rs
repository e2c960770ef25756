//! Bindings to the worlds of `wit/`, one file per released folder.

pub(crate) mod v0_1;
