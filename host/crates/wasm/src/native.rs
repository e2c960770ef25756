//! The unsafe calls of this crate.
#![allow(unsafe_code)]

use std::path::Path;
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Result};

/// What is compiled once and then mapped from a file.
pub(crate) trait Compiled: Sized {
    fn compile(engine: &Engine, bytes: &[u8]) -> Result<Self>;

    /// The content of the file.
    fn precompile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>>;

    /// Maps such a file. The error says that it is of another engine, version or machine.
    fn map(engine: &Engine, path: &Path) -> Result<Self>;
}

// SAFETY of both `map`: the file was written by `Cache::keep` from the output of `precompile`, in a directory that
// belongs to this user and that no other may write to (`cache::private`); it is replaced by rename only, never written
// in place, so that the mapping does not change. A file of another version of wasmtime, other settings or another CPU
// is refused by wasmtime itself.

impl Compiled for Component {
    fn compile(engine: &Engine, bytes: &[u8]) -> Result<Self> {
        Component::new(engine, bytes)
    }

    fn precompile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>> {
        engine.precompile_component(bytes)
    }

    fn map(engine: &Engine, path: &Path) -> Result<Self> {
        // SAFETY: see above.
        unsafe { Component::deserialize_file(engine, path) }
    }
}

impl Compiled for Module {
    fn compile(engine: &Engine, bytes: &[u8]) -> Result<Self> {
        Module::new(engine, bytes)
    }

    fn precompile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>> {
        engine.precompile_module(bytes)
    }

    fn map(engine: &Engine, path: &Path) -> Result<Self> {
        // SAFETY: see above.
        unsafe { Module::deserialize_file(engine, path) }
    }
}

/// The user this process runs as.
pub(crate) fn user() -> u32 {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}
