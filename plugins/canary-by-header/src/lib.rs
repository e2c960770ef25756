//! Sends requests that carry a header to the canary servers, others to the rest.

use std::cell::RefCell;
use std::cmp::Reverse;

use plugin_support::header_name;
use torana_plugin_sdk::prelude::*;

/// Which requests go to which servers.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// Name of the header, as in `x-canary`.
    header: String,
    /// The values that lead to the canary, exactly as sent. Default: any value.
    values: Option<Vec<String>>,
    /// The canary servers: their URLs as configured in the service, or their places in the list of servers, from 0.
    canary: Vec<Which>,
    /// How a server of the group is chosen. Default: `leastInFlight`.
    #[serde(default)]
    strategy: Strategy,
}

/// A server.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Which {
    /// Its place in the list of servers, from 0.
    Index(usize),
    /// Its URL.
    Url(String),
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Strategy {
    /// The one with the fewest running requests for its weight.
    #[default]
    LeastInFlight,
    /// One after the other, by weight.
    RoundRobin,
}

#[derive(Default)]
struct State {
    /// Whether the server at that place is a canary.
    canary: Vec<bool>,
    /// What the server at that place has saved up for its next turn.
    credit: Vec<i64>,
}

struct Canary {
    header: String,
    values: Option<Vec<String>>,
    canary: Vec<Which>,
    strategy: Strategy,
    state: RefCell<State>,
}

impl Which {
    fn is(&self, server: &Server) -> bool {
        match self {
            Which::Index(index) => *index == server.index,
            Which::Url(url) => bare(url) == bare(&server.url),
        }
    }
}

/// `http://a/` and `http://a` are the same server.
fn bare(url: &str) -> &str {
    url.strip_suffix('/').unwrap_or(url)
}

impl Balancer for Canary {
    type Config = Config;

    fn new(config: Config) -> Result<Self, ConfigError> {
        let header = header_name("header", &config.header)?;
        if config.canary.is_empty() {
            return Err(ConfigError::new("canary", "names no server").hint("name one by its URL, or by its place in the list, from 0"));
        }
        if config.values.as_ref().is_some_and(Vec::is_empty) {
            return Err(ConfigError::new("values", "lists no value").hint("leave it out for any value"));
        }
        Ok(Canary { header, values: config.values, canary: config.canary, strategy: config.strategy, state: RefCell::default() })
    }

    fn interest(&self) -> Interest {
        Interest::request().header(&self.header)
    }

    fn update(&self, servers: &[Server]) {
        let mut state = self.state.borrow_mut();
        let canary: Vec<bool> = servers.iter().map(|server| self.canary.iter().any(|which| which.is(server))).collect();
        if state.canary != canary {
            for which in self.canary.iter().filter(|which| !servers.iter().any(|server| which.is(server))) {
                match which {
                    Which::Index(index) => log::warn!("canary: there is no server {index}; there are {}, counted from 0", servers.len()),
                    Which::Url(url) => log::warn!("canary: `{url}` is no server of the service"),
                }
            }
        }
        state.credit.resize(servers.len(), 0);
        state.canary = canary;
    }

    fn pick(&self, request: &RequestHead, servers: &[Server]) -> Option<usize> {
        let wanted = match (request.header(&self.header), &self.values) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(value), Some(values)) => values.iter().any(|known| known == value),
        };
        let mut state = self.state.borrow_mut();
        let State { canary, credit } = &mut *state;
        let canary: &[bool] = canary;
        // A weight of 0 takes a server out.
        let usable = |server: &&Server| server.up && server.weight > 0;
        let group = |canaries: bool| servers.iter().filter(move |server| canary.get(server.index) == Some(&canaries)).filter(usable);
        let mut group: Vec<&Server> = match group(wanted).count() {
            0 => group(!wanted).collect(),
            _ => group(wanted).collect(),
        };
        if let Strategy::LeastInFlight = self.strategy {
            // Of those with the lowest load for their weight, a turn for each.
            let loads: Vec<u64> = group.iter().map(|server| u64::from(server.in_flight())).collect();
            let less = |(load, server): (u64, &Server), (other_load, other): (u64, &Server)| {
                load.saturating_mul(other.weight.into()) < other_load.saturating_mul(server.weight.into())
            };
            let all: Vec<(u64, &Server)> = loads.into_iter().zip(group).collect();
            group = all.iter().filter(|one| !all.iter().any(|other| less(*other, **one))).map(|(_, server)| *server).collect();
        }
        // Smooth weighted round robin: everyone earns their weight, the richest is chosen and pays for all.
        for server in &group {
            *credit.get_mut(server.index)? += i64::from(server.weight);
        }
        let chosen = group.iter().max_by_key(|server| (credit.get(server.index).copied(), Reverse(server.index)))?.index;
        *credit.get_mut(chosen)? -= group.iter().map(|server| i64::from(server.weight)).sum::<i64>();
        Some(chosen)
    }
}

export_balancer!(Canary);

#[cfg(test)]
mod tests {
    use super::*;
    use torana_plugin_sdk::serde_json::{Value, json};
    use torana_plugin_sdk::testing::{self, Gateway};

    const SERVERS: [(&str, u32, bool); 4] = [("http://a", 1, true), ("http://b", 1, true), ("http://c", 1, true), ("http://d", 1, true)];

    fn balancer(config: Value) -> testing::Balancer<Canary> {
        let balancer = Gateway::new().balancer(config).unwrap();
        balancer.servers(&SERVERS);
        balancer
    }

    fn picks(balancer: &testing::Balancer<Canary>, request: &testing::Message, times: usize) -> Vec<Option<usize>> {
        (0..times).map(|_| balancer.pick(request)).collect()
    }

    fn canary() -> testing::Message {
        testing::get("/").with_header("x-canary", "yes")
    }

    #[test]
    fn the_header_leads_to_the_canary() {
        let balancer = balancer(json!({"header": "X-Canary", "canary": ["http://c/", 3], "strategy": "roundRobin"}));
        assert_eq!(picks(&balancer, &canary(), 3), [Some(2), Some(3), Some(2)]);
        assert_eq!(picks(&balancer, &testing::get("/"), 3), [Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn values_are_exact() {
        let balancer = balancer(json!({"header": "x-canary", "values": ["yes", "de"], "canary": [3]}));
        assert_eq!(balancer.pick(&canary()), Some(3));
        assert_eq!(balancer.pick(&testing::get("/").with_header("x-canary", "Yes")), Some(0));
    }

    #[test]
    fn a_group_that_is_down_is_replaced_by_the_other() {
        let balancer = balancer(json!({"header": "x-canary", "canary": [0]}));
        balancer.servers(&[("http://a", 1, false), ("http://b", 1, true)]);
        assert_eq!(balancer.pick(&canary()), Some(1));
        balancer.servers(&[("http://a", 1, true), ("http://b", 1, false)]);
        assert_eq!(balancer.pick(&testing::get("/")), Some(0));
        balancer.servers(&[("http://a", 1, true), ("http://b", 0, true)]);
        assert_eq!(balancer.pick(&testing::get("/")), Some(0), "a weight of 0 is as good as down");
        balancer.servers(&[("http://a", 1, false), ("http://b", 1, false)]);
        assert_eq!(balancer.pick(&canary()), None);
        balancer.servers(&[]);
        assert_eq!(balancer.pick(&canary()), None);
    }

    #[test]
    fn the_least_busy_for_its_weight_is_chosen() {
        let balancer = balancer(json!({"header": "x-canary", "canary": [3]}));
        balancer.in_flight(&[2, 1, 1, 0]);
        assert_eq!(picks(&balancer, &testing::get("/"), 3), [Some(1), Some(2), Some(1)], "the idle canary is not for all");
        balancer.servers(&[("http://a", 4, true), ("http://b", 1, true), ("http://c", 1, true), ("http://d", 1, true)]);
        assert_eq!(balancer.pick(&testing::get("/")), Some(0), "2 of 4 is less than 1 of 1");
    }

    #[test]
    fn round_robin_keeps_weights() {
        let balancer = balancer(json!({"header": "x-canary", "canary": [3], "strategy": "roundRobin"}));
        balancer.servers(&[("http://a", 2, true), ("http://b", 1, true), ("http://c", 1, false), ("http://d", 1, true)]);
        assert_eq!(picks(&balancer, &testing::get("/"), 6), [Some(0), Some(1), Some(0), Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn a_canary_that_does_not_exist_is_told_once() {
        let gateway = Gateway::new();
        let balancer = gateway.balancer::<Canary>(json!({"header": "x-canary", "canary": ["http://z", 9]})).unwrap();
        balancer.servers(&SERVERS);
        balancer.servers(&SERVERS);
        let lines: Vec<String> = gateway.log().into_iter().map(|line| line.message).collect();
        assert_eq!(lines, ["canary: `http://z` is no server of the service", "canary: there is no server 9; there are 4, counted from 0"]);
    }

    #[test]
    fn wrong_configurations_are_told() {
        let refused = |config| Gateway::new().balancer::<Canary>(config).err().unwrap().key;
        assert_eq!(refused(json!({"header": "x y", "canary": [0]})), "header");
        assert_eq!(refused(json!({"header": "x", "canary": []})), "canary");
        assert_eq!(refused(json!({"header": "x", "canary": [0], "values": []})), "values");
        assert_eq!(refused(json!({"header": "x", "canary": [0], "strategy": "random"})), "strategy");
        assert_eq!(refused(json!({"header": "x", "canary": [-1]})), "canary[0]");
    }
}
