use super::*;
use crate::testing::{self, make};
use std::io::Write;

fn refused(cert: &str, key: &str) -> (&'static str, String) {
    let e = Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap_err();
    assert!(!e.message.contains("MIG") && e.hint.is_some());
    (e.option, e.message)
}

#[test]
fn what_it_says_of_itself() {
    let made = make("Www.A.test", &["Www.A.test", "B.test", "*.c.test", "10.0.0.1", "::ffff:10.0.0.2", "::1"]);
    let c = made.certificate();
    assert_eq!(c.names(), ["*.c.test", "10.0.0.1", "10.0.0.2", "::1", "b.test", "www.a.test"]);
    assert_eq!((c.common_name(), c.sans().len()), ("Www.A.test", 6));
    assert!(c.not_before() < SystemTime::now() && c.not_after() > SystemTime::now() && c.out_of_date(SystemTime::now()).is_none());
    assert!(c.serial().bytes().all(|b| b.is_ascii_digit()));
    assert_eq!(make("", &[]).certificate().names(), [""; 0]);
}

#[test]
fn bad_pairs_are_refused_and_say_why() {
    let (a, b) = (make("a.test", &[]), make("b.test", &[]));
    for (cert, key, option, message) in [
        (a.cert.as_str(), b.key.as_str(), "keyFile", "the private key does not belong to the certificate"),
        ("", &a.key, "certFile", "there is no certificate in it"),
        (&a.key, &a.key, "certFile", "there is no certificate in it"),
        (&a.cert[..200], &a.key, "certFile", "the certificate is malformed PEM"),
        (&a.cert.replace("MII", "M(I"), &a.key, "certFile", "the certificate is malformed PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &a.key,
            "certFile",
            "the certificate is malformed: its PEM block holds no X.509",
        ),
        (&a.cert, "", "keyFile", "there is no private key in it"),
        (&a.cert, &a.cert, "keyFile", "there is no private key in it"),
        (&a.cert, &a.key[..60], "keyFile", "the private key is malformed PEM"),
        (
            &a.cert,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "keyFile",
            "the private key is of a kind that cannot be used",
        ),
        (&a.cert, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n", "keyFile", "the private key is encrypted"),
        (&a.cert, "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "keyFile", "the private key is encrypted"),
    ] {
        assert_eq!(refused(cert, key), (option, message.to_owned()));
    }
}

/// Made by openssl: a SEC1 key behind its parameters with a certificate of version 1, a PKCS #1 key, and
/// one with Ed25519; key and certificate in one file.
#[test]
fn all_kinds_of_keys_are_read() {
    for (pem, name) in [
        (&include_bytes!("../testdata/v1.pem")[..], "v1.test"),
        (include_bytes!("../testdata/rsa.pem"), "rsa.test"),
        (include_bytes!("../testdata/ed.pem"), "ed.test"),
    ] {
        assert_eq!(Certificate::from_pem(pem, pem).unwrap().names(), [name]);
    }
    let small = include_bytes!("../testdata/rsa1024.pem");
    assert_eq!(Certificate::from_pem(small, small).unwrap_err().message, "the private key is of a kind that cannot be used");
}

#[test]
fn files_and_text_are_read_and_kept_while_they_are_the_same() {
    let made = make("a.test", &[]);
    let file = |text: &str| {
        let mut f = tempfile::NamedTempFile::new().unwrap();
        f.write_all(text.as_bytes()).unwrap();
        f
    };
    let (cert, key) = (file(&made.cert), file(&made.key));
    let (cert_path, key_path) = (cert.path().to_str().unwrap(), Secret::new(key.path().to_str().unwrap()));
    let loaded = Loaded::default();
    let first = loaded.load(cert_path, &key_path).unwrap();
    assert!(Arc::ptr_eq(&first, &loaded.load(&made.cert, &Secret::new(made.key.clone())).unwrap()));
    let other = make("b.test", &[]);
    std::fs::write(cert.path(), &other.cert).unwrap();
    assert_eq!(loaded.load(cert_path, &key_path).unwrap_err().message, "the private key does not belong to the certificate");
    std::fs::write(key.path(), &other.key).unwrap();
    assert_eq!(loaded.load(cert_path, &key_path).unwrap().names(), ["b.test"]);
}

#[test]
fn unreadable_files_are_told_and_keys_are_not() {
    let loaded = Loaded::default();
    let load = |cert: &str, key: &str| loaded.load(cert, &Secret::new(key)).unwrap_err();
    let e = load("/nope.pem", "/nope.key");
    assert_eq!((e.option, e.message.as_str()), ("certFile", "`/nope.pem` cannot be read: No such file or directory (os error 2)"));
    let made = make("a.test", &[]);
    let e = load(&made.cert, "/nope.key");
    assert_eq!((e.option, e.message.as_str()), ("keyFile", "`/nope.key` cannot be read: No such file or directory (os error 2)"));
    let body = made.key.lines().nth(1).unwrap();
    for piece in [body, "/ab+c/d"] {
        assert!(!load(&made.cert, piece).message.contains(piece));
    }
}

#[test]
fn one_that_has_expired_can_be_used_and_says_so() {
    let made = testing::expired("old.test");
    let c = Loaded::default().load(&made.cert, &Secret::new(made.key.clone())).unwrap();
    let told = c.out_of_date(SystemTime::now()).unwrap();
    assert_eq!(told, ("the certificate of old.test has expired".to_owned(), "renew it: clients refuse it"));
    let told = c.out_of_date(UNIX_EPOCH).unwrap();
    assert_eq!(told.0, "the certificate of old.test is not valid yet");
}

#[test]
fn the_default_one_is_made_once() {
    let loaded = Loaded::default();
    let a = loaded.self_signed().unwrap();
    assert!(Arc::ptr_eq(&a, &loaded.self_signed().unwrap()));
    assert_eq!(a.common_name(), "TRAEFIK DEFAULT CERT");
    let labels: Vec<&str> = a.sans()[0].split('.').collect();
    assert_eq!(labels[2..], ["traefik", "default"]);
    assert!(labels[..2].iter().all(|l| l.len() == 32 && l.bytes().all(|b| b.is_ascii_hexdigit())));
    let days = a.not_after().duration_since(SystemTime::now()).unwrap().as_secs() / 86400;
    assert_eq!(days, 364);
    // a year later in the same process
    let day = |n: u64| SystemTime::now() + Duration::from_secs(n * 86_400);
    assert_eq!([0, 334, 336].map(|n| loaded.self_signed_due(day(n))), [false, false, true]);
    assert!(!Loaded::default().self_signed_due(day(400)), "there is none");
    *loaded.self_signed.lock().unwrap() = Some(Arc::new(self_signed::make(SystemTime::now() - Duration::from_secs(340 * 86_400)).unwrap()));
    let b = loaded.self_signed().unwrap();
    assert!(!Arc::ptr_eq(&a, &b) && !loaded.self_signed_due(SystemTime::now()));
}

#[test]
fn details_are_in_the_words_of_go() {
    let made = make("a.test", &["a.test"]);
    let d = made.certificate().details();
    assert_eq!((d.version.as_str(), d.key_type, d.key_size, d.signature_algorithm), ("v3", "ECDSA", 256, "ECDSA-SHA256"));
    assert_eq!((d.issuer_common_name.as_str(), d.issuer_organization.as_str(), d.country.as_str()), ("a.test", "", ""));
    assert!([&d.fingerprint, &d.public_key_fingerprint].iter().all(|f| f.len() == 64) && d.fingerprint != d.public_key_fingerprint);
    let day = Duration::from_secs(24 * 3600);
    let now = SystemTime::now();
    for (end, name) in [(now - day, "expired"), (now + 30 * day - Duration::from_secs(1), "warning"), (now + 30 * day, "enabled")] {
        assert_eq!(Validity::of(end, now).name(), name);
    }
}
