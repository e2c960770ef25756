//! How a resolver is doing, for API, log and metrics.

use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<OnDemandStatus>,
}

/// `onDemand` of a resolver. All counts are since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OnDemandStatus {
    /// Those that no router names, and that have not expired.
    pub certificates: usize,
    pub max_certificates: usize,
    /// Names that are asked about or ordered now.
    pub pending: Vec<String>,
    /// Handshakes that wait now.
    pub waiting: usize,
    /// Names that were refused and are not asked about again for a while.
    pub remembered: usize,
    /// Questions to `ask`.
    pub asked: u64,
    pub obtained: u64,
    /// Orders that failed.
    pub failures: u64,
    /// Handshakes or names without a certificate, by the option that decided; `busy`: too many at once.
    pub refused: BTreeMap<&'static str, u64>,
    /// The newest first.
    pub recently_refused: Vec<OnDemandRefusal>,
    pub failed: Vec<OnDemandFailure>,
}

/// A name that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OnDemandRefusal {
    pub domain: String,
    pub reason: &'static str,
}

/// A name for which no certificate could be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OnDemandFailure {
    pub domain: String,
    /// The last one, in the CA's own words.
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// In a row.
    pub failures: u32,
    /// Before it, a handshake does not try again.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time")]
    pub next_attempt: Option<SystemTime>,
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
    /// On demand, due, and not renewed before somebody asks for it.
    Unused,
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
            CertificateState::Unused => "unused",
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
    /// No router names it: a handshake asked for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub on_demand: bool,
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
            on_demand: false,
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
