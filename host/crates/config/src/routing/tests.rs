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
    p: {PLUGIN: {Auth: {Realm: x, realm: '1', deep: [{n: ~}, 1, '2']}}}
    pt: {plugin: {auth: true, other: false}}
    pn: {plugin: {auth: ~}}
  services:
    a: {loadbalancer: {servers: [{URL: 'http://a:1'}, {url: 'http://a:2', weight: 3, preservePath: true}], sticky: {cookie: {}}, healthCheck: {path: /h, status: '204'}, serversTransport: st}}
    w: {weighted: {services: [{name: a}, {name: b, weight: 2}], sticky: {cookie: {secure: true, sameSite: lax}}}}
    p: {Plugin: {WhoAmI: {Name: b, name: ~}}}
    q: {loadBalancer: {plugin: {canary: }, strategy: wrr, servers: [{url: 'http://a:1'}]}}
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
        r#"{"h":{"headers":{"customRequestHeaders":{"X-Foo":"bar","x-FOO":"1"}}},"ip":{"ipAllowList":{"sourceRange":["10.0.0.1"],"ipStrategy":{}}},"m":{"addPrefix":{"prefix":"/lc"}},"p":{"plugin":{"Auth":{"Realm":"x","realm":"1","deep":[{"n":null},1,"2"]}}},"pn":{"plugin":{"auth":{}}},"pt":{"plugin":{"auth":{}}},"rd":{"redirectScheme":{"scheme":"https","permanent":true}},"rl":{"rateLimit":{"average":5,"period":"2s"}}}"#
    );
    assert_eq!(
        json(&http.services),
        r#"{"a":{"loadBalancer":{"sticky":{"cookie":{"path":"/"}},"servers":[{"url":"http://a:1"},{"url":"http://a:2","weight":3,"preservePath":true}],"strategy":"wrr","healthCheck":{"mode":"http","path":"/h","status":204,"interval":"30s","timeout":"5s","followRedirects":true},"passHostHeader":true,"responseForwarding":{"flushInterval":"100ms"},"serversTransport":"st"}},"f":{"loadBalancer":{"sticky":{},"strategy":"leasttime","passHostHeader":false,"responseForwarding":{"flushInterval":"1s"}}},"p":{"plugin":{"WhoAmI":{"Name":"b","name":null}}},"q":{"loadBalancer":{"servers":[{"url":"http://a:1"}],"strategy":"wrr","plugin":{"canary":{}},"passHostHeader":true,"responseForwarding":{"flushInterval":"100ms"}}},"w":{"weighted":{"services":[{"name":"a","weight":1},{"name":"b","weight":2}],"sticky":{"cookie":{"secure":true,"sameSite":"lax","path":"/"}}}}}"#
    );
    assert_eq!(
        json(&http.servers_transports),
        r#"{"st":{"serverName":"x","rootCAs":["/ca.pem"],"forwardingTimeouts":{"dialTimeout":"5s","idleConnTimeout":"1m30s","pingTimeout":"15s"},"disableHTTP2":true}}"#
    );
    assert_eq!(http.services["p"].config.kind(), "plugin");
    assert_eq!(http.services["p"].config.plugins().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["WhoAmI"]);
    assert_eq!(http.services["q"].config.plugins().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["canary"]);
    assert_eq!(http.middlewares["p"].config.kind, "plugin");
    let plugin = |m: &str| http.middlewares[m].config.plugin().map(|(name, config)| format!("{name} {}", config.to_json()));
    assert_eq!([plugin("pt"), plugin("pn"), plugin("m")], [Some("auth {}".to_owned()), Some("auth {}".to_owned()), None]);
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
    m: {mirroring: {service: a, mirrors: [{name: b, persent: 1}]}}
    none: {}
    two: {loadBalancer: {servers: []}, weighted: {services: []}}
    p: {loadBalancer: {passiveHealthCheck: {}, strategy: best}}
    pl: {plugin: {a: {}}, loadBalancer: {strategy: p2c, plugin: {b: {}}}}
    pm: {plugin: {a: {}, b: {}}}
    pz: {plugin: true}
    ps: {plugin: {a: [1]}}
  middlewares:
    c: {compress: {}}
    two: {addPrefix: {prefix: /x}, stripPrefix: {prefixes: [/y]}}
    none: {addPrefix: }
    odd: {addPrefx: {prefix: /x}}
    old: {ipWhiteList: {sourceRange: [10.0.0.1]}}
    r: {rateLimit: {average: 1, redis: {endpoint: [a]}}}
    o: {stripPrefix: {prefixes: [/a], forceSlash: true}}
    pm: {plugin: {a: {}, b: {}}}
    pz: {plugin: true}
    pt: {plugin: auth}
    ps: {plugin: {a: x}}
  serversTransports:
    s: {serverName: [a], minVersion: VersionTLS12}
",
    );
    assert_eq!(told(&c.diagnostics), [""; 0]);
    let h = &c.value.http;
    assert_eq!((h.routers["typo"].config.entry_points.len(), h.routers["typo"].config.rule.as_str()), (1, "Host(`c`)"));
    assert!(h.routers["tls"].config.tls.is_some() && h.routers["child"].config.parent_refs == ["good"]);
    assert_eq!(h.services["m"].config.kind(), "mirroring");
    assert_eq!(h.middlewares["c"].config.kind, "compress");
    for (found, expected) in [
        (&h.routers["good"].diagnostics, &[][..]),
        (&h.routers["v2"].diagnostics, &[]),
        (&h.routers["v3"].diagnostics, &[]),
        (&h.routers["child"].diagnostics, &[]),
        (&h.routers["tls"].diagnostics, &[]),
        (
            &h.routers["typo"].diagnostics,
            &[
                "error: unknown option `servise`\n  at  http.routers.typo.servise  (r.yml:6:29)\n  hint: did you mean `service`?",
                "error: a whole number belongs here, not `high`\n  at  http.routers.typo.priority  (r.yml:6:51)",
            ],
        ),
        (
            &h.routers["text"].diagnostics,
            &["error: a block of options belongs here, not a single value\n  at  http.routers.text  (r.yml:10:11)"],
        ),
        (
            &h.services["m"].diagnostics,
            &[
                "error: unknown option `persent`\n  at  http.services.m.mirroring.mirrors[0].persent  (r.yml:12:53)\n  hint: did you mean `percent`?",
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
                "error: no load-balancer strategy is called `best`; there are wrr, p2c, hrw and leasttime\n  at  http.services.p.loadBalancer.strategy  (r.yml:15:58)",
            ],
        ),
        (
            &h.services["pl"].diagnostics,
            &[
                "error: the service has more than one kind: loadBalancer, plugin\n  at  http.services.pl  (r.yml:16:5)\n  hint: make a service of its own for each",
                "error: the plugin chooses already, in place of a strategy\n  at  http.services.pl.loadBalancer.strategy  (r.yml:16:52)\n  hint: remove `strategy`, or `plugin`",
            ],
        ),
        (
            &h.services["pm"].diagnostics,
            &[
                "error: more than one plugin is named: a, b\n  at  http.services.pm.plugin  (r.yml:17:18)\n  hint: write exactly one, as in `plugin: {auth: {realm: x}}`",
            ],
        ),
        (
            &h.services["pz"].diagnostics,
            &[
                "error: no plugin is named\n  at  http.services.pz.plugin  (r.yml:18:18)\n  hint: write exactly one, as in `plugin: {auth: {realm: x}}`",
            ],
        ),
        (
            &h.services["ps"].diagnostics,
            &["error: a block of options belongs here, not a list\n  at  http.services.ps.plugin.a  (r.yml:19:22)"],
        ),
        (
            &h.middlewares["pm"].diagnostics,
            &[
                "error: more than one plugin is named: a, b\n  at  http.middlewares.pm.plugin  (r.yml:28:18)\n  hint: write exactly one, as in `plugin: {auth: {realm: x}}`",
            ],
        ),
        (
            &h.middlewares["pz"].diagnostics,
            &[
                "error: no plugin is named\n  at  http.middlewares.pz.plugin  (r.yml:29:18)\n  hint: write exactly one, as in `plugin: {auth: {realm: x}}`",
            ],
        ),
        (
            &h.middlewares["pt"].diagnostics,
            &["error: a block of options belongs here, not a single value\n  at  http.middlewares.pt.plugin  (r.yml:30:18)"],
        ),
        (
            &h.middlewares["ps"].diagnostics,
            &["error: a block of options belongs here, not a single value\n  at  http.middlewares.ps.plugin.a  (r.yml:31:22)"],
        ),
        (&h.middlewares["c"].diagnostics, &[]),
        (
            &h.middlewares["two"].diagnostics,
            &[
                "error: the middleware has more than one kind: addPrefix, stripPrefix\n  at  http.middlewares.two  (r.yml:22:5)\n  hint: make a middleware of its own for each, and a `chain` of them",
            ],
        ),
        (
            &h.middlewares["none"].diagnostics,
            &[
                "error: the middleware has no kind\n  at  http.middlewares.none  (r.yml:23:5)\n  hint: write one, such as `addPrefix`, with its options",
            ],
        ),
        (
            &h.middlewares["odd"].diagnostics,
            &["error: unknown option `addPrefx`\n  at  http.middlewares.odd.addPrefx  (r.yml:24:11)\n  hint: did you mean `addPrefix`?"],
        ),
        (
            &h.middlewares["old"].diagnostics,
            &[
                "warning: `ipWhiteList` is an old name\n  at  http.middlewares.old  (r.yml:25:5)\n  hint: write `ipAllowList`; its options are the same",
            ],
        ),
        (
            &h.middlewares["r"].diagnostics,
            &[
                "error: unknown option `endpoint`\n  at  http.middlewares.r.rateLimit.redis.endpoint  (r.yml:26:41)\n  hint: did you mean `endpoints`?",
            ],
        ),
        (
            &h.middlewares["o"].diagnostics,
            &[
                "warning: `forceSlash` has no effect\n  at  http.middlewares.o.stripPrefix.forceSlash  (r.yml:27:39)\n  hint: the option is accepted and ignored; remove it",
            ],
        ),
        (
            &h.servers_transports["s"].diagnostics,
            &["error: a text belongs here, not a list\n  at  http.serversTransports.s.serverName  (r.yml:33:21)"],
        ),
    ] {
        assert_eq!(told(found), expected);
    }
}

#[test]
fn plugins_are_read() {
    let c = decoded(
        "
plugins:
  auth:
    Path: /etc/torana/plugins/auth.wasm
    config: {Realm: x, deep: [1, '2', ~]}
    failure: OPEN
    permissions:
      http: ['api.example.com', '*.internal:8443']
      kv: sessions, jwks
      env: [REGION]
      secrets: {api-key: {env: API_KEY}, File: {file: /run/k}, text: {value: hush}}
    limits: {deadline: 10ms, timeout: 2, start: 1s, memory: 1GiB, body: 512kib, headers: 4096, instances: 2}
    rollout: {steps: 10, interval: 1m, minimumCalls: 0, tolerance: 0.5}
  small: {path: s.wasm, rollout: true, config: }
  off: {path: s.wasm, rollout: false, config: false}
",
    );
    assert_eq!(told(&c.diagnostics), [""; 0]);
    assert!(c.value.plugins.values().all(|i| i.diagnostics.is_empty()), "{:?}", c.value.plugins);
    assert_eq!(
        json(&c.value.plugins),
        r#"{"auth":{"path":"/etc/torana/plugins/auth.wasm","config":{"Realm":"x","deep":[1,"2",null]},"failure":"open","permissions":{"http":["api.example.com","*.internal:8443"],"kv":["sessions","jwks"],"env":["REGION"],"secrets":{"File":{"file":"/run/k"},"api-key":{"env":"API_KEY"},"text":{"value":"xxxx"}}},"limits":{"deadline":"10ms","timeout":"2s","start":"1s","memory":"1GiB","body":"512KiB","headers":"4KiB","instances":2},"rollout":{"steps":[10],"interval":"1m0s","minimumCalls":0,"tolerance":0.5}},"off":{"path":"s.wasm","failure":"closed","permissions":{},"limits":{"deadline":"50ms","timeout":"5s","start":"2s","memory":"64MiB","body":"1MiB","headers":"64KiB","instances":64}},"small":{"path":"s.wasm","failure":"closed","permissions":{},"limits":{"deadline":"50ms","timeout":"5s","start":"2s","memory":"64MiB","body":"1MiB","headers":"64KiB","instances":64},"rollout":{"steps":[5,25,50],"interval":"30s","minimumCalls":20,"tolerance":1.0}}}"#
    );
    let auth = &c.value.plugins["auth"];
    assert!(!format!("{auth:?}").contains("hush"));
    for (path, place) in [
        ("", "3:3"),
        ("path", "4:11"),
        ("config", "5:13"),
        ("permissions.http[1]", "8:33"),
        ("permissions.kv[1]", "9:11"),
        ("permissions.env[0]", "10:13"),
        ("permissions.secrets", "11:16"),
        ("limits.memory", "12:61"),
        ("limits.body", "3:3"),
    ] {
        assert_eq!(auth.place_of(path).to_string(), format!("r.yml:{place}"), "{path}");
    }
}

#[test]
fn mistakes_of_plugins() {
    let time = "write a time such as `50ms`, or leave the option out for its default";
    let size = "write a size such as `1MiB`, or leave the option out for its default";
    let steps = "write rising percentages from 1 to 99, such as `[5, 25, 50]`; 100 follows by itself";
    // text of the plugin, message, option, column, hint
    for (text, message, option, column, hint) in [
        ("{}", "the plugin has no path", ".path", 11, "write `path`, the file of the component, such as `plugins/auth.wasm`"),
        ("{path: ''}", "the plugin has no path", ".path", 21, "write `path`, the file of the component, such as `plugins/auth.wasm`"),
        ("{path: {}}", "a text belongs here, not a block of options", ".path", 21, ""),
        ("{path: x, pth: y}", "unknown option `pth`", ".pth", 24, "did you mean `path`?"),
        ("[x]", "a block of options belongs here, not a list", "", 14, ""),
        ("{path: x, config: [1]}", "a block of options belongs here, not a list", ".config", 32, ""),
        ("{path: x, failure: opn}", "`opn` is not known here", ".failure", 33, "did you mean `open`? known here: closed, open"),
        (
            "{path: x, permissions: {http: [a, 'https://b']}}",
            "`https://b` is no host",
            ".permissions.http[1]",
            48,
            "write `host`, `host:port` or `*.domain`, without scheme and path",
        ),
        (
            "{path: x, permissions: {http: 'a, *'}}",
            "`*` is no host",
            ".permissions.http[1]",
            44,
            "write `host`, `host:port` or `*.domain`, without scheme and path",
        ),
        ("{path: x, permissions: {kv: ['']}}", "the namespace has no name", ".permissions.kv[0]", 43, "write a name, such as `sessions`"),
        (
            "{path: x, permissions: {env: [A=1]}}",
            "`A=1` is no name of an environment variable",
            ".permissions.env[0]",
            44,
            "write the name alone, such as `REGION`",
        ),
        (
            "{path: x, permissions: {secrets: {k: {}}}}",
            "the secret has no source",
            ".permissions.secrets.k",
            51,
            "write one of `env`, `file` and `value`",
        ),
        (
            "{path: x, permissions: {secrets: {k: {env: ''}}}}",
            "the secret has no source",
            ".permissions.secrets.k",
            51,
            "write one of `env`, `file` and `value`",
        ),
        (
            "{path: x, permissions: {secrets: {k: {env: A, file: b}}}}",
            "the secret has more than one source",
            ".permissions.secrets.k",
            51,
            "write only one of `env`, `file` and `value`",
        ),
        (
            "{path: x, permissions: {secrets: {k: {env: A, evn: B}}}}",
            "unknown option `evn`",
            ".permissions.secrets.k.evn",
            60,
            "did you mean `env`?",
        ),
        (
            "{path: x, permissions: {secrets: {k: hush}}}",
            "a block of options belongs here, not a single value",
            ".permissions.secrets.k",
            51,
            "",
        ),
        ("{path: x, limits: {deadline: 0}}", "`0s` is not above 0", ".limits.deadline", 43, time),
        ("{path: x, limits: {timeout: -1s}}", "`-1s` is not above 0", ".limits.timeout", 42, time),
        ("{path: x, limits: {start: 0s}}", "`0s` is not above 0", ".limits.start", 40, time),
        ("{path: x, limits: {memory: 0}}", "`0` is not above 0", ".limits.memory", 41, size),
        ("{path: x, limits: {body: 0MiB}}", "`0` is not above 0", ".limits.body", 39, size),
        ("{path: x, limits: {headers: 0}}", "`0` is not above 0", ".limits.headers", 42, size),
        ("{path: x, limits: {memory: -1}}", "`-1` is not a size", ".limits.memory", 41, "write `64MiB`, `512KiB`, or whole bytes"),
        ("{path: x, limits: {memory: 5GiB}}", "`5GiB` is more than an instance can have", ".limits.memory", 41, "write `1GiB` or less"),
        (
            "{path: x, limits: {instances: 0}}",
            "`0` is not above 0",
            ".limits.instances",
            44,
            "write 1 or more, or leave the option out for its default",
        ),
        ("{path: x, rollout: {steps: []}}", "there is no step", ".rollout.steps", 41, "write at least one, or leave `rollout` out"),
        ("{path: x, rollout: {steps: [5, 100]}}", "`100` is no percentage from 1 to 99", ".rollout.steps[1]", 45, steps),
        ("{path: x, rollout: {steps: [0, 5]}}", "`0` is no percentage from 1 to 99", ".rollout.steps[0]", 42, steps),
        ("{path: x, rollout: {steps: [5, 5]}}", "`5` is not above the step before", ".rollout.steps[1]", 45, steps),
        ("{path: x, rollout: {interval: 0}}", "`0s` is not above 0", ".rollout.interval", 44, time),
        (
            "{path: x, rollout: {tolerance: 101}}",
            "`101` is no number of percentage points",
            ".rollout.tolerance",
            45,
            "write a number from 0 to 100",
        ),
        (
            "{path: x, rollout: {tolerance: NaN}}",
            "`NaN` is no number of percentage points",
            ".rollout.tolerance",
            45,
            "write a number from 0 to 100",
        ),
    ] {
        let c = decoded(&format!("plugins: {{a: {text}}}"));
        let hint = if hint.is_empty() { String::new() } else { format!("\n  hint: {hint}") };
        let expected = format!("error: {message}\n  at  plugins.a{option}  (r.yml:1:{column}){hint}");
        assert_eq!((told(&c.value.plugins["a"].diagnostics), told(&c.diagnostics)), (vec![expected], vec![]), "{text}");
    }
    let c = decoded("plugins: {a.b: {path: x}, ok: {path: y}}\nPlugins: {ok: {path: z}}");
    assert_eq!(
        (told(&c.value.plugins["a.b"].diagnostics), c.value.plugins["ok"].diagnostics.len()),
        (
            vec!["error: `a.b` is no name of a plugin\n  at  plugins.a.b  (r.yml:1:11)\n  hint: begin with a letter, and use only letters, digits, `_` and `-`".to_owned()],
            0
        )
    );
    assert_eq!(told(&c.diagnostics), ["error: the name is used twice\n  at  plugins.ok  (r.yml:2:11)\n  hint: the first is at r.yml:1:27"]);
    assert_eq!(told(&decoded("plugins: [a]").diagnostics), ["error: a block of options belongs here\n  at  plugins  (r.yml:1:10)"]);
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
    let c = decoded(
        "http:\n  services:\n    p: {plugin: {x: 1}}\n    l: {loadBalancer: {plugin: {x: {}}}}\n  middlewares:\n    m:\n      plugin:\n        auth: {}\n",
    );
    let h = &c.value.http;
    assert_eq!(h.services["p"].place_of("plugin").to_string(), "r.yml:3:17");
    assert_eq!(h.services["l"].place_of("loadBalancer.plugin").to_string(), "r.yml:4:32");
    assert_eq!(h.middlewares["m"].place_of("plugin").to_string(), "r.yml:8:9");
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
}

#[test]
fn the_first_of_two_wins() {
    let doc = |name: &str, text: &str| decode(&parse(text, Format::Yaml, name.into()).unwrap()).value;
    let merged = merge_first_wins(vec![
        doc(
            "a.yml",
            "http: {routers: {r: {rule: one}}}\ntls: {options: {u: {}}}\nudp: {routers: {u: {service: a}}}\nplugins: {p: {path: one}}",
        ),
        doc("b.yml", "http: {routers: {r: {rule: two}, q: {rule: three}}}\nplugins: {p: {path: two}, q: {path: three}}"),
    ]);
    assert_eq!(
        (merged.value.http.routers["r"].config.rule.as_str(), merged.value.http.routers.len(), merged.value.rejected.len()),
        ("one", 2, 0)
    );
    assert_eq!(
        told(&merged.diagnostics),
        [
            "warning: the name is already taken, this one is left out\n  at  http.routers.r  (b.yml:1:18)\n  hint: the one in use is at a.yml:1:18",
            "warning: the name is already taken, this one is left out\n  at  plugins.p  (b.yml:2:11)\n  hint: the one in use is at a.yml:4:11"
        ]
    );
    let plugins: Vec<_> = merged.value.plugins.iter().map(|(n, i)| format!("{n}={}", i.config.path)).collect();
    assert_eq!(plugins, ["p=one", "q=three"]);
}

#[test]
fn digests_follow_the_content() {
    let digest = |text: &str| decoded(text).value.http.routers["r"].digest;
    assert_eq!(digest("http: {routers: {r: {rule: a}}}"), digest("# moved\nhttp:\n  routers:\n    q: {}\n    r:\n      rule: a"));
    assert_ne!(digest("http: {routers: {r: {rule: a}}}"), digest("http: {routers: {r: {rule: b}}}"));
    let plugin = |text: &str| decoded(text).value.plugins["p"].digest;
    assert_eq!(plugin("plugins: {p: {path: a}}"), plugin("# moved\nplugins:\n  q: {}\n  p:\n    path: a"));
    assert_ne!(plugin("plugins: {p: {path: a}}"), plugin("plugins: {p: {path: a, config: {}}}"));
    assert_ne!(decoded("plugins: {p: {path: a}}").value, decoded("plugins: {p: {path: b}}").value);
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
        "plugins",
        "path",
        "config",
        "limits",
        "memory",
        "deadline",
        "permissions",
        "http",
        "secrets",
        "rollout",
        "steps",
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
    fn no_tree_panics(routers in tree(), services in tree(), middlewares in tree(), plugin in tree(), root in tree()) {
        for text in [&format!("http: {{routers: {{r: {routers}}}, services: {{s: {services}}}, middlewares: {{m: {middlewares}}}}}"), &format!("plugins: {{p: {plugin}}}"), &format!("http: {root}"), &root] {
            let c = decoded(text);
            let _ = (json(&c.value.http.routers), json(&c.value.http.services), json(&c.value.http.middlewares), json(&c.value.http.servers_transports), json(&c.value.plugins));
        }
    }
}

#[test]
fn tcp_and_udp() {
    let c = decoded(
        "tcp:\n  routers:\n    r: {rule: \"HostSNI(`a`)\", service: s, tls: {passthrough: true}}\n    bad: {rule: x, tls: {certResolver: le}}\n  services:\n    s: {loadBalancer: {servers: [{address: 'a:1', tls: true}], proxyProtocol: {}}}\n    two: {loadBalancer: {}, weighted: {}}\n  middlewares:\n    m: {IPALLOWLIST: {sourcerange: [::1]}, inFlightConn: {amount: 1}}\n    none: {}\n  serversTransports:\n    t: {terminationDelay: -1s, tls: {serverName: x}}\nudp:\n  routers:\n    r: {service: s, rule: x}\n  services:\n    s: {weighted: {services: [{name: a}]}}\n",
    );
    assert_eq!(told(&c.diagnostics), [""; 0]);
    let (tcp, udp) = (&c.value.tcp, &c.value.udp);
    assert!(c.value.rejected.is_empty());
    assert!(tcp.routers["r"].config.tls.as_ref().is_some_and(|t| t.passthrough) && !tcp.routers["r"].has_errors());
    assert!(!tcp.routers["bad"].has_errors() && tcp.routers["bad"].config.tls.as_ref().unwrap().cert_resolver == "le");
    let lb = tcp.services["s"].config.load_balancer.as_ref().unwrap();
    assert_eq!((lb.servers[0].tls, lb.proxy_protocol.unwrap().version, lb.health_check.is_none()), (true, 2, true));
    assert!(told(&tcp.services["two"].diagnostics)[0].contains("more than one kind"));
    let m = &tcp.middlewares["m"];
    assert_eq!((m.config.kind.as_str(), m.config.others[0].0.as_str(), m.has_errors()), ("ipAllowList", "inFlightConn", false));
    assert!(told(&m.diagnostics)[0].contains("only `ipAllowList`"));
    assert_eq!(serde_json::to_string(&m.config).unwrap(), r#"{"inFlightConn":{"amount":1},"ipAllowList":{"sourceRange":["::1"]}}"#);
    assert!(told(&tcp.middlewares["none"].diagnostics)[0].contains("no kind"));
    assert_eq!(tcp.servers_transports["t"].config.termination_delay.0, -1_000_000_000);
    assert!(told(&udp.routers["r"].diagnostics)[0].contains("unknown option `rule`"));
    assert_eq!(udp.services["s"].config.weighted.as_ref().unwrap().services[0].weight, 1);
}
