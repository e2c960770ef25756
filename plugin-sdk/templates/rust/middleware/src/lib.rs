//! {{name}}: a middleware. Answers 403 to a path, and stamps what passes.

use torana_plugin_sdk::prelude::*;

/// What the operator writes below `plugin.{{name}}`. These comments become the schema.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Requests whose path begins with it get 403. None by default.
    blocked: Option<String>,
    /// The header that is set.
    #[serde(default = "default_header")]
    header: String,
}

fn default_header() -> String {
    "x-{{name}}".into()
}

pub struct Plugin {
    config: Config,
}

impl Middleware for Plugin {
    type Config = Config;

    /// Once for each instance. What is refused here is shown with file and line.
    fn new(config: Config) -> Result<Self, ConfigError> {
        match &config.blocked {
            Some(path) if !path.starts_with('/') => {
                Err(ConfigError::new("blocked", "a path begins with a slash")
                    .hint(format!("/{path}")))
            }
            _ => Ok(Plugin { config }),
        }
    }

    /// What the hooks below read of every exchange.
    fn interest(&self) -> Interest {
        Interest::request().path().and_response().status()
    }

    fn on_request(&self, request: &mut Request) -> Flow {
        if let Some(blocked) = &self.config.blocked
            && request.path().starts_with(blocked)
        {
            log::info!("blocked {}", request.path());
            return Flow::Respond(Answer::new(403).with_text("blocked\n"));
        }
        request.set_header(&self.config.header, "request");
        Flow::Next
    }

    fn on_response(&self, response: &mut Response) -> Flow {
        response.set_header(&self.config.header, response.status().to_string());
        Flow::Next
    }
}

export_middleware!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use torana_plugin_sdk::serde_json::json;
    use torana_plugin_sdk::testing::{Gateway, get};

    #[test]
    fn stamps_what_passes() {
        let plugin = Gateway::new()
            .middleware::<Plugin>(json!({"header": "x-seen"}))
            .unwrap();
        let outcome = plugin.call(get("/"));
        assert_eq!(
            outcome.forwarded.unwrap().header("x-seen").as_deref(),
            Some("request")
        );
        assert_eq!(outcome.answer.header("x-seen"), Some("200"));
    }

    #[test]
    fn blocks_a_path() {
        let plugin = Gateway::new()
            .middleware::<Plugin>(json!({"blocked": "/admin"}))
            .unwrap();
        assert_eq!(plugin.call(get("/admin/users")).answer.status, 403);
        assert_eq!(plugin.call(get("/")).answer.status, 200);
    }

    #[test]
    fn refuses_what_is_no_path() {
        let wrong = Gateway::new()
            .middleware::<Plugin>(json!({"blocked": "admin"}))
            .err()
            .unwrap();
        assert_eq!(
            (wrong.key.as_str(), wrong.hint.as_str()),
            ("blocked", "/admin")
        );
    }
}
