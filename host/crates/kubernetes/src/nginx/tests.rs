use super::*;
use crate::cluster::testing::cluster;
use base64::Engine as _;
use serde_json::Value as Json;
use torana_config::install::IngressNginxConfig;
use torana_config::parse::{Format, parse};
use torana_config::routing::RoutingConfig;

const OBJECTS: &str = include_str!("tests/objects.yaml");
const GOLDEN: &str = include_str!("tests/default.golden");
const OPEN: &str = include_str!("tests/open.golden");

/// The objects, with the secret that Traefik's cluster had.
fn objects() -> Cluster {
    let text = |t: &str| base64::engine::general_purpose::STANDARD.encode(format!("-----BEGIN {t}"));
    let cert = format!(
        "kind: Secret\nmetadata: {{name: cert}}\ntype: kubernetes.io/tls\ndata: {{tls.crt: {}, tls.key: {}, ca.crt: {}}}\n",
        text("C"),
        text("K"),
        text("A")
    );
    let documents: Vec<String> = OBJECTS.split("\n---\n").map(encoded).collect();
    cluster(&format!("{cert}---\n{}", documents.join("\n---\n")))
}

/// `stringData` as `data`, which is what the API server makes of it.
fn encoded(document: &str) -> String {
    if !document.contains("stringData") {
        return document.to_owned();
    }
    let mut json = parse(document, Format::Yaml, "test".into()).unwrap().to_json();
    let texts = json["stringData"].take();
    for (key, text) in texts.as_object().unwrap() {
        json["data"][key] = base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap()).into();
    }
    json.as_object_mut().unwrap().remove("stringData");
    json.to_string()
}

fn translated(config: IngressNginxConfig, cluster: &Cluster) -> Translated {
    let check_snippet = |options: &torana_config::node::Node| match options.to_json()["serverSnippet"].as_str() {
        Some("nonsense") => Err("`nonsense` is not closed by `;`".to_owned()),
        _ => Ok(()),
    };
    Nginx::new(Options { config, plain: vec!["web".into()], tls: Vec::new(), check_snippet }).translate(cluster)
}

fn json(value: &impl serde::Serialize) -> Json {
    serde_json::to_value(value).unwrap()
}

/// A configuration in the form of the golden files.
fn lines(config: &RoutingConfig) -> Vec<String> {
    let mut out = Vec::new();
    for (name, item) in &config.http.routers {
        let r = &item.config;
        let middlewares: Vec<String> =
            r.middlewares.iter().map(|m| m.strip_prefix(&format!("{name}-")).map_or_else(|| format!("!{m}"), str::to_owned)).collect();
        let (entry_points, middlewares) = (r.entry_points.join(","), middlewares.join(" "));
        let tls = r.tls.as_ref().map(|t| format!(" tls={}", t.options)).unwrap_or_default();
        if name.ends_with("-tls") || name.contains("-tls-") {
            out.push(format!("router {name}{tls} {entry_points} [{middlewares}]"));
            continue;
        }
        let priority = if r.priority == 0 { String::new() } else { format!(" priority={}", r.priority) };
        let log = r.observability.as_ref().and_then(|o| o.access_logs);
        let log = log.map(|l| format!(" log={}", if l { "True" } else { "False" })).unwrap_or_default();
        let service = r.service.as_deref().unwrap_or_default();
        out.push(format!("router {name} {} -> {service} {entry_points} [{middlewares}]{priority}{log}", r.rule));
    }
    for (name, item) in &config.http.middlewares {
        let mut options = item.config.node.to_json();
        // What Traefik does not show.
        for hidden in ["statusCode", "forcePermanentRedirect"] {
            options.as_object_mut().unwrap().remove(hidden);
        }
        options.as_object_mut().unwrap().retain(|_, v| v.as_i64() != Some(0) || name.ends_with("-retry"));
        out.push(format!("middleware {name} {}", serde_json::json!({ item.config.kind.as_str(): options })));
    }
    for (name, item) in &config.http.services {
        let s = &item.config;
        let what = match (&s.weighted, &s.load_balancer) {
            (Some(w), _) => {
                let shares: Vec<String> = w.services.iter().map(|s| format!("{}={}", s.name, s.weight)).collect();
                let sticky = w.sticky.as_ref().and_then(|s| s.cookie.as_ref()).map(|c| format!(" sticky={}", c.name));
                shares.join(" ") + &sticky.unwrap_or_default()
            }
            (None, Some(lb)) => {
                let servers: Vec<String> = lb.servers.iter().map(|s| format!("{}{}", s.url, if s.fenced { "!" } else { "" })).collect();
                let sticky = lb.sticky.as_ref().and_then(|s| s.cookie.as_ref()).map(|c| format!(" sticky={}", json(c)));
                let hash = if lb.nginx_upstream_hash_by.is_empty() { String::new() } else { format!(" hrw {}", lb.nginx_upstream_hash_by) };
                format!("{} {}{}{hash}", servers.join(" "), lb.servers_transport.as_deref().unwrap_or_default(), sticky.unwrap_or_default())
            }
            _ => String::new(),
        };
        out.push(format!("service {name} {what} {}", s.middlewares.join(" ")));
    }
    for (name, item) in &config.tcp.routers {
        out.push(format!("tcp router {name} {} -> {}", item.config.rule, item.config.service.as_deref().unwrap_or_default()));
    }
    for (name, item) in &config.tcp.services {
        let servers: Vec<&str> = item.config.load_balancer.iter().flat_map(|l| &l.servers).map(|s| s.address.as_str()).collect();
        out.push(format!("tcp service {name} {}", servers.join(" ")));
    }
    out.extend(config.tls.options.keys().map(|n| format!("tls options {n}")));
    out.iter().map(|l| plain(l)).collect()
}

/// Blanks and the spelling of JSON mean nothing.
fn plain(line: &str) -> String {
    let line = match line.find("-----BEGIN") {
        Some(at) => format!("{}PEM{}", &line[..at], &line[at + line[at..].find('"').unwrap_or(0)..]),
        None => line.to_owned(),
    };
    let text = match (line.find('{'), line.starts_with("middleware ") || line.contains("sticky={")) {
        (Some(at), true) => {
            let mut stream = serde_json::Deserializer::from_str(&line[at..]).into_iter::<Json>();
            let mut value = stream.next().unwrap().unwrap();
            value.sort_all_objects();
            format!("{}{value}{}", &line[..at], &line[at + stream.byte_offset()..])
        }
        _ => line,
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is not in the golden files: twins, and the same retry again and again.
fn is_left_out(line: &str) -> bool {
    let mut words = line.split(' ');
    let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match kind {
        "middleware" => name.contains("-tls") || line.ends_with(r#"{"retry":{"attempts":3,"maxRequestBodyBytes":1048576}}"#),
        "service" => name.contains("-tls") && name.starts_with("default-backend-default"),
        _ => false,
    }
}

/// Beside Traefik's: both hosts of an ingress keep their default backend, of which Traefik has one by chance.
/// Without pages for errors a route is served all the same.
/// Clients of `mtls-off.test` are verified as an older ingress says, and `mtls` is not served where they would not be.
const KNOWN: [&str; 6] = [
    "default-own-full-default-backend",
    "default-backend-default-own-full-default-backend",
    "default-mtls-off-rule-0-path-0-pass-certificate-to-upstream",
    "default-mtls-rule-0-path-0",
    "default-mtls-web-80",
    "default-errors-gone-",
];

fn differences(golden: &str, ours: &[String]) -> (Vec<String>, Vec<String>) {
    let known = |l: &String| KNOWN.iter().any(|k| l.contains(k));
    let theirs: BTreeSet<String> = golden.lines().map(plain).filter(|l| !known(l)).collect();
    let ours: BTreeSet<String> = ours.iter().filter(|l| !is_left_out(l) && !known(l)).cloned().collect();
    (theirs.difference(&ours).cloned().collect(), ours.difference(&theirs).cloned().collect())
}

#[test]
fn objects_become_what_traefik_makes_of_them() {
    let (missing, more) = differences(GOLDEN, &lines(&translated(IngressNginxConfig::default(), &objects()).document.config));
    assert!(missing.is_empty() && more.is_empty(), "missing:\n{}\nmore:\n{}", missing.join("\n"), more.join("\n"));
}

fn open() -> IngressNginxConfig {
    IngressNginxConfig {
        allow_snippet_annotations: true,
        allow_cross_namespace_resources: true,
        global_allowed_response_headers: vec!["X-One".into(), "X-Two".into()],
        strict_validate_path_type: false,
        watch_ingress_without_class: true,
        ..IngressNginxConfig::default()
    }
}

#[test]
fn options_open_what_is_closed() {
    let ours = lines(&translated(open(), &objects()).document.config);
    let ours: BTreeSet<&String> = ours.iter().collect();
    let missing: Vec<String> = OPEN.lines().map(plain).filter(|l| !KNOWN.iter().any(|k| l.contains(k)) && !ours.contains(l)).collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn what_is_left_out_is_named() {
    let t = translated(IngressNginxConfig::default(), &objects());
    let rejected = |name: &str| {
        let found = t.document.objects.rejected.iter().find(|r| r.name == format!("ingress default/{name}"));
        found.map(|r| r.reasons.join("; ")).unwrap_or_default()
    };
    for (name, why) in [
        ("strict", "`strictValidatePathType`"),
        ("snippets", "`allowSnippetAnnotations`"),
        ("basic-gone", "there is no secret default/gone"),
        ("basic-cross", "`allowCrossNamespaceResources`"),
        ("auth-odd", "`ldap` is neither `basic` nor `digest`"),
        ("backend-tls-bad", "proxy-ssl-secret: `cert`: write it as namespace/name"),
        ("mtls", "host `mtls.test`: its clients are verified as ingress default/mtls-optional says"),
        ("mtls-gone", "auth-tls-secret: there is no secret default/gone"),
        ("headers", "`globalAllowedResponseHeaders` does not list `X-One`; requests are answered with 503"),
        ("later-canary", "another ingress is their canary already"),
        ("canary-lone", "no other ingress of its namespace"),
        ("bare", "there is one for the whole gateway already"),
        ("pass-none", "needs the path `/`"),
    ] {
        assert!(rejected(name).contains(why), "{name}: {}", rejected(name));
    }
    let told: Vec<String> = t.document.diagnostics.iter().map(ToString::to_string).collect();
    for (object, key) in [
        ("default/unsupported", "mirror-target"),
        ("default/unsupported", "no-such-thing"),
        ("default/unsupported", "enable-modsecurity"),
        ("default/times", "proxy-http-version"),
        ("default/buffers-odd", "client-body-buffer-size"),
        ("default/mtls-off", "auth-tls-secret"),
        ("default/plain", "spec.rules[0].http.paths[5]"),
        ("default/secure", "spec.tls[1].secretName"),
        ("default/prefix-bad", "x-forwarded-prefix"),
        ("default/next", "proxy-next-upstream"),
    ] {
        assert!(told.iter().any(|d| d.contains(object) && d.contains(key)), "{object} {key}: {told:#?}");
    }
}

fn small(more: &str) -> Cluster {
    cluster(&format!(
        "
kind: Service
metadata: {{name: s}}
spec: {{type: LoadBalancer, clusterIP: 10.0.0.1, externalIPs: [192.0.2.9, 192.0.2.1], ports: [{{port: 80}}]}}
status: {{loadBalancer: {{ingress: [{{ip: 192.0.2.1}}, {{hostname: h}}]}}}}
---
kind: IngressClass
metadata: {{name: nginx}}
spec: {{controller: example.test/x}}
---
kind: Ingress
metadata: {{name: i}}
spec: {{ingressClassName: nginx, rules: [{{host: a, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: s, port: {{number: 80}}}}}}}}]}}}}]}}
{more}"
    ))
}

#[test]
fn classes_by_controller_by_name_or_without() {
    let cluster = small("");
    let served = |config: IngressNginxConfig| translated(config, &cluster).document.config.http.routers.len();
    let config = IngressNginxConfig::default();
    assert_eq!(served(config.clone()), 0);
    assert_eq!(served(IngressNginxConfig { ingress_class_by_name: true, ..config.clone() }), 2);
    assert_eq!(served(IngressNginxConfig { controller_class: "example.test/x".into(), ..config.clone() }), 2);
    // As in Traefik: where no class is ours, the field counts for nothing.
    assert_eq!(served(IngressNginxConfig { watch_ingress_without_class: true, ..config.clone() }), 2);
    let selected = IngressNginxConfig { watch_namespace_selector: "a=b".into(), watch_ingress_without_class: true, ..config };
    assert_eq!(served(selected.clone()), 0);
    let with = small("---\nkind: Namespace\nmetadata: {name: default}\n");
    assert_eq!(translated(selected, &with).document.config.http.routers.len(), 2);
}

#[test]
fn statuses_are_those_of_a_service_or_as_written() {
    let cluster = small("");
    let config = IngressNginxConfig { watch_ingress_without_class: true, ..IngressNginxConfig::default() };
    let wanted = |config: IngressNginxConfig| {
        let t = translated(config, &cluster);
        t.statuses.first().map(|s| s.wanted["loadBalancer"]["ingress"].clone())
    };
    assert_eq!(wanted(config.clone()), None);
    let service = IngressNginxConfig { publish_service: "default/s".into(), ..config.clone() };
    assert_eq!(wanted(service.clone()), Some(serde_json::json!([{"ip": "192.0.2.1"}, {"hostname": "h"}, {"ip": "192.0.2.9"}])));
    let both = IngressNginxConfig { publish_status_address: vec!["192.0.2.5".into(), "x.test".into()], ..service };
    assert_eq!(wanted(both), Some(serde_json::json!([{"ip": "192.0.2.5"}, {"hostname": "x.test"}])));
    assert_eq!(wanted(IngressNginxConfig { publish_service: "default/gone".into(), ..config }), None);
}

#[test]
fn a_default_backend_of_the_gateway() {
    let config = IngressNginxConfig { default_backend_service: "default/pages".into(), custom_http_errors: vec!["418".into()], ..open() };
    let t = translated(config, &objects());
    let router = &t.document.config.http.routers["default-backend"].config;
    assert_eq!((router.rule.as_str(), router.priority, router.middlewares.len()), ("PathPrefix(\"/\")", -2_147_483_648, 0));
    let errors = t.document.config.http.middlewares["default-plain-rule-0-path-0-custom-http-errors"].config.node.to_json();
    assert_eq!((&errors["service"], &errors["status"]), (&"default-backend".into(), &serde_json::json!(["418"])));
}

/// An ingress of `h.test` with a path of its name.
fn on_host(name: &str, created: u8, annotations: &str) -> String {
    let annotations: Vec<String> = annotations.lines().map(|a| format!("    nginx.ingress.kubernetes.io/{}\n", a.trim())).collect();
    format!(
        "---\nkind: Ingress\nmetadata:\n  name: {name}\n  creationTimestamp: 2026-01-0{created}T00:00:00Z\n  annotations:\n{}\
         spec: {{rules: [{{host: h.test, http: {{paths: [{{path: /{name}, pathType: Prefix, backend: {{service: {{name: s, port: {{number: 80}}}}}}}}]}}}}]}}\n",
        annotations.concat()
    )
}

fn with(more: &str) -> Translated {
    translated(open(), &small(more))
}

fn rejections(t: &Translated, name: &str) -> String {
    let found = t.document.objects.rejected.iter().find(|r| r.name == format!("ingress {name}"));
    found.map(|r| r.reasons.join("; ")).unwrap_or_default()
}

#[test]
fn nobody_is_told_of_a_verification_that_was_not_made() {
    let secrets =
        "---\nkind: Secret\nmetadata: {name: one}\ndata: {ca.crt: b25l}\n---\nkind: Secret\nmetadata: {name: two}\ndata: {ca.crt: dHdv}\n";
    let served = |first: &str, second: &str| {
        let says = |(secret, verify): (&str, &str)| {
            format!("auth-tls-secret: default/{secret}\nauth-tls-verify-client: '{verify}'\nauth-tls-pass-certificate-to-upstream: 'true'")
        };
        let [first, second] = [first, second].map(|t| says(t.split_once(' ').unwrap()));
        let t = with(&format!("{secrets}{}{}", on_host("a", 1, &first), on_host("b", 2, &second)));
        let http = &t.document.config.http;
        assert!(http.routers.contains_key("default-a-rule-0-path-0-tls"));
        let router = http.routers.get("default-b-rule-0-path-0-tls")?;
        let headers = http.middlewares["default-b-rule-0-path-0-tls-pass-certificate-to-upstream"].config.node.to_json();
        let options = &t.document.config.tls.options[&router.config.tls.as_ref().unwrap().options].config.client_auth;
        assert_eq!(headers["clientAuthType"], options.client_auth_type, "{first} | {second}");
        Some((options.client_auth_type.clone(), headers["caFiles"].clone()))
    };
    let asked = |ca: &str| Some(("RequestClientCert".to_owned(), serde_json::json!([ca])));
    let made = |kind: &str| Some((kind.to_owned(), Json::Null));
    // stricter than the handshake
    assert_eq!(served("one optional_no_ca", "one on"), None);
    assert_eq!(served("one optional_no_ca", "one optional"), None);
    assert_eq!(served("one optional", "one on"), None);
    assert_eq!(served("one off", "one optional_no_ca"), None);
    // judged by others
    assert_eq!(served("one on", "two on"), None);
    assert_eq!(served("one optional_no_ca", "two optional_no_ca"), None);
    // as strict, or less
    assert_eq!(served("one on", "one on"), made("RequireAndVerifyClientCert"));
    assert_eq!(served("one on", "one optional_no_ca"), made("RequireAndVerifyClientCert"));
    assert_eq!(served("one optional_no_ca", "one optional_no_ca"), asked("one"));
    assert_eq!(served("one optional_no_ca", "two off"), asked("one"));
}

#[test]
fn names_that_are_alike_stay_with_the_older_ingress() {
    let service = |namespace: &str, ip: u8| {
        format!(
            "---\nkind: Service\nmetadata: {{namespace: {namespace}, name: s}}\nspec: {{clusterIP: 10.0.0.{ip}, ports: [{{port: 80}}]}}\n"
        )
    };
    let ingress = |namespace: &str, name: &str, created: u8| {
        let annotations = format!("service-upstream: 'true'\nproxy-read-timeout: '{created}'\nauth-url: http://{namespace}.test/");
        on_host(name, created, &annotations).replace("metadata:\n", &format!("metadata:\n  namespace: {namespace}\n"))
    };
    let t = with(&format!("{}{}{}{}", service("a", 1), service("a-b", 2), ingress("a", "b-x", 2), ingress("a-b", "x", 1)));
    let http = &t.document.config.http;
    assert!(http.routers["a-b-x-rule-0-path-0"].config.rule.contains("/x"));
    assert_eq!(http.services["a-b-x-s-80"].config.load_balancer.as_ref().unwrap().servers[0].url, "http://10.0.0.2:80");
    assert_eq!(http.middlewares["a-b-x-rule-0-path-0-snippet"].config.node.to_json()["auth"]["address"], "http://a-b.test/");
    assert_eq!(http.servers_transports["a-b-x"].config.forwarding_timeouts.read_timeout, torana_base::GoDuration::from_secs(1));
    assert!(rejections(&t, "a/b-x").contains("`a-b-x-rule-0-path-0` is the name of a router of ingress a-b/x too"));
    assert_eq!(rejections(&t, "a-b/x"), "");
    // Services may have names that are alike where routers have not: a router without its service is left out.
    let more = "---\nkind: Service\nmetadata: {name: s-s}\nspec: {clusterIP: 10.0.0.3, ports: [{port: 80}]}\n";
    let later = on_host("i", 2, "service-upstream: 'true'").replace("name: s,", "name: s-s,");
    let t = with(&format!("{more}{}{later}", on_host("i-s", 1, "service-upstream: 'true'")));
    let routers: Vec<&String> = t.document.config.http.routers.keys().collect();
    assert_eq!(routers, ["default-i-s-rule-0-path-0", "default-i-s-rule-0-path-0-tls"]);
    assert!(rejections(&t, "default/i").contains("`default-i-s-s-80` is the name of a service of ingress default/i-s too"));
}

#[test]
fn who_is_rejected_has_no_say_for_the_hosts_of_others() {
    let says = "use-regex: 'true'\nserver-snippet: 'add_header X-A a;'\nserver-alias: z.test\n";
    let served = |first: &str| {
        let t = with(&format!("{}{}", on_host("a", 1, &format!("{says}{first}")), on_host("b", 2, "server-alias: z.test, y.test")));
        let rule = t.document.config.http.routers["default-b-rule-0-path-0"].config.rule.clone();
        let snippet = t.document.config.http.middlewares.contains_key("default-b-rule-0-path-0-snippet");
        (rule, snippet, !rejections(&t, "default/a").is_empty())
    };
    let own = r#"(Host("h.test") || Host("z.test") || Host("y.test")) && (Path("/b") || PathPrefix("/b/"))"#;
    for wrong in ["auth-tls-secret: default/gone", "auth-type: basic\nauth-secret: gone"] {
        assert_eq!(served(wrong), (own.to_owned(), false, true), "{wrong}");
    }
    let (rule, snippet, rejected) = served("auth-realm: x");
    assert_eq!((rule.as_str(), snippet, rejected), (r#"(Host("h.test") || Host("y.test")) && PathRegexp("(?i)^/b")"#, true, false));
    // The host of one that is rejected is not for others to take.
    let other = on_host("b", 2, "server-alias: y.test").replace("h.test", "other.test");
    let t = with(&format!("{}{other}", on_host("a", 1, "auth-tls-secret: default/gone").replace("h.test", "y.test")));
    assert!(!t.document.config.http.routers["default-b-rule-0-path-0"].config.rule.contains("y.test"));
    // A canary is one of who is served.
    let canary = on_host("c", 3, "canary: 'true'").replace("path: /c", "path: /a");
    let t = with(&format!("{}{canary}", on_host("a", 1, "auth-tls-secret: default/gone")));
    assert!(rejections(&t, "default/c").contains("no other ingress of its namespace"));
}

#[test]
fn pages_that_are_missing_do_not_take_the_route_along() {
    let t = with(&on_host("a", 1, "custom-http-errors: '404'\ndefault-backend: gone"));
    let http = &t.document.config.http;
    assert_eq!(http.routers["default-a-rule-0-path-0"].config.middlewares, ["default-a-rule-0-path-0-retry"]);
    assert!(!http.middlewares.keys().any(|m| m.contains("errors")));
    assert!(t.document.diagnostics.iter().any(|d| d.to_string().contains("there are no pages for errors")));
}

#[test]
fn one_ingress_takes_so_much_and_not_more() {
    let many: Vec<String> = (0..103).map(|i| format!("x{i}.test")).collect();
    let t = with(&on_host("a", 1, &format!("server-alias: 'x0.test, X0.test, h.test, {}'", many.join(","))));
    let rule = t.document.config.http.routers["default-a-rule-0-path-0"].config.rule.clone();
    assert_eq!(rule.matches("Host(").count(), 101, "{rule}");
    assert_eq!(rule.to_lowercase().matches("\"x0.test\"").count(), 1);
    assert_eq!(rejections(&t, "default/a"), "server-alias: more than 100 are not served: `x100.test`, `x101.test`, `x102.test`");

    // 16 MiB are 32 paths with twice 250 KiB, and some bytes less.
    let path = "{path: /a, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}";
    let big = |bytes: usize| {
        let snippet = format!("configuration-snippet: 'add_header X {};'", "x".repeat(bytes));
        on_host("a", 1, &snippet).replace(path, &vec![path; 40].join(", "))
    };
    let small = on_host("b", 2, "");
    let t = with(&format!("{}{small}", big(250 << 10)));
    let routers = &t.document.config.http.routers;
    assert_eq!(routers.keys().filter(|n| n.starts_with("default-a-")).count(), 64);
    assert!(routers.contains_key("default-b-rule-0-path-0"), "another one pays for itself");
    let why = rejections(&t, "default/a");
    assert!(why.contains("more than 16 MiB: spec.rules[0].http.paths[32], and what stands behind it"), "{why}");
    let t = with(&big(200 << 10));
    assert_eq!((t.document.config.http.routers.len(), rejections(&t, "default/a")), (82, String::new()));
}

#[test]
fn passwords_of_addresses_are_not_shown() {
    let says = "auth-url: http://u:sekret@auth.test/a\nauth-signin: http://v:sekret@in.test/";
    let config = IngressNginxConfig { global_auth_url: "http://u:sekret@all.test/".into(), ..open() };
    let t = translated(config, &small(&format!("{}{}", on_host("a", 1, says), on_host("b", 2, "auth-method: GET"))));
    for (name, address, shown) in [
        ("a", "http://u:sekret@auth.test/a", r#"{"auth":{"address":"http://auth.test/a","authSigninURL":"http://in.test/"}}"#),
        ("b", "http://u:sekret@all.test/", r#"{"auth":{"address":"http://all.test/","method":"GET"}}"#),
    ] {
        let item = &t.document.config.http.middlewares[&format!("default-{name}-rule-0-path-0-snippet")];
        assert_eq!(item.config.node.to_json()["auth"]["address"], address);
        assert_eq!(item.shown().unwrap().config.node.to_json().to_string(), shown);
    }
    let t = with(&on_host("a", 1, "auth-url: http://auth.test/a"));
    assert!(t.document.config.http.middlewares["default-a-rule-0-path-0-snippet"].shown().is_none());
}

#[test]
fn a_server_snippet_that_is_none_harms_its_owner_only() {
    let own = |name: &str, text: &str, day| on_host(name, day, &format!("server-snippet: '{text}'"));
    let all = format!("{}{}{}", own("a", "nonsense", 1), own("b", "add_header X b;", 2), on_host("c", 3, "limit-rps: '1'"));
    let t = with(&all);
    assert!(rejections(&t, "default/a").contains("server-snippet: `nonsense` is not closed"));
    let http = &t.document.config.http;
    assert!(!http.routers.contains_key("default-a-rule-0-path-0"));
    for name in ["b", "c"] {
        let options = http.middlewares[&format!("default-{name}-rule-0-path-0-snippet")].config.node.to_json();
        assert_eq!(options["serverSnippet"], "add_header X b;", "{name}");
    }
}
