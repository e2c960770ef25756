//! What `wit-bindgen` makes of the contract. The imports and shared types are generated once, in `hosts`; each kind adds its hooks,
//! with a macro that exports an implementation of them from the plugin's crate.
#![allow(missing_docs, unreachable_pub, clippy::all)]

pub mod hosts {
    wit_bindgen::generate!({
        path: "wit",
        world: "torana:rust-sdk/hosts",
        generate_all,
        additional_derives: [PartialEq],
    });
}

macro_rules! exports {
    ($module:ident, $world:literal, $macro:literal $(, $types:literal)?) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit",
                world: $world,
                with: { $($types: crate::bindings::hosts::torana::plugin::types,)? },
                generate_all,
                additional_derives: [PartialEq],
                pub_export_macro: true,
                export_macro_name: $macro,
            });
        }
    };
}

exports!(middleware, "torana:rust-sdk/middleware", "export_middleware_hooks", "torana:plugin/types@0.1.0");
exports!(provider, "torana:rust-sdk/provider", "export_provider_hooks", "torana:plugin/types@0.1.0");
exports!(matcher, "torana:rust-sdk/matcher", "export_matcher_hooks", "torana:plugin/types@0.1.0");
exports!(balancer, "torana:rust-sdk/balancer", "export_balancer_hooks", "torana:plugin/types@0.1.0");
exports!(dns_challenge, "torana:rust-sdk/dns-challenge", "export_dns_challenge_hooks", "torana:plugin/types@0.1.0");
exports!(description, "torana:rust-sdk/description", "export_description");
exports!(state, "torana:rust-sdk/state", "export_state");
