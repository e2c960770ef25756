use crate::lab::*;
use std::sync::{Arc, Mutex};
use torana_base::Secret;
use torana_config::install::{AcmeConfig, DnsChallengeConfig, PropagationConfig};

fn with_dns(lab: &Lab, provider: &str, server: String, config: &[(&str, String)]) -> AcmeConfig {
    // the zones' own servers would have to listen on port 53
    let propagation = PropagationConfig { disable_ans_checks: true, require_all_rns: true, ..PropagationConfig::default() };
    let config = config.iter().map(|(k, v)| ((*k).to_owned(), Secret::new(v.as_str()))).collect();
    let dns = DnsChallengeConfig {
        provider: provider.into(),
        config,
        resolvers: vec![server],
        propagation: Some(propagation),
        ..DnsChallengeConfig::default()
    };
    AcmeConfig { dns_challenge: Some(dns), ..lab.config() }
}

/// A service as `httpreq` wants it, which hands records on to the CA's DNS server.
async fn records(lab: &Lab) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let api = format!("http://127.0.0.1:{}", lab.ports["PORT_DNS_API"]);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    serve(listener, move |head, body| {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let asked: serde_json::Value = serde_json::from_str(body).unwrap();
        let (fqdn, value) = (asked["fqdn"].as_str().unwrap(), asked["value"].as_str().unwrap());
        seen.lock().unwrap().push(format!("{path} {fqdn} {}", head.contains("Basic dTpw") || head.contains("basic dTpw")));
        let what = if path == "/present" { "set-txt" } else { "clear-txt" };
        let body = serde_json::json!({ "host": fqdn, "value": value }).to_string();
        let ok =
            std::process::Command::new("curl").args(["-sSf", "--noproxy", "*", "-d", &body, &format!("{api}/{what}")]).status().unwrap();
        (if ok.success() { 200 } else { 500 }, "text/plain", String::new(), String::new())
    });
    (url, calls)
}

#[tokio::test]
async fn a_wildcard_by_a_service_of_ones_own() {
    let Some(lab) = Lab::start(&[]) else { return };
    let (url, calls) = records(&lab).await;
    let server = format!("127.0.0.1:{}", lab.ports["PORT_DNS"]);
    let settings = [("HTTPREQ_ENDPOINT", url), ("HTTPREQ_USERNAME", "u".into()), ("HTTPREQ_PASSWORD", "p".into())];
    let config = with_dns(&lab, "httpreq", server, &settings);
    let r = Running::new("le", &config, &shared(), &[&["*.w.test", "w.test"], &["x.w.test"]]);
    let c = r.certificate("*.w.test").await;
    assert_eq!(check(&c).0, ["*.w.test", "w.test"]);
    r.end().await;
    let calls = calls.lock().unwrap().clone();
    assert!(calls.iter().all(|c| c.ends_with(" _acme-challenge.w.test. true")), "{calls:?}");
    // x.w.test has the wildcard: two names, two records, and both are gone again
    assert_eq!(calls.iter().filter(|c| c.starts_with("/present")).count(), 2, "{calls:?}");
    assert_eq!(calls.iter().filter(|c| c.starts_with("/cleanup")).count(), 2, "{calls:?}");
}

#[tokio::test]
async fn an_alias_leads_elsewhere() {
    let Some(lab) = Lab::start(&[]) else { return };
    let alias = serde_json::json!({ "host": "_acme-challenge.a.test.", "target": "_acme-challenge.elsewhere.test." }).to_string();
    lab.curl(&["-d", &alias, &format!("http://127.0.0.1:{}/set-cname", lab.ports["PORT_DNS_API"])]);
    let (url, calls) = records(&lab).await;
    let server = format!("127.0.0.1:{}", lab.ports["PORT_DNS"]);
    let r = Running::new("le", &with_dns(&lab, "httpreq", server, &[("HTTPREQ_ENDPOINT", url)]), &shared(), &[&["a.test"]]);
    r.certificate("a.test").await;
    assert!(calls.lock().unwrap()[0].starts_with("/present _acme-challenge.elsewhere.test."));
    r.end().await;
}

/// A DNS server that takes updates.
struct Knot {
    dir: String,
    server: String,
    env: [(&'static str, String); 2],
    _files: tempfile::TempDir,
}

impl Knot {
    fn start() -> Option<Knot> {
        let port = free_port();
        let files = tempfile::tempdir().unwrap();
        let dir = files.path().display().to_string();
        let env = [("PORT", port.to_string()), ("ZONES", "test. other.example.".to_owned())];
        script("knot.sh", &["start", &dir], &env)?;
        Some(Knot { dir, server: format!("127.0.0.1:{port}"), env, _files: files })
    }

    fn var(&self, name: &str) -> String {
        let text = std::fs::read_to_string(format!("{}/env", self.dir)).unwrap();
        text.lines().find_map(|l| l.strip_prefix(&format!("{name}="))).unwrap().to_owned()
    }

    fn config(&self, lab: &Lab, secret: String) -> AcmeConfig {
        let settings = [
            ("RFC2136_NAMESERVER", self.server.clone()),
            ("RFC2136_TSIG_KEY", self.var("TSIG_KEY")),
            ("RFC2136_TSIG_SECRET", secret),
            ("RFC2136_TSIG_ALGORITHM", self.var("TSIG_ALGORITHM")),
            ("RFC2136_POLLING_INTERVAL", "200ms".to_owned()),
        ];
        with_dns(lab, "rfc2136", self.server.clone(), &settings)
    }

    fn texts(&self, name: &str) -> String {
        script("knot.sh", &["texts", &self.dir, name], &self.env).unwrap()
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        script("knot.sh", &["stop", &self.dir], &[]);
    }
}

#[tokio::test]
async fn renewal_by_dynamic_updates() {
    let Some(knot) = Knot::start() else { return };
    let Some(lab) = Lab::start(&[crate::LIFE, ("DNS", &knot.server)]) else { return };
    crate::renews(&lab, &knot.config(&lab, knot.var("TSIG_SECRET")), &shared()).await;
    assert_eq!(knot.texts("_acme-challenge.a.test.").trim(), "", "no record is left");
}

#[tokio::test]
async fn dynamic_updates() {
    let Some(knot) = Knot::start() else { return };
    let Some(lab) = Lab::start(&[("DNS", &knot.server)]) else { return };
    let good = knot.config(&lab, knot.var("TSIG_SECRET"));
    let r = Running::new("le", &good, &shared(), &[&["*.w.test", "w.test"], &["deep.er.other.example"]]);
    assert_eq!(check(&*r.certificate("*.w.test").await).0, ["*.w.test", "w.test"]);
    r.certificate("deep.er.other.example").await;
    r.end().await;
    assert_eq!(knot.texts("_acme-challenge.w.test.").trim(), "", "no record is left");

    let bad = knot.config(&lab, "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmc=".into());
    let r = Running::new("bad", &bad, &shared(), &[&["a.test"]]);
    let said = r.until(one_failed).await.certificates[0].error.clone().unwrap();
    assert!(said.contains("NOTAUTH") && said.contains("BADSIG"), "{said}");
    r.end().await;
}

#[tokio::test]
async fn a_record_that_nobody_sees() {
    let Some(lab) = Lab::start(&[]) else { return };
    let server = format!("127.0.0.1:{}", lab.ports["PORT_DNS"]);
    let settings =
        [("EXEC_PATH", "/bin/true".to_owned()), ("EXEC_PROPAGATION_TIMEOUT", "1".into()), ("EXEC_POLLING_INTERVAL", "200ms".into())];
    let r = Running::new("le", &with_dns(&lab, "exec", server.clone(), &settings), &shared(), &[&["a.test"]]);
    let said = r.until(one_failed).await.certificates[0].error.clone().unwrap();
    assert!(said.starts_with("the record _acme-challenge.a.test. was not seen within 1s") && said.contains(&server), "{said}");
    r.end().await;
}
