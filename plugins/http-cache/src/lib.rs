//! Caches responses as RFC 9111 says, for all clients.

mod policy;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use policy::{Directives, Lines};
use store::{Found, Stored};
use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::serde::{Deserializer, de::Error};
use torana_plugin_sdk::serde_json;

/// What is stored, beyond what the responses say themselves.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// How long a response is fresh that says nothing of it, as in `10s`, `5m` or `1h`. Default: such responses are not stored.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<String>")]
    default_ttl: Option<Duration>,
    /// Responses with a longer body are not stored; as in `512KiB` or `4MiB`. Default: `1MiB`. Bodies longer than the plugin's `limits.body`
    /// do not pass at all.
    #[serde(default = "one_mib", deserialize_with = "size")]
    #[schemars(with = "String", default)]
    max_body_size: usize,
}

fn one_mib() -> usize {
    1 << 20
}

/// A number with a unit, times what the unit stands for.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let (_, scale) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    digits.parse::<u64>().ok()?.checked_mul(*scale)
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    let seconds = scaled(&text, &[("s", 1), ("m", 60), ("h", 3600)]);
    seconds
        .map(|seconds| Some(Duration::from_secs(seconds)))
        .ok_or_else(|| D::Error::custom(format!("`{text}` is no time; write one as in `10s`")))
}

fn size<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let text = String::deserialize(from)?;
    let bytes = scaled(&text, &[("", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]);
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| D::Error::custom(format!("`{text}` is no size; write one as in `1MiB`")))
}

/// What the response has to know of the request, as it was when it came: what stands behind this plugin may change it.
#[derive(Default, Deserialize, Serialize)]
struct Pending {
    /// Why the cache did not answer, in the words of RFC 9211.
    fwd: String,
    /// For what the response is, if it may be stored, or what it invalidates.
    resource: Option<String>,
    /// Whether it invalidates what is stored.
    invalidates: bool,
    /// When the request came, since 1970.
    asked: Duration,
    request: Lines,
    /// The key of the stored response that the server is asked to validate.
    validating: Option<String>,
}

struct HttpCache {
    default_ttl: Option<Duration>,
    max_body_size: usize,
}

/// Requests with one of these pass by.
const BYPASSING: [&str; 6] = ["range", "if-range", "if-match", "if-unmodified-since", "upgrade", "transfer-encoding"];

impl Middleware for HttpCache {
    type Config = Config;
    const CAPABILITIES: Capabilities = Capabilities::NONE.kv(&["cache"]);

    fn new(config: Config) -> Result<Self, ConfigError> {
        Ok(HttpCache { default_ttl: config.default_ttl, max_body_size: config.max_body_size })
    }

    fn interest(&self) -> Interest {
        let request = Interest::request().method().scheme().host().path().router().headers(BYPASSING);
        let request = request.headers(["content-length", "cache-control", "pragma", "if-none-match", "if-modified-since"]);
        request.and_response().status().buffer_response_body()
    }

    fn on_request(&self, request: &mut Request) -> Flow {
        let mut pending = Pending { asked: clock::unix(), ..Pending::default() };
        // Another router may lead to another service, or have other conditions.
        let host = request.host().to_ascii_lowercase();
        let resource = format!("{} {}://{host}{}", request.router(), request.scheme(), request.path_and_query());
        let get = request.method() == "GET";
        if !get && request.method() != "HEAD" {
            pending.invalidates = !matches!(request.method(), "OPTIONS" | "TRACE");
            pending.resource = pending.invalidates.then_some(resource);
            return pending.go_on("method", request);
        }
        let has_body = request.header("content-length").is_some_and(|length| length != "0");
        if has_body || BYPASSING.iter().any(|name| request.header(name).is_some()) {
            return pending.go_on("bypass", request);
        }
        let control = Directives::read(request.header("cache-control").or(request.header("pragma")));
        let found = store::find(&resource, |name| request.header(name).map(str::to_owned));
        let why = match found.map_err(complain).unwrap_or(Found::Nothing) {
            Found::Nothing => "uri-miss",
            Found::OtherVariant => "vary-miss",
            Found::Response(key, stored) => {
                let fresh_for = stored.fresh_for();
                let refused = control.has("no-cache")
                    || control.seconds("max-age").is_some_and(|most| stored.age() > most)
                    || control.seconds("min-fresh").is_some_and(|least| fresh_for < least);
                if fresh_for > 0 && !refused {
                    metrics::add("hits", 1);
                    let (if_none_match, if_modified_since) = (request.header("if-none-match"), request.header("if-modified-since"));
                    return Flow::Respond(stored.answer(if_none_match, if_modified_since, &format!("hit; ttl={fresh_for}")));
                }
                if let Some((name, value)) = stored.validation().filter(|_| get) {
                    request.remove_header("if-none-match");
                    request.remove_header("if-modified-since");
                    request.set_header(name, value);
                    pending.validating = Some(key);
                }
                if fresh_for > 0 { "request" } else { "stale" }
            }
        };
        if control.has("only-if-cached") {
            return Flow::Respond(Answer::new(504).with_header("cache-status", "torana; detail=only-if-cached"));
        }
        metrics::add("misses", 1);
        if get {
            pending.resource = Some(resource);
            pending.request = request.headers().into_iter().map(|line| (line.name.to_ascii_lowercase(), line.value)).collect();
        }
        pending.go_on(why, request)
    }

    fn on_response(&self, response: &mut Response) -> Flow {
        let Some(pending) = response.kept().and_then(|text| serde_json::from_str::<Pending>(text).ok()) else { return Flow::Next };
        let status = response.status();
        let mut how = format!("fwd={}", pending.fwd);
        if pending.invalidates {
            if let Some(resource) = pending.resource.as_ref().filter(|_| (200..400).contains(&status)) {
                store::invalidate(resource).unwrap_or_else(complain);
            }
        } else if let Some(resource) = &pending.resource
            && let Some(answer) = self.store(resource, &pending, response, &mut how)
        {
            return Flow::Respond(answer);
        }
        response.add_header("cache-status", format!("torana; {how}"));
        Flow::Next
    }
}

impl HttpCache {
    /// Stores the response to a `GET`, if it may be. Gives what to answer in its place, where the server was asked another question than the
    /// client did.
    fn store(&self, resource: &str, pending: &Pending, response: &Response, how: &mut String) -> Option<Answer> {
        let mut headers: Lines = response.headers().into_iter().map(|line| (line.name.to_ascii_lowercase(), line.value)).collect();
        if !headers.iter().any(|(name, _)| name == "date") {
            headers.push(("date".into(), httpdate::fmt_http_date(clock::now())));
        }
        let new = |status, headers| Stored::new(status, headers, &pending.request, pending.asked, self.default_ttl);
        let validated = response.status() == 304 && pending.validating.is_some();
        let mut stored = if validated {
            let old = store::load(pending.validating.as_deref()?).map_err(complain).ok().flatten();
            let Some(old) = old else {
                log::error!("a stored response is gone while the server was asked to validate it");
                return Some(Answer::new(502).with_header("cache-status", format!("torana; {how}; fwd-status=304")));
            };
            how.push_str("; fwd-status=304");
            let mut stored = new(old.status(), old.headers_after(headers));
            stored.body = old.body;
            stored
        } else {
            new(response.status(), headers)
        };
        if stored.storable && !validated {
            stored.body = response.body().unwrap_or_default();
            stored.storable = stored.body.len() <= self.max_body_size;
        }
        if stored.storable {
            match store::save(resource, &pending.request, &stored) {
                Ok(()) => how.push_str("; stored"),
                Err(failure) => complain(failure),
            }
        }
        let asked = |name| policy::joined(&pending.request, name);
        let answers = validated || pending.validating.is_some() && stored.storable;
        answers.then(|| stored.answer(asked("if-none-match").as_deref(), asked("if-modified-since").as_deref(), how))
    }
}

impl Pending {
    /// Lets the request through.
    fn go_on(mut self, why: &str, request: &Request) -> Flow {
        self.fwd = why.into();
        match serde_json::to_string(&self) {
            Ok(text) => request.keep(text),
            Err(error) => complain(error.into()),
        }
        Flow::Next
    }
}

/// A full store is no trouble; anything else the operator has to see.
fn complain(failure: Failure) {
    if failure.downcast_ref() == Some(&kv::Error::TooLarge) {
        metrics::add("too_large", 1);
        log::debug!("not stored: {failure}");
    } else {
        log::error!("cache: {failure}");
    }
}

export_middleware!(HttpCache);
