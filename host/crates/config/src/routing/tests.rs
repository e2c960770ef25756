use super::*;
use crate::parse::{Format, parse};
use torana_base::Checked;

fn decoded(text: &str) -> Checked<RoutingConfig> {
    decode(&parse(text, Format::Yaml, "r.yml".into()).unwrap())
}

fn told(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}

fn json<T: Serialize>(items: &Items<T>) -> String {
    let shown: BTreeMap<_, _> = items.iter().map(|(n, i)| (n, &i.config)).collect();
    serde_json::to_string(&shown).unwrap()
}

#[test]
fn objects_have_the_form_of_the_api() {
    let c = decoded(
        "
x-common: &c {service: a, entryPoints: [web]}
http:
  Routers:
    r: {<<: *c, rule: 'PathPrefix(`/a`)'}
    s: {SERVICE: w, entryPoints: 'web, webs', rule: Host(`x`), priority: '12', observability: {accessLogs: false}, middleWares: [m]}
    n: {rule: Host(`n`), service: a, entryPoints: ~, tls: }
  middlewares:
    m: {addprefix: {Prefix: /lc}}
    rl: {rateLimit: {average: '5', period: 2}}
    rd: {redirectscheme: {scheme: https, permanent: 'true'}}
    ip: {ipAllowList: {sourceRange: 10.0.0.1, ipStrategy: {}}}
    h: {headers: {customRequestHeaders: {X-Foo: bar, x-FOO: 1, Y: ~}}}
  services:
    a: {loadbalancer: {servers: [{URL: 'http://a:1'}, {url: 'http://a:2', weight: 3, preservePath: true}], sticky: {cookie: {}}, healthCheck: {path: /h, status: '204'}, serversTransport: st}}
    w: {weighted: {services: [{name: a}, {name: b, weight: 2}], sticky: {cookie: {secure: true, sameSite: lax}}}}
    f: {loadBalancer: {servers: [], passHostHeader: 'F', strategy: leasttime, responseForwarding: {flushInterval: 1s}, sticky: {}}}
  serversTransports:
    st: {serverName: x, rootCAs: /ca.pem, disableHTTP2: true, forwardingTimeouts: {dialTimeout: 5}}
",
    );
    assert_eq!(told(&c.diagnostics), [""; 0]);
    let http = &c.value.http;
    assert_eq!(
        json(&http.routers),
        r#"{"n":{"service":"a","rule":"Host(`n`)"},"r":{"entryPoints":["web"],"service":"a","rule":"PathPrefix(`/a`)"},"s":{"entryPoints":["web","webs"],"middlewares":["m"],"service":"w","rule":"Host(`x`)","priority":12,"observability":{"accessLogs":false}}}"#
    );
    assert_eq!(
        json(&http.middlewares),
        r#"{"h":{"headers":{"customRequestHeaders":{"X-Foo":"bar","x-FOO":"1"}}},"ip":{"ipAllowList":{"sourceRange":["10.0.0.1"],"ipStrategy":{}}},"m":{"addPrefix":{"prefix":"/lc"}},"rd":{"redirectScheme":{"scheme":"https","permanent":true}},"rl":{"rateLimit":{"average":5,"period":"2s"}}}"#
    );
    assert_eq!(
        json(&http.services),
        r#"{"a":{"loadBalancer":{"sticky":{"cookie":{"path":"/"}},"servers":[{"url":"http://a:1"},{"url":"http://a:2","weight":3,"preservePath":true}],"strategy":"wrr","healthCheck":{"mode":"http","path":"/h","status":204,"interval":"30s","timeout":"5s","followRedirects":true},"passHostHeader":true,"responseForwarding":{"flushInterval":"100ms"},"serversTransport":"st"}},"f":{"loadBalancer":{"sticky":{},"strategy":"leasttime","passHostHeader":false,"responseForwarding":{"flushInterval":"1s"}}},"w":{"weighted":{"services":[{"name":"a","weight":1},{"name":"b","weight":2}],"sticky":{"cookie":{"secure":true,"sameSite":"lax","path":"/"}}}}}"#
    );
    assert_eq!(
        json(&http.servers_transports),
        r#"{"st":{"serverName":"x","rootCAs":["/ca.pem"],"forwardingTimeouts":{"dialTimeout":"5s","idleConnTimeout":"1m30s","pingTimeout":"15s"},"disableHTTP2":true}}"#
    );
    let all_well = |d: &[Diagnostic]| assert_eq!(told(d), [""; 0]);
    http.routers.values().for_each(|i| all_well(&i.diagnostics));
    http.services.values().for_each(|i| all_well(&i.diagnostics));
    http.middlewares.values().for_each(|i| all_well(&i.diagnostics));
    http.servers_transports.values().for_each(|i| all_well(&i.diagnostics));
}

#[test]
fn a_bad_object_is_disabled_alone() {
    let c = decoded(
        "
http:
  routers:
    good: {rule: Host(`a`), service: a}
    tls: {rule: Host(`b`), service: a, tls: {certResolver: le}}
    typo: {rule: Host(`c`), servise: a, priority: high, entryPoints: [web]}
    v2: {rule: Host(`c`), service: a, ruleSyntax: v2}
    v3: {rule: Host(`c`), service: a, ruleSyntax: v3}
    child: {rule: Host(`c`), service: a, parentRefs: [good]}
    text: hello
  services:
    m: {mirroring: {service: a}}
    none: {}
    two: {loadBalancer: {servers: []}, weighted: {services: []}}
    p: {loadBalancer: {passiveHealthCheck: {}, strategy: best}}
  middlewares:
    c: {compress: {}}
    two: {addPrefix: {prefix: /x}, stripPrefix: {prefixes: [/y]}}
    none: {addPrefix: }
    odd: {addPrefx: {prefix: /x}}
    old: {ipWhiteList: {sourceRange: [10.0.0.1]}}
    r: {rateLimit: {average: 1, redis: {endpoints: [a]}}}
    o: {stripPrefix: {prefixes: [/a], forceSlash: true}}
  serversTransports:
    s: {spiffe: {}, minVersion: VersionTLS12}
",
    );
    assert_eq!(told(&c.diagnostics), [""; 0]);
    let h = &c.value.http;
    assert_eq!((h.routers["typo"].config.entry_points.len(), h.routers["typo"].config.rule.as_str()), (1, "Host(`c`)"));
    assert!(h.routers["tls"].config.tls.is_some() && h.routers["child"].config.parent_refs == ["good"]);
    assert_eq!((h.services["m"].config.kind(), h.services["m"].config.others.as_slice()), ("mirroring".to_owned(), &["mirroring"][..]));
    assert_eq!(h.middlewares["c"].config.kind, "compress");
    for (found, expected) in [
        (&h.routers["good"].diagnostics, &[][..]),
        (&h.routers["v3"].diagnostics, &[]),
        (
            &h.routers["tls"].diagnostics,
            &[
                "error: `tls` is not built yet (TLS-03)\n  at  http.routers.tls.tls  (r.yml:5:40)\n  hint: remove it, and let something in front of Torana end TLS",
            ],
        ),
        (
            &h.routers["typo"].diagnostics,
            &[
                "error: unknown option `servise`\n  at  http.routers.typo.servise  (r.yml:6:29)\n  hint: did you mean `service`?",
                "error: a whole number belongs here, not `high`\n  at  http.routers.typo.priority  (r.yml:6:51)",
            ],
        ),
        (
            &h.routers["v2"].diagnostics,
            &[
                "error: `v2` as `ruleSyntax` is not built yet (RUL-07)\n  at  http.routers.v2.ruleSyntax  (r.yml:7:39)\n  hint: write the rules in v3 syntax",
            ],
        ),
        (
            &h.routers["child"].diagnostics,
            &[
                "error: `parentRefs` is not built yet (MLR-01)\n  at  http.routers.child.parentRefs  (r.yml:9:42)\n  hint: put the rule and the middlewares of the parent into this router",
            ],
        ),
        (
            &h.routers["text"].diagnostics,
            &["error: a block of options belongs here, not a single value\n  at  http.routers.text  (r.yml:10:11)"],
        ),
        (
            &h.services["m"].diagnostics,
            &[
                "error: `mirroring` is not built yet (LB-12)\n  at  http.services.m.mirroring  (r.yml:12:9)\n  hint: use `loadBalancer` or `weighted` without it",
            ],
        ),
        (
            &h.services["none"].diagnostics,
            &[
                "error: the service has no kind\n  at  http.services.none  (r.yml:13:5)\n  hint: write `loadBalancer` with its servers, or `weighted` with its services",
            ],
        ),
        (
            &h.services["two"].diagnostics,
            &[
                "error: the service has more than one kind: loadBalancer, weighted\n  at  http.services.two  (r.yml:14:5)\n  hint: make a service of its own for each",
            ],
        ),
        (
            &h.services["p"].diagnostics,
            &[
                "error: `passiveHealthCheck` is not built yet (LB-08)\n  at  http.services.p.loadBalancer.passiveHealthCheck  (r.yml:15:24)\n  hint: use `loadBalancer` or `weighted` without it",
                "error: no load-balancer strategy is called `best`; there are wrr, p2c, hrw and leasttime\n  at  http.services.p.loadBalancer.strategy  (r.yml:15:58)",
            ],
        ),
        (
            &h.middlewares["c"].diagnostics,
            &[
                "error: `compress` is not built yet (MW-07)\n  at  http.middlewares.c.compress  (r.yml:17:9)\n  hint: remove it; other middlewares are not affected, routers that use this one are disabled",
            ],
        ),
        (
            &h.middlewares["two"].diagnostics,
            &[
                "error: the middleware has more than one kind: addPrefix, stripPrefix\n  at  http.middlewares.two  (r.yml:18:5)\n  hint: make a middleware of its own for each, and a `chain` of them",
            ],
        ),
        (
            &h.middlewares["none"].diagnostics,
            &[
                "error: the middleware has no kind\n  at  http.middlewares.none  (r.yml:19:5)\n  hint: write one, such as `addPrefix`, with its options",
            ],
        ),
        (
            &h.middlewares["odd"].diagnostics,
            &["error: unknown option `addPrefx`\n  at  http.middlewares.odd.addPrefx  (r.yml:20:11)\n  hint: did you mean `addPrefix`?"],
        ),
        (
            &h.middlewares["old"].diagnostics,
            &[
                "warning: `ipWhiteList` is an old name\n  at  http.middlewares.old  (r.yml:21:5)\n  hint: write `ipAllowList`; its options are the same",
            ],
        ),
        (
            &h.middlewares["r"].diagnostics,
            &[
                "error: `redis` is not built yet (MW-20)\n  at  http.middlewares.r.rateLimit.redis  (r.yml:22:33)\n  hint: remove it; other middlewares are not affected, routers that use this one are disabled",
            ],
        ),
        (
            &h.middlewares["o"].diagnostics,
            &[
                "warning: `forceSlash` has no effect\n  at  http.middlewares.o.stripPrefix.forceSlash  (r.yml:23:39)\n  hint: the option is accepted and ignored; remove it",
            ],
        ),
        (
            &h.servers_transports["s"].diagnostics,
            &["error: `spiffe` is not built yet (STR-03)\n  at  http.serversTransports.s.spiffe  (r.yml:25:9)\n  hint: remove it"],
        ),
    ] {
        assert_eq!(told(found), expected);
    }
}

#[test]
fn references_keep_their_places() {
    let c = decoded(
        "http:\n  routers:\n    r:\n      rule: Host(`a`)\n      middlewares:\n        - a\n        - b\n      service: s\n      entryPoints: web,webs\n  services:\n    w: {weighted: {services: [{name: a}, {name: b}]}}\n    l: {loadBalancer: {serversTransport: t, servers: [{url: x}]}}\n  middlewares:\n    c: {chain: {middlewares: [x, y]}}\n",
    );
    let h = &c.value.http;
    let r = &h.routers["r"];
    for (path, place) in [
        ("rule", "4:13"),
        ("middlewares[1]", "7:11"),
        ("service", "8:16"),
        ("entryPoints[1]", "9:20"),
        ("middlewares[7]", "3:5"),
        ("odd[", "3:5"),
        ("", "3:5"),
    ] {
        assert_eq!(r.place_of(path).to_string(), format!("r.yml:{place}"), "{path}");
    }
    assert_eq!(h.services["w"].place_of("weighted.services[1].name").to_string(), "r.yml:11:49");
    assert_eq!(h.services["l"].place_of("loadBalancer.serversTransport").to_string(), "r.yml:12:42");
    assert_eq!(h.services["l"].place_of("loadBalancer.servers[0].url").to_string(), "r.yml:12:61");
    assert_eq!(h.middlewares["c"].place_of("chain.middlewares[1]").to_string(), "r.yml:14:34");
}

#[test]
fn documents_and_trees_that_are_not_built() {
    for (text, told_about) in [
        ("", &[][..]),
        ("http:\ntcp: {}\nx-a: 1", &[]),
        ("htpp: {}", &["warning: unknown option `htpp` is ignored\n  at  htpp  (r.yml:1:1)\n  hint: did you mean `http`?"]),
        (
            "[a]",
            &["error: a dynamic configuration is a block of options\n  at  r.yml:1:1\n  hint: write `http:` and what belongs below it"],
        ),
        ("http: [a]", &["error: a block of options belongs here\n  at  http  (r.yml:1:7)"]),
        (
            "http: {router: {}, routers: 5}",
            &[
                "error: unknown option `router`\n  at  http.router  (r.yml:1:8)\n  hint: did you mean `routers`?",
                "error: a block of options belongs here\n  at  http.routers  (r.yml:1:29)",
            ],
        ),
        (
            "http: {routers: {a: {rule: x}}, Routers: {a: {rule: y}}}",
            &["error: the name is used twice\n  at  http.routers.a  (r.yml:1:43)\n  hint: the first is at r.yml:1:18"],
        ),
    ] {
        assert_eq!(told(&decoded(text).diagnostics), told_about, "{text}");
    }
    let c =
        decoded("tcp: {routers: {db: {rule: x}}}\ntls: {certificates: [{certFile: a}], options: {default: {}}}\nudp: {services: {u: {}}}");
    assert_eq!(told(&c.diagnostics), [""; 0]);
    let keys: Vec<_> = c.value.rejected.iter().map(|r| (r.key.as_str(), r.diagnostic.to_string())).collect();
    assert_eq!(
        keys.iter().map(|(k, _)| *k).collect::<Vec<_>>(),
        ["tcp.routers.db", "tls.certificates[0]", "tls.options.default", "udp.services.u"]
    );
    assert_eq!(
        keys[1].1,
        "error: `tls.certificates` is not built yet (TLS-01)\n  at  tls.certificates[0]  (r.yml:2:22)\n  hint: remove it, and let something in front of Torana end TLS"
    );
}

#[test]
fn the_first_of_two_wins() {
    let doc = |name: &str, text: &str| decode(&parse(text, Format::Yaml, name.into()).unwrap()).value;
    let merged = merge_first_wins(vec![
        doc("a.yml", "http: {routers: {r: {rule: one}}}\nudp: {routers: {u: {}}}"),
        doc("b.yml", "http: {routers: {r: {rule: two}, q: {rule: three}}}"),
    ]);
    assert_eq!(
        (merged.value.http.routers["r"].config.rule.as_str(), merged.value.http.routers.len(), merged.value.rejected.len()),
        ("one", 2, 1)
    );
    assert_eq!(
        told(&merged.diagnostics),
        [
            "warning: the name is already taken, this one is left out\n  at  http.routers.r  (b.yml:1:18)\n  hint: the one in use is at a.yml:1:18"
        ]
    );
}

#[test]
fn digests_follow_the_content() {
    let digest = |text: &str| decoded(text).value.http.routers["r"].digest;
    assert_eq!(digest("http: {routers: {r: {rule: a}}}"), digest("# moved\nhttp:\n  routers:\n    q: {}\n    r:\n      rule: a"));
    assert_ne!(digest("http: {routers: {r: {rule: a}}}"), digest("http: {routers: {r: {rule: b}}}"));
}

/// A tree of the shapes and words that configurations are made of.
fn tree() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("~".to_owned()),
        Just("-7".to_owned()),
        Just("10s".to_owned()),
        "[a-z,]{0,8}".prop_map(|t| format!("'{t}'")),
    ];
    let key = prop::sample::select(vec![
        "http",
        "routers",
        "services",
        "middlewares",
        "serversTransports",
        "loadBalancer",
        "weighted",
        "servers",
        "url",
        "sticky",
        "cookie",
        "headers",
        "rule",
        "customRequestHeaders",
        "addPrefix",
        "prefix",
        "healthCheck",
        "interval",
        "tls",
        "x",
        "strategy",
        "tcp",
        "certificates",
        "rateLimit",
        "plugin",
    ]);
    leaf.prop_recursive(7, 60, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::btree_map(key.clone(), inner, 0..5)
                .prop_map(|entries| format!("{{{}}}", entries.iter().map(|(k, v)| format!("{k}: {v}")).collect::<Vec<_>>().join(", "))),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn no_tree_panics(routers in tree(), services in tree(), middlewares in tree(), root in tree()) {
        for text in [&format!("http: {{routers: {{r: {routers}}}, services: {{s: {services}}}, middlewares: {{m: {middlewares}}}}}"), &format!("http: {root}"), &root] {
            let c = decoded(text);
            let _ = (json(&c.value.http.routers), json(&c.value.http.services), json(&c.value.http.middlewares), json(&c.value.http.servers_transports));
        }
    }
}
