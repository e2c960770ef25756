//! How the operator's JSON becomes the plugin's type, and what it is told when it does not.

use serde_json::{Value, json};
use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::testing::{self, Gateway};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct User {
    /// Who it is.
    #[allow(dead_code)]
    name: String,
    #[allow(dead_code)]
    max_age: Option<u32>,
}

/// Who may come in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The users.
    users: Vec<User>,
}

#[derive(Debug)]
struct Users(usize);

impl Middleware for Users {
    type Config = Config;
    const CAPABILITIES: Capabilities = Capabilities::NONE.http().kv(&["sessions"]).env(&["REGION"]);

    fn new(config: Config) -> Result<Self, ConfigError> {
        if config.users.is_empty() {
            return Err(ConfigError::new("users", "must not be empty").hint("name one"));
        }
        Ok(Users(config.users.len()))
    }

    fn interest(&self) -> Interest {
        Interest::none()
    }
}

struct Plain;

impl Middleware for Plain {
    type Config = ();

    fn new((): ()) -> Result<Self, ConfigError> {
        Ok(Plain)
    }

    fn interest(&self) -> Interest {
        Interest::none()
    }
}

fn error<T: Middleware>(config: Value) -> ConfigError {
    match Gateway::new().middleware::<T>(config) {
        Ok(_) => panic!("accepted"),
        Err(error) => error,
    }
}

#[test]
fn a_good_configuration_reaches_the_plugin() {
    let plugin = Gateway::new().middleware::<Users>(json!({"users": [{"name": "bob"}, {"name": "eve", "maxAge": 3}]})).unwrap();
    assert_eq!(plugin.plugin().0, 2);
}

#[test]
fn errors_name_the_key() {
    let wrong = error::<Users>(json!({"users": [{"name": "bob"}, {"name": 7}]}));
    assert_eq!((wrong.key.as_str(), wrong.message.as_str()), ("users[1].name", "invalid type: integer `7`, expected a string"));

    let missing = error::<Users>(json!({"users": [{"maxAge": 7}]}));
    assert_eq!((missing.key.as_str(), missing.message.as_str()), ("users[0].name", "is required"));

    let missing = error::<Users>(json!({}));
    assert_eq!((missing.key.as_str(), missing.message.as_str()), ("users", "is required"));

    let unknown = error::<Users>(json!({"users": [], "user": 1}));
    assert_eq!((unknown.key.as_str(), unknown.message.as_str()), ("user", "unknown field `user`, expected `users`"));

    let own = error::<Users>(json!({"users": []}));
    assert_eq!(own, ConfigError { key: "users".into(), message: "must not be empty".into(), hint: "name one".into() });
}

#[test]
fn no_configuration_is_an_empty_one() {
    assert!(Gateway::new().middleware::<Plain>(json!({})).is_ok());
    assert_eq!(error::<Plain>(json!({"a": 1})).message, "takes no configuration");
}

#[test]
fn the_manifest_says_what_the_plugin_is() {
    let manifest = testing::Middleware::<Users>::manifest();
    assert_eq!(manifest["kind"], "middleware");
    assert_eq!(manifest["capabilities"], json!({"http": true, "kv": ["sessions"], "env": ["REGION"]}));
    let schema = &manifest["schema"];
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["description"], "Who may come in.");
    assert_eq!(schema["required"], json!(["users"]));
    assert_eq!(schema["properties"]["users"]["description"], "The users.");

    let schema = &testing::Middleware::<Plain>::manifest()["schema"];
    assert_eq!(schema, &json!({"type": "object", "additionalProperties": false}));
}
