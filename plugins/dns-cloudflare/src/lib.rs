//! Makes the TXT records of DNS-01 challenges at Cloudflare, by its API v4.

mod api;

use std::time::Duration;

use api::{Api, TTL};
use torana_plugin_sdk::prelude::*;

/// One account at Cloudflare.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// Name of the secret (`permissions.secrets`) with the API token. It needs the permission `Zone / DNS / Edit`, and
    /// `Zone / Zone / Read` unless `zoneTokenSecret` or `zoneId` is there. Default: `token`.
    #[serde(default = "token")]
    token_secret: String,
    /// Name of the secret with another token, by which zones are looked for (`Zone / Zone / Read`).
    zone_token_secret: Option<String>,
    /// Identifier of the zone, which is then not looked for.
    zone_id: Option<String>,
    /// Time to live of the records: 1 (automatic), or 30 to 86400 seconds. Default: 120.
    #[serde(default = "ttl")]
    ttl: u32,
    /// Where the API is. Default: `https://api.cloudflare.com/client/v4`.
    #[serde(default = "base_url")]
    base_url: String,
    /// Seconds until a record has to be seen. Default: 120.
    #[serde(default = "propagation_timeout")]
    propagation_timeout: u32,
    /// Seconds between two looks. Default: 2.
    #[serde(default = "polling_interval")]
    polling_interval: u32,
}

fn token() -> String {
    "token".into()
}

fn ttl() -> u32 {
    120
}

fn base_url() -> String {
    "https://api.cloudflare.com/client/v4".into()
}

fn propagation_timeout() -> u32 {
    120
}

fn polling_interval() -> u32 {
    2
}

struct Cloudflare {
    api: Api,
    timing: Timing,
}

impl DnsChallenge for Cloudflare {
    type Config = Config;
    // Which secrets are wanted, the configuration says.
    const CAPABILITIES: Capabilities = Capabilities::NONE.http();

    fn new(config: Config) -> Result<Self, ConfigError> {
        let base = plugin_support::url("baseUrl", &config.base_url)?;
        if config.ttl != 1 && !TTL.contains(&config.ttl) {
            let message = format!("{} is no time to live that Cloudflare takes", config.ttl);
            return Err(ConfigError::new("ttl", message).hint("write 1 (automatic), or 30 to 86400 seconds"));
        }
        if let Some(id) = &config.zone_id
            && (id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        {
            let hint = "the overview of the zone shows it as 32 letters and digits; or leave it out";
            return Err(ConfigError::new("zoneId", format!("`{id}` is no identifier of a zone")).hint(hint));
        }
        for (key, seconds) in [("propagationTimeout", config.propagation_timeout), ("pollingInterval", config.polling_interval)] {
            if seconds == 0 {
                return Err(ConfigError::new(key, "has to be at least 1 second"));
            }
        }
        let token = plugin_support::secret("tokenSecret", &config.token_secret)?;
        let zone_token = config.zone_token_secret.as_deref().map(|name| plugin_support::secret("zoneTokenSecret", name)).transpose()?;
        let timing = Timing {
            timeout: Duration::from_secs(config.propagation_timeout.into()),
            interval: Duration::from_secs(config.polling_interval.into()),
        };
        Ok(Cloudflare { api: Api::new(base, token, zone_token, config.zone_id, config.ttl), timing })
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn present(&self, challenge: &Challenge) -> Result<(), Failure> {
        self.api.create(name(challenge), &challenge.value)
    }

    fn clean_up(&self, challenge: &Challenge) -> Result<(), Failure> {
        self.api.delete(name(challenge), &challenge.value)
    }
}

/// As Cloudflare writes names: without the dot of the root.
fn name(challenge: &Challenge) -> &str {
    challenge.fqdn.trim_end_matches('.')
}

export_dns_challenge!(Cloudflare);

#[cfg(test)]
mod tests;
