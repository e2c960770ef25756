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

/// Reads from the first byte of a connection and takes none away. Never panics, whatever the bytes.
pub fn peek(bytes: &[u8]) -> Peeked {
    // Most hellos are one record: then nothing is copied.
    match message(bytes) {
        Ok(Message::Whole(body)) => hello(body).unwrap_or(Peeked::Malformed),
        Ok(Message::Pieces(body)) => hello(&body).unwrap_or(Peeked::Malformed),
        Ok(Message::More) if bytes.len() >= MAX_HELLO => Peeked::Malformed,
        Ok(Message::More) => Peeked::More,
        Err(wrong) => wrong,
    }
}

enum Message<'a> {
    More,
    Whole(&'a [u8]),
    Pieces(Vec<u8>),
}

/// The body of the first handshake message, which may be spread over records.
fn message(bytes: &[u8]) -> Result<Message<'_>, Peeked> {
    let mut pieces: Vec<u8> = Vec::new();
    let mut rest = bytes;
    let mut first = true;
    loop {
        let wrong = if first { Peeked::NotTls } else { Peeked::Malformed };
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
        if first && content.first().is_some_and(|t| *t != CLIENT_HELLO) {
            return Err(Peeked::Malformed);
        }
        let so_far = if pieces.is_empty() { content } else { &[] };
        if !pieces.is_empty() {
            pieces.extend_from_slice(content);
        }
        let all = if pieces.is_empty() { so_far } else { &pieces };
        if let Some((header, body)) = all.split_at_checked(4) {
            let wanted = usize::from(header.get(1).copied().unwrap_or(0)) << 16 | usize::from(be16(header.get(2..)));
            if wanted > MAX_HELLO {
                return Err(Peeked::Malformed);
            }
            if body.len() >= wanted {
                return Ok(match pieces.is_empty() {
                    true => Message::Whole(content.get(4..4 + wanted).unwrap_or_default()),
                    false => Message::Pieces(pieces.drain(4..4 + wanted).collect()),
                });
            }
        }
        if content.len() < length {
            return Ok(Message::More);
        }
        if first {
            pieces.extend_from_slice(content);
        }
        first = false;
        rest = after.get(length..).unwrap_or_default();
    }
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
