//! The same objects of the same API server, read by Torana and by the real Traefik: the configurations are compared,
//! object by object.

use super::Cluster;
use crate::harness::{Peer, Pki, free_port, root, traefik, within};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// `rawdata`, once it has objects of a provider and no longer changes.
pub(super) fn rawdata(ask: impl Fn() -> Option<Value>, provider: &str) -> Value {
    let mut before = Value::Null;
    within(Duration::from_secs(60), "the configuration is there", || {
        let now = ask()?;
        let there = now["routers"].as_object()?.keys().any(|k| k.ends_with(&format!("@{provider}")));
        let rests = std::mem::replace(&mut before, now.clone()) == now;
        std::thread::park_timeout(Duration::from_millis(300));
        (there && rests).then_some(now)
    })
}

/// Without what says who, when and how, but not what.
fn comparable(object: &Value) -> Value {
    let mut o = object.clone();
    let Some(map) = o.as_object_mut() else { return o };
    for key in ["usedBy", "using", "observability", "ruleSyntax", "provider", "error", "serverStatus", "status"] {
        map.remove(key);
    }
    if let Some(lb) = map.get_mut("loadBalancer").and_then(Value::as_object_mut) {
        // Shown by ours alone.
        lb.remove("terminationDelay");
    }
    if map.get("tls").is_some_and(|t| t["options"] == "default") {
        map["tls"].as_object_mut().unwrap().remove("options");
    }
    o
}

/// What differs, in words.
pub(super) fn differences(theirs: &Value, ours: &Value, known: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let sections = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    for section in sections(theirs).union(&sections(ours)) {
        let names = |v: &Value| v[section].as_object().map(|o| o.keys().cloned().collect::<BTreeSet<_>>()).unwrap_or_default();
        for name in names(theirs).union(&names(ours)).filter(|n| !n.ends_with("@internal")) {
            let (t, o) = (&theirs[section][name], &ours[section][name]);
            if known.iter().any(|k| name.starts_with(k)) {
                continue;
            }
            if o.is_null() && t["status"] == "disabled" {
                // What cannot be served is left out, not shown as disabled.
                continue;
            }
            let base = name.split('@').next();
            let used = theirs["routers"].as_object().unwrap().values().any(|r| r["service"].as_str() == base);
            if section == "services" && o.is_null() && !used {
                // Traefik leaves the service of a route behind whose TLS options it refuses.
                continue;
            }
            if t.is_null() || o.is_null() {
                found.push(format!("{section} {name}: {}", if t.is_null() { "only ours" } else { "only Traefik's" }));
            } else if comparable(t) != comparable(o) {
                found.push(format!("{section} {name}:\n  Traefik {}\n  Torana  {}", comparable(t), comparable(o)));
            } else if t["status"] != o["status"] {
                found.push(format!("{section} {name}: {} {} / {} {}", t["status"], t["error"], o["status"], o["error"]));
            }
        }
    }
    found
}

#[test]
fn the_configuration_is_that_of_traefik() {
    let (Some(cluster), Some(traefik)) = (Cluster::start(), traefik()) else { return };
    let file = |name: &str| std::fs::read_to_string(root().join("tests/fixtures/k8s").join(name)).unwrap();
    let pki = Pki::new();
    for name in ["cert", "cert2"] {
        let pair = pki.pair(name, &[&format!("{name}.test")]);
        let from = |key: &str, path: &std::path::Path| format!("--from-file={key}={}", path.display());
        let files = [from("tls.crt", &pair.cert_file), from("tls.key", &pair.key_file), from("ca.crt", &pki.ca())];
        cluster.kubectl(&["create", "secret", "generic", name, "--type", "kubernetes.io/tls", &files[0], &files[1], &files[2]], "");
    }
    for name in ["custom.yaml", "borders.yaml", "ingress.yaml"] {
        cluster.kubectl(&["create", "-f", "-"], &file(name));
    }
    let crd = "--providers.kubernetescrd=true";
    let ingress = "--providers.kubernetesingress=true";
    let open = ["allowcrossnamespace", "allowexternalnameservices", "allowemptyservices", "safenaming"];
    let open: Vec<String> = open.iter().map(|o| format!("--providers.kubernetescrd.{o}=true")).collect();
    for (provider, flags) in [
        ("kubernetescrd", vec![crd.to_owned()]),
        ("kubernetescrd", [vec![crd.to_owned()], open].concat()),
        ("kubernetescrd", vec![crd.to_owned(), "--providers.kubernetescrd.crossprovidernamespaces=other".to_owned()]),
        ("kubernetes", vec![ingress.to_owned()]),
        ("kubernetes", vec![ingress.to_owned(), "--providers.kubernetesingress.strictprefixmatching=true".to_owned()]),
        ("kubernetes", vec![ingress.to_owned(), "--providers.kubernetesingress.allowemptyservices=true".to_owned()]),
        ("kubernetes", vec![ingress.to_owned(), "--providers.kubernetesingress.ingressclass=torana".to_owned()]),
        ("kubernetes", vec![ingress.to_owned(), "--providers.kubernetesingress.crossprovidernamespaces=other".to_owned()]),
    ] {
        let [theirs, ours] = both(&cluster, &traefik, provider, &flags);
        // In Traefik a chain with a middleware that is not there is disabled only where it is used. With safe names it
        // spells a reference with `@kubernetescrd` so that nothing can have the name.
        let known = ["default-chained@", "default_chained@", "default_chain-cross@", "ns2_my.route_6@"];
        assert_eq!(differences(&theirs, &ours, &known), [""; 0], "{flags:?}");
    }
}

/// What Traefik and Torana make of a cluster.
fn both(cluster: &Cluster, traefik: &std::path::Path, provider: &str, flags: &[String]) -> [Value; 2] {
    [Some(traefik), None].map(|program| {
        let flags = [flags, &[format!("--entrypoints.udp.address=127.0.0.1:{}/udp", free_port())]].concat();
        let peer = Peer::start(program, &flags, &[("KUBECONFIG", &cluster.env["KUBECONFIG"])]);
        rawdata(|| peer.rawdata(), provider)
    })
}

#[test]
fn ingresses_of_nginx_are_those_of_traefik() {
    let (Some(cluster), Some(traefik)) = (Cluster::start(), traefik()) else { return };
    let pki = Pki::new();
    let pair = pki.pair("cert", &["cert.test"]);
    let from = |key: &str, path: &std::path::Path| format!("--from-file={key}={}", path.display());
    let files = [from("tls.crt", &pair.cert_file), from("tls.key", &pair.key_file), from("ca.crt", &pair.cert_file)];
    cluster.kubectl(&["create", "secret", "generic", "cert", "--type", "kubernetes.io/tls", &files[0], &files[1], &files[2]], "");
    let objects = root().join("host/crates/kubernetes/src/nginx/tests/objects.yaml");
    // Services have their addresses in another range here.
    cluster.kubectl(&["create", "-f", "-"], &std::fs::read_to_string(objects).unwrap().replace("10.96.", "127.96."));
    let flag = |text: &str| format!("--providers.kubernetesingressnginx{text}");
    let entry_points = [flag(".httpentrypoint=web"), flag(".httpsentrypoint=web")];
    for more in [
        vec![],
        vec![".allowsnippetannotations=true", ".allowcrossnamespaceresources=true", ".globalallowedresponseheaders=X-One,X-Two"],
        vec![
            ".defaultbackendservice=default/pages",
            ".customhttperrors=418",
            ".globalauthurl=http://global.test",
            ".watchingresswithoutclass=true",
        ],
    ] {
        let flags = [vec![flag("=true")], entry_points.to_vec(), more.iter().map(|m| flag(m)).collect()].concat();
        let [theirs, ours] = both(&cluster, &traefik, "kubernetesingressnginx", &flags);
        // Of several hosts Traefik keeps the default backend of one, by chance.
        let known = [
            "default-own-full-default-backend",
            "default-backend-default-own-full-default-backend",
            // Shown without the end of its last line.
            "default-mtls-optional-rule-0-path-0-pass-certificate",
            "default-mtls-optional-rule-0-path-0-tls-pass-certificate",
            // What servers are told of a client is what its handshake verified, and who asks for more is rejected.
            "default-mtls-off-rule-0-path-0",
            "default-mtls-rule-0-path-0",
            "default-mtls-web-80",
            // It is served without the pages that are missing.
            "default-errors-gone-rule-0-path-0",
        ];
        assert_eq!(differences(&theirs, &ours, &known), [""; 0], "{flags:?}");
    }
}
