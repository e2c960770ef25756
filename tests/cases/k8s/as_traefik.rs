//! The same objects of the same API server, read by Torana and by the real Traefik: the configurations are compared,
//! object by object.

use super::Cluster;
use crate::harness::{Conn, Pki, Setup, free_port, root, within};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The real Traefik, and where its API is.
struct Traefik {
    process: Child,
    api: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Traefik {
    fn start(cluster: &Cluster, flags: &[String]) -> Option<Traefik> {
        let installed = Command::new(root().join("tests/services/traefik.sh")).arg("install").output().unwrap();
        if !installed.status.success() {
            let said = String::from_utf8_lossy(&installed.stderr).into_owned();
            assert!(std::env::var_os("CI").is_none(), "traefik.sh: {said}");
            eprintln!("SKIPPED: comparing with Traefik needs it: {said}");
            return None;
        }
        let (web, udp, api) = (free_port(), free_port(), free_port());
        let dir = tempfile::tempdir().unwrap();
        let process = Command::new(String::from_utf8(installed.stdout).unwrap().trim())
            .args([
                format!("--entrypoints.web.address=127.0.0.1:{web}"),
                format!("--entrypoints.udp.address=127.0.0.1:{udp}/udp"),
                format!("--entrypoints.traefik.address=127.0.0.1:{api}"),
                "--api.insecure=true".into(),
                "--api.dashboard=false".into(),
            ])
            .args(flags)
            .env("KUBECONFIG", &cluster.env["KUBECONFIG"])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Traefik { process, api: ([127, 0, 0, 1], api).into(), _dir: dir })
    }
}

impl Drop for Traefik {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `rawdata`, once it has objects of a provider and no longer changes.
fn rawdata(ask: impl Fn() -> Option<Value>, provider: &str) -> Value {
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
fn differences(theirs: &Value, ours: &Value, known: &[&str]) -> Vec<String> {
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
    let Some(cluster) = Cluster::start() else { return };
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
        let Some(traefik) = Traefik::start(&cluster, &flags) else { return };
        let ask = || {
            let answer = Conn::try_open(traefik.api).ok()?.get("127.0.0.1", "/api/rawdata");
            (answer.status == 200).then(|| answer.json())
        };
        let theirs = rawdata(ask, provider);
        let mut setup = Setup::new().env("KUBECONFIG", cluster.env["KUBECONFIG"].clone()).flag("--entrypoints.udp.address=127.0.0.1:0/udp");
        for flag in &flags {
            setup = setup.flag(flag);
        }
        let gateway = setup.start();
        let ours = rawdata(|| Some(gateway.admin("/api/rawdata").json()), provider);
        // In Traefik a chain with a middleware that is not there is disabled only where it is used. With safe names it
        // spells a reference with `@kubernetescrd` so that nothing can have the name.
        let known = ["default-chained@", "default_chained@", "default_chain-cross@", "ns2_my.route_6@"];
        assert_eq!(differences(&theirs, &ours, &known), [""; 0], "{flags:?}");
    }
}
