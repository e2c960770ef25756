//! `providers.kubernetesIngress`: `Ingress` objects. Behind `@` it is called `kubernetes`.

mod annotations;
pub(crate) mod publish;
pub(crate) mod rule;

use crate::backends::{self, Allowed, Backends, Port, Reference};
use crate::cluster::{Cluster, Key};
use crate::run::{Translate, Translated};
use crate::secrets;
use crate::tree::{Tree, place};
use crate::watched::Wanted;
use annotations::{RouterAnnotations, ServiceAnnotations};
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend, IngressServiceBackend};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use torana_base::{Place, normalize};
use torana_config::install::KubernetesIngressConfig;
use torana_config::routing::RoutingConfig;

/// Behind `@` in references.
pub const NAME: &str = "kubernetes";

/// What an `IngressClass` names that is ours. Traefik's, so that its manifests work.
const CONTROLLER: &str = "traefik.io/ingress-controller";
/// Says the class of an ingress that has no field for it.
pub(crate) const CLASS: &str = "kubernetes.io/ingress.class";
/// Class of ingresses that have the annotation and no option names another.
const DEFAULT_CLASS: &str = "traefik";
/// The default backend gets what nothing else gets.
pub(crate) const LAST: i64 = i32::MIN as i64;

/// Translates ingresses.
#[derive(Clone)]
pub struct Ingresses {
    config: KubernetesIngressConfig,
    /// What the last translation said.
    last: RoutingConfig,
}

impl Ingresses {
    pub fn new(config: KubernetesIngressConfig) -> Self {
        Ingresses { config, last: RoutingConfig::default() }
    }

    fn reads_classes(&self) -> bool {
        !self.config.disable_cluster_scope_resources && !self.config.disable_ingress_class_lookup
    }

    /// Whether an ingress is for this gateway.
    fn is_ours(&self, cluster: &Cluster, ingress: &Ingress) -> bool {
        let wanted = self.config.ingress_class.as_str();
        let field = ingress.spec.as_ref().and_then(|s| s.ingress_class_name.as_deref());
        if let Some(name) = field {
            if !self.reads_classes() {
                return wanted == name;
            }
            let class = cluster.ingress_classes.get(&(String::new(), name.to_owned()));
            let controller = class.and_then(|c| c.spec.as_ref()).and_then(|s| s.controller.as_deref());
            return controller == Some(CONTROLLER) && (wanted.is_empty() || wanted == name);
        }
        let annotation = ingress.metadata.annotations.as_ref().and_then(|a| a.get(CLASS)).map_or("", String::as_str);
        if wanted.is_empty() { matches!(annotation, "" | DEFAULT_CLASS) } else { annotation == wanted }
    }
}

impl Translate for Ingresses {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wanted(&self) -> Vec<Wanted> {
        let mut wanted =
            vec![Wanted::Services, Wanted::EndpointSlices, Wanted::Secrets, Wanted::Ingresses(self.config.label_selector.clone())];
        if self.reads_classes() {
            wanted.push(Wanted::IngressClasses);
        }
        if !self.config.disable_cluster_scope_resources {
            wanted.push(Wanted::Nodes);
        }
        wanted
    }

    fn translate(&mut self, cluster: &Cluster) -> Translated {
        let mut tree = Tree::default();
        for (kind, why) in &cluster.unreadable {
            tree.warn(&Place::whole(NAME), kind, why.clone());
        }
        let mut cx = Context { cluster, config: &self.config, tree: &mut tree, secrets: BTreeSet::new(), routers: BTreeMap::new() };
        let ours: Vec<(&Key, &Arc<Ingress>)> = cluster.ingresses.iter().filter(|(_, i)| self.is_ours(cluster, i)).collect();
        for (key, ingress) in &ours {
            cx.ingress(key, ingress);
        }
        cx.put_routers();
        let statuses = publish::statuses(&self.config, cluster, &ours, &mut tree);
        Translated { document: tree.finish_after(NAME, &mut self.last), statuses }
    }
}

/// A router before its name is known to be its own.
struct Router {
    rule: String,
    value: Json,
    place: Place,
}

struct Context<'a> {
    cluster: &'a Cluster,
    config: &'a KubernetesIngressConfig,
    tree: &'a mut Tree,
    /// Secrets whose certificates are in the store.
    secrets: BTreeSet<Key>,
    /// By the name that they have if no other has it.
    routers: BTreeMap<String, Vec<Router>>,
}

impl Context<'_> {
    fn ingress(&mut self, key: &Key, ingress: &Ingress) {
        self.tree.saw();
        let (namespace, name) = key;
        let place = place("Ingress", key);
        let Some(spec) = &ingress.spec else { return };
        let empty = BTreeMap::new();
        let read = RouterAnnotations::read(ingress.metadata.annotations.as_ref().unwrap_or(&empty));
        for w in &read.warnings {
            self.tree.warn(&place, "metadata.annotations", w.clone());
        }
        let annotations = match read.value.and_then(|a| self.may_refer(namespace, a.references()).map(|()| a)) {
            Ok(a) => a,
            Err(e) => return self.tree.reject(&place, format!("metadata.annotations: {e}")),
        };
        for (i, tls) in spec.tls.iter().flatten().enumerate() {
            self.certificate(namespace, tls.secret_name.as_deref().unwrap_or_default(), i, &place);
        }
        let rules = spec.rules.as_deref().unwrap_or_default();
        if rules.is_empty()
            && let Some(backend) = &spec.default_backend
        {
            self.default_backend(namespace, backend, &annotations, &place);
        }
        for (r, rule) in rules.iter().enumerate() {
            let host = rule.host.as_deref().unwrap_or_default();
            for (p, path) in rule.http.iter().flat_map(|h| h.paths.iter()).enumerate() {
                let at = format!("spec.rules[{r}].http.paths[{p}]");
                if let Err(reason) = self.path(namespace, name, host, path, &annotations, &place) {
                    self.tree.reject(&place, format!("{at}: {reason}"));
                }
            }
        }
    }

    /// Whether the objects of a namespace may name those of other providers, as annotations do.
    fn may_refer<'n>(&self, namespace: &str, mut names: impl Iterator<Item = &'n str>) -> Result<(), String> {
        let Some(allowed) = &self.config.cross_provider_namespaces else { return Ok(()) };
        match names.find(|n| is_foreign(n)) {
            Some(name) if !allowed.iter().any(|n| n == namespace) => {
                Err(format!("namespace `{namespace}` may not refer to `{name}` of another provider (`crossProviderNamespaces`)"))
            }
            _ => Ok(()),
        }
    }

    fn certificate(&mut self, namespace: &str, secret: &str, i: usize, place: &Place) {
        let key = (namespace.to_owned(), secret.to_owned());
        if secret.is_empty() || self.secrets.contains(&key) {
            return;
        }
        match secrets::certificate(self.cluster, namespace, secret) {
            Ok(certificate) => {
                self.tree.certificate(&certificate, &crate::tree::place("Secret", &key));
                self.secrets.insert(key);
            }
            Err(reason) => self.tree.reject(place, format!("spec.tls[{i}].secretName: {reason}; clients get another certificate")),
        }
    }

    fn default_backend(&mut self, namespace: &str, backend: &IngressBackend, annotations: &RouterAnnotations, place: &Place) {
        const NAMES: (&str, &str) = ("default-router", "default-backend");
        if self.tree.has("http.routers", NAMES.0) {
            self.tree.reject(place, "spec.defaultBackend: another ingress has one already, and there is one for the whole gateway");
            return;
        }
        let made = backend.service.as_ref().ok_or_else(|| NO_SERVICE.to_owned()).and_then(|s| self.service(namespace, s));
        match made {
            Ok(service) => {
                self.tree.put("http.services", NAMES.1, &service, place);
                let mut router = annotations.router();
                router.insert("rule".into(), "PathPrefix(\"/\")".into());
                router.insert("priority".into(), LAST.into());
                router.insert("service".into(), NAMES.1.into());
                self.tree.put("http.routers", NAMES.0, &Json::Object(router), place);
            }
            Err(e) => self.tree.reject(place, format!("spec.defaultBackend: {e}")),
        }
    }

    fn path(
        &mut self,
        namespace: &str,
        ingress: &str,
        host: &str,
        path: &HTTPIngressPath,
        annotations: &RouterAnnotations,
        place: &Place,
    ) -> Result<(), String> {
        let backend = path.backend.service.as_ref().ok_or(NO_SERVICE)?;
        let port = backend.port.as_ref().and_then(|p| p.name.clone().filter(|n| !n.is_empty()).or(p.number.map(|n| n.to_string())));
        let service = normalize(&format!("{namespace}-{}-{}", backend.name, port.unwrap_or_default()));
        if !self.tree.has("http.services", &service) {
            let made = self.service(namespace, backend)?;
            self.tree.put("http.services", &service, &made, &crate::tree::place("Service", &(namespace.into(), backend.name.clone())));
        }
        let text = path.path.as_deref().unwrap_or_default();
        let rule = rule::of(host, text, &path.path_type, annotations.path_matcher.as_deref(), self.config.strict_prefix_matching);
        let name = normalize(&format!("{namespace}-{ingress}-{host}{text}"));
        let mut router = annotations.router();
        router.insert("rule".into(), rule.clone().into());
        router.insert("service".into(), service.into());
        self.routers.entry(name).or_default().push(Router { rule, value: Json::Object(router), place: place.clone() });
        Ok(())
    }

    /// Names that several routers have say their rule too.
    fn put_routers(&mut self) {
        for (name, routers) in std::mem::take(&mut self.routers) {
            let alone = routers.len() == 1;
            for router in routers {
                let name = if alone { name.clone() } else { format!("{name}-{}", digest(&router.rule)) };
                self.tree.put("http.routers", &name, &router.value, &router.place);
            }
        }
    }

    fn service(&mut self, namespace: &str, backend: &IngressServiceBackend) -> Result<Json, String> {
        let key = (namespace.to_owned(), backend.name.clone());
        let empty = BTreeMap::new();
        let service = self.cluster.services.get(&key);
        let read = ServiceAnnotations::read(service.and_then(|s| s.metadata.annotations.as_ref()).unwrap_or(&empty));
        let at = crate::tree::place("Service", &key);
        for w in &read.warnings {
            self.tree.warn(&at, "metadata.annotations", w.clone());
        }
        let annotations = read.value.and_then(|a| self.may_refer(namespace, a.references()).map(|()| a));
        let annotations = annotations.map_err(|e| format!("service {namespace}/{}: metadata.annotations: {e}", backend.name))?;
        let found = self.find(namespace, backend, &annotations)?;
        let scheme = backends::scheme(&annotations.scheme, &found)?;
        let servers = backends::http_servers(scheme, &found);
        let mut lb = annotations.load_balancer;
        lb.insert("servers".into(), Json::Array(servers));
        let mut made = Map::from_iter([("loadBalancer".to_owned(), Json::Object(lb))]);
        if !annotations.middlewares.is_empty() {
            made.insert("middlewares".into(), json!(annotations.middlewares));
        }
        Ok(Json::Object(made))
    }

    fn find(&self, namespace: &str, backend: &IngressServiceBackend, annotations: &ServiceAnnotations) -> Result<Backends, String> {
        let written = backend.port.as_ref();
        let name = written.and_then(|p| p.name.clone()).filter(|n| !n.is_empty()).map(Port::Name);
        let port = name.or(written.and_then(|p| p.number).map(Port::Number));
        let allowed = Allowed {
            external_names: self.config.allow_external_name_services,
            empty: self.config.allow_empty_services,
            native_lb_by_default: self.config.native_lb_by_default,
            nodes: !self.config.disable_cluster_scope_resources,
        };
        let reference =
            Reference { namespace, name: &backend.name, port, native_lb: annotations.native_lb, node_port_lb: annotations.node_port_lb };
        backends::find(self.cluster, allowed, &reference)
    }
}

pub(crate) const NO_SERVICE: &str = "a service belongs into `backend`: resources of other kinds are not served";

/// Whether a name says another provider than this one.
fn is_foreign(name: &str) -> bool {
    !matches!(torana_base::provider_of(name), "" | NAME)
}

/// The first ten bytes of the SHA-256 of a rule, in hexadecimal digits.
fn digest(rule: &str) -> String {
    Sha256::digest(rule).iter().take(10).fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
