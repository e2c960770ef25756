//! Which names a certificate is ordered for.

use super::AcmeError;
use std::net::IpAddr;

/// The names of one certificate as they are ordered and stored; `None` for those that no CA takes.
pub fn as_ordered(domains: &[String]) -> Option<Vec<String>> {
    select(domains, true).ok()
}

/// The names of one certificate as the CA gets them: lower case, ASCII, without trailing dots, each once, and
/// without those that a wildcard among them covers already. `wildcards`: whether DNS-01 is there to prove them.
pub(crate) fn select(domains: &[String], wildcards: bool) -> Result<Vec<String>, AcmeError> {
    let mut names: Vec<String> = Vec::with_capacity(domains.len());
    for domain in domains.iter().map(|d| d.trim()).filter(|d| !d.is_empty()) {
        let name = ascii(domain)?;
        if name.contains('*') {
            if name.starts_with("*.*") || !name.starts_with("*.") || name[1..].contains('*') {
                return Err(AcmeError::lasting(format!("`{name}`: ACME has wildcards for one label only, in front")));
            }
            if !wildcards {
                return Err(AcmeError::lasting(format!("`{name}`: a wildcard needs `dnsChallenge`")));
            }
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let all = names.clone();
    names.retain(|n| !all.iter().any(|w| w != n && covers(w, n)));
    if names.is_empty() {
        return Err(AcmeError::lasting("there is no name to order a certificate for"));
    }
    Ok(names)
}

fn ascii(domain: &str) -> Result<String, AcmeError> {
    let bare = domain.trim_end_matches('.');
    if bare.parse::<IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    let (star, rest) = bare.strip_prefix("*.").map_or(("", bare), |r| ("*.", r));
    if rest.contains('*') {
        return Ok(bare.to_lowercase());
    }
    let wrong = || AcmeError::lasting(format!("`{domain}` is no domain name"));
    let rest = idna::domain_to_ascii_strict(rest).map_err(|_| wrong())?;
    if rest.is_empty() || rest.len() > 253 || rest.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err(wrong());
    }
    Ok(format!("{star}{rest}"))
}

/// Whether a certificate for `name` is good for `wanted`: the same, or a wildcard in place of one label.
pub(crate) fn covers(name: &str, wanted: &str) -> bool {
    name == wanted || name.strip_prefix("*.").is_some_and(|rest| wanted.split_once('.').is_some_and(|(label, r)| r == rest && label != "*"))
}

/// Whether a certificate for `names` is good for every one of `wanted`.
pub(crate) fn covers_all(names: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|w| names.iter().any(|n| covers(n, w)))
}

/// The name in a handshake for an IP address (RFC 8738, 6), or the name itself.
pub(crate) fn handshake_name(name: &str) -> String {
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(ip)) => {
            let nibbles: Vec<String> = ip.octets().iter().rev().flat_map(|b| [b & 15, b >> 4]).map(|n| format!("{n:x}")).collect();
            format!("{}.ip6.arpa", nibbles.join("."))
        }
        Err(_) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(names: &[&str], wildcards: bool) -> Result<Vec<String>, String> {
        select(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(), wildcards).map_err(|e| e.to_string())
    }

    #[test]
    fn names_are_made_plain() {
        for (given, names) in [
            (&["A.Test.", "a.test", " b.test "][..], &["a.test", "b.test"][..]),
            (&["x.w.test", "*.w.test", "w.test"], &["*.w.test", "w.test"]),
            (&["x.y.w.test", "*.w.test"], &["x.y.w.test", "*.w.test"]),
            (&["bücher.test"], &["xn--bcher-kva.test"]),
            (&["*.bücher.test"], &["*.xn--bcher-kva.test"]),
            (&["127.0.0.1", "::1"], &["127.0.0.1", "::1"]),
        ] {
            assert_eq!(pick(given, true).unwrap(), names, "{given:?}");
        }
    }

    #[test]
    fn names_that_no_ca_takes() {
        for (given, told) in [
            (&["*.*.a.test"][..], "`*.*.a.test`: ACME has wildcards for one label only, in front"),
            (&["a.*.test"], "`a.*.test`: ACME has wildcards for one label only, in front"),
            (&["a b.test"], "`a b.test` is no domain name"),
            (&["a..test"], "`a..test` is no domain name"),
            (&[""], "there is no name to order a certificate for"),
        ] {
            assert_eq!(pick(given, true).unwrap_err(), told, "{given:?}");
        }
        assert_eq!(pick(&["*.a.test"], false).unwrap_err(), "`*.a.test`: a wildcard needs `dnsChallenge`");
    }

    #[test]
    fn what_covers_what() {
        for (name, wanted, yes) in [
            ("a.test", "a.test", true),
            ("*.a.test", "x.a.test", true),
            ("*.a.test", "a.test", false),
            ("*.a.test", "y.x.a.test", false),
            ("x.a.test", "*.a.test", false),
            ("*.a.test", "*.a.test", true),
        ] {
            assert_eq!(covers(name, wanted), yes, "{name} {wanted}");
        }
    }

    #[test]
    fn addresses_in_handshakes() {
        assert_eq!(handshake_name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        assert!(
            handshake_name("2001:db8::1").starts_with("1.0.0.0.") && handshake_name("2001:db8::1").ends_with("8.b.d.0.1.0.0.2.ip6.arpa")
        );
        assert_eq!(handshake_name("a.test"), "a.test");
    }

    proptest::proptest! {
        #[test]
        fn no_name_panics(names in proptest::collection::vec("\\PC{0,40}", 0..4)) {
            let _ = select(&names, true);
        }
    }
}
