//! HTTP/2 with clients: by prior knowledge and by ALPN.

use crate::deadline::Signal;
use crate::encoder_limit::EncoderLimit;
use crate::measure::{Sending, Slot};
use crate::multiplex::{self, Active, Streams, join_cookies, watch_upload};
use crate::serve;
use crate::worker::Connection;
use bytes::Bytes;
use bytestring::ByteString;
use h2::server::SendResponse;
use http::header::{self, HeaderMap};
use http::{Method, StatusCode, Version};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use torana_http::body::H2Body;
use torana_http::h1::Io;
use torana_http::h2io::{self, SendError};
use torana_http::{Exchange, Interim, Request, Response};

/// Unread bytes that a connection may have on the way to us (what Go allows).
const CONNECTION_WINDOW: u32 = 1 << 20;
const STREAM_WINDOW: u32 = 1 << 20;
/// Largest frame that a client may send (what Go allows).
const MAX_FRAME: u32 = 1 << 20;
/// What Go adds to the limit of headers: they are counted with 32 bytes each here.
const HEADER_SLOP: usize = 320;
/// How long a client that was told to leave may take to do so, once nothing is under way.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long a client may take to begin, as in Go.
const BEGINNING: Duration = Duration::from_secs(10);

pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(io: Io<S>, connection: &Rc<Connection>) {
    let entry_point = &connection.entry_point;
    connection.deadline.set(Some(BEGINNING));
    let beginning = h2::server::Builder::new()
        .max_concurrent_streams(entry_point.h2_max_streams)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_window_size(STREAM_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(u32::try_from(entry_point.max_header_bytes.saturating_add(HEADER_SLOP)).unwrap_or(u32::MAX))
        .header_table_size(entry_point.h2_decoder_table)
        .handshake(EncoderLimit::new(io, entry_point.h2_encoder_table));
    let mut beginning = std::pin::pin!(beginning);
    let begun = std::future::poll_fn(|cx| match (beginning.as_mut().poll(cx), connection.deadline.poll(cx)) {
        (Poll::Ready(r), _) => Poll::Ready(Some(r)),
        (Poll::Pending, Signal::None) => Poll::Pending,
        // It agreed on HTTP/2 and then said nothing; or the gateway stops.
        (Poll::Pending, _) => Poll::Ready(None),
    });
    let mut client: h2::server::Connection<EncoderLimit<Io<S>>, Bytes> = match begun.await {
        Some(Ok(c)) => c,
        Some(Err(e)) => return tracing::debug!(error = %e, "HTTP/2 handshake failed"),
        None => return,
    };
    connection.deadline.set(entry_point.idle_timeout);
    let active = Rc::new(Streams::default());
    let (mut served, since) = (0u64, Instant::now());
    let (mut leaving, mut closing) = (false, false);
    let mut was_busy = true;
    std::future::poll_fn(|cx| {
        loop {
            match connection.deadline.poll(cx) {
                Signal::Expired if active.none() && !closing => {
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
                    if active.poll_none(cx).is_ready() && std::mem::take(&mut was_busy) {
                        connection.deadline.set(if leaving { Some(FAREWELL) } else { entry_point.idle_timeout });
                    }
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
    if !multiplex::ends_as_declared(&mut request).await {
        respond.borrow_mut().send_reset(h2::Reason::PROTOCOL_ERROR);
        return;
    }
    let peer = Rc::new(connection.peer.stream(Some(interim)));
    let slot = Slot::new(&connection.log);
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
    let path = multiplex::asterisk(parts.uri.path(), &parts.method);
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

/// Bytes of the body, if all of it was sent; else `cut` is set before the body goes.
async fn send(answer: Response, asked_head: bool, respond: &RefCell<SendResponse<Bytes>>, cut: &Cell<bool>) -> Option<u64> {
    let (status, headers, mut body) = multiplex::outgoing(answer, asked_head);
    // After the body, so that it goes first: the time for the response may end at any moment.
    let sending = Sending::new(cut);
    let mut head = http::Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = headers;
    let empty = body.is_empty();
    let started = respond.borrow_mut().send_response(head, empty);
    let mut stream = match started {
        Ok(s) => s,
        Err(e) => {
            tracing::debug!(error = %e, "response not sent");
            return None;
        }
    };
    if empty {
        sending.done();
        return Some(0);
    }
    match h2io::send_body(&mut body, &mut stream, true).await {
        Ok(sent) => {
            sending.done();
            return Some(sent);
        }
        Err(SendError::Body(e)) => {
            tracing::debug!(error = %e, "response cut short");
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        Err(SendError::H2(_) | SendError::Reset) => {}
    }
    None
}
