use super::*;
use crate::cluster::testing::cluster;
use torana_config::install::IngressEndpointConfig;

const GROUND: &str = "
kind: Service
metadata: {name: whoami}
spec: {ports: [{name: web, port: 80}]}
---
kind: EndpointSlice
metadata: {name: whoami-1, labels: {kubernetes.io/service-name: whoami}}
ports: [{name: web, port: 8080}]
endpoints: [{addresses: [10.1.0.1], conditions: {ready: true}}]
---
kind: IngressClass
metadata: {name: ours}
spec: {controller: traefik.io/ingress-controller}
---
kind: IngressClass
metadata: {name: foreign}
spec: {controller: example.test/x}
---
";

fn with(config: KubernetesIngressConfig, yaml: &str) -> Translated {
    Ingresses::new(config).translate(&cluster(&format!("{GROUND}{yaml}")))
}

fn ingress(name: &str, annotations: &str, spec: &str) -> String {
    format!("\n---\nkind: Ingress\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\nspec: {{{spec}}}")
}

fn paths(host: &str, paths: &str) -> String {
    format!("rules: [{{host: {host}, http: {{paths: [{paths}]}}}}]")
}

fn backend(service: &str, port: &str) -> String {
    format!("backend: {{service: {{name: {service}, port: {{{port}}}}}}}")
}

fn one(host: &str) -> String {
    paths(host, &format!("{{path: /, pathType: Prefix, {}}}", backend("whoami", "number: 80")))
}

fn names(t: &Translated) -> Vec<&str> {
    t.document.config.http.routers.keys().map(String::as_str).collect()
}

#[test]
fn classes() {
    let yaml = [
        ingress("none", "", &one("none")),
        ingress("ours", "", &format!("ingressClassName: ours, {}", one("ours"))),
        ingress("foreign", "", &format!("ingressClassName: foreign, {}", one("foreign"))),
        ingress("gone", "", &format!("ingressClassName: gone, {}", one("gone"))),
        ingress("old", "kubernetes.io/ingress.class: traefik", &one("old")),
        ingress("odd", "kubernetes.io/ingress.class: nginx", &one("odd")),
    ]
    .concat();
    let served = |config| names(&with(config, &yaml)).iter().map(|n| n.rsplit('-').next().unwrap().to_owned()).collect::<Vec<_>>();
    let config = KubernetesIngressConfig::default();
    assert_eq!(served(config.clone()), ["none", "old", "ours"]);
    assert_eq!(served(KubernetesIngressConfig { ingress_class: "ours".into(), ..config.clone() }), ["ours"]);
    assert_eq!(served(KubernetesIngressConfig { ingress_class: "nginx".into(), ..config.clone() }), ["odd"]);
    let blind = KubernetesIngressConfig { ingress_class: "gone".into(), disable_cluster_scope_resources: true, ..config };
    assert_eq!(served(blind), ["gone"]);
}

#[test]
fn routers_and_services_have_the_names_of_traefik() {
    let all = [
        format!("{{path: /pre, pathType: Prefix, {}}}", backend("whoami", "name: web")),
        format!("{{path: /, pathType: Prefix, {}}}", backend("whoami", "number: 80")),
        format!("{{pathType: ImplementationSpecific, {}}}", backend("whoami", "number: 80")),
        format!("{{path: /gone, pathType: Prefix, {}}}", backend("gone", "number: 80")),
        "{path: /res, pathType: Prefix, backend: {resource: {kind: X, name: y}}}".to_owned(),
    ]
    .join(", ");
    let t = with(KubernetesIngressConfig::default(), &ingress("ing1", "", &paths("a.test", &all)));
    let found = names(&t);
    assert_eq!(found.len(), 3);
    assert!(found.contains(&"default-ing1-a-test-pre") && found.contains(&"default-ing1-a-test-23308165f2e23ceb2a26"), "{found:?}");
    let services: Vec<&String> = t.document.config.http.services.keys().collect();
    assert_eq!(services, ["default-whoami-80", "default-whoami-web"]);
    let reasons = &t.document.objects.rejected[0];
    assert_eq!(reasons.name, "ingress default/ing1");
    assert!(reasons.reasons[0].contains("spec.rules[0].http.paths[3]: there is no service default/gone"), "{reasons:?}");
    assert!(reasons.reasons[1].contains("a service belongs"));
}

#[test]
fn annotations_of_routers() {
    let p = "traefik.ingress.kubernetes.io/router";
    let annotations = [
        format!("{p}.entrypoints: 'web, tls'"),
        format!("{p}.middlewares: 'default-strip@kubernetescrd,x@file'"),
        format!("{p}.priority: '7'"),
        format!("{p}.tls.certresolver: le"),
        format!("{p}.tls.domains.0.main: m.test"),
        format!("{p}.tls.domains.0.sans: 'n.test,o.test'"),
        format!("{p}.observability.accesslogs: 'false'"),
        format!("{p}.entrypoint: x"),
    ];
    let t = with(KubernetesIngressConfig::default(), &ingress("i", &annotations.join(", "), &one("a.test")));
    assert_eq!(
        serde_json::to_value(&t.document.config.http.routers.values().next().unwrap().config).unwrap(),
        json!({
            "entryPoints": ["web", "tls"], "middlewares": ["default-strip@kubernetescrd", "x@file"], "priority": 7,
            "rule": "Host(\"a.test\") && PathPrefix(\"/\")", "service": "default-whoami-80",
            "tls": {"certResolver": "le", "domains": [{"main": "m.test", "sans": ["n.test", "o.test"]}]},
            "observability": {"accessLogs": false}
        })
    );
    assert!(
        t.document.diagnostics.iter().any(|d| d.message.contains("did you mean `router.entrypoints`?")),
        "{:?}",
        t.document.diagnostics
    );
    let t = with(KubernetesIngressConfig::default(), &ingress("i", &format!("{p}.priority: x"), &one("a.test")));
    assert!(names(&t).is_empty() && t.document.objects.rejected[0].reasons[0].contains("no whole number"));
    let config = KubernetesIngressConfig { cross_provider_namespaces: Some(Vec::new()), ..KubernetesIngressConfig::default() };
    let t = with(config, &ingress("i", &format!("{p}.middlewares: x@file"), &one("a.test")));
    assert!(names(&t).is_empty() && t.document.objects.rejected[0].reasons[0].contains("crossProviderNamespaces"));
}

#[test]
fn annotations_of_services() {
    let p = "torana.ingress.kubernetes.io/service";
    let service = format!(
        "
kind: Service
metadata:
  name: s
  annotations: {{{p}.serversscheme: h2c, {p}.nativelb: 'true', {p}.passhostheader: 'false', {p}.sticky.cookie.name: c, {p}.sticky.cookie.maxage: '5'}}
spec: {{clusterIP: 10.0.0.1, ports: [{{port: 80}}]}}"
    );
    let path = format!("{{path: /, pathType: Prefix, {}}}", backend("s", "number: 80"));
    let t = with(KubernetesIngressConfig::default(), &format!("{service}{}", ingress("i", "", &paths("a", &path))));
    let lb = t.document.config.http.services["default-s-80"].config.load_balancer.clone().unwrap();
    assert_eq!((lb.servers[0].url.as_str(), lb.pass_host_header), ("h2c://10.0.0.1:80", false));
    let cookie = lb.sticky.unwrap().cookie.unwrap();
    assert_eq!((cookie.name.as_str(), cookie.max_age), ("c", 5));
}

#[test]
fn a_default_backend_and_certificates() {
    let yaml = [
        ingress("d", "", "defaultBackend: {service: {name: whoami, port: {number: 80}}}"),
        ingress("e", "", "defaultBackend: {service: {name: whoami, port: {number: 80}}}"),
        ingress("t", "", &format!("tls: [{{secretName: cert}}, {{secretName: gone}}], {}", one("t"))),
        "\n---\nkind: Secret\nmetadata: {name: cert}\ndata: {tls.crt: Y2VydA==, tls.key: a2V5}".to_owned(),
    ]
    .concat();
    let t = with(KubernetesIngressConfig::default(), &yaml);
    let router = &t.document.config.http.routers["default-router"].config;
    assert_eq!(
        (router.rule.as_str(), router.priority, router.service.as_deref()),
        ("PathPrefix(\"/\")", -2_147_483_648, Some("default-backend"))
    );
    assert!(t.document.config.http.routers["default-t-t"].config.tls.is_none(), "certificates alone make no HTTPS");
    assert_eq!(t.document.config.tls.certificates.len(), 1);
    let rejected: Vec<&str> = t.document.objects.rejected.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(rejected, ["ingress default/e", "ingress default/t"]);
}

#[test]
fn statuses_are_written_where_they_differ() {
    let yaml = [
        ingress("i", "", &one("a")),
        ingress("foreign", "", &format!("ingressClassName: foreign, {}", one("foreign"))),
        "\n---\nkind: Service\nmetadata: {name: lb, namespace: gw}\nspec: {ports: [{port: 80}]}\nstatus: {loadBalancer: {ingress: [{ip: 192.0.2.1}, {hostname: h}]}}".into(),
    ]
    .concat();
    let endpoint = |e| KubernetesIngressConfig { ingress_endpoint: Some(e), ..KubernetesIngressConfig::default() };
    assert!(with(KubernetesIngressConfig::default(), &yaml).statuses.is_empty());
    let ip = IngressEndpointConfig { ip: "192.0.2.7".into(), ..IngressEndpointConfig::default() };
    let t = with(endpoint(ip), &yaml);
    assert_eq!((t.statuses.len(), t.statuses[0].name.as_str()), (1, "i"));
    assert_eq!(t.statuses[0].wanted, json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}));
    let service = IngressEndpointConfig { published_service: "gw/lb".into(), ..IngressEndpointConfig::default() };
    assert_eq!(
        with(endpoint(service), &yaml).statuses[0].wanted,
        json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "h"}]}})
    );
    let gone = IngressEndpointConfig { published_service: "gw/gone".into(), ..IngressEndpointConfig::default() };
    let t = with(endpoint(gone), &yaml);
    assert!(t.statuses.is_empty() && t.document.diagnostics.iter().any(|d| d.message.contains("no service gw/gone")));
}
