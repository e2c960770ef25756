//! Private keys: of accounts, which sign what is sent to the CA (RFC 7515), and of certificates.

use super::AcmeError;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

/// The key of an account: RSA, as Traefik makes them, or ECDSA P-256.
pub(crate) struct AccountKey {
    kind: Kind,
    /// As it is stored: PKCS#1 or what was read, DER.
    der: Vec<u8>,
}

enum Kind {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

impl AccountKey {
    /// A new key, RSA of 4096 bits like each one that Traefik makes. Takes a second or so of computing.
    pub(crate) fn generate() -> Result<Self, AcmeError> {
        let failed = || AcmeError::local("the key of an account could not be made");
        let key = RsaKeyPair::generate(KeySize::Rsa4096).map_err(|_| failed())?;
        let pkcs8 = key.as_der().map_err(|_| failed())?;
        let der = pkcs1_of(pkcs8.as_ref()).ok_or_else(failed)?.to_vec();
        Ok(AccountKey { kind: Kind::Rsa(key), der })
    }

    /// DER of PKCS#1, PKCS#8 or SEC 1.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, AcmeError> {
        let kind = if let Ok(key) = RsaKeyPair::from_der(der) {
            Kind::Rsa(key)
        } else if let Ok(key) = RsaKeyPair::from_pkcs8(der) {
            Kind::Rsa(key)
        } else if let Ok(key) = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            Kind::P256(key)
        } else {
            return Err(AcmeError::local("the key of the account is neither RSA nor ECDSA P-256"));
        };
        Ok(AccountKey { kind, der: der.to_vec() })
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// `alg` of RFC 7518.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self.kind {
            Kind::Rsa(_) => "RS256",
            Kind::P256(_) => "ES256",
        }
    }

    /// The public half (RFC 7517). Its members stand in the order that RFC 7638 asks for.
    pub(crate) fn jwk(&self) -> serde_json::Value {
        match &self.kind {
            Kind::Rsa(key) => {
                // RFC 8017, A.1.1: a sequence of modulus and exponent, each perhaps with a zero in front
                let (n, e) = rsa_numbers(key.public_key().as_ref()).unwrap_or_default();
                serde_json::json!({ "e": b64(e), "kty": "RSA", "n": b64(n) })
            }
            Kind::P256(key) => {
                // an uncompressed point: 4, x, y
                let point = key.public_key().as_ref();
                serde_json::json!({ "crv": "P-256", "kty": "EC", "x": b64(&point[1..33]), "y": b64(&point[33..65]) })
            }
        }
    }

    /// RFC 7638, base64.
    pub(crate) fn thumbprint(&self) -> String {
        b64(digest(&SHA256, self.jwk().to_string().as_bytes()).as_ref())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AcmeError> {
        let rng = SystemRandom::new();
        let failed = |_| AcmeError::local("signing with the key of the account failed");
        match &self.kind {
            Kind::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Kind::P256(key) => Ok(key.sign(&rng, message).map_err(failed)?.as_ref().to_vec()),
        }
    }
}

/// Base64 for URLs, without padding.
pub(crate) fn b64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Of either alphabet, padded or not.
pub(crate) fn un_b64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().trim_end_matches('=');
    let standard = || BASE64_STANDARD.decode(format!("{text}{}", &"==="[..(4 - text.len() % 4) % 4])).ok();
    BASE64_URL_SAFE_NO_PAD.decode(text).ok().or_else(standard)
}

/// The PKCS#1 key inside of a PKCS#8 one (RFC 5208): a sequence of version, algorithm and octets.
fn pkcs1_of(pkcs8: &[u8]) -> Option<&[u8]> {
    let (outer, _) = element(0x30, pkcs8)?;
    let (_, rest) = element(0x02, outer)?;
    let (_, rest) = element(0x30, rest)?;
    Some(element(0x04, rest)?.0)
}

/// Modulus and exponent of a public key.
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (inner, _) = element(0x30, der)?;
    let (n, rest) = element(0x02, inner)?;
    let (e, _) = element(0x02, rest)?;
    Some((n.strip_prefix(&[0]).unwrap_or(n), e.strip_prefix(&[0]).unwrap_or(e)))
}

/// Content of the first element, which must have `tag`, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(len)
}

/// `keyType`: what kind of key certificates get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateKey {
    Ec256,
    Ec384,
    Rsa(KeySize),
}

impl CertificateKey {
    /// `None` for what Traefik does not know, and takes as RSA4096.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "EC256" => CertificateKey::Ec256,
            "EC384" => CertificateKey::Ec384,
            "RSA2048" => CertificateKey::Rsa(KeySize::Rsa2048),
            "RSA4096" => CertificateKey::Rsa(KeySize::Rsa4096),
            "RSA8192" => CertificateKey::Rsa(KeySize::Rsa8192),
            _ => return None,
        })
    }

    /// A new key. RSA takes from a moment up to minutes of computing: not for a thread that serves.
    pub(crate) fn generate(self) -> Result<rcgen::KeyPair, AcmeError> {
        let failed = || AcmeError::local("the key of a certificate could not be made");
        match self {
            CertificateKey::Ec256 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|_| failed()),
            CertificateKey::Ec384 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).map_err(|_| failed()),
            CertificateKey::Rsa(size) => {
                let key = RsaKeyPair::generate(size).map_err(|_| failed())?;
                let der = key.as_der().map_err(|_| failed())?;
                let der = rustls::pki_types::PrivatePkcs8KeyDer::from(der.as_ref());
                rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256).map_err(|_| failed())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rsa_account_is_kept_as_traefik_stores_it() {
        let key = AccountKey::generate().unwrap();
        let again = AccountKey::from_der(key.der()).unwrap();
        assert_eq!(key.thumbprint(), again.thumbprint());
        assert_eq!((key.jwk()["e"].as_str(), un_b64(key.jwk()["n"].as_str().unwrap()).unwrap().len()), (Some("AQAB"), 512));
        assert_eq!((again.algorithm(), again.sign(b"x").unwrap().len()), ("RS256", 512));
        // PKCS#1 begins with its version, not with that of PKCS#8 and an algorithm
        assert_eq!(element(0x30, key.der()).and_then(|(inner, _)| element(0x02, inner)).map(|(v, _)| v), Some(&[0u8][..]));
        assert!(element(0x30, key.der()).and_then(|(inner, _)| element(0x02, element(0x02, inner)?.1)).is_some());
    }

    #[test]
    fn an_elliptic_account_is_taken_too() {
        let pair = CertificateKey::Ec256.generate().unwrap();
        let key = AccountKey::from_der(pair.serialized_der()).unwrap();
        assert_eq!((key.algorithm(), key.sign(b"x").unwrap().len()), ("ES256", 64));
        assert!(AccountKey::from_der(b"nonsense").is_err());
        assert!(AccountKey::from_der(CertificateKey::Ec384.generate().unwrap().serialized_der()).is_err());
    }

    #[test]
    fn the_thumbprint_of_rfc_7638() {
        // RFC 7638, 3.1: members in lexical order, without spaces
        let key = AccountKey::from_der(CertificateKey::Ec256.generate().unwrap().serialized_der()).unwrap();
        let text = key.jwk().to_string();
        assert!(text.starts_with(r#"{"crv":"P-256","kty":"EC","x":""#) && !text.contains(' '), "{text}");
    }

    #[test]
    fn base64_of_both_kinds() {
        for text in ["-_-_", "+/+/", "-_8", "-_8=", "+/8=", " +/8"] {
            assert!(un_b64(text).is_some(), "{text}");
        }
        assert!(un_b64("*").is_none());
    }

    #[test]
    fn kinds_of_keys() {
        for name in torana_config::install::KEY_TYPES {
            assert!(CertificateKey::parse(name).is_some(), "{name}");
        }
        assert!(CertificateKey::parse("ec256").is_none());
        assert!(CertificateKey::Rsa(KeySize::Rsa2048).generate().is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_key_panics(der in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            let _ = pkcs1_of(&der);
            let _ = AccountKey::from_der(&der);
        }
    }
}
