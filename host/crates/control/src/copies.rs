//! The routers that one router becomes: one for each group of entry points that treats it alike.

use crate::expand::Models;
use crate::resolve::Inputs;
use crate::tls_plan::{Conflict, DEFAULT, TlsPlan, Wish, options_name};
use std::sync::Arc;
use torana_base::qualify;
use torana_config::routing::{Item, RouterConfig, RouterTlsConfig};
use torana_router::CompiledRule;

/// A router on the entry points that treat it alike.
pub(crate) struct RouterCopy {
    /// Qualified.
    pub name: Arc<str>,
    /// Qualified name of the TLS options; `None` without TLS.
    pub tls: Option<Arc<str>>,
    /// As the API shows it.
    pub shown: Option<RouterTlsConfig>,
    pub conflict: Option<Conflict>,
    pub entry_points: Vec<Arc<str>>,
}

fn named(prefix: Option<&Arc<str>>, qualified: &Arc<str>) -> Arc<str> {
    prefix.map_or_else(|| qualified.clone(), |p| format!("{p}-{qualified}").into())
}

/// Which routers want which TLS options for which hosts. `rule_of` finds the compiled rule of a router.
pub(crate) fn plan(
    models: &Models,
    inputs: &Inputs,
    mut wanted: impl FnMut(&str, &Item<RouterConfig>, &RouterTlsConfig, &[Arc<str>], &Arc<str>),
    mut rule_of: impl FnMut(&'static str, &String, &Item<RouterConfig>) -> Option<Arc<CompiledRule>>,
) -> TlsPlan {
    let mut wishes = Vec::new();
    for (provider, config) in inputs {
        for (name, item) in &config.http.routers {
            if item.config.tls.is_none() && !models.carry_tls() {
                continue;
            }
            let qualified: Arc<str> = qualify(name, provider).into();
            let (listed, _) = models.effective(&item.config.entry_points);
            let mut hosts: Option<Vec<Arc<str>>> = None;
            for copy in models.copies(&listed) {
                let router = named(copy.prefix.as_ref(), &qualified);
                for e in copy.entry_points {
                    let Some(tls) = models.model(&e).and_then(|m| item.config.tls.as_ref().or(m.tls.as_ref())) else { continue };
                    let hosts = hosts.get_or_insert_with(|| {
                        rule_of(provider, name, item)
                            .iter()
                            .flat_map(|r| r.host_values())
                            .map(|h| Arc::from(h.strip_suffix('.').unwrap_or(h)))
                            .collect()
                    });
                    wanted(name, item, tls, hosts, &e);
                    let options = options_name(&tls.options, provider);
                    let hidden = item.shown().is_some();
                    wishes.push(Wish { router: router.clone(), entry_point: e, hosts: hosts.clone(), options, hidden });
                }
            }
        }
    }
    TlsPlan::new(&wishes)
}

/// The copies of a router: by entry points with defaults, and of these by entry points where its TLS options
/// contradict another's.
pub(crate) fn of(models: &Models, item: &Item<RouterConfig>, qualified: &Arc<str>, provider: &str, plan: &TlsPlan) -> Vec<RouterCopy> {
    let (listed, _) = models.effective(&item.config.entry_points);
    let mut all = Vec::new();
    for copy in models.copies(&listed) {
        let name = named(copy.prefix.as_ref(), qualified);
        let (mut same, mut apart) = (Vec::new(), Vec::new());
        for e in copy.entry_points {
            match plan.conflict(&e, &name) {
                None => same.push(e),
                Some(conflict) => apart.push((e, conflict)),
            }
        }
        let tls_of = |e: Option<&Arc<str>>| {
            let of_model = || e.and_then(|e| models.model(e)).and_then(|m| m.tls.clone());
            item.config.tls.clone().or_else(of_model)
        };
        if !same.is_empty() || apart.is_empty() {
            let shown = tls_of(same.first());
            let tls = shown.as_ref().map(|t| options_name(&t.options, provider));
            all.push(RouterCopy { name: name.clone(), tls, shown, conflict: None, entry_points: same });
        }
        for (e, conflict) in apart {
            let shown = tls_of(Some(&e));
            let name = format!("{e}-conflicted-{name}").into();
            all.push(RouterCopy { name, tls: Some(DEFAULT.into()), shown, conflict: Some(conflict), entry_points: vec![e] });
        }
    }
    all
}
