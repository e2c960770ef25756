//! What is in certificates.

use super::AcmeError;
use super::keys::b64;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::time::{Duration, SystemTime};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Facts of the first certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) names: Vec<String>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    /// For renewal information (RFC 9773, 4.1); `None` without an authority key identifier.
    pub(crate) id: Option<String>,
}

/// Reads a chain, and checks that the key can be one.
pub(crate) fn facts(chain: &str, key: &str) -> Result<Facts, AcmeError> {
    PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| AcmeError::local("there is no private key in PEM"))?;
    let der = CertificateDer::from_pem_slice(chain.as_bytes()).map_err(|_| AcmeError::local("there is no certificate in PEM"))?;
    let (_, cert) = X509Certificate::from_der(&der).map_err(|_| AcmeError::local("the certificate cannot be read"))?;
    let mut names = Vec::new();
    if let Ok(Some(alternatives)) = cert.subject_alternative_name() {
        for name in &alternatives.value.general_names {
            match name {
                GeneralName::DNSName(n) => names.push(n.to_lowercase()),
                GeneralName::IPAddress(b) => names.extend(ip(b)),
                _ => {}
            }
        }
    }
    let id = cert.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(a) => {
            a.key_identifier.as_ref().map(|k| format!("{}.{}", b64(k.0), b64(cert.tbs_certificate.raw_serial())))
        }
        _ => None,
    });
    let at = |t: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(t).unwrap_or(0));
    let validity = cert.validity();
    Ok(Facts { names, not_before: at(validity.not_before.timestamp()), not_after: at(validity.not_after.timestamp()), id })
}

fn ip(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|b| std::net::IpAddr::from(b).to_string());
    let v6 = || <[u8; 16]>::try_from(bytes).map(|b| std::net::IpAddr::from(b).to_string());
    v4.or_else(|_| v6()).ok()
}

/// Common name of who issued the last certificate of a chain.
pub(crate) fn topmost_issuer(chain: &str) -> Option<String> {
    let last = CertificateDer::pem_slice_iter(chain.as_bytes()).filter_map(Result::ok).last()?;
    let (_, cert) = X509Certificate::from_der(&last).ok()?;
    cert.issuer().iter_common_name().next()?.as_str().ok().map(str::to_owned)
}
