//! Requests that plugins send to other servers: one thread for all of them, beside the workers, because the
//! connections of the gateway belong to the thread that opened them.

use bytes::Bytes;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use torana_extend::{Egress, EgressError, SendFuture};
use torana_http::{Body, BodyError, ErrorKind, Exchange, Peer, Request};
use torana_upstream::{Options, ServerUrl, Target, Transport};

/// Servers whose connections are kept.
const MAX_TARGETS: usize = 256;

type Answer = Result<http::Response<Bytes>, EgressError>;

struct Job {
    request: http::Request<Bytes>,
    limit: usize,
    answer: oneshot::Sender<Answer>,
}

/// The way out for plugins; closes when it is dropped.
pub(crate) struct Outgoing {
    jobs: mpsc::UnboundedSender<Job>,
}

impl Outgoing {
    pub(crate) fn spawn(transport: Transport) -> std::io::Result<Outgoing> {
        let (jobs, queue) = mpsc::unbounded_channel();
        std::thread::Builder::new().name("torana-egress".into()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()) {
                Ok(runtime) => runtime.block_on(serve(queue, Arc::new(transport))),
                Err(error) => tracing::error!(%error, "plugins cannot send requests: the runtime does not start"),
            }
        })?;
        Ok(Outgoing { jobs })
    }
}

impl Egress for Outgoing {
    fn send(&self, request: http::Request<Bytes>, timeout: Duration, limit: usize) -> SendFuture<'static, Answer> {
        let (answer, got) = oneshot::channel();
        let sent = self.jobs.send(Job { request, limit, answer });
        Box::pin(async move {
            let gone = || EgressError::Failed("the gateway is stopping".to_owned());
            sent.map_err(|_| gone())?;
            match tokio::time::timeout(timeout, got).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(gone()),
                Err(_) => Err(EgressError::Timeout),
            }
        })
    }
}

async fn serve(mut queue: mpsc::UnboundedReceiver<Job>, transport: Arc<Transport>) {
    let mut targets: HashMap<String, Arc<Target>> = HashMap::new();
    while let Some(Job { request, limit, mut answer }) = queue.recv().await {
        let scheme = request.uri().scheme_str().unwrap_or("http");
        let authority = request.uri().authority().map_or("", |a| a.as_str().rsplit('@').next().unwrap_or(""));
        let base = format!("{scheme}://{authority}");
        let target = match targets.get(&base) {
            Some(t) => t.clone(),
            None => match base.parse::<ServerUrl>() {
                Ok(url) => {
                    if targets.len() >= MAX_TARGETS {
                        targets.clear();
                    }
                    let t = Arc::new(Target::new(&url, transport.clone()));
                    targets.insert(base, t.clone());
                    t
                }
                Err(e) => {
                    let _ = answer.send(Err(EgressError::Failed(e)));
                    continue;
                }
            },
        };
        tokio::task::spawn_local(async move {
            // Who no longer waits needs no answer.
            tokio::select! {
                () = answer.closed() => {}
                done = ask(&target, request, limit) => { let _ = answer.send(done); }
            }
        });
    }
}

async fn ask(target: &Arc<Target>, request: http::Request<Bytes>, limit: usize) -> Answer {
    let (parts, body) = request.into_parts();
    let path = match parts.uri.path() {
        "" => "/",
        p => p,
    };
    let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let mut headers = parts.headers;
    headers.remove(http::header::HOST);
    headers.remove(http::header::CONTENT_LENGTH);
    headers.entry(http::header::USER_AGENT).or_insert(http::HeaderValue::from_static("Torana"));
    let request = Request {
        method: parts.method,
        version: http::Version::HTTP_11,
        path: path.into(),
        query: parts.uri.query().map(Into::into),
        host: target.authority.clone(),
        headers,
        body: if body.is_empty() { Body::Empty } else { Body::Full(body) },
    };
    let mut exchange = Exchange::new(request, Rc::new(Peer::new(nobody, nobody, None, "".into(), true)));
    exchange.keep_forwarded_for = true;
    let response = torana_upstream::send(&mut exchange, target, "", Options { pass_host_header: true, redispatch: false }).await.map_err(
        |e| match e.kind {
            ErrorKind::Timeout => EgressError::Timeout,
            _ => EgressError::Failed(e.cause.to_string()),
        },
    )?;
    let (parts, body) = response.into_parts();
    match body.collect(limit).await {
        Ok(Ok(bytes)) => Ok(http::Response::from_parts(parts, bytes)),
        Ok(Err(_)) => Err(EgressError::TooLarge),
        Err(BodyError::Timeout) => Err(EgressError::Timeout),
        Err(e) => Err(EgressError::Failed(e.to_string())),
    }
}
