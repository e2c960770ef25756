//! The messages of OCSP (RFC 6960), as far as stapling needs them: the request is made, and an answer is read
//! and verified. Signatures are left to webpki.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use sha1::{Digest, Sha1};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::time::ASN1Time;

/// `id-kp-OCSPSigning`, 1.3.6.1.5.5.7.3.9.
const OCSP_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 9];
/// `id-ad-ocsp`, 1.3.6.1.5.5.7.48.1.
const RESPONDER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1];
/// `id-pkix-ocsp-basic`, 1.3.6.1.5.5.7.48.1.1.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1];
/// SHA-1 as an AlgorithmIdentifier; it finds a certificate here, and vouches for nothing.
const SHA1: &[u8] = &[0x30, 9, 6, 5, 0x2b, 14, 3, 2, 0x1a, 5, 0];

/// A certificate as a responder knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertId {
    name_hash: [u8; 20],
    key_hash: [u8; 20],
    /// As DER has it.
    serial: Vec<u8>,
}

/// What is asked, and of whom.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) id: CertId,
    /// The first responder that the certificate names.
    pub(crate) url: String,
    pub(crate) issuer: CertificateDer<'static>,
}

/// An answer that says that the certificate is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) this_update: SystemTime,
    pub(crate) next_update: SystemTime,
}

impl Question {
    /// `None` for a certificate that names no responder over HTTP. The issuer is the second certificate of the
    /// chain, and the first where it is alone.
    pub(crate) fn of(chain: &[CertificateDer<'static>]) -> Option<Question> {
        let leaf = chain.first()?;
        let issuer = chain.get(1).unwrap_or(leaf);
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
        let (_, authority) = x509_parser::parse_x509_certificate(issuer).ok()?;
        Some(Question { id: CertId::of(&parsed, &authority), url: responder(&parsed)?, issuer: issuer.clone() })
    }

    /// RFC 6960, 4.1.1: one certificate, no nonce (it would defeat the caches of responders).
    pub(crate) fn to_der(&self) -> Vec<u8> {
        let id = [SHA1, &tlv(4, &self.id.name_hash), &tlv(4, &self.id.key_hash), &tlv(2, &self.id.serial)].concat();
        let mut der = tlv(0x30, &id);
        // request, list of requests, request without signature, and all of it
        for _ in 0..4 {
            der = tlv(0x30, &der);
        }
        der
    }
}

impl CertId {
    fn of(cert: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> CertId {
        CertId {
            name_hash: Sha1::digest(cert.issuer().as_raw()).into(),
            key_hash: Sha1::digest(&issuer.public_key().subject_public_key.data).into(),
            serial: cert.raw_serial().to_vec(),
        }
    }
}

fn responder(cert: &X509Certificate<'_>) -> Option<String> {
    cert.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(all) => all.accessdescs.iter().find_map(|a| match a.access_location {
            GeneralName::URI(uri) if a.access_method.as_bytes() == RESPONDER => Some(uri.to_owned()),
            _ => None,
        }),
        _ => None,
    })
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let n = content.len();
    let length: Vec<u8> = match n {
        0..=127 => vec![n as u8],
        128..=255 => vec![0x81, n as u8],
        _ => vec![0x82, (n >> 8) as u8, n as u8],
    };
    [&[tag], length.as_slice(), content].concat()
}

/// Takes elements from the front, each with the bytes that it stands in.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<(u32, &'a [u8], &'a [u8])> {
        let (rest, any) = Any::from_der(self.0).ok()?;
        let raw = self.0.get(..self.0.len() - rest.len())?;
        self.0 = rest;
        let tag = any.header.tag().0 | if any.header.class() as u8 == 2 { CONTEXT } else { 0 };
        Some((tag, any.data, raw))
    }

    /// The content of an element that must have this tag.
    fn take(&mut self, tag: u32) -> Option<&'a [u8]> {
        self.next().filter(|(t, _, _)| *t == tag).map(|(_, content, _)| content)
    }

    /// The content of an element that may be left out.
    fn take_if(&mut self, tag: u32) -> Option<&'a [u8]> {
        let mut ahead = Der(self.0);
        let content = ahead.take(tag)?;
        self.0 = ahead.0;
        Some(content)
    }
}

const CONTEXT: u32 = 0x100;
const SEQUENCE: u32 = 16;
const OCTETS: u32 = 4;

/// Reads and verifies: the answer is for this certificate, signed by its issuer or by a responder to whom the
/// issuer gave that right, says `good`, and holds at `now`.
pub(crate) fn verify(
    der: &[u8],
    question: &Question,
    algorithms: &WebPkiSupportedAlgorithms,
    now: SystemTime,
) -> Result<Answer, &'static str> {
    const MALFORMED: &str = "the answer is malformed";
    let basic = basic(der)?;
    let mut parts = Der(basic);
    let (_, tbs_content, tbs) = parts.next().filter(|p| p.0 == SEQUENCE).ok_or(MALFORMED)?;
    let algorithm = parts.take(SEQUENCE).ok_or(MALFORMED)?;
    let signature = parts.take(3).and_then(|bits| bits.strip_prefix(&[0])).ok_or(MALFORMED)?;
    let signed_by = parts.take_if(CONTEXT).map(|list| Der(list).take(SEQUENCE).ok_or(MALFORMED)).transpose()?;
    let algorithms: Vec<_> = algorithms.all.iter().copied().filter(|a| a.signature_alg_id().as_ref() == algorithm).collect();
    let signs = |cert: &CertificateDer<'_>| {
        let cert = webpki::EndEntityCert::try_from(cert).ok()?;
        algorithms.iter().any(|a| cert.verify_signature(*a, tbs, signature).is_ok()).then_some(())
    };
    let delegated = || {
        let mut list = Der(signed_by?);
        while let Some((SEQUENCE, _, raw)) = list.next() {
            let cert = CertificateDer::from(raw);
            if signs(&cert).is_some() && may_sign(&cert, question, now) {
                return Some(());
            }
        }
        None
    };
    signs(&question.issuer).or_else(delegated).ok_or("the answer is not signed by the issuer of the certificate")?;
    single(tbs_content, &question.id, now)
}

/// The BasicOCSPResponse inside.
fn basic(der: &[u8]) -> Result<&[u8], &'static str> {
    const MALFORMED: &str = "the answer is malformed";
    let mut outer = Der(Der(der).take(SEQUENCE).ok_or(MALFORMED)?);
    match outer.take(10).ok_or(MALFORMED)? {
        [0] => {}
        [1] => return Err("the responder found the request malformed"),
        [3] => return Err("the responder asks to try later"),
        [6] => return Err("the responder does not answer for this certificate"),
        _ => return Err("the responder has no answer"),
    }
    let bytes = outer.take(CONTEXT).and_then(|b| Der(b).take(SEQUENCE)).ok_or(MALFORMED)?;
    let mut bytes = Der(bytes);
    if bytes.take(6) != Some(BASIC) {
        return Err("the answer is of an unknown kind");
    }
    bytes.take(OCTETS).and_then(|b| Der(b).take(SEQUENCE)).ok_or(MALFORMED)
}

/// Whether the issuer lets this certificate sign answers (RFC 6960, 4.2.2.2).
fn may_sign(cert: &CertificateDer<'_>, question: &Question, now: SystemTime) -> bool {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let Ok(anchor) = webpki::anchor_from_trusted_cert(&question.issuer) else { return false };
    let Ok(cert) = webpki::EndEntityCert::try_from(cert) else { return false };
    let usage = webpki::KeyUsage::required(OCSP_SIGNING);
    let algorithms = crate::provider().signature_verification_algorithms.all;
    cert.verify_for_usage(algorithms, &[anchor], &[], UnixTime::since_unix_epoch(since), usage, None, None).is_ok()
}

/// What ResponseData says of this certificate.
fn single(data: &[u8], id: &CertId, now: SystemTime) -> Result<Answer, &'static str> {
    const MALFORMED: &str = "the answer is malformed";
    let mut data = Der(data);
    data.take_if(CONTEXT); // version
    data.next().ok_or(MALFORMED)?; // who answers
    data.next().ok_or(MALFORMED)?; // when
    let mut all = Der(data.take(SEQUENCE).ok_or(MALFORMED)?);
    while let Some((SEQUENCE, content, _)) = all.next() {
        let mut one = Der(content);
        let mut asked = Der(one.take(SEQUENCE).ok_or(MALFORMED)?);
        asked.next().ok_or(MALFORMED)?; // the hash
        if (asked.take(OCTETS), asked.take(OCTETS), asked.take(2)) != (Some(&id.name_hash), Some(&id.key_hash), Some(&id.serial)) {
            continue;
        }
        match one.next().ok_or(MALFORMED)?.0 {
            CONTEXT => {}
            0x101 => return Err("the certificate is revoked"),
            _ => return Err("the responder does not know the certificate"),
        }
        let (_, _, this_update) = one.next().ok_or(MALFORMED)?;
        let this_update = time(this_update).ok_or(MALFORMED)?;
        let next_update = match one.take_if(CONTEXT) {
            Some(next) => time(next).ok_or(MALFORMED)?,
            // newer answers are there at all times
            None => this_update.max(now) + Duration::from_secs(3600),
        };
        // Clocks differ a little.
        if this_update > now + Duration::from_secs(300) || next_update <= now || next_update <= this_update {
            return Err("the answer is out of date");
        }
        return Ok(Answer { this_update, next_update });
    }
    Err("the answer is about another certificate")
}

fn time(der: &[u8]) -> Option<SystemTime> {
    let (_, time) = ASN1Time::from_der(der).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(time.timestamp()).ok()?))
}
