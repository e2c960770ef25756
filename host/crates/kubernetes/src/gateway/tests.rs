use super::*;
use crate::cluster::testing::cluster;
use serde_json::Value;
use torana_config::install::GatewayNameConfig;
use torana_config::routing::{RoutingConfig, ShareAnswer};

/// Two services with an endpoint each, a class, a gateway for HTTP and what belongs to TLS.
const GROUND: &str = "
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.9, ports: [{name: web, port: 80}, {name: https, port: 443}, {name: h2c, port: 81, appProtocol: kubernetes.io/h2c}, {name: odd, port: 82, appProtocol: x/y}]}
---
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: web, port: 8080}, {name: https, port: 8443}, {name: h2c, port: 8081}, {name: odd, port: 8082}]
endpoints: [{addresses: [10.1.0.1]}]
---
kind: Service
metadata: {name: far, namespace: other}
spec: {ports: [{port: 80}]}
---
kind: EndpointSlice
metadata: {name: far-1, namespace: other, labels: {kubernetes.io/service-name: far}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.1.0.2]}]
---
kind: Namespace
metadata: {name: other, labels: {team: other}}
---
kind: ConfigMap
metadata: {name: ca}
data: {ca.crt: '-----BEGIN CERTIFICATE-----'}
---
kind: GatewayClass
metadata: {name: torana, generation: 1}
spec: {controllerName: traefik.io/gateway-controller}
";

const GATEWAY: &str = "
---
kind: Gateway
metadata: {name: gw, generation: 3}
spec: {gatewayClassName: torana, listeners: [{name: http, port: 80, protocol: HTTP}]}
";

fn options() -> Options {
    let entry_point = |name: &str, port| EntryPoint { name: name.into(), port, udp: false, tls: false };
    let config = KubernetesGatewayConfig { experimental_channel: true, ..Default::default() };
    Options { config, entry_points: vec![entry_point("tcp", 9000), entry_point("tls", 443), entry_point("web", 80)], crd: None }
}

struct Done {
    config: RoutingConfig,
    rejected: Vec<(String, String)>,
    statuses: Vec<crate::status::StatusWrite>,
}

impl Done {
    fn status(&self, kind: &str, name: &str) -> &Value {
        &self
            .statuses
            .iter()
            .find(|s| s.resource.kind == kind && s.name == name)
            .unwrap_or_else(|| panic!("no status of {kind} {name}"))
            .wanted
    }

    /// Router rules with their priority, in the order of names.
    fn rules(&self) -> Vec<(&str, i64)> {
        self.config.http.routers.values().map(|r| (r.config.rule.as_str(), r.config.priority)).collect()
    }

    fn is_rejected(&self, name: &str, why: &str) -> bool {
        self.rejected.iter().any(|(n, reasons)| n == name && reasons.contains(why))
    }
}

fn translate(yaml: &str, options: Options) -> Done {
    let done = Gateways::new(options).translate(&cluster(yaml));
    let objects = done.document.objects.rejected.into_iter();
    Done { config: done.document.config, rejected: objects.map(|r| (r.name, r.reasons.join("; "))).collect(), statuses: done.statuses }
}

fn http(name: &str, rest: &str) -> String {
    format!("---\nkind: HTTPRoute\nmetadata: {{name: {name}, generation: 2}}\nspec: {{parentRefs: [{{name: gw}}], {rest}}}\n")
}

fn with(route: &str) -> Done {
    translate(&format!("{GROUND}{GATEWAY}{route}"), options())
}

/// Type, status and reason of each condition, sorted.
fn conditions(of: &Value) -> Vec<String> {
    let text = |c: &Value| format!("{}={} {}", c["type"].as_str().unwrap(), c["status"].as_str().unwrap(), c["reason"].as_str().unwrap());
    let mut all: Vec<String> = of["conditions"].as_array().unwrap().iter().map(text).collect();
    all.sort();
    all
}

#[test]
fn the_oldest_route_has_a_match() {
    let at = |name: &str, created: &str, more: &str| {
        http(name, &format!("rules: [{{backendRefs: [{{name: web, port: 80}}]}}{more}]"))
            .replace("generation: 2", &format!("creationTimestamp: '{created}T00:00:00Z'"))
    };
    let done = with(&[at("new", "2026-02-01", ", {matches: [{path: {type: Exact, value: /x}}]}"), at("old", "2026-01-01", "")].concat());
    let names: Vec<&str> = done.config.http.routers.keys().map(|n| n.split("-gw-").next().unwrap()).collect();
    assert_eq!(names, ["httproute-default-new", "httproute-default-old"]);
    assert!(done.is_rejected("httproute default/new", "httproute default/old is older"), "{:?}", done.rejected);
}

/// Rules and priorities as Traefik 3.7.15 has them for the same objects.
#[test]
fn matches_of_an_http_route() {
    let done = with(&http(
        "r",
        "hostnames: [a.test, '*.b.test'], rules: [{matches: [\
         {path: {type: PathPrefix, value: /foo}}, \
         {path: {type: Exact, value: /exact}, method: GET, headers: [{name: X-A, value: one}, {type: RegularExpression, name: X-B, value: 'b.*'}], \
          queryParams: [{name: q, value: v}, {type: RegularExpression, name: r, value: 'x+'}]}, \
         {path: {type: RegularExpression, value: '/re[0-9]+'}}, {path: {type: PathPrefix, value: /slash/}}, {}], \
         backendRefs: [{name: web, port: 80}]}, {backendRefs: [{name: web, port: 80}]}]",
    ));
    let host = r#"(Host("a.test") || HostRegexp("^[a-z0-9-\\.]+\\.b\\.test$"))"#;
    let mut wanted = vec![
        (format!(r#"{host} && (Path("/foo") || PathPrefix("/foo/"))"#), 10_410),
        (
            format!(
                r#"{host} && Path("/exact") && Method("GET") && Header("X-A","one") && HeaderRegexp("X-B","b.*") && Query("q","v") && QueryRegexp("r","x+")"#
            ),
            101_230,
        ),
        (format!(r#"{host} && PathRegexp("/re[0-9]+")"#), 10_910),
        (format!(r#"{host} && (Path("/slash") || PathPrefix("/slash/"))"#), 10_710),
        // The second rule says the same and is never asked.
        (format!(r#"{host} && PathPrefix("/")"#), 11),
    ];
    let mut got: Vec<(String, i64)> = done.rules().into_iter().map(|(r, p)| (r.to_owned(), p)).collect();
    got.sort();
    wanted.sort();
    assert_eq!(got, wanted);
    assert!(done.rejected.is_empty(), "{:?}", done.rejected);
    let parent = &done.status("HTTPRoute", "r")["parents"][0];
    assert_eq!(conditions(parent), ["Accepted=True Accepted", "ResolvedRefs=True ResolvedRefs"]);
    assert_eq!((&parent["parentRef"]["name"], &parent["conditions"][0]["observedGeneration"]), (&"gw".into(), &2.into()));
    assert_eq!(done.status("Gateway", "gw")["listeners"][0]["attachedRoutes"], 1);
}

#[test]
fn backends_have_their_shares() {
    let refs = "{name: web, port: 80, weight: 3}, {name: web, port: 443}, {name: web, port: 81}, {name: web, port: 82}, {name: nobody, port: 80, weight: 2}, \
                {name: far, namespace: other, port: 80}, {name: web}, {name: web, port: 9}, {group: x, kind: Y, name: z}, {group: traefik.io, kind: TraefikService, name: s@file}";
    let grant = "---\nkind: ReferenceGrant\nmetadata: {name: g, namespace: other}\nspec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}], to: [{kind: Service}]}\n";
    let route = http("r", &format!("rules: [{{backendRefs: [{refs}]}}]"));
    for granted in [true, false] {
        let done = with(&format!("{route}{}", if granted { grant } else { "" }));
        let (name, weighted) = done.config.http.services.iter().find(|(n, _)| n.ends_with("-wrr")).unwrap();
        let shares = &weighted.config.weighted.as_ref().unwrap().services;
        let broken = Some(ShareAnswer::Status(500));
        let answers: Vec<_> = shares.iter().map(|s| (s.weight, s.answer)).collect();
        let far = if granted { None } else { broken };
        assert_eq!(
            answers,
            [(3, None), (1, None), (1, None), (1, broken), (2, broken), (1, far), (1, broken), (1, broken), (1, broken), (1, None)]
        );
        assert_eq!(shares[9].name, "s@file");
        let url = |i: usize| {
            let service = &done.config.http.services[&shares[i].name].config;
            service.load_balancer.as_ref().unwrap().servers[0].url.clone()
        };
        assert_eq!([url(0), url(1), url(2)], ["http://10.1.0.1:8080", "http://10.1.0.1:8443", "h2c://10.1.0.1:8081"]);
        assert_eq!(shares[0].name, format!("{}-svc-default-web-0", name.trim_end_matches("-wrr")));
        assert!(done.is_rejected("httproute default/r", "no service default/nobody") && done.is_rejected("httproute default/r", "x/y"));
        assert_eq!(done.is_rejected("httproute default/r", "no ReferenceGrant in other"), !granted);
        assert_eq!(conditions(&done.status("HTTPRoute", "r")["parents"][0]), ["Accepted=True Accepted", "ResolvedRefs=False InvalidKind"]);
    }
    let closed =
        Options { config: KubernetesGatewayConfig { cross_provider_namespaces: Some(Vec::new()), ..Default::default() }, ..options() };
    let done = translate(&format!("{GROUND}{GATEWAY}{route}"), closed);
    assert!(done.is_rejected("httproute default/r", "crossProviderNamespaces"));
}

#[test]
fn nothing_to_send_to_is_answered_with_500() {
    for rules in [
        "{}",
        "{backendRefs: [{name: web, port: 80, weight: 0}]}",
        "{filters: [{type: RequestMirror}], backendRefs: [{name: web, port: 80}]}",
    ] {
        let done = with(&http("r", &format!("rules: [{rules}]")));
        let service = done.config.http.routers.values().next().unwrap().config.service.clone().unwrap();
        let shares = &done.config.http.services[&service].config.weighted.as_ref().unwrap().services;
        let open: Vec<_> = shares.iter().filter(|s| s.weight > 0).map(|s| s.answer).collect();
        assert_eq!(open, [Some(ShareAnswer::Status(500))], "{rules}");
    }
    let done = with(&http(
        "r",
        "rules: [{matches: [{path: {type: Exact, value: /api}}], backendRefs: [{group: traefik.io, kind: TraefikService, name: api@internal}]}]",
    ));
    assert_eq!(done.config.http.routers.values().next().unwrap().config.service.as_deref(), Some("api@internal"));
}

#[test]
fn filters_become_middlewares() {
    let done = with(&http(
        "r",
        "rules: [{matches: [{path: {type: PathPrefix, value: /old}}], filters: [\
         {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Set, value: s}], add: [{name: X-Add, value: a}], remove: [X-Rem]}}, \
         {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Set, value: s}]}}, \
         {type: URLRewrite, urlRewrite: {hostname: new.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}], \
         backendRefs: [{name: web, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [X-Back]}}]}]}, \
         {matches: [{path: {type: PathPrefix, value: /r}}], filters: [{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]}, \
         {matches: [{path: {type: Exact, value: /bad}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}}}]}, \
         {matches: [{path: {type: PathPrefix, value: /e}}], filters: [{type: ExtensionRef, extensionRef: {group: traefik.io, kind: Middleware, name: m}}]}]",
    ));
    let all: Vec<(&str, String)> =
        done.config.http.middlewares.values().map(|m| (m.config.kind.as_str(), m.config.node.to_json().to_string())).collect();
    let has = |kind: &str, json: &str| assert!(all.iter().any(|(k, j)| *k == kind && j == json), "{kind} {json} in {all:?}");
    has("requestHeaderModifier", r#"{"set":{"X-Set":"s"},"add":{"X-Add":"a"},"remove":["X-Rem"]}"#);
    has("URLRewrite", r#"{"hostname":"new.test","path":"/new","pathPrefix":"/old"}"#);
    has("requestRedirect", r#"{"scheme":"https","port":"","statusCode":301}"#);
    let first = done.config.http.routers.values().find(|r| r.config.rule.contains("/old")).unwrap();
    let kinds: Vec<&str> = first.config.middlewares.iter().map(|m| m.rsplit_once("-").unwrap().0.rsplit_once('-').unwrap().1).collect();
    assert_eq!(kinds, ["requestheadermodifier", "responseheadermodifier", "urlrewrite"]);
    assert!(done.config.http.services.values().any(|s| s.config.load_balancer.is_some() && s.config.middlewares.len() == 1));
    for why in ["replacePrefixMatch", "switch on the provider kubernetesCRD"] {
        assert!(done.is_rejected("httproute default/r", why), "{why} in {:?}", done.rejected);
    }
    // With the other provider the name is that of its middleware.
    let crd = Options { crd: Some(KubernetesCrdConfig::default()), ..options() };
    let done = translate(
        &format!(
            "{GROUND}{GATEWAY}{}",
            http("r", "rules: [{filters: [{type: ExtensionRef, extensionRef: {group: traefik.io, kind: Middleware, name: m}}]}]")
        ),
        crd,
    );
    assert_eq!(done.config.http.routers.values().next().unwrap().config.middlewares, ["default-m@kubernetescrd"]);
}

#[test]
fn listeners_say_what_is_wrong_with_them() {
    let listeners = "[{name: a, port: 80, protocol: HTTP, hostname: d.test}, {name: dup, port: 80, protocol: HTTP, hostname: d.test}, \
        {name: port, port: 1234, protocol: HTTP}, {name: udp, port: 80, protocol: UDP}, \
        {name: httptls, port: 80, protocol: HTTP, hostname: e.test, tls: {}}, {name: pass, port: 443, protocol: HTTPS, hostname: f.test, tls: {mode: Passthrough}}, \
        {name: notls, port: 443, protocol: HTTPS, hostname: g.test}, {name: nocert, port: 443, protocol: HTTPS, hostname: h.test, tls: {}}, \
        {name: gone, port: 443, protocol: HTTPS, hostname: i.test, tls: {certificateRefs: [{name: gone}]}}, \
        {name: far, port: 443, protocol: HTTPS, hostname: j.test, tls: {certificateRefs: [{name: c, namespace: other}]}}, \
        {name: kind, port: 80, protocol: HTTP, hostname: k.test, allowedRoutes: {kinds: [{kind: HTTPRoute}, {kind: TCPRoute}]}}]";
    let gateway =
        format!("---\nkind: Gateway\nmetadata: {{name: gw, generation: 3}}\nspec: {{gatewayClassName: torana, listeners: {listeners}}}\n");
    let done = translate(&format!("{GROUND}{gateway}"), options());
    let status = done.status("Gateway", "gw");
    assert_eq!(conditions(status), ["Accepted=True ListenersNotValid", "Programmed=True Programmed"]);
    let wrong: Vec<String> = status["listeners"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| {
            let all: Vec<String> = conditions(l)
                .into_iter()
                .filter(|c| !c.ends_with("=True Accepted") && !c.contains("NoConflicts") && !c.contains("=True ResolvedRefs"))
                .collect();
            format!("{}: {}", l["name"].as_str().unwrap(), all.join(", "))
        })
        .collect();
    assert_eq!(
        wrong,
        [
            "a: Programmed=True Programmed",
            "dup: Accepted=False Conflicted, Conflicted=True DuplicateListener, Programmed=False Invalid",
            "port: Accepted=False PortUnavailable, Programmed=False Invalid",
            "udp: Accepted=False UnsupportedProtocol, Programmed=False Invalid",
            "httptls: Accepted=False InvalidTLSConfiguration, Programmed=False Invalid",
            "pass: Accepted=False UnsupportedProtocol, Programmed=False Invalid",
            "notls: Accepted=False InvalidTLSConfiguration, Programmed=False Invalid",
            "nocert: Programmed=False Invalid, ResolvedRefs=False InvalidCertificateRef",
            "gone: Programmed=False Invalid, ResolvedRefs=False InvalidCertificateRef",
            "far: Programmed=False Invalid, ResolvedRefs=False RefNotPermitted",
            "kind: Programmed=True Programmed, ResolvedRefs=False InvalidRouteKinds",
        ]
    );
    assert!(done.is_rejected("gateway default/gw", "listener port: no entry point of the gateway has port 1234"));
    let none = translate(&format!("{GROUND}{}", gateway.replace(listeners, "[{name: port, port: 1234, protocol: HTTP}]")), options());
    assert_eq!(conditions(none.status("Gateway", "gw")), ["Accepted=False ListenersNotValid", "Programmed=False Invalid"]);
}

#[test]
fn routes_are_accepted_or_told_why_not() {
    let gateway = "---\nkind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: torana, listeners: [\
        {name: same, port: 80, protocol: HTTP, hostname: same.test}, \
        {name: all, port: 80, protocol: HTTP, hostname: '*.all.test', allowedRoutes: {namespaces: {from: All}}}, \
        {name: sel, port: 80, protocol: HTTP, hostname: sel.test, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: other}}}}}]}\n";
    let route = "---\nkind: HTTPRoute\nmetadata: {name: r, namespace: other}\nspec: {hostnames: [x.all.test, sel.test], rules: [{backendRefs: [{name: far, port: 80}]}], parentRefs: [\
        {name: gw, namespace: default, sectionName: sel}, {name: gw, namespace: default, sectionName: all}, {name: gw, namespace: default, sectionName: same}, \
        {name: gw, namespace: default, sectionName: none}, {name: gw, namespace: default, port: 81}, {name: absent, namespace: default}]}\n";
    let done = translate(&format!("{GROUND}{gateway}{route}"), options());
    let parents = done.status("HTTPRoute", "r")["parents"].as_array().unwrap();
    let accepted: Vec<String> = parents.iter().map(|p| conditions(p)[0].clone()).collect();
    assert_eq!(
        accepted,
        [
            "Accepted=True Accepted",
            "Accepted=True Accepted",
            "Accepted=False NotAllowedByListeners",
            "Accepted=False NoMatchingParent",
            "Accepted=False NoMatchingParent"
        ]
    );
    let mut rules: Vec<&str> = done.rules().into_iter().map(|r| r.0).collect();
    rules.sort_unstable();
    assert_eq!(rules, [r#"Host("sel.test") && PathPrefix("/")"#, r#"Host("x.all.test") && PathPrefix("/")"#]);
    // Other names, other classes and gateways that are not listed.
    let done = translate(&format!("{GROUND}{gateway}{}", http("r", "hostnames: [else.test]")), options());
    assert_eq!(conditions(&done.status("HTTPRoute", "r")["parents"][0])[0], "Accepted=False NoMatchingListenerHostname");
    let named = GatewayNameConfig { name: "else".into(), namespace: "default".into() };
    let listed = Options { config: KubernetesGatewayConfig { gateways: vec![named], ..Default::default() }, ..options() };
    for (yaml, options) in [(gateway.to_owned(), listed), (gateway.replace("torana", "nginx"), self::options())] {
        let done = translate(&format!("{GROUND}{yaml}{}", http("r", "")), options);
        assert!(done.config.http.routers.is_empty() && !done.statuses.iter().any(|s| s.resource.kind != "GatewayClass"));
    }
}

#[test]
fn entries_of_other_controllers_stay() {
    let foreign = "{controllerName: x/y, parentRef: {name: gw}, conditions: []}";
    let ours = "{controllerName: traefik.io/gateway-controller, parentRef: {name: old}, conditions: []}";
    let status = format!("status: {{parents: [{foreign}, {ours}]}}\n");
    let done = with(&(http("r", "rules: []") + &status));
    let names = |d: &Done| -> Vec<String> {
        let all = d.status("HTTPRoute", "r")["parents"].as_array().unwrap();
        all.iter().map(|p| format!("{} {}", p["controllerName"].as_str().unwrap(), p["parentRef"]["name"].as_str().unwrap())).collect()
    };
    assert_eq!(names(&done), ["x/y gw", "traefik.io/gateway-controller gw"]);
    // A route that has left us: what we said is taken back.
    let left = translate(&format!("{GROUND}{GATEWAY}{}{status}", http("r", "rules: []").replace("name: gw", "name: else")), options());
    assert_eq!(names(&left), ["x/y gw"]);
}

#[test]
fn policies_make_backends_speak_tls() {
    let policy = |name: &str, created: &str, target: &str, validation: &str| {
        format!(
            "---\nkind: BackendTLSPolicy\nmetadata: {{name: {name}, creationTimestamp: '{created}'}}\nspec: {{targetRefs: [{{kind: Service, name: {target}}}], validation: {{{validation}}}}}\n"
        )
    };
    let route = http("r", "rules: [{backendRefs: [{name: web, port: 80}, {name: web, port: 443}]}]");
    let done = with(
        &[
            route,
            policy("later", "2026-02-01T00:00:00Z", "web", "hostname: l.test, wellKnownCACertificates: System"),
            policy("first", "2026-01-01T00:00:00Z", "web", "hostname: f.test, caCertificateRefs: [{kind: ConfigMap, name: ca}]"),
            policy(
                "part",
                "2026-01-01T00:00:00Z",
                "web, sectionName: https",
                "hostname: p.test, caCertificateRefs: [{kind: ConfigMap, name: gone}]",
            ),
        ]
        .concat(),
    );
    let transports: Vec<_> =
        done.config.http.servers_transports.values().map(|t| (t.config.server_name.as_str(), t.config.root_cas.len())).collect();
    assert_eq!(transports, [("f.test", 1)]);
    let served = done.config.http.services.values().find_map(|s| s.config.load_balancer.as_ref()).unwrap();
    assert!(served.servers[0].url.starts_with("https://") && served.servers_transport.is_some());
    let of = |name: &str| conditions(&done.status("BackendTLSPolicy", name)["ancestors"][0]);
    assert_eq!(of("first"), ["Accepted=True Accepted", "ResolvedRefs=True ResolvedRefs"]);
    assert_eq!(of("later"), ["Accepted=False Conflicted"]);
    assert_eq!(of("part"), ["Accepted=False NoValidCACertificate", "ResolvedRefs=False InvalidCACertificateRef"]);
    assert!(done.is_rejected("httproute default/r", "no config map default/gone"));
}

#[test]
fn grpc_routes() {
    let route = "---\nkind: GRPCRoute\nmetadata: {name: g, creationTimestamp: '2026-01-02T00:00:00Z'}\nspec: {parentRefs: [{name: gw}], hostnames: [grpc.test], rules: [\
        {matches: [{method: {service: a.B, method: C}, headers: [{name: x, value: yy}]}, {method: {service: a.B}}, {method: {type: RegularExpression, method: 'G.*'}}], \
         backendRefs: [{name: web, port: 80}, {name: nobody, port: 80}]}, {backendRefs: [{name: web, port: 443}]}]}\n";
    let done = with(route);
    let mut rules = done.rules();
    rules.sort_unstable();
    // As Traefik 3.7.15 has them.
    assert_eq!(
        rules,
        [
            (r#"Host("grpc.test") && PathPrefix("/")"#, 24),
            (r#"Host("grpc.test") && PathRegexp("/[^/]+/G.*")"#, 33),
            (r#"Host("grpc.test") && PathRegexp("/a\\.B/C") && Header("x","yy")"#, 51),
            (r#"Host("grpc.test") && PathRegexp("/a\\.B/[^/]+")"#, 35),
        ]
    );
    let services = done.config.http.services.values();
    let urls: Vec<&str> = services.clone().filter_map(|s| Some(s.config.load_balancer.as_ref()?.servers[0].url.as_str())).collect();
    assert!(urls.iter().all(|u| u.starts_with("h2c://")), "{urls:?}");
    let mut shares = services.filter_map(|s| s.config.weighted.as_ref()).flat_map(|w| &w.services);
    assert!(shares.any(|s| s.answer == Some(ShareAnswer::GrpcUnavailable)));
    // Of two kinds of routes with one name the older one has it.
    for (created, grpc, http_route) in [("2026-01-01", "HostnameConflict", "Accepted"), ("2026-01-03", "Accepted", "HostnameConflict")] {
        let other = http("h", "hostnames: ['*.test']").replace("generation: 2", &format!("creationTimestamp: '{created}T00:00:00Z'"));
        let done = with(&format!("{route}{other}"));
        let reason = |kind: &str, name: &str| done.status(kind, name)["parents"][0]["conditions"][0]["reason"].clone();
        assert_eq!((reason("GRPCRoute", "g"), reason("HTTPRoute", "h")), (grpc.into(), http_route.into()));
    }
}

#[test]
fn tls_and_tcp_routes() {
    let gateway = "---\nkind: Secret\nmetadata: {name: c}\nstringData: {}\ndata: {tls.crt: LS0tLS1CRUdJTiBDRVJU, tls.key: LS0tLS1CRUdJTiBLRVk=}\n---\nkind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: torana, listeners: [\
        {name: pass, port: 443, protocol: TLS, hostname: pass.test, tls: {mode: Passthrough}}, \
        {name: term, port: 443, protocol: TLS, hostname: '*.term.test', tls: {certificateRefs: [{name: c}]}}, {name: tcp, port: 9000, protocol: TCP}]}\n";
    let tls = "---\nkind: TLSRoute\nmetadata: {name: t}\nspec: {parentRefs: [{name: gw}], hostnames: [pass.test, '*.term.test'], rules: [{backendRefs: [{name: web, port: 443}, {name: nobody, port: 1}]}]}\n";
    let tcp = "---\nkind: TCPRoute\nmetadata: {name: c}\nspec: {parentRefs: [{name: gw, sectionName: tcp}], rules: [{backendRefs: [{name: web, port: 80}]}]}\n";
    let done = translate(&format!("{GROUND}{gateway}{tls}{tcp}"), options());
    let mut routers: Vec<_> = done
        .config
        .tcp
        .routers
        .values()
        .map(|r| (r.config.rule.as_str(), r.config.priority, r.config.tls.as_ref().map(|t| t.passthrough), r.config.entry_points.join(",")))
        .collect();
    routers.sort();
    assert_eq!(
        routers,
        [
            (r#"HostSNI("*")"#, -1, None, "tcp".to_owned()),
            (r#"HostSNI("pass.test")"#, 9, Some(true), "tls".to_owned()),
            ("HostSNI(`*`) && !ALPN(`h2`) && !ALPN(`http/1.1`)", 1, Some(false), "tls".to_owned()),
            (r#"HostSNIRegexp("^[a-z0-9-]+\\.term\\.test$")"#, 10, Some(false), "tls".to_owned()),
        ]
    );
    assert_eq!(done.config.tls.certificates.len(), 1);
    assert!(done.is_rejected("tlsroute default/t", "no service default/nobody"));
    let plain = Options { config: KubernetesGatewayConfig::default(), ..options() };
    let done = translate(&format!("{GROUND}{gateway}{tcp}"), plain);
    assert!(done.config.tcp.routers.is_empty() && done.is_rejected("gateway default/gw", "experimentalChannel"));
}
