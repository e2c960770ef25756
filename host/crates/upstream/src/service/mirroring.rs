use crate::held::{HeldBody, HeldTunnel};
use smallvec::SmallVec;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use torana_http::{
    Body, BodyError, Endpoint, ErrorKind, Exchange, Frame, LocalFuture, Peer, ProxyError, Response, SavedHead, WholeBody, respond,
};

/// Requests of one service that are being mirrored at a time, all workers together. More are served without it.
const MOST_REQUESTS: usize = 1024;
/// Bytes of bodies that one service keeps for its mirrors, all workers together.
const MOST_BYTES: usize = 64 << 20;
/// Of them, for one body that does not say how long it is.
const MOST_UNDECLARED: usize = 16 << 20;
/// A mirror that has not answered to the end by then is left.
const LONGEST: Duration = Duration::from_secs(300);

/// `mirroring`: one service answers, others get copies of the requests afterwards and answer nobody.
pub struct Mirroring {
    service: Arc<dyn Endpoint>,
    mirrors: Arc<[Mirror]>,
    mirror_body: bool,
    max_body: usize,
    /// Requests so far.
    total: AtomicU64,
    load: Arc<Load>,
}

pub struct Mirror {
    pub endpoint: Arc<dyn Endpoint>,
    /// Of all requests, 0 to 100.
    pub percent: u8,
}

impl Mirror {
    /// Whether the `n`-th request is one of its own: it has always had its share, rounded up.
    fn takes(&self, n: u64) -> bool {
        let share = |n: u64| (u128::from(n) * u128::from(self.percent)).div_ceil(100);
        share(n) > share(n - 1)
    }
}

/// What mirrors are busy with.
#[derive(Default)]
struct Load {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// A share of the load; given back when it is dropped.
struct Share {
    load: Arc<Load>,
    requests: usize,
    bytes: usize,
}

impl Share {
    fn take(load: &Arc<Load>, requests: usize, bytes: usize) -> Option<Self> {
        let add = |of: &AtomicUsize, n: usize, most: usize| of.fetch_add(n, Relaxed).saturating_add(n) <= most;
        let share = Share { load: load.clone(), requests, bytes };
        let fits = [add(&load.requests, requests, MOST_REQUESTS), add(&load.bytes, bytes, MOST_BYTES)];
        fits.into_iter().all(|f| f).then_some(share)
    }

    fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.load.bytes.fetch_sub(less, Relaxed);
        self.bytes -= less;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.load.requests.fetch_sub(self.requests, Relaxed);
        self.load.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// The body of mirrored requests.
enum Copied {
    Whole(WholeBody, #[expect(dead_code, reason = "given back when it is dropped")] Share),
    None,
    /// The head speaks of one that mirrors do not get.
    Missing(Option<u64>),
}

impl Copied {
    fn body(&self) -> Body {
        match self {
            Copied::Whole(whole, _) => whole.body(),
            Copied::None => Body::Empty,
            Copied::Missing(length) => Body::stream(Missing, *length),
        }
    }
}

/// Ends at once: a mirror sees the head of the request and then the end of the connection, as in Traefik.
struct Missing;

impl http_body::Body for Missing {
    type Data = bytes::Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        Poll::Ready(Some(Err(BodyError::Truncated)))
    }
}

/// What is sent to mirrors once the client has its answer.
struct Job {
    mirrors: Arc<[Mirror]>,
    chosen: SmallVec<[usize; 4]>,
    head: SavedHead,
    body: Copied,
    peer: Rc<Peer>,
}

impl Job {
    /// One mirror after the other.
    async fn run(self) {
        for mirror in self.chosen.iter().filter_map(|i| self.mirrors.get(*i)) {
            let mut exchange = self.head.again(Rc::new(self.peer.stream(None)), self.body.body());
            let work = async {
                let mut response = mirror.endpoint.serve(&mut exchange).await;
                // Read to its end, so that the connection can be used again.
                while let Some(Ok(_)) = response.body_mut().frame().await {}
            };
            if tokio::time::timeout(LONGEST, work).await.is_err() {
                tracing::debug!("a mirror has not answered in time");
            }
        }
    }
}

impl Mirroring {
    /// `max_body` in bytes: a request with more is not mirrored.
    pub fn new(service: Arc<dyn Endpoint>, mirrors: Vec<Mirror>, mirror_body: bool, max_body: usize) -> Self {
        let (total, load) = (AtomicU64::new(0), Arc::default());
        Mirroring { service, mirrors: mirrors.into(), mirror_body, max_body, total, load }
    }

    fn chosen(&self) -> SmallVec<[usize; 4]> {
        let n = self.total.fetch_add(1, Relaxed).wrapping_add(1).max(1);
        self.mirrors.iter().enumerate().filter(|(_, m)| m.takes(n)).map(|(i, _)| i).collect()
    }

    /// The body for the mirrors; `None` where the request is not to be mirrored. The exchange has it all the same.
    async fn copy(&self, exchange: &mut Exchange) -> Result<Option<Copied>, BodyError> {
        let body = &mut exchange.request.body;
        if matches!(body, Body::Empty) {
            return Ok(Some(Copied::None));
        }
        let declared = body.length().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        if !self.mirror_body {
            return Ok(Some(Copied::Missing(body.length())));
        }
        let limit = self.max_body.min(declared.unwrap_or(MOST_UNDECLARED));
        if declared.is_some_and(|n| n > limit) {
            return Ok(None);
        }
        let Some(mut share) = Share::take(&self.load, 0, limit) else { return Ok(None) };
        match WholeBody::read(std::mem::take(body), limit).await? {
            Ok(whole) => {
                share.shrink_to(whole.bytes.len());
                *body = whole.body();
                Ok(Some(Copied::Whole(whole, share)))
            }
            Err(rest) => {
                *body = rest;
                Ok(None)
            }
        }
    }
}

impl Endpoint for Mirroring {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let chosen = self.chosen();
            if chosen.is_empty() {
                return self.service.serve(exchange).await;
            }
            let body = match self.copy(exchange).await {
                Ok(Some(body)) => body,
                Ok(None) => {
                    tracing::debug!("a request is not mirrored: its body is too large");
                    return self.service.serve(exchange).await;
                }
                // As in Traefik; the client is seldom there to see it.
                Err(_) => return respond::error_text(http::StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
            };
            let head = SavedHead::of(exchange);
            let mut response = self.service.serve(exchange).await;
            if response.extensions().get::<ProxyError>().is_some_and(|e| e.kind == ErrorKind::ClientGone) {
                return response;
            }
            let job = Job { mirrors: self.mirrors.clone(), chosen, head, body, peer: exchange.peer.clone() };
            let answered = after(&mut response, &exchange.peer);
            let load = self.load.clone();
            tokio::task::spawn_local(async move {
                if answered.await.is_err() {
                    return;
                }
                // Only now: answers that take long do not keep others from being mirrored.
                match Share::take(&load, 1, 0) {
                    Some(_share) => job.run().await,
                    None => tracing::debug!("a request is not mirrored: the mirrors are busy"),
                }
            });
            response
        })
    }
}

/// Comes true when the client has the whole answer; an error if it never gets it.
fn after(response: &mut Response, peer: &Rc<Peer>) -> oneshot::Receiver<()> {
    let (tell, told) = oneshot::channel();
    let mut end = End { tell: Some(tell), peer: peer.clone() };
    match response.body_mut() {
        Body::Empty | Body::Full(_) => end.reached(),
        body => {
            *body = match std::mem::take(body) {
                Body::Tunnel(tunnel) => Body::Tunnel(Box::new(HeldTunnel { tunnel, _held: end })),
                streamed => {
                    let length = streamed.length();
                    let watch = |end: &mut End, frame: Option<&Result<Frame, BodyError>>| match frame {
                        None => end.reached(),
                        Some(Err(_)) => end.tell = None,
                        Some(Ok(_)) => {}
                    };
                    Body::stream(HeldBody { body: streamed, held: end, watch }, length)
                }
            }
        }
    }
    told
}

/// Tells of the end of an answer.
struct End {
    tell: Option<oneshot::Sender<()>>,
    peer: Rc<Peer>,
}

impl End {
    fn reached(&mut self) {
        if let Some(tell) = self.tell.take() {
            // Nobody waits any more when the runtime is gone.
            _ = tell.send(());
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.peer.cut.get() && !std::thread::panicking() {
            self.reached();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(percent: u8) -> Mirror {
        struct Nobody;
        impl Endpoint for Nobody {
            fn serve<'a>(&'a self, _: &'a mut Exchange) -> LocalFuture<'a, Response> {
                Box::pin(std::future::ready(Response::default()))
            }
        }
        Mirror { endpoint: Arc::new(Nobody), percent }
    }

    /// Traefik counts: a mirror fires while `count * 100 < total * percent`.
    #[test]
    fn a_mirror_has_its_share_as_traefik_counts_it() {
        for percent in 0..=100 {
            let (mirror, mut count) = (mirror(percent), 0u64);
            for total in 1..=1000 {
                let fires = count * 100 < total * u64::from(percent);
                count += u64::from(fires);
                assert_eq!(mirror.takes(total), fires, "{percent}% at {total}");
            }
        }
        assert!(mirror(100).takes(u64::MAX) && !mirror(0).takes(u64::MAX));
    }

    #[test]
    fn the_load_has_an_end_and_is_given_back() {
        let load = Arc::new(Load::default());
        let bytes = Share::take(&load, 0, MOST_BYTES).unwrap();
        assert!(Share::take(&load, 0, 1).is_none() && Share::take(&load, 0, usize::MAX / 2).is_none());
        let many: Vec<_> = (0..MOST_REQUESTS).map(|_| Share::take(&load, 1, 0).unwrap()).collect();
        assert!(Share::take(&load, 1, 0).is_none());
        drop((bytes, many));
        assert_eq!((load.requests.load(Relaxed), load.bytes.load(Relaxed)), (0, 0));
        let mut share = Share::take(&load, 1, 100).unwrap();
        share.shrink_to(7);
        assert_eq!(load.bytes.load(Relaxed), 7);
        drop(share);
        assert_eq!((load.requests.load(Relaxed), load.bytes.load(Relaxed)), (0, 0));
    }
}
