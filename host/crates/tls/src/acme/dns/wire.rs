//! The few messages of DNS that challenges need: questions, answers (RFC 1035), updates (RFC 2136), and their
//! signatures (RFC 8945).

use aws_lc_rs::hmac;

pub(crate) const A: u16 = 1;
pub(crate) const NS: u16 = 2;
pub(crate) const CNAME: u16 = 5;
pub(crate) const SOA: u16 = 6;
pub(crate) const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;
const TSIG: u16 = 250;
const CLASS_IN: u16 = 1;
const CLASS_NONE: u16 = 254;
const CLASS_ANY: u16 = 255;
/// Seconds that two clocks may differ.
const FUDGE: u16 = 300;

/// A record of an answer; names are lower case, with the dot of the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) kind: u16,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Name(String),
    Text(Vec<u8>),
    Ip(std::net::IpAddr),
    Other,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) id: u16,
    pub(crate) code: u8,
    pub(crate) truncated: bool,
    pub(crate) answers: Vec<Record>,
    /// Authority and additional records.
    pub(crate) others: Vec<Record>,
    signature: Option<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    /// Where its record begins.
    at: usize,
    mac: Vec<u8>,
    time: [u8; 6],
    fudge: u16,
    error: u16,
    other: Vec<u8>,
}

/// A question.
pub(crate) fn question(id: u16, name: &str, kind: u16, recursion: bool) -> Option<Vec<u8>> {
    let mut m = head(id, if recursion { 0x0100 } else { 0 }, [1, 0, 0, 0]);
    put_name(&mut m, name)?;
    put16(&mut m, kind);
    put16(&mut m, CLASS_IN);
    Some(m)
}

/// An update of `zone` that adds the text `value` at `name`, or takes just that one away.
pub(crate) fn update(id: u16, zone: &str, name: &str, value: &str, ttl: u32, add: bool) -> Option<Vec<u8>> {
    let mut m = head(id, 5 << 11, [1, 0, 1, 0]);
    put_name(&mut m, zone)?;
    put16(&mut m, SOA);
    put16(&mut m, CLASS_IN);
    put_name(&mut m, name)?;
    put16(&mut m, TXT);
    put16(&mut m, if add { CLASS_IN } else { CLASS_NONE });
    m.extend(if add { ttl } else { 0 }.to_be_bytes());
    let len = u8::try_from(value.len()).ok()?;
    put16(&mut m, u16::from(len) + 1);
    m.push(len);
    m.extend(value.as_bytes());
    Some(m)
}

/// A key that messages are signed with.
pub(crate) struct TsigKey {
    name: Vec<u8>,
    algorithm: Vec<u8>,
    key: hmac::Key,
}

impl TsigKey {
    /// `algorithm` such as `hmac-sha256`, with or without a dot behind it.
    pub(crate) fn new(name: &str, algorithm: &str, secret: &[u8]) -> Result<Self, String> {
        let plain = algorithm.trim_end_matches('.').to_ascii_lowercase();
        let kind = match plain.as_str() {
            "hmac-sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            "hmac-sha224" => hmac::HMAC_SHA224,
            "hmac-sha256" => hmac::HMAC_SHA256,
            "hmac-sha384" => hmac::HMAC_SHA384,
            "hmac-sha512" => hmac::HMAC_SHA512,
            _ => {
                return Err(format!(
                    "`{algorithm}` is not known here: write hmac-sha256, hmac-sha512, hmac-sha384, hmac-sha224 or hmac-sha1"
                ));
            }
        };
        let wire = |text: &str| {
            let mut out = Vec::new();
            put_name(&mut out, &text.to_ascii_lowercase()).map(|()| out).ok_or_else(|| format!("`{text}` is no name of a key"))
        };
        Ok(TsigKey { name: wire(name)?, algorithm: wire(&plain)?, key: hmac::Key::new(kind, secret) })
    }

    fn variables(&self, time: [u8; 6], fudge: u16, error: u16, other: &[u8]) -> Vec<u8> {
        let mut v = self.name.clone();
        put16(&mut v, CLASS_ANY);
        v.extend([0; 4]);
        v.extend(&self.algorithm);
        v.extend(time);
        put16(&mut v, fudge);
        put16(&mut v, error);
        put16(&mut v, other.len() as u16);
        v.extend(other);
        v
    }

    /// Puts the signature behind a message, and returns its code, which the answer is checked with. `now`: seconds
    /// of Unix time.
    pub(crate) fn sign(&self, message: &mut Vec<u8>, now: u64) -> Vec<u8> {
        let time: [u8; 6] = now.to_be_bytes()[2..].try_into().unwrap_or_default();
        let mut signed = message.clone();
        signed.extend(self.variables(time, FUDGE, 0, &[]));
        let mac = hmac::sign(&self.key, &signed).as_ref().to_vec();
        let id = [message[0], message[1]];
        message.extend(&self.name);
        put16(message, TSIG);
        put16(message, CLASS_ANY);
        message.extend([0; 4]);
        put16(message, (self.algorithm.len() + 16 + mac.len()) as u16);
        message.extend(&self.algorithm);
        message.extend(time);
        put16(message, FUDGE);
        put16(message, mac.len() as u16);
        message.extend(&mac);
        message.extend(id);
        message.extend([0; 4]);
        // the number of additional records
        let count = u16::from_be_bytes([message[10], message[11]]) + 1;
        message[10..12].copy_from_slice(&count.to_be_bytes());
        mac
    }

    /// Checks the signature of an answer to the request that `mac` was the code of.
    pub(crate) fn verify(&self, bytes: &[u8], answer: &Answer, mac: &[u8], now: u64) -> Result<(), String> {
        let Some(s) = &answer.signature else { return Err("the answer is not signed".to_owned()) };
        match s.error {
            0 => {}
            16 => return Err("the server refuses the signature (BADSIG): is the secret right?".to_owned()),
            17 => return Err("the server does not know the key (BADKEY): are its name and algorithm right?".to_owned()),
            18 => return Err("the server's clock and ours differ too much (BADTIME)".to_owned()),
            other => return Err(format!("the server refuses the signature (error {other})")),
        }
        let mut signed = Vec::with_capacity(bytes.len() + 200);
        put16(&mut signed, mac.len() as u16);
        signed.extend(mac);
        let message = bytes.get(..s.at).filter(|m| m.len() >= 12).ok_or("the answer is cut off")?;
        signed.extend(&message[..10]);
        put16(&mut signed, u16::from_be_bytes([message[10], message[11]]).saturating_sub(1));
        signed.extend(&message[12..]);
        signed.extend(self.variables(s.time, s.fudge, s.error, &s.other));
        hmac::verify(&self.key, &signed, &s.mac).map_err(|_| "the signature of the answer is wrong".to_owned())?;
        let [a, b, c, d, e, f] = s.time;
        if now.abs_diff(u64::from_be_bytes([0, 0, a, b, c, d, e, f])) > u64::from(s.fudge) {
            return Err("the answer was signed at another time: do the clocks differ?".to_owned());
        }
        Ok(())
    }
}

/// What a code of an answer means (RFC 1035, RFC 2136).
pub(crate) fn code_name(code: u8) -> &'static str {
    match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        _ => "an error",
    }
}

/// Reads an answer; `None` for what is none.
pub(crate) fn parse(bytes: &[u8]) -> Option<Answer> {
    let mut r = Reader { bytes, at: 0 };
    let (id, flags) = (r.u16()?, r.u16()?);
    let counts = [r.u16()?, r.u16()?, r.u16()?, r.u16()?];
    if flags & 0x8000 == 0 {
        return None;
    }
    let mut out = Answer { id, code: (flags & 15) as u8, truncated: flags & 0x0200 != 0, ..Answer::default() };
    for _ in 0..counts[0] {
        r.name()?;
        r.skip(4)?;
    }
    for (section, count) in counts.into_iter().enumerate().skip(1) {
        for _ in 0..count {
            let at = r.at;
            let name = r.name()?;
            let kind = r.u16()?;
            r.skip(6)?;
            let len = usize::from(r.u16()?);
            let end = r.at.checked_add(len).filter(|e| *e <= bytes.len())?;
            if kind == TSIG {
                out.signature = Some(signature(&mut r, at)?);
            } else {
                let value = r.value(kind, end)?;
                let record = Record { name, kind, value };
                if section == 1 { &mut out.answers } else { &mut out.others }.push(record);
            }
            r.at = end;
        }
    }
    Some(out)
}

fn signature(r: &mut Reader<'_>, at: usize) -> Option<Signature> {
    r.name()?;
    let time = r.take(6)?.try_into().ok()?;
    let fudge = r.u16()?;
    let len = r.u16()?;
    let mac = r.take(len.into())?.to_vec();
    let (_, error, len) = (r.u16()?, r.u16()?, r.u16()?);
    Some(Signature { at, mac, time, fudge, error, other: r.take(len.into())?.to_vec() })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let out = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(out)
    }

    fn skip(&mut self, len: usize) -> Option<()> {
        self.take(len).map(|_| ())
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    /// A name, following pointers that only lead backwards.
    fn name(&mut self) -> Option<String> {
        let (mut at, mut after, mut out) = (self.at, None, String::new());
        loop {
            let len = *self.bytes.get(at)?;
            match len {
                0 => {
                    self.at = after.unwrap_or(at + 1);
                    return Some(if out.is_empty() { ".".to_owned() } else { out });
                }
                1..=63 => {
                    let label = self.bytes.get(at + 1..at + 1 + usize::from(len))?;
                    out.extend(label.iter().map(|b| char::from(*b).to_ascii_lowercase()));
                    out.push('.');
                    at += 1 + usize::from(len);
                    if out.chars().count() > 255 {
                        return None;
                    }
                }
                192.. => {
                    let to = usize::from(len & 63) << 8 | usize::from(*self.bytes.get(at + 1)?);
                    after.get_or_insert(at + 2);
                    if to >= at {
                        return None;
                    }
                    at = to;
                }
                _ => return None,
            }
        }
    }

    fn value(&mut self, kind: u16, end: usize) -> Option<Value> {
        Some(match kind {
            NS | CNAME => Value::Name(self.name()?),
            TXT => {
                let mut text = Vec::new();
                while self.at < end {
                    let len = self.take(1)?[0];
                    text.extend(self.take(len.into())?);
                }
                Value::Text(text)
            }
            A => Value::Ip(<[u8; 4]>::try_from(self.bytes.get(self.at..end)?).ok()?.into()),
            AAAA => Value::Ip(<[u8; 16]>::try_from(self.bytes.get(self.at..end)?).ok()?.into()),
            _ => Value::Other,
        })
    }
}

fn head(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    for n in [id, flags].into_iter().chain(counts) {
        put16(&mut out, n);
    }
    out
}

fn put16(out: &mut Vec<u8>, n: u16) {
    out.extend(n.to_be_bytes());
}

/// `None` for what is no name.
fn put_name(out: &mut Vec<u8>, name: &str) -> Option<()> {
    let name = name.trim_end_matches('.');
    if name.len() > 253 {
        return None;
    }
    for label in name.split('.').filter(|_| !name.is_empty()) {
        let len = u8::try_from(label.len()).ok().filter(|l| (1..=63).contains(l))?;
        out.push(len);
        out.extend(label.as_bytes());
    }
    out.push(0);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers() {
        let q = question(7, "_acme-challenge.A.test.", TXT, true).unwrap();
        assert_eq!(&q[..14], [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 15, b'_']);
        // the same as an answer, with an alias and a text behind it, names compressed
        let mut a = q.clone();
        a[2] = 0x81;
        a[7] = 2;
        a.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 1, 0, 4, 1, b'X', 0xc0, 28]);
        a.extend([1, b'x', 0xc0, 28, 0, 16, 0, 1, 0, 0, 0, 1, 0, 5, 1, b'a', 2, b'b', b'c']);
        let answer = parse(&a).unwrap();
        assert_eq!((answer.id, answer.code, answer.truncated), (7, 0, false));
        assert_eq!(answer.answers[0].value, Value::Name("x.a.test.".into()));
        assert_eq!((answer.answers[1].name.as_str(), &answer.answers[1].value), ("x.a.test.", &Value::Text(b"abc".to_vec())));
        assert!(parse(&q).is_none(), "a question is no answer");
        for bad in ["a..b", &"x".repeat(64), &format!("{}a", "a.".repeat(127))] {
            assert!(question(1, bad, A, false).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_pointer_in_a_circle_ends() {
        let mut a = head(1, 0x8000, [1, 0, 0, 0]);
        a.extend([0xc0, 12, 0, 1, 0, 1]);
        assert!(parse(&a).is_none());
    }

    #[test]
    fn signatures_hold_and_break() {
        let key = TsigKey::new("Key.", "hmac-sha256.", b"secret").unwrap();
        let mut request = update(9, "test.", "_acme-challenge.a.test.", "v", 120, true).unwrap();
        let mac = key.sign(&mut request, 1_700_000_000);
        assert_eq!((mac.len(), request[11]), (32, 1));
        // an answer that is signed as a server does it: over the code of the request first
        let plain = head(9, 0xa800, [0, 0, 0, 0]);
        let time = 1_700_000_010u64.to_be_bytes()[2..].try_into().unwrap();
        let mut signed = vec![0, 32];
        signed.extend(&mac);
        signed.extend(&plain);
        signed.extend(key.variables(time, FUDGE, 0, &[]));
        let code = hmac::sign(&key.key, &signed);
        let mut answer = plain;
        answer[11] = 1;
        answer.extend(&key.name);
        answer.extend([0, 250, 0, 255, 0, 0, 0, 0]);
        put16(&mut answer, (key.algorithm.len() + 16 + 32) as u16);
        answer.extend(&key.algorithm);
        answer.extend(time);
        put16(&mut answer, FUDGE);
        put16(&mut answer, 32);
        answer.extend(code.as_ref());
        answer.extend([0, 9, 0, 0, 0, 0]);
        let parsed = parse(&answer).unwrap();
        assert_eq!(key.verify(&answer, &parsed, &mac, 1_700_000_020), Ok(()));
        assert!(key.verify(&answer, &parsed, &mac, 1_700_009_000).unwrap_err().contains("clocks"));
        assert!(key.verify(&answer, &parsed, &[0; 32], 1_700_000_020).unwrap_err().contains("wrong"));
        let mut forged = answer.clone();
        forged[3] = 5;
        assert!(key.verify(&forged, &parse(&forged).unwrap(), &mac, 1_700_000_020).is_err());
        assert!(TsigKey::new("k", "hmac-md5", b"").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let key = TsigKey::new("k", "hmac-sha512", b"s").unwrap();
            let mut bytes = bytes;
            if let Some(answer) = parse(&bytes) {
                let _ = key.verify(&bytes, &answer, b"m", 0);
            }
            if bytes.len() > 12 {
                bytes[2] |= 0x80;
                bytes[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 1, 0, 1]);
                let _ = parse(&bytes);
            }
        }

        #[test]
        fn no_name_panics(name in "\\PC{0,80}") {
            let _ = question(1, &name, A, true);
            let _ = update(1, &name, &name, &name, 1, true);
        }
    }
}
