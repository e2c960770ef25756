//! From a reference to a service to the servers behind it. Pure functions over a [`Cluster`].

use crate::cluster::Cluster;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::Endpoint;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

/// What the provider's options allow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    pub external_names: bool,
    pub empty: bool,
    pub native_lb_by_default: bool,
    /// Nodes may be read.
    pub nodes: bool,
}

/// A port as references write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// Also a text of digits.
    Number(i32),
    Name(String),
}

impl From<&IntOrString> for Port {
    fn from(written: &IntOrString) -> Port {
        match written {
            IntOrString::Int(n) => Port::Number(*n),
            IntOrString::String(s) => s.parse().map_or_else(|_| Port::Name(s.clone()), Port::Number),
        }
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Port::Number(n) => write!(f, "{n}"),
            Port::Name(n) => write!(f, "`{n}`"),
        }
    }
}

/// A reference to a service of the cluster.
#[derive(Clone, Debug)]
pub struct Reference<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    /// `None` only where the service has exactly one port, or is an external name.
    pub port: Option<Port>,
    /// The service's own address in place of its endpoints; `None` for the provider's default.
    pub native_lb: Option<bool>,
    /// The port of the nodes in place of the endpoints.
    pub node_port_lb: bool,
}

/// Where requests can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `host:port`, IPv6 in brackets.
    pub address: String,
    /// It is going away: it finishes what it has, and gets nothing new.
    pub draining: bool,
}

/// The servers of a service's port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backends {
    pub servers: Vec<Server>,
    /// Of the port, as the service says.
    pub port: i32,
    pub port_name: String,
    pub app_protocol: Option<String>,
    /// The service is another name for a host outside of the cluster.
    pub external: bool,
    /// The service speaks UDP on the port.
    pub udp: bool,
}

/// The servers behind a reference, or why there are none. An empty list is an error unless it is allowed.
pub fn find(cluster: &Cluster, allowed: Allowed, reference: &Reference<'_>) -> Result<Backends, String> {
    let Reference { namespace, name, .. } = *reference;
    let service = cluster.service(namespace, name).ok_or_else(|| match cluster.unreadable.get("Service") {
        Some(why) => format!("service {namespace}/{name} cannot be read: {why}"),
        None => format!("there is no service {namespace}/{name}"),
    })?;
    let spec = service.spec.as_ref().ok_or_else(|| format!("service {namespace}/{name} has no spec"))?;
    let port = port_of(service, reference)?;
    let mut found = Backends {
        port: port.port,
        port_name: port.name.clone().unwrap_or_default(),
        app_protocol: port.app_protocol.clone(),
        udp: port.protocol.as_deref() == Some("UDP"),
        ..Backends::default()
    };
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    if kind == "ExternalName" {
        if !allowed.external_names {
            return Err(format!("service {namespace}/{name} is an external name: they are allowed by `allowExternalNameServices`"));
        }
        let host = spec.external_name.as_deref().filter(|h| !h.is_empty());
        let host = host.ok_or_else(|| format!("service {namespace}/{name} names no host (`externalName`)"))?;
        found.external = true;
        found.servers = vec![server(host, port.port, false)];
        return Ok(found);
    }
    if reference.native_lb.unwrap_or(allowed.native_lb_by_default) {
        let address = spec.cluster_ip.as_deref().filter(|a| !a.is_empty() && *a != "None");
        let address =
            address.ok_or_else(|| format!("service {namespace}/{name} has no address of its own (`clusterIP`), which `nativeLB` needs"))?;
        found.servers = vec![server(address, port.port, false)];
        return Ok(found);
    }
    if kind == "NodePort" && reference.node_port_lb {
        found.servers = nodes(cluster, allowed, &port)?;
        if found.servers.is_empty() {
            return Err(format!("no node has an internal address for the node port of service {namespace}/{name}"));
        }
        return Ok(found);
    }
    found.servers = endpoints(cluster, namespace, name, &found.port_name);
    if found.servers.is_empty() && !allowed.empty {
        return Err(format!(
            "service {namespace}/{name} has no ready endpoint on port {} (`allowEmptyServices` would answer 503)",
            port.port
        ));
    }
    Ok(found)
}

/// The port of the service that is meant. One that an external name does not list is taken as it is.
fn port_of(service: &Service, reference: &Reference<'_>) -> Result<ServicePort, String> {
    let Reference { namespace, name, .. } = *reference;
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|s| s.ports.as_deref()).unwrap_or_default();
    let external = spec.and_then(|s| s.type_.as_deref()) == Some("ExternalName");
    let matches = |p: &&ServicePort| match &reference.port {
        Some(Port::Number(n)) => p.port == *n,
        Some(Port::Name(n)) => p.name.as_ref() == Some(n),
        None => true,
    };
    match (ports.iter().find(matches), &reference.port) {
        (_, None) if ports.len() > 1 => Err(format!("service {namespace}/{name} has several ports: say which by `port`")),
        (Some(port), _) => Ok(port.clone()),
        (None, Some(Port::Number(n))) if external => Ok(ServicePort { port: *n, ..ServicePort::default() }),
        (None, Some(port)) => {
            let known: Vec<String> = ports.iter().map(|p| p.port.to_string()).collect();
            Err(format!(
                "service {namespace}/{name} has no port {port}; it has {}",
                if known.is_empty() { "none".into() } else { known.join(", ") }
            ))
        }
        (None, None) => Err(format!("service {namespace}/{name} has no port")),
    }
}

fn nodes(cluster: &Cluster, allowed: Allowed, port: &ServicePort) -> Result<Vec<Server>, String> {
    if !allowed.nodes {
        return Err("`nodePortLB` needs nodes, and `disableClusterScopeResources` says not to read them".into());
    }
    if let Some(why) = cluster.unreadable.get("Node") {
        return Err(format!("nodes cannot be read: {why}"));
    }
    let node_port = port.node_port.unwrap_or(0);
    let addresses = cluster.nodes.values().flat_map(|n| n.status.iter().flat_map(|s| s.addresses.iter().flatten()));
    Ok(addresses.filter(|a| a.type_ == "InternalIP").map(|a| server(&a.address, node_port, false)).collect())
}

/// All endpoints that serve, each address once.
fn endpoints(cluster: &Cluster, namespace: &str, service: &str, port_name: &str) -> Vec<Server> {
    let mut seen = BTreeSet::new();
    let mut servers = Vec::new();
    for slice in cluster.slices_of(namespace, service) {
        let ports = slice.ports.iter().flatten();
        let Some(port) = ports.filter(|p| p.name.as_deref().unwrap_or_default() == port_name).find_map(|p| p.port) else { continue };
        for endpoint in slice.endpoints.iter().filter(|e| serves(e)) {
            for address in &endpoint.addresses {
                if seen.insert((address.as_str(), port)) {
                    servers.push(server(address, port, leaves(endpoint)));
                }
            }
        }
    }
    servers
}

/// An endpoint that says nothing of itself is ready.
fn serves(endpoint: &Endpoint) -> bool {
    let Some(c) = &endpoint.conditions else { return true };
    c.ready.unwrap_or(true) || c.serving.unwrap_or(false)
}

fn leaves(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().is_some_and(|c| c.terminating.unwrap_or(false))
}

pub(crate) fn server(host: &str, port: i32, draining: bool) -> Server {
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Server { address, draining }
}

/// The servers of a TCP or UDP service, where no cookie binds anybody: those that are going away only where there are no others.
pub fn in_use(found: &Backends) -> impl Iterator<Item = &Server> {
    let staying = found.servers.iter().any(|s| !s.draining);
    found.servers.iter().filter(move |s| !(staying && s.draining))
}

/// All servers of an HTTP service, each with whether it is fenced: new clients go to others, and those that a cookie binds
/// to it may still finish. Where all are going away, none is.
pub fn fenced(found: &Backends) -> impl Iterator<Item = (&Server, bool)> {
    let staying = found.servers.iter().any(|s| !s.draining);
    found.servers.iter().map(move |s| (s, staying && s.draining))
}

/// The same, in the form of the configuration.
pub fn http_servers(scheme: &str, found: &Backends) -> Vec<Json> {
    let server = |(s, fenced): (&Server, bool)| {
        let mut server = json!({ "url": format!("{scheme}://{}", s.address) });
        if fenced {
            server[crate::tree::FENCED] = true.into();
        }
        server
    };
    fenced(found).map(server).collect()
}

/// What to speak to servers: as written, else `https` where the port is 443 or its name begins so, else `http`.
pub fn scheme(written: &str, found: &Backends) -> Result<&'static str, String> {
    match written {
        "http" => Ok("http"),
        "https" => Ok("https"),
        "h2c" => Ok("h2c"),
        "" if found.port == 443 || found.port_name.starts_with("https") => Ok("https"),
        "" => Ok("http"),
        other => Err(format!("`{other}` is no scheme for servers: there are http, https and h2c")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::cluster;

    const WHOAMI: &str = "
kind: Service
metadata: {name: whoami}
spec: {clusterIP: 10.0.0.9, ports: [{name: web, port: 80}, {name: secure, port: 443}, {name: https-alt, port: 8443}]}
---
kind: EndpointSlice
metadata: {name: whoami-1, labels: {kubernetes.io/service-name: whoami}}
addressType: IPv4
ports: [{name: web, port: 8080}, {name: secure, port: 8443}]
endpoints:
- {addresses: [10.1.0.1], conditions: {ready: true}}
- {addresses: [10.1.0.2], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.1.0.3], conditions: {ready: false, serving: false}}
- {addresses: [10.1.0.4]}
---
kind: EndpointSlice
metadata: {name: whoami-2, labels: {kubernetes.io/service-name: whoami}}
addressType: IPv6
ports: [{name: web, port: 8080}]
endpoints: [{addresses: ['fd00::1', 'fd00::1']}]
---
kind: Service
metadata: {name: out}
spec: {type: ExternalName, externalName: example.test}
---
kind: Service
metadata: {name: nodeport}
spec: {type: NodePort, clusterIP: 10.0.0.8, ports: [{port: 80, nodePort: 30080}]}
---
kind: Node
metadata: {name: n1}
status: {addresses: [{type: Hostname, address: n1}, {type: InternalIP, address: 192.0.2.1}]}
";

    fn reference(name: &str, port: Option<Port>) -> Reference<'_> {
        Reference { namespace: "default", name, port, native_lb: None, node_port_lb: false }
    }

    fn addresses(found: &Backends) -> Vec<&str> {
        found.servers.iter().map(|s| s.address.as_str()).collect()
    }

    #[test]
    fn endpoints_that_serve() {
        let c = cluster(WHOAMI);
        let found = find(&c, Allowed::default(), &reference("whoami", Some(Port::Name("web".into())))).unwrap();
        assert_eq!(addresses(&found), ["10.1.0.1:8080", "10.1.0.2:8080", "10.1.0.4:8080", "[fd00::1]:8080"]);
        assert_eq!(found.servers.iter().map(|s| s.draining).collect::<Vec<_>>(), [false, true, false, false]);
        assert_eq!(scheme("", &found), Ok("http"));
        assert_eq!(in_use(&found).count(), 3, "one is going away");
        let fences = |found: &Backends| http_servers("http", found).iter().map(|s| s["fenced"] == true).collect::<Vec<_>>();
        assert_eq!(fences(&found), [false, true, false, false]);
        let leaving: Vec<Server> = found.servers.iter().filter(|s| s.draining).cloned().collect();
        let found = Backends { servers: leaving, ..found };
        assert_eq!((in_use(&found).count(), fences(&found)), (1, vec![false]), "better than nothing");
        let found = find(&c, Allowed::default(), &reference("whoami", Some(Port::Number(443)))).unwrap();
        assert_eq!((found.servers.len(), scheme("", &found)), (3, Ok("https")));
        let none = reference("whoami", Some(Port::Number(8443)));
        assert!(find(&c, Allowed::default(), &none).unwrap_err().contains("no ready endpoint"));
        assert_eq!(find(&c, Allowed { empty: true, ..Allowed::default() }, &none).unwrap().servers, []);
        for (port, why) in [(Some(Port::Number(81)), "no port 81; it has 80, 443, 8443"), (None, "several ports")] {
            assert!(find(&c, Allowed::default(), &reference("whoami", port)).unwrap_err().contains(why));
        }
        assert!(find(&c, Allowed::default(), &reference("nobody", None)).unwrap_err().contains("no service default/nobody"));
    }

    #[test]
    fn other_ways_to_a_service() {
        let c = cluster(WHOAMI);
        let out = reference("out", Some(Port::Number(8080)));
        assert!(find(&c, Allowed::default(), &out).unwrap_err().contains("allowExternalNameServices"));
        let found = find(&c, Allowed { external_names: true, ..Allowed::default() }, &out).unwrap();
        assert!(found.external && addresses(&found) == ["example.test:8080"]);
        let native = Reference { native_lb: Some(true), ..reference("whoami", Some(Port::Number(80))) };
        assert_eq!(addresses(&find(&c, Allowed::default(), &native).unwrap()), ["10.0.0.9:80"]);
        let by_default = Allowed { native_lb_by_default: true, ..Allowed::default() };
        assert_eq!(addresses(&find(&c, by_default, &reference("whoami", Some(Port::Number(80)))).unwrap()), ["10.0.0.9:80"]);
        let node = Reference { node_port_lb: true, ..reference("nodeport", Some(Port::Number(80))) };
        assert!(find(&c, Allowed::default(), &node).is_err());
        assert_eq!(addresses(&find(&c, Allowed { nodes: true, ..Allowed::default() }, &node).unwrap()), ["192.0.2.1:30080"]);
    }

    #[test]
    fn ports_and_schemes_as_written() {
        assert_eq!(Port::from(&IntOrString::String("80".into())), Port::Number(80));
        assert_eq!(Port::from(&IntOrString::String("web".into())), Port::Name("web".into()));
        assert_eq!(scheme("h2c", &Backends::default()), Ok("h2c"));
        assert!(scheme("ftp", &Backends::default()).is_err());
        assert_eq!(scheme("", &Backends { port_name: "https-x".into(), ..Backends::default() }), Ok("https"));
    }
}
