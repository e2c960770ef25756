//! HTTP/2 with clients: by prior knowledge, later by ALPN.

use crate::deadline::Signal;
use crate::serve;
use crate::worker::Connection;
use bytes::Bytes;
use bytestring::ByteString;
use h2::server::SendResponse;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Version};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};
use torana_http::body::H2Body;
use torana_http::h1::Io;
use torana_http::h2io::{self, SendError};
use torana_http::{Body, Exchange, Interim, Request, Response};

/// Unread bytes that a connection may have on the way to us (what Go allows).
const CONNECTION_WINDOW: u32 = 1 << 20;
const STREAM_WINDOW: u32 = 256 * 1024;

pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(io: Io<S>, connection: &Rc<Connection>) {
    let entry_point = &connection.entry_point;
    connection.deadline.set(entry_point.idle_timeout);
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(entry_point.h2_max_streams)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_window_size(STREAM_WINDOW)
        .max_header_list_size(u32::try_from(entry_point.max_header_bytes).unwrap_or(u32::MAX))
        .header_table_size(entry_point.h2_decoder_table)
        .handshake(io)
        .await;
    let mut client: h2::server::Connection<Io<S>, Bytes> = match handshake {
        Ok(c) => c,
        Err(e) => return tracing::debug!(error = %e, "HTTP/2 handshake failed"),
    };
    let active = Rc::new(Cell::new(0usize));
    let mut served = 0u64;
    let mut leaving = false;
    let mut was_busy = true;
    std::future::poll_fn(|cx| {
        loop {
            match connection.deadline.poll(cx) {
                Signal::Expired if active.get() == 0 => return Poll::Ready(()),
                Signal::Drain if !leaving => {
                    leaving = true;
                    client.graceful_shutdown();
                }
                _ => {}
            }
            match ready_or_idle(client.poll_accept(cx), &active, connection, &mut was_busy) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Ready(Some(Err(e))) => {
                    tracing::debug!(error = %e, "HTTP/2 connection failed");
                    return Poll::Ready(());
                }
                Poll::Ready(Some(Ok((request, respond)))) => {
                    served += 1;
                    if entry_point.max_requests.is_some_and(|m| served >= m) && !leaving {
                        leaving = true;
                        client.graceful_shutdown();
                    }
                    active.set(active.get() + 1);
                    was_busy = true;
                    connection.deadline.set(None);
                    let (active, connection) = (Active(active.clone()), connection.clone());
                    tokio::task::spawn_local(async move {
                        stream(request, respond, &connection).await;
                        drop(active);
                    });
                }
            }
        }
    })
    .await;
}

type Accepted = Option<Result<(http::Request<h2::RecvStream>, SendResponse<Bytes>), h2::Error>>;

/// Starts the idle time when the last stream has ended.
fn ready_or_idle(accepted: Poll<Accepted>, active: &Cell<usize>, connection: &Connection, was_busy: &mut bool) -> Poll<Accepted> {
    if accepted.is_pending() && active.get() == 0 && *was_busy {
        *was_busy = false;
        connection.deadline.set(connection.entry_point.idle_timeout);
    }
    accepted
}

struct Active(Rc<Cell<usize>>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
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
    let peer = Rc::new(connection.peer.stream(Some(interim)));
    let Some(request) = self::request(request) else {
        respond.borrow_mut().send_reset(h2::Reason::PROTOCOL_ERROR);
        return;
    };
    let mut exchange = Exchange::new(request, peer);
    let answer = {
        let handler = serve::serve(&mut exchange, &connection.entry_point, &connection.view, &connection.hostname);
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
    if let Some(answer) = answer {
        send(answer, asked_head, &respond).await;
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
    if !host.bytes().all(torana_http::h1::head::is_host_byte) {
        return None;
    }
    headers.remove(header::HOST);
    join_cookies(&mut headers);
    let body = H2Body::body(stream, &headers);
    headers.remove(header::CONTENT_LENGTH);
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

async fn send(answer: Response, asked_head: bool, respond: &RefCell<SendResponse<Bytes>>) {
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
        Err(e) => return tracing::debug!(error = %e, "response not sent"),
    };
    if empty {
        return;
    }
    match h2io::send_body(&mut body, &mut stream).await {
        Ok(()) => {}
        Err(SendError::Body(e)) => {
            tracing::debug!(error = %e, "response cut short");
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        Err(SendError::H2(_) | SendError::Reset) => {}
    }
}
