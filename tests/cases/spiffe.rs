//! Servers by SPIFFE identities, from a Workload API (TRN-03, STR-03, TCP-06).

use crate::harness::{Backend, Gateway, Reply, Setup, eventually, lock};
use bytes::{BufMut, Bytes, BytesMut};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The authority of a trust domain.
struct Domain {
    name: &'static str,
    issuer: Issuer<'static, KeyPair>,
    ca: CertificateDer<'static>,
}

impl Domain {
    fn new(name: &'static str) -> Domain {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        Domain { name, ca: ca.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn svid(&self, path: &str) -> (CertificateDer<'static>, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, path);
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://{}/{path}", self.name).try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().der().clone(), key)
    }

    /// A server with this identity, for clients of the trust domain.
    fn server(&self, path: &str) -> ServerConfig {
        let (cert, key) = self.svid(path);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        builder.with_client_cert_verifier(clients).with_single_cert(vec![cert], key).unwrap()
    }
}

/// A field of a message (Protocol Buffers, "Encoding"): its number, length and bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 128 {
        out.push(length as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
    [&out, bytes].concat()
}

/// An agent that gives the workload an identity, and others as it is told.
struct Agent {
    _folder: tempfile::TempDir,
    socket: PathBuf,
    answer: watch::Sender<Vec<u8>>,
    asked: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Agent {
    fn answer(domain: &Domain, path: &str) -> Vec<u8> {
        let (cert, key) = domain.svid(path);
        let id = format!("spiffe://{}/{path}", domain.name);
        let svid = [field(1, id.as_bytes()), field(2, &cert), field(3, &key.serialize_der()), field(4, &domain.ca)].concat();
        field(1, &svid)
    }

    fn start(domain: &Domain) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let (answer, answers) = watch::channel(Agent::answer(domain, "gateway"));
        let asked: Arc<Mutex<Vec<_>>> = Arc::default();
        let seen = asked.clone();
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, answers.clone(), seen.clone()));
                }
            });
        });
        Agent { _folder: folder, socket, answer, asked }
    }
}

async fn serve(stream: tokio::net::UnixStream, answers: watch::Receiver<Vec<u8>>, seen: Arc<Mutex<Vec<(String, bool)>>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let header = request.headers().get("workload.spiffe.io").is_some_and(|v| v == "true");
        lock(&seen).push((request.uri().path().to_owned(), header));
        let mut answers = answers.clone();
        tokio::spawn(async move {
            let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let Ok(mut body) = respond.send_response(head, false) else { return };
            loop {
                let message = answers.borrow_and_update().clone();
                let mut frame = BytesMut::new();
                frame.put_u8(0);
                frame.put_u32(message.len() as u32);
                frame.extend_from_slice(&message);
                if body.send_data(Bytes::from(frame), false).is_err() || answers.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

fn gateway(agent: &Agent, routing: &str) -> Gateway {
    Setup::new()
        .file("routing.yml", routing)
        .flag(format!("--spiffe.workloadapiaddr=unix://{}", agent.socket.display()))
        .flag("--entrypoints.tcp.address=127.0.0.1:0")
        .start()
}

#[test]
fn servers_are_known_by_their_identities() {
    let (ours, theirs) = (Domain::new("example.org"), Domain::new("other.org"));
    let agent = Agent::start(&ours);
    let good = Backend::tls(ours.server("shop"), |_| Reply::ok("shop"));
    let other = Backend::tls(ours.server("other"), |_| Reply::ok("other"));
    let foreign = Backend::tls(theirs.server("shop"), |_| Reply::ok("foreign"));
    let plain = format!("https://{}", good.address);
    let routing = format!(
        "http:
  routers:
    any: {{rule: 'Path(`/any`)', service: any}}
    domain: {{rule: 'Path(`/domain`)', service: domain}}
    id: {{rule: 'Path(`/id`)', service: id}}
    wrong: {{rule: 'Path(`/wrong`)', service: wrong}}
    foreign: {{rule: 'Path(`/foreign`)', service: foreign}}
    none: {{rule: 'Path(`/none`)', service: none}}
  services:
    any: {{loadBalancer: {{serversTransport: any, servers: [{{url: '{plain}'}}]}}}}
    domain: {{loadBalancer: {{serversTransport: domain, servers: [{{url: '{plain}'}}]}}}}
    id: {{loadBalancer: {{serversTransport: id, servers: [{{url: '{plain}'}}]}}}}
    wrong: {{loadBalancer: {{serversTransport: id, servers: [{{url: '{other}'}}]}}}}
    foreign: {{loadBalancer: {{serversTransport: any, servers: [{{url: '{foreign}'}}]}}}}
    none: {{loadBalancer: {{servers: [{{url: '{plain}'}}]}}}}
  serversTransports:
    any: {{spiffe: {{}}}}
    domain: {{spiffe: {{trustDomain: example.org}}}}
    id: {{spiffe: {{ids: ['spiffe://example.org/shop']}}}}
tcp:
  routers:
    t: {{rule: 'HostSNI(`*`)', entryPoints: [tcp], service: s}}
  services:
    s: {{loadBalancer: {{serversTransport: id, servers: [{{address: '{}', tls: true}}]}}}}
  serversTransports:
    id: {{tls: {{spiffe: {{ids: ['spiffe://example.org/shop']}}}}}}
",
        good.address,
        other = other.url(),
        foreign = foreign.url(),
    );
    let gateway = gateway(&agent, &routing);
    eventually("the identity is there", || (gateway.get("/any").status == 200).then_some(()));
    // 500 as in Traefik
    for (path, status) in [("/domain", 200), ("/id", 200), ("/wrong", 500), ("/foreign", 500), ("/none", 500)] {
        assert_eq!(gateway.get(path).status, status, "{path}");
    }
    let mut conn = crate::harness::Conn::open(gateway.address("tcp"));
    assert_eq!(conn.get("a", "/").text(), "shop");
    assert_eq!(lock(&agent.asked).as_slice(), [("/SpiffeWorkloadAPI/FetchX509SVID".to_owned(), true)]);
    assert!(gateway.log().contains("\"id\":\"spiffe://example.org/gateway\""));

    // what is wrong is told, and harms nothing else
    gateway.reload("more.yml", &format!("http: {{routers: {{m: {{rule: 'Path(`/m`)', service: m}}}}, services: {{m: {{loadBalancer: {{serversTransport: m, servers: [{{url: '{plain}'}}]}}}}}}, serversTransports: {{m: {{spiffe: {{}}, serverName: a}}}}}}\n"));
    eventually("it is told", || {
        gateway.admin("/api/diagnostics").text().contains("TLS and SPIFFE configuration cannot be defined").then_some(())
    });
    assert!(gateway.get("/id").status == 200 && gateway.get("/m").status >= 500);
}

/// A new identity is shown with the next handshake; an agent that goes away leaves the last one in use.
#[test]
fn identities_change_and_stay() {
    let (ours, next) = (Domain::new("example.org"), Domain::new("example.org"));
    let agent = Agent::start(&ours);
    let old = Backend::tls(ours.server("shop"), |_| Reply::ok("old").header("connection", "close"));
    let new = Backend::tls(next.server("shop"), |_| Reply::ok("new").header("connection", "close"));
    let routing = format!(
        "http:
  routers:
    old: {{rule: 'Path(`/old`)', service: old}}
    new: {{rule: 'Path(`/new`)', service: new}}
  services:
    old: {{loadBalancer: {{serversTransport: t, servers: [{{url: '{}'}}]}}}}
    new: {{loadBalancer: {{serversTransport: t, servers: [{{url: '{}'}}]}}}}
  serversTransports:
    t: {{spiffe: {{}}, disableHTTP2: true}}
",
        old.url(),
        new.url()
    );
    let gateway = gateway(&agent, &routing);
    eventually("the first identity", || (gateway.get("/old").status == 200).then_some(()));
    assert_eq!(gateway.get("/new").status, 500);
    agent.answer.send_replace(b"\x0a\x01".to_vec());
    gateway.wait_log("nonsense is told", |l| l.contains("the SPIFFE Workload API gives no identity"));
    assert_eq!(gateway.get("/old").status, 200, "the last one stays");
    agent.answer.send_replace(Agent::answer(&next, "gateway"));
    eventually("the next identity", || (gateway.get("/new").status == 200).then_some(()));
    assert_eq!(gateway.get("/old").status, 500);
    drop(agent);
    assert_eq!(gateway.get("/new").status, 200);
}
