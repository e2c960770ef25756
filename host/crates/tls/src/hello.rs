//! The first message of a TLS client, looked at before the handshake: to route by name and protocol, and to
//! choose the options that hold for the name.

/// A ClientHello that takes more bytes than this, with the headers of its records, is refused. Go has a limit
/// of 64 KiB; the largest ones seen, with keys for post-quantum exchange and tickets, take 4 KiB.
pub const MAX_HELLO: usize = 32 * 1024;

/// What the bytes so far hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peeked {
    /// More are needed; never with [`MAX_HELLO`] bytes or more.
    More,
    /// The client speaks something else.
    NotTls,
    Hello {
        /// In lower case and without a dot at its end. `None` also for names that are no text or empty.
        sni: Option<String>,
        /// As offered, in the client's order.
        alpn: Vec<Vec<u8>>,
    },
    /// It began like TLS.
    Malformed,
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
/// The largest plaintext record (RFC 8446, 5.1).
const MAX_RECORD: usize = 16 * 1024;

#[cfg(test)]
fn peek(bytes: &[u8]) -> Peeked {
    Peeker::default().peek(bytes)
}

/// Looks at the beginning of one connection, as more and more of it comes, and takes nothing away: goes on where it stopped, so that a hello
/// in many small records costs no more than one in few. Never panics, whatever the bytes.
#[derive(Debug, Default)]
pub struct Peeker {
    /// Where the first record begins that is not in `pieces`.
    at: usize,
    /// What the records before it hold.
    pieces: Vec<u8>,
    /// Records looked at, again and again.
    #[cfg(test)]
    looks: usize,
}

impl Peeker {
    /// `bytes` from the first one of the connection, all that has come; never less than the last time.
    pub fn peek(&mut self, bytes: &[u8]) -> Peeked {
        let bytes = bytes.get(..MAX_HELLO).unwrap_or(bytes);
        match self.message(bytes) {
            Ok(Message::Whole(body)) => hello(body).unwrap_or(Peeked::Malformed),
            Ok(Message::Pieces(body)) => hello(&body).unwrap_or(Peeked::Malformed),
            Ok(Message::More) if bytes.len() >= MAX_HELLO => Peeked::Malformed,
            Ok(Message::More) => Peeked::More,
            Err(wrong) => wrong,
        }
    }

    /// The body of the first handshake message, which may be spread over records. Most hellos are one record: then
    /// nothing is copied.
    fn message<'a>(&mut self, bytes: &'a [u8]) -> Result<Message<'a>, Peeked> {
        loop {
            #[cfg(test)]
            {
                self.looks += 1;
            }
            let rest = bytes.get(self.at..).unwrap_or_default();
            let wrong = if self.at == 0 { Peeked::NotTls } else { Peeked::Malformed };
            // A record: type, version (its first byte is 3), length.
            if rest.first().is_some_and(|t| *t != HANDSHAKE) || rest.get(1).is_some_and(|v| *v != 3) {
                return Err(wrong);
            }
            let Some((header, after)) = rest.split_at_checked(5) else { return Ok(Message::More) };
            let length = usize::from(be16(header.get(3..)));
            if length == 0 || length > MAX_RECORD {
                return Err(Peeked::Malformed);
            }
            let content = after.get(..length.min(after.len())).unwrap_or_default();
            if self.pieces.first().or(content.first()).is_some_and(|t| *t != CLIENT_HELLO) {
                return Err(Peeked::Malformed);
            }
            let byte = |i: usize| self.pieces.get(i).or_else(|| content.get(i - self.pieces.len())).copied().map(usize::from);
            if let (Some(high), Some(middle), Some(low)) = (byte(1), byte(2), byte(3)) {
                let wanted = high << 16 | middle << 8 | low;
                if wanted > MAX_HELLO {
                    return Err(Peeked::Malformed);
                }
                if self.pieces.len() + content.len() >= 4 + wanted {
                    if self.pieces.is_empty() {
                        return Ok(Message::Whole(content.get(4..4 + wanted).unwrap_or_default()));
                    }
                    let mut all = std::mem::take(&mut self.pieces);
                    all.extend_from_slice(content);
                    return Ok(Message::Pieces(all.drain(4..4 + wanted).collect()));
                }
            }
            if content.len() < length {
                return Ok(Message::More);
            }
            self.pieces.extend_from_slice(content);
            self.at += 5 + length;
        }
    }
}

/// The same for a message without records around it, as QUIC carries it (RFC 9001, 4.1.3).
pub fn peek_message(bytes: &[u8]) -> Peeked {
    if bytes.first().is_some_and(|t| *t != CLIENT_HELLO) {
        return Peeked::NotTls;
    }
    let Some((header, body)) = bytes.split_at_checked(4) else { return Peeked::More };
    let wanted = usize::from(header.get(1).copied().unwrap_or(0)) << 16 | usize::from(be16(header.get(2..)));
    if wanted > MAX_HELLO {
        return Peeked::Malformed;
    }
    body.get(..wanted).map_or(Peeked::More, |body| hello(body).unwrap_or(Peeked::Malformed))
}

enum Message<'a> {
    More,
    Whole(&'a [u8]),
    Pieces(Vec<u8>),
}

fn be16(bytes: Option<&[u8]>) -> u16 {
    match bytes {
        Some([a, b, ..]) => u16::from_be_bytes([*a, *b]),
        _ => 0,
    }
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|b| be16(Some(b)))
    }

    /// With its length in front, in one byte or two.
    fn short(&mut self) -> Option<Reader<'a>> {
        let n = self.u8()?;
        self.take(n.into()).map(Reader)
    }

    fn long(&mut self) -> Option<Reader<'a>> {
        let n = self.u16()?;
        self.take(n.into()).map(Reader)
    }
}

/// RFC 8446, 4.1.2.
fn hello(body: &[u8]) -> Option<Peeked> {
    let mut r = Reader(body);
    r.take(2 + 32)?; // version and random
    r.short()?; // session
    r.long()?; // cipher suites
    r.short()?; // compression
    let (mut sni, mut alpn) = (None, Vec::new());
    if !r.0.is_empty() {
        let mut extensions = r.long()?;
        let mut seen = (false, false);
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            let content = extensions.long()?;
            match kind {
                SERVER_NAME if !std::mem::replace(&mut seen.0, true) => sni = server_name(content)?,
                ALPN if !std::mem::replace(&mut seen.1, true) => alpn = protocols(content)?,
                // An extension stands there once (RFC 8446, 4.2).
                SERVER_NAME | ALPN => return None,
                _ => {}
            }
        }
    }
    Some(Peeked::Hello { sni, alpn })
}

/// RFC 6066, 3: a list with at most one name of each type, and there is one type.
fn server_name(mut content: Reader<'_>) -> Option<Option<String>> {
    let mut list = content.long()?;
    let mut name = None;
    while !list.0.is_empty() {
        let kind = list.u8()?;
        let text = list.long()?.0;
        if kind == 0 && name.replace(text).is_some() {
            return None;
        }
    }
    Some(name.and_then(|bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        let text = text.strip_suffix('.').unwrap_or(text);
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        plain.then(|| text.to_ascii_lowercase())
    }))
}

/// RFC 7301, 3.1.
fn protocols(mut content: Reader<'_>) -> Option<Vec<Vec<u8>>> {
    let mut list = content.long()?;
    let mut all = Vec::new();
    while !list.0.is_empty() {
        all.push(list.short().filter(|p| !p.0.is_empty())?.0.to_vec());
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use std::sync::Arc;

    fn real(name: &str, alpn: &[&str]) -> Vec<u8> {
        let mut config = ClientConfig::builder_with_provider(crate::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        let mut c = ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
        let mut wire = Vec::new();
        c.write_tls(&mut wire).unwrap();
        wire
    }

    fn hello(sni: Option<&str>, alpn: &[&str]) -> Peeked {
        Peeked::Hello { sni: sni.map(str::to_owned), alpn: alpn.iter().map(|p| p.as_bytes().to_vec()).collect() }
    }

    fn record(content: &[u8]) -> Vec<u8> {
        [&[22, 3, 1][..], &(content.len() as u16).to_be_bytes(), content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &(content.len() as u16).to_be_bytes(), content].concat()
    }

    fn names(all: &[(u8, &[u8])]) -> Vec<u8> {
        let list: Vec<u8> = all.iter().flat_map(|(t, n)| [&[*t][..], &(n.len() as u16).to_be_bytes(), n].concat()).collect();
        extension(SERVER_NAME, &[&(list.len() as u16).to_be_bytes()[..], &list].concat())
    }

    fn made(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        [&[1, 0][..], &(body.len() as u16).to_be_bytes(), &body].concat()
    }

    #[test]
    fn name_and_protocols_of_a_real_client() {
        let wire = real("Www.Example.test", &["h2", "http/1.1"]);
        let expected = hello(Some("www.example.test"), &["h2", "http/1.1"]);
        assert_eq!(peek(&wire), expected);
        assert_eq!(peek(&[&wire[..], b"and what follows"].concat()), expected);
        assert_eq!(peek(&real("127.0.0.1", &[])), hello(None, &[]));
        for cut in 0..wire.len() {
            assert_eq!(peek(&wire[..cut]), Peeked::More, "{cut}");
        }
        // without its record
        assert_eq!(peek_message(&wire[5..]), expected);
        for cut in 5..wire.len() {
            assert_eq!(peek_message(&wire[5..cut]), Peeked::More, "{cut}");
        }
        assert_eq!(peek_message(&[2]), Peeked::NotTls);
        assert_eq!(peek_message(&[1, 1, 0, 0]), Peeked::Malformed);
        assert_eq!(peek_message(&[1, 0, 0, 1, 0]), Peeked::Malformed);
        // the same message in many records, one byte of it in each
        let pieces: Vec<u8> = wire[5..].iter().flat_map(|b| record(&[*b])).collect();
        assert_eq!(peek(&pieces), expected);
        let mut peeker = Peeker::default();
        for cut in 0..pieces.len() {
            assert_eq!(peek(&pieces[..cut]), Peeked::More, "{cut}");
            assert_eq!(peeker.peek(&pieces[..cut]), Peeked::More, "{cut}");
        }
        assert_eq!(peeker.peek(&pieces), expected);
    }

    #[test]
    fn a_drip_costs_no_more_than_its_length() {
        let huge = [&[1, 0, 0x7f, 0xf0][..], &vec![0; 0x7ff0]].concat();
        let drip: Vec<u8> = huge.iter().flat_map(|b| record(&[*b])).take(MAX_HELLO).collect();
        let mut peeker = Peeker::default();
        for end in 0..MAX_HELLO {
            assert_eq!(peeker.peek(&drip[..end]), Peeked::More);
        }
        // one look for what came, one more for each record that ended
        assert!(peeker.looks <= MAX_HELLO + MAX_HELLO / 6 + 1, "{}", peeker.looks);
        assert!(peeker.pieces.len() <= MAX_HELLO / 6 + 1);
        assert_eq!(peeker.peek(&drip), Peeked::Malformed);
    }

    #[test]
    fn names_are_folded() {
        for (name, expected) in [
            (&b"A.Test."[..], Some("a.test")),
            (b"a.test", Some("a.test")),
            (b"", None),
            (b".", None),
            (b"a b", None),
            (b"a\0b", None),
            (b"\xff", None),
            ("é".as_bytes(), None),
        ] {
            assert_eq!(peek(&record(&made(&names(&[(0, name)])))), hello(expected, &[]), "{name:?}");
        }
        assert_eq!(peek(&record(&made(&names(&[(9, b"x"), (0, b"a")])))), hello(Some("a"), &[]));
        assert_eq!(peek(&record(&made(&[]))), hello(None, &[]));
    }

    #[test]
    fn what_is_no_hello() {
        let good = made(&names(&[(0, b"a")]));
        let twice = [names(&[(0, b"a")]), names(&[(0, b"b")])].concat();
        let cut = {
            let mut m = good.clone();
            let n = m.len();
            m[n - 2] = 200; // the length of the name
            m
        };
        let short = [&[1, 0, 0, 10][..], &[3; 10]].concat();
        for (bytes, expected) in [
            (b"GET / HTTP/1.1".to_vec(), Peeked::NotTls),
            (b"PRI * HTTP/2.0".to_vec(), Peeked::NotTls),
            (vec![0x80, 0x2e, 1, 3, 1], Peeked::NotTls),
            (vec![], Peeked::More),
            (vec![22], Peeked::More),
            (vec![22, 2], Peeked::NotTls),
            (vec![22, 3, 1, 0, 0], Peeked::Malformed),
            (vec![22, 3, 1, 0x40, 1], Peeked::Malformed),
            (record(&[2, 0, 0, 1, 0]), Peeked::Malformed),
            (record(&[1, 255, 255, 255]), Peeked::Malformed),
            (record(&short), Peeked::Malformed),
            (record(&cut), Peeked::Malformed),
            (record(&made(&twice)), Peeked::Malformed),
            (record(&made(&names(&[(0, b"a"), (0, b"b")]))), Peeked::Malformed),
            (record(&made(&extension(ALPN, &[0, 1, 0]))), Peeked::Malformed),
            (record(&made(&extension(ALPN, &[0, 2, 5, 1]))), Peeked::Malformed),
            (record(&made(&[0])), Peeked::Malformed),
            ([record(&good[..9]), vec![23, 3, 3, 0, 1, 0]].concat(), Peeked::Malformed),
            // records with a byte each: the limit ends it
            (record(&[1]).into_iter().chain(std::iter::repeat_n(record(&[0x40]), 10).flatten()).collect(), Peeked::Malformed),
        ] {
            assert_eq!(peek(&bytes), expected, "{bytes:?}");
        }
        let huge = [&[1, 0, 0x7f, 0xf0][..], &vec![0; 0x7ff0 - 1]].concat();
        let endless: Vec<u8> = huge.chunks(16000).flat_map(record).collect();
        assert!(endless.len() >= MAX_HELLO - 16);
        let drip: Vec<u8> = huge.iter().flat_map(|b| record(&[*b])).take(MAX_HELLO).collect();
        assert_eq!((peek(&drip[..MAX_HELLO - 1]), peek(&drip)), (Peeked::More, Peeked::Malformed));
        let whole: Vec<u8> = huge.iter().flat_map(|b| record(&[*b])).collect();
        assert_eq!(peek(&whole), Peeked::Malformed);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            peek(&bytes);
            peek(&record(&bytes));
            peek(&record(&made(&bytes)));
        }

        #[test]
        fn damage_is_survived_and_cuts_change_nothing(at in 0usize..400, to in any::<u8>(), cuts in prop::collection::vec(1usize..80, 1..12)) {
            let wire = real("a.test", &["h2"]);
            let mut damaged = wire.clone();
            let n = damaged.len();
            damaged[at % n] = to;
            let whole = peek(&damaged);
            let (mut peeker, mut going) = (Peeker::default(), Peeked::More);
            for end in 0..n {
                // what is told of a part stays true of the whole
                let part = peek(&damaged[..end]);
                prop_assert!(part == Peeked::More || part == whole, "{part:?} {whole:?}");
                if going == Peeked::More {
                    going = peeker.peek(&damaged[..end]);
                    prop_assert_eq!(&going, &part);
                }
            }
            let mut rest = &wire[5..];
            let mut pieces = Vec::new();
            for cut in cuts {
                let (a, b) = rest.split_at(cut.min(rest.len()));
                if !a.is_empty() { pieces.extend(record(a)); }
                rest = b;
            }
            if !rest.is_empty() { pieces.extend(record(rest)); }
            prop_assert_eq!(peek(&pieces), peek(&wire));
        }
    }
}
