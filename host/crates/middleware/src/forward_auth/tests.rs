use super::*;
use crate::testing::{Ran, build, build_error, exchange, https, ok, run_exchange, run_with, shown};

fn auth(rest: &str) -> Vec<Step> {
    build::<ForwardAuth>(&format!("{{address: 'http://u:p@auth.test/200', {rest}}}"))
}

fn with(headers: &[(&'static str, &str)]) -> Exchange {
    let mut x = exchange("POST", "/p%2Fa?q;r");
    for (name, value) in headers {
        x.request.headers.append(*name, value.parse().unwrap());
    }
    x
}

/// The question's headers, as `name: value`, sorted: the answer has them too, and all of them are taken over.
fn asked(rest: &str, x: Exchange) -> Vec<String> {
    let ran = run_exchange(&auth(&format!("authResponseHeadersRegex: '.*', {rest}")), x);
    assert!(ran.reached);
    let text = |(n, v): (&HeaderName, &http::HeaderValue)| format!("{n}: {}", v.to_str().unwrap());
    let mut all: Vec<_> = ran.request.headers.iter().map(text).collect();
    all.sort();
    all
}

const CAME: &[(&str, &str)] = &[
    ("x-forwarded-for", "1.1.1.1"),
    ("x-forwarded-proto", "wss"),
    ("x-forwarded-port", "99"),
    ("x-forwarded-prefix", "/pre"),
    ("x-real-ip", "9.9.9.9"),
    ("connection", "x-hop, close"),
    ("x-hop", "1"),
    ("te", "trailers"),
    ("user-agent", "ua"),
    ("authorization", "mine"),
];

/// Observed with Traefik 3.7.15.
#[test]
fn asks_like_traefik() {
    let own = |port: &[&str]| {
        let mut all = vec!["x-forwarded-for: 192.0.2.7", "x-forwarded-host: a.test", "x-forwarded-method: POST", "x-forwarded-proto: http"];
        all.push("x-forwarded-uri: /p%2Fa?q&r");
        all.extend(["authorization: mine", "user-agent: ua"].iter().chain(port));
        all.sort_unstable();
        all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(asked("", with(CAME)), own(&["x-forwarded-port: 99", "x-forwarded-prefix: /pre", "x-real-ip: 9.9.9.9"]));
    assert_eq!(asked("trustForwardHeader: false", with(CAME)), own(&["x-forwarded-port: 80"]));
    assert_eq!(
        asked("trustForwardHeader: true", with(CAME)),
        [
            "authorization: mine",
            "user-agent: ua",
            "x-forwarded-for: 1.1.1.1, 192.0.2.7",
            "x-forwarded-host: a.test",
            "x-forwarded-method: POST",
            "x-forwarded-port: 99",
            "x-forwarded-prefix: /pre",
            "x-forwarded-proto: wss",
            "x-forwarded-uri: /p%2Fa?q&r",
            "x-real-ip: 9.9.9.9"
        ]
    );
    let listed = asked("authRequestHeaders: [User-Agent, x-hop, te]", with(CAME));
    assert_eq!(listed, own(&[]).iter().map(|h| h.replace("mine", "Basic dTpw")).collect::<Vec<_>>());
    assert!(asked("authRequestHeaders: [x], trustForwardHeader: true", with(CAME)).contains(&"x-forwarded-prefix: /pre".to_owned()));
    let none = asked("trustForwardHeader: false", https("GET", "/"));
    assert!(none.contains(&"user-agent: Go-http-client/1.1".to_owned()) && none.contains(&"authorization: Basic dTpw".to_owned()));
    assert!(none.contains(&"x-forwarded-port: 443".to_owned()) && none.contains(&"x-forwarded-proto: https".to_owned()));
    assert!(!asked("", with(&[("user-agent", "")])).iter().any(|h| h.starts_with("user-agent")));
}

fn answered(status: u16, rest: &str, x: Exchange) -> Ran {
    run_exchange(&build::<ForwardAuth>(&format!("{{address: 'http://auth.test/{status}', {rest}}}")), x)
}

#[test]
fn only_2xx_passes() {
    for (status, passes) in [(200, true), (204, true), (299, true), (300, false), (304, false), (401, false), (500, false)] {
        let ran = answered(status, "", with(&[("x-a", "1"), ("keep-alive", "1")]));
        assert_eq!((ran.reached, ran.status()), (passes, if passes { 200 } else { status }), "{status}");
        if !passes {
            assert_eq!((ran.header("x-a"), ran.header("keep-alive"), &*ran.body), (Some("1"), None, "GET"));
        }
    }
    for nowhere in ["", "/x", "ftp://h/200", "http://h/%zz", "http://h/none"] {
        let ran = run_exchange(&build::<ForwardAuth>(&format!("address: '{nowhere}'")), exchange("GET", "/"));
        assert_eq!((ran.reached, ran.status(), ran.headers().len(), &*ran.body), (false, 500, 0, ""), "{nowhere}");
    }
}

#[test]
fn headers_of_the_answer_replace() {
    // What came is in the answer too, so that taking over and deleting show.
    let came = [("x-user", "mallory"), ("x-user", "two"), ("x-other", "o")];
    let ran = answered(200, "authResponseHeaders: [X-User, X-Forwarded-Method], authRequestHeaders: [X-Other]", with(&came));
    assert!(!ran.request.headers.contains_key("x-user"));
    assert_eq!(ran.request.headers["x-forwarded-method"], "POST");
    let ran = answered(200, "authResponseHeadersRegex: '^X-(User|Other)$', authRequestHeaders: [X-User]", with(&came));
    assert_eq!((ran.request.headers.get_all("x-user").iter().count(), ran.request.headers.contains_key("x-other")), (2, false));
    let ran = answered(200, "authResponseHeadersRegex: ^x-user, headerField: X-User", with(&came));
    assert_eq!((ran.request.headers.get_all("x-user").iter().count(), ran.user.as_deref()), (2, Some("mallory")));
}

#[test]
fn locations() {
    let at = |rest: &str, location: &'static str| {
        let ran = answered(302, rest, with(&[("location", location)]));
        (ran.status(), ran.header("location").map(str::to_owned))
    };
    assert_eq!(at("", "login"), (302, Some("http://auth.test/login".into())));
    assert_eq!(at("preserveLocationHeader: true", "login"), (302, Some("login".into())));
    assert_eq!(at("preserveLocationHeader: true", "/%zz").0, 500);
    let signin = |status| answered(status, "authSigninURL: 'https://login.test/?x'", exchange("GET", "/"));
    assert_eq!((signin(401).status(), signin(401).headers()), (302, vec!["location: https://login.test/?x".to_owned()]));
    assert_eq!(signin(403).status(), 403);
}

#[test]
fn bodies_are_shown_if_wanted() {
    let send = |rest: &str, body: &'static str| {
        let mut x = exchange("POST", "/");
        x.request.body = Body::from(body);
        let ran = answered(200, rest, x);
        (ran.status(), ran.reached)
    };
    assert_eq!(send("forwardBody: true, maxBodySize: 5", "12345"), (200, true));
    assert_eq!(send("forwardBody: true, maxBodySize: 5", "123456"), (401, false));
    assert_eq!(send("forwardBody: true, maxBodySize: 0", "1"), (401, false));
    assert_eq!(send("forwardBody: true", "1234567"), (200, true));
    assert_eq!(send("maxBodySize: 0", "1"), (200, true));
    // The answer's body is the method: three bytes of GET.
    assert_eq!((send("maxResponseBodySize: 2", "").0, send("maxResponseBodySize: 3", "").0, send("maxResponseBodySize: -1", "").0), (401, 200, 200));
    assert_eq!(send("maxResponseBodySize: 3, preserveRequestMethod: true", "").0, 401);
    assert_eq!(answered(403, "maxResponseBodySize: 2", exchange("GET", "/")).status(), 401);
}

#[test]
fn cookies_of_the_answer_win() {
    let x = with(&[("set-cookie", "s=auth; Path=/"), ("set-cookie", "o=1")]);
    let steps = build::<ForwardAuth>("{address: 'http://auth.test/200', addAuthCookiesToResponse: [s, gone]}");
    let ran = run_with(&steps, x, |x| {
        let mut r = ok(x);
        for c in ["s=server", "keep=1", "gone=1", "s=more"] {
            r.headers_mut().append("set-cookie", c.parse().unwrap());
        }
        r
    });
    assert_eq!(ran.headers(), ["set-cookie: keep=1", "set-cookie: s=auth; Path=/"]);
}

#[test]
fn options() {
    for (text, key) in [
        ("{address: 'http://a', authResponseHeadersRegex: '('}", "authResponseHeadersRegex"),
        ("{address: 'http://a', tls: {cert: /x}}", "tls.cert"),
        ("{address: 'http://a', tls: {key: /x}}", "tls.key"),
    ] {
        assert_eq!(build_error::<ForwardAuth>(text).key, key, "{text}");
    }
    assert_eq!(shown::<ForwardAuth>("address: http://a"), r#"{"address":"http://a","maxBodySize":-1}"#);
    let tls = "{address: 'https://a', trustForwardHeader: false, tls: {ca: /ca, cert: /c, key: /k, insecureSkipVerify: true}}";
    assert!(shown::<ForwardAuth>(tls).contains(r#""tls":{"ca":"/ca","cert":"/c","key":"/k","insecureSkipVerify":true}"#));
    let pem = shown::<ForwardAuth>("{address: 'https://a', tls: {cert: /c, key: '-----BEGIN PRIVATE KEY-----'}}");
    assert!(!pem.contains("PRIVATE"), "{pem}");
}
