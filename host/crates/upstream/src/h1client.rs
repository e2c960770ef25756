//! One request and its response on an HTTP/1 connection to a server. No task and no channel: the
//! response body reads from the connection when it is polled, and takes the rest of the request body
//! along.

use crate::connect::Stream;
use crate::forward::{Failure, Outgoing, ungzip};
use crate::pool;
use crate::target::Target;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use torana_http::h1::framing::Decoded;
use torana_http::h1::{Decoder, Encoder, Framing, Io, ResponseHead, head};
use torana_http::{Body, BodyError, ErrorKind, Frame, Interim, ProxyError, Response, hop};

/// Largest response head (what Go allows).
pub(crate) const MAX_HEAD: usize = 10 << 20;
/// Interim responses that a server may send before the final one.
const MAX_INTERIM: usize = 100;

/// Whether to hold the body back until the server says `100 Continue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    No,
    Wait,
}

/// The request body on its way out.
struct Pump {
    body: Body,
    encoder: Encoder,
    done: bool,
    /// Body frames were taken from `body`.
    started: bool,
}

/// Why a pump stopped.
enum PumpError {
    /// The client's side failed.
    Client(BodyError),
    /// The server's side failed: it may have answered all the same.
    Server,
}

impl Pump {
    fn poll(&mut self, io: &mut Io<Stream>, cx: &mut Context<'_>) -> Poll<Result<(), PumpError>> {
        loop {
            match io.poll_flush(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(PumpError::Server)),
                Poll::Ready(Ok(())) if self.done => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
            }
            let Poll::Ready(frame) = self.body.poll_frame(cx) else { return Poll::Pending };
            self.started = true;
            let step = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => Ok(()),
                    Ok(data) => self.encoder.before(&data, &mut io.write).map(|()| io.queue(data, tail_of(self.encoder))),
                    // Trailers of a request end here, as in Traefik: few servers read them, and one that
                    // merges them into its headers would take them for checked ones (RFC 9110, 6.5.1).
                    Err(_) => {
                        self.done = true;
                        self.encoder.finish(None, &mut io.write)
                    }
                },
                Some(Err(e)) => Err(e),
                None => {
                    self.done = true;
                    self.encoder.finish(None, &mut io.write)
                }
            };
            if let Err(e) = step {
                return Poll::Ready(Err(PumpError::Client(e)));
            }
        }
    }
}

fn tail_of(encoder: Encoder) -> &'static [u8] {
    if encoder == Encoder::Chunked { b"\r\n" } else { b"" }
}

/// How the request body is framed on the way out.
fn framing_of(body: &Body) -> Framing {
    body.length().map_or(Framing::Chunked, Framing::Length)
}

fn write_head(out: &mut Vec<u8>, request: &Outgoing<'_>, framing: Framing) {
    out.reserve(512);
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(request.path.as_bytes());
    if let Some(q) = &request.query {
        out.push(b'?');
        out.extend_from_slice(q.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(request.host.as_bytes());
    out.extend_from_slice(b"\r\n");
    let websocket = request.upgrade.is_some();
    request.each(|name, value| match name.as_str().strip_prefix("sec-websocket-") {
        // Servers exist that know only this spelling.
        Some(rest) if websocket => {
            out.extend_from_slice(b"Sec-WebSocket-");
            let start = out.len();
            out.extend_from_slice(rest.as_bytes());
            if let Some(b) = out.get_mut(start) {
                b.make_ascii_uppercase();
            }
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        _ => head::write_header(out, name, value),
    });
    match framing {
        Framing::Length(0) if !matches!(*request.method, Method::POST | Method::PUT | Method::PATCH) => {}
        Framing::Length(n) => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        _ => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            if let Some(t) = hop::announced_trailers(request.headers) {
                head::write_header(out, &header::TRAILER, &t);
            }
        }
    }
    if let Some(u) = &request.upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        head::write_header(out, &header::UPGRADE, u);
    }
    out.extend_from_slice(b"\r\n");
}

/// What came before the body.
enum Answer {
    Head(ResponseHead),
    /// 1xx
    Interim(ResponseHead),
}

pub(crate) async fn send(
    request: &Outgoing<'_>,
    body: Body,
    mut io: Io<Stream>,
    reused: bool,
    target: &Arc<Target>,
    interim: Option<Interim>,
    expect: Expect,
) -> Result<Response, Failure> {
    let framing = framing_of(&body);
    write_head(&mut io.write, request, framing);
    let mut pump = Pump { done: body.is_empty(), body, encoder: Encoder::new(framing), started: false };
    let mut hold = expect == Expect::Wait && !pump.done;
    if let (Body::Full(b), false) = (&pump.body, hold) {
        // Head and body leave together. The body is kept: cheap, and another try may need it.
        io.queue(b.clone(), b"");
        pump.done = true;
    }
    let mut head_timer = None;
    let mut continue_timer = hold.then(|| Box::pin(tokio::time::sleep(crate::transport::EXPECT_CONTINUE_TIMEOUT)));
    let mut scanned = 0;
    let mut interims = 0;
    let mut upload_failed = false;

    let head = loop {
        let answer = std::future::poll_fn(|cx| {
            // Out with what may go out.
            if hold {
                if let Some(t) = &mut continue_timer
                    && t.as_mut().poll(cx).is_ready()
                {
                    hold = false;
                } else if let Poll::Ready(Err(e)) = io.poll_flush(cx) {
                    return Poll::Ready(Err(lost(e)));
                }
            }
            if !hold && !upload_failed && (!pump.done || io.has_output()) {
                match pump.poll(&mut io, cx) {
                    Poll::Ready(Err(PumpError::Client(e))) => return Poll::Ready(Err(client_error(&e))),
                    // The server may have answered before it stopped reading.
                    Poll::Ready(Err(PumpError::Server)) => upload_failed = true,
                    _ => {}
                }
            }
            // In with the answer.
            loop {
                match ResponseHead::parse(&io.read, scanned, request.method) {
                    Ok(Some((head, length))) => {
                        bytes::Buf::advance(&mut io.read, length);
                        scanned = 0;
                        let last = !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS;
                        return Poll::Ready(Ok(if last { Answer::Head(head) } else { Answer::Interim(head) }));
                    }
                    Ok(None) if io.read.len() > MAX_HEAD => {
                        return Poll::Ready(Err(ProxyError::server(ErrorKind::Protocol, false, "the server's response head is too large")));
                    }
                    Ok(None) => scanned = io.read.len(),
                    Err(e) => return Poll::Ready(Err(ProxyError::server(ErrorKind::Protocol, false, e))),
                }
                match io.poll_fill(cx) {
                    // Half a head is no answer, but it is more than silence.
                    Poll::Ready(Ok(0)) if !io.read.is_empty() => {
                        return Poll::Ready(Err(ProxyError::server(
                            ErrorKind::Protocol,
                            false,
                            "the server closed within its response head",
                        )));
                    }
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(lost(io::ErrorKind::UnexpectedEof.into()))),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(lost(e))),
                    Poll::Pending => break,
                }
            }
            // The server's time begins when it has the request.
            if let Some(limit) = target.transport.response_header_timeout
                && ((pump.done && !io.has_output()) || upload_failed)
                && head_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit))).as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Err(ProxyError::server(ErrorKind::Timeout, false, "no response head in time")));
            }
            Poll::Pending
        })
        .await;
        match answer {
            Ok(Answer::Head(head)) => break head,
            Ok(Answer::Interim(head)) => {
                interims += 1;
                if interims > MAX_INTERIM {
                    return Err(Failure {
                        error: ProxyError::server(ErrorKind::Protocol, false, "too many interim responses"),
                        body: None,
                        stale: false,
                    });
                }
                if head.status == StatusCode::CONTINUE {
                    hold = false;
                }
                if let Some(send) = &interim {
                    send(head.status, &head.headers);
                }
            }
            Err(error) => {
                let network = error.kind == ErrorKind::Unreachable;
                let stale = reused && network && io.read.is_empty() && scanned == 0 && interims == 0;
                let whole = !pump.started && matches!(pump.body, Body::Empty);
                return Err(Failure { error, body: whole.then_some(Body::Empty).filter(|_| replay_free(request)), stale });
            }
        }
    };
    if head.status == StatusCode::SWITCHING_PROTOCOLS && !is_wanted(request.upgrade.as_ref(), &head.headers) {
        return Err(Failure {
            error: ProxyError::server(ErrorKind::Protocol, false, "the server switched to a protocol that was not asked for"),
            body: None,
            stale: false,
        });
    }
    respond(head, io, pump, upload_failed, target, request.own_gzip)
}

/// Whether the server switched to what was asked for.
fn is_wanted(asked: Option<&HeaderValue>, answer: &HeaderMap) -> bool {
    match (asked, hop::upgrade_of(answer)) {
        (Some(a), Some(b)) => a.as_bytes().eq_ignore_ascii_case(b.as_bytes()),
        _ => false,
    }
}

/// A request without a body and without effects may go out again whole.
fn replay_free(request: &Outgoing<'_>) -> bool {
    matches!(*request.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

fn lost(e: io::Error) -> ProxyError {
    let tls = crate::connect::is_tls_fault(&e);
    ProxyError::server(if tls { ErrorKind::Protocol } else { ErrorKind::Unreachable }, false, e)
}

pub(crate) fn client_error(e: &BodyError) -> ProxyError {
    let kind = match e {
        BodyError::Malformed(_) => ErrorKind::BadRequest,
        BodyError::Timeout => ErrorKind::Timeout,
        _ => ErrorKind::ClientGone,
    };
    ProxyError::client(kind, e)
}

fn respond(
    head: ResponseHead,
    mut io: Io<Stream>,
    pump: Pump,
    upload_failed: bool,
    target: &Arc<Target>,
    own_gzip: bool,
) -> Result<Response, Failure> {
    let ResponseHead { status, headers, framing, keep_alive } = head;
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        *response.body_mut() = Body::Tunnel(Box::new(io));
        return Ok(response);
    }
    let uploaded = pump.done && !upload_failed && !io.has_output();
    let keep_alive = keep_alive && !upload_failed;
    let whole = match framing {
        Framing::Length(n) if io.read.len() as u64 >= n => Some(n as usize),
        _ => None,
    };
    *response.body_mut() = match whole {
        Some(n) => {
            let body = match n {
                0 => Body::Empty,
                n if n == io.read.len() => Body::Full(std::mem::take(&mut io.read).freeze()),
                n => Body::Full(Bytes::copy_from_slice(&io.read[..n])),
            };
            // Bytes behind the body belong to nobody: such a connection is not used again.
            let clean = n == 0 && io.read.is_empty() || n > 0 && matches!(&body, Body::Full(_)) && io.read.is_empty();
            if uploaded && keep_alive && clean {
                pool::give(target, io);
            } else if !uploaded && !upload_failed {
                // The answer is whole, the upload is not: nobody reads it any more.
                drop(io);
            }
            body
        }
        None => {
            let length = match framing {
                Framing::Length(n) => Some(n),
                _ => None,
            };
            let pump = (!uploaded && !upload_failed).then_some(pump);
            Body::stream(ResponseBody { io: Some(io), decoder: Decoder::new(framing), pump, keep_alive, target: target.clone() }, length)
        }
    };
    if own_gzip {
        ungzip(&mut response);
    }
    Ok(response)
}

/// The rest of a response. Read to its end, the connection goes back to the pool; dropped before, it is
/// closed.
struct ResponseBody {
    io: Option<Io<Stream>>,
    decoder: Decoder,
    pump: Option<Pump>,
    keep_alive: bool,
    target: Arc<Target>,
}

impl ResponseBody {
    fn finished(&mut self) {
        if let Some(io) = self.io.take()
            && self.keep_alive
            && self.pump.is_none()
            && io.read.is_empty()
        {
            pool::give(&self.target, io);
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let this = &mut *self;
        let Some(io) = &mut this.io else { return Poll::Ready(None) };
        if let Some(pump) = &mut this.pump {
            match pump.poll(io, cx) {
                Poll::Ready(Ok(())) => this.pump = None,
                Poll::Ready(Err(_)) => {
                    this.pump = None;
                    this.keep_alive = false;
                }
                Poll::Pending => {}
            }
        }
        loop {
            match this.decoder.decode(&mut io.read) {
                Ok(Decoded::Data(data)) => {
                    if this.decoder.is_done() {
                        this.finished();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Decoded::Trailers(t)) => {
                    this.finished();
                    return Poll::Ready(Some(Ok(Frame::trailers(t))));
                }
                Ok(Decoded::End) => {
                    this.finished();
                    return Poll::Ready(None);
                }
                Ok(Decoded::More) => {}
                Err(e) => {
                    this.io = None;
                    return Poll::Ready(Some(Err(e)));
                }
            }
            match io.poll_fill_piece(cx, this.decoder.wanted()) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => {
                    let end = this.decoder.on_eof();
                    this.io = None;
                    return Poll::Ready(end.err().map(Err));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(e)) => {
                    this.io = None;
                    return Poll::Ready(Some(Err(e.into())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_protocol_that_was_asked_for() {
        let mut answer = HeaderMap::new();
        answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        answer.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        assert!(is_wanted(Some(&HeaderValue::from_static("websocket")), &answer));
        assert!(!is_wanted(Some(&HeaderValue::from_static("foo")), &answer));
        assert!(!is_wanted(None, &answer));
        answer.remove(header::CONNECTION);
        assert!(!is_wanted(Some(&HeaderValue::from_static("websocket")), &answer));
    }
}
