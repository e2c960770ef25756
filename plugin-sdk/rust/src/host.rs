//! The gateway's side: in a component the imports, elsewhere (`cargo test`) the doubles of `testing`.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::hosts::torana::plugin::{clock, config, exchange, kv, log, metrics, outgoing_http, secrets, servers};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::host::{clock, config, exchange, kv, log, metrics, outgoing_http, secrets, servers};

/// Once in each instance: lets panics go to the gateway's log. Tests keep the hook of the test runner.
pub(crate) fn start() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("no message");
        let place = info.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
        log::write(log::Level::Error, &format!("panicked{place}: {message}"));
    }));
}
