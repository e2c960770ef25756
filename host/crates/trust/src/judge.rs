//! Who may be a server: the part of a verifier that differs, without the part that does not.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use std::fmt::Debug;
use std::sync::Arc;

/// What a server has shown.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    pub leaf: &'a CertificateDer<'a>,
    pub chain: &'a [CertificateDer<'a>],
    /// Whom the client asked for.
    pub name: &'a ServerName<'a>,
    pub ocsp: &'a [u8],
    pub now: UnixTime,
}

/// Decides about a server's certificates. That the server owns the key of its certificate is verified beside it,
/// whatever the judgement is.
pub trait Judgement: Debug + Send + Sync {
    fn judge(&self, shown: Shown<'_>) -> Result<(), Error>;
}

/// A verifier for handshakes, of a judgement.
#[derive(Debug)]
pub struct Judge<J> {
    judgement: J,
    crypto: Arc<CryptoProvider>,
}

impl<J: Judgement + 'static> Judge<J> {
    /// `crypto` verifies the signatures of the handshake.
    pub fn new(judgement: J, crypto: Arc<CryptoProvider>) -> Arc<Judge<J>> {
        Arc::new(Judge { judgement, crypto })
    }
}

impl<J: Judgement> ServerCertVerifier for Judge<J> {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judgement.judge(Shown { leaf, chain, name, ocsp, now }).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.crypto.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.crypto.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}

/// `insecureSkipVerify`: any certificate will do.
#[derive(Debug)]
pub struct Anyone;

impl Judgement for Anyone {
    fn judge(&self, _: Shown<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// No authority is known, so that no certificate will do; a server without TLS is none the worse for it.
#[derive(Debug)]
pub struct Nobody;

impl Judgement for Nobody {
    fn judge(&self, _: Shown<'_>) -> Result<(), Error> {
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }
}
