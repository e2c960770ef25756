//! One exchange as a guest sees it, with what it may do when.

use super::answer::Answer;
use super::upload::Upload;
use crate::passing::RequestHead;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use std::net::SocketAddr;

/// Bit of `enable_features`: what the guest reads of the request's body goes on all the same.
pub(super) const BUFFER_REQUEST: u32 = 1;
/// Bit of `enable_features`: the response is held back until `handle_response` has seen it.
pub(super) const BUFFER_RESPONSE: u32 = 2;

/// Why a guest is stopped.
pub(super) type Refusal = String;

/// Where a header stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    /// Those of the response, whichever were asked for: so it is in Traefik.
    Trailers,
}

impl Kind {
    pub(super) fn of(number: u32) -> Result<Kind, Refusal> {
        match number {
            0 => Ok(Kind::Request),
            1 => Ok(Kind::Response),
            2 | 3 => Ok(Kind::Trailers),
            _ => Err(format!("{number} is no kind of headers")),
        }
    }
}

/// How a header is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Set,
    Add,
    Remove,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(super) source: SocketAddr,
    pub(super) request: RequestHead,
    pub(super) upload: Upload,
    pub(super) answer: Answer,
    /// Enabled for this exchange.
    features: u32,
    /// `handle_response` is running.
    after_next: bool,
    /// Bytes of names and values that the guest may still hand over.
    room: usize,
}

/// Of nobody: stands where one has been taken out.
impl Default for Message {
    fn default() -> Message {
        let nobody = SocketAddr::from(([0; 4], 0));
        let none = crate::passing::OutputLimits { headers: 0, body: 0 };
        Message::new(nobody, RequestHead::default(), Upload::default(), 0, none)
    }
}

impl Message {
    /// `features`: those enabled when the guest started.
    pub(super) fn new(
        source: SocketAddr,
        request: RequestHead,
        upload: Upload,
        features: u32,
        limits: crate::passing::OutputLimits,
    ) -> Message {
        let answer = Answer::new(features & BUFFER_RESPONSE != 0, limits.body);
        Message { source, request, upload, answer, features: 0, after_next: false, room: limits.headers }.enabled(features)
    }

    fn enabled(mut self, features: u32) -> Message {
        self.enable(features);
        self
    }

    /// Gives all that are enabled. What would come too late has no effect.
    pub(super) fn enable(&mut self, features: u32) -> u32 {
        let late = if self.after_next { BUFFER_RESPONSE } else { 0 };
        self.features |= features & !late;
        if self.features & BUFFER_REQUEST != 0 {
            self.upload.keep();
        }
        if self.features & BUFFER_RESPONSE != 0 {
            self.answer.hold_back();
        }
        self.features | features
    }

    /// From here on `handle_response` looks at it.
    pub(super) fn pass_on(&mut self) {
        self.after_next = true;
    }

    fn request_open(&self, what: &str) -> Result<(), Refusal> {
        if self.after_next { Err(format!("it changes the {what} of a request that has gone on")) } else { Ok(()) }
    }

    fn response_open(&self, what: &str) -> Result<(), Refusal> {
        if self.after_next && self.features & BUFFER_RESPONSE == 0 {
            return Err(format!("it reaches for the {what} of a response that has gone on: it has to enable the feature buffer_response"));
        }
        Ok(())
    }

    fn headers(&self, kind: Kind) -> &HeaderMap {
        match kind {
            Kind::Request => &self.request.headers,
            Kind::Response => &self.answer.headers,
            Kind::Trailers => &self.answer.trailers,
        }
    }

    /// In lower case and in order.
    pub(super) fn names(&self, kind: Kind) -> Vec<&[u8]> {
        let mut names: Vec<&[u8]> = self.headers(kind).keys().map(|n| n.as_str().as_bytes()).collect();
        if kind == Kind::Request && !self.request.host.is_empty() && !self.request.headers.contains_key(header::HOST) {
            names.push(b"host");
        }
        // In Traefik its place is taken, so that Go's server does not find one out.
        if kind == Kind::Response && !self.answer.untyped && !self.answer.headers.contains_key(header::CONTENT_TYPE) {
            names.push(b"content-type");
        }
        names.sort_unstable();
        names
    }

    pub(super) fn values(&self, kind: Kind, name: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
        if name.is_empty() {
            return Err("it asks for a header without a name".to_owned());
        }
        if kind == Kind::Request && name.eq_ignore_ascii_case(b"host") {
            return Ok(vec![self.request.host.as_bytes()]);
        }
        // What is no name of a header is none of a header that is there.
        let Ok(name) = HeaderName::from_bytes(name) else { return Ok(Vec::new()) };
        Ok(self.headers(kind).get_all(name).iter().map(HeaderValue::as_bytes).collect())
    }

    pub(super) fn change(&mut self, kind: Kind, change: Change, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        match kind {
            Kind::Request => self.request_open("headers")?,
            Kind::Response | Kind::Trailers => self.response_open("headers")?,
        }
        if name.is_empty() {
            return Err("it changes a header without a name".to_owned());
        }
        let size = name.len() + value.len();
        self.room = self.room.checked_sub(size).ok_or("it hands over more headers than limits.headers allows")?;
        let Ok(name) = HeaderName::from_bytes(name) else {
            let shown = String::from_utf8_lossy(name).escape_debug().to_string();
            // A response goes without it, as from Go's server.
            return if kind == Kind::Request && change != Change::Remove {
                Err(format!("`{shown}` is no name of a header"))
            } else {
                Ok(())
            };
        };
        let headers = match kind {
            Kind::Request => &mut self.request.headers,
            Kind::Response => &mut self.answer.headers,
            Kind::Trailers => &mut self.answer.trailers,
        };
        if kind == Kind::Response && name == header::CONTENT_TYPE {
            self.answer.untyped = change == Change::Remove;
        }
        if change == Change::Remove {
            headers.remove(name);
            return Ok(());
        }
        let value = match kind {
            Kind::Request => HeaderValue::from_bytes(value),
            Kind::Response | Kind::Trailers => on_one_line(value),
        };
        let value = value.map_err(|_| format!("the value of header `{name}` holds a control character"))?;
        let full = |_| "it hands over too many headers".to_owned();
        // Traefik replaces trailers where it should add one more; so it is here.
        match (change, kind) {
            (Change::Add, Kind::Request | Kind::Response) => headers.try_append(name, value).map(drop).map_err(full),
            _ => headers.try_insert(name, value).map(drop).map_err(full),
        }
    }

    pub(super) fn set_method(&mut self, method: &[u8]) -> Result<(), Refusal> {
        self.request_open("method")?;
        self.request.method =
            Method::from_bytes(method).map_err(|_| format!("`{}` is no method", String::from_utf8_lossy(method).escape_debug()))?;
        Ok(())
    }

    pub(super) fn uri(&self) -> String {
        let path = if self.request.path.is_empty() { "/" } else { &*self.request.path };
        match &self.request.query {
            Some(q) => format!("{path}?{q}"),
            None => path.to_owned(),
        }
    }

    pub(super) fn set_uri(&mut self, uri: &[u8]) -> Result<(), Refusal> {
        self.request_open("URI")?;
        let (path, query) = super::uri::parse(uri)?;
        self.request.path = path.into();
        self.request.query = query.map(Into::into);
        Ok(())
    }

    /// As Go calls it.
    pub(super) fn protocol(&self) -> &'static str {
        match self.request.version {
            Version::HTTP_09 | Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2.0",
            Version::HTTP_3 => "HTTP/3.0",
            _ => "HTTP/1.1",
        }
    }

    pub(super) fn status(&self) -> Result<u32, Refusal> {
        self.answer.status().map(|s| s.as_u16().into())
    }

    pub(super) fn set_status(&mut self, code: u32) -> Result<(), Refusal> {
        self.response_open("status")?;
        self.answer.set_status(code)
    }

    pub(super) fn write_request(&mut self, body: &[u8]) -> Result<(), Refusal> {
        self.request_open("body")?;
        self.upload.write(body)
    }

    pub(super) fn write_response(&mut self, body: &[u8]) -> Result<(), Refusal> {
        self.response_open("body")?;
        self.answer.write(body)
    }

    /// Fills `buf` as far as the response's body goes; whether it ends there.
    pub(super) fn read_response(&mut self, buf: &mut [u8]) -> Result<(usize, bool), Refusal> {
        self.response_open("body")?;
        self.answer.read(buf)
    }

    /// Whether the guest may read the request's body now. Of one that has gone on there is nothing left to read.
    pub(super) fn may_read_request(&self) -> Result<bool, Refusal> {
        match (self.after_next, self.features & BUFFER_REQUEST != 0) {
            (true, false) => Err("it reads the body of a request that has gone on: it has to enable the feature buffer_request".to_owned()),
            (after, _) => Ok(!after),
        }
    }

    /// What the body is of that has been read to its end for `buffer_response`.
    pub(super) fn fetched(&mut self, body: Bytes) {
        self.answer.fetched(body);
    }
}

/// As Go's server writes it: line breaks become spaces.
fn on_one_line(value: &[u8]) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return HeaderValue::from_bytes(value.trim_ascii());
    }
    let spaced: Vec<u8> = value.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }).collect();
    HeaderValue::from_bytes(spaced.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passing::OutputLimits;

    fn message(features: u32) -> Message {
        let mut head = RequestHead { host: "h.test".into(), path: "/a".into(), ..RequestHead::default() };
        head.headers.append("x-b", HeaderValue::from_static("1"));
        head.headers.append("x-b", HeaderValue::from_static("2"));
        let limits = OutputLimits { headers: 100, body: 10 };
        Message::new("[::1]:5".parse().unwrap(), head, Upload::default(), features, limits)
    }

    #[test]
    fn headers_of_a_request() {
        let mut m = message(0);
        assert_eq!(m.names(Kind::Request), [&b"host"[..], b"x-b"]);
        assert_eq!(m.values(Kind::Request, b"X-B").unwrap(), [b"1", b"2"]);
        assert_eq!(m.values(Kind::Request, b"HOST").unwrap(), [b"h.test"]);
        assert!(m.values(Kind::Request, b"a b").unwrap().is_empty());
        assert!(m.values(Kind::Request, b"").is_err());
        m.change(Kind::Request, Change::Set, b"X-B", b"3").unwrap();
        m.change(Kind::Request, Change::Add, b"x-b", b"").unwrap();
        assert_eq!(m.values(Kind::Request, b"x-b").unwrap(), [&b"3"[..], b""]);
        m.change(Kind::Request, Change::Remove, b"x-b", b"").unwrap();
        assert_eq!(m.names(Kind::Request), [b"host"]);
        for (name, value) in [(&b""[..], &b""[..]), (b"a b", b""), (b"a", b"1\r\nb: 2"), (b"a", &[b'x'; 101])] {
            assert!(m.change(Kind::Request, Change::Set, name, value).is_err());
        }
    }

    #[test]
    fn headers_of_a_response_are_made_fit() {
        let mut m = message(0);
        m.change(Kind::Response, Change::Set, b"x", b" a\r\nb ").unwrap();
        m.change(Kind::Response, Change::Add, b"a b", b"never seen").unwrap();
        assert_eq!(
            (m.names(Kind::Response), m.values(Kind::Response, b"x").unwrap()),
            (vec![&b"content-type"[..], b"x"], vec![&b"a  b"[..]])
        );
        m.change(Kind::Response, Change::Remove, b"Content-Type", b"").unwrap();
        assert_eq!(m.names(Kind::Response), [b"x"]);
        for _ in 0..2 {
            m.change(Kind::of(2).unwrap(), Change::Add, b"t", b"1").unwrap();
        }
        assert_eq!(m.values(Kind::of(3).unwrap(), b"t").unwrap(), [b"1"]);
        assert!(Kind::of(4).is_err());
    }

    #[test]
    fn what_has_gone_on_is_out_of_reach() {
        for (features, open) in [(0, false), (BUFFER_RESPONSE, true)] {
            let mut m = message(features);
            m.pass_on();
            assert!(m.change(Kind::Request, Change::Set, b"a", b"1").is_err() && m.set_method(b"PUT").is_err() && m.set_uri(b"/").is_err());
            assert!(m.write_request(b"").is_err() && m.may_read_request().is_err());
            assert_eq!(m.change(Kind::Response, Change::Set, b"a", b"1").is_ok(), open);
            assert_eq!((m.set_status(201).is_ok(), m.write_response(b"a").is_ok(), m.status().is_ok()), (open, open, open));
            assert_eq!(m.read_response(&mut [0; 4]).is_ok(), open);
            // Too late to have an effect.
            assert_eq!(m.enable(BUFFER_RESPONSE), features | BUFFER_RESPONSE);
            assert_eq!(m.set_status(201).is_ok(), open);
        }
        let mut m = message(BUFFER_REQUEST);
        assert_eq!(m.may_read_request(), Ok(true));
        m.pass_on();
        assert_eq!(m.may_read_request(), Ok(false));
    }

    #[test]
    fn features_add_up() {
        let mut m = message(1);
        assert_eq!((m.enable(4), m.enable(0), m.enable(8)), (5, 5, 13));
    }
}
