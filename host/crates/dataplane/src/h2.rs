//! HTTP/2 with clients: by prior knowledge, later by ALPN.

use crate::deadline::Signal;
use crate::encoder_limit::EncoderLimit;
use crate::measure::Slot;
use crate::serve;
use crate::worker::Connection;
use bytes::Bytes;
use bytestring::ByteString;
use h2::server::SendResponse;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Version};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;
use torana_http::body::H2Body;
use torana_http::h1::Io;
use torana_http::h2io::{self, SendError};
use torana_http::{Body, BodyError, Exchange, Frame, Interim, Request, Response};

/// Unread bytes that a connection may have on the way to us (what Go allows).
const CONNECTION_WINDOW: u32 = 1 << 20;
const STREAM_WINDOW: u32 = 1 << 20;
/// Largest frame that a client may send (what Go allows).
const MAX_FRAME: u32 = 1 << 20;
/// What Go adds to the limit of headers: they are counted with 32 bytes each here.
const HEADER_SLOP: usize = 320;
/// How long a client that was told to leave may take to do so, once nothing is under way.
const FAREWELL: Duration = Duration::from_millis(500);

pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(io: Io<S>, connection: &Rc<Connection>) {
    let entry_point = &connection.entry_point;
    connection.deadline.set(entry_point.idle_timeout);
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(entry_point.h2_max_streams)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_window_size(STREAM_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(u32::try_from(entry_point.max_header_bytes.saturating_add(HEADER_SLOP)).unwrap_or(u32::MAX))
        .header_table_size(entry_point.h2_decoder_table)
        .handshake(EncoderLimit::new(io, entry_point.h2_encoder_table))
        .await;
    let mut client: h2::server::Connection<EncoderLimit<Io<S>>, Bytes> = match handshake {
        Ok(c) => c,
        Err(e) => return tracing::debug!(error = %e, "HTTP/2 handshake failed"),
    };
    let active = Rc::new(Streams::default());
    let (mut served, since) = (0u64, Instant::now());
    let (mut leaving, mut closing) = (false, false);
    let mut was_busy = true;
    std::future::poll_fn(|cx| {
        loop {
            match connection.deadline.poll(cx) {
                Signal::Expired if active.count.get() == 0 && !closing => {
                    closing = true;
                    client.abrupt_shutdown(h2::Reason::NO_ERROR);
                }
                Signal::Drain if !leaving => {
                    (leaving, was_busy) = (true, true);
                    client.graceful_shutdown();
                }
                _ => {}
            }
            match client.poll_accept(cx) {
                Poll::Pending if closing => return Poll::Ready(()),
                Poll::Pending => {
                    active.idle(cx, || {
                        if std::mem::take(&mut was_busy) {
                            connection.deadline.set(if leaving { Some(FAREWELL) } else { entry_point.idle_timeout });
                        }
                    });
                    return Poll::Pending;
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Ready(Some(Err(e))) => {
                    tracing::debug!(error = %e, "HTTP/2 connection failed");
                    return Poll::Ready(());
                }
                Poll::Ready(Some(Ok((request, respond)))) => {
                    served += 1;
                    let old =
                        entry_point.max_requests.is_some_and(|m| served >= m) || entry_point.max_age.is_some_and(|m| since.elapsed() >= m);
                    if old && !leaving {
                        leaving = true;
                        client.graceful_shutdown();
                    }
                    was_busy = true;
                    connection.deadline.set(None);
                    let (active, connection) = (Active::new(&active), connection.clone());
                    tokio::task::spawn_local(async move {
                        let served = stream(request, respond, &connection);
                        match connection.entry_point.write_timeout {
                            None => served.await,
                            // Cut off, the stream is reset.
                            Some(limit) => drop(tokio::time::timeout(limit, served).await),
                        }
                        drop(active);
                    });
                }
            }
        }
    })
    .await;
}

/// The streams under way on a connection.
#[derive(Default)]
struct Streams {
    count: Cell<usize>,
    /// Of the connection, which is told when the last stream ends.
    waker: RefCell<Option<Waker>>,
}

impl Streams {
    /// Runs `then` if no stream is under way; else has the connection woken when none is.
    fn idle(&self, cx: &Context<'_>, then: impl FnOnce()) {
        if self.count.get() == 0 {
            return then();
        }
        let mut waker = self.waker.borrow_mut();
        if waker.as_ref().is_none_or(|w| !w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
}

struct Active(Rc<Streams>);

impl Active {
    fn new(streams: &Rc<Streams>) -> Self {
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
    type Data = Bytes;
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
fn watch_upload(request: &mut Request, interim: &Interim, limit: Option<Duration>) {
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

async fn stream(request: http::Request<h2::RecvStream>, respond: SendResponse<Bytes>, connection: &Rc<Connection>) {
    let respond = Rc::new(RefCell::new(respond));
    let asked_head = *request.method() == Method::HEAD;
    let interim: Interim = {
        let respond = respond.clone();
        Rc::new(move |status: StatusCode, headers: &HeaderMap| {
            let mut early = http::Response::new(());
            *early.status_mut() = status;
            *early.headers_mut() = headers.clone();
            h2io::strip_connection_headers(early.headers_mut());
            if let Ok(mut r) = respond.try_borrow_mut() {
                let _ = r.send_informational(early);
            }
        })
    };
    let Some(mut request) = self::request(request) else {
        respond.borrow_mut().send_reset(h2::Reason::PROTOCOL_ERROR);
        return;
    };
    watch_upload(&mut request, &interim, connection.entry_point.read_timeout);
    let peer = Rc::new(connection.peer.stream(Some(interim)));
    let slot = Slot::default();
    let mut exchange = Exchange::new(request, peer);
    let answer = {
        let handler = serve::serve(&mut exchange, &connection.entry_point, &connection.view, &connection.hostname, &slot);
        let mut handler = std::pin::pin!(handler);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(r) = handler.as_mut().poll(cx) {
                return Poll::Ready(Some(r));
            }
            // The client took the request back.
            respond.borrow_mut().poll_reset(cx).map(|_| None)
        })
        .await
    };
    let record = slot.take();
    match answer {
        None => {
            if let Some(r) = record {
                r.abandoned(&connection.entry_point);
            }
        }
        Some(answer) => {
            let sent = send(answer, asked_head, &respond, &exchange.peer.cut).await;
            if let (Some(r), Some(sent)) = (record, sent) {
                r.finish(&connection.entry_point, sent);
            }
        }
    }
}

/// `None` if it names no host in a form that can be passed on.
fn request(request: http::Request<h2::RecvStream>) -> Option<Request> {
    let (parts, stream) = request.into_parts();
    let mut headers = parts.headers;
    let host = match parts.uri.authority() {
        Some(a) => ByteString::from(a.as_str()),
        None => headers.get(header::HOST).and_then(|h| h.to_str().ok()).map(ByteString::from).unwrap_or_default(),
    };
    let known = parts.uri.scheme_str().is_none_or(|s| matches!(s, "http" | "https"));
    if !known || !host.bytes().all(torana_http::h1::head::is_host_byte) || !torana_http::path::is_well_escaped(parts.uri.path()) {
        return None;
    }
    headers.remove(header::HOST);
    join_cookies(&mut headers);
    let body = H2Body::body(stream, &headers);
    let path = parts.uri.path();
    let path = if path.is_empty() && parts.method == Method::OPTIONS { "*" } else { path };
    Some(Request {
        version: Version::HTTP_2,
        path: path.into(),
        query: parts.uri.query().map(ByteString::from),
        method: parts.method,
        host,
        headers,
        body,
    })
}

/// Cookie crumbs become one header again (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut all = headers.get_all(header::COOKIE).iter();
    if all.next().is_none() || all.next().is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Bytes of the body, if all of it was sent; else `cut` is set before the body goes.
async fn send(answer: Response, asked_head: bool, respond: &RefCell<SendResponse<Bytes>>, cut: &Cell<bool>) -> Option<u64> {
    let (parts, mut body) = answer.into_parts();
    let mut head = http::Response::new(());
    *head.status_mut() = parts.status;
    *head.headers_mut() = parts.headers;
    let headers = head.headers_mut();
    h2io::strip_connection_headers(headers);
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
    let empty = body.is_empty();
    let started = respond.borrow_mut().send_response(head, empty);
    let mut stream = match started {
        Ok(s) => s,
        Err(e) => {
            tracing::debug!(error = %e, "response not sent");
            cut.set(true);
            return None;
        }
    };
    if empty {
        return Some(0);
    }
    match h2io::send_body(&mut body, &mut stream, true).await {
        Ok(sent) => return Some(sent),
        Err(SendError::Body(e)) => {
            tracing::debug!(error = %e, "response cut short");
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        Err(SendError::H2(_) | SendError::Reset) => {}
    }
    cut.set(true);
    None
}
