//! Fetches routing configuration as JSON from a URL.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::serde::{Deserializer, de::Error};
use torana_plugin_sdk::serde_json::{Map, Value};

/// Where the configuration is, and how it is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// The URL, beginning with `http://` or `https://`. Its host has to be granted in `permissions.http`.
    url: String,
    /// Pause between two polls, as in `500ms`, `10s`, `1m` or `1h`; at least 100ms. Default: `10s`.
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    #[schemars(with = "String", default)]
    interval: Duration,
    /// Headers of the request, by name.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Name of the secret (`permissions.secrets`) that is sent as `Authorization: Bearer ...`.
    bearer_secret: Option<String>,
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let scale = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)].into_iter().find(|(name, _)| *name == unit);
    let millis = scale.and_then(|(_, scale)| digits.parse::<u64>().ok()?.checked_mul(scale));
    millis.map(Duration::from_millis).ok_or_else(|| D::Error::custom(format!("`{text}` is no duration; write one as in `10s`")))
}

struct JsonProvider {
    config: Config,
    /// `ETag` of the document that was delivered last.
    etag: RefCell<Option<String>>,
}

impl Provider for JsonProvider {
    type Config = Config;
    const CAPABILITIES: Capabilities = Capabilities::NONE.http();

    fn new(config: Config) -> Result<Self, ConfigError> {
        if !config.url.starts_with("http://") && !config.url.starts_with("https://") {
            return Err(ConfigError::new("url", format!("`{}` is no URL", config.url)).hint("begin with http:// or https://"));
        }
        if config.interval < Duration::from_millis(100) {
            return Err(ConfigError::new("interval", "is shorter than 100ms").hint("write `10s`"));
        }
        for (name, value) in &config.headers {
            let key = format!("headers.{name}");
            plugin_support::header_name(&key, name)?;
            if value.chars().any(char::is_control) {
                return Err(ConfigError::new(key, "has a control character in its value").hint("write it on one line"));
            }
        }
        Ok(JsonProvider { config, etag: RefCell::default() })
    }

    fn poll(&self) -> Result<Delivery, Failure> {
        let Config { url, interval, headers, bearer_secret } = &self.config;
        let mut request = http::get(url);
        if !headers.keys().any(|name| name.eq_ignore_ascii_case("accept")) {
            request = request.header("accept", "application/json");
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(name) = bearer_secret {
            let token =
                secrets::get(name).ok_or_else(|| format!("the secret `{name}` is not granted; add it under permissions.secrets"))?;
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(etag) = &*self.etag.borrow() {
            request = request.header("if-none-match", etag);
        }
        let answer = request.send().map_err(|error| format!("{url}: {error}"))?;
        if answer.status == 304 && self.etag.borrow().is_some() {
            return Ok(Delivery::unchanged().again_after(*interval));
        }
        if answer.status != 200 {
            return Err(format!("{url} answered {}", answer.status).into());
        }
        let document: Map<String, Value> = answer.json().map_err(|error| format!("{url} gives no JSON object: {error}"))?;
        let delivery = Delivery::document(&document)?.again_after(*interval);
        *self.etag.borrow_mut() = answer.header("etag").map(str::to_owned);
        Ok(delivery)
    }
}

export_provider!(JsonProvider);

#[cfg(test)]
mod tests {
    use super::*;
    use torana_plugin_sdk::serde_json::json;
    use torana_plugin_sdk::testing::Gateway;

    const URL: &str = "https://config.test/routes";

    #[test]
    fn delivers_and_asks_whether_it_changed() {
        let gateway = Gateway::new();
        let document = json!({"http": {"routers": {}}});
        gateway.secret("token", "t0p").answer(URL, Answer::new(200).with_header("ETag", "\"1\"").with_json(&document));
        let config = json!({"url": URL, "interval": "30s", "headers": {"X-Env": "prod"}, "bearerSecret": "token"});
        let provider = gateway.provider::<JsonProvider>(config).unwrap();
        let first = provider.poll().unwrap();
        assert_eq!((first.json(), first.pause()), (Some(document.to_string().as_str()), Duration::from_secs(30)));

        gateway.answer(URL, Answer::new(304));
        let second = provider.poll().unwrap();
        assert_eq!((second.json(), second.pause()), (None, Duration::from_secs(30)));

        let sent = gateway.sent();
        let header = |n: usize, name: &str| sent[n].header(name);
        assert_eq!(header(0, "authorization").as_deref(), Some("Bearer t0p"));
        assert_eq!(header(0, "x-env").as_deref(), Some("prod"));
        assert_eq!(header(0, "accept").as_deref(), Some("application/json"));
        assert_eq!(header(0, "if-none-match"), None);
        assert_eq!(header(1, "if-none-match").as_deref(), Some("\"1\""));
    }

    #[test]
    fn errors_are_told_and_do_not_spoil_the_next_poll() {
        let gateway = Gateway::new();
        let provider = gateway.provider::<JsonProvider>(json!({"url": URL})).unwrap();
        let fails = |answer: Answer, expected: &str| {
            gateway.answer(URL, answer.with_header("etag", "\"bad\""));
            let error = provider.poll().unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        };
        fails(Answer::new(500), "https://config.test/routes answered 500");
        fails(Answer::new(304), "https://config.test/routes answered 304");
        fails(Answer::new(200).with_text("{"), "https://config.test/routes gives no JSON object: ");
        fails(Answer::new(200).with_text("[]"), "https://config.test/routes gives no JSON object: ");
        gateway.fail(URL, http::Error::Timeout);
        assert_eq!(provider.poll(), Err("https://config.test/routes: no answer in time".into()));

        gateway.answer(URL, Answer::new(200).with_json(&json!({})));
        let delivery = provider.poll().unwrap();
        assert_eq!((delivery.json(), delivery.pause()), (Some("{}"), Duration::from_secs(10)));
        assert!(gateway.sent().iter().all(|sent| sent.header("if-none-match").is_none()));
    }

    #[test]
    fn a_secret_that_is_not_granted_is_told() {
        let gateway = Gateway::new();
        let provider = gateway.provider::<JsonProvider>(json!({"url": URL, "bearerSecret": "token"})).unwrap();
        assert_eq!(provider.poll(), Err("the secret `token` is not granted; add it under permissions.secrets".into()));
        assert!(gateway.sent().is_empty());
    }

    #[test]
    fn wrong_configurations_are_told() {
        let refused = |config| {
            let error = Gateway::new().provider::<JsonProvider>(config).err().unwrap();
            (error.key, error.message)
        };
        assert_eq!(refused(json!({})).0, "url");
        assert_eq!(refused(json!({"url": "config.test"})).0, "url");
        assert_eq!(refused(json!({"url": URL, "interval": "10ms"})), ("interval".into(), "is shorter than 100ms".into()));
        let wrong = ("interval".into(), "`soon` is no duration; write one as in `10s`".into());
        assert_eq!(refused(json!({"url": URL, "interval": "soon"})), wrong);
        assert_eq!(refused(json!({"url": URL, "headers": {"a b": "c"}})).0, "headers.a b");
        assert_eq!(refused(json!({"url": URL, "headers": {"a": "c\r\nd: e"}})).0, "headers.a");
    }
}
