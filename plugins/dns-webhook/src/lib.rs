//! Makes the TXT records of DNS-01 challenges by a web service of one's own: two HTTP requests with JSON.

mod template;

use std::collections::BTreeMap;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use plugin_support::{encode, retry_after, words};
use template::{Filling, Json, Template};
use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::serde_json::{Value, json};

/// The service, and what it wants to be sent. Texts in it may have `{domain}`, `{fqdn}`, `{name}` (`fqdn` without the dot at
/// its end), `{value}`, `{action}` (`present` or `cleanup`) and, outside of URLs, `{secret:NAME}`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// Requests go to `present` and `cleanup` below this URL, unless `present` and `cleanUp` name URLs of their own.
    url: Option<String>,
    /// Headers of both requests, by name.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// User for HTTP Basic authentication.
    username: Option<String>,
    /// Name of the secret (`permissions.secrets`) that is the user's password.
    password_secret: Option<String>,
    /// What is sent, as JSON. Default: `{"fqdn": "{fqdn}", "value": "{value}"}`.
    body: Option<Value>,
    /// What is different when a record is made.
    #[serde(default)]
    present: Call,
    /// What is different when a record is removed.
    #[serde(default)]
    clean_up: Call,
    /// Seconds until a record has to be seen. Default: 60.
    #[serde(default = "propagation_timeout")]
    propagation_timeout: u32,
    /// Seconds between two looks. Default: 2.
    #[serde(default = "polling_interval")]
    polling_interval: u32,
}

/// One of the two requests.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Call {
    /// Where it goes.
    url: Option<String>,
    /// Default: `POST`.
    method: Option<String>,
    /// Default: `body` beside it.
    body: Option<Value>,
}

fn propagation_timeout() -> u32 {
    60
}

fn polling_interval() -> u32 {
    2
}

struct Webhook {
    headers: Vec<(String, Template)>,
    present: Prepared,
    clean_up: Prepared,
    timing: Timing,
}

/// A request that waits for its record.
struct Prepared {
    action: &'static str,
    method: String,
    url: Template,
    body: Json,
}

impl DnsChallenge for Webhook {
    type Config = Config;
    // Which secrets are wanted, the configuration says.
    const CAPABILITIES: Capabilities = Capabilities::NONE.http();

    fn new(config: Config) -> Result<Self, ConfigError> {
        let mut headers = Vec::new();
        for (name, text) in &config.headers {
            let key = format!("headers.{name}");
            let name = plugin_support::header_name(&key, name)?;
            if text.chars().any(char::is_control) {
                return Err(ConfigError::new(key, "has a control character in its value").hint("write it on one line"));
            }
            headers.push((name, Template::read(&key, text, true)?));
        }
        if config.username.is_some() || config.password_secret.is_some() {
            if headers.iter().any(|(name, _)| name == "authorization") {
                return Err(ConfigError::new("username", "there is an `authorization` in `headers` too").hint("keep one of them"));
            }
            let password = config.password_secret.as_deref().map(|name| plugin_support::secret("passwordSecret", name)).transpose()?;
            let both = format!("{}:{}", config.username.as_deref().unwrap_or_default(), password.unwrap_or_default());
            // Base64 has no braces.
            let text = format!("Basic {}", Base64::encode_string(both.as_bytes()));
            headers.push(("authorization".into(), Template::read("username", &text, true)?));
        }
        for (key, seconds) in [("propagationTimeout", config.propagation_timeout), ("pollingInterval", config.polling_interval)] {
            if seconds == 0 {
                return Err(ConfigError::new(key, "has to be at least 1 second"));
            }
        }
        let timing = Timing {
            timeout: Duration::from_secs(config.propagation_timeout.into()),
            interval: Duration::from_secs(config.polling_interval.into()),
        };
        let present = Prepared::new("present", "present", &config, &config.present)?;
        let clean_up = Prepared::new("cleanUp", "cleanup", &config, &config.clean_up)?;
        Ok(Webhook { headers, present, clean_up, timing })
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn present(&self, challenge: &Challenge) -> Result<(), Failure> {
        self.send(&self.present, challenge)
    }

    fn clean_up(&self, challenge: &Challenge) -> Result<(), Failure> {
        self.send(&self.clean_up, challenge)
    }
}

impl Prepared {
    /// `option` is what the request is called in the configuration.
    fn new(option: &str, action: &'static str, config: &Config, call: &Call) -> Result<Prepared, ConfigError> {
        let (key, url) = match (&call.url, &config.url) {
            (Some(own), _) => (format!("{option}.url"), plugin_support::url(&format!("{option}.url"), own)?),
            (None, Some(base)) => ("url".to_owned(), format!("{}/{action}", plugin_support::url("url", base)?)),
            (None, None) => {
                let hint = format!("write `url`, to which `/{action}` is added, or `{option}: {{url: ...}}`");
                return Err(ConfigError::new("url", "is required").hint(hint));
            }
        };
        let method = call.method.clone().unwrap_or_else(|| "POST".into());
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let message = format!("`{method}` is no method of HTTP");
            return Err(ConfigError::new(format!("{option}.method"), message).hint("write one such as `POST`, `PUT` or `DELETE`"));
        }
        let body = match (&call.body, &config.body) {
            (Some(own), _) => Json::read(&format!("{option}.body"), own)?,
            (None, Some(both)) => Json::read("body", both)?,
            (None, None) => Json::read("body", &json!({"fqdn": "{fqdn}", "value": "{value}"}))?,
        };
        Ok(Prepared { action, method, url: Template::read(&key, &url, false)?, body })
    }
}

impl Webhook {
    fn send(&self, call: &Prepared, challenge: &Challenge) -> Result<(), Failure> {
        let filling = Filling { action: call.action, challenge };
        let url = call.url.fill(&filling, encode);
        let mut request = http::request(&call.method, &url).json(&call.body.fill(&filling));
        for (name, value) in &self.headers {
            request = request.header(name, value.fill(&filling, str::to_owned));
        }
        let answer = request.send().map_err(|error| format!("{url}: {error}"))?;
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        let words = words(&answer);
        let separator = if words.is_empty() { "" } else { ": " };
        let again = retry_after(&answer).map(|pause| format!("; to be asked again in {} s", pause.as_secs())).unwrap_or_default();
        Err(format!("{url} answered with status {}{separator}{words}{again}", answer.status).into())
    }
}

export_dns_challenge!(Webhook);

#[cfg(test)]
mod tests;
