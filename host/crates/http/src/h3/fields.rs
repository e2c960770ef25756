//! Fields of messages: what makes a request (RFC 9114, 4.2 and 4.3), and what is written.

use super::frame::{HEADERS, write_header};
use super::qpack::{self, Undecodable};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

/// What a request begins with.
#[derive(Debug, Default, PartialEq)]
pub struct Head {
    pub method: Method,
    /// `None` for CONNECT.
    pub scheme: Option<String>,
    pub authority: Option<String>,
    /// Path and query; `None` for CONNECT.
    pub path: Option<String>,
    pub headers: HeaderMap,
}

/// Why fields are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// An error of the connection.
    Undecodable,
    /// They take more than the limit.
    TooLarge,
    /// An error of the stream.
    Malformed(&'static str),
}

impl From<Undecodable> for HeadError {
    fn from(_: Undecodable) -> Self {
        HeadError::Undecodable
    }
}

/// What each field counts beside its bytes (RFC 9114, 4.2.2).
const FIELD: usize = 32;

/// Fields of one message. One byte may name a whole field, which takes a hundred in memory.
const MOST_FIELDS: usize = 1000;

/// What is left of bytes and of fields.
struct Budget(usize, usize);

impl Budget {
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        self.0 = self.0.checked_sub(name.len() + value.len() + FIELD).ok_or(HeadError::TooLarge)?;
        self.1 = self.1.checked_sub(1).ok_or(HeadError::TooLarge)?;
        Ok(())
    }
}

fn add(headers: &mut HeaderMap, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
    if name.iter().any(u8::is_ascii_uppercase) {
        return Err(HeadError::Malformed("the name of a field has capital letters"));
    }
    let name = HeaderName::from_bytes(name).map_err(|_| HeadError::Malformed("the name of a field"))?;
    let of_connection = matches!(name.as_str(), "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade");
    if of_connection || (name == http::header::TE && !value.eq_ignore_ascii_case(b"trailers")) {
        return Err(HeadError::Malformed("a field that is meant for one connection"));
    }
    let value = HeaderValue::from_bytes(value).map_err(|_| HeadError::Malformed("the value of a field"))?;
    headers.try_append(name, value).map_err(|_| HeadError::TooLarge)?;
    Ok(())
}

fn once(slot: &mut Option<String>, value: &[u8]) -> Result<(), HeadError> {
    let text = std::str::from_utf8(value).map_err(|_| HeadError::Malformed("a pseudo-header is no text"))?;
    match slot.replace(text.to_owned()) {
        Some(_) => Err(HeadError::Malformed("a pseudo-header twice")),
        None => Ok(()),
    }
}

/// Reads the fields that a request begins with; `limit` as in the settings.
pub fn request(block: &[u8], limit: usize) -> Result<Head, HeadError> {
    let mut head = Head::default();
    let (mut method, mut budget) = (None, Budget(limit, MOST_FIELDS));
    qpack::decode(block, |name, value| {
        budget.take(name, value)?;
        let [b':', pseudo @ ..] = name else { return add(&mut head.headers, name, value) };
        if !head.headers.is_empty() {
            return Err(HeadError::Malformed("a pseudo-header after a header"));
        }
        match pseudo {
            b"method" => once(&mut method, value),
            b"scheme" => once(&mut head.scheme, value),
            b"authority" => once(&mut head.authority, value),
            b"path" => once(&mut head.path, value),
            _ => Err(HeadError::Malformed("an unknown pseudo-header")),
        }
    })?;
    let method = method.ok_or(HeadError::Malformed("no method"))?;
    head.method = Method::from_bytes(method.as_bytes()).map_err(|_| HeadError::Malformed("the method"))?;
    let complete = match head.method {
        Method::CONNECT => head.scheme.is_none() && head.path.is_none() && head.authority.is_some(),
        _ => head.scheme.is_some() && head.path.as_ref().is_some_and(|p| !p.is_empty()),
    };
    if complete { Ok(head) } else { Err(HeadError::Malformed("pseudo-headers")) }
}

/// Reads the fields after a body.
pub fn trailers(block: &[u8], limit: usize) -> Result<HeaderMap, HeadError> {
    let (mut all, mut budget) = (HeaderMap::new(), Budget(limit, MOST_FIELDS));
    qpack::decode(block, |name, value| {
        budget.take(name, value)?;
        if name.starts_with(b":") {
            return Err(HeadError::Malformed("a pseudo-header after the body"));
        }
        add(&mut all, name, value)
    })?;
    Ok(all)
}

fn write(block: &[u8], out: &mut Vec<u8>) {
    write_header(HEADERS, block.len() as u64, out);
    out.extend_from_slice(block);
}

fn write_fields(headers: &HeaderMap, block: &mut Vec<u8>) {
    for (name, value) in headers {
        qpack::write(name.as_str(), value.as_bytes(), value.is_sensitive(), block);
    }
}

/// Appends the frame that a response begins with, interim ones too.
pub fn response(status: StatusCode, headers: &HeaderMap, out: &mut Vec<u8>) {
    let mut block = Vec::with_capacity(256);
    qpack::begin(&mut block);
    qpack::write_status(status.as_str(), &mut block);
    write_fields(headers, &mut block);
    write(&block, out);
}

/// Appends the frame of trailers.
pub fn write_trailers(headers: &HeaderMap, out: &mut Vec<u8>) {
    let mut block = Vec::with_capacity(64);
    qpack::begin(&mut block);
    write_fields(headers, &mut block);
    write(&block, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        qpack::begin(&mut out);
        fields.iter().for_each(|(n, v)| qpack::write(n, v.as_bytes(), false, &mut out));
        out
    }

    const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/x?y")];

    fn with(more: &[(&str, &str)]) -> Result<Head, HeadError> {
        request(&block(&[&GET[..], more].concat()), 1000)
    }

    #[test]
    fn requests() {
        let head = with(&[("x-a", "1"), ("x-a", "2"), ("te", "trailers")]).unwrap();
        assert_eq!((head.method, head.scheme.as_deref(), head.authority.as_deref()), (Method::GET, Some("https"), Some("a.test")));
        assert_eq!((head.path.as_deref(), head.headers.get_all("x-a").iter().count()), (Some("/x?y"), 2));
        let connect = request(&block(&[(":method", "CONNECT"), (":authority", "a:1")]), 1000).unwrap();
        assert_eq!((connect.method, connect.path), (Method::CONNECT, None));
    }

    #[test]
    fn malformed_ones() {
        let bad = |more: &[(&str, &str)]| assert!(matches!(with(more), Err(HeadError::Malformed(_))), "{more:?}");
        bad(&[("X-A", "1")]);
        bad(&[("x a", "1")]);
        bad(&[("", "1")]);
        bad(&[("x", "a\nb")]);
        bad(&[("x", "1"), (":path", "/")]);
        bad(&[(":path", "/")]);
        bad(&[(":protocol", "websocket")]);
        bad(&[(":status", "200")]);
        bad(&[("connection", "close")]);
        bad(&[("transfer-encoding", "chunked")]);
        bad(&[("te", "gzip")]);
        for missing in [0, 1, 3] {
            let mut some = GET.to_vec();
            some.remove(missing);
            assert!(matches!(request(&block(&some), 1000), Err(HeadError::Malformed(_))), "{missing}");
        }
        assert!(matches!(request(&block(&[(":method", "CONNECT"), (":path", "/")]), 1000), Err(HeadError::Malformed(_))));
        assert!(matches!(trailers(&block(&[(":path", "/")]), 1000), Err(HeadError::Malformed(_))));
        assert_eq!(trailers(&block(&[("x", "1")]), 1000).unwrap().len(), 1);
        assert_eq!(request(&[9, 9], 1000), Err(HeadError::Undecodable));
    }

    #[test]
    fn small_blocks_may_be_large_heads() {
        // One byte each.
        let many = [&block(&GET)[..], &[0xc0 | 31; 20]].concat();
        assert_eq!(request(&many, 1000), Err(HeadError::TooLarge));
        assert!(request(&many, 4000).is_ok());
        let names: Vec<String> = (0..40_000).map(|i| format!("x{i}")).collect();
        let all: Vec<(&str, &str)> = GET.into_iter().chain(names.iter().map(|n| (n.as_str(), ""))).collect();
        assert_eq!(request(&block(&all), usize::MAX), Err(HeadError::TooLarge));
    }

    #[test]
    fn one_byte_is_not_made_a_field_without_end() {
        // `date` of the static table, with nothing in it, again and again
        let block = |n: usize| [&[0, 0][..], &[0xc0 | 17, 0xc0 | 23, 0xc0 | 1], &vec![0xc0 | 6; n]].concat();
        let authority = b"\x50\x01a";
        let whole = |n: usize| [&block(n)[..5], &authority[..], &block(n)[5..]].concat();
        assert!(request(&whole(900), 1 << 20).is_ok());
        assert_eq!(request(&whole(20_000), 1 << 20), Err(HeadError::TooLarge));
    }
}
