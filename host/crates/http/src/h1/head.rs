use super::framing::Framing;
use crate::hop;
use bytes::Bytes;
use bytestring::ByteString;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};

/// Header lines that a head may have.
const MAX_HEADERS: usize = 16 * 1024;
/// Lines that are looked for first, without touching the heap.
const USUAL_HEADERS: usize = 64;

/// Why a request head is refused. Always the end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// 400, with what is wrong.
    Bad(&'static str),
    /// 431
    TooLarge,
    /// 505
    Version,
    /// 501: a transfer coding other than `chunked`.
    Coding,
    /// 417: an expectation other than `100-continue`.
    Expectation,
}

impl HeadError {
    pub fn status(self) -> StatusCode {
        match self {
            HeadError::Bad(_) => StatusCode::BAD_REQUEST,
            HeadError::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            HeadError::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            HeadError::Coding => StatusCode::NOT_IMPLEMENTED,
            HeadError::Expectation => StatusCode::EXPECTATION_FAILED,
        }
    }
}

#[derive(Debug)]
pub struct RequestHead {
    pub method: Method,
    pub version: Version,
    /// As received: origin form, absolute form, authority form or `*`.
    pub target: ByteString,
    pub host: ByteString,
    /// Without `Host` and `Transfer-Encoding`.
    pub headers: HeaderMap,
    pub framing: Framing,
    pub keep_alive: bool,
    pub expect_continue: bool,
}

#[derive(Debug)]
pub struct ResponseHead {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub framing: Framing,
    pub keep_alive: bool,
}

/// Empty lines before a request line are skipped (RFC 9112, 2.2); nothing else is.
fn after_blank_lines(head: &[u8]) -> &[u8] {
    let blank = head.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    &head[blank..]
}

/// Length of the head at the start of `buf`, found without parsing it: cheap on each new piece.
fn head_length(buf: &[u8], scanned: usize) -> Option<usize> {
    // Empty lines before a request line are skipped (RFC 9112, 2.2).
    let blank = buf.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let start = scanned.saturating_sub(3).max(blank);
    memchr::memchr_iter(b'\n', buf.get(start..)?).find_map(|i| {
        let next = start + i + 1;
        match buf.get(next..)? {
            [b'\n', ..] => Some(next + 1),
            [b'\r', b'\n', ..] => Some(next + 2),
            _ => None,
        }
    })
}

type Spans<'a> = &'a [httparse::Header<'a>];

fn head_error(e: httparse::Error) -> HeadError {
    use httparse::Error;
    match e {
        Error::TooManyHeaders => HeadError::TooLarge,
        Error::Version => HeadError::Version,
        Error::HeaderName => HeadError::Bad("malformed header name"),
        Error::HeaderValue => HeadError::Bad("malformed header value"),
        Error::NewLine => HeadError::Bad("malformed line end"),
        Error::Token => HeadError::Bad("malformed request line"),
        Error::Status => HeadError::Bad("malformed status line"),
    }
}

/// A slice of `head` as shared bytes.
fn slice(head: &Bytes, part: &[u8]) -> Bytes {
    if part.is_empty() { Bytes::new() } else { head.slice_ref(part) }
}

impl RequestHead {
    /// Parses a head at the start of `buf`; `None` while it is incomplete (`scanned` bytes of it were
    /// looked at before). Gives the head and its length.
    pub fn parse(buf: &[u8], scanned: usize) -> Result<Option<(RequestHead, usize)>, HeadError> {
        let Some(length) = head_length(buf, scanned) else {
            // What cannot become a request line is refused before the rest of the head comes.
            let stray = buf.first().is_some_and(|b| *b < b' ' && !matches!(b, b'\r' | b'\n'));
            return if stray { Err(HeadError::Bad("malformed request line")) } else { Ok(None) };
        };
        let head = Bytes::copy_from_slice(&buf[..length]);
        let mut few = [httparse::EMPTY_HEADER; USUAL_HEADERS];
        let mut many;
        let mut request = httparse::Request::new(&mut few);
        let mut parsed = request.parse(&head);
        if parsed == Err(httparse::Error::TooManyHeaders) {
            many = vec![httparse::EMPTY_HEADER; line_count(&head)];
            request = httparse::Request::new(&mut many);
            parsed = request.parse(&head);
        }
        match parsed {
            Err(httparse::Error::Version) => return Self::parse_as_1_1(&head),
            Err(httparse::Error::Token) if !head.is_ascii() => return Self::parse_escaped(&head),
            _ => {}
        }
        match (parsed.map_err(head_error)?, request.method, request.path, request.version) {
            (httparse::Status::Complete(_), Some(method), Some(target), Some(minor)) => {
                Self::build(&head, method, target, minor, request.headers).map(|h| Some((h, length)))
            }
            _ => Err(HeadError::Bad("malformed head")),
        }
    }

    /// A head of another version: a later HTTP/1 is served as HTTP/1.1 (RFC 9110, 2.5), another major
    /// version is not, and what is no version at all is no request.
    #[cold]
    fn parse_as_1_1(head: &[u8]) -> Result<Option<(RequestHead, usize)>, HeadError> {
        let line = after_blank_lines(head).split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
        match line.splitn(3, |b| *b == b' ').nth(2) {
            Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9']) => {
                let mut head = head.to_vec();
                let at = head.len() - after_blank_lines(&head).len() + line.len() - 1;
                debug_assert_eq!(head.get(at), Some(minor));
                if let Some(b) = head.get_mut(at) {
                    *b = b'1';
                }
                Self::parse(&head, 0)
            }
            Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']) => Err(HeadError::Version),
            _ => Err(HeadError::Bad("malformed HTTP version")),
        }
    }

    /// A head whose target is no UTF-8, as old clients send it: the bytes above ASCII are escaped.
    #[cold]
    fn parse_escaped(head: &[u8]) -> Result<Option<(RequestHead, usize)>, HeadError> {
        let bad = HeadError::Bad("malformed request line");
        let head_start = after_blank_lines(head);
        let (line, rest) = head_start.split_at(memchr::memchr(b'\n', head_start).unwrap_or(head_start.len()));
        let (method, target) = line.split_at(memchr::memchr(b' ', line).ok_or(bad)?);
        if !method.is_ascii() || target.is_ascii() {
            return Err(bad);
        }
        let mut escaped = method.to_vec();
        for b in target {
            if b.is_ascii() { escaped.push(*b) } else { escaped.extend_from_slice(format!("%{b:02X}").as_bytes()) }
        }
        escaped.extend_from_slice(rest);
        Ok(Self::parse(&escaped, 0)?.map(|(h, _)| (h, head.len())))
    }

    fn build(head: &Bytes, method: &str, target: &str, minor: u8, lines: Spans<'_>) -> Result<RequestHead, HeadError> {
        let version = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
        let mut headers = HeaderMap::with_capacity(lines.len() + 8);
        let mut host: Option<&[u8]> = None;
        let mut length: Option<u64> = None;
        let mut chunked = false;
        let mut keep_alive = minor == 1;
        let mut expect_continue = false;
        for line in lines {
            let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| HeadError::Bad("malformed header name"))?;
            let value = trim(line.value);
            if name == header::HOST {
                if host.replace(value).is_some() {
                    return Err(HeadError::Bad("too many Host headers"));
                }
                continue;
            }
            if name == header::CONTENT_LENGTH {
                let n = parse_length(value).ok_or(HeadError::Bad("bad Content-Length"))?;
                if length.replace(n).is_some_and(|before| before != n) {
                    return Err(HeadError::Bad("differing Content-Length headers"));
                }
                // For rules and middlewares to see; what leaves is framed by the body itself.
                headers.insert(name, HeaderValue::from(n));
                continue;
            }
            if name == header::TRANSFER_ENCODING {
                if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadError::Coding);
                }
                chunked = true;
                continue;
            }
            if name == header::CONNECTION {
                for token in value.split(|b| *b == b',').map(trim) {
                    if token.eq_ignore_ascii_case(b"close") {
                        keep_alive = false;
                    } else if minor == 0 && token.eq_ignore_ascii_case(b"keep-alive") {
                        keep_alive = true;
                    }
                }
            }
            if name == header::EXPECT && !value.is_empty() {
                expect_continue = value.split(|b| *b == b',').any(|t| trim(t).eq_ignore_ascii_case(b"100-continue"));
                if !expect_continue {
                    return Err(HeadError::Expectation);
                }
            }
            let value = HeaderValue::from_maybe_shared(slice(head, value)).map_err(|_| HeadError::Bad("malformed header value"))?;
            headers.try_append(name, value).map_err(|_| HeadError::TooLarge)?;
        }
        if chunked && length.is_some() {
            return Err(HeadError::Bad("Content-Length beside Transfer-Encoding"));
        }
        if chunked && minor == 0 {
            return Err(HeadError::Bad("Transfer-Encoding in HTTP/1.0"));
        }
        if chunked && headers.get_all(header::TRAILER).iter().any(names_framing) {
            return Err(HeadError::Bad("forbidden name in Trailer"));
        }
        let host = match host {
            None if minor == 1 => return Err(HeadError::Bad("missing Host header")),
            None => ByteString::new(),
            Some(h) if !h.iter().all(|b| is_host_byte(*b)) => return Err(HeadError::Bad("malformed Host header")),
            Some(h) => ByteString::try_from(slice(head, h)).map_err(|_| HeadError::Bad("malformed Host header"))?,
        };
        let framing = match (chunked, length) {
            (true, _) => Framing::Chunked,
            (false, Some(n)) if n > 0 => Framing::Length(n),
            (false, _) => Framing::Length(0),
        };
        expect_continue &= minor == 1 && framing != Framing::Length(0);
        Ok(RequestHead {
            method: Method::from_bytes(method.as_bytes()).map_err(|_| HeadError::Bad("malformed method"))?,
            version,
            target: ByteString::try_from(slice(head, target.as_bytes())).map_err(|_| HeadError::Bad("malformed request target"))?,
            host,
            headers,
            framing,
            keep_alive,
            expect_continue,
        })
    }
}

impl ResponseHead {
    /// Parses a response to a request with `method`. The framing headers leave the map; for answers that
    /// have no body (`HEAD`, 304) `Content-Length` stays, as it says what a body would have had.
    pub fn parse(buf: &[u8], scanned: usize, method: &Method) -> Result<Option<(ResponseHead, usize)>, &'static str> {
        // Only a server may skip blank lines: before a response they are bytes that nobody asked for.
        if matches!(buf.first(), Some(b'\r' | b'\n')) {
            return Err("malformed response head");
        }
        let Some(length) = head_length(buf, scanned) else { return Ok(None) };
        let head = Bytes::copy_from_slice(&buf[..length]);
        let mut config = httparse::ParserConfig::default();
        config.allow_spaces_after_header_name_in_responses(true);
        config.allow_obsolete_multiline_headers_in_responses(true);
        let mut few = [httparse::EMPTY_HEADER; USUAL_HEADERS];
        let mut many;
        let mut response = httparse::Response::new(&mut few);
        let mut parsed = config.parse_response(&mut response, &head);
        if parsed == Err(httparse::Error::TooManyHeaders) {
            many = vec![httparse::EMPTY_HEADER; line_count(&head)];
            response = httparse::Response::new(&mut many);
            parsed = config.parse_response(&mut response, &head);
        }
        match (parsed.map_err(|_| "malformed response head")?, response.code, response.version) {
            (httparse::Status::Complete(_), Some(code), Some(minor)) => {
                Self::build(&head, code, minor, response.headers, method).map(|h| Some((h, length)))
            }
            _ => Err("malformed response head"),
        }
    }

    fn build(head: &Bytes, code: u16, minor: u8, lines: Spans<'_>, method: &Method) -> Result<ResponseHead, &'static str> {
        let status = StatusCode::from_u16(code).map_err(|_| "status code out of range")?;
        let mut headers = HeaderMap::with_capacity(lines.len() + 2);
        let mut length: Option<u64> = None;
        let mut chunked = false;
        let mut keep_alive = minor == 1;
        for line in lines {
            let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| "malformed header name")?;
            let value = trim(line.value);
            if name == header::CONTENT_LENGTH {
                let n = parse_length(value).ok_or("bad Content-Length")?;
                if length.replace(n).is_some_and(|before| before != n) {
                    return Err("differing Content-Length headers");
                }
                continue;
            }
            if name == header::TRANSFER_ENCODING && minor == 1 {
                if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err("unsupported transfer encoding");
                }
                chunked = true;
                continue;
            }
            if name == header::CONNECTION {
                for token in value.split(|b| *b == b',').map(trim) {
                    if token.eq_ignore_ascii_case(b"close") {
                        keep_alive = false;
                    } else if minor == 0 && token.eq_ignore_ascii_case(b"keep-alive") {
                        keep_alive = true;
                    }
                }
            }
            // An obsolete fold is made a space, as RFC 9112, 5.2 asks of a gateway.
            let value = if memchr::memchr2(b'\r', b'\n', value).is_some() {
                HeaderValue::from_bytes(&unfold(value))
            } else {
                HeaderValue::from_maybe_shared(slice(head, value))
            };
            headers.try_append(name, value.map_err(|_| "malformed header value")?).map_err(|_| "too many headers")?;
        }
        let bodiless =
            *method == Method::HEAD || status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        if headers.contains_key(header::TRAILER) {
            // Only chunks can be followed by trailers, though `HEAD` may tell of them.
            match hop::announced_trailers(&headers).filter(|_| chunked) {
                Some(t) => headers.insert(header::TRAILER, t),
                None => headers.remove(header::TRAILER),
            };
        }
        let framing = match (bodiless, chunked, length) {
            (true, _, _) => Framing::Length(0),
            (_, true, _) => Framing::Chunked,
            (_, _, Some(n)) => Framing::Length(n),
            _ => Framing::UntilClose,
        };
        if let (true, Some(n), false) = (bodiless, length, status.is_informational() || status == StatusCode::NO_CONTENT) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(n));
        }
        keep_alive &= framing != Framing::UntilClose;
        Ok(ResponseHead { status, headers, framing, keep_alive })
    }
}

fn unfold(value: &[u8]) -> Vec<u8> {
    value.split(|b| *b == b'\n').map(trim).collect::<Vec<_>>().join(&b' ')
}

fn trim(mut v: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r', rest @ ..] = v {
        v = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\r'] = v {
        v = rest;
    }
    v
}

/// Digits only: no sign, no list (RFC 9110, 8.6); no more than a signed number holds, as servers do not
/// agree about what is.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0'))).filter(|n| *n <= i64::MAX as u64)
}

/// Room for the headers of an unusually long head.
fn line_count(head: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', head).count().min(MAX_HEADERS)
}

/// Whether `Trailer` announces a field that says where the message ends.
fn names_framing(trailer: &HeaderValue) -> bool {
    trailer
        .as_bytes()
        .split(|b| *b == b',')
        .map(trim)
        .any(|t| [&b"transfer-encoding"[..], b"content-length", b"trailer"].iter().any(|f| t.eq_ignore_ascii_case(f)))
}

/// What may stand in `Host`: host characters of RFC 3986, brackets and the port's colon.
pub fn is_host_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'['
                | b']'
        )
}

/// How a name is written on the wire: each word's first letter in upper case, as Go does.
pub fn write_name(out: &mut Vec<u8>, name: &HeaderName) {
    let start = out.len();
    out.extend_from_slice(name.as_str().as_bytes());
    let mut upper = true;
    for b in &mut out[start..] {
        if upper {
            b.make_ascii_uppercase();
        }
        upper = *b == b'-';
    }
}

pub fn write_header(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    write_name(out, name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `HTTP/1.1 200 OK` and its line end.
pub fn write_status_line(out: &mut Vec<u8>, version: Version, status: StatusCode) {
    out.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    match status.canonical_reason() {
        Some(reason) => out.extend_from_slice(reason.as_bytes()),
        None => {
            out.extend_from_slice(b"status code ");
            out.extend_from_slice(status.as_str().as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<Option<(RequestHead, usize)>, HeadError> {
        RequestHead::parse(text.replace('\n', "\r\n").as_bytes(), 0)
    }

    #[test]
    fn reads_a_request() {
        let (h, n) = request("POST /a?b=c HTTP/1.1\nHost: h.test\nX-A: 1\nx-a:  2 \nContent-Length: 3\n\nabc").unwrap().unwrap();
        assert_eq!((h.method, &*h.target, &*h.host, h.framing, h.keep_alive), (Method::POST, "/a?b=c", "h.test", Framing::Length(3), true));
        assert_eq!(h.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(n, "POST /a?b=c HTTP/1.1\nHost: h.test\nX-A: 1\nx-a:  2 \nContent-Length: 3\n\n".replace('\n', "\r\n").len());
        assert!(request("GET / HTTP/1.1\nHost: x\n").unwrap().is_none());
    }

    #[test]
    fn refuses_what_is_ambiguous() {
        for (text, error) in [
            ("GET / HTTP/1.1\n\n", "missing Host header"),
            ("GET / HTTP/1.1\nHost: a\nHost: a\n\n", "too many Host headers"),
            ("GET / HTTP/1.1\nHost: a b\n\n", "malformed Host header"),
            ("GET / HTTP/1.1\nHost: a/b\n\n", "malformed Host header"),
            ("POST / HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n", "Content-Length beside Transfer-Encoding"),
            ("POST / HTTP/1.1\nHost: a\nContent-Length: 1\nContent-Length: 2\n\n", "differing Content-Length headers"),
            ("POST / HTTP/1.1\nHost: a\nContent-Length: +1\n\n", "bad Content-Length"),
            ("POST / HTTP/1.1\nHost: a\nContent-Length: 1, 1\n\n", "bad Content-Length"),
            ("POST / HTTP/1.0\nTransfer-Encoding: chunked\n\n", "Transfer-Encoding in HTTP/1.0"),
            ("POST / HTTP/1.1\nHost: a\nContent-Length: 9223372036854775808\n\n", "bad Content-Length"),
            ("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTrailer: X, content-length\n\n", "forbidden name in Trailer"),
            ("GET / http/1.1\nHost: a\n\n", "malformed HTTP version"),
            ("GET /a b HTTP/1.1\nHost: a\n\n", "malformed HTTP version"),
            ("GET / HTTP/1.1\nHost: a\nX: 1\n folded\n\n", "malformed header name"),
            ("GET / HTTP/1.1\nHost : a\n\n", "malformed header name"),
        ] {
            assert_eq!(request(text).unwrap_err(), HeadError::Bad(error), "{text}");
        }
        assert_eq!(request("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked\n\n").unwrap_err(), HeadError::Coding);
        assert_eq!(
            request("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n").unwrap_err(),
            HeadError::Coding
        );
        assert_eq!(request("GET / HTTP/1.1\nHost: a\nExpect: more\n\n").unwrap_err(), HeadError::Expectation);
        for version in ["HTTP/3.7", "HTTP/2.0", "HTTP/0.9"] {
            assert_eq!(request(&format!("GET / {version}\nHost: a\n\n")).unwrap_err(), HeadError::Version, "{version}");
        }
    }

    #[test]
    fn reads_what_is_unusual() {
        let (h, n) = request("\nGET /x HTTP/1.7\nHost: a\n\n").unwrap().unwrap();
        assert_eq!((h.version, &*h.target, n), (Version::HTTP_11, "/x", 30));
        let (h, _) = RequestHead::parse(b"GET /\xe9?\xff HTTP/1.1\r\nHost: a\r\n\r\n", 0).unwrap().unwrap();
        assert_eq!(&*h.target, "/%E9?%FF");
        assert!(RequestHead::parse(b"G\xe9T / HTTP/1.1\r\nHost: a\r\n\r\n", 0).is_err());
        let many: String = (0..3000).map(|i| format!("X-{i}: v\n")).collect();
        assert_eq!(request(&format!("GET / HTTP/1.1\nHost: a\n{many}\n")).unwrap().unwrap().0.headers.len(), 3000);
    }

    #[test]
    fn reads_a_response() {
        let (h, _) =
            ResponseHead::parse(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: a\r\n b\r\n\r\nok", 0, &Method::GET).unwrap().unwrap();
        assert_eq!((h.status.as_u16(), h.framing, h.keep_alive), (200, Framing::Length(2), true));
        assert_eq!(h.headers["x"], "a b");
        assert!(ResponseHead::parse(b"\r\nHTTP/1.1 200 OK\r\n\r\n", 0, &Method::GET).is_err());
        let (h, _) = ResponseHead::parse(b"HTTP/1.0 200 OK\r\n\r\n", 0, &Method::GET).unwrap().unwrap();
        assert_eq!((h.framing, h.keep_alive), (Framing::UntilClose, false));
        let (h, _) = ResponseHead::parse(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 0, &Method::GET).unwrap().unwrap();
        assert_eq!((h.framing, h.headers[header::CONTENT_LENGTH].as_bytes()), (Framing::Length(0), &b"9"[..]));
    }

    #[test]
    fn names_are_written_as_go_does() {
        let mut out = Vec::new();
        write_name(&mut out, &HeaderName::from_static("x-real-ip"));
        assert_eq!(out, b"X-Real-Ip");
    }
}
