//! `providers.http` and `providers.rest`: routing configuration that is fetched from a URL, or put to the API.

use super::super::effective::Validate;
use super::super::is_false;
use super::ClientTlsConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use torana_base::{Diagnostic, GoDuration, Secret};

/// `providers.http`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpProviderConfig {
    /// URL that answers with YAML or JSON.
    pub endpoint: String,
    /// From the end of one poll to the next; default 5s.
    pub poll_interval: GoDuration,
    /// Of one poll, its body included; default 5s, 0 for no limit.
    pub poll_timeout: GoDuration,
    /// Sent along; `Host` goes in place of the URL's. Values may be secrets and are never shown.
    #[serde(skip_serializing)]
    pub headers: BTreeMap<String, Secret>,
    /// Bytes of an answer, at most; default -1 for no limit.
    pub max_response_body_size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsConfig>,
}

impl Default for HttpProviderConfig {
    fn default() -> Self {
        HttpProviderConfig {
            endpoint: String::new(),
            poll_interval: GoDuration::from_secs(5),
            poll_timeout: GoDuration::from_secs(5),
            headers: BTreeMap::new(),
            max_response_body_size: -1,
            tls: None,
        }
    }
}

/// `providers.rest`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RestProviderConfig {
    /// Serve it without authentication on the entry point `traefik`.
    #[serde(skip_serializing_if = "is_false")]
    pub insecure: bool,
}

impl Validate<'_> {
    pub(in crate::install) fn http_provider(&mut self) {
        let Some(http) = &self.config.providers.http else { return };
        if !["http://", "https://"].iter().any(|s| http.endpoint.to_ascii_lowercase().starts_with(s)) {
            let d = Diagnostic::error("providers.http.endpoint", "this is no URL");
            self.push(d, "write the URL that answers with the configuration, such as `http://127.0.0.1:9000/routing`");
        }
        if http.poll_interval.positive().is_none() {
            self.push(Diagnostic::error("providers.http.pollInterval", "the time is not above 0"), "leave it out for 5s");
        }
        if http.poll_timeout < GoDuration(0) {
            self.push(Diagnostic::error("providers.http.pollTimeout", "the time is below 0"), "leave it out for 5s");
        }
    }
}
