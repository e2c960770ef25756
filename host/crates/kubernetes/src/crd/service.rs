//! References to services, and `TraefikService`.

use super::Context;
use super::names::qualified;
use super::spec::{self, Failover, HttpRef, Named, ServiceSpec, Weighted};
use crate::backends::{self, Backends, Port, Reference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Map, Value as Json, json};
use torana_base::Place;

/// Where a reference stands.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    /// Namespace of the object.
    pub(super) namespace: &'a str,
    pub(super) place: &'a Place,
    /// Within the object, for messages.
    pub(super) path: &'a str,
}

impl At<'_> {
    pub(super) fn below<'b>(&'b self, path: &'b str) -> At<'b> {
        At { path, ..*self }
    }
}

pub(super) fn port_text(port: Option<&IntOrString>) -> String {
    match port {
        Some(IntOrString::Int(n)) => n.to_string(),
        Some(IntOrString::String(s)) => s.clone(),
        None => String::new(),
    }
}

impl Context<'_> {
    /// The services of a route as one; its name.
    pub(super) fn route_service(&mut self, router: &str, written: &[Json], at: At<'_>) -> Result<String, String> {
        let services = self.read_all::<HttpRef>(written, at)?;
        match services.as_slice() {
            [] => Err(format!("{}: the route has no service", at.path)),
            [one] if one.kind == "TraefikService" => self.traefik_service(one, at),
            [one] => {
                let name = self.names.only(router);
                let service = self.load_balancer(one, at)?;
                self.tree.replace("http.services", &name, &service, at.place);
                Ok(name)
            }
            many => {
                let name = self.names.all(router);
                let services = self.each(&name, many, at)?;
                self.tree.replace("http.services", &name, &json!({ "weighted": { "services": services } }), at.place);
                Ok(name)
            }
        }
    }

    pub(super) fn read_all<T: spec::Spec>(&mut self, written: &[Json], at: At<'_>) -> Result<Vec<T>, String> {
        written.iter().enumerate().map(|(i, w)| spec::read(w, &format!("{}[{i}]", at.path), self.tree, at.place)).collect()
    }

    /// Names and weights of services, each of which is there afterwards.
    fn each(&mut self, parent: &str, services: &[HttpRef], at: At<'_>) -> Result<Vec<Json>, String> {
        let named = services.iter().enumerate().map(|(i, s)| {
            let path = format!("{}[{i}]", at.path);
            let name = self.named(&format!("{parent}_{i}"), s, at.below(&path))?;
            Ok(json!({ "name": name, "weight": s.weight.unwrap_or(1) }))
        });
        named.collect()
    }

    /// One of several services, or the one that something else stands on; its name, which begins with `prefix` when
    /// names are safe.
    fn named(&mut self, prefix: &str, service: &HttpRef, at: At<'_>) -> Result<String, String> {
        if service.kind == "TraefikService" {
            return self.traefik_service(service, at);
        }
        let namespace = self.names.namespace(&format!("service {}", service.name), at.namespace, &service.namespace)?.to_owned();
        let made = self.load_balancer(service, at)?;
        let name = self.names.one(prefix, &namespace, &service.name, &port_text(service.port.as_ref()));
        self.tree.replace("http.services", &name, &made, at.place);
        Ok(name)
    }

    /// What a reference to a `TraefikService`, or to a service of another provider, means.
    fn traefik_service(&self, service: &HttpRef, at: At<'_>) -> Result<String, String> {
        self.names.reference(&format!("{}: service", at.path), at.namespace, &service.namespace, &service.name)
    }

    /// A service of the cluster with all that the reference says of it.
    fn load_balancer(&mut self, service: &HttpRef, at: At<'_>) -> Result<Json, String> {
        let path = at.path;
        if !matches!(service.kind.as_str(), "" | "Service") {
            return Err(format!("{path}.kind: `{}` is neither Service nor TraefikService", service.kind));
        }
        let found = self.find(service, at)?;
        let scheme = backends::scheme(&service.scheme, &found).map_err(|e| format!("{path}.scheme: {e}"))?;
        let servers = backends::http_servers(scheme, &found);
        let mut lb = Map::from_iter([("servers".to_owned(), Json::Array(servers))]);
        let mut set = |key: &str, value: Json| {
            if !value.is_null() {
                lb.insert(key.to_owned(), value);
            }
        };
        // Its old name.
        let strategy = if service.strategy == "RoundRobin" { "wrr" } else { service.strategy.as_str() };
        set("strategy", if strategy.is_empty() { Json::Null } else { strategy.into() });
        set("sticky", service.sticky.clone());
        set("passHostHeader", service.pass_host_header.map_or(Json::Null, Json::Bool));
        set("responseForwarding", service.response_forwarding.clone());
        set("passiveHealthCheck", service.passive_health_check.clone());
        if !service.transport.is_empty() {
            set("serversTransport", self.transport(&service.transport, at)?.into());
        }
        if !service.health_check.is_null() {
            if !found.external {
                return Err(format!("{path}.healthCheck: only external names are checked; the cluster checks its own pods"));
            }
            set("healthCheck", service.health_check.clone());
        }
        let mut made = json!({ "loadBalancer": lb });
        if !service.middlewares.is_empty() {
            made["middlewares"] = self.middlewares(&service.middlewares, at.below(&format!("{path}.middlewares")), false)?;
        }
        Ok(made)
    }

    fn find(&self, service: &HttpRef, at: At<'_>) -> Result<Backends, String> {
        let namespace = self.names.namespace(&format!("{}: service {}", at.path, service.name), at.namespace, &service.namespace)?;
        let port = service.port.as_ref().map(Port::from);
        if port.is_none() {
            return Err(format!("{}.port: say which port of service {namespace}/{} is meant", at.path, service.name));
        }
        let reference =
            Reference { namespace, name: &service.name, port, native_lb: service.native_lb, node_port_lb: service.node_port_lb };
        backends::find(self.cluster, self.allowed, &reference).map_err(|e| format!("{}: {e}", at.path))
    }

    /// Name of a transport, with its provider.
    pub(super) fn transport(&self, name: &str, at: At<'_>) -> Result<String, String> {
        Ok(qualified(&self.names.reference(&format!("{}.serversTransport", at.path), at.namespace, "", name)?))
    }

    /// Names of middlewares; `full` with their provider.
    pub(super) fn middlewares(&mut self, written: &[Json], at: At<'_>, full: bool) -> Result<Json, String> {
        let named = self.read_all::<Named>(written, at)?;
        let names = named.iter().map(|m| {
            let name = self.names.reference(&format!("{}: middleware", at.path), at.namespace, &m.namespace, &m.name)?;
            Ok(Json::from(if full { qualified(&name) } else { name }))
        });
        names.collect::<Result<Vec<Json>, String>>().map(Json::Array)
    }

    /// A `TraefikService`.
    pub(super) fn service(&mut self, name: &str, written: &Json, at: At<'_>) -> Result<(), String> {
        let spec: ServiceSpec = spec::read(written, "spec", self.tree, at.place)?;
        let id = self.names.id(at.namespace, name);
        let made = match spec {
            ServiceSpec { weighted: Some(w), .. } => self.weighted(&format!("{id}_wrr"), w, at.below("spec.weighted.services"))?,
            ServiceSpec { highest_random_weight: Some(w), .. } => {
                let services = self.read_all::<HttpRef>(&w.services, at.below("spec.highestRandomWeight.services"))?;
                let services = self.each(&format!("{id}_hrw"), &services, at.below("spec.highestRandomWeight.services"))?;
                json!({ "highestRandomWeight": { "services": services } })
            }
            ServiceSpec { mirroring: Some(m), .. } => self.mirroring(&id, m, at)?,
            ServiceSpec { failover: Some(f), .. } => self.failover(&id, &f, at)?,
            _ => return Err("spec: one of weighted, mirroring, failover and highestRandomWeight belongs here".into()),
        };
        self.tree.replace("http.services", &id, &made, at.place);
        Ok(())
    }

    fn weighted(&mut self, prefix: &str, written: Weighted, at: At<'_>) -> Result<Json, String> {
        let services = self.read_all::<HttpRef>(&written.services, at)?;
        let services = self.each(prefix, &services, at)?;
        let mut weighted = json!({ "services": services });
        if !written.sticky.is_null() {
            weighted["sticky"] = written.sticky;
        }
        Ok(json!({ "weighted": weighted }))
    }

    fn mirroring(&mut self, id: &str, mut written: Map<String, Json>, at: At<'_>) -> Result<Json, String> {
        let mirrors = match written.remove("mirrors") {
            Some(Json::Array(mirrors)) => mirrors,
            None | Some(Json::Null) => Vec::new(),
            Some(_) => return Err("spec.mirroring.mirrors: a list belongs here".into()),
        };
        let (body, size) = (written.remove("mirrorBody"), written.remove("maxBodySize"));
        let main: HttpRef = spec::read(&Json::Object(written), "spec.mirroring", self.tree, at.place)?;
        let main = self.named(&format!("{id}_mirroring"), &main, at.below("spec.mirroring"))?;
        let at = at.below("spec.mirroring.mirrors");
        let mirrors = self.read_all::<HttpRef>(&mirrors, at)?;
        let mirrors = mirrors.iter().enumerate().map(|(i, m)| {
            let path = format!("{}[{i}]", at.path);
            let name = self.named(&format!("{id}_mirror_{i}"), m, at.below(&path))?;
            Ok(json!({ "name": name, "percent": m.percent.unwrap_or(0) }))
        });
        let mut mirroring = json!({ "service": main, "mirrors": mirrors.collect::<Result<Vec<Json>, String>>()? });
        for (key, value) in [("mirrorBody", body), ("maxBodySize", size)] {
            if let Some(value) = value.filter(|v| !v.is_null()) {
                mirroring[key] = value;
            }
        }
        Ok(json!({ "mirroring": mirroring }))
    }

    fn failover(&mut self, id: &str, written: &Failover, at: At<'_>) -> Result<Json, String> {
        let mut part = |kind: &str, path: &str, value: &Json| {
            let service: HttpRef = spec::read(value, path, self.tree, at.place)?;
            self.named(&format!("{id}_{kind}"), &service, at.below(path))
        };
        let mut failover = json!({
            "service": part("failover", "spec.failover.service", &written.service)?,
            "fallback": part("fallback", "spec.failover.fallback", &written.fallback)?,
        });
        if !written.errors.is_null() {
            failover["errors"] = written.errors.clone();
        }
        Ok(json!({ "failover": failover }))
    }

    /// The service behind an `errors` middleware; its name.
    pub(super) fn error_page(&mut self, middleware: &str, written: &Json, at: At<'_>) -> Result<String, String> {
        let service: HttpRef = spec::read(written, at.path, self.tree, at.place)?;
        if service.kind == "TraefikService" {
            return self.traefik_service(&service, at);
        }
        let name = format!("{middleware}-errorpage-service");
        let made = self.load_balancer(&service, at)?;
        self.tree.replace("http.services", &name, &made, at.place);
        Ok(name)
    }
}
