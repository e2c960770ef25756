use super::*;
use crate::frames::followed_by;
use crate::testing::{Ran, build, exchange, run_with, shown};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use std::sync::{Arc, Mutex};
use torana_http::{Frame, exchange as http_exchange, respond};

const HELLO: &[u8] = b"\0\0\0\0\x05hello";

fn call(kind: &str, body: &[u8], make: impl Fn() -> Response + Send + Sync + 'static) -> (Ran, String, Vec<u8>) {
    let mut x = exchange("POST", "/s/M");
    x.request.headers.insert("content-type", kind.parse().unwrap());
    x.request.headers.insert("origin", "https://a.test".parse().unwrap());
    x.request.body = Body::Full(Bytes::copy_from_slice(body));
    let seen: Arc<Mutex<(String, Vec<u8>)>> = Arc::default();
    let log = seen.clone();
    let ran = run_with(&build::<GrpcWeb>("allowOrigins: ['https://a.test']"), x, move |x| {
        let mut log = log.lock().unwrap();
        log.0 = format!("{} {:?}", x.request.header("content-type").unwrap(), x.request.body);
        let body = std::mem::take(&mut x.request.body);
        let mut body = Box::pin(body.collect(1000));
        let std::task::Poll::Ready(read) = body.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) else { panic!() };
        log.1 = read.map(|r| r.unwrap().to_vec()).unwrap_or_default();
        make()
    });
    let (head, body) = seen.lock().unwrap().clone();
    (ran, head, body)
}

fn answer() -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("grpc-message", " fine ".parse().unwrap());
    trailers.insert("x-sent", "twice".parse().unwrap());
    let mut r = Response::new(followed_by([Ok(Frame::data(Bytes::from_static(HELLO))), Ok(Frame::trailers(trailers))], Body::Empty));
    for (name, value) in [("content-type", "application/grpc+proto"), ("x-sent", "1"), ("trailer", "grpc-status")] {
        r.headers_mut().insert(name, value.parse().unwrap());
    }
    r
}

const END: &str = "\u{80}\0\0\0\x24grpc-message: fine\r\ngrpc-status: 0\r\n";

fn end() -> Vec<u8> {
    END.chars().map(|c| c as u8).collect()
}

#[test]
fn binary() {
    // `testing::drive` wants text; the last frame is looked at in its base64 form, below.
    let (ran, head, body) = call("application/grpc-web-text+proto", STANDARD.encode(HELLO).as_bytes(), answer);
    assert_eq!((&*head, &*body), ("application/grpc+proto Stream(None)", HELLO));
    assert_eq!(ran.body, STANDARD.encode(HELLO) + &STANDARD.encode(end()));
    assert_eq!(
        ran.headers(),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://a.test",
            "access-control-expose-headers: Access-Control-Allow-Credentials, Access-Control-Allow-Origin, Content-Type, Vary, X-Sent, grpc-status, grpc-message",
            "content-type: application/grpc-web-text+proto",
            "vary: Origin",
            "x-sent: 1",
        ]
    );
    let (_, head, body) = call("application/grpc-web", HELLO, || http_exchange::status(StatusCode::OK).map(|_| Body::from("x")));
    assert_eq!((&*head, &*body), ("application/grpc Stream(None)", HELLO));
}

#[test]
fn base64_in_pieces() {
    let text = [STANDARD.encode("ab"), "\r\n".into(), STANDARD.encode("cde"), STANDARD.encode("f")].concat();
    let (_, _, body) = call("application/grpc-web-text", text.as_bytes(), answer);
    assert_eq!(body, b"abcdef");
    let (_, _, body) = call("application/grpc-web-text", b"YWI", answer);
    assert!(body.is_empty());
}

#[test]
fn a_call_that_fails_has_a_last_frame_too() {
    let empty = STANDARD.encode([0x80, 0, 0, 0, 0]);
    let (ran, ..) = call("application/grpc-web-text", b"", || {
        let mut r = http_exchange::status(StatusCode::OK);
        r.headers_mut().insert("grpc-status", "5".parse().unwrap());
        r
    });
    assert_eq!((ran.header("grpc-status"), &*ran.body), (Some("5"), &*empty));
    let (ran, ..) = call("application/grpc-web-text", b"", || {
        respond::proxy_error(ProxyError::server(torana_http::ErrorKind::Unreachable, true, "refused"))
    });
    assert_eq!((ran.status(), ran.body), (502, STANDARD.encode(b"Bad Gateway\x80\0\0\0\0")));
}

#[test]
fn questions_in_advance() {
    for (origin, method, allowed) in [
        ("https://a.test", "POST", true),
        ("https://a.test", "post", true),
        ("https://a.test", "PUT", false),
        ("https://b.test", "POST", false),
        ("HTTPS://a.test", "POST", false),
    ] {
        let mut x = exchange("OPTIONS", "/s/M");
        for (name, value) in [
            ("origin", origin),
            ("access-control-request-method", method),
            ("access-control-request-headers", "content-type,X-GRPC-WEB, x-user-agent"),
        ] {
            x.request.headers.insert(name, value.parse().unwrap());
        }
        let ran = run_with(&build::<GrpcWeb>("allowOrigins: ['https://a.test']"), x, crate::testing::ok);
        assert_eq!((ran.status(), ran.reached, &*ran.body), (200, false, ""));
        let mut want =
            vec!["vary: Access-Control-Request-Headers", "vary: Access-Control-Request-Method", "vary: Origin"];
        if allowed {
            want.splice(
                0..0,
                [
                    "access-control-allow-credentials: true",
                    "access-control-allow-headers: Content-Type, X-Grpc-Web, X-User-Agent",
                    "access-control-allow-methods: POST",
                    "access-control-allow-origin: https://a.test",
                    "access-control-max-age: 600",
                ],
            );
        }
        assert_eq!(ran.headers(), want, "{origin} {method}");
    }
}

#[test]
fn other_requests_pass() {
    for (method, kind) in [("GET", "application/grpc-web"), ("POST", "application/grpc"), ("POST", "application/json"), ("OPTIONS", "")] {
        let mut x = exchange(method, "/");
        x.request.headers.insert("content-type", kind.parse().unwrap());
        let ran = run_with(&build::<GrpcWeb>("allowOrigins: ['*']"), x, crate::testing::ok);
        assert_eq!((ran.status(), &*ran.body, ran.response.headers().len()), (200, "ok", 0), "{method} {kind}");
    }
    assert_eq!(shown::<GrpcWeb>("allowOrigins: ['*']"), r#"{"allowOrigins":["*"]}"#);
}
