//! Plugins as solvers of DNS-01 challenges.

use crate::abi::v0_1::dns_challenge::exports::torana::plugin::dns_challenge_hooks::Timing;
use crate::abi::v0_1::torana::plugin::types::ConfigError;
use crate::code::Instance;
use crate::component::export;
use crate::load::Loaded;
use crate::pool::{Call, Hooks, Pool};
use crate::state::State;
use crate::stats::{Hook, Outcome};
use std::sync::Arc;
use std::time::{Duration, Instant};
use torana_extend::{DnsChallenge, SendFuture};
use wasmtime::component::TypedFunc;
use wasmtime::{Result, Store};

type Change = TypedFunc<(String, String, String), (std::result::Result<(), String>,)>;

#[derive(Clone, Copy)]
pub(crate) struct DnsHooks {
    configure: TypedFunc<(String,), (std::result::Result<Timing, ConfigError>,)>,
    present: Change,
    clean_up: Change,
}

impl Hooks for DnsHooks {
    type Setup = (Duration, Duration);

    fn bind(loaded: &Loaded, store: &mut Store<State>, instance: &Instance) -> Result<Self> {
        const HOOKS: &str = "dns-challenge-hooks";
        Ok(DnsHooks {
            configure: export(loaded, store, instance, HOOKS, "configure")?,
            present: export(loaded, store, instance, HOOKS, "present")?,
            clean_up: export(loaded, store, instance, HOOKS, "clean-up")?,
        })
    }

    async fn configure(&self, call: &mut Call<'_>) -> Result<std::result::Result<Self::Setup, ConfigError>> {
        let config = call.environment().config.clone();
        let timing = call.run(&self.configure, (config,)).await?.0;
        Ok(timing.map(|t| (Duration::from_secs(t.timeout_s.into()), Duration::from_secs(t.interval_s.max(1).into()))))
    }
}

pub(crate) struct Dns(pub(crate) Arc<Pool<DnsHooks>>);

impl Dns {
    async fn change(
        &self,
        hook: Hook,
        which: fn(&DnsHooks) -> Change,
        domain: &str,
        fqdn: &str,
        value: &str,
    ) -> std::result::Result<(), String> {
        let mut lease = self.0.checkout().await.map_err(|f| f.to_string())?;
        let begin = Instant::now();
        match lease.call(which, (domain.to_owned(), fqdn.to_owned(), value.to_owned())).await {
            Ok((result,)) => {
                lease.good(hook, begin.elapsed(), Outcome::Good);
                result
            }
            Err(f) => {
                lease.bad(hook, &f, begin.elapsed());
                Err(f.to_string())
            }
        }
    }
}

impl DnsChallenge for Dns {
    fn timing(&self) -> (Duration, Duration) {
        self.0.setup
    }

    fn present<'a>(&'a self, domain: &'a str, fqdn: &'a str, value: &'a str) -> SendFuture<'a, std::result::Result<(), String>> {
        Box::pin(self.change(Hook::Present, |h| h.present, domain, fqdn, value))
    }

    fn clean_up<'a>(&'a self, domain: &'a str, fqdn: &'a str, value: &'a str) -> SendFuture<'a, std::result::Result<(), String>> {
        Box::pin(self.change(Hook::CleanUp, |h| h.clean_up, domain, fqdn, value))
    }
}
