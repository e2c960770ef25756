//! What a certificate says of itself, as people are shown it.

use super::Certificate;
use crate::subject::value;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::time::{Duration, SystemTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::oid;
use x509_parser::der_parser::oid::Oid;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::X509Name;

/// A certificate is shown with a warning for so long before its end, as in Traefik.
const EXPIRES_SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// What Go prints for an algorithm that it has no name for.
const UNKNOWN: &str = "0";

/// By its dates; in the order in which lists are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Validity {
    Enabled,
    Expired,
    /// It ends within 30 days.
    Warning,
}

/// In the words of Go's `crypto/x509`, which Traefik shows. What is not there is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    pub issuer_organization: String,
    pub issuer_common_name: String,
    pub issuer_country: String,
    pub organization: String,
    pub country: String,
    /// `v3`
    pub version: String,
    /// `RSA`, `ECDSA` or `Unknown`.
    pub key_type: &'static str,
    /// Bits; 0 where the kind is not known.
    pub key_size: usize,
    pub signature_algorithm: &'static str,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: String,
    /// SHA-256 of the public key with its algorithm, in hexadecimal digits.
    pub public_key_fingerprint: String,
}

impl Validity {
    /// Of a certificate that ends at `not_after`. One that is not valid yet counts as good, as in Traefik.
    pub fn of(not_after: SystemTime, now: SystemTime) -> Self {
        match not_after.duration_since(now) {
            Err(_) => Validity::Expired,
            Ok(rest) if rest < EXPIRES_SOON => Validity::Warning,
            Ok(_) => Validity::Enabled,
        }
    }

    /// As Traefik calls it.
    pub fn name(self) -> &'static str {
        match self {
            Validity::Enabled => "enabled",
            Validity::Expired => "expired",
            Validity::Warning => "warning",
        }
    }
}

impl Certificate {
    /// Parses the certificate again: this is for lists, not for handshakes.
    pub fn details(&self) -> Details {
        // It was parsed when it was loaded.
        let Some((der, (_, parsed))) = self.key().cert.first().and_then(|der| Some((der, X509Certificate::from_der(der).ok()?))) else {
            return Details::default();
        };
        let (subject, issuer) = (parsed.subject(), parsed.issuer());
        let key = parsed.public_key();
        let (key_type, key_size) = match key.parsed() {
            Ok(PublicKey::RSA(rsa)) => ("RSA", rsa.key_size()),
            Ok(PublicKey::EC(_)) => ("ECDSA", curve_bits(key.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok()))),
            _ => ("Unknown", 0),
        };
        Details {
            issuer_organization: first(issuer, &oid!(2.5.4.10)),
            issuer_common_name: issuer.iter_common_name().last().map(value).unwrap_or_default(),
            issuer_country: first(issuer, &oid!(2.5.4.6)),
            organization: first(subject, &oid!(2.5.4.10)),
            country: first(subject, &oid!(2.5.4.6)),
            version: format!("v{}", parsed.version().0.saturating_add(1)),
            key_type,
            key_size,
            signature_algorithm: signature(&parsed),
            fingerprint: sha256(der),
            public_key_fingerprint: sha256(key.raw),
        }
    }
}

fn first(name: &X509Name<'_>, wanted: &Oid<'_>) -> String {
    name.iter_by_oid(wanted).next().map(value).unwrap_or_default()
}

fn curve_bits(curve: Option<Oid<'_>>) -> usize {
    let curves = [(oid!(1.2.840.10045.3.1.7), 256), (oid!(1.3.132.0.34), 384), (oid!(1.3.132.0.35), 521), (oid!(1.3.132.0.33), 224)];
    curves.iter().find(|(oid, _)| Some(oid) == curve.as_ref()).map_or(0, |(_, bits)| *bits)
}

fn signature(parsed: &X509Certificate<'_>) -> &'static str {
    let sha256 = oid!(2.16.840.1.101.3.4.2.1);
    let sha384 = oid!(2.16.840.1.101.3.4.2.2);
    let sha512 = oid!(2.16.840.1.101.3.4.2.3);
    let known = [
        (oid!(1.2.840.113549.1.1.4), "MD5-RSA"),
        (oid!(1.2.840.113549.1.1.5), "SHA1-RSA"),
        (oid!(1.2.840.113549.1.1.11), "SHA256-RSA"),
        (oid!(1.2.840.113549.1.1.12), "SHA384-RSA"),
        (oid!(1.2.840.113549.1.1.13), "SHA512-RSA"),
        (oid!(1.2.840.10045.4.1), "ECDSA-SHA1"),
        (oid!(1.2.840.10045.4.3.2), "ECDSA-SHA256"),
        (oid!(1.2.840.10045.4.3.3), "ECDSA-SHA384"),
        (oid!(1.2.840.10045.4.3.4), "ECDSA-SHA512"),
        (oid!(1.3.101.112), "Ed25519"),
    ];
    let algorithm = &parsed.signature_algorithm;
    if let Some((_, name)) = known.iter().find(|(oid, _)| *oid == algorithm.algorithm) {
        return name;
    }
    match SignatureAlgorithm::try_from(algorithm) {
        Ok(SignatureAlgorithm::RSASSA_PSS(pss)) => match pss.hash_algorithm_oid() {
            hash if *hash == sha256 => "SHA256-RSAPSS",
            hash if *hash == sha384 => "SHA384-RSAPSS",
            hash if *hash == sha512 => "SHA512-RSAPSS",
            _ => UNKNOWN,
        },
        _ => UNKNOWN,
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, b| {
        // Writing to a text does not fail.
        let _ = write!(hex, "{b:02x}");
        hex
    })
}
