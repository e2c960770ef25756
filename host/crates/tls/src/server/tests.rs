use super::*;
use crate::Loaded;
use crate::testing::{self, Made, authority, make};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, ServerConnection, SignatureScheme,
};
use torana_base::{Place, Severity};
use torana_config::routing::{ClientAuthConfig, Item, TlsOptionsConfig};

fn options(change: impl FnOnce(&mut TlsOptionsConfig)) -> (Option<TlsOptions>, Vec<String>) {
    named("default", change)
}

fn named(name: &str, change: impl FnOnce(&mut TlsOptionsConfig)) -> (Option<TlsOptions>, Vec<String>) {
    let mut config = TlsOptionsConfig::default();
    change(&mut config);
    let built = TlsOptions::build(name, &Item::new(config, Place::whole("t"), 0), "o");
    let told = built.diagnostics.iter().map(|d| format!("{}{} {}", if d.severity == Severity::Error { "!" } else { "" }, d.key, d.message));
    (built.value, told.collect())
}

#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crate::provider().signature_verification_algorithms.supported_schemes()
    }
}

fn client(identity: Option<&Made>, tls12: bool) -> ClientConfig {
    let versions: &[_] = if tls12 { &[&rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
    let builder = ClientConfig::builder_with_provider(crate::provider())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone));
    match identity {
        None => builder.with_no_client_auth(),
        Some(made) => {
            let chain = CertificateDer::pem_slice_iter(made.cert.as_bytes()).map(Result::unwrap).collect();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap()).unwrap()
        }
    }
}

/// What became of a handshake, as the client saw it.
#[derive(Debug, PartialEq)]
struct Met {
    leaf: Vec<u8>,
    alpn: Option<Vec<u8>>,
    kind: HandshakeKind,
    suite: &'static str,
    version: &'static str,
    /// Certificates of the client, as the server saw them.
    shown: usize,
}

fn meet(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, name: &str) -> Result<Met, String> {
    let mut c = ClientConnection::new(client.clone(), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut s = ServerConnection::new(server.clone()).unwrap();
    let mut refused = None;
    while c.wants_write() || s.wants_write() {
        let mut wire = Vec::new();
        c.write_tls(&mut wire).unwrap();
        s.read_tls(&mut wire.as_slice()).unwrap();
        refused = refused.or(s.process_new_packets().err().map(|e| e.to_string()));
        let mut wire = Vec::new();
        s.write_tls(&mut wire).unwrap();
        c.read_tls(&mut wire.as_slice()).unwrap();
        if let Err(e) = c.process_new_packets() {
            return Err(match e {
                Error::AlertReceived(AlertDescription::AccessDenied) => "nobody".into(),
                e => refused.unwrap_or_else(|| e.to_string()),
            });
        }
    }
    let suite = c.negotiated_cipher_suite().unwrap().suite();
    Ok(Met {
        leaf: c.peer_certificates().unwrap()[0].to_vec(),
        alpn: c.alpn_protocol().map(<[u8]>::to_vec),
        kind: c.handshake_kind().unwrap(),
        suite: crate::cipher_name(suite),
        version: crate::version_name(c.protocol_version().unwrap()),
        shown: s.peer_certificates().map_or(0, <[_]>::len),
    })
}

fn store() -> Arc<Store> {
    let all = [make("a.test", &["10.0.0.1"]), make("*.b.test", &[])].map(|m| m.certificate());
    Arc::new(Store::new(all, Some(Loaded::default().self_signed().unwrap())))
}

#[test]
fn the_certificate_follows_the_name() {
    let (store, shared) = (store(), SessionShared::default());
    let [a, b] = store.certificates() else { panic!() };
    let default = store.default_certificate().unwrap();
    let open = server_config(&TlsOptions::defaults("default"), store.clone(), &shared);
    let strict_options = options(|o| o.sni_strict = true).0.unwrap();
    let strict = server_config(&strict_options, store.clone(), &shared);
    let leaf = |c: &crate::Certificate| Ok(c.key().cert[0].to_vec());
    let got = |config: &Arc<ServerConfig>, name: &str| meet(config, &Arc::new(client(None, false)), name).map(|m| m.leaf);
    for (name, opened, strictly) in [
        ("a.test", leaf(a), leaf(a)),
        ("x.b.test", leaf(b), leaf(b)),
        ("x.test", leaf(default), Err("nobody".to_owned())),
        ("10.0.0.1", leaf(default), Err("nobody".to_owned())),
    ] {
        assert_eq!((got(&open, name), got(&strict, name)), (opened, strictly), "{name}");
    }
    let chosen = |sni, alpn: &[&str], ip: &str| {
        let alpn: Vec<_> = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        choose(&strict, &strict_options, &store, sni, &alpn, ip.parse().unwrap())
    };
    assert!(chosen(Some("x.test"), &["h2"], "10.0.0.1").is_none() && chosen(None, &[], "10.0.0.2").is_none());
    assert!(Arc::ptr_eq(&chosen(Some("a.test"), &["h2"], "10.0.0.2").unwrap(), &strict));
    assert_eq!(got(&chosen(None, &["h2"], "10.0.0.1").unwrap(), "10.0.0.1"), leaf(a));
    let empty = server_config(&TlsOptions::defaults("default"), Arc::default(), &shared);
    assert_eq!(got(&empty, "a.test"), Err("nobody".to_owned()));
    assert!(choose(&empty, &TlsOptions::defaults("default"), &Store::default(), Some("a.test"), &[], [1, 1, 1, 1].into()).is_none());
}

/// As with Traefik 3.7.15.
#[test]
fn a_server_of_http2_alone_takes_clients_of_http1() {
    let (store, shared) = (store(), SessionShared::default());
    let met = |offered: &[&str], wanted: &[&str]| {
        let options = options(|o| o.alpn_protocols = offered.iter().map(|p| (*p).to_owned()).collect()).0.unwrap();
        let server = server_config(&options, store.clone(), &shared);
        let mut c = client(None, false);
        c.alpn_protocols = wanted.iter().map(|p| p.as_bytes().to_vec()).collect();
        let chosen = choose(&server, &options, &store, Some("a.test"), &c.alpn_protocols, [1, 1, 1, 1].into()).unwrap();
        meet(&chosen, &Arc::new(c), "a.test").map(|m| m.alpn.map(|p| String::from_utf8(p).unwrap())).ok()
    };
    assert_eq!(met(&["h2"], &["http/1.1"]), Some(None));
    assert_eq!(met(&["h2"], &["http/1.1", "h2"]), Some(Some("h2".into())));
    assert_eq!(met(&["h2"], &["spdy"]), None);
    assert_eq!(met(&["http/1.1"], &["h2"]), None);
    assert_eq!(met(&[], &["h2"]), Some(Some("h2".into())));
}

#[test]
fn every_kind_of_key_serves() {
    for (pem, name) in [
        (&include_bytes!("../testdata/v1.pem")[..], "v1.test"),
        (include_bytes!("../testdata/rsa.pem"), "rsa.test"),
        (include_bytes!("../testdata/ed.pem"), "ed.test"),
    ] {
        let certificate = Arc::new(crate::Certificate::from_pem(pem, pem).unwrap());
        let server = server_config(&TlsOptions::defaults("default"), Arc::new(Store::new([certificate], None)), &SessionShared::default());
        for tls12 in [false, true] {
            assert_eq!(meet(&server, &Arc::new(client(None, tls12)), name).map(|m| m.shown), Ok(0), "{name}");
        }
    }
}

#[test]
fn sessions_are_resumed_over_reloads_but_not_under_other_options() {
    let (store, shared) = (store(), SessionShared::default());
    for tls12 in [false, true] {
        let open = TlsOptions::defaults("default");
        let c = Arc::new(client(None, tls12));
        let first = server_config(&open, store.clone(), &shared);
        let kind = |server: &Arc<ServerConfig>| meet(server, &c, "a.test").unwrap().kind;
        assert!(matches!(kind(&first), HandshakeKind::Full));
        assert_eq!(kind(&first), HandshakeKind::Resumed);
        // a reload: other certificates, equal options
        let again = server_config(&options(|_| {}).0.unwrap(), Arc::new(Store::new([make("a.test", &[]).certificate()], None)), &shared);
        shared.sweep();
        assert_eq!(kind(&again), HandshakeKind::Resumed);
        let other = server_config(&named("other@file", |_| {}).0.unwrap(), store.clone(), &shared);
        assert!(matches!(kind(&other), HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest));
        let require = |o: &mut TlsOptionsConfig| o.client_auth.client_auth_type = "RequireAnyClientCert".into();
        let mutual = server_config(&options(require).0.unwrap(), store.clone(), &shared);
        // what the client still has of `first` does not help it here
        assert_eq!(kind(&first), HandshakeKind::Full);
        let refused = meet(&mutual, &c, "a.test");
        assert!(refused.is_err(), "{refused:?}");
        let never = server_config(&options(|o| o.disable_session_tickets = true).0.unwrap(), store.clone(), &shared);
        let c = Arc::new(client(None, tls12));
        let kinds = [0; 2].map(|_| meet(&never, &c, "a.test").unwrap().kind);
        assert!(!kinds.contains(&HandshakeKind::Resumed), "{kinds:?}");
    }
}

#[test]
fn client_certificates_are_asked_for_as_the_type_says() {
    let (ca, other) = (authority("ca"), authority("other"));
    let (good, stranger) = (ca.client("good"), other.client("stranger"));
    let mut server_only = testing::params("server", &[]);
    server_only.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let server_only = ca.sign(&server_only);
    let mut own = testing::params("own", &[]);
    own.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let own = testing::self_signed(&own);
    let mut old = testing::params("old", &[]);
    old.not_after = (std::time::SystemTime::now() - std::time::Duration::from_secs(60)).into();
    old.not_before = (std::time::SystemTime::now() - std::time::Duration::from_secs(120)).into();
    let old = ca.sign(&old);
    let identities = [None, Some(&good), Some(&stranger), Some(&server_only), Some(&own), Some(&old)];
    // number of certificates that the server saw, or -1 where it refused
    for (kind, expected) in [
        ("NoClientCert", [0, 0, 0, 0, 0, 0]),
        ("RequestClientCert", [0, 1, 1, 1, 1, 1]),
        ("RequireAnyClientCert", [-1, 1, 1, 1, 1, 1]),
        ("VerifyClientCertIfGiven", [0, 1, -1, -1, 1, -1]),
        ("RequireAndVerifyClientCert", [-1, 1, -1, -1, 1, -1]),
        ("", [-1, 1, -1, -1, 1, -1]),
    ] {
        let (options, told) = options(|o| {
            o.client_auth = ClientAuthConfig { ca_files: vec![ca.cert.clone(), own.cert.clone()], client_auth_type: kind.into() };
        });
        let options = options.unwrap_or_else(|| panic!("{told:?}"));
        assert_eq!(options.asks_clients(), kind != "NoClientCert");
        let server = server_config(&options, store(), &SessionShared::default());
        for tls12 in [false, true] {
            let got = identities.map(|i| meet(&server, &Arc::new(client(i, tls12)), "a.test").map_or(-1, |m| m.shown as i32));
            assert_eq!(got, expected, "{kind} {tls12}");
        }
    }
}

#[test]
fn versions_suites_and_protocols_are_those_of_the_options() {
    let shared = SessionShared::default();
    let met = |change: &dyn Fn(&mut TlsOptionsConfig), tls12: bool, alpn: &[&str]| {
        let server = server_config(&options(change).0.unwrap(), store(), &shared);
        let mut c = client(None, tls12);
        c.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        meet(&server, &Arc::new(c), "a.test")
    };
    assert_eq!(met(&|_| {}, false, &["http/1.1", "h2"]).unwrap().alpn.as_deref(), Some(&b"h2"[..]));
    assert_eq!(met(&|_| {}, true, &["http/1.1"]).unwrap().alpn.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(met(&|_| {}, true, &[]).unwrap().version, "1.2");
    assert!(met(&|_| {}, false, &["spdy"]).is_err());
    assert!(met(&|o| o.min_version = "VersionTLS13".into(), true, &[]).is_err());
    assert!(met(&|o| o.max_version = "VersionTLS12".into(), false, &[]).is_err());
    assert_eq!(met(&|o| o.min_version = "VersionTLS10".into(), true, &[]).unwrap().version, "1.2");
    let suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305";
    assert_eq!(met(&|o| o.cipher_suites = vec![suite.into()], true, &[]).unwrap().suite, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");
    assert_eq!(met(&|o| o.cipher_suites = vec![suite.into()], false, &[]).unwrap().version, "1.3");
    assert!(met(&|o| o.cipher_suites = vec!["TLS_AES_128_GCM_SHA256".into()], true, &[]).is_err());
}

#[test]
fn options_that_cannot_be_honoured_say_why() {
    let secure = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned();
    let told = |change: &dyn Fn(&mut TlsOptionsConfig)| {
        let (built, told) = options(change);
        (built.is_some(), told)
    };
    for (change, works, expected) in [
        (&(|_: &mut TlsOptionsConfig| {}) as &dyn Fn(&mut TlsOptionsConfig), true, &[][..]),
        (&|o| o.min_version = "VersionTLS10".into(), true, &["o.minVersion TLS 1.0 is not secure: clients are served from TLS 1.2 on"]),
        (&|o| o.min_version = "VersionTLS1".into(), true, &["o.minVersion unknown TLS version `VersionTLS1` is ignored"]),
        (&|o| o.max_version = "VersionTLS11".into(), false, &["!o.maxVersion TLS 1.0 and 1.1 are not secure, and not served"]),
        (
            &|o| (o.min_version, o.max_version) = ("VersionTLS13".into(), "VersionTLS12".into()),
            false,
            &["!o.minVersion `minVersion` is above `maxVersion`: no client could be served"],
        ),
        (
            &|o| o.cipher_suites = vec!["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA".into()],
            false,
            &["!o.cipherSuites[0] unknown cipher suite `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA`"],
        ),
        (
            &|o| o.cipher_suites = vec![secure.clone(), "TLS_RSA_WITH_AES_128_CBC_SHA".into()],
            true,
            &["o.cipherSuites[1] `TLS_RSA_WITH_AES_128_CBC_SHA` is not secure, and left out"],
        ),
        (
            &|o| o.cipher_suites = vec!["TLS_RSA_WITH_AES_128_CBC_SHA".into()],
            false,
            &[
                "o.cipherSuites[0] `TLS_RSA_WITH_AES_128_CBC_SHA` is not secure, and left out",
                "!o.cipherSuites no secure cipher suite is left",
            ],
        ),
        (
            &|o| (o.cipher_suites, o.max_version) = (vec!["TLS_AES_128_GCM_SHA256".into()], "VersionTLS12".into()),
            false,
            &["!o.cipherSuites no cipher suite of TLS 1.2 is left, and `maxVersion` allows no newer"],
        ),
        (&|o| o.curve_preferences = vec!["CurveP256".into(), "x25519".into()], true, &[]),
        (&|o| o.curve_preferences = vec!["CurveP25".into()], false, &["!o.curvePreferences[0] unknown curve `CurveP25`"]),
        (
            &|o| o.curve_preferences = vec!["CurveP521".into()],
            false,
            &["o.curvePreferences[0] Torana does not have the curve `CurveP521`, it is left out", "!o.curvePreferences no curve is left"],
        ),
        (
            &|o| o.client_auth.client_auth_type = "RequireAndVerifyClientCert".into(),
            false,
            &["!o.clientAuth.clientAuthType `RequireAndVerifyClientCert` needs authorities that vouch for clients"],
        ),
        (
            &|o| o.client_auth.client_auth_type = "requireAny".into(),
            false,
            &["!o.clientAuth.clientAuthType unknown client authentication `requireAny`"],
        ),
        (
            &|o| o.client_auth.ca_files = vec!["/nope.pem".into()],
            false,
            &["!o.clientAuth.caFiles[0] `/nope.pem` cannot be read: No such file or directory (os error 2)"],
        ),
        (
            &|o| o.client_auth.ca_files = vec!["-----BEGIN CERTIFICATE-----\nx".into()],
            false,
            &["!o.clientAuth.caFiles[0] there is no certificate in `-----BEGIN CERTIFICATE-----`"],
        ),
        (&|o| o.alpn_protocols = vec!["".into()], false, &["!o.alpnProtocols[0] the name of a protocol has 1 to 255 bytes"]),
    ] {
        assert_eq!(told(change), (works, expected.iter().map(|s| (*s).to_owned()).collect()));
    }
}
