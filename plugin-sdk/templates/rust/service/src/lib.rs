//! {{name}}: a service. What it answers stands here, where tests reach it; `main.rs` is the handler.

use serde::Deserialize;

/// What the operator writes below `plugin.{{name}}` of the service; schema.json says the same.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default = "default_greeting")]
    pub greeting: String,
}

fn default_greeting() -> String {
    "hello".into()
}

/// Status and body for a path.
pub fn answer(config: &Config, path: &str) -> (u16, String) {
    match path {
        "/missing" => (404, "there is nothing here\n".into()),
        path => (200, format!("{} from {path}\n", config.greeting)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets() {
        let config: Config = serde_json::from_str("{}").unwrap();
        assert_eq!(answer(&config, "/a"), (200, "hello from /a\n".into()));
        assert_eq!(answer(&config, "/missing").0, 404);
    }
}
