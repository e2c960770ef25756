//! Answers to a CA's challenges, for the listeners to serve.

use super::AcmeError;
use super::keys::CertificateKey;
use super::names::handshake_name;
use arc_swap::ArcSwap;
use rustc_hash::FxHashMap;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// What is answered now, of all resolvers. Readers take one atomic load and no lock.
#[derive(Default)]
pub struct Challenges {
    http: ArcSwap<FxHashMap<(String, String), String>>,
    alpn: ArcSwap<FxHashMap<String, Arc<CertifiedKey>>>,
}

impl Challenges {
    /// The body for `/.well-known/acme-challenge/<token>` (RFC 8555, 8.3). `host`: without port, in any case. `None`
    /// answers 404.
    pub fn http01(&self, host: &str, token: &str) -> Option<String> {
        let all = self.http.load();
        if all.is_empty() {
            return None;
        }
        all.get(&(host.trim_matches(['[', ']']).to_ascii_lowercase(), token.to_owned())).cloned()
    }

    /// The certificate for a handshake with the one protocol `acme-tls/1` (RFC 8737). `None`: such a handshake is
    /// not for us.
    pub fn alpn01(&self, sni: &str) -> Option<Arc<CertifiedKey>> {
        let all = self.alpn.load();
        if all.is_empty() {
            return None;
        }
        all.get(&sni.to_ascii_lowercase()).cloned()
    }

    /// Until what is returned is dropped.
    pub(crate) fn answer_http(self: &Arc<Self>, host: &str, token: &str, authorization: String) -> Answering {
        let key = (host.to_ascii_lowercase(), token.to_owned());
        self.http.rcu(|all| {
            let mut all = FxHashMap::clone(all);
            all.insert(key.clone(), authorization.clone());
            all
        });
        Answering { challenges: Arc::clone(self), what: What::Http(key) }
    }

    /// Until what is returned is dropped. `digest`: SHA-256 of the key authorization.
    pub(crate) fn answer_alpn(self: &Arc<Self>, host: &str, digest: &[u8]) -> Result<Answering, AcmeError> {
        let name = handshake_name(host);
        let certified = Arc::new(alpn_certificate(host, digest)?);
        self.alpn.rcu(|all| {
            let mut all = FxHashMap::clone(all);
            all.insert(name.clone(), Arc::clone(&certified));
            all
        });
        Ok(Answering { challenges: Arc::clone(self), what: What::Alpn(name, certified) })
    }
}

impl std::fmt::Debug for Challenges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Challenges").finish_non_exhaustive()
    }
}

/// An answer that is in place.
pub(crate) struct Answering {
    challenges: Arc<Challenges>,
    what: What,
}

enum What {
    Http((String, String)),
    Alpn(String, Arc<CertifiedKey>),
}

impl Drop for Answering {
    fn drop(&mut self) {
        match &self.what {
            What::Http(key) => {
                self.challenges.http.rcu(|all| {
                    let mut all = FxHashMap::clone(all);
                    all.remove(key);
                    all
                });
            }
            What::Alpn(name, mine) => {
                self.challenges.alpn.rcu(|all| {
                    let mut all = FxHashMap::clone(all);
                    // another order for the same name may have put its own there
                    if all.get(name).is_some_and(|c| Arc::ptr_eq(c, mine)) {
                        all.remove(name);
                    }
                    all
                });
            }
        }
    }
}

/// A self-signed certificate that carries the digest (RFC 8737, 3).
fn alpn_certificate(host: &str, digest: &[u8]) -> Result<CertifiedKey, AcmeError> {
    let failed = |e: &dyn std::fmt::Display| AcmeError::local(format!("the certificate of the challenge could not be made: {e}"));
    if digest.len() != 32 {
        return Err(failed(&"the digest has no 32 bytes"));
    }
    let key = CertificateKey::Ec256.generate()?;
    let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).map_err(|e| failed(&e))?;
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).map_err(|e| failed(&e))?;
    let der = rustls::pki_types::PrivateKeyDer::from(key);
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).map_err(|e| failed(&e))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], signing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_there_until_they_are_dropped() {
        let all = Arc::new(Challenges::default());
        assert_eq!(all.http01("a.test", "t"), None);
        let one = all.answer_http("A.test", "t", "t.x".into());
        let two = all.answer_http("a.test", "u", "u.x".into());
        assert_eq!(all.http01("a.TEST", "t").as_deref(), Some("t.x"));
        assert_eq!((all.http01("b.test", "t"), all.http01("a.test", "v")), (None, None));
        drop(one);
        assert_eq!((all.http01("a.test", "t"), all.http01("a.test", "u").as_deref()), (None, Some("u.x")));
        drop(two);

        let first = all.answer_alpn("a.test", &[7; 32]).unwrap();
        let second = all.answer_alpn("a.test", &[8; 32]).unwrap();
        drop(first);
        let found = all.alpn01("A.test").unwrap();
        let (_, cert) = x509_parser::parse_x509_certificate(&found.cert[0]).unwrap();
        let extension = cert.extensions().iter().find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
        assert!(extension.critical && extension.value == [&[4, 32][..], &[8; 32]].concat());
        drop(second);
        assert!(all.alpn01("a.test").is_none());
        assert!(all.answer_alpn("a.test", &[1; 3]).is_err());
        let _ip = all.answer_alpn("192.0.2.1", &[7; 32]).unwrap();
        assert!(all.alpn01("1.2.0.192.in-addr.arpa").is_some());
    }
}
