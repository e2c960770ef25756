//! DNS challenges: see [`DnsChallenge`].

use std::cell::OnceCell;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::bindings::dns_challenge::exports::torana::plugin::dns_challenge_hooks as hooks;
use crate::{Capabilities, ConfigError, Failure, Package};

/// A TXT record that has to be seen by an ACME server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The domain that the certificate is for.
    pub domain: String,
    /// The name of the record, as in `_acme-challenge.example.com.`.
    pub fqdn: String,
    /// The text of the record.
    pub value: String,
}

/// How long the gateway waits for a record to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Altogether; whole seconds. Default: 60 s.
    pub timeout: Duration,
    /// Between two looks; whole seconds. Default: 2 s.
    pub interval: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing { timeout: Duration::from_secs(60), interval: Duration::from_secs(2) }
    }
}

/// Answers DNS-01 challenges of an ACME server for one account at one DNS provider.
pub trait DnsChallenge: Sized + 'static {
    /// The type of the configuration; `()` for none.
    type Config: DeserializeOwned + JsonSchema;

    /// What the plugin asks the operator for.
    const CAPABILITIES: Capabilities = Capabilities::NONE;

    /// Called once for each instance, before anything else.
    fn new(config: Self::Config) -> Result<Self, ConfigError>;

    /// How long records of this DNS provider take to be seen.
    fn timing(&self) -> Timing {
        Timing::default()
    }

    /// Makes the record.
    fn present(&self, challenge: &Challenge) -> Result<(), Failure>;

    /// Removes it.
    fn clean_up(&self, challenge: &Challenge) -> Result<(), Failure>;
}

#[doc(hidden)]
pub struct Slot<T>(OnceCell<T>);

#[doc(hidden)]
impl<T: DnsChallenge> Slot<T> {
    pub const fn empty() -> Slot<T> {
        Slot(OnceCell::new())
    }

    pub fn plugin(&self) -> Option<&T> {
        self.0.get()
    }

    pub fn describe(package: Package) -> String {
        crate::manifest::manifest::<T::Config>(package, "dns-challenge", T::CAPABILITIES)
    }

    pub fn configure(&self, config: &str) -> Result<hooks::Timing, ConfigError> {
        crate::host::start();
        let plugin = T::new(crate::config::parse(config)?)?;
        let Timing { timeout, interval } = plugin.timing();
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let timing = hooks::Timing { timeout_s: seconds(timeout), interval_s: seconds(interval) };
        match self.0.set(plugin) {
            Ok(()) => Ok(timing),
            Err(_) => Err(ConfigError::new("", "configured twice")),
        }
    }

    pub fn present(&self, challenge: &Challenge) -> Result<(), String> {
        self.plugin().ok_or("not configured")?.present(challenge).map_err(|failure| failure.to_string())
    }

    pub fn clean_up(&self, challenge: &Challenge) -> Result<(), String> {
        self.plugin().ok_or("not configured")?.clean_up(challenge).map_err(|failure| failure.to_string())
    }
}

/// Makes the component: `export_dns_challenge!(MyDns);`, or `export_dns_challenge!(MyDns, state);` for a type that also is
/// [`State`](crate::State).
#[macro_export]
macro_rules! export_dns_challenge {
    ($plugin:ty $(, $also:ident)?) => {
        const _: () = {
            ::std::thread_local! {
                static SLOT: $crate::dns_challenge::Slot<$plugin> = const { $crate::dns_challenge::Slot::empty() };
            }

            struct Component;

            use $crate::bindings::dns_challenge::exports::torana::plugin::dns_challenge_hooks as hooks;

            impl hooks::Guest for Component {
                fn configure(config: String) -> Result<hooks::Timing, hooks::ConfigError> {
                    SLOT.with(|slot| slot.configure(&config))
                }

                fn present(domain: String, fqdn: String, value: String) -> Result<(), String> {
                    SLOT.with(|slot| slot.present(&$crate::dns_challenge::Challenge { domain, fqdn, value }))
                }

                fn clean_up(domain: String, fqdn: String, value: String) -> Result<(), String> {
                    SLOT.with(|slot| slot.clean_up(&$crate::dns_challenge::Challenge { domain, fqdn, value }))
                }
            }

            // The names of the exports are no names for a native linker; there, the crate is only tested.
            #[cfg(not(target_arch = "wasm32"))]
            const _: fn(String) -> Result<hooks::Timing, hooks::ConfigError> = <Component as hooks::Guest>::configure;
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::dns_challenge::export_dns_challenge_hooks!(Component with_types_in $crate::bindings::dns_challenge);
            $crate::__export_description!(Component, $crate::dns_challenge::Slot<$plugin>);
            $($crate::__export_also!($also, Component, SLOT);)?
        };
    };
}
