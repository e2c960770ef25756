//! TLS of a client: whom it trusts, and who it is. For transports to servers and for the `tls` block of whatever
//! else the gateway speaks to: sources of configuration, stores, authorities.

mod judge;

pub use judge::{Anyone, Judge, Judgement, Nobody, Shown};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};
use torana_config::install::ClientTlsConfig;

/// The one crypto provider of the project.
pub fn crypto() -> Arc<CryptoProvider> {
    static CRYPTO: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    CRYPTO.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())).clone()
}

/// The system's authorities, as they were when they were asked for first.
pub fn system_authorities() -> RootCertStore {
    static SYSTEM: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(SYSTEM.get_or_init(|| rustls_native_certs::load_native_certs().certs).iter().cloned());
    roots
}

/// PEM text as it stands, or the content of the file of that name (Traefik's `FileOrContent`).
pub fn read_or_content(text: &str) -> std::io::Result<Vec<u8>> {
    if text.contains("-----BEGIN") { Ok(text.as_bytes().to_vec()) } else { std::fs::read(text) }
}

/// A client's configuration, without ALPN: the system's authorities when `ca` is empty, no certificate of its own
/// when `cert` and `key` are. Reads the files that are named (also the system's): call it where blocking is
/// allowed, and again for each connection, so that renewed files are seen.
///
/// The error says what is wrong with which option; a text that is no path is not repeated.
pub fn client_config(tls: &ClientTlsConfig) -> Result<ClientConfig, String> {
    let crypto = crypto();
    let builder = ClientConfig::builder_with_provider(crypto.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS cannot be used: {e}"))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier(tls)?);
    let Some(Identity { cert, key }) = identity(tls)? else { return Ok(builder.with_no_client_auth()) };
    let cert = certificates(&cert, "tls.cert")?;
    // The error would quote the line that is not understood, which may be the key.
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| "`tls.key` holds no private key in PEM".to_owned())?;
    builder.with_client_auth_cert(cert, key).map_err(|e| format!("`tls.cert` and `tls.key` cannot be used together: {e}"))
}

/// What judges the source's certificate, for clients that make the rest of their configuration themselves.
pub fn verifier(tls: &ClientTlsConfig) -> Result<Arc<dyn ServerCertVerifier>, String> {
    if tls.insecure_skip_verify {
        return Ok(Judge::new(Anyone, crypto()));
    }
    let authorities = authorities(&tls.ca)?;
    if authorities.is_empty() {
        return Ok(Judge::new(NoAuthorities, crypto()));
    }
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), crypto()).build();
    Ok(webpki.map_err(|e| format!("`tls.ca`: {e}"))?)
}

/// Who Torana is to a source: PEM texts.
pub struct Identity {
    pub cert: Vec<u8>,
    pub key: Vec<u8>,
}

/// `cert` and `key`, unless both are empty.
pub fn identity(tls: &ClientTlsConfig) -> Result<Option<Identity>, String> {
    match (tls.cert.is_empty(), tls.key.expose().is_empty()) {
        (true, true) => Ok(None),
        (false, true) => Err("`tls.cert` is set without `tls.key`".into()),
        (true, false) => Err("`tls.key` is set without `tls.cert`".into()),
        (false, false) => Ok(Some(Identity { cert: read(&tls.cert, "tls.cert")?, key: read(tls.key.expose(), "tls.key")? })),
    }
}

fn authorities(ca: &str) -> Result<RootCertStore, String> {
    if ca.is_empty() {
        return Ok(system_authorities());
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&read(ca, "tls.ca")?, "tls.ca")? {
        roots.add(certificate).map_err(|e| format!("`tls.ca` holds a certificate that cannot be used: {e}"))?;
    }
    Ok(roots)
}

fn certificates(pem: &[u8], option: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|_| format!("`{option}` is not PEM"))?;
    if all.is_empty() { Err(format!("`{option}` holds no certificate in PEM")) } else { Ok(all) }
}

fn read(text: &str, option: &str) -> Result<Vec<u8>, String> {
    read_or_content(text).map_err(|e| {
        // A key that lost its first line must not end up in a log.
        let shown = if text.len() > 200 || text.contains('\n') { "what it says" } else { text };
        format!("`{option}`: `{shown}` cannot be read as a file: {e}")
    })
}

/// The system has none, and `ca` names none.
#[derive(Debug)]
struct NoAuthorities;

impl Judgement for NoAuthorities {
    fn judge(&self, _: Shown<'_>) -> Result<(), rustls::Error> {
        Err(rustls::Error::General("the system has no authorities: set `tls.ca`".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use torana_base::Secret;

    fn with(ca: &str, cert: &str, key: &str) -> ClientTlsConfig {
        ClientTlsConfig { ca: ca.into(), cert: cert.into(), key: Secret::new(key), insecure_skip_verify: false }
    }

    #[test]
    fn errors_name_the_option_and_no_secret() {
        for (tls, expected) in [
            (with("/nowhere/ca.pem", "", ""), "`tls.ca`: `/nowhere/ca.pem` cannot be read"),
            (with("-----BEGIN CERTIFICATE-----\nx", "", ""), "`tls.ca`"),
            (with("-----BEGIN X-----\n-----END X-----", "", ""), "`tls.ca` holds no certificate"),
        ] {
            let error = client_config(&tls).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let skip = |cert: &str, key: &str| ClientTlsConfig { insecure_skip_verify: true, ..with("", cert, key) };
        assert!(client_config(&skip("", "")).is_ok());
        assert!(client_config(&skip("c", "")).unwrap_err().contains("without `tls.key`"));
        assert!(client_config(&skip("", "k")).unwrap_err().contains("without `tls.cert`"));
        let secret = "MIGHAgEAMBMGByqGSM49\nline two";
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(!client_config(&skip(pem, secret)).unwrap_err().contains("MIGH"));
    }
}
