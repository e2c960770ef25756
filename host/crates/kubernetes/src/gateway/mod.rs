//! The Gateway API (`kubernetesgateway`): gateways, their listeners and the routes on them.
//!
//! [`listeners`] finds what of the gateways can be served, [`attach`] which routes go on which listener, [`http`] and
//! [`tcp`] make routers of their rules, [`refs`] finds their backends. What came of each object is its status
//! ([`report`]), and what is wrong stands in the provider's state too.

mod attach;
pub(crate) mod conditions;
mod filters;
mod grants;
mod http;
mod listeners;
mod model;
pub(crate) mod names;
mod policies;
mod refs;
mod report;
mod tcp;
#[cfg(test)]
mod tests;

use crate::cluster::{Cluster, Key};
use crate::made::Made;
use crate::run::{self, Translate, Translated};
use crate::tree::place;
use crate::watched::{CustomKind, Wanted};
use attach::Attaching;
use kube::api::{ApiResource, GroupVersionKind};
use listeners::{Listener, Protocol};
use model::{CONTROLLER, ClassSpec, GROUP, GatewaySpec, Object, RouteSpec, read};
use policies::Policies;
use refs::Refs;
use report::Report;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use torana_config::install::{InstallConfig, KubernetesCrdConfig, KubernetesGatewayConfig, Protocol as Transport};
use torana_extend::Provider;

/// Behind `@` in references.
pub const NAME: &str = "kubernetesgateway";

/// The provider, if the static configuration switches it on.
pub fn configured(install: &InstallConfig) -> Option<Box<dyn Provider>> {
    let config = install.providers.kubernetes_gateway.clone()?;
    Some(run::provider(config.connection(), Gateways::new(Options::new(config, install))))
}

/// Where the gateway listens.
#[derive(Clone, Debug)]
pub struct EntryPoint {
    pub name: String,
    pub port: u16,
    pub udp: bool,
    /// Everything on it is served by TLS.
    pub tls: bool,
}

/// What a translation goes by.
#[derive(Clone, Debug)]
pub struct Options {
    pub config: KubernetesGatewayConfig,
    /// By name.
    pub entry_points: Vec<EntryPoint>,
    /// The provider of custom resources, if it is on: routes may refer to what it provides.
    pub crd: Option<KubernetesCrdConfig>,
}

impl Options {
    fn new(config: KubernetesGatewayConfig, install: &InstallConfig) -> Options {
        let entry_point = |(name, e): (&String, &torana_config::install::EntryPointConfig)| EntryPoint {
            name: name.clone(),
            port: e.address.port,
            udp: e.address.protocol == Transport::Udp,
            tls: e.http.tls.is_some(),
        };
        Options {
            config,
            entry_points: install.entry_points.iter().map(entry_point).collect(),
            crd: install.providers.kubernetes_crd.clone(),
        }
    }

    /// What the provider of custom resources makes of an object, qualified.
    pub fn custom(&self, namespace: &str, name: &str) -> Result<String, String> {
        let Some(crd) = &self.crd else {
            return Err(format!("{namespace}/{name} is a custom resource: switch on the provider kubernetesCRD"));
        };
        if !crd.namespaces.is_empty() && !crd.namespaces.iter().any(|n| n == namespace) {
            return Err(format!("the provider kubernetesCRD does not read the namespace {namespace}"));
        }
        Ok(format!("{}@{}", crate::crd::id(crd, namespace, name), crate::crd::NAME))
    }
}

/// Kinds of routes with the version that is read, and whether they need `experimentalChannel`.
const ROUTES: [(&str, &str, &str, bool); 4] = [
    ("HTTPRoute", "v1", "httproutes", false),
    ("GRPCRoute", "v1", "grpcroutes", false),
    ("TLSRoute", "v1", "tlsroutes", false),
    ("TCPRoute", "v1alpha2", "tcproutes", true),
];

fn resource(kind: &str, version: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, version, kind), plural)
}

/// A view of the cluster to routers, services and statuses.
#[derive(Clone)]
pub struct Gateways {
    options: Options,
    report: Report,
}

impl Gateways {
    pub fn new(options: Options) -> Self {
        Gateways { options, report: Report::default() }
    }

    fn routes(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let experimental = self.options.config.experimental_channel;
        ROUTES.into_iter().filter(move |r| experimental || !r.3).map(|(kind, version, plural, _)| (kind, version, plural))
    }
}

impl Translate for Gateways {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wanted(&self) -> Vec<Wanted> {
        let custom = |kind: &str, version: &str, plural: &str, namespaced: bool, labels: &str| {
            let resource = resource(kind, version, plural);
            Wanted::Custom(CustomKind { resource, namespaced, label_selector: labels.to_owned() })
        };
        let mut all =
            vec![Wanted::Services, Wanted::EndpointSlices, Wanted::Secrets, Wanted::ConfigMaps, Wanted::Namespaces(String::new())];
        all.push(custom("GatewayClass", "v1", "gatewayclasses", false, &self.options.config.label_selector));
        all.push(custom("Gateway", "v1", "gateways", true, ""));
        all.push(custom("ReferenceGrant", "v1beta1", "referencegrants", true, ""));
        all.push(custom("BackendTLSPolicy", "v1", "backendtlspolicies", true, ""));
        all.extend(self.routes().map(|(kind, version, plural)| custom(kind, version, plural, true, "")));
        all
    }

    fn translate(&mut self, cluster: &Cluster) -> Translated {
        let mut made = Made::default();
        for (kind, why) in &cluster.unreadable {
            made.tree.warn(&place(kind, &(String::new(), "*".into())), "", why.clone());
        }
        let classes: Vec<Object<ClassSpec>> =
            all::<ClassSpec>(cluster, &mut made, "GatewayClass").into_iter().filter(|c| c.spec.controller_name == CONTROLLER).collect();
        let gateways: Vec<Object<GatewaySpec>> = all::<GatewaySpec>(cluster, &mut made, "Gateway")
            .into_iter()
            .filter(|g| classes.iter().any(|c| c.key.1 == g.spec.gateway_class_name) && self.is_ours(&g.key))
            .collect();
        let grants = grants::Grants(all(cluster, &mut made, "ReferenceGrant"));
        let mut policies = Policies::new(cluster, all(cluster, &mut made, "BackendTLSPolicy"));
        let mut certificates = BTreeMap::new();
        let listeners: Vec<Listener> =
            gateways.iter().flat_map(|g| listeners::of_gateway(cluster, &self.options, &grants, g, &mut certificates)).collect();
        for (key, cert, private) in certificates.values() {
            made.certificate(cert, private, &place("Secret", key));
        }
        let mut routes: Vec<(&'static str, Object<RouteSpec>)> = Vec::new();
        for (kind, ..) in self.routes() {
            routes.extend(all(cluster, &mut made, kind).into_iter().map(|r| (kind, r)));
        }
        // The oldest has its will where two cannot both have it.
        routes.sort_by(|(_, a), (_, b)| a.age().cmp(&b.age()));
        let refs = Refs { cluster, options: &self.options, grants: &grants, policies: &mut policies };
        let mut attaching = Attaching { gateways: &gateways, listeners, refs, made };
        let parents: Vec<_> = routes.iter().map(|(kind, route)| attaching.route(kind, route)).collect();
        let Attaching { listeners, mut made, .. } = attaching;
        if routes.iter().zip(&parents).any(|((kind, _), parents)| *kind == "TLSRoute" && !parents.is_empty()) {
            let mut entry_points: Vec<String> =
                listeners.iter().filter(|l| l.attached && l.protocol == Some(Protocol::Tls)).map(|l| l.entry_point.clone()).collect();
            entry_points.sort();
            entry_points.dedup();
            if !entry_points.is_empty() {
                tcp::deny_unknown_hosts(&mut made, entry_points, &torana_base::Place::whole(NAME));
            }
        }
        for l in &listeners {
            for c in &l.conditions {
                made.tree.reject(&place("Gateway", &l.gateway), format!("listener {}: {}", l.name, c.message));
            }
        }
        let seen = report::Seen {
            cluster,
            options: &self.options,
            classes: &classes,
            gateways: &gateways,
            listeners: &listeners,
            policies: &policies.all,
        };
        let statuses = self.report.statuses(&seen, &routes, &parents);
        Translated { document: made.finish(NAME), statuses }
    }
}

impl Gateways {
    fn is_ours(&self, key: &Key) -> bool {
        let named = &self.options.config.gateways;
        named.is_empty() || named.iter().any(|g| g.name == key.1 && (g.namespace.is_empty() || g.namespace == key.0))
    }
}

/// All objects of a kind that can be read; the others are rejected.
fn all<S: DeserializeOwned + Default>(cluster: &Cluster, made: &mut Made, kind: &str) -> Vec<Object<S>> {
    let mut objects = Vec::new();
    for (key, object) in cluster.of_kind(kind) {
        made.tree.saw();
        match read(key, object) {
            Ok(object) => objects.push(object),
            Err(why) => made.tree.reject(&place(kind, key), why),
        }
    }
    objects
}
