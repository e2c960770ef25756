//! What HTTP/2 and HTTP/3 have in common: streams under way on a connection, and messages without the headers of
//! a connection.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Sleep;
use torana_http::{Body, BodyError, Frame, Interim, Request, Response, h2io};

/// The streams under way on a connection.
#[derive(Default)]
pub(crate) struct Streams {
    count: Cell<usize>,
    /// Of the connection, which is told when the last stream ends.
    waker: RefCell<Option<Waker>>,
}

impl Streams {
    pub(crate) fn none(&self) -> bool {
        self.count.get() == 0
    }

    /// Ready when no stream is under way.
    pub(crate) fn poll_none(&self, cx: &Context<'_>) -> Poll<()> {
        if self.none() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        if waker.as_ref().is_none_or(|w| !w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// A stream under way, as long as it is held.
pub(crate) struct Active(Rc<Streams>);

impl Active {
    pub(crate) fn new(streams: &Rc<Streams>) -> Self {
        streams.count.set(streams.count.get() + 1);
        Active(streams.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let left = self.0.count.get() - 1;
        self.0.count.set(left);
        if left == 0
            && let Some(w) = self.0.waker.borrow_mut().take()
        {
            w.wake();
        }
    }
}

/// The body of a request that has one.
struct Upload {
    body: Body,
    /// By which `100 Continue` is sent when the body is first read, if it is owed.
    owes_continue: Option<Interim>,
    /// `readTimeout`
    limit: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Upload {
    type Data = bytes::Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if let Some(interim) = self.owes_continue.take() {
            interim(StatusCode::CONTINUE, &HeaderMap::new());
        }
        match self.body.poll_frame(cx) {
            Poll::Pending if self.limit.as_mut().is_some_and(|l| l.as_mut().poll(cx).is_ready()) => {
                Poll::Ready(Some(Err(BodyError::Timeout)))
            }
            frame => frame,
        }
    }
}

/// Between client and gateway an expectation is met here (RFC 9110, 10.1.1), and time is kept.
pub(crate) fn watch_upload(request: &mut Request, interim: &Interim, limit: Option<Duration>) {
    let expects = request.headers.get(header::EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if expects {
        request.headers.remove(header::EXPECT);
    }
    if !request.body.is_empty() && (expects || limit.is_some()) {
        let length = request.body.length();
        let body = Upload {
            body: std::mem::take(&mut request.body),
            owes_continue: expects.then(|| interim.clone()),
            limit: limit.map(|l| Box::pin(tokio::time::sleep(l))),
        };
        request.body = Body::stream(body, length);
    }
}

/// A request that declares no bytes and has not ended would be whole for its server with the head alone, whatever
/// follows here: its end is waited for. False where something else comes (RFC 9113, 8.1.1; RFC 9114, 4.1.2).
pub(crate) async fn ends_as_declared(request: &mut Request) -> bool {
    while !request.body.is_empty() && request.body.length() == Some(0) {
        match request.body.frame().await {
            None => request.body = Body::Empty,
            Some(Ok(frame)) if frame.is_trailers() => {
                let rest = std::mem::take(&mut request.body);
                request.body = Body::prefixed([Ok(frame)].into(), rest, Some(0));
                return true;
            }
            Some(Ok(frame)) if frame.data_ref().is_some_and(|d| d.is_empty()) => {}
            Some(_) => return false,
        }
    }
    true
}

/// Cookie crumbs become one header again (RFC 9113, 8.2.3; RFC 9114, 4.2.1).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let mut all = headers.get_all(header::COOKIE).iter();
    if all.next().is_none() || all.next().is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// The path of a request; that of `OPTIONS *` is the only one that may be empty or of no form.
pub(crate) fn asterisk<'a>(path: &'a str, method: &Method) -> &'a str {
    if path.is_empty() && *method == Method::OPTIONS { "*" } else { path }
}

/// Takes an answer apart, its headers as they are sent.
pub(crate) fn outgoing(answer: Response, asked_head: bool) -> (StatusCode, HeaderMap, Body) {
    let (parts, mut body) = answer.into_parts();
    let mut headers = parts.headers;
    h2io::strip_connection_headers(&mut headers);
    let bodiless = asked_head || parts.status == StatusCode::NO_CONTENT || parts.status == StatusCode::NOT_MODIFIED;
    match body.length() {
        Some(n) if !bodiless => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(n));
        }
        Some(n) if asked_head && n > 0 && !headers.contains_key(header::CONTENT_LENGTH) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(n));
        }
        None if !bodiless => {
            headers.remove(header::CONTENT_LENGTH);
        }
        _ => {}
    }
    if !headers.contains_key(header::DATE) {
        headers.insert(header::DATE, crate::worker::date());
    }
    if bodiless {
        body = Body::Empty;
    }
    (parts.status, headers, body)
}
