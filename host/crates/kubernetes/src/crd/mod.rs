//! `providers.kubernetesCRD`: custom resources of the group `traefik.io/v1alpha1`.

mod middleware;
mod names;
mod parents;
mod route;
mod service;
mod spec;
mod transport;

use crate::backends::Allowed;
use crate::cluster::{Cluster, Key};
use crate::run::{Translate, Translated};
use crate::tree::{Tree, place};
use crate::watched::{CustomKind, Wanted};
use kube::api::{ApiResource, DynamicObject};
use names::Names;
use route::Routes;
use serde_json::Value as Json;
use service::At;
use spec::RouteSpec;
use std::collections::BTreeSet;
use std::sync::Arc;
use torana_base::Place;
use torana_config::install::KubernetesCrdConfig;
use torana_config::routing::RoutingConfig;

/// Behind `@` in references.
pub const NAME: &str = "kubernetescrd";

/// What an object is called in the configuration.
pub fn id(config: &KubernetesCrdConfig, namespace: &str, name: &str) -> String {
    names::Names::new(config).id(namespace, name)
}

/// Says the class of an object that has no field for it, and of old ones.
const CLASS: &str = "kubernetes.io/ingress.class";

/// Kinds and what the API server calls their lists.
const KINDS: [(&str, &str); 10] = [
    ("IngressRoute", "ingressroutes"),
    ("IngressRouteTCP", "ingressroutetcps"),
    ("IngressRouteUDP", "ingressrouteudps"),
    ("Middleware", "middlewares"),
    ("MiddlewareTCP", "middlewaretcps"),
    ("TraefikService", "traefikservices"),
    ("ServersTransport", "serverstransports"),
    ("ServersTransportTCP", "serverstransporttcps"),
    ("TLSOption", "tlsoptions"),
    ("TLSStore", "tlsstores"),
];

/// Translates custom resources.
#[derive(Clone)]
pub struct Crd {
    config: KubernetesCrdConfig,
    names: Names,
    /// What the last translation said.
    last: RoutingConfig,
}

impl Crd {
    pub fn new(config: KubernetesCrdConfig) -> Self {
        let names = Names::new(&config);
        Crd { config, names, last: RoutingConfig::default() }
    }

    fn is_ours(&self, class: &str) -> bool {
        match self.config.ingress_class.as_str() {
            "" => matches!(class, "" | "traefik"),
            ours => ours == class,
        }
    }
}

impl Translate for Crd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wanted(&self) -> Vec<Wanted> {
        let mut wanted = vec![Wanted::Services, Wanted::EndpointSlices, Wanted::Secrets, Wanted::ConfigMaps];
        if !self.config.disable_cluster_scope_resources {
            wanted.push(Wanted::Nodes);
        }
        wanted.extend(KINDS.map(|(kind, plural)| {
            let resource = ApiResource {
                group: "traefik.io".into(),
                version: "v1alpha1".into(),
                api_version: "traefik.io/v1alpha1".into(),
                kind: kind.into(),
                plural: plural.into(),
            };
            Wanted::Custom(CustomKind { resource, namespaced: true, label_selector: self.config.label_selector.clone() })
        }));
        wanted
    }

    fn translate(&mut self, cluster: &Cluster) -> Translated {
        let mut tree = Tree::default();
        for (kind, why) in &cluster.unreadable {
            tree.warn(&Place::whole(NAME), kind, why.clone());
        }
        let mut cx = Context {
            cluster,
            names: &self.names,
            allowed: Allowed {
                external_names: self.config.allow_external_name_services,
                empty: self.config.allow_empty_services,
                native_lb_by_default: self.config.native_lb_by_default,
                nodes: !self.config.disable_cluster_scope_resources,
            },
            tree: &mut tree,
            certificates: BTreeSet::new(),
        };
        for (kind, _) in KINDS {
            if matches!(kind, "TLSOption" | "TLSStore") {
                cx.tls_kind(kind, &self.config.default_tls_resources_namespace);
                continue;
            }
            for (key, object) in cluster.of_kind(kind) {
                self.object(&mut cx, kind, key, object);
            }
        }
        Translated { document: tree.finish_after(NAME, &mut self.last), statuses: Vec::new() }
    }
}

impl Crd {
    fn object(&self, cx: &mut Context<'_>, kind: &str, key: &Key, object: &Arc<DynamicObject>) {
        let (namespace, name) = key;
        let place = place(kind, key);
        let written = object.data.get("spec").unwrap_or(&Json::Null);
        let at = At { namespace, place: &place, path: "spec" };
        let made = match kind {
            "Middleware" => cx.middleware(name, written, at),
            "MiddlewareTCP" => {
                cx.tcp_middleware(name, written, at);
                Ok(())
            }
            "TraefikService" => cx.service(name, written, at),
            "ServersTransport" => {
                cx.servers_transport(name, written, at);
                Ok(())
            }
            "ServersTransportTCP" => {
                cx.tcp_servers_transport(name, written, at);
                Ok(())
            }
            _ => self.routes(cx, kind, key, object, &place),
        };
        if kind.starts_with("IngressRoute") {
            // Counted by `routes`: those of other classes are not ours.
        } else {
            cx.tree.saw();
        }
        if let Err(reason) = made {
            cx.tree.reject(&place, reason);
        }
    }

    fn routes(&self, cx: &mut Context<'_>, kind: &str, key: &Key, object: &DynamicObject, place: &Place) -> Result<(), String> {
        let written = object.data.get("spec").unwrap_or(&Json::Null);
        let annotation = object.metadata.annotations.as_ref().and_then(|a| a.get(CLASS));
        let class = written.get("ingressClassName").and_then(Json::as_str).or(annotation.map(String::as_str)).unwrap_or_default();
        if !self.is_ours(class) {
            return Ok(());
        }
        cx.tree.saw();
        let spec: RouteSpec = spec::read(written, "spec", cx.tree, place)?;
        let of = Routes { name: &key.1, namespace: &key.0, place };
        match kind {
            "IngressRoute" => cx.http(&of, &spec),
            "IngressRouteTCP" => cx.tcp(&of, &spec),
            _ => cx.udp(&of, &spec),
        }
    }
}

/// What a translation carries along.
struct Context<'a> {
    cluster: &'a Cluster,
    names: &'a Names,
    allowed: Allowed,
    tree: &'a mut Tree,
    /// Secrets whose certificates are in the store.
    certificates: BTreeSet<(String, String)>,
}

impl Context<'_> {
    /// `TLSOption` or `TLSStore`: those that are called `default` stand for the whole gateway, so that there may be
    /// one of them only.
    fn tls_kind(&mut self, kind: &str, only: &str) {
        let cluster = self.cluster;
        let defaults: Vec<&Key> = cluster.of_kind(kind).map(|(k, _)| k).filter(|k| k.1 == "default").collect();
        let allowed: Vec<&Key> = defaults.iter().copied().filter(|k| only.is_empty() || k.0 == only).collect();
        for (key, object) in cluster.of_kind(kind) {
            self.tree.saw();
            let place = place(kind, key);
            let at = At { namespace: &key.0, place: &place, path: "spec" };
            let made = match key.1.as_str() {
                "default" if !allowed.contains(&key) => {
                    Err(format!("the `default` one may stand in namespace `{only}` only (`defaultTLSResourcesNamespace`)"))
                }
                "default" if allowed.len() > 1 => {
                    let namespaces: Vec<&str> = allowed.iter().map(|k| k.0.as_str()).collect();
                    Err(format!("there may be one `default` in the cluster; it is in {}: none of them counts", namespaces.join(", ")))
                }
                name => {
                    let written = object.data.get("spec").unwrap_or(&Json::Null);
                    if kind == "TLSOption" { self.tls_option(name, written, at) } else { self.tls_store(name, written, at) }
                }
            };
            if let Err(reason) = made {
                self.tree.reject(&place, reason);
            }
        }
    }
}

#[cfg(test)]
mod tests;
