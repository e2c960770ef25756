//! Providers: see [`Provider`].

use std::cell::OnceCell;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::provider::exports::torana::plugin::provider_hooks as hooks;
use crate::{Capabilities, ConfigError, Failure, Package};

/// What there is now, and when to ask again.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery(hooks::Delivery);

impl Delivery {
    /// The whole routing configuration, with the keys of a dynamic file. Asked again after 10 seconds.
    pub fn document(document: &impl Serialize) -> Result<Delivery, Failure> {
        Ok(Delivery(hooks::Delivery { document: Some(serde_json::to_string(document)?), again_ms: 10_000 }))
    }

    /// It is still the last one. Asked again after 10 seconds.
    pub fn unchanged() -> Delivery {
        Delivery(hooks::Delivery { document: None, again_ms: 10_000 })
    }

    /// When to ask again; at least 100 ms.
    pub fn again_after(mut self, pause: Duration) -> Delivery {
        self.0.again_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// When the gateway asks again.
    pub fn pause(&self) -> Duration {
        Duration::from_millis(self.0.again_ms)
    }

    /// The document as JSON text; `None` when it is unchanged.
    pub fn json(&self) -> Option<&str> {
        self.0.document.as_deref()
    }
}

#[doc(hidden)]
impl From<hooks::Delivery> for Delivery {
    fn from(delivery: hooks::Delivery) -> Delivery {
        Delivery(delivery)
    }
}

/// A source of routing configuration, asked again and again.
pub trait Provider: Sized + 'static {
    /// The type of the configuration; `()` for none.
    type Config: DeserializeOwned + JsonSchema;

    /// What the plugin asks the operator for.
    const CAPABILITIES: Capabilities = Capabilities::NONE;

    /// Called once for each instance, before anything else.
    fn new(config: Self::Config) -> Result<Self, ConfigError>;

    /// What there is now. May wait (`http`). After an error the last document stays, and the gateway tries again with growing pauses.
    fn poll(&self) -> Result<Delivery, Failure>;
}

#[doc(hidden)]
pub struct Slot<T>(OnceCell<T>);

#[doc(hidden)]
impl<T: Provider> Slot<T> {
    pub const fn empty() -> Slot<T> {
        Slot(OnceCell::new())
    }

    pub fn plugin(&self) -> Option<&T> {
        self.0.get()
    }

    pub fn describe(package: Package) -> String {
        crate::manifest::manifest::<T::Config>(package, "provider", T::CAPABILITIES)
    }

    pub fn configure(&self, config: &str) -> Result<(), ConfigError> {
        crate::host::start();
        self.0.set(T::new(crate::config::parse(config)?)?).map_err(|_| ConfigError::new("", "configured twice"))
    }

    pub fn poll(&self) -> Result<hooks::Delivery, String> {
        match self.plugin().ok_or("not configured")?.poll() {
            Ok(delivery) => Ok(delivery.0),
            Err(failure) => Err(failure.to_string()),
        }
    }
}

/// Makes the component: `export_provider!(Inventory);`, or `export_provider!(Inventory, state);` for a type that also is
/// [`State`](crate::State).
#[macro_export]
macro_rules! export_provider {
    ($plugin:ty $(, $also:ident)?) => {
        const _: () = {
            ::std::thread_local! {
                static SLOT: $crate::provider::Slot<$plugin> = const { $crate::provider::Slot::empty() };
            }

            struct Component;

            use $crate::bindings::provider::exports::torana::plugin::provider_hooks as hooks;

            impl hooks::Guest for Component {
                fn configure(config: String) -> Result<(), hooks::ConfigError> {
                    SLOT.with(|slot| slot.configure(&config))
                }

                fn poll() -> Result<hooks::Delivery, String> {
                    SLOT.with(|slot| slot.poll())
                }
            }

            // The names of the exports are no names for a native linker; there, the crate is only tested.
            #[cfg(not(target_arch = "wasm32"))]
            const _: fn(String) -> Result<(), hooks::ConfigError> = <Component as hooks::Guest>::configure;
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::provider::export_provider_hooks!(Component with_types_in $crate::bindings::provider);
            $crate::__export_description!(Component, $crate::provider::Slot<$plugin>);
            $($crate::__export_also!($also, Component, SLOT);)?
        };
    };
}
