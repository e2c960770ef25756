use super::*;
use crate::frames::followed_by;
use crate::testing::{Ran, build, build_error, exchange, pieces, run_with, shown};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::{Arc, Mutex};
use torana_http::Frame;
use torana_http::exchange as http_exchange;

/// Tries are answered by `codes` in turn, the last for good; gives back what the service saw.
fn send(config: &str, method: &str, body: Body, codes: &'static [u16]) -> (Ran, Vec<String>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let mut x = exchange(method, "/");
    x.request.body = body;
    let ran = run_with(&build::<Buffering>(config), x, move |x| {
        let mut log = log.lock().unwrap();
        log.push(format!("{} {:?} {}", x.request.method, x.request.body, x.request.headers.len()));
        x.request.headers.insert("x-inner", "1".parse().unwrap());
        http_exchange::status(StatusCode::from_u16(codes[(log.len() - 1).min(codes.len() - 1)]).unwrap())
    });
    let seen = seen.lock().unwrap().clone();
    (ran, seen)
}

#[test]
fn requests_arrive_whole_and_with_a_length() {
    let limits = "{maxRequestBodyBytes: 4, memRequestBodyBytes: 2}";
    for (body, seen) in [
        (Body::Empty, Some("Empty")),
        (pieces(&[], None), Some("Empty")),
        (pieces(&["a"], None), Some("Full(1)")),
        (pieces(&["ab"], None), Some("Full(2)")),
        (pieces(&["ab", "cd"], None), Some("Stream(Some(4))")),
        (pieces(&["ab", "cde"], None), None),
        (pieces(&["abcde"], Some(5)), None),
        (Body::from("abcde"), None),
    ] {
        let (ran, got) = send(limits, "POST", body, &[200]);
        match seen {
            Some(seen) => assert_eq!((ran.status(), got), (200, vec![format!("POST {seen} 0")])),
            None => assert_eq!((ran.status(), &*ran.body, got.len()), (413, "Request Entity Too Large", 0)),
        }
    }
}

#[test]
fn sends_again_while_the_expression_holds() {
    for (expression, method, codes, tries) in [
        ("IsNetworkError()", "GET", &[502, 504, 200][..], 3),
        ("IsNetworkError()", "POST", &[503], 1),
        ("Attempts() < 3", "GET", &[200], 3),
        ("ResponseCode() >= 500 && Attempts() <= 2", "GET", &[500], 3),
        ("ResponseCode() == 500", "GET", &[500], 11),
        ("RequestMethod() == \"GET\" && IsNetworkError() && Attempts() < 4", "POST", &[502], 1),
        ("RequestMethod() == \"GET\" && IsNetworkError() && Attempts() < 4", "GET", &[502], 4),
    ] {
        let (ran, seen) = send(&format!("retryExpression: '{expression}'"), method, pieces(&["a", "b"], None), codes);
        // The body is whole each time, and what further middlewares changed is undone.
        assert_eq!(seen, vec![format!("{method} Full(2) 0"); tries], "{expression}");
        assert_eq!(ran.status(), *codes.last().unwrap());
    }
    assert_eq!(send("retryExpression: IsNetworkError()", "GET", Body::Empty, &[502]).1.len(), 1, "without a body, as Traefik");
}

fn answer(config: &str, method: &str, make: impl Fn() -> Response + Send + Sync + 'static) -> Ran {
    run_with(&build::<Buffering>(config), exchange(method, "/"), move |_| make())
}

#[test]
fn responses_are_kept_up_to_the_limit() {
    let limits = "{maxResponseBodyBytes: 4, memResponseBodyBytes: 2, retryExpression: 'Attempts() < 2'}";
    for (body, result) in [
        (&["ab", "cd"][..], (200, "abcd")),
        (&["ab", "cd", "e"], (500, "Internal Server Error")),
        (&[], (200, "")),
    ] {
        let ran = answer(limits, "GET", move || Response::new(pieces(body, None)));
        assert_eq!((ran.status(), &*ran.body), result);
    }
    let short = "x".repeat(2048).leak() as &str;
    let long = "x".repeat(2049).leak() as &str;
    let list: &'static [[&'static str; 1]] = vec![[short], [long]].leak();
    for (i, length) in [(0, Some(2048)), (1, None)] {
        let response = crate::testing::block_on(async {
            let fake = crate::testing::Fake(Box::new(move |_| Response::new(pieces(&list[i], None))));
            torana_http::run(&build::<Buffering>("maxResponseBodyBytes: 0"), &fake, &mut exchange("GET", "/")).await
        });
        assert_eq!(response.body().length(), length);
    }
}

#[test]
fn what_stands_behind_a_response() {
    for (announced, header) in [(true, Some("1")), (false, None)] {
        let ran = answer("maxResponseBodyBytes: 5", "GET", move || {
            let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-t"), HeaderValue::from_static("1"))]);
            let mut r = Response::new(followed_by([Ok(Frame::data("abc".into())), Ok(Frame::trailers(trailers))], Body::Empty));
            if announced {
                r.headers_mut().insert("trailer", "X-T".parse().unwrap());
            }
            r
        });
        assert_eq!((ran.header("x-t"), &*ran.body), (header, "abc"));
    }
    let ran = answer("maxResponseBodyBytes: 5", "GET", || Response::new(followed_by([Err(BodyError::Truncated)], Body::Empty)));
    assert_eq!((ran.status(), &*ran.body), (500, "Internal Server Error\n"));
}

#[test]
fn responses_without_a_body() {
    for (method, code, grpc) in [("HEAD", 200, "0"), ("GET", 204, "0"), ("GET", 304, "0"), ("POST", 200, "5")] {
        let ran = answer("maxResponseBodyBytes: 1", method, move || {
            let mut r = Response::new(Body::from("more than one byte"));
            *r.status_mut() = StatusCode::from_u16(code).unwrap();
            r.headers_mut().insert("grpc-status", grpc.parse().unwrap());
            r
        });
        assert_eq!((ran.status(), &*ran.body), (code, ""), "{method} {code}");
    }
}

#[test]
fn options() {
    for key in ["maxRequestBodyBytes", "memRequestBodyBytes", "maxResponseBodyBytes", "memResponseBodyBytes"] {
        assert_eq!(build_error::<Buffering>(&format!("{key}: -1")).key, key);
    }
    for text in ["'!IsNetworkError()'", "Attempts()", "RequestThreshold() > 1", "IsNetworkError(1)"] {
        assert_eq!(build_error::<Buffering>(&format!("retryExpression: {text}")).key, "retryExpression");
    }
    assert_eq!(shown::<Buffering>("{maxRequestBodyBytes: 5, memRequestBodyBytes: 0}"), r#"{"maxRequestBodyBytes":5}"#);
}
