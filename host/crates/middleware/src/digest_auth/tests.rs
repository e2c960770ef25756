use super::*;
use crate::testing::{Ran, build, build_error, exchange, run_exchange, shown};

const CONFIG: &str = "{users: ['test:traefik:a2688e031edb4be6a3797f3882655c05', 'o:other:00'], headerField: X-User, removeHeader: true}";

/// Asks without anything and gives the nonce and the opaque that come.
fn challenge(steps: &[Step]) -> (String, String) {
    let ran = run_exchange(steps, exchange("GET", "/"));
    assert_eq!((ran.status(), &*ran.body, ran.header("content-type"), ran.user.as_deref()), (401, "401 Unauthorized\n", Some("text/plain"), None));
    let line = ran.response.headers()[WWW_AUTHENTICATE].to_str().unwrap().to_owned();
    let of = |name: &str| line.split_once(&format!("{name}=\"")).unwrap().1.split('"').next().unwrap().to_owned();
    let (nonce, opaque) = (of("nonce"), of("opaque"));
    assert_eq!(line, format!("Digest realm=\"traefik\", nonce=\"{nonce}\", opaque=\"{opaque}\", algorithm=\"MD5\", qop=\"auth\""));
    (nonce, opaque)
}

/// A request for `path` with the digest that belongs to `uri`.
fn send(steps: &[Step], (nonce, opaque): &(String, String), ha1: &str, user: &str, path: &str, uri: &str, nc: &str) -> Ran {
    let ha2 = hex_of(&["GET", uri]);
    let response = hex_of(&[ha1, nonce, nc, "c", "auth", &ha2]);
    let mut x = exchange("GET", path);
    let value = format!(
        "Digest username=\"{user}\", nonce=\"{nonce}\", uri=\"{uri}\", qop=auth, nc={nc}, cnonce=c, opaque=\"{opaque}\", response=\"{response}\""
    );
    x.request.headers.insert(AUTHORIZATION, value.parse().unwrap());
    run_exchange(steps, x)
}

const HA1: &str = "a2688e031edb4be6a3797f3882655c05";

/// Observed with Traefik 3.7.15.
#[test]
fn lets_pass_like_traefik() {
    let steps = build::<DigestAuth>(CONFIG);
    let known = challenge(&steps);
    let ran = send(&steps, &known, HA1, "test", "/a?b", "/a?b", "1");
    assert!(ran.reached && !ran.request.headers.contains_key(AUTHORIZATION));
    assert_eq!((ran.user.as_deref(), &ran.request.headers["x-user"]), (Some("test"), &HeaderValue::from_static("test")));
    for (i, (path, uri, passes)) in [
        ("/a/b?x", "/a?z", true),
        ("/a", "http://a.test/a", true),
        ("/a", "", true),
        ("/a%2Fb", "/a%2Fb", true),
        ("/a/b", "/b", false),
        ("/a", "/a/b", false),
        ("/a", "/%zz", false),
    ]
    .into_iter()
    .enumerate()
    {
        let ran = send(&steps, &known, HA1, "test", path, uri, &format!("{:08x}", i + 2));
        assert_eq!(ran.reached, passes, "{path} {uri}");
    }
    for (ha1, user) in [("", "who"), (HA1, "who"), ("00", "o"), ("00", "test"), ("", "test")] {
        assert!(!send(&steps, &known, ha1, user, "/", "/", "100").reached, "{user}");
    }
    for nc in ["0", "zz", "", "fffffffffffffffffffff"] {
        assert!(!send(&steps, &known, HA1, "test", "/", "/", nc).reached, "{nc}");
    }
    let foreign = (known.0.clone(), "other".to_owned());
    assert!(!send(&steps, &foreign, HA1, "test", "/", "/", "200").reached);
    assert!(!send(&build::<DigestAuth>(CONFIG), &known, HA1, "test", "/", "/", "200").reached, "another one's nonce");
}

#[test]
fn what_was_used_does_not_pass_again() {
    let steps = build::<DigestAuth>(CONFIG);
    let known = challenge(&steps);
    let stale = |nc: &str| {
        let ran = send(&steps, &known, HA1, "test", "/", "/", nc);
        (ran.reached, ran.header("www-authenticate").is_some_and(|h| h.contains("\", stale=\"true\", algorithm=\"MD5\"")))
    };
    assert_eq!([stale("5"), stale("5"), stale("4"), stale("6")], [(true, false), (false, false), (false, true), (true, false)]);
}

#[test]
fn options() {
    for (text, key) in [("users: ['a:b']", "users[0]"), ("usersFile: /nope", "usersFile"), ("realm: \"a\\n\"", "realm"), ("headerField: 'a b'", "headerField")] {
        assert_eq!(build_error::<DigestAuth>(text).key, key, "{text}");
    }
    assert_eq!(build::<DigestAuth>("realm: x").len(), 1, "nobody passes");
    assert_eq!(shown::<DigestAuth>("{users: ['a:r:h'], realm: x}"), r#"{"users":["a:r:h"],"realm":"x"}"#);
}
