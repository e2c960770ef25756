//! Guests of http-wasm, the interface of Traefik's WebAssembly plugins: core modules that import `http_handler` and
//! WASI preview 1 (https://http-wasm.io/http-handler-abi). Where that text leaves something open, they see what they
//! see in Traefik 3.7.
//!
//! A guest works on a request and on what Go calls a response writer (`message`, `answer`, `upload`). An instance
//! serves one exchange from `handle_request` to `handle_response` (`exchange`): what it keeps in globals between the
//! two is its request's own.

mod answer;
mod call;
mod config;
mod ending;
mod exchange;
mod linker;
mod load;
mod message;
#[cfg(test)]
mod tests;
mod upload;
mod uri;

pub(crate) use config::given;
pub(crate) use exchange::step;

use crate::abi::v0_1::torana::plugin::types::ConfigError;
use crate::code::Instance;
use crate::load::Loaded;
use crate::pool::{Call, Hooks, Pool};
use crate::state::State;
use message::Message;
use wasmtime::{Error, Memory, Result, Store, TypedFunc};

/// What an instance holds beside its memory.
#[derive(Default)]
pub(crate) struct Guest {
    memory: Option<Memory>,
    /// Features that it enabled when it started.
    features: u32,
    /// While it is called.
    message: Option<Box<Message>>,
}

/// The functions of a guest.
pub(crate) struct HttpWasm {
    /// `_start` and `_initialize`, those that there are.
    start: Vec<TypedFunc<(), ()>>,
    /// Gives the context in its upper half, and in its lower one whether the request goes on.
    handle_request: TypedFunc<(), u64>,
    /// Takes the context, and whether there was an error.
    handle_response: TypedFunc<(u32, u32), ()>,
}

pub(crate) type GuestPool = Pool<HttpWasm>;

impl Hooks for HttpWasm {
    type Setup = ();

    fn bind(_: &Loaded, store: &mut Store<State>, instance: &Instance) -> Result<Self> {
        let Instance::Module(instance) = instance else { return Err(Error::msg("it is no core module")) };
        let memory = instance.get_memory(&mut *store, "memory").ok_or_else(|| Error::msg("it exports no memory"))?;
        store.data_mut().guest.memory = Some(memory);
        let mut start = Vec::new();
        for name in ["_start", "_initialize"] {
            if instance.get_func(&mut *store, name).is_some() {
                start.push(instance.get_typed_func(&mut *store, name)?);
            }
        }
        Ok(HttpWasm {
            start,
            handle_request: instance.get_typed_func(&mut *store, "handle_request")?,
            handle_response: instance.get_typed_func(&mut *store, "handle_response")?,
        })
    }

    /// There is nothing to hand over: it asks for its configuration when it likes.
    async fn configure(&self, call: &mut Call<'_>) -> Result<std::result::Result<(), ConfigError>> {
        for start in &self.start {
            start.call_async(&mut *call.store, ()).await.map_err(|e| match e.downcast_ref::<wasmtime_wasi::I32Exit>() {
                Some(exit) => Error::msg(format!("it ended itself with exit status {} when it was started; a guest has to stay", exit.0)),
                None => e,
            })?;
        }
        Ok(Ok(()))
    }
}
