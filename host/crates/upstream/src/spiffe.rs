//! `spiffe` of a transport: the gateway shows its own SPIFFE identity to servers, and verifies theirs
//! (SPIFFE X.509-SVID).

use crate::transport::{TransportError, error};
use arc_swap::ArcSwapOption;
use rustls::client::{ResolvesClientCert, Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, RootCertStore, SignatureScheme};
use std::collections::BTreeMap;
use std::sync::Arc;
use torana_config::routing::{ServersTransportConfig, SpiffeClientConfig};
use torana_trust::{Judge, Judgement, Shown, crypto};
use x509_parser::extensions::GeneralName;

/// The identity of the gateway, as the Workload API gave it last. Handshakes read it without a lock.
#[derive(Debug, Default)]
pub struct SpiffeSource(ArcSwapOption<Identity>);

#[derive(Debug)]
struct Identity {
    key: Arc<CertifiedKey>,
    /// Authorities by trust domain.
    bundles: BTreeMap<String, RootCertStore>,
}

impl SpiffeSource {
    /// A new identity: certificates in DER, the leaf first, with their key in PKCS #8, and authorities by trust
    /// domain. After an error the one before stays.
    pub fn set(&self, chain: &[Vec<u8>], key: &[u8], bundles: &BTreeMap<String, Vec<Vec<u8>>>) -> Result<(), String> {
        let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivatePkcs8KeyDer::from(key.to_vec());
        let key = CertifiedKey::from_der(chain, key.into(), &crypto()).map_err(|e| format!("its key cannot be used: {e}"))?;
        let mut all = BTreeMap::new();
        for (domain, authorities) in bundles {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(authorities.iter().map(|der| CertificateDer::from(der.clone())));
            all.insert(domain.clone(), roots);
        }
        self.0.store(Some(Arc::new(Identity { key: Arc::new(key), bundles: all })));
        Ok(())
    }
}

/// Which servers are spoken with.
#[derive(Debug)]
enum Allowed {
    Any,
    Domain(String),
    Ids(Vec<String>),
}

impl Allowed {
    fn new(config: &SpiffeClientConfig) -> Result<Allowed, TransportError> {
        if !config.ids.is_empty() {
            for id in &config.ids {
                let good = id.strip_prefix("spiffe://").and_then(|r| r.split('/').next()).is_some_and(is_trust_domain);
                if !good || id.ends_with('/') {
                    return Err(error("spiffe.ids", format!("`{id}` is no SPIFFE ID, such as `spiffe://example.org/server`")));
                }
            }
            return Ok(Allowed::Ids(config.ids.clone()));
        }
        let domain = config.trust_domain.strip_prefix("spiffe://").unwrap_or(&config.trust_domain);
        match domain {
            "" => Ok(Allowed::Any),
            d if is_trust_domain(d) => Ok(Allowed::Domain(d.to_owned())),
            d => Err(error("spiffe.trustDomain", format!("`{d}` is no trust domain, such as `example.org`"))),
        }
    }

    fn allows(&self, id: &str, domain: &str) -> bool {
        match self {
            Allowed::Any => true,
            Allowed::Domain(d) => d == domain,
            Allowed::Ids(all) => all.iter().any(|i| i == id),
        }
    }
}

/// SPIFFE-ID, 2.1.
fn is_trust_domain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b))
}

/// TLS by identities. Names of hosts count for nothing here, and other TLS options cannot stand beside it.
pub(crate) fn client_config(
    config: &ServersTransportConfig,
    spiffe: &SpiffeClientConfig,
    source: Option<&Arc<SpiffeSource>>,
) -> Result<ClientConfig, TransportError> {
    let Some(source) = source else {
        return Err(error("spiffe", "there is no SPIFFE identity: write `spiffe.workloadAPIAddr` into the install configuration"));
    };
    let plain = ServersTransportConfig {
        max_idle_conns_per_host: config.max_idle_conns_per_host,
        forwarding_timeouts: config.forwarding_timeouts,
        disable_http2: config.disable_http2,
        spiffe: config.spiffe.clone(),
        ..ServersTransportConfig::default()
    };
    if plain != *config {
        return Err(error("spiffe", "TLS and SPIFFE configuration cannot be defined at the same time: remove the other TLS options"));
    }
    let crypto = crypto();
    let verifier = Verifier { source: source.clone(), allowed: Allowed::new(spiffe)?, crypto: crypto.clone() };
    let mut tls = ClientConfig::builder_with_provider(crypto.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| error("spiffe", e))?
        .dangerous()
        .with_custom_certificate_verifier(Judge::new(verifier, crypto))
        .with_client_cert_resolver(Arc::new(Own(source.clone())));
    // identities live for minutes: each handshake looks at them anew
    tls.resumption = Resumption::disabled();
    Ok(tls)
}

#[derive(Debug)]
struct Own(Arc<SpiffeSource>);

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let identity = self.0.0.load_full()?;
        identity.key.key.choose_scheme(schemes).is_some().then(|| identity.key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Verifier {
    source: Arc<SpiffeSource>,
    allowed: Allowed,
    crypto: Arc<CryptoProvider>,
}

/// The one SPIFFE ID of a leaf, with its trust domain (SPIFFE X.509-SVID, 2 and 5.2).
fn id_of(leaf: &CertificateDer<'_>) -> Option<(String, String)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
    if parsed.is_ca() {
        return None;
    }
    let names = parsed.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|n| if let GeneralName::URI(uri) = n { Some(*uri) } else { None });
    let id = uris.next().filter(|_| uris.next().is_none())?;
    let domain = id.strip_prefix("spiffe://")?.split('/').next().filter(|d| is_trust_domain(d))?;
    Some((id.to_owned(), domain.to_owned()))
}

impl Judgement for Verifier {
    fn judge(&self, shown: Shown<'_>) -> Result<(), rustls::Error> {
        let Some(identity) = self.source.0.load_full() else {
            return Err(rustls::Error::General("the SPIFFE Workload API has given no identity yet".to_owned()));
        };
        let (id, domain) =
            id_of(shown.leaf).ok_or_else(|| rustls::Error::General("the server's certificate has no SPIFFE ID".to_owned()))?;
        if !self.allowed.allows(&id, &domain) {
            return Err(rustls::Error::General(format!("the server's SPIFFE ID `{id}` is not allowed")));
        }
        let roots = identity.bundles.get(&domain).ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let parsed = ParsedCertificate::try_from(shown.leaf)?;
        let algorithms = self.crypto.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, shown.chain, shown.now, algorithms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(ids: &[&str], domain: &str) -> SpiffeClientConfig {
        SpiffeClientConfig { ids: ids.iter().map(|i| (*i).to_owned()).collect(), trust_domain: domain.into() }
    }

    #[test]
    fn who_is_spoken_with() {
        let allows = |c: &SpiffeClientConfig, id: &str| {
            let domain = id.trim_start_matches("spiffe://").split('/').next().unwrap();
            Allowed::new(c).unwrap().allows(id, domain)
        };
        assert!(allows(&config(&[], ""), "spiffe://x.org/a"));
        assert!(allows(&config(&[], "x.org"), "spiffe://x.org/a") && !allows(&config(&[], "spiffe://x.org"), "spiffe://y.org/a"));
        // the list goes before the domain
        assert!(!allows(&config(&["spiffe://x.org/b"], "x.org"), "spiffe://x.org/a"));
        for bad in [config(&["https://x"], ""), config(&["spiffe:///a"], ""), config(&["spiffe://X.org/a"], ""), config(&[], "a/b")] {
            assert!(Allowed::new(&bad).unwrap_err().key.starts_with("spiffe."));
        }
    }

    #[test]
    fn nothing_beside_it() {
        let source = Arc::new(SpiffeSource::default());
        let with = |change: &dyn Fn(&mut ServersTransportConfig), source: Option<&Arc<SpiffeSource>>| {
            let mut c = ServersTransportConfig { spiffe: Some(config(&[], "")), ..ServersTransportConfig::default() };
            change(&mut c);
            client_config(&c, &config(&[], ""), source).map(drop).map_err(|e| e.message)
        };
        assert_eq!(with(&|c| c.disable_http2 = true, Some(&source)), Ok(()));
        assert!(with(&|c| c.server_name = "a".into(), Some(&source)).unwrap_err().contains("at the same time"));
        assert!(with(&|_| {}, None).unwrap_err().contains("spiffe.workloadAPIAddr"));
        assert!(source.set(&[vec![1]], b"no key", &BTreeMap::new()).is_err());
    }
}
