//! `Middleware` and `MiddlewareTCP`. Their options are those of files, but for what stands in other objects: secrets,
//! services, other middlewares.

use super::Context;
use super::service::At;
use crate::cluster::secret_text;
use crate::secrets;
use serde_json::{Map, Value as Json, json};

/// Begins a value of a plugin's configuration that stands in a secret: `urn:k8s:secret:<name>:<key>`.
const SECRET_URN: &str = "urn:k8s:secret:";

impl Context<'_> {
    pub(super) fn middleware(&mut self, name: &str, written: &Json, at: At<'_>) -> Result<(), String> {
        let id = self.names.id(at.namespace, name);
        let mut made = Map::new();
        for (kind, options) in written.as_object().into_iter().flatten() {
            let path = format!("spec.{kind}");
            let resolved = self.options(&id, kind, options.clone(), at.below(&path))?;
            made.insert(kind.clone(), resolved);
        }
        self.tree.replace("http.middlewares", &id, &Json::Object(made.clone()), at.place);
        if let Some(plugin) = written.get("plugin").filter(|p| made.get("plugin") != Some(p)) {
            made.insert("plugin".into(), plugin.clone());
            self.tree.conceal(&id, &Json::Object(made), at.place);
        }
        Ok(())
    }

    pub(super) fn tcp_middleware(&mut self, name: &str, written: &Json, at: At<'_>) {
        let id = self.names.id(at.namespace, name);
        self.tree.replace("tcp.middlewares", &id, written, at.place);
    }

    fn options(&mut self, id: &str, kind: &str, mut options: Json, at: At<'_>) -> Result<Json, String> {
        match (kind, &mut options) {
            ("basicAuth" | "digestAuth", Json::Object(o)) => self.users(o, kind == "basicAuth", at)?,
            ("chain", Json::Object(o)) => {
                let written = list(o.remove("middlewares"));
                let path = format!("{}.middlewares", at.path);
                o.insert("middlewares".into(), self.middlewares(&written, at.below(&path), false)?);
            }
            ("errors", Json::Object(o)) => {
                let path = format!("{}.service", at.path);
                let service = o.remove("service").unwrap_or(Json::Null);
                o.insert("service".into(), self.error_page(id, &service, at.below(&path))?.into());
            }
            ("forwardAuth", Json::Object(o)) => self.client_tls(o, at)?,
            ("rateLimit", Json::Object(o)) => {
                if let Some(Json::Object(redis)) = o.get_mut("redis") {
                    let path = format!("{}.redis", at.path);
                    self.redis(redis, at.below(&path))?;
                }
            }
            ("plugin", options) => self.plugin_secrets(options, at)?,
            _ => {}
        }
        Ok(options)
    }

    /// `secret` becomes `users`.
    fn users(&self, options: &mut Map<String, Json>, basic: bool, at: At<'_>) -> Result<(), String> {
        let secret = text(options.remove("secret")).ok_or_else(|| format!("{}.secret: the name of a secret belongs here", at.path))?;
        let users = secrets::users(self.cluster, at.namespace, &secret, basic).map_err(|e| format!("{}.secret: {e}", at.path))?;
        options.insert("users".into(), json!(users));
        Ok(())
    }

    /// `tls.caSecret` and `tls.certSecret` become `ca`, `cert` and `key`.
    fn client_tls(&self, options: &mut Map<String, Json>, at: At<'_>) -> Result<(), String> {
        let Some(Json::Object(tls)) = options.get_mut("tls") else { return Ok(()) };
        if let Some(secret) = text(tls.remove("caSecret")) {
            let ca = secrets::authorities(self.cluster, at.namespace, &secret).map_err(|e| format!("{}.tls.caSecret: {e}", at.path))?;
            tls.insert("ca".into(), ca.into());
        }
        if let Some(secret) = text(tls.remove("certSecret")) {
            let pair = secrets::certificate(self.cluster, at.namespace, &secret).map_err(|e| format!("{}.tls.certSecret: {e}", at.path))?;
            tls.insert("cert".into(), pair["certFile"].clone());
            tls.insert("key".into(), pair["keyFile"].clone());
        }
        Ok(())
    }

    fn redis(&self, redis: &mut Map<String, Json>, at: At<'_>) -> Result<(), String> {
        if let Some(name) = text(redis.remove("secret")) {
            let wrong = |e: String| format!("{}.secret: {e}", at.path);
            let secret = self.cluster.secret(at.namespace, &name).map_err(wrong)?;
            for key in ["username", "password"] {
                if let Some(value) = secret_text(secret, key) {
                    redis.insert(key.into(), value.into());
                }
            }
        }
        self.client_tls(redis, at)
    }

    /// Replaces values that name a key of a secret, wherever they stand.
    fn plugin_secrets(&self, value: &mut Json, at: At<'_>) -> Result<(), String> {
        match value {
            Json::String(s) => {
                if let Some(urn) = s.strip_prefix(SECRET_URN) {
                    let (name, key) = urn.split_once(':').ok_or_else(|| format!("{}: write {SECRET_URN}<name>:<key>", at.path))?;
                    let secret = self.cluster.secret(at.namespace, name).map_err(|e| format!("{}: {e}", at.path))?;
                    *s = secret_text(secret, key)
                        .ok_or_else(|| format!("{}: secret {}/{name} has no text under `{key}`", at.path, at.namespace))?;
                }
                Ok(())
            }
            Json::Array(items) => items.iter_mut().try_for_each(|i| self.plugin_secrets(i, at)),
            Json::Object(map) => map.values_mut().try_for_each(|v| self.plugin_secrets(v, at)),
            _ => Ok(()),
        }
    }
}

fn text(value: Option<Json>) -> Option<String> {
    value.and_then(|v| v.as_str().filter(|s| !s.is_empty()).map(str::to_owned))
}

fn list(value: Option<Json>) -> Vec<Json> {
    match value {
        Some(Json::Array(items)) => items,
        _ => Vec::new(),
    }
}
