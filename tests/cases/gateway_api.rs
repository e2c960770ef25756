//! The Gateway API against a real API server (`tests/services/k8s.sh`).

use super::k8s::Cluster;
use crate::harness::l4::{TcpServer, dial, says};
use crate::harness::{Backend, Conn, Gateway, Pki, Reply, Setup, TlsClient, eventually, free_port, root};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Once;

/// Kinds of the Gateway API: kind, plural, version, and whether they belong to the whole cluster.
const KINDS: [(&str, &str, &str, bool); 8] = [
    ("GatewayClass", "gatewayclasses", "v1", true),
    ("Gateway", "gateways", "v1", false),
    ("HTTPRoute", "httproutes", "v1", false),
    ("GRPCRoute", "grpcroutes", "v1", false),
    ("TLSRoute", "tlsroutes", "v1", false),
    ("TCPRoute", "tcproutes", "v1alpha2", false),
    ("ReferenceGrant", "referencegrants", "v1beta1", false),
    ("BackendTLSPolicy", "backendtlspolicies", "v1", false),
];

/// The shared server with the kinds of the Gateway API. Their schemas are open: the server is too old for the real ones.
fn cluster() -> Option<&'static Cluster> {
    static KNOWN: Once = Once::new();
    let cluster = Cluster::shared()?;
    KNOWN.call_once(|| {
        for (kind, plural, version, global) in KINDS {
            let scope = if global { "Cluster" } else { "Namespaced" };
            cluster.apply(&format!(
                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
                 metadata: {{name: {plural}.gateway.networking.k8s.io, annotations: {{api-approved.kubernetes.io: 'unapproved, for tests'}}}}\n\
                 spec:\n  group: gateway.networking.k8s.io\n  scope: {scope}\n  names: {{kind: {kind}, plural: {plural}}}\n  versions:\n  \
                 - {{name: {version}, served: true, storage: true, subresources: {{status: {{}}}}, schema: {{openAPIV3Schema: {{type: object, properties: {{\
                 spec: {{type: object, x-kubernetes-preserve-unknown-fields: true}}, status: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}}}}}\n"
            ));
        }
        cluster.kubectl(&["wait", "--for", "condition=established", "--timeout", "30s", "crd", "--all"], "");
    });
    Some(cluster)
}

/// A namespace with a class and a gateway of its own, and Torana beside it.
struct Lab {
    cluster: &'static Cluster,
    name: &'static str,
    web: u16,
    tls: u16,
    tcp: u16,
}

impl Lab {
    fn new(name: &'static str, listeners: impl Fn(&Lab) -> String) -> Option<Lab> {
        let cluster = cluster()?;
        let lab = Lab { cluster, name, web: free_port(), tls: free_port(), tcp: free_port() };
        cluster.apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}-other}}\n\
             ---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: {name}}}\nspec: {{controllerName: traefik.io/gateway-controller}}\n"
        ));
        lab.apply(&object("Gateway", "v1", "gw", &format!("gatewayClassName: {name}, listeners: [{}]", listeners(&lab))));
        Some(lab)
    }

    #[track_caller]
    fn apply(&self, yaml: &str) {
        self.cluster.kubectl(&["apply", "-n", self.name, "--server-side", "--force-conflicts", "-f", "-"], yaml);
    }

    fn start(&self) -> Gateway {
        Setup::new()
            .env("KUBECONFIG", self.cluster.env["KUBECONFIG"].clone())
            .flag("--providers.kubernetesgateway=true")
            .flag("--providers.kubernetesgateway.experimentalchannel=true")
            .flag("--providers.kubernetesgateway.statusaddress.ip=192.0.2.9")
            .flag("--providers.kubernetesgateway.gateways[0].name=gw")
            .flag(format!("--providers.kubernetesgateway.gateways[0].namespace={}", self.name))
            .flag(format!("--entrypoints.api1.address=127.0.0.1:{}", self.web))
            .flag(format!("--entrypoints.api2.address=127.0.0.1:{}", self.tls))
            .flag(format!("--entrypoints.api3.address=127.0.0.1:{}", self.tcp))
            .start()
    }

    /// `status` of an object.
    fn status(&self, kind: &str, name: &str) -> Value {
        let text = self.cluster.kubectl(&["get", "-n", self.name, kind, name, "-o", "json"], "");
        serde_json::from_str::<Value>(&text).unwrap()["status"].take()
    }

    /// Waits for a condition of what `find` takes out of a status.
    #[track_caller]
    fn condition(&self, kind: &str, name: &str, wanted: &str, find: impl Fn(&Value) -> Value) {
        let mut last = Value::Null;
        let found = |last: &mut Value| {
            *last = self.status(kind, name);
            let all = find(last)["conditions"].as_array().cloned().unwrap_or_default();
            let text =
                |c: &Value| format!("{}={} {}", c["type"].as_str().unwrap(), c["status"].as_str().unwrap(), c["reason"].as_str().unwrap());
            all.iter().any(|c| text(c) == wanted && c["lastTransitionTime"].as_str().is_some_and(|t| t.ends_with('Z'))).then_some(())
        };
        eventually(&format!("{kind} {name}: {wanted}"), || found(&mut last));
    }
}

fn object(kind: &str, version: &str, name: &str, spec: &str) -> String {
    format!("---\napiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

fn route(name: &str, rest: &str) -> String {
    object("HTTPRoute", "v1", name, &format!("parentRefs: [{{name: gw}}], {rest}"))
}

fn service(name: &str, server: SocketAddr) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{name: http, port: 80, protocol: TCP}}]}}\n\
         ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: http, port: {}}}]\nendpoints: [{{addresses: ['{}'], conditions: {{ready: true}}}}]\n",
        server.port(),
        server.ip()
    )
}

fn address(b: &Backend) -> SocketAddr {
    b.url().rsplit('/').next().unwrap().parse().unwrap()
}

/// Status, `Location` and text.
fn ask(port: u16, host: &str, path: &str, headers: &str) -> (u16, String, String) {
    let mut conn = Conn::open(SocketAddr::from(([127, 0, 0, 1], port)));
    conn.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"));
    let r = conn.response();
    (r.status, r.header("location").unwrap_or_default().to_owned(), r.text().to_owned())
}

#[track_caller]
fn becomes(port: u16, host: &str, path: &str, status: u16, text: &str) {
    eventually(&format!("{host}{path} answers {status} {text}"), || {
        let (s, _, t) = ask(port, host, path, "");
        (s == status && t.starts_with(text)).then_some(())
    });
}

#[test]
fn http_routes_match_filter_and_share() {
    let Some(lab) =
        Lab::new("gw-http", |l| format!("{{name: http, port: {}, protocol: HTTP}}, {{name: nowhere, port: 1, protocol: HTTP}}", l.web))
    else {
        return;
    };
    let echo = Backend::http(|r| {
        let of = |n: &str| r.header(n).unwrap_or_default().to_owned();
        Reply::ok(format!("echo {} {} [{}] [{}]", of("host"), r.target, of("x-set"), of("x-back"))).header("x-server", "secret")
    });
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    lab.apply(&[service("echo", address(&echo)), service("a", address(&a)), service("b", address(&b))].concat());
    lab.cluster.kubectl(&["apply", "-n", "gw-http-other", "--server-side", "-f", "-"], &service("far", address(&b)));
    lab.apply(
        &[
            route(
                "match",
                "hostnames: [m.test], rules: [\
                 {matches: [{path: {type: PathPrefix, value: /p}}], backendRefs: [{name: a, port: 80}]}, \
                 {matches: [{path: {type: Exact, value: /p/exact}}, {path: {type: PathPrefix, value: /p}, headers: [{name: x-v, value: two}]}, \
                            {path: {type: PathPrefix, value: /p}, queryParams: [{name: v, value: two}]}], backendRefs: [{name: b, port: 80}]}]",
            ),
            route(
                "filters",
                "hostnames: [f.test], rules: [\
                 {matches: [{path: {type: PathPrefix, value: /old}}], filters: [\
                  {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Set, value: s}]}}, \
                  {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [X-Server]}}, \
                  {type: URLRewrite, urlRewrite: {hostname: new.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}], \
                  backendRefs: [{name: echo, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Back, value: b}]}}]}]}, \
                 {matches: [{path: {type: PathPrefix, value: /r}}], filters: [{type: RequestRedirect, requestRedirect: {scheme: https, hostname: r.test, port: 8443, \
                  statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}}}]}, \
                 {matches: [{path: {type: PathPrefix, value: /mirror}}], filters: [{type: RequestMirror, requestMirror: {}}], backendRefs: [{name: a, port: 80}]}]",
            ),
            route(
                "shares",
                "hostnames: [s.test], rules: [{backendRefs: [{name: a, port: 80, weight: 2}, {name: nobody, port: 80}, {name: far, namespace: gw-http-other, port: 80}]}]",
            ),
        ]
        .concat(),
    );
    let gateway = lab.start();
    becomes(lab.web, "m.test", "/p", 200, "a");
    let text = |path: &str, headers: &str| ask(lab.web, "m.test", path, headers).2;
    assert_eq!([text("/p/x", ""), text("/p/exact", ""), text("/p/x", "x-v: two\r\n"), text("/p/x?v=two", "")], ["a", "b", "b", "b"]);
    assert_eq!([ask(lab.web, "m.test", "/px", "").0, ask(lab.web, "x.test", "/p", "").0], [404, 404]);

    assert_eq!(ask(lab.web, "f.test", "/old/x?q", ""), (200, String::new(), "echo new.test /new/x?q [s] [b]".into()));
    assert_eq!(ask(lab.web, "f.test", "/r/y", ""), (301, "https://r.test:8443/x/y".into(), "Moved Permanently".into()));
    assert_eq!(ask(lab.web, "f.test", "/mirror", "").0, 500, "a filter that is not there fails its rule alone");

    let statuses = |n: usize| (0..n).map(|_| ask(lab.web, "s.test", "/", "")).map(|(s, _, t)| (s, t)).collect::<Vec<_>>();
    let seen = statuses(8);
    assert_eq!((seen.iter().filter(|r| r.1 == "a").count(), seen.iter().filter(|r| r.0 == 500).count()), (4, 4), "{seen:?}");
    let parent = |s: &Value| s["parents"][0].clone();
    lab.condition("httproute", "shares", "ResolvedRefs=False RefNotPermitted", parent);
    lab.condition("httproute", "match", "Accepted=True Accepted", parent);
    lab.condition("gateway", "gw", "Accepted=True ListenersNotValid", Value::clone);
    lab.condition("gateway", "gw", "Accepted=False PortUnavailable", |s| s["listeners"][1].clone());
    let status = lab.status("gateway", "gw");
    assert_eq!((&status["addresses"][0]["value"], &status["listeners"][0]["attachedRoutes"]), (&"192.0.2.9".into(), &3.into()));
    let shown = gateway.admin("/api/providers").text().to_owned();
    for why in ["there is no service gw-http/nobody", "no ReferenceGrant in gw-http-other", "RequestMirror is not supported"] {
        assert!(shown.contains(why), "{why} in {shown}");
    }

    // Granted, and what was missing comes.
    lab.cluster.kubectl(
        &["apply", "-n", "gw-http-other", "--server-side", "-f", "-"],
        &object(
            "ReferenceGrant",
            "v1beta1",
            "g",
            "from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: gw-http}], to: [{group: '', kind: Service}]",
        ),
    );
    lab.apply(&service("nobody", address(&a)));
    lab.condition("httproute", "shares", "ResolvedRefs=True ResolvedRefs", parent);
    eventually("every share is served", || statuses(8).iter().all(|r| r.0 == 200).then_some(()));
    lab.cluster.kubectl(&["delete", "-n", lab.name, "httproute", "match"], "");
    becomes(lab.web, "m.test", "/p", 404, "");
    let attached = |s: &Value| s["listeners"][0]["attachedRoutes"].clone();
    eventually("the route is counted no more", || (attached(&lab.status("gateway", "gw")) == 2).then_some(()));
}

#[test]
fn tls_and_tcp() {
    let Some(lab) = Lab::new("gw-tls", |l| {
        format!(
            "{{name: https, port: {}, protocol: HTTPS, hostname: site.test, tls: {{mode: Terminate, certificateRefs: [{{name: cert}}]}}}}, \
             {{name: pass, port: {1}, protocol: TLS, hostname: pass.test, tls: {{mode: Passthrough}}}}, \
             {{name: tcp, port: {2}, protocol: TCP}}",
            l.tls, l.web, l.tcp
        )
    }) else {
        return;
    };
    let pki = Pki::new();
    let site = pki.pair("site", &["site.test"]);
    let secure = Backend::tls(pki.server("inside.test", &["http/1.1"], false), |_| Reply::ok("secure"));
    let db = TcpServer::named("db");
    let indented = |p: &Path| std::fs::read_to_string(p).unwrap().lines().map(|l| format!("    {l}\n")).collect::<String>();
    lab.apply(
        &[
            service("secure", address(&secure)),
            service("db", db.address),
            format!(
                "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: cert}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
                indented(&site.cert_file),
                indented(&site.key_file)
            ),
            format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca}}\ndata:\n  ca.crt: |\n{}", indented(&pki.ca())),
            object(
                "BackendTLSPolicy",
                "v1",
                "inside",
                "targetRefs: [{kind: Service, name: secure}], validation: {hostname: inside.test, caCertificateRefs: [{kind: ConfigMap, name: ca}]}",
            ),
            route("site", "hostnames: [site.test], rules: [{backendRefs: [{name: secure, port: 80}]}]"),
            object("TLSRoute", "v1", "pass", "parentRefs: [{name: gw, sectionName: pass}], hostnames: [pass.test], rules: [{backendRefs: [{name: secure, port: 80}]}]"),
            object("TCPRoute", "v1alpha2", "db", "parentRefs: [{name: gw, sectionName: tcp}], rules: [{backendRefs: [{name: db, port: 80}]}]"),
        ]
        .concat(),
    );
    let gateway = lab.start();
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let (mut ended, mut text) = (None, String::new());
    eventually("HTTPS by the certificate of the secret, to a server by TLS", || {
        let mut client = TlsClient::new().try_open(at(lab.tls), "site.test").ok()?;
        text = client.try_get("site.test", "/").ok()?.text().to_owned();
        ended = Some(client.certificate());
        (text == "secure").then_some(())
    });
    assert_eq!(ended.unwrap(), site.der);
    let mut through = TlsClient::new().open(at(lab.web), "pass.test");
    assert_ne!(through.certificate(), site.der, "the server's own");
    assert_eq!(through.get("pass.test", "/").text(), "secure");
    says(&mut dial(at(lab.tcp)), "x", "db");
    lab.condition("backendtlspolicy", "inside", "Accepted=True Accepted", |s| s["ancestors"][0].clone());
    lab.condition("tlsroute", "pass", "Accepted=True Accepted", |s| s["parents"][0].clone());
    // Without its authority the backend is not spoken to at all.
    lab.cluster.kubectl(&["delete", "-n", lab.name, "configmap", "ca"], "");
    lab.condition("backendtlspolicy", "inside", "Accepted=False NoValidCACertificate", |s| s["ancestors"][0].clone());
    eventually("the route is answered with 500", || {
        let status = TlsClient::new().open(at(lab.tls), "site.test").get("site.test", "/").status;
        (status == 500).then_some(())
    });
    assert!(!gateway.log().contains("PRIVATE KEY"));
}

/// `examples/kubernetes/gateway`: its manifests are accepted, what it grants is what is asked for, and it serves.
#[test]
fn the_example_serves() {
    let Some(lab) = Lab::new("gw-example", |_| "{name: unused, port: 1, protocol: HTTP}".into()) else { return };
    let file = |name: &str| std::fs::read_to_string(root().join("examples/kubernetes/gateway").join(name)).unwrap();
    let whoami = Backend::named("whoami");
    lab.apply(&service("whoami", address(&whoami)));
    lab.cluster.apply(&file("rbac.yaml"));
    let port = format!("port: {}", lab.web);
    let moved = |text: String| text.replace("namespace: default", "namespace: gw-example").replace("port: 8000", &port);
    // Other tests have gateways of their own beside it.
    let text = moved(file("gateway.yaml")).replace("{name: torana, namespace", "{name: gw, namespace");
    lab.cluster.apply(&text.replace("parentRefs: [{name: torana}]", "parentRefs: [{name: gw}]"));
    for (kind, plural, _, _) in KINDS {
        let asked = format!("{plural}.gateway.networking.k8s.io");
        let args = ["auth", "can-i", "watch", &asked, "-A", "--as", "system:serviceaccount:torana:torana"];
        assert_eq!(lab.cluster.kubectl(&args, "").lines().last(), Some("yes"), "{kind}");
    }
    let _gateway = lab.start();
    becomes(lab.web, "gateway.example.com", "/", 200, "whoami");
    assert_eq!(ask(lab.web, "gateway.example.com", "/old/x", "").1, "http://gateway.example.com/new/x");
    lab.condition("gateway", "gw", "Programmed=True Programmed", Value::clone);
}
