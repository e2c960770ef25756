use crate::body::BodyError;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// How a body's end is found (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
    /// Responses only: the body ends with the connection.
    UntilClose,
}

/// Longest line of a chunk size with its extensions.
const MAX_CHUNK_LINE: usize = 4096;
/// Largest trailer section.
const MAX_TRAILERS: usize = 64 * 1024;

/// Takes a body out of the bytes of a connection.
#[derive(Debug)]
pub enum Decoder {
    Length(u64),
    /// Bytes left of the current chunk, then its line end.
    Chunk(u64),
    ChunkEnd,
    ChunkSize,
    Trailers,
    UntilClose,
    Done,
}

#[derive(Debug)]
pub enum Decoded {
    Data(Bytes),
    Trailers(HeaderMap),
    /// The buffer holds too little.
    More,
    End,
}

impl Decoder {
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Decoder::Done,
            Framing::Length(n) => Decoder::Length(n),
            Framing::Chunked => Decoder::ChunkSize,
            Framing::UntilClose => Decoder::UntilClose,
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self, Decoder::Done)
    }

    /// Bytes that the connection is known to carry still: how much to read at once.
    pub fn wanted(&self) -> u64 {
        match self {
            Decoder::Length(n) | Decoder::Chunk(n) => *n,
            Decoder::UntilClose => u64::MAX,
            _ => 0,
        }
    }

    /// Takes the next piece out of `buf`.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Decoded, BodyError> {
        loop {
            match self {
                Decoder::Done => return Ok(Decoded::End),
                Decoder::UntilClose if buf.is_empty() => return Ok(Decoded::More),
                Decoder::UntilClose => return Ok(Decoded::Data(std::mem::take(buf).freeze())),
                Decoder::Length(left) => {
                    if buf.is_empty() {
                        return Ok(Decoded::More);
                    }
                    let data = take(buf, *left);
                    *left -= data.len() as u64;
                    if *left == 0 {
                        *self = Decoder::Done;
                    }
                    return Ok(Decoded::Data(data));
                }
                Decoder::Chunk(left) => {
                    if buf.is_empty() {
                        return Ok(Decoded::More);
                    }
                    let data = take(buf, *left);
                    *left -= data.len() as u64;
                    if *left == 0 {
                        *self = Decoder::ChunkEnd;
                    }
                    return Ok(Decoded::Data(data));
                }
                Decoder::ChunkEnd => {
                    if buf.len() < 2 {
                        return Ok(Decoded::More);
                    }
                    if &buf[..2] != b"\r\n" {
                        return Err(BodyError::Malformed("no line end behind a chunk"));
                    }
                    buf.advance(2);
                    *self = Decoder::ChunkSize;
                }
                Decoder::ChunkSize => match memchr::memchr(b'\n', buf) {
                    end if end.unwrap_or(buf.len()) > MAX_CHUNK_LINE => return Err(BodyError::Malformed("chunk line too long")),
                    None => return Ok(Decoded::More),
                    Some(end) => {
                        let size = chunk_size(&buf[..end])?;
                        buf.advance(end + 1);
                        *self = if size == 0 { Decoder::Trailers } else { Decoder::Chunk(size) };
                    }
                },
                Decoder::Trailers => {
                    if buf.starts_with(b"\r\n") {
                        buf.advance(2);
                        *self = Decoder::Done;
                        return Ok(Decoded::End);
                    }
                    let Some(end) = memchr::memmem::find(buf, b"\r\n\r\n") else {
                        return if buf.len() > MAX_TRAILERS { Err(BodyError::Malformed("trailers too large")) } else { Ok(Decoded::More) };
                    };
                    let section = buf.split_to(end + 4).freeze();
                    *self = Decoder::Done;
                    return trailers(&section).map(Decoded::Trailers);
                }
            }
        }
    }

    /// What the end of the connection means at this point.
    pub fn on_eof(&mut self) -> Result<(), BodyError> {
        match self {
            Decoder::UntilClose | Decoder::Done => {
                *self = Decoder::Done;
                Ok(())
            }
            _ => Err(BodyError::Truncated),
        }
    }
}

/// Up to `limit` bytes from the front; the whole buffer is handed over without a copy.
fn take(buf: &mut BytesMut, limit: u64) -> Bytes {
    if buf.len() as u64 <= limit { std::mem::take(buf).freeze() } else { buf.split_to(limit as usize).freeze() }
}

/// The hex number of a chunk line; extensions are dropped (RFC 9112, 7.1.1).
fn chunk_size(line: &[u8]) -> Result<u64, BodyError> {
    let bad = BodyError::Malformed("bad chunk size");
    let Some(line) = line.strip_suffix(b"\r") else { return Err(BodyError::Malformed("bare line feed in a chunk line")) };
    let digits = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
    // Space may end the line, but not stand before an extension: other parsers do not take it there.
    let rest = &line[digits..];
    if digits == 0 || digits > 15 || !(rest.trim_ascii().is_empty() || rest[0] == b';') || rest.contains(&b'\r') {
        return Err(bad);
    }
    Ok(line[..digits].iter().fold(0, |n, b| n << 4 | u64::from((*b as char).to_digit(16).unwrap_or(0))))
}

/// Fields that may not stand in trailers (RFC 9110, 6.5.1).
fn is_forbidden_trailer(name: &HeaderName) -> bool {
    [header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::HOST, header::TRAILER, header::CONNECTION, header::TE].contains(name)
}

fn trailers(section: &[u8]) -> Result<HeaderMap, BodyError> {
    let bad = || BodyError::Malformed("malformed trailers");
    let mut lines = [httparse::EMPTY_HEADER; 64];
    let httparse::Status::Complete((_, found)) = httparse::parse_headers(section, &mut lines).map_err(|_| bad())? else {
        return Err(bad());
    };
    let mut map = HeaderMap::with_capacity(found.len());
    for line in found {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| bad())?;
        if !is_forbidden_trailer(&name) {
            map.append(name, HeaderValue::from_bytes(line.value).map_err(|_| bad())?);
        }
    }
    Ok(map)
}

/// Frames a body for the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// Bytes that may still be sent.
    Length(u64),
    Chunked,
    UntilClose,
}

impl Encoder {
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(n) => Encoder::Length(n),
            Framing::Chunked => Encoder::Chunked,
            Framing::UntilClose => Encoder::UntilClose,
        }
    }

    /// Appends what goes before `data`, then the data must be sent, then [`Encoder::after`].
    /// A sender that gives more than it declared is an error, not a smuggled message.
    pub fn before(&mut self, data: &Bytes, out: &mut Vec<u8>) -> Result<(), BodyError> {
        match self {
            Encoder::Length(left) => match left.checked_sub(data.len() as u64) {
                Some(n) => *left = n,
                None => return Err(BodyError::Malformed("more body than its declared length")),
            },
            Encoder::Chunked => {
                use std::io::Write;
                let _ = write!(out, "{:x}\r\n", data.len());
            }
            Encoder::UntilClose => {}
        }
        Ok(())
    }

    pub fn after(&self, out: &mut Vec<u8>) {
        if *self == Encoder::Chunked {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Appends what ends the body. An error if less came than was declared.
    pub fn finish(&self, trailers: Option<&HeaderMap>, out: &mut Vec<u8>) -> Result<(), BodyError> {
        match self {
            Encoder::Length(0) | Encoder::UntilClose => Ok(()),
            Encoder::Length(_) => Err(BodyError::Truncated),
            Encoder::Chunked => {
                out.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.into_iter().flatten() {
                    super::head::write_header(out, name, value);
                }
                out.extend_from_slice(b"\r\n");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_all(text: &[u8], step: usize) -> Result<(Vec<u8>, Option<HeaderMap>, usize), BodyError> {
        let mut d = Decoder::new(Framing::Chunked);
        let (mut buf, mut fed, mut data, mut tr) = (BytesMut::new(), 0, Vec::new(), None);
        loop {
            match d.decode(&mut buf)? {
                Decoded::Data(b) => data.extend_from_slice(&b),
                Decoded::Trailers(t) => tr = Some(t),
                Decoded::End => return Ok((data, tr, buf.len() + text.len() - fed)),
                Decoded::More if fed == text.len() => return Err(BodyError::Truncated),
                Decoded::More => {
                    let n = step.min(text.len() - fed);
                    buf.extend_from_slice(&text[fed..fed + n]);
                    fed += n;
                }
            }
        }
    }

    #[test]
    fn chunks_in_any_pieces() {
        let text = b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-T: v\r\nContent-Length: 9\r\n\r\nGET";
        for step in 1..text.len() {
            let (data, tr, rest) = decode_all(text, step).unwrap();
            assert_eq!((data.as_slice(), rest), (&b"hello world"[..], 3), "step {step}");
            let tr = tr.unwrap();
            assert_eq!((tr.len(), tr["x-t"].as_bytes()), (1, &b"v"[..]));
        }
    }

    #[test]
    fn bad_chunks() {
        for text in [
            &b"5\nhello\r\n"[..],
            b"x\r\n",
            b"\r\n",
            b"-1\r\n",
            b"5\r\nhelloXX0\r\n\r\n",
            b"5 5\r\nhello",
            b"ffffffffffffffff1\r\n",
            b"0x5\r\nhello\r\n",
            b"5\r\rhello\n",
            b"5 ;x\r\nhello\r\n",
        ] {
            assert!(matches!(decode_all(text, 64), Err(BodyError::Malformed(_))), "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn chunk_lines_are_short() {
        let text = [b"5;", &[b'x'; 5000][..], b"\r\nhello\r\n0\r\n\r\n"].concat();
        assert!(matches!(decode_all(&text, text.len()), Err(BodyError::Malformed(_))));
        assert!(decode_all(b"5 \r\nhello\r\n0\r\n\r\n", 64).is_ok());
    }

    #[test]
    fn an_encoder_holds_a_sender_to_its_word() {
        let mut out = Vec::new();
        let mut e = Encoder::new(Framing::Length(3));
        assert!(e.before(&Bytes::from_static(b"ab"), &mut out).is_ok());
        assert!(matches!(e.finish(None, &mut out), Err(BodyError::Truncated)));
        assert!(e.before(&Bytes::from_static(b"cd"), &mut out).is_err());
    }
}
