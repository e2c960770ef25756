//! References of routes to backends: which servers stand behind them, and how they are spoken to.

use super::Options;
use super::grants::Grants;
use super::listeners::Listener;
use super::model::Reference;
use super::policies::{BackendTls, Policies};
use crate::backends::{self, Allowed, Backends, Port};
use crate::cluster::{Cluster, Key};

/// Annotation of a service: its own address in place of its endpoints.
const NATIVE_LB: &str = "traefik.io/service.nativelb";

/// Why a reference leads nowhere.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unresolved {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

fn unresolved<T>(reason: &'static str, message: impl Into<String>) -> Result<T, Unresolved> {
    Err(Unresolved { reason, message: message.into() })
}

/// What a reference leads to.
#[derive(Debug)]
pub(super) enum Backend {
    /// A service of another provider, by its qualified name.
    Named(String),
    Servers(Found),
}

#[derive(Debug)]
pub(super) struct Found {
    pub(super) backends: Backends,
    /// `http`, `https` or `h2c`; of a TCP service nothing.
    pub(super) scheme: &'static str,
    pub(super) tls: Option<BackendTls>,
}

/// What references are resolved with.
pub(super) struct Refs<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) options: &'a Options,
    pub(super) grants: &'a Grants,
    pub(super) policies: &'a mut Policies,
}

impl Refs<'_> {
    /// A backend for requests of `route` (of `kind`); `plain` is the scheme where nothing says another.
    pub(super) fn http(
        &mut self,
        kind: &str,
        route: &Key,
        listener: &Listener,
        reference: &Reference,
        plain: &'static str,
    ) -> Result<Backend, Unresolved> {
        let namespace = self.namespace(kind, route, reference)?;
        match reference.what(("", "Service")) {
            ("" | "core", "Service") => {}
            ("traefik.io", "TraefikService") => return self.traefik_service(route, reference),
            (group, kind) => {
                return unresolved(
                    "InvalidKind",
                    format!("a backend cannot be a {group}/{kind}: take a Service or a traefik.io/TraefikService"),
                );
            }
        }
        let backends = self.service(&namespace, reference)?;
        let service = (namespace, reference.name.clone());
        let tls = match self.policies.find(&service, &backends.port_name, &listener.gateway) {
            None => None,
            Some(Ok(tls)) => Some(tls),
            // As Traefik has it.
            Some(Err(why)) => return unresolved("RefNotPermitted", why),
        };
        let scheme = match backends.app_protocol.as_deref() {
            _ if tls.is_some() => "https",
            Some("kubernetes.io/h2c") => "h2c",
            Some("http" | "kubernetes.io/ws") => "http",
            Some("https" | "kubernetes.io/wss") => "https",
            Some(other) if !other.is_empty() => {
                return unresolved(
                    "UnsupportedProtocol",
                    format!("service {}/{} has an `appProtocol` that is not supported: {other}", service.0, service.1),
                );
            }
            _ => plain,
        };
        Ok(Backend::Servers(Found { backends, scheme, tls }))
    }

    /// A backend for connections.
    pub(super) fn tcp(&mut self, kind: &str, route: &Key, reference: &Reference) -> Result<Backend, Unresolved> {
        let namespace = self.namespace(kind, route, reference)?;
        match reference.what(("", "Service")) {
            ("" | "core", "Service") => {}
            ("traefik.io", "TraefikService") if reference.name.contains('@') => return self.traefik_service(route, reference),
            (group, kind) => {
                return unresolved("InvalidKind", format!("a backend for connections cannot be a {group}/{kind}: take a Service"));
            }
        }
        let backends = self.service(&namespace, reference)?;
        Ok(Backend::Servers(Found { backends, scheme: "", tls: None }))
    }

    fn namespace(&self, kind: &str, route: &Key, reference: &Reference) -> Result<String, Unresolved> {
        let namespace = reference.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or(&route.0);
        let (_, to) = reference.what(("", "Service"));
        if !self.grants.allow(kind, &route.0, to, namespace, &reference.name) {
            let message = format!("no ReferenceGrant in {namespace} lets {kind}s of {} use {to} {}", route.0, reference.name);
            return unresolved("RefNotPermitted", message);
        }
        Ok(namespace.to_owned())
    }

    fn service(&self, namespace: &str, reference: &Reference) -> Result<Backends, Unresolved> {
        let Some(port) = reference.port else {
            return unresolved("UnsupportedProtocol", format!("the reference to service {namespace}/{} needs a `port`", reference.name));
        };
        let service = self.cluster.service(namespace, &reference.name);
        if service.and_then(|s| s.spec.as_ref()?.type_.as_deref()) == Some("ExternalName") {
            return unresolved(
                "BackendNotFound",
                format!("service {namespace}/{} is an external name, which the Gateway API does not allow here", reference.name),
            );
        }
        let annotation = service.and_then(|s| s.metadata.annotations.as_ref()?.get(NATIVE_LB));
        let allowed = Allowed { empty: true, native_lb_by_default: self.options.config.native_lb_by_default, ..Allowed::default() };
        let wanted = backends::Reference {
            namespace,
            name: &reference.name,
            port: Some(Port::Number(port)),
            native_lb: annotation.and_then(|a| a.parse().ok()),
            node_port_lb: false,
        };
        backends::find(self.cluster, allowed, &wanted).or_else(|why| unresolved("BackendNotFound", why))
    }

    fn traefik_service(&self, route: &Key, reference: &Reference) -> Result<Backend, Unresolved> {
        let name = &reference.name;
        if !name.contains('@') {
            let namespace = reference.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or(&route.0);
            return self.options.custom(namespace, name).map(Backend::Named).or_else(|why| unresolved("InvalidKind", why));
        }
        if reference.namespace.as_deref().is_some_and(|n| !n.is_empty()) {
            return unresolved("InvalidKind", format!("`{name}` is a service of another provider: it has no `namespace`"));
        }
        let open = self.options.config.cross_provider_namespaces.as_ref().is_none_or(|all| all.contains(&route.0));
        if !open {
            return unresolved("RefNotPermitted", format!("`crossProviderNamespaces` does not let {} use `{name}`", route.0));
        }
        Ok(Backend::Named(name.clone()))
    }
}
