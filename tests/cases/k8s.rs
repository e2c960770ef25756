//! Providers of Kubernetes against a real API server (`tests/services/k8s.sh`).

mod as_traefik;
mod cluster;
mod knative;
mod measure;
mod nginx;

pub(crate) use cluster::{Cluster, address, object, route, service, slice};

use crate::harness::l4::{TcpServer, UdpClient, UdpServer, dial, says};
use crate::harness::{Backend, Gateway, Pki, Reply, Setup, TlsClient, eventually, root, within};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// What a host answers, as status and text.
fn ask(gateway: &Gateway, host: &str, path: &str) -> (u16, String) {
    let r = gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    (r.status, r.text().to_owned())
}

fn becomes(gateway: &Gateway, host: &str, path: &str, status: u16, text: &str) {
    eventually(&format!("{host}{path} answers {status} {text}"), || {
        let (s, t) = ask(gateway, host, path);
        (s == status && t.starts_with(text)).then_some(())
    });
}

/// The state of a provider, as the API shows it.
fn provider(gateway: &Gateway, name: &str) -> serde_json::Value {
    let all = gateway.admin("/api/providers").json();
    let found = all.as_array().and_then(|a| a.iter().find(|p| p["name"] == name)).cloned();
    found.unwrap_or_else(|| panic!("{name} is not in {all}"))
}

#[test]
fn routes_middlewares_secrets_and_weights() {
    let Some(cluster) = Cluster::shared() else { return };
    let ns = cluster.namespace();
    let echo = Backend::http(|r| Reply::ok(format!("echo {}", r.target)));
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    ns.apply(
        &[
            service("echo", &[address(&echo)]),
            "---\n".into(),
            service("a", &[address(&a)]),
            "---\n".into(),
            service("b", &[address(&b)]),
            "---\napiVersion: v1\nkind: Secret\nmetadata: {name: users}\nstringData: {users: 'joe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ='}\n"
                .into(),
            object("Middleware", "strip", "stripPrefix: {prefixes: [/api]}"),
            object("Middleware", "auth", "basicAuth: {secret: users}"),
            object("Middleware", "both", "chain: {middlewares: [{name: auth}, {name: strip}]}"),
            object("TraefikService", "split", "weighted: {services: [{name: a, port: 80, weight: 3}, {name: b, port: http, weight: 1}]}"),
            route(
                "r",
                "{match: Host(`strip.test`), kind: Rule, middlewares: [{name: strip}], services: [{name: echo, port: 80}]}, \
                 {match: Host(`auth.test`), kind: Rule, middlewares: [{name: both}], services: [{name: echo, port: http}]}, \
                 {match: Host(`split.test`), kind: Rule, services: [{name: split, kind: TraefikService}]}, \
                 {match: Host(`gone.test`), kind: Rule, services: [{name: gone, port: 80}]}",
            ),
        ]
        .concat(),
    );
    let gateway = ns.setup("kubernetescrd").start();
    becomes(&gateway, "strip.test", "/api/x", 200, "echo /x");
    assert_eq!(ask(&gateway, "auth.test", "/api/x").0, 401);
    let with = gateway.ask("GET /api/y HTTP/1.1\r\nHost: auth.test\r\nAuthorization: Basic am9lOnNlY3JldA==\r\n\r\n");
    assert_eq!((with.status, with.text()), (200, "echo /y"));
    let names: Vec<String> = (0..8).map(|_| ask(&gateway, "split.test", "/").1).collect();
    assert_eq!(names.iter().filter(|n| *n == "a").count(), 6, "{names:?}");
    assert_eq!(ask(&gateway, "gone.test", "/").0, 404);
    let shown = provider(&gateway, "kubernetescrd").to_string();
    assert!(
        shown.contains(&format!("ingressroute {}/r", ns.name)) && shown.contains(&format!("there is no service {}/gone", ns.name)),
        "{shown}"
    );
    assert!(!gateway.log().contains("5en6G6MezRroT3XKqkdPOmY"), "hashes of passwords stay out of the log");

    // What is missing comes, and what is there goes.
    ns.apply(&service("gone", &[address(&a)]));
    becomes(&gateway, "gone.test", "/", 200, "a");
    ns.delete(&["secret", "users"]);
    becomes(&gateway, "auth.test", "/", 404, "");
    ns.delete(&["ingressroute.traefik.io", "r"]);
    becomes(&gateway, "strip.test", "/", 404, "");
}

#[test]
fn tcp_udp_and_certificates_of_secrets() {
    let Some(cluster) = Cluster::shared() else { return };
    let ns = cluster.namespace();
    let (tcp, udp, web) = (TcpServer::named("db"), UdpServer::named("dns"), Backend::named("web"));
    let pki = Pki::new();
    let pair = pki.pair("site", &["site.test"]);
    let text = |p: &std::path::Path| {
        let pem = std::fs::read_to_string(p).unwrap();
        pem.lines().map(|l| format!("    {l}\n")).collect::<String>()
    };
    let secret = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: cert}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        text(&pair.cert_file),
        text(&pair.key_file)
    );
    ns.apply(
        &[
            service("db", &[tcp.address]),
            "---\n".into(),
            service("dns", &[udp.address]),
            "---\n".into(),
            service("web", &[address(&web)]),
            secret,
            object("IngressRouteTCP", "t", "entryPoints: [tcp], routes: [{match: HostSNI(`*`), services: [{name: db, port: 80}]}]"),
            object("IngressRouteUDP", "u", "entryPoints: [udp], routes: [{services: [{name: dns, port: 80}]}]"),
            object(
                "IngressRoute",
                "w",
                "entryPoints: [tls], routes: [{match: Host(`site.test`), kind: Rule, services: [{name: web, port: 80}]}], tls: {secretName: cert}",
            ),
        ]
        .concat(),
    );
    let gateway = ns
        .setup("kubernetescrd")
        .flag("--entrypoints.tcp.address=127.0.0.1:0")
        .flag("--entrypoints.udp.address=127.0.0.1:0/udp")
        .flag("--entrypoints.tls.address=127.0.0.1:0")
        .start();
    eventually("everything is there", || (gateway.admin("/api/overview").json()["udp"]["routers"]["total"] == 1).then_some(()));
    says(&mut dial(gateway.address("tcp")), "x", "db");
    assert!(UdpClient::to(gateway.address("udp")).ask("x").contains("dns"));
    let mut client = TlsClient::new().open(gateway.address("tls"), "site.test");
    assert_eq!(client.get("site.test", "/").text(), "web");
    assert_eq!(client.certificate(), pair.der, "the certificate of the secret");
    assert!(!gateway.log().contains("PRIVATE KEY"));
}

#[test]
fn ingresses_with_classes_paths_annotations_and_status() {
    let Some(cluster) = Cluster::shared() else { return };
    let ns = cluster.namespace();
    let (a, b) = (Backend::named("a"), Backend::http(|r| Reply::ok(format!("b {}", r.target))));
    // Classes belong to the whole cluster.
    let class = format!("{}-class", ns.name);
    cluster.apply(&format!(
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {class}}}\nspec: {{controller: traefik.io/ingress-controller}}\n"
    ));
    let path = |path: &str, kind: &str, service: &str| {
        format!("{{path: {path}, pathType: {kind}, backend: {{service: {{name: {service}, port: {{name: http}}}}}}}}")
    };
    let ingress = |name: &str, annotations: &str, class: &str, host: &str, paths: &str| {
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\n\
             spec: {{ingressClassName: {class}, rules: [{{host: {host}, http: {{paths: [{paths}]}}}}]}}\n"
        )
    };
    let strict = [path("/exact", "Exact", "a"), path("/pre", "Prefix", "b"), path("/bad", "Prefix", "gone")].join(", ");
    ns.apply(
        &[
            service("a", &[address(&a)]),
            "---\n".into(),
            service("b", &[address(&b)]),
            object("Middleware", "strip", "stripPrefix: {prefixes: [/m]}"),
            ingress("i", "", &class, "i.test", &strict),
            ingress("foreign", "", "foreign", "foreign.test", &path("/", "Prefix", "a")),
            ingress(
                "m",
                &format!("traefik.ingress.kubernetes.io/router.middlewares: {}-strip@kubernetescrd", ns.name),
                &class,
                "m.test",
                &path("/m", "Prefix", "b"),
            ),
        ]
        .concat(),
    );
    let gateway = ns
        .setup("kubernetesingress")
        .flag("--providers.kubernetescrd=true")
        .flag(format!("--providers.kubernetescrd.namespaces={}", ns.name))
        .flag("--providers.kubernetesingress.ingressendpoint.ip=192.0.2.7")
        .start();
    becomes(&gateway, "i.test", "/exact", 200, "a");
    assert_eq!(ask(&gateway, "i.test", "/exact/x").0, 404);
    assert_eq!(ask(&gateway, "i.test", "/pre/x"), (200, "b /pre/x".into()));
    assert_eq!(ask(&gateway, "i.test", "/bad").0, 404);
    assert_eq!(ask(&gateway, "foreign.test", "/").0, 404);
    becomes(&gateway, "m.test", "/m/x", 200, "b /x");
    let rejected = provider(&gateway, "kubernetes").to_string();
    assert!(rejected.contains(&format!("ingress {}/i", ns.name)) && rejected.contains("paths[2]"), "{rejected}");
    let status = |name: &str| cluster.kubectl(&["get", "ingress", "-n", &ns.name, name, "-o", "jsonpath={.status}"], "");
    eventually("the status is written", || status("i").contains("192.0.2.7").then_some(()));
    assert!(!status("foreign").contains("192.0.2.7"), "those of others are left alone");
}

/// Endpoints are replaced, one after another, as a rolling update does it, while clients ask. Nobody notices.
#[test]
fn a_rolling_update_loses_no_request() {
    let Some(cluster) = Cluster::shared() else { return };
    let ns = cluster.namespace();
    let old: Vec<Backend> = (0..2).map(|_| Backend::named("old")).collect();
    let new: Vec<Backend> = (0..2).map(|_| Backend::named("new")).collect();
    let servers: Vec<SocketAddr> = old.iter().map(address).collect();
    ns.apply(&[service("app", &servers), route("r", "{match: Host(`app.test`), kind: Rule, services: [{name: app, port: 80}]}")].concat());
    let gateway = ns.setup("kubernetescrd").start();
    becomes(&gateway, "app.test", "/", 200, "old");
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failed = std::thread::scope(|s| {
        let clients: Vec<_> = (0..3)
            .map(|_| {
                s.spawn(|| {
                    let mut failed = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let (status, text) = ask(&gateway, "app.test", "/");
                        asked.fetch_add(1, Ordering::Relaxed);
                        if status != 200 {
                            failed.push((status, text));
                        }
                    }
                    failed
                })
            })
            .collect();
        for (i, (gone, come)) in old.into_iter().zip(&new).enumerate() {
            ns.apply(slice("app", 10 + i, address(come), "ready: true, serving: true, terminating: false").trim_start_matches("---\n"));
            ns.apply(slice("app", i, address(&gone), "ready: false, serving: true, terminating: true").trim_start_matches("---\n"));
            // What a pod does: it serves until nobody asks it any more, which is its grace period.
            let mut before = gone.requests().len();
            within(Duration::from_secs(10), "the server that goes is left alone", || {
                std::thread::park_timeout(Duration::from_millis(300));
                let now = gone.requests().len();
                (std::mem::replace(&mut before, now) == now).then_some(())
            });
            ns.delete(&["endpointslice", &format!("app-{i}")]);
            drop(gone);
        }
        becomes(&gateway, "app.test", "/", 200, "new");
        over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|c| c.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(failed, [], "of {} requests", asked.load(Ordering::Relaxed));
    assert!(asked.load(Ordering::Relaxed) > 50);
}

/// The API server goes away and comes back: what was read is served, what changed meanwhile is seen, and the status
/// says how it is. After its start it has forgotten all places in its streams (410).
#[test]
fn the_api_server_goes_and_comes_back() {
    let Some(cluster) = Cluster::start() else { return };
    let ns = cluster.namespace();
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    ns.apply(
        &[
            service("a", &[address(&a)]),
            "---\n".into(),
            service("b", &[address(&b)]),
            route("r", "{match: Host(`app.test`), kind: Rule, services: [{name: a, port: 80}]}"),
        ]
        .concat(),
    );
    let gateway = ns.setup("kubernetescrd").start();
    becomes(&gateway, "app.test", "/", 200, "a");
    assert!(provider(&gateway, "kubernetescrd")["connectedSince"].is_string());
    cluster.script("halt");
    eventually("the status says that the server is away", || {
        let shown = provider(&gateway, "kubernetescrd");
        (shown["connectedSince"].is_null() && shown["failures"].as_u64() > Some(0)).then_some(())
    });
    assert_eq!(ask(&gateway, "app.test", "/"), (200, "a".into()));
    cluster.script("resume");
    ns.apply(&route("r", "{match: Host(`app.test`), kind: Rule, services: [{name: b, port: 80}]}"));
    within(Duration::from_secs(60), "the change is live", || (ask(&gateway, "app.test", "/").1 == "b").then_some(()));
    within(Duration::from_secs(60), "connected again", || provider(&gateway, "kubernetescrd")["connectedSince"].is_string().then_some(()));

    // A kind that is not defined is told, and read as soon as it is.
    cluster.kubectl(&["delete", "crd", "middlewares.traefik.io"], "");
    let mut second = ns.setup("kubernetescrd").start();
    becomes(&second, "app.test", "/", 200, "b");
    eventually("what is missing is named", || second.log().contains("does not know the kind Middleware:").then_some(()));
    second.stop();

    // Without rights there is nothing to serve, and it is said which are missing.
    let other = Setup::new()
        .flag("--providers.kubernetescrd.token=gateway-token")
        .flag(format!("--providers.kubernetescrd.endpoint={}", cluster.env["URL"]))
        .flag(format!("--providers.kubernetescrd.certauthfilepath={}", cluster.env["CA"]))
        .start();
    eventually("missing rights are named", || other.log().contains("the gateway may not read Secret").then_some(()));
    assert_eq!(ask(&other, "app.test", "/").0, 404);
    cluster.apply("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: g}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\nsubjects: [{kind: User, name: gateway, apiGroup: rbac.authorization.k8s.io}]\n");
    within(Duration::from_secs(60), "with rights it is served", || (ask(&other, "app.test", "/").1 == "b").then_some(()));
}

/// `examples/kubernetes`: its manifests are accepted, the rights that it grants suffice, and its requests get what
/// `requests.txt` says.
#[test]
fn the_example_serves_with_the_rights_that_it_grants() {
    let Some(cluster) = Cluster::start() else { return };
    let file = |name: &str| std::fs::read_to_string(root().join("examples/kubernetes").join(name)).unwrap();
    cluster.kubectl(&["apply", "-k", root().join("examples/kubernetes").to_str().unwrap()], "");
    let whoami = Backend::named("whoami");
    // As its README says: not on the server's side, which this one does in part only.
    cluster.kubectl(&["apply", "-f", "-"], &file("quickstart.yaml"));
    let endpoints = slice("whoami", 0, address(&whoami), "ready: true");
    cluster.apply(endpoints.trim_start_matches("---\n"));
    // The user stands for the service account.
    for (kind, binding, namespace) in [("clusterrolebinding", "torana", "default"), ("rolebinding", "torana-leader", "torana")] {
        let subjects = r#"{"subjects": [{"kind": "User", "name": "gateway", "apiGroup": "rbac.authorization.k8s.io"}]}"#;
        cluster.kubectl(&["patch", kind, binding, "-n", namespace, "--type", "merge", "-p", subjects], "");
    }
    cluster.kubectl(
        &["patch", "service", "torana", "-n", "torana", "--subresource", "status", "--type", "merge", "-p"]
            .into_iter()
            .chain([r#"{"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}}"#])
            .collect::<Vec<_>>(),
        "",
    );
    let gateway = Setup::new()
        .flag("--providers.kubernetescrd.token=gateway-token")
        .flag(format!("--providers.kubernetescrd.endpoint={}", cluster.env["URL"]))
        .flag(format!("--providers.kubernetescrd.certauthfilepath={}", cluster.env["CA"]))
        .flag("--providers.kubernetesingress.token=gateway-token")
        .flag(format!("--providers.kubernetesingress.endpoint={}", cluster.env["URL"]))
        .flag(format!("--providers.kubernetesingress.certauthfilepath={}", cluster.env["CA"]))
        .flag("--providers.kubernetesingress.ingressendpoint.publishedservice=torana/torana")
        .env("POD_NAMESPACE", "torana")
        .start();
    becomes(&gateway, "whoami.example.com", "/api/users", 200, "whoami");
    let mut asked = 0;
    for line in file("requests.txt").lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let (url, status) = line.strip_prefix("GET http://").unwrap().split_once(" -> ").unwrap();
        let (host, path) = url.split_at(url.find('/').unwrap());
        becomes(&gateway, host, path, status.parse().unwrap(), "");
        asked += 1;
    }
    assert!(asked > 2);
    let status = || cluster.kubectl(&["get", "ingress", "whoami", "-o", "jsonpath={.status}"], "");
    within(Duration::from_secs(30), "the status is written", || status().contains("192.0.2.9").then_some(()));
    let leases = cluster.kubectl(&["get", "leases", "-n", "torana", "-o", "name"], "");
    assert!(leases.contains("torana-kubernetes"), "{leases}");
    assert!(!gateway.log().contains("may not"), "{}", gateway.log());
}
