use crate::omit;
use crate::source_criterion::{Fallback, Source, SourceCriterionConfig, SourceKey};
use crate::when_done::when_done;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec, Scope};
use torana_http::{Around, Body, Exchange, LocalFuture, Next, Response, Step, exchange};

/// Limits the requests that are served at the same time, for each source.
pub struct InFlightReq;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Requests of one source at a time; 0 and below refuse all.
    #[serde(skip_serializing_if = "omit::empty")]
    pub amount: i64,
    /// What requests are counted by; unset: their host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_criterion: Option<SourceCriterionConfig>,
}

impl MiddlewareSpec for InFlightReq {
    const NAME: &'static str = "inFlightReq";
    const EXAMPLE: &'static str = "amount: 10\nsourceCriterion:\n  requestHeaderName: X-Tenant\n";
    const SCOPE: Scope = Scope::Router;
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let source = Source::build(config.source_criterion.as_ref(), "sourceCriterion", Fallback::Host)?;
        Ok(vec![Step::around(Runtime { source, amount: config.amount, open: Arc::default() })])
    }
}

/// Workers meet only where two sources share a part.
const PARTS: usize = 32;

struct Runtime {
    source: Source,
    amount: i64,
    open: Arc<Open>,
}

/// Running requests by source; only sources that have one stand here, so there are never more than requests.
#[derive(Default)]
struct Open {
    parts: [Mutex<HashMap<SourceKey, i64>>; PARTS],
}

impl Open {
    fn with<R>(&self, key: SourceKey, work: impl FnOnce(&mut HashMap<SourceKey, i64>) -> R) -> R {
        work(&mut self.parts[key.shard(PARTS)].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts one more of `key`, if there are less than `most`.
    fn enter(self: &Arc<Self>, key: SourceKey, most: i64) -> Option<Counted> {
        let free = most > 0
            && self.with(key, |all| {
                let running = all.entry(key).or_insert(0);
                let free = *running < most;
                *running += i64::from(free);
                free
            });
        free.then(|| Counted { open: self.clone(), key })
    }
}

/// A request that counts.
struct Counted {
    open: Arc<Open>,
    key: SourceKey,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.with(self.key, |all| match all.get_mut(&self.key) {
            Some(n) if *n > 1 => *n -= 1,
            _ => _ = all.remove(&self.key),
        });
    }
}

impl Around for Runtime {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let Some(counted) = self.open.enter(self.source.key(exchange), self.amount) else { return refuse(self.amount) };
            let mut response = next.run(exchange).await;
            when_done(&mut response, move |_| drop(counted));
            response
        })
    }
}

fn refuse(amount: i64) -> Response {
    let mut r = exchange::status(StatusCode::TOO_MANY_REQUESTS);
    *r.body_mut() = Body::from(format!("max connections reached: {amount}"));
    r
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block_on, build, build_error, drive, exchange, ok, pieces, run_exchange, shown};

    fn streaming(_: &mut Exchange) -> Response {
        Response::new(pieces(&["a"], None))
    }

    async fn send(steps: &[Step]) -> Response {
        let endpoint = crate::testing::Fake(Box::new(streaming));
        torana_http::run(steps, &endpoint, &mut exchange("GET", "/")).await
    }

    #[test]
    fn a_request_counts_until_its_response_has_ended() {
        let steps = build::<InFlightReq>("amount: 2");
        block_on(async {
            let (mut first, second) = (send(&steps).await, send(&steps).await);
            let refused = drive(&steps, exchange("GET", "/"), ok).await;
            assert_eq!((refused.status(), &*refused.body, refused.reached), (429, "max connections reached: 2", false));
            assert!(refused.headers().is_empty());
            while first.body_mut().frame().await.is_some() {}
            let third = send(&steps).await;
            assert_eq!(third.status(), 200);
            // A client that goes away gives its place back.
            drop(second);
            assert_eq!(send(&steps).await.status(), 200);
        });
    }

    #[test]
    fn a_request_that_is_given_up_counts_no_more() {
        let steps = build::<InFlightReq>("amount: 1");
        struct Never;
        impl torana_http::Endpoint for Never {
            fn serve<'a>(&'a self, _: &'a mut Exchange) -> LocalFuture<'a, Response> {
                Box::pin(std::future::pending())
            }
        }
        block_on(async {
            let mut x = exchange("GET", "/");
            let mut running = Box::pin(torana_http::run(&steps, &Never, &mut x));
            let _ = std::future::poll_fn(|cx| std::task::Poll::Ready(running.as_mut().poll(cx).is_pending())).await;
            assert_eq!(drive(&steps, exchange("GET", "/"), ok).await.status(), 429);
            drop(running);
            assert_eq!(drive(&steps, exchange("GET", "/"), ok).await.status(), 200);
        });
    }

    #[test]
    fn sources_count_apart() {
        let other_host = || {
            let mut x = exchange("GET", "/");
            x.request.host = "b.test".into();
            x
        };
        let steps = build::<InFlightReq>("amount: 1");
        block_on(async {
            let _held = send(&steps).await;
            assert_eq!(drive(&steps, other_host(), ok).await.status(), 200);
            assert_eq!(drive(&steps, exchange("GET", "/"), ok).await.status(), 429);
        });
    }

    #[test]
    fn options() {
        for (text, body) in [("amount: 0", "max connections reached: 0"), ("amount: -1", "max connections reached: -1")] {
            assert_eq!(run_exchange(&build::<InFlightReq>(text), exchange("GET", "/")).body, body);
        }
        assert_eq!(
            build_error::<InFlightReq>("{amount: 1, sourceCriterion: {requestHost: true, requestHeaderName: X}}").key,
            "sourceCriterion"
        );
        assert_eq!(shown::<InFlightReq>("amount: 0"), "{}");
        assert_eq!(shown::<InFlightReq>("{amount: 3, sourceCriterion: {requestHost: true}}"), r#"{"amount":3,"sourceCriterion":{"requestHost":true}}"#);
    }
}
