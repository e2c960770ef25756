use super::read::read;
use super::*;

fn told(text: &str, kind: PluginKind) -> String {
    match read(text, "t.yml", kind) {
        Ok(t) => format!("good: {t:?}"),
        Err(wrong) => wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn short_and_long_forms_are_the_same() {
    let short = "exchanges: [{request: GET http://a.test/x?y, backend: 204, expect: {backend: /x?y, response: 204}}]";
    let long = "
exchanges:
  - request: {method: GET, url: /x?y, headers: {host: a.test}}
    backend: {status: 204}
    expect:
      backend: {url: /x?y}
      response: {status: 204}
";
    let of = |text| {
        let t = read(text, "dir/t.yml", PluginKind::Middleware).unwrap();
        assert_eq!(t.name, "t");
        let s = &t.steps[0];
        let Act::Request(asked, reply) = &s.act else { panic!("{s:?}") };
        let facts = |h: &Head| h.facts.iter().map(|(n, w)| format!("{n} {}", w.rule)).collect::<Vec<_>>();
        let (reached, _, backend) = s.expect.backend.clone().unwrap();
        let expected = (reached, facts(&backend.unwrap()), facts(s.expect.response.as_ref().unwrap()));
        (s.name.clone(), asked.host.clone(), asked.path.clone(), asked.query.clone(), reply.status, expected)
    };
    assert_eq!(of(short), of(long));
    assert_eq!(of(short).0, "GET /x?y");
}

#[test]
fn mistakes_have_places() {
    use PluginKind::{Balancer, DnsChallenge, Matcher, Middleware, Provider};
    for (text, kind, expected) in [
        ("exchanges: []", Middleware, "there are no exchanges"),
        ("polls: [{}]", Middleware, "unknown option `polls`"),
        ("exchangse: [{}]", Middleware, "exchangse  (t.yml:1:1)\n  hint: did you mean `exchanges`?"),
        ("exchanges:\n- requets: GET /", Middleware, "exchanges[0].requets  (t.yml:2:3)\n  hint: did you mean `request`?"),
        ("exchanges:\n- request: GET a b", Middleware, "`a b` is neither a path nor a URL\n  at  exchanges[0].request  (t.yml:2:12)"),
        ("exchanges: [{request: {url: /, path: /}}]", Middleware, "write one of `url` and `path`"),
        ("exchanges: [{request: {body: a, json: b}}]", Middleware, "more than one body"),
        ("exchanges: [{request: {headers: {a b: c}}}]", Middleware, "`a b` is not a header"),
        ("exchanges: [{backend: 99}]", Middleware, "`99` is not a status"),
        ("exchanges: [{expect: {respons: 200}}]", Middleware, "did you mean `response`?"),
        ("exchanges: [{expect: {response: {body: {matches: '('}}}}]", Middleware, "not a regular expression"),
        ("exchanges: [{expect: {response: {body: {contain: x}}}}]", Middleware, "did you mean `contains`?"),
        ("exchanges: [{expect: {match: true}}]", Balancer, "unknown option `match`"),
        ("exchanges: [{outgoing: []}]", Matcher, "unknown option `outgoing`"),
        ("exchanges: [{advance: soon}]", Middleware, "`soon` is not a duration"),
        ("exchanges: [{advance: -1s}]", Middleware, "the clock goes forward only"),
        ("clock: noon\nexchanges: [{}]", Middleware, "`noon` is not a point in time\n  at  clock  (t.yml:1:8)"),
        ("budget: {calls: 10}\nexchanges: [{}]", Middleware, "the budget has no limit"),
        ("budget: {calls: 0, p50: 1us}\nexchanges: [{}]", Middleware, "0 calls cannot be measured"),
        ("polls: [{outgoing: [{request: GET /a}]}]", Provider, "`/a` is not a URL"),
        ("polls: [{outgoing: [{request: 'G@T https://a/b'}]}]", Provider, "`G@T` is not a method"),
        ("polls: [{outgoing: [{response: 200}]}]", Provider, "which request this answers"),
        ("records: [{}]", DnsChallenge, "write one of `present` and `cleanUp`"),
        ("servers: [{weight: 1}]\nexchanges: [{}]", Balancer, "the server has no `url`"),
        ("a: [", Middleware, "t.yml"),
    ] {
        let told = told(text, kind);
        assert!(told.starts_with("error") && told.contains(expected), "{text}: {told}");
    }
}

#[test]
fn what_is_granted() {
    let read = |permissions: &str| {
        let text = format!("{permissions}\nexchanges: [{{outgoing: [{{request: GET https://a.test:81/x}}]}}]");
        let manifest = r#"{"name": "a", "version": "0.1.0", "kind": "middleware", "capabilities": {"kv": ["n"]}}"#;
        let manifest = serde_json::from_str(manifest).unwrap();
        let t = read(&text, "t.yml", PluginKind::Middleware).unwrap();
        t.declaration(PluginKind::Middleware, "a.wasm", Some(&manifest))
    };
    let by_itself = read("").unwrap().config;
    assert_eq!(
        (by_itself.path.as_str(), by_itself.permissions.http, by_itself.permissions.kv),
        ("a.wasm", vec!["a.test:81".to_owned()], vec!["n".to_owned()])
    );
    let written = read("permissions: {kv: [m]}\nlimits: {deadline: 5ms}").unwrap().config;
    assert_eq!((written.permissions.http, written.permissions.kv), (vec![], vec!["m".to_owned()]));
    assert_eq!(written.limits.deadline.to_string(), "5ms");
    let wrong = read("permissions:\n  kvs: [m]").unwrap_err();
    assert!(wrong[0].to_string().contains("permissions.kvs  (t.yml:2:3)\n  hint: did you mean `kv`?"), "{wrong:?}");
}

/// Files are written by people: whatever stands in them is read or refused.
#[test]
fn no_text_panics() {
    use proptest::prelude::*;
    const GOOD: &str = "{name: a, clock: 1, args: [a], servers: [{url: a, weight: 1, up: no}], kv: {a: {b: [c]}}, permissions: {kv: [a]}, \
        outgoing: [{request: {url: 'http://a', body: {json: {}}}, error: timeout}], budget: {calls: 5, p50: 1us}, \
        exchanges: [{advance: 1s, request: {url: /a, chunks: [a], headers: {a: [b]}}, backend: 200, present: {domain: a}, \
        expect: {backend: {url: /a}, response: {body: {matches: a}}, log: [], metrics: {a: 1}, kv: {a: {b: null}}, document: {a: b}, again: 1s}}]}";
    let kinds = proptest::sample::select(PluginKind::ALL.to_vec());
    let words = proptest::sample::select(vec![
        "",
        "null",
        "[]",
        "{}",
        "-1",
        "'",
        "é",
        ": ",
        ",",
        "99999999999999999999",
        "exchanges",
        "polls",
        "records",
    ]);
    proptest!(|(kind in kinds, from in 0..GOOD.len(), length in 0..40usize, word in words)| {
        let end = (from + length).min(GOOD.len());
        let text = format!("{}{word}{}", &GOOD[..from], &GOOD[end..]);
        if let Ok(t) = read(&text, "t.yml", kind) {
            let _ = t.declaration(kind, "a.wasm", None);
        }
    });
}
