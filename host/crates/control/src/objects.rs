//! Services and middlewares of a compile as the API shows them, whether a router leads to them or not.

use crate::resolve::{Inputs, Kinds, Resolver};
use crate::services::Services;
use crate::status::{MiddlewareStatus, RuntimeStatus, ServiceStatus, State};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use torana_base::{Diagnostic, qualify};
use torana_config::routing::Item;
use torana_upstream::LoadBalancer;

/// Middlewares as shown, with the digest of their text.
pub(crate) type MiddlewareStatuses = FxHashMap<Arc<str>, (u64, Arc<MiddlewareStatus>)>;

/// Builds every service, and tells what came of it.
pub(crate) fn service_status(inputs: &Inputs, services: &mut Services<'_>, status: &mut RuntimeStatus) {
    for (provider, config) in inputs {
        let provider: Arc<str> = (*provider).into();
        for (name, item) in &config.http.services {
            let name: Arc<str> = qualify(name, &provider).into();
            let outcome = services.service(&name);
            if let Ok(usable) = &outcome {
                status.diagnostics.extend(usable.warnings.iter().cloned());
            }
            let (state, errors, mut wrong) = judge(&item.diagnostics, outcome.as_ref().err());
            status.diagnostics.append(&mut wrong);
            let children = services.parts(&name);
            let balancer = outcome.ok().and_then(|u| u.load_balancer);
            status.services.insert(
                name.clone(),
                Arc::new(ServiceStatus { name, provider: provider.clone(), item: item.clone(), state, errors, balancer, children }),
            );
        }
    }
}

/// Builds every middleware, and tells what came of it. What has not changed since `before` is taken over.
pub(crate) fn middleware_status(
    inputs: &Inputs,
    resolver: &Resolver<'_>,
    services: &mut Services<'_>,
    kinds: Kinds,
    before: &MiddlewareStatuses,
    status: &mut RuntimeStatus,
) -> MiddlewareStatuses {
    let mut seen = MiddlewareStatuses::default();
    for (provider, config) in inputs {
        let provider: Arc<str> = (*provider).into();
        for (name, item) in &config.http.middlewares {
            let name: Arc<str> = qualify(name, &provider).into();
            // Built for nobody, to know whether it can be.
            let built = resolver.steps(&name, &Arc::from(""), services);
            let (state, errors, mut wrong) = judge(&item.diagnostics, built.as_ref().err());
            status.diagnostics.append(&mut wrong);
            let shown = match before.get(&name) {
                Some((digest, before)) if *digest == item.digest && before.errors == errors && before.state == state => before.clone(),
                _ => {
                    let kind = kinds(&item.config.kind);
                    let shown = kind.and_then(|k| (k.show)(&item.config.node, "").ok()).unwrap_or_else(|| item.config.node.to_json());
                    Arc::new(MiddlewareStatus { name: name.clone(), provider: provider.clone(), item: item.clone(), shown, state, errors })
                }
            };
            seen.insert(name.clone(), (item.digest, shown.clone()));
            status.middlewares.insert(name, shown);
        }
    }
    seen
}

/// State, texts for the API, and the diagnostics of an object, from what its document and its build say.
pub(crate) fn judge(own: &[Diagnostic], built: Option<&Vec<Diagnostic>>) -> (State, Vec<String>, Vec<Diagnostic>) {
    let mut all = own.to_vec();
    for d in built.into_iter().flatten() {
        if !all.contains(d) {
            all.push(d.clone());
        }
    }
    let state = match (built.is_some() || all.iter().any(Diagnostic::is_error), all.is_empty()) {
        (true, _) => State::Disabled,
        (false, false) => State::Warning,
        (false, true) => State::Enabled,
    };
    (state, all.iter().map(|d| d.message.clone()).collect(), all)
}

/// Of a router of `section` (`http`) that says in which syntax its rule is.
pub(crate) fn deprecated_syntax<T>(section: &str, name: &str, item: &Item<T>, written: Option<&str>) -> Option<Diagnostic> {
    written.filter(|s| !matches!(*s, "" | "default"))?;
    let d = Diagnostic::warning(format!("{section}.routers.{name}.ruleSyntax"), "`ruleSyntax` is deprecated");
    Some(d.at(&item.place_of("ruleSyntax")).hint("write the rule in v3 syntax, and remove it"))
}

/// Load balancers that some router or middleware leads to, and the others: as in Traefik, their health is not checked.
pub(crate) fn by_use(status: &RuntimeStatus, led_to: &FxHashSet<String>) -> (Vec<Arc<LoadBalancer>>, Vec<Arc<LoadBalancer>>) {
    let mut seen: FxHashSet<&str> = FxHashSet::default();
    let routers = status.routers.values().filter(|r| !r.using.is_empty()).map(|r| &*r.service);
    let mut open: Vec<&str> = routers.chain(led_to.iter().map(String::as_str)).collect();
    while let Some(name) = open.pop() {
        if seen.insert(name)
            && let Some(service) = status.services.get(name)
        {
            open.extend(service.children.iter().map(|c| &**c));
        }
    }
    let (used, idle): (Vec<_>, Vec<_>) = status.services.values().partition(|s| seen.contains(&*s.name));
    let balancers = |services: Vec<&Arc<ServiceStatus>>| services.into_iter().filter_map(|s| s.balancer.clone()).collect();
    (balancers(used), balancers(idle))
}
