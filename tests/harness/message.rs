//! HTTP/1 messages, read without interpretation.

use std::io::{self, BufRead};

/// Header lines in order, names as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// Lines up to the empty one.
    fn read(r: &mut impl BufRead) -> io::Result<Headers> {
        let mut headers = Headers::default();
        loop {
            let line = line(r)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                return Ok(headers);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other(format!("no header line: {line:?}")))?;
            headers.0.push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

/// A line without its CRLF; `None` at the end.
fn line(r: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if r.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if !line.ends_with(b"\r\n") {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("a line ends early: {:?}", String::from_utf8_lossy(&line))));
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).map(Some).map_err(io::Error::other)
}

/// Start line and headers; `None` if the connection ended before.
pub(crate) fn head(r: &mut impl BufRead) -> io::Result<Option<(String, Headers)>> {
    let Some(start) = line(r)? else { return Ok(None) };
    Ok(Some((start, Headers::read(r)?)))
}

/// One chunk; `None` for the last one, of which the trailers are not read.
pub(crate) fn chunk(r: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let size = line(r)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let size = usize::from_str_radix(&size, 16).map_err(|_| io::Error::other(format!("no chunk size: {size:?}")))?;
    if size == 0 {
        return Ok(None);
    }
    let mut data = vec![0; size];
    r.read_exact(&mut data)?;
    match line(r)?.as_deref() {
        Some("") => Ok(Some(data)),
        other => Err(io::Error::other(format!("{other:?} behind a chunk"))),
    }
}

/// The body and trailers that belong to `headers`. `until_close`: without a length it ends with the
/// connection.
pub(crate) fn body(r: &mut impl BufRead, headers: &Headers, until_close: bool) -> io::Result<(Vec<u8>, Headers)> {
    let mut body = Vec::new();
    if headers.one("transfer-encoding").is_some() {
        while let Some(data) = chunk(r)? {
            body.extend(data);
        }
        return Ok((body, Headers::read(r)?));
    }
    match headers.one("content-length") {
        Some(n) => {
            body.resize(n.parse().map_err(io::Error::other)?, 0);
            r.read_exact(&mut body)?;
        }
        None if until_close => _ = r.read_to_end(&mut body)?,
        None => {}
    }
    Ok((body, Headers::default()))
}

/// A request as a backend saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// Number of the connection it came on, from 0.
    pub(crate) connection: usize,
    pub(crate) version: String,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
}

impl Request {
    /// The request line taken apart.
    pub(crate) fn of_head(connection: usize, start: &str, headers: Headers) -> Request {
        let mut parts = start.split(' ').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        Request { connection, method: part(), target: part(), version: part(), headers, ..Request::default() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.one(name)
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}
