//! Services made of other services.

use super::{PropagationConfig, StickyConfig};
use crate::install::is_zero;
use serde::{Deserialize, Serialize};

/// `http.services.<name>.weighted`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WeightedConfig {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<WeightedServiceConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<StickyConfig>,
    /// Leave services out that are down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<PropagationConfig>,
}

/// `http.services.<name>.weighted.services[n]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WeightedServiceConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Default 1; 0 and below take the service out.
    pub weight: i64,
    /// In place of a service: its share of requests is answered at once. Only providers say so.
    #[serde(skip)]
    pub answer: Option<ShareAnswer>,
}

/// What a share of requests gets that leads to no service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareAnswer {
    /// An HTTP status, with its name as the body.
    Status(u16),
    /// gRPC's `Unavailable`.
    GrpcUnavailable,
}

impl Default for WeightedServiceConfig {
    fn default() -> Self {
        WeightedServiceConfig { name: String::new(), weight: 1, answer: None }
    }
}

/// `http.services.<name>.highestRandomWeight`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HighestRandomWeightConfig {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<WeightedServiceConfig>,
    /// Leave services out that are down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<PropagationConfig>,
}

/// `http.services.<name>.mirroring`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MirroringConfig {
    /// It answers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Whether mirrors get the body too. Default true.
    pub mirror_body: bool,
    /// Bytes; a request with more is not mirrored. Default -1: no limit.
    pub max_body_size: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<MirrorConfig>,
    /// Pass on whether `service` is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<PropagationConfig>,
}

impl Default for MirroringConfig {
    fn default() -> Self {
        MirroringConfig { service: String::new(), mirror_body: true, max_body_size: -1, mirrors: Vec::new(), health_check: None }
    }
}

/// `http.services.<name>.mirroring.mirrors[n]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MirrorConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Of all requests, 0 to 100. Default 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub percent: i64,
}

/// `http.services.<name>.failover`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FailoverConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Answers in its place.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fallback: String,
    /// Pass on whether one of both is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<PropagationConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<FailoverErrorsConfig>,
}

/// `http.services.<name>.failover.errors`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FailoverErrorsConfig {
    /// Requests with more are answered with 413. Default -1: no limit.
    pub max_request_body_bytes: i64,
    /// Codes and ranges (`500-599`) of `service` that lead to `fallback`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<String>,
}

impl Default for FailoverErrorsConfig {
    fn default() -> Self {
        FailoverErrorsConfig { max_request_body_bytes: -1, status: Vec::new() }
    }
}
