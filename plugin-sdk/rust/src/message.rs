//! The messages that hooks see and make.

use std::cell::{OnceCell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

use crate::bindings::hosts::torana::plugin::types::Edit;
pub use crate::bindings::hosts::torana::plugin::types::{Answer, Header};
use crate::host::exchange;

impl Answer {
    /// An answer with this status, 100 to 999, without headers and body.
    pub fn new(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header line.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Answer {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// Sets the body. The gateway adds `Content-Length`.
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Answer {
        self.body = body.into();
        self
    }

    /// Sets the body to text, with its `Content-Type`.
    pub fn with_text(self, body: impl Into<String>) -> Answer {
        self.with_header("content-type", "text/plain; charset=utf-8").with_body(body.into())
    }

    /// Sets the body to JSON, with its `Content-Type`.
    pub fn with_json(self, body: &serde_json::Value) -> Answer {
        self.with_header("content-type", "application/json").with_body(body.to_string())
    }

    /// The first line of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value.as_str())
    }

    /// The body as text; what is not UTF-8 in it becomes U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body read as JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// How a message goes on after `on_request` or `on_response`.
#[derive(Clone, Debug, PartialEq)]
pub enum Flow {
    /// Onwards, with the changes made: the request to the next middleware or the service, the response towards the client.
    Next,
    /// This answer instead. In `on_request` the service is not asked, and `on_response` is not called; in `on_response` it takes the place
    /// of the response.
    Respond(Answer),
}

/// What becomes of a piece of a streamed body.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyFlow {
    /// As it is.
    Pass,
    /// These bytes in its place; none to hold it back.
    Replace(Vec<u8>),
    /// Breaks the message off. The text goes to the gateway's log.
    Fail(String),
}

/// Where a value comes from that was not declared in the plugin's interest.
pub(crate) type Fetch = fn(&str) -> Option<String>;

/// What matchers and balancers get for a value that was not declared.
pub(crate) fn undeclared(name: &str) -> Option<String> {
    crate::log::error!("`{name}` is used but not declared in the plugin's interest, so it is never there");
    None
}

/// Values asked for one by one, each once. A list that only grows, so that a value can be lent for as long as the message lives.
struct Fetched {
    name: Box<str>,
    value: Option<String>,
    next: OnceCell<Box<Fetched>>,
}

fn fetched<'a>(first: &'a OnceCell<Box<Fetched>>, name: &str, fetch: Fetch) -> Option<&'a str> {
    let mut cell = first;
    while let Some(known) = cell.get() {
        if known.name.eq_ignore_ascii_case(name) {
            return known.value.as_deref();
        }
        cell = &known.next;
    }
    let new = || Box::new(Fetched { name: name.into(), value: fetch(name), next: OnceCell::new() });
    cell.get_or_init(new).value.as_deref()
}

/// The values that the gateway told at the call, in the order of the declared names.
struct Told {
    names: Rc<[String]>,
    values: Vec<Option<String>>,
}

impl Told {
    /// The outer `None` when it was not declared.
    fn get(&self, name: &str) -> Option<Option<&str>> {
        let index = self.names.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        Some(self.values.get(index).and_then(Option::as_deref))
    }
}

/// Method, address and headers of a request, as they arrived at this plugin.
///
/// What the interest declares is at hand. In a middleware, everything else is fetched from the gateway when it is asked for (about half a
/// microsecond each). Matchers and balancers get the declared values only.
pub struct RequestHead {
    told: Told,
    /// False in the response phase, where the header names in `told` are those of the response.
    told_headers: bool,
    fetched: OnceCell<Box<Fetched>>,
    fetch: Fetch,
}

impl RequestHead {
    pub(crate) fn new(names: &Rc<[String]>, values: Vec<Option<String>>, fetch: Fetch) -> RequestHead {
        let told = Told { names: Rc::clone(names), values };
        RequestHead { told, told_headers: true, fetched: OnceCell::new(), fetch }
    }

    fn value(&self, name: &str) -> Option<&str> {
        if (self.told_headers || name.starts_with(':'))
            && let Some(value) = self.told.get(name)
        {
            return value;
        }
        fetched(&self.fetched, name, self.fetch)
    }

    /// The values of all lines of a header, joined by `, `. Bytes that are not UTF-8 are the characters U+0080 to U+00FF.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.value(name)
    }

    /// The method, as in `GET`.
    pub fn method(&self) -> &str {
        self.value(":method").unwrap_or_default()
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        self.value(":scheme").unwrap_or_default()
    }

    /// The host that the client asked for, with the port if it named one.
    pub fn host(&self) -> &str {
        self.value(":host").unwrap_or_default()
    }

    /// The path with the query, as on the wire.
    pub fn path_and_query(&self) -> &str {
        self.value(":path").unwrap_or_default()
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        let all = self.path_and_query();
        all.split_once('?').map_or(all, |(path, _)| path)
    }

    /// What stands behind the first `?`.
    pub fn query(&self) -> Option<&str> {
        self.path_and_query().split_once('?').map(|(_, query)| query)
    }

    /// The address of the client, without port.
    pub fn client_ip(&self) -> &str {
        self.value(":client-ip").unwrap_or_default()
    }

    /// The protocol, as in `HTTP/1.1`.
    pub fn protocol(&self) -> &str {
        self.value(":protocol").unwrap_or_default()
    }

    /// The name of the router, as in `api@file`.
    pub fn router(&self) -> &str {
        self.value(":router").unwrap_or_default()
    }

    /// The name of the entry point.
    pub fn entry_point(&self) -> &str {
        self.value(":entry-point").unwrap_or_default()
    }
}

/// Changes of a message, in order.
#[derive(Default)]
struct Edits(RefCell<Vec<Edit>>);

impl Edits {
    fn push(&self, edit: Edit) {
        self.0.borrow_mut().push(edit);
    }
}

/// A request on its way to the service; reading methods are those of [`RequestHead`].
///
/// Changes are collected and made when the hook returns; reading always gives what arrived. Changing takes `&self`, so a value that was read
/// may go straight into a change: `request.set_header("x-from", request.client_ip())`.
pub struct Request {
    head: RequestHead,
    edits: Edits,
    kept: RefCell<Option<String>>,
}

impl Deref for Request {
    type Target = RequestHead;

    fn deref(&self) -> &RequestHead {
        &self.head
    }
}

impl Request {
    pub(crate) fn new(names: &Rc<[String]>, values: Vec<Option<String>>) -> Request {
        let head = RequestHead::new(names, values, exchange::request_value);
        Request { head, edits: Edits::default(), kept: RefCell::default() }
    }

    pub(crate) fn finish(self) -> (Vec<Edit>, Option<String>) {
        (self.edits.0.into_inner(), self.kept.into_inner())
    }

    /// All header lines.
    pub fn headers(&self) -> Vec<Header> {
        exchange::request_headers()
    }

    /// The values of one header, a line each, byte for byte.
    pub fn header_lines(&self, name: &str) -> Vec<Vec<u8>> {
        exchange::request_header_lines(name)
    }

    /// The whole body, when the interest has `buffer_request_body`.
    pub fn body(&self) -> Option<Vec<u8>> {
        exchange::request_body()
    }

    /// Sets a header in place of all its lines.
    pub fn set_header(&self, name: impl Into<String>, value: impl Into<String>) {
        self.edits.push(Edit::SetHeader(Header { name: name.into(), value: value.into() }));
    }

    /// Adds a header line.
    pub fn add_header(&self, name: impl Into<String>, value: impl Into<String>) {
        self.edits.push(Edit::AddHeader(Header { name: name.into(), value: value.into() }));
    }

    /// Removes all lines of a header.
    pub fn remove_header(&self, name: impl Into<String>) {
        self.edits.push(Edit::RemoveHeader(name.into()));
    }

    /// Sets path and query, escaped as on the wire, beginning with `/`.
    pub fn set_path(&self, path_and_query: impl Into<String>) {
        self.edits.push(Edit::Path(path_and_query.into()));
    }

    /// Sets the method.
    pub fn set_method(&self, method: impl Into<String>) {
        self.edits.push(Edit::Method(method.into()));
    }

    /// Sets the `Host` that the server sees.
    pub fn set_host(&self, host: impl Into<String>) {
        self.edits.push(Edit::Host(host.into()));
    }

    /// Puts another body in place of the one that came. Not together with a streamed request body.
    pub fn set_body(&self, body: impl Into<Vec<u8>>) {
        self.edits.push(Edit::Body(body.into()));
    }

    /// Keeps a text for `on_response` of the same exchange, which finds it in [`Response::kept`].
    pub fn keep(&self, text: impl Into<String>) {
        *self.kept.borrow_mut() = Some(text.into());
    }

    /// Says who the client is, for the access log.
    pub fn set_user(&self, name: &str) {
        exchange::set_user(name);
    }
}

/// A response on its way to the client: of the service, of a middleware behind this one, or of the gateway itself when the service cannot be
/// reached.
///
/// Changes are collected and made when the hook returns; reading always gives what arrived.
pub struct Response {
    request: RequestHead,
    fetched: OnceCell<Box<Fetched>>,
    edits: Edits,
    kept: Option<String>,
}

impl Response {
    pub(crate) fn new(names: &Rc<[String]>, values: Vec<Option<String>>, kept: Option<String>) -> Response {
        let mut request = RequestHead::new(names, values, exchange::request_value);
        request.told_headers = false;
        Response { request, fetched: OnceCell::new(), edits: Edits::default(), kept }
    }

    pub(crate) fn finish(self) -> Vec<Edit> {
        self.edits.0.into_inner()
    }

    fn value(&self, name: &str) -> Option<&str> {
        match self.request.told.get(name) {
            Some(told) => told,
            None => fetched(&self.fetched, name, exchange::response_value),
        }
    }

    /// The request that this answers. Its headers are fetched from the gateway one by one; facts that the interest declares are at hand.
    pub fn request(&self) -> &RequestHead {
        &self.request
    }

    /// The status, 100 to 999.
    pub fn status(&self) -> u16 {
        self.value(":status").and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// The values of all lines of a header of the response, joined by `, `.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.value(name)
    }

    /// All header lines.
    pub fn headers(&self) -> Vec<Header> {
        exchange::response_headers()
    }

    /// The values of one header, a line each, byte for byte.
    pub fn header_lines(&self, name: &str) -> Vec<Vec<u8>> {
        exchange::response_header_lines(name)
    }

    /// The whole body, when the interest has `buffer_response_body`.
    pub fn body(&self) -> Option<Vec<u8>> {
        exchange::response_body()
    }

    /// What `on_request` kept for this exchange.
    pub fn kept(&self) -> Option<&str> {
        self.kept.as_deref()
    }

    /// Sets the status.
    pub fn set_status(&self, status: u16) {
        self.edits.push(Edit::Status(status));
    }

    /// Sets a header in place of all its lines.
    pub fn set_header(&self, name: impl Into<String>, value: impl Into<String>) {
        self.edits.push(Edit::SetHeader(Header { name: name.into(), value: value.into() }));
    }

    /// Adds a header line.
    pub fn add_header(&self, name: impl Into<String>, value: impl Into<String>) {
        self.edits.push(Edit::AddHeader(Header { name: name.into(), value: value.into() }));
    }

    /// Removes all lines of a header.
    pub fn remove_header(&self, name: impl Into<String>) {
        self.edits.push(Edit::RemoveHeader(name.into()));
    }

    /// Puts another body in place of the one that came. Not together with a streamed response body.
    pub fn set_body(&self, body: impl Into<Vec<u8>>) {
        self.edits.push(Edit::Body(body.into()));
    }

    /// Says who the client is, for the access log.
    pub fn set_user(&self, name: &str) {
        exchange::set_user(name);
    }
}
