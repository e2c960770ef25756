//! What matches what; every row was observed with Traefik 3.7.15.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;
use torana_router::{HostKey, RequestView, canonical_host, compile, parse, routing_path};

/// A request from parts as they stand on the wire.
#[derive(Clone)]
struct Request {
    host: String,
    path: String,
    method: String,
    headers: HeaderMap,
    query: Option<String>,
    ip: IpAddr,
    flat: Option<String>,
}

impl Default for Request {
    fn default() -> Self {
        let ip = IpAddr::from([127, 0, 0, 1]);
        Request { host: "h.test".into(), path: "/".into(), method: "GET".into(), headers: HeaderMap::new(), query: None, ip, flat: None }
    }
}

impl Request {
    fn matches(&self, rule: &str) -> bool {
        let rule = compile(&parse(rule).unwrap_or_else(|e| panic!("{rule}: {e}"))).unwrap_or_else(|e| panic!("{rule}: {e}"));
        let (host, path) = (canonical_host(&self.host), routing_path(&self.path));
        let view = RequestView::new(&host, &path, &self.method, &self.headers, self.query.as_deref(), self.ip);
        rule.matches(&view.with_flat_host(self.flat.as_deref()))
    }

    /// Which of the rules match.
    fn matching<'a>(&self, rules: &[&'a str]) -> Vec<&'a str> {
        rules.iter().copied().filter(|r| self.matches(r)).collect()
    }
}

#[test]
fn hosts() {
    let rules = [
        "Host(`a.test`)",
        "Host(`a.test.`)",
        "Host(`a.test..`)",
        "Host(`*.test`)",
        "Host(`*.test.`)",
        "Host(`*`)",
        "Host(`**`)",
        "Host(`**.test`)",
        "Host(`*.`)",
        "Host(`*a.test`)",
        "Host(`a.*`)",
        "Host(`a.test:80`)",
        "Host(`::1`)",
        "Host(`[::1]`)",
        "Host(`*.a.test`)",
        "Host(` a.test`)",
        "HostRegexp(`^a\\.test$`)",
        "HostRegexp(`\\.$`)",
        "HostRegexp(`A`)",
        "HostRegexp(`:`)",
        "HostRegexp(`\\[`)",
        "!Host(`a.test`)",
        "Host(`*.*`)",
    ];
    let plain = ["Host(`a.test`)", "Host(`a.test.`)", "Host(`*.test`)", "Host(`*.test.`)", "HostRegexp(`^a\\.test$`)"];
    let dotted = ["Host(`a.test`)", "Host(`a.test.`)", "Host(`a.test..`)", "Host(`*.test`)", "Host(`*.test.`)", "HostRegexp(`\\.$`)"];
    let twice = ["Host(`a.test.`)", "Host(`a.test..`)", "Host(`*.test.`)", "HostRegexp(`\\.$`)", "!Host(`a.test`)"];
    let one_label = ["Host(`*.`)", "!Host(`a.test`)"];
    let wild = ["Host(`*.test`)", "Host(`*.test.`)", "!Host(`a.test`)"];
    let v6 = ["Host(`*.`)", "Host(`::1`)", "HostRegexp(`:`)", "!Host(`a.test`)"];
    for (host, expected) in [
        ("a.test", &plain[..]),
        ("A.TEST", &plain),
        ("a.test:80", &plain),
        ("a.test:", &plain),
        ("a.test:xx", &plain),
        (" a.test", &plain),
        ("a.test.", &dotted),
        ("a.test.:80", &dotted),
        ("a.test..", &twice),
        ("a.test..:80", &twice),
        ("a.test...", &["Host(`a.test..`)", "HostRegexp(`\\.$`)", "!Host(`a.test`)"]),
        ("b.test", &wild),
        (".test", &wild),
        ("*.test", &wild),
        ("**.test", &wild),
        ("a_b.test", &wild),
        ("b.a.test", &["Host(`*.a.test`)", "!Host(`a.test`)"]),
        ("x.b.a.test", &["!Host(`a.test`)"]),
        ("a.", &["Host(`*.`)", "HostRegexp(`\\.$`)", "!Host(`a.test`)"]),
        ("test", &one_label),
        ("*", &one_label),
        ("**", &one_label),
        ("*.*", &["!Host(`a.test`)", "Host(`*.*`)"]),
        ("a.*", &["Host(`a.*`)", "!Host(`a.test`)", "Host(`*.*`)"]),
        ("[::1]", &v6),
        ("[::1]:80", &v6),
        ("::1", &v6),
        ("[::1", &["Host(`*.`)", "HostRegexp(`:`)", "HostRegexp(`\\[`)", "!Host(`a.test`)"]),
        ("::1]:80", &["Host(`*.`)", "HostRegexp(`:`)", "!Host(`a.test`)"]),
        ("a.test:80:90", &["HostRegexp(`:`)", "!Host(`a.test`)"]),
        ("1.2.3.4:80", &["!Host(`a.test`)"]),
        (":80", &["!Host(`a.test`)"]),
        ("", &["!Host(`a.test`)"]),
        (".", &["Host(`*.`)", "HostRegexp(`\\.$`)", "!Host(`a.test`)"]),
    ] {
        let got = Request { host: host.into(), ..Request::default() }.matching(&rules);
        let got: Vec<_> = got.into_iter().filter(|r| *r != "Host(`*`)").collect();
        assert_eq!(got, expected, "{host:?}");
        // A single star is any host at all, also none; so is an expression that matches the empty string.
        let r = Request { host: host.into(), ..Request::default() };
        assert_eq!(r.matching(&["Host(`*`)", "HostRegexp(`^$`)", "HostRegexp(`x?`)"]).len(), 3, "{host:?}");
        assert!(r.matching(&["!Host(`*`)", "!HostRegexp(`^(www\\.)?$`)"]).is_empty(), "{host:?}");
    }
}

#[test]
fn a_flattened_host_is_tried_too() {
    let r = Request { host: "a.test".into(), flat: Some("b.example".into()), ..Request::default() };
    for (rule, expected) in [
        ("Host(`a.test`)", true),
        ("Host(`b.example`)", true),
        ("Host(`*.example`)", true),
        ("Host(`c.test`)", false),
        ("HostRegexp(`^b\\.`)", true),
        ("HostRegexp(`^a\\.`)", true),
        ("HostRegexp(`^$`)", false),
        ("!Host(`b.example`)", false),
    ] {
        assert_eq!(r.matches(rule), expected, "{rule}");
    }
}

#[test]
fn canonical_hosts() {
    for (raw, canonical) in [
        ("A.Test", "a.test"),
        ("a.test:80", "a.test"),
        ("a.test:", "a.test"),
        (":80", ""),
        ("", ""),
        ("a.test.", "a.test."),
        ("[::1]:80", "::1"),
        ("[FE80::1]", "fe80::1"),
        ("::1", "::1"),
        ("a:80:90", "a:80:90"),
        ("[::1", "[::1"),
        ("[::1]x:80", "[::1]x:80"),
        ("[::1]:80:90", "[::1]:80:90"),
        ("[a[b]:80", "[a[b]:80"),
        ("a]:80", "a]:80"),
        ("[]:80", ""),
        ("[", "["),
        ("]", "]"),
        (":", ""),
    ] {
        assert_eq!(canonical_host(raw), canonical, "{raw:?}");
    }
}

#[test]
fn paths() {
    let rules = [
        "Path(`/`)",
        "Path(`/sp ace`)",
        "Path(`/a%2Fb`)",
        "Path(`/a%2fb`)",
        "Path(`/a/b`)",
        "Path(`/é`)",
        "Path(\"/\\xff\")",
        "Path(`/a+b`)",
        "Path(`/a%2Bb`)",
        "Path(`/a%25b`)",
        "Path(`/%7Bx%7D`)",
        "Path(`/{x}`)",
        "Path(`/a;b`)",
        "PathPrefix(`/foo`)",
        "PathRegexp(`^/.$`)",
        "PathRegexp(`^/..$`)",
        "PathRegexp(`^/\\x{FFFD}$`)",
        "Path(\"/\\x00\")",
        "Path(`/{x}%2Fb`)",
        "Path(`/{x}/b`)",
        "Path(`/{x}!`)",
        "Path(`/{x}%21`)",
        "Path(`/x!`)",
        "Path(`/é%28`)",
    ];
    for (path, expected) in [
        ("/", &["Path(`/`)"][..]),
        ("/sp%20ace", &["Path(`/sp ace`)"]),
        ("/sp+ace", &[]),
        ("/a%2Fb", &["Path(`/a%2Fb`)"]),
        ("/a%2fb", &["Path(`/a%2Fb`)"]),
        ("/a/b", &["Path(`/a/b`)"]),
        ("/%C3%A9", &["Path(`/é`)", "PathRegexp(`^/.$`)"]),
        ("/%c3%a9", &["Path(`/é`)", "PathRegexp(`^/.$`)"]),
        ("/é", &["Path(`/é`)", "PathRegexp(`^/.$`)"]),
        ("/%ff", &["Path(\"/\\xff\")", "PathRegexp(`^/.$`)", "PathRegexp(`^/\\x{FFFD}$`)"]),
        ("/%ff%fe", &["PathRegexp(`^/..$`)"]),
        ("/a+b", &["Path(`/a+b`)"]),
        ("/a%2Bb", &["Path(`/a%2Bb`)"]),
        ("/a%25b", &["Path(`/a%25b`)"]),
        ("/%7Bx%7D", &["Path(`/{x}`)"]),
        ("/{x}", &["Path(`/{x}`)"]),
        ("/a;b", &["Path(`/a;b`)"]),
        ("/a%3Bb", &[]),
        ("/foo", &["PathPrefix(`/foo`)"]),
        ("/foobar", &["PathPrefix(`/foo`)"]),
        ("/fo%6f", &["PathPrefix(`/foo`)"]),
        ("/Foo", &[]),
        ("/%00", &["PathRegexp(`^/.$`)", "Path(\"/\\x00\")"]),
        ("/é%20", &["PathRegexp(`^/..$`)"]),
        // a character that should have been escaped makes Go escape the decoded path anew
        ("/{x}%2Fb", &["Path(`/{x}/b`)"]),
        ("/%7Bx%7D%2Fb", &["Path(`/{x}%2Fb`)"]),
        ("/{x}!", &["Path(`/{x}%21`)"]),
        ("/x!", &["PathRegexp(`^/..$`)", "Path(`/x!`)"]),
        ("/é(", &["Path(`/é%28`)"]),
    ] {
        assert_eq!(Request { path: path.into(), ..Request::default() }.matching(&rules), expected, "{path}");
    }
    let reserved = "/%3A%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D%25";
    assert_eq!(routing_path(&reserved.to_lowercase()), reserved);
    assert!(matches!(routing_path("/plain/path:@!$&'()*+,;=[]"), std::borrow::Cow::Borrowed(_)));
    for broken in ["/a%", "/a%2", "/a%zz", "%"] {
        assert_eq!(routing_path(broken), broken, "never sent on: such a request is answered 400 before");
    }
}

#[test]
fn queries() {
    let rules = [
        "Query(`k`)",
        "Query(`k`,`1`)",
        "Query(`k`,`a b`)",
        "Query(`k b`,`1`)",
        "QueryRegexp(`k`,`^1`)",
        "QueryRegexp(`k`,`.*`)",
        "QueryRegexp(`k`,`^$`)",
        "Query(`K`,`1`)",
        "Query(`k`,`é`)",
        "Query(\"k\",\"\\xff\")",
        "QueryRegexp(`k`,`^.$`)",
        "Query(`k`,`a=b`)",
        "Query(`k`,`a;b`)",
        "Query(`k`,`%zz`)",
    ];
    let empty = ["Query(`k`)", "QueryRegexp(`k`,`.*`)", "QueryRegexp(`k`,`^$`)"];
    let one = ["Query(`k`,`1`)", "QueryRegexp(`k`,`^1`)", "QueryRegexp(`k`,`.*`)", "QueryRegexp(`k`,`^.$`)"];
    for (query, expected) in [
        ("k", &empty[..]),
        ("k=", &empty),
        ("k=1", &one),
        ("k=1&k=2", &one),
        ("k=2&k=1", &one),
        ("%6b=1", &one),
        ("&&k=1&&", &one),
        ("k=1&k=%zz", &one),
        ("k=%zz&k=1", &one),
        ("%zz=1&k=1", &one),
        ("k=1;x=2", &one),
        ("x=1;k=1", &one),
        ("k=1&a;b", &one),
        (
            "k&k=1",
            &[
                "Query(`k`)",
                "Query(`k`,`1`)",
                "QueryRegexp(`k`,`^1`)",
                "QueryRegexp(`k`,`.*`)",
                "QueryRegexp(`k`,`^$`)",
                "QueryRegexp(`k`,`^.$`)",
            ],
        ),
        ("k=a+b", &["Query(`k`,`a b`)", "QueryRegexp(`k`,`.*`)"]),
        ("k=a%20b", &["Query(`k`,`a b`)", "QueryRegexp(`k`,`.*`)"]),
        ("k+b=1", &["Query(`k b`,`1`)"]),
        ("k%20b=1", &["Query(`k b`,`1`)"]),
        ("k=%zz", &[]),
        ("k=%", &[]),
        ("k=%2", &[]),
        ("k=a;b", &["QueryRegexp(`k`,`.*`)", "QueryRegexp(`k`,`^.$`)"]),
        ("k=a%3Bb", &["QueryRegexp(`k`,`.*`)", "Query(`k`,`a;b`)"]),
        ("K=1", &["Query(`K`,`1`)"]),
        ("k=%C3%A9", &["QueryRegexp(`k`,`.*`)", "Query(`k`,`é`)", "QueryRegexp(`k`,`^.$`)"]),
        ("k=é", &["QueryRegexp(`k`,`.*`)", "Query(`k`,`é`)", "QueryRegexp(`k`,`^.$`)"]),
        ("k=%ff", &["QueryRegexp(`k`,`.*`)", "Query(\"k\",\"\\xff\")", "QueryRegexp(`k`,`^.$`)"]),
        ("", &[]),
        ("&", &[]),
        ("=1", &[]),
        ("k=a=b", &["QueryRegexp(`k`,`.*`)", "Query(`k`,`a=b`)"]),
        ("k=1%00", &["QueryRegexp(`k`,`^1`)", "QueryRegexp(`k`,`.*`)"]),
    ] {
        let r = Request { query: Some(query.into()), ..Request::default() };
        assert_eq!(r.matching(&rules), expected, "{query}");
        assert_eq!(r.matches("QueryRegexp(`k`)"), r.matches("Query(`k`)"), "{query}");
    }
    assert_eq!(Request::default().matching(&rules), [""; 0]);
}

#[test]
fn methods() {
    let rules = ["Method(`GET`)", "Method(`get`)", "Method(`FooBar`)", "!Method(`GET`)", "Method(` GET`)"];
    for (method, expected) in [
        ("GET", &["Method(`GET`)", "Method(`get`)"][..]),
        ("get", &["!Method(`GET`)"]),
        ("FOOBAR", &["Method(`FooBar`)", "!Method(`GET`)"]),
        ("FooBar", &["!Method(`GET`)"]),
    ] {
        assert_eq!(Request { method: method.into(), ..Request::default() }.matching(&rules), expected, "{method}");
    }
}

#[test]
fn headers() {
    let rules = [
        "Header(`X-A`,`v`)",
        "Header(`x-a`,`v`)",
        "HeaderRegexp(`X-A`,`v`)",
        "HeaderRegexp(`X-A`,`^$`)",
        "HeaderRegexp(`x-a`,`.*`)",
        "Header(`a b`,`v`)",
        "Header(`Host`,`h.test`)",
        "HeaderRegexp(`Transfer-Encoding`,`.*`)",
        "HeaderRegexp(`Trailer`,`.*`)",
        "HeaderRegexp(`Content-Length`,`.*`)",
        "Header(`X-A`,\"\\xff\")",
        "Header(`X-A`,`é`)",
        "HeaderRegexp(`X-A`,`^.$`)",
        "HeaderRegexp(`X_A`,`.`)",
        "Header(`X-A`,` v`)",
        "HeaderRegexp(`Te`,`.*`)",
    ];
    let v = ["Header(`X-A`,`v`)", "Header(`x-a`,`v`)", "HeaderRegexp(`X-A`,`v`)", "HeaderRegexp(`x-a`,`.*`)", "HeaderRegexp(`X-A`,`^.$`)"];
    let any = "HeaderRegexp(`x-a`,`.*`)";
    for (headers, expected) in [
        (&[][..], &[][..]),
        (&[("x-a", &b"v"[..])], &v),
        (&[("x-a", b"a"), ("x-a", b"v")], &v),
        (&[("x-a", b"")], &["HeaderRegexp(`X-A`,`^$`)", any]),
        (&[("x-a", b"V")], &[any, "HeaderRegexp(`X-A`,`^.$`)"]),
        (&[("x-a", b"v, w")], &["HeaderRegexp(`X-A`,`v`)", any]),
        (&[("x-a", "é".as_bytes())], &[any, "Header(`X-A`,`é`)", "HeaderRegexp(`X-A`,`^.$`)"]),
        (&[("x-a", b"\xff")], &[any, "Header(`X-A`,\"\\xff\")", "HeaderRegexp(`X-A`,`^.$`)"]),
        (&[("x_a", b"v")], &["HeaderRegexp(`X_A`,`.`)"]),
        // Go takes these out of the headers
        (&[("host", b"h.test"), ("transfer-encoding", b"chunked"), ("trailer", b"x")], &[]),
        (&[("content-length", b"0"), ("te", b"trailers")], &["HeaderRegexp(`Content-Length`,`.*`)", "HeaderRegexp(`Te`,`.*`)"]),
    ] {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        let r = Request { headers: map, ..Request::default() };
        assert_eq!(r.matching(&rules), expected, "{headers:?}");
        assert_ne!(r.matches("Header(`X-A`,`v`)"), r.matches("!Header(`X-A`,`v`)"));
    }
}

#[test]
fn client_addresses() {
    for (rule, yes, no) in [
        ("ClientIP(`127.0.0.2`)", &["127.0.0.2", "::ffff:127.0.0.2"][..], &["127.0.0.1"][..]),
        ("ClientIP(`127.0.1.0/24`)", &["127.0.1.77"], &["127.0.2.77"]),
        ("ClientIP(`127.0.1.9/24`)", &["127.0.1.77"], &["127.0.2.77"]),
        ("ClientIP(`::ffff:1.2.3.4`)", &["1.2.3.4"], &["1.2.3.5"]),
        ("ClientIP(`::ffff:1.2.3.0/120`)", &["1.2.3.4"], &["1.2.4.4"]),
        ("ClientIP(`fd00::/8`)", &["fd12::1"], &["fe80::1", "127.0.0.1"]),
        ("ClientIP(`::/0`)", &["::1"], &["127.0.0.1"]),
        ("ClientIP(`0.0.0.0/0`)", &["127.0.0.1"], &["::1"]),
        ("!ClientIP(`127.0.0.1/32`)", &["127.0.0.9"], &["127.0.0.1"]),
    ] {
        let matches = |ip: &&&str| Request { ip: ip.parse().unwrap(), ..Request::default() }.matches(rule);
        assert!(yes.iter().all(|ip| matches(&ip)) && !no.iter().any(|ip| matches(&ip)), "{rule}");
    }
}

#[test]
fn index_hints() {
    let exact = |h: &str| HostKey::Exact(h.into());
    let wild = |h: &str| HostKey::Wildcard(h.into());
    for (rule, hosts, values) in [
        ("Host(`A.test.`)", Some(vec![exact("a.test")]), &["a.test."][..]),
        ("Host(`*.test`)", Some(vec![wild(".test")]), &["*.test"]),
        ("Host(`*`)", None, &["*"]),
        ("Host(`**.test`)", Some(vec![]), &["**.test"]),
        ("!Host(`a`)", None, &[]),
        ("Path(`/`)", None, &[]),
        ("Host(`a`) && Path(`/`)", Some(vec![exact("a")]), &["a"]),
        ("Path(`/`) && (Host(`b`) || Host(`a`) || Host(`b`))", Some(vec![exact("a"), exact("b")]), &["b", "a", "b"]),
        ("Host(`a`) || Path(`/`)", None, &["a"]),
        ("(Host(`a`) || Host(`b`)) && Host(`c`) && !Host(`d`)", Some(vec![exact("c")]), &["a", "b", "c"]),
        ("Host(`*.x`) && Host(`a.x`)", Some(vec![exact("a.x")]), &["*.x", "a.x"]),
        ("!(!Host(`a`) || Path(`/`))", Some(vec![exact("a")]), &["a"]),
    ] {
        let compiled = compile(&parse(rule).unwrap()).unwrap();
        assert_eq!(compiled.hosts().map(<[_]>::to_vec), hosts, "{rule}");
        assert_eq!(compiled.host_values().collect::<Vec<_>>(), values, "{rule}");
    }
}
