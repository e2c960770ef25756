//! One request in a component.

use super::Inner;
use super::body::Pump;
use super::turn::{Turn, Turns, allow};
use crate::load::Loaded;
use crate::pool::{Failure, broken, store};
use crate::state::State;
use crate::stats::{Hook, Outcome};
use bytes::Bytes;
use http_body::Frame;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use wasmtime::{PoolConcurrencyLimitError, Result, Store};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView, p3};

/// What the component answers.
pub(super) type Head = std::result::Result<http::Response<WasiBody>, Error>;
type Reply = oneshot::Sender<Head>;

/// A request of the component to the rest of the chain.
pub(crate) struct Asked {
    pub(super) request: http::Request<WasiBody>,
    pub(super) reply: oneshot::Sender<http::Response<WasiBody>>,
}

pub(super) enum Event {
    Head(Head),
    Asked(Asked),
}

/// What is instantiated for each request.
#[derive(Clone)]
pub(super) enum Pre {
    P2(ProxyPre<State>),
    P3(ServicePre<State>),
}

/// A component that serves a request; dropped, it is gone in the middle of it.
pub(super) struct Guest {
    running: Option<Turns<'static, std::result::Result<(), Failure>>>,
    pub(super) tally: Tally,
}

impl Guest {
    fn start(
        service: &Arc<Inner>,
        request: http::Request<WasiBody>,
        reply: Reply,
        seat: OwnedSemaphorePermit,
        chain: Option<mpsc::Sender<Asked>>,
    ) -> Guest {
        let mut store = store(&service.loaded, &service.environment);
        store.data_mut().hooks.chain = chain;
        let turn: Arc<Turn> = store.data().hooks.turn.clone();
        let future = Box::pin(run(service.clone(), store, request, reply, seat));
        Guest { running: Some(Turns { turn, future }), tally: Tally::new(service) }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(running) = &mut self.running
            && let Poll::Ready(result) = Pin::new(running).poll(cx)
        {
            self.running = None;
            self.tally.failure = result.err();
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.tally.failure = Some(failure);
    }

    pub(super) fn is_done(&self) -> bool {
        self.running.is_none()
    }

    /// Lets it come to its end after the client has its answer; what it still says is not heard.
    pub(super) fn linger(mut self, mut body: Option<WasiBody>) {
        if self.is_done() {
            return;
        }
        // Without a runtime the process is about to end.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let timeout = self.tally.service.environment.limits.timeout;
        runtime.spawn(async move {
            let end = std::future::poll_fn(|cx| {
                self.poll(cx);
                while let Some(b) = &mut body {
                    match http_body::Body::poll_frame(Pin::new(b), cx) {
                        Poll::Ready(Some(Ok(_))) => {}
                        Poll::Ready(_) => body = None,
                        Poll::Pending => break,
                    }
                }
                if self.is_done() { Poll::Ready(()) } else { Poll::Pending }
            });
            if tokio::time::timeout(timeout, end).await.is_err() {
                self.fail(Failure::Timeout(timeout));
            }
        });
    }
}

/// A component until it answers, and what has to be polled for it.
pub(super) struct Serving {
    pub(super) guest: Guest,
    pub(super) pumps: Vec<Pump>,
    answer: oneshot::Receiver<Head>,
    asked: Option<mpsc::Receiver<Asked>>,
}

impl Serving {
    pub(super) fn start(
        service: &Arc<Inner>,
        request: http::Request<WasiBody>,
        pump: Option<Pump>,
        seat: OwnedSemaphorePermit,
        chain: Option<(mpsc::Sender<Asked>, mpsc::Receiver<Asked>)>,
    ) -> Serving {
        let (reply, answer) = oneshot::channel();
        let (chain, asked) = chain.unzip();
        let guest = Guest::start(service, request, reply, seat, chain);
        Serving { guest, pumps: pump.into_iter().collect(), answer, asked }
    }

    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        self.guest.poll(cx);
        self.pumps.iter_mut().for_each(|p| p.poll(cx));
    }

    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<Head, Failure>> {
        self.drive(cx);
        Pin::new(&mut self.answer).poll(cx).map(|answer| match answer {
            Ok(Ok(head)) => self.checked(head).map(Ok),
            Ok(Err(error)) => Ok(Err(error)),
            // Nobody can answer any more: it has ended.
            Err(_) => Err(self.guest.tally.failure.take().unwrap_or_else(|| Failure::Output("there is none".to_owned()))),
        })
    }

    fn checked(&self, head: http::Response<WasiBody>) -> std::result::Result<http::Response<WasiBody>, Failure> {
        if head.status().is_informational() {
            return Err(Failure::Output(format!("a status of {} ends no exchange", head.status().as_u16())));
        }
        let size: usize = head.headers().iter().map(|(n, v)| n.as_str().len() + v.len()).sum();
        if size > self.guest.tally.service.environment.limits.headers {
            return Err(Failure::Output(format!("its headers have {size} bytes, more than limits.headers")));
        }
        Ok(head)
    }

    /// A failure is the component's.
    pub(super) fn settled<T>(&mut self, result: std::result::Result<T, Failure>) -> std::result::Result<T, Failure> {
        if let Err(f) = &result {
            self.guest.fail(f.clone());
        }
        result
    }

    /// What it does next. `limits.timeout` begins anew with each piece of a body that is taken over: a slow
    /// client is not the component's fault.
    pub(super) async fn event(&mut self) -> std::result::Result<Event, Failure> {
        let timeout = self.guest.tally.service.environment.limits.timeout;
        let mut give_up = Instant::now() + timeout;
        loop {
            let event = std::future::poll_fn(|cx| {
                if let Poll::Ready(head) = self.poll_head(cx) {
                    return Poll::Ready(head.map(Event::Head));
                }
                match self.asked.as_mut().map(|a| a.poll_recv(cx)) {
                    Some(Poll::Ready(Some(asked))) => Poll::Ready(Ok(Event::Asked(asked))),
                    _ => Poll::Pending,
                }
            });
            if let Ok(event) = tokio::time::timeout_at(give_up.into(), event).await {
                return self.settled(event);
            }
            match self.pumps.iter().map(|p| p.moved() + timeout).max() {
                Some(later) if later > give_up => give_up = later,
                _ => return self.settled(Err(Failure::Timeout(timeout))),
            }
        }
    }
}

/// Counts a call, once, when it is over.
pub(super) struct Tally {
    service: Arc<Inner>,
    begin: Instant,
    /// Until the head of the answer.
    took: Option<Duration>,
    bad: bool,
    pub(super) failure: Option<Failure>,
}

impl Tally {
    fn new(service: &Arc<Inner>) -> Tally {
        Tally { service: service.clone(), begin: Instant::now(), took: None, bad: false, failure: None }
    }

    /// It answered with an error code.
    pub(super) fn refused(&mut self, error: &Error) {
        tracing::error!(target: "plugin", plugin = &*self.service.loaded.plugin, %error, "the plugin answered with an error");
        self.answered(true);
    }

    pub(super) fn answered(&mut self, bad: bool) {
        self.took = Some(self.begin.elapsed());
        self.bad = bad;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let took = self.took.unwrap_or_else(|| self.begin.elapsed());
        let Inner { loaded, rest, .. } = &*self.service;
        match &self.failure {
            Some(Failure::Busy) => loaded.stats.refused(),
            Some(f) => {
                loaded.stats.call(Hook::Handle, took, f.outcome());
                rest.failed(&loaded.plugin, f);
            }
            None => {
                loaded.stats.call(Hook::Handle, took, if self.bad { Outcome::BadAnswer } else { Outcome::Good });
                rest.succeeded();
            }
        }
    }
}

/// An instance in the statistics.
struct Counted {
    loaded: Arc<Loaded>,
    memory: i64,
}

impl Counted {
    fn new(loaded: &Arc<Loaded>, store: &Store<State>) -> Counted {
        let memory = store.data().memory.used as i64;
        loaded.stats.instances(1);
        loaded.stats.memory(memory);
        Counted { loaded: loaded.clone(), memory }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.loaded.stats.instances(-1);
        self.loaded.stats.memory(-self.memory);
    }
}

fn failure(e: &wasmtime::Error, state: &State) -> Failure {
    if e.is::<PoolConcurrencyLimitError>() { Failure::Busy } else { broken(e, state) }
}

/// Makes an instance, to see whether one can be made.
pub(super) async fn rehearse(service: &Inner) -> std::result::Result<(), Failure> {
    let mut store = store(&service.loaded, &service.environment);
    let _held = service.environment.ticker.hold();
    let limits = service.environment.limits;
    allow(&mut store, limits.start);
    let turn = store.data().hooks.turn.clone();
    let made = async {
        match &service.pre {
            Pre::P2(pre) => pre.instantiate_async(&mut store).await.map(drop),
            Pre::P3(pre) => pre.instantiate_async(&mut store).await.map(drop),
        }
    };
    match tokio::time::timeout(limits.start + limits.timeout, Turns { turn, future: Box::pin(made) }).await {
        Ok(made) => made.map_err(|e| failure(&e, store.data())),
        Err(_) => Err(Failure::Timeout(limits.timeout)),
    }
}

/// An instance of its own for each request. To reuse one would spare some 50 µs, but components of 0.2 are
/// often made for one request only, and what one client left behind could meet the next.
async fn run(
    service: Arc<Inner>,
    mut store: Store<State>,
    request: http::Request<WasiBody>,
    reply: Reply,
    _seat: OwnedSemaphorePermit,
) -> std::result::Result<(), Failure> {
    let _held = service.environment.ticker.hold();
    let store = &mut store;
    allow(store, service.environment.limits.start);
    let result = match &service.pre {
        Pre::P2(pre) => p2(&service, pre, store, request, reply).await,
        Pre::P3(pre) => p3(&service, pre, store, request, reply).await,
    };
    result.map_err(|e| failure(&e, store.data()))
}

async fn p2(
    service: &Inner,
    pre: &ProxyPre<State>,
    store: &mut Store<State>,
    request: http::Request<WasiBody>,
    reply: Reply,
) -> Result<()> {
    let proxy = pre.instantiate_async(&mut *store).await?;
    let _counted = Counted::new(&service.loaded, store);
    let scheme = if request.uri().scheme() == Some(&http::uri::Scheme::HTTPS) { Scheme::Https } else { Scheme::Http };
    let request = store.data_mut().http().new_incoming_request(scheme, request)?;
    let out = store.data_mut().http().new_response_outparam_from_callback(move |answer| {
        let _ = reply.send(answer.map_err(Error::from));
    })?;
    allow(store, service.environment.limits.deadline);
    proxy.wasi_http_incoming_handler().call_handle(store, request, out).await
}

async fn p3(
    service: &Inner,
    pre: &ServicePre<State>,
    store: &mut Store<State>,
    request: http::Request<WasiBody>,
    reply: Reply,
) -> Result<()> {
    let handler = pre.instantiate_async(&mut *store).await?;
    let _counted = Counted::new(&service.loaded, store);
    let (request, io) = p3::Request::from_http(store.data_mut().http().hooks, request);
    allow(store, service.environment.limits.deadline);
    let served = store.run_concurrent(async |accessor| -> Result<()> {
        let (done, body_is_gone) = oneshot::channel::<()>();
        let answer = match handler.handle(accessor, request).await? {
            Ok(response) => {
                let response = accessor.with(|s| response.into_http(s, io))?;
                Ok(response.map(|body| WasiBody::new(Watched { body, _done: done })))
            }
            Err(code) => {
                drop(done);
                Err(Error::from(code))
            }
        };
        let _ = reply.send(answer);
        // Streams move only while this runs, and the component may go on after them.
        let _ = body_is_gone.await;
        let mut idle = pin!(std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)));
        idle.as_mut().await;
        Ok(())
    });
    served.await?
}

/// A body that tells when it is gone.
struct Watched {
    body: WasiBody,
    _done: oneshot::Sender<()>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<std::result::Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
}
