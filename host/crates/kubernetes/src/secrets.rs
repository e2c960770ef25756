//! What secrets and config maps hold for us: certificates, authorities, users.

use crate::cluster::{Cluster, secret_text};
use base64::Engine;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value as Json, json};
use sha1::{Digest, Sha1};

/// Keys under which secrets keep authorities, the first wins.
const AUTHORITIES: [&str; 2] = ["tls.ca", "ca.crt"];

/// Certificate and key of a secret as `certFile` and `keyFile`.
pub(crate) fn certificate(cluster: &Cluster, namespace: &str, name: &str) -> Result<Json, String> {
    let secret = cluster.secret(namespace, name)?;
    let text = |key| secret_text(secret, key).filter(|t| !t.trim().is_empty());
    match (text("tls.crt"), text("tls.key")) {
        (Some(cert), Some(key)) => Ok(json!({ "certFile": cert, "keyFile": key })),
        (None, Some(_)) => Err(format!("secret {namespace}/{name} has no certificate under `tls.crt`")),
        (Some(_), None) => Err(format!("secret {namespace}/{name} has no key under `tls.key`")),
        (None, None) => Err(format!("secret {namespace}/{name} has neither `tls.crt` nor `tls.key`")),
    }
}

/// Authorities of a secret, as PEM text.
pub(crate) fn authorities(cluster: &Cluster, namespace: &str, name: &str) -> Result<String, String> {
    let secret = cluster.secret(namespace, name)?;
    let found = AUTHORITIES.iter().find_map(|k| secret_text(secret, k)).filter(|t| !t.trim().is_empty());
    found.ok_or_else(|| format!("secret {namespace}/{name} has no authorities under `tls.ca` or `ca.crt`"))
}

/// Authorities of a config map, as PEM text.
pub(crate) fn authorities_of_map(cluster: &Cluster, namespace: &str, name: &str) -> Result<String, String> {
    let map = cluster.config_map(namespace, name)?;
    let found = AUTHORITIES.iter().find_map(|k| map.data.as_ref()?.get(*k)).filter(|t| !t.trim().is_empty());
    found.cloned().ok_or_else(|| format!("config map {namespace}/{name} has no authorities under `tls.ca` or `ca.crt`"))
}

/// Lines of `user:hash` of a secret: its one key, or user name and password of the type `kubernetes.io/basic-auth`.
pub(crate) fn users(cluster: &Cluster, namespace: &str, name: &str, basic: bool) -> Result<Vec<String>, String> {
    let secret = cluster.secret(namespace, name)?;
    if basic && secret.type_.as_deref() == Some("kubernetes.io/basic-auth") {
        let (user, password) = login(secret).ok_or_else(|| format!("secret {namespace}/{name} needs `username` and `password`"))?;
        let digest = base64::engine::general_purpose::STANDARD.encode(Sha1::digest(password));
        return Ok(vec![format!("{user}:{{SHA}}{digest}")]);
    }
    let keys: Vec<&String> = secret.data.iter().flatten().map(|(k, _)| k).collect();
    let [key] = keys.as_slice() else {
        return Err(format!(
            "secret {namespace}/{name} must have exactly one key, whose value is lines of `user:hash`; it has {}",
            keys.len()
        ));
    };
    let text = secret_text(secret, key).ok_or_else(|| format!("secret {namespace}/{name} is no text"))?;
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let users: Vec<String> = lines.map(str::to_owned).collect();
    if users.is_empty() { Err(format!("secret {namespace}/{name} has no users")) } else { Ok(users) }
}

/// `username` and `password` of a secret.
pub(crate) fn login(secret: &Secret) -> Option<(String, String)> {
    Some((secret_text(secret, "username")?, secret_text(secret, "password")?))
}
