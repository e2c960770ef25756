//! Certificates as rows and as JSON. Fields stand in Traefik's order; empty ones are left out.

use crate::query::{Key, Row};
use crate::time::rfc3339;
use serde::Serialize;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use torana_tls::{Certificate, Details, Validity};

/// What is said of a certificate, found out once per generation. Holds no key: an index may outlive what it is of.
pub(crate) struct Known {
    common_name: String,
    /// Sorted.
    sans: Vec<String>,
    serial: String,
    not_before: SystemTime,
    not_after: SystemTime,
    details: Details,
}

/// All, by common name. Traefik has those of one name in any order, new with each request; here the fingerprint decides.
pub(crate) fn known(all: &[Arc<Certificate>]) -> Vec<Known> {
    let mut all: Vec<Known> = all.iter().map(|c| Known::new(c)).collect();
    all.sort_by(|a, b| (&a.common_name, a.fingerprint()).cmp(&(&b.common_name, b.fingerprint())));
    all
}

impl Known {
    fn new(c: &Certificate) -> Self {
        let mut sans = c.sans().to_vec();
        sans.sort_unstable();
        Known {
            common_name: c.common_name().to_owned(),
            sans,
            serial: c.serial().to_owned(),
            not_before: c.not_before(),
            not_after: c.not_after(),
            details: c.details(),
        }
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.details.fingerprint
    }

    /// Who signed it: the organization, or else the name.
    fn issuer(&self) -> &str {
        let Details { issuer_organization: organization, issuer_common_name: name, .. } = &self.details;
        if organization.is_empty() { name } else { organization }
    }

    pub(crate) fn view(&self) -> View<'_> {
        let d = &self.details;
        View {
            name: &d.fingerprint,
            sans: &self.sans,
            not_after: rfc3339(self.not_after),
            not_before: rfc3339(self.not_before),
            serial_number: &self.serial,
            common_name: &self.common_name,
            issuer_org: &d.issuer_organization,
            issuer_cn: &d.issuer_common_name,
            issuer_country: &d.issuer_country,
            organization: &d.organization,
            country: &d.country,
            version: &d.version,
            key_type: d.key_type,
            key_size: d.key_size,
            signature_algorithm: d.signature_algorithm,
            cert_fingerprint: &d.fingerprint,
            public_key_fingerprint: &d.public_key_fingerprint,
            status: self.status(),
        }
    }

    fn status(&self) -> &'static str {
        Validity::of(self.not_after, SystemTime::now()).name()
    }
}

/// An element of `/api/certificates`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View<'a> {
    name: &'a str,
    sans: &'a [String],
    not_after: String,
    not_before: String,
    serial_number: &'a str,
    common_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    issuer_org: &'a str,
    #[serde(rename = "issuerCN", skip_serializing_if = "str::is_empty")]
    issuer_cn: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    issuer_country: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    organization: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    country: &'a str,
    version: &'a str,
    key_type: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    key_size: usize,
    signature_algorithm: &'static str,
    cert_fingerprint: &'a str,
    public_key_fingerprint: &'a str,
    status: &'static str,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Row for &Known {
    fn name(&self) -> &str {
        &self.common_name
    }

    fn provider(&self) -> &str {
        ""
    }

    fn status(&self) -> &'static str {
        Known::status(self)
    }

    fn is_found(&self, found: &dyn Fn(&str) -> bool) -> bool {
        let Details { issuer_organization: organization, issuer_common_name: issuer, .. } = &self.details;
        found(&self.common_name) || found(organization) || found(issuer) || self.sans.iter().any(|n| found(n))
    }

    fn key(&self, by: &str) -> Option<Key<'_>> {
        match by {
            "issuer" => Some(Key::Text(self.issuer())),
            "validUntil" => {
                // Seconds before 1970 are negative.
                let seconds = |d: std::time::Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
                Some(Key::Number(match self.not_after.duration_since(UNIX_EPOCH) {
                    Ok(after) => seconds(after),
                    Err(before) => -seconds(before.duration()),
                }))
            }
            _ => None,
        }
    }
}
