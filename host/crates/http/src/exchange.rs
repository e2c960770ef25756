use crate::body::Body;
use crate::peer::Peer;
use bytestring::ByteString;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use torana_trace::{Calls, Traced};

/// A request on its way. `Host` is not among the headers: it is `host`, as in Go.
#[derive(Debug, Default)]
pub struct Request {
    pub method: Method,
    pub version: Version,
    /// Path as it goes on the wire: escaped, begins with `/` (or is `*`).
    pub path: ByteString,
    /// Query without `?`, byte for byte; `Some("")` for a lone `?`.
    pub query: Option<ByteString>,
    /// Host as received, with its port.
    pub host: ByteString,
    pub headers: HeaderMap,
    pub body: Body,
}

impl Request {
    /// Path and query as one.
    pub fn target(&self) -> String {
        match &self.query {
            Some(q) => format!("{}?{q}", self.path),
            None => self.path.to_string(),
        }
    }

    /// The value of a header if there is exactly one line of it or more; the first, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

pub type Response = http::Response<Body>;

/// The server that a request went to, and the last one where it went to several.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Qualified name.
    pub service: Arc<str>,
    /// URL of the server as configured.
    pub url: Arc<str>,
    /// Host and port of that URL.
    pub address: ByteString,
    pub started: Instant,
    /// The response is the server's, or says why it has given none.
    pub answered: bool,
    /// Bytes of the body as the server sent it, of a middleware that makes another one of it.
    pub size: Option<Rc<Cell<u64>>>,
}

/// One request and what is known about it, for as long as it is served.
pub struct Exchange {
    pub request: Request,
    /// The connection it came on.
    pub peer: Rc<Peer>,
    /// Name of the matched router, `name@provider`.
    pub router: Option<Arc<str>>,
    /// Do not append the peer to `X-Forwarded-For` when proxying: the entry point says so, or a middleware
    /// blanked the header.
    pub keep_forwarded_for: bool,
    /// A handshake to another protocol was asked for: token of `Upgrade`.
    pub upgrade: Option<HeaderValue>,
    /// User name found by an authentication middleware, for the access log; empty where the client named nobody.
    pub user: Option<String>,
    /// Spans of the request, if it is traced.
    pub trace: Option<Box<Traced>>,
    /// Where its duration and those of requests to servers are told, and when it began.
    pub calls: Option<(Arc<Calls>, Instant)>,
    /// The request is measured, and so are its tries with servers.
    pub metered: bool,
    /// A middleware sends the request again; whoever counts it takes the mark away.
    pub again: bool,
    /// How often a middleware has sent it again.
    pub retries: u32,
    /// The request is told in the access log.
    pub logged: bool,
    /// Where it went, if it is told in the access log.
    pub origin: Option<Origin>,
    /// Bytes that were read of a body that arrives in pieces, if the request is measured.
    pub upload: Option<Rc<Cell<u64>>>,
    /// Path as it was when the request was routed, and the query.
    pub original_path: ByteString,
    /// What steps keep from the request to the response, by an address of theirs.
    notes: Vec<(usize, Box<dyn Any>)>,
}

impl Exchange {
    pub fn new(request: Request, peer: Rc<Peer>) -> Self {
        let original_path = request.path.clone();
        Exchange {
            request,
            peer,
            router: None,
            keep_forwarded_for: false,
            upgrade: None,
            user: None,
            trace: None,
            calls: None,
            metered: false,
            again: false,
            retries: 0,
            logged: false,
            origin: None,
            upload: None,
            original_path,
            notes: Vec::new(),
        }
    }

    /// Keeps a value for a later step of the same request; `key` is the address of whoever keeps it. What was
    /// kept before under the same key is replaced.
    pub fn keep<T: 'static>(&mut self, key: usize, value: T) {
        self.notes.retain(|(k, _)| *k != key);
        self.notes.push((key, Box::new(value)));
    }

    /// Takes a kept value back.
    pub fn kept<T: 'static>(&mut self, key: usize) -> Option<T> {
        let i = self.notes.iter().position(|(k, v)| *k == key && v.is::<T>())?;
        self.notes.swap_remove(i).1.downcast().ok().map(|v| *v)
    }

    /// Version and cipher of the client's TLS as Go names them: `1.3`, `TLS_AES_128_GCM_SHA256`; `None` without TLS.
    pub fn tls_names(&self) -> Option<(&'static str, &'static str)> {
        self.peer.tls.as_ref().map(|t| (t.version, t.cipher))
    }

    /// The span that is open is an error: what a step refuses a request for. The first that is told stays.
    pub fn trace_error(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(trace) = &mut self.trace {
            trace.fail(why);
        }
    }

    /// `https` when the client's connection is encrypted.
    pub fn scheme(&self) -> &'static str {
        if self.peer.is_tls() { "https" } else { "http" }
    }
}

/// A response without a body.
pub fn status(code: StatusCode) -> Response {
    let mut r = Response::new(Body::Empty);
    *r.status_mut() = code;
    r
}
