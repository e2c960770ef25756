use std::time::Duration;

use torana_plugin_sdk::serde_json::{self, Value, json};
use torana_plugin_sdk::testing::{self, Gateway, Message};
use torana_plugin_sdk::{Answer, http};

use super::*;

const URL: &str = "https://id.example.com/jwks";

/// Tokens and keys, signed by another implementation.
fn data() -> Value {
    serde_json::from_str(include_str!("../testdata/tokens.json")).unwrap()
}

fn token(name: &str) -> String {
    data()["tokens"][name].as_str().unwrap().to_owned()
}

fn with_token(name: &str) -> Message {
    testing::get("/").with_header("authorization", &format!("Bearer {}", token(name)))
}

fn plugin(extra: Value) -> testing::Middleware<JwtAuth> {
    let mut config = json!({"jwks": data()["jwks"]});
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    Gateway::new().middleware::<JwtAuth>(config).unwrap()
}

fn refused(config: Value) -> String {
    Gateway::new().middleware::<JwtAuth>(config).err().unwrap().key
}

fn set(name: &str) -> Answer {
    Answer::new(200).with_json(&data()[name])
}

#[test]
fn accepts_every_algorithm() {
    let plugin = plugin(json!({}));
    for name in ["rs256", "rs384", "rs512", "ps256", "ps384", "ps512", "es256", "es384", "eddsa", "no_kid"] {
        let outcome = plugin.call(with_token(name));
        assert_eq!((name, outcome.answer.status), (name, 200), "{}", outcome.answer.text());
        assert_eq!(outcome.user.as_deref(), Some("alice"));
    }
}

#[test]
fn reads_pem_keys() {
    for (key, name) in [("rsa_pem", "ps256"), ("ec_pem", "es256"), ("ec384_pem", "es384"), ("ed_pem", "eddsa")] {
        let plugin = Gateway::new().middleware::<JwtAuth>(json!({"publicKey": data()[key]})).unwrap();
        assert_eq!(plugin.call(with_token(name)).answer.status, 200, "{key}");
        assert_eq!(plugin.call(with_token("hs256")).answer.status, 401, "{key}");
    }
}

#[test]
fn refuses_forgeries() {
    let plugin = plugin(json!({}));
    for (name, why) in [
        ("none", "the algorithm of the token is not accepted\n"),
        ("hs256", "the algorithm of the token is not accepted\n"),
        ("other_key", "the signature is wrong\n"),
        ("wrong_type", "the signature is wrong\n"),
        ("unknown_kid", "the key of the token is not known\n"),
        ("crit", "the token has critical extensions\n"),
    ] {
        let outcome = plugin.call(with_token(name));
        assert_eq!((name, outcome.answer.status, outcome.answer.text().as_str()), (name, 401, why));
        assert!(outcome.forwarded.is_none());
    }
    let good = token("es256");
    let cut = &good[..good.len() - 4];
    let flipped = good.replacen("eyJ", "eyI", 2);
    let without_signature = good.rsplit_once('.').unwrap().0;
    let other_payload =
        format!("{}.{}.{}", good.split('.').next().unwrap(), token("short").split('.').nth(1).unwrap(), good.split('.').nth(2).unwrap());
    for bad in ["", "a", "a.b", "a.b.c", "..", cut, &flipped, without_signature, &other_payload, &"a.".repeat(9000), &format!("{good}.a")] {
        let answer = plugin.call(testing::get("/").with_header("authorization", &format!("Bearer {bad}"))).answer;
        assert_eq!(answer.status, 401, "{bad}");
    }
    // The same once more: a refusal must not be remembered as a success, nor the other way round.
    assert_eq!(plugin.call(with_token("other_key")).answer.status, 401);
    assert_eq!(plugin.call(with_token("es256")).answer.status, 200);
    assert_eq!(plugin.call(with_token("es256")).answer.status, 200);
}

#[test]
fn restricts_algorithms() {
    let plugin = plugin(json!({"algorithms": ["RS256"]}));
    assert_eq!(plugin.call(with_token("rs256")).answer.status, 200);
    assert_eq!(plugin.call(with_token("ps256")).answer.status, 401);
    assert_eq!(plugin.call(with_token("es256")).answer.status, 401);
    assert_eq!(refused(json!({"jwks": data()["jwks"], "algorithms": ["HS256"]})), "algorithms[0]");
}

#[test]
fn checks_times_with_leeway() {
    let gateway = Gateway::new();
    let plugin = gateway.middleware::<JwtAuth>(json!({"jwks": data()["jwks"], "leeway": "10s"})).unwrap();
    let status = |name| plugin.call(with_token(name)).answer.status;
    assert_eq!((status("short"), status("early")), (200, 401));
    gateway.advance(Duration::from_secs(50));
    assert_eq!((status("short"), status("early")), (200, 200));
    gateway.advance(Duration::from_secs(19));
    assert_eq!(status("short"), 200);
    // Remembered tokens expire, too.
    gateway.advance(Duration::from_secs(1));
    assert_eq!(status("short"), 401);
    assert_eq!((status("no_exp"), status("text_exp")), (401, 401));
    let lax = self::plugin(json!({"requiredClaims": []}));
    assert_eq!(lax.call(with_token("no_exp")).answer.status, 200);
    assert_eq!(lax.call(with_token("text_exp")).answer.status, 401);
}

#[test]
fn checks_claims() {
    for (extra, name, status) in [
        (json!({"issuers": ["https://id.example.com"]}), "es256", 200),
        (json!({"issuers": ["https://id.example.com"]}), "iss_list", 401),
        (json!({"issuers": ["https://evil.example.com"]}), "es256", 401),
        (json!({"audiences": ["api", "other"]}), "es256", 200),
        (json!({"audiences": ["api"]}), "aud_text", 200),
        (json!({"audiences": ["other"]}), "es256", 401),
        (json!({"requiredClaims": ["sub", "realm_access.roles"]}), "es256", 200),
        (json!({"requiredClaims": ["email"]}), "es256", 401),
        (json!({"scopes": ["write", "read"]}), "es256", 200),
        (json!({"scopes": ["write", "read"]}), "scp", 200),
        (json!({"scopes": ["write", "read"]}), "read_only", 403),
        (json!({"claimValues": {"realm_access.roles": ["admin"], "tenant": ["7"]}}), "es256", 200),
        (json!({"claimValues": {"realm_access.roles": ["root"]}}), "es256", 403),
        (json!({"claimValues": {"email": ["null"]}}), "es256", 403),
    ] {
        let answer = plugin(extra.clone()).call(with_token(name)).answer;
        assert_eq!(answer.status, status, "{extra} {name}: {}", answer.text());
    }
}

#[test]
fn challenges_as_rfc_6750_says() {
    let plugin = plugin(json!({"realm": "shop", "scopes": ["write"]}));
    let challenge = |request| plugin.call(request).answer.header("www-authenticate").unwrap().to_owned();
    assert_eq!(challenge(testing::get("/")), "Bearer realm=\"shop\"");
    assert_eq!(challenge(testing::get("/").with_header("authorization", "Basic YTpi")), "Bearer realm=\"shop\"");
    assert_eq!(
        challenge(with_token("other_key")),
        "Bearer realm=\"shop\", error=\"invalid_token\", error_description=\"the signature is wrong\""
    );
    assert_eq!(
        challenge(with_token("read_only")),
        "Bearer realm=\"shop\", error=\"insufficient_scope\", error_description=\"the token lacks a scope\", scope=\"write\""
    );
    assert_eq!(self::plugin(json!({})).call(testing::get("/")).answer.header("www-authenticate"), Some("Bearer"));
}

#[test]
fn forwards_claims() {
    let headers = json!({"sub": "X-User", "tenant": "x-tenant", "realm_access.roles": "x-roles", "email": "x-email"});
    let plugin = plugin(json!({"claimHeaders": headers, "optional": true}));
    let forged = |request: Message| request.with_header("x-user", "root").with_header("x-email", "root@example.com");
    let forwarded = plugin.call(forged(with_token("es256"))).forwarded.unwrap();
    let header = |name| forwarded.header(name);
    assert_eq!(header("x-user").as_deref(), Some("alice"));
    assert_eq!(header("x-tenant").as_deref(), Some("7"));
    assert_eq!(header("x-roles").as_deref(), Some("[\"admin\",\"user\"]"));
    assert_eq!(header("x-email"), None);
    assert!(header("authorization").is_some());

    let anonymous = plugin.call(forged(testing::get("/"))).forwarded.unwrap();
    assert_eq!((anonymous.header("x-user"), anonymous.header("x-email")), (None, None));
    assert_eq!(plugin.call(with_token("other_key")).answer.status, 401);
    assert_eq!(plugin.call(with_token("split")).answer.status, 401);
}

#[test]
fn finds_and_removes_the_token() {
    let plugin = plugin(json!({"cookie": "session", "query": "access_token", "remove": true}));
    let good = token("es256");
    let request = testing::get("/").with_header("cookie", "a=1").with_header("cookie", &format!("session={good}; b=2"));
    assert_eq!(plugin.call(request).forwarded.unwrap().header("cookie").as_deref(), Some("a=1; b=2"));
    let request = testing::get(&format!("/p?a=1&access_token={good}"));
    assert_eq!(plugin.call(request).forwarded.unwrap().path, "/p?a=1");
    let outcome = plugin.call(with_token("es256").with_header("cookie", "session=x"));
    let forwarded = outcome.forwarded.unwrap();
    assert_eq!((forwarded.header("authorization"), forwarded.header("cookie")), (None, None));

    let other = self::plugin(json!({"header": "X-Token"}));
    for value in [good.clone(), format!("bearer {good}")] {
        assert_eq!(other.call(testing::get("/").with_header("x-token", &value)).answer.status, 200);
    }
    assert_eq!(other.call(with_token("es256")).answer.status, 401);
}

#[test]
fn fetches_once_for_all_instances() {
    let gateway = Gateway::new();
    gateway.answer(URL, set("jwks"));
    let config = || json!({"jwksUrl": URL, "jwksTtl": "10m"});
    let one = gateway.middleware::<JwtAuth>(config()).unwrap();
    let other = gateway.middleware::<JwtAuth>(config()).unwrap();
    for plugin in [&one, &other, &one] {
        assert_eq!(plugin.call(with_token("es256")).answer.status, 200);
    }
    assert_eq!(gateway.sent().len(), 1);
    gateway.advance(Duration::from_secs(601));
    assert_eq!(one.call(with_token("es256")).answer.status, 200);
    assert_eq!(other.call(with_token("es256")).answer.status, 200);
    assert_eq!(gateway.sent().len(), 2);
}

#[test]
fn fetches_again_for_a_new_key_but_not_too_often() {
    let gateway = Gateway::new();
    gateway.answer(URL, set("jwks"));
    let config = || json!({"jwksUrl": URL, "jwksPause": "30s"});
    let one = gateway.middleware::<JwtAuth>(config()).unwrap();
    let other = gateway.middleware::<JwtAuth>(config()).unwrap();
    assert_eq!(one.call(with_token("es256")).answer.status, 200);
    assert_eq!(other.call(with_token("es256")).answer.status, 200);
    gateway.advance(Duration::from_secs(31));
    for _ in 0..5 {
        assert_eq!(one.call(with_token("unknown_kid")).answer.status, 401);
        assert_eq!(other.call(with_token("unknown_kid")).answer.status, 401);
    }
    assert_eq!(gateway.sent().len(), 2);

    gateway.answer(URL, set("new_jwks"));
    gateway.advance(Duration::from_secs(31));
    assert_eq!(one.call(with_token("unknown_kid")).answer.status, 200);
    assert_eq!(other.call(with_token("unknown_kid")).answer.status, 200);
    assert_eq!(gateway.sent().len(), 3);
    // The old key is gone, and with it what the instance remembered.
    assert_eq!(one.call(with_token("es256")).answer.status, 401);
}

#[test]
fn old_keys_serve_on() {
    let gateway = Gateway::new();
    gateway.answer(URL, set("jwks"));
    let plugin = gateway.middleware::<JwtAuth>(json!({"jwksUrl": URL, "jwksTtl": "1m"})).unwrap();
    assert_eq!(plugin.call(with_token("es256")).answer.status, 200);
    for bad in [Answer::new(500), Answer::new(200).with_text("oops"), Answer::new(200).with_text("{\"keys\": []}")] {
        gateway.answer(URL, bad).advance(Duration::from_secs(61));
        assert_eq!(plugin.call(with_token("es256")).answer.status, 200);
    }
    gateway.fail(URL, http::Error::Timeout).advance(Duration::from_secs(61));
    for _ in 0..3 {
        assert_eq!(plugin.call(with_token("es256")).answer.status, 200);
    }
    assert_eq!((gateway.sent().len(), gateway.counter("failed_fetches")), (5, 4));
}

#[test]
fn says_when_there_are_no_keys() {
    let gateway = Gateway::new();
    gateway.fail(URL, http::Error::Timeout);
    let config = || json!({"jwksUrl": URL});
    let one = gateway.middleware::<JwtAuth>(config()).unwrap();
    let other = gateway.middleware::<JwtAuth>(config()).unwrap();
    for plugin in [&one, &other, &one] {
        let answer = plugin.call(with_token("es256")).answer;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    }
    assert_eq!(gateway.sent().len(), 1);
    assert_eq!(one.call(testing::get("/")).answer.status, 401);
    gateway.answer(URL, set("jwks")).advance(Duration::from_secs(30));
    assert_eq!(other.call(with_token("es256")).answer.status, 200);
}

#[test]
fn refuses_a_wrong_configuration() {
    let jwks = data()["jwks"].clone();
    assert_eq!(refused(json!({})), "");
    assert_eq!(refused(json!({"jwks": jwks, "jwksUrl": URL})), "");
    assert_eq!(refused(json!({"jwksUrl": "id.example.com"})), "jwksUrl");
    assert_eq!(refused(json!({"jwksUrl": URL, "jwksTtl": "10"})), "jwksTtl");
    assert_eq!(refused(json!({"jwksUrl": URL, "jwksPause": "0s"})), "jwksPause");
    assert_eq!(refused(json!({"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}})), "jwks");
    let small = json!({"kty": "RSA", "n": "v".repeat(171), "e": "AQAB"});
    assert_eq!(refused(json!({"jwks": {"keys": [small]}})), "jwks");
    let encryption = json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "use": "enc"});
    assert_eq!(refused(json!({"jwks": {"keys": [encryption]}})), "jwks");
    assert_eq!(refused(json!({"publicKey": "-----BEGIN PUBLIC KEY-----"})), "publicKey");
    assert_eq!(refused(json!({"jwks": jwks, "leeway": "1d"})), "leeway");
    assert_eq!(refused(json!({"jwks": jwks, "header": "x y"})), "header");
    assert_eq!(refused(json!({"jwks": jwks, "realm": "a\"b"})), "realm");
    assert_eq!(refused(json!({"jwks": jwks, "scopes": ["a b"]})), "scopes[0]");
    assert_eq!(refused(json!({"jwks": jwks, "claimHeaders": {"sub": "x:y"}})), "claimHeaders.sub");
    assert_eq!(refused(json!({"jwks": jwks, "claimHeaders": {"sub": "x", "email": "X"}})), "claimHeaders");
}
