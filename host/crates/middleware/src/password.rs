//! Password hashes as `htpasswd` writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use torana_base::Secret;

/// A stored password.
#[derive(Clone, Debug)]
pub(crate) enum Hash {
    /// `$2a$`, `$2b$`, `$2y$`.
    Bcrypt(Secret),
    /// `{SHA}` and the base64 of the digest.
    Sha1(Secret),
    /// `$apr1$salt$hash`, `$1$salt$hash`, or any other magic word in the same form.
    Md5Crypt { magic: String, salt: String, hash: Secret },
    /// No password fits.
    Unusable,
}

impl Hash {
    pub(crate) fn parse(text: &str) -> Self {
        if ["$2a$", "$2b$", "$2y$"].iter().any(|p| text.starts_with(p)) {
            return Hash::Bcrypt(Secret::new(text));
        }
        if let Some(digest) = text.strip_prefix("{SHA}") {
            return Hash::Sha1(Secret::new(digest));
        }
        match text.split('$').collect::<Vec<_>>()[..] {
            ["", magic, salt, hash] => Hash::Md5Crypt { magic: format!("${magic}$"), salt: salt.to_owned(), hash: Secret::new(hash) },
            _ => Hash::Unusable,
        }
    }

    /// Whether checking it takes so long that a worker must not do it itself.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self, Hash::Bcrypt(_) | Hash::Md5Crypt { .. })
    }

    /// For comparing which of two costs more to check.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Hash::Bcrypt(hash) => 100 + hash.expose().get(4..6).and_then(|c| c.parse::<u32>().ok()).unwrap_or(0),
            Hash::Md5Crypt { .. } => 2,
            Hash::Sha1(_) => 1,
            Hash::Unusable => 0,
        }
    }

    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let same = |given: &str, stored: &Secret| bool::from(given.as_bytes().ct_eq(stored.expose().as_bytes()));
        match self {
            Hash::Bcrypt(hash) => bcrypt::verify(password, hash.expose()).unwrap_or(false),
            Hash::Sha1(hash) => same(&STANDARD.encode(Sha1::digest(password)), hash),
            Hash::Md5Crypt { magic, salt, hash } => same(&md5_crypt(password, salt.as_bytes(), magic.as_bytes()), hash),
            Hash::Unusable => false,
        }
    }
}

/// Poul-Henning Kamp's MD5-based crypt: what follows the salt.
fn md5_crypt(password: &[u8], salt: &[u8], magic: &[u8]) -> String {
    let salt = &salt[..salt.len().min(8)];
    let inner: [u8; 16] = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize().into();
    let mut d = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for chunk in password.chunks(16) {
        d.update(&inner[..chunk.len()]);
    }
    let mut n = password.len();
    while n > 0 {
        d.update(if n & 1 == 1 { &[0][..] } else { &password[..1] });
        n >>= 1;
    }
    let mut sum: [u8; 16] = d.finalize().into();
    for round in 0..1000 {
        let mut d = Md5::new();
        d.update(if round & 1 == 1 { password } else { &sum });
        if round % 3 != 0 {
            d.update(salt);
        }
        if round % 7 != 0 {
            d.update(password);
        }
        d.update(if round & 1 == 1 { &sum } else { password });
        sum = d.finalize().into();
    }
    const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = String::with_capacity(22);
    let mut push = |mut bits: u32, chars: usize| {
        for _ in 0..chars {
            out.push(ALPHABET[(bits & 63) as usize] as char);
            bits >>= 6;
        }
    };
    for [a, b, c] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        push(u32::from(sum[a]) << 16 | u32::from(sum[b]) << 8 | u32::from(sum[c]), 4);
    }
    push(u32::from(sum[11]), 2);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind() {
        for (hash, password, fits) in [
            ("$apr1$abcdefgh$/cesMUEGhga5MgaTGywaW0", "test", true),
            ("$apr1$abcdefgh$/cesMUEGhga5MgaTGywaW0", "nope", false),
            ("$1$abcdefgh$G//4keteveJp0qb8z2DxG/", "password", true),
            ("{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", "test", true),
            ("{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", "", false),
            ("$2y$05$0qf28j/eocH4wI2YYQHsVugwByaikFH5L89zg7wALDWuW0IKUIeK.", "test", true),
            ("$2y$05$0qf28j/eocH4wI2YYQHsVugwByaikFH5L89zg7wALDWuW0IKUIeK.", "nope", false),
            ("$2a$04$l/nvRdxmEPg4iJw8r.0Qyesdspu3L7az8z//ZJdPQDxtlVhE1vnDa", "test", true),
            ("$2a$04$short", "test", false),
            // Not supported by Traefik either; and no text is its own hash.
            ("$6$abcdefgh$3rj1vTLX64btReFsM4MQ22otcD40l7vbtw7qCyr0dxc4kxNmgx53xVM8gWiLYbCqTHTbXFaVFU7ZT28pnvdyu0", "test", false),
            ("secret", "secret", false),
            ("", "", false),
        ] {
            assert_eq!(Hash::parse(hash).verify(password.as_bytes()), fits, "{hash}");
        }
        assert!(Hash::parse("$2y$12$x").cost() > Hash::parse("$2y$05$x").cost());
        assert!(!format!("{:?}", Hash::parse("{SHA}qUqP5")).contains("qUqP5"));
    }
}
