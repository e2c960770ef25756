//! From the operator's JSON to the plugin's own type.

use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use crate::bindings::hosts::torana::plugin::types::ConfigError;

impl ConfigError {
    /// `key` is the path below the plugin's own configuration, as in `users[1].name`; empty for the whole.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> ConfigError {
        ConfigError { key: key.into(), message: message.into(), hint: String::new() }
    }

    /// What to write instead.
    pub fn hint(mut self, hint: impl Into<String>) -> ConfigError {
        self.hint = hint.into();
        self
    }
}

/// Reads a configuration. `()` and other types that are read from `null` fit an empty one.
pub(crate) fn parse<C: DeserializeOwned>(text: &str) -> Result<C, ConfigError> {
    let deserializer = &mut serde_json::Deserializer::from_str(text);
    let error = match serde_path_to_error::deserialize(deserializer) {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    if text.trim() == "{}"
        && let Ok(config) = serde_json::from_str("null")
    {
        return Ok(config);
    }
    let path = error.path().to_string();
    let mut key = if path == "." { String::new() } else { path };
    let message = error.into_inner().to_string();
    // The position within the JSON text, which is not what the operator wrote.
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    // serde reports a missing key at what it is missing from.
    if let Some(missing) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let separator = if key.is_empty() { "" } else { "." };
        key = format!("{key}{separator}{missing}");
        return Err(ConfigError::new(key, "is required"));
    }
    if message.ends_with("expected unit") && key.is_empty() {
        return Err(ConfigError::new("", "takes no configuration").hint("leave it out"));
    }
    Err(ConfigError::new(key, message))
}

/// The JSON schema of a configuration. The gateway always hands over an object, so a type without content gets an empty one.
pub(crate) fn schema<C: JsonSchema>() -> Value {
    let schema = SchemaGenerator::default().into_root_schema_for::<C>().to_value();
    if schema.get("type").and_then(Value::as_str) == Some("null") {
        return json!({"type": "object", "additionalProperties": false});
    }
    schema
}
