//! Annotations about who may pass.

use super::Location;
use super::annotations::Annotations;
use super::chain::Part;
use super::options::Options;
use crate::cluster::{Cluster, secret_text};
use serde_json::{Map, Value as Json, json};

/// `auth-type`: users of a secret. An error takes the location out: it must not be open.
pub(super) fn users(cluster: &Cluster, options: &Options, namespace: &str, a: &Annotations) -> Result<Option<Part>, String> {
    let Some(kind) = a.text("auth-type") else { return Ok(None) };
    let (suffix, middleware) = match kind {
        "basic" => ("basic-auth", "basicAuth"),
        "digest" => ("digest-auth", "digestAuth"),
        other => return Err(format!("auth-type: `{other}` is neither `basic` nor `digest`")),
    };
    let reference = a.filled("auth-secret").ok_or("auth-secret: the name of a secret belongs here")?;
    let (secret_namespace, name) = match reference.split('/').collect::<Vec<_>>()[..] {
        [name] => (namespace, name),
        [namespace, name] => (namespace, name),
        _ => return Err(format!("auth-secret: `{reference}`: write it as name or namespace/name")),
    };
    options.may_refer(namespace, secret_namespace).map_err(|e| format!("auth-secret: {e}"))?;
    let secret = cluster.secret(secret_namespace, name).map_err(|e| format!("auth-secret: {e}"))?;
    let users: Vec<String> = match a.text("auth-secret-type").unwrap_or("auth-file") {
        "auth-file" => {
            let text = secret_text(secret, "auth");
            let text = text.ok_or_else(|| format!("auth-secret: secret {secret_namespace}/{name} has no text under `auth`"))?;
            text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned).collect()
        }
        "auth-map" => {
            let names = secret.data.as_ref().filter(|d| !d.is_empty());
            let names = names.ok_or_else(|| format!("auth-secret: secret {secret_namespace}/{name} has no users"))?.keys();
            names.filter_map(|user| Some(format!("{user}:{}", secret_text(secret, user)?))).collect()
        }
        other => return Err(format!("auth-secret-type: `{other}` is neither `auth-file` nor `auth-map`")),
    };
    let mut config = json!({ "users": users });
    if let Some(realm) = a.filled("auth-realm") {
        config["realm"] = realm.into();
    }
    Ok(Some(Part::new(suffix, middleware, config)))
}

/// `auth-tls-pass-certificate-to-upstream`: headers that tell the server who the client is.
pub(super) fn certificate_headers(location: &Location<'_>) -> Option<Part> {
    let auth = location.client_auth.filter(|_| location.entry.annotations.is("auth-tls-pass-certificate-to-upstream"))?;
    let mut config = json!({ "clientAuthType": auth.kind });
    if let Some(authorities) = auth.authorities() {
        config["caFiles"] = json!([authorities]);
    }
    Some(Part::new("pass-certificate-to-upstream", "authTLSPassCertificateToUpstream", config))
}

/// Snippets of nginx, and the server that is asked between their phases.
pub(super) fn snippet(options: &Options, location: &Location<'_>) -> Option<Part> {
    let a = &location.entry.annotations;
    let mut config = Map::new();
    let mut put = |key: &str, text: Option<&str>| {
        if let Some(t) = text {
            config.insert(key.to_owned(), t.into());
        }
    };
    put("serverSnippet", location.server_snippet);
    put("configurationSnippet", a.filled("configuration-snippet"));
    let global = Some(options.config.global_auth_url.as_str()).filter(|u| !u.is_empty() && a.flag("enable-global-auth").unwrap_or(true));
    if let Some(address) = a.filled("auth-url").or(global) {
        config.insert("auth".into(), question(address, a));
    }
    (!config.is_empty()).then(|| Part::new("snippet", "snippet", Json::Object(config)))
}

/// Options of a snippet as they may be seen, where its addresses have users and passwords in them.
pub(super) fn shown(config: &Json) -> Option<Json> {
    let mut shown = None;
    for key in ["address", "authSigninURL"] {
        let text = config["auth"][key].as_str().filter(|t| t.contains('@'));
        if let Some(text) = text {
            shown.get_or_insert_with(|| config.clone())["auth"][key] = torana_base::shown(text).into();
        }
    }
    shown
}

fn question(address: &str, a: &Annotations) -> Json {
    let mut auth = json!({ "address": address });
    for (key, name) in [("authSigninURL", "auth-signin"), ("method", "auth-method"), ("snippet", "auth-snippet")] {
        if let Some(text) = a.filled(name) {
            auth[key] = text.into();
        }
    }
    let headers: Vec<&str> = a.list("auth-response-headers").into_iter().flatten().filter(|h| !h.is_empty()).collect();
    if !headers.is_empty() {
        auth["authResponseHeaders"] = json!(headers);
    }
    auth
}
