use crate::certificate::{Certificate, CertificateError};
use rcgen::{CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType};
use std::time::{Duration, SystemTime};

/// A certificate with the names of Traefik's, valid for a year from `now`.
pub(crate) fn make(now: SystemTime) -> Result<Certificate, CertificateError> {
    let failed = |e: rcgen::Error| CertificateError {
        option: "certFile",
        message: format!("no default certificate could be made: {e}"),
        hint: None,
    };
    let hex = || format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "TRAEFIK DEFAULT CERT");
    let name = format!("{}.{}.traefik.default", hex(), hex());
    params.subject_alt_names.push(SanType::DnsName(name.try_into().map_err(failed)?));
    params.not_before = now.into();
    params.not_after = (now + Duration::from_secs(365 * 24 * 3600)).into();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    let key = KeyPair::generate().map_err(failed)?;
    let cert = params.self_signed(&key).map_err(failed)?;
    Certificate::from_pem(cert.pem().as_bytes(), key.serialize_pem().as_bytes())
}
