//! Matchers: see [`Matcher`].

use std::cell::OnceCell;
use std::rc::Rc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Capabilities, ConfigError, Interest, Package, RequestHead};

/// A function in the rules of routers, called by the name of the plugin: ``AbTest(`b`, `10`)``.
///
/// It must not wait: a matcher that uses `http` is refused by the gateway.
pub trait Matcher: Sized + 'static {
    /// The type of `plugins.<name>.config`; `()` for none.
    type Config: DeserializeOwned + JsonSchema;

    /// What the plugin asks the operator for.
    const CAPABILITIES: Capabilities = Capabilities::NONE;

    /// `arguments` as written in the rule. An error in one of them is told with an empty key.
    fn new(arguments: Vec<String>, config: Self::Config) -> Result<Self, ConfigError>;

    /// What `matches` is told: `Interest::request()` with the headers and facts. There is nothing else to be had.
    fn interest(&self) -> Interest;

    /// Whether the rule holds for a request.
    fn matches(&self, request: &RequestHead) -> bool;
}

#[doc(hidden)]
pub struct Slot<T>(OnceCell<(T, Rc<[String]>)>);

#[doc(hidden)]
impl<T: Matcher> Slot<T> {
    pub const fn empty() -> Slot<T> {
        Slot(OnceCell::new())
    }

    pub fn plugin(&self) -> Option<&T> {
        self.0.get().map(|(plugin, _)| plugin)
    }

    pub fn describe(package: Package) -> String {
        crate::manifest::manifest::<T::Config>(package, "matcher", T::CAPABILITIES)
    }

    pub fn configure(&self, arguments: Vec<String>, config: &str) -> Result<Vec<String>, ConfigError> {
        crate::host::start();
        let plugin = T::new(arguments, crate::config::parse(config)?)?;
        let names = plugin.interest().request.unwrap_or_default();
        match self.0.set((plugin, names.as_slice().into())) {
            Ok(()) => Ok(names),
            Err(_) => Err(ConfigError::new("", "configured twice")),
        }
    }

    pub fn matches(&self, values: Vec<Option<String>>) -> bool {
        let Some((plugin, names)) = self.0.get() else { return false };
        plugin.matches(&RequestHead::new(names, values, crate::message::undeclared))
    }
}

/// Makes the component: `export_matcher!(AbTest);`, or `export_matcher!(AbTest, state);` for a type that also is
/// [`State`](crate::State).
#[macro_export]
macro_rules! export_matcher {
    ($plugin:ty $(, $also:ident)?) => {
        const _: () = {
            ::std::thread_local! {
                static SLOT: $crate::matcher::Slot<$plugin> = const { $crate::matcher::Slot::empty() };
            }

            struct Component;

            use $crate::bindings::matcher::exports::torana::plugin::matcher_hooks as hooks;

            impl hooks::Guest for Component {
                fn configure(arguments: Vec<String>, config: String) -> Result<Vec<String>, hooks::ConfigError> {
                    SLOT.with(|slot| slot.configure(arguments, &config))
                }

                fn matches(values: hooks::Values) -> bool {
                    SLOT.with(|slot| slot.matches(values))
                }
            }

            // The names of the exports are no names for a native linker; there, the crate is only tested.
            #[cfg(not(target_arch = "wasm32"))]
            const _: fn(Vec<String>, String) -> Result<Vec<String>, hooks::ConfigError> = <Component as hooks::Guest>::configure;
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::matcher::export_matcher_hooks!(Component with_types_in $crate::bindings::matcher);
            $crate::__export_description!(Component, $crate::matcher::Slot<$plugin>);
            $($crate::__export_also!($also, Component, SLOT);)?
        };
    };
}
