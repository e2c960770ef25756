//! `spec.parentRefs` of an `IngressRoute`: all routers of the routes that it names.

use super::Context;
use super::route::Routes;
use super::spec::{self, Named, RouteSpec};
use serde_json::Value as Json;

impl Context<'_> {
    /// Names of the routers in front; empty where there are no references.
    pub(super) fn parents(&mut self, of: &Routes<'_>, spec: &RouteSpec) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for (i, written) in spec.parents.iter().enumerate() {
            let path = format!("spec.parentRefs[{i}]");
            let parent: Named = spec::read(written, &path, self.tree, of.place)?;
            let namespace = self.names.namespace(&format!("{path}: IngressRoute {}", parent.name), of.namespace, &parent.namespace)?;
            let found = self.cluster.of_kind("IngressRoute").find(|(k, _)| k.0 == namespace && k.1 == parent.name);
            let Some((_, object)) = found else {
                return Err(format!("{path}: there is no IngressRoute `{}` in namespace `{namespace}`", parent.name));
            };
            let routes = object.data.get("spec").and_then(|s| s.get("routes")).and_then(Json::as_array);
            for (i, route) in routes.into_iter().flatten().enumerate() {
                let rule = route.get("match").and_then(Json::as_str).unwrap_or_default();
                names.push(self.names.router(namespace, &parent.name, i, rule));
            }
        }
        Ok(names)
    }

    /// Whether other routes stand behind those of an object, so that they need no service.
    pub(super) fn is_parent(&self, of: &Routes<'_>) -> bool {
        self.cluster.of_kind("IngressRoute").any(|(key, object)| {
            let parents = object.data.get("spec").and_then(|s| s.get("parentRefs")).and_then(Json::as_array);
            parents.into_iter().flatten().any(|p| {
                let namespace = p.get("namespace").and_then(Json::as_str).filter(|n| !n.is_empty()).unwrap_or(&key.0);
                p.get("name").and_then(Json::as_str) == Some(of.name) && namespace == of.namespace
            })
        })
    }
}
