//! From containers to what all sources of labels have in common.

use crate::address::{Reach, Surroundings, Transport};
use crate::container::Container;
use crate::drain::Going;
use crate::engine::Containers;
use crate::specific::{Reader, Specific};
use std::sync::Arc;
use torana_config::install::DockerConfig;
use torana_discovery::{AddressWanted, Addresses, Item, ItemState, Protocol, TemplateFacts};
use torana_extend::RejectedObject;

const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";

/// What is made of all containers.
#[derive(Default)]
pub(crate) struct Made {
    pub items: Vec<Item>,
    /// Left out before their labels were read.
    pub rejected: Vec<RejectedObject>,
    /// Served, though not quite as they ask.
    pub warnings: Vec<(String, String)>,
    pub going: Going,
    pub seen: usize,
}

/// `host` is where the engine's host is for the gateway.
pub(crate) fn make(containers: &Containers, config: &DockerConfig, host: &str) -> Made {
    let mut made = Made { seen: containers.known().len(), ..Made::default() };
    let network = |c: &Container| Specific::read(&c.labels, Reader::Docker).ok()?.network;
    let around = Surroundings { config, containers: containers.known(), host, network: &network };
    for (id, c) in containers.known() {
        let specific = match Specific::read(&c.labels, Reader::Docker) {
            Ok(s) => s,
            Err(reason) => {
                made.rejected.push(RejectedObject { name: c.origin(), reasons: vec![reason] });
                continue;
            }
        };
        if !c.running && !specific.allow_non_running {
            continue;
        }
        let state = match (c.running && c.health.is_up(), specific.allow_non_running) {
            (true, _) => ItemState::Up,
            (false, true) => ItemState::Empty,
            (false, false) => ItemState::NotServing,
        };
        let reach = around.reach(c);
        if let Some(warning) = &reach.warning
            && state == ItemState::Up
        {
            made.warnings.push((c.origin(), warning.clone()));
        }
        if containers.is_stopping(id) {
            going(&mut made.going, c, &reach);
        }
        made.items.push(item(c, state, addresses(reach)));
    }
    // The engine has them in no order.
    made.items.sort_by(|a, b| a.origin.cmp(&b.origin));
    made.rejected.sort_by(|a, b| a.name.cmp(&b.name));
    made.warnings.sort();
    made
}

fn item(c: &Container, state: ItemState, addresses: Addresses) -> Item {
    let service = match (c.labels.get(SERVICE), c.labels.get(PROJECT)) {
        (Some(service), Some(project)) if !service.is_empty() && !project.is_empty() => format!("{service}_{project}"),
        _ => c.name.clone(),
    };
    let template = TemplateFacts { name: torana_base::normalize(&service), container_name: Some(c.name.clone()), labels: None };
    Item { template, state, ..Item::new(c.origin(), service, c.labels.clone(), addresses) }
}

pub(crate) fn addresses(reach: Reach) -> Addresses {
    Arc::new(move |wanted: &AddressWanted<'_>| {
        let transport = if wanted.protocol == Protocol::Udp { Transport::Udp } else { Transport::Tcp };
        reach.address(wanted.port_label, transport)
    })
}

/// Notes where one is reached that is going away.
pub(crate) fn going(going: &mut Going, c: &Container, reach: &Reach) {
    let shared = reach.bound || c.network_mode == "host" || c.network_mode.starts_with("container:");
    if let (Ok(host), false) = (&reach.host, shared) {
        going.hosts.insert(host.clone());
        return;
    }
    let labels = c.labels.iter().filter(|(l, _)| l.to_ascii_lowercase().ends_with(".loadbalancer.server.port"));
    let ports = labels.map(|(_, v)| Some(v.as_str())).chain([None]);
    for port in ports {
        for transport in [Transport::Tcp, Transport::Udp] {
            if let Ok((host, port)) = reach.address(port, transport)
                && let Ok(port) = port.parse()
            {
                going.places.insert((host, port));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::{Attachment, Health, Port};
    use std::time::Instant;

    fn container(name: &str, labels: &[(&str, &str)]) -> Container {
        Container {
            id: format!("{name}0123456789abcdef"),
            name: name.into(),
            running: true,
            state: "running".into(),
            labels: Arc::new(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            ports: vec![Port { number: 80, protocol: "tcp".into(), bindings: vec![] }],
            networks: [("bridge".to_owned(), Attachment { v4: "172.17.0.2".parse().ok(), v6: None })].into(),
            ..Container::default()
        }
    }

    fn of(all: Vec<Container>) -> Made {
        let mut containers = Containers::default();
        containers.listed(all, Instant::now());
        make(&containers, &DockerConfig::default(), "127.0.0.1")
    }

    #[test]
    fn names_and_states() {
        let made = of(vec![
            container("b", &[(PROJECT, "shop"), (SERVICE, "web_api")]),
            Container { health: Health::Starting, ..container("c", &[]) },
            Container { running: false, ..container("d", &[]) },
            Container { running: false, ..container("e", &[("traefik.docker.allownonrunning", "true")]) },
            Container { health: Health::Unhealthy, ..container("f", &[("traefik.docker.allownonrunning", "true")]) },
            container("g", &[("traefik.docker.nework", "x")]),
            container("h", &[("traefik.docker.network", "x")]),
        ]);
        let items: Vec<_> = made.items.iter().map(|i| (i.origin.as_str(), i.template.name.as_str(), i.state)).collect();
        assert_eq!(
            items,
            [
                ("container b (b0123456789a)", "web-api-shop", ItemState::Up),
                ("container c (c0123456789a)", "c", ItemState::NotServing),
                ("container e (e0123456789a)", "e", ItemState::Empty),
                ("container f (f0123456789a)", "f", ItemState::Empty),
                ("container h (h0123456789a)", "h", ItemState::Up),
            ]
        );
        assert_eq!(made.rejected.len(), 1);
        assert!(made.rejected[0].name.contains("container g") && made.rejected[0].reasons[0].contains("nework"));
        assert!(made.warnings[0].1.contains("network `x`"), "{:?}", made.warnings);
        assert_eq!(made.seen, 7);
    }
}
