//! HTTP/3 with clients (RFC 9114): the connection. Its requests are served like all others (`serve.rs`).

mod answer;
mod control;
mod upload;

use crate::deadline::{Deadline, Signal};
use crate::measure::Slot;
use crate::multiplex::{self, Active, Streams, join_cookies, watch_upload};
use crate::serve;
use crate::worker::Connection;
use answer::Answer;
use bytestring::ByteString;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Version};
use quinn::{RecvStream, SendStream, VarInt};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use torana_http::h3::{self, Head, code};
use torana_http::{Exchange, Interim, Request};
use upload::{Refusal, Upload};

/// As with HTTP/2: what Go adds to the limit of headers, which are counted with 32 bytes each.
const HEADER_SLOP: usize = 320;
/// How long a client that was told to leave may take to do so, once nothing is under way: the first half its
/// requests are still served, the second half they are refused as ones that may be sent again elsewhere.
const FAREWELL: Duration = Duration::from_millis(500);
/// How often the second half begins again while the client has not acknowledged its answers: what is on its way
/// then arrives within a few round trips, if the client is there.
const PATIENCE: u32 = 10;
/// Requests that a client may take back for no answer at all, beyond as many as were answered.
const TAKEN_BACK: u64 = 500;
/// Bytes of 1xx that wait for the client.
const EARLY: usize = 16 << 10;

/// How far a connection is on its way out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// The client was told; what it sends is served.
    Told,
    /// What it sends now is refused.
    Refusing,
}

/// What requests of a connection came to.
#[derive(Default)]
struct Tally {
    answered: Cell<u64>,
    taken_back: Cell<u64>,
}

fn close(quic: &quinn::Connection, code: u32, why: &str) {
    if code != code::NO_ERROR {
        tracing::debug!(peer = %quic.remote_address(), why, "HTTP/3 connection closed");
    }
    quic.close(VarInt::from_u32(code), why.as_bytes());
}

/// Returns when the connection is told something new.
async fn told(deadline: &Deadline, heard: Signal) -> Signal {
    poll_fn(|cx| match deadline.poll(cx) {
        Signal::None => Poll::Pending,
        signal if signal == heard => Poll::Pending,
        signal => Poll::Ready(signal),
    })
    .await
}

async fn send_control(control: &mut Option<SendStream>, bytes: &[u8]) {
    if let Some(stream) = control {
        // The client cannot hold this up for long: its window for the stream is the connection's time.
        let _ = tokio::time::timeout(FAREWELL / 2, stream.write_all(bytes)).await;
    }
}

/// Serves a connection until it closes.
pub(crate) async fn serve(quic: &quinn::Connection, connection: &Rc<Connection>) {
    let entry_point = &connection.entry_point;
    let deadline = &connection.deadline;
    deadline.set(entry_point.idle_timeout);
    let limit = entry_point.max_header_bytes.saturating_add(HEADER_SLOP);
    tokio::task::spawn_local(control::read(quic.clone()));
    let (active, unacknowledged, tally) = (Rc::<Streams>::default(), Rc::<Streams>::default(), Rc::<Tally>::default());
    let (mut served, mut next, since) = (0u64, 0u64, Instant::now());
    let (mut heard, mut leaving, mut busy) = (Signal::None, Leaving::No, true);
    let mut control = None;
    let mut patience = PATIENCE;
    let mut farewell = pin!(tokio::time::sleep(Duration::ZERO));
    let mut opening = pin!(async {
        let mut stream = quic.open_uni().await.ok()?;
        stream.write_all(&h3::control_stream(limit as u64)).await.ok()?;
        Some(stream)
    });
    let mut opened = false;
    loop {
        if heard == Signal::Expired && active.none() {
            return close(quic, code::NO_ERROR, "");
        }
        let idle = !busy && leaving != Leaving::No;
        tokio::select! {
            signal = told(deadline, heard) => {
                heard = signal;
                if signal == Signal::Drain && leaving == Leaving::No {
                    (leaving, busy) = (Leaving::Told, true);
                    send_control(&mut control, &h3::goaway(h3::LAST_REQUEST)).await;
                }
            }
            stream = &mut opening, if !opened => {
                (control, opened) = (stream, true);
                if leaving != Leaving::No {
                    send_control(&mut control, &h3::goaway(h3::LAST_REQUEST)).await;
                }
            }
            () = poll_fn(|cx| active.poll_none(cx)), if busy => {
                busy = false;
                if leaving == Leaving::No {
                    deadline.set(entry_point.idle_timeout);
                } else {
                    farewell.as_mut().reset(tokio::time::Instant::now() + FAREWELL / 2);
                }
            }
            () = &mut farewell, if idle => {
                if leaving == Leaving::Refusing && (patience == 0 || unacknowledged.none()) {
                    return close(quic, code::NO_ERROR, "");
                }
                if leaving == Leaving::Refusing {
                    patience -= 1;
                    farewell.as_mut().reset(tokio::time::Instant::now() + FAREWELL / 2);
                    continue;
                }
                leaving = Leaving::Refusing;
                send_control(&mut control, &h3::goaway(next)).await;
                farewell.as_mut().reset(tokio::time::Instant::now() + FAREWELL / 2);
            }
            accepted = quic.accept_bi() => {
                let Ok((mut send, mut recv)) = accepted else { return };
                if leaving == Leaving::Refusing {
                    let _ = recv.stop(VarInt::from_u32(code::REQUEST_REJECTED));
                    let _ = send.reset(VarInt::from_u32(code::REQUEST_REJECTED));
                    continue;
                }
                if tally.taken_back.get() > tally.answered.get() + TAKEN_BACK {
                    return close(quic, code::EXCESSIVE_LOAD, "too many requests taken back");
                }
                served += 1;
                next = u64::from(VarInt::from(recv.id())) + 4;
                let old = entry_point.max_requests.is_some_and(|m| served >= m) || entry_point.max_age.is_some_and(|m| since.elapsed() >= m);
                if old && leaving == Leaving::No {
                    leaving = Leaving::Refusing;
                    send_control(&mut control, &h3::goaway(next)).await;
                }
                busy = true;
                deadline.set(None);
                let (active, unacknowledged) = (Active::new(&active), unacknowledged.clone());
                let (tally, connection, quic) = (tally.clone(), connection.clone(), quic.clone());
                tokio::task::spawn_local(async move {
                    let counts = Counts { active, unacknowledged, tally: &tally };
                    let served = stream(send, recv, &quic, &connection, counts, limit);
                    match connection.entry_point.write_timeout {
                        None => served.await,
                        // Cut off, the stream is reset.
                        Some(limit) => drop(tokio::time::timeout(limit, served).await),
                    }
                });
            }
        }
    }
}

/// The head of a request, within the time for requests.
async fn head(upload: &mut Upload, limit: Option<Duration>) -> Result<Head, Refusal> {
    let mut reading = pin!(upload.head());
    let mut time = None;
    poll_fn(|cx| {
        if let Poll::Ready(done) = reading.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        match limit {
            // Most heads are there at once: then there is no timer.
            Some(limit) => {
                let time = time.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                time.as_mut().poll(cx).map(|()| Err(Refusal::Stream(code::REQUEST_INCOMPLETE)))
            }
            None => Poll::Pending,
        }
    })
    .await
}

/// Where a stream counts.
struct Counts<'a> {
    active: Active,
    /// Streams whose answer is complete, and not all there yet.
    unacknowledged: Rc<Streams>,
    tally: &'a Tally,
}

/// One request and its answer.
async fn stream(
    send: SendStream,
    recv: RecvStream,
    quic: &quinn::Connection,
    connection: &Rc<Connection>,
    counts: Counts<'_>,
    limit: usize,
) {
    let Counts { active, unacknowledged, tally } = counts;
    let entry_point = &connection.entry_point;
    let mut answer = Answer::new(send, quic.clone());
    let mut upload = Upload::new(recv, quic.clone(), limit);
    let head = match head(&mut upload, entry_point.read_timeout).await {
        Ok(head) => head,
        Err(Refusal::TooLarge) => {
            upload.stop(code::NO_ERROR);
            return answer.refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE).await;
        }
        Err(Refusal::Connection(code, why)) => return close(quic, code, why),
        Err(Refusal::Stream(code)) => {
            upload.stop(code);
            return answer.reset(code);
        }
        Err(Refusal::Gone) => {
            tally.taken_back.set(tally.taken_back.get() + 1);
            return answer.reset(code::REQUEST_CANCELLED);
        }
    };
    let Some(request) = request(head) else {
        upload.stop(code::MESSAGE_ERROR);
        return answer.reset(code::MESSAGE_ERROR);
    };
    let asked_head = request.method == Method::HEAD;
    let Some(mut request) = upload.into_body(request).await else { return answer.reset(code::MESSAGE_ERROR) };

    let early: Rc<RefCell<(Vec<u8>, Option<Waker>)>> = Rc::default();
    let interim: Interim = {
        let early = early.clone();
        Rc::new(move |status: StatusCode, headers: &HeaderMap| {
            let mut headers = headers.clone();
            torana_http::h2io::strip_connection_headers(&mut headers);
            if let Ok(mut early) = early.try_borrow_mut()
                && early.0.len() < EARLY
            {
                h3::response(status, &headers, &mut early.0);
                if let Some(waker) = early.1.take() {
                    waker.wake();
                }
            }
        })
    };
    watch_upload(&mut request, &interim, entry_point.read_timeout);
    if !multiplex::ends_as_declared(&mut request).await {
        return answer.reset(code::MESSAGE_ERROR);
    }
    let peer = Rc::new(connection.peer.stream(Some(interim)));
    let slot = Slot::new(&connection.log);
    let mut exchange = Exchange::new(request, peer);
    let mut stopped = pin!(answer.stopped());
    let done = {
        let handler = serve::serve(&mut exchange, entry_point, &connection.view, &connection.hostname, &slot);
        let mut handler = pin!(handler);
        poll_fn(|cx| {
            if let Poll::Ready(done) = handler.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            let mut early = early.borrow_mut();
            while !early.0.is_empty() {
                match answer.poll_write(cx, &early.0) {
                    Poll::Ready(Some(n)) => drop(early.0.drain(..n)),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => break,
                }
            }
            early.1 = Some(cx.waker().clone());
            // The client took the request back.
            stopped.as_mut().poll(cx).map(|_| None)
        })
        .await
    };
    let record = slot.take();
    let Some(done) = done else {
        if let Some(r) = record {
            r.abandoned(entry_point);
        }
        tally.taken_back.set(tally.taken_back.get() + 1);
        return answer.reset(code::REQUEST_CANCELLED);
    };
    let (status, headers, body) = multiplex::outgoing(done, asked_head);
    let mut begin = std::mem::take(&mut early.borrow_mut().0);
    h3::response(status, &headers, &mut begin);
    // A client that does not read must not hold the head of its request too.
    drop(std::mem::take(&mut exchange.request.headers));
    let sent = answer.send(begin, body, &exchange.peer.cut, stopped.as_mut()).await;
    if let Some(sent) = sent {
        if let Some(r) = record {
            r.finish(entry_point, sent);
        }
        tally.answered.set(tally.answered.get() + 1);
        // What of the request nobody wanted must not hold the connection's window.
        drop(exchange);
        let _unacknowledged = Active::new(&unacknowledged);
        drop(active);
        let _ = stopped.await;
    }
}

/// `None` if it names no host or no path in a form that can be passed on.
fn request(head: Head) -> Option<Request> {
    let Head { method, scheme, authority, path, mut headers } = head;
    let host = match authority {
        Some(a) => ByteString::from(a),
        None => headers.get(http::header::HOST).and_then(|h| h.to_str().ok()).map(ByteString::from).unwrap_or_default(),
    };
    let known = scheme.is_none_or(|s| matches!(&*s, "http" | "https"));
    if !known || !host.bytes().all(torana_http::h1::head::is_host_byte) {
        return None;
    }
    headers.remove(http::header::HOST);
    join_cookies(&mut headers);
    let target = match path {
        Some(path) if path.starts_with('/') || (path == "*" && method == Method::OPTIONS) => Some(PathAndQuery::try_from(path).ok()?),
        Some(_) => return None,
        None => None,
    };
    let path = target.as_ref().map_or("", PathAndQuery::path);
    if !torana_http::path::is_well_escaped(path) {
        return None;
    }
    Some(Request {
        version: Version::HTTP_3,
        path: path.into(),
        query: target.as_ref().and_then(PathAndQuery::query).map(ByteString::from),
        method,
        host,
        headers,
        body: torana_http::Body::Empty,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(method: Method, authority: &str, path: &str) -> Option<(String, String, Option<String>)> {
        let head =
            Head { method, scheme: Some("https".into()), authority: Some(authority.into()), path: Some(path.into()), ..Head::default() };
        request(head).map(|r| (r.host.to_string(), r.path.to_string(), r.query.map(|q| q.to_string())))
    }

    #[test]
    fn targets() {
        let ok = |path: &str, query: Option<&str>| Some(("a.test:1".to_owned(), path.to_owned(), query.map(str::to_owned)));
        assert_eq!(made(Method::GET, "a.test:1", "/x?y"), ok("/x", Some("y")));
        assert_eq!(made(Method::GET, "a.test:1", "/?"), ok("/", Some("")));
        assert_eq!(made(Method::OPTIONS, "a.test:1", "*"), ok("*", None));
        for bad in ["x", "*", "", "http://x/", "/%zz", "/a b"] {
            assert_eq!(made(Method::GET, "a", bad), None, "{bad}");
        }
        assert_eq!(made(Method::GET, "a b", "/"), None);
        assert_eq!(made(Method::GET, "a/b", "/"), None);
    }
}
