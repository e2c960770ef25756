//! State that outlives a version of a plugin: see [`State`].

use crate::Failure;

/// State that goes over from an instance of the version before to one of this version, when both have the same configuration. Export it with
/// `export_middleware!(Hello, state)` and the like.
///
/// What all instances share, or what must not be lost, belongs into [`kv`](crate::kv) instead.
pub trait State {
    /// The state, in a form that a later version can read.
    fn snapshot(&self) -> Vec<u8>;

    /// Takes over a state; called after `new` and before the first request. An error is logged, and the instance begins anew.
    fn restore(&self, snapshot: &[u8]) -> Result<(), Failure>;
}

#[doc(hidden)]
pub fn snapshot<T: State>(plugin: Option<&T>) -> Vec<u8> {
    plugin.map(State::snapshot).unwrap_or_default()
}

#[doc(hidden)]
pub fn restore<T: State>(plugin: Option<&T>, snapshot: &[u8]) -> Result<(), String> {
    plugin.ok_or("not configured")?.restore(snapshot).map_err(|failure| failure.to_string())
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_also {
    (state, $component:ident, $slot:ident) => {
        const _: () = {
            impl $crate::bindings::state::exports::torana::plugin::state::Guest for $component {
                fn snapshot() -> Vec<u8> {
                    $slot.with(|slot| $crate::state::snapshot(slot.plugin()))
                }

                fn restore(snapshot: Vec<u8>) -> Result<(), String> {
                    $slot.with(|slot| $crate::state::restore(slot.plugin(), &snapshot))
                }
            }

            #[cfg(target_arch = "wasm32")]
    $crate::bindings::state::export_state!($component with_types_in $crate::bindings::state);
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_description {
    ($component:ident, $slot:ty) => {
        const _: () = {
            impl $crate::bindings::description::exports::torana::plugin::description::Guest for $component {
                fn describe() -> String {
                    <$slot>::describe($crate::Package {
                        name: env!("CARGO_PKG_NAME"),
                        version: env!("CARGO_PKG_VERSION"),
                        description: env!("CARGO_PKG_DESCRIPTION"),
                    })
                }
            }

            #[cfg(target_arch = "wasm32")]
    $crate::bindings::description::export_description!($component with_types_in $crate::bindings::description);
        };
    };
}
