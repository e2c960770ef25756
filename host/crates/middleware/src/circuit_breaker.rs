mod breaker;
mod condition;
mod latencies;
mod window;

use crate::omit;
use crate::when_done::{End, when_done};
use breaker::{Breaker, Periods};
use condition::Condition;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;
use torana_base::GoDuration;
use torana_extend::{BuildCx, BuildError, MiddlewareSpec, Scope};
use torana_http::{Around, Body, Exchange, LocalFuture, Next, Response, Step, exchange, respond};

/// Stops sending requests to a service that fails, and lets it take them up again slowly.
pub struct CircuitBreaker;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// When it opens: `NetworkErrorRatio()`, `ResponseCodeRatio(from, to, dividedByFrom, dividedByTo)` and
    /// `LatencyAtQuantileMS(quantile)`, compared with constants and joined by `&&` and `||`; required.
    #[serde(skip_serializing_if = "omit::empty")]
    pub expression: String,
    /// How often the expression is looked at; 100ms. 0 and below mean the same.
    #[serde(skip_serializing_if = "omit::empty")]
    pub check_period: GoDuration,
    /// How long it stays open; 10s. 0 and below mean the same.
    #[serde(skip_serializing_if = "omit::empty")]
    pub fallback_duration: GoDuration,
    /// How long it lets only a growing part through after that; 10s. 0 and below mean the same.
    #[serde(skip_serializing_if = "omit::empty")]
    pub recovery_duration: GoDuration,
    /// Status of what is refused; 503.
    #[serde(skip_serializing_if = "omit::empty")]
    pub response_code: i64,
}

const CHECK_PERIOD: GoDuration = GoDuration::from_millis(100);
const OPEN: GoDuration = GoDuration::from_secs(10);

impl Default for Config {
    fn default() -> Self {
        Config {
            expression: String::new(),
            check_period: CHECK_PERIOD,
            fallback_duration: OPEN,
            recovery_duration: OPEN,
            response_code: 503,
        }
    }
}

impl MiddlewareSpec for CircuitBreaker {
    const NAME: &'static str = "circuitBreaker";
    const EXAMPLE: &'static str = "expression: NetworkErrorRatio() > 0.3 || LatencyAtQuantileMS(50.0) > 500\nfallbackDuration: 30s\n";
    const SCOPE: Scope = Scope::Router;
    type Config = Config;

    fn build(config: Config, cx: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let condition = Condition::parse(&config.expression).map_err(|why| {
            BuildError::new("expression", format!("this is no condition: {why}")).hint("write for example `NetworkErrorRatio() > 0.30`")
        })?;
        let status = u16::try_from(config.response_code).ok().and_then(|code| StatusCode::from_u16(code).ok());
        let Some(status) = status.filter(|s| !s.is_informational()) else {
            return Err(BuildError::new("responseCode", format!("{} is no status of a response", config.response_code)).hint("write 200 to 999"));
        };
        let or = |given: GoDuration, default: GoDuration| given.positive().unwrap_or(default.as_duration());
        let periods = Periods {
            check: or(config.check_period, CHECK_PERIOD),
            open: or(config.fallback_duration, OPEN),
            recovery: or(config.recovery_duration, OPEN),
        };
        let breaker = Arc::new(Breaker::new(cx.name(), condition, periods));
        Ok(vec![Step::around(Runtime { breaker, began: Instant::now(), status })])
    }
}

struct Runtime {
    breaker: Arc<Breaker>,
    /// The zero of the breaker's clock.
    began: Instant,
    status: StatusCode,
}

impl Around for Runtime {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            if !self.breaker.admits(self.began.elapsed()) {
                return refuse(self.status);
            }
            // A client that goes away before there is a response counts as Traefik counts it.
            let gone = Some(respond::CLIENT_CLOSED_REQUEST);
            let mut timed = Timed { breaker: self.breaker.clone(), began: self.began, sent: Instant::now(), code: gone };
            let mut response = next.run(exchange).await;
            let tunnel = matches!(response.body(), Body::Tunnel(_));
            // Who leaves HTTP has no status for Traefik, which means 200.
            timed.code = Some(if tunnel { 200 } else { response.status().as_u16() });
            // Nobody reads a body where there is none to be sent.
            let bodiless = exchange.request.method == Method::HEAD
                || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
            when_done(&mut response, move |end| {
                let mut timed = timed;
                if end == End::Cut && !tunnel && !bodiless {
                    timed.code = None;
                }
            });
            response
        })
    }
}

/// Counts a request when it is dropped.
struct Timed {
    breaker: Arc<Breaker>,
    began: Instant,
    sent: Instant,
    /// `None`: it does not count, as it was cut off.
    code: Option<u16>,
}

impl Drop for Timed {
    fn drop(&mut self) {
        if let Some(code) = self.code {
            self.breaker.record(self.began.elapsed(), code, self.sent.elapsed());
        }
    }
}

fn refuse(status: StatusCode) -> Response {
    let mut r = exchange::status(status);
    *r.body_mut() = Body::from(respond::text_of(status));
    r
}

#[cfg(test)]
mod tests;
