use super::*;
use crate::cluster::testing::cluster;
use torana_extend::Document;

const WHOAMI: &str = "
kind: Service
metadata: {name: whoami}
spec: {ports: [{name: web, port: 80}]}
---
kind: EndpointSlice
metadata: {name: whoami-1, labels: {kubernetes.io/service-name: whoami}}
ports: [{name: web, port: 8080}]
endpoints: [{addresses: [10.1.0.1], conditions: {ready: true}}, {addresses: [10.1.0.2], conditions: {ready: true}}]
---
kind: Service
metadata: {name: empty}
spec: {ports: [{name: web, port: 80}]}
---
";

fn with(config: KubernetesCrdConfig, yaml: &str) -> Document {
    Crd::new(config).translate(&cluster(&format!("{WHOAMI}{yaml}"))).document
}

fn translate(yaml: &str) -> Document {
    with(KubernetesCrdConfig::default(), yaml)
}

/// Objects and reasons, one a line.
fn rejected(d: &Document) -> Vec<String> {
    d.objects.rejected.iter().flat_map(|o| o.reasons.iter().map(move |r| format!("{}: {r}", o.name))).collect()
}

fn route(spec: &str) -> String {
    format!("\n---\nkind: IngressRoute\nmetadata: {{name: r}}\nspec:\n{spec}")
}

#[test]
fn a_route_with_one_service() {
    let d = translate(&route(
        "  entryPoints: [web]
  routes:
  - {match: Host(`a.test`), kind: Rule, priority: 5, middlewares: [{name: m}, {name: x@file}], services: [{name: whoami, port: web, passHostHeader: false}]}
  tls: {options: {name: o}, certResolver: le}",
    ));
    assert_eq!(rejected(&d), [""; 0]);
    let (name, router) = d.config.http.routers.iter().next().unwrap();
    assert_eq!(name, "default-r-adb61728c085b5eef2e5");
    assert_eq!(
        serde_json::to_value(&router.config).unwrap(),
        serde_json::json!({
            "entryPoints": ["web"], "middlewares": ["default-m@kubernetescrd", "x@file"], "service": name,
            "rule": "Host(`a.test`)", "priority": 5, "tls": {"options": "default-o", "certResolver": "le"}
        })
    );
    let lb = d.config.http.services[name].config.load_balancer.as_ref().unwrap();
    assert_eq!(lb.servers.iter().map(|s| s.url.as_str()).collect::<Vec<_>>(), ["http://10.1.0.1:8080", "http://10.1.0.2:8080"]);
    assert!(!lb.pass_host_header);
}

#[test]
fn a_bad_route_harms_no_other() {
    let d = translate(&route(
        "  routes:
  - {match: Host(`a.test`), services: [{name: whoami, port: 80}]}
  - {match: Host(`b.test`), services: [{name: nobody, port: 80}]}
  - {match: Host(`c.test`), services: [{name: empty, port: 80}]}
  - {match: Host(`d.test`), services: [{name: whoami, port: 81}]}
  - {match: Host(`e.test`), services: []}
  - {match: Host(`f.test`), kind: Other, services: [{name: whoami, port: 80}]}
  - {services: [{name: whoami, port: 80}]}
  - {match: Host(`g.test`), services: [{name: whoami, port: 80, namespace: other}]}
  - {match: [1], services: [{name: whoami, port: 80}]}
  - {match: Host(`h.test`), services: [{name: whoami, port: 80, healthCheck: {path: /}}]}
  - {match: Host(`i.test`), services: [{name: whoami, port: 80, strategy: odd}]}
  - {match: Host(`j.test`), servicez: [], services: [{name: whoami, port: 80}]}",
    ));
    let routers: Vec<&str> = d.config.http.routers.values().map(|r| r.config.rule.as_str()).collect();
    assert_eq!(routers.len(), 3, "{routers:?}");
    let reasons = rejected(&d);
    for (i, word) in [
        (1, "there is no service default/nobody"),
        (2, "no ready endpoint"),
        (3, "no port 81"),
        (4, "no service"),
        (5, "only `Rule`"),
        (6, "a rule belongs here"),
        (7, "allowCrossNamespace"),
        (8, "expected a string"),
        (9, "external names"),
    ] {
        let begins = format!("ingressroute default/r: spec.routes[{i}]");
        assert!(reasons.iter().any(|r| r.starts_with(&begins) && r.contains(word)), "{i} {word}: {reasons:#?}");
    }
    assert!(reasons.iter().any(|r| r.contains("no load-balancer strategy")), "{reasons:#?}");
    assert!(d.diagnostics.iter().any(|w| !w.is_error() && w.message.contains("`servicez` is ignored, did you mean `services`?")));
}

#[test]
fn several_services_and_services_of_services() {
    let d = translate(
        "
kind: TraefikService
metadata: {name: wrr}
spec: {weighted: {services: [{name: whoami, port: 80, weight: 2}, {name: whoami, port: web}], sticky: {cookie: {name: x}}}}
---
kind: TraefikService
metadata: {name: none}
spec: {}
---
kind: IngressRoute
metadata: {name: r}
spec:
  routes:
  - {match: Host(`a`), services: [{name: wrr, kind: TraefikService}]}
  - {match: Host(`b`), services: [{name: wrr, kind: TraefikService, weight: 3}, {name: whoami, port: 80}]}
  - {match: Host(`c`), services: [{name: api@internal, kind: TraefikService}]}",
    );
    assert_eq!(
        rejected(&d),
        ["traefikservice default/none: spec: one of weighted, mirroring, failover and highestRandomWeight belongs here"]
    );
    let services = &d.config.http.services;
    let wrr = services["default-wrr"].config.weighted.as_ref().unwrap();
    assert_eq!(
        wrr.services.iter().map(|s| (s.name.as_str(), s.weight)).collect::<Vec<_>>(),
        [("default-whoami-80", 2), ("default-whoami-web", 1)]
    );
    assert_eq!(wrr.sticky.as_ref().unwrap().cookie.as_ref().unwrap().name, "x");
    let by_rule = |rule: &str| d.config.http.routers.values().find(|r| r.config.rule == rule).unwrap().config.service.clone().unwrap();
    assert_eq!((by_rule("Host(`a`)").as_str(), by_rule("Host(`c`)").as_str()), ("default-wrr", "api@internal"));
    let b = services[&by_rule("Host(`b`)")].config.weighted.as_ref().unwrap();
    assert_eq!(b.services.iter().map(|s| (s.name.as_str(), s.weight)).collect::<Vec<_>>(), [("default-wrr", 3), ("default-whoami-80", 1)]);
}

#[test]
fn services_that_answer_for_each_other() {
    let d = translate(
        "
kind: TraefikService
metadata: {name: m}
spec: {mirroring: {name: whoami, port: 80, maxBodySize: 7, mirrorBody: false, mirrors: [{name: whoami, port: web, percent: 20, passiveHealthCheck: {failureWindow: 3s, maxFailedAttempts: 4}}, {name: f, kind: TraefikService}]}}
---
kind: TraefikService
metadata: {name: f}
spec: {failover: {service: {name: whoami, port: 80}, fallback: {name: h, kind: TraefikService}, errors: {status: ['500-504'], maxRequestBodyBytes: 9}}}
---
kind: TraefikService
metadata: {name: h}
spec: {highestRandomWeight: {services: [{name: whoami, port: 80, weight: 2}]}}",
    );
    assert_eq!(rejected(&d), [""; 0]);
    let services = &d.config.http.services;
    let shown = |name: &str| serde_json::to_value(&services[name].config).unwrap();
    assert!(services.values().all(|s| !s.has_errors()), "{:?}", services.values().flat_map(|s| &s.diagnostics).collect::<Vec<_>>());
    assert_eq!(
        shown("default-m"),
        serde_json::json!({"mirroring": {"service": "default-whoami-80", "mirrorBody": false, "maxBodySize": 7,
            "mirrors": [{"name": "default-whoami-web", "percent": 20}, {"name": "default-f"}]}})
    );
    assert_eq!(
        shown("default-f"),
        serde_json::json!({"failover": {"service": "default-whoami-80", "fallback": "default-h",
            "errors": {"status": ["500-504"], "maxRequestBodyBytes": 9}}})
    );
    assert_eq!(shown("default-h"), serde_json::json!({"highestRandomWeight": {"services": [{"name": "default-whoami-80", "weight": 2}]}}));
    assert_eq!(
        shown("default-whoami-web")["loadBalancer"]["passiveHealthCheck"],
        serde_json::json!({"failureWindow": "3s", "maxFailedAttempts": 4})
    );
}

#[test]
fn middlewares_with_what_stands_elsewhere() {
    let d = translate(
        "
kind: Secret
metadata: {name: users}
data: {users: YTpoYXNoCiMgbm8KYjpoYXNoCg==}
---
kind: Secret
metadata: {name: login}
type: kubernetes.io/basic-auth
data: {username: am9l, password: c2VjcmV0}
---
kind: Middleware
metadata: {name: a}
spec: {basicAuth: {secret: users, realm: r}}
---
kind: Middleware
metadata: {name: b}
spec: {basicAuth: {secret: login}}
---
kind: Middleware
metadata: {name: c}
spec: {basicAuth: {secret: gone}}
---
kind: Middleware
metadata: {name: d}
spec: {chain: {middlewares: [{name: a}, {name: f@file}]}}
---
kind: Middleware
metadata: {name: e}
spec: {plugin: {p: {token: 'urn:k8s:secret:login:password'}}}
---
kind: Middleware
metadata: {name: f}
spec: {addPrefix: {prefixx: /x}}
---
kind: Middleware
metadata: {name: g}
spec: {chain: {middlewares: [{name: a, namespace: other}]}}",
    );
    let node = |n: &str| d.config.http.middlewares[n].config.node.to_json();
    assert_eq!(node("default-a"), serde_json::json!({"realm": "r", "users": ["a:hash", "b:hash"]}));
    assert_eq!(node("default-b"), serde_json::json!({"users": ["joe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="]}));
    assert_eq!(node("default-d"), serde_json::json!({"middlewares": ["default-a", "f@file"]}));
    assert_eq!(node("default-e"), serde_json::json!({"p": {"token": "secret"}}));
    let shown = d.config.http.middlewares["default-e"].shown().unwrap();
    assert_eq!(shown.config.node.to_json(), serde_json::json!({"p": {"token": "urn:k8s:secret:login:password"}}));
    assert!(d.config.http.middlewares["default-a"].shown().is_none());
    assert!(!d.config.http.middlewares.contains_key("default-c") && !d.config.http.middlewares.contains_key("default-g"));
    let reasons = rejected(&d);
    assert_eq!(reasons.len(), 3, "{reasons:#?}");
    assert_eq!(reasons[0], "middleware default/c: spec.basicAuth.secret: there is no secret default/gone");
    assert!(reasons[1].contains("did you mean `prefix`") && reasons[2].contains("allowCrossNamespace"));
}

#[test]
fn tcp_and_udp() {
    let d = translate(
        "
kind: IngressRouteTCP
metadata: {name: t}
spec:
  entryPoints: [db]
  routes:
  - {match: HostSNI(`*`), services: [{name: whoami, port: 80, tls: true, serversTransport: st}]}
  - {match: HostSNI(`b`), middlewares: [{name: m}], services: [{name: whoami, port: 80, weight: 2}, {name: whoami, port: web}]}
  - {match: HostSNI(`c`), services: [{name: gone, port: 80}]}
  tls: {passthrough: true}
---
kind: IngressRouteUDP
metadata: {name: u}
spec:
  entryPoints: [dns]
  routes:
  - {services: [{name: whoami, port: 80}]}
  - {services: [{name: gone, port: 80}]}",
    );
    let services: Vec<&str> = d.config.tcp.services.keys().map(String::as_str).collect();
    assert_eq!(services.len(), 4, "{services:?}");
    assert!(services.iter().any(|s| s.ends_with("-whoami-web")));
    let all = d.config.tcp.routers.values().find(|r| r.config.rule == "HostSNI(`*`)").unwrap();
    assert!(all.config.tls.as_ref().unwrap().passthrough && all.config.entry_points == ["db"]);
    let lb = d.config.tcp.services[all.config.service.as_ref().unwrap()].config.load_balancer.as_ref().unwrap();
    assert!(lb.servers[0].tls && lb.servers_transport.as_deref() == Some("default-st@kubernetescrd"));
    assert_eq!(d.config.udp.routers.keys().collect::<Vec<_>>(), ["default-u-0"]);
    assert_eq!(d.config.udp.services["default-u-0"].config.load_balancer.as_ref().unwrap().servers[0].address, "10.1.0.1:8080");
    assert_eq!(rejected(&d).len(), 2, "{:?}", rejected(&d));
}

#[test]
fn there_is_one_default_for_tls() {
    let two = "
kind: TLSOption
metadata: {name: default, namespace: a}
spec: {sniStrict: true}
---
kind: TLSOption
metadata: {name: default, namespace: b}
spec: {}
---
kind: TLSOption
metadata: {name: o, namespace: b}
spec: {clientAuth: {secretNames: [gone]}}";
    let d = translate(two);
    assert!(d.config.tls.options.is_empty());
    assert_eq!(rejected(&d).len(), 3);
    let config = KubernetesCrdConfig { default_tls_resources_namespace: "a".into(), ..KubernetesCrdConfig::default() };
    let d = with(config, two);
    assert!(d.config.tls.options["default"].config.sni_strict);
    assert!(rejected(&d).iter().any(|r| r.contains("defaultTLSResourcesNamespace")));
}

#[test]
fn certificates_of_secrets_are_in_the_store_once() {
    let d = translate(
        "
kind: Secret
metadata: {name: cert}
data: {tls.crt: Y2VydA==, tls.key: a2V5}
---
kind: IngressRoute
metadata: {name: one}
spec: {routes: [{match: Host(`a`), services: [{name: whoami, port: 80}]}], tls: {secretName: cert}}
---
kind: IngressRoute
metadata: {name: two}
spec: {routes: [{match: Host(`b`), services: [{name: whoami, port: 80}]}], tls: {secretName: cert}}
---
kind: IngressRoute
metadata: {name: three}
spec: {routes: [{match: Host(`c`), services: [{name: whoami, port: 80}]}], tls: {secretName: gone}}
---
kind: TLSStore
metadata: {name: default}
spec: {defaultCertificate: {secretName: cert}, certificates: [{secretName: cert}]}",
    );
    assert_eq!((d.config.tls.certificates.len(), d.config.http.routers.len()), (1, 3));
    assert_eq!(d.config.tls.stores["default"].config.default_certificate.as_ref().unwrap().key_file.expose(), "key");
    assert!(rejected(&d)[0].contains("there is no secret default/gone"));
    assert!(!format!("{:?}", d.diagnostics).contains("key\""));
}

#[test]
fn classes_and_safe_names() {
    let yaml = "
kind: IngressRoute
metadata: {name: a}
spec: {ingressClassName: other, routes: [{match: Host(`a`), services: [{name: whoami, port: 80}]}]}
---
kind: IngressRoute
metadata: {name: b, annotations: {kubernetes.io/ingress.class: traefik}}
spec: {routes: [{match: Host(`b`), services: [{name: whoami, port: 80}, {name: whoami, port: 80}]}]}";
    let d = translate(yaml);
    assert_eq!((d.config.http.routers.len(), d.objects.seen), (1, 1));
    let d = with(KubernetesCrdConfig { ingress_class: "other".into(), safe_naming: Some(true), ..KubernetesCrdConfig::default() }, yaml);
    assert_eq!(d.config.http.routers.keys().collect::<Vec<_>>(), ["default_a_0"]);
    let d = with(KubernetesCrdConfig { safe_naming: Some(true), ..KubernetesCrdConfig::default() }, yaml);
    let names: Vec<&String> = d.config.http.services.keys().collect();
    assert_eq!(names, ["default_b_0_wrr", "default_b_0_wrr_0_default_whoami_80", "default_b_0_wrr_1_default_whoami_80"]);
}

#[test]
fn transports_with_authorities_and_certificates() {
    let d = translate(
        "
kind: Secret
metadata: {name: cert}
data: {tls.crt: Y2VydA==, tls.key: a2V5, ca.crt: Y2E=}
---
kind: ConfigMap
metadata: {name: cm}
data: {ca.crt: other}
---
kind: ServersTransport
metadata: {name: st}
spec: {serverName: s, rootCAs: [{secret: cert}, {configMap: cm}, {secret: gone}], certificatesSecrets: [cert], forwardingTimeouts: {dialTimeout: 3, idleConnTimeout: 5s}}
---
kind: ServersTransportTCP
metadata: {name: st}
spec: {dialTimeout: 3s, tls: {rootCAsSecrets: [cert]}}
---
kind: TLSOption
metadata: {name: o}
spec: {clientAuth: {secretNames: [cert], clientAuthType: RequireAndVerifyClientCert}}",
    );
    let t = &d.config.http.servers_transports["default-st"].config;
    assert_eq!((t.root_cas.as_slice(), t.certificates.len()), (&["ca".to_owned(), "other".to_owned()][..], 1));
    assert_eq!(t.forwarding_timeouts.dial_timeout.as_duration().as_secs(), 3);
    assert_eq!(d.config.tcp.servers_transports["default-st"].config.tls.as_ref().unwrap().root_cas, ["ca"]);
    assert_eq!(d.config.tls.options["default-o"].config.client_auth.ca_files, ["ca"]);
    assert_eq!(rejected(&d), ["serverstransport default/st: spec.rootCAs[2]: there is no secret default/gone"]);
}

#[test]
fn routes_behind_others() {
    let named = |name: &str, spec: &str| format!("\n---\nkind: IngressRoute\nmetadata: {{name: {name}}}\nspec:\n{spec}");
    let routers = |d: &Document| -> Vec<(String, Option<String>, Vec<String>)> {
        d.config.http.routers.iter().map(|(n, r)| (n.clone(), r.config.service.clone(), r.config.parent_refs.clone())).collect()
    };
    let parent = named("p", "  routes: [{match: Host(`a.test`), kind: Rule}, {match: Host(`b.test`), kind: Rule}]");
    let child = |reference: &str| {
        named("c", &format!("  parentRefs: [{reference}]\n  routes: [{{match: Path(`/x`), services: [{{name: whoami, port: 80}}]}}]"))
    };
    let d = translate(&(parent.clone() + &child("{name: p}")));
    assert_eq!(rejected(&d), [""; 0]);
    let made = routers(&d);
    let (behind, front): (Vec<_>, Vec<_>) = made.iter().partition(|(n, ..)| n.starts_with("default-c"));
    assert!(front.len() == 2 && front.iter().all(|(_, service, parents)| service.is_none() && parents.is_empty()), "{made:?}");
    let mut names: Vec<String> = front.iter().map(|(n, ..)| n.clone()).collect();
    let mut named_there = behind[0].2.clone();
    names.sort();
    named_there.sort();
    assert_eq!((behind.len(), named_there), (1, names));
    let alone = translate(&parent);
    assert!(rejected(&alone).iter().all(|r| r.contains("the route has no service")), "{:?}", rejected(&alone));
    for (reference, told) in [
        ("{name: nobody}", "there is no IngressRoute `nobody` in namespace `default`"),
        ("{name: p, namespace: other}", "is in namespace `other`, not in `default`"),
    ] {
        let d = translate(&(parent.clone() + &child(reference)));
        let rejected = rejected(&d);
        assert!(rejected.iter().any(|r| r.contains(told)), "{rejected:?}");
        assert!(routers(&d).iter().all(|(n, ..)| n.starts_with("default-p")));
    }
}
