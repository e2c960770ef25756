//! TLS with clients: certificates by name, options by router, reloads, and what hostile clients get
//! (TLS-01 to TLS-05, EP-12).

use crate::harness::{Backend, Conn, Gateway, Pki, Setup, TlsClient, eventually, python_packages};
use std::io::Read;
use std::time::Duration;

/// Routers `name: rule, tls` of one service, and what else the file says.
fn routers(backend: &Backend, routers: &[(&str, &str, &str)], rest: &str) -> String {
    let mut text = "http:\n  routers:\n".to_owned();
    for (name, rule, tls) in routers {
        text.push_str(&format!("    {name}: {{ rule: \"{rule}\", service: s, tls: {tls} }}\n"));
    }
    format!("{text}  services:\n    s: {{ loadBalancer: {{ servers: [{{ url: \"{}\" }}] }} }}\n{rest}", backend.url())
}

#[test]
fn the_certificate_is_that_of_the_name() {
    let (pki, backend) = (Pki::new(), Backend::named("a"));
    let (exact, wild, default) = (pki.pair("exact", &["www.a.test"]), pki.pair("wild", &["*.a.test"]), pki.pair("default", &["d.test"]));
    let text = routers(
        &backend,
        &[("all", "PathPrefix(`/`)", "{}")],
        &format!(
            "tls:\n  certificates: [{}, {}]\n  stores: {{ default: {{ defaultCertificate: {} }} }}\n",
            wild.yaml(),
            exact.yaml(),
            default.yaml()
        ),
    );
    let gateway = Gateway::start(&text);
    let at = gateway.address("web");
    let client = TlsClient::new();
    for (name, wanted) in
        [("www.a.test", &exact), ("WWW.a.test", &exact), ("x.a.test", &wild), ("a.test", &default), ("x.y.a.test", &default)]
    {
        assert_eq!(client.open(at, name).certificate(), wanted.der, "{name}");
    }
    assert_eq!(TlsClient::new().without_sni().open(at, "x.test").certificate(), default.der);
    let r = client.open(at, "www.a.test").get("www.a.test", "/x");
    assert_eq!((r.status, r.text()), (200, "a"));
    assert_eq!(backend.request(0).header("x-forwarded-proto"), Some("https"));
    // Without TLS the same router is not there.
    assert_eq!(Conn::open(at).get("www.a.test", "/").status, 404);
}

#[test]
fn without_certificates_there_is_a_self_signed_one() {
    let backend = Backend::named("a");
    let gateway = Gateway::start(&routers(&backend, &[("all", "PathPrefix(`/`)", "{}")], ""));
    let mut conn = TlsClient::new().alpn(&["http/1.1"]).open(gateway.address("web"), "a.test");
    assert!(String::from_utf8_lossy(&conn.certificate()).contains("TRAEFIK DEFAULT CERT"));
    assert_eq!((conn.alpn().as_str(), conn.get("a.test", "/").status), ("http/1.1", 200));
    assert_eq!(TlsClient::new().alpn(&["h2", "http/1.1"]).open(gateway.address("web"), "a.test").alpn(), "h2");
}

#[test]
fn options_are_those_of_the_name_and_no_other_request_gets_past_them() {
    let (pki, backend) = (Pki::new(), Backend::named("a"));
    let text = routers(
        &backend,
        &[
            ("open", "Host(`open.test`)", "{}"),
            ("new", "Host(`new.test`)", "{ options: modern }"),
            ("mutual", "Host(`mutual.test`)", "{ options: mutual }"),
            ("nope", "Host(`nope.test`)", "{ options: missing }"),
            ("c1", "Host(`both.test`)", "{ options: modern }"),
            ("c2", "Host(`both.test`) && Path(`/x`)", "{}"),
        ],
        &format!(
            "tls:\n  options:\n    modern: {{ minVersion: VersionTLS13 }}\n    mutual: {{ clientAuth: {{ caFiles: [{}], \
             clientAuthType: RequireAndVerifyClientCert }} }}\n",
            pki.ca().display()
        ),
    );
    let gateway = Gateway::start(&text);
    let at = gateway.address("web");
    let (any, old) = (TlsClient::new(), TlsClient::with_versions(&[&rustls::version::TLS12]));
    assert_eq!(old.open(at, "open.test").get("open.test", "/").status, 200);
    assert!(old.refused(at, "new.test").contains("ProtocolVersion"), "{}", old.refused(at, "new.test"));
    assert_eq!(any.open(at, "new.test").get("new.test", "/").status, 200);
    // contradictory options: the default ones for all
    assert_eq!(old.open(at, "both.test").get("both.test", "/x").status, 200);
    // options that cannot be used: nobody gets in, and others do not notice
    any.refused(at, "nope.test");

    let mine = TlsClient::new().certificate(&pki.client("me"));
    assert!(any.refused(at, "mutual.test").contains("CertificateRequired"), "{}", any.refused(at, "mutual.test"));
    let strange = TlsClient::new().certificate(&Pki::new().client("stranger"));
    strange.refused(at, "mutual.test");
    assert_eq!(mine.open(at, "mutual.test").get("mutual.test", "/").status, 200);

    // A name without client authentication does not lead to one with it.
    let r = any.open(at, "open.test").get("mutual.test", "/");
    assert_eq!((r.status, r.text()), (421, "Misdirected Request\n"));
    assert_eq!(any.open(at, "unknown.test").get("mutual.test", "/").status, 421);
    assert_eq!(any.open(at, "unknown.test").get("open.test", "/").status, 200);

    let shown = gateway.admin("/api/http/routers").json();
    let of =
        |name: &str| shown.as_array().unwrap().iter().find(|r| r["name"] == name).cloned().unwrap_or_else(|| panic!("{name}: {shown}"));
    assert_eq!(of("web-conflicted-c1@file")["status"], "warning");
    assert_eq!(of("web-conflicted-c2@file")["status"], "enabled");
    assert_eq!(of("nope@file")["status"], "disabled");
}

/// A session of one set of options must not open the door to another.
#[test]
fn sessions_resume_across_connections_and_reloads_but_not_across_options() {
    let (pki, backend) = (Pki::new(), Backend::named("a"));
    let text = |extra: &str| {
        routers(
            &backend,
            &[("open", "Host(`open.test`)", "{}"), ("mutual", "Host(`mutual.test`)", "{ options: mutual }")],
            &format!(
                "  middlewares: {{ {extra} }}\ntls:\n  options:\n    mutual: {{ clientAuth: {{ caFiles: [{}], clientAuthType: \
                 RequireAndVerifyClientCert }} }}\n",
                pki.ca().display()
            ),
        )
    };
    let gateway = Setup::new().file("r.yml", text("m1: { addPrefix: { prefix: /a } }")).start();
    let at = gateway.address("web");
    let mut prefix = "/".to_owned();
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let client = TlsClient::with_versions(versions).resuming();
        assert!(!{ open_and_ask(&client, at) });
        // whichever worker takes them
        for _ in 0..8 {
            assert!(open_and_ask(&client, at), "{versions:?}");
        }
        prefix.push('b');
        gateway.reload("r.yml", &text(&format!("m1: {{ addPrefix: {{ prefix: {prefix} }} }}")));
        assert!(open_and_ask(&client, at), "after a reload, {versions:?}");
        client.refused(at, "mutual.test");
    }
}

fn open_and_ask(client: &TlsClient, at: std::net::SocketAddr) -> bool {
    let mut conn = client.open(at, "open.test");
    assert_eq!(conn.get("open.test", "/").status, 200);
    conn.is_resumed()
}

#[test]
fn certificates_change_without_a_connection_lost() {
    let (pki, backend) = (Pki::new(), Backend::named("a"));
    let (one, two) = (pki.pair("one", &["a.test"]), pki.pair("two", &["a.test"]));
    let text = |pair: &crate::harness::Pair| {
        routers(&backend, &[("all", "PathPrefix(`/`)", "{}")], &format!("tls: {{ certificates: [{}] }}\n", pair.yaml()))
    };
    let gateway = Setup::new().file("r.yml", text(&one)).start();
    let at = gateway.address("web");
    let mut held = TlsClient::new().open(at, "a.test");
    assert_eq!(held.certificate(), one.der);
    assert_eq!(held.get("a.test", "/").status, 200);
    gateway.reload("r.yml", &text(&two));
    eventually("the other certificate", || (TlsClient::new().open(at, "a.test").certificate() == two.der).then_some(()));
    assert_eq!(held.get("a.test", "/").status, 200);
    // The same files with other content: nobody touches the configuration.
    let three = pki.pair("two", &["a.test"]);
    eventually("the third certificate", || (TlsClient::new().open(at, "a.test").certificate() == three.der).then_some(()));
    // A broken file keeps what there was.
    std::fs::write(&three.cert_file, "-----BEGIN CERTIFICATE-----\nnonsense\n").unwrap();
    gateway.wait_log("what is wrong with it", |l| l.contains("two.pem") && l.contains("\"level\":\"error\""));
    assert_eq!(TlsClient::new().open(at, "a.test").certificate(), three.der);
    assert_eq!(held.get("a.test", "/").status, 200);
}

#[test]
fn a_bad_certificate_harms_no_other() {
    let (pki, backend) = (Pki::new(), Backend::named("a"));
    let (good, other) = (pki.pair("good", &["good.test"]), pki.pair("other", &["other.test"]));
    let text = routers(
        &backend,
        &[("all", "PathPrefix(`/`)", "{}")],
        &format!(
            "tls:\n  certificates:\n    - {{ certFile: {}, keyFile: {} }}\n    - {{ certFile: /nowhere/a.pem, keyFile: /nowhere/a.key }}\n    - {}\n",
            other.cert_file.display(),
            good.key_file.display(),
            good.yaml()
        ),
    );
    let gateway = Gateway::start(&text);
    let at = gateway.address("web");
    assert_eq!(TlsClient::new().open(at, "good.test").certificate(), good.der);
    assert_ne!(TlsClient::new().open(at, "other.test").certificate(), other.der);
    let log = gateway.log();
    for said in ["tls.certificates[0]", "tls.certificates[1]", "/nowhere/a.pem"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(!log.contains("PRIVATE KEY"));
}

/// A default certificate that cannot be used is not replaced by one that hides it; those with names serve on.
#[test]
fn a_broken_default_certificate_fails_alone() {
    let (pki, backend) = (Pki::new(), Backend::named("a"));
    let good = pki.pair("good", &["good.test"]);
    let gateway = Gateway::start(&routers(
        &backend,
        &[("all", "PathPrefix(`/`)", "{}")],
        &format!(
            "tls:\n  certificates: [{}]\n  stores: {{ default: {{ defaultCertificate: {{ certFile: /nowhere/d.pem, keyFile: /nowhere/d.key }} }} }}\n",
            good.yaml()
        ),
    ));
    let at = gateway.address("web");
    assert_eq!(TlsClient::new().open(at, "good.test").get("good.test", "/").status, 200);
    TlsClient::new().refused(at, "other.test");
    assert!(gateway.log().contains("/nowhere/d.pem"));
    let told = gateway.admin("/api/diagnostics").text().to_owned();
    assert!(told.contains("\"tls.stores.default.defaultCertificate.certFile\""), "{told}");
}

/// A key on one line is no path and no PEM: it is told that it cannot be used, and not what it is.
#[test]
fn no_key_is_told() {
    let (pki, backend) = (Pki::new(), Backend::named("a"));
    let pair = pki.pair("a", &["a.test"]);
    let key = std::fs::read_to_string(&pair.key_file).unwrap();
    let secret = key.lines().nth(1).unwrap();
    let one_line = key.replace('\n', " ");
    let text = routers(
        &backend,
        &[("all", "PathPrefix(`/`)", "{}")],
        &format!(
            "  serversTransports:\n    t: {{ certificates: [{{ certFile: {cert}, keyFile: \"{one_line}\" }}] }}\n\
             tls:\n  certificates:\n    - {{ certFile: {cert}, keyFile: \"{one_line}\" }}\n    - {{ certFile: {cert}, keyFile: \"{secret}\" }}\n",
            cert = pair.cert_file.display()
        ),
    );
    let gateway = Gateway::start(&text);
    gateway.wait_log("what is wrong", |l| l.contains("tls.certificates[1]"));
    let told = gateway.log() + gateway.admin("/api/diagnostics").text() + gateway.admin("/api/rawdata").text();
    let decimal: Vec<String> = secret.bytes().take(12).map(|b| b.to_string()).collect();
    assert!(!told.contains(&secret[..12]) && !told.contains(&decimal.join(", ")), "{told}");
}

/// Such hosts stand for names too; Traefik serves them.
#[test]
fn any_host_and_hosts_with_a_dot_carry_options() {
    let backend = Backend::named("a");
    let modern = "tls: { options: { modern: { minVersion: VersionTLS13 } } }\n";
    let gateway = Gateway::start(&routers(
        &backend,
        &[("star", "Host(`*`)", "{ options: modern }"), ("dot", "Host(`dot.test.`) && Path(`/dot`)", "{ options: modern }")],
        modern,
    ));
    let at = gateway.address("web");
    for (name, path) in [("any.test", "/"), ("dot.test", "/dot")] {
        assert_eq!(TlsClient::new().open(at, name).get(name, path).status, 200, "{name}");
        let old = TlsClient::with_versions(&[&rustls::version::TLS12]).refused(at, name);
        assert!(old.contains("ProtocolVersion"), "{name}: {old}");
    }
}

/// A connection from before does not stay open to what the options forbid now.
#[test]
fn options_that_change_hold_for_open_connections() {
    let (pki, backend) = (Pki::new(), Backend::named("a"));
    let text = |options: String| {
        routers(&backend, &[("a", "Host(`a.test`)", "{ options: o }")], &format!("tls: {{ options: {{ o: {options} }} }}\n"))
    };
    let gateway = Setup::new().file("r.yml", text("{}".into())).start();
    let at = gateway.address("web");
    let mut held = TlsClient::new().open(at, "a.test");
    assert_eq!(held.get("a.test", "/").status, 200);
    gateway.reload("r.yml", &text(format!("{{ clientAuth: {{ caFiles: [{}] }} }}", pki.ca().display())));
    eventually("clients without a certificate are refused", || {
        TlsClient::new().try_open(at, "a.test").and_then(|mut c| c.try_get("a.test", "/")).is_err().then_some(())
    });
    assert_eq!(held.get("a.test", "/").status, 421);
    // With a certificate no session is resumed: who is let in is looked at each time.
    let mine = TlsClient::new().certificate(&pki.client("me")).resuming();
    for _ in 0..3 {
        let mut conn = mine.open(at, "a.test");
        assert_eq!((conn.get("a.test", "/").status, conn.is_resumed()), (200, false));
    }
}

/// A client that agrees on HTTP/2 and then says nothing has ten seconds, and does not hold up a stop.
#[test]
fn a_silent_client_of_http2_is_let_go() {
    let backend = Backend::named("a");
    let mut gateway = Setup::new()
        .file("r.yml", routers(&backend, &[("all", "PathPrefix(`/`)", "{}")], ""))
        .flag("--entrypoints.web.transport.lifecycle.gracetimeout=60s")
        .start();
    let silent = TlsClient::new().alpn(&["h2"]).open(gateway.address("web"), "a.test");
    assert_eq!(silent.alpn(), "h2");
    let begin = std::time::Instant::now();
    assert_eq!(gateway.stop(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    drop(silent);
}

/// Neither nonsense nor silence costs more than its own connection.
#[test]
fn hostile_handshakes_end_alone() {
    let backend = Backend::named("a");
    let gateway = Setup::new()
        .file("r.yml", routers(&backend, &[("all", "PathPrefix(`/`)", "{}")], ""))
        .flag("--entrypoints.web.transport.respondingtimeouts.readtimeout=300ms")
        .start();
    let at = gateway.address("web");
    let hello = |length: u16, body: &[u8]| [&[0x16, 3, 1][..], &length.to_be_bytes(), body].concat();
    let hostile: [Vec<u8>; 7] = [
        hello(5, &[1, 0xff, 0xff, 0xff, 0]),
        hello(0, &[]),
        hello(0xffff, &[1; 600]),
        hello(4, &[2, 0, 0, 0]),
        vec![0x16],
        vec![0x80, 0x2e, 1, 0, 2],
        [hello(4, &[1, 0, 0, 200]), hello(200, &[7; 200])].concat(),
    ];
    for bytes in hostile {
        let mut conn = Conn::open(at);
        conn.send(&bytes);
        let mut rest = Vec::new();
        // an alert, or nothing; and the end, not later than the time for a handshake allows
        let begin = std::time::Instant::now();
        let _ = conn.io.read_to_end(&mut rest);
        assert!(begin.elapsed() < Duration::from_secs(5) && rest.len() < 64, "{bytes:?}: {rest:?}");
        assert_eq!(TlsClient::new().open(at, "a.test").get("a.test", "/").status, 200);
    }
}

#[test]
fn a_proxy_in_front_tells_who_the_client_is() {
    let backend = Backend::named("a");
    let both = format!(
        "{}    plain: {{ rule: \"PathPrefix(`/`)\", service: s }}\n  services:\n    s: {{ loadBalancer: {{ servers: [{{ url: \"{}\" }}] }} }}\n",
        "http:\n  routers:\n    secure: { rule: \"PathPrefix(`/`)\", service: s, tls: {} }\n",
        backend.url()
    );
    let gateway = Setup::new().file("r.yml", both).flag("--entrypoints.web.proxyprotocol.trustedips=127.0.0.1").start();
    let at = gateway.address("web");
    let seen = || backend.requests().last().unwrap().header("x-real-ip").unwrap().to_owned();

    let mut conn = Conn::open(at);
    conn.send("PROXY TCP4 192.0.2.9 192.0.2.1 1000 443\r\n");
    assert_eq!((conn.get("a.test", "/").status, seen().as_str()), (200, "192.0.2.9"));
    // It is optional.
    assert_eq!((Conn::open(at).get("a.test", "/").status, seen().as_str()), (200, "127.0.0.1"));
    // Version 2, byte by byte, before TLS.
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    let header = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &[198, 51, 100, 4, 192, 0, 2, 1, 1, 2, 3, 4]].concat();
    for b in header {
        std::io::Write::write_all(&mut stream, &[b]).unwrap();
    }
    assert_eq!(TlsClient::new().over(stream, "a.test").unwrap().get("a.test", "/").status, 200);
    assert_eq!(seen(), "198.51.100.4");
    // A malformed one is no request.
    let mut conn = Conn::open(at);
    conn.send("PROXY TCP4 192.0.2.9 nonsense\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    conn.assert_closed();
    // From others it is payload.
    let gateway = Setup::new()
        .file("r.yml", routers(&backend, &[("all", "PathPrefix(`/`)", "{}")], ""))
        .flag("--entrypoints.web.proxyprotocol.trustedips=192.0.2.0/24")
        .start();
    let mut conn = Conn::open(gateway.address("web"));
    conn.send("PROXY TCP4 192.0.2.9 192.0.2.1 1000 443\r\n\r\n");
    assert_eq!(conn.response().status, 400);
}

/// What a scanner of others has to say of the defaults.
#[test]
fn sslyze_finds_nothing_weak() {
    let programs = match python_packages("sslyze", &["sslyze==6.3.1"]) {
        Ok(programs) => programs,
        Err(e) if std::env::var_os("CI").is_none() => return eprintln!("SKIPPED: sslyze cannot be installed: {e}"),
        Err(e) => panic!("sslyze cannot be installed: {e}"),
    };
    let backend = Backend::named("a");
    let gateway = Gateway::start(&routers(&backend, &[("all", "PathPrefix(`/`)", "{}")], ""));
    let report = gateway.folder.path().join("report.json");
    let mut c = std::process::Command::new(programs.join("sslyze"));
    let out = c.arg(format!("--json_out={}", report.display())).arg(gateway.address("web").to_string()).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap_or_else(|_| panic!("{out:?}"))).unwrap();
    let found = &report["server_scan_results"][0]["scan_result"];
    let suites = |version: &str| -> Vec<String> {
        let all = &found[format!("{version}_cipher_suites")]["result"]["accepted_cipher_suites"];
        let all = all.as_array().unwrap_or_else(|| panic!("{version}: {found}"));
        all.iter().map(|s| s["cipher_suite"]["name"].as_str().unwrap().to_owned()).collect()
    };
    for old in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"] {
        assert!(suites(old).is_empty(), "{old}: {:?}", suites(old));
    }
    for new in ["tls_1_2", "tls_1_3"] {
        let weak = |s: &String| !(s.contains("_GCM_") || s.contains("CHACHA20")) || (new == "tls_1_2" && !s.contains("_ECDHE_"));
        assert!(!suites(new).is_empty() && !suites(new).iter().any(weak), "{:?}", suites(new));
    }
    let of = |test: &str, what: &str| found[test]["result"][what].clone();
    assert_eq!(of("heartbleed", "is_vulnerable_to_heartbleed"), false);
    assert_eq!(of("openssl_ccs_injection", "is_vulnerable_to_ccs_injection"), false);
    assert_eq!(of("tls_compression", "supports_compression"), false);
    assert_eq!(of("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos"), false);
    assert_eq!(of("robot", "robot_result"), "NOT_VULNERABLE_RSA_NOT_SUPPORTED");
}
