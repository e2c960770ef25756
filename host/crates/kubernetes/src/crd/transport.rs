//! `ServersTransport` and `ServersTransportTCP`, `TLSOption` and `TLSStore`.

use super::Context;
use super::service::At;
use super::spec::{self, RootCa, StoreSpec};
use crate::secrets;
use serde_json::{Map, Value as Json, json};

impl Context<'_> {
    pub(super) fn servers_transport(&mut self, name: &str, written: &Json, at: At<'_>) {
        let mut options = written.as_object().cloned().unwrap_or_default();
        self.trust(&mut options, at);
        let id = self.names.id(at.namespace, name);
        self.tree.replace("http.serversTransports", &id, &Json::Object(options), at.place);
    }

    pub(super) fn tcp_servers_transport(&mut self, name: &str, written: &Json, at: At<'_>) {
        let mut options = written.as_object().cloned().unwrap_or_default();
        if let Some(Json::Object(tls)) = options.get_mut("tls") {
            self.trust(tls, at.below("spec.tls"));
        }
        let id = self.names.id(at.namespace, name);
        self.tree.replace("tcp.serversTransports", &id, &Json::Object(options), at.place);
    }

    /// `rootCAs`, `rootCAsSecrets` and `certificatesSecrets` become texts. One that is missing is left out, and said:
    /// servers that need it are then not trusted, or do not trust us.
    fn trust(&mut self, options: &mut Map<String, Json>, at: At<'_>) {
        let mut authorities = Vec::new();
        for (i, ca) in list(options.remove("rootCAs")).iter().enumerate() {
            let path = format!("{}.rootCAs[{i}]", at.path);
            match self.root_ca(ca, at.below(&path)) {
                Ok(pem) => authorities.push(pem),
                Err(e) => self.tree.reject(at.place, e),
            }
        }
        for name in list(options.remove("rootCAsSecrets")).iter().filter_map(Json::as_str) {
            match secrets::authorities(self.cluster, at.namespace, name) {
                Ok(pem) => authorities.push(pem),
                Err(e) => self.tree.reject(at.place, format!("{}.rootCAsSecrets: {e}", at.path)),
            }
        }
        let mut certificates = Vec::new();
        for name in list(options.remove("certificatesSecrets")).iter().filter_map(Json::as_str) {
            match secrets::certificate(self.cluster, at.namespace, name) {
                Ok(pair) => certificates.push(pair),
                Err(e) => self.tree.reject(at.place, format!("{}.certificatesSecrets: {e}", at.path)),
            }
        }
        for (key, value) in [("rootCAs", json!(authorities)), ("certificates", json!(certificates))] {
            if value.as_array().is_some_and(|v| !v.is_empty()) {
                options.insert(key.into(), value);
            }
        }
    }

    fn root_ca(&mut self, written: &Json, at: At<'_>) -> Result<String, String> {
        let ca: RootCa = spec::read(written, at.path, self.tree, at.place)?;
        let found = match (&ca.secret, &ca.config_map) {
            (Some(secret), None) => secrets::authorities(self.cluster, at.namespace, secret),
            (None, Some(map)) => secrets::authorities_of_map(self.cluster, at.namespace, map),
            _ => Err("one of `secret` and `configMap` belongs here".into()),
        };
        found.map_err(|e| format!("{}: {e}", at.path))
    }

    /// Options without an authority that they name would let in whom they should not: they are left out, and so is
    /// what uses them.
    pub(super) fn tls_option(&mut self, name: &str, written: &Json, at: At<'_>) -> Result<(), String> {
        let mut options = written.as_object().cloned().unwrap_or_default();
        if let Some(Json::Object(auth)) = options.get_mut("clientAuth") {
            let mut files = Vec::new();
            for name in list(auth.remove("secretNames")).iter().filter_map(Json::as_str) {
                let found = secrets::authorities(self.cluster, at.namespace, name);
                files.push(found.map_err(|e| format!("spec.clientAuth.secretNames: {e}"))?);
            }
            if !files.is_empty() {
                auth.insert("caFiles".into(), json!(files));
            }
        }
        let id = if name == "default" { name.to_owned() } else { self.names.id(at.namespace, name) };
        self.tree.replace("tls.options", &id, &Json::Object(options), at.place);
        Ok(())
    }

    pub(super) fn tls_store(&mut self, name: &str, written: &Json, at: At<'_>) -> Result<(), String> {
        let spec: StoreSpec = spec::read(written, "spec", self.tree, at.place)?;
        for (i, certificate) in spec.certificates.iter().enumerate() {
            self.certificate(at.namespace, &certificate.secret, at.place, &format!("spec.certificates[{i}]"));
        }
        let mut store = Map::new();
        if let Some(certificate) = &spec.default_certificate {
            let pair = secrets::certificate(self.cluster, at.namespace, &certificate.secret);
            match pair {
                Ok(pair) => _ = store.insert("defaultCertificate".into(), pair),
                Err(e) => self.tree.reject(at.place, format!("spec.defaultCertificate: {e}")),
            }
        }
        if !spec.default_generated.is_null() {
            store.insert("defaultGeneratedCert".into(), spec.default_generated);
        }
        let id = if name == "default" { name.to_owned() } else { self.names.id(at.namespace, name) };
        if !store.is_empty() {
            self.tree.replace("tls.stores", &id, &Json::Object(store), at.place);
        }
        Ok(())
    }
}

fn list(value: Option<Json>) -> Vec<Json> {
    match value {
        Some(Json::Array(items)) => items,
        _ => Vec::new(),
    }
}
