//! The middlewares of one location, in the order in which requests meet them.

use super::Location;
use super::options::Options;
use super::{auth, headers, redirects, traffic};
use crate::cluster::Cluster;
use serde_json::{Value as Json, json};

/// A middleware before it has the name of a router before its own.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) suffix: &'static str,
    pub(super) kind: &'static str,
    pub(super) config: Json,
}

impl Part {
    pub(super) fn new(suffix: &'static str, kind: &'static str, config: Json) -> Part {
        Part { suffix, kind, config }
    }
}

/// What stands on the routers of a location.
#[derive(Debug)]
pub(super) struct Chain {
    /// Requests without TLS are sent to HTTPS.
    pub(super) to_https: bool,
    pub(super) parts: Vec<Part>,
    /// Users are asked for: servers see nothing of what they answer.
    pub(super) authenticates: bool,
    /// The location answers 503, and why.
    pub(super) broken: Option<String>,
    /// Annotation, and what is said of it.
    pub(super) warnings: Vec<(&'static str, String)>,
}

impl Chain {
    /// What one router costs, about.
    pub(super) fn bytes(&self) -> usize {
        let parts: usize = self.parts.iter().map(|p| p.config.to_string().len()).sum();
        parts + self.warnings.iter().map(|(_, said)| said.len()).sum::<usize>() + self.broken.as_ref().map_or(0, String::len)
    }
}

/// Middlewares of a location, or why it is not served at all.
pub(super) fn of(cluster: &Cluster, options: &Options, location: &Location<'_>) -> Result<Chain, String> {
    let a = &location.entry.annotations;
    let mut warnings = Vec::new();
    let users = auth::users(cluster, options, &location.entry.key.0, a)?;
    let custom_headers = headers::custom(cluster, options, &location.entry.key.0, a);
    let broken = custom_headers.as_ref().err().cloned();
    let authenticates = users.is_some();
    let parts = [
        errors(options, location),
        redirects::app_root(a),
        redirects::redirect(a, location),
        users,
        traffic::buffering(options, a, &mut warnings),
        traffic::sources(options, a),
        headers::cors(a),
        redirects::rewrite(a, location, &mut warnings),
        headers::virtual_host(a, location),
        traffic::rate(a, "limit-rpm", "1m0s"),
        traffic::rate(a, "limit-rps", "1s"),
        traffic::connections(a),
        auth::certificate_headers(location),
        custom_headers.unwrap_or_default(),
        auth::snippet(options, location),
        traffic::retry(options, a, location.servers.len(), &mut warnings),
    ];
    Ok(Chain {
        to_https: a.is("force-ssl-redirect") || (location.entry.has_tls() && a.flag("ssl-redirect").unwrap_or(true)),
        parts: parts.into_iter().flatten().collect(),
        authenticates,
        broken,
        warnings,
    })
}

/// `custom-http-errors`: without a service for the pages it means nothing. One of the annotation `default-backend` is
/// named when the router's name is known.
fn errors(options: &Options, location: &Location<'_>) -> Option<Part> {
    let a = &location.entry.annotations;
    let status = match a.list("custom-http-errors") {
        Some(list) => list.into_iter().map(str::to_owned).collect(),
        None => options.config.custom_http_errors.clone(),
    };
    let own = a.filled("default-backend").is_some() && a.text("custom-http-errors").is_some();
    let service = match own {
        true => Json::Null,
        false if !options.config.default_backend_service.is_empty() => super::DEFAULT_BACKEND.into(),
        false => return None,
    };
    if status.is_empty() {
        return None;
    }
    let (namespace, ingress) = location.entry.key;
    let headers = json!({
        "X-Namespaces": [namespace], "X-Ingress-Name": [ingress],
        "X-Service-Name": [location.service], "X-Service-Port": [location.port],
    });
    Some(Part::new("custom-http-errors", "errors", json!({"status": status, "service": service, "nginxHeaders": headers})))
}
