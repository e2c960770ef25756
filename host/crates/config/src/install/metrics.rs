//! `metrics`.

use super::{OtlpMetricsConfig, is_false};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `metrics`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MetricsConfig {
    /// Count what `*@internal` services answer too.
    #[serde(skip_serializing_if = "is_false")]
    pub add_internals: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpMetricsConfig>,
}

/// `metrics.prometheus`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PrometheusConfig {
    /// Upper bounds of durations in seconds, rising; default 0.1, 0.3, 1.2, 5.
    pub buckets: Vec<f64>,
    /// Default true.
    #[serde(skip_serializing_if = "is_false")]
    pub add_entry_points_labels: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub add_routers_labels: bool,
    /// Default true.
    #[serde(skip_serializing_if = "is_false")]
    pub add_services_labels: bool,
    /// Default `traefik`.
    pub entry_point: String,
    /// Make no router: `prometheus@internal` is then used by routers of the user.
    #[serde(skip_serializing_if = "is_false")]
    pub manual_routing: bool,
    /// Header by label: labels of the three metrics that count requests.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header_labels: BTreeMap<String, String>,
}

impl Default for PrometheusConfig {
    fn default() -> Self {
        PrometheusConfig {
            buckets: vec![0.1, 0.3, 1.2, 5.0],
            add_entry_points_labels: true,
            add_routers_labels: false,
            add_services_labels: true,
            entry_point: "traefik".into(),
            manual_routing: false,
            header_labels: BTreeMap::new(),
        }
    }
}
