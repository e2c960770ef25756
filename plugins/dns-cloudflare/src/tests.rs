use super::*;
use torana_plugin_sdk::serde_json::{Value, json};
use torana_plugin_sdk::testing::{self, Gateway};

const API: &str = "https://api.cloudflare.com/client/v4";
const LIST: &str = "https://api.cloudflare.com/client/v4/zones/z1/dns_records?type=TXT&name=_acme-challenge.www.example.com&page=";

fn challenge() -> Challenge {
    Challenge { domain: "www.example.com".into(), fqdn: "_acme-challenge.www.example.com.".into(), value: "abc".into() }
}

fn good(result: Value) -> Answer {
    Answer::new(200).with_json(&json!({"success": true, "errors": [], "messages": [], "result": result}))
}

fn bad(status: u16, code: i64, message: &str) -> Answer {
    let errors = json!([{"code": code, "message": message}]);
    Answer::new(status).with_json(&json!({"success": false, "errors": errors, "messages": [], "result": null}))
}

/// `example.com` is a zone, and nothing below it.
fn gateway() -> Gateway {
    let gateway = Gateway::new();
    gateway.secret("token", "t0p");
    for name in ["_acme-challenge.www.example.com", "www.example.com"] {
        gateway.answer(&format!("{API}/zones?name={name}"), good(json!([])));
    }
    gateway
        .answer(&format!("{API}/zones?name=example.com"), good(json!([{"id": "z0", "status": "moved"}, {"id": "z1", "status": "active"}])));
    gateway.answer(&format!("{API}/zones/z1/dns_records"), good(json!({"id": "r1"})));
    gateway
}

fn plugin(gateway: &Gateway, config: Value) -> testing::DnsChallenge<Cloudflare> {
    gateway.dns_challenge::<Cloudflare>(config).unwrap()
}

#[test]
fn makes_a_record_in_the_zone_above() {
    let gateway = gateway();
    let plugin = plugin(&gateway, json!({}));
    assert_eq!(plugin.timing, Timing { timeout: Duration::from_secs(120), interval: Duration::from_secs(2) });
    plugin.present(&challenge()).unwrap();
    plugin.present(&Challenge { value: "def".into(), ..challenge() }).unwrap();
    let sent = gateway.sent();
    let asked: Vec<_> = sent.iter().map(|m| (m.method.as_str(), m.url.strip_prefix(API).unwrap())).collect();
    let wanted = [
        ("GET", "/zones?name=_acme-challenge.www.example.com"),
        ("GET", "/zones?name=www.example.com"),
        ("GET", "/zones?name=example.com"),
        ("POST", "/zones/z1/dns_records"),
        ("POST", "/zones/z1/dns_records"),
    ];
    assert_eq!(asked, wanted, "the zone is looked for once");
    assert!(sent.iter().all(|m| m.header("authorization").as_deref() == Some("Bearer t0p")));
    let record: Value = torana_plugin_sdk::serde_json::from_str(&sent[3].text()).unwrap();
    assert_eq!(
        (&record["type"], &record["name"], &record["content"], &record["ttl"]),
        (&json!("TXT"), &json!("_acme-challenge.www.example.com"), &json!("\"abc\""), &json!(120))
    );
}

#[test]
fn a_record_that_is_there_will_do() {
    let gateway = gateway();
    gateway.answer(&format!("{API}/zones/z1/dns_records"), bad(400, 81_058, "An identical record already exists."));
    plugin(&gateway, json!({})).present(&challenge()).unwrap();
}

#[test]
fn removes_what_is_ours_alone() {
    let gateway = gateway();
    let page = |records: Value| {
        Answer::new(200).with_json(&json!({"success": true, "errors": null, "result": records, "result_info": {"total_pages": 2}}))
    };
    gateway.answer(&format!("{LIST}1&per_page=100"), page(json!([{"id": "a", "content": "\"other\""}, {"id": "b", "content": "\"abc\""}])));
    gateway.answer(&format!("{LIST}2&per_page=100"), page(json!([{"id": "c", "content": "abc"}, {"id": "d", "content": "ABC"}])));
    gateway.answer(&format!("{API}/zones/z1/dns_records/b"), good(json!({"id": "b"})));
    gateway.answer(&format!("{API}/zones/z1/dns_records/c"), bad(404, 81_044, "Record does not exist."));
    plugin(&gateway, json!({})).clean_up(&challenge()).unwrap();
    let deleted: Vec<_> = gateway.sent().into_iter().filter(|m| m.method == "DELETE").map(|m| m.url).collect();
    assert_eq!(deleted, [format!("{API}/zones/z1/dns_records/b"), format!("{API}/zones/z1/dns_records/c")]);

    gateway.answer(&format!("{API}/zones/z1/dns_records/b"), bad(403, 10_000, "Authentication error"));
    assert_eq!(plugin(&gateway, json!({})).clean_up(&challenge()), Err("Cloudflare: Authentication error (10000)".into()));
}

#[test]
fn speaks_in_the_words_of_the_api() {
    let gateway = gateway();
    let chain = json!([{"code": 6003, "message": "Invalid request headers", "error_chain": [
        {"code": 6111, "message": "Invalid format for Authorization header"},
    ]}]);
    gateway.answer(
        &format!("{API}/zones?name=_acme-challenge.www.example.com"),
        Answer::new(400).with_json(&json!({"success": false, "errors": chain, "result": null})),
    );
    let plugin = plugin(&gateway, json!({}));
    let told = "Cloudflare: Invalid request headers (6003); Invalid format for Authorization header (6111)";
    assert_eq!(plugin.present(&challenge()), Err(told.into()));
    let at = |answer| {
        gateway.answer(&format!("{API}/zones?name=_acme-challenge.www.example.com"), answer);
        plugin.present(&challenge()).unwrap_err()
    };
    assert_eq!(
        at(Answer::new(502).with_text("<h1>Bad\nGateway</h1>")),
        "Cloudflare: GET /zones was answered with status 502: <h1>Bad Gateway</h1>"
    );
    // Good only in its body, or only in its status.
    assert!(at(Answer::new(500).with_json(&json!({"success": true, "result": []}))).contains("status 500"));
    assert!(at(Answer::new(200).with_json(&json!({"success": false}))).contains("status 200"));
    gateway.fail(&format!("{API}/zones?name=_acme-challenge.www.example.com"), http::Error::Denied("api.cloudflare.com".into()));
    let denied = plugin.present(&challenge()).unwrap_err();
    assert_eq!(denied, "Cloudflare: api.cloudflare.com is not granted; add it to permissions.http of the plugin");
    assert!(!gateway.log().iter().any(|line| line.message.contains("t0p")));
}

#[test]
fn a_name_in_no_zone_is_told() {
    let gateway = gateway();
    gateway.answer(&format!("{API}/zones?name=example.com"), good(json!([])));
    let told = "Cloudflare: the token sees no zone that `_acme-challenge.www.example.com` is in";
    assert_eq!(plugin(&gateway, json!({})).present(&challenge()), Err(told.into()));
    // Nobody has `com`.
    assert_eq!(gateway.sent().len(), 3);
}

#[test]
fn leaves_a_busy_api_alone() {
    let gateway = gateway();
    let records = format!("{API}/zones/z1/dns_records");
    gateway.answer(&records, bad(429, 971, "Please wait and consider throttling your request speed").with_header("retry-after", "30"));
    let plugin = plugin(&gateway, json!({}));
    let told = "Cloudflare: Please wait and consider throttling your request speed (971); asked again in 30 s";
    assert_eq!(plugin.present(&challenge()), Err(told.into()));
    let before = gateway.sent().len();
    gateway.answer(&records, good(json!({"id": "r1"}))).advance(Duration::from_secs(10));
    assert_eq!(plugin.present(&challenge()), Err("Cloudflare: it wants fewer requests; asked again in 20 s".into()));
    assert_eq!(gateway.sent().len(), before);
    gateway.advance(Duration::from_secs(20));
    plugin.present(&challenge()).unwrap();
}

#[test]
fn accounts_zones_and_times_are_chosen() {
    let gateway = gateway();
    gateway.secret("work", "w0rk").secret("zones", "z0nes");
    let other = plugin(&gateway, json!({"tokenSecret": "work", "zoneTokenSecret": "zones", "ttl": 1, "propagationTimeout": 9}));
    other.present(&challenge()).unwrap();
    let sent = gateway.sent();
    assert_eq!(sent[0].header("authorization").as_deref(), Some("Bearer z0nes"));
    assert_eq!(sent[3].header("authorization").as_deref(), Some("Bearer w0rk"));
    assert!(sent[3].text().contains("\"ttl\":1"), "{}", sent[3].text());
    assert_eq!(other.timing.timeout, Duration::from_secs(9));

    let fake = "http://127.0.0.1:9999/zones/z9/dns_records";
    gateway.answer(fake, good(json!({"id": "r"})));
    plugin(&gateway, json!({"baseUrl": "http://127.0.0.1:9999/", "zoneId": "z9"})).present(&challenge()).unwrap();
    assert_eq!(gateway.sent().last().unwrap().url, fake);
    assert_eq!(gateway.sent().len(), 5);
}

#[test]
fn wrong_configurations_are_told() {
    let refused = |config| {
        let error = gateway().dns_challenge::<Cloudflare>(config).err().unwrap();
        (error.key, error.message)
    };
    for (config, key) in [
        (json!({"ttl": 20}), "ttl"),
        (json!({"ttl": 86_401}), "ttl"),
        (json!({"zoneId": "a/b"}), "zoneId"),
        (json!({"baseUrl": "api.cloudflare.com"}), "baseUrl"),
        (json!({"pollingInterval": 0}), "pollingInterval"),
        (json!({"tokenSecret": "work"}), "tokenSecret"),
        (json!({"zoneTokenSecret": "work"}), "zoneTokenSecret"),
        (json!({"zone": "z"}), "zone"),
    ] {
        assert_eq!(refused(config).0, key);
    }
    assert_eq!(refused(json!({"tokenSecret": "work"})).1, "the secret `work` is not granted");
}

#[test]
fn asks_for_requests() {
    let manifest = testing::DnsChallenge::<Cloudflare>::manifest();
    assert_eq!(manifest["capabilities"], json!({"http": true}));
}
