//! `clientAuth`: whether clients are asked for a certificate, and what becomes of it.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;
use torana_base::closest;

/// `clientAuthType`, as Go has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    NoClientCert,
    RequestClientCert,
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

const KINDS: [(&str, Kind); 5] = [
    ("NoClientCert", Kind::NoClientCert),
    ("RequestClientCert", Kind::RequestClientCert),
    ("RequireAnyClientCert", Kind::RequireAnyClientCert),
    ("VerifyClientCertIfGiven", Kind::VerifyClientCertIfGiven),
    ("RequireAndVerifyClientCert", Kind::RequireAndVerifyClientCert),
];

/// What is asked for; the error is a message with its hint.
pub(crate) fn kind(name: &str, with_authorities: bool) -> Result<Kind, (String, String)> {
    let Some((_, kind)) = KINDS.iter().find(|(n, _)| *n == name) else {
        return match name {
            "" if with_authorities => Ok(Kind::RequireAndVerifyClientCert),
            "" => Ok(Kind::NoClientCert),
            _ => {
                let known = KINDS.map(|(n, _)| n);
                let list = format!("known here: {}", known.join(", "));
                let hint = closest(name, known).map_or_else(|| list.clone(), |near| format!("did you mean `{near}`? {list}"));
                Err((format!("unknown client authentication `{name}`"), hint))
            }
        };
    };
    match kind {
        Kind::VerifyClientCertIfGiven | Kind::RequireAndVerifyClientCert if !with_authorities => Err((
            format!("`{name}` needs authorities that vouch for clients"),
            "write `caFiles`, or `RequireAnyClientCert` to take any certificate".to_owned(),
        )),
        _ => Ok(*kind),
    }
}

/// How clients prove who they are; by default they are not asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientAuth(Option<Arc<dyn ClientCertVerifier>>);

impl ClientAuth {
    pub(crate) fn new(kind: Kind, authorities: Vec<CertificateDer<'static>>, provider: &CryptoProvider) -> Result<Self, String> {
        let (required, verified) = match kind {
            Kind::NoClientCert => return Ok(ClientAuth(None)),
            Kind::RequestClientCert => (false, false),
            Kind::RequireAnyClientCert => (true, false),
            Kind::VerifyClientCertIfGiven => (false, true),
            Kind::RequireAndVerifyClientCert => (true, true),
        };
        let mut roots = RootCertStore::empty();
        let (good, _) = roots.add_parsable_certificates(authorities.iter().cloned());
        let algorithms = provider.signature_verification_algorithms;
        if !verified {
            return Ok(ClientAuth(Some(Arc::new(AnyCertificate { required, subjects: roots.subjects(), algorithms }))));
        }
        if good == 0 {
            return Err("there is no certificate of an authority that can be used".to_owned());
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider.clone()));
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        let webpki = builder.build().map_err(|e| e.to_string())?;
        Ok(ClientAuth(Some(Arc::new(Verified { webpki, authorities }))))
    }

    pub(crate) fn asks(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.0.clone().unwrap_or_else(WebPkiClientVerifier::no_client_auth)
    }
}

/// Any certificate will do, though the client must own its key.
#[derive(Debug)]
struct AnyCertificate {
    required: bool,
    /// Of the authorities, as a hint to the client.
    subjects: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: UnixTime) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// One of the authorities must vouch for the certificate, for use by clients. As in Go a certificate that
/// stands among the authorities vouches for itself, also where it may sign others, as those do that
/// `openssl req -x509` makes.
#[derive(Debug)]
struct Verified {
    webpki: Arc<dyn ClientCertVerifier>,
    authorities: Vec<CertificateDer<'static>>,
}

impl ClientCertVerifier for Verified {
    fn client_auth_mandatory(&self) -> bool {
        self.webpki.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        cert: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.authorities.iter().any(|a| a.as_ref() == cert.as_ref()) {
            return by_itself(cert, now);
        }
        self.webpki.verify_client_cert(cert, chain, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Dates and purpose of a certificate that is trusted as it is.
fn by_itself(cert: &CertificateDer<'_>, now: UnixTime) -> Result<ClientCertVerified, Error> {
    let (_, parsed) = x509_parser::parse_x509_certificate(cert).map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let (from, to) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < from {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > to {
        return Err(CertificateError::Expired.into());
    }
    match parsed.extended_key_usage() {
        Ok(Some(usage)) if !usage.value.client_auth && !usage.value.any => Err(CertificateError::InvalidPurpose.into()),
        Ok(_) => Ok(ClientCertVerified::assertion()),
        Err(_) => Err(CertificateError::BadEncoding.into()),
    }
}
