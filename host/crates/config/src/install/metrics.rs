//! `metrics`.

use super::{OtlpMetricsConfig, is_false};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use torana_base::{GoDuration, Secret};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datadog: Option<StatsdConfig>,
    #[serde(rename = "statsD", skip_serializing_if = "Option::is_none")]
    pub statsd: Option<StatsdConfig>,
    #[serde(rename = "influxDB2", skip_serializing_if = "Option::is_none")]
    pub influxdb2: Option<InfluxDb2Config>,
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

/// `metrics.datadog` and `metrics.statsD`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatsdConfig {
    /// Host and port, by default `localhost:8125`; of Datadog also `unix://`, `unixgram://` or `unixstream://` and a path,
    /// and by default what `DD_AGENT_HOST` and `DD_DOGSTATSD_PORT` say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Between two reports; default 10s.
    pub push_interval: GoDuration,
    /// Stands before all names, with a dot; default `traefik`.
    pub prefix: String,
    /// Default true.
    #[serde(skip_serializing_if = "is_false")]
    pub add_entry_points_labels: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub add_routers_labels: bool,
    /// Default true.
    #[serde(skip_serializing_if = "is_false")]
    pub add_services_labels: bool,
}

impl Default for StatsdConfig {
    fn default() -> Self {
        StatsdConfig {
            address: String::new(),
            push_interval: GoDuration::from_secs(10),
            prefix: "traefik".into(),
            add_entry_points_labels: true,
            add_routers_labels: false,
            add_services_labels: true,
        }
    }
}

/// `metrics.influxDB2`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InfluxDb2Config {
    /// URL of the server; default `http://localhost:8086`.
    pub address: String,
    /// A token, or the file with it; never shown. Needed, as are `org` and `bucket`.
    #[serde(skip_serializing)]
    pub token: Secret,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub org: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bucket: String,
    /// Between two reports; default 10s.
    pub push_interval: GoDuration,
    /// Tags of every point.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub additional_labels: BTreeMap<String, String>,
    /// Default true.
    #[serde(skip_serializing_if = "is_false")]
    pub add_entry_points_labels: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub add_routers_labels: bool,
    /// Default true.
    #[serde(skip_serializing_if = "is_false")]
    pub add_services_labels: bool,
}

impl Default for InfluxDb2Config {
    fn default() -> Self {
        InfluxDb2Config {
            address: "http://localhost:8086".into(),
            token: Secret::default(),
            org: String::new(),
            bucket: String::new(),
            push_interval: GoDuration::from_secs(10),
            additional_labels: BTreeMap::new(),
            add_entry_points_labels: true,
            add_routers_labels: false,
            add_services_labels: true,
        }
    }
}
