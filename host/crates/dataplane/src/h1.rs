//! HTTP/1 with clients. One task per connection; the request body is read from the connection when the
//! handler polls it, the response is written by the connection's loop.

use crate::deadline::Signal;
use crate::measure::{Record, Slot};
use crate::serve;
use crate::tunnel;
use crate::worker::Connection;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Version};
use std::cell::RefCell;
use std::io::{self, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use torana_http::h1::framing::Decoded;
use torana_http::h1::{Decoder, Encoder, Framing, HeadError, Io, RequestHead, head};
use torana_http::{Body, BodyError, Exchange, Frame, Interim, Request, Response, respond};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What Traefik allows a head above its limit, found by trial.
const HEAD_SLOP: usize = 4096 + 14;
/// Pipelined bytes that are read ahead while a request is served.
const READ_AHEAD: usize = 16 * 1024;
/// An unread request body up to this size is read for the sake of keeping the connection.
const DRAIN_LIMIT: u64 = 256 * 1024;
/// How long a closing connection listens, so that the client reads the answer before it sees a reset.
const LINGER: Duration = Duration::from_millis(500);

/// A connection as the loop, the request body and interim responses see it.
struct Shared<S> {
    io: Io<S>,
    decoder: Decoder,
    /// Number of the request whose body may read from here.
    request: u64,
    /// `100 Continue` is owed before the body is read.
    owes_continue: bool,
    timed_out: bool,
    /// The request body broke off: what follows on the connection is no request.
    broken: bool,
}

impl<S> Shared<S> {
    fn broken(&mut self, e: BodyError) -> Poll<Option<Result<Frame, BodyError>>> {
        self.broken = true;
        Poll::Ready(Some(Err(e)))
    }
}

struct RequestBody<S> {
    shared: Rc<RefCell<Shared<S>>>,
    request: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> http_body::Body for RequestBody<S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        // A body that outlived its request (an upload that nobody waits for) finds the connection busy.
        let Ok(mut shared) = self.shared.try_borrow_mut() else { return Poll::Ready(Some(Err(BodyError::Truncated))) };
        let s = &mut *shared;
        if s.request != self.request {
            return Poll::Ready(Some(Err(BodyError::Truncated)));
        }
        if s.owes_continue {
            s.owes_continue = false;
            s.io.write.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            if let Poll::Ready(Err(e)) = s.io.poll_flush(cx) {
                return Poll::Ready(Some(Err(e.into())));
            }
        }
        loop {
            match s.decoder.decode(&mut s.io.read) {
                Ok(Decoded::Data(d)) => return Poll::Ready(Some(Ok(Frame::data(d)))),
                Ok(Decoded::Trailers(t)) => return Poll::Ready(Some(Ok(Frame::trailers(t)))),
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::More) => {}
                Err(e) => return s.broken(e),
            }
            if s.timed_out {
                return s.broken(BodyError::Timeout);
            }
            match ready!(s.io.poll_fill_piece(cx, s.decoder.wanted())) {
                Ok(0) => return s.broken(BodyError::Truncated),
                Ok(_) => {}
                Err(e) => return s.broken(e.into()),
            }
        }
    }
}

enum Incoming {
    Request(Box<RequestHead>),
    Refused(HeadError),
    Http2,
    Closed,
}

/// What the response must know of its request.
struct Asked {
    head: bool,
    version: Version,
    keep_alive: bool,
}

/// Serves a connection until it closes; gives it back if the client begins HTTP/2.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(io: Io<S>, connection: &Rc<Connection>) -> Option<Io<S>> {
    let shared =
        Rc::new(RefCell::new(Shared { io, decoder: Decoder::Done, request: 0, owes_continue: false, timed_out: false, broken: false }));
    let interim = interim(&shared);
    let since = connection.entry_point.max_age.map(|_| Instant::now());
    loop {
        let head = match read_head(&shared, connection).await {
            Incoming::Request(head) => head,
            Incoming::Refused(error) => {
                refuse(&shared, error).await;
                return None;
            }
            Incoming::Http2 => {
                *connection.peer.interim.borrow_mut() = None;
                return Rc::into_inner(shared).map(|s| s.into_inner().io);
            }
            Incoming::Closed => return None,
        };
        let served = shared.borrow().request + 1;
        let asked = Asked {
            head: head.method == Method::HEAD,
            version: head.version,
            keep_alive: head.keep_alive
                && connection.entry_point.max_requests.is_none_or(|m| served < m)
                && since.is_none_or(|s| connection.entry_point.max_age.is_none_or(|m| s.elapsed() < m)),
        };
        *connection.peer.interim.borrow_mut() = (head.version == Version::HTTP_11).then(|| interim.clone());
        {
            let mut s = shared.borrow_mut();
            s.decoder = Decoder::new(head.framing);
            s.request = served;
            s.owes_continue = head.expect_continue;
        }
        let Some((request, user)) = request(*head, &shared, served) else {
            refuse(&shared, HeadError::Bad("malformed request target")).await;
            return None;
        };
        let (response, record) = answer(request, user, &shared, connection).await?;
        match write_response(response, record, asked, &shared, connection).await {
            After::Next => {}
            After::Close => return None,
            After::Linger => {
                linger(&shared).await;
                return None;
            }
        }
    }
}

fn interim<S: AsyncRead + AsyncWrite + Unpin + 'static>(shared: &Rc<RefCell<Shared<S>>>) -> Interim {
    let weak = Rc::downgrade(shared);
    Rc::new(move |status: StatusCode, headers: &HeaderMap| {
        let Some(shared) = weak.upgrade() else { return };
        let Ok(mut s) = shared.try_borrow_mut() else { return };
        if status == StatusCode::CONTINUE {
            s.owes_continue = false;
        }
        head::write_status_line(&mut s.io.write, Version::HTTP_11, status);
        for (name, value) in headers {
            head::write_header(&mut s.io.write, name, value);
        }
        s.io.write.extend_from_slice(b"\r\n");
        // What does not go out now goes before the response.
        let _ = s.io.poll_flush(&mut Context::from_waker(Waker::noop()));
    })
}

#[expect(clippy::await_holding_refcell_ref, reason = "the loop owns the connection between requests; all others only try to borrow")]
async fn read_head<S: AsyncRead + AsyncWrite + Unpin>(shared: &Rc<RefCell<Shared<S>>>, connection: &Connection) -> Incoming {
    let mut shared = shared.borrow_mut();
    let s = &mut *shared;
    let entry_point = &connection.entry_point;
    let first = s.request == 0;
    s.io.release();
    s.timed_out = false;
    let mut idle = s.io.read.is_empty();
    if !first {
        // The time of the first request began when the connection did.
        connection.deadline.set(if idle { entry_point.idle_timeout } else { entry_point.read_timeout });
    }
    connection.deadline.set_idle(idle);
    let mut scanned = 0;
    std::future::poll_fn(|cx| {
        loop {
            if !s.io.read.is_empty() {
                let maybe_h2 = first && s.io.read.iter().zip(PREFACE).all(|(a, b)| a == b);
                if maybe_h2 && s.io.read.len() >= PREFACE.len() {
                    return Poll::Ready(Incoming::Http2);
                }
                if !maybe_h2 {
                    match RequestHead::parse(&s.io.read, scanned) {
                        Ok(Some((_, length))) if length > entry_point.max_header_bytes + HEAD_SLOP => {
                            return Poll::Ready(Incoming::Refused(HeadError::TooLarge));
                        }
                        Ok(Some((head, length))) => {
                            bytes::Buf::advance(&mut s.io.read, length);
                            if s.io.read.is_empty() {
                                s.io.read = bytes::BytesMut::new();
                            }
                            return Poll::Ready(Incoming::Request(Box::new(head)));
                        }
                        Ok(None) if s.io.read.len() > entry_point.max_header_bytes + HEAD_SLOP => {
                            return Poll::Ready(Incoming::Refused(HeadError::TooLarge));
                        }
                        Ok(None) => scanned = s.io.read.len(),
                        Err(e) => return Poll::Ready(Incoming::Refused(e)),
                    }
                }
            }
            let signal = connection.deadline.poll(cx);
            if signal == Signal::Expired {
                return Poll::Ready(Incoming::Closed);
            }
            let filled = s.io.poll_fill(cx);
            // A request that is there already is served, though the gateway stops.
            if filled.is_pending() && signal == Signal::Drain && idle {
                return Poll::Ready(Incoming::Closed);
            }
            match ready!(filled) {
                Ok(n) if n > 0 => {
                    if idle {
                        idle = false;
                        connection.deadline.set_idle(false);
                        connection.deadline.set(entry_point.read_timeout);
                    }
                }
                // The client ended in the middle of a head, and may still listen.
                Ok(_) if s.io.read.iter().any(|b| !b.is_ascii_whitespace()) => {
                    return Poll::Ready(Incoming::Refused(HeadError::Bad("incomplete head")));
                }
                _ => return Poll::Ready(Incoming::Closed),
            }
        }
    })
    .await
}

/// The message without its wire form, and the user that its target names; `None` for a target of no form.
fn request<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    head: RequestHead,
    shared: &Rc<RefCell<Shared<S>>>,
    number: u64,
) -> Option<(Request, Option<String>)> {
    let target = serve::parse_target(&head.method, &head.target)?;
    let body = match head.framing {
        Framing::Length(0) => Body::Empty,
        Framing::Length(n) if !head.expect_continue && shared.borrow().io.read.len() as u64 >= n => {
            // The whole body came with the head.
            let mut s = shared.borrow_mut();
            s.decoder = Decoder::Done;
            Body::Full(s.io.read.split_to(n as usize).freeze())
        }
        framing => {
            let length = if let Framing::Length(n) = framing { Some(n) } else { None };
            Body::stream(RequestBody { shared: shared.clone(), request: number }, length)
        }
    };
    let request = Request {
        method: head.method,
        version: head.version,
        path: target.path,
        query: target.query,
        host: target.authority.unwrap_or(head.host),
        headers: head.headers,
        body,
    };
    Some((request, target.user))
}

/// Runs the request through the gateway; `None` if the client went away or its time is over.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    request: Request,
    user: Option<String>,
    shared: &Rc<RefCell<Shared<S>>>,
    connection: &Rc<Connection>,
) -> Option<(Response, Option<Record>)> {
    let slot = Slot::new(&connection.log);
    // Boxed, so that an idle connection does not hold the room that a request needs.
    let mut handler = Box::pin({
        let (connection, slot) = (connection.clone(), &slot);
        async move {
            let mut exchange = Exchange::new(request, connection.peer.clone());
            exchange.user = user;
            serve::serve(&mut exchange, &connection.entry_point, &connection.view, &connection.hostname, slot).await
        }
    });
    let mut reading = true;
    let mut gone = false;
    let answer = std::future::poll_fn(|cx| {
        loop {
            if let Poll::Ready(r) = handler.as_mut().poll(cx) {
                return Poll::Ready(Some(r));
            }
            let mut s = shared.borrow_mut();
            if reading && s.decoder.is_done() {
                reading = false;
                connection.deadline.set(connection.entry_point.write_timeout);
            }
            if connection.deadline.poll(cx) == Signal::Expired {
                if reading && !s.timed_out {
                    // The handler learns of it by its next read.
                    s.timed_out = true;
                    continue;
                }
                return Poll::Ready(None);
            }
            gone = s.io.has_output() && matches!(s.io.poll_flush(cx), Poll::Ready(Err(_))) || is_gone(&mut s, cx);
            return if gone { Poll::Ready(None) } else { Poll::Pending };
        }
    })
    .await;
    drop(handler);
    let record = slot.take();
    match answer {
        Some(response) => Some((response, record)),
        None => {
            if let Some(r) = record.filter(|_| gone) {
                r.abandoned(&connection.entry_point);
            }
            None
        }
    }
}

/// Whether the client closed while it is our turn; reads ahead what it pipelines.
fn is_gone<S: AsyncRead + AsyncWrite + Unpin>(s: &mut Shared<S>, cx: &mut Context<'_>) -> bool {
    while s.decoder.is_done() && s.io.read.len() < READ_AHEAD {
        match s.io.poll_fill(cx) {
            Poll::Ready(Ok(n)) if n > 0 => {}
            Poll::Ready(_) => return true,
            Poll::Pending => return false,
        }
    }
    false
}

/// Answers a request that was not understood; the connection ends with it.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(shared: &Rc<RefCell<Shared<S>>>, error: HeadError) {
    let status = error.status();
    {
        let mut shared = shared.borrow_mut();
        let s = &mut *shared;
        let reason = match error {
            HeadError::Bad(what) => what,
            _ => respond::text_of(status),
        };
        tracing::debug!(reason, "request refused");
        let out = &mut s.io.write;
        head::write_status_line(out, Version::HTTP_11, status);
        if error == HeadError::Expectation {
            out.extend_from_slice(b"Content-Length: 0\r\nDate: ");
            crate::worker::write_date(out);
            out.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
        } else {
            out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n");
            let text = respond::text_of(status);
            let _ = match error {
                HeadError::Bad(what) => write!(out, "{} {text}: {what}", status.as_str()),
                HeadError::Version => write!(out, "{} {text}: unsupported protocol version", status.as_str()),
                HeadError::Coding => write!(out, "Unsupported transfer encoding"),
                _ => write!(out, "{} {text}", status.as_str()),
            };
        }
    }
    linger(shared).await;
}

/// Flushes, ends our side, and listens for a moment.
#[expect(clippy::await_holding_refcell_ref, reason = "the loop owns the connection between requests; all others only try to borrow")]
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(shared: &Rc<RefCell<Shared<S>>>) {
    let mut s = shared.borrow_mut();
    let _ = tokio::time::timeout(LINGER, async {
        s.io.flush().await?;
        s.io.stream.shutdown().await?;
        loop {
            s.io.read.clear();
            if std::future::poll_fn(|cx| s.io.poll_fill(cx)).await? == 0 {
                return Ok::<_, io::Error>(());
            }
        }
    })
    .await;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    Next,
    Close,
    Linger,
}

async fn write_response<S: AsyncRead + AsyncWrite + Unpin>(
    response: Response,
    mut record: Option<Record>,
    asked: Asked,
    shared: &Rc<RefCell<Shared<S>>>,
    connection: &Connection,
) -> After {
    let (parts, mut body) = response.into_parts();
    if let Body::Tunnel(tunnel) = body {
        let after = upgrade(parts, tunnel, shared, connection).await;
        if let Some(r) = record {
            r.finish(&connection.entry_point, 0);
        }
        return after;
    }
    let status = parts.status;
    let bodiless = asked.head || status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let length = body.length();
    let framing = match (bodiless, length) {
        (true, _) => Framing::Length(0),
        (_, Some(n)) => Framing::Length(n),
        (_, None) if asked.version == Version::HTTP_11 => Framing::Chunked,
        _ => Framing::UntilClose,
    };
    let unread = {
        let s = shared.borrow();
        // A client that waits for `100 Continue` does not send its body any more; nobody can tell.
        if s.decoder.is_done() {
            Some(0)
        } else if s.owes_continue {
            None
        } else {
            Some(s.decoder.wanted()).filter(|n| *n <= DRAIN_LIMIT)
        }
    };
    let keep_alive = asked.keep_alive
        && framing != Framing::UntilClose
        && unread.is_some()
        && !shared.borrow().broken
        && !connection.deadline.is_draining()
        && !parts.headers.get(header::CONNECTION).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"close"));
    {
        let mut s = shared.borrow_mut();
        let out = &mut s.io.write;
        // Of what the client has already, nothing is said that it knows (as Go does).
        let unchanged = status == StatusCode::NOT_MODIFIED;
        out.reserve(512);
        head::write_status_line(out, asked.version, status);
        for (name, value) in &parts.headers {
            let ours = name == header::CONNECTION
                || name == header::TRANSFER_ENCODING
                || (name == header::CONTENT_LENGTH && (!bodiless || unchanged))
                || (unchanged && name == header::CONTENT_TYPE);
            if !ours {
                head::write_header(out, name, value);
            }
        }
        match framing {
            Framing::Length(n) if !bodiless => write_length(out, n),
            Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            _ if asked.head && !parts.headers.contains_key(header::CONTENT_LENGTH) => {
                if let Some(n) = length.filter(|n| *n > 0) {
                    write_length(out, n);
                }
            }
            _ => {}
        }
        if !parts.headers.contains_key(header::DATE) {
            out.extend_from_slice(b"Date: ");
            crate::worker::write_date(out);
            out.extend_from_slice(b"\r\n");
        }
        if !keep_alive {
            // A client of HTTP/1.0 expects nothing else.
            if asked.version == Version::HTTP_11 {
                out.extend_from_slice(b"Connection: close\r\n");
            }
        } else if asked.version == Version::HTTP_10 {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
    if bodiless {
        body = Body::Empty;
    }
    let mut encoder = Encoder::new(framing);
    let mut sent = 0;
    let mut finished = false;
    let mut flushing = false;
    let written = std::future::poll_fn(|cx| {
        loop {
            if flushing {
                let mut s = shared.borrow_mut();
                match s.io.poll_flush(cx) {
                    Poll::Ready(r) => r?,
                    Poll::Pending => {
                        return if connection.deadline.poll(cx) == Signal::Expired {
                            Poll::Ready(Err(BodyError::Timeout))
                        } else {
                            Poll::Pending
                        };
                    }
                }
                flushing = false;
            }
            if finished {
                return Poll::Ready(Ok(()));
            }
            // No borrow here: a streamed request body may be read along with the response.
            let frame = body.poll_frame(cx);
            let mut s = shared.borrow_mut();
            match frame {
                Poll::Pending => {
                    if let Poll::Ready(r) = s.io.poll_flush(cx) {
                        r?;
                    }
                    if connection.deadline.poll(cx) == Signal::Expired {
                        return Poll::Ready(Err(BodyError::Timeout));
                    }
                    return if is_gone(&mut s, cx) { Poll::Ready(Err(BodyError::Truncated)) } else { Poll::Pending };
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => {
                        encoder.before(&data, &mut s.io.write)?;
                        sent += data.len() as u64;
                        if framing == Framing::Length(sent) {
                            record.iter_mut().for_each(|r| r.ended(sent));
                        }
                        let tail: &[u8] = if encoder == Encoder::Chunked { b"\r\n" } else { b"" };
                        s.io.queue(data, tail);
                        flushing = true;
                    }
                    Err(frame) => {
                        encoder.finish(frame.trailers_ref(), &mut s.io.write)?;
                        (finished, flushing) = (true, true);
                        record.iter_mut().for_each(|r| r.ended(sent));
                    }
                },
                Poll::Ready(Some(Err(e))) => {
                    // What came before the failure still belongs to the client.
                    let _ = s.io.poll_flush(cx);
                    return Poll::Ready(Err(e));
                }
                Poll::Ready(None) => {
                    encoder.finish(None, &mut s.io.write)?;
                    (finished, flushing) = (true, true);
                    record.iter_mut().for_each(|r| r.ended(sent));
                }
            }
        }
    })
    .await;
    connection.peer.cut.set(written.is_err());
    drop(body);
    if let (Some(r), true) = (record, written.is_ok()) {
        r.finish(&connection.entry_point, sent);
    }
    match written {
        Err(e) => {
            tracing::debug!(error = %e, "response cut short");
            After::Close
        }
        Ok(()) if !keep_alive => After::Linger,
        Ok(()) => drain_request(shared, connection).await,
    }
}

fn write_length(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Reads what is left of a request body, so that the next request can be found.
#[expect(clippy::await_holding_refcell_ref, reason = "the loop owns the connection between requests; all others only try to borrow")]
async fn drain_request<S: AsyncRead + AsyncWrite + Unpin>(shared: &Rc<RefCell<Shared<S>>>, connection: &Connection) -> After {
    if shared.borrow().decoder.is_done() {
        return After::Next;
    }
    let mut s = shared.borrow_mut();
    let s = &mut *s;
    let mut left = DRAIN_LIMIT;
    std::future::poll_fn(|cx| {
        loop {
            match s.decoder.decode(&mut s.io.read) {
                Ok(Decoded::Data(d)) if (d.len() as u64) <= left => left -= d.len() as u64,
                Ok(Decoded::Data(_)) | Err(_) => return Poll::Ready(After::Linger),
                Ok(Decoded::Trailers(_) | Decoded::End) => return Poll::Ready(After::Next),
                Ok(Decoded::More) => {
                    if connection.deadline.poll(cx) == Signal::Expired {
                        return Poll::Ready(After::Close);
                    }
                    match ready!(s.io.poll_fill(cx)) {
                        Ok(n) if n > 0 => {}
                        _ => return Poll::Ready(After::Close),
                    }
                }
            }
        }
    })
    .await
}

/// Answers 101 and joins client and server.
#[expect(clippy::await_holding_refcell_ref, reason = "the loop owns the connection between requests; all others only try to borrow")]
async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    parts: http::response::Parts,
    mut tunnel: Box<dyn torana_http::Tunnel>,
    shared: &Rc<RefCell<Shared<S>>>,
    connection: &Connection,
) -> After {
    let mut s = shared.borrow_mut();
    let s = &mut *s;
    head::write_status_line(&mut s.io.write, Version::HTTP_11, parts.status);
    let upgrade = parts.headers.get(header::UPGRADE).cloned();
    for (name, value) in &parts.headers {
        if name != header::CONNECTION && name != header::UPGRADE {
            head::write_header(&mut s.io.write, name, value);
        }
    }
    s.io.write.extend_from_slice(b"Connection: Upgrade\r\n");
    head::write_header(&mut s.io.write, &header::UPGRADE, &upgrade.unwrap_or(HeaderValue::from_static("websocket")));
    s.io.write.extend_from_slice(b"\r\n");
    connection.deadline.set(None);
    if s.io.flush().await.is_err() {
        return After::Close;
    }
    s.io.release();
    let joined = tunnel::join(&mut s.io, &mut *tunnel);
    let mut joined = std::pin::pin!(joined);
    let ended = std::future::poll_fn(|cx| joined.as_mut().poll(cx)).await;
    if let Err(e) = ended {
        tracing::debug!(error = %e, "tunnel ended");
    }
    After::Close
}
