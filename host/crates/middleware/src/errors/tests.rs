use super::*;
use crate::testing::{build, build_error, exchange, run_with};
use torana_http::exchange::status;

/// The status, and the first words of what the page's service was asked for.
fn page(config: &str, target: &str, answer: u16) -> (u16, String) {
    let mut x = exchange("POST", target);
    x.request.headers.insert("x-one", "1".parse().unwrap());
    let ran = run_with(&build::<Errors>(config), x, move |_| status(StatusCode::from_u16(answer).unwrap()));
    assert_eq!((ran.request.method, ran.request.headers.len(), ran.keep_forwarded_for), (Method::POST, 1, false), "{config}");
    (ran.response.status().as_u16(), ran.body.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

/// Observed with Traefik 3.7.15.
#[test]
fn asks_for_pages_like_traefik() {
    let with = |rest: &str| format!("{{status: ['500-599'], service: pages, {rest}}}");
    for (rest, target, answer, result) in [
        ("", "/x", 500, (500, "GET /")),
        ("", "/x", 404, (404, "")),
        ("query: '/e/{status}'", "/x", 503, (503, "GET /e/503")),
        ("query: 'e/{status}'", "/x", 503, (503, "GET /e/503")),
        ("query: '//e'", "/x", 503, (503, "GET //e")),
        ("query: '/a b'", "/x", 503, (503, "GET /a%20b")),
        ("query: '/é{x}'", "/x", 503, (503, "GET /%C3%A9%7Bx%7D")),
        ("query: '?q={status}#f'", "/x", 503, (503, "GET /?q=503")),
        ("query: '/%zz'", "/x", 503, (503, "Service Unavailable\n")),
        ("query: '/?u={url}'", "/p%2Fa?q=1&r=%20x;y", 500, (500, "GET /?u=http%3A%2F%2Fa.test%2Fp%252Fa%3Fq%3D1%26r%3D%2520x%26y")),
        ("query: '/?u={url}'", "/a+b'~?", 500, (500, "GET /?u=http%3A%2F%2Fa.test%2Fa%2Bb%27~")),
        ("query: '/e{status}-{originalStatus}', statusRewrites: {'502': 404, '503-504': 200}", "/x", 502, (404, "GET /e404-502")),
        ("query: '/e{status}-{originalStatus}', statusRewrites: {'502': 404, '503-504': 200}", "/x", 504, (200, "GET /e200-504")),
        ("statusRewrites: {'404': 200}", "/x", 404, (404, "")),
    ] {
        assert_eq!(page(&with(rest), target, answer), (result.0, result.1.to_owned()), "{rest}");
    }
}

#[test]
fn shows_what_is_listed() {
    for (listed, shown) in [("[]", true), ("[X-One, nothere]", true), ("[x-two, 'no name']", false)] {
        let mut x = exchange("GET", "/");
        x.request.headers.insert("x-one", "1".parse().unwrap());
        let steps = build::<Errors>(&format!("{{status: ['500'], service: pages, errorRequestHeaders: {listed}}}"));
        let ran = run_with(&steps, x, |_| status(StatusCode::INTERNAL_SERVER_ERROR));
        assert_eq!((ran.body.contains("x-one"), ran.request.headers.contains_key("x-one")), (shown, true), "{listed}");
    }
}

#[test]
fn options() {
    for (text, key) in [
        ("service: nothere", "service"),
        ("status: ['500']", "service"),
        ("{service: pages, status: [abc]}", "status[0]"),
        ("{service: pages, statusRewrites: {abc: 200}}", "statusRewrites.abc"),
        ("{service: pages, statusRewrites: {'500': 101}}", "statusRewrites.500"),
        ("{service: pages, statusRewrites: {'500': 1000}}", "statusRewrites.500"),
    ] {
        assert_eq!(build_error::<Errors>(text).key, key, "{text}");
    }
}
