//! From services of a swarm and their tasks to what all sources of labels have in common.

use crate::address::Reach;
use crate::api::{Network, Node, Service, Task};
use crate::container::Port;
use crate::items::{Made, addresses};
use crate::specific::{Reader, Specific};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use torana_config::install::DockerConfig;
use torana_discovery::{AddressWanted, Addresses, Item, TemplateFacts};
use torana_extend::RejectedObject;

/// The network of the routing mesh: every published service is on it, and nothing reaches them over it.
const INGRESS: &str = "ingress";

/// All that a swarm says.
#[derive(Default, PartialEq)]
pub(crate) struct Swarm {
    pub services: Vec<Service>,
    /// Those that are meant to run.
    pub tasks: Vec<Task>,
    /// Of the swarm's scope.
    pub networks: Vec<Network>,
    pub nodes: Vec<Node>,
}

impl Swarm {
    /// Whether tasks are being replaced.
    pub(crate) fn is_updating(&self) -> bool {
        self.services.iter().any(|s| matches!(s.update.state.as_str(), "updating" | "rollback_started"))
    }
}

/// `going` are the tasks that were told to end.
pub(crate) fn make(swarm: &Swarm, config: &DockerConfig, going: &BTreeSet<String>) -> Made {
    let networks: HashMap<&str, &str> = swarm.networks.iter().map(|n| (n.id.as_str(), n.name.as_str())).collect();
    let nodes: HashMap<&str, String> = swarm.nodes.iter().map(|n| (n.id.as_str(), address_of(n))).collect();
    let mut of_service: HashMap<&str, Vec<&Task>> = HashMap::new();
    for task in swarm.tasks.iter().filter(|t| t.status.state == "running") {
        of_service.entry(&task.service).or_default().push(task);
    }
    let mut make = Making { config, networks, nodes, going, made: Made::default() };
    for service in &swarm.services {
        make.service(service, of_service.get(service.id.as_str()).map_or(&[], Vec::as_slice));
    }
    let mut made = make.made;
    made.seen = swarm.services.len();
    made.items.sort_by(|a, b| a.origin.cmp(&b.origin));
    made.rejected.sort_by(|a, b| a.name.cmp(&b.name));
    made.warnings.sort();
    made
}

/// A manager's own is at times said to be 0.0.0.0.
fn address_of(n: &Node) -> String {
    let own = n.status.address.parse::<IpAddr>().is_ok_and(|a| !a.is_unspecified());
    let manager = n.manager.address.rsplit_once(':').map_or("", |(host, _)| host);
    if own || manager.is_empty() { n.status.address.clone() } else { manager.trim_matches(['[', ']']).to_owned() }
}

struct Making<'a> {
    config: &'a DockerConfig,
    networks: HashMap<&'a str, &'a str>,
    nodes: HashMap<&'a str, String>,
    going: &'a BTreeSet<String>,
    made: Made,
}

impl Making<'_> {
    fn service(&mut self, service: &Service, tasks: &[&Task]) {
        let name = format!("service {}", service.spec.name);
        let specific = match Specific::read(&service.spec.labels, Reader::Swarm) {
            Ok(s) => s,
            Err(reason) => return self.made.rejected.push(RejectedObject { name, reasons: vec![reason] }),
        };
        if specific.legacy {
            self.warn(&name, "its labels `traefik.docker.…` are called `traefik.swarm.…` for services of a swarm");
        }
        let labels = Arc::new(service.spec.labels.clone());
        if specific.lb_swarm && service.spec.endpoint.mode == "dnsrr" {
            self.warn(&name, "`lbswarm` needs a virtual address, which endpoint mode `dnsrr` does not give: its tasks are used");
        } else if specific.lb_swarm {
            let addresses = service.endpoint.virtual_ips.iter().filter_map(|v| Some((self.networks.get(v.network.as_str())?, &v.address)));
            let networks = addresses.filter_map(|(n, a)| Some(((*n).to_owned(), ip(a)?))).collect();
            let reach = self.reach(&name, networks, &specific, &[], None);
            self.made.items.push(item(name, &service.spec.name, &service.spec.name, &labels, reach));
            return;
        }
        for task in tasks {
            let task_name = match service.spec.mode.global {
                Some(_) => format!("{}.{}", service.spec.name, task.id),
                None => format!("{}.{}", service.spec.name, task.slot),
            };
            let origin = format!("{name} (task {task_name}, {})", task.id.get(..12).unwrap_or(&task.id));
            let networks = task
                .networks
                .iter()
                .filter_map(|n| Some(((*self.networks.get(n.network.id.as_str())?).to_owned(), n.addresses.iter().find_map(|a| ip(a))?)))
                .collect();
            let node = self.nodes.get(task.node.as_str()).cloned();
            let on_host = task.networks.iter().any(|n| n.network.spec.name == "host");
            let reach = match (on_host, &node) {
                (true, Some(node)) => Reach { host: Ok(node.clone()), warning: None, ports: ports(task, node), bound: false },
                _ => self.reach(&name, networks, &specific, &ports(task, node.as_deref().unwrap_or_default()), node.as_deref()),
            };
            if self.going.contains(&task.id) {
                self.leave(&reach, on_host || reach.bound);
            }
            self.made.items.push(item(origin, &service.spec.name, &task_name, &labels, reach));
        }
    }

    fn warn(&mut self, of: &str, what: &str) {
        self.made.warnings.push((of.to_owned(), what.to_owned()));
    }

    fn leave(&mut self, reach: &Reach, shared: bool) {
        if let (Ok(host), false) = (&reach.host, shared) {
            self.made.going.hosts.insert(host.clone());
        }
        self.made.going.places.extend(reach.ports.iter().flat_map(|p| p.bindings.iter().cloned()));
    }

    /// Where a task or a service is reached that is on `networks`; `ports` are those that it publishes on its node.
    fn reach(&mut self, of: &str, networks: BTreeMap<String, IpAddr>, specific: &Specific, ports: &[Port], node: Option<&str>) -> Reach {
        let asked = specific.network.as_ref().or(Some(&self.config.network)).filter(|n| !n.is_empty());
        if let Some(address) = asked.and_then(|n| networks.get(n)) {
            return Reach { host: Ok(address.to_string()), warning: None, ports: ports.to_vec(), bound: self.config.use_bind_port_ip };
        }
        let chosen = networks.iter().find(|(n, _)| *n != INGRESS).or_else(|| networks.iter().next());
        if let (Some(asked), Some((chosen, _))) = (asked, chosen) {
            let text =
                format!("it is not on the network `{asked}`: `{chosen}` is used; networks of stacks have the stack's name before theirs");
            self.warn(of, &text);
        }
        let host =
            match (chosen, node) {
                (Some((_, address)), _) => Ok(address.to_string()),
                (None, Some(_)) if !ports.is_empty() => Err("the port is not among those that it publishes with `mode=host`".to_owned()),
                _ => Err("it is on no overlay network of the swarm: put it and the gateway on one, or publish the port with `mode=host`"
                    .to_owned()),
            };
        Reach { bound: self.config.use_bind_port_ip || chosen.is_none(), host, warning: None, ports: ports.to_vec() }
    }
}

/// `10.0.1.2/24`
fn ip(text: &str) -> Option<IpAddr> {
    text.split_once('/').map_or(text, |(a, _)| a).parse().ok()
}

/// Ports that a task has on its node.
fn ports(task: &Task, node: &str) -> Vec<Port> {
    let on_host = task.status.ports.ports.iter().filter(|p| p.mode == "host" && p.published != 0 && !node.is_empty());
    let port = |p: &crate::api::PublishedPort| Port {
        number: p.target,
        protocol: p.protocol.clone(),
        bindings: vec![(node.to_owned(), p.published)],
    };
    on_host.map(port).collect()
}

fn item(origin: String, service: &str, name: &str, labels: &Arc<BTreeMap<String, String>>, reach: Reach) -> Item {
    let template = TemplateFacts { name: torana_base::normalize(service), container_name: Some(name.to_owned()), labels: None };
    let inner = addresses(reach);
    // A service says nothing of ports that its tasks have for each other.
    let addresses: Addresses = Arc::new(move |wanted: &AddressWanted<'_>| match wanted.port_label {
        Some(_) => inner(wanted),
        None => Err("services of a swarm need a label for their port: `traefik.http.services.<name>.loadbalancer.server.port`".to_owned()),
    });
    Item { template, ..Item::new(origin, service, labels.clone(), addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use torana_discovery::Protocol;

    fn swarm(service: serde_json::Value, task: serde_json::Value) -> Swarm {
        let merged = |mut base: serde_json::Value, over: serde_json::Value| {
            base.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
            base
        };
        let service = merged(json!({"ID": "s1", "Endpoint": {"VirtualIPs": [{"NetworkID": "n1", "Addr": "10.0.1.9/24"}]}}), service);
        let task =
            merged(json!({"ID": "task1task1task1", "ServiceID": "s1", "NodeID": "node", "Slot": 1, "Status": {"State": "running"}}), task);
        Swarm {
            services: vec![serde_json::from_value(service).unwrap()],
            tasks: vec![serde_json::from_value(task).unwrap()],
            networks: serde_json::from_value(
                json!([{"Id": "n0", "Name": "ingress"}, {"Id": "n1", "Name": "mesh"}, {"Id": "n2", "Name": "other"}]),
            )
            .unwrap(),
            nodes: serde_json::from_value(
                json!([{"ID": "node", "Status": {"Addr": "0.0.0.0"}, "ManagerStatus": {"Addr": "192.0.2.7:2377"}}]),
            )
            .unwrap(),
        }
    }

    fn at(swarm: &Swarm) -> (String, Result<(String, String), String>, usize) {
        let made = make(swarm, &DockerConfig::default(), &BTreeSet::new());
        let item = &made.items[0];
        let wanted = AddressWanted { port_label: Some("80"), protocol: Protocol::Http };
        (item.origin.clone(), (item.addresses)(&wanted), made.warnings.len())
    }

    fn attached(networks: &[(&str, &str, &str)]) -> serde_json::Value {
        let all: Vec<_> =
            networks.iter().map(|(id, name, ip)| json!({"Network": {"ID": id, "Spec": {"Name": name}}, "Addresses": [ip]})).collect();
        json!({"NetworksAttachments": all})
    }

    #[test]
    fn tasks_and_virtual_addresses() {
        let labels = |l: serde_json::Value| json!({"Spec": {"Name": "web", "Labels": l, "EndpointSpec": {"Mode": "vip"}}});
        let two = attached(&[("n0", "ingress", "10.0.0.5/24"), ("n2", "other", "10.0.2.5/24"), ("n1", "mesh", "10.0.1.5/24")]);
        let ok = |ip: &str| Ok((ip.to_owned(), "80".to_owned()));
        let (origin, address, warnings) = at(&swarm(labels(json!({})), two.clone()));
        assert_eq!((origin.as_str(), address, warnings), ("service web (task web.1, task1task1ta)", ok("10.0.1.5"), 0));
        assert_eq!(at(&swarm(labels(json!({"traefik.swarm.network": "other"})), two.clone())).1, ok("10.0.2.5"));
        assert_eq!(at(&swarm(labels(json!({"traefik.docker.network": "other"})), two.clone())), (origin.clone(), ok("10.0.2.5"), 1));
        assert_eq!(at(&swarm(labels(json!({"traefik.swarm.network": "nowhere"})), two.clone())), (origin, ok("10.0.1.5"), 1));
        assert_eq!(at(&swarm(labels(json!({"traefik.swarm.lbswarm": "true"})), two.clone())), ("service web".into(), ok("10.0.1.9"), 0));
        let mut dnsrr = labels(json!({"traefik.swarm.lbswarm": "true"}));
        dnsrr["Spec"]["EndpointSpec"]["Mode"] = "dnsrr".into();
        assert_eq!(at(&swarm(dnsrr, two)).1, ok("10.0.1.5"));
    }

    #[test]
    fn nodes() {
        let web = json!({"Spec": {"Name": "web"}});
        assert_eq!(at(&swarm(web.clone(), attached(&[("h", "host", "")]))).1, Ok(("192.0.2.7".into(), "80".into())));
        let mut published = attached(&[]);
        published["Status"] = json!({"State": "running", "PortStatus": {"Ports": [
            {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 32768, "PublishMode": "host"}]}});
        assert_eq!(at(&swarm(web.clone(), published)).1, Ok(("192.0.2.7".into(), "32768".into())));
        assert!(at(&swarm(web.clone(), attached(&[]))).1.unwrap_err().contains("no overlay"));
        let made = make(&swarm(web, attached(&[])), &DockerConfig::default(), &BTreeSet::new());
        let wanted = AddressWanted { port_label: None, protocol: Protocol::Http };
        assert!((made.items[0].addresses)(&wanted).unwrap_err().contains("label for their port"));
    }
}
