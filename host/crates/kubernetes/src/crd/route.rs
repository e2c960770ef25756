//! `IngressRoute`, `IngressRouteTCP`, `IngressRouteUDP`.

use super::service::{At, port_text};
use super::spec::{self, HttpRoute, L4Ref, Named, RouteSpec, RouteTls, TcpRoute, UdpRoute};
use super::{Context, NAME};
use crate::backends::{self, Backends, Port, Reference};
use crate::secrets;
use serde_json::{Map, Value as Json, json};
use torana_base::Place;

/// A route object: its own name and where it stands.
pub(super) struct Routes<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) place: &'a Place,
}

impl<'a> Routes<'a> {
    fn at(&self, path: &'a str) -> At<'a>
    where
        Self: 'a,
    {
        At { namespace: self.namespace, place: self.place, path }
    }
}

impl Context<'_> {
    pub(super) fn http(&mut self, of: &Routes<'_>, spec: &RouteSpec) -> Result<(), String> {
        let parents = self.parents(of, spec)?;
        let tls = self.route_tls(of, &spec.tls)?;
        for (i, written) in spec.routes.iter().enumerate() {
            let path = format!("spec.routes[{i}]");
            if let Err(reason) = self.http_route(of, spec, tls.as_ref(), &parents, i, &path, written) {
                self.tree.reject(of.place, reason);
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn http_route(
        &mut self,
        of: &Routes<'_>,
        spec: &RouteSpec,
        tls: Option<&Json>,
        parents: &[String],
        i: usize,
        path: &str,
        written: &Json,
    ) -> Result<(), String> {
        let route: HttpRoute = spec::read(written, path, self.tree, of.place)?;
        if !matches!(route.kind.as_str(), "" | "Rule") {
            return Err(format!("{path}.kind: there is only `Rule`, not `{}`", route.kind));
        }
        if route.rule.is_empty() {
            return Err(format!("{path}.match: a rule belongs here"));
        }
        let router = self.names.router(of.namespace, of.name, i, &route.rule);
        let mut made = Map::new();
        let below = format!("{path}.middlewares");
        if !route.middlewares.is_empty() {
            made.insert("middlewares".into(), self.middlewares(&route.middlewares, At { path: &below, ..of.at("") }, true)?);
        }
        if !route.services.is_empty() || !self.is_parent(of) {
            let below = format!("{path}.services");
            let service = self.route_service(&router, &route.services, At { path: &below, ..of.at("") })?;
            made.insert("service".into(), service.into());
        }
        if !parents.is_empty() {
            made.insert("parentRefs".into(), json!(parents));
        }
        if !route.observability.is_null() {
            made.insert("observability".into(), route.observability.clone());
        }
        if let Some(tls) = tls {
            made.insert("tls".into(), tls.clone());
        }
        let matching = Matching { section: "http.routers", path, rule: &route.rule, syntax: &route.syntax, priority: route.priority };
        self.put_router(&router, matching, spec, made, of);
        Ok(())
    }

    pub(super) fn tcp(&mut self, of: &Routes<'_>, spec: &RouteSpec) -> Result<(), String> {
        let tls = self.route_tls(of, &spec.tls)?;
        for (i, written) in spec.routes.iter().enumerate() {
            let path = format!("spec.routes[{i}]");
            if let Err(reason) = self.tcp_route(of, spec, tls.as_ref(), i, &path, written) {
                self.tree.reject(of.place, reason);
            }
        }
        Ok(())
    }

    fn tcp_route(
        &mut self,
        of: &Routes<'_>,
        spec: &RouteSpec,
        tls: Option<&Json>,
        i: usize,
        path: &str,
        written: &Json,
    ) -> Result<(), String> {
        let route: TcpRoute = spec::read(written, path, self.tree, of.place)?;
        if route.rule.is_empty() {
            return Err(format!("{path}.match: a rule belongs here"));
        }
        let router = self.names.router(of.namespace, of.name, i, &route.rule);
        let mut made = Map::new();
        let below = format!("{path}.middlewares");
        if !route.middlewares.is_empty() {
            made.insert("middlewares".into(), self.middlewares(&route.middlewares, At { path: &below, ..of.at("") }, true)?);
        }
        let below = format!("{path}.services");
        let service = self.l4_service("tcp.services", &router, &route.services, At { path: &below, ..of.at("") })?;
        made.insert("service".into(), service.into());
        if let Some(tls) = tls {
            made.insert("tls".into(), tls.clone());
        }
        let matching = Matching { section: "tcp.routers", path, rule: &route.rule, syntax: &route.syntax, priority: route.priority };
        self.put_router(&router, matching, spec, made, of);
        Ok(())
    }

    pub(super) fn udp(&mut self, of: &Routes<'_>, spec: &RouteSpec) -> Result<(), String> {
        for (i, written) in spec.routes.iter().enumerate() {
            let path = format!("spec.routes[{i}].services");
            let router = self.names.udp_router(of.namespace, of.name, i);
            let made = spec::read::<UdpRoute>(written, &format!("spec.routes[{i}]"), self.tree, of.place)
                .and_then(|route| self.l4_service("udp.services", &router, &route.services, At { path: &path, ..of.at("") }));
            match made {
                Ok(service) => {
                    let value = json!({ "entryPoints": spec.entry_points, "service": service });
                    self.tree.replace("udp.routers", &router, &value, of.place);
                }
                Err(reason) => self.tree.reject(of.place, reason),
            }
        }
        Ok(())
    }

    fn put_router(&mut self, name: &str, matching: Matching<'_>, spec: &RouteSpec, mut made: Map<String, Json>, of: &Routes<'_>) {
        made.insert("rule".into(), matching.rule.into());
        if !spec.entry_points.is_empty() {
            made.insert("entryPoints".into(), json!(spec.entry_points));
        }
        if !matching.syntax.is_empty() {
            made.insert("ruleSyntax".into(), matching.syntax.into());
        }
        if matching.priority != 0 {
            made.insert("priority".into(), matching.priority.into());
        }
        if self.tree.has(matching.section, name) {
            self.tree.warn(of.place, matching.path, "a route with the same rule stands before this one, which takes its place");
        }
        self.tree.replace(matching.section, name, &Json::Object(made), of.place);
    }

    /// What `tls` means for routers; its certificate is in the store afterwards. One that is missing keeps no route
    /// from being served: clients get another certificate.
    fn route_tls(&mut self, of: &Routes<'_>, written: &Json) -> Result<Option<Json>, String> {
        if written.is_null() {
            return Ok(None);
        }
        let tls: RouteTls = spec::read(written, "spec.tls", self.tree, of.place)?;
        if !tls.secret.is_empty() && !tls.passthrough {
            self.certificate(of.namespace, &tls.secret, of.place, "spec.tls.secretName");
        }
        let mut made = Map::new();
        if let Some(Named { name, namespace }) = tls.options.as_ref().filter(|o| !o.name.is_empty()) {
            made.insert("options".into(), self.names.reference("spec.tls.options: TLS options", of.namespace, namespace, name)?.into());
        }
        if let Some(store) = tls.store.as_ref().filter(|s| s.name != "default") {
            self.tree.warn(of.place, "spec.tls.store", format!("only the store `default` serves clients, `{}` is ignored", store.name));
        }
        if !tls.resolver.is_empty() {
            made.insert("certResolver".into(), tls.resolver.into());
        }
        if !tls.domains.is_null() {
            made.insert("domains".into(), tls.domains);
        }
        if tls.passthrough {
            made.insert("passthrough".into(), true.into());
        }
        Ok(Some(Json::Object(made)))
    }

    /// Puts the certificate of a secret into the store, once.
    pub(super) fn certificate(&mut self, namespace: &str, secret: &str, place: &Place, path: &str) {
        if !self.certificates.insert((namespace.to_owned(), secret.to_owned())) {
            return;
        }
        match secrets::certificate(self.cluster, namespace, secret) {
            Ok(certificate) => self.tree.certificate(&certificate, &crate::tree::place("Secret", &(namespace.into(), secret.into()))),
            Err(reason) => {
                self.certificates.remove(&(namespace.to_owned(), secret.to_owned()));
                self.tree.reject(place, format!("{path}: {reason}; the routes are served with another certificate"));
            }
        }
    }

    /// The services of a TCP or UDP route as one; its name.
    fn l4_service(&mut self, section: &'static str, router: &str, written: &[Json], at: At<'_>) -> Result<String, String> {
        let services = self.read_all::<L4Ref>(written, at)?;
        match services.as_slice() {
            [] => Err(format!("{}: the route has no service", at.path)),
            [one] => {
                let name = self.names.only(router);
                let made = self.l4_load_balancer(section, one, at)?;
                self.tree.replace(section, &name, &made, at.place);
                Ok(name)
            }
            many => {
                let name = self.names.all(router);
                let mut all = Vec::new();
                for (i, service) in many.iter().enumerate() {
                    let path = format!("{}[{i}]", at.path);
                    let made = self.l4_load_balancer(section, service, at.below(&path))?;
                    let namespace = if service.namespace.is_empty() { at.namespace } else { &service.namespace };
                    let one = self.names.l4_one(&name, i, namespace, &service.name, &port_text(service.port.as_ref()));
                    self.tree.replace(section, &one, &made, at.place);
                    all.push(json!({ "name": one, "weight": service.weight.unwrap_or(1) }));
                }
                self.tree.replace(section, &name, &json!({ "weighted": { "services": all } }), at.place);
                Ok(name)
            }
        }
    }

    fn l4_load_balancer(&mut self, section: &str, service: &L4Ref, at: At<'_>) -> Result<Json, String> {
        let found = self.l4_find(service, at)?;
        let tls = service.tls && section == "tcp.services";
        let server = |s: &backends::Server| {
            if tls { json!({ "address": s.address, "tls": true }) } else { json!({ "address": s.address }) }
        };
        let mut lb = json!({ "servers": backends::in_use(&found).map(server).collect::<Vec<Json>>() });
        if section == "tcp.services" {
            if !service.proxy_protocol.is_null() {
                lb["proxyProtocol"] = service.proxy_protocol.clone();
            }
            if let Some(delay) = service.termination_delay {
                lb["terminationDelay"] = delay.into();
            }
            if !service.transport.is_empty() {
                lb["serversTransport"] = self.transport(&service.transport, at)?.into();
            }
        }
        Ok(json!({ "loadBalancer": lb }))
    }

    fn l4_find(&self, service: &L4Ref, at: At<'_>) -> Result<Backends, String> {
        let namespace = self.names.namespace(&format!("{}: service {}", at.path, service.name), at.namespace, &service.namespace)?;
        if service.name.contains('@') {
            return Err(format!("{}: a service of the cluster belongs here, not one of another provider than {NAME}", at.path));
        }
        let port = service.port.as_ref().map(Port::from);
        let reference =
            Reference { namespace, name: &service.name, port, native_lb: service.native_lb, node_port_lb: service.node_port_lb };
        backends::find(self.cluster, self.allowed, &reference).map_err(|e| format!("{}: {e}", at.path))
    }
}

/// What a router matches, as written.
struct Matching<'a> {
    /// Of its router.
    section: &'static str,
    /// Of the route in its object.
    path: &'a str,
    rule: &'a str,
    syntax: &'a str,
    priority: i64,
}
