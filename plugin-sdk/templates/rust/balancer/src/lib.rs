//! {{name}}: a balancer. Sends the same user to the same server, and others to the one with the least to do.

use torana_plugin_sdk::prelude::*;

/// What the operator writes below `loadBalancer.plugin.{{name}}`. These comments become the schema.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The header that names the user.
    #[serde(default = "default_header")]
    header: String,
}

fn default_header() -> String {
    "x-user".into()
}

pub struct Plugin {
    header: String,
}

impl Balancer for Plugin {
    type Config = Config;

    /// Once for each instance. What is refused here is shown with file and line.
    fn new(config: Config) -> Result<Self, ConfigError> {
        Ok(Plugin {
            header: config.header,
        })
    }

    /// What `pick` reads of every request.
    fn interest(&self) -> Interest {
        Interest::request().header(&self.header)
    }

    /// The index of a server; a server that is not up is of no use. `None` answers 503.
    fn pick(&self, request: &RequestHead, servers: &[Server]) -> Option<usize> {
        let up = || servers.iter().filter(|server| server.up);
        let server = match request.header(&self.header) {
            Some(user) => up().max_by_key(|server| hash(&[user, &server.url])),
            None => up().min_by_key(|server| server.in_flight()),
        };
        server.map(|server| server.index)
    }
}

/// FNV-1a: the same in every instance. With the server in it, a server that goes away moves its own users only.
fn hash(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

export_balancer!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use torana_plugin_sdk::serde_json::json;
    use torana_plugin_sdk::testing::{Gateway, get};

    #[test]
    fn users_stay_where_they_are() {
        let plugin = Gateway::new().balancer::<Plugin>(json!({})).unwrap();
        let user = |n: i32| get("/").with_header("x-user", &format!("user-{n}"));
        plugin.servers(&[
            ("http://a", 1, true),
            ("http://b", 1, true),
            ("http://c", 1, true),
        ]);
        let before: Vec<_> = (0..90).map(|n| plugin.pick(&user(n)).unwrap()).collect();
        assert!((0..3).all(|server| before.contains(&server)), "{before:?}");
        plugin.servers(&[
            ("http://a", 1, true),
            ("http://b", 1, false),
            ("http://c", 1, true),
        ]);
        for (n, server) in before.into_iter().enumerate() {
            let now = plugin.pick(&user(n as i32)).unwrap();
            assert!(now != 1 && (server == 1 || server == now));
        }
    }

    #[test]
    fn others_go_where_there_is_least_to_do() {
        let plugin = Gateway::new().balancer::<Plugin>(json!({})).unwrap();
        assert_eq!(plugin.pick(&get("/")), None);
        plugin.servers(&[("http://a", 1, true), ("http://b", 1, true)]);
        plugin.in_flight(&[3, 1]);
        assert_eq!(plugin.pick(&get("/")), Some(1));
    }
}
