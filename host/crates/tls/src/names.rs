use rustls::{CipherSuite, NamedGroup, ProtocolVersion};
pub(crate) use torana_base::tls::Named;

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

/// The suite as Go names it, for access logs, metrics and tracing; `0x..` is written as `unknown`.
pub fn cipher_name(suite: CipherSuite) -> &'static str {
    torana_base::tls::suite_name(suite.into()).unwrap_or("unknown")
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
    match torana_base::tls::suite(name) {
        Named::Known(code) => Named::Known(code.into()),
        Named::Missing => Named::Missing,
        Named::Unknown => Named::Unknown,
    }
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
    }
}
