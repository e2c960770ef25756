//! {{name}}: a matcher. Takes a share of the clients, always the same ones: ``Share(`10`)``.

use torana_plugin_sdk::prelude::*;

/// What the operator writes below `plugins.Share.config`. These comments become the schema.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The header that tells clients apart. By default their address does.
    header: Option<String>,
}

pub struct Plugin {
    percent: u64,
    header: Option<String>,
}

impl Matcher for Plugin {
    type Config = Config;

    /// `arguments` as written in the rule. What is refused here is shown with file and line.
    fn new(arguments: Vec<String>, config: Config) -> Result<Self, ConfigError> {
        let [percent] = arguments.as_slice() else {
            return Err(ConfigError::new("", "one argument belongs here").hint("Share(`10`)"));
        };
        match percent.parse() {
            Ok(percent @ 0..=100) => Ok(Plugin {
                percent,
                header: config.header,
            }),
            _ => Err(
                ConfigError::new("", format!("`{percent}` is no percentage"))
                    .hint("a whole number from 0 to 100"),
            ),
        }
    }

    /// What `matches` reads of every request.
    fn interest(&self) -> Interest {
        match &self.header {
            Some(name) => Interest::request().header(name),
            None => Interest::request().client_ip(),
        }
    }

    fn matches(&self, request: &RequestHead) -> bool {
        let client = match &self.header {
            Some(name) => request.header(name).unwrap_or_default(),
            None => request.client_ip(),
        };
        hash(client) % 100 < self.percent
    }
}

/// FNV-1a: the same in every instance.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

export_matcher!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use torana_plugin_sdk::serde_json::json;
    use torana_plugin_sdk::testing::{Gateway, get};

    #[test]
    fn takes_its_share() {
        let gateway = Gateway::new();
        let taken = |percent: &str| {
            let plugin = gateway
                .matcher::<Plugin>(&[percent], json!({"header": "x-user"}))
                .unwrap();
            (0..1000)
                .filter(|n| plugin.matches(&get("/").with_header("x-user", &format!("user-{n}"))))
                .count()
        };
        assert_eq!((taken("0"), taken("100")), (0, 1000));
        assert!((50..150).contains(&taken("10")), "{}", taken("10"));
    }

    #[test]
    fn wants_a_percentage() {
        for arguments in [&["101"][..], &["x"], &[], &["1", "2"]] {
            assert!(
                Gateway::new()
                    .matcher::<Plugin>(arguments, json!({}))
                    .is_err(),
                "{arguments:?}"
            );
        }
    }
}
