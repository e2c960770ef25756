//! Sets headers of requests and responses: the tour of a plugin, from top to bottom.

use std::collections::BTreeMap;

// Everything a plugin needs: the trait of its kind, the messages, the gateway's interfaces, and the derives for the configuration.
use torana_plugin_sdk::prelude::*;

// 1. The configuration: what the operator writes under the plugin's name. `Deserialize` reads it, `JsonSchema` makes the schema that goes
//    into the component, with these comments as descriptions. The gateway checks against it before it calls the plugin at all, and an
//    unknown key is an error, not a riddle.

/// Headers to set, by name. A header that is there already is replaced.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// Headers of the request, as the service sees them.
    #[serde(default)]
    request: BTreeMap<String, String>,
    /// Headers of the response, as the client sees them.
    #[serde(default)]
    response: BTreeMap<String, String>,
}

// 2. The plugin: whatever it makes of its configuration. One value serves many requests, so all that can be prepared is prepared in `new`.

struct AddHeaders {
    request: Vec<(String, String)>,
    response: Vec<(String, String)>,
}

impl Middleware for AddHeaders {
    type Config = Config;

    // What a schema cannot say is checked here. `ConfigError` names the key below the plugin's own configuration, says what is wrong, and
    // what to write instead; the operator reads it with file and line.
    fn new(config: Config) -> Result<Self, ConfigError> {
        if config.request.is_empty() && config.response.is_empty() {
            return Err(ConfigError::new("", "sets no header").hint("name one under `request` or `response`"));
        }
        Ok(AddHeaders { request: checked("request", config.request)?, response: checked("response", config.response)? })
    }

    // 3. What it wants to see. A hook that is not asked for is not called, and costs nothing. This plugin reads no header, so it declares
    //    none; one that does would go on with `.header("x-user")`.
    fn interest(&self) -> Interest {
        let mut interest = Interest::none();
        if !self.request.is_empty() {
            interest = interest.and_request();
        }
        if !self.response.is_empty() {
            interest = interest.and_response();
        }
        interest
    }

    // 4. The work. Changes are collected and made when the hook returns. `Flow::Next` lets the message go on; `Flow::Respond(Answer::new(403))`
    //    would answer in the service's place.
    fn on_request(&self, request: &mut Request) -> Flow {
        for (name, value) in &self.request {
            request.set_header(name, value);
        }
        Flow::Next
    }

    fn on_response(&self, response: &mut Response) -> Flow {
        for (name, value) in &self.response {
            response.set_header(name, value);
        }
        Flow::Next
    }
}

/// The headers as a list, if they can be sent.
fn checked(list: &str, headers: BTreeMap<String, String>) -> Result<Vec<(String, String)>, ConfigError> {
    for (name, value) in &headers {
        let key = format!("{list}.{name}");
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)) {
            return Err(ConfigError::new(key, "is no header name").hint("use letters, digits and `-`"));
        }
        if value.chars().any(char::is_control) {
            return Err(ConfigError::new(key, "has a line break or another control character in its value").hint("write it on one line"));
        }
    }
    Ok(headers.into_iter().collect())
}

// 5. The component. The manifest in it takes name, version and description from Cargo.toml.
export_middleware!(AddHeaders);

// 6. Tests: plain `cargo test`, without a gateway and without WebAssembly.
#[cfg(test)]
mod tests {
    use super::*;
    use torana_plugin_sdk::serde_json::{Value, json};
    use torana_plugin_sdk::testing::{self, Gateway};

    fn refused(config: Value) -> (String, String) {
        let error = Gateway::new().middleware::<AddHeaders>(config).err().unwrap();
        (error.key, error.message)
    }

    #[test]
    fn sets_headers_on_both_ways() {
        let config = json!({"request": {"X-Tenant": "blue"}, "response": {"x-frame-options": "DENY"}});
        let plugin = Gateway::new().middleware::<AddHeaders>(config).unwrap();
        let outcome = plugin.call(testing::get("/").with_header("x-tenant", "forged"));
        assert_eq!(outcome.forwarded.unwrap().header("x-tenant").as_deref(), Some("blue"));
        assert_eq!(outcome.answer.header("x-frame-options"), Some("DENY"));
    }

    #[test]
    fn refuses_what_cannot_be_sent() {
        assert_eq!(refused(json!({})), ("".into(), "sets no header".into()));
        assert_eq!(refused(json!({"request": {"x y": "1"}})).0, "request.x y");
        assert_eq!(refused(json!({"response": {"x": "1\r\ny: 2"}})).0, "response.x");
        assert_eq!(refused(json!({"requests": {}})).0, "requests");
    }
}
