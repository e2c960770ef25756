//! Plays a transcript: the plugin in the engine of a gateway, everything around it out of the transcript.

use super::check::{Happened, Message, check, lines};
use super::outgoing::World;
use super::{Miss, log};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::LocalRuntime;
use torana_base::Diagnostic;
use torana_devkit::transcript::{Act, Asked, Budget, Content, Reply, Server, Step, Transcript};
use torana_extend::{DnsChallenge, Facts, Manifest, PluginKind, RequestTest, ServerChoice, Servers};
use torana_http::{Body, BodyError, Endpoint, Exchange, Frame, LocalFuture, Peer, Request, Response};
use torana_wasm::{Feed, Stage};

/// Bytes of a body that are compared, at most.
const MAX_BODY: usize = 256 << 20;

/// How a transcript went.
#[derive(Default)]
pub(crate) struct Played {
    /// Misses of each step that has some, with what the plugin wrote meanwhile.
    pub(crate) failed: Vec<Failed>,
    pub(crate) measured: Vec<Measured>,
}

pub(crate) struct Failed {
    /// `exchanges[1]`, and its name; empty for what belongs to none.
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) misses: Vec<Miss>,
    pub(crate) log: Vec<String>,
}

pub(crate) struct Measured {
    pub(crate) key: String,
    pub(crate) calls: usize,
    pub(crate) figures: Vec<(&'static str, Duration)>,
}

/// The plugin as what calls it has it.
enum Part {
    Steps(Vec<torana_http::Step>),
    Service(Arc<dyn Endpoint>),
    Test(Arc<dyn RequestTest>),
    Choice(Arc<dyn ServerChoice>),
    Feed(Feed),
    Dns(Arc<dyn DnsChallenge>),
}

struct Player<'a> {
    stage: Stage,
    world: Arc<World>,
    part: Part,
    runtime: LocalRuntime,
    transcript: &'a Transcript,
}

/// The error is why it cannot be played: what a gateway would say of the plugin or its configuration.
pub(crate) fn play(t: &Transcript, kind: PluginKind, path: &str, manifest: Option<&Manifest>) -> Result<Played, Vec<Diagnostic>> {
    let declared = t.declaration(kind, path, manifest)?;
    let world = Arc::new(World::new(&t.outgoing));
    let name = format!("{}@file", manifest.map_or("plugin", |m| m.name.as_str()));
    let stage = Stage::load(&name, declared, world.clone(), t.clock)?;
    // That it was loaded is nothing to tell.
    log::taken();
    for (namespace, key, value) in &t.kv {
        if !stage.keep(namespace, key, value.clone()) {
            return Err(vec![Diagnostic::error(format!("kv.{namespace}.{key}"), "the value is too large")]);
        }
    }
    let part = part(&stage, &name, t, kind)?;
    let unable = |e: std::io::Error| vec![Diagnostic::error("", format!("there is no runtime: {e}"))];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).map_err(unable)?;
    let player = Player { stage, world, part, runtime, transcript: t };
    // What it wrote while it was made.
    log::taken();
    Ok(player.all())
}

fn part(stage: &Stage, name: &str, t: &Transcript, kind: PluginKind) -> Result<Part, Vec<Diagnostic>> {
    let host = stage.host();
    Ok(match kind {
        PluginKind::Middleware => Part::Steps(host.middleware(name, &t.config, "config", "file")?.steps),
        PluginKind::Service => Part::Service(host.service(name, &t.config, "config")?),
        PluginKind::Matcher => Part::Test(host.matcher(name, &t.args).map_err(|e| {
            let key = if t.args.is_empty() { "config" } else { "args" };
            vec![Diagnostic::error(key, e).at(&t.config.place)]
        })?),
        PluginKind::Balancer => Part::Choice(host.choice(name, &t.config, "config")?),
        PluginKind::Provider => Part::Feed(stage.feed(&t.config, "config")?),
        PluginKind::DnsChallenge => Part::Dns(host.dns_challenge(name, &t.config, "config")?),
    })
}

impl Player<'_> {
    fn all(&self) -> Played {
        let mut played = Played::default();
        for step in &self.transcript.steps {
            self.stage.advance(step.advance);
            self.world.expect(&step.outgoing, false);
            let before = self.failures();
            let (mut happened, mut misses) = self.runtime.block_on(self.happen(step));
            happened.failed = self.failures() > before;
            happened.log = log::taken();
            misses.extend(check(step, &happened, &self.stage));
            misses.extend(self.world.misses(&step.key));
            if let Some(budget) = step.budget.as_ref().filter(|_| misses.is_empty()) {
                misses.extend(self.measure(std::slice::from_ref(step), budget, &step.key, &mut played));
            }
            if !misses.is_empty() {
                let log = log::shown(&happened.log);
                played.failed.push(Failed { key: step.key.clone(), name: step.name.clone(), misses, log });
            }
        }
        if let Some(budget) = self.transcript.budget.as_ref().filter(|_| played.failed.is_empty()) {
            let misses = self.measure(&self.transcript.steps, budget, "", &mut played);
            if !misses.is_empty() {
                played.failed.push(Failed { key: String::new(), name: String::new(), misses, log: Vec::new() });
            }
        }
        played
    }

    /// Calls that failed, and those that did not happen.
    fn failures(&self) -> u64 {
        let s = self.stage.status();
        s.traps + s.refused
    }

    async fn happen(&self, step: &Step) -> (Happened, Vec<Miss>) {
        let mut h = Happened::default();
        let mut misses = Vec::new();
        match (&step.act, &self.part) {
            (Act::Request(asked, _), Part::Test(test)) => h.verdict = Some(test.test(&About(asked)).to_string()),
            (Act::Request(asked, reply), part) => {
                let backend = Backend { reply, seen: Mutex::new(None), keep: true };
                let mut exchange = exchange(asked);
                let response = serve(part, &backend, &mut exchange).await;
                h.response = Some(answer(response).await);
                h.user = exchange.user.take();
                h.backend = backend.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
            }
            (Act::Pick(asked, servers), Part::Choice(choice)) => {
                let index = choice.choose(&exchange(asked), &Row(servers));
                h.verdict = index.and_then(|i| servers.get(i)).map(|s| s.url.clone());
            }
            (Act::Poll, Part::Feed(feed)) => match feed.poll().await {
                Ok(delivered) => {
                    h.document = delivered.document;
                    h.again = Some(format!("{:?}", delivered.again));
                    for d in delivered.wrong {
                        let (key, wanted) = (format!("{}.expect.document", step.key), "a routing configuration".to_owned());
                        misses.push(Miss { key, place: Some(step.place.clone()), wanted, got: d.to_string() });
                    }
                }
                Err(e) => h.error = Some(e),
            },
            (Act::Present(r), Part::Dns(dns)) => h.error = dns.present(&r.domain, &r.name, &r.value).await.err(),
            (Act::CleanUp(r), Part::Dns(dns)) => h.error = dns.clean_up(&r.domain, &r.name, &r.value).await.err(),
            // A transcript is read for the kind that is played.
            _ => {}
        }
        (h, misses)
    }

    /// Does steps again and again, one after the other, and looks at the clock on the wall.
    fn measure(&self, steps: &[Step], budget: &Budget, key: &str, played: &mut Played) -> Vec<Miss> {
        let before = self.failures();
        let warm = (budget.calls / 10).clamp(1, 1000);
        let mut took: Vec<Duration> = (0..warm + budget.calls)
            .map(|i| {
                let step = &steps[i % steps.len()];
                self.world.expect(&step.outgoing, true);
                self.runtime.block_on(self.once(step))
            })
            .skip(warm)
            .collect();
        took.sort_unstable();
        log::taken();
        self.world.expect(&[], false);
        let at = |part: f64| took[((part * took.len() as f64).ceil() as usize).clamp(1, took.len()) - 1];
        let mut misses = Vec::new();
        for (name, part, limit, key, place) in &budget.limits {
            if at(*part) > *limit {
                let wanted = format!("{name} at most {limit:?}");
                let got = format!("{:.1?}, over {} calls", at(*part), took.len());
                misses.push(Miss { key: key.clone(), place: Some(place.clone()), wanted, got });
            }
        }
        if self.failures() > before {
            let (wanted, got) = ("no call fails".to_owned(), format!("{} failed", self.failures() - before));
            misses.push(Miss { key: "budget".to_owned(), place: None, wanted, got });
        }
        let figures = vec![("p50", at(0.5)), ("p90", at(0.9)), ("p99", at(0.99)), ("max", at(1.0))];
        played.measured.push(Measured { key: key.to_owned(), calls: took.len(), figures });
        misses
    }

    /// A call of which only the time counts: from the request in memory to the response in memory.
    async fn once(&self, step: &Step) -> Duration {
        match (&step.act, &self.part) {
            (Act::Request(asked, _), Part::Test(test)) => {
                let begin = Instant::now();
                test.test(&About(asked));
                begin.elapsed()
            }
            (Act::Request(asked, reply), part) => {
                let backend = Backend { reply, seen: Mutex::new(None), keep: false };
                let mut exchange = exchange(asked);
                let begin = Instant::now();
                let response = serve(part, &backend, &mut exchange).await;
                let _ = response.into_body().collect(MAX_BODY).await;
                begin.elapsed()
            }
            (Act::Pick(asked, servers), Part::Choice(choice)) => {
                let exchange = exchange(asked);
                let begin = Instant::now();
                choice.choose(&exchange, &Row(servers));
                begin.elapsed()
            }
            _ => Duration::ZERO,
        }
    }
}

async fn serve(part: &Part, backend: &Backend<'_>, exchange: &mut Exchange) -> Response {
    match part {
        Part::Service(service) => service.serve(exchange).await,
        Part::Steps(steps) => torana_http::run(steps, backend, exchange).await,
        _ => Response::new(Body::Empty),
    }
}

fn exchange(a: &Asked) -> Exchange {
    let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let peer = Peer::new(SocketAddr::new(a.client, 40_000), nobody, a.https.then(Default::default), a.entry_point.as_str().into(), true);
    let request = Request {
        method: a.method.clone(),
        version: http::Version::HTTP_11,
        path: a.path.as_str().into(),
        query: a.query.as_deref().map(Into::into),
        host: a.host.as_str().into(),
        headers: a.headers.clone(),
        body: content(&a.body),
    };
    let mut exchange = Exchange::new(request, Rc::new(peer));
    exchange.router = Some(a.router.as_str().into());
    exchange
}

fn content(c: &Content) -> Body {
    match c {
        Content::Whole(text) if text.is_empty() => Body::Empty,
        Content::Whole(text) => Body::Full(text.clone().into()),
        Content::Pieces(pieces) => Body::stream(Pieces(pieces.iter().map(|p| p.clone().into()).collect()), None),
    }
}

/// A body that comes piece by piece.
struct Pieces(VecDeque<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        Poll::Ready(self.0.pop_front().map(|b| Ok(Frame::data(b))))
    }
}

/// The body as text; what broke it off is told in its place.
async fn text(body: Body) -> String {
    match body.collect(MAX_BODY).await {
        Ok(Ok(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Ok(Err(_)) => "(longer than can be compared)".to_owned(),
        Err(e) => format!("(broken off: {e})"),
    }
}

async fn answer(response: Response) -> Message {
    let (head, body) = response.into_parts();
    let body = text(body).await;
    let status = head.status.as_u16();
    let line = format!("{status} {}", body.lines().next().unwrap_or_default());
    Message { line: line.trim_end().to_owned(), facts: vec![("status", status.to_string())], headers: head.headers, body }
}

/// The service behind a middleware.
struct Backend<'a> {
    reply: &'a Reply,
    seen: Mutex<Option<Message>>,
    keep: bool,
}

impl Endpoint for Backend<'_> {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let body = std::mem::take(&mut exchange.request.body);
            if self.keep {
                let body = text(body).await;
                let r = &exchange.request;
                let facts = vec![("method", r.method.to_string()), ("url", r.target()), ("host", r.host.to_string())];
                let line = format!("{} {}", r.method, r.target());
                let seen = Message { line, facts, headers: r.headers.clone(), body };
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
            } else {
                let _ = body.collect(MAX_BODY).await;
            }
            let mut response = Response::new(content(&self.reply.body));
            *response.status_mut() = self.reply.status;
            *response.headers_mut() = self.reply.headers.clone();
            response
        })
    }
}

/// A request as a rule sees it.
struct About<'a>(&'a Asked);

impl Facts for About<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let a = self.0;
        Some(match name {
            ":method" => a.method.as_str().into(),
            ":host" => a.host.as_str().into(),
            ":path" => match &a.query {
                Some(q) => format!("{}?{q}", a.path).into(),
                None => a.path.as_str().into(),
            },
            ":client-ip" => a.client.to_string().into(),
            name => {
                let all = lines(&a.headers, &http::HeaderName::from_bytes(name.as_bytes()).ok()?);
                if all.is_empty() {
                    return None;
                }
                all.join(", ").into()
            }
        })
    }
}

/// The servers of a balancer.
struct Row<'a>(&'a [Server]);

impl Servers for Row<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn url(&self, index: usize) -> &str {
        self.0.get(index).map_or("", |s| &s.url)
    }

    fn weight(&self, index: usize) -> u32 {
        self.0.get(index).map_or(0, |s| s.weight)
    }

    fn is_up(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(|s| s.up)
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.0.get(index).map_or(0, |s| s.in_flight)
    }

    /// Each list of a transcript has its own.
    fn generation(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut h = DefaultHasher::new();
        self.0.iter().for_each(|s| (&s.url, s.weight, s.up).hash(&mut h));
        h.finish()
    }
}
