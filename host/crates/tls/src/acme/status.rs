//! How a resolver is doing, for API, log and metrics.

use serde::{Serialize, Serializer};
use std::time::SystemTime;

/// One resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AcmeStatus {
    pub resolver: String,
    /// Certificates since the start, renewals too.
    pub obtained: u64,
    /// Tries that failed since the start.
    pub failed: u64,
    /// By domains.
    pub certificates: Vec<CertificateStatus>,
}

/// What a set of domains is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateState {
    /// For its turn.
    Waiting,
    Ordering,
    Valid,
    /// An older certificate serves meanwhile.
    Renewing,
    /// There is none, or the older one serves on; see `error`.
    Failed,
    Expired,
    /// Another certificate, or one that is being ordered, has all the names.
    Covered,
}

impl CertificateState {
    /// As the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            CertificateState::Waiting => "waiting",
            CertificateState::Ordering => "ordering",
            CertificateState::Valid => "valid",
            CertificateState::Renewing => "renewing",
            CertificateState::Failed => "failed",
            CertificateState::Expired => "expired",
            CertificateState::Covered => "covered",
        }
    }
}

/// One certificate, or one that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// The main one first.
    pub domains: Vec<String>,
    pub store: String,
    pub state: CertificateState,
    /// The last one, in the CA's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// `urn:ietf:params:acme:error:...`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// In a row.
    pub failures: u32,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time")]
    pub next_attempt: Option<SystemTime>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time")]
    pub not_after: Option<SystemTime>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time")]
    pub renew_at: Option<SystemTime>,
    /// Page on which the CA says why it should be renewed so early (RFC 9773).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

impl CertificateStatus {
    pub(crate) fn new(domains: Vec<String>, store: &str, state: CertificateState) -> Self {
        CertificateStatus {
            domains,
            store: store.to_owned(),
            state,
            error: None,
            error_type: None,
            failures: 0,
            next_attempt: None,
            not_after: None,
            renew_at: None,
            explanation: None,
        }
    }
}

fn time<S: Serializer>(time: &Option<SystemTime>, s: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(t) => s.collect_str(&humantime::format_rfc3339_seconds(*t)),
        None => s.serialize_none(),
    }
}
