use super::body::Whole;
use super::outgoing::send;
use super::*;
use crate::cache::Cache;
use crate::load::{Lasting, Loader};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};
use torana_base::Place;
use torana_config::node::Node;
use torana_config::routing::{Item, PluginConfig};
use torana_extend::{Egress, EgressError, SendFuture};
use torana_http::{Peer, Request};
use wasmtime_wasi_http::RequestOptions;

struct Echo;

impl Egress for Echo {
    fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
        limit: usize,
    ) -> SendFuture<'static, Result<http::Response<Bytes>, EgressError>> {
        Box::pin(async move {
            let text = format!("{} {} {}", request.method(), request.uri(), request.body().len());
            if text.len() > limit { Err(EgressError::TooLarge) } else { Ok(http::Response::new(text.into())) }
        })
    }
}

fn cargo_build(folder: &Path, args: &[&str]) {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--target", "wasm32-wasip2"]).args(args).current_dir(folder).env_remove("CARGO_TARGET_DIR");
    assert!(cargo.status().unwrap().success(), "{} does not build", folder.display());
}

/// The component of `plugins/whoami`; built if it is not there.
fn whoami() -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let path = BUILT.get_or_init(|| {
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../plugins");
        let path = plugins.join("target/wasm32-wasip2/release/whoami.wasm");
        if !path.exists() {
            cargo_build(&plugins, &["-p", "whoami"]);
        }
        path
    });
    std::fs::read(path).unwrap()
}

/// One of the components in `tests/guest-p3`.
fn guest(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = here.join("../../../target/guests");
        cargo_build(&here.join("tests/guest-p3"), &["--locked", "--examples", "--target-dir", target.to_str().unwrap()]);
        target.join("wasm32-wasip2/release/examples")
    });
    std::fs::read(folder.join(format!("{name}.wasm"))).unwrap()
}

/// A handler that does nothing but this.
fn handler(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "wasi:http/types@0.2.0" (instance $types
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $out))
            (core module $m (memory (export "memory") 1) (func (export "handle") (param i32 i32) {body}))
            (core instance $i (instantiate $m))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out)) (canon lift (core func $i "handle")))
            (instance $h (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $h)))"#
    );
    wat::parse_str(text).unwrap()
}

fn loaded(bytes: &[u8], change: impl FnOnce(&mut PluginConfig)) -> Arc<Loaded> {
    let mut config = PluginConfig { path: "test.wasm".to_owned(), ..PluginConfig::default() };
    // Debug builds are slow.
    config.limits.deadline = "500ms".parse().unwrap();
    change(&mut config);
    let loader = Arc::new(Loader::new(Arc::new(Echo), Cache::open(), 1, crate::clock::Clock::System).unwrap());
    let item = Item::new(config, Place::whole("test"), 1);
    match loader.load(&"test@file".into(), &item, bytes, &Lasting::default()) {
        Ok(l) => Arc::new(l),
        Err(wrong) => panic!("{wrong:?}"),
    }
}

fn service(loaded: &Arc<Loaded>, config: &str) -> Arc<dyn Endpoint> {
    match endpoint(loaded, config.to_owned()) {
        Ok(e) => e,
        Err(OpenError::Broken(e)) => panic!("{e}"),
        Err(OpenError::Config(e)) => panic!("{}", e.message),
    }
}

/// As a worker of the data plane does.
fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(future)
}

fn exchange(method: Method, target: &str, body: Body) -> Exchange {
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    let mut request =
        Request { method, path: path.into(), query: query.map(Into::into), host: "a.test:81".into(), body, ..Request::default() };
    request.headers.insert("x-mine", "1".parse().unwrap());
    request.headers.insert("connection", "x-hop".parse().unwrap());
    request.headers.insert("x-hop", "1".parse().unwrap());
    let peer = Peer::new("10.0.0.9:1".parse().unwrap(), "10.0.0.1:80".parse().unwrap(), None, "web".into(), false);
    Exchange::new(request, Rc::new(peer))
}

async fn ask(service: &Arc<dyn Endpoint>, method: Method, target: &str, body: Body) -> (StatusCode, Result<String, BodyError>) {
    let response = service.serve(&mut exchange(method, target, body)).await;
    let (parts, body) = response.into_parts();
    let text = body.collect(usize::MAX).await.map(|all| String::from_utf8(all.unwrap().to_vec()).unwrap());
    (parts.status, text)
}

/// `count` pieces of `size` bytes, with a pause before each; then perhaps an error.
struct Pieces {
    count: usize,
    size: usize,
    broken: bool,
    pause: Duration,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Pieces {
    fn body(count: usize, size: usize, pause: Duration, broken: bool) -> Body {
        Body::stream(Pieces { count, size, broken, pause, sleep: Box::pin(tokio::time::sleep(pause)) }, None)
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        std::task::ready!(self.sleep.as_mut().poll(cx));
        let next = tokio::time::Instant::now() + self.pause;
        self.sleep.as_mut().reset(next);
        Poll::Ready(match self.count {
            0 if self.broken => Some(Err(BodyError::Truncated)),
            0 => None,
            _ => {
                self.count -= 1;
                Some(Ok(Frame::data(vec![b'x'; self.size].into())))
            }
        })
    }
}

#[test]
fn answers_with_what_it_was_asked() {
    let loaded = loaded(&whoami(), |_| {});
    let service = service(&loaded, r#"{"name":"one"}"#);
    run(async {
        let (status, text) = ask(&service, Method::GET, "/a%20b?c=d", Body::Empty).await;
        assert_eq!(status, 200);
        assert_eq!(
            text.unwrap(),
            "backend one\nGET /a%20b?c=d HTTP\nhost: a.test:81\nx-mine: 1\nx-forwarded-for: 10.0.0.9\nbody: 0 bytes\n"
        );
        let (_, text) = ask(&service, Method::POST, "/", Body::Full("hello".into())).await;
        assert!(text.unwrap().ends_with("body: 5 bytes\n"));
        let (status, _) = ask(&service, Method::GET, "/?status=503", Body::Empty).await;
        assert_eq!(status, 503);
    });
    let t = loaded.stats.totals();
    assert_eq!((t.calls, t.traps, t.bad_answers, t.instances, t.memory), (3, 0, 1, 0, 0));
}

#[test]
fn bodies_stream_both_ways() {
    let loaded = loaded(&whoami(), |c| c.limits.timeout = "200ms".parse().unwrap());
    let service = service(&loaded, "{}");
    run(async {
        // Longer than limits.timeout, but never for that long without a piece.
        let body = Pieces::body(8, 100_000, Duration::from_millis(50), false);
        let (status, text) = ask(&service, Method::POST, "/", body).await;
        assert_eq!(status, 200);
        assert!(text.unwrap().ends_with("body: 800000 bytes\n"));
        let (status, text) = ask(&service, Method::POST, "/", Pieces::body(1, 10, Duration::ZERO, true)).await;
        assert_eq!((status.as_u16(), text.unwrap().as_str()), (500, "Internal Server Error"));
        let mut e = exchange(Method::GET, "/?size=20000000", Body::Empty);
        let response = service.serve(&mut e).await;
        assert_eq!(response.body().length(), Some(20_000_000));
        assert!(loaded.stats.totals().instances == 1, "it is read as it is made");
        let all = response.into_body().collect(usize::MAX).await.unwrap().unwrap();
        assert_eq!(all.len(), 20_000_000);
    });
}

#[test]
fn a_client_that_leaves_takes_the_instance_along() {
    let loaded = loaded(&whoami(), |_| {});
    let service = service(&loaded, "{}");
    run(async {
        let response = service.serve(&mut exchange(Method::GET, "/?size=20000000", Body::Empty)).await;
        let mut body = response.into_body();
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(loaded.stats.totals().instances, 1);
        drop(body);
        assert_eq!(loaded.stats.totals().instances, 0);
        let mut e = exchange(Method::GET, "/?wait=60000", Body::Empty);
        assert!(tokio::time::timeout(Duration::from_millis(50), service.serve(&mut e)).await.is_err());
        assert_eq!(loaded.stats.totals().instances, 0);
        // An answer without a body does not cut the component off.
        let (status, text) = ask(&service, Method::HEAD, "/?size=3000000", Body::Empty).await;
        assert_eq!((status.as_u16(), text.unwrap().as_str()), (200, ""));
        tokio::time::sleep(Duration::from_millis(200)).await;
        let t = loaded.stats.totals();
        assert_eq!((t.calls, t.traps, t.instances), (3, 0, 0));
    });
}

#[test]
fn requests_at_once_wait_for_each_other_only_beyond_the_limit() {
    let bytes = whoami();
    let many = loaded(&bytes, |_| {});
    let few = loaded(&bytes, |c| {
        c.limits.instances = 2;
        c.limits.timeout = "150ms".parse().unwrap();
    });
    let (all, two) = (service(&many, "{}"), service(&few, "{}"));
    run(async {
        let begin = Instant::now();
        let twenty = (0..20).map(|_| ask(&all, Method::GET, "/?wait=200", Body::Empty));
        for (status, _) in futures_util::future::join_all(twenty).await {
            assert_eq!(status, 200);
        }
        assert!(begin.elapsed() < Duration::from_millis(2000), "{:?}", begin.elapsed());
        let six = (0..6).map(|_| ask(&two, Method::GET, "/?wait=100", Body::Empty));
        let busy = futures_util::future::join_all(six).await.iter().filter(|(s, _)| *s == 503).count();
        assert!((1..=4).contains(&busy), "{busy}");
        assert_eq!(few.stats.totals().refused, busy as u64);
    });
}

#[test]
fn what_never_answers_is_stopped() {
    for (body, status, deadline_hits) in [("unreachable", 500, 0), ("(loop br 0)", 500, 1), ("nop", 500, 0)] {
        let loaded = loaded(&handler(body), |c| c.limits.deadline = "20ms".parse().unwrap());
        let service = service(&loaded, "{}");
        run(async {
            let (got, _) = ask(&service, Method::GET, "/", Body::Empty).await;
            assert_eq!(got, status, "{body}");
        });
        let t = loaded.stats.totals();
        assert_eq!((t.calls, t.traps, t.deadline_hits, t.instances), (1, 1, deadline_hits, 0), "{body}");
    }
    let loaded = loaded(&whoami(), |c| c.limits.timeout = "50ms".parse().unwrap());
    let service = service(&loaded, "{}");
    run(async {
        assert_eq!(ask(&service, Method::GET, "/?wait=60000", Body::Empty).await.0, 504);
    });
    assert_eq!(loaded.stats.totals().deadline_hits, 1);
}

#[test]
fn it_rests_after_failures_in_a_row() {
    let loaded = loaded(&handler("unreachable"), |_| {});
    let service = service(&loaded, "{}");
    run(async {
        let mut all = Vec::new();
        for _ in 0..6 {
            all.push(ask(&service, Method::GET, "/", Body::Empty).await.0.as_u16());
        }
        assert_eq!(all, [500, 500, 500, 500, 500, 503]);
        tokio::time::sleep(Duration::from_millis(120)).await;
        assert_eq!(ask(&service, Method::GET, "/", Body::Empty).await.0, 500);
    });
    assert_eq!(loaded.stats.totals().refused, 1);
}

#[test]
fn its_requests_need_a_grant() {
    let loaded = loaded(&handler("nop"), |c| {
        c.permissions.http = vec!["api.test".to_owned()];
        c.limits.body = "64".parse().unwrap();
    });
    let environment = loaded.environment(Use::default());
    let ask = |url: &'static str, body: &'static str| {
        let request = http::Request::post(url).body(WasiBody::new(Whole::new(body.into()))).unwrap();
        run(send(&environment, request, RequestOptions::default()))
    };
    assert_eq!(ask("http://api.test/x", "abc").unwrap().into_body(), "POST http://api.test/x 3");
    assert!(matches!(ask("http://other.test/", ""), Err(Error::HttpRequestDenied)));
    assert!(matches!(ask("http://api.test/", &"x".repeat(65).leak()[..]), Err(Error::HttpRequestBodySize(_))));
}

#[test]
fn handlers_of_p3() {
    let loaded = loaded(&guest("service"), |c| c.limits.timeout = "400ms".parse().unwrap());
    assert_eq!(loaded.form, Form::HttpP3);
    let service = service(&loaded, "{}");
    run(async {
        let (status, text) = ask(&service, Method::GET, "/a", Body::Empty).await;
        assert_eq!((status.as_u16(), text.unwrap().trim()), (200, "/a"));
        let (status, text) = ask(&service, Method::GET, "/large", Body::Empty).await;
        assert_eq!((status.as_u16(), text.unwrap().len()), (200, 300 * 10001));
        // The component has ended long before its body has.
        let body = Pieces::body(5, 100_000, Duration::from_millis(20), false);
        let (status, text) = ask(&service, Method::POST, "/through", body).await;
        assert_eq!((status.as_u16(), text.unwrap().len()), (200, 500_000));
        assert_eq!(ask(&service, Method::GET, "/error", Body::Empty).await.0, 504);
        let (status, text) = ask(&service, Method::GET, "/late-trap", Body::Empty).await;
        assert_eq!(status, 200);
        assert!(matches!(text, Err(BodyError::Truncated)), "{text:?}");
        assert_eq!(ask(&service, Method::GET, "/trap", Body::Empty).await.0, 500);
        assert_eq!(ask(&service, Method::GET, "/spin", Body::Empty).await.0, 500);
        let response = service.serve(&mut exchange(Method::GET, "/large", Body::Empty)).await;
        drop(response);
        let all = futures_util::future::join_all((0..20).map(|_| ask(&service, Method::GET, "/large", Body::Empty))).await;
        assert!(all.iter().all(|(s, t)| *s == 200 && t.as_ref().unwrap().len() == 300 * 10001));
    });
    let t = loaded.stats.totals();
    assert_eq!((t.calls, t.traps, t.deadline_hits, t.bad_answers, t.instances), (28, 3, 1, 1, 0));
}

/// A service that notes the paths it was asked for, and sends the body back.
#[derive(Default)]
struct Mirror {
    asked: Mutex<Vec<String>>,
}

impl Endpoint for Mirror {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        let r = &mut exchange.request;
        let kind = match r.body {
            Body::Empty => "empty",
            _ => "body",
        };
        let seen = r.header("x-seen").unwrap_or("-");
        self.asked.lock().unwrap().push(format!("{} {} {} {seen} {kind}", r.method, r.host, r.target()));
        let mut response = Response::new(std::mem::take(&mut r.body));
        if r.path == "/mid/tunnel" {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *response.body_mut() = Body::Tunnel(Box::new(tokio::io::duplex(1).0));
        }
        response.extensions_mut().insert(7u8);
        Box::pin(std::future::ready(response))
    }
}

#[test]
fn middlewares_of_p3() {
    let bytes = guest("middleware");
    let closed = loaded(&bytes, |_| {});
    assert_eq!(closed.form, Form::HttpP3Middleware);
    let open = loaded(&bytes, |c| c.failure = torana_config::routing::Failure::Open);
    let step = |l: &Arc<Loaded>| match middleware(l, "{}".to_owned()) {
        Ok(step) => [step],
        Err(_) => panic!("it cannot be opened"),
    };
    let (step, failing_open) = (step(&closed), step(&open));
    let mirror = Mirror::default();
    run(async {
        let pass = async |steps: &[Step], target: &str, body: Body| {
            let mut e = exchange(if matches!(body, Body::Empty) { Method::GET } else { Method::POST }, target, body);
            let r = torana_http::run(steps, &mirror, &mut e).await;
            let (parts, body) = r.into_parts();
            let all = body.collect(usize::MAX).await.map(|b| b.unwrap().len());
            let asked = std::mem::take(&mut *mirror.asked.lock().unwrap());
            (parts.status.as_u16(), parts.headers.contains_key("x-passed"), parts.extensions.get::<u8>().is_some(), all, asked.join(", "))
        };
        let (status, passed, noted, all, asked) = pass(&step, "/a?b=c", Body::Empty).await;
        assert_eq!((status, passed, noted, all.unwrap(), asked.as_str()), (200, true, true, 0, "GET a.test:81 /mid/a?b=c 1 empty"));
        let (status, passed, _, all, asked) = pass(&step, "/b", Pieces::body(10, 100_000, Duration::from_millis(5), false)).await;
        assert_eq!((status, passed, all.unwrap(), asked.as_str()), (200, true, 1_000_000, "POST a.test:81 /mid/b 1 body"));
        let (_, _, _, all, _) = pass(&step, "/b", Body::Full(vec![1; 70_000].into())).await;
        assert_eq!(all.unwrap(), 70_000);
        let (status, _, noted, _, asked) = pass(&step, "/denied", Body::Empty).await;
        assert_eq!((status, noted, asked.as_str()), (403, false, ""));
        let (status, _, _, _, asked) = pass(&step, "/twice", Body::Empty).await;
        assert_eq!((status, asked.split(", ").count()), (200, 2), "{asked}");
        let (status, ..) = pass(&step, "/tunnel", Body::Empty).await;
        assert_eq!(status, 101);
        assert_eq!(pass(&step, "/trap", Body::Empty).await.0, 500);
        assert_eq!(pass(&step, "/late-trap", Body::Empty).await.0, 500);
        // Once the chain ran, there is no second chance.
        let (status, passed, _, _, asked) = pass(&failing_open, "/trap", Body::Full("x".into())).await;
        assert_eq!((status, passed, asked.as_str()), (200, false, "POST a.test:81 /trap - body"));
        assert_eq!(pass(&failing_open, "/late-trap", Body::Empty).await.0, 500);
    });
    let t = closed.stats.totals();
    assert_eq!((t.calls, t.traps, t.instances), (8, 2, 0));
}

/// `cargo test -p torana-wasm --release -- --ignored --nocapture cost_of_a_call`
#[test]
#[ignore = "a measurement"]
fn cost_of_a_call() {
    let whoami = service(&loaded(&whoami(), |_| {}), "{}");
    let p3 = service(&loaded(&guest("service"), |_| {}), "{}");
    let Ok(wrapped) = middleware(&loaded(&guest("middleware"), |_| {}), "{}".to_owned()) else { panic!("it cannot be opened") };
    let mirror: Arc<dyn Endpoint> = Arc::new(Mirror::default());
    let all: [(&str, &[Step], &Arc<dyn Endpoint>); 3] =
        [("0.2 service", &[], &whoami), ("0.3 service", &[], &p3), ("0.3 middleware", &[wrapped], &mirror)];
    for (name, steps, end) in all {
        for body in [Body::Empty, Body::Full(Bytes::from(vec![0; 64 << 10]))] {
            let mut times: Vec<Duration> = Vec::new();
            run(async {
                for _ in 0..3000 {
                    let mut e = exchange(Method::POST, "/", body.replayable().unwrap());
                    let begin = Instant::now();
                    let r = torana_http::run(steps, &**end, &mut e).await;
                    r.into_body().collect(usize::MAX).await.unwrap().unwrap();
                    times.push(begin.elapsed());
                }
            });
            times.sort();
            eprintln!("{name}, {body:?}: p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() / 100 * 99]);
        }
    }
}

/// Two versions of it cannot share the calls: a new one takes over at once, and that is told.
#[test]
fn a_middleware_of_wasi_has_no_rollout() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.wasm");
    std::fs::write(&path, guest("middleware")).unwrap();
    let mut config = PluginConfig { path: path.to_str().unwrap().to_owned(), ..PluginConfig::default() };
    config.rollout = Some(Default::default());
    let stage =
        crate::Stage::load("m@file", Item::new(config, Place::whole("test"), 1), Arc::new(Echo), 0).unwrap_or_else(|d| panic!("{d:?}"));
    let told = stage.host().diagnostics();
    assert!(
        told.len() == 1 && !told[0].is_error() && told[0].message == "a new version of a wasi:http middleware takes over at once",
        "{told:?}"
    );
    assert!(stage.host().middleware("m@file", &Node::empty(Place::whole("test")), "m", "file").is_ok());
}
