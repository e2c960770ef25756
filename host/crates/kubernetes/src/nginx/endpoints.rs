//! From a backend of an ingress to its servers, by the rules of ingress-nginx.

use super::annotations::Annotations;
use crate::backends::{self, Server};
use crate::cluster::Cluster;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::Endpoint;
use k8s_openapi::api::networking::v1::{IngressServiceBackend, ServiceBackendPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where the servers of backends are looked for.
#[derive(Clone, Copy)]
pub(super) struct Endpoints<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) external_names: bool,
}

/// Name or number of a port, as it stands in names of services.
pub(super) fn port_text(port: Option<&ServiceBackendPort>) -> String {
    let name = port.and_then(|p| p.name.clone()).filter(|n| !n.is_empty());
    name.unwrap_or_else(|| port.and_then(|p| p.number).unwrap_or(0).to_string())
}

/// A backend that names a service and no port: its first one.
pub(super) fn first_port(service: &str) -> IngressServiceBackend {
    IngressServiceBackend { name: service.to_owned(), port: None }
}

impl Endpoints<'_> {
    /// The servers of a backend, or of the one in the annotation `default-backend` where there are none.
    pub(super) fn find(&self, namespace: &str, backend: &IngressServiceBackend, annotations: &Annotations) -> Result<Vec<Server>, String> {
        let (service, port) = self.service(namespace, backend)?;
        let spec = service.spec.as_ref();
        if is_external(service) {
            let host = spec.and_then(|s| s.external_name.as_deref()).filter(|h| !h.is_empty());
            let host = host.ok_or_else(|| format!("service {namespace}/{} names no host (`externalName`)", backend.name))?;
            return Ok(vec![backends::server(host, target_port(&port), false)]);
        }
        if annotations.is("service-upstream") {
            let address = spec.and_then(|s| s.cluster_ip.as_deref()).filter(|a| !a.is_empty() && *a != "None");
            let missing = || format!("service {namespace}/{} has no address of its own, which `service-upstream` needs", backend.name);
            return Ok(vec![backends::server(address.ok_or_else(missing)?, port.port, false)]);
        }
        let found = self.of_port(namespace, &backend.name, port.name.as_deref().unwrap_or_default());
        match annotations.filled("default-backend").filter(|d| found.is_empty() && *d != backend.name) {
            Some(fallback) => {
                let (_, port) = self.service(namespace, &first_port(fallback)).map_err(|e| format!("default-backend: {e}"))?;
                Ok(self.of_port(namespace, fallback, port.name.as_deref().unwrap_or_default()))
            }
            None => Ok(found),
        }
    }

    fn service(&self, namespace: &str, backend: &IngressServiceBackend) -> Result<(&Arc<Service>, ServicePort), String> {
        let name = &backend.name;
        let service = self.cluster.service(namespace, name).ok_or_else(|| match self.cluster.unreadable.get("Service") {
            Some(why) => format!("service {namespace}/{name} cannot be read: {why}"),
            None => format!("there is no service {namespace}/{name}"),
        })?;
        if is_external(service) && !self.external_names {
            return Err(format!("service {namespace}/{name} is an external name, which `disableSvcExternalName` forbids"));
        }
        let (number, wanted) = match &backend.port {
            Some(p) => (p.number.unwrap_or(0), p.name.as_deref().unwrap_or_default()),
            None => (0, ""),
        };
        let fits = |p: &&ServicePort| {
            (number == 0 && wanted.is_empty()) || p.port == number || (!wanted.is_empty() && p.name.as_deref() == Some(wanted))
        };
        let ports = service.spec.as_ref().and_then(|s| s.ports.as_deref()).unwrap_or_default();
        let port = ports.iter().find(fits).cloned();
        // What an external name does not list is taken as it is.
        let port = port.or_else(|| is_external(service).then(|| ServicePort { port: number, ..ServicePort::default() }));
        let port = port.ok_or_else(|| format!("service {namespace}/{name} has no port {}", port_text(backend.port.as_ref())))?;
        Ok((service, port))
    }

    /// All that serve, each address once.
    fn of_port(&self, namespace: &str, service: &str, port_name: &str) -> Vec<Server> {
        let mut seen = BTreeSet::new();
        let mut servers = Vec::new();
        for slice in self.cluster.slices_of(namespace, service) {
            let mut ports = slice.ports.iter().flatten().filter(|p| p.name.as_deref().unwrap_or_default() == port_name);
            let Some(port) = ports.find_map(|p| p.port).filter(|p| *p != 0) else { continue };
            for endpoint in slice.endpoints.iter().filter(|e| condition(e, |c| c.serving, true)) {
                let fresh = endpoint.addresses.iter().filter(|a| seen.insert(a.as_str()));
                servers.extend(fresh.map(|a| backends::server(a, port, condition(endpoint, |c| c.terminating, false))));
            }
        }
        servers
    }
}

fn condition(
    endpoint: &Endpoint,
    which: impl Fn(&k8s_openapi::api::discovery::v1::EndpointConditions) -> Option<bool>,
    default: bool,
) -> bool {
    endpoint.conditions.as_ref().and_then(which).unwrap_or(default)
}

fn is_external(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.type_.as_deref()) == Some("ExternalName")
}

fn target_port(port: &ServicePort) -> i32 {
    match &port.target_port {
        Some(IntOrString::Int(n)) => *n,
        Some(IntOrString::String(s)) => s.parse().unwrap_or(port.port),
        None => port.port,
    }
}
