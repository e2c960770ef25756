//! `otlp` blocks: how something is sent to an OpenTelemetry collector.

use super::{ClientTlsConfig, is_false};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use torana_base::{GoDuration, Secret};

/// Where an `otlp` block sends, and `tracing.otlp`: by gRPC if it is there, else HTTP.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OtlpConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<OtlpHttpConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<OtlpGrpcConfig>,
}

/// `http` of an `otlp` block.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OtlpHttpConfig {
    /// URL of the collector; without a path, OTLP's own path of the signal. Default `https://localhost:4318`.
    pub endpoint: String,
    /// Sent along; never shown.
    #[serde(skip_serializing)]
    pub headers: BTreeMap<String, Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsConfig>,
}

impl Default for OtlpHttpConfig {
    fn default() -> Self {
        OtlpHttpConfig { endpoint: "https://localhost:4318".into(), headers: BTreeMap::new(), tls: None }
    }
}

/// `grpc` of an `otlp` block.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OtlpGrpcConfig {
    /// Host and port of the collector. Default `localhost:4317`.
    pub endpoint: String,
    /// No TLS.
    #[serde(skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Sent along; never shown.
    #[serde(skip_serializing)]
    pub headers: BTreeMap<String, Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsConfig>,
}

impl Default for OtlpGrpcConfig {
    fn default() -> Self {
        OtlpGrpcConfig { endpoint: "localhost:4317".into(), insecure: false, headers: BTreeMap::new(), tls: None }
    }
}

/// `log.otlp` and `accessLog.otlp`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OtlpLogConfig {
    /// Default `traefik`.
    pub service_name: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resource_attributes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<OtlpHttpConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<OtlpGrpcConfig>,
}

impl Default for OtlpLogConfig {
    fn default() -> Self {
        OtlpLogConfig { service_name: "traefik".into(), resource_attributes: BTreeMap::new(), http: None, grpc: None }
    }
}

impl OtlpLogConfig {
    /// Where records go.
    pub fn to(&self) -> OtlpConfig {
        OtlpConfig { http: self.http.clone(), grpc: self.grpc.clone() }
    }
}

/// `metrics.otlp`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OtlpMetricsConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<OtlpHttpConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<OtlpGrpcConfig>,
    /// Default true.
    #[serde(skip_serializing_if = "is_false")]
    pub add_entry_points_labels: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub add_routers_labels: bool,
    /// Default true.
    #[serde(skip_serializing_if = "is_false")]
    pub add_services_labels: bool,
    /// Upper bounds of durations in seconds, rising.
    pub explicit_boundaries: Vec<f64>,
    /// Between two reports; default 10s.
    pub push_interval: GoDuration,
    /// Default `traefik`.
    pub service_name: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resource_attributes: BTreeMap<String, String>,
}

impl Default for OtlpMetricsConfig {
    fn default() -> Self {
        OtlpMetricsConfig {
            http: None,
            grpc: None,
            add_entry_points_labels: true,
            add_routers_labels: false,
            add_services_labels: true,
            explicit_boundaries: vec![0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0],
            push_interval: GoDuration::from_secs(10),
            service_name: "traefik".into(),
            resource_attributes: BTreeMap::new(),
        }
    }
}

impl OtlpMetricsConfig {
    /// Where metrics go.
    pub fn to(&self) -> OtlpConfig {
        OtlpConfig { http: self.http.clone(), grpc: self.grpc.clone() }
    }
}
