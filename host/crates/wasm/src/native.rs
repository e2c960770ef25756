//! The unsafe calls of this crate.
#![allow(unsafe_code)]

use std::path::Path;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Maps a compiled component. The error says that it is of another engine, version or machine.
pub(crate) fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file was written by `Cache::keep` from the output of `precompile_component`, in a directory
    // that belongs to this user and that no other may write to (`cache::private`); it is replaced by rename
    // only, never written in place, so that the mapping does not change. A file of another version of
    // wasmtime, other settings or another CPU is refused by wasmtime itself.
    unsafe { Component::deserialize_file(engine, path) }
}

/// The user this process runs as.
pub(crate) fn user() -> u32 {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}
