//! Lets requests with a known API key pass. The configuration holds the keys' SHA-256 only.

use std::time::Duration;

use plugin_support::{header_name, hex, parameters, quotable, without_parameter};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use torana_plugin_sdk::prelude::*;

const RATES: kv::Namespace = kv::Namespace::new("rates");

/// API keys, and where a request carries its own.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// The header with the key; `x-api-key` unless `query` is set.
    header: Option<String>,
    /// The parameter of the query with the key. The header, if there is one, goes before it.
    query: Option<String>,
    /// The known keys.
    #[schemars(length(min = 1))]
    keys: Vec<KeyConfig>,
    /// The header in which the service is told the key's name. One that the client sent is removed.
    name_header: Option<String>,
    /// Whether the key is removed before the request goes on.
    #[serde(default)]
    remove: bool,
    /// The realm that a refused client is told.
    #[serde(default = "default_realm")]
    realm: String,
}

fn default_realm() -> String {
    "api".into()
}

/// A known key.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyConfig {
    /// Whose key it is: for the service and the access log.
    name: String,
    /// SHA-256 of the key in hexadecimal, as `printf %s KEY | sha256sum` prints it.
    sha256: String,
    /// How many requests the key is good for.
    rate: Option<Rate>,
}

/// A number of requests in each period. Periods begin at full seconds, minutes, hours and days of UTC.
#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rate {
    /// How many requests.
    #[schemars(range(min = 1))]
    requests: u32,
    /// In which time.
    per: Period,
}

/// A length of time.
#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum Period {
    /// 1 second.
    Second,
    /// 60 seconds.
    Minute,
    /// 3600 seconds.
    Hour,
    /// 86400 seconds.
    Day,
}

impl Period {
    fn seconds(self) -> u64 {
        match self {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3600,
            Period::Day => 86400,
        }
    }
}

struct Key {
    name: String,
    digest: [u8; 32],
    rate: Option<Rate>,
}

struct ApiKey {
    header: Option<String>,
    query: Option<String>,
    keys: Vec<Key>,
    name_header: Option<String>,
    remove: bool,
    challenge: String,
}

impl Middleware for ApiKey {
    type Config = Config;

    const CAPABILITIES: Capabilities = Capabilities::NONE.kv(&["rates"]);

    fn new(config: Config) -> Result<Self, ConfigError> {
        let header = config.header.or_else(|| config.query.is_none().then(|| "x-api-key".into()));
        if config.keys.is_empty() {
            return Err(ConfigError::new("keys", "has no key").hint("add `- {name: ..., sha256: ...}`"));
        }
        let mut keys: Vec<Key> = Vec::with_capacity(config.keys.len());
        for (index, key) in config.keys.into_iter().enumerate() {
            let key = checked(&format!("keys[{index}]"), key)?;
            if let Some(other) = keys.iter().find(|other| other.digest == key.digest) {
                return Err(ConfigError::new(format!("keys[{index}].sha256"), format!("is the key of `{}`, too", other.name)));
            }
            keys.push(key);
        }
        Ok(ApiKey {
            header: header.map(|name| header_name("header", &name)).transpose()?,
            query: config.query,
            keys,
            name_header: config.name_header.map(|name| header_name("nameHeader", &name)).transpose()?,
            remove: config.remove,
            challenge: format!("ApiKey realm=\"{}\"", quotable("realm", config.realm)?),
        })
    }

    fn interest(&self) -> Interest {
        let interest = Interest::request().headers(&self.header);
        if self.query.is_some() { interest.path() } else { interest }
    }

    fn on_request(&self, request: &mut Request) -> Flow {
        let Some(given) = self.given(request) else { return self.refuse("an API key is required\n") };
        let Some(key) = self.find(&given) else { return self.refuse("the API key is not known\n") };
        if let Some(refused) = key.rate.and_then(|rate| over(key, rate)) {
            return Flow::Respond(refused);
        }
        request.set_user(&key.name);
        if self.remove {
            if let Some(header) = &self.header {
                request.remove_header(header);
            }
            if let Some(name) = &self.query
                && request.query().is_some()
            {
                request.set_path(without_parameter(request.path_and_query(), name));
            }
        }
        // Last, as it may be the header of the key.
        if let Some(header) = &self.name_header {
            request.set_header(header, &key.name);
        }
        Flow::Next
    }
}

impl ApiKey {
    fn given(&self, request: &Request) -> Option<String> {
        if let Some(value) = self.header.as_ref().and_then(|header| request.header(header)) {
            return Some(value.to_owned());
        }
        let name = self.query.as_ref()?;
        parameters(request.query()?).find(|(parameter, _)| parameter == name).map(|(_, value)| value)
    }

    /// Takes the same time wherever the key stands in the list, and whether it is there at all.
    fn find(&self, given: &str) -> Option<&Key> {
        let digest: [u8; 32] = Sha256::digest(given).into();
        let mut found = None;
        for key in &self.keys {
            if bool::from(key.digest.ct_eq(&digest)) {
                found = Some(key);
            }
        }
        found
    }

    fn refuse(&self, why: &str) -> Flow {
        metrics::add("refused", 1);
        Flow::Respond(Answer::new(401).with_header("www-authenticate", &self.challenge).with_text(why))
    }
}

/// The answer when the key was used too often, or nobody knows how often.
fn over(key: &Key, rate: Rate) -> Option<Answer> {
    let period = rate.per.seconds();
    let now = clock::unix().as_secs();
    let digest: String = key.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let counter = format!("{digest}/{period}/{}", now / period);
    match RATES.increment(&counter, 1, Some(Duration::from_secs(period + 1))) {
        Ok(count) if count <= i64::from(rate.requests) => None,
        Ok(_) => {
            metrics::add("limited", 1);
            let wait = period - now % period;
            Some(Answer::new(429).with_header("retry-after", wait.to_string()).with_text("too many requests with this API key\n"))
        }
        Err(error) => {
            log::error!("the rate of key `{}` cannot be counted: {error}", key.name);
            Some(Answer::new(503).with_text("try again later\n"))
        }
    }
}

fn checked(at: &str, key: KeyConfig) -> Result<Key, ConfigError> {
    if key.name.is_empty() {
        return Err(ConfigError::new(format!("{at}.name"), "must not be empty"));
    }
    let name = quotable(&format!("{at}.name"), key.name)?;
    let Some(digest) = digest(&key.sha256) else {
        let error = ConfigError::new(format!("{at}.sha256"), "is no SHA-256 in hexadecimal");
        return Err(error.hint("write the 64 digits that `printf %s KEY | sha256sum` prints"));
    };
    if key.rate.is_some_and(|rate| rate.requests == 0) {
        return Err(ConfigError::new(format!("{at}.rate.requests"), "must be at least 1").hint("remove the key to refuse it"));
    }
    Ok(Key { name, digest, rate: key.rate })
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let nibbles: Vec<u8> = text.bytes().map(hex).collect::<Option<_>>()?;
    let bytes: Vec<u8> = nibbles.chunks(2).map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | nibble)).collect();
    if nibbles.len() == 64 { bytes.try_into().ok() } else { None }
}

export_middleware!(ApiKey);

#[cfg(test)]
mod tests {
    use super::*;
    use torana_plugin_sdk::serde_json::{Value, json};
    use torana_plugin_sdk::testing::{self, Gateway};

    // SHA-256 of `secret-1` and `secret-2`.
    const ONE: &str = "f7e7c36e458e80e6b6a2c67d0a9ec09bd718dadd7bfa8d6bf6e7ad526e46c2f7";
    const TWO: &str = "f4b6bb6548129dacf11c1a9c4dffffefd4aa6b21fcf4e9754cc03b731cbe7c25";

    fn keys() -> Value {
        json!([{"name": "ci", "sha256": ONE}, {"name": "shop", "sha256": TWO, "rate": {"requests": 2, "per": "minute"}}])
    }

    fn refused(config: Value) -> String {
        Gateway::new().middleware::<ApiKey>(config).err().unwrap().key
    }

    #[test]
    fn lets_known_keys_pass() {
        let config = json!({"keys": keys(), "nameHeader": "X-Client", "remove": true});
        let plugin = Gateway::new().middleware::<ApiKey>(config).unwrap();
        let outcome = plugin.call(testing::get("/").with_header("x-api-key", "secret-1").with_header("x-client", "forged"));
        let forwarded = outcome.forwarded.unwrap();
        assert_eq!(forwarded.header("x-client").as_deref(), Some("ci"));
        assert_eq!(forwarded.header("x-api-key"), None);
        assert_eq!(outcome.user.as_deref(), Some("ci"));
    }

    #[test]
    fn refuses_others() {
        let plugin = Gateway::new().middleware::<ApiKey>(json!({"keys": keys()})).unwrap();
        for request in [
            testing::get("/"),
            testing::get("/?x-api-key=secret-1"),
            testing::get("/").with_header("x-api-key", "secret-3"),
            testing::get("/").with_header("x-api-key", ""),
            testing::get("/").with_header("x-api-key", ONE),
            testing::get("/").with_header("x-api-key", "secret-1").with_header("x-api-key", "secret-1"),
        ] {
            let outcome = plugin.call(request);
            assert_eq!(outcome.answer.status, 401);
            assert_eq!(outcome.answer.header("www-authenticate"), Some("ApiKey realm=\"api\""));
            assert!(outcome.forwarded.is_none());
        }
    }

    #[test]
    fn takes_the_key_from_the_query() {
        let gateway = Gateway::new();
        let config = json!({"keys": keys(), "query": "api_key", "remove": true});
        let plugin = gateway.middleware::<ApiKey>(config).unwrap();
        let outcome = plugin.call(testing::get("/a?b=1&api_key=secret%2D1&c=2"));
        assert_eq!(outcome.forwarded.unwrap().path, "/a?b=1&c=2");
        assert_eq!(plugin.call(testing::get("/a").with_header("x-api-key", "secret-1")).answer.status, 401);

        let both = gateway.middleware::<ApiKey>(json!({"keys": keys(), "query": "k", "header": "x-k"})).unwrap();
        assert_eq!(both.call(testing::get("/?k=secret-1")).forwarded.unwrap().path, "/?k=secret-1");
        assert_eq!(both.call(testing::get("/").with_header("x-k", "secret-1")).answer.status, 200);
    }

    #[test]
    fn counts_over_all_instances() {
        let gateway = Gateway::new();
        let one = gateway.middleware::<ApiKey>(json!({"keys": keys()})).unwrap();
        let other = gateway.middleware::<ApiKey>(json!({"keys": keys()})).unwrap();
        gateway.advance(Duration::from_secs(20));
        let request = || testing::get("/").with_header("x-api-key", "secret-2");
        assert_eq!(one.call(request()).answer.status, 200);
        assert_eq!(other.call(request()).answer.status, 200);
        let limited = one.call(request()).answer;
        assert_eq!((limited.status, limited.header("retry-after")), (429, Some("40")));
        assert_eq!(one.call(testing::get("/").with_header("x-api-key", "secret-1")).answer.status, 200);
        gateway.advance(Duration::from_secs(40));
        assert_eq!(one.call(request()).answer.status, 200);
    }

    #[test]
    fn refuses_a_wrong_configuration() {
        assert_eq!(refused(json!({})), "keys");
        assert_eq!(refused(json!({"keys": []})), "keys");
        assert_eq!(refused(json!({"keys": [{"name": "a", "sha256": "abc"}]})), "keys[0].sha256");
        assert_eq!(refused(json!({"keys": [{"name": "", "sha256": ONE}]})), "keys[0].name");
        assert_eq!(refused(json!({"keys": [{"name": "a\nb", "sha256": ONE}]})), "keys[0].name");
        assert_eq!(refused(json!({"keys": [{"name": "a", "sha256": ONE}, {"name": "b", "sha256": ONE}]})), "keys[1].sha256");
        assert_eq!(refused(json!({"keys": keys(), "header": "x y"})), "header");
        assert_eq!(refused(json!({"keys": keys(), "nameHeader": ""})), "nameHeader");
        let rate = json!([{"name": "a", "sha256": ONE, "rate": {"requests": 0, "per": "day"}}]);
        assert_eq!(refused(json!({"keys": rate})), "keys[0].rate.requests");
    }
}
