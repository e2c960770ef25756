//! Plugins: WebAssembly components that the gateway calls. The only crate that knows wasmtime.
//!
//! `host` keeps which plugins there are, `entry` which version of each is used, `load` makes a version out of a
//! file, `pool` keeps its instances, and one file a kind (`middleware`, `matcher`, `balancer`, `provider`,
//! `dns`, `service`) is what the rest of the gateway calls.

mod abi;
mod balancer;
mod cache;
mod clock;
mod code;
mod component;
mod describe;
mod dns;
mod engine;
mod entry;
mod grants;
mod host;
mod http_wasm;
mod kv;
mod linker;
mod load;
mod matcher;
mod middleware;
mod native;
mod passing;
mod pool;
mod provider;
mod rest;
mod rollout;
mod schema;
mod service;
mod stage;
mod state;
mod stats;
mod stdio;
mod watch;

pub use describe::describe;
pub use host::Plugins;
pub use stage::{Delivered, Feed, Stage};
