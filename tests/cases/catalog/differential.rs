//! The same Consul in Torana and in the real Traefik: routers and services are the same.

use super::consul::{deregister, flag, register, service, start};
use crate::harness::{Backend, Peer, eventually, traefik};
use serde_json::{Map, Value, json};

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
fn same(traefik: &Peer, gateway: &Peer, when: &str, routers: usize) {
    let mut last = (Value::Null, Value::Null);
    let agreed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually(when, || {
            last = (compared(&traefik.rawdata()?), compared(&gateway.rawdata()?));
            (last.0 == last.1 && last.0["routers"].as_object()?.len() == routers).then_some(())
        });
    }));
    assert!(agreed.is_ok(), "{when}: Traefik says\n{:#}\nand Torana\n{:#}", last.0, last.1);
}

#[test]
fn consul_says_the_same_to_both() {
    let (Some(consul), Some(program)) = (start(&[]), traefik()) else { return };
    let backend = Backend::named("a");
    let flags = [
        flag(&consul),
        "--providers.consulcatalog.watch=true".to_owned(),
        "--providers.consulcatalog.constraints=!Tag(`hidden`)".to_owned(),
        "--providers.providersthrottleduration=100ms".to_owned(),
    ];
    let [traefik, gateway] = [Some(program.as_path()), None].map(|p| Peer::start(p, &flags, &[]));
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
    let routers = compared(&gateway.rawdata().unwrap())["routers"].clone();
    assert!(routers.get("plain-name-x@consulcatalog").is_some(), "{routers:#}");
    for (id, ..) in &tagged[..4] {
        deregister(&consul, id);
    }
    same(&traefik, &gateway, "after some are gone", 1);
}
