//! Tests of plugins under plain `cargo test`, without a gateway and without WebAssembly.
//!
//! ```
//! # use torana_plugin_sdk::prelude::*;
//! # struct Hello;
//! # impl Middleware for Hello {
//! #     type Config = serde_json::Value;
//! #     fn new(_: serde_json::Value) -> Result<Self, ConfigError> { Ok(Hello) }
//! #     fn interest(&self) -> Interest { Interest::request() }
//! #     fn on_request(&self, request: &mut Request) -> Flow { request.set_header("x-greeting", "hello"); Flow::Next }
//! # }
//! use torana_plugin_sdk::testing::{self, Gateway};
//! use torana_plugin_sdk::serde_json::{self, json};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = Gateway::new();
//! let plugin = gateway.middleware::<Hello>(json!({"greeting": "hello"}))?;
//! let outcome = plugin.call(testing::get("/").with_header("x-user", "bob"));
//! assert_eq!(outcome.forwarded.unwrap().header("x-greeting").as_deref(), Some("hello"));
//! assert_eq!(outcome.answer.status, 200);
//! # Ok(()) }
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::bindings::balancer::exports::torana::plugin::balancer_hooks;
use crate::bindings::hosts::torana::plugin::types::{BodyAccess, Edit};
use crate::bindings::middleware::exports::torana::plugin::middleware_hooks::{ChunkAction, Interest, RequestAction, ResponseAction};
use crate::log::Level;
use crate::{Answer, Capabilities, Challenge, ConfigError, Delivery, Header, Package, Timing, http};

pub(crate) mod host;

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// How important it is.
    pub level: Level,
    /// The text.
    pub message: String,
}

/// A request: one that a test makes, one as the service saw it, or one that a plugin sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The whole URL, of a request that a plugin sent; else empty.
    pub url: String,
    /// `http` unless set.
    pub scheme: String,
    /// `localhost` unless set.
    pub host: String,
    /// `127.0.0.1` unless set.
    pub client_ip: String,
    /// `HTTP/1.1` unless set.
    pub protocol: String,
    /// `test@file` unless set.
    pub router: String,
    /// `web` unless set.
    pub entry_point: String,
    /// The header lines.
    pub headers: Vec<Header>,
    /// The body, in the pieces in which it comes.
    pub body: Vec<Vec<u8>>,
}

/// A `GET` request.
pub fn get(path_and_query: &str) -> Message {
    request("GET", path_and_query)
}

/// A request with any method.
pub fn request(method: &str, path_and_query: &str) -> Message {
    Message {
        method: method.into(),
        path: path_and_query.into(),
        url: String::new(),
        scheme: "http".into(),
        host: "localhost".into(),
        client_ip: "127.0.0.1".into(),
        protocol: "HTTP/1.1".into(),
        router: "test@file".into(),
        entry_point: "web".into(),
        headers: Vec::new(),
        body: Vec::new(),
    }
}

impl Default for Message {
    fn default() -> Message {
        get("/")
    }
}

impl Message {
    /// Adds a header line.
    pub fn with_header(mut self, name: &str, value: &str) -> Message {
        self.headers.push(Header { name: name.to_ascii_lowercase(), value: value.into() });
        self
    }

    /// Sets the `Host`.
    pub fn with_host(mut self, host: &str) -> Message {
        self.host = host.into();
        self
    }

    /// Sets the address of the client.
    pub fn with_client_ip(mut self, address: &str) -> Message {
        self.client_ip = address.into();
        self
    }

    /// Sets the body, in one piece.
    pub fn with_body(self, body: impl Into<Vec<u8>>) -> Message {
        self.with_chunks([body])
    }

    /// Sets the body, in the pieces in which it comes.
    pub fn with_chunks<C: Into<Vec<u8>>>(mut self, chunks: impl IntoIterator<Item = C>) -> Message {
        self.body = chunks.into_iter().map(Into::into).collect();
        self
    }

    /// The values of all lines of a header, joined by `, `.
    pub fn header(&self, name: &str) -> Option<String> {
        host::joined(&self.headers, name)
    }

    /// The body as text; what is not UTF-8 in it becomes U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body.concat()).into_owned()
    }

    fn value(&self, name: &str) -> Option<String> {
        let fact = match name {
            ":method" => &self.method,
            ":scheme" => &self.scheme,
            ":host" => &self.host,
            ":path" => &self.path,
            ":client-ip" => &self.client_ip,
            ":protocol" => &self.protocol,
            ":router" => &self.router,
            ":entry-point" => &self.entry_point,
            header => return self.header(header),
        };
        Some(fact.clone())
    }

    fn values(&self, names: &[String]) -> Vec<Option<String>> {
        names.iter().map(|name| self.value(name)).collect()
    }

    fn apply(&mut self, edits: Vec<Edit>) {
        for edit in edits {
            match edit {
                Edit::Path(path) => self.path = path,
                Edit::Method(method) => self.method = method,
                Edit::Host(host) => self.host = host,
                Edit::Body(body) => self.body = vec![body],
                // The SDK offers it for responses only.
                Edit::Status(_) => {}
                header => apply_header(&mut self.headers, header),
            }
        }
    }
}

fn apply_header(headers: &mut Vec<Header>, edit: Edit) {
    match edit {
        Edit::SetHeader(header) => {
            headers.retain(|line| !line.name.eq_ignore_ascii_case(&header.name));
            headers.push(header);
        }
        Edit::AddHeader(header) => headers.push(header),
        Edit::RemoveHeader(name) => headers.retain(|line| !line.name.eq_ignore_ascii_case(&name)),
        _ => {}
    }
}

/// What became of an exchange.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the client got.
    pub answer: Answer,
    /// The request as the service saw it; `None` when the plugin answered.
    pub forwarded: Option<Message>,
    /// The pieces in which the body of the answer came.
    pub chunks: Vec<Vec<u8>>,
    /// Why the plugin broke a body off.
    pub failed: Option<String>,
    /// Who the plugin said the client is.
    pub user: Option<String>,
}

/// The gateway of a test. Nothing is granted but what `CAPABILITIES` of the plugin names, and its clock stands still until it is turned.
///
/// Plugins made by one gateway share its key-value store, as the instances of one plugin do.
#[derive(Clone)]
pub struct Gateway(Rc<RefCell<host::World>>);

impl Default for Gateway {
    fn default() -> Gateway {
        Gateway::new()
    }
}

impl Gateway {
    /// A gateway at 2026-01-01T00:00:00Z.
    pub fn new() -> Gateway {
        let gateway = Gateway(Rc::default());
        gateway.0.borrow_mut().now = 1_767_225_600_000_000_000;
        host::enter(&gateway.0);
        gateway
    }

    /// Grants a namespace of the key-value store.
    pub fn grant_kv(&self, namespace: &str) -> &Gateway {
        self.0.borrow_mut().namespaces.insert(namespace.into());
        self
    }

    /// Grants a secret.
    pub fn secret(&self, name: &str, value: &str) -> &Gateway {
        self.0.borrow_mut().secrets.insert(name.into(), value.into());
        self
    }

    /// Grants requests to a URL, which get this answer.
    pub fn answer(&self, url: &str, answer: Answer) -> &Gateway {
        self.0.borrow_mut().answers.insert(url.into(), Ok(answer));
        self
    }

    /// Lets requests to a URL fail.
    pub fn fail(&self, url: &str, error: http::Error) -> &Gateway {
        self.0.borrow_mut().answers.insert(url.into(), Err(error));
        self
    }

    /// Sets the time of day.
    pub fn set_time(&self, time: SystemTime) -> &Gateway {
        self.0.borrow_mut().now = nanos(time.duration_since(UNIX_EPOCH).unwrap_or_default());
        self
    }

    /// Turns both clocks on.
    pub fn advance(&self, time: Duration) -> &Gateway {
        let mut world = self.0.borrow_mut();
        world.now = world.now.saturating_add(nanos(time));
        world.monotonic = world.monotonic.saturating_add(nanos(time));
        drop(world);
        self
    }

    /// What the plugin logged.
    pub fn log(&self) -> Vec<Line> {
        self.0.borrow().lines.clone()
    }

    /// The requests that the plugin sent, in order.
    pub fn sent(&self) -> Vec<Message> {
        self.0.borrow().sent.clone()
    }

    /// A counter of the plugin's.
    pub fn counter(&self, name: &str) -> u64 {
        self.0.borrow().counters.get(name).copied().unwrap_or_default()
    }

    /// A gauge of the plugin's.
    pub fn gauge(&self, name: &str) -> Option<f64> {
        self.0.borrow().gauges.get(name).copied()
    }

    /// A value in the key-value store.
    pub fn kv(&self, namespace: &str, key: &str) -> Option<Vec<u8>> {
        self.0.borrow_mut().value(namespace, key)
    }

    fn load(&self, config: &Value, capabilities: Capabilities) -> String {
        host::enter(&self.0);
        for namespace in capabilities.kv {
            self.grant_kv(namespace);
        }
        config.to_string()
    }

    /// A middleware with this configuration.
    pub fn middleware<T: crate::Middleware>(&self, config: Value) -> Result<Middleware<T>, ConfigError> {
        let text = self.load(&config, T::CAPABILITIES);
        let slot = crate::middleware::Slot::empty();
        let interest = slot.configure(&text)?;
        Ok(Middleware { gateway: self.clone(), slot, interest })
    }

    /// A provider with this configuration.
    pub fn provider<T: crate::Provider>(&self, config: Value) -> Result<Provider<T>, ConfigError> {
        let text = self.load(&config, T::CAPABILITIES);
        let slot = crate::provider::Slot::empty();
        slot.configure(&text)?;
        Ok(Provider { gateway: self.clone(), slot })
    }

    /// A matcher with the arguments of a rule and this configuration.
    pub fn matcher<T: crate::Matcher>(&self, arguments: &[&str], config: Value) -> Result<Matcher<T>, ConfigError> {
        let text = self.load(&config, T::CAPABILITIES);
        let slot = crate::matcher::Slot::empty();
        let names = slot.configure(arguments.iter().map(|argument| (*argument).to_owned()).collect(), &text)?;
        Ok(Matcher { gateway: self.clone(), slot, names })
    }

    /// A balancer with this configuration, without servers yet.
    pub fn balancer<T: crate::Balancer>(&self, config: Value) -> Result<Balancer<T>, ConfigError> {
        let text = self.load(&config, T::CAPABILITIES);
        let slot = crate::balancer::Slot::empty();
        let names = slot.configure(&text)?;
        Ok(Balancer { gateway: self.clone(), slot, names })
    }

    /// A DNS provider with this configuration.
    pub fn dns_challenge<T: crate::DnsChallenge>(&self, config: Value) -> Result<DnsChallenge<T>, ConfigError> {
        let text = self.load(&config, T::CAPABILITIES);
        let slot = crate::dns_challenge::Slot::empty();
        let timing = slot.configure(&text)?;
        let seconds = |seconds| Duration::from_secs(u64::from(seconds));
        let timing = Timing { timeout: seconds(timing.timeout_s), interval: seconds(timing.interval_s) };
        Ok(DnsChallenge { gateway: self.clone(), slot, timing })
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The manifest of a test: the package is called `test`.
const PACKAGE: Package = Package { name: "test", version: "0.0.0", description: "" };

fn manifest(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// A middleware under test.
pub struct Middleware<T> {
    gateway: Gateway,
    slot: crate::middleware::Slot<T>,
    interest: Interest,
}

impl<T: crate::Middleware> Middleware<T> {
    /// The plugin itself.
    pub fn plugin(&self) -> &T {
        // Made in `Gateway::middleware`.
        self.slot.plugin().expect("a configured plugin")
    }

    /// The manifest that the component carries.
    pub fn manifest() -> Value {
        manifest(&crate::middleware::Slot::<T>::describe(PACKAGE))
    }

    /// Lets a request through to a service that answers 200 without a body.
    pub fn call(&self, request: Message) -> Outcome {
        self.call_with(request, |_| Answer::new(200))
    }

    /// Lets a request through to a service. The service is given the request as it sees it.
    pub fn call_with(&self, mut request: Message, service: impl FnOnce(&Message) -> Answer) -> Outcome {
        let Middleware { gateway, slot, interest } = self;
        host::enter(&gateway.0);
        let mut world = gateway.0.borrow_mut();
        world.request = request.clone();
        world.request_buffered = interest.request_body == BodyAccess::Buffered;
        world.response = None;
        world.response_buffered = interest.response_body == BodyAccess::Buffered;
        world.user = None;
        drop(world);

        let mut outcome = Outcome { answer: Answer::new(0), forwarded: None, chunks: Vec::new(), failed: None, user: None };
        let mut state = None;
        if interest.request {
            match slot.on_request(request.values(&interest.request_values)) {
                RequestAction::Next(passed) => {
                    request.apply(passed.edits);
                    state = passed.state;
                }
                RequestAction::Respond(answer) => return outcome.with(answer, gateway),
            }
        }
        if interest.request_body == BodyAccess::Streamed {
            match stream(std::mem::take(&mut request.body), |chunk, last| slot.on_request_body(chunk, last)) {
                Ok(chunks) => request.body = chunks,
                Err(why) => {
                    outcome.failed = Some(why);
                    return outcome.with(Answer::new(500), gateway);
                }
            }
        }

        let mut answer = service(&request);
        outcome.forwarded = Some(request.clone());
        gateway.0.borrow_mut().response = Some(answer.clone());
        if interest.response {
            let value = |name: &String| match name.as_str() {
                ":status" => Some(answer.status.to_string()),
                fact if fact.starts_with(':') => request.value(fact),
                header => host::joined(&answer.headers, header),
            };
            match slot.on_response(interest.response_values.iter().map(value).collect(), state) {
                ResponseAction::Next(edits) => {
                    for edit in edits {
                        match edit {
                            Edit::Status(status) => answer.status = status,
                            Edit::Body(body) => answer.body = body,
                            header => apply_header(&mut answer.headers, header),
                        }
                    }
                }
                ResponseAction::Replace(other) => return outcome.with(other, gateway),
            }
        }
        if interest.response_body == BodyAccess::Streamed {
            // In two pieces, so that a plugin does not come to expect one.
            let (first, second) = answer.body.split_at(answer.body.len() / 2);
            match stream(vec![first.to_vec(), second.to_vec()], |chunk, last| slot.on_response_body(chunk, last)) {
                Ok(chunks) => {
                    answer.body = chunks.concat();
                    outcome.chunks = chunks;
                }
                Err(why) => outcome.failed = Some(why),
            }
        }
        outcome.with(answer, gateway)
    }
}

impl Outcome {
    fn with(mut self, answer: Answer, gateway: &Gateway) -> Outcome {
        self.answer = answer;
        self.user = gateway.0.borrow().user.clone();
        self
    }
}

/// Runs a body through a hook: each piece, and then the end, with no bytes.
fn stream(body: Vec<Vec<u8>>, hook: impl Fn(&[u8], bool) -> ChunkAction) -> Result<Vec<Vec<u8>>, String> {
    let mut all = Vec::new();
    let pieces = body.into_iter().map(|chunk| (chunk, false)).chain([(Vec::new(), true)]);
    for (chunk, last) in pieces {
        let chunk = match hook(&chunk, last) {
            ChunkAction::Pass => chunk,
            ChunkAction::Replace(other) => other,
            ChunkAction::Fail(why) => return Err(why),
        };
        if !chunk.is_empty() {
            all.push(chunk);
        }
    }
    Ok(all)
}

/// A provider under test.
pub struct Provider<T> {
    gateway: Gateway,
    slot: crate::provider::Slot<T>,
}

impl<T: crate::Provider> Provider<T> {
    /// The manifest that the component carries.
    pub fn manifest() -> Value {
        manifest(&crate::provider::Slot::<T>::describe(PACKAGE))
    }

    /// Asks once.
    pub fn poll(&self) -> Result<Delivery, String> {
        host::enter(&self.gateway.0);
        self.slot.poll().map(Delivery::from)
    }
}

/// A matcher under test.
pub struct Matcher<T> {
    gateway: Gateway,
    slot: crate::matcher::Slot<T>,
    names: Vec<String>,
}

impl<T: crate::Matcher> Matcher<T> {
    /// The manifest that the component carries.
    pub fn manifest() -> Value {
        manifest(&crate::matcher::Slot::<T>::describe(PACKAGE))
    }

    /// Whether it matches a request.
    pub fn matches(&self, request: &Message) -> bool {
        host::enter(&self.gateway.0);
        self.slot.matches(request.values(&self.names))
    }
}

/// A balancer under test.
pub struct Balancer<T> {
    gateway: Gateway,
    slot: crate::balancer::Slot<T>,
    names: Vec<String>,
}

impl<T: crate::Balancer> Balancer<T> {
    /// The manifest that the component carries.
    pub fn manifest() -> Value {
        manifest(&crate::balancer::Slot::<T>::describe(PACKAGE))
    }

    /// Sets the servers: URL, weight, and whether it is up.
    pub fn servers(&self, servers: &[(&str, u32, bool)]) {
        host::enter(&self.gateway.0);
        let server = |&(url, weight, up): &(&str, u32, bool)| balancer_hooks::Server { url: url.into(), weight, up };
        self.slot.update(servers.iter().map(server).collect());
    }

    /// Sets how many requests run on each server.
    pub fn in_flight(&self, counts: &[u32]) {
        self.gateway.0.borrow_mut().in_flight = counts.to_vec();
    }

    /// The server for a request.
    pub fn pick(&self, request: &Message) -> Option<usize> {
        host::enter(&self.gateway.0);
        self.slot.pick(request.values(&self.names)).map(|index| index as usize)
    }
}

/// A DNS provider under test.
pub struct DnsChallenge<T> {
    gateway: Gateway,
    slot: crate::dns_challenge::Slot<T>,
    /// How long it takes for records to be seen.
    pub timing: Timing,
}

impl<T: crate::DnsChallenge> DnsChallenge<T> {
    /// The manifest that the component carries.
    pub fn manifest() -> Value {
        manifest(&crate::dns_challenge::Slot::<T>::describe(PACKAGE))
    }

    /// Makes a record.
    pub fn present(&self, challenge: &Challenge) -> Result<(), String> {
        host::enter(&self.gateway.0);
        self.slot.present(challenge)
    }

    /// Removes a record.
    pub fn clean_up(&self, challenge: &Challenge) -> Result<(), String> {
        host::enter(&self.gateway.0);
        self.slot.clean_up(challenge)
    }
}
