//! Public keys, and what is signed with them.

use base64ct::{Base64UrlUnpadded, Encoding};
use rsa::signature::Verifier;
use sha2::{Sha256, Sha384, Sha512};
use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::serde_json::Value;

/// How a token is signed. Nothing here works with a shared secret, so no public key can be taken for one.
#[derive(Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSA PKCS #1 v1.5 with SHA-256.
    RS256,
    /// RSA PKCS #1 v1.5 with SHA-384.
    RS384,
    /// RSA PKCS #1 v1.5 with SHA-512.
    RS512,
    /// RSA PSS with SHA-256.
    PS256,
    /// RSA PSS with SHA-384.
    PS384,
    /// RSA PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    pub(crate) const ALL: [Algorithm; 9] = {
        use Algorithm::*;
        [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA]
    };

    pub(crate) fn named(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| format!("{algorithm:?}") == name)
    }
}

#[derive(Debug)]
enum Public {
    Rsa(rsa::RsaPublicKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

/// A key, and what it may be used for.
#[derive(Debug)]
pub(crate) struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    public: Public,
}

impl Key {
    /// Whether a token that names this key and algorithm may be signed with it.
    pub(crate) fn fits(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        let named = match (&self.id, id) {
            (Some(own), Some(id)) => own == id,
            _ => true,
        };
        named && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// Whether the key made the signature. An algorithm that belongs to another type of key never fits.
    pub(crate) fn signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        use Algorithm::*;
        match (&self.public, algorithm) {
            (Public::Rsa(key), RS256 | RS384 | RS512) => {
                let Ok(signature) = rsa::pkcs1v15::Signature::try_from(signature) else { return false };
                let key = key.clone();
                match algorithm {
                    RS384 => rsa::pkcs1v15::VerifyingKey::<Sha384>::new(key).verify(message, &signature),
                    RS512 => rsa::pkcs1v15::VerifyingKey::<Sha512>::new(key).verify(message, &signature),
                    _ => rsa::pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(message, &signature),
                }
                .is_ok()
            }
            (Public::Rsa(key), PS256 | PS384 | PS512) => {
                let Ok(signature) = rsa::pss::Signature::try_from(signature) else { return false };
                let key = key.clone();
                match algorithm {
                    PS384 => rsa::pss::VerifyingKey::<Sha384>::new(key).verify(message, &signature),
                    PS512 => rsa::pss::VerifyingKey::<Sha512>::new(key).verify(message, &signature),
                    _ => rsa::pss::VerifyingKey::<Sha256>::new(key).verify(message, &signature),
                }
                .is_ok()
            }
            (Public::P256(key), ES256) => {
                p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            (Public::P384(key), ES384) => {
                p384::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            (Public::Ed25519(key), EdDSA) => {
                ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
            }
            _ => false,
        }
    }
}

/// A key as PEM (`BEGIN PUBLIC KEY`).
pub(crate) fn from_pem(pem: &str) -> Result<Key, String> {
    use rsa::pkcs8::DecodePublicKey;
    let pem = pem.trim();
    let public = if let Ok(key) = rsa::RsaPublicKey::from_public_key_pem(pem) {
        Public::Rsa(strong(key)?)
    } else if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_pem(pem) {
        Public::P256(key)
    } else if let Ok(key) = p384::ecdsa::VerifyingKey::from_public_key_pem(pem) {
        Public::P384(key)
    } else if let Ok(key) = ed25519_dalek::VerifyingKey::from_public_key_pem(pem) {
        Public::Ed25519(key)
    } else {
        return Err("is no PEM public key of RSA (up to 4096 bits), P-256, P-384 or Ed25519".into());
    };
    Ok(Key { id: None, algorithm: None, public })
}

/// The keys of a JWK set that can be used here. Others are left out, as RFC 7517 asks; none at all is an error.
pub(crate) fn from_jwks(set: &Value) -> Result<Vec<Key>, String> {
    let list = set.get("keys").and_then(Value::as_array).ok_or("has no list `keys`")?;
    let mut problem = "the list `keys` is empty".to_owned();
    let mut keys = Vec::new();
    for jwk in list {
        match from_jwk(jwk) {
            Ok(key) => keys.push(key),
            Err(why) => problem = why,
        }
    }
    if keys.is_empty() { Err(format!("has no key to check signatures with: {problem}")) } else { Ok(keys) }
}

fn from_jwk(jwk: &Value) -> Result<Key, String> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| {
        let encoded = text(name).ok_or_else(|| format!("a key without `{name}`"))?;
        Base64UrlUnpadded::decode_vec(encoded).map_err(|_| format!("`{name}` of a key is not base64url"))
    };
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return Err("a key whose `use` is not `sig`".into());
    }
    if let Some(operations) = jwk.get("key_ops").and_then(Value::as_array)
        && !operations.iter().any(|operation| operation == "verify")
    {
        return Err("a key whose `key_ops` have no `verify`".into());
    }
    let algorithm = match text("alg") {
        Some(name) => Some(Algorithm::named(name).ok_or_else(|| format!("a key for `{name}`, which is not supported"))?),
        None => None,
    };
    let curve = text("crv").unwrap_or_default();
    let public = match (text("kty").unwrap_or_default(), curve) {
        ("RSA", _) => {
            let number = |bytes: Vec<u8>| rsa::BigUint::from_bytes_be(&bytes);
            let key = rsa::RsaPublicKey::new(number(bytes("n")?), number(bytes("e")?));
            Public::Rsa(strong(key.map_err(|error| format!("an RSA key that cannot be used: {error}"))?)?)
        }
        ("EC", "P-256") => Public::P256(p256::ecdsa::VerifyingKey::from_sec1_bytes(&point(&bytes("x")?, &bytes("y")?)).map_err(off)?),
        ("EC", "P-384") => Public::P384(p384::ecdsa::VerifyingKey::from_sec1_bytes(&point(&bytes("x")?, &bytes("y")?)).map_err(off)?),
        ("OKP", "Ed25519") => Public::Ed25519(ed25519_dalek::VerifyingKey::try_from(bytes("x")?.as_slice()).map_err(off)?),
        (kind, _) => return Err(format!("a key of type `{kind}` {curve}, which is not supported")),
    };
    Ok(Key { id: text("kid").map(str::to_owned), algorithm, public })
}

fn point(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], x, y].concat()
}

fn off<E>(_: E) -> String {
    "a key that is no point of its curve".into()
}

fn strong(key: rsa::RsaPublicKey) -> Result<rsa::RsaPublicKey, String> {
    use rsa::traits::PublicKeyParts;
    if key.size() < 256 { Err("an RSA key of less than 2048 bits".into()) } else { Ok(key) }
}
