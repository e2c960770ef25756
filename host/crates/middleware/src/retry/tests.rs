use super::*;
use crate::add_prefix::AddPrefix;
use crate::headers::Headers;
use crate::testing::{Ran, block_on, build, build_error, exchange, ok, run_with, shown};
use std::sync::{Arc, Mutex};
use torana_http::exchange as http_exchange;
use http::HeaderValue;

/// Tries are answered by `answers` in turn, the last for good; gives back what the service saw.
fn send(config: &str, x: Exchange, answers: &[Answer]) -> (Ran, Vec<String>) {
    send_through(&build::<Retry>(config), x, answers)
}

#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    Unreachable,
    /// The server was reached, and broke off.
    Broken,
}

use Answer::{Broken, Status, Unreachable};

fn send_through(steps: &[Step], x: Exchange, answers: &[Answer]) -> (Ran, Vec<String>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let answers = answers.to_vec();
    let ran = run_with(steps, x, move |x| {
        let mut log = log.lock().unwrap();
        let r = &x.request;
        log.push(format!("{} {} {:?} {:?}", r.method, r.target(), r.body, r.headers.get("x-a")));
        let answer = answers[(log.len() - 1).min(answers.len() - 1)];
        if !matches!(answer, Unreachable) {
            x.request.body = Body::Empty;
        }
        match answer {
            Status(200) => ok(x),
            Status(code) => http_exchange::status(StatusCode::from_u16(code).unwrap()),
            Unreachable => respond::proxy_error(ProxyError::server(ErrorKind::Unreachable, true, "refused")),
            Broken => respond::proxy_error(ProxyError::server(ErrorKind::Unreachable, false, "reset")),
        }
    });
    let seen = seen.lock().unwrap().clone();
    (ran, seen)
}

fn tries(config: &str, method: &str, answers: &[Answer]) -> (u16, usize) {
    let (ran, seen) = send(config, exchange(method, "/"), answers);
    (ran.status(), seen.len())
}

/// Observed with Traefik 3.7.15.
#[test]
fn when_it_tries_again() {
    for (config, method, answers, result) in [
        ("attempts: 3", "GET", &[Unreachable, Status(200)][..], (200, 2)),
        ("attempts: 3", "POST", &[Unreachable, Status(200)], (200, 2)),
        ("attempts: 3", "GET", &[Unreachable], (502, 3)),
        ("attempts: 3", "GET", &[Broken], (502, 1)),
        ("attempts: 3", "GET", &[Status(503)], (503, 1)),
        ("attempts: 1", "GET", &[Unreachable], (502, 1)),
        ("{attempts: 3, status: ['503', 400-410]}", "GET", &[Status(503), Status(404), Status(200)], (200, 3)),
        ("{attempts: 3, status: ['503']}", "GET", &[Status(503)], (503, 3)),
        ("{attempts: 3, status: ['503']}", "GET", &[Status(503), Status(500)], (500, 2)),
        ("{attempts: 3, status: ['503']}", "POST", &[Status(503)], (503, 1)),
        ("{attempts: 3, status: ['503']}", "PATCH", &[Status(503)], (503, 1)),
        ("{attempts: 3, status: ['503']}", "LOCK", &[Status(503)], (503, 1)),
        ("{attempts: 3, status: ['503']}", "PUT", &[Status(503)], (503, 3)),
        ("{attempts: 3, status: ['503']}", "PROPFIND", &[Status(503)], (503, 3)),
        ("{attempts: 3, status: ['503']}", "POST", &[Unreachable, Status(503)], (503, 2)),
        ("{attempts: 3, status: ['503'], retryNonIdempotentMethod: true}", "POST", &[Status(503)], (503, 3)),
        ("{attempts: 3, status: ['503'], disableRetryOnNetworkError: true}", "GET", &[Unreachable], (502, 1)),
        ("{attempts: 3, status: ['502'], disableRetryOnNetworkError: true}", "GET", &[Unreachable], (502, 3)),
        ("{attempts: 3, status: ['200']}", "GET", &[Status(200)], (200, 3)),
        ("{attempts: 2, status: ['600', 500-400]}", "GET", &[Status(503)], (503, 1)),
    ] {
        assert_eq!(tries(config, method, answers), result, "{config} {method}");
    }
}

#[test]
fn no_server_left_is_no_network_error() {
    let serve = |_: &mut Exchange| respond::proxy_error(ProxyError::server(ErrorKind::NoServer, true, "none"));
    let ran = run_with(&build::<Retry>("{attempts: 3, initialInterval: 10s}"), exchange("GET", "/"), serve);
    assert_eq!(ran.status(), 503);
}

fn with_body(method: &str, body: Body) -> Exchange {
    let mut x = exchange(method, "/");
    x.request.body = body;
    x
}

/// A body that comes in pieces, of which nothing is known but this length.
fn pieces_of(text: &'static str, length: Option<u64>) -> Body {
    Body::prefixed(Default::default(), Body::from(text), length)
}

#[test]
fn bodies_are_kept_up_to_the_limit() {
    let stream = |text: &'static str, length| pieces_of(text, length);
    let four = "{attempts: 2, status: ['503'], maxRequestBodyBytes: 4}";
    for (config, body, seen) in [
        (four, Body::from("abcd"), vec!["Full(4)"; 2]),
        (four, Body::from("abcde"), vec!["Full(5)"]),
        (four, stream("abcd", Some(4)), vec!["Full(4)"; 2]),
        (four, stream("abcd", None), vec!["Stream(None)"; 2]),
        (four, stream("abcde", None), vec!["Stream(None)"]),
        (four, stream("abcde", Some(5)), vec!["Stream(Some(5))"]),
        ("{attempts: 2, status: ['503'], maxRequestBodyBytes: 0}", Body::Empty, vec!["Empty"; 2]),
        ("{attempts: 2, status: ['503'], maxRequestBodyBytes: 0}", Body::from("a"), vec!["Full(1)"]),
        ("{attempts: 2, status: ['503'], maxRequestBodyBytes: -1}", stream("abcde", None), vec!["Stream(None)"; 2]),
        ("attempts: 2", Body::from("a"), vec!["Full(1)"]),
    ] {
        let (_, got) = send(config, with_body("PUT", body), &[Status(503)]);
        let want: Vec<_> = seen.iter().map(|b| format!("PUT / {b} None")).collect();
        assert_eq!(got, want, "{config}");
    }
}

#[test]
fn a_streaming_body_that_was_not_touched_goes_again() {
    let stream = || pieces_of("abc", Some(3));
    assert_eq!(send("attempts: 3", with_body("POST", stream()), &[Unreachable, Unreachable, Status(200)]).1, ["POST / Stream(Some(3)) None"; 3]);
    // A service that says so but took the body is not believed.
    let ran = run_with(&build::<Retry>("{attempts: 3, initialInterval: 10s}"), with_body("POST", stream()), |x| {
        x.request.body = Body::Empty;
        respond::proxy_error(ProxyError::server(ErrorKind::Unreachable, true, "refused"))
    });
    assert_eq!(ran.status(), 502);
}

#[test]
fn each_try_sees_the_same_request() {
    let mut steps = build::<Retry>("{attempts: 3, status: ['503']}");
    steps.extend(build::<Headers>("{customRequestHeaders: {X-A: b, Host: h}, customResponseHeaders: {X-P: q}}"));
    steps.extend(build::<AddPrefix>("prefix: /zz"));
    let mut x = exchange("GET", "/x%2Fy?q");
    x.request.headers.insert("x-a", HeaderValue::from_static("orig"));
    let (ran, seen) = send_through(&steps, x, &[Status(503)]);
    assert_eq!(seen, ["GET /zz/x%2Fy?q Empty Some(\"b\")"; 3]);
    assert_eq!(ran.headers(), ["x-p: q"]);
}

#[test]
fn pauses_and_gives_up_in_time() {
    let timed = |config: &str| {
        let before = Instant::now();
        let n = tries(config, "GET", &[Unreachable]).1;
        (n, before.elapsed())
    };
    let (n, time) = timed("{attempts: 4, initialInterval: 20ms}");
    assert!(n == 4 && time >= Duration::from_millis(38) && time < Duration::from_millis(500), "{time:?}");
    // The second try begins in time, the third does not.
    let (n, _) = timed("{attempts: 20, initialInterval: 60ms, timeout: 10ms}");
    assert_eq!(n, 2);
    assert_eq!(timed("{attempts: 3, initialInterval: -5s}").0, 3);
}

#[test]
fn an_accepted_upgrade_is_the_end() {
    let tunnel = || Body::Tunnel(Box::new(tokio::io::empty()));
    let steps = build::<Retry>("{attempts: 3}");
    block_on(async {
        let fake = crate::testing::Fake(Box::new(move |_| {
            let mut r = http_exchange::status(StatusCode::SWITCHING_PROTOCOLS);
            *r.body_mut() = tunnel();
            r
        }));
        let response = torana_http::run(&steps, &fake, &mut exchange("GET", "/")).await;
        assert!(matches!(response.body(), Body::Tunnel(_)));
    });
}

#[test]
fn options() {
    for (text, key) in [
        ("timeout: 1s", "attempts"),
        ("attempts: -1", "attempts"),
        ("{attempts: 3, disableRetryOnNetworkError: true}", "disableRetryOnNetworkError"),
        ("{attempts: 3, status: ['503,504']}", "status[0]"),
    ] {
        assert_eq!(build_error::<Retry>(text).key, key);
    }
    assert_eq!(shown::<Retry>("attempts: 3"), r#"{"attempts":3,"maxRequestBodyBytes":2097152}"#);
    assert_eq!(
        shown::<Retry>("{attempts: 4, timeout: 150ms, initialInterval: 1, status: ['503'], maxRequestBodyBytes: 0}"),
        r#"{"attempts":4,"timeout":"150ms","initialInterval":"1s","maxRequestBodyBytes":0,"status":["503"]}"#
    );
}
