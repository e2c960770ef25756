//! A container as far as it matters for routing, whether it came from a list or was looked at alone.

use crate::api::{Attached, Inspected, Listed};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Container {
    pub id: String,
    /// Without the slash.
    pub name: String,
    pub labels: Arc<BTreeMap<String, String>>,
    pub running: bool,
    /// In the engine's word: `running`, `paused`, `exited`.
    pub state: String,
    pub health: Health,
    /// As in `network_mode`; an own network by its name.
    pub network_mode: String,
    /// By number, then protocol.
    pub ports: Vec<Port>,
    /// In the order of their names. A list: most containers are on one, and there are many containers.
    pub networks: Vec<(String, Attachment)>,
    pub stop: Option<Stop>,
}

/// How it is asked to end; only known of one that was looked at alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Empty for SIGTERM.
    pub signal: String,
    /// Seconds until it is killed; 0 for the engine's 10.
    pub timeout: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    /// Nobody checks it.
    #[default]
    None,
    Starting,
    Healthy,
    Unhealthy,
}

impl Health {
    pub(crate) fn parse(text: &str) -> Health {
        match text {
            "starting" => Health::Starting,
            "healthy" => Health::Healthy,
            "unhealthy" => Health::Unhealthy,
            _ => Health::None,
        }
    }

    /// Out of `Up 5 minutes (healthy)`, `Up 2 seconds (health: starting)`.
    fn of_status(status: &str) -> Health {
        let inside = status.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or_default();
        Health::parse(inside.strip_prefix("health: ").unwrap_or(inside))
    }

    pub(crate) fn is_up(self) -> bool {
        matches!(self, Health::None | Health::Healthy)
    }
}

/// A port that the image or the container exposes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub number: u16,
    /// `tcp`, `udp`, `sctp`
    pub protocol: String,
    /// Where it is published, if it is; an address of the host and a port there.
    pub bindings: Vec<(String, u16)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub v4: Option<IpAddr>,
    pub v6: Option<IpAddr>,
}

impl Attachment {
    /// IPv4 first, as Traefik chooses.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.v4.or(self.v6)
    }
}

fn attachments(networks: HashMap<String, Attached>) -> Vec<(String, Attachment)> {
    let mut all: Vec<_> =
        networks.into_iter().map(|(name, a)| (name, Attachment { v4: a.ip.parse().ok(), v6: a.ipv6.parse().ok() })).collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    all
}

fn bare(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

impl Container {
    pub(crate) fn from_list(c: Listed) -> Container {
        let health = if c.health.status.is_empty() { Health::of_status(&c.status) } else { Health::parse(&c.health.status) };
        // Names that other containers have for it have two slashes.
        let name = c.names.iter().map(|n| bare(n)).find(|n| !n.contains('/')).unwrap_or_default().to_owned();
        let mut ports: BTreeMap<(u16, String), Vec<(String, u16)>> = BTreeMap::new();
        for p in c.ports {
            let bindings = ports.entry((p.private, p.kind)).or_default();
            if p.public != 0 {
                bindings.push((p.ip, p.public));
            }
        }
        Container {
            id: c.id,
            name,
            labels: Arc::new(c.labels),
            running: c.state == "running",
            state: c.state,
            health,
            network_mode: c.host.network_mode,
            ports: ports.into_iter().map(|((number, protocol), bindings)| Port { number, protocol, bindings }.tidy()).collect(),
            networks: attachments(c.networks.networks),
            stop: None,
        }
    }

    pub(crate) fn from_inspection(c: Inspected) -> Container {
        let port = |(text, bindings): (String, Option<Vec<crate::api::Binding>>)| {
            let (number, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
            let bindings = bindings.into_iter().flatten().filter_map(|b| Some((b.ip, b.port.parse().ok()?))).collect();
            Some(Port { number: number.parse().ok()?, protocol: protocol.to_owned(), bindings }.tidy())
        };
        let mut ports: Vec<Port> = c.network.ports.into_iter().filter_map(port).collect();
        ports.sort();
        Container {
            id: c.id,
            name: bare(&c.name).to_owned(),
            labels: Arc::new(c.config.labels),
            running: c.state.status == "running",
            health: Health::parse(&c.state.health.status),
            state: c.state.status,
            network_mode: c.host.network_mode,
            ports,
            networks: attachments(c.network.networks),
            stop: Some(Stop { signal: c.config.stop_signal, timeout: c.config.stop_timeout }),
        }
    }

    /// Whether both say the same about routing.
    pub(crate) fn same(&self, other: &Container) -> bool {
        let mut other = other.clone();
        other.stop.clone_from(&self.stop);
        *self == other
    }

    /// For messages, and in the order of which what containers say is merged.
    pub(crate) fn origin(&self) -> String {
        format!("container {} ({})", self.name, self.id.get(..12).unwrap_or(&self.id))
    }
}

impl Port {
    /// Lists have bindings in no order, and leave out an address that is none.
    fn tidy(mut self) -> Port {
        self.bindings.sort();
        self.bindings.dedup();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_in_words() {
        for (status, health) in [
            ("Up 5 minutes (healthy)", Health::Healthy),
            ("Up 5 minutes (unhealthy)", Health::Unhealthy),
            ("Up Less than a second (health: starting)", Health::Starting),
            ("Up 2 hours", Health::None),
            ("Exited (137) 2 hours ago", Health::None),
            ("Up 2 hours (Paused)", Health::None),
        ] {
            assert_eq!(Health::of_status(status), health, "{status}");
        }
    }

    #[test]
    fn a_list_and_a_look_say_the_same() {
        let listed = serde_json::json!({
            "Id": "0123456789abcdef", "Names": ["/other/alias", "/web"], "Labels": {"a": "b"}, "State": "running",
            "Status": "Up 1 second (healthy)",
            "Ports": [{"PrivatePort": 8080, "Type": "tcp"}, {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8000, "Type": "tcp"}],
            "HostConfig": {"NetworkMode": "front"},
            "NetworkSettings": {"Networks": {"front": {"IPAddress": "172.18.0.2", "GlobalIPv6Address": ""}}},
        });
        let inspected = serde_json::json!({
            "Id": "0123456789abcdef", "Name": "/web", "State": {"Status": "running", "Health": {"Status": "healthy"}},
            "Config": {"Labels": {"a": "b"}, "StopSignal": "SIGQUIT"}, "HostConfig": {"NetworkMode": "front"},
            "NetworkSettings": {
                "Ports": {"8080/tcp": null, "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8000"}]},
                "Networks": {"front": {"IPAddress": "172.18.0.2", "GlobalIPv6Address": ""}},
            },
        });
        let a = Container::from_list(serde_json::from_value(listed).unwrap());
        let b = Container::from_inspection(serde_json::from_value(inspected).unwrap());
        assert!(a.same(&b), "{a:?}\n{b:?}");
        assert_eq!(a.origin(), "container web (0123456789ab)");
        assert_eq!(b.stop, Some(Stop { signal: "SIGQUIT".into(), timeout: 0 }));
    }
}
