//! `torana:plugin@0.1.0`.

// What a macro makes is not ours to lint.
#![allow(unreachable_pub, dead_code)]

wasmtime::component::bindgen!({
    path: "../../../wit/0.1",
    world: "middleware",
    imports: { "torana:plugin/outgoing-http.send": async },
});

macro_rules! world {
    ($module:ident, $world:literal $(, $more:literal: $path:path)?) => {
        pub mod $module {
            wasmtime::component::bindgen!({
                path: "../../../wit/0.1",
                world: $world,
                require_store_data_send: true,
                with: {
                    "torana:plugin/types": super::torana::plugin::types,
                    "torana:plugin/log": super::torana::plugin::log,
                    "torana:plugin/config": super::torana::plugin::config,
                    "torana:plugin/clock": super::torana::plugin::clock,
                    "torana:plugin/kv": super::torana::plugin::kv,
                    "torana:plugin/metrics": super::torana::plugin::metrics,
                    "torana:plugin/secrets": super::torana::plugin::secrets,
                    $($more: $path,)?
                },
            });
        }
    };
}

world!(provider, "provider", "torana:plugin/outgoing-http": super::torana::plugin::outgoing_http);
world!(balancer, "balancer");
world!(dns_challenge, "dns-challenge", "torana:plugin/outgoing-http": super::torana::plugin::outgoing_http);
