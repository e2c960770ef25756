//! `serversTransports`: how the gateway speaks to servers.

use crate::spiffe::SpiffeSource;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use torana_base::tls::{self, Named};
use torana_config::routing::ServersTransportConfig;
use torana_trust::{Anyone, Judge, Judgement, Nobody, Shown, crypto, read_or_content, system_authorities};

/// TLS handshakes with servers take at most this long (fixed in Traefik too).
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for `100 Continue` before the body is sent anyway (fixed in Traefik too).
pub const EXPECT_CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// A compiled `serversTransport`.
#[derive(Debug)]
pub struct Transport {
    /// Offers h2 and http/1.1, unless HTTP/2 is disabled. `None` if the TLS options cannot be honoured.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// For upgrades. Like Go it names no protocol at all where it wants HTTP/1.1.
    pub(crate) tls_http1: Option<Arc<ClientConfig>>,
    pub(crate) server_name: Option<String>,
    pub(crate) dial_timeout: Option<Duration>,
    pub(crate) response_header_timeout: Option<Duration>,
    /// Between two pieces of a response's body.
    pub(crate) read_timeout: Option<Duration>,
    /// How long a server may leave what was sent to it lying.
    pub(crate) write_timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) read_idle_timeout: Option<Duration>,
    pub(crate) ping_timeout: Duration,
    pub(crate) keep_alive: Duration,
    /// Idle connections kept for each server, over all workers; 0 keeps none.
    pub(crate) max_idle: usize,
    pub(crate) http2: bool,
    /// Options that cannot be honoured. As in Traefik they harm only what needs them: an unreadable
    /// certificate is left out, and with a wrong TLS version or suite only `https://` servers fail.
    pub problems: Vec<TransportError>,
}

/// An option of a transport that cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    pub key: &'static str,
    pub message: String,
}

pub(crate) fn error(key: &'static str, message: impl std::fmt::Display) -> TransportError {
    TransportError { key, message: message.to_string() }
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
    pub fn build(config: &ServersTransportConfig) -> Self {
        Transport::build_with(config, None)
    }

    /// The same, with the identity that `spiffe` is about.
    pub fn build_with(config: &ServersTransportConfig, spiffe: Option<&Arc<SpiffeSource>>) -> Self {
        let mut problems = Vec::new();
        let tls_http1 = tls_config(config, spiffe, &mut problems).map(Arc::new).map_err(|e| problems.push(e)).ok();
        let tls = tls_http1.clone().map(|mut tls| {
            if !config.disable_http2 {
                Arc::make_mut(&mut tls).alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            }
            tls
        });
        let t = &config.forwarding_timeouts;
        Transport {
            tls,
            tls_http1,
            server_name: Some(config.server_name.clone()).filter(|n| !n.is_empty()),
            dial_timeout: t.dial_timeout.positive(),
            response_header_timeout: [t.response_header_timeout.positive(), t.read_timeout.positive()].into_iter().flatten().min(),
            read_timeout: t.read_timeout.positive(),
            write_timeout: t.write_timeout.positive(),
            idle_timeout: t.idle_conn_timeout.positive(),
            read_idle_timeout: t.read_idle_timeout.positive(),
            ping_timeout: t.ping_timeout.positive().unwrap_or(Duration::from_secs(15)),
            keep_alive: Duration::from_secs(30),
            max_idle: match config.max_idle_conns_per_host {
                0 => 2,
                n => usize::try_from(n).unwrap_or(0),
            },
            http2: !config.disable_http2,
            problems,
        }
    }
}

pub(crate) fn tls_config(
    config: &ServersTransportConfig,
    source: Option<&Arc<SpiffeSource>>,
    problems: &mut Vec<TransportError>,
) -> Result<ClientConfig, TransportError> {
    if let Some(spiffe) = &config.spiffe {
        return crate::spiffe::client_config(config, spiffe, source);
    }
    let mut provider = (*crypto()).clone();
    if !config.cipher_suites.is_empty() {
        let mut chosen = Vec::new();
        for name in &config.cipher_suites {
            match tls::suite(name) {
                Named::Known(code) => chosen.extend(provider.cipher_suites.iter().filter(|s| u16::from(s.suite()) == code)),
                Named::Missing => {
                    problems.push(error("cipherSuites", format!("cipher suite `{name}` is not secure enough to be supported")));
                }
                Named::Unknown => return Err(error("cipherSuites", format!("there is no cipher suite `{name}`"))),
            }
        }
        if chosen.is_empty() {
            return Err(error("cipherSuites", "no secure cipher suite is left"));
        }
        // TLS 1.3 suites are not for choosing, as in Go.
        chosen.extend(
            provider.cipher_suites.iter().filter(|s| s.tls13().is_some()).copied().filter(|s| !chosen.contains(s)).collect::<Vec<_>>(),
        );
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
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions).map_err(|e| error("minVersion", e))?;
    let builder = if config.insecure_skip_verify && config.peer_cert_uri.is_empty() {
        builder.dangerous().with_custom_certificate_verifier(Judge::new(Anyone, provider.clone()))
    } else {
        let roots = Arc::new(roots(&config.root_cas, problems));
        if roots.is_empty() {
            // With no trust anchor nothing verifies; the error belongs to the handshake, not to the start.
            builder.dangerous().with_custom_certificate_verifier(Judge::new(Nobody, provider.clone()))
        } else {
            let webpki = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build().map_err(|e| error("rootCAs", e))?;
            match config.peer_cert_uri.as_str() {
                "" => builder.with_webpki_verifier(webpki),
                uri => {
                    let names = !config.insecure_skip_verify;
                    let judgement = PeerUri { webpki, uri: uri.to_owned(), names };
                    builder.dangerous().with_custom_certificate_verifier(Judge::new(judgement, provider.clone()))
                }
            }
        }
    };
    let certificates = client_certificates(config, &provider, problems);
    let tls = if certificates.is_empty() {
        builder.with_no_client_auth()
    } else {
        builder.with_client_cert_resolver(Arc::new(ClientCertificates(certificates)))
    };
    Ok(tls)
}

/// The first certificate whose issuer the server asks for, as Go chooses; none of them where it asks for
/// others only.
#[derive(Debug)]
struct ClientCertificates(Vec<Arc<CertifiedKey>>);

impl ResolvesClientCert for ClientCertificates {
    fn resolve(&self, issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let wanted = |c: &&Arc<CertifiedKey>| {
            c.key.choose_scheme(schemes).is_some()
                && (issuers.is_empty()
                    || c.cert
                        .iter()
                        .any(|der| x509_parser::parse_x509_certificate(der).is_ok_and(|(_, x)| issuers.contains(&x.issuer().as_raw()))))
        };
        self.0.iter().find(wanted).cloned()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What the files hold that the transport names, so that it can be kept while they are the same.
pub fn files_digest(config: &ServersTransportConfig) -> u64 {
    let mut hasher = DefaultHasher::new();
    let pairs = config.certificates.iter().flat_map(|c| [c.cert_file.as_str(), c.key_file.expose()]);
    for file in config.root_cas.iter().map(String::as_str).chain(pairs) {
        read_or_content(file).ok().hash(&mut hasher);
    }
    hasher.finish()
}

/// Authorities that cannot be read are left out: what they would vouch for does not verify.
fn roots(cas: &[String], problems: &mut Vec<TransportError>) -> RootCertStore {
    if cas.is_empty() {
        return system_authorities();
    }
    let mut store = RootCertStore::empty();
    for ca in cas {
        let pem = match read_or_content(ca) {
            Ok(pem) => pem,
            Err(e) => {
                problems.push(error("rootCAs", format!("cannot read `{}`: {e}", shorten(ca))));
                continue;
            }
        };
        let (good, bad) = store.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
        if good == 0 || bad > 0 {
            problems.push(error("rootCAs", format!("`{}` holds {good} usable certificates and {bad} others", shorten(ca))));
        }
    }
    store
}

/// A path as it is; of PEM text only the first line, never a key.
fn shorten(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}

/// Those that can be used; the others are left out.
fn client_certificates(
    config: &ServersTransportConfig,
    provider: &CryptoProvider,
    problems: &mut Vec<TransportError>,
) -> Vec<Arc<CertifiedKey>> {
    let mut usable = Vec::new();
    for (i, pair) in config.certificates.iter().enumerate() {
        let shown = shorten(&pair.cert_file);
        let load = || {
            let cert = read_or_content(&pair.cert_file).map_err(|e| format!("cannot read `{shown}`: {e}"))?;
            let key = read_or_content(pair.key_file.expose()).map_err(|e| format!("cannot read the key of `{shown}`: {e}"))?;
            let chain =
                CertificateDer::pem_slice_iter(&cert).collect::<Result<Vec<_>, _>>().map_err(|e| format!("`{shown}` is not PEM: {e}"))?;
            // The error quotes the line that it does not understand, which may be the key.
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| format!("the key of `{shown}` is not PEM"))?;
            CertifiedKey::from_der(chain, key, provider).map_err(|e| format!("`{shown}` and its key cannot be used: {e}"))
        };
        match load() {
            Ok(c) => usable.push(Arc::new(c)),
            Err(e) => problems.push(error("certificates", format!("client certificate {i}: {e}"))),
        }
    }
    usable
}

/// `peerCertURI`: the chain must verify and hold this URI; with `insecureSkipVerify` host names do not count.
#[derive(Debug)]
struct PeerUri {
    webpki: Arc<WebPkiServerVerifier>,
    uri: String,
    names: bool,
}

impl Judgement for PeerUri {
    fn judge(&self, shown: Shown<'_>) -> Result<(), rustls::Error> {
        use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
        match self.webpki.verify_server_cert(shown.leaf, shown.chain, shown.name, shown.ocsp, shown.now) {
            Ok(_) => {}
            // The chain was good; only the name was not.
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) if !self.names => {}
            Err(e) => return Err(e),
        }
        let (_, parsed) = x509_parser::parse_x509_certificate(shown.leaf)
            .map_err(|_| rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding))?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let found = names.is_some_and(|ext| {
            ext.value
                .general_names
                .iter()
                .any(|n| matches!(n, x509_parser::extensions::GeneralName::URI(u) if u.eq_ignore_ascii_case(&self.uri)))
        });
        if found { Ok(()) } else { Err(rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForName)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(change: impl FnOnce(&mut ServersTransportConfig)) -> (bool, Vec<&'static str>) {
        let mut config = ServersTransportConfig::default();
        change(&mut config);
        let t = Transport::build(&config);
        (t.tls.is_some(), t.problems.iter().map(|p| p.key).collect())
    }

    #[test]
    fn what_cannot_be_honoured_harms_only_what_needs_it() {
        assert_eq!(problems(|_| {}), (true, vec![]));
        assert_eq!(problems(|c| c.root_cas = vec!["/nope.crt".into()]), (true, vec!["rootCAs"]));
        assert_eq!(problems(|c| c.min_version = "VersionTLS12".into()), (true, vec![]));
        assert_eq!(problems(|c| c.min_version = "TLS9".into()), (false, vec!["minVersion"]));
        assert_eq!(
            problems(|c| (c.min_version, c.max_version) = ("VersionTLS13".into(), "VersionTLS12".into())),
            (false, vec!["minVersion"])
        );
        assert_eq!(problems(|c| c.cipher_suites = vec!["NOPE".into()]), (false, vec!["cipherSuites"]));
        let weak = |more: &[&str]| more.iter().chain(&["TLS_RSA_WITH_RC4_128_SHA"]).map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(problems(|c| c.cipher_suites = weak(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"])), (true, vec!["cipherSuites"]));
        assert_eq!(problems(|c| c.cipher_suites = weak(&[])), (false, vec!["cipherSuites", "cipherSuites"]));
    }

    #[test]
    fn only_http2_is_named_in_the_handshake() {
        let names = |disable_http2| {
            let t = Transport::build(&ServersTransportConfig { disable_http2, ..ServersTransportConfig::default() });
            [t.tls, t.tls_http1].map(|t| t.unwrap().alpn_protocols.len())
        };
        assert_eq!((names(false), names(true)), ([2, 0], [0, 0]));
    }
}
