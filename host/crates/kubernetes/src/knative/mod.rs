//! `providers.knative`: the ingresses that Knative Serving makes of its routes.
//!
//! One router for each path of a rule, and one more with TLS where the ingress has certificates; behind it one service
//! that weighs the splits. Names and rules are Traefik's.

mod model;
mod rule;
mod status;
#[cfg(test)]
mod tests;

use crate::backends::{self, Allowed, Port, Reference};
use crate::cluster::{Cluster, Key};
use crate::run::{Translate, Translated};
use crate::secrets;
use crate::tree::{Tree, place};
use crate::watched::Wanted;
use k8s_openapi::api::core::v1::ServiceSpec;
use kube::api::DynamicObject;
use model::{Path, Rule, Spec, Split};
use serde_json::{Map, Value as Json, json};
use status::{Balancers, Report};
use std::collections::{BTreeMap, BTreeSet};
use torana_base::Place;
use torana_config::install::KnativeConfig;
use torana_config::routing::RoutingConfig;

pub use status::cluster_domain;

/// Behind `@` in references.
pub const NAME: &str = "knative";

/// What a port of a service says that speaks HTTP/2 in the clear.
const H2C: &str = "kubernetes.io/h2c";

/// Translates ingresses of Knative.
#[derive(Clone)]
pub struct Knative {
    config: KnativeConfig,
    balancers: Balancers,
    report: Report,
    /// What the last translation said.
    last: RoutingConfig,
}

impl Knative {
    /// `domain` is that of the cluster's services, such as `cluster.local`.
    pub fn new(config: KnativeConfig, domain: String) -> Self {
        let balancers = Balancers::new(&config, &domain);
        Knative { config, balancers, report: Report::default(), last: RoutingConfig::default() }
    }
}

impl Translate for Knative {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wanted(&self) -> Vec<Wanted> {
        vec![Wanted::Custom(model::watched(&self.config.label_selector)), Wanted::Services, Wanted::Secrets]
    }

    fn translate(&mut self, cluster: &Cluster) -> Translated {
        let mut tree = Tree::default();
        for (kind, why) in &cluster.unreadable {
            tree.warn(&Place::whole(NAME), kind, why.clone());
        }
        let mut cx = Context { cluster, config: &self.config, tree: &mut tree, secrets: BTreeSet::new() };
        let mut ours: Vec<(&Key, &DynamicObject)> = model::ours(cluster).collect();
        // Of two with the same names the older one has them.
        ours.sort_by_key(|(_, object)| object.metadata.creation_timestamp.as_ref().map(|t| t.0));
        let ours: Vec<(&Key, &DynamicObject, Vec<String>)> =
            ours.into_iter().map(|(key, object)| (key, object, cx.ingress(key, object))).collect();
        let statuses = self.report.statuses(&ours, &self.balancers);
        Translated { document: tree.finish_after(NAME, &mut self.last), statuses }
    }
}

struct Context<'a> {
    cluster: &'a Cluster,
    config: &'a KnativeConfig,
    tree: &'a mut Tree,
    /// Secrets whose certificates are in the store.
    secrets: BTreeSet<Key>,
}

/// What the paths of an ingress have in common.
struct Site {
    place: Place,
    tls: bool,
    redirects: bool,
}

impl Context<'_> {
    /// What of the ingress is not served.
    fn ingress(&mut self, key: &Key, object: &DynamicObject) -> Vec<String> {
        self.tree.saw();
        let place = place("Ingress", key);
        let mut wrong = Vec::new();
        match model::spec(object) {
            Err(why) => wrong.push(why),
            Ok(spec) => match self.certificates(&spec, key, &place) {
                // Names without their certificate are not served at all, as in Traefik.
                Err(why) => wrong.push(why),
                Ok(()) => self.rules(&spec, key, &place, &mut wrong),
            },
        }
        wrong.iter().for_each(|why| self.tree.reject(&place, why));
        wrong
    }

    fn certificates(&mut self, spec: &Spec, key: &Key, place: &Place) -> Result<(), String> {
        for (i, tls) in spec.tls.iter().enumerate() {
            if tls.secret_namespace != key.0 {
                let why = format!("a secret must be in the namespace of its ingress, `{}`: another certificate is shown", key.0);
                self.tree.warn(place, &format!("spec.tls[{i}].secretNamespace"), why);
                continue;
            }
            let secret = (key.0.clone(), tls.secret_name.clone());
            if self.secrets.contains(&secret) {
                continue;
            }
            let found = secrets::certificate(self.cluster, &secret.0, &secret.1);
            let certificate = found.map_err(|why| format!("spec.tls[{i}].secretName: {why}; nothing of the ingress is served"))?;
            self.tree.certificate(&certificate, &crate::tree::place("Secret", &secret));
            self.secrets.insert(secret);
        }
        Ok(())
    }

    fn rules(&mut self, spec: &Spec, key: &Key, place: &Place, wrong: &mut Vec<String>) {
        let wanted = spec.http_option == "Redirected";
        let tls = !spec.tls.is_empty();
        if wanted && !tls {
            self.tree.warn(place, "spec.httpOption", "nothing is redirected: without `spec.tls` there is no HTTPS to go to");
        }
        let site = Site { place: place.clone(), tls, redirects: wanted && tls };
        for (r, rule) in spec.rules.iter().enumerate() {
            if rule.is_private() && self.config.private_entrypoints.is_empty() {
                continue;
            }
            for (p, path) in rule.http.paths.iter().enumerate() {
                let name = format!("{}-{}-rule-{r}-path-{p}", key.0, key.1);
                if let Err(why) = self.path(&site, &name, rule, path) {
                    wrong.push(format!("spec.rules[{r}].http.paths[{p}]: {why}"));
                }
            }
        }
    }

    fn path(&mut self, site: &Site, name: &str, rule: &Rule, path: &Path) -> Result<(), String> {
        let text = rule::of(&rule.hosts, path);
        if text.is_empty() {
            return Err("it needs a host, a header or a path: nothing says which requests are meant".into());
        }
        let service = self.service(site, name, &path.splits)?;
        let mut middlewares = Vec::new();
        if !path.rewrite_host.is_empty() {
            let headers = BTreeMap::from([("Host".to_owned(), path.rewrite_host.clone())]);
            middlewares.push(self.headers(site, &format!("{name}-rewrite-host"), &headers)?);
        }
        if !path.append_headers.is_empty() {
            middlewares.push(self.headers(site, &format!("{name}-append-headers"), &path.append_headers)?);
        }
        let mut router = Map::from_iter([("rule".to_owned(), text.into()), ("service".to_owned(), service.into())]);
        let entry_points = if rule.is_private() { &self.config.private_entrypoints } else { &self.config.public_entrypoints };
        if !entry_points.is_empty() {
            router.insert("entryPoints".into(), json!(entry_points));
        }
        if !middlewares.is_empty() {
            router.insert("middlewares".into(), json!(middlewares));
        }
        if site.tls {
            let mut secure = router.clone();
            secure.insert("tls".into(), json!({}));
            self.put("http.routers", &format!("{name}-tls"), &Json::Object(secure), site)?;
        }
        if site.redirects {
            let redirect = format!("{name}-redirect");
            self.put("http.middlewares", &redirect, &json!({"redirectScheme": {"scheme": "https", "permanent": true}}), site)?;
            middlewares.insert(0, redirect);
            router.insert("middlewares".into(), json!(middlewares));
        }
        self.put("http.routers", name, &Json::Object(router), site)
    }

    /// An error where another ingress has the name: names are put together by `-`, so those of two may be alike.
    fn put(&mut self, section: &'static str, name: &str, value: &Json, site: &Site) -> Result<(), String> {
        match self.tree.put(section, name, value, &site.place) {
            true => Ok(()),
            false => Err(format!("an older ingress has the name `{name}` in `{section}` too: rename one of them")),
        }
    }

    /// The service that weighs the splits of a path.
    fn service(&mut self, site: &Site, router: &str, splits: &[Split]) -> Result<String, String> {
        let servers = splits.iter().enumerate().map(|(i, split)| self.server(split).map_err(|e| format!("splits[{i}]: {e}")));
        let servers: Vec<String> = servers.collect::<Result<_, _>>()?;
        let mut shares = Vec::with_capacity(splits.len());
        for (i, (split, server)) in splits.iter().zip(servers).enumerate() {
            let name = format!("{router}-split-{i}");
            let mut service = Map::from_iter([("loadBalancer".to_owned(), json!({"servers": [{"url": server}]}))]);
            let mut headers = split.append_headers.clone();
            if headers.keys().any(|k| k.eq_ignore_ascii_case("host")) {
                self.tree.warn(&site.place, "appendHeaders", "the host of a split cannot be changed: write `rewriteHost`");
                headers.retain(|k, _| !k.eq_ignore_ascii_case("host"));
            }
            if !headers.is_empty() {
                let middleware = self.headers(site, &format!("{name}-append-headers"), &headers)?;
                service.insert("middlewares".into(), json!([middleware]));
            }
            self.put("http.services", &name, &Json::Object(service), site)?;
            let weight = if splits.len() == 1 { 100 } else { split.percent };
            shares.push(json!({"name": name, "weight": weight}));
        }
        let name = format!("{router}-wrr");
        self.put("http.services", &name, &json!({"weighted": {"services": shares}}), site)?;
        Ok(name)
    }

    /// The address of a split: that of the service itself, for Knative looks after what is behind it.
    fn server(&self, split: &Split) -> Result<String, String> {
        let Split { service_namespace: namespace, service_name: name, .. } = split;
        let spec = self.cluster.service(namespace, name).and_then(|s| s.spec.as_ref());
        let has_address = |s: &ServiceSpec| s.cluster_ip.as_deref().is_some_and(|ip| !matches!(ip, "" | "None"));
        if spec.is_some_and(|s| s.type_.as_deref() == Some("ExternalName") || !has_address(s)) {
            return Err(format!("service {namespace}/{name} has no address in the cluster: it is headless, or an external name"));
        }
        let port = Some(Port::from(&split.service_port));
        let reference = Reference { namespace, name, port, native_lb: Some(true), node_port_lb: false };
        let found = backends::find(self.cluster, Allowed::default(), &reference)?;
        let scheme = if found.app_protocol.as_deref() == Some(H2C) { "h2c" } else { "http" };
        let server = found.servers.first().ok_or_else(|| format!("service {namespace}/{name} has no address"))?;
        Ok(format!("{scheme}://{}", server.address))
    }

    /// A middleware that sets headers of requests; its name.
    fn headers(&mut self, site: &Site, name: &str, headers: &BTreeMap<String, String>) -> Result<String, String> {
        self.put("http.middlewares", name, &json!({"headers": {"customRequestHeaders": headers}}), site)?;
        Ok(name.to_owned())
    }
}
