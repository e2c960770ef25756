//! Names of certificates as Go writes them (RFC 2253, the last part first).

use std::fmt::Write;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Kinds of parts in the order in which Go collects them, and whether all of one kind are one part of the name.
const KNOWN: [(&str, &[u8], bool); 9] = [
    ("C", &[0x55, 4, 6], true),
    ("O", &[0x55, 4, 10], true),
    ("OU", &[0x55, 4, 11], true),
    ("L", &[0x55, 4, 7], true),
    ("ST", &[0x55, 4, 8], true),
    ("STREET", &[0x55, 4, 9], true),
    ("POSTALCODE", &[0x55, 4, 17], true),
    ("CN", &[0x55, 4, 3], false),
    ("SERIALNUMBER", &[0x55, 4, 5], false),
];

/// Subject and issuer; empty for what cannot be read.
pub(super) fn of(der: &[u8]) -> (String, String) {
    match x509_parser::parse_x509_certificate(der) {
        Ok((_, certificate)) => (text(certificate.subject()), text(certificate.issuer())),
        Err(_) => (String::new(), String::new()),
    }
}

fn text(name: &X509Name<'_>) -> String {
    let is = |a: &AttributeTypeAndValue<'_>, oid: &[u8]| a.attr_type().as_bytes() == oid;
    let others = name.iter_attributes().filter(|a| !KNOWN.iter().any(|(_, oid, _)| is(a, oid)));
    let mut parts: Vec<String> = others.map(|a| format!("{}=#{}", a.attr_type(), hex(a))).collect();
    for (short, oid, together) in KNOWN {
        let mut values: Vec<String> = name.iter_attributes().filter(|a| is(a, oid)).map(|a| value(a)).collect();
        if !together {
            // Of these the last one counts, unless it is empty.
            values = values.pop().filter(|v| !v.is_empty()).into_iter().collect();
        }
        if !values.is_empty() {
            parts.push(values.iter().map(|v| format!("{short}={}", escaped(v))).collect::<Vec<_>>().join("+"));
        }
    }
    parts.reverse();
    parts.join(",")
}

fn value(attribute: &AttributeTypeAndValue<'_>) -> String {
    String::from_utf8_lossy(attribute.attr_value().data).into_owned()
}

/// The value as Go would encode it again: printable, or UTF-8.
fn hex(attribute: &AttributeTypeAndValue<'_>) -> String {
    let text = value(attribute);
    let printable = text.bytes().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b));
    let mut der = vec![if printable { 0x13 } else { 0x0c }];
    match text.len() {
        n @ 0..128 => der.push(n as u8),
        n @ 128..256 => der.extend([0x81, n as u8]),
        n => der.extend([0x82, (n >> 8) as u8, n as u8]),
    }
    der.extend(text.bytes());
    der.iter().fold(String::new(), |mut out, b| {
        _ = write!(out, "{b:02x}");
        out
    })
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for (i, c) in value.char_indices() {
        let end = i == 0 || i == value.len() - 1;
        if matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') || (c == ' ' && end) || (c == '#' && i == 0) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
