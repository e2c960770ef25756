mod redis;

use crate::omit;
use crate::source_criterion::{Fallback, Source, SourceCriterionConfig, SourceKey};
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use self::redis::{RedisConfig, Shared};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use torana_base::GoDuration;
use torana_extend::{BuildCx, BuildError, MiddlewareSpec, Scope};
use torana_http::{Around, Exchange, LocalFuture, Next, Response, Step, respond};

const X_RETRY_IN: HeaderName = HeaderName::from_static("x-retry-in");
const SHARDS: usize = 32;
/// Sources that are remembered, in all.
const MAX_SOURCES: usize = 65536;

/// Lets each source through at a rate: a token bucket that lets small excess wait and refuses the rest.
pub struct RateLimit;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Requests in a `period`; 0: no limit.
    #[serde(skip_serializing_if = "omit::empty")]
    pub average: i64,
    /// What `average` counts in; 1s. 0 means 1s too.
    #[serde(skip_serializing_if = "omit::empty")]
    pub period: GoDuration,
    /// Requests that may come at once; 1, which is also the least.
    #[serde(skip_serializing_if = "omit::empty")]
    pub burst: i64,
    /// What requests are counted by; unset: the connection's peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_criterion: Option<SourceCriterionConfig>,
    /// Where buckets are that several gateways share; unset: each counts for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Config { average: 0, period: GoDuration::from_secs(1), burst: 1, source_criterion: None, redis: None }
    }
}

impl MiddlewareSpec for RateLimit {
    const NAME: &'static str = "rateLimit";
    const EXAMPLE: &'static str = "average: 100\nperiod: 1s\nburst: 50\nsourceCriterion:\n  ipStrategy:\n    depth: 1\n";
    const SCOPE: Scope = Scope::Router;
    type Config = Config;

    fn build(config: Config, cx: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        if config.period < GoDuration(0) {
            return Err(BuildError::new("period", format!("{} is negative", config.period)));
        }
        let source = Source::build(config.source_criterion.as_ref(), "sourceCriterion", Fallback::Peer)?;
        let rate = Rate::of(&config);
        let shared = config.redis.map(|redis| Shared::new(redis, cx.name(), rate)).transpose()?;
        if config.average <= 0 {
            return Ok(Vec::new());
        }
        Ok(vec![match shared {
            Some(shared) => Step::around(Together { source, shared: Arc::new(shared), max_wait: rate.max_wait }),
            None => Step::around(Runtime { source, limiter: Limiter::new(rate) }),
        }])
    }
}

struct Runtime {
    source: Source,
    limiter: Limiter,
}

impl Around for Runtime {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        let verdict = self.limiter.reserve(self.source.key(exchange), Instant::now());
        Box::pin(async move {
            match verdict {
                Ok(Duration::ZERO) => {}
                Ok(wait) => tokio::time::sleep(wait).await,
                Err(wait) => return refuse(wait),
            }
            next.run(exchange).await
        })
    }
}

/// With the buckets of other gateways.
struct Together {
    source: Source,
    shared: Arc<Shared>,
    max_wait: Duration,
}

impl Around for Together {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let source = self.source.text(exchange);
            match self.shared.reserve(&source).await {
                Ok(wait) if wait > self.max_wait => return refuse(wait),
                Ok(Duration::ZERO) => {}
                Ok(wait) => tokio::time::sleep(wait).await,
                Err(why) => {
                    tracing::error!(middleware = self.shared.name(), why, "rateLimit: Redis did not give an answer");
                    return respond::error_text(StatusCode::INTERNAL_SERVER_ERROR, "Could not insert/update bucket");
                }
            }
            next.run(exchange).await
        })
    }
}

fn refuse(wait: Duration) -> Response {
    let mut r = respond::status_text(StatusCode::TOO_MANY_REQUESTS);
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let text = GoDuration(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX)).to_string();
    r.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    if let Ok(text) = HeaderValue::from_bytes(text.as_bytes()) {
        r.headers_mut().insert(X_RETRY_IN, text);
    }
    r
}

/// What a configuration comes to.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// Tokens a second.
    per_second: f64,
    burst: f64,
    /// Excess that is worth waiting for.
    max_wait: Duration,
    /// A source not seen for so long begins anew, with a full bucket.
    forget_after: Duration,
}

impl Rate {
    fn of(config: &Config) -> Self {
        let period = config.period.positive().unwrap_or(Duration::from_secs(1));
        let rate = config.average.max(1) as f64 / period.as_secs_f64();
        let max_wait = if rate < 1.0 { Duration::from_millis(500) } else { Duration::from_secs_f64(0.5 / rate) };
        // Whole seconds, one more than a token takes: Traefik forgets as fast, even when a larger burst is
        // far from filled again.
        let forget = 1.0 + if rate >= 1.0 { 1.0 } else { (1.0 / rate).floor() };
        Rate {
            per_second: rate,
            burst: config.burst.max(1) as f64,
            max_wait,
            forget_after: Duration::try_from_secs_f64(forget).unwrap_or(Duration::MAX),
        }
    }
}

/// Buckets of all sources; workers meet only where two sources share a shard.
struct Limiter {
    rate: Rate,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Default)]
struct Shard {
    buckets: HashMap<SourceKey, Bucket>,
    swept: Option<Instant>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
    seen: Instant,
}

impl Limiter {
    fn new(rate: Rate) -> Self {
        Limiter { rate, shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Takes a token: at once, or after the wait that is returned. `Err` is when there would be one, and
    /// takes none.
    fn reserve(&self, key: SourceKey, now: Instant) -> Result<Duration, Duration> {
        let shard = &self.shards[key.shard(SHARDS)];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let shard = &mut *shard;
        if shard.buckets.len() >= MAX_SOURCES / SHARDS && !shard.buckets.contains_key(&key) {
            shard.make_room(now, self.rate.forget_after);
        }
        let fresh = || Bucket { tokens: self.rate.burst, filled: now, seen: now };
        let bucket = shard.buckets.entry(key).or_insert_with(fresh);
        if now.saturating_duration_since(bucket.seen) >= self.rate.forget_after {
            *bucket = fresh();
        }
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * self.rate.per_second).min(self.rate.burst);
        bucket.filled = bucket.filled.max(now);
        bucket.seen = bucket.seen.max(now);
        let left = bucket.tokens - 1.0;
        let wait = if left >= 0.0 { Duration::ZERO } else { Duration::try_from_secs_f64(-left / self.rate.per_second).unwrap_or(Duration::MAX) };
        if wait > self.rate.max_wait {
            return Err(wait);
        }
        bucket.tokens = left;
        Ok(wait)
    }
}

impl Shard {
    /// Forgets who was not seen for long, at most once a second; else the oldest of a few.
    fn make_room(&mut self, now: Instant, forget_after: Duration) {
        let due = self.swept.is_none_or(|t| now.saturating_duration_since(t) >= Duration::from_secs(1));
        if due {
            self.swept = Some(now);
            let before = self.buckets.len();
            self.buckets.retain(|_, b| now.saturating_duration_since(b.seen) < forget_after);
            if self.buckets.len() < before {
                return;
            }
        }
        if let Some(key) = self.buckets.iter().take(8).min_by_key(|(_, b)| b.seen).map(|(k, _)| *k) {
            self.buckets.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block_on, build, build_error, drive, exchange, ok, run_exchange, shown};

    fn limiter(average: i64, period_ms: i64, burst: i64) -> Limiter {
        Limiter::new(Rate::of(&Config { average, period: GoDuration::from_millis(period_ms), burst, ..Config::default() }))
    }

    fn keys() -> (Source, SourceKey) {
        let source = Source::build(None, "", Fallback::Peer).unwrap();
        let key = source.key(&exchange("GET", "/"));
        (source, key)
    }

    #[test]
    fn a_bucket_starts_full_and_rejections_are_free() {
        let (l, (_, k), t) = (limiter(1, 30_000, 2), keys(), Instant::now());
        assert_eq!([l.reserve(k, t), l.reserve(k, t)], [Ok(Duration::ZERO); 2]);
        for _ in 0..3 {
            assert!(l.reserve(k, t).is_err_and(|w| w.as_secs_f64() - 30.0 < 1e-6));
        }
        let later = t + Duration::from_secs(10);
        assert!(l.reserve(k, later).is_err_and(|w| (w.as_secs_f64() - 20.0).abs() < 1e-6));
        // Within half a second of a token a request waits for it.
        let near = t + Duration::from_millis(29_600);
        assert!(l.reserve(k, near).is_ok_and(|w| (w.as_secs_f64() - 0.4).abs() < 1e-6));
        assert!(l.reserve(k, near).is_err_and(|w| (w.as_secs_f64() - 30.4).abs() < 1e-6));
    }

    #[test]
    fn waits_at_most_half_a_token() {
        let (l, (_, k), t) = (limiter(20, 1000, 1), keys(), Instant::now());
        assert_eq!(l.reserve(k, t), Ok(Duration::ZERO));
        assert!(l.reserve(k, t + Duration::from_millis(24)).is_err());
        assert!(l.reserve(k, t + Duration::from_millis(26)).is_ok_and(|w| (w.as_secs_f64() - 0.024).abs() < 1e-6));
    }

    /// Observed: with 1/s and a burst of 10, ten more pass after 2.3 s of silence.
    #[test]
    fn a_silent_source_is_forgotten() {
        let (l, (_, k), t) = (limiter(1, 1000, 10), keys(), Instant::now());
        assert!((0..10).all(|_| l.reserve(k, t).is_ok()) && l.reserve(k, t).is_err());
        let later = t + Duration::from_millis(2300);
        assert!((0..10).all(|_| l.reserve(k, later).is_ok()) && l.reserve(k, later).is_err());
    }

    #[test]
    fn sources_are_bounded() {
        let (l, (source, _)) = (limiter(1, 1000, 1), keys());
        let t = Instant::now();
        for i in 0..200_000u32 {
            let mut x = exchange("GET", "/");
            x.peer = std::rc::Rc::new(torana_http::Peer::new((std::net::Ipv4Addr::from(i), 1).into(), x.peer.local, None, "web".into(), false));
            let _ = l.reserve(source.key(&x), t);
        }
        let all: usize = l.shards.iter().map(|s| s.lock().unwrap().buckets.len()).sum();
        assert!(all <= MAX_SOURCES && all > MAX_SOURCES / 2, "{all}");
    }

    #[test]
    fn refuses_like_traefik() {
        let r = refuse(Duration::from_nanos(29_996_438_460));
        assert_eq!((r.headers()["retry-after"].as_bytes(), r.headers()["x-retry-in"].as_bytes()), (&b"30"[..], &b"29.99643846s"[..]));
        let steps = build::<RateLimit>("{average: 1, period: 30s}");
        block_on(async {
            assert_eq!(drive(&steps, exchange("GET", "/"), ok).await.status(), 200);
            let ran = drive(&steps, exchange("GET", "/"), ok).await;
            assert_eq!((ran.status(), &*ran.body, ran.header("retry-after"), ran.reached), (429, "Too Many Requests", Some("30"), false));
        });
    }

    #[test]
    fn a_short_wait_is_served() {
        let steps = build::<RateLimit>("{average: 20, burst: 1}");
        block_on(async {
            let _ = drive(&steps, exchange("GET", "/"), ok).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
            let before = Instant::now();
            assert_eq!(drive(&steps, exchange("GET", "/"), ok).await.status(), 200);
            assert!(before.elapsed() < Duration::from_millis(500));
        });
    }

    #[test]
    fn options() {
        for text in ["average: 0", "average: -5", "burst: 1"] {
            let steps = build::<RateLimit>(text);
            assert!((0..3).all(|_| run_exchange(&steps, exchange("GET", "/")).reached), "{text}");
        }
        assert_eq!(build_error::<RateLimit>("{average: 1, period: -1s}").key, "period");
        assert_eq!(build_error::<RateLimit>("{average: 1, sourceCriterion: {requestHost: true, ipStrategy: {depth: 1}}}").key, "sourceCriterion");
        assert_eq!(build_error::<RateLimit>("{average: 1, redis: {db: -1}}").key, "redis.db");
        for (text, json) in [
            (
                "{average: 1, redis: {db: 2, username: u, password: p, readTimeout: 0s, poolSize: 4, tls: {insecureSkipVerify: true}}}",
                r#"{"average":1,"period":"1s","burst":1,"redis":{"endpoints":["localhost:6379"],"tls":{"insecureSkipVerify":true},"username":"u","db":2,"poolSize":4,"readTimeout":"0s","writeTimeout":"3s","dialTimeout":"5s"}}"#,
            ),
            ("average: 100", r#"{"average":100,"period":"1s","burst":1}"#),
            ("{average: 1, period: 0s, burst: 0}", r#"{"average":1}"#),
            ("{average: 1, period: 1h, sourceCriterion: {requestHost: false}}", r#"{"average":1,"period":"1h0m0s","burst":1,"sourceCriterion":{}}"#),
            ("{average: 1, period: 7}", r#"{"average":1,"period":"7s","burst":1}"#),
        ] {
            assert_eq!(shown::<RateLimit>(text), json);
        }
    }
}
