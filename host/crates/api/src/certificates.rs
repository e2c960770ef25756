//! Certificates as rows and as JSON. Fields stand in Traefik's order; empty ones are left out.

use crate::query::{Key, Row};
use crate::time::rfc3339;
use serde::Serialize;
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use torana_tls::{Certificate, Details, Validity};

/// A certificate with what is costly to find out; found out once per generation.
pub(crate) struct Known {
    certificate: Arc<Certificate>,
    details: Details,
    /// Sorted.
    sans: Vec<String>,
}

/// All, by common name.
pub(crate) fn known(all: &[Arc<Certificate>]) -> Vec<Known> {
    let known = |c: &Arc<Certificate>| {
        let mut sans = c.sans().to_vec();
        sans.sort_unstable();
        Known { certificate: c.clone(), details: c.details(), sans }
    };
    let mut all: Vec<Known> = all.iter().map(known).collect();
    all.sort_by(Known::order);
    all
}

pub(crate) fn status(validity: Validity) -> &'static str {
    match validity {
        Validity::Enabled => "enabled",
        Validity::Expired => "expired",
        Validity::Warning => "warning",
    }
}

impl Known {
    /// Traefik has those of one common name in any order, new with each request; here the fingerprint decides.
    fn order(&self, other: &Self) -> Ordering {
        let by = |k: &Self| (k.certificate.common_name().to_owned(), k.details.fingerprint.clone());
        by(self).cmp(&by(other))
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
        let (c, d) = (&*self.certificate, &self.details);
        View {
            name: &d.fingerprint,
            sans: &self.sans,
            not_after: rfc3339(c.not_after()),
            not_before: rfc3339(c.not_before()),
            serial_number: c.serial(),
            common_name: c.common_name(),
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
        status(self.certificate.validity(SystemTime::now()))
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
        self.certificate.common_name()
    }

    fn provider(&self) -> &str {
        ""
    }

    fn status(&self) -> &'static str {
        Known::status(self)
    }

    fn is_found(&self, found: &dyn Fn(&str) -> bool) -> bool {
        let Details { issuer_organization: organization, issuer_common_name: issuer, .. } = &self.details;
        found(self.certificate.common_name()) || found(organization) || found(issuer) || self.sans.iter().any(|n| found(n))
    }

    fn key(&self, by: &str) -> Option<Key<'_>> {
        match by {
            "issuer" => Some(Key::Text(self.issuer())),
            "validUntil" => {
                // Seconds before 1970 are negative.
                let seconds = |d: std::time::Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
                Some(Key::Number(match self.certificate.not_after().duration_since(UNIX_EPOCH) {
                    Ok(after) => seconds(after),
                    Err(before) => -seconds(before.duration()),
                }))
            }
            _ => None,
        }
    }
}
