use crate::omit;
use crate::status_ranges::StatusRanges;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use torana_base::GoDuration;
use torana_extend::{BuildCx, BuildError, MiddlewareSpec, Scope};
use torana_http::{
    Around, Body, ErrorKind, Exchange, LocalFuture, Next, ProxyError, Response, SavedHead, Step, WholeBody, respond,
};

/// Sends a request again when no server took it, or when the answer is one of those to try again for.
pub struct Retry;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Tries in all, the first too; required.
    #[serde(skip_serializing_if = "omit::empty")]
    pub attempts: i64,
    /// No try begins later than this after the first; 0: at any time.
    #[serde(skip_serializing_if = "omit::empty")]
    pub timeout: GoDuration,
    /// Pause before the second try; each further one is longer, up to twice as long, and all vary by half.
    /// 0: none.
    #[serde(skip_serializing_if = "omit::empty")]
    pub initial_interval: GoDuration,
    /// Bytes of a body that are kept to be sent again because of `status`; 2 MiB. Requests with more are
    /// sent once. -1: no limit.
    pub max_request_body_bytes: i64,
    /// Codes and ranges (`500-599`) to try again for, unless the method is POST, PATCH or LOCK.
    #[serde(skip_serializing_if = "omit::empty")]
    pub status: Vec<String>,
    /// Do not try again when no server could be reached.
    #[serde(skip_serializing_if = "omit::empty")]
    pub disable_retry_on_network_error: bool,
    /// `status` holds for POST, PATCH and LOCK too.
    #[serde(skip_serializing_if = "omit::empty")]
    pub retry_non_idempotent_method: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            attempts: 0,
            timeout: GoDuration::default(),
            initial_interval: GoDuration::default(),
            max_request_body_bytes: 2 << 20,
            status: Vec::new(),
            disable_retry_on_network_error: false,
            retry_non_idempotent_method: false,
        }
    }
}

impl MiddlewareSpec for Retry {
    const NAME: &'static str = "retry";
    const EXAMPLE: &'static str = "attempts: 3\ninitialInterval: 100ms\nstatus: ['502-504']\n";
    const SCOPE: Scope = Scope::Router;
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        if config.attempts <= 0 {
            return Err(BuildError::new("attempts", format!("{} tries are none", config.attempts)).hint("write at least 1"));
        }
        let status = StatusRanges::parse(&config.status, "status")?;
        if config.disable_retry_on_network_error && status.is_empty() {
            return Err(BuildError::new("disableRetryOnNetworkError", "there is nothing left to try again for").hint("list codes in `status`"));
        }
        if config.attempts == 1 {
            return Ok(Vec::new());
        }
        Ok(vec![Step::around(Runtime {
            attempts: config.attempts as u64,
            timeout: config.timeout.positive(),
            interval: config.initial_interval.positive(),
            factor: 2f64.powf(1.0 / (config.attempts - 1) as f64),
            max_body: usize::try_from(config.max_request_body_bytes).unwrap_or(usize::MAX),
            status,
            network: !config.disable_retry_on_network_error,
            any_method: config.retry_non_idempotent_method,
        })])
    }
}

struct Runtime {
    attempts: u64,
    timeout: Option<Duration>,
    interval: Option<Duration>,
    factor: f64,
    max_body: usize,
    status: StatusRanges,
    network: bool,
    any_method: bool,
}

impl Around for Runtime {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(self.run(exchange, next))
    }
}

impl Runtime {
    async fn run(&self, exchange: &mut Exchange, next: Next<'_>) -> Response {
        let begun = Instant::now();
        let kept = match self.keep_body(exchange).await {
            Ok(kept) => kept,
            Err(response) => return response,
        };
        let streams = matches!(exchange.request.body, Body::Stream { .. });
        let saved = SavedHead::of(exchange);
        let mut pause = self.interval.map_or(0.0, |i| i.as_secs_f64());
        for attempt in 1.. {
            if let Some(kept) = &kept {
                exchange.request.body = kept.whole.body();
            }
            let response = next.run(exchange).await;
            let late = self.timeout.is_some_and(|t| begun.elapsed() >= t);
            if attempt >= self.attempts || late || !self.wants_more(&response, exchange, streams, kept.as_ref()) {
                return response;
            }
            drop(response);
            if pause > 0.0 {
                tokio::time::sleep(Duration::try_from_secs_f64(pause * (0.5 + fastrand::f64())).unwrap_or(Duration::MAX)).await;
                pause *= self.factor;
            }
            saved.restore(exchange);
            exchange.again = true;
            exchange.retries += 1;
            if let Some(trace) = &mut exchange.trace {
                trace.resend(attempt);
            }
        }
        respond::status_text(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What can be sent again after a server has read it. `None` where the body only streams.
    async fn keep_body(&self, exchange: &mut Exchange) -> Result<Option<Kept>, Response> {
        let request = &mut exchange.request;
        let for_status = !self.status.is_empty() && (self.any_method || !matches!(request.method.as_str(), "POST" | "PATCH" | "LOCK"));
        match &request.body {
            Body::Full(b) if b.len() > self.max_body => return Ok(Some(Kept { whole: b.clone().into(), for_status: false })),
            Body::Empty | Body::Full(_) => {}
            Body::Stream { .. } if for_status => {}
            Body::Stream { .. } | Body::Tunnel(_) => return Ok(None),
        }
        match WholeBody::read(std::mem::take(&mut request.body), self.max_body).await {
            Ok(Ok(whole)) => Ok(Some(Kept { whole, for_status })),
            Ok(Err(body)) => {
                request.body = body;
                Ok(None)
            }
            Err(e) => Err(respond::proxy_error(ProxyError::client(ErrorKind::BadRequest, e))),
        }
    }

    fn wants_more(&self, response: &Response, exchange: &Exchange, streams: bool, kept: Option<&Kept>) -> bool {
        let error = response.extensions().get::<ProxyError>();
        // A body that streams comes back only if nobody has read of it.
        let untouched = kept.is_some() || !streams || matches!(exchange.request.body, Body::Stream { .. });
        let network = self.network && untouched && error.is_some_and(|e| e.retry && e.kind != ErrorKind::NoServer);
        let status = kept.is_some_and(|k| k.for_status) && self.status.contains(response.status().as_u16());
        network || status
    }
}

/// What can be sent again.
struct Kept {
    whole: WholeBody,
    for_status: bool,
}

#[cfg(test)]
mod tests;
