//! `tracing`.

use super::{OtlpConfig, is_false};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `tracing`: spans of requests, sent to an OpenTelemetry collector.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TracingConfig {
    /// Default `traefik`.
    pub service_name: String,
    /// Say who sends; `service.name` goes before `serviceName`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resource_attributes: BTreeMap<String, String>,
    /// Old name of `resourceAttributes`, for where that one says nothing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub global_attributes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub captured_request_headers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub captured_response_headers: Vec<String>,
    /// Query parameters that are told; the values of others are not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub safe_query_params: Vec<String>,
    /// Share of the traces that begin here; default 1.
    pub sample_rate: f64,
    /// Trace what `*@internal` services answer too.
    #[serde(skip_serializing_if = "is_false")]
    pub add_internals: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpConfig>,
}

impl Default for TracingConfig {
    fn default() -> Self {
        TracingConfig {
            service_name: "traefik".into(),
            resource_attributes: BTreeMap::new(),
            global_attributes: BTreeMap::new(),
            captured_request_headers: Vec::new(),
            captured_response_headers: Vec::new(),
            safe_query_params: Vec::new(),
            sample_rate: 1.0,
            add_internals: false,
            otlp: None,
        }
    }
}
