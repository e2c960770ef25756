//! Ingresses of Knative: beside the real Traefik, and what is served and told of them.

use super::as_traefik::{differences, rawdata};
use super::cluster::Cluster;
use crate::harness::{Backend, Peer, Pki, Reply, Setup, eventually, free_port, root, traefik};
use serde_json::Value;
use std::sync::Once;

const KIND: &str = "ingresses.networking.internal.knative.dev";
const CLASS: &str = "traefik.ingress.networking.knative.dev";

fn file(name: &str) -> String {
    std::fs::read_to_string(root().join("tests/fixtures/k8s").join(name)).unwrap()
}

fn define(cluster: &Cluster) {
    cluster.apply(&file("knative-crd.yaml"));
    cluster.kubectl(&["wait", "--for", "condition=established", "--timeout", "30s", "crd", "--all"], "");
}

/// The shared server, which knows the kind.
fn cluster() -> Option<&'static Cluster> {
    static KNOWN: Once = Once::new();
    let cluster = Cluster::shared()?;
    KNOWN.call_once(|| define(cluster));
    Some(cluster)
}

#[test]
fn knative_is_configured_as_by_traefik() {
    let (Some(cluster), Some(traefik)) = (Cluster::start(), traefik()) else { return };
    define(&cluster);
    let pki = Pki::new();
    let pair = pki.pair("cert", &["cert.test"]);
    let from = |key: &str, path: &std::path::Path| format!("--from-file={key}={}", path.display());
    let files = [from("tls.crt", &pair.cert_file), from("tls.key", &pair.key_file)];
    cluster.kubectl(&["create", "secret", "generic", "cert", "--type", "kubernetes.io/tls", &files[0], &files[1]], "");
    cluster.kubectl(&["create", "-f", "-"], &file("knative.yaml"));
    let base = ["--experimental.knative=true", "--providers.knative=true"];
    let private = format!("--entrypoints.private.address=127.0.0.1:{}", free_port());
    for more in [
        vec![],
        vec!["--providers.knative.publicentrypoints=web", "--providers.knative.privateentrypoints=private"],
        vec!["--providers.knative.namespaces=default"],
        vec!["--providers.knative.labelselector=only=this"],
    ] {
        let flags: Vec<String> = base.iter().chain(&more).map(|f| (*f).to_owned()).chain([private.clone()]).collect();
        let env = [("KUBECONFIG", cluster.env["KUBECONFIG"].as_str())];
        let [theirs, ours] = [Some(traefik.as_path()), None].map(|program| {
            let peer = Peer::start(program, &flags, &env);
            rawdata(|| peer.rawdata(), "knative")
        });
        // Headers of a split stand in a middleware, where Traefik has them in the share and does not show them; a
        // service without an address is left out, where Traefik's is at `None`; hosts are rewritten and requests
        // redirected, where Traefik passes over both.
        let known = [
            "default-nohosts-rule-0-path-0",
            "default-append-rule-0-path-0-split-0",
            "default-append-rule-0-path-1-split-0",
            "default-append-rule-0-path-3-split-0",
            "default-kinds-rule-0-path-0",
            "default-rewrite-rule-0-path-0",
            "default-redirect-rule-0-path-0",
        ];
        assert_eq!(differences(&theirs, &ours, &known), [""; 0], "{flags:?}");
    }
}

fn ingress(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.internal.knative.dev/v1alpha1\nkind: Ingress\n\
         metadata: {{name: {name}, annotations: {{networking.knative.dev/ingress.class: {CLASS}}}}}\nspec: {spec}\n"
    )
}

#[test]
fn splits_headers_hosts_and_statuses() {
    let Some(cluster) = cluster() else { return };
    let ns = cluster.namespace();
    let echo = |name: &'static str| {
        move |r: &crate::harness::Request| {
            let of = |h: &str| r.header(h).unwrap_or("-").to_owned();
            Reply::ok(format!("{name} {} {} {} {}", of("host"), of("x-path"), of("x-split"), of("x-both")))
        }
    };
    let (a, b) = (Backend::http_at("127.96.77.1", echo("a")), Backend::http_at("127.96.77.2", echo("b")));
    let service = |name: &str, backend: &Backend| {
        let at = super::address(backend);
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIP: {}, ports: [{{port: {}, protocol: TCP}}]}}\n",
            at.ip(),
            at.port()
        )
    };
    let split = |name: &str, backend: &Backend, more: &str| {
        let port = super::address(backend).port();
        format!("{{serviceNamespace: {}, serviceName: {name}, servicePort: {port}{more}}}", ns.name)
    };
    let rule =
        |host: &str, visibility: &str, path: &str| format!("{{hosts: [{host}], visibility: {visibility}, http: {{paths: [{path}]}}}}");
    let shares =
        format!("{}, {}", split("a", &a, ", percent: 25, appendHeaders: {X-Split: a, X-Both: split}"), split("b", &b, ", percent: 75"));
    let shared = format!("{{appendHeaders: {{X-Path: p, X-Both: path}}, splits: [{shares}]}}");
    let rewritten = format!("{{rewriteHost: inner.test, splits: [{}]}}", split("a", &a, ""));
    let local = format!("{{splits: [{}]}}", split("b", &b, ""));
    let rules = [
        rule("shares.test", "ExternalIP", &shared),
        rule("outer.test", "ExternalIP", &rewritten),
        rule("local.test", "ClusterLocal", &local),
    ];
    ns.apply(&[service("a", &a), service("b", &b), ingress("served", &format!("{{rules: [{}]}}", rules.join(", ")))].concat());
    ns.apply(&ingress(
        "lost",
        &format!("{{rules: [{}]}}", rule("lost.test", "ExternalIP", &format!("{{splits: [{}]}}", split("gone", &a, "")))),
    ));

    let gateway = Setup::new()
        .env("KUBECONFIG", cluster.env["KUBECONFIG"].clone())
        .env("CLUSTER_DOMAIN", "example.test")
        .flag("--experimental.knative=true")
        .flag(format!("--providers.knative.namespaces={}", ns.name))
        .flag("--providers.knative.publicentrypoints=web")
        .flag("--entrypoints.private.address=127.0.0.1:0")
        .flag("--providers.knative.privateentrypoints=private")
        .flag("--providers.knative.publicservice.name=torana")
        .flag("--providers.knative.publicservice.namespace=gateways")
        .start();
    super::becomes(&gateway, "outer.test", "/", 200, "a inner.test - - -");
    let said: Vec<String> = (0..8).map(|_| super::ask(&gateway, "shares.test", "/").1).collect();
    assert_eq!(said.iter().filter(|s| *s == "a shares.test p a split").count(), 2, "{said:?}");
    assert_eq!(said.iter().filter(|s| *s == "b shares.test p - path").count(), 6, "{said:?}");
    assert_eq!(super::ask(&gateway, "local.test", "/").0, 404, "not from outside");
    let inside = crate::harness::Conn::open(gateway.address("private")).get("local.test", "/");
    assert_eq!((inside.status, inside.text()), (200, "b local.test - - -"));

    let status = |name: &str, done: &dyn Fn(&Value) -> bool| {
        eventually("its status is written", || {
            let text = cluster.kubectl(&["get", "-n", &ns.name, KIND, name, "-o", "json"], "");
            let object: Value = serde_json::from_str(&text).unwrap();
            done(&object["status"]).then(|| object["status"].clone())
        })
    };
    let is = |status: &Value, kind: &str| status["conditions"].as_array().and_then(|c| c.iter().find(|c| c["type"] == kind)).cloned();
    let served = status("served", &|s| is(s, "Ready").is_some_and(|c| c["status"] == "True"));
    assert_eq!(served["observedGeneration"], 1);
    assert_eq!(served["publicLoadBalancer"]["ingress"][0]["domainInternal"], "torana.gateways.svc.example.test");
    assert_eq!(served["privateLoadBalancer"], serde_json::json!({}));
    let lost = status("lost", &|s| is(s, "Ready").is_some_and(|c| c["status"] == "False"));
    let message = is(&lost, "NetworkConfigured").unwrap()["message"].to_string();
    assert!(message.contains(&format!("there is no service {}/gone", ns.name)), "{message}");

    // What is missing comes, what is changed is observed, and what is there goes.
    ns.apply(&service("gone", &a).replace("clusterIP: 127.96.77.1", "clusterIP: 127.96.77.3"));
    status("lost", &|s| is(s, "Ready").is_some_and(|c| c["status"] == "True"));
    ns.apply(&ingress("served", &format!("{{rules: [{}]}}", rules[1])));
    super::becomes(&gateway, "shares.test", "/", 404, "");
    status("served", &|s| s["observedGeneration"] == 2);
    ns.delete(&[KIND, "served"]);
    super::becomes(&gateway, "outer.test", "/", 404, "");
}

/// `examples/kubernetes/knative`: the rights that it grants suffice, beside those of the example that it belongs to.
#[test]
fn knative_needs_no_more_rights_than_the_example_grants() {
    let Some(cluster) = Cluster::start() else { return };
    define(&cluster);
    let examples = root().join("examples/kubernetes");
    cluster.kubectl(&["apply", "-k", examples.to_str().unwrap()], "");
    cluster.kubectl(&["apply", "-f", examples.join("knative/rbac.yaml").to_str().unwrap()], "");
    // The user stands for the service account.
    let subjects = r#"{"subjects": [{"kind": "User", "name": "gateway", "apiGroup": "rbac.authorization.k8s.io"}]}"#;
    for (kind, binding, namespace) in [
        ("clusterrolebinding", "torana", "default"),
        ("clusterrolebinding", "torana-knative", "default"),
        ("rolebinding", "torana-leader", "torana"),
    ] {
        cluster.kubectl(&["patch", kind, binding, "-n", namespace, "--type", "merge", "-p", subjects], "");
    }
    cluster.kubectl(&["apply", "-f", "-"], ingress("empty", "{rules: []}").trim_start_matches("---\n"));
    let gateway = Setup::new()
        .flag("--experimental.knative=true")
        .flag("--providers.knative.token=gateway-token")
        .flag(format!("--providers.knative.endpoint={}", cluster.env["URL"]))
        .flag(format!("--providers.knative.certauthfilepath={}", cluster.env["CA"]))
        .env("POD_NAMESPACE", "torana")
        .start();
    eventually("the status is written", || {
        cluster
            .kubectl(&["get", KIND, "empty", "-o", "jsonpath={.status.conditions[*].status}"], "")
            .contains("True True True")
            .then_some(())
    });
    let leases = cluster.kubectl(&["get", "leases", "-n", "torana", "-o", "name"], "");
    assert!(leases.contains("torana-knative"), "{leases}");
    assert!(!gateway.log().contains("may not") && !gateway.log().contains("cannot be written"), "{}", gateway.log());
}
