use super::*;
use torana_plugin_sdk::serde_json::{Value, json};
use torana_plugin_sdk::testing::{self, Gateway, Message, Outcome};

struct Test {
    gateway: Gateway,
    cache: testing::Middleware<HttpCache>,
}

impl Test {
    fn new(config: Value) -> Test {
        let gateway = Gateway::new();
        let cache = gateway.middleware(config).unwrap();
        Test { gateway, cache }
    }

    fn advance(&self, seconds: u64) {
        self.gateway.advance(Duration::from_secs(seconds));
    }

    fn call(&self, request: Message, answer: &Answer) -> Outcome {
        self.cache.call_with(request, |_| answer.clone())
    }

    /// What `Cache-Status` says of a request, and with which status it is answered.
    fn told(&self, request: Message, answer: &Answer) -> (u16, String) {
        let outcome = self.call(request, answer);
        let status = outcome.answer.header("cache-status").unwrap_or_default().to_owned();
        assert_eq!(outcome.forwarded.is_some(), status.contains("fwd="), "{status}");
        (outcome.answer.status, status)
    }

    fn status(&self, request: Message, answer: &Answer) -> String {
        self.told(request, answer).1
    }
}

fn cache() -> Test {
    Test::new(json!({}))
}

fn get() -> Message {
    testing::get("/a?b")
}

fn cached(control: &str) -> Answer {
    Answer::new(200).with_header("Cache-Control", control).with_header("content-length", "4").with_text("body")
}

const HIT: &str = "torana; hit; ttl=60";
const STORED: &str = "torana; fwd=uri-miss; stored";
const MISS: &str = "torana; fwd=uri-miss";

#[test]
fn a_fresh_response_is_served_with_its_age_until_it_is_stale() {
    let test = cache();
    let answer = cached("max-age=60").with_header("x-a", "1").with_header("x-a", "2");
    assert_eq!(test.status(get(), &answer), STORED);
    test.advance(10);
    let hit = test.call(get(), &Answer::new(500));
    assert_eq!(hit.forwarded, None);
    assert_eq!((hit.answer.status, hit.answer.text().as_str()), (200, "body"));
    assert_eq!(hit.answer.header("age"), Some("10"));
    assert_eq!(hit.answer.header("date"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
    assert_eq!(hit.answer.header("content-length"), None);
    assert_eq!(hit.answer.header("cache-status"), Some("torana; hit; ttl=50"));
    assert_eq!(hit.answer.headers.iter().filter(|line| line.name == "x-a").count(), 2);
    test.advance(49);
    assert_eq!(test.status(get(), &answer), "torana; hit; ttl=1");
    test.advance(1);
    assert_eq!(test.status(get(), &answer), STORED);
    assert_eq!((test.gateway.counter("hits"), test.gateway.counter("misses")), (2, 2));
}

#[test]
fn the_age_of_other_caches_counts() {
    let test = cache();
    assert_eq!(test.status(get(), &cached("max-age=60").with_header("age", "59")), STORED);
    assert_eq!(test.status(get(), &Answer::new(500)), "torana; hit; ttl=1");
    assert_eq!(test.status(testing::get("/old"), &cached("max-age=60").with_header("age", "60")), MISS);
}

#[test]
fn head_is_answered_from_a_get_but_not_stored() {
    let test = cache();
    let head = || testing::request("HEAD", "/a?b");
    assert_eq!(test.status(head(), &cached("max-age=60")), MISS);
    assert_eq!(test.status(get(), &cached("max-age=60")), STORED);
    assert_eq!(test.told(head(), &Answer::new(500)), (200, HIT.into()));
}

#[test]
fn resources_do_not_mix() {
    let test = cache();
    test.call(get(), &cached("max-age=60"));
    let https = Message { scheme: "https".into(), ..get() };
    let router = Message { router: "other@file".into(), ..get() };
    for other in [testing::get("/a"), testing::get("/a?c"), get().with_host("other"), https, router] {
        assert_eq!(test.status(other, &Answer::new(404)), MISS);
    }
    assert_eq!(test.status(get().with_host("LOCALHOST"), &Answer::new(404)), HIT);
}

#[test]
fn what_must_not_be_stored_is_not() {
    let test = cache();
    let answers = [
        cached("no-store, max-age=60"),
        cached("private, max-age=60"),
        cached("max-age=0"),
        cached("max-age=60").with_header("vary", "*"),
        cached("max-age=60").with_header("set-cookie", "a=b"),
        Answer { status: 500, ..cached("max-age=60") },
        Answer::new(200).with_text("no word of it"),
    ];
    for answer in answers {
        assert_eq!(test.status(get(), &answer), MISS, "{answer:?}");
    }
    assert_eq!(test.status(get().with_header("cache-control", "no-store"), &cached("max-age=60")), MISS);
    assert_eq!(test.status(get().with_header("authorization", "Basic x"), &cached("max-age=60")), MISS);
    assert_eq!(test.status(get().with_header("authorization", "Basic x"), &cached("s-maxage=60")), STORED);
}

#[test]
fn bodies_that_are_too_long_are_not_stored() {
    let test = Test::new(json!({"maxBodySize": "3"}));
    let outcome = test.call(get(), &cached("max-age=60"));
    assert_eq!((outcome.answer.text().as_str(), outcome.answer.header("cache-status")), ("body", Some(MISS)));
    let test = Test::new(json!({"maxBodySize": "4"}));
    assert_eq!(test.status(get(), &cached("max-age=60")), STORED);
}

#[test]
fn a_default_time_is_for_those_that_say_nothing() {
    let test = Test::new(json!({"defaultTtl": "1m"}));
    let answer = Answer::new(200).with_text("body");
    assert_eq!(test.status(get().with_header("cookie", "a=b"), &answer), MISS);
    assert_eq!(test.status(get(), &answer), STORED);
    assert_eq!(test.status(get(), &Answer::new(500)), HIT);
    assert_eq!(test.status(testing::get("/b"), &cached("no-store")), MISS);
}

#[test]
fn vary_tells_responses_apart() {
    let test = cache();
    let with = |language: &str| get().with_header("accept-language", language);
    let answer = |text: &str| cached("max-age=60").with_header("vary", "Accept-Language").with_body(text);
    assert_eq!(test.status(with("en"), &answer("hello")), STORED);
    assert_eq!(test.status(with("de"), &answer("hallo")), "torana; fwd=vary-miss; stored");
    assert_eq!(test.status(get(), &answer("?")), "torana; fwd=vary-miss; stored");
    for (language, text) in [("en", "hello"), ("de", "hallo")] {
        assert_eq!(test.call(with(language), &Answer::new(500)).answer.text(), text);
    }
    assert_eq!(test.call(get(), &Answer::new(500)).answer.text(), "?");

    // A further header makes all of them unknown.
    assert_eq!(test.status(with("fr"), &answer("salut").with_header("vary", "x-b")), "torana; fwd=vary-miss; stored");
    assert_eq!(test.status(with("en"), &answer("hello")), "torana; fwd=vary-miss; stored");
    assert_eq!(test.status(with("fr"), &Answer::new(500)), HIT);
    assert_eq!(test.status(with("fr").with_header("x-b", "1"), &Answer::new(500)), "torana; fwd=vary-miss");
}

#[test]
fn a_client_that_has_it_gets_304() {
    let test = cache();
    let modified = "Wed, 31 Dec 2025 00:00:00 GMT";
    test.call(get(), &cached("max-age=60").with_header("etag", "\"1\"").with_header("last-modified", modified));
    let outcome = test.call(get().with_header("if-none-match", "\"0\", W/\"1\""), &Answer::new(500));
    assert_eq!((outcome.answer.status, outcome.answer.body.len()), (304, 0));
    assert_eq!((outcome.answer.header("etag"), outcome.answer.header("age")), (Some("\"1\""), Some("0")));
    assert_eq!(outcome.answer.header("content-type"), None);
    assert_eq!(test.told(get().with_header("if-none-match", "\"2\""), &Answer::new(500)), (200, HIT.into()));
    assert_eq!(test.told(get().with_header("if-modified-since", modified), &Answer::new(500)), (304, HIT.into()));
}

#[test]
fn a_stale_response_is_validated() {
    let test = cache();
    test.call(get(), &cached("max-age=60, must-revalidate").with_header("etag", "\"1\"").with_header("x-version", "old"));
    test.advance(60);
    let not_modified = Answer::new(304).with_header("cache-control", "max-age=30").with_header("x-version", "new");
    let outcome = test.call(get().with_header("if-none-match", "\"0\""), &not_modified);
    assert_eq!(outcome.forwarded.unwrap().header("if-none-match").as_deref(), Some("\"1\""), "the server is asked for ours");
    assert_eq!((outcome.answer.status, outcome.answer.text().as_str()), (200, "body"), "the client has another one");
    assert_eq!((outcome.answer.header("x-version"), outcome.answer.header("age")), (Some("new"), Some("0")));
    assert_eq!(outcome.answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(outcome.answer.header("cache-status"), Some("torana; fwd=stale; fwd-status=304; stored"));
    assert_eq!(test.status(get(), &Answer::new(500)), "torana; hit; ttl=30");

    test.advance(30);
    let outcome = test.call(get().with_header("if-none-match", "\"1\""), &not_modified);
    assert_eq!((outcome.answer.status, outcome.answer.body.len()), (304, 0), "the client has this one");

    test.advance(30);
    let newer = cached("max-age=60").with_header("etag", "\"2\"").with_body("newer");
    let outcome = test.call(get(), &newer);
    assert_eq!((outcome.answer.status, outcome.answer.text().as_str()), (200, "newer"));
    assert_eq!(test.call(get(), &Answer::new(500)).answer.text(), "newer");
}

#[test]
fn a_304_that_the_client_asked_for_passes() {
    let test = cache();
    assert_eq!(test.told(get().with_header("if-none-match", "\"1\""), &Answer::new(304)), (304, MISS.into()));
}

#[test]
fn nothing_stale_is_served() {
    let test = cache();
    test.call(get(), &cached("max-age=60").with_header("etag", "\"1\""));
    test.advance(60);
    assert_eq!(test.told(get(), &Answer::new(503)), (503, "torana; fwd=stale".into()));
    assert_eq!(test.told(get().with_header("cache-control", "max-stale"), &Answer::new(503)), (503, "torana; fwd=stale".into()));
    // Kept for an hour, but not asked for when it is about to go.
    test.advance(3500);
    let outcome = test.call(get(), &Answer::new(503));
    assert_eq!(outcome.forwarded.unwrap().header("if-none-match"), None);
    test.advance(100);
    assert_eq!(test.status(get(), &Answer::new(503)), MISS);
}

#[test]
fn no_cache_is_validated_each_time() {
    let test = cache();
    let modified = "Wed, 31 Dec 2025 00:00:00 GMT";
    let answer = cached("no-cache").with_header("last-modified", modified);
    assert_eq!(test.status(get(), &answer), STORED);
    let outcome = test.call(get(), &Answer::new(304));
    assert_eq!(outcome.forwarded.unwrap().header("if-modified-since").as_deref(), Some(modified));
    assert_eq!((outcome.answer.status, outcome.answer.text().as_str()), (200, "body"));
}

#[test]
fn clients_may_want_it_fresher() {
    let test = cache();
    test.call(get(), &cached("max-age=60"));
    test.advance(10);
    let with = |control: &str| test.told(get().with_header("cache-control", control), &Answer::new(404));
    assert_eq!(with("max-age=10").1, "torana; hit; ttl=50");
    assert_eq!(with("max-age=9").1, "torana; fwd=request");
    assert_eq!(with("min-fresh=51").1, "torana; fwd=request");
    assert_eq!(with("no-cache").1, "torana; fwd=request");
    assert_eq!(with("only-if-cached").0, 200);
    assert_eq!(test.status(get().with_header("pragma", "no-cache"), &Answer::new(404)), "torana; fwd=request");
    let elsewhere = testing::get("/x").with_header("cache-control", "only-if-cached");
    assert_eq!(test.cache.call(elsewhere).answer.status, 504);
}

#[test]
fn unsafe_methods_invalidate() {
    let test = cache();
    let with = |language: &str| get().with_header("accept-language", language);
    let store = || {
        for language in ["en", "de"] {
            test.call(with(language), &cached("max-age=60").with_header("vary", "accept-language"));
        }
    };
    store();
    assert_eq!(test.status(testing::request("OPTIONS", "/a?b"), &Answer::new(200)), "torana; fwd=method");
    test.call(testing::request("POST", "/a?b"), &Answer::new(500));
    test.call(testing::request("POST", "/other"), &Answer::new(200));
    assert_eq!(test.status(with("en"), &Answer::new(404)), HIT);
    assert_eq!(test.told(testing::request("DELETE", "/a?b"), &Answer::new(204)), (204, "torana; fwd=method".into()));
    assert_eq!(test.status(with("en"), &cached("max-age=60").with_header("vary", "accept-language")), STORED);
    assert_eq!(test.status(with("de"), &Answer::new(404)), "torana; fwd=vary-miss", "not found again by the new index");
    assert_eq!(test.status(testing::request("POST", "/a?b"), &cached("max-age=60")), "torana; fwd=method");
}

#[test]
fn ranges_uploads_and_upgrades_pass_by() {
    let test = cache();
    test.call(get(), &cached("max-age=60"));
    for (name, value) in [("range", "bytes=0-1"), ("content-length", "2"), ("if-match", "\"1\""), ("upgrade", "websocket")] {
        let partial = Answer { status: 206, ..cached("max-age=60") };
        assert_eq!(test.told(get().with_header(name, value), &partial), (206, "torana; fwd=bypass".into()), "{name}");
    }
    assert_eq!(test.told(get().with_header("content-length", "0"), &Answer::new(500)), (200, HIT.into()));
}

#[test]
fn the_status_of_other_caches_stays() {
    let test = cache();
    let outcome = test.call(get(), &cached("max-age=60").with_header("cache-status", "origin; hit"));
    let lines = |answer: &Answer| {
        answer.headers.iter().filter(|line| line.name == "cache-status").map(|line| line.value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&outcome.answer), ["origin; hit", STORED]);
    assert_eq!(lines(&test.call(get(), &Answer::new(500)).answer), ["origin; hit", HIT]);
}

#[test]
fn what_is_behind_the_cache_may_change_the_request() {
    // As another middleware would: `Vary` means what the client sent.
    let test = cache();
    let answer = cached("max-age=60").with_header("vary", "accept-encoding");
    let outcome = test.cache.call_with(get().with_header("accept-encoding", "br"), |_| answer.clone());
    assert_eq!(outcome.answer.header("cache-status"), Some(STORED));
    assert_eq!(test.status(get(), &answer), "torana; fwd=vary-miss; stored");
    assert_eq!(test.status(get().with_header("accept-encoding", "br"), &Answer::new(500)), HIT);
}

#[test]
fn a_bad_value_in_the_store_is_a_miss() {
    let test = cache();
    test.call(get(), &cached("max-age=60"));
    let index = "index test@file http://localhost/a?b";
    assert!(test.gateway.kv("cache", index).is_some());
    let namespace = kv::Namespace::new("cache");
    namespace.set("1 []", "garbage", None).unwrap();
    assert_eq!(test.status(get(), &Answer::new(404)), "torana; fwd=vary-miss");
    namespace.set(index, "garbage", None).unwrap();
    assert_eq!(test.status(get(), &Answer::new(404)), MISS);
}

#[test]
fn wrong_configurations_are_told() {
    let refused = |config| {
        let error = Gateway::new().middleware::<HttpCache>(config).err().unwrap();
        (error.key, error.message)
    };
    assert_eq!(refused(json!({"defaultTtl": "soon"})), ("defaultTtl".into(), "`soon` is no time; write one as in `10s`".into()));
    assert_eq!(refused(json!({"maxBodySize": "big"})), ("maxBodySize".into(), "`big` is no size; write one as in `1MiB`".into()));
    assert_eq!(refused(json!({"ttl": "1s"})).0, "ttl");
}

/// The cases that are run against a gateway, too.
#[test]
fn the_expected_answers() {
    let file: Value = serde_json::from_str(include_str!("../expected.json")).unwrap();
    let test = Test::new(file["config"].clone());
    let headers = |value: &Value| -> Vec<(String, String)> {
        value
            .as_object()
            .map(|all| all.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect())
            .unwrap_or_default()
    };
    for (n, case) in file["cases"].as_array().unwrap().iter().enumerate() {
        let asked = &case["request"];
        let mut request = testing::request(asked["method"].as_str().unwrap(), asked["path"].as_str().unwrap());
        for (name, value) in headers(&asked["headers"]) {
            request = request.with_header(&name, &value);
        }
        let mut answer = Answer::new(200).with_body("upstream");
        for (name, value) in headers(&case["upstream"]["headers"]) {
            answer = answer.with_header(name, value);
        }
        let outcome = test.call(request, &answer);
        assert_eq!(json!(outcome.answer.status), case["response"]["status"], "case {n}");
        for (name, value) in headers(&case["response"]["headers"]) {
            assert_eq!(outcome.answer.header(&name), Some(value.as_str()), "case {n}: {name}");
        }
        let part = case["response"]["body_contains"].as_str().unwrap_or_default();
        assert!(outcome.answer.text().contains(part), "case {n}");
    }
}
