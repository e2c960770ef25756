//! `serversTransports`: how the gateway speaks to servers.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use torana_config::routing::ServersTransportConfig;

/// TLS handshakes with servers take at most this long (fixed in Traefik too).
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for `100 Continue` before the body is sent anyway (fixed in Traefik too).
pub const EXPECT_CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// A compiled `serversTransport`.
#[derive(Debug)]
pub struct Transport {
    /// Offers h2 and http/1.1, unless HTTP/2 is disabled.
    pub(crate) tls: Arc<ClientConfig>,
    /// Offers http/1.1 only: for upgrades.
    pub(crate) tls_http1: Arc<ClientConfig>,
    pub(crate) server_name: Option<String>,
    pub(crate) dial_timeout: Option<Duration>,
    pub(crate) response_header_timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) read_idle_timeout: Option<Duration>,
    pub(crate) ping_timeout: Duration,
    pub(crate) keep_alive: Duration,
    /// Idle connections kept for each server, over all workers; 0 keeps none.
    pub(crate) max_idle: usize,
    pub(crate) http2: bool,
}

/// Why a transport cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    pub key: &'static str,
    pub message: String,
}

fn error(key: &'static str, message: impl std::fmt::Display) -> TransportError {
    TransportError { key, message: message.to_string() }
}

pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())).clone()
}

/// Names of TLS versions as Traefik writes them.
fn version_rank(name: &str, key: &'static str) -> Result<u8, TransportError> {
    match name {
        "VersionTLS10" => Ok(0),
        "VersionTLS11" => Ok(1),
        "VersionTLS12" => Ok(2),
        "VersionTLS13" => Ok(3),
        _ => Err(error(key, format!("unknown TLS version `{name}`: write VersionTLS12 or VersionTLS13"))),
    }
}

impl Transport {
    /// Reads the certificates it names: `FileOrContent` is a path if there is a file of that name.
    pub fn build(config: &ServersTransportConfig) -> Result<Self, TransportError> {
        let mut provider = (*provider()).clone();
        if !config.cipher_suites.is_empty() {
            let mut chosen = Vec::new();
            for name in &config.cipher_suites {
                let known = provider.cipher_suites.iter().find(|s| suite_name(s.suite()).eq_ignore_ascii_case(name)).copied();
                chosen.push(known.ok_or_else(|| error("cipherSuites", format!("cipher suite `{name}` is unknown or not secure enough to be supported")))?);
            }
            // TLS 1.3 suites are not for choosing, as in Go.
            chosen.extend(provider.cipher_suites.iter().filter(|s| s.tls13().is_some()).copied().filter(|s| !chosen.contains(s)).collect::<Vec<_>>());
            provider.cipher_suites = chosen;
        }
        let provider = Arc::new(provider);
        let min = if config.min_version.is_empty() { 2 } else { version_rank(&config.min_version, "minVersion")? };
        let max = if config.max_version.is_empty() { 3 } else { version_rank(&config.max_version, "maxVersion")? };
        if min > max {
            return Err(error("minVersion", "minVersion is above maxVersion"));
        }
        let mut versions: Vec<&'static SupportedProtocolVersion> = Vec::new();
        if max >= 3 {
            versions.push(&rustls::version::TLS13);
        }
        if min <= 2 && max >= 2 {
            versions.push(&rustls::version::TLS12);
        }
        if versions.is_empty() {
            return Err(error("maxVersion", "TLS 1.0 and 1.1 are not supported"));
        }
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions).map_err(|e| error("minVersion", e))?;
        let builder = if config.insecure_skip_verify && config.peer_cert_uri.is_empty() {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerification { provider: provider.clone() }))
        } else {
            let roots = Arc::new(roots(&config.root_cas)?);
            if roots.is_empty() {
                // With no trust anchor nothing verifies; the error belongs to the handshake, not to the start.
                builder.dangerous().with_custom_certificate_verifier(Arc::new(NoTrust { provider: provider.clone() }))
            } else {
                let webpki = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build().map_err(|e| error("rootCAs", e))?;
                match config.peer_cert_uri.as_str() {
                    "" => builder.with_webpki_verifier(webpki),
                    uri => builder.dangerous().with_custom_certificate_verifier(Arc::new(PeerUri { webpki, uri: uri.to_owned() })),
                }
            }
        };
        let mut tls = match client_certificate(config)? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|e| error("certificates", e))?,
            None => builder.with_no_client_auth(),
        };
        tls.enable_sni = true;
        let mut tls_http1 = tls.clone();
        tls_http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        tls.alpn_protocols = if config.disable_http2 { vec![b"http/1.1".to_vec()] } else { vec![b"h2".to_vec(), b"http/1.1".to_vec()] };
        let t = &config.forwarding_timeouts;
        Ok(Transport {
            tls: Arc::new(tls),
            tls_http1: Arc::new(tls_http1),
            server_name: Some(config.server_name.clone()).filter(|n| !n.is_empty()),
            dial_timeout: t.dial_timeout.positive(),
            response_header_timeout: t.response_header_timeout.positive(),
            idle_timeout: t.idle_conn_timeout.positive(),
            read_idle_timeout: t.read_idle_timeout.positive(),
            ping_timeout: t.ping_timeout.positive().unwrap_or(Duration::from_secs(15)),
            keep_alive: Duration::from_secs(30),
            max_idle: match config.max_idle_conns_per_host {
                0 => 2,
                n => usize::try_from(n).unwrap_or(0),
            },
            http2: !config.disable_http2,
        })
    }
}

/// The name Go gives a suite: TLS 1.2 ones carry `WITH`.
fn suite_name(suite: rustls::CipherSuite) -> String {
    let name = suite.as_str().map_or_else(|| format!("{suite:?}"), str::to_owned);
    name.replacen("TLS13_", "TLS_", 1)
}

fn read_or_content(text: &str) -> std::io::Result<Vec<u8>> {
    if text.contains("-----BEGIN") { Ok(text.as_bytes().to_vec()) } else { std::fs::read(text) }
}

fn roots(cas: &[String]) -> Result<RootCertStore, TransportError> {
    let mut store = RootCertStore::empty();
    if cas.is_empty() {
        static SYSTEM: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
        store.add_parsable_certificates(SYSTEM.get_or_init(|| rustls_native_certs::load_native_certs().certs).iter().cloned());
        return Ok(store);
    }
    for ca in cas {
        let pem = read_or_content(ca).map_err(|e| error("rootCAs", format!("cannot read `{}`: {e}", shorten(ca))))?;
        let mut found = false;
        for der in CertificateDer::pem_slice_iter(&pem) {
            let der = der.map_err(|e| error("rootCAs", format!("`{}` is not PEM: {e}", shorten(ca))))?;
            store.add(der).map_err(|e| error("rootCAs", format!("`{}` holds no usable certificate: {e}", shorten(ca))))?;
            found = true;
        }
        if !found {
            return Err(error("rootCAs", format!("`{}` holds no certificate", shorten(ca))));
        }
    }
    Ok(store)
}

/// A path as it is; of PEM text only the first line, never a key.
fn shorten(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}

type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client_certificate(config: &ServersTransportConfig) -> Result<Option<ChainAndKey>, TransportError> {
    let Some(pair) = config.certificates.first() else { return Ok(None) };
    if config.certificates.len() > 1 {
        return Err(error("certificates", "only one client certificate is supported"));
    }
    let cert = read_or_content(&pair.cert_file).map_err(|e| error("certificates", format!("cannot read `{}`: {e}", shorten(&pair.cert_file))))?;
    let key = read_or_content(pair.key_file.expose()).map_err(|e| error("certificates", format!("cannot read the key file: {e}")))?;
    let chain = CertificateDer::pem_slice_iter(&cert).collect::<Result<Vec<_>, _>>().map_err(|e| error("certificates", format!("the certificate is not PEM: {e}")))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| error("certificates", format!("the key is not PEM: {e}")))?;
    Ok(Some((chain, key)))
}

macro_rules! signatures_by_provider {
    ($provider:ident) => {
        fn verify_tls12_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls12_signature(message, cert, dss, &self.$provider.signature_verification_algorithms)
        }

        fn verify_tls13_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls13_signature(message, cert, dss, &self.$provider.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.$provider.signature_verification_algorithms.supported_schemes()
        }
    };
}

/// `insecureSkipVerify`: any certificate will do, though the server must own its key.
#[derive(Debug)]
struct NoVerification {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: &ServerName<'_>, _: &[u8], _: UnixTime) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    signatures_by_provider!(provider);
}

/// No trust anchor is known: no certificate will do.
#[derive(Debug)]
struct NoTrust {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NoTrust {
    fn verify_server_cert(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: &ServerName<'_>, _: &[u8], _: UnixTime) -> Result<ServerCertVerified, rustls::Error> {
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))
    }

    signatures_by_provider!(provider);
}

/// `peerCertURI`: the chain must verify and hold this URI; host names do not count.
#[derive(Debug)]
struct PeerUri {
    webpki: Arc<WebPkiServerVerifier>,
    uri: String,
}

impl ServerCertVerifier for PeerUri {
    fn verify_server_cert(&self, cert: &CertificateDer<'_>, chain: &[CertificateDer<'_>], name: &ServerName<'_>, ocsp: &[u8], now: UnixTime) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
        match self.webpki.verify_server_cert(cert, chain, name, ocsp, now) {
            // The chain was good; only the name was not.
            Ok(_) | Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {}
            Err(e) => return Err(e),
        }
        let (_, parsed) = x509_parser::parse_x509_certificate(cert).map_err(|_| rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding))?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let found = names.is_some_and(|ext| {
            ext.value.general_names.iter().any(|n| matches!(n, x509_parser::extensions::GeneralName::URI(u) if u.eq_ignore_ascii_case(&self.uri)))
        });
        if found { Ok(ServerCertVerified::assertion()) } else { Err(rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForName)) }
    }

    fn verify_tls12_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
