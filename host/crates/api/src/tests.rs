//! The API over compiled documents. What is expected was printed by Traefik 3.7.15 for the same
//! configuration; texts of errors are Torana's own, so only their presence is compared.

use super::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::OnceLock;
use torana_config::parse::{Format, parse};
use torana_config::routing::{RoutingConfig, decode};
use torana_control::{Compiler, Internals, Parts};
use torana_http::Peer;

const INTERNAL: &str = "
http:
  routers:
    api: {entryPoints: [traefik], service: api@internal, rule: PathPrefix(`/api`), priority: 9223372036854775806}
";

const FILE: &str = r#"
http:
  routers:
    good: {rule: "Host(`a.test`)", service: lb, entryPoints: [web], priority: -5, ruleSyntax: v3}
    "na me/x": {rule: "Host(`k<l>&.test`)", service: lb@file, entryPoints: [web, web], middlewares: [sp, sp]}
    defaults: {rule: "Host(`c.test`)", service: wei, observability: {accessLogs: false}}
    broken: {rule: "Hst(`a.test`)", service: lb, entryPoints: [web]}
    nosvc: {rule: "Host(`e.test`)", service: nix, entryPoints: [web]}
    nomw: {rule: "Host(`f.test`)", service: lb, middlewares: [nix, ch], entryPoints: [web]}
    oddep: {rule: "Host(`g.test`)", service: lb, entryPoints: [web, nix]}
    noep: {rule: "Host(`g.test`)", service: lonely, entryPoints: [nix]}
    high: {rule: "Host(`l.test`)", service: lonely, entryPoints: [web], priority: 9223372036854775806}
  services:
    lb: {loadBalancer: {serversTransport: tr, servers: [{url: "HTTP://127.0.0.1:1"}, {url: "http://127.0.0.1:2", weight: 3, preservePath: true}]}}
    hc: {loadBalancer: {healthCheck: {path: /, interval: 300ms, timeout: 200ms}, sticky: {cookie: {}}, servers: [{url: "http://127.0.0.1:1"}]}}
    lonely: {loadBalancer: {serversTransport: tr, servers: [{url: "http://127.0.0.1:1"}]}}
    wei: {weighted: {services: [{name: lb, weight: 3}, {name: hc@file}]}}
  serversTransports:
    tr: {insecureSkipVerify: true}
  middlewares:
    hdr: {headers: {customRequestHeaders: {a: b}}}
    sp: {stripPrefix: {prefixes: [/a]}}
    ch: {chain: {middlewares: [hdr, sp]}}
    idle: {chain: {middlewares: [sp]}}
"#;

fn config(text: &str) -> Arc<RoutingConfig> {
    Arc::new(decode(&parse(text, Format::Yaml, "test.yml".into()).unwrap()).value)
}

fn install(more: Value) -> Arc<InstallConfig> {
    let mut install = json!({
        "api": {"insecure": true, "dashboard": false},
        "entryPoints": {
            "web": {"address": "127.0.0.1:18000"},
            "obs": {"address": "127.0.0.1:18003", "observability": {"metrics": false}, "http": {"middlewares": ["hdr@file"]}},
            "traefik": {"address": "127.0.0.1:18080"},
            "dns": {"address": "127.0.0.1:53/udp"},
        },
        "providers": {"file": {"filename": "dyn.yml"}},
    });
    for (key, value) in more.as_object().unwrap() {
        install[key] = value.clone();
    }
    Arc::new(serde_json::from_value(install).unwrap())
}

fn api(install: Arc<InstallConfig>, file: &str) -> Arc<Api> {
    let published = Published::new(["file", "internal"]);
    let (resolvers, _) = torana_control::Resolvers::open(&install, Arc::new(torana_extend::NoPlugins));
    let api = Arc::new(Api::new(install.clone(), published.clone(), Arc::new(torana_extend::NoPlugins), resolvers.clone()));
    let mut internals = Internals::new();
    internals.insert("api", api.clone());
    internals.insert("noop", api.clone());
    let mut compiler = Compiler::new(Parts {
        install,
        kinds: torana_middleware::kind,
        tcp_kinds: torana_middleware::tcp::kind,
        internals,
        plugins: Arc::new(torana_extend::NoPlugins),
        resolvers,
        stapler: None,
        spiffe: None,
        tracer: None,
        metrics: None,
        access_log: None,
    })
    .unwrap();
    let inputs = BTreeMap::from([("file", config(file)), ("internal", config(INTERNAL))]);
    published.status.store(compiler.compile(&inputs).status);
    api
}

/// One for all tests that only read.
fn shared() -> &'static Arc<Api> {
    static API: OnceLock<Arc<Api>> = OnceLock::new();
    API.get_or_init(|| api(install(json!({})), FILE))
}

fn request(api: &Api, method: Method, target: &str) -> (StatusCode, http::HeaderMap, String) {
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    let request = Request { method, path: path.into(), query: query.map(Into::into), ..Request::default() };
    let addr: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let mut exchange = Exchange::new(request, Rc::new(Peer::new(addr, addr, None, "traefik".into(), false)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let response = runtime.block_on(api.serve(&mut exchange));
    let (head, body) = response.into_parts();
    let body = runtime.block_on(body.collect(1 << 24)).unwrap().unwrap();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn get(api: &Api, path: &str) -> Value {
    let (status, headers, body) = request(api, Method::GET, path);
    assert_eq!((status, headers[CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, "application/json"), "{path}: {body}");
    assert!(body.ends_with('\n') && !body.contains(['<', '>', '&']), "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// Names of a list, or the refusal, and the next page.
fn names(api: &Api, path: &str) -> String {
    let (status, headers, body) = request(api, Method::GET, path);
    let body: Value = serde_json::from_str(&body).unwrap();
    match body.as_array() {
        Some(list) => {
            let names: Vec<&str> = list.iter().map(|r| r["name"].as_str().unwrap().trim_end_matches("@file")).collect();
            format!("{} {}", headers[NEXT_PAGE].to_str().unwrap(), names.join(" "))
        }
        None => format!("{} {}", status.as_u16(), body["message"].as_str().unwrap()),
    }
}

fn without_texts(mut value: Value) -> Value {
    match &mut value {
        Value::Object(o) => o.iter_mut().for_each(|(k, v)| *v = if k == "error" { true.into() } else { without_texts(v.take()) }),
        Value::Array(a) => a.iter_mut().for_each(|v| *v = without_texts(v.take())),
        _ => {}
    }
    value
}

fn router(extra: Value) -> Value {
    let mut r = json!({"entryPoints": ["web"], "service": "lb", "priority": 14, "status": "enabled", "using": ["web"],
        "observability": {"accessLogs": true, "metrics": true, "tracing": true, "traceVerbosity": "minimal"}});
    for (k, v) in extra.as_object().unwrap() {
        r[k] = v.clone();
    }
    r.as_object_mut().unwrap().retain(|_, v| !v.is_null());
    r
}

fn balanced(extra: Value, rest: Value) -> Value {
    let mut s = json!({"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}], "strategy": "wrr", "passHostHeader": true,
        "responseForwarding": {"flushInterval": "100ms"}}, "status": "enabled"});
    for (k, v) in extra.as_object().unwrap() {
        s["loadBalancer"][k] = v.clone();
    }
    for (k, v) in rest.as_object().unwrap() {
        s[k] = v.clone();
    }
    s
}

fn traefik_raw_data() -> Value {
    json!({
        "routers": {
            "api@internal": router(json!({"entryPoints": ["traefik"], "service": "api@internal", "rule": "PathPrefix(`/api`)", "ruleSyntax": "default",
                "priority": 9223372036854775806_i64, "using": ["traefik"]})),
            "broken@file": router(json!({"rule": "Hst(`a.test`)", "priority": 13, "error": true, "status": "disabled"})),
            "defaults@file": router(json!({"service": "wei", "rule": "Host(`c.test`)",
                "observability": {"accessLogs": false, "metrics": true, "tracing": true, "traceVerbosity": "minimal"}})),
            "good@file": router(json!({"rule": "Host(`a.test`)", "ruleSyntax": "v3", "priority": -5})),
            "high@file": router(json!({"service": "lonely", "rule": "Host(`l.test`)", "priority": 9223372036854775806_i64, "error": true, "status": "disabled"})),
            "na me/x@file": router(json!({"entryPoints": ["web", "web"], "middlewares": ["sp@file", "sp@file"], "service": "lb@file",
                "rule": "Host(`k<l>&.test`)", "priority": 18})),
            "noep@file": router(json!({"entryPoints": ["nix"], "service": "lonely", "rule": "Host(`g.test`)", "priority": null, "using": null,
                "error": true, "status": "disabled"})),
            "nomw@file": router(json!({"middlewares": ["nix@file", "ch@file"], "rule": "Host(`f.test`)", "error": true, "status": "disabled"})),
            "nosvc@file": router(json!({"service": "nix", "rule": "Host(`e.test`)", "error": true, "status": "disabled"})),
            "obs-defaults@file": router(json!({"entryPoints": ["obs"], "middlewares": ["hdr@file"], "service": "wei", "rule": "Host(`c.test`)", "using": ["obs"],
                "observability": {"accessLogs": false, "metrics": false, "tracing": true, "traceVerbosity": "minimal"}})),
            "oddep@file": router(json!({"entryPoints": ["web", "nix"], "rule": "Host(`g.test`)", "error": true, "status": "warning"})),
        },
        "middlewares": {
            "ch@file": {"chain": {"middlewares": ["hdr@file", "sp@file"]}, "status": "enabled", "usedBy": ["nomw@file"]},
            "hdr@file": {"headers": {"customRequestHeaders": {"a": "b"}}, "status": "enabled", "usedBy": ["obs-defaults@file"]},
            "idle@file": {"chain": {"middlewares": ["sp"]}, "status": "enabled"},
            "sp@file": {"stripPrefix": {"prefixes": ["/a"]}, "status": "enabled", "usedBy": ["na me/x@file", "na me/x@file"]},
        },
        "services": {
            "api@internal": {"status": "enabled", "usedBy": ["api@internal"]},
            "hc@file": balanced(
                json!({"sticky": {"cookie": {"name": "_192c6", "path": "/"}},
                    "healthCheck": {"mode": "http", "path": "/", "interval": "300ms", "timeout": "200ms", "followRedirects": true}}),
                json!({"serverStatus": {"http://127.0.0.1:1": "UP"}})),
            "lb@file": balanced(
                json!({"serversTransport": "tr@file", "servers": [{"url": "HTTP://127.0.0.1:1"}, {"url": "http://127.0.0.1:2", "weight": 3, "preservePath": true}]}),
                json!({"usedBy": ["broken@file", "good@file", "na me/x@file", "nomw@file", "oddep@file"],
                    "serverStatus": {"http://127.0.0.1:1": "UP", "http://127.0.0.1:2": "UP"}})),
            "lonely@file": balanced(json!({"serversTransport": "tr"}), json!({"usedBy": ["high@file", "noep@file"]})),
            "noop@internal": {"status": "enabled"},
            "wei@file": {"weighted": {"services": [{"name": "lb", "weight": 3}, {"name": "hc@file", "weight": 1}]}, "status": "enabled",
                "usedBy": ["defaults@file", "obs-defaults@file"]},
        },
    })
}

#[test]
fn raw_data_is_what_traefik_shows() {
    let (ours, theirs) = (without_texts(get(shared(), "/api/rawdata")), traefik_raw_data());
    for (section, objects) in theirs.as_object().unwrap() {
        for (name, object) in objects.as_object().unwrap() {
            assert_eq!(&ours[section][name], object, "{section} {name}");
        }
    }
    assert_eq!(ours, theirs);
}

#[test]
fn raw_data_follows_health() {
    let api = api(install(json!({})), FILE);
    let first = get(&api, "/api/rawdata");
    let kept = api.shared.raw.load_full().unwrap();
    get(&api, "/api/rawdata");
    assert!(Arc::ptr_eq(&kept, &api.shared.raw.load_full().unwrap()), "built once");
    let service = api.shared.published.status.load_full().services["hc@file"].clone();
    service.balancer.as_ref().unwrap().found(0, false);
    let second = get(&api, "/api/rawdata");
    assert_eq!(first["services"]["hc@file"]["serverStatus"], json!({"http://127.0.0.1:1": "UP"}));
    assert_eq!(second["services"]["hc@file"]["serverStatus"], json!({"http://127.0.0.1:1": "DOWN"}));
    // Nothing that is kept holds services of an old generation.
    let old = Arc::downgrade(&service);
    drop(service);
    api.shared.published.status.store(Arc::default());
    assert!(old.upgrade().is_none());
    assert_eq!(
        get(&api, "/api/rawdata"),
        json!({"services": {"api@internal": {"status": "enabled"}, "noop@internal": {"status": "enabled"}}})
    );
}

#[test]
fn single_objects() {
    let with = |mut object: Value, more: Value| {
        for (k, v) in more.as_object().unwrap() {
            object[k] = v.clone();
        }
        object
    };
    let raw = traefik_raw_data();
    for (path, section, name, more) in [
        ("routers/good@file", "routers", "good@file", json!({"provider": "file", "priorityStr": "-5"})),
        ("routers/na%20me%2Fx%40file", "routers", "na me/x@file", json!({"provider": "file", "priorityStr": "18"})),
        ("routers/noep@file", "routers", "noep@file", json!({"provider": "file", "priorityStr": "0"})),
        ("routers/api@internal", "routers", "api@internal", json!({"provider": "internal", "priorityStr": "9223372036854775806"})),
        ("services/lb@file", "services", "lb@file", json!({"provider": "file", "type": "loadbalancer"})),
        ("services/wei@file", "services", "wei@file", json!({"provider": "file", "type": "weighted"})),
        ("services/noop@internal", "services", "noop@internal", json!({"provider": "internal"})),
        ("middlewares/sp%40file", "middlewares", "sp@file", json!({"provider": "file", "type": "stripprefix"})),
    ] {
        let expected = with(with(raw[section][name].clone(), json!({ "name": name })), more);
        assert_eq!(without_texts(get(shared(), &format!("/api/http/{path}"))), expected, "{path}");
    }
}

#[test]
fn refusals() {
    const GONE: &str = "404 page not found\n";
    for (method, path, status, text) in [
        ("GET", "/api", 404, GONE),
        ("GET", "/api/", 404, GONE),
        ("GET", "/api/x", 404, GONE),
        ("GET", "/apix/version", 404, GONE),
        ("GET", "/api/rawdata/", 404, GONE),
        ("GET", "/api/udp/middlewares", 404, GONE),
        ("GET", "/dashboard/", 404, GONE),
        ("POST", "/api/x", 404, GONE),
        ("POST", "/api/version", 405, ""),
        ("HEAD", "/api/http/routers", 405, ""),
        ("OPTIONS", "/api/http/routers/nix@file", 405, ""),
        ("GET", "/api/http/routers/nix@file", 404, "{\"message\":\"router not found: nix@file\"}\n"),
        ("GET", "/api/http/routers/good%2540file", 404, "{\"message\":\"router not found: good%40file\"}\n"),
        ("GET", "/api/http/services/a%3Cb%3E", 404, "{\"message\":\"service not found: a\\u003cb\\u003e\"}\n"),
        ("GET", "/api/http/middlewares/nix", 404, "{\"message\":\"middleware not found: nix\"}\n"),
        ("GET", "/api/entrypoints/nix", 404, "{\"message\":\"entry point not found: nix\"}\n"),
        ("GET", "/api/tcp/middlewares/nix", 404, "{\"message\":\"middleware not found: nix\"}\n"),
        ("GET", "/api/certificates/nix", 404, "{\"message\":\"certificate not found: nix\"}\n"),
        ("GET", "/api/udp/routers?page=x", 400, "{\"message\":\"invalid request: page: 0\"}\n"),
    ] {
        let (got, headers, body) = request(shared(), method.parse().unwrap(), path);
        assert_eq!((got.as_u16(), body.as_str()), (status, text), "{method} {path}");
        let kind = headers.get(CONTENT_TYPE).map(|v| v.to_str().unwrap());
        assert_eq!(kind, (status != 405).then_some("text/plain; charset=utf-8"), "{method} {path}");
    }
}

#[test]
fn lists() {
    let all = "1 api@internal broken defaults good high na me/x noep nomw nosvc obs-defaults oddep";
    let reversed = "1 oddep obs-defaults nosvc nomw noep na me/x high good defaults broken api@internal";
    for (query, expected) in [
        ("", all),
        ("per_page=4", "2 api@internal broken defaults good"),
        ("per_page=4&page=2", "3 high na me/x noep nomw"),
        ("per_page=4&page=3", "1 nosvc obs-defaults oddep"),
        ("per_page=11", all),
        ("per_page=4&page=4", "400 invalid request: page: 4, per_page: 4"),
        ("page=2", "400 invalid request: page: 2, per_page: 100"),
        ("page=0", "400 invalid request: page: 0"),
        ("page=x&per_page=y", "400 invalid request: per_page: 0"),
        ("per_page=-1", "400 invalid request: per_page: -1"),
        ("per_page=99999999999999999999", "400 invalid request: per_page: 9223372036854775807"),
        ("per_page=9223372036854775807", all),
        (
            "per_page=9223372036854775807&page=9223372036854775807",
            "400 invalid request: page: 9223372036854775807, per_page: 9223372036854775807",
        ),
        ("page=&per_page=", all),
        ("page=1&page=7", all),
        ("page=%2B1", all),
        ("page=+1", "400 invalid request: page: 0"),
        ("search=nothing", "1 "),
        ("search=nothing&page=2", "400 invalid request: page: 2, per_page: 100"),
        ("search=GOOD", "1 good"),
        ("search=C.test", "1 defaults obs-defaults"),
        ("search=good+", "1 "),
        ("search=%zz", all),
        ("search=na%20me;x", "1 na me/x"),
        ("status=Warning", "1 oddep"),
        ("status=xx", "1 "),
        ("serviceName=lb", "1 broken good nomw oddep"),
        ("serviceName=lb@file", "1 broken good na me/x nomw oddep"),
        ("serviceName=lb@docker", "1 broken good nomw oddep"),
        ("serviceName=api", "1 "),
        ("middlewareName=sp@file", "1 na me/x"),
        ("middlewareName=sp", "1 "),
        ("direction=desc", reversed),
        ("direction=ASC", reversed),
        ("sortBy=Priority", all),
        ("sortBy=provider&per_page=2&direction=desc", "2 api@internal oddep"),
        ("sortBy=priority&per_page=3", "2 good noep broken"),
        ("sortBy=status&per_page=3&direction=desc", "2 oddep obs-defaults na me/x"),
        ("sortBy=rule&per_page=3", "2 good defaults obs-defaults"),
        ("sortBy=service&per_page=2", "2 api@internal broken"),
        ("sortBy=entryPoints&per_page=2&direction=desc", "2 oddep na me/x"),
    ] {
        assert_eq!(names(shared(), &format!("/api/http/routers?{query}")), expected, "{query}");
    }
    for (path, expected) in [
        ("http/services", "1 api@internal hc lb lonely noop@internal wei"),
        ("http/services?search=LO", "1 lonely"),
        ("http/services?serviceName=x&middlewareName=x&per_page=1", "2 api@internal"),
        ("http/services?sortBy=type&direction=desc", "1 wei lonely lb hc noop@internal api@internal"),
        ("http/services?sortBy=servers&direction=desc&per_page=2", "2 lb lonely"),
        ("http/middlewares?sortBy=type", "1 ch idle hdr sp"),
        ("http/middlewares?sortBy=servers&direction=desc", "1 sp idle hdr ch"),
        ("entrypoints?per_page=2&search=web&direction=desc", "2 dns obs"),
        ("entrypoints?page=9", "400 invalid request: page: 9, per_page: 100"),
        ("tcp/routers", "1 "),
        ("udp/services", "1 "),
        ("certificates", "1 "),
    ] {
        assert_eq!(names(shared(), &format!("/api/{path}")), expected, "{path}");
    }
}

#[test]
fn install_documents() {
    let zero = json!({"total": 0, "warnings": 0, "errors": 0});
    let tree = json!({"routers": zero, "services": zero, "middlewares": zero});
    assert_eq!(
        get(shared(), "/api/overview"),
        json!({
            "http": {
                "routers": {"total": 11, "warnings": 1, "errors": 5},
                "services": {"total": 6, "warnings": 0, "errors": 0},
                "middlewares": {"total": 4, "warnings": 0, "errors": 0},
            },
            "tcp": tree, "udp": {"routers": zero, "services": zero}, "certificates": zero,
            "features": {"tracing": "", "metrics": "", "accessLog": false},
            "providers": ["File"],
        })
    );
    assert_eq!(
        get(shared(), "/api/entrypoints/obs"),
        json!({
            "address": "127.0.0.1:18003",
            "transport": {"lifeCycle": {"graceTimeOut": "10s"}, "respondingTimeouts": {"readTimeout": "1m0s", "idleTimeout": "3m0s"}},
            "forwardedHeaders": {},
            "http": {"middlewares": ["hdr@file"], "sanitizePath": true, "maxHeaderBytes": 1048576},
            "http2": {"maxConcurrentStreams": 250, "maxDecoderHeaderTableSize": 4096, "maxEncoderHeaderTableSize": 4096},
            "udp": {"timeout": "3s"},
            "observability": {"accessLogs": true, "metrics": false, "tracing": true, "traceVerbosity": "minimal"},
            "name": "obs",
        })
    );
    let more = json!({"api": {"basePath": "/foo/", "disableDashboardAd": true, "dashboardName": "x"}, "providers": {}, "ping": {}});
    let api = api(install(more), FILE);
    assert_eq!(request(&api, Method::GET, "/api/version").0, StatusCode::NOT_FOUND);
    let (_, headers, body) = request(&api, Method::GET, "/foo/api/version");
    assert_eq!(headers[CONTENT_TYPE], "application/json; charset=UTF-8");
    let version: Value = serde_json::from_str(&body).unwrap();
    let keys: Vec<&String> = version.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["Version", "Codename", "startDate", "disableDashboardAd", "dashboardName"]);
    let overview = get(&api, "/foo/api/overview");
    assert_eq!((&overview["providers"], &overview["http"]["services"]["total"]), (&Value::Null, &json!(9)));
    assert_eq!(names(&api, "/foo/api/http/services?search=g@int"), "1 ping@internal");
}

#[test]
fn our_own() {
    let api = api(install(json!({})), FILE);
    let mut providers = (**api.shared.published.providers.load()).clone();
    let file = providers.get_mut("file").unwrap();
    file.delivered = true;
    file.last_change = Some(SystemTime::UNIX_EPOCH);
    file.connected_since = Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1));
    let rejected = torana_extend::RejectedObject { name: "container a".to_owned(), reasons: vec!["it has no port".to_owned()] };
    file.objects = torana_extend::Objects { seen: 2, rejected: vec![rejected] };
    file.last_error = Some("no".to_owned());
    api.shared.published.providers.store(Arc::new(providers));
    assert_eq!(
        get(&api, "/api/providers"),
        json!([
            {
                "name": "file", "delivered": true, "connectedSince": "1970-01-01T00:00:01Z", "lastChange": "1970-01-01T00:00:00Z",
                "changes": 0, "lastError": "no", "failures": 0, "objects": 2,
                "rejected": [{"name": "container a", "reasons": ["it has no port"]}],
            },
            {"name": "internal", "delivered": false, "changes": 0, "failures": 0, "objects": 0},
        ])
    );
    let diagnostics = get(&api, "/api/diagnostics");
    let broken = diagnostics.as_array().unwrap().iter().find(|d| d["key"] == "http.routers.broken.rule").unwrap();
    assert_eq!((&broken["severity"], &broken["source"], &broken["line"]), (&json!("error"), &json!("test.yml"), &json!(7)));
}
