//! TLS of TCP routers: passthrough, termination, dispatch by name and protocol, PostgreSQL's STARTTLS; with the
//! clients that people have, `openssl` and `curl` (TCP-02, TCP-03, TCP-07, TCP-08, TLS-01, TLS-03).

use crate::harness::l4::{TcpServer, dial, echo};
use crate::harness::{Backend, Gateway, Pki, Setup, TlsClient};
use rustls::{ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Ends TLS itself, then greets with `name` and echoes; after PostgreSQL's request for TLS too.
fn tls_server(pki: &Pki, name: &'static str) -> TcpServer {
    let config = Arc::new(pki.server(name, &[], false));
    TcpServer::start(move |mut stream| {
        let mut first = [0; 8];
        if stream.peek(&mut first).is_ok() && first == SSL_REQUEST {
            stream.read_exact(&mut first).unwrap();
            stream.write_all(b"S").unwrap();
        }
        let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
        let _ = tls.write_all(format!("{name}\n").as_bytes()).and_then(|()| tls.flush());
        let mut room = [0; 256];
        while let Ok(n @ 1..) = tls.read(&mut room) {
            let _ = tls.write_all(&room[..n]).and_then(|()| tls.flush());
        }
    })
}

/// Runs `openssl s_client` until the server has said `wait_for`.
fn s_client(at: SocketAddr, args: &[&str], say: &str) -> Output {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &at.to_string(), "-quiet", "-ign_eof"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(say.as_bytes()).unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut said = Vec::new();
    let mut room = [0; 256];
    // greeting and echo: two lines, or the end
    while said.iter().filter(|b| **b == b'\n').count() < 2 {
        match out.read(&mut room) {
            Ok(n @ 1..) => said.extend_from_slice(&room[..n]),
            _ => break,
        }
    }
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    Output { stdout: said, ..output }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn names_and_protocols_lead_to_their_routers() {
    let pki = Pki::new();
    let (own, web) = (pki.pair("own", &["ended.test", "web.test", "other.test"]), Backend::named("web"));
    let (passed, any) = (tls_server(&pki, "passed.test"), tls_server(&pki, "any"));
    let (ended, mqtt) = (TcpServer::start(|s| echo(s, "ended\n")), TcpServer::start(|s| echo(s, "mqtt\n")));
    let gateway = Setup::new()
        .file(
            "r.yml",
            format!(
                "tcp:\n  routers:\n    passed: {{ rule: 'HostSNI(`passed.test`)', service: passed, entryPoints: [web], tls: {{ passthrough: true }} }}\n    \
                 ended: {{ rule: 'HostSNI(`ended.test`)', service: ended, entryPoints: [web], tls: {{}} }}\n    \
                 mqtt: {{ rule: 'HostSNI(`ended.test`) && ALPN(`mqtt`)', service: mqtt, entryPoints: [web], tls: {{ options: mqtt }} }}\n    \
                 any: {{ rule: 'HostSNI(`*`)', service: any, entryPoints: [web], tls: {{ passthrough: true }} }}\n  services:\n    \
                 passed: {{ loadBalancer: {{ servers: [{{ address: '{}' }}] }} }}\n    ended: {{ loadBalancer: {{ servers: [{{ address: '{}' }}] }} }}\n    \
                 mqtt: {{ loadBalancer: {{ servers: [{{ address: '{}' }}] }} }}\n    any: {{ loadBalancer: {{ servers: [{{ address: '{}' }}] }} }}\n\
                 http:\n  routers:\n    web: {{ rule: 'Host(`web.test`)', service: web, tls: {{}} }}\n    plain: {{ rule: 'Host(`web.test`)', service: web }}\n  services:\n    \
                 web: {{ loadBalancer: {{ servers: [{{ url: '{}' }}] }} }}\n\
                 tls:\n  certificates: [{}]\n  options:\n    mqtt: {{ alpnProtocols: [mqtt] }}\n",
                passed.address,
                ended.address,
                mqtt.address,
                any.address,
                web.url(),
                own.yaml()
            ),
        )
        .start();
    let at = gateway.address("web");
    let ca = pki.ca();
    let verified = ["-CAfile", ca.to_str().unwrap(), "-verify_return_error"];
    let ask = |name: &'static str, more: &[&str]| {
        let args: Vec<&str> = [&["-servername", name, "-verify_hostname", name], &verified[..], more].concat();
        said(&s_client(at, &args, "ping\n"))
    };
    // The server's own certificate is seen, and its name verified by the client.
    assert_eq!(ask("passed.test", &[]), "passed.test\nping\n");
    // Here the gateway's is.
    assert_eq!(ask("ended.test", &[]), "ended\nping\n");
    assert_eq!(ask("ended.test", &["-alpn", "mqtt"]), "mqtt\nping\n");
    let other = s_client(at, &["-servername", "elsewhere.test", "-CAfile", verified[1]], "ping\n");
    assert_eq!(said(&other), "any\nping\n");
    // A name of an HTTP router goes before them, and without TLS there is HTTP.
    assert_eq!(TlsClient::new().open(at, "web.test").get("web.test", "/").text(), "web");
    assert_eq!(gateway.connect().get("web.test", "/").text(), "web");
}

/// PostgreSQL's clients ask in its own words first; `openssl` can do that.
#[test]
fn postgresql_is_answered_before_tls() {
    let pki = Pki::new();
    let own = pki.pair("own", &["ended.test"]);
    let passed = tls_server(&pki, "passed.test");
    let ended = TcpServer::start(|s| echo(s, "ended\n"));
    let gateway = Setup::new()
        .file(
            "r.yml",
            format!(
                "tcp:\n  routers:\n    passed: {{ rule: 'HostSNI(`passed.test`)', service: passed, entryPoints: [web], tls: {{ passthrough: true }} }}\n    \
                 ended: {{ rule: 'HostSNI(`ended.test`)', service: ended, entryPoints: [web], tls: {{}} }}\n  services:\n    \
                 passed: {{ loadBalancer: {{ servers: [{{ address: '{}' }}] }} }}\n    ended: {{ loadBalancer: {{ servers: [{{ address: '{}' }}] }} }}\n\
                 tls: {{ certificates: [{}] }}\n",
                passed.address,
                ended.address,
                own.yaml()
            ),
        )
        .start();
    let at = gateway.address("web");
    let ca = pki.ca();
    for name in ["passed.test", "ended.test"] {
        let args = [
            "-starttls",
            "postgres",
            "-servername",
            name,
            "-verify_hostname",
            name,
            "-CAfile",
            ca.to_str().unwrap(),
            "-verify_return_error",
        ];
        let expected = format!("{}\nping\n", name.strip_suffix(".test").filter(|n| *n == "ended").unwrap_or(name));
        assert_eq!(said(&s_client(at, &args, "ping\n")), expected, "{name}");
    }
    // No router for the name: the connection ends after the answer.
    let mut nobody = dial(at);
    nobody.write_all(&SSL_REQUEST).unwrap();
    let mut answer = [0; 1];
    nobody.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"S");
    assert!(TlsClient::new().over(nobody, "nobody.test").is_err());
}

#[test]
fn strict_names_and_the_weakest_clients() {
    let (pki, backend) = (Pki::new(), Backend::named("a"));
    let pair = pki.pair("a", &["a.test"]);
    let gateway = Gateway::start(&format!(
        "http:\n  routers:\n    all: {{ rule: 'PathPrefix(`/`)', service: s, tls: {{}} }}\n  services:\n    s: {{ loadBalancer: {{ servers: [{{ url: '{}' }}] }} }}\n\
         tls:\n  certificates: [{}]\n  options: {{ default: {{ sniStrict: true }} }}\n",
        backend.url(),
        pair.yaml()
    ));
    let at = gateway.address("web");
    assert_eq!(TlsClient::new().open(at, "a.test").get("a.test", "/").status, 200);
    let refused = TlsClient::new().refused(at, "b.test");
    assert!(refused.contains("UnrecognisedName"), "{refused}");
    // Old versions and weak suites are not spoken.
    for weak in [
        &["-tls1"][..],
        &["-tls1_1"],
        &["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"],
    ] {
        let args = [&["-servername", "a.test"], weak].concat();
        let output = s_client(at, &args, "");
        assert!(said(&output).is_empty() && String::from_utf8_lossy(&output.stderr).contains("alert"), "{weak:?}: {output:?}");
    }
    // A client that asks for another handshake inside the connection is not served one.
    let stream = TcpStream::connect(at).unwrap();
    assert!(TlsClient::with_versions(&[&rustls::version::TLS12]).over(stream, "a.test").is_ok());
}

#[test]
fn curl_shows_its_certificate() {
    let (pki, backend) = (Pki::new(), Backend::named("a"));
    let pair = pki.pair("a", &["a.test"]);
    let gateway = Gateway::start(&format!(
        "http:\n  routers:\n    all: {{ rule: 'Host(`a.test`)', service: s, tls: {{ options: mutual }}, middlewares: [pass] }}\n  \
         middlewares: {{ pass: {{ passTLSClientCert: {{ info: {{ subject: {{ commonName: true }}, sans: true }} }} }} }}\n  services:\n    \
         s: {{ loadBalancer: {{ servers: [{{ url: '{}' }}] }} }}\n\
         tls:\n  certificates: [{}]\n  options: {{ mutual: {{ clientAuth: {{ caFiles: [{}], clientAuthType: RequireAndVerifyClientCert }} }} }}\n",
        backend.url(),
        pair.yaml(),
        pki.ca().display()
    ));
    let at = gateway.address("web");
    let (cert, key) = pki.client("me");
    let curl = |more: &[&str]| {
        let resolve = format!("a.test:{}:127.0.0.1", at.port());
        let url = format!("https://a.test:{}/", at.port());
        let ca = pki.ca();
        let fixed = ["-sS", "--noproxy", "*", "--max-time", "10", "--cacert", ca.to_str().unwrap(), "--resolve", &resolve, &url];
        Command::new("curl").args(fixed).args(more).output().unwrap()
    };
    let refused = curl(&[]);
    assert!(!refused.status.success() && backend.requests().is_empty(), "{refused:?}");
    for version in ["--http1.1", "--http2"] {
        let served = curl(&[version, "--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()]);
        assert_eq!(said(&served), "a", "{served:?}");
    }
    let seen = backend.request(0);
    let info = seen.header("x-forwarded-tls-client-cert-info").unwrap();
    assert!(info.contains("SAN%3D%22me%22"), "{info}");
}
