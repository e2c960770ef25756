//! Containers of tasks as items: where each of them is reached.

use super::api::{Container, ContainerDefinition, Mapping, Task, TaskDefinition};
use std::sync::Arc;
use torana_discovery::{AddressWanted, Item};
use torana_extend::RejectedObject;

/// A machine that runs containers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Machine {
    pub(super) address: String,
    /// In EC2 that of the instance.
    pub(super) running: bool,
}

/// What the tasks of a cluster are read with.
pub(super) struct Found<'a> {
    pub(super) cluster: &'a str,
    /// By ARN of the task definition.
    pub(super) definition: &'a dyn Fn(&str) -> Option<Arc<TaskDefinition>>,
    /// By ARN of the container instance.
    pub(super) machine: &'a dyn Fn(&str) -> Option<Machine>,
}

/// What one container comes to.
pub(super) enum Made {
    Item(Box<Item>),
    /// It is not to be served now: not running yet or any more, or unhealthy.
    NotNow,
    Rejected(RejectedObject),
}

/// The end of an ARN.
fn short(arn: &str) -> &str {
    let id = arn.rsplit('/').next().unwrap_or(arn);
    id.get(id.len().saturating_sub(12)..).unwrap_or(id)
}

/// All containers of a task that its definition knows.
pub(super) fn items(found: &Found<'_>, task: &Task) -> Vec<Made> {
    let cluster = found.cluster.rsplit('/').next().unwrap_or(found.cluster);
    let named = |what: &str| format!("{what} of task {} in cluster {cluster}", short(&task.task_arn));
    let Some(definition) = (found.definition)(&task.task_definition_arn) else { return Vec::new() };
    let containers = task.containers.iter().filter_map(|c| Some((c, definition.container_definitions.iter().find(|d| d.name == c.name)?)));
    let made = containers.map(|(container, described)| {
        let name = named(&format!("container {}", container.name));
        match place(found, task, &definition, container, described) {
            Ok(Some(place)) => Made::Item(Box::new(item(name, task, described, place))),
            Ok(None) => Made::NotNow,
            Err(reason) => Made::Rejected(RejectedObject { name, reasons: vec![reason] }),
        }
    });
    made.collect()
}

/// Address and ports of a container.
struct Place {
    address: String,
    ports: Vec<Mapping>,
}

fn place(found: &Found<'_>, task: &Task, definition: &TaskDefinition, container: &Container, described: &ContainerDefinition) -> Result<Option<Place>, String> {
    if task.health_status == "UNHEALTHY" {
        return Ok(None);
    }
    let place = if definition.network_mode == "awsvpc" && !task.attachments.is_empty() {
        if !task.last_status.eq_ignore_ascii_case("running") {
            return Ok(None);
        }
        let interface = container.network_interfaces.first().ok_or("it has no network interface")?;
        // A container of such a task listens where its port says.
        let port = |m: &Mapping| Mapping { host_port: if m.host_port == 0 { m.container_port } else { m.host_port }, ..*m };
        Place { address: interface.address.clone(), ports: described.port_mappings.iter().map(port).collect() }
    } else {
        if !task.last_status.eq_ignore_ascii_case("running") {
            return Ok(None);
        }
        let Some(machine) = (found.machine)(&task.container_instance_arn) else {
            return Err("the machine that it runs on is not known; for machines outside of EC2 set `providers.ecs.ecsAnywhere`".into());
        };
        if !machine.running {
            return Ok(None);
        }
        Place { address: machine.address, ports: container.network_bindings.clone() }
    };
    Ok((!place.address.is_empty()).then_some(place))
}

fn item(origin: String, task: &Task, described: &ContainerDefinition, place: Place) -> Item {
    let name = format!("{}-{}", task.group.replace(':', "-"), described.name);
    let addresses = Arc::new(move |wanted: &AddressWanted<'_>| {
        let port = match wanted.port_label {
            // The port of a container stands for that of its machine.
            Some(label) => place.ports.iter().find(|m| m.container_port.to_string() == label).map_or(label.to_owned(), |m| m.host_port.to_string()),
            None => place.ports.iter().map(|m| m.host_port).filter(|p| *p > 0).min().map(|p| p.to_string()).unwrap_or_default(),
        };
        Ok((place.address.clone(), port))
    });
    Item::new(origin, name, Arc::new(described.docker_labels.clone()), addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use torana_discovery::Protocol;

    fn definition(mode: &str) -> Arc<TaskDefinition> {
        let described = json!({"networkMode": mode, "containerDefinitions": [
            {"name": "web", "dockerLabels": {"traefik.enable": "true"},
             "portMappings": [{"containerPort": 80}, {"containerPort": 8080, "hostPort": 8080}]},
            {"name": "side", "dockerLabels": null, "portMappings": null}]});
        Arc::new(serde_json::from_value(described).unwrap())
    }

    fn task(change: serde_json::Value) -> Task {
        let mut task = json!({"taskArn": "arn:aws:ecs:eu:1:task/c/0123456789abcdef0123", "taskDefinitionArn": "d", "group": "service:shop",
            "lastStatus": "RUNNING", "healthStatus": "UNKNOWN", "containerInstanceArn": "m",
            "containers": [{"name": "web", "networkBindings": [{"hostPort": 32769, "containerPort": 8080}, {"hostPort": 32768, "containerPort": 80}]}]});
        task.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(task).unwrap()
    }

    fn made(task: &Task, mode: &str, machine: Option<Machine>) -> Vec<Made> {
        items(&Found { cluster: "arn:aws:ecs:eu:1:cluster/c", definition: &|_| Some(definition(mode)), machine: &|_| machine.clone() }, task)
    }

    fn address(item: &Item, port_label: Option<&str>) -> (String, String) {
        (item.addresses)(&AddressWanted { port_label, protocol: Protocol::Http }).unwrap()
    }

    fn of(address: &str, port: &str) -> (String, String) {
        (address.to_owned(), port.to_owned())
    }

    #[test]
    fn containers_on_machines_are_reached_by_the_ports_of_these() {
        let machine = Machine { address: "10.0.0.1".into(), running: true };
        let made_of = made(&task(json!({})), "bridge", Some(machine.clone()));
        let [Made::Item(item)] = &made_of[..] else { panic!("one item") };
        assert_eq!(item.origin, "container web of task 89abcdef0123 in cluster c");
        assert_eq!(item.service_name, "service-shop-web");
        assert_eq!(address(item, None), of("10.0.0.1", "32768"), "the lowest");
        assert_eq!(address(item, Some("8080")), of("10.0.0.1", "32769"));
        assert_eq!(address(item, Some("9")), of("10.0.0.1", "9"));
        assert!(matches!(made(&task(json!({})), "bridge", None)[..], [Made::Rejected(_)]));
        for stopped in [json!({"lastStatus": "PENDING"}), json!({"healthStatus": "UNHEALTHY"})] {
            assert!(matches!(made(&task(stopped), "bridge", Some(machine.clone()))[..], [Made::NotNow]));
        }
        assert!(matches!(made(&task(json!({})), "bridge", Some(Machine { running: false, ..machine }))[..], [Made::NotNow]));
    }

    #[test]
    fn tasks_with_an_interface_are_reached_by_it() {
        let interfaces = json!([{"name": "web", "networkInterfaces": [{"privateIpv4Address": "10.1.0.7"}]}]);
        let task = task(json!({"attachments": [{}], "containers": interfaces, "containerInstanceArn": null}));
        let made_of = made(&task, "awsvpc", None);
        let [Made::Item(item)] = &made_of[..] else { panic!("one item") };
        assert_eq!(address(item, None), of("10.1.0.7", "80"));
        assert_eq!(address(item, Some("8080")), of("10.1.0.7", "8080"));
    }
}
