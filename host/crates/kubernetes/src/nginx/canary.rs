//! Canaries: ingresses that take a share of another one's requests.

use super::Entry;
use super::endpoints::{Endpoints, port_text};
use crate::backends::Server;
use crate::tree::Tree;
use k8s_openapi::api::networking::v1::HTTPIngressPath;
use std::collections::{BTreeMap, BTreeSet};

/// What takes a share of the requests for a service.
#[derive(Clone, Debug, Default)]
pub(super) struct Canary<'a> {
    pub(super) servers: Vec<Server>,
    pub(super) weight: i64,
    pub(super) total: i64,
    pub(super) header: Option<&'a str>,
    pub(super) header_value: Option<&'a str>,
    pub(super) header_pattern: Option<&'a str>,
    pub(super) cookie: Option<&'a str>,
}

impl<'a> Canary<'a> {
    /// The header, where it says `always` and `never`.
    pub(super) fn plain_header(&self) -> Option<&'a str> {
        self.header.filter(|_| self.header_value.is_none() && self.header_pattern.is_none())
    }

    pub(super) fn can_be_asked_for(&self) -> bool {
        self.header.is_some() || self.cookie.is_some()
    }

    /// Who gets it by chance may refuse it.
    pub(super) fn can_be_refused(&self) -> bool {
        self.weight > 0 && (self.plain_header().is_some() || self.cookie.is_some())
    }
}

/// Canaries by namespace, service and port of what they take a share of: as in ingress-nginx it is the service that
/// has a canary, on whatever paths it is.
pub(super) type Canaries<'a> = BTreeMap<(&'a str, &'a str, String), Canary<'a>>;

/// A path that a canary can be of: namespace, host, path and its type.
type PathKey<'a> = (&'a str, &'a str, &'a str, &'a str);

fn path_key<'a>(namespace: &'a str, host: &'a str, path: &'a HTTPIngressPath) -> PathKey<'a> {
    (namespace, host, path.path.as_deref().unwrap_or_default(), &path.path_type)
}

/// Which of `canaries` are of paths of `regular`; `processed` gets those that are.
pub(super) fn find<'a>(
    regular: &[&'a Entry<'a>],
    canaries: &'a [Entry<'a>],
    endpoints: Endpoints<'_>,
    tree: &mut Tree,
) -> (Canaries<'a>, Vec<&'a Entry<'a>>) {
    let mut paths = BTreeMap::new();
    for &entry in regular {
        for (host, path) in entry.paths().filter(|(_, p)| p.backend.service.is_some()) {
            paths.insert(path_key(&entry.key.0, host, path), (entry, path));
        }
    }
    let (mut found, mut processed, mut taken) = (Canaries::new(), Vec::new(), BTreeSet::new());
    for canary in canaries {
        for (host, path) in canary.paths() {
            let key = path_key(&canary.key.0, host, path);
            let at = format!("the canary of host `{host}`, path `{}`", key.2);
            let Some((main, main_path)) = paths.get(&key) else {
                tree.reject(&canary.place, format!("{at}: no other ingress of its namespace has them with the same `pathType`"));
                continue;
            };
            if taken.contains(&key) {
                tree.reject(&canary.place, format!("{at}: another ingress is their canary already"));
                continue;
            }
            let (Some(backend), Some(of)) = (&path.backend.service, &main_path.backend.service) else { continue };
            if backend.name == of.name && port_text(backend.port.as_ref()) == port_text(of.port.as_ref()) {
                tree.warn(&canary.place, "spec.rules", format!("{at}: it has the same service, so it means nothing"));
                continue;
            }
            let servers = match endpoints.find(&canary.key.0, backend, &main.annotations) {
                Ok(servers) if !servers.is_empty() => servers,
                Ok(_) => {
                    tree.warn(&canary.place, "spec.rules", format!("{at}: service {} has no server", backend.name));
                    continue;
                }
                Err(why) => {
                    tree.reject(&canary.place, format!("{at}: {why}"));
                    continue;
                }
            };
            taken.insert(key);
            let a = &canary.annotations;
            let total = a.number("canary-weight-total").unwrap_or(0).max(100);
            let made = Canary {
                servers,
                weight: a.number("canary-weight").unwrap_or(0).clamp(0, total),
                total,
                header: a.filled("canary-by-header"),
                header_value: a.filled("canary-by-header-value"),
                header_pattern: a.filled("canary-by-header-pattern"),
                cookie: a.filled("canary-by-cookie"),
            };
            found.insert((canary.key.0.as_str(), of.name.as_str(), port_text(of.port.as_ref())), made);
            if !processed.iter().any(|p: &&Entry<'_>| p.key == canary.key) {
                processed.push(canary);
            }
        }
    }
    (found, processed)
}
