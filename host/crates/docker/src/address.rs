//! Where a container is reached: its address, and which of its ports.

use crate::container::{Container, Port};
use std::collections::HashMap;
use std::net::IpAddr;
use torana_config::install::DockerConfig;

/// Which transport a service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        }
    }
}

/// What is known of reaching one container or task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Or why there is none.
    pub host: Result<String, String>,
    /// A network was asked for that it is not on.
    pub warning: Option<String>,
    pub ports: Vec<Port>,
    /// `useBindPortIP`
    pub bound: bool,
}

impl Reach {
    /// Host (IPv6 without brackets) and port for a service; `label` is what it says of its port, which is not looked at.
    pub(crate) fn address(&self, label: Option<&str>, transport: Transport) -> Result<(String, String), String> {
        let port = match label.filter(|l| !l.is_empty()) {
            Some(text) => Some(text.to_owned()),
            None => self.default_port(transport).map(|p| p.to_string()),
        };
        if self.bound
            && let Some(port) = port.as_ref().and_then(|p| p.parse().ok())
            && let Some((ip, port)) = self.binding(port, transport)
        {
            return Ok((ip, port.to_string()));
        }
        let host = self.host.clone()?;
        let port =
            port.ok_or("it exposes no port: write `EXPOSE` in its image, or the label `….loadbalancer.server.port` of its service")?;
        Ok((host, port))
    }

    /// The lowest one of the service's own transport, else the lowest of all.
    fn default_port(&self, transport: Transport) -> Option<u16> {
        let own = self.ports.iter().filter(|p| p.protocol == transport.name());
        own.chain(&self.ports).map(|p| (p.protocol != transport.name(), p.number)).min().map(|(_, n)| n)
    }

    /// Where the port is published, if that says one address.
    fn binding(&self, port: u16, transport: Transport) -> Option<(String, u16)> {
        let published = |p: &&Port| p.number == port && !p.bindings.is_empty();
        let own = self.ports.iter().filter(published).find(|p| p.protocol == transport.name());
        let (ip, port) = own.or_else(|| self.ports.iter().find(published))?.bindings.first()?;
        let ip: IpAddr = ip.parse().ok()?;
        (!ip.is_unspecified()).then(|| (ip.to_string(), *port))
    }
}

/// Links of `network_mode: container:…` that are followed.
const DEPTH: usize = 8;

/// Looks containers up for each other.
pub(crate) struct Surroundings<'a> {
    pub config: &'a DockerConfig,
    pub containers: &'a HashMap<String, Container>,
    /// Where the engine's host is for the gateway.
    pub host: &'a str,
    /// The network that a container's own labels ask for.
    pub network: &'a dyn Fn(&Container) -> Option<String>,
}

impl Surroundings<'_> {
    pub(crate) fn reach(&self, container: &Container) -> Reach {
        let mut warning = None;
        let host = self.host(container, None, DEPTH, &mut warning);
        Reach { host, warning, ports: container.ports.clone(), bound: self.config.use_bind_port_ip }
    }

    fn host(&self, c: &Container, asked_before: Option<&str>, depth: usize, warning: &mut Option<String>) -> Result<String, String> {
        let asked = (self.network)(c)
            .or_else(|| Some(self.config.network.clone()).filter(|n| !n.is_empty()))
            .or_else(|| asked_before.map(str::to_owned))
            .filter(|n| !n.is_empty());
        let mut missing = None;
        if let Some(name) = &asked {
            match c.networks.iter().find(|(n, _)| n == name) {
                Some((_, a)) => {
                    let none = || format!("it has no address on the network `{name}`");
                    return a.address().map(|a| a.to_string()).ok_or_else(none);
                }
                None => missing = Some(name),
            }
        }
        if c.network_mode == "host" {
            return Ok(self.host.to_owned());
        }
        if let Some(other) = c.network_mode.strip_prefix("container:") {
            let found = self.containers.get(other).or_else(|| self.containers.values().find(|o| o.name == other));
            let found = found.ok_or_else(|| format!("it shares the network of container `{other}`, which is not there"))?;
            if depth == 0 {
                return Err("containers share each other's network in a circle".to_owned());
            }
            return self.host(found, asked.as_deref(), depth - 1, warning);
        }
        // Traefik takes any; this is the same one each time, and one that has an address.
        let chosen = c.networks.iter().find_map(|(name, a)| Some((name, a.address()?)));
        if let Some(missing) = missing {
            let there: Vec<&str> = c.networks.iter().map(|(name, _)| name.as_str()).collect();
            let there = there.join("`, `");
            if let Some((name, _)) = chosen {
                *warning = Some(format!(
                    "it is not on the network `{missing}`, but on `{there}`: `{name}` is used; networks of Compose have the project's name before theirs"
                ));
            }
        }
        match chosen {
            Some((_, address)) => Ok(address.to_string()),
            None if c.network_mode == "none" => Err("it has no network (`network_mode: none`)".to_owned()),
            None => Err("it has no address on any network".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Attachment;

    fn container(mode: &str, networks: &[(&str, &str)]) -> Container {
        let attachment = |ip: &str| {
            let ip: Option<IpAddr> = ip.parse().ok();
            Attachment { v4: ip.filter(IpAddr::is_ipv4), v6: ip.filter(IpAddr::is_ipv6) }
        };
        Container {
            id: mode.into(),
            network_mode: mode.into(),
            networks: networks
                .iter()
                .map(|(n, ip)| ((*n).to_owned(), attachment(ip)))
                .collect::<std::collections::BTreeMap<_, _>>()
                .into_iter()
                .collect(),
            ..Container::default()
        }
    }

    fn host(c: &Container, network: &str, label: Option<&str>, others: &[Container]) -> (Result<String, String>, bool) {
        let config = DockerConfig { network: network.into(), ..DockerConfig::default() };
        let containers = others.iter().map(|c| (c.id.clone(), c.clone())).collect();
        let label = label.map(str::to_owned);
        let of = |other: &Container| label.clone().filter(|_| other.id == c.id);
        let s = Surroundings { config: &config, containers: &containers, host: "192.0.2.1", network: &of };
        let r = s.reach(c);
        (r.host, r.warning.is_some())
    }

    #[test]
    fn addresses() {
        let two = container("b", &[("b", "10.0.0.2"), ("a", "10.0.1.2")]);
        let ok = |ip: &str| Ok(ip.to_owned());
        assert_eq!(host(&two, "", None, &[]), (ok("10.0.1.2"), false));
        assert_eq!(host(&two, "b", None, &[]), (ok("10.0.0.2"), false));
        assert_eq!(host(&two, "b", Some("a"), &[]), (ok("10.0.1.2"), false), "the label wins");
        assert_eq!(host(&two, "nowhere", None, &[]), (ok("10.0.1.2"), true));
        assert_eq!(host(&container("host", &[("host", "")]), "", None, &[]), (ok("192.0.2.1"), false));
        assert_eq!(host(&container("six", &[("a", "2001:db8::2")]), "", None, &[]), (ok("2001:db8::2"), false));
        // A network without an address does not hide one that has some.
        assert_eq!(host(&container("x", &[("a", ""), ("b", "10.0.0.3")]), "", None, &[]), (ok("10.0.0.3"), false));
        assert!(host(&container("x", &[("a", ""), ("b", "10.0.0.3")]), "a", None, &[]).0.unwrap_err().contains("network `a`"));
        assert!(host(&container("none", &[("none", "")]), "", None, &[]).0.unwrap_err().contains("none"));
    }

    #[test]
    fn the_network_of_another_container() {
        let owner = container("owner", &[("a", "10.0.0.2"), ("b", "10.0.1.2")]);
        let middle = container("container:owner", &[]);
        let outer = Container { id: "outer".into(), network_mode: format!("container:{}", middle.id), ..Container::default() };
        let all = [owner, middle, outer.clone()];
        assert_eq!(host(&outer, "", None, &all).0, Ok("10.0.0.2".into()));
        assert_eq!(host(&outer, "", Some("b"), &all).0, Ok("10.0.1.2".into()), "its own label holds there too");
        assert!(host(&container("container:gone", &[]), "", None, &all).0.unwrap_err().contains("`gone`"));
        let circle = Container { id: "c".into(), network_mode: "container:c".into(), ..Container::default() };
        assert!(host(&circle, "", None, std::slice::from_ref(&circle)).0.unwrap_err().contains("circle"));
    }

    #[test]
    fn ports() {
        let port = |number, protocol: &str, bindings: &[(&str, u16)]| Port {
            number,
            protocol: protocol.into(),
            bindings: bindings.iter().map(|(ip, p)| ((*ip).to_owned(), *p)).collect(),
        };
        let mut r = Reach {
            host: Ok("10.0.0.2".into()),
            warning: None,
            ports: vec![port(53, "udp", &[]), port(8080, "tcp", &[("127.0.0.1", 32768)]), port(9090, "tcp", &[("0.0.0.0", 32769)])],
            bound: false,
        };
        let at = |host: &str, port: u16| Ok((host.to_owned(), port.to_string()));
        assert_eq!(r.address(None, Transport::Tcp), at("10.0.0.2", 8080));
        assert_eq!(r.address(None, Transport::Udp), at("10.0.0.2", 53));
        assert_eq!(r.address(Some("81"), Transport::Tcp), at("10.0.0.2", 81));
        r.bound = true;
        assert_eq!(r.address(Some("x"), Transport::Tcp), Ok(("10.0.0.2".into(), "x".into())), "refused where it can be said which label");
        assert_eq!(r.address(None, Transport::Tcp), at("127.0.0.1", 32768));
        assert_eq!(r.address(Some("9090"), Transport::Tcp), at("10.0.0.2", 9090), "bound to all addresses says nothing of one");
        assert_eq!(r.address(Some("53"), Transport::Udp), at("10.0.0.2", 53), "not published");
        r.bound = false;
        r.ports.clear();
        assert!(r.address(None, Transport::Tcp).unwrap_err().contains("no port"));
        r.ports.push(port(53, "udp", &[]));
        assert_eq!(r.address(None, Transport::Tcp), at("10.0.0.2", 53), "better than none");
        r.host = Err("why".into());
        assert_eq!(r.address(Some("80"), Transport::Tcp), Err("why".into()));
    }
}
