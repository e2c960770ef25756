//! What an instance holds beside its memory, and what the gateway does for it when it calls.

use crate::abi::v0_1::torana::plugin as wit;
use crate::clock::Clock;
use crate::engine::Ticker;
use crate::grants::Grants;
use crate::kv::Kv;
use crate::passing::Passing;
use crate::stats::OwnMetrics;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use torana_extend::{Egress, EgressError};
use tracing::Level;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// Log lines of one call.
pub(crate) const MAX_LINES: u32 = 100;
/// Bytes of one log line.
const MAX_LINE: usize = 8 << 10;

/// What all instances of one plugin with one configuration share.
pub(crate) struct Environment {
    /// `name@provider`
    pub(crate) plugin: Arc<str>,
    /// The configuration as JSON.
    pub(crate) config: String,
    /// Of a matcher in a rule.
    pub(crate) args: Vec<String>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) limits: Limits,
    pub(crate) kv: Arc<Kv>,
    pub(crate) metrics: Arc<OwnMetrics>,
    pub(crate) egress: Arc<dyn Egress>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) clock: Clock,
}

/// `plugins.<name>.limits`
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) deadline: Duration,
    pub(crate) timeout: Duration,
    pub(crate) start: Duration,
    pub(crate) memory: usize,
    pub(crate) body: usize,
    pub(crate) headers: usize,
    pub(crate) instances: usize,
}

pub(crate) struct State {
    pub(crate) environment: Arc<Environment>,
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) memory: Memory,
    pub(crate) passing: Option<Passing>,
    /// In flight by server, for a balancer.
    pub(crate) in_flight: Vec<u32>,
    /// Generation of the servers that a balancer was told of.
    pub(crate) servers: Option<u64>,
    /// Log lines of the current call, written to the log or to standard output.
    lines: Arc<AtomicU32>,
    /// How long the current call has waited for others; does not count as its own time.
    pub(crate) waited: Duration,
    pub(crate) hooks: crate::service::Hooks,
    /// Of a core module.
    pub(crate) guest: crate::http_wasm::Guest,
    /// The same; made when it is asked for.
    preview1: Option<Box<WasiP1Ctx>>,
}

/// Bounds the memories of an instance.
#[derive(Default)]
pub(crate) struct Memory {
    limit: usize,
    pub(crate) used: usize,
    /// A wish for more was turned down.
    pub(crate) refused: bool,
}

impl wasmtime::ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used + (desired - current);
        if used > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 100_000)
    }
}

impl State {
    pub(crate) fn new(environment: Arc<Environment>) -> State {
        let lines = Arc::new(AtomicU32::new(0));
        let mut wasi = wasi(&environment, &lines);
        State {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            memory: Memory { limit: environment.limits.memory, ..Memory::default() },
            passing: None,
            in_flight: Vec::new(),
            servers: None,
            lines,
            waited: Duration::ZERO,
            hooks: crate::service::Hooks::new(&environment),
            guest: crate::http_wasm::Guest::default(),
            preview1: None,
            environment,
        }
    }

    /// WASI of a core module. Unlike a component it sees variables that are granted and not set, as empty, and the
    /// folders that are mounted for it.
    pub(crate) fn preview1(&mut self) -> &mut WasiP1Ctx {
        self.preview1.get_or_insert_with(|| {
            let mut wasi = wasi(&self.environment, &self.lines);
            let grants = &self.environment.grants;
            for name in &grants.unset {
                wasi.env(name, "");
            }
            for mount in &grants.mounts {
                if let Err(error) = mount.open(&mut wasi) {
                    log_line(&self.environment.plugin, Level::ERROR, &format!("cannot mount `{}`: {error:#}", mount.host));
                }
            }
            Box::new(wasi.build_p1())
        })
    }

    /// Writes a line, unless the call has written enough of them.
    pub(crate) fn log(&self, level: Level, message: &str) {
        if self.lines.fetch_add(1, Relaxed) < MAX_LINES {
            log_line(&self.environment.plugin, level, message);
        }
    }

    /// Before each call.
    pub(crate) fn begin(&mut self) {
        self.lines.store(0, Relaxed);
        self.waited = Duration::ZERO;
    }

    /// After each call: how many log lines were dropped.
    pub(crate) fn dropped_lines(&self) -> u32 {
        self.lines.load(Relaxed).saturating_sub(MAX_LINES)
    }
}

/// What both previews of WASI have in common.
fn wasi(environment: &Environment, lines: &Arc<AtomicU32>) -> WasiCtxBuilder {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(crate::stdio::LogStream::new(&environment.plugin, Level::INFO, lines));
    wasi.stderr(crate::stdio::LogStream::new(&environment.plugin, Level::WARN, lines));
    for (k, v) in &environment.grants.env {
        wasi.env(k, v);
    }
    environment.clock.give(&mut wasi);
    wasi
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Writes a line of a plugin.
pub(crate) fn log_line(plugin: &str, level: Level, message: &str) {
    let mut end = message.len().min(MAX_LINE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let message = &message[..end];
    // The level of an event is fixed where it stands.
    match level {
        Level::TRACE => tracing::trace!(target: "plugin", plugin, "{message}"),
        Level::DEBUG => tracing::debug!(target: "plugin", plugin, "{message}"),
        Level::INFO => tracing::info!(target: "plugin", plugin, "{message}"),
        Level::WARN => tracing::warn!(target: "plugin", plugin, "{message}"),
        Level::ERROR => tracing::error!(target: "plugin", plugin, "{message}"),
    }
}

impl wit::types::Host for State {}

impl wit::log::Host for State {
    fn write(&mut self, level: wit::log::Level, message: String) {
        self.log(to_level(level), &message);
    }

    fn enabled(&mut self, level: wit::log::Level) -> bool {
        match to_level(level) {
            Level::TRACE => tracing::enabled!(target: "plugin", Level::TRACE),
            Level::DEBUG => tracing::enabled!(target: "plugin", Level::DEBUG),
            Level::INFO => tracing::enabled!(target: "plugin", Level::INFO),
            Level::WARN => tracing::enabled!(target: "plugin", Level::WARN),
            Level::ERROR => tracing::enabled!(target: "plugin", Level::ERROR),
        }
    }
}

fn to_level(level: wit::log::Level) -> Level {
    match level {
        wit::log::Level::Trace => Level::TRACE,
        wit::log::Level::Debug => Level::DEBUG,
        wit::log::Level::Info => Level::INFO,
        wit::log::Level::Warn => Level::WARN,
        wit::log::Level::Error => Level::ERROR,
    }
}

impl wit::config::Host for State {
    fn json(&mut self) -> String {
        self.environment.config.clone()
    }

    fn name(&mut self) -> String {
        self.environment.plugin.to_string()
    }
}

impl wit::clock::Host for State {
    fn now(&mut self) -> u64 {
        self.environment.clock.now()
    }

    fn monotonic(&mut self) -> u64 {
        self.environment.clock.monotonic()
    }
}

impl State {
    fn space(&self, namespace: &str) -> Result<(&Kv, u64), wit::kv::KvError> {
        if !self.environment.grants.may_keep(namespace) {
            return Err(wit::kv::KvError::Denied);
        }
        Ok((&self.environment.kv, self.environment.clock.monotonic()))
    }
}

impl wit::kv::Host for State {
    fn get(&mut self, namespace: String, key: String) -> Result<Option<Vec<u8>>, wit::kv::KvError> {
        let (kv, now) = self.space(&namespace)?;
        Ok(kv.get(&namespace, &key, now))
    }

    fn set(&mut self, namespace: String, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> Result<(), wit::kv::KvError> {
        let (kv, now) = self.space(&namespace)?;
        kv.set(&namespace, &key, value, ttl_ms.map(Duration::from_millis), now).map_err(|_| wit::kv::KvError::TooLarge)
    }

    fn delete(&mut self, namespace: String, key: String) -> Result<(), wit::kv::KvError> {
        let (kv, _) = self.space(&namespace)?;
        kv.delete(&namespace, &key);
        Ok(())
    }

    fn increment(&mut self, namespace: String, key: String, by: i64, ttl_ms: Option<u64>) -> Result<i64, wit::kv::KvError> {
        let (kv, now) = self.space(&namespace)?;
        kv.increment(&namespace, &key, by, ttl_ms.map(Duration::from_millis), now).map_err(|_| wit::kv::KvError::TooLarge)
    }
}

impl wit::metrics::Host for State {
    fn add(&mut self, name: String, by: u64) {
        self.environment.metrics.add(&name, by as f64);
    }

    fn set(&mut self, name: String, value: f64) {
        self.environment.metrics.set(&name, value);
    }
}

impl wit::secrets::Host for State {
    fn get(&mut self, name: String) -> Option<String> {
        self.environment.grants.secret(&name).map(str::to_owned)
    }
}

impl wit::outgoing_http::Host for State {
    async fn send(&mut self, what: wit::outgoing_http::Request) -> Result<wit::types::Answer, wit::outgoing_http::HttpError> {
        use wit::outgoing_http::HttpError;
        let failed = |e: String| HttpError::Failed(e);
        let uri: http::Uri = what.url.parse().map_err(|e| failed(format!("`{}` is not a URL: {e}", what.url)))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Err(failed(format!("`{}` is not a URL of the form http://host/path or https://host/path", what.url)));
        }
        self.environment.grants.may_ask(&uri).map_err(|host| {
            HttpError::Denied(format!(
                "requests to {host} are not granted: add it to plugins.{}.permissions.http",
                torana_base::unqualified(&self.environment.plugin)
            ))
        })?;
        let method = http::Method::from_bytes(what.method.as_bytes()).map_err(|_| failed(format!("`{}` is not a method", what.method)))?;
        let mut request =
            http::Request::builder().method(method).uri(uri).body(Bytes::from(what.body)).map_err(|e| failed(e.to_string()))?;
        for h in what.headers {
            let name = http::HeaderName::from_bytes(h.name.as_bytes()).map_err(|_| failed(format!("`{}` is not a header name", h.name)))?;
            let value = http::HeaderValue::from_maybe_shared(Bytes::from(h.value))
                .map_err(|_| failed(format!("the value of header `{name}` cannot be sent")))?;
            request.headers_mut().append(name, value);
        }
        let limits = &self.environment.limits;
        let timeout = what.timeout_ms.map_or(limits.timeout, |t| Duration::from_millis(t.into()).min(limits.timeout));
        let begin = Instant::now();
        let answer = self.environment.egress.send(request, timeout, limits.body).await;
        self.waited += begin.elapsed();
        let answer = answer.map_err(|e| match e {
            EgressError::Timeout => HttpError::Timeout,
            EgressError::TooLarge => HttpError::TooLarge,
            EgressError::Failed(e) => HttpError::Failed(e),
        })?;
        let headers = crate::passing::header_list(answer.headers());
        Ok(wit::types::Answer { status: answer.status().as_u16(), headers, body: answer.into_body().into() })
    }
}

impl wit::exchange::Host for State {
    fn request_value(&mut self, name: String) -> Option<String> {
        self.passing.as_ref()?.request_value(&name)
    }

    fn request_headers(&mut self) -> Vec<wit::types::Header> {
        self.passing.as_ref().map(|p| crate::passing::header_list(&p.request.headers)).unwrap_or_default()
    }

    fn request_header_lines(&mut self, name: String) -> Vec<Vec<u8>> {
        self.passing.as_ref().map(|p| crate::passing::lines(&p.request.headers, &name)).unwrap_or_default()
    }

    fn request_body(&mut self) -> Option<Vec<u8>> {
        self.passing.as_ref()?.request_body.as_ref().map(|b| b.to_vec())
    }

    fn response_value(&mut self, name: String) -> Option<String> {
        self.passing.as_ref()?.response_value(&name)
    }

    fn response_headers(&mut self) -> Vec<wit::types::Header> {
        self.passing.as_ref().and_then(|p| p.response.as_ref()).map(|r| crate::passing::header_list(&r.headers)).unwrap_or_default()
    }

    fn response_header_lines(&mut self, name: String) -> Vec<Vec<u8>> {
        self.passing.as_ref().and_then(|p| p.response.as_ref()).map(|r| crate::passing::lines(&r.headers, &name)).unwrap_or_default()
    }

    fn response_body(&mut self) -> Option<Vec<u8>> {
        self.passing.as_ref()?.response_body.as_ref().map(|b| b.to_vec())
    }

    fn set_user(&mut self, name: String) {
        if let Some(p) = &mut self.passing {
            p.user = Some(name);
        }
    }
}

impl crate::abi::v0_1::balancer::torana::plugin::servers::Host for State {
    fn in_flight(&mut self, index: u32) -> u32 {
        self.in_flight.get(index as usize).copied().unwrap_or(0)
    }
}
