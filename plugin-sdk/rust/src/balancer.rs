//! Balancers: see [`Balancer`].

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::bindings::balancer::exports::torana::plugin::balancer_hooks as hooks;
use crate::{Capabilities, ConfigError, Interest, Package, RequestHead};

/// A server of the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Its place in the list.
    pub index: usize,
    /// Its address.
    pub url: String,
    /// As configured; 1 when it is not.
    pub weight: u32,
    /// Whether the health check, if there is one, finds it well. A server that is not up is not used: picking it answers 503.
    pub up: bool,
}

impl Server {
    /// Requests that it was given and that still run.
    pub fn in_flight(&self) -> u32 {
        u32::try_from(self.index).map_or(0, crate::host::servers::in_flight)
    }
}

/// A load-balancing strategy.
pub trait Balancer: Sized + 'static {
    /// The type of the configuration; `()` for none.
    type Config: DeserializeOwned + JsonSchema;

    /// What the plugin asks the operator for.
    const CAPABILITIES: Capabilities = Capabilities::NONE;

    /// Called once for each instance, before anything else.
    fn new(config: Self::Config) -> Result<Self, ConfigError>;

    /// What `pick` is told: `Interest::request()` with the headers and facts. There is nothing else to be had.
    fn interest(&self) -> Interest;

    /// The servers are others now, or one of them went up or down; called before the first `pick`, too. For what is worth preparing.
    fn update(&self, _servers: &[Server]) {}

    /// The index of the server for a request; `None` answers 503.
    fn pick(&self, request: &RequestHead, servers: &[Server]) -> Option<usize>;
}

struct Configured<T> {
    plugin: T,
    names: Rc<[String]>,
    servers: RefCell<Vec<Server>>,
}

#[doc(hidden)]
pub struct Slot<T>(OnceCell<Configured<T>>);

#[doc(hidden)]
impl<T: Balancer> Slot<T> {
    pub const fn empty() -> Slot<T> {
        Slot(OnceCell::new())
    }

    pub fn plugin(&self) -> Option<&T> {
        self.0.get().map(|configured| &configured.plugin)
    }

    pub fn describe(package: Package) -> String {
        crate::manifest::manifest::<T::Config>(package, "balancer", T::CAPABILITIES)
    }

    pub fn configure(&self, config: &str) -> Result<Vec<String>, ConfigError> {
        crate::host::start();
        let plugin = T::new(crate::config::parse(config)?)?;
        let names = plugin.interest().request.unwrap_or_default();
        match self.0.set(Configured { plugin, names: names.as_slice().into(), servers: RefCell::default() }) {
            Ok(()) => Ok(names),
            Err(_) => Err(ConfigError::new("", "configured twice")),
        }
    }

    pub fn update(&self, all: Vec<hooks::Server>) {
        let Some(Configured { plugin, servers, .. }) = self.0.get() else { return };
        let all = all.into_iter().enumerate();
        *servers.borrow_mut() = all.map(|(index, hooks::Server { url, weight, up })| Server { index, url, weight, up }).collect();
        plugin.update(&servers.borrow());
    }

    pub fn pick(&self, values: Vec<Option<String>>) -> Option<u32> {
        let Configured { plugin, names, servers } = self.0.get()?;
        let request = RequestHead::new(names, values, crate::message::undeclared);
        u32::try_from(plugin.pick(&request, &servers.borrow())?).ok()
    }
}

/// Makes the component: `export_balancer!(Canary);`, or `export_balancer!(Canary, state);` for a type that also is
/// [`State`](crate::State).
#[macro_export]
macro_rules! export_balancer {
    ($plugin:ty $(, $also:ident)?) => {
        const _: () = {
            ::std::thread_local! {
                static SLOT: $crate::balancer::Slot<$plugin> = const { $crate::balancer::Slot::empty() };
            }

            struct Component;

            use $crate::bindings::balancer::exports::torana::plugin::balancer_hooks as hooks;

            impl hooks::Guest for Component {
                fn configure(config: String) -> Result<Vec<String>, hooks::ConfigError> {
                    SLOT.with(|slot| slot.configure(&config))
                }

                fn update(all: Vec<hooks::Server>) {
                    SLOT.with(|slot| slot.update(all))
                }

                fn pick(values: hooks::Values) -> Option<u32> {
                    SLOT.with(|slot| slot.pick(values))
                }
            }

            // The names of the exports are no names for a native linker; there, the crate is only tested.
            #[cfg(not(target_arch = "wasm32"))]
            const _: fn(String) -> Result<Vec<String>, hooks::ConfigError> = <Component as hooks::Guest>::configure;
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::balancer::export_balancer_hooks!(Component with_types_in $crate::bindings::balancer);
            $crate::__export_description!(Component, $crate::balancer::Slot<$plugin>);
            $($crate::__export_also!($also, Component, SLOT);)?
        };
    };
}
