//! `providers.*.tls`: how a source is trusted, and who Torana is to it.

use super::super::is_false;
use serde::{Deserialize, Serialize};
use torana_base::Secret;

/// `tls` of a provider. Texts are the path of a file, or PEM.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientTlsConfig {
    /// Authorities that the source's certificate is verified by; empty for the system's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca: String,
    /// Comes together with `key`, or both are empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert: String,
    /// Never shown.
    #[serde(skip_serializing)]
    pub key: Secret,
    #[serde(skip_serializing_if = "is_false")]
    pub insecure_skip_verify: bool,
}
