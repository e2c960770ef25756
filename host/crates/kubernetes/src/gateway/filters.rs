//! Filters of a rule or a backend to middlewares.

use super::Options;
use super::model::{Filter, HeaderModifier, PathMatch, PathModifier};
use crate::made::Made;
use serde_json::{Map, Value, json};
use torana_base::Place;

/// Names of the middlewares, in the order of the filters. They are called after `owner`, a router or a service.
pub(super) fn load(
    made: &mut Made,
    options: &Options,
    place: &Place,
    namespace: &str,
    owner: &str,
    filters: &[Filter],
    path: Option<&PathMatch>,
) -> Result<Vec<String>, String> {
    let mut all = Vec::with_capacity(filters.len());
    for (i, filter) in filters.iter().enumerate() {
        let missing = || format!("the filter {} has no options", filter.kind);
        let (kind, config) = match filter.kind.as_str() {
            "RequestHeaderModifier" => ("requestHeaderModifier", headers(filter.request_header_modifier.as_ref().ok_or_else(missing)?)),
            "ResponseHeaderModifier" => ("responseHeaderModifier", headers(filter.response_header_modifier.as_ref().ok_or_else(missing)?)),
            "RequestRedirect" => ("requestRedirect", redirect(filter, path)?),
            "URLRewrite" => ("URLRewrite", rewrite(filter, path)?),
            "ExtensionRef" => {
                all.push(extension(filter, options, namespace)?);
                continue;
            }
            other => return Err(format!("the filter {other} is not supported")),
        };
        let name = format!("{owner}-{}-{i}", kind.to_ascii_lowercase());
        made.middleware(&name, kind, &config, place);
        all.push(format!("{name}@{}", super::NAME));
    }
    Ok(all)
}

fn headers(modifier: &HeaderModifier) -> Value {
    let pairs = |list: &[super::model::Header]| list.iter().map(|h| (h.name.clone(), Value::from(h.value.as_str()))).collect::<Map<_, _>>();
    json!({"set": pairs(&modifier.set), "add": pairs(&modifier.add), "remove": modifier.remove})
}

fn redirect(filter: &Filter, path: Option<&PathMatch>) -> Result<Value, String> {
    let r = filter.request_redirect.as_ref().ok_or("the filter RequestRedirect has no options")?;
    let status = r.status_code.unwrap_or(302);
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Err(format!("a redirect cannot have the status {status}: there are 301, 302, 303, 307 and 308"));
    }
    let mut config = Map::new();
    put(&mut config, "scheme", r.scheme.as_deref());
    put(&mut config, "hostname", r.hostname.as_deref());
    // Of another scheme the port of the request means nothing.
    let port = r.port.map(|p| p.to_string()).or_else(|| r.scheme.as_ref().map(|_| String::new()));
    put(&mut config, "port", port.as_deref());
    modified_path(&mut config, r.path.as_ref(), path)?;
    config.insert("statusCode".into(), status.into());
    Ok(config.into())
}

fn rewrite(filter: &Filter, path: Option<&PathMatch>) -> Result<Value, String> {
    let r = filter.url_rewrite.as_ref().ok_or("the filter URLRewrite has no options")?;
    let mut config = Map::new();
    put(&mut config, "hostname", r.hostname.as_deref());
    modified_path(&mut config, r.path.as_ref(), path)?;
    if config.is_empty() {
        return Err("the filter URLRewrite says neither `hostname` nor `path`".into());
    }
    Ok(config.into())
}

fn modified_path(config: &mut Map<String, Value>, new: Option<&PathModifier>, path: Option<&PathMatch>) -> Result<(), String> {
    let Some(new) = new else { return Ok(()) };
    match (new.kind.as_str(), &new.replace_full_path, &new.replace_prefix_match) {
        ("ReplaceFullPath", full, _) => put(config, "path", Some(full.as_deref().unwrap_or_default())),
        ("ReplacePrefixMatch", _, prefix) => {
            let matched = match path {
                None => "/",
                Some(p) if matches!(p.kind.as_str(), "PathPrefix" | "") => p.value.as_deref().unwrap_or("/"),
                Some(p) => return Err(format!("`replacePrefixMatch` needs a match of the type PathPrefix, not {}", p.kind)),
            };
            put(config, "path", Some(prefix.as_deref().unwrap_or_default()));
            put(config, "pathPrefix", Some(matched));
        }
        (other, ..) => return Err(format!("a path cannot be changed by {other}: there are ReplaceFullPath and ReplacePrefixMatch")),
    }
    Ok(())
}

fn put(config: &mut Map<String, Value>, key: &str, value: Option<&str>) {
    if let Some(v) = value {
        config.insert(key.into(), v.into());
    }
}

/// A middleware of the provider `kubernetescrd`.
fn extension(filter: &Filter, options: &Options, namespace: &str) -> Result<String, String> {
    let e = filter.extension_ref.as_ref().ok_or("the filter ExtensionRef has no reference")?;
    if e.group != "traefik.io" || e.kind != "Middleware" {
        return Err(format!("ExtensionRef to {}/{} is not supported: take a traefik.io/Middleware", e.group, e.kind));
    }
    options.custom(namespace, &e.name)
}
