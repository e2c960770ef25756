//! `providers.kubernetesIngressNGINX`: `Ingress` objects with the annotations of ingress-nginx
//! (`kubernetesingressnginx`).
//!
//! [`annotations`] reads, [`hosts`] finds what ingresses say of hosts that they share, [`canary`] who takes a share of
//! whose requests, [`chain`] makes middlewares, and [`location`] routers and services of each path.

mod annotations;
mod auth;
mod canary;
mod chain;
mod endpoints;
mod headers;
mod hosts;
mod location;
mod options;
mod publish;
mod redirects;
mod rule;
mod tls;
mod traffic;

use crate::cluster::{Cluster, Key};
use crate::ingress::{CLASS, NO_SERVICE};
use crate::made::Made;
use crate::run::{self, Translate, Translated};
use crate::tree::place;
use crate::watched::Wanted;
use annotations::Annotations;
use endpoints::Endpoints;
use hosts::Hosts;
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressSpec};
use location::{Context, Location, Prepared};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use torana_base::Place;
use torana_config::install::InstallConfig;
use torana_extend::Provider;

pub use options::{CheckSnippet, Options};

/// Behind `@` in references.
pub const NAME: &str = "kubernetesingressnginx";

/// Router and service of what nothing else gets.
const DEFAULT_BACKEND: &str = "default-backend";
/// A service without servers: 503.
const UNAVAILABLE: &str = "unavailable-service";

/// The provider, if the static configuration switches it on. See [`Options::check_snippet`].
pub fn configured(install: &InstallConfig, check_snippet: CheckSnippet) -> Option<Box<dyn Provider>> {
    let config = install.providers.kubernetes_ingress_nginx.clone()?;
    Some(run::provider(config.connection(), Nginx::new(Options::new(config, install, check_snippet))))
}

/// Translates ingresses of ingress-nginx.
#[derive(Clone)]
pub struct Nginx {
    options: Options,
}

/// An ingress of ours, read.
struct Entry<'a> {
    key: &'a Key,
    ingress: &'a Arc<Ingress>,
    spec: &'a IngressSpec,
    annotations: Annotations,
    place: Place,
}

impl<'a> Entry<'a> {
    /// Of its rules; empty for any.
    fn hosts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.spec.rules.iter().flatten().map(|r| r.host.as_deref().unwrap_or_default())
    }

    fn paths(&self) -> impl Iterator<Item = (&'a str, &'a HTTPIngressPath)> + use<'a> {
        let rules = self.spec.rules.iter().flatten();
        rules.flat_map(|r| r.http.iter().flat_map(|h| &h.paths).map(|p| (r.host.as_deref().unwrap_or_default(), p)))
    }

    fn has_tls(&self) -> bool {
        self.spec.tls.as_ref().is_some_and(|t| !t.is_empty())
    }
}

impl Nginx {
    pub fn new(options: Options) -> Self {
        Nginx { options }
    }

    /// Names of the ingress classes that are ours.
    fn classes<'a>(&self, cluster: &'a Cluster) -> BTreeSet<&'a str> {
        let config = &self.options.config;
        let ours = cluster.ingress_classes.iter().filter(|((_, name), class)| {
            let controller = class.spec.as_ref().and_then(|s| s.controller.as_deref()).unwrap_or_default();
            controller == config.controller_class || (config.ingress_class_by_name && *name == config.ingress_class)
        });
        ours.map(|((_, name), _)| name.as_str()).collect()
    }

    fn is_ours(&self, classes: &BTreeSet<&str>, ingress: &Ingress) -> bool {
        let field = ingress.spec.as_ref().and_then(|s| s.ingress_class_name.as_deref());
        if let Some(name) = field.filter(|_| !classes.is_empty()) {
            return classes.contains(name);
        }
        match ingress.metadata.annotations.as_ref().and_then(|a| a.get(CLASS)) {
            Some(class) => *class == self.options.config.ingress_class,
            None => self.options.config.watch_ingress_without_class,
        }
    }

    /// Our ingresses, oldest first: where two cannot both have their will, the first one has it.
    fn entries<'a>(&self, cluster: &'a Cluster) -> Vec<Entry<'a>> {
        let classes = self.classes(cluster);
        let any = self.options.config.watch_namespace_selector.is_empty();
        let mut entries: Vec<Entry<'a>> = cluster
            .ingresses
            .iter()
            .filter(|(key, _)| any || cluster.namespaces.contains_key(&(String::new(), key.0.clone())))
            .filter(|(_, ingress)| self.is_ours(&classes, ingress))
            .filter_map(|(key, ingress)| {
                let annotations = Annotations::read(ingress.metadata.annotations.as_ref());
                Some(Entry { key, ingress, spec: ingress.spec.as_ref()?, annotations, place: place("Ingress", key) })
            })
            .collect();
        entries.sort_by_key(|e| {
            let created = e.ingress.metadata.creation_timestamp.as_ref().map(|t| t.0);
            (created, Reverse(format!("{}/{}", e.key.0, e.key.1)))
        });
        entries
    }

    /// Why an ingress is left out whole.
    fn check(&self, entry: &Entry<'_>) -> Result<(), String> {
        const SNIPPETS: [&str; 3] = ["server-snippet", "configuration-snippet", "auth-snippet"];
        let config = &self.options.config;
        if let Some(name) = SNIPPETS.iter().find(|s| !config.allow_snippet_annotations && entry.annotations.filled(s).is_some()) {
            return Err(format!("{name}: snippets are served with `allowSnippetAnnotations` only"));
        }
        let strict = |p: &HTTPIngressPath| config.strict_validate_path_type && p.path_type != "ImplementationSpecific";
        let odd = entry.paths().filter(|(_, p)| strict(p)).find(|(_, p)| p.path.as_deref().is_some_and(|p| !is_plain(p)));
        if let Some((host, path)) = odd {
            return Err(format!(
                "host `{host}`: the path `{}` of the type {} has characters of a regular expression: take the type \
                 ImplementationSpecific, or switch `strictValidatePathType` off",
                path.path.as_deref().unwrap_or_default(),
                path.path_type
            ));
        }
        Ok(())
    }
}

/// Whether a path has only characters that stand for themselves; the empty one has.
fn is_plain(path: &str) -> bool {
    path.is_empty() || (path.starts_with('/') && path.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c)))
}

impl Translate for Nginx {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wanted(&self) -> Vec<Wanted> {
        let mut wanted = vec![
            Wanted::Services,
            Wanted::EndpointSlices,
            Wanted::Secrets,
            Wanted::ConfigMaps,
            Wanted::Ingresses(String::new()),
            Wanted::IngressClasses,
        ];
        let selector = &self.options.config.watch_namespace_selector;
        if !selector.is_empty() {
            wanted.push(Wanted::Namespaces(selector.clone()));
        }
        wanted
    }

    fn translate(&mut self, cluster: &Cluster) -> Translated {
        let mut made = Made::default();
        let whole = Place::whole(NAME);
        for (kind, why) in &cluster.unreadable {
            made.tree.warn(&whole, kind, why.clone());
        }
        let endpoints = Endpoints { cluster, external_names: !self.options.config.disable_svc_external_name };
        let (mut regular, mut canaries) = (Vec::new(), Vec::new());
        for entry in self.entries(cluster) {
            made.tree.saw();
            for (name, said) in entry.annotations.warnings() {
                made.tree.warn(&entry.place, &name, said);
            }
            match self.check(&entry) {
                Err(why) => made.tree.reject(&entry.place, why),
                Ok(()) if entry.annotations.is("canary") => canaries.push(entry),
                Ok(()) => regular.push(entry),
            }
        }
        let mut hosts = Hosts::default();
        // A name is its ingress's also where that is rejected: else another one's alias would take its clients.
        regular.iter().for_each(|e| hosts.reserve(e));
        let mut cx = Context::new(cluster, &self.options, endpoints, &mut made);
        cx.ground();
        let mut prepared: Vec<Prepared<'_>> = regular.iter().filter_map(|e| cx.prepare(e)).collect();
        let of_canaries: Vec<&Entry<'_>> = prepared.iter().map(|p| p.entry).collect();
        let mut served = cx.find_canaries(&of_canaries, &canaries);
        for p in prepared.iter().filter(|p| p.governs) {
            hosts.add(p.entry);
            let Some(auth) = &p.client_auth else { continue };
            for host in p.entry.hosts() {
                if let Some((namespace, name)) = hosts.authenticate(host, p.entry, auth) {
                    let said = format!("host `{host}`: its clients are verified as ingress {namespace}/{name} says, which is older");
                    cx.made.tree.warn(&p.entry.place, "auth-tls-secret", said);
                }
            }
        }
        prepared.iter_mut().for_each(|p| cx.give_aliases(p, &hosts));
        for p in &prepared {
            if cx.ingress(p, &hosts) {
                served.push(p.entry);
            }
        }
        let served: Vec<(&Key, &Arc<Ingress>)> = served.iter().map(|e| (e.key, e.ingress)).collect();
        let statuses = publish::statuses(&self.options.config, cluster, &served, &mut made.tree);
        Translated { document: made.finish(NAME), statuses }
    }
}

#[cfg(test)]
mod tests;
