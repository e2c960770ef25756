//! A real CA, and the listeners that it looks at.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use torana_config::install::{AcmeConfig, HttpChallengeConfig, TlsChallengeConfig};
use torana_extend::NoPlugins;
use torana_tls::acme::*;

/// A service script of the project; `None` (loudly) when its programs cannot be had here, which in CI fails.
pub(crate) fn script(name: &str, args: &[&str], env: &[(&str, String)]) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/services").join(name);
    let output = Command::new(&path).args(args).envs(env.iter().map(|(k, v)| (*k, v))).output().unwrap();
    if output.status.success() {
        return Some(String::from_utf8(output.stdout).unwrap());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(std::env::var_os("CI").is_none(), "{} {args:?}: {said}", path.display());
    eprintln!("SKIPPED: {} {args:?} failed, so nothing was tested: {said}", path.display());
    None
}

/// Not one that the kernel gives to connections.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = 10_000 + fastrand::u16(..22_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A CA of its own for one test.
pub(crate) struct Lab {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) ports: BTreeMap<&'static str, u16>,
    env: Vec<(&'static str, String)>,
    running: bool,
}

impl Lab {
    /// Without the CA yet.
    pub(crate) fn new(env: &[(&'static str, &str)]) -> Lab {
        let names = ["PORT", "PORT_MANAGEMENT", "PORT_DNS", "PORT_DNS_API", "PORT_HTTP", "PORT_TLS"];
        let ports: BTreeMap<_, _> = names.into_iter().map(|n| (n, free_port())).collect();
        let mut all: Vec<(&str, String)> = ports.iter().map(|(n, p)| (*n, p.to_string())).collect();
        all.extend(env.iter().map(|(n, v)| (*n, (*v).to_owned())));
        Lab { dir: tempfile::tempdir().unwrap(), ports, env: all, running: false }
    }

    pub(crate) fn start(env: &[(&'static str, &str)]) -> Option<Lab> {
        let mut lab = Lab::new(env);
        lab.run()?;
        Some(lab)
    }

    pub(crate) fn run(&mut self) -> Option<()> {
        script("pebble.sh", &["start", &self.path("ca")], &self.env)?;
        self.running = true;
        Some(())
    }

    pub(crate) fn halt(&mut self) {
        self.running = false;
        script("pebble.sh", &["stop", &self.path("ca")], &self.env);
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub(crate) fn url(&self, port: &str, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.ports[port])
    }

    /// A resolver's options, without a challenge.
    pub(crate) fn config(&self) -> AcmeConfig {
        AcmeConfig {
            email: "me@example.com".into(),
            ca_server: self.url("PORT", "/dir"),
            ca_certificates: vec![self.path("ca/root.pem")],
            storage: self.path("acme.json"),
            key_type: "EC256".into(),
            ..AcmeConfig::default()
        }
    }

    pub(crate) fn http(&self) -> AcmeConfig {
        let http = HttpChallengeConfig { entry_point: "web".into(), ..HttpChallengeConfig::default() };
        AcmeConfig { http_challenge: Some(http), ..self.config() }
    }

    pub(crate) fn alpn(&self) -> AcmeConfig {
        AcmeConfig { tls_challenge: Some(TlsChallengeConfig::default()), ..self.config() }
    }

    /// Lines of the CA's log with `text`.
    pub(crate) fn log_lines(&self, text: &str) -> usize {
        let log = std::fs::read_to_string(self.path("ca/pebble.log")).unwrap_or_default();
        log.lines().filter(|l| l.contains(text)).count()
    }

    /// What the CA's own interface says (curl, as the tests have no client).
    pub(crate) fn curl(&self, args: &[&str]) -> String {
        let output = Command::new("curl").args(["-ksSf", "--noproxy", "*"]).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.path("ca/pebble.log")).unwrap_or_default());
        }
        if self.running {
            self.halt();
        }
    }
}

pub(crate) fn shared() -> AcmeShared {
    AcmeShared { env: Arc::new(|_| None), ..AcmeShared::new(Arc::new(|_| false), Arc::new(NoPlugins)) }
}

/// A resolver at work.
pub(crate) struct Running {
    pub(crate) resolver: Arc<AcmeResolver>,
    pub(crate) wanted: watch::Sender<Vec<Wanted>>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

pub(crate) fn wanted(sets: &[&[&str]]) -> Vec<Wanted> {
    let set = |names: &&[&str]| Wanted { domains: names.iter().map(|n| (*n).to_owned()).collect(), store: "default".into() };
    sets.iter().map(set).collect()
}

impl Running {
    pub(crate) fn new(name: &str, config: &AcmeConfig, shared: &AcmeShared, sets: &[&[&str]]) -> Running {
        let resolver = AcmeResolver::open(name, config, shared.clone()).unwrap();
        let (wanted, wants) = watch::channel(wanted(sets));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(Arc::clone(&resolver).run(wants, stopped));
        Running { resolver, wanted, stop, task }
    }

    /// Waits for a status that `good` is content with.
    pub(crate) async fn until(&self, good: impl Fn(&AcmeStatus) -> bool) -> Arc<AcmeStatus> {
        let mut status = self.resolver.status();
        let found = tokio::time::timeout(Duration::from_secs(60), status.wait_for(|s| good(s))).await.map(|s| s.map(|s| Arc::clone(&s)));
        match found {
            Ok(Ok(status)) => status,
            _ => panic!("not so within a minute: {:#?}", self.resolver.status().borrow().clone()),
        }
    }

    /// Waits for a certificate for `main`.
    pub(crate) async fn certificate(&self, main: &str) -> Arc<ObtainedCertificate> {
        let mut all = self.resolver.certificates();
        let has = |c: &Certificates| c.iter().find(|c| c.domains[0] == main).cloned();
        match tokio::time::timeout(Duration::from_secs(60), all.wait_for(|c| has(c).is_some())).await {
            Ok(found) => has(&found.unwrap()).unwrap(),
            Err(_) => panic!("no certificate for {main}: {:#?}", self.resolver.status().borrow().clone()),
        }
    }

    pub(crate) async fn end(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(5), self.task).await.expect("it stops").unwrap();
    }
}

pub(crate) fn one_failed(status: &AcmeStatus) -> bool {
    status.certificates.iter().any(|c| c.state == CertificateState::Failed)
}

/// Names, key kind and chain of a certificate, checked against each other.
pub(crate) fn check(c: &ObtainedCertificate) -> (Vec<String>, String) {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let chain: Vec<_> = CertificateDer::pem_slice_iter(c.chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(c.key.expose().as_bytes()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    rustls::sign::CertifiedKey::from_der(chain.clone(), key, &provider).unwrap().keys_match().unwrap();
    let (_, x) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
    assert!(c.not_after > SystemTime::now());
    let names = x.subject_alternative_name().unwrap().unwrap().value.general_names.iter();
    let names = names.filter_map(|n| if let x509_parser::extensions::GeneralName::DNSName(n) = n { Some((*n).to_owned()) } else { None });
    let (_, last) = x509_parser::parse_x509_certificate(chain.last().unwrap()).unwrap();
    let top = last.issuer().iter_common_name().next().unwrap().as_str().unwrap().to_owned();
    let mut names: Vec<_> = names.collect();
    names.sort();
    (names, top)
}

/// Answers HTTP-01 as an entry point would.
pub(crate) async fn serve_http(port: u16, challenges: Arc<Challenges>) -> tokio::task::JoinHandle<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    serve(listener, move |head, _| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let host = head.lines().find_map(|l| l.to_lowercase().strip_prefix("host:").map(|h| h.trim().to_owned())).unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default().to_owned();
        match path.strip_prefix("/.well-known/acme-challenge/").and_then(|token| challenges.http01(&host, token)) {
            Some(body) => (200, "text/plain", String::new(), body),
            None => (404, "text/plain", String::new(), "no".to_owned()),
        }
    })
}

/// Answers requests with status, content type, more header lines and a body.
pub(crate) fn serve(
    listener: tokio::net::TcpListener,
    answer: impl Fn(&str, &str) -> (u16, &'static str, String, String) + Send + Sync + 'static,
) -> tokio::task::JoinHandle<()> {
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut text = String::new();
                let mut room = [0; 4096];
                loop {
                    let Ok(n @ 1..) = tcp.read(&mut room).await else { return };
                    text.push_str(&String::from_utf8_lossy(&room[..n]));
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let wanted = head
                        .lines()
                        .find_map(|l| l.to_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse::<usize>().unwrap()));
                    if body.len() < wanted.unwrap_or(0) {
                        continue;
                    }
                    let (status, kind, more, out) = answer(head, body);
                    let out = if head.starts_with("HEAD") { String::new() } else { out };
                    let head = format!(
                        "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n{more}connection: close\r\n\r\n",
                        out.len()
                    );
                    let _ = tcp.write_all(format!("{head}{out}").as_bytes()).await;
                    return;
                }
            });
        }
    })
}

/// Answers TLS-ALPN-01 as an entry point would.
pub(crate) async fn serve_alpn(port: u16, challenges: Arc<Challenges>) {
    #[derive(Debug)]
    struct ByName(Arc<Challenges>);
    impl rustls::server::ResolvesServerCert for ByName {
        fn resolve(&self, hello: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
            self.0.alpn01(hello.server_name()?)
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(ByName(challenges)));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut tls) = acceptor.accept(tcp).await {
                    let _ = tls.shutdown().await;
                }
            });
        }
    });
}

pub(crate) fn file(path: impl Into<PathBuf>) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path.into()).unwrap()).unwrap()
}
