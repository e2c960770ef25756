//! Names of certificates, as Go writes them (`pkix.Name.String`, after RFC 2253).

use std::fmt::Write;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::oid;
use x509_parser::der_parser::oid::Oid;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The subject of a certificate as DER; `None` for what is none.
pub fn subject(certificate: &[u8]) -> Option<String> {
    X509Certificate::from_der(certificate).ok().map(|(_, c)| text(c.subject()))
}

fn text(name: &X509Name<'_>) -> String {
    let known = [
        (oid!(2.5.4.5), "SERIALNUMBER"),
        (oid!(2.5.4.3), "CN"),
        (oid!(2.5.4.17), "POSTALCODE"),
        (oid!(2.5.4.9), "STREET"),
        (oid!(2.5.4.8), "ST"),
        (oid!(2.5.4.7), "L"),
        (oid!(2.5.4.11), "OU"),
        (oid!(2.5.4.10), "O"),
        (oid!(2.5.4.6), "C"),
    ];
    let values = |wanted: &Oid<'_>| name.iter_attributes().filter(|a| a.attr_type() == wanted).map(value).collect::<Vec<_>>();
    let mut parts = Vec::new();
    for (oid, short) in &known {
        let mut values = values(oid);
        // Of these there is one, and the last counts.
        if matches!(*short, "CN" | "SERIALNUMBER") {
            values = values.pop().into_iter().filter(|v| !v.is_empty()).collect();
        }
        if !values.is_empty() {
            parts.push(values.iter().map(|v| format!("{short}={}", escaped(v))).collect::<Vec<_>>().join("+"));
        }
    }
    let others = name.iter_attributes().filter(|a| !known.iter().any(|(oid, _)| a.attr_type() == oid));
    let mut others: Vec<String> = others.map(|a| format!("{}=#{}", a.attr_type(), hex(&encoded(&value(a))))).collect();
    others.reverse();
    parts.extend(others);
    parts.join(",")
}

pub(crate) fn value(attribute: &AttributeTypeAndValue<'_>) -> String {
    attribute.as_str().map_or_else(|_| String::from_utf8_lossy(attribute.as_slice()).into_owned(), str::to_owned)
}

/// As DER: a PrintableString where it can be one, else a UTF8String.
fn encoded(text: &str) -> Vec<u8> {
    let printable = text.bytes().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b));
    let mut der = vec![if printable { 0x13 } else { 0x0c }];
    match text.len() {
        n @ ..128 => der.push(n as u8),
        n => {
            let length: Vec<u8> = n.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
            der.push(0x80 | length.len() as u8);
            der.extend(length);
        }
    }
    der.extend_from_slice(text.as_bytes());
    der
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(value.len());
    for (i, c) in value.chars().enumerate() {
        let special = match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            '#' => i == 0,
            ' ' => i == 0 || i == last,
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn as_go_writes_them() {
        let made = |parts: &[(DnType, &str)]| {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            parts.iter().for_each(|(kind, text)| params.distinguished_name.push(kind.clone(), *text));
            let key = KeyPair::generate().unwrap();
            subject(params.self_signed(&key).unwrap().der()).unwrap()
        };
        let email = || DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
        assert_eq!(made(&[(DnType::OrganizationName, "HoldoutOrg"), (DnType::CommonName, "client1")]), "CN=client1,O=HoldoutOrg");
        assert_eq!(
            made(&[(DnType::CountryName, "DE"), (DnType::CommonName, " a, \"b\"#"), (DnType::OrganizationalUnitName, "#x")]),
            "CN=\\ a\\, \\\"b\\\"#,OU=\\#x,C=DE"
        );
        assert_eq!(made(&[(email(), "a@b"), (DnType::CommonName, "c")]), "CN=c,1.2.840.113549.1.9.1=#0c03614062");
        assert_eq!(made(&[]), "");
        assert_eq!(subject(b"none"), None);
    }
}
