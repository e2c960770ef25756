//! What is read of the engine's answers. All of it may be missing: engines differ, and one container that says
//! something unusual must not hide the others.

use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, HashMap};

/// null is what a missing field is.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// A struct whose fields may be missing or null, named as the API does.
macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $key:literal,)* })*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(default)]
        pub(crate) struct $name {
            $($(#[$field_doc])* #[serde(rename = $key, deserialize_with = "or_default")] pub(crate) $field: $kind,)*
        })*
    };
}

answers! {
    /// /version
    VersionAnswer {
        version: String = "Version",
        api_version: String = "ApiVersion",
        min_api_version: String = "MinAPIVersion",
        components: Vec<Component> = "Components",
    }
    Component {
        name: String = "Name",
    }

    /// An element of /containers/json
    Listed {
        id: String = "Id",
        names: Vec<String> = "Names",
        labels: BTreeMap<String, String> = "Labels",
        state: String = "State",
        /// `Up 5 minutes (healthy)`
        status: String = "Status",
        /// Since API 1.52.
        health: ListedHealth = "Health",
        ports: Vec<ListedPort> = "Ports",
        host: HostConfig = "HostConfig",
        networks: ListedNetworks = "NetworkSettings",
    }
    ListedHealth {
        status: String = "Status",
    }
    ListedPort {
        ip: String = "IP",
        private: u16 = "PrivatePort",
        public: u16 = "PublicPort",
        kind: String = "Type",
    }
    HostConfig {
        network_mode: String = "NetworkMode",
    }
    ListedNetworks {
        networks: HashMap<String, Attached> = "Networks",
    }
    Attached {
        id: String = "NetworkID",
        ip: String = "IPAddress",
        ipv6: String = "GlobalIPv6Address",
    }

    /// /containers/<id>/json
    Inspected {
        id: String = "Id",
        name: String = "Name",
        state: State = "State",
        config: Config = "Config",
        host: HostConfig = "HostConfig",
        network: NetworkSettings = "NetworkSettings",
    }
    State {
        status: String = "Status",
        health: ListedHealth = "Health",
    }
    Config {
        labels: BTreeMap<String, String> = "Labels",
        stop_signal: String = "StopSignal",
        stop_timeout: u64 = "StopTimeout",
    }
    NetworkSettings {
        /// `8080/tcp`
        ports: HashMap<String, Option<Vec<Binding>>> = "Ports",
        networks: HashMap<String, Attached> = "Networks",
    }
    Binding {
        ip: String = "HostIp",
        port: String = "HostPort",
    }

    /// An element of /services
    Service {
        id: String = "ID",
        spec: ServiceSpec = "Spec",
        endpoint: Endpoint = "Endpoint",
        update: UpdateStatus = "UpdateStatus",
    }
    ServiceSpec {
        name: String = "Name",
        labels: BTreeMap<String, String> = "Labels",
        mode: ServiceMode = "Mode",
        endpoint: EndpointSpec = "EndpointSpec",
    }
    ServiceMode {
        global: Option<Nothing> = "Global",
    }
    Nothing {}
    EndpointSpec {
        /// `vip` or `dnsrr`
        mode: String = "Mode",
    }
    Endpoint {
        virtual_ips: Vec<VirtualIp> = "VirtualIPs",
    }
    VirtualIp {
        network: String = "NetworkID",
        /// With the length of its network behind it.
        address: String = "Addr",
    }
    UpdateStatus {
        state: String = "State",
    }

    /// An element of /tasks
    Task {
        id: String = "ID",
        service: String = "ServiceID",
        node: String = "NodeID",
        slot: u64 = "Slot",
        status: TaskStatus = "Status",
        networks: Vec<TaskNetwork> = "NetworksAttachments",
    }
    TaskStatus {
        state: String = "State",
        ports: PortStatus = "PortStatus",
    }
    PortStatus {
        ports: Vec<PublishedPort> = "Ports",
    }
    PublishedPort {
        protocol: String = "Protocol",
        target: u16 = "TargetPort",
        published: u16 = "PublishedPort",
        mode: String = "PublishMode",
    }
    TaskNetwork {
        network: NetworkOfTask = "Network",
        addresses: Vec<String> = "Addresses",
    }
    NetworkOfTask {
        id: String = "ID",
        spec: Named = "Spec",
    }
    Named {
        name: String = "Name",
    }

    /// An element of /networks
    Network {
        id: String = "Id",
        name: String = "Name",
    }

    /// An element of /nodes
    Node {
        id: String = "ID",
        status: NodeStatus = "Status",
        manager: ManagerStatus = "ManagerStatus",
    }
    NodeStatus {
        address: String = "Addr",
    }
    ManagerStatus {
        /// With a port.
        address: String = "Addr",
    }

    /// A line of /events
    Event {
        kind: String = "Type",
        action: String = "Action",
        actor: Actor = "Actor",
    }
    Actor {
        id: String = "ID",
        attributes: HashMap<String, String> = "Attributes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_missing_is_empty() {
        let l: Vec<Listed> = serde_json::from_str(r#"[{"Id": "a", "Labels": null, "Ports": null, "NetworkSettings": null}, {}]"#).unwrap();
        assert_eq!((l[0].id.as_str(), l[1].id.as_str()), ("a", ""));
        let i: Inspected =
            serde_json::from_str(r#"{"NetworkSettings": {"Ports": {"80/tcp": null}, "Networks": null}, "State": {"Health": null}}"#)
                .unwrap();
        assert_eq!(i.network.ports.get("80/tcp").map(Option::is_none), Some(true));
    }
}
