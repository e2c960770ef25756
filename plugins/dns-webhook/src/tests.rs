use super::*;
use torana_plugin_sdk::testing::{self, Gateway};

fn challenge() -> Challenge {
    Challenge { domain: "example.com".into(), fqdn: "_acme-challenge.example.com.".into(), value: "abc".into() }
}

fn plugin(gateway: &Gateway, config: Value) -> testing::DnsChallenge<Webhook> {
    gateway.dns_challenge::<Webhook>(config).unwrap()
}

fn sent(gateway: &Gateway, n: usize) -> (String, Value) {
    let message = &gateway.sent()[n];
    (format!("{} {}", message.method, message.url), torana_plugin_sdk::serde_json::from_str(&message.text()).unwrap())
}

#[test]
fn speaks_as_lego_does() {
    let gateway = Gateway::new();
    gateway.secret("password", "p:w");
    for path in ["present", "cleanup"] {
        gateway.answer(&format!("https://dns.test/v1/{path}"), Answer::new(200));
    }
    let plugin = plugin(&gateway, json!({"url": "https://dns.test/v1/", "username": "u", "passwordSecret": "password"}));
    assert_eq!(plugin.timing, Timing { timeout: Duration::from_secs(60), interval: Duration::from_secs(2) });
    plugin.present(&challenge()).unwrap();
    plugin.clean_up(&challenge()).unwrap();
    let body = json!({"fqdn": "_acme-challenge.example.com.", "value": "abc"});
    assert_eq!(sent(&gateway, 0), ("POST https://dns.test/v1/present".into(), body.clone()));
    assert_eq!(sent(&gateway, 1), ("POST https://dns.test/v1/cleanup".into(), body));
    for message in gateway.sent() {
        assert_eq!(message.header("authorization").as_deref(), Some("Basic dTpwOnc="));
        assert_eq!(message.header("content-type").as_deref(), Some("application/json"));
    }
}

#[test]
fn speaks_as_another_service_wants_it() {
    let gateway = Gateway::new();
    gateway.secret("key", "k{e}y");
    gateway.answer("https://dns.test/r/_acme-challenge.example.com", Answer::new(201));
    gateway.answer("https://dns.test/gone?v=abc", Answer::new(204));
    let plugin = plugin(
        &gateway,
        json!({
            "headers": {"X-Key": "{secret:key}", "x-for": "{domain}"},
            "body": {"do": "{action}", "rr": [{"t": "TXT", "ttl": 60, "d": ["\"{value}\""]}], "{{": "{{{name}}}", "auth": "{secret:key}"},
            "present": {"url": "https://dns.test/r/{name}", "method": "PUT"},
            "cleanUp": {"url": "https://dns.test/gone?v={value}", "method": "DELETE", "body": {}},
        }),
    );
    plugin.present(&challenge()).unwrap();
    plugin.clean_up(&challenge()).unwrap();
    let body = json!({
        "do": "present", "rr": [{"t": "TXT", "ttl": 60, "d": ["\"abc\""]}],
        "{{": "{_acme-challenge.example.com}", "auth": "k{e}y",
    });
    assert_eq!(sent(&gateway, 0), ("PUT https://dns.test/r/_acme-challenge.example.com".into(), body));
    assert_eq!(sent(&gateway, 1), ("DELETE https://dns.test/gone?v=abc".into(), json!({})));
    let message = &gateway.sent()[0];
    assert_eq!((message.header("x-key").as_deref(), message.header("x-for").as_deref()), (Some("k{e}y"), Some("example.com")));
}

#[test]
fn names_cannot_leave_their_place_in_a_url() {
    let gateway = Gateway::new();
    gateway.answer("https://dns.test/r/a%2F..%3Fb", Answer::new(200));
    let plugin = plugin(&gateway, json!({"url": "https://dns.test", "present": {"url": "https://dns.test/r/{name}"}}));
    plugin.present(&Challenge { fqdn: "a/..?b.".into(), ..challenge() }).unwrap();
}

#[test]
fn says_what_the_service_said() {
    let gateway = Gateway::new();
    let plugin = plugin(&gateway, json!({"url": "https://dns.test"}));
    let told = |answer| {
        gateway.answer("https://dns.test/present", answer);
        plugin.present(&challenge()).unwrap_err()
    };
    assert_eq!(told(Answer::new(401)), "https://dns.test/present answered with status 401");
    assert_eq!(told(Answer::new(500).with_text("no\nzone")), "https://dns.test/present answered with status 500: no zone");
    let busy = Answer::new(429).with_header("retry-after", "5").with_text("slow down");
    assert_eq!(told(busy), "https://dns.test/present answered with status 429: slow down; to be asked again in 5 s");
    gateway.fail("https://dns.test/present", http::Error::Timeout);
    assert_eq!(plugin.present(&challenge()), Err("https://dns.test/present: no answer in time".into()));
    gateway.fail("https://dns.test/present", http::Error::Denied("dns.test".into()));
    let denied = plugin.present(&challenge()).unwrap_err();
    assert!(denied.contains("dns.test is not granted; add it to permissions.http"), "{denied}");
}

#[test]
fn wrong_configurations_are_told() {
    let gateway = Gateway::new();
    let refused = |config: Value| {
        let error = gateway.dns_challenge::<Webhook>(config).err().unwrap();
        (error.key, error.message)
    };
    let with = |key: &str, value: Value| {
        let mut config = json!({"url": "https://dns.test"});
        config[key] = value;
        refused(config)
    };
    assert_eq!(refused(json!({})), ("url".into(), "is required".into()));
    assert_eq!(refused(json!({"present": {"url": "https://a.test"}})).0, "url");
    assert_eq!(refused(json!({"url": "dns.test"})).0, "url");
    assert_eq!(with("cleanUp", json!({"url": "x"})).0, "cleanUp.url");
    assert_eq!(with("cleanUp", json!({"url": "https://a.test/{secret:t}"})).1, "a secret does not belong into a URL");
    assert_eq!(with("present", json!({"method": "po st"})).0, "present.method");
    assert_eq!(with("body", json!({"a": [1, "{token}"]})), ("body.a[1]".into(), "`{token}` is not known".into()));
    assert_eq!(with("body", json!("}")), ("body".into(), "a brace stands alone".into()));
    assert_eq!(with("headers", json!({"x-a": "{secret:none}"})), ("headers.x-a".into(), "the secret `none` is not granted".into()));
    assert_eq!(with("headers", json!({"a b": "c"})).0, "headers.a b");
    assert_eq!(with("headers", json!({"a": "c\r\nd: e"})).0, "headers.a");
    assert_eq!(with("passwordSecret", json!("none")).0, "passwordSecret");
    assert_eq!(with("propagationTimeout", json!(0)).0, "propagationTimeout");
    assert_eq!(refused(json!({"url": "https://a.test", "username": "u", "headers": {"Authorization": "x"}})).0, "username");
    assert_eq!(with("mode", json!("RAW")).0, "mode");
}
