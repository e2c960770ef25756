//! Each kind of plugin, driven by the harness.

#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};
use std::time::Duration;

use serde_json::{Value, json};
use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::testing::{self, Gateway};

/// Does what the header `x-do` says.
struct Doer;

impl Middleware for Doer {
    type Config = ();

    fn new((): ()) -> Result<Self, ConfigError> {
        Ok(Doer)
    }

    fn interest(&self) -> Interest {
        Interest::request().header("X-Do").path().and_response().status().header("x-answer").method()
    }

    fn on_request(&self, request: &mut Request) -> Flow {
        match request.header("x-do") {
            Some("answer") => return Flow::Respond(Answer::new(403).with_text("no")),
            Some("edit") => {
                request.set_header("X-Path", request.path());
                request.set_header("x-query", request.query().unwrap_or_default());
                request.add_header("x-many", "c");
                request.remove_header("x-do");
                request.set_path("/other");
                request.set_method("PUT");
                request.set_host("inner");
                request.set_body("other");
            }
            Some("undeclared") => {
                request
                    .set_header("x-seen", format!("{:?} {:?} {}", request.header("X-Many"), request.header("x-none"), request.client_ip()));
                let lines = request.header_lines("x-many").len();
                request.set_header("x-lines", lines.to_string());
                request.set_header("x-all", request.headers().len().to_string());
                request.set_header("x-body", format!("{:?}", request.body()));
            }
            Some("keep") => {
                request.set_user("bob");
                request.keep("kept");
            }
            _ => {}
        }
        Flow::Next
    }

    fn on_response(&self, response: &mut Response) -> Flow {
        if response.header("x-answer") == Some("replace") {
            return Flow::Respond(Answer::new(502));
        }
        let seen = format!(
            "{} {:?} {} {:?} {:?}",
            response.status(),
            response.header("x-undeclared"),
            response.request().method(),
            response.request().header("x-answer"),
            response.kept()
        );
        response.set_header("x-seen", seen);
        if response.status() == 404 {
            response.set_status(200);
            response.set_body("found");
        }
        Flow::Next
    }
}

export_middleware!(Doer);

fn doer() -> testing::Middleware<Doer> {
    Gateway::new().middleware(json!({})).unwrap()
}

#[test]
fn a_middleware_answers() {
    let outcome = doer().call(testing::get("/").with_header("x-do", "answer"));
    assert_eq!((outcome.answer.status, outcome.answer.text().as_str()), (403, "no"));
    assert_eq!(outcome.forwarded, None);
    assert_eq!(outcome.answer.header("x-seen"), None, "on_response is not called for its own answer");
}

#[test]
fn a_middleware_edits() {
    let outcome = doer().call(testing::get("/a?b=c").with_header("x-do", "edit").with_header("x-many", "a"));
    let forwarded = outcome.forwarded.unwrap();
    assert_eq!(forwarded.header("x-path").as_deref(), Some("/a"));
    assert_eq!(forwarded.header("x-query").as_deref(), Some("b=c"));
    assert_eq!(forwarded.header("x-many").as_deref(), Some("a, c"));
    assert_eq!(forwarded.header("x-do"), None);
    assert_eq!((forwarded.path.as_str(), forwarded.method.as_str(), forwarded.host.as_str()), ("/other", "PUT", "inner"));
    assert_eq!(forwarded.text(), "other");
}

#[test]
fn what_is_not_declared_is_fetched() {
    let request = testing::get("/").with_header("x-do", "undeclared").with_header("x-many", "a").with_header("x-many", "b");
    let forwarded = doer().call(request.with_body("unseen")).forwarded.unwrap();
    assert_eq!(forwarded.header("x-seen").as_deref(), Some("Some(\"a, b\") None 127.0.0.1"));
    assert_eq!(forwarded.header("x-lines").as_deref(), Some("2"));
    assert_eq!(forwarded.header("x-all").as_deref(), Some("3"));
    assert_eq!(forwarded.header("x-body").as_deref(), Some("None"), "not buffered");
}

#[test]
fn a_middleware_sees_the_response_and_what_it_kept() {
    let request = testing::request("POST", "/").with_header("x-do", "keep").with_header("x-answer", "of the request");
    let outcome =
        doer().call_with(request, |_| Answer::new(404).with_header("x-answer", "of the response").with_header("x-undeclared", "u"));
    assert_eq!(outcome.answer.header("x-seen"), Some("404 Some(\"u\") POST Some(\"of the request\") Some(\"kept\")"));
    assert_eq!((outcome.answer.status, outcome.answer.text().as_str()), (200, "found"));
    assert_eq!(outcome.user.as_deref(), Some("bob"));

    let outcome = doer().call_with(testing::get("/"), |_| Answer::new(200).with_header("x-answer", "replace"));
    assert_eq!(outcome.answer.status, 502);
}

/// Upper case: the request buffered, the response streamed, with a count at its end.
#[derive(Default)]
struct Upper {
    count: Cell<usize>,
}

impl Middleware for Upper {
    type Config = ();

    fn new((): ()) -> Result<Self, ConfigError> {
        Ok(Upper::default())
    }

    fn interest(&self) -> Interest {
        Interest::request().buffer_request_body().stream_response_body()
    }

    fn on_request(&self, request: &mut Request) -> Flow {
        request.set_body(request.body().unwrap_or_default().to_ascii_uppercase());
        Flow::Next
    }

    fn on_response_body(&self, chunk: &[u8], last: bool) -> BodyFlow {
        self.count.set(self.count.get() + chunk.len());
        match (last, chunk) {
            (true, _) => BodyFlow::Replace(format!("{} bytes", self.count.take()).into_bytes()),
            (false, b"bad") => BodyFlow::Fail("bad".into()),
            (false, _) => BodyFlow::Replace(chunk.to_ascii_uppercase()),
        }
    }
}

#[test]
fn bodies_are_changed() {
    let plugin = Gateway::new().middleware::<Upper>(json!({})).unwrap();
    let outcome =
        plugin.call_with(testing::get("/").with_chunks(["ab", "cd"]), |request| Answer::new(200).with_body(request.text().to_lowercase()));
    assert_eq!(outcome.forwarded.unwrap().text(), "ABCD");
    assert_eq!(outcome.chunks, [&b"AB"[..], b"CD", b"4 bytes"]);
    assert_eq!(outcome.answer.text(), "ABCD4 bytes");

    let outcome = plugin.call_with(testing::get("/"), |_| Answer::new(200).with_body("badbad"));
    assert_eq!(outcome.failed.as_deref(), Some("bad"));
}

/// Counts in the store, and asks a server who the client is.
struct Hosts;

const COUNTS: kv::Namespace = kv::Namespace::new("counts");

impl Middleware for Hosts {
    type Config = Value;
    const CAPABILITIES: Capabilities = Capabilities::NONE.http().kv(&["counts"]).secrets(&["key"]);

    fn new(_: Value) -> Result<Self, ConfigError> {
        Ok(Hosts)
    }

    fn interest(&self) -> Interest {
        Interest::request()
    }

    fn on_request(&self, request: &mut Request) -> Flow {
        let count = COUNTS.increment("all", 1, Some(Duration::from_secs(10)));
        let other = kv::Namespace::new("other").get("all");
        metrics::add("requests", 1);
        metrics::set("share", 0.5);
        log::info!("{} of {}", 1, torana_plugin_sdk::used_as());
        log::debug!("debug");
        let key = secrets::get("key").unwrap_or_default();
        let answer = http::get("http://users.test/me").header("authorization", key).timeout(Duration::from_secs(1)).send();
        let user = answer.and_then(|answer| answer.json::<Value>().map_err(|error| http::Error::Failed(error.to_string())));
        request.set_header("x-count", format!("{count:?}"));
        request.set_header("x-other", format!("{other:?}"));
        request.set_header("x-user", format!("{user:?}"));
        request.set_header("x-time", clock::unix().as_secs().to_string());
        Flow::Next
    }
}

#[test]
fn the_gateway_of_a_test_has_all_interfaces() {
    let gateway = Gateway::new();
    gateway.secret("key", "k").answer("http://users.test/me", Answer::new(200).with_json(&json!("bob")));
    let plugin = gateway.middleware::<Hosts>(json!({})).unwrap();
    let count = |expected: &str| {
        let forwarded = plugin.call(testing::get("/")).forwarded.unwrap();
        assert_eq!(forwarded.header("x-count").as_deref(), Some(expected));
        forwarded
    };
    let forwarded = count("Ok(1)");
    assert_eq!(forwarded.header("x-other").as_deref(), Some("Err(Denied)"));
    assert_eq!(forwarded.header("x-user").as_deref(), Some("Ok(String(\"bob\"))"));
    assert_eq!(forwarded.header("x-time").as_deref(), Some("1767225600"));
    assert_eq!(gateway.sent()[0].header("authorization").as_deref(), Some("k"));
    assert_eq!(gateway.kv("counts", "all").as_deref(), Some(&b"1"[..]));
    assert_eq!((gateway.counter("requests"), gateway.gauge("share")), (1, Some(0.5)));
    assert_eq!(gateway.log()[0].message, "1 of test");
    assert_eq!(gateway.log().len(), 2);

    gateway.advance(Duration::from_secs(9)).fail("http://users.test/me", http::Error::Timeout);
    let forwarded = count("Ok(2)");
    assert_eq!(forwarded.header("x-time").as_deref(), Some("1767225609"));
    assert_eq!(forwarded.header("x-user").as_deref(), Some("Err(Timeout)"));
    // The time of the key counts from when it was made.
    gateway.advance(Duration::from_secs(1));
    count("Ok(1)");
}

struct Inventory(RefCell<u32>);

impl Provider for Inventory {
    type Config = ();

    fn new((): ()) -> Result<Self, ConfigError> {
        Ok(Inventory(RefCell::new(0)))
    }

    fn poll(&self) -> Result<Delivery, Failure> {
        *self.0.borrow_mut() += 1;
        match *self.0.borrow() {
            1 => Ok(Delivery::document(&json!({"http": {}}))?.again_after(Duration::from_millis(500))),
            2 => Ok(Delivery::unchanged()),
            _ => Err(http::get("http://down.test/").send().err().ok_or("it answered")?.into()),
        }
    }
}

export_provider!(Inventory);

#[test]
fn a_provider_delivers() {
    let gateway = Gateway::new();
    gateway.fail("http://down.test/", http::Error::Failed("connection refused".into()));
    let provider = gateway.provider::<Inventory>(json!({})).unwrap();
    let first = provider.poll().unwrap();
    assert_eq!((first.json(), first.pause()), (Some("{\"http\":{}}"), Duration::from_millis(500)));
    assert_eq!(provider.poll().unwrap().json(), None);
    assert_eq!(provider.poll(), Err("connection refused".into()));
    assert_eq!(testing::Provider::<Inventory>::manifest()["kind"], "provider");
}

struct OneOf(Vec<String>);

impl Matcher for OneOf {
    type Config = ();

    fn new(arguments: Vec<String>, (): ()) -> Result<Self, ConfigError> {
        if arguments.is_empty() {
            return Err(ConfigError::new("", "needs at least one name"));
        }
        Ok(OneOf(arguments))
    }

    fn interest(&self) -> Interest {
        Interest::request().header("x-user")
    }

    fn matches(&self, request: &RequestHead) -> bool {
        request.header("x-other").is_none() && request.header("x-user").is_some_and(|user| self.0.iter().any(|name| name == user))
    }
}

export_matcher!(OneOf);

#[test]
fn a_matcher_matches() {
    let gateway = Gateway::new();
    let matcher = gateway.matcher::<OneOf>(&["bob", "eve"], json!({})).unwrap();
    assert!(matcher.matches(&testing::get("/").with_header("x-user", "eve")));
    assert!(!matcher.matches(&testing::get("/").with_header("x-user", "mallory")));
    // There is no exchange to fetch it from, and the author is told.
    assert!(matcher.matches(&testing::get("/").with_header("x-user", "bob").with_header("x-other", "1")));
    assert!(gateway.log()[0].message.contains("`x-other`"));
    assert!(gateway.matcher::<OneOf>(&[], json!({})).is_err());
}

struct LeastBusy;

impl Balancer for LeastBusy {
    type Config = ();

    fn new((): ()) -> Result<Self, ConfigError> {
        Ok(LeastBusy)
    }

    fn interest(&self) -> Interest {
        Interest::request().header("x-server")
    }

    fn pick(&self, request: &RequestHead, servers: &[Server]) -> Option<usize> {
        if let Some(wanted) = request.header("x-server") {
            return servers.iter().find(|server| server.url == wanted).map(|server| server.index);
        }
        servers.iter().filter(|server| server.up).min_by_key(|server| server.in_flight()).map(|server| server.index)
    }
}

export_balancer!(LeastBusy);

#[test]
fn a_balancer_picks() {
    let balancer = Gateway::new().balancer::<LeastBusy>(json!({})).unwrap();
    assert_eq!(balancer.pick(&testing::get("/")), None);
    balancer.servers(&[("http://a", 1, true), ("http://b", 1, false), ("http://c", 1, true)]);
    balancer.in_flight(&[3, 0, 1]);
    assert_eq!(balancer.pick(&testing::get("/")), Some(2));
    assert_eq!(balancer.pick(&testing::get("/").with_header("x-server", "http://b")), Some(1));
}

struct Records(RefCell<Vec<String>>);

impl DnsChallenge for Records {
    type Config = ();

    fn new((): ()) -> Result<Self, ConfigError> {
        Ok(Records(RefCell::default()))
    }

    fn timing(&self) -> Timing {
        Timing { timeout: Duration::from_secs(9), ..Timing::default() }
    }

    fn present(&self, challenge: &Challenge) -> Result<(), Failure> {
        self.0.borrow_mut().push(format!("{}={}", challenge.fqdn, challenge.value));
        Ok(())
    }

    fn clean_up(&self, _: &Challenge) -> Result<(), Failure> {
        self.0.borrow_mut().pop().map(drop).ok_or_else(|| "no such record".into())
    }
}

impl State for Records {
    fn snapshot(&self) -> Vec<u8> {
        self.0.borrow().join("\n").into_bytes()
    }

    fn restore(&self, snapshot: &[u8]) -> Result<(), Failure> {
        *self.0.borrow_mut() = std::str::from_utf8(snapshot)?.lines().map(str::to_owned).collect();
        Ok(())
    }
}

export_dns_challenge!(Records, state);

#[test]
fn a_dns_challenge_is_answered() {
    let dns = Gateway::new().dns_challenge::<Records>(json!({})).unwrap();
    assert_eq!((dns.timing.timeout.as_secs(), dns.timing.interval.as_secs()), (9, 2));
    let challenge = Challenge { domain: "a.test".into(), fqdn: "_acme-challenge.a.test.".into(), value: "v".into() };
    assert_eq!(dns.present(&challenge), Ok(()));
    assert_eq!(dns.clean_up(&challenge), Ok(()));
    assert_eq!(dns.clean_up(&challenge), Err("no such record".into()));
}
