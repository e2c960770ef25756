//! Plugins as balancing strategies.

use crate::abi::v0_1::balancer::exports::torana::plugin::balancer_hooks::Server;
use crate::abi::v0_1::torana::plugin::types::ConfigError;
use crate::code::Instance;
use crate::component::export;
use crate::load::Loaded;
use crate::matcher::{Asked, asked};
use crate::passing::{About, Wanted, request_value};
use crate::pool::{Call, Failure, Hooks, Pool};
use crate::state::State;
use crate::stats::{Hook, Outcome};
use std::sync::Arc;
use std::time::Instant;
use torana_extend::{ServerChoice, Servers};
use torana_http::Exchange;
use wasmtime::component::TypedFunc;
use wasmtime::{Result, Store};

#[derive(Clone, Copy)]
pub(crate) struct BalancerHooks {
    configure: TypedFunc<(String,), (std::result::Result<Vec<String>, ConfigError>,)>,
    update: TypedFunc<(Vec<Server>,), ()>,
    pick: TypedFunc<(Vec<Option<String>>,), (Option<u32>,)>,
}

impl Hooks for BalancerHooks {
    type Setup = Asked;

    fn bind(loaded: &Loaded, store: &mut Store<State>, instance: &Instance) -> Result<Self> {
        const HOOKS: &str = "balancer-hooks";
        Ok(BalancerHooks {
            configure: export(loaded, store, instance, HOOKS, "configure")?,
            update: export(loaded, store, instance, HOOKS, "update")?,
            pick: export(loaded, store, instance, HOOKS, "pick")?,
        })
    }

    async fn configure(&self, call: &mut Call<'_>) -> Result<std::result::Result<Asked, ConfigError>> {
        let config = call.environment().config.clone();
        asked(call.run(&self.configure, (config,)).await?.0)
    }
}

pub(crate) struct Choice {
    pool: Arc<Pool<BalancerHooks>>,
    wanted: Box<[Wanted]>,
}

impl Choice {
    pub(crate) fn new(pool: Arc<Pool<BalancerHooks>>) -> Choice {
        // They were parsed once before.
        let wanted = Wanted::parse_all(&pool.setup.0).unwrap_or_default();
        Choice { pool, wanted }
    }

    fn pick(&self, exchange: &Exchange, servers: &dyn Servers) -> std::result::Result<Option<usize>, Failure> {
        let mut lease = self.pool.checkout_now()?;
        let begin = Instant::now();
        let about = About::of(exchange);
        let values = self.wanted.iter().map(|w| request_value(w, &exchange.request, &about)).collect();
        let generation = servers.generation();
        let known = lease.live().store.data().servers == Some(generation);
        let result = (|| {
            if !known {
                let server = |i| Server { url: servers.url(i).to_owned(), weight: servers.weight(i), up: servers.is_up(i) };
                lease.call_now(|h| h.update, ((0..servers.len()).map(server).collect(),))?;
                lease.live().store.data_mut().servers = Some(generation);
            }
            let in_flight = &mut lease.live().store.data_mut().in_flight;
            in_flight.clear();
            in_flight.extend((0..servers.len()).map(|i| servers.in_flight(i)));
            lease.call_now(|h| h.pick, (values,))
        })();
        match result {
            Ok((index,)) => {
                lease.good(Hook::Pick, begin.elapsed(), Outcome::Good);
                Ok(index.map(|i| i as usize).filter(|i| *i < servers.len() && servers.is_up(*i)))
            }
            Err(f) => {
                lease.bad(Hook::Pick, &f, begin.elapsed());
                Err(f)
            }
        }
    }
}

impl ServerChoice for Choice {
    fn choose(&self, exchange: &Exchange, servers: &dyn Servers) -> Option<usize> {
        match self.pick(exchange, servers) {
            Ok(index) => index,
            // `open`: any server that is up rather than none.
            Err(_) if self.pool.loaded.failure == torana_config::routing::Failure::Open => {
                let up: Vec<usize> = (0..servers.len()).filter(|i| servers.is_up(*i) && servers.weight(*i) > 0).collect();
                up.get(fastrand::usize(..up.len().max(1))).copied()
            }
            Err(_) => None,
        }
    }
}
