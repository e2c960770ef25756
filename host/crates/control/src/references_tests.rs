//! What a compile tells and shows of objects whose values are written with references.

use crate::{Compiled, Compiler, Internals, Parts};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use torana_config::install::InstallConfig;
use torana_config::parse::{Format, parse};
use torana_config::routing::decode;

const SECRET: &str = "correct-horse-battery";

/// Compiles a document of the operator's and one that others write.
fn compile(secret: &str, file: &str, docker: &str) -> Compiled {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    std::fs::write(&path, secret).unwrap();
    let install: InstallConfig = serde_json::from_value(serde_json::json!({"entryPoints": {"web": {"address": ":1"}}})).unwrap();
    let parts = Parts {
        install: Arc::new(install),
        kinds: |_| None,
        tcp_kinds: |_| None,
        internals: Internals::new(),
        plugins: Arc::new(torana_extend::NoPlugins),
        tracer: None,
        metrics: None,
        access_log: None,
        resolvers: crate::Resolvers::default(),
        stapler: None,
        spiffe: None,
    };
    let document = |text: &str, path: &Path| {
        let text = text.replace("SECRET", &format!("${{file:{}}}", path.display()));
        Arc::new(decode(&parse(&text, Format::Yaml, "t.yml".into()).unwrap()).value)
    };
    Compiler::new(parts).unwrap().compile(&BTreeMap::from([("file", document(file, &path)), ("docker", document(docker, &path))]))
}

fn told(compiled: &Compiled) -> Vec<&str> {
    compiled.status.diagnostics.iter().map(|d| d.message.as_str()).collect()
}

#[test]
fn what_others_write_is_told_as_it_is() {
    let file = "http:
  services: {s: {loadBalancer: {servers: [{url: 'ftp://SECRET'}]}}}
  routers: {r: {rule: 'Host(`SECRET`)', service: x@docker}}
";
    // Whoever wrote this may see by what is taken out whether he has guessed right.
    let guess = "http: {services: {x: {loadBalancer: {serversTransport: correct-horse-batt}}}}";
    let compiled = compile(SECRET, file, guess);
    let own: Vec<&str> = told(&compiled).into_iter().filter(|t| t.contains("no server can be reached")).collect();
    assert!(own.len() == 1 && own[0].contains("`${file:"), "{own:?}");
    assert!(told(&compiled).iter().all(|t| !t.contains(SECRET)), "{:?}", told(&compiled));
    let x = compiled.status.services["x@docker"].errors.join("; ");
    assert!(x.contains("correct-horse-batt"), "{x}");
    let r = compiled.status.routers["r@file"].errors.join("; ");
    assert!(r.contains("service `x@docker` cannot be used") && r.contains("correct-horse-batt"), "{r}");
}

#[test]
fn words_that_are_values_elsewhere_are_no_less_told() {
    let file = "http: {services: {s: {loadBalancer: {servers: [{url: 'http://SECRET'}]}}}}";
    let docker = "http: {routers: {r: {rule: 'Host(`a.test`)', service: gone}}}";
    let compiled = compile("unknown", file, docker);
    assert_eq!(compiled.status.routers["r@docker"].errors, ["unknown service `gone@docker`"]);
    assert!(told(&compiled).contains(&"unknown service `gone@docker`"));
}

#[test]
fn routers_are_shown_as_they_were_written() {
    let file = "http:
  services: {s: {loadBalancer: {servers: [{url: 'http://a'}]}}}
  routers:
    r:
      rule: 'Path(`/SECRET`)'
      service: s
      middlewares: ['SECRET']
      entryPoints: [web, 'SECRET']
      tls: {options: 'SECRET', domains: [{main: 'SECRET'}]}
    q: {rule: 'Path(`/SECRET`', service: 'SECRET'}
tcp:
  services: {s: {loadBalancer: {servers: [{address: 'SECRET'}]}}}
  routers: {r: {rule: 'HostSNI(`*`)', service: s, middlewares: ['SECRET'], entryPoints: ['SECRET']}}
udp:
  services: {s: {loadBalancer: {servers: [{address: 'SECRET'}]}}}
  routers: {r: {service: 'SECRET', entryPoints: ['SECRET']}}
";
    let compiled = compile(SECRET, file, "http: {}");
    assert!(told(&compiled).len() > 8 && told(&compiled).iter().all(|t| !t.contains("horse")), "{:?}", told(&compiled));
    assert!(compiled.status.diagnostics.iter().all(|d| d.hint.as_deref().is_none_or(|h| !h.contains("horse"))));
    let r = &compiled.status.routers["r@file"];
    let shown = format!("{:?} {:?} {:?} {:?} {:?} {:?}", r.item, r.middlewares, r.tls, r.entry_points, r.using, r.errors);
    assert!(!shown.contains("horse"), "{shown}");
    assert!(r.middlewares[0].starts_with("${file:") && r.middlewares.len() == 1, "{:?}", r.middlewares);
    assert!(r.tls.as_ref().unwrap().options.starts_with("${file:"));
    let t = &compiled.status.tcp.routers["r@file"];
    let shown = format!("{:?} {:?} {:?}", t.object, t.middlewares, t.entry_points);
    assert!(!shown.contains("horse"), "{shown}");
    for errors in [&compiled.status.routers["q@file"].errors, &compiled.status.udp.routers["r@file"].object.errors] {
        assert!(!errors.is_empty() && !errors.join(";").contains("horse"), "{errors:?}");
    }
}
