use rustls::{CipherSuite, NamedGroup, ProtocolVersion};

/// Suites that rustls has, as Go names them.
const SUITES: [(CipherSuite, &str); 9] = [
    (CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"),
    (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
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

/// The names that Go had before the hash was part of them.
const ALIASES: [(&str, CipherSuite); 2] = [
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// Curves by both of their names; `None` for those that rustls does not have.
const CURVES: [(&str, Option<NamedGroup>); 14] = [
    ("X25519", Some(NamedGroup::X25519)),
    ("x25519", Some(NamedGroup::X25519)),
    ("CurveP256", Some(NamedGroup::secp256r1)),
    ("secp256r1", Some(NamedGroup::secp256r1)),
    ("CurveP384", Some(NamedGroup::secp384r1)),
    ("secp384r1", Some(NamedGroup::secp384r1)),
    ("CurveP521", None),
    ("secp521r1", None),
    ("X25519MLKEM768", Some(NamedGroup::X25519MLKEM768)),
    ("x25519mlkem768", Some(NamedGroup::X25519MLKEM768)),
    ("SecP256r1MLKEM768", Some(NamedGroup::secp256r1MLKEM768)),
    ("secp256r1mlkem768", Some(NamedGroup::secp256r1MLKEM768)),
    ("SecP384r1MLKEM1024", None),
    ("secp384r1mlkem1024", None),
];

/// What a name in a configuration stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named<T> {
    Known(T),
    /// Traefik has it and Torana does not.
    Missing,
    Unknown,
}

/// The suite as Go names it, for access logs, metrics and tracing; `0x..` is written as `unknown`.
pub fn cipher_name(suite: CipherSuite) -> &'static str {
    SUITES.iter().find(|(s, _)| *s == suite).map_or("unknown", |(_, name)| name)
}

/// `1.2` or `1.3`, as Traefik writes it in access logs.
pub fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "1.2",
        ProtocolVersion::TLSv1_3 => "1.3",
        _ => "unknown",
    }
}

pub(crate) fn suite(name: &str) -> Named<CipherSuite> {
    let known = SUITES.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(s, _)| *s);
    let known = known.or_else(|| ALIASES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, s)| *s));
    match known {
        Some(suite) => Named::Known(suite),
        None if OLD_SUITES.iter().any(|s| s.eq_ignore_ascii_case(name)) => Named::Missing,
        None => Named::Unknown,
    }
}

pub(crate) fn suites() -> impl Iterator<Item = &'static str> {
    SUITES.iter().map(|(_, name)| *name)
}

pub(crate) fn curve(name: &str) -> Named<NamedGroup> {
    match CURVES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        Some((_, Some(curve))) => Named::Known(*curve),
        Some((_, None)) => Named::Missing,
        None => Named::Unknown,
    }
}

pub(crate) fn curves() -> impl Iterator<Item = &'static str> {
    CURVES.iter().filter(|(n, c)| c.is_some() && n.starts_with(char::is_uppercase)).map(|(n, _)| *n)
}

/// 10 to 13 for `VersionTLS10` to `VersionTLS13`.
pub(crate) fn version(name: &str) -> Option<u8> {
    let number = name.get(..10).filter(|p| p.eq_ignore_ascii_case("VersionTLS")).and_then(|_| name.get(10..))?;
    number.parse().ok().filter(|n| (10..=13).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_and_curve_of_the_provider_has_its_name() {
        for suite in &crate::provider().cipher_suites {
            assert_ne!(cipher_name(suite.suite()), "unknown", "{suite:?}");
        }
        for group in &crate::provider().kx_groups {
            assert!(curves().any(|c| curve(c) == Named::Known(group.name())), "{group:?}");
        }
    }

    #[test]
    fn names_of_configurations() {
        assert_eq!(suite("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"), Named::Known(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256));
        assert_eq!((suite("TLS_RSA_WITH_RC4_128_SHA"), suite("NO")), (Named::Missing, Named::Unknown));
        assert_eq!(
            (curve("curvep256"), curve("CurveP521"), curve("P")),
            (Named::Known(NamedGroup::secp256r1), Named::Missing, Named::Unknown)
        );
        assert_eq!(
            ["VersionTLS10", "VersionTLS13", "VersionTLS14", "VersionTLS1", "TLS1.2", "é"].map(version),
            [Some(10), Some(13), None, None, None, None]
        );
    }
}
