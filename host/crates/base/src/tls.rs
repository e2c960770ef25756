//! Names of TLS, as Go writes them and configurations use them, on the side of clients and on that of servers.

/// Suites that rustls has, by their numbers (IANA).
const SUITES: [(u16, &str); 9] = [
    (0x1301, "TLS_AES_128_GCM_SHA256"),
    (0x1302, "TLS_AES_256_GCM_SHA384"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
];

/// The names that Go had before the hash was part of them.
const ALIASES: [(&str, &str); 2] = [
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
];

/// Suites that Traefik takes and rustls, for good reasons, does not have.
const OLD_SUITES: [&str; 17] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_FALLBACK_SCSV",
];

/// What a name in a configuration stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<T> {
    Known(T),
    /// Traefik has it and Torana does not.
    Missing,
    Unknown,
}

/// The number of a suite, in any case of letters.
pub fn suite(name: &str) -> Named<u16> {
    let name = ALIASES.iter().find(|(old, _)| old.eq_ignore_ascii_case(name)).map_or(name, |(_, new)| new);
    match SUITES.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)) {
        Some((code, _)) => Named::Known(*code),
        None if OLD_SUITES.iter().any(|s| s.eq_ignore_ascii_case(name)) => Named::Missing,
        None => Named::Unknown,
    }
}

/// The name of a suite by its number.
pub fn suite_name(code: u16) -> Option<&'static str> {
    SUITES.iter().find(|(c, _)| *c == code).map(|(_, name)| *name)
}

/// All suites that there are.
pub fn suites() -> impl Iterator<Item = &'static str> {
    SUITES.iter().map(|(_, name)| *name)
}

/// 10 to 13 for `VersionTLS10` to `VersionTLS13`, in any case of letters.
pub fn version(name: &str) -> Option<u8> {
    let number = name.get(..10).filter(|p| p.eq_ignore_ascii_case("VersionTLS")).and_then(|_| name.get(10..))?;
    number.parse().ok().filter(|n| (10..=13).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_suites_and_versions() {
        assert_eq!(suite("tls_ecdhe_rsa_with_chacha20_poly1305"), Named::Known(0xcca8));
        assert_eq!(suite_name(0xcca8), Some("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"));
        assert_eq!((suite("TLS_RSA_WITH_RC4_128_SHA"), suite("NO"), suite_name(1)), (Named::Missing, Named::Unknown, None));
        assert_eq!(
            ["VersionTLS10", "VersionTLS13", "VersionTLS14", "VersionTLS1", "TLS1.2", "é"].map(version),
            [Some(10), Some(13), None, None, None, None]
        );
    }
}
