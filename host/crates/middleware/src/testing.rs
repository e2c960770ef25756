//! Helpers of this crate's tests: an exchange, a chain run against a fake service.

use bytes::Bytes;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use torana_config::node::Node;
use torana_config::parse::{Format, parse};
use torana_config::routing::ServersTransportConfig;
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{
    Body, BodyError, Client, Clients, Endpoint, ErrorKind, Exchange, Filter, Frame, LocalFuture, Peer, ProxyError, Request, Response, Step,
    exchange,
};

pub(crate) fn yaml(text: &str) -> Node {
    parse(text, Format::Yaml, "test.yml".into()).unwrap()
}

/// Knows middlewares whose name is a number: that many steps that do nothing.
pub(crate) struct Cx;

struct Nothing;
impl Filter for Nothing {}

impl BuildCx for Cx {
    fn name(&self) -> &str {
        "test@file"
    }

    fn middleware(&self, name: &str) -> Result<Vec<Step>, BuildError> {
        let n: usize = match name {
            "auth" | "limit@file" => 1,
            n => n.parse().map_err(|_| BuildError::new("", format!("unknown middleware `{name}`")))?,
        };
        Ok((0..n).map(|_| Step::filter(Nothing)).collect())
    }

    /// `pages` answers 200 with what it was asked for.
    fn service(&self, name: &str) -> Result<Arc<dyn Endpoint>, BuildError> {
        match name {
            "pages" => Ok(Arc::new(Fake(Box::new(|x| {
                let mut r = exchange::status(http::StatusCode::OK);
                *r.body_mut() = Body::from(format!("{} {} {:?}", x.request.method, x.request.target(), x.request.headers));
                r
            })))),
            n => Err(BuildError::new("", format!("unknown service `{n}`"))),
        }
    }

    /// Answers with the status that the path says, the headers of the question, and its method as body.
    fn client(&self, _: &str, _: &ServersTransportConfig) -> Result<Arc<dyn Client>, BuildError> {
        Ok(Arc::new(Mirror))
    }

    fn clients(&self, _: &ServersTransportConfig) -> Result<Arc<dyn Clients>, BuildError> {
        Ok(Arc::new(Mirrors))
    }
}

struct Mirrors;

impl Clients for Mirrors {
    fn to(&self, _: &str) -> Arc<dyn Client> {
        Arc::new(Mirror)
    }
}

struct Mirror;

impl Client for Mirror {
    fn send<'a>(&'a self, request: &'a mut Request) -> LocalFuture<'a, Result<Response, ProxyError>> {
        let status = request.path.get(1..4).and_then(|s| s.parse().ok());
        let answer = status.ok_or_else(|| ProxyError::server(ErrorKind::Unreachable, true, "nobody there")).map(|status| {
            let mut r = exchange::status(status);
            r.headers_mut().clone_from(&request.headers);
            *r.body_mut() = Body::from(request.method.to_string());
            r
        });
        Box::pin(std::future::ready(answer))
    }
}

pub(crate) fn try_build<S: MiddlewareSpec>(text: &str) -> Result<Vec<Step>, BuildError> {
    S::build(torana_config::de::from_node(&yaml(text), "m").unwrap(), &Cx)
}

pub(crate) fn build<S: MiddlewareSpec>(text: &str) -> Vec<Step> {
    try_build::<S>(text).unwrap()
}

pub(crate) fn build_error<S: MiddlewareSpec>(text: &str) -> BuildError {
    try_build::<S>(text).err().expect("must not build")
}

/// The configuration as the API shows it.
pub(crate) fn shown<S: MiddlewareSpec>(text: &str) -> String {
    serde_json::to_value(torana_config::de::from_node::<S::Config>(&yaml(text), "m").unwrap()).unwrap().to_string()
}

pub(crate) fn exchange_from(peer: SocketAddr, tls: bool, method: &str, target: &str) -> Exchange {
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q.into())));
    let request = Request { method: method.parse().unwrap(), path: path.into(), query, host: "a.test".into(), ..Request::default() };
    Exchange::new(request, Rc::new(Peer::new(peer, "192.0.2.1:80".parse().unwrap(), tls.then(Default::default), "web".into(), false)))
}

pub(crate) fn exchange(method: &str, target: &str) -> Exchange {
    exchange_from("192.0.2.7:4000".parse().unwrap(), false, method, target)
}

pub(crate) fn https(method: &str, target: &str) -> Exchange {
    exchange_from("192.0.2.7:4000".parse().unwrap(), true, method, target)
}

/// What came of a run.
pub(crate) struct Ran {
    /// The request as the service saw it last, or as it was left.
    pub(crate) request: Request,
    pub(crate) keep_forwarded_for: bool,
    pub(crate) user: Option<String>,
    /// Whether the service was reached.
    pub(crate) reached: bool,
    pub(crate) response: Response,
    pub(crate) body: String,
}

impl Ran {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).map(|v| std::str::from_utf8(v.as_bytes()).unwrap())
    }

    /// All response headers as `name: value`, sorted.
    pub(crate) fn headers(&self) -> Vec<String> {
        let text = |(n, v): (&http::HeaderName, &http::HeaderValue)| format!("{n}: {}", String::from_utf8_lossy(v.as_bytes()));
        let mut all: Vec<_> = self.response.headers().iter().map(text).collect();
        all.sort();
        all
    }

    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }
}

/// A body that comes in these pieces.
pub(crate) fn pieces(pieces: &'static [&'static str], length: Option<u64>) -> Body {
    struct Pieces(std::slice::Iter<'static, &'static str>);
    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            Poll::Ready(self.0.next().map(|p| Ok(Frame::data(Bytes::from_static(p.as_bytes())))))
        }
    }
    Body::stream(Pieces(pieces.iter()), length)
}

/// A service made of a function.
pub(crate) struct Fake(pub(crate) Box<dyn Fn(&mut Exchange) -> Response + Send + Sync>);

impl Endpoint for Fake {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(async move { (self.0)(exchange) })
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Runs `exchange` through `steps` to a service that does `serve`.
pub(crate) async fn drive(
    steps: &[Step],
    mut exchange: Exchange,
    serve: impl Fn(&mut Exchange) -> Response + Send + Sync + 'static,
) -> Ran {
    let reached = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = reached.clone();
    let fake = Fake(Box::new(move |x| {
        seen.store(true, std::sync::atomic::Ordering::SeqCst);
        serve(x)
    }));
    let mut response = torana_http::run(steps, &fake, &mut exchange).await;
    let body = std::mem::take(response.body_mut()).collect(1 << 20).await.unwrap().unwrap();
    let Exchange { request, keep_forwarded_for, user, .. } = exchange;
    Ran {
        request,
        keep_forwarded_for,
        user,
        reached: reached.load(std::sync::atomic::Ordering::SeqCst),
        response,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

pub(crate) fn ok(_: &mut Exchange) -> Response {
    let mut r = exchange::status(http::StatusCode::OK);
    *r.body_mut() = Body::from("ok");
    r
}

pub(crate) fn run_with(steps: &[Step], exchange: Exchange, serve: impl Fn(&mut Exchange) -> Response + Send + Sync + 'static) -> Ran {
    block_on(drive(steps, exchange, serve))
}

pub(crate) fn run_exchange(steps: &[Step], exchange: Exchange) -> Ran {
    run_with(steps, exchange, ok)
}

pub(crate) fn run(steps: &[Step], method: &str, target: &str) -> Ran {
    run_exchange(steps, exchange(method, target))
}
