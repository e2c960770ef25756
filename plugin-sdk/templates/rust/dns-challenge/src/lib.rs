//! {{name}}: answers DNS-01 challenges. Makes TXT records through an HTTP API.

use std::time::Duration;

use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::serde_json::json;

/// The plugin's configuration. These comments become the schema.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where records are made (`PUT`) and removed (`DELETE`).
    url: String,
}

pub struct Plugin {
    url: String,
}

impl Plugin {
    fn send(&self, method: &str, challenge: &Challenge) -> Result<(), Failure> {
        let token = secrets::get("token").ok_or("the secret `token` is not granted")?;
        let answer = http::request(method, &self.url)
            .header("authorization", format!("Bearer {token}"))
            .json(&json!({"name": challenge.fqdn, "type": "TXT", "value": challenge.value}))
            .send()?;
        match answer.status {
            200..=299 => Ok(()),
            status => Err(format!("{} answered {status}", self.url).into()),
        }
    }
}

impl DnsChallenge for Plugin {
    type Config = Config;

    /// The operator has to grant the host of the URL and the secret.
    const CAPABILITIES: Capabilities = Capabilities::NONE.http().secrets(&["token"]);

    /// Once for each instance. What is refused here is shown with file and line.
    fn new(config: Config) -> Result<Self, ConfigError> {
        if !config.url.starts_with("http://") && !config.url.starts_with("https://") {
            return Err(
                ConfigError::new("url", "a URL begins with http:// or https://")
                    .hint(format!("https://{}", config.url)),
            );
        }
        Ok(Plugin { url: config.url })
    }

    /// How long records take to be seen.
    fn timing(&self) -> Timing {
        Timing {
            timeout: Duration::from_secs(120),
            interval: Duration::from_secs(5),
        }
    }

    fn present(&self, challenge: &Challenge) -> Result<(), Failure> {
        self.send("PUT", challenge)
    }

    fn clean_up(&self, challenge: &Challenge) -> Result<(), Failure> {
        self.send("DELETE", challenge)
    }
}

export_dns_challenge!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use torana_plugin_sdk::testing::Gateway;

    const URL: &str = "https://dns.example.com/records";

    fn challenge() -> Challenge {
        Challenge {
            domain: "example.com".into(),
            fqdn: "_acme-challenge.example.com.".into(),
            value: "abc".into(),
        }
    }

    #[test]
    fn makes_and_removes_a_record() {
        let gateway = Gateway::new();
        gateway.secret("token", "t0p").answer(URL, Answer::new(204));
        let plugin = gateway
            .dns_challenge::<Plugin>(json!({"url": URL}))
            .unwrap();
        plugin.present(&challenge()).unwrap();
        plugin.clean_up(&challenge()).unwrap();
        let sent = gateway.sent();
        assert_eq!(
            (sent[0].method.as_str(), sent[1].method.as_str()),
            ("PUT", "DELETE")
        );
        assert_eq!(
            sent[0].header("authorization").as_deref(),
            Some("Bearer t0p")
        );
        assert!(sent[0].text().contains("_acme-challenge.example.com."));
    }

    #[test]
    fn says_what_the_server_said() {
        let gateway = Gateway::new();
        gateway.secret("token", "t0p").answer(URL, Answer::new(401));
        let plugin = gateway
            .dns_challenge::<Plugin>(json!({"url": URL}))
            .unwrap();
        assert!(
            plugin
                .present(&challenge())
                .unwrap_err()
                .contains("answered 401")
        );
    }
}
