//! The message that passes through a middleware: what a plugin sees of it, and what it changes.

use crate::abi::v0_1::torana::plugin::types::{Answer, Edit, Header};
use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use torana_http::{Body, Exchange, Request, Response};

/// Something a plugin asked to be told; see `types.values`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Header(HeaderName),
    /// `Host` is kept apart from the headers.
    Host,
    Method,
    Scheme,
    Path,
    ClientIp,
    Protocol,
    Router,
    EntryPoint,
    Status,
}

impl Wanted {
    pub(crate) fn parse(name: &str) -> Result<Wanted, String> {
        Ok(match name {
            ":method" => Wanted::Method,
            ":scheme" => Wanted::Scheme,
            ":host" => Wanted::Host,
            ":path" => Wanted::Path,
            ":client-ip" => Wanted::ClientIp,
            ":protocol" => Wanted::Protocol,
            ":router" => Wanted::Router,
            ":entry-point" => Wanted::EntryPoint,
            ":status" => Wanted::Status,
            other if other.eq_ignore_ascii_case("host") => Wanted::Host,
            other => Wanted::Header(HeaderName::from_bytes(other.as_bytes()).map_err(|_| {
                format!("`{other}` is neither a header nor one of :method, :scheme, :host, :path, :client-ip, :protocol, :router, :entry-point, :status")
            })?),
        })
    }

    pub(crate) fn parse_all(names: &[String]) -> Result<Box<[Wanted]>, String> {
        names.iter().map(|n| Wanted::parse(n)).collect()
    }
}

/// What is known about an exchange and is not in its messages.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) client: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) entry_point: Arc<str>,
    pub(crate) router: Option<Arc<str>>,
}

/// An exchange while a plugin holds it: the heads are moved here and back, so that what is rarely asked for
/// costs nothing.
#[derive(Debug)]
pub(crate) struct Passing {
    pub(crate) about: About,
    pub(crate) request: RequestHead,
    pub(crate) request_body: Option<Bytes>,
    pub(crate) response: Option<ResponseHead>,
    pub(crate) response_body: Option<Bytes>,
    pub(crate) user: Option<String>,
}

/// A request without its body, which cannot go to another thread as an instance may.
#[derive(Debug, Default)]
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) path: ByteString,
    pub(crate) query: Option<ByteString>,
    pub(crate) host: ByteString,
    pub(crate) headers: HeaderMap,
}

impl RequestHead {
    /// A copy.
    pub(crate) fn of(r: &Request) -> RequestHead {
        RequestHead {
            method: r.method.clone(),
            version: r.version,
            path: r.path.clone(),
            query: r.query.clone(),
            host: r.host.clone(),
            headers: r.headers.clone(),
        }
    }

    pub(crate) fn take(r: &mut Request) -> RequestHead {
        RequestHead {
            method: std::mem::take(&mut r.method),
            version: r.version,
            path: std::mem::take(&mut r.path),
            query: r.query.take(),
            host: std::mem::take(&mut r.host),
            headers: std::mem::take(&mut r.headers),
        }
    }

    pub(crate) fn put_back(self, r: &mut Request) {
        r.method = self.method;
        r.path = self.path;
        r.query = self.query;
        r.host = self.host;
        r.headers = self.headers;
    }
}

/// What a value is taken from.
#[derive(Clone, Copy)]
pub(crate) struct HeadRef<'a> {
    method: &'a Method,
    version: Version,
    path: &'a str,
    query: Option<&'a str>,
    host: &'a str,
    headers: &'a HeaderMap,
}

impl<'a> From<&'a Request> for HeadRef<'a> {
    fn from(r: &'a Request) -> Self {
        HeadRef { method: &r.method, version: r.version, path: &r.path, query: r.query.as_deref(), host: &r.host, headers: &r.headers }
    }
}

impl<'a> From<&'a RequestHead> for HeadRef<'a> {
    fn from(r: &'a RequestHead) -> Self {
        HeadRef { method: &r.method, version: r.version, path: &r.path, query: r.query.as_deref(), host: &r.host, headers: &r.headers }
    }
}

#[derive(Debug, Default)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(t) => Cow::Borrowed(t),
        Err(_) => Cow::Owned(bytes.iter().map(|b| char::from(*b)).collect()),
    }
}

/// All lines of a header as one text.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut lines = headers.get_all(name).iter();
    let mut all = text(lines.next()?.as_bytes()).into_owned();
    for more in lines {
        all.push_str(", ");
        all.push_str(&text(more.as_bytes()));
    }
    Some(all)
}

pub(crate) fn header_list(headers: &HeaderMap) -> Vec<Header> {
    headers.iter().map(|(n, v)| Header { name: n.as_str().to_owned(), value: text(v.as_bytes()).into_owned() }).collect()
}

pub(crate) fn lines(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    headers.get_all(name).iter().map(|v| v.as_bytes().to_vec()).collect()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// A value of a request for a plugin.
pub(crate) fn request_value<'a>(wanted: &Wanted, request: impl Into<HeadRef<'a>>, about: &About) -> Option<String> {
    let request = request.into();
    Some(match wanted {
        Wanted::Header(name) => return joined(request.headers, name),
        Wanted::Host => request.host.to_owned(),
        Wanted::Method => request.method.as_str().to_owned(),
        Wanted::Scheme => (if about.tls { "https" } else { "http" }).to_owned(),
        Wanted::Path => match request.query {
            Some(q) => format!("{}?{q}", request.path),
            None => request.path.to_owned(),
        },
        Wanted::ClientIp => about.client.ip().to_string(),
        Wanted::Protocol => protocol(request.version).to_owned(),
        Wanted::Router => about.router.as_deref().unwrap_or_default().to_owned(),
        Wanted::EntryPoint => about.entry_point.to_string(),
        Wanted::Status => return None,
    })
}

impl About {
    pub(crate) fn of(exchange: &Exchange) -> About {
        About {
            client: exchange.peer.addr,
            tls: exchange.peer.is_tls(),
            entry_point: exchange.peer.entry_point.clone(),
            router: exchange.router.clone(),
        }
    }
}

/// A value of an exchange whose response is here, for a plugin.
pub(crate) fn response_value(wanted: &Wanted, status: StatusCode, headers: &HeaderMap, request: &Request, about: &About) -> Option<String> {
    match wanted {
        Wanted::Header(name) => joined(headers, name),
        Wanted::Status => Some(status.as_u16().to_string()),
        fact => request_value(fact, request, about),
    }
}

impl Passing {
    /// Takes the request's head out of the exchange.
    pub(crate) fn take(exchange: &mut Exchange, about: About, request_body: Option<Bytes>) -> Passing {
        let request = RequestHead::take(&mut exchange.request);
        Passing { about, request, request_body, response: None, response_body: None, user: None }
    }

    /// Puts it back.
    pub(crate) fn put_back(self, exchange: &mut Exchange) -> Option<ResponseHead> {
        self.request.put_back(&mut exchange.request);
        if self.user.is_some() {
            exchange.user = self.user;
        }
        self.response
    }

    pub(crate) fn request_value(&self, name: &str) -> Option<String> {
        request_value(&Wanted::parse(name).ok()?, &self.request, &self.about)
    }

    pub(crate) fn response_value(&self, name: &str) -> Option<String> {
        let r = self.response.as_ref()?;
        match Wanted::parse(name).ok()? {
            Wanted::Header(name) => joined(&r.headers, &name),
            Wanted::Status => Some(r.status.as_u16().to_string()),
            fact => request_value(&fact, &self.request, &self.about),
        }
    }
}

/// Bounds of what a call may hand back.
#[derive(Clone, Copy)]
pub(crate) struct OutputLimits {
    /// Bytes of names and values.
    pub(crate) headers: usize,
    pub(crate) body: usize,
}

/// Names of headers that a plugin uses again and again, made once.
#[derive(Default)]
pub(crate) struct Names(Vec<(String, HeaderName)>);

/// More names than that are made anew each time.
const MAX_NAMES: usize = 32;

impl Names {
    fn name(&mut self, text: String) -> Result<HeaderName, String> {
        if let Some((_, name)) = self.0.iter().find(|(t, _)| *t == text) {
            return Ok(name.clone());
        }
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("`{text}` is not a header name"))?;
        if is_framing(&name) {
            return Err(format!("the header `{name}` belongs to the gateway, a plugin cannot set it"));
        }
        if self.0.len() < MAX_NAMES {
            self.0.push((text, name.clone()));
        }
        Ok(name)
    }
}

/// Headers that say how a message is framed or what becomes of the connection (RFC 9110, 7.6.1).
fn is_framing(name: &HeaderName) -> bool {
    const OTHERS: [&str; 2] = ["keep-alive", "proxy-connection"];
    matches!(
        *name,
        header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION | header::UPGRADE | header::TE | header::TRAILER
    ) || OTHERS.contains(&name.as_str())
}

fn value(text: String, name: &HeaderName) -> Result<HeaderValue, String> {
    HeaderValue::from_maybe_shared(Bytes::from(text)).map_err(|_| format!("the value of header `{name}` holds a control character"))
}

fn edit_headers(headers: &mut HeaderMap, edit: Edit, names: &mut Names) -> Result<(), String> {
    match edit {
        Edit::SetHeader(h) => {
            let name = names.name(h.name)?;
            let value = value(h.value, &name)?;
            headers.insert(name, value);
        }
        Edit::AddHeader(h) => {
            let name = names.name(h.name)?;
            let value = value(h.value, &name)?;
            headers.append(name, value);
        }
        Edit::RemoveHeader(name) => {
            let name = names.name(name)?;
            headers.remove(name);
        }
        _ => {}
    }
    Ok(())
}

fn size(edit: &Edit) -> usize {
    match edit {
        Edit::SetHeader(h) | Edit::AddHeader(h) => h.name.len() + h.value.len(),
        Edit::RemoveHeader(t) | Edit::Path(t) | Edit::Method(t) | Edit::Host(t) => t.len(),
        Edit::Status(_) | Edit::Body(_) => 0,
    }
}

fn bounded(edits: &[Edit], limits: OutputLimits) -> Result<(), String> {
    let headers: usize = edits.iter().map(size).sum();
    if headers > limits.headers {
        return Err(format!("it handed back {headers} bytes of headers, limits.headers is {}", limits.headers));
    }
    for e in edits {
        if let Edit::Body(b) = e {
            bounded_body(b, limits)?;
        }
    }
    Ok(())
}

fn bounded_body(body: &[u8], limits: OutputLimits) -> Result<(), String> {
    if body.len() > limits.body {
        return Err(format!("it handed back a body of {} bytes, limits.body is {}", body.len(), limits.body));
    }
    Ok(())
}

/// Changes a request, `host` given as the header too. Gives the new body, if there is one. The error is what the
/// plugin did wrong; the request may be half changed then.
pub(crate) fn edit_request(
    request: &mut Request,
    edits: Vec<Edit>,
    names: &mut Names,
    limits: OutputLimits,
) -> Result<Option<Bytes>, String> {
    bounded(&edits, limits)?;
    let mut body = None;
    for edit in edits {
        match edit {
            Edit::SetHeader(h) if h.name.eq_ignore_ascii_case("host") => set_host(request, h.value)?,
            Edit::Host(host) => set_host(request, host)?,
            Edit::Path(target) => set_target(request, target)?,
            Edit::Method(m) => request.method = Method::from_bytes(m.as_bytes()).map_err(|_| format!("`{m}` is not a method"))?,
            Edit::Body(b) => body = Some(Bytes::from(b)),
            Edit::Status(_) => return Err("a request has no status".to_owned()),
            other => edit_headers(&mut request.headers, other, names)?,
        }
    }
    Ok(body)
}

fn set_host(request: &mut Request, host: String) -> Result<(), String> {
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#' | b'@' | b'\\')) {
        return Err(format!("`{host}` is not a host"));
    }
    request.host = host.into();
    Ok(())
}

fn set_target(request: &mut Request, target: String) -> Result<(), String> {
    if !target.starts_with('/') || !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err(format!("`{}` is not a path: it begins with `/` and is escaped", target.escape_debug()));
    }
    let (path, query) = match target.split_once('?') {
        Some((p, q)) => (p.to_owned(), Some(q.into())),
        None => (target, None),
    };
    request.path = path.into();
    request.query = query;
    Ok(())
}

/// Changes a response, in the same way.
pub(crate) fn edit_response(
    head: &mut ResponseHead,
    edits: Vec<Edit>,
    names: &mut Names,
    limits: OutputLimits,
) -> Result<Option<Bytes>, String> {
    bounded(&edits, limits)?;
    let mut body = None;
    for edit in edits {
        match edit {
            Edit::Status(s) => head.status = status(s)?,
            Edit::Body(b) => body = Some(Bytes::from(b)),
            Edit::Path(_) | Edit::Method(_) | Edit::Host(_) => return Err("path, method and host belong to requests".to_owned()),
            other => edit_headers(&mut head.headers, other, names)?,
        }
    }
    Ok(body)
}

fn status(code: u16) -> Result<StatusCode, String> {
    match StatusCode::from_u16(code) {
        Ok(s) if code >= 200 => Ok(s),
        _ => Err(format!("{code} is not the status of an answer")),
    }
}

/// A response that a plugin made.
pub(crate) fn answer(answer: Answer, names: &mut Names, limits: OutputLimits) -> Result<Response, String> {
    let size: usize = answer.headers.iter().map(|h| h.name.len() + h.value.len()).sum();
    if size > limits.headers {
        return Err(format!("it handed back {size} bytes of headers, limits.headers is {}", limits.headers));
    }
    bounded_body(&answer.body, limits)?;
    let mut response = Response::new(if answer.body.is_empty() { Body::Empty } else { Body::Full(answer.body.into()) });
    *response.status_mut() = status(answer.status)?;
    for h in answer.headers {
        // Whoever copies the answer of another server copies its length too; ours is the right one.
        if h.name.eq_ignore_ascii_case("content-length") {
            continue;
        }
        let name = names.name(h.name)?;
        let value = value(h.value, &name)?;
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

/// Puts another body in, with the headers that go with it.
pub(crate) fn set_body(headers: &mut HeaderMap, body: Bytes) -> Body {
    // The length is written by whoever sends the message.
    for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::TRAILER] {
        headers.remove(name);
    }
    if body.is_empty() { Body::Empty } else { Body::Full(body) }
}

/// Text of an error with what led to it, on one line.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    let mut all = String::new();
    for (i, cause) in error.chain().enumerate() {
        let _ = write!(all, "{}{cause}", if i == 0 { "" } else { ": " });
    }
    all.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OutputLimits = OutputLimits { headers: 1000, body: 10 };

    fn request() -> Request {
        let mut r = Request { path: "/a".into(), host: "h".into(), ..Request::default() };
        r.headers.append("x-a", HeaderValue::from_static("1"));
        r.headers.append("x-a", HeaderValue::from_static("2"));
        r
    }

    fn header(name: &str, value: &str) -> Header {
        Header { name: name.into(), value: value.into() }
    }

    #[test]
    fn edits_of_a_request() {
        let mut r = request();
        let edits = vec![
            Edit::SetHeader(header("X-A", "3")),
            Edit::AddHeader(header("x-b", "4")),
            Edit::RemoveHeader("nothing".into()),
            Edit::Path("/b?c=d".into()),
            Edit::Method("PUT".into()),
            Edit::Host("other:81".into()),
            Edit::Body(b"body".to_vec()),
        ];
        let body = edit_request(&mut r, edits, &mut Names::default(), LIMITS).unwrap();
        assert_eq!((r.target().as_str(), r.method.as_str(), &*r.host), ("/b?c=d", "PUT", "other:81"));
        assert_eq!(joined(&r.headers, &HeaderName::from_static("x-a")).as_deref(), Some("3"));
        assert_eq!(body.as_deref(), Some(&b"body"[..]));
    }

    #[test]
    fn edits_that_are_refused() {
        for (edit, part) in [
            (Edit::SetHeader(header("a b", "1")), "not a header name"),
            (Edit::SetHeader(header("a", "1\r\nb: 2")), "control character"),
            (Edit::SetHeader(header("Content-Length", "1")), "belongs to the gateway"),
            (Edit::AddHeader(header("transfer-encoding", "chunked")), "belongs to the gateway"),
            (Edit::Path("b".into()), "not a path"),
            (Edit::Path("/a b".into()), "not a path"),
            (Edit::Path("/a\r\nx".into()), "not a path"),
            (Edit::Method("G T".into()), "not a method"),
            (Edit::Host("a/b".into()), "not a host"),
            (Edit::Status(200), "no status"),
            (Edit::Body(vec![0; 11]), "limits.body"),
            (Edit::SetHeader(header("a", &"x".repeat(1000))), "limits.headers"),
        ] {
            let e = edit_request(&mut request(), vec![edit], &mut Names::default(), LIMITS).unwrap_err();
            assert!(e.contains(part), "{e}");
        }
    }

    #[test]
    fn answers() {
        let make = |status, headers, body: &[u8]| answer(Answer { status, headers, body: body.to_vec() }, &mut Names::default(), LIMITS);
        let r = make(403, vec![header("content-length", "99"), header("x", "y")], b"no").unwrap();
        assert_eq!((r.status().as_u16(), r.headers().len(), r.body().length()), (403, 1, Some(2)));
        assert!(make(101, vec![], b"").is_err() && make(99, vec![], b"").is_err() && make(1000, vec![], b"").is_err());
        assert!(make(200, vec![], &[0; 11]).is_err());
    }

    #[test]
    fn values_of_lines_and_bytes() {
        let mut r = request();
        r.headers.insert("x-b", HeaderValue::from_bytes(b"\xe9t\xe9").unwrap());
        let about = About { client: "[::1]:5".parse().unwrap(), tls: true, entry_point: "web".into(), router: None };
        let v = |n: &str| request_value(&Wanted::parse(n).unwrap(), &r, &about);
        assert_eq!(v("x-a").as_deref(), Some("1, 2"));
        assert_eq!(v("X-B").as_deref(), Some("été"));
        assert_eq!(v("x-c"), None);
        assert_eq!(v(":path").as_deref(), Some("/a"));
        assert_eq!(v("host").as_deref(), Some("h"));
        assert_eq!((v(":scheme").as_deref(), v(":client-ip").as_deref()), (Some("https"), Some("::1")));
        assert!(Wanted::parse(":nothing").is_err() && Wanted::parse("a b").is_err());
    }
}
