use super::*;
use crate::cluster::testing::cluster;

const SERVICES: &str = "
kind: Service
metadata: {name: a}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}, {name: grpc, port: 81, appProtocol: kubernetes.io/h2c}]}
---
kind: Service
metadata: {name: b}
spec: {clusterIP: 'fd00::b', ports: [{port: 80}]}
---
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, ports: [{port: 80}]}
---
kind: Service
metadata: {name: out}
spec: {type: ExternalName, externalName: example.test, ports: [{port: 80}]}
---
kind: Secret
metadata: {name: cert}
data: {tls.crt: Y2VydA==, tls.key: a2V5}
";

fn ingress(name: &str, spec: &str) -> String {
    format!(
        "---\nkind: Ingress\napiVersion: networking.internal.knative.dev/v1alpha1\n\
         metadata: {{name: {name}, generation: 3, annotations: {{networking.knative.dev/ingress.class: {OURS}}}}}\nspec: {spec}\n"
    )
}

const OURS: &str = "traefik.ingress.networking.knative.dev";

fn split(service: &str, port: &str, more: &str) -> String {
    format!("{{serviceNamespace: default, serviceName: {service}, servicePort: {port}{more}}}")
}

fn rule(host: &str, visibility: &str, paths: &str) -> String {
    format!("{{hosts: [{host}], visibility: {visibility}, http: {{paths: [{paths}]}}}}")
}

/// What the ingresses come to, with objects of a kind as JSON; and reasons, and statuses by name.
struct Made {
    config: RoutingConfig,
    rejected: Vec<String>,
    statuses: BTreeMap<String, Json>,
}

fn translate_with(config: KnativeConfig, ingresses: &[String]) -> Made {
    let mut cluster = cluster(SERVICES);
    // In tests the kinds of both groups are called alike: those of Knative stand among the custom ones.
    for text in ingresses {
        let json =
            torana_config::parse::parse(text.trim_start_matches('-'), torana_config::parse::Format::Yaml, "test".into()).unwrap().to_json();
        let object: DynamicObject = serde_json::from_value(json).unwrap();
        let namespace = object.metadata.namespace.clone().unwrap_or_else(|| "default".into());
        let key = (namespace, object.metadata.name.clone().unwrap());
        cluster.custom.entry("Ingress".into()).or_default().insert(key, object.into());
    }
    let made = Knative::new(config, "cluster.local".into()).translate(&cluster);
    let rejected = made.document.objects.rejected.iter().flat_map(|r| r.reasons.iter().map(|why| format!("{}: {why}", r.name)));
    Made {
        rejected: rejected.collect(),
        statuses: made.statuses.into_iter().map(|s| (s.name, s.wanted)).collect(),
        config: made.document.config,
    }
}

fn translate(ingresses: &[String]) -> Made {
    translate_with(KnativeConfig::default(), ingresses)
}

impl Made {
    fn routers(&self) -> Vec<&str> {
        self.config.http.routers.keys().map(String::as_str).collect()
    }

    fn urls(&self, service: &str) -> Vec<&str> {
        let lb = self.config.http.services[service].config.load_balancer.as_ref().unwrap();
        lb.servers.iter().map(|s| s.url.as_str()).collect()
    }

    fn weights(&self, service: &str) -> Vec<(&str, i64)> {
        let weighted = self.config.http.services[service].config.weighted.as_ref().unwrap();
        weighted.services.iter().map(|s| (s.name.as_str(), s.weight)).collect()
    }
}

#[test]
fn paths_are_routers_and_splits_are_weighed() {
    let shares = format!("{}, {}", split("a", "80", ", percent: 30, appendHeaders: {K-Rev: one}"), split("b", "80", ", percent: 70"));
    let paths =
        format!("{{splits: [{shares}], appendHeaders: {{X-Path: p}}}}, {{path: /g, splits: [{}]}}", split("a", "grpc", ", percent: 5"));
    let made = translate(&[ingress("i", &format!("{{rules: [{}]}}", rule("a.test", "ExternalIP", &paths)))]);
    assert_eq!(made.rejected, [""; 0]);
    assert_eq!(made.routers(), ["default-i-rule-0-path-0", "default-i-rule-0-path-1"]);
    let first = &made.config.http.routers["default-i-rule-0-path-0"].config;
    assert_eq!(first.rule, r#"(Host("a.test"))"#);
    assert_eq!(first.middlewares, ["default-i-rule-0-path-0-append-headers"]);
    assert_eq!(first.service.as_deref(), Some("default-i-rule-0-path-0-wrr"));
    assert_eq!(
        made.weights("default-i-rule-0-path-0-wrr"),
        [("default-i-rule-0-path-0-split-0", 30), ("default-i-rule-0-path-0-split-1", 70)]
    );
    assert_eq!(made.urls("default-i-rule-0-path-0-split-1"), ["http://[fd00::b]:80"]);
    let share = &made.config.http.services["default-i-rule-0-path-0-split-0"].config;
    assert_eq!(share.middlewares, ["default-i-rule-0-path-0-split-0-append-headers"]);
    assert_eq!(made.weights("default-i-rule-0-path-1-wrr"), [("default-i-rule-0-path-1-split-0", 100)], "one alone has all");
    assert_eq!(made.urls("default-i-rule-0-path-1-split-0"), ["h2c://10.0.0.1:81"]);
}

#[test]
fn a_path_without_its_service_is_left_out_and_the_status_says_so() {
    let bad = ["missing", "headless", "out"].map(|s| format!("{{splits: [{}]}}", split(s, "80", ""))).join(", ");
    let paths = format!("{bad}, {{splits: [{}]}}, {{splits: [{}]}}", split("a", "82", ""), split("a", "80", ""));
    let made = translate(&[
        ingress("i", &format!("{{rules: [{}]}}", rule("a.test", "ExternalIP", &paths))),
        ingress("empty", &format!("{{rules: [{}]}}", rule("", "ExternalIP", &format!("{{splits: [{}]}}", split("a", "80", ""))))),
    ]);
    assert_eq!(made.routers(), ["default-i-rule-0-path-4"]);
    for why in [
        "no service default/missing",
        "service default/headless has no address",
        "service default/out has no address",
        "no port 82",
        "needs a host",
    ] {
        assert!(made.rejected.iter().any(|r| r.contains(why)), "{why}: {:?}", made.rejected);
    }
    let status = &made.statuses["i"];
    let of = |kind: &str| status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap();
    assert_eq!((&of("Ready")["status"], &of("NetworkConfigured")["status"]), (&json!("False"), &json!("False")));
    assert!(of("Ready")["message"].as_str().unwrap().contains("spec.rules[0].http.paths[0]: splits[0]: there is no service"));
}

#[test]
fn who_may_see_a_rule() {
    let path = format!("{{splits: [{}]}}", split("a", "80", ""));
    let rules = format!("{{rules: [{}, {}]}}", rule("a.test", "ExternalIP", &path), rule("b.local", "ClusterLocal", &path));
    let made = translate(&[ingress("i", &rules)]);
    assert_eq!(made.routers(), ["default-i-rule-0-path-0"]);
    assert_eq!(made.statuses["i"]["conditions"][2]["status"], "True", "what is not to be seen is not missing");
    let service = |name: &str| Some(torana_config::install::GatewayNameConfig { name: name.into(), namespace: "kn".into() });
    let config = KnativeConfig {
        public_entrypoints: vec!["web".into()],
        private_entrypoints: vec!["private".into()],
        public_service: service("public"),
        ..KnativeConfig::default()
    };
    let made = translate_with(config, &[ingress("i", &rules)]);
    let entry_points = |name: &str| made.config.http.routers[name].config.entry_points.clone();
    assert_eq!(entry_points("default-i-rule-0-path-0"), ["web"]);
    assert_eq!(entry_points("default-i-rule-1-path-0"), ["private"]);
    let status = &made.statuses["i"];
    assert_eq!(status["publicLoadBalancer"]["ingress"][0]["domainInternal"], "public.kn.svc.cluster.local");
    assert_eq!((&status["privateLoadBalancer"]["ingress"], &status["observedGeneration"]), (&Json::Null, &json!(3)));
}

#[test]
fn certificates_redirects_and_other_hosts() {
    let path = format!("{{rewriteHost: inner.test, splits: [{}]}}", split("a", "80", ""));
    let spec = |name: &str, namespace: &str| {
        format!(
            "{{httpOption: Redirected, tls: [{{secretName: {name}, secretNamespace: {namespace}}}], rules: [{}]}}",
            rule("a.test", "ExternalIP", &path)
        )
    };
    let made = translate(&[
        ingress("good", &spec("cert", "default")),
        ingress("bad", &spec("none", "default")),
        ingress("far", &spec("cert", "x")),
    ]);
    let [far, good] = ["far", "good"].map(|n| format!("default-{n}-rule-0-path-0"));
    assert_eq!(made.routers(), [far.clone(), format!("{far}-tls"), good.clone(), format!("{good}-tls")]);
    assert_eq!(made.config.tls.certificates.len(), 1);
    assert_eq!(made.rejected.len(), 1, "{:?}", made.rejected);
    assert!(made.rejected[0].starts_with("ingress default/bad: spec.tls[0].secretName: there is no secret default/none"));
    let middlewares = |name: &str| made.config.http.routers[name].config.middlewares.clone();
    assert_eq!(middlewares(&good), [format!("{good}-redirect"), format!("{good}-rewrite-host")]);
    assert_eq!(middlewares(&format!("{good}-tls")), [format!("{good}-rewrite-host")]);
}

#[test]
fn ingresses_of_others_are_left_alone() {
    let spec = format!("{{rules: [{}]}}", rule("a.test", "ExternalIP", &format!("{{splits: [{}]}}", split("a", "80", ""))));
    let other = ingress("other", &spec).replace(OURS, "kourier.ingress.networking.knative.dev");
    let unread = ingress("unread", "{rules: 7}");
    let made = translate(&[other, unread, ingress("none", "{rules: null}")]);
    assert!(made.routers().is_empty());
    assert_eq!(made.rejected.len(), 1, "{:?}", made.rejected);
    assert_eq!(made.statuses.keys().collect::<Vec<_>>(), ["none", "unread"]);
}

#[test]
fn a_younger_ingress_does_not_take_the_names_of_an_older_one() {
    let spec = |host: &str| format!("{{rules: [{}]}}", rule(host, "ExternalIP", &format!("{{splits: [{}]}}", split("a", "80", ""))));
    let made = |namespace: &str, name: &str, created: u8, host: &str| {
        let metadata = format!("metadata: {{namespace: {namespace}, creationTimestamp: '2026-01-0{created}T00:00:00Z', ");
        ingress(name, &spec(host)).replace("metadata: {", &metadata)
    };
    let made = translate(&[made("a", "b-x", 2, "late.test"), made("a-b", "x", 1, "first.test")]);
    assert_eq!(made.routers(), ["a-b-x-rule-0-path-0"]);
    assert_eq!(made.config.http.routers["a-b-x-rule-0-path-0"].config.rule, r#"(Host("first.test"))"#);
    assert_eq!(made.rejected.len(), 1, "{:?}", made.rejected);
    assert!(made.rejected[0].starts_with("ingress a/b-x: spec.rules[0].http.paths[0]: an older ingress has the name"));
    let ready =
        |name: &str| made.statuses[name]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap()["status"].clone();
    assert_eq!((ready("x"), ready("b-x")), ("True".into(), "False".into()));
}
