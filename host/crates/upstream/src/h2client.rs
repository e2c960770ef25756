//! HTTP/2 to servers: many requests share one connection of their worker.

use crate::connect::Stream;
use crate::forward::{Failure, Outgoing, ungzip};
use crate::h1client::{MAX_HEAD, client_error};
use crate::pool;
use crate::target::{Protocol, Target};
use crate::transport::EXPECT_CONTINUE_TIMEOUT;
use bytes::Bytes;
use h2::client::SendRequest;
use http::header::{self, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, StatusCode, Uri, Version};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use torana_http::body::H2Body;
use torana_http::h2io::SendError;
use torana_http::{Body, BodyError, ErrorKind, Interim, ProxyError, Response, hop};

/// Receive windows: a stream may have this much unread; a connection four times as much.
const STREAM_WINDOW: u32 = 1 << 20;

/// A connection, shared by the requests on it.
#[derive(Clone)]
pub(crate) struct H2Connection {
    sender: SendRequest<Bytes>,
    state: Rc<State>,
}

struct State {
    closed: Cell<bool>,
    active: Cell<usize>,
    last_used: Cell<Instant>,
}

impl H2Connection {
    pub(crate) fn is_closed(&self) -> bool {
        self.state.closed.get()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.state.active.get() < self.sender.current_max_send_streams()
    }

    /// How long nothing has been under way on it.
    pub(crate) fn idle_for(&self) -> Duration {
        if self.state.active.get() > 0 { Duration::ZERO } else { self.state.last_used.get().elapsed() }
    }
}

/// Counts a request on its connection.
struct Active(Rc<State>);

impl Active {
    fn new(state: &Rc<State>) -> Self {
        state.active.set(state.active.get() + 1);
        Active(state.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        self.0.last_used.set(Instant::now());
    }
}

/// Starts HTTP/2 on a connection and pools it.
pub(crate) async fn handshake(stream: Stream, target: &Target) -> Result<H2Connection, ProxyError> {
    let (sender, mut connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(4 * STREAM_WINDOW)
        .max_header_list_size(MAX_HEAD as u32)
        .enable_push(false)
        .handshake(stream)
        .await
        .map_err(|e| ProxyError::server(kind_of(&e), true, e))?;
    let state = Rc::new(State { closed: Cell::new(false), active: Cell::new(0), last_used: Cell::new(Instant::now()) });
    let pings = target.transport.read_idle_timeout.and_then(|every| connection.ping_pong().map(|p| (every, p)));
    let (every, patience) = (pings.as_ref().map(|(e, _)| *e), target.transport.ping_timeout);
    let closed = state.clone();
    tokio::task::spawn_local(async move {
        match (every, pings) {
            (Some(every), Some((_, mut pings))) => {
                let watch = async {
                    loop {
                        tokio::time::sleep(every).await;
                        match tokio::time::timeout(patience, pings.ping(h2::Ping::opaque())).await {
                            Ok(Ok(_)) => {}
                            _ => return,
                        }
                    }
                };
                tokio::select! { _ = &mut connection => {}, () = watch => {} }
            }
            _ => {
                let _ = connection.await;
            }
        }
        closed.closed.set(true);
    });
    let connection = H2Connection { sender, state };
    pool::give_h2(target, connection.clone());
    Ok(connection)
}

/// A stream that the server resets is an answer of a kind, not a network that failed.
fn kind_of(e: &h2::Error) -> ErrorKind {
    if e.is_io() || e.is_go_away() { ErrorKind::Unreachable } else { ErrorKind::Protocol }
}

fn failure(e: &h2::Error, body: Option<Body>) -> Failure {
    // The server says that it did not look at the request: another connection may take it.
    let refused = e.reason() == Some(h2::Reason::REFUSED_STREAM) || (e.is_go_away() && e.reason() == Some(h2::Reason::NO_ERROR));
    Failure { error: ProxyError::server(kind_of(e), refused, e), body, stale: refused || e.is_io() }
}

fn head_of(request: &Outgoing<'_>, target: &Target, length: Option<u64>) -> Result<Request<()>, ProxyError> {
    let bad = |what: &dyn std::fmt::Display| ProxyError::client(ErrorKind::BadRequest, what);
    let text = match &request.query {
        Some(q) => format!("{}?{q}", request.path),
        None => request.path.to_string(),
    };
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if target.protocol == Protocol::Https { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(Authority::from_maybe_shared(request.host.as_bytes().clone()).map_err(|e| bad(&e))?);
    let path = PathAndQuery::from_maybe_shared(Bytes::from(text)).map_err(|e| bad(&e))?;
    parts.path_and_query = Some(path);
    let mut head = Request::new(());
    *head.method_mut() = request.method.clone();
    *head.uri_mut() = Uri::from_parts(parts).map_err(|e| bad(&e))?;
    *head.version_mut() = Version::HTTP_2;
    let headers = head.headers_mut();
    headers.reserve(request.headers.len() + 2);
    request.each(|name, value| {
        headers.append(name.clone(), value.clone());
    });
    match length {
        Some(0) if !matches!(*request.method, http::Method::POST | http::Method::PUT | http::Method::PATCH) => {}
        Some(n) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(n));
        }
        None => {
            if let Some(t) = hop::announced_trailers(request.headers) {
                headers.insert(header::TRAILER, t);
            }
        }
    }
    Ok(head)
}

pub(crate) async fn send(
    request: &Outgoing<'_>,
    body: Body,
    connection: &H2Connection,
    target: &Arc<Target>,
    interim: Option<Interim>,
) -> Result<Response, Failure> {
    let head = match head_of(request, target, body.length()) {
        Ok(h) => h,
        Err(error) => return Err(Failure { error, body: Some(body), stale: false }),
    };
    let active = Active::new(&connection.state);
    let mut sender = match connection.sender.clone().ready().await {
        Ok(s) => s,
        Err(e) => {
            connection.state.closed.set(true);
            let mut f = failure(&e, Some(body));
            f.error.retry = true;
            f.stale = true;
            return Err(f);
        }
    };
    let empty = body.is_empty();
    let (mut answer, stream) = match sender.send_request(head, empty) {
        Ok(x) => x,
        Err(e) => return Err(failure(&e, Some(body))),
    };
    // Kept until the server says `100 Continue`; dropped with its answer.
    let mut proceed: Option<oneshot::Sender<()>> = None;
    let mut uploaded = (!empty).then(|| {
        // The upload goes on beside the answer, as gRPC streams do.
        let (done, uploaded) = oneshot::channel();
        let hold = request.headers.contains_key(header::EXPECT).then(|| {
            let (go, hold) = oneshot::channel();
            proceed = Some(go);
            hold
        });
        tokio::task::spawn_local(upload(body, stream, hold, done));
        uploaded
    });
    let receive = poll_fn(|cx| {
        while let Poll::Ready(Some(Ok(early))) = answer.poll_informational(cx) {
            if early.status() == StatusCode::CONTINUE
                && let Some(go) = proceed.take()
            {
                let _ = go.send(());
            }
            if let Some(send) = &interim {
                send(early.status(), early.headers());
            }
        }
        std::pin::Pin::new(&mut answer).poll(cx)
    });
    let received = match target.transport.response_header_timeout {
        None => receive.await,
        Some(limit) => {
            // The server's time begins when it has the request.
            let late = async {
                if let Some(u) = &mut uploaded
                    && let Ok(broken) = u.await
                {
                    return client_error(&broken);
                }
                tokio::time::sleep(limit).await;
                ProxyError::server(ErrorKind::Timeout, false, "no response head in time")
            };
            tokio::select! { r = receive => r, error = late => return Err(Failure { error, body: None, stale: false }) }
        }
    };
    let received = received.map_err(|e| match uploaded.as_mut().and_then(|u| u.try_recv().ok()) {
        // The server's side failed because ours broke off.
        Some(broken) => Failure { error: client_error(&broken), body: None, stale: false },
        None => failure(&e, empty.then_some(Body::Empty)),
    })?;
    let (parts, stream) = received.into_parts();
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = parts.status;
    let body = H2Body::body(stream, &parts.headers);
    *response.headers_mut() = parts.headers;
    let bodiless = *request.method == http::Method::HEAD || parts.status == StatusCode::NOT_MODIFIED;
    if !bodiless {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    *response.body_mut() = match body {
        Body::Stream { stream, length } => Body::Stream { stream: Box::new(Counted { stream, _active: active }), length },
        other => other,
    };
    if request.own_gzip {
        ungzip(&mut response);
    }
    Ok(response)
}

/// `done` learns of the end, and of the client's fault if it has one.
async fn upload(mut body: Body, mut stream: h2::SendStream<Bytes>, hold: Option<oneshot::Receiver<()>>, done: oneshot::Sender<BodyError>) {
    if let Some(hold) = hold
        && let Ok(Err(_)) = tokio::time::timeout(EXPECT_CONTINUE_TIMEOUT, hold).await
    {
        // Answered without the body, which is not wanted then.
        return stream.send_reset(h2::Reason::NO_ERROR);
    }
    if let Err(ended) = torana_http::h2io::send_body(&mut body, &mut stream, false).await {
        if let SendError::Body(e) = ended {
            let _ = done.send(e);
        }
        stream.send_reset(h2::Reason::CANCEL);
    }
}

/// A body that keeps its request counted until it ends.
struct Counted {
    stream: Box<dyn torana_http::body::Stream>,
    _active: Active,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = torana_http::BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<torana_http::Frame, torana_http::BodyError>>> {
        std::pin::Pin::new(&mut *self.stream).poll_frame(cx)
    }
}
