//! Annotations about headers.

use super::Location;
use super::annotations::Annotations;
use super::chain::Part;
use super::options::Options;
use crate::cluster::Cluster;
use serde_json::json;

/// `custom-headers`: headers of answers, from a config map. An error breaks the location.
pub(super) fn custom(cluster: &Cluster, options: &Options, namespace: &str, a: &Annotations) -> Result<Option<Part>, String> {
    let Some(reference) = a.text("custom-headers") else { return Ok(None) };
    let wrong = |e: String| format!("custom-headers: {e}");
    let (map_namespace, name) = options.qualified(namespace, reference).map_err(wrong)?;
    let map = cluster.config_map(map_namespace, name).map_err(wrong)?;
    let headers = map.data.clone().unwrap_or_default();
    for (header, value) in &headers {
        if !options.config.global_allowed_response_headers.iter().any(|h| h == header && is_name(h)) {
            return Err(wrong(format!("config map {reference}: `globalAllowedResponseHeaders` does not list `{header}`")));
        }
        if !is_value(value) {
            return Err(wrong(format!("config map {reference}: the value of `{header}` cannot stand in a header")));
        }
    }
    Ok((!headers.is_empty()).then(|| Part::new("custom-headers", "headers", json!({ "customResponseHeaders": headers }))))
}

pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// What ingress-nginx allows.
fn is_value(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c == ' ' || c.is_ascii_graphic())
}

pub(super) fn cors(a: &Annotations) -> Option<Part> {
    const HEADERS: [&str; 9] = [
        "DNT",
        "Keep-Alive",
        "User-Agent",
        "X-Requested-With",
        "If-Modified-Since",
        "Cache-Control",
        "Content-Type",
        "Range",
        "Authorization",
    ];
    const METHODS: [&str; 6] = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"];
    if !a.is("enable-cors") {
        return None;
    }
    let list = |name: &str, default: &[&'static str]| a.list(name).map_or_else(|| json!(default), |l| json!(l));
    let mut config = json!({
        "accessControlAllowHeaders": list("cors-allow-headers", &HEADERS),
        "accessControlAllowMethods": list("cors-allow-methods", &METHODS),
        "accessControlAllowOriginList": list("cors-allow-origin", &["*"]),
        "accessControlMaxAge": a.number("cors-max-age").unwrap_or(1_728_000),
    });
    if a.flag("cors-allow-credentials").unwrap_or(true) {
        config["accessControlAllowCredentials"] = true.into();
    }
    if let Some(exposed) = a.list("cors-expose-headers") {
        config["accessControlExposeHeaders"] = json!(exposed);
    }
    Some(Part::new("cors", "headers", config))
}

/// `upstream-vhost`: the host that servers are told.
pub(super) fn virtual_host(a: &Annotations, location: &Location<'_>) -> Option<Part> {
    let host = a.text("upstream-vhost")?;
    let (namespace, ingress) = location.entry.key;
    let variables = json!({
        "$namespace": namespace, "$ingress_name": ingress, "$location_path": location.path,
        "$service_name": location.service, "$service_port": location.port,
    });
    Some(Part::new("vhost", "upstreamVHost", json!({"vHost": host, "vars": variables})))
}
