//! `accessLog`.

use super::{OtlpLogConfig, is_false, is_no_time, is_zero};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use torana_base::GoDuration;

/// `accessLog`: a line for each request.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AccessLogConfig {
    /// Empty for standard output.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file_path: String,
    /// `common`, the default and what unknown ones mean; `genericCLF` or `json`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<AccessLogFiltersConfig>,
    pub fields: AccessLogFieldsConfig,
    /// Lines that may wait to be written; default 0, which is as many as fit into the memory that is there for them.
    #[serde(skip_serializing_if = "is_zero")]
    pub buffering_size: i64,
    /// Write requests to `*@internal` services too.
    #[serde(skip_serializing_if = "is_false")]
    pub add_internals: bool,
    /// Write the file or standard output too, where `otlp` is there; without it they are written anyway.
    #[serde(skip_serializing_if = "is_false")]
    pub dual_output: bool,
    /// Send to an OpenTelemetry collector, and write no file unless `dualOutput`; needs `experimental.otlplogs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpLogConfig>,
    /// Ours: `RetryAttempts` counts the tries after the first, which Traefik 3.7 never does.
    #[serde(skip_serializing_if = "is_false")]
    pub count_retries: bool,
}

impl Default for AccessLogConfig {
    fn default() -> Self {
        AccessLogConfig {
            file_path: String::new(),
            format: "common".into(),
            filters: None,
            fields: AccessLogFieldsConfig::default(),
            buffering_size: 0,
            add_internals: false,
            dual_output: false,
            otlp: None,
            count_retries: false,
        }
    }
}

/// `accessLog.filters`: which requests are written; any of the conditions is enough.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AccessLogFiltersConfig {
    /// Codes and ranges: `404`, `500-599`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status_codes: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub retry_attempts: bool,
    #[serde(skip_serializing_if = "is_no_time")]
    pub min_duration: GoDuration,
}

/// `accessLog.fields`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AccessLogFieldsConfig {
    /// `keep`, the default, or `drop`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub default_mode: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
    pub headers: AccessLogHeadersConfig,
    pub query_parameters: AccessLogQueryConfig,
}

impl Default for AccessLogFieldsConfig {
    fn default() -> Self {
        AccessLogFieldsConfig {
            default_mode: "keep".into(),
            names: BTreeMap::new(),
            headers: AccessLogHeadersConfig::default(),
            query_parameters: AccessLogQueryConfig::default(),
        }
    }
}

/// `accessLog.fields.headers`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AccessLogHeadersConfig {
    /// `drop`, the default, `keep` or `redact`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub default_mode: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
}

impl Default for AccessLogHeadersConfig {
    fn default() -> Self {
        AccessLogHeadersConfig { default_mode: "drop".into(), names: BTreeMap::new() }
    }
}

/// `accessLog.fields.queryParameters`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AccessLogQueryConfig {
    /// `keep`, the default, or `drop`: the path is written without its query.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub default_mode: String,
}

impl Default for AccessLogQueryConfig {
    fn default() -> Self {
        AccessLogQueryConfig { default_mode: "keep".into() }
    }
}
