//! Messages of the Workload API (SPIFFE Workload API, appendix A), and what is in them.

use std::collections::{BTreeMap, HashMap};
use x509_parser::parse_x509_certificate;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct X509SvidRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct X509SvidResponse {
    /// The first one is the default.
    #[prost(message, repeated, tag = "1")]
    pub(crate) svids: Vec<X509Svid>,
    #[prost(map = "string, bytes", tag = "3")]
    pub(crate) federated_bundles: HashMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct X509Svid {
    #[prost(string, tag = "1")]
    pub(crate) spiffe_id: String,
    /// Certificates, DER, one after the other, the leaf first.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) x509_svid: Vec<u8>,
    /// PKCS #8, DER.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) x509_svid_key: Vec<u8>,
    /// Authorities of the trust domain, DER, one after the other.
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) bundle: Vec<u8>,
}

/// An identity with the authorities that identities of others are verified by.
#[derive(Clone, PartialEq, Eq)]
pub struct Svid {
    /// `spiffe://example.org/gateway`
    pub id: String,
    /// DER, the leaf first.
    pub chain: Vec<Vec<u8>>,
    /// PKCS #8, DER.
    pub key: Vec<u8>,
    /// Authorities by trust domain, DER.
    pub bundles: BTreeMap<String, Vec<Vec<u8>>>,
}

impl std::fmt::Debug for Svid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Svid").field("id", &self.id).field("bundles", &self.bundles.keys()).finish_non_exhaustive()
    }
}

/// The trust domain of an ID, or of a trust domain that is written as one.
fn trust_domain(id: &str) -> Option<&str> {
    let rest = id.strip_prefix("spiffe://")?;
    Some(rest.split('/').next().unwrap_or(rest)).filter(|d| !d.is_empty())
}

impl TryFrom<X509SvidResponse> for Svid {
    type Error = String;

    fn try_from(answer: X509SvidResponse) -> Result<Svid, String> {
        let first = answer.svids.into_iter().next().ok_or("it has no identity for this workload")?;
        let own = trust_domain(&first.spiffe_id).ok_or_else(|| format!("`{}` is no SPIFFE ID", first.spiffe_id))?.to_owned();
        let mut bundles = BTreeMap::new();
        for (domain, der) in &answer.federated_bundles {
            let name = trust_domain(domain).unwrap_or(domain);
            bundles.insert(name.to_owned(), certificates(der).ok_or_else(|| format!("the authorities of `{name}` cannot be read"))?);
        }
        let authorities = certificates(&first.bundle).filter(|b| !b.is_empty());
        bundles.insert(own, authorities.ok_or("the authorities of its own trust domain cannot be read")?);
        let chain = certificates(&first.x509_svid).filter(|c| !c.is_empty()).ok_or("its certificate cannot be read")?;
        Ok(Svid { id: first.spiffe_id, chain, key: first.x509_svid_key, bundles })
    }
}

/// `None` when something in it is no certificate.
fn certificates(mut der: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    while !der.is_empty() {
        let (rest, _) = parse_x509_certificate(der).ok()?;
        let length = der.len() - rest.len();
        all.push(der.get(..length)?.to_vec());
        der = rest;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap().der().to_vec()
    }

    fn answer(svid: &[u8], bundle: &[u8]) -> X509SvidResponse {
        let svid = X509Svid {
            spiffe_id: "spiffe://example.org/gateway".into(),
            x509_svid: svid.to_vec(),
            x509_svid_key: b"secret".to_vec(),
            bundle: bundle.to_vec(),
        };
        X509SvidResponse { svids: vec![svid], federated_bundles: HashMap::new() }
    }

    #[test]
    fn certificates_stand_one_after_the_other() {
        let (a, b) = (certificate(), certificate());
        let both = [&a[..], &b].concat();
        let mut given = answer(&both, &a);
        given.federated_bundles.insert("spiffe://other.org".into(), b.clone());
        let svid = Svid::try_from(given).unwrap();
        assert_eq!((svid.chain, svid.bundles["example.org"].len()), (vec![a.clone(), b.clone()], 1));
        assert_eq!(svid.bundles["other.org"], [b]);
        let svid = Svid::try_from(answer(&both, &a)).unwrap();
        assert!(!format!("{svid:?}").contains("115"), "the key stays out of it");
        for bad in [
            answer(&both[..both.len() - 1], &a),
            answer(&a, b""),
            answer(b"", &a),
            answer(b"nonsense", &a),
            X509SvidResponse::default(),
            X509SvidResponse { svids: vec![X509Svid { spiffe_id: "https://x".into(), ..Default::default() }], ..Default::default() },
        ] {
            assert!(Svid::try_from(bad).is_err());
        }
    }
}
