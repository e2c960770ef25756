//! A CA that is down, mad, or wants less.

use crate::lab::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use torana_config::install::AcmeConfig;
use torana_tls::acme::*;

#[tokio::test]
async fn a_ca_that_comes_later_and_forgets() {
    let mut lab = Lab::new(&[]);
    // its authority has to be there when the resolver opens
    if lab.run().is_none() {
        return;
    }
    lab.halt();
    let shared = shared();
    serve_http(lab.ports["PORT_HTTP"], Arc::clone(&shared.challenges)).await;
    let r = Running::new("le", &lab.http(), &shared, &[&["a.test"]]);
    let status = r.until(one_failed).await;
    let c = &status.certificates[0];
    assert!(c.error.as_ref().unwrap().contains("cannot reach"), "{:?}", c.error);
    assert!(c.next_attempt.unwrap() <= SystemTime::now() + Duration::from_secs(3));
    lab.run().unwrap();
    r.certificate("a.test").await;
    // it begins anew, and knows no account of ours
    lab.halt();
    lab.run().unwrap();
    r.wanted.send_replace(wanted(&[&["a.test"], &["b.test"]]));
    r.certificate("b.test").await;
    r.end().await;
}

#[tokio::test]
async fn a_challenge_that_is_not_answered_is_told_in_the_cas_words() {
    let Some(lab) = Lab::start(&[]) else { return };
    let r = Running::new("le", &lab.http(), &shared(), &[&["a.test"]]);
    let status = r.until(one_failed).await;
    let c = &status.certificates[0];
    assert_eq!(c.error_type.as_deref(), Some("urn:ietf:params:acme:error:connection"));
    assert!(c.error.as_ref().unwrap().starts_with("`a.test`: "), "{:?}", c.error);
    let wait = c.next_attempt.unwrap().duration_since(SystemTime::now()).unwrap();
    assert!((50..=75).contains(&wait.as_secs()), "{wait:?}");
    r.end().await;
}

/// A CA that says what it is told, by path.
async fn mad(answer: impl Fn(&str) -> (u16, String, String) + Send + Sync + 'static) -> (AcmeConfig, tempfile::TempDir, Arc<AtomicUsize>) {
    let dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (asked, calls) = (Arc::new(AtomicUsize::new(0)), base.clone());
    let count = Arc::clone(&asked);
    serve(listener, move |head, _| {
        count.fetch_add(1, Ordering::Relaxed);
        let (status, more, body) = answer(head.split(' ').nth(1).unwrap_or_default());
        (
            status,
            "application/json",
            format!("replay-nonce: {}\r\n{}", fastrand::u64(..), more.replace("BASE", &calls)),
            body.replace("BASE", &calls),
        )
    });
    let lab = Lab::new(&[]);
    let config = AcmeConfig {
        ca_server: format!("{base}/dir"),
        ca_certificates: Vec::new(),
        storage: dir.path().join("acme.json").display().to_string(),
        ..lab.http()
    };
    (config, dir, asked)
}

const DIRECTORY: &str = r#"{"newNonce":"BASE/nonce","newAccount":"BASE/account","newOrder":"BASE/order"}"#;

#[tokio::test]
async fn a_ca_that_talks_nonsense() {
    for (directory, told) in [
        ("<html>hello</html>", "with what is no ACME"),
        ("{}", "missing field `newNonce`"),
        (r#"{"newNonce":"x","newAccount":"y","newOrder":"z"}"#, "is no URL"),
        (DIRECTORY, "with what is no ACME"),
    ] {
        let (config, _dir, _) = mad(move |path| match path {
            "/dir" => (200, String::new(), directory.to_owned()),
            "/nonce" => (200, String::new(), String::new()),
            _ => (201, "location: BASE/a\r\n".to_owned(), "\u{1}nonsense".to_owned()),
        })
        .await;
        let r = Running::new("le", &config, &shared(), &[&["a.test"]]);
        let said = r.until(one_failed).await.certificates[0].error.clone().unwrap();
        assert!(said.contains(told), "{told}: {said}");
        r.end().await;
    }
}

#[tokio::test]
async fn a_profile_that_the_ca_does_not_have() {
    let (config, _dir, _) = mad(|path| match path {
        "/dir" => (200, String::new(), DIRECTORY.replace('}', r#","meta":{"profiles":{"classic":"x","short":"y"}}}"#)),
        "/nonce" => (200, String::new(), String::new()),
        _ => (201, "location: http://127.0.0.1/account/1\r\n".to_owned(), r#"{"status":"valid"}"#.to_owned()),
    })
    .await;
    let r = Running::new("le", &AcmeConfig { profile: "nope".into(), ..config }, &shared(), &[&["a.test"]]);
    let said = r.until(one_failed).await.certificates[0].error.clone().unwrap();
    assert_eq!(said, "the CA has no profile `nope`, it has: classic, short");
    r.end().await;
}

#[tokio::test]
async fn a_ca_that_wants_less_is_left_alone() {
    let (config, _dir, asked) = mad(|path| match path {
        "/dir" => (200, String::new(), DIRECTORY.to_owned()),
        "/nonce" => (200, String::new(), String::new()),
        "/account" => (201, "location: http://127.0.0.1/account/1\r\n".to_owned(), r#"{"status":"valid"}"#.to_owned()),
        _ => (
            429,
            "retry-after: 7200\r\n".to_owned(),
            r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many new orders","status":429}"#.to_owned(),
        ),
    })
    .await;
    let r = Running::new("le", &config, &shared(), &[&["a.test"]]);
    let c = r.until(one_failed).await.certificates[0].clone();
    assert_eq!(
        (c.error.as_deref(), c.error_type.as_deref()),
        (Some("too many new orders"), Some("urn:ietf:params:acme:error:rateLimited"))
    );
    let wait = c.next_attempt.unwrap().duration_since(SystemTime::now()).unwrap().as_secs();
    assert!((7190..=8700).contains(&wait), "{wait}");
    let before = asked.load(Ordering::Relaxed);
    r.wanted.send_replace(wanted(&[&["a.test"], &["*.x.test"]]));
    r.until(|s| s.certificates.len() == 2).await;
    assert_eq!(asked.load(Ordering::Relaxed), before, "a reload does not ask again");
    r.end().await;
}

#[tokio::test]
async fn certificates_that_are_old_at_once_are_not_ordered_without_end() {
    // as with a clock that runs ahead: over before it is here
    let Some(lab) = Lab::start(&[("LIFE", "1")]) else { return };
    let shared = shared();
    serve_http(lab.ports["PORT_HTTP"], Arc::clone(&shared.challenges)).await;
    let r = Running::new("le", &lab.http(), &shared, &[&["a.test"]]);
    r.until(|s| s.obtained == 1).await;
    // each change makes it look again
    for n in 0..20 {
        let name = format!("*.n{n}.test");
        r.wanted.send_replace(wanted(&[&["a.test"], &[&name]]));
        r.until(|s| s.certificates.iter().any(|c| c.domains[0] == name)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = r.resolver.status().borrow().clone();
    assert_eq!((status.obtained, status.failed), (1, 0), "{status:#?}");
    assert!(status.certificates.iter().any(|c| c.state == CertificateState::Expired));
    r.end().await;
}

#[tokio::test]
async fn a_storage_that_is_damaged_leaves_the_resolver_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("acme.json").display().to_string();
    std::fs::write(&path, "{\"le\":").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let config = AcmeConfig { storage: path.clone(), ..Lab::new(&[]).alpn() };
    let e = AcmeResolver::open("le", &config, shared()).unwrap_err().to_string();
    assert!(e.contains("it is damaged") && e.contains("left as it is"), "{e}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"le\":");
}

#[tokio::test]
async fn a_ca_behind_a_proxy() {
    let Some(lab) = Lab::start(&[]) else { return };
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = proxy.local_addr().unwrap();
    let used = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&used);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = proxy.accept().await.unwrap();
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                // only the proxy knows where this is
                let port = head.strip_prefix("CONNECT ca.example:").and_then(|r| r.split(' ').next()).unwrap().to_owned();
                if !head.contains("Proxy-Authorization: Basic dTpw\r\n") {
                    client.write_all(b"HTTP/1.1 407 who are you\r\n\r\n").await.unwrap();
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                let mut server = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
                client.write_all(b"HTTP/1.1 200 fine\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    let with = |proxy: String| {
        let authority = lab.path("ca/root.pem");
        let env: Env = Arc::new(move |name| match name {
            "HTTPS_PROXY" => Some(proxy.clone()),
            "LEGO_CA_CERTIFICATES" => Some(authority.clone()),
            "LEGO_CA_SERVER_NAME" => Some("localhost".to_owned()),
            _ => None,
        });
        AcmeShared { env, ..shared() }
    };
    let config =
        AcmeConfig { ca_server: format!("https://ca.example:{}/dir", lab.ports["PORT"]), ca_certificates: Vec::new(), ..lab.http() };
    let r = Running::new("le", &config, &with(format!("http://{at}")), &[&["a.test"]]);
    let said = r.until(one_failed).await.certificates[0].error.clone().unwrap();
    assert!(said.contains("says `HTTP/1.1 407 who are you`"), "{said}");
    r.end().await;
    let shared = with(format!("http://u:p@{at}"));
    serve_http(lab.ports["PORT_HTTP"], Arc::clone(&shared.challenges)).await;
    let r = Running::new("le", &config, &shared, &[&["a.test"]]);
    r.certificate("a.test").await;
    assert!(used.load(Ordering::Relaxed) > 0);
    r.end().await;
}

#[tokio::test]
async fn a_ca_that_says_nothing_holds_up_nobody() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/dir", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((tcp, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            held.push(tcp);
        }
    });
    let lab = Lab::new(&[]);
    let config = AcmeConfig {
        ca_server: url,
        ca_certificates: Vec::new(),
        client_response_header_timeout: torana_base::GoDuration::from_millis(300),
        ..lab.http()
    };
    let names: Vec<String> = (0..10).map(|n| format!("n{n}.test")).collect();
    let sets: Vec<[&str; 1]> = names.iter().map(|n| [n.as_str()]).collect();
    let sets: Vec<&[&str]> = sets.iter().map(|s| &s[..]).collect();
    let began = SystemTime::now();
    let r = Running::new("le", &config, &shared(), &sets);
    let status = r.until(|s| s.failed == 10).await;
    assert!(began.elapsed().unwrap() < Duration::from_secs(2), "all ten wait for the same attempt");
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
    let said = status.certificates[0].error.clone().unwrap();
    assert!(said.contains("sent no headers within 300ms (clientResponseHeaderTimeout)"), "{said}");
    r.end().await;
}

#[tokio::test]
async fn a_plugin_that_is_not_there_is_told() {
    let lab = Lab::new(&[]);
    let (mut config, _dir, _) = mad(|path| match path {
        "/dir" => (200, String::new(), DIRECTORY.to_owned()),
        "/nonce" => (200, String::new(), String::new()),
        "/account" => (201, "location: http://127.0.0.1/account/1\r\n".to_owned(), r#"{"status":"valid"}"#.to_owned()),
        "/order" => (201, "location: BASE/o\r\n".to_owned(), r#"{"status":"pending","authorizations":["BASE/authz"],"finalize":"BASE/f"}"#.to_owned()),
        _ => (
            200,
            String::new(),
            r#"{"status":"pending","identifier":{"type":"dns","value":"a.test"},"challenges":[{"type":"dns-01","url":"BASE/c","token":"t"}]}"#.to_owned(),
        ),
    })
    .await;
    let server = vec![format!("127.0.0.1:{}", lab.ports["PORT_DNS"])];
    let dns = torana_config::install::DnsChallengeConfig { provider: "plugin:mine".into(), resolvers: server, ..Default::default() };
    config.dns_challenge = Some(dns);
    let r = Running::new("le", &config, &shared(), &[&["a.test"]]);
    let said = r.until(one_failed).await.certificates[0].error.clone().unwrap();
    assert_eq!(said, "dnsChallenge.provider: there is no plugin `mine` (write `plugins: {mine: {path: FILE.wasm}}`)");
    r.end().await;
}

#[test]
fn a_check_makes_nothing() {
    let lab = Lab::new(&[]);
    let config = AcmeConfig { ca_certificates: Vec::new(), ..lab.alpn() };
    assert_eq!(AcmeResolver::check("le", &config, &shared()), []);
    assert!(!std::path::Path::new(&config.storage).exists());
    let dns = torana_config::install::DnsChallengeConfig { provider: "route53".into(), ..Default::default() };
    let e = AcmeResolver::check("le", &AcmeConfig { dns_challenge: Some(dns), ..config.clone() }, &shared())[0].message.clone();
    assert!(e.starts_with("unrecognized DNS provider: route53; known here: exec, httpreq, rfc2136;"), "{e}");
    std::fs::write(&config.storage, "{").unwrap();
    std::fs::set_permissions(&config.storage, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert!(AcmeResolver::check("le", &config, &shared())[0].message.contains("damaged"));
    assert_eq!(std::fs::read_to_string(&config.storage).unwrap(), "{");
}
