//! Headers that tell the server of the client's certificate, as ingress-nginx names them. Only providers use this
//! kind.

mod distinguished_name;

use crate::omit;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Exchange, Filter, Flow, Step};

const VERIFY: HeaderName = HeaderName::from_static("ssl-client-verify");
const SUBJECT: HeaderName = HeaderName::from_static("ssl-client-subject-dn");
const ISSUER: HeaderName = HeaderName::from_static("ssl-client-issuer-dn");
const CERTIFICATE: HeaderName = HeaderName::from_static("ssl-client-cert");
/// What nginx leaves alone in an escaped text.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// A handshake of this type has verified nothing.
const ONLY_REQUESTED: &str = "RequestClientCert";

/// Tells the server who the client is.
pub struct AuthTlsPassCertificateToUpstream;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Of the TLS options that the client shook hands with.
    #[serde(skip_serializing_if = "omit::empty")]
    pub client_auth_type: String,
    /// Authorities as PEM, for certificates that the handshake has not verified.
    #[serde(skip_serializing_if = "omit::empty")]
    pub ca_files: Vec<String>,
}

impl MiddlewareSpec for AuthTlsPassCertificateToUpstream {
    const NAME: &'static str = "authTLSPassCertificateToUpstream";
    const EXAMPLE: &'static str = "clientAuthType: RequireAndVerifyClientCert\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let judge = match config.client_auth_type == ONLY_REQUESTED {
            true => Judge::ByAuthorities(verifier(&config.ca_files)?),
            false => Judge::Handshake,
        };
        Ok(vec![Step::filter(Runtime { judge })])
    }
}

fn verifier(pem: &[String]) -> Result<Option<Arc<dyn ClientCertVerifier>>, BuildError> {
    let wrong = || BuildError::new("caFiles", "these are no certificates of authorities");
    let mut roots = RootCertStore::empty();
    for text in pem {
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            roots.add(certificate.map_err(|_| wrong())?).map_err(|_| wrong())?;
        }
    }
    if roots.is_empty() {
        return if pem.is_empty() { Ok(None) } else { Err(wrong()) };
    }
    let built = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), torana_trust::crypto()).build();
    built.map(Some).map_err(|_| wrong())
}

enum Judge {
    /// Who got here has a good certificate.
    Handshake,
    /// Without authorities none is good.
    ByAuthorities(Option<Arc<dyn ClientCertVerifier>>),
}

impl Judge {
    fn of(&self, der: &[u8]) -> String {
        let why = match self {
            Judge::Handshake => return "SUCCESS".to_owned(),
            Judge::ByAuthorities(None) => "x509: certificate signed by unknown authority",
            Judge::ByAuthorities(Some(verifier)) => match verifier.verify_client_cert(&CertificateDer::from(der), &[], UnixTime::now()) {
                Ok(_) => return "SUCCESS".to_owned(),
                Err(rustls::Error::InvalidCertificate(
                    rustls::CertificateError::Expired
                    | rustls::CertificateError::ExpiredContext { .. }
                    | rustls::CertificateError::NotValidYet
                    | rustls::CertificateError::NotValidYetContext { .. },
                )) => "x509: certificate has expired or is not yet valid",
                Err(rustls::Error::InvalidCertificate(
                    rustls::CertificateError::InvalidPurpose | rustls::CertificateError::InvalidPurposeContext { .. },
                )) => "x509: certificate specifies an incompatible key usage",
                Err(_) => "x509: certificate signed by unknown authority",
            },
        };
        format!("FAILED:{why}")
    }
}

struct Runtime {
    judge: Judge,
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let peer = exchange.peer.clone();
        let headers = &mut exchange.request.headers;
        let Some(der) = peer.tls.as_ref().and_then(|t| t.certificates.first()) else {
            headers.insert(VERIFY, HeaderValue::from_static("NONE"));
            for name in [CERTIFICATE, SUBJECT, ISSUER] {
                headers.remove(name);
            }
            return Flow::Continue;
        };
        let (subject, issuer) = distinguished_name::of(der);
        for (name, text) in [(VERIFY, self.judge.of(der)), (SUBJECT, subject), (ISSUER, issuer), (CERTIFICATE, escaped_pem(der))] {
            match HeaderValue::from_bytes(text.as_bytes()) {
                Ok(value) => _ = headers.insert(name, value),
                // What cannot be told must not stand there as the client wrote it.
                Err(_) => _ = headers.remove(name),
            }
        }
        Flow::Continue
    }
}

fn escaped_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|l| std::str::from_utf8(l).ok()).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    utf8_percent_encode(&pem, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, build_error, exchange, run_exchange};
    use std::net::SocketAddr;
    use std::rc::Rc;
    use torana_http::{Peer, TlsFacts};

    const FULL: &str = include_str!("pass_tls_client_cert/full.pem");

    fn sent(config: &str, pem: Option<&str>) -> Vec<Option<String>> {
        let der = pem.map(|p| CertificateDer::from_pem_slice(p.as_bytes()).unwrap().to_vec());
        let mut x = exchange("GET", "/");
        let addr: SocketAddr = "192.0.2.7:4000".parse().unwrap();
        let tls = TlsFacts { certificates: der.into_iter().collect(), ..TlsFacts::default() };
        x.peer = Rc::new(Peer::new(addr, addr, Some(Rc::new(tls)), "web".into(), false));
        for name in [VERIFY, SUBJECT, ISSUER, CERTIFICATE] {
            x.request.headers.insert(name, HeaderValue::from_static("forged"));
        }
        let ran = run_exchange(&build::<AuthTlsPassCertificateToUpstream>(config), x);
        [VERIFY, SUBJECT, ISSUER, CERTIFICATE].iter().map(|h| ran.request.headers.get(h).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())).collect()
    }

    #[test]
    fn servers_are_told_of_clients() {
        let told = sent("clientAuthType: RequireAndVerifyClientCert", Some(FULL));
        assert_eq!(told[0].as_deref(), Some("SUCCESS"));
        assert!(told[1].as_ref().unwrap().contains("CN=*.cheese.com"), "{told:?}");
        assert!(told[3].as_ref().unwrap().starts_with("-----BEGIN%20CERTIFICATE-----%0AMI"), "{told:?}");
        assert_eq!(sent("{}", None), [Some("NONE".into()), None, None, None]);
        let told = sent("clientAuthType: RequestClientCert", Some(FULL));
        assert_eq!(told[0].as_deref(), Some("FAILED:x509: certificate signed by unknown authority"));
        assert_eq!(build_error::<AuthTlsPassCertificateToUpstream>("{clientAuthType: RequestClientCert, caFiles: [x]}").key, "caFiles");
    }
}
