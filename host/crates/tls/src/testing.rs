//! Certificates for tests.

use crate::certificate::Certificate;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Chain and key as PEM.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Made {
    pub(crate) fn certificate(&self) -> Arc<Certificate> {
        Arc::new(Certificate::from_pem(self.cert.as_bytes(), self.key.as_bytes()).unwrap())
    }
}

pub(crate) fn params(cn: &str, sans: &[&str]) -> CertificateParams {
    let mut p = CertificateParams::new(sans.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).unwrap();
    p.distinguished_name = rcgen::DistinguishedName::new();
    if !cn.is_empty() {
        p.distinguished_name.push(DnType::CommonName, cn);
    }
    p
}

pub(crate) fn self_signed(params: &CertificateParams) -> Made {
    let key = KeyPair::generate().unwrap();
    Made { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

pub(crate) fn make(cn: &str, sans: &[&str]) -> Made {
    self_signed(&params(cn, sans))
}

pub(crate) fn expired(name: &str) -> Made {
    let mut p = params(name, &[]);
    p.not_before = (SystemTime::now() - Duration::from_secs(7200)).into();
    p.not_after = (SystemTime::now() - Duration::from_secs(3600)).into();
    self_signed(&p)
}

pub(crate) struct Authority {
    pub(crate) cert: String,
    key: KeyPair,
    params: CertificateParams,
}

pub(crate) fn authority(name: &str) -> Authority {
    let mut p = params(name, &[]);
    p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    Authority { cert: p.self_signed(&key).unwrap().pem(), key, params: p }
}

impl Authority {
    pub(crate) fn sign(&self, params: &CertificateParams) -> Made {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        Made { cert: params.signed_by(&key, &issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    pub(crate) fn client(&self, name: &str) -> Made {
        let mut p = params(name, &[]);
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&p)
    }
}
