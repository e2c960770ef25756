//! Ingresses of ingress-nginx, served.

use super::{Cluster, address, ask, becomes, provider, service};
use crate::harness::{Backend, Reply, Setup, eventually};
use serde_json::json;

fn ingress(name: &str, annotations: &[(&str, &str)], path: &str, kind: &str, service: &str) -> String {
    let annotations: String = annotations.iter().map(|(k, v)| format!("    nginx.ingress.kubernetes.io/{k}: {}\n", json!(v))).collect();
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  annotations:\n    kubernetes.io/ingress.class: nginx\n{annotations}\
         spec: {{rules: [{{host: {name}.test, http: {{paths: [{{path: '{path}', pathType: {kind}, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}]}}\n"
    )
}

#[test]
fn annotations_of_nginx_are_served() {
    let Some(cluster) = Cluster::shared() else { return };
    let ns = cluster.namespace();
    let echo = Backend::http(|r| Reply::ok(format!("{} {} {}", r.method, r.target, r.header("host").unwrap_or_default())));
    let judge = Backend::http(|r| Reply::status(if r.target.contains("good") { 200 } else { 401 }).header("X-User", "ann"));
    let question = format!("{}/judge$request_uri", judge.url());
    let (open, regex) = ("Prefix", "ImplementationSpecific");
    ns.apply(
        &[
            service("echo", &[address(&echo)]),
            ingress("plain", &[], "/a", open, "echo"),
            ingress("gone", &[], "/", open, "gone"),
            ingress("rewrite", &[("rewrite-target", "/new/$2")], "/old(/|$)(.*)", regex, "echo"),
            ingress("root", &[("app-root", "/app")], "/", open, "echo"),
            ingress("moved", &[("permanent-redirect", "https://new.test/x")], "/", open, "echo"),
            ingress("secure", &[("force-ssl-redirect", "true")], "/", open, "echo"),
            ingress("vhost", &[("upstream-vhost", "$service_name.$host")], "/", open, "echo"),
            ingress("asked", &[("auth-url", &question), ("auth-signin", "https://in.test/")], "/", open, "echo"),
            ingress(
                "snippet",
                &[("configuration-snippet", "if ($arg_no) { return 403; }\nmore_set_headers \"X-From: $host\";")],
                "/",
                open,
                "echo",
            ),
            ingress("odd", &[("mirror-target", "https://m.test"), ("rewrite-traget", "/")], "/", open, "echo"),
            ingress("closed", &[("auth-type", "basic"), ("auth-secret", "gone")], "/", open, "echo"),
        ]
        .concat(),
    );
    let gateway = Setup::new()
        .env("KUBECONFIG", cluster.env["KUBECONFIG"].clone())
        .flag("--providers.kubernetesingressnginx=true".to_owned())
        .flag(format!("--providers.kubernetesingressnginx.watchnamespace={}", ns.name))
        .flag("--providers.kubernetesingressnginx.allowsnippetannotations=true".to_owned())
        .flag("--providers.kubernetesingressnginx.publishstatusaddress=192.0.2.7,gw.test".to_owned())
        .start();
    becomes(&gateway, "plain.test", "/a/b", 200, "GET /a/b plain.test");
    assert_eq!(ask(&gateway, "plain.test", "/ab").0, 404);
    assert_eq!(ask(&gateway, "gone.test", "/").0, 503);
    becomes(&gateway, "rewrite.test", "/OLD/x?q", 200, "GET /new/x?q");
    let location = |host: &str, status: u16| {
        let r = gateway.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(r.status, status, "{host}");
        r.header("location").unwrap_or_default().to_owned()
    };
    assert_eq!(location("root.test", 302), "http://root.test/app");
    assert_eq!(location("moved.test", 301), "https://new.test/x");
    assert_eq!(location("secure.test", 308), "https://secure.test/");
    assert_eq!(location("asked.test", 302), "https://in.test/?rd=http://asked.test%2F");
    becomes(&gateway, "asked.test", "/good", 200, "GET /good");
    becomes(&gateway, "vhost.test", "/", 200, "GET / echo.vhost.test");
    assert_eq!(ask(&gateway, "snippet.test", "/?no=1").0, 403);
    let from = gateway.ask("GET / HTTP/1.1\r\nHost: snippet.test\r\n\r\n");
    assert_eq!((from.status, from.header("x-from")), (200, Some("snippet.test")));
    assert_eq!(ask(&gateway, "closed.test", "/").0, 404, "what cannot ask for users is not open");

    let shown = provider(&gateway, "kubernetesingressnginx").to_string();
    assert!(shown.contains(&format!("ingress {}/closed", ns.name)) && shown.contains("there is no secret"), "{shown}");
    let told = gateway.log();
    assert!(told.contains("mirror-target") && told.contains("did you mean `rewrite-target`"), "{told}");
    eventually("the status is written", || {
        let status = cluster.kubectl(&["get", "ingress", "-n", &ns.name, "plain", "-o", "jsonpath={.status.loadBalancer.ingress}"], "");
        (status.contains("192.0.2.7") && status.contains("gw.test")).then_some(())
    });

    // What changes in the cluster changes here.
    ns.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: gone}\nstringData: {auth: 'joe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ='}\n");
    becomes(&gateway, "closed.test", "/", 401, "");
    let with = gateway.ask("GET /in HTTP/1.1\r\nHost: closed.test\r\nAuthorization: Basic am9lOnNlY3JldA==\r\n\r\n");
    assert_eq!((with.status, with.text()), (200, "GET /in closed.test"));
}
