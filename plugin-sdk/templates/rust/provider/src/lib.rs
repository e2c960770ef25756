//! {{name}}: a provider. Routes hosts to servers, as configured; a real one asks somebody, with `http::get(...)`.

use std::collections::BTreeMap;
use std::time::Duration;

use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::serde_json::{Map, json};

/// What the operator writes below `providers.plugin.{{name}}`. These comments become the schema.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// URL of the server, by host name.
    hosts: BTreeMap<String, String>,
}

pub struct Plugin {
    config: Config,
}

impl Provider for Plugin {
    type Config = Config;

    /// Once for each instance. What is refused here is shown with file and line.
    fn new(config: Config) -> Result<Self, ConfigError> {
        if config.hosts.is_empty() {
            return Err(ConfigError::new("hosts", "there is no host")
                .hint("hosts: {app.localhost: http://127.0.0.1:9000}"));
        }
        Ok(Plugin { config })
    }

    /// The whole routing configuration, with the keys of a routing file.
    fn poll(&self) -> Result<Delivery, Failure> {
        let (mut routers, mut services) = (Map::new(), Map::new());
        for (host, url) in &self.config.hosts {
            routers.insert(
                host.clone(),
                json!({"rule": format!("Host(`{host}`)"), "service": host}),
            );
            services.insert(
                host.clone(),
                json!({"loadBalancer": {"servers": [{"url": url}]}}),
            );
        }
        let document = json!({"http": {"routers": routers, "services": services}});
        Ok(Delivery::document(&document)?.again_after(Duration::from_secs(10)))
    }
}

export_provider!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use torana_plugin_sdk::serde_json::{self, Value};
    use torana_plugin_sdk::testing::Gateway;

    #[test]
    fn routes_each_host() {
        let plugin = Gateway::new()
            .provider::<Plugin>(json!({"hosts": {"a.localhost": "http://127.0.0.1:9000"}}))
            .unwrap();
        let delivery = plugin.poll().unwrap();
        let document: Value = serde_json::from_str(delivery.json().unwrap()).unwrap();
        assert_eq!(
            document["http"]["routers"]["a.localhost"]["rule"],
            "Host(`a.localhost`)"
        );
        assert_eq!(
            document["http"]["services"]["a.localhost"]["loadBalancer"]["servers"][0]["url"],
            "http://127.0.0.1:9000"
        );
    }

    #[test]
    fn wants_a_host() {
        assert_eq!(
            Gateway::new()
                .provider::<Plugin>(json!({"hosts": {}}))
                .err()
                .unwrap()
                .key,
            "hosts"
        );
    }
}
