//! DNS-01 by our own plugins: the real gateway, a real CA, and providers of DNS that are made here (ACM-04).

use super::acme::{Ca, has_its_own};
use crate::harness::{Backend, Conn, Gate, Gateway, Reply, Request, Setup, first_party, lock, retouched, run, within};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A plugin is compiled by a debug build of the gateway, and failed orders rest for some seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// `set-txt` and `clear-txt` of the CA's DNS server.
fn records(ca: SocketAddr, what: &str, name: &str, value: &str) {
    let body = json!({"host": format!("{name}."), "value": value}).to_string();
    let mut c = Conn::open(ca);
    c.send(format!("POST /{what} HTTP/1.1\r\nHost: dns\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(c.response().status, 200);
}

fn dns_api(ca: &Ca) -> SocketAddr {
    ([127, 0, 0, 1], ca.ports[3]).into()
}

/// A record as it is kept.
struct Kept {
    id: String,
    zone: String,
    name: String,
    value: String,
}

/// Cloudflare with two accounts, as far as the plugin uses it.
struct Cloudflare {
    server: Backend,
    records: Arc<Mutex<Vec<Kept>>>,
    /// Holds back the first record of the zone `slow.test`.
    gate: Arc<Gate>,
}

impl Cloudflare {
    fn start(dns: SocketAddr) -> Cloudflare {
        let (kept, gate) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Gate>::default());
        let (records, wait) = (kept.clone(), gate.clone());
        let server = Backend::http(move |r| answer(r, dns, &records, &wait));
        Cloudflare { server, records: kept, gate }
    }

    /// Tokens and what was asked with them: `one POST /zones/z-one.test/dns_records`.
    fn calls(&self, method: &str) -> Vec<String> {
        let all = self.server.requests().into_iter().filter(|r| r.method == method);
        all.map(|r| format!("{} {}", r.header("authorization").unwrap().trim_start_matches("Bearer t0ken-"), r.target)).collect()
    }
}

fn answer(r: &Request, dns: SocketAddr, all: &Mutex<Vec<Kept>>, gate: &Gate) -> Reply {
    let good = |result: Value| Reply::json(200, &json!({"success": true, "errors": [], "messages": [], "result": result}));
    let bad = |status, code: u32, message: &str| {
        Reply::json(status, &json!({"success": false, "errors": [{"code": code, "message": message}], "messages": [], "result": null}))
    };
    let zones: &[&str] = match r.header("authorization") {
        Some("Bearer t0ken-one") => &["one.test", "slow.test"],
        Some("Bearer t0ken-two") => &["two.test"],
        _ => return bad(403, 9109, "Invalid access token"),
    };
    let path = r.target.strip_prefix("/client/v4").unwrap();
    if let Some(name) = path.strip_prefix("/zones?name=") {
        let seen = zones.iter().filter(|z| **z == name).map(|z| json!({"id": format!("z-{z}"), "name": z, "status": "active"}));
        return good(seen.collect());
    }
    let zone = zones.iter().find_map(|z| Some((z, path.strip_prefix(&format!("/zones/z-{z}/dns_records"))?)));
    let Some((zone, rest)) = zone else { return bad(403, 10_000, "Authentication error") };
    match r.method.as_str() {
        "POST" => {
            let record: Value = serde_json::from_slice(&r.body).unwrap();
            let text = |key: &str| record[key].as_str().unwrap().to_owned();
            let (name, value) = (text("name"), text("content").trim_matches('"').to_owned());
            assert_eq!((text("type").as_str(), name.ends_with(zone)), ("TXT", true));
            if *zone == "slow.test" {
                gate.wait();
            }
            let mut all = lock(all);
            if all.iter().any(|k| k.name == name && k.value == value) {
                return bad(400, 81_058, "An identical record already exists.");
            }
            records(dns, "set-txt", &name, &value);
            let id = format!("r{}", value.to_ascii_lowercase());
            all.push(Kept { id: id.clone(), zone: (*zone).to_owned(), name, value });
            good(json!({"id": id}))
        }
        "GET" => {
            let wanted = rest.split('&').find_map(|p| p.strip_prefix("name=")).unwrap();
            let all = lock(all);
            let found = all.iter().filter(|k| k.zone == *zone && k.name == wanted);
            good(found.map(|k| json!({"id": k.id, "type": "TXT", "name": k.name, "content": format!("\"{}\"", k.value)})).collect())
        }
        "DELETE" => {
            let mut all = lock(all);
            let Some(at) = all.iter().position(|k| rest == format!("/{}", k.id)) else {
                return bad(404, 81_044, "Record does not exist.");
            };
            let Kept { id, name, .. } = all.remove(at);
            if !all.iter().any(|k| k.name == name) {
                records(dns, "clear-txt", &name, "");
            }
            good(json!({"id": id}))
        }
        other => panic!("{other}"),
    }
}

/// A gateway where the CA looks.
fn setup(ca: &Ca) -> Setup {
    Setup::new().flag(format!("--entrypoints.tls.address=127.0.0.1:{}", ca.ports[5]))
}

/// A plugin that is declared with all grants for a server, and with the secrets that are listed.
fn declared(setup: Setup, name: &str, path: &Path, server: SocketAddr, secrets: &[(&str, &str)]) -> Setup {
    let flag = |option: String| format!("--plugins.{name}.{option}");
    let setup = setup.flag(flag(format!("path={}", path.display())));
    let setup = setup.flag(flag(format!("permissions.http={server}"))).flag(flag("limits.timeout=60s".into()));
    secrets.iter().fold(setup, |setup, (secret, value)| setup.flag(flag(format!("permissions.secrets.{secret}.value={value}"))))
}

fn resolver(ca: &Ca, setup: Setup, name: &str, provider: &str, config: &[(&str, &str)]) -> Setup {
    let flag = |option: String| format!("--certificatesresolvers.{name}.acme.dnschallenge.{option}");
    let setup = ca.resolver(setup, name).flag(flag(format!("provider={provider}")));
    // The servers of the zones would have to listen on port 53.
    let setup = setup.flag(flag(format!("resolvers=127.0.0.1:{}", ca.ports[2])));
    let setup = setup.flag(flag("propagation.disableansChecks=true".into())).flag(flag("propagation.requireAllRNS=true".into()));
    config.iter().fold(setup, |setup, (option, value)| setup.flag(flag(format!("config.{option}={value}"))))
}

fn router(name: &str, resolver: &str, domain: &str) -> String {
    format!(
        "    {name}: {{rule: 'HostRegexp(`{domain}$`)', entryPoints: [tls], service: noop@internal, \
         tls: {{certResolver: {resolver}, domains: [{{main: '*.{domain}', sans: [{domain}]}}]}}}}\n"
    )
}

fn routing(routers: &[(&str, &str, &str)]) -> String {
    format!("http:\n  routers:\n{}", routers.iter().map(|(n, r, d)| router(n, r, d)).collect::<String>())
}

/// What went wrong with the certificate of a resolver.
fn error(gateway: &Gateway, resolver: &str) -> Option<String> {
    let all = gateway.admin("/api/certificatesResolvers").json();
    let one = all.as_array()?.iter().find(|r| r["resolver"] == resolver)?.clone();
    Some(one["certificates"][0]["error"].as_str()?.to_owned())
}

#[test]
fn two_accounts_at_one_provider() {
    let (Some(ca), Some(path)) = (Ca::start(), first_party("dns-cloudflare")) else { return };
    let cloudflare = Cloudflare::start(dns_api(&ca));
    let base = format!("{}/client/v4", cloudflare.server.url());
    let secrets = [("first", "t0ken-one"), ("second", "t0ken-two"), ("old", "t0ken-revoked")];
    let setup = declared(setup(&ca), "cloudflare", &path, cloudflare.server.address, &secrets);
    let mut setup =
        setup.flag(format!("--plugins.walled.path={}", path.display())).flag("--plugins.walled.permissions.secrets.token.value=x");
    let used = |secret| [("baseUrl", base.as_str()), ("tokenSecret", secret), ("pollingInterval", "1")];
    for (name, secret) in [("one", "first"), ("two", "second"), ("old", "old"), ("other", "second"), ("none", "third")] {
        setup = resolver(&ca, setup, name, "plugin:cloudflare", &used(secret));
    }
    setup = resolver(&ca, setup, "walled", "plugin:walled", &[("baseUrl", base.as_str())]);
    setup = resolver(&ca, setup, "typo", "plugin:clodflare", &[]);
    let routers = [
        ("a", "one", "w.one.test"),
        ("b", "two", "two.test"),
        ("c", "old", "c.one.test"),
        ("d", "other", "d.one.test"),
        ("e", "none", "e.one.test"),
        ("f", "walled", "f.one.test"),
        ("g", "typo", "g.one.test"),
    ];
    let mut gateway = setup.file("routing.yml", routing(&routers)).start();

    // The certificates are for the name and its wildcard: two records of one name.
    for domain in ["w.one.test", "two.test"] {
        let der = within(PATIENCE, "a certificate for a wildcard", || {
            has_its_own(&gateway, &format!("x.{domain}")).or(has_its_own(&gateway, domain))
        });
        assert!(String::from_utf8_lossy(&der).contains(&format!("*.{domain}")));
    }
    let told = |resolver: &str, words: &str| {
        let said = within(PATIENCE, "a failure is told", || error(&gateway, resolver));
        assert!(said.contains(words), "{resolver}: {said}");
    };
    told("old", "Cloudflare: Invalid access token (9109)");
    told("other", "Cloudflare: the token sees no zone that `_acme-challenge.d.one.test` is in");
    told("none", "dnsChallenge.config.tokenSecret: the secret `third` is not granted (grant it: `permissions: {secrets: {third:");
    told("walled", "is not granted; add it to permissions.http of the plugin");
    told("typo", "dnsChallenge.provider: there is no plugin `clodflare`");

    let made = cloudflare.calls("POST");
    assert_eq!(made.iter().filter(|c| *c == "one /client/v4/zones/z-one.test/dns_records").count(), 2, "{made:?}");
    assert_eq!(made.iter().filter(|c| *c == "two /client/v4/zones/z-two.test/dns_records").count(), 2, "{made:?}");
    within(PATIENCE, "the records are removed", || lock(&cloudflare.records).is_empty().then_some(()));
    let shown = format!("{} {}", gateway.admin("/api/certificatesResolvers").text(), gateway.admin("/api/plugins").text());
    assert!(!shown.contains("t0ken"), "{shown}");
    assert_eq!(gateway.stop(), Some(0));
    // Its own flags are not in its log either.
    assert!(!gateway.log().contains("t0ken"));
}

#[test]
fn a_plugin_that_comes_late_and_is_replaced_in_the_middle() {
    let (Some(ca), Some(path)) = (Ca::start(), first_party("dns-cloudflare")) else { return };
    let cloudflare = Cloudflare::start(dns_api(&ca));
    let base = format!("{}/client/v4", cloudflare.server.url());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cloudflare.wasm");
    let put = |bytes: &[u8]| {
        std::fs::write(folder.path().join("new"), bytes).unwrap();
        std::fs::rename(folder.path().join("new"), &file).unwrap();
    };
    let setup = declared(setup(&ca), "cloudflare", &file, cloudflare.server.address, &[("token", "t0ken-one")]);
    let setup = resolver(&ca, setup, "le", "plugin:cloudflare", &[("baseUrl", &base)]);
    let gateway = setup.file("routing.yml", routing(&[("a", "le", "slow.test")])).start();

    let said = within(PATIENCE, "a missing file is told", || error(&gateway, "le"));
    assert!(said.contains("cloudflare.wasm"), "{said}");
    assert_eq!(ca.orders(), 0, "the CA is not asked for what cannot be proved");

    let component = std::fs::read(&path).unwrap();
    put(&component);
    within(PATIENCE, "an order has begun", || (!cloudflare.calls("POST").is_empty()).then_some(()));
    put(&retouched(&component, 1));
    let loads = || gateway.admin("/api/plugins/cloudflare@internal").json()["loads"].as_u64();
    within(PATIENCE, "the new version is there", || (loads() == Some(2)).then_some(()));
    cloudflare.gate.open();
    within(PATIENCE, "a certificate", || has_its_own(&gateway, "slow.test"));
    within(PATIENCE, "the records are removed", || lock(&cloudflare.records).is_empty().then_some(()));
    // One record for the name, one for its wildcard: the order was not begun anew.
    assert_eq!(cloudflare.calls("POST").len(), 2);
    let status = gateway.admin("/api/certificatesResolvers").json();
    assert_eq!((&status[0]["obtained"], &status[0]["failed"]), (&json!(1), &json!(1)), "{status}");
}

#[test]
fn a_service_as_lego_knows_it() {
    let (Some(ca), Some(path)) = (Ca::start(), first_party("dns-webhook")) else { return };
    let dns = dns_api(&ca);
    let service = Backend::http(move |r| {
        let asked: Value = serde_json::from_slice(&r.body).unwrap();
        let (fqdn, value) = (asked["fqdn"].as_str().unwrap(), asked["value"].as_str().unwrap());
        // gateway:pw
        if r.header("authorization") != Some("Basic Z2F0ZXdheTpwdw==") || r.header("x-team") != Some("edge t0k") {
            return Reply::status(401);
        }
        let what = if r.target == "/dns/present" { "set-txt" } else { "clear-txt" };
        records(dns, what, fqdn.trim_end_matches('.'), value);
        Reply::status(200)
    });
    let setup = declared(setup(&ca), "web", &path, service.address, &[("password", "pw"), ("key", "t0k")]);
    let url = format!("{}/dns", service.url());
    let config = [("url", url.as_str()), ("username", "gateway"), ("passwordSecret", "password"), ("headers.X-Team", "edge {secret:key}")];
    let setup = resolver(&ca, setup, "le", "plugin:web", &config);
    let gateway = setup.file("routing.yml", routing(&[("a", "le", "web.test")])).start();
    within(PATIENCE, "a certificate", || has_its_own(&gateway, "web.test"));
    let calls = |path: &str| service.requests().iter().filter(|r| r.target == path).count();
    within(PATIENCE, "the records are removed", || (calls("/dns/cleanup") == 2).then_some(()));
    assert_eq!(calls("/dns/present"), 2);
}

/// In the words of the plugin, with the place of the option.
#[test]
fn a_check_asks_the_plugin() {
    let Some(path) = first_party("dns-cloudflare") else { return };
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "entryPoints: {{web: {{address: '127.0.0.1:0'}}}}
plugins:
  cloudflare:
    path: {}
    permissions: {{http: [api.cloudflare.com], secrets: {{token: {{value: t0p}}}}}}
certificatesResolvers:
  good: {{acme: {{storage: acme.json, dnsChallenge: {{provider: 'plugin:cloudflare'}}}}}}
  typo: {{acme: {{storage: acme.json, dnsChallenge: {{provider: 'plugin:clodflare'}}}}}}
  late:
    acme:
      storage: acme.json
      dnsChallenge:
        provider: plugin:cloudflare
        config:
          ttl: 10
  odd:
    acme:
      storage: acme.json
      dnsChallenge:
        provider: plugin:cloudflare
        config: {{tll: 60}}
",
        path.display()
    );
    std::fs::write(folder.path().join("torana.yml"), text).unwrap();
    let out = run(folder.path(), &["check", "--configfile=torana.yml"], &[]);
    let said = String::from_utf8_lossy(&out.stdout);
    for told in [
        "error: there is no plugin `clodflare`\n  at  certificatesResolvers.typo.acme.dnsChallenge.provider",
        "error: 10 is no time to live that Cloudflare takes\n  at  certificatesResolvers.late.acme.dnsChallenge.config.ttl  (torana.yml:15:16)",
        "certificatesResolvers.odd.acme.dnsChallenge.config.tll  (torana.yml:21:18)\n  hint: did you mean `ttl`?",
    ] {
        assert!(said.contains(told), "{told}\n--- not in\n{said}");
    }
    assert!(!said.contains("good") && !folder.path().join("acme.json").exists(), "{said}");
    assert_eq!(out.status.code(), Some(1));
}
