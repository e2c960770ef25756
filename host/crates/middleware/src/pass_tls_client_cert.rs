use crate::omit;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::IpAddr;
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Exchange, Filter, Flow, Step};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::X509Name;

/// Tells the service about the certificate that the client showed.
pub struct PassTlsClientCert;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Sends the certificates as `X-Forwarded-Tls-Client-Cert`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub pem: bool,
    /// Sends what they say as `X-Forwarded-Tls-Client-Cert-Info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<InfoConfig>,
}

/// Which facts are sent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InfoConfig {
    #[serde(skip_serializing_if = "omit::empty")]
    pub not_after: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub not_before: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub sans: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub serial_number: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerConfig>,
}

/// Parts of the subject's name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubjectConfig {
    #[serde(skip_serializing_if = "omit::empty")]
    pub country: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub province: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub locality: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub organization: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub organizational_unit: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub common_name: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub serial_number: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub domain_component: bool,
}

/// Parts of the issuer's name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IssuerConfig {
    #[serde(skip_serializing_if = "omit::empty")]
    pub country: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub province: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub locality: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub organization: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub common_name: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub serial_number: bool,
    #[serde(skip_serializing_if = "omit::empty")]
    pub domain_component: bool,
}

impl MiddlewareSpec for PassTlsClientCert {
    const NAME: &'static str = "passTLSClientCert";
    const EXAMPLE: &'static str = "pem: true\ninfo:\n  serialNumber: true\n  subject: {commonName: true}\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let info = config.info.map(|i| Info {
            subject: i.subject.map_or_else(Vec::new, |s| {
                let unit = [(s.organizational_unit, OU)];
                parts([s.domain_component, s.country, s.province, s.locality, s.organization], &unit, [s.serial_number, s.common_name])
            }),
            issuer: i.issuer.map_or_else(Vec::new, |s| {
                parts([s.domain_component, s.country, s.province, s.locality, s.organization], &[], [s.serial_number, s.common_name])
            }),
            serial_number: i.serial_number,
            not_before: i.not_before,
            not_after: i.not_after,
            sans: i.sans,
        });
        Ok(vec![Step::filter(Runtime { pem: config.pem, info })])
    }
}

/// A part of a name: how it is written, the DER of its OID, and whether all of its values count, or the last.
type Part = (&'static str, &'static [u8], bool);

const FIRST: [Part; 5] = [
    ("DC", &[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], true),
    ("C", &[0x55, 4, 6], true),
    ("ST", &[0x55, 4, 8], true),
    ("L", &[0x55, 4, 7], true),
    ("O", &[0x55, 4, 10], true),
];
const OU: Part = ("OU", &[0x55, 4, 11], true);
const LAST: [Part; 2] = [("SN", &[0x55, 4, 5], false), ("CN", &[0x55, 4, 3], false)];

/// The wanted parts, in the order in which they are written.
fn parts(first: [bool; 5], unit: &[(bool, Part)], last: [bool; 2]) -> Vec<Part> {
    let all = first.into_iter().zip(FIRST).chain(unit.iter().copied()).chain(last.into_iter().zip(LAST));
    all.filter(|(wanted, _)| *wanted).map(|(_, part)| part).collect()
}

struct Info {
    subject: Vec<Part>,
    issuer: Vec<Part>,
    serial_number: bool,
    not_before: bool,
    not_after: bool,
    sans: bool,
}

struct Runtime {
    pem: bool,
    info: Option<Info>,
}

const CERT: HeaderName = HeaderName::from_static("x-forwarded-tls-client-cert");
const INFO: HeaderName = HeaderName::from_static("x-forwarded-tls-client-cert-info");

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        let peer = exchange.peer.clone();
        let certificates = peer.tls.as_ref().map_or(&[][..], |tls| &tls.certificates);
        if certificates.is_empty() {
            return Flow::Continue;
        }
        let headers = &mut exchange.request.headers;
        if self.pem {
            let all: Vec<String> = certificates.iter().map(|der| STANDARD.encode(der)).collect();
            if let Ok(value) = HeaderValue::try_from(all.join(",")) {
                headers.insert(CERT, value);
            }
        }
        if let Some(info) = &self.info {
            let all: Vec<Vec<u8>> = certificates.iter().map(|der| info.text(der)).collect();
            if let Ok(value) = HeaderValue::try_from(query_escape(&all.join(&b','))) {
                headers.insert(INFO, value);
            }
        }
        Flow::Continue
    }
}

impl Info {
    /// Fields separated by `;`, with their values in quotes; what is empty is left out.
    fn text(&self, der: &[u8]) -> Vec<u8> {
        let Ok((_, cert)) = x509_parser::parse_x509_certificate(der) else { return Vec::new() };
        let mut fields: Vec<(&str, Vec<u8>)> = Vec::new();
        fields.push(("Subject", name(cert.subject(), &self.subject)));
        fields.push(("Issuer", name(cert.issuer(), &self.issuer)));
        if self.serial_number {
            fields.push(("SerialNumber", cert.tbs_certificate.serial.to_string().into()));
        }
        // Go makes unsigned numbers of dates before 1970.
        if self.not_before {
            fields.push(("NB", (cert.validity().not_before.timestamp() as u64).to_string().into()));
        }
        if self.not_after {
            fields.push(("NA", (cert.validity().not_after.timestamp() as u64).to_string().into()));
        }
        if self.sans {
            fields.push(("SAN", sans(&cert).join(",").into()));
        }
        let written = fields.iter().filter(|(_, v)| !v.is_empty());
        written.map(|(k, v)| [k.as_bytes(), b"=\"", v, b"\""].concat()).collect::<Vec<_>>().join(&b';')
    }
}

fn name(name: &X509Name<'_>, parts: &[Part]) -> Vec<u8> {
    let mut written = Vec::new();
    for (short, oid, all) in parts {
        let values = name.iter_attributes().filter(|a| a.attr_type().as_bytes() == *oid).map(|a| text(a.attr_value()));
        let mut values: Vec<Cow<'_, [u8]>> = values.collect();
        if !all {
            values = values.pop().into_iter().collect();
        }
        // An empty domain component is written all the same, as in Traefik.
        let values = values.into_iter().filter(|v| !v.is_empty() || *short == "DC");
        written.extend(values.map(|v| [short.as_bytes(), b"=", &v].concat()));
    }
    written.join(&b',')
}

/// The text of an attribute; only `BMPString` (30) is not bytes of it already.
fn text<'a>(value: &'a x509_parser::asn1_rs::Any<'a>) -> Cow<'a, [u8]> {
    match value.header.tag().0 {
        30 => {
            let units = value.data.chunks_exact(2).map(|b| b.iter().fold(0, |n, b| n << 8 | u16::from(*b)));
            let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
            text.into_bytes().into()
        }
        _ => value.data.into(),
    }
}

/// DNS names, mail addresses, addresses and URIs, kind by kind.
fn sans(cert: &X509Certificate<'_>) -> Vec<String> {
    let mut kinds: [Vec<String>; 4] = Default::default();
    let extension = cert.subject_alternative_name().ok().flatten();
    for name in extension.iter().flat_map(|e| &e.value.general_names) {
        match name {
            GeneralName::DNSName(n) => kinds[0].push((*n).to_owned()),
            GeneralName::RFC822Name(n) => kinds[1].push((*n).to_owned()),
            GeneralName::IPAddress(b) => kinds[2].extend(address(b)),
            GeneralName::URI(u) => kinds[3].push((*u).to_owned()),
            _ => {}
        }
    }
    kinds.concat()
}

fn address(bytes: &[u8]) -> Option<String> {
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some(ip.to_canonical().to_string())
}

/// As Go's `url.QueryEscape`: a space is a plus.
fn query_escape(text: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() * 2);
    for b in text {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(*b)),
            b' ' => out.push('+'),
            _ => out.extend(['%', char::from(HEX[usize::from(b >> 4)]), char::from(HEX[usize::from(b & 15)])]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, exchange, https, run_exchange};
    use std::net::SocketAddr;
    use std::rc::Rc;
    use torana_http::{Peer, TlsFacts};

    const ALL: &str = "info: {notAfter: true, notBefore: true, sans: true, serialNumber: true, subject: {country: true, province: true, locality: true, organization: true, organizationalUnit: true, commonName: true, serialNumber: true, domainComponent: true}, issuer: {country: true, province: true, locality: true, organization: true, commonName: true, serialNumber: true, domainComponent: true}}";
    const SOME: &str = "info: {subject: {commonName: true, organization: true}, issuer: {commonName: false}}";
    const CA: &str = "DC%3Dtest%2CDC%3Dexample%2CC%3DDE%2CO%3DCA%2CSN%3D9%2CCN%3DThe+CA";

    fn base64s(pem: &str) -> Vec<String> {
        let blocks = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
        blocks.map(|b| b.split("-----END").next().unwrap().replace('\n', "")).collect()
    }

    fn sent(config: &str, pem: &str) -> [Option<String>; 2] {
        let certificates = base64s(pem).iter().map(|b| STANDARD.decode(b).unwrap()).collect();
        let mut x = exchange("GET", "/");
        let addr: SocketAddr = "192.0.2.7:4000".parse().unwrap();
        x.peer = Rc::new(Peer::new(addr, addr, Some(Rc::new(TlsFacts { certificates, ..TlsFacts::default() })), "web".into(), false));
        let ran = run_exchange(&build::<PassTlsClientCert>(config), x);
        [CERT, INFO].map(|h| ran.request.headers.get(h).map(|v| String::from_utf8(v.as_bytes().to_vec()).unwrap()))
    }

    /// Each row was observed with Traefik 3.7.15.
    #[test]
    fn says_what_traefik_says() {
        let full = include_str!("pass_tls_client_cert/full.pem");
        let chain = include_str!("pass_tls_client_cert/chain.pem");
        let utf = include_str!("pass_tls_client_cert/utf.pem");
        let noname = include_str!("pass_tls_client_cert/noname.pem");
        for (pem, config, expected) in [
            (full, ALL, "Subject%3D%22DC%3Dorg%2CDC%3Dex%2CC%3DFR%2CC%3DES%2CST%3DSomeState%2CST%3DSecond%2CL%3DTOULOUSE%2CL%3DLYON%2CO%3DCheese%2CO%3DCheese+2%2COU%3DSimple+Signing+Section%2COU%3DTwo%2CSN%3D007%2CCN%3D%2A.cheese.com%22%3BIssuer%3D%22CA%22%3BSerialNumber%3D%2220192265560968774111035004381065%22%3BNB%3D%221795440024%22%3BNA%3D%222054640024%22%3BSAN%3D%22%2A.cheese.org%2Ca.b%2Ct%40x.test%2Cu%40x.test%2C10.0.1.2%2C10.0.1.3%2C2001%3Adb8%3A%3A1%2Chttp%3A%2F%2Fx.test%2FA%2520b%3Fq%3D1%2Cspiffe%3A%2F%2Fx%2Fy%22"),
            (full, SOME, "Subject%3D%22O%3DCheese%2CO%3DCheese+2%2CCN%3D%2A.cheese.com%22"),
            (full, "info: {notAfter: false}", ""),
            (chain, ALL, "Subject%3D%22CN%3Dplain+client%22%3BIssuer%3D%22CA%22%3BSerialNumber%3D%221%22%3BNB%3D%221795440024%22%3BNA%3D%222054640024%22%2CSubject%3D%22DC%3Dtest%2CDC%3Dexample%2CC%3DDE%2CO%3DCA%2COU%3DRoots%2CSN%3D9%2CCN%3DThe+CA%22%3BIssuer%3D%22CA%22%3BSerialNumber%3D%22378194336717185015841727255997877969041915108836%22%3BNB%3D%221795440024%22%3BNA%3D%222110800024%22"),
            (chain, SOME, "Subject%3D%22CN%3Dplain+client%22%2CSubject%3D%22O%3DCA%2CCN%3DThe+CA%22"),
            (chain, "info: {notAfter: false}", "%2C"),
            (utf, ALL, "Subject%3D%22O%3DK%C3%A4se+%26+Co%3B+%22q%22%2CCN%3DJ%C3%BCrgen%2C+%22%3BIssuer%3D%22CA%22%3BSerialNumber%3D%22256%22%3BNB%3D%221795440024%22%3BNA%3D%222054640024%22"),
            (noname, ALL, "Issuer%3D%22CA%22%3BSerialNumber%3D%2277%22%3BNB%3D%221795440024%22%3BNA%3D%222054640024%22%3BSAN%3D%22only.san%22"),
            (noname, SOME, ""),
        ] {
            let expected = expected.replace("Issuer%3D%22CA%22", &format!("Issuer%3D%22{CA}%22"));
            assert_eq!(sent(config, pem), [None, Some(expected)], "{config}");
        }
        for pem in [full, chain, utf, noname] {
            assert_eq!(sent("pem: true", pem), [Some(base64s(pem).join(",")), None]);
        }
    }

    #[test]
    fn without_a_certificate_nothing_changes() {
        for mut x in [exchange("GET", "/"), https("GET", "/")] {
            x.request.headers.insert(CERT, HeaderValue::from_static("theirs"));
            let ran = run_exchange(&build::<PassTlsClientCert>(&format!("pem: true\n{SOME}")), x);
            assert_eq!(ran.request.headers[CERT], "theirs");
            assert!(!ran.request.headers.contains_key(INFO));
        }
        assert_eq!(sent("{}", include_str!("pass_tls_client_cert/full.pem")), [None, None]);
    }

    #[test]
    fn what_is_no_certificate_says_nothing() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END";
        assert_eq!(sent(ALL, pem), [None, Some(String::new())]);
    }
}
