//! The same Consul in Torana and in the real Traefik: routers and services are the same.

use super::consul::{deregister, flag, register, service, start};
use crate::harness::{Backend, Conn, Gateway, Setup, eventually, free_port, root};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

struct Traefik {
    child: Child,
    api: SocketAddr,
}

impl Drop for Traefik {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Traefik {
    fn start(flags: &[String]) -> Option<Traefik> {
        let found = Command::new(root().join("tests/services/traefik.sh")).arg("install").output().unwrap();
        if !found.status.success() {
            let said = String::from_utf8_lossy(&found.stderr).into_owned();
            assert!(std::env::var_os("CI").is_none(), "traefik.sh: {said}");
            eprintln!("SKIPPED: the comparison needs Traefik: {said}");
            return None;
        }
        let (web, api) = (free_port(), free_port());
        let child = Command::new(String::from_utf8_lossy(&found.stdout).trim())
            .args([format!("--entrypoints.web.address=127.0.0.1:{web}"), format!("--entrypoints.traefik.address=127.0.0.1:{api}")])
            .args(["--api.insecure", "--global.checknewversion=false", "--global.sendanonymoususage=false"])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Traefik { child, api: ([127, 0, 0, 1], api).into() })
    }

    fn rawdata(&self) -> Option<Value> {
        let mut conn = Conn::try_open(self.api).ok()?;
        Some(conn.get("test.local", "/api/rawdata").json())
    }
}

/// What both say of their own objects, in one form.
fn compared(rawdata: &Value) -> Value {
    let of = |kind: &str, keys: &[&str]| {
        let empty = Map::new();
        let all = rawdata[kind].as_object().unwrap_or(&empty);
        let ours = all.iter().filter(|(name, _)| name.ends_with("@consulcatalog"));
        let shown = ours.map(|(name, object)| {
            let mut shown: Map<String, Value> = keys.iter().map(|k| ((*k).to_owned(), object[*k].clone())).collect();
            if let Some(mut servers) = object["loadBalancer"]["servers"].as_array().cloned() {
                servers.sort_by_key(Value::to_string);
                shown.insert("servers".into(), json!(servers));
            }
            (name.clone(), Value::Object(shown))
        });
        shown.collect::<Map<_, _>>()
    };
    json!({
        "routers": of("routers", &["rule", "service", "entryPoints", "middlewares", "status", "using"]),
        "services": of("services", &["status", "usedBy"]),
        "middlewares": of("middlewares", &["stripPrefix", "status"]),
        "tcpRouters": of("tcpRouters", &["rule", "service", "status"]),
        "tcpServices": of("tcpServices", &["status"]),
        "udpServices": of("udpServices", &["status"]),
    })
}

#[track_caller]
fn same(traefik: &Traefik, gateway: &Gateway, when: &str, routers: usize) {
    let mut last = (Value::Null, Value::Null);
    let agreed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually(when, || {
            last = (compared(&traefik.rawdata()?), compared(&gateway.admin("/api/rawdata").json()));
            (last.0 == last.1 && last.0["routers"].as_object()?.len() == routers).then_some(())
        });
    }));
    assert!(agreed.is_ok(), "{when}: Traefik says\n{:#}\nand Torana\n{:#}", last.0, last.1);
}

#[test]
fn consul_says_the_same_to_both() {
    let Some(consul) = start(&[]) else { return };
    let backend = Backend::named("a");
    let flags = [
        flag(&consul),
        "--providers.consulcatalog.watch=true".to_owned(),
        "--providers.consulcatalog.constraints=!Tag(`hidden`)".to_owned(),
        "--providers.providersthrottleduration=100ms".to_owned(),
    ];
    let Some(traefik) = Traefik::start(&flags) else { return };
    let gateway = flags.iter().fold(Setup::new(), |s, f| s.flag(f.as_str())).start();
    same(&traefik, &gateway, "Consul's own service", 1);
    let tagged: [(&str, &str, &[&str]); 9] = [
        (
            "web-1",
            "web",
            &[
                "traefik.http.routers.web.rule=Path(`/web`)",
                "traefik.http.routers.web.middlewares=cut",
                "traefik.http.middlewares.cut.stripprefix.prefixes=/web, /x",
            ],
        ),
        ("plain", "plain_name.x", &["other", "key=value"]),
        (
            "port",
            "port",
            &["traefik.http.services.port.loadbalancer.server.port=8081", "traefik.http.services.port.loadbalancer.server.scheme=https"],
        ),
        ("canary", "web", &["traefik.consulcatalog.canary=true", "b", "a"]),
        ("off", "off", &["traefik.enable=false"]),
        ("hid", "hid", &["hidden"]),
        ("mesh", "mesh", &["traefik.consulcatalog.connect=true"]),
        ("tcp", "tcp", &["traefik.tcp.routers.t.rule=HostSNI(`*`)", "traefik.tcp.services.t.loadbalancer.server.port=9000"]),
        ("bad", "bad", &["traefik.http.routers.bad.nonsense=1"]),
    ];
    for (id, name, tags) in tagged {
        register(&consul, &service(id, name, &backend, tags));
    }
    same(&traefik, &gateway, "services of all kinds", 5);
    let routers = compared(&gateway.admin("/api/rawdata").json())["routers"].clone();
    assert!(routers.get("plain-name-x@consulcatalog").is_some(), "{routers:#}");
    for (id, ..) in &tagged[..4] {
        deregister(&consul, id);
    }
    same(&traefik, &gateway, "after some are gone", 1);
}
