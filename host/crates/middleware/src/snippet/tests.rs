use super::*;
use crate::testing::{build, build_error, exchange, run_exchange};

#[test]
fn directives_that_do_not_fit_are_told() {
    for (snippet, why) in [
        ("proxy_pass http://x;", "proxy_pass: this directive of nginx is not supported"),
        ("location / { return 403; }", "location: this may not stand in `location`"),
        ("if ($a) { proxy_set_header X y; }", "proxy_set_header: this may not stand in `if in location`"),
        ("return;", "a status or a URL"),
        ("rewrite a;", "belong here"),
        ("set a b;", "is no variable"),
    ] {
        let e = build_error::<Snippet>(&format!("{{configurationSnippet: '{snippet}'}}"));
        assert!(e.key == "configurationSnippet" && e.message.contains(why), "{snippet}: {e:?}");
    }
    let e = build_error::<Snippet>("{serverSnippet: 'if ($a) { add_header X y; }'}");
    assert!(e.message.contains("if in server"), "{e:?}");
    assert!(build_error::<Snippet>("{}").message.contains("neither"));
}

#[test]
fn requests_and_responses_are_changed() {
    let steps = build::<Snippet>(
        "{serverSnippet: 'set $who server; add_header X-Server s;', configurationSnippet: 'set $who \"${who}!\"; more_set_input_headers \"X-In: $who\"; proxy_set_header X-Uri $request_uri; add_header X-Location $who;'}",
    );
    let ran = run_exchange(&steps, exchange("GET", "/p?q=1"));
    assert_eq!((ran.request.header("x-in"), ran.request.header("x-uri")), (Some("server!"), Some("/p?q=1")));
    assert_eq!((ran.header("x-server"), ran.header("x-location")), (None, Some("server!")));
}

#[test]
fn requests_end_early() {
    let steps = build::<Snippet>("{configurationSnippet: 'if ($arg_go ~ ^h(.*)$) { return 302 /to/$1; } if ($arg_go = x) { return 418 \"tea $host\"; } deny 192.0.2.0/24; rewrite ^/old/(.*)$ /new/$1?a=b break;'}");
    let ran = run_exchange(&steps, exchange("GET", "/?go=home"));
    assert_eq!((ran.status(), ran.header("location")), (302, Some("/to/ome")));
    let ran = run_exchange(&steps, exchange("GET", "/?go=x"));
    assert_eq!((ran.status(), &*ran.body), (418, "tea a.test"));
    let ran = run_exchange(&build::<Snippet>("{configurationSnippet: 'rewrite ^/old/(.*)$ /new/$1?a=b break;'}"), exchange("GET", "/old/x"));
    assert_eq!((&*ran.request.path, ran.request.query.as_deref()), ("/new/x", Some("a=b")));
    let ran = run_exchange(&build::<Snippet>("{configurationSnippet: 'deny all;'}"), exchange("GET", "/"));
    assert_eq!((ran.status(), &*ran.body, ran.header("content-type")), (403, "403 Forbidden", None));
}

#[test]
fn another_server_is_asked() {
    // The test's server answers with the status in the path, and with the headers of the question.
    let auth = |path: &str, more: &str| format!("{{auth: {{address: 'http://auth.test/{path}'{more}}}}}");
    let ran = run_exchange(&build::<Snippet>(&auth("200?$arg_a", ", authResponseHeaders: [X-Forwarded-Uri]")), exchange("GET", "/p?a=1"));
    assert!(ran.reached);
    assert_eq!((ran.request.header("x-forwarded-uri"), ran.request.header("x-forwarded-method")), (Some("/p?a=1"), None));
    let ran = run_exchange(&build::<Snippet>(&auth("403", "")), exchange("GET", "/"));
    assert_eq!((ran.status(), ran.reached), (403, false));
    let ran = run_exchange(&build::<Snippet>(&auth("401", ", authSigninURL: 'https://in.test/?x'")), exchange("GET", "/p?a=1"));
    assert_eq!((ran.status(), ran.header("location")), (302, Some("https://in.test/?x&rd=http://a.test%2Fp%3Fa%3D1")));
    let snippet = ", snippet: 'proxy_set_header X-Mine $host; more_clear_input_headers X-Gone;', authResponseHeaders: [X-Mine]";
    let ran = run_exchange(&build::<Snippet>(&auth("200", snippet)), exchange("GET", "/"));
    assert_eq!(ran.request.header("x-mine"), Some("a.test"));
    assert_eq!(build_error::<Snippet>("auth: {address: ''}").key, "auth.address");
}

#[test]
fn the_host_can_be_set() {
    let ran = run_exchange(&build::<Snippet>("{configurationSnippet: 'proxy_set_header Host b.$host;'}"), exchange("GET", "/"));
    assert_eq!((&*ran.request.host, ran.request.header("host")), ("b.a.test", None));
}

#[test]
fn what_a_client_sends_is_a_value_and_nothing_else() {
    let steps = build::<Snippet>("{configurationSnippet: 'set $tok s3cr3t; rewrite ^/x/(.*)$ /y/$1; rewrite ^/y/(.*)$ /z/$1 redirect;'}");
    assert_eq!(run_exchange(&steps, exchange("GET", "/x/$tok")).header("location"), Some("/z/$tok"));
    // Nothing that was decoded ends the line of the request.
    for (rewrite, target) in [("^/p/([^/]+)$ /new?p=$1", "/p/a%20HTTP%0d%0aX:y"), ("^/p$ /new?p=$arg_t", "/p?t=a%20HTTP%0d%0aX:y")] {
        let ran = run_exchange(&build::<Snippet>(&format!("{{configurationSnippet: 'rewrite {rewrite};'}}")), exchange("GET", target));
        assert_eq!(ran.request.query.as_deref(), Some("p=a%20HTTP%0D%0AX:y"), "{rewrite}");
    }
    // A text that doubles again and again ends.
    let grows = "set $a 0123456789; ".to_owned() + &"set $a \"$a$a\"; ".repeat(60);
    let ran = run_exchange(&build::<Snippet>(&format!("{{configurationSnippet: '{grows} add_header X-A \"<$a>\";'}}")), exchange("GET", "/"));
    assert_eq!(ran.header("x-a"), Some("<>"));
}

#[test]
fn expiry_before_all_time_is_the_first_moment() {
    let ran = run_exchange(&build::<Snippet>("{configurationSnippet: 'expires -60y;'}"), exchange("GET", "/"));
    assert_eq!(ran.header("expires"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
}
