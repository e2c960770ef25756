//! Plugins as matchers of rules.

use crate::abi::v0_1::torana::plugin::types::ConfigError;
use crate::code::Instance;
use crate::component::export;
use crate::load::Loaded;
use crate::passing::Wanted;
use crate::pool::{Call, Failure, Hooks, Pool};
use crate::state::State;
use crate::stats::{Hook, Outcome};
use std::sync::Arc;
use std::time::Instant;
use torana_extend::{Facts, RequestTest};
use wasmtime::component::TypedFunc;
use wasmtime::{Result, Store};

type Configured = std::result::Result<Vec<String>, ConfigError>;

#[derive(Clone, Copy)]
pub(crate) struct MatcherHooks {
    configure: TypedFunc<(Vec<String>, String), (Configured,)>,
    matches: TypedFunc<(Vec<Option<String>>,), (bool,)>,
}

/// Names as asked for.
pub(crate) struct Asked(pub(crate) Box<[String]>);

/// Checks the names of values.
pub(crate) fn asked(configured: Configured) -> Result<std::result::Result<Asked, ConfigError>> {
    match configured {
        Ok(names) => {
            let wanted = Wanted::parse_all(&names).map_err(|e| wasmtime::Error::msg(format!("what it asks for: {e}")))?;
            if wanted.contains(&Wanted::Status) {
                return Err(wasmtime::Error::msg("what it asks for: a request has no `:status`"));
            }
            Ok(Ok(Asked(names.into_iter().map(|n| n.to_ascii_lowercase()).collect())))
        }
        Err(e) => Ok(Err(e)),
    }
}

impl Hooks for MatcherHooks {
    type Setup = Asked;

    fn bind(loaded: &Loaded, store: &mut Store<State>, instance: &Instance) -> Result<Self> {
        const HOOKS: &str = "matcher-hooks";
        Ok(MatcherHooks {
            configure: export(loaded, store, instance, HOOKS, "configure")?,
            matches: export(loaded, store, instance, HOOKS, "matches")?,
        })
    }

    async fn configure(&self, call: &mut Call<'_>) -> Result<std::result::Result<Asked, ConfigError>> {
        let e = call.environment();
        asked(call.run(&self.configure, (e.args.clone(), e.config.clone())).await?.0)
    }
}

pub(crate) struct Matcher(pub(crate) Arc<Pool<MatcherHooks>>);

impl Matcher {
    fn matches(&self, request: &dyn Facts) -> std::result::Result<bool, Failure> {
        let mut lease = self.0.checkout_now()?;
        let begin = Instant::now();
        let values = self.0.setup.0.iter().map(|n| request.value(n).map(|v| v.into_owned())).collect();
        match lease.call_now(|h| h.matches, (values,)) {
            Ok((yes,)) => {
                lease.good(Hook::Matches, begin.elapsed(), Outcome::Good);
                Ok(yes)
            }
            Err(f) => {
                lease.bad(Hook::Matches, &f, begin.elapsed());
                Err(f)
            }
        }
    }
}

impl RequestTest for Matcher {
    fn test(&self, request: &dyn Facts) -> bool {
        self.matches(request).unwrap_or(false)
    }
}
