use crate::provider;
use crate::self_signed;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use torana_base::{Checked, Diagnostic, Keep, Secret};
use torana_config::routing::{Item, TlsCertificateConfig};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// A chain with its key, ready for handshakes, and what it says of itself.
#[derive(Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    common_name: String,
    sans: Vec<String>,
    serial: String,
    not_before: SystemTime,
    not_after: SystemTime,
    digest: [u8; 32],
}

/// Why a certificate cannot be used. Holds nothing of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateError {
    /// `certFile` or `keyFile`.
    pub option: &'static str,
    pub message: String,
    pub hint: Option<&'static str>,
}

impl CertificateError {
    fn cert(message: impl Into<String>, hint: &'static str) -> Self {
        CertificateError { option: "certFile", message: message.into(), hint: Some(hint) }
    }

    fn key(message: impl Into<String>, hint: &'static str) -> Self {
        CertificateError { option: "keyFile", message: message.into(), hint: Some(hint) }
    }
}

impl Certificate {
    /// Files or PEM text, as `certFile` and `keyFile` take them.
    pub fn load(cert: &str, key: &Secret) -> Result<Self, CertificateError> {
        let (cert, key) = read_pair(cert, key)?;
        Self::from_pem(&cert, &key)
    }

    /// The chain, the client's certificate first, and the key that belongs to it: PKCS #8, PKCS #1 or SEC1.
    /// Other PEM blocks are passed over. Certificates out of date are taken: it is for clients to refuse them.
    pub fn from_pem(cert: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        const CHAIN: &str = "it must hold the certificate and those between it and the root, each as `-----BEGIN CERTIFICATE-----`";
        let chain = CertificateDer::pem_slice_iter(cert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| CertificateError::cert("the certificate is malformed PEM", CHAIN))?;
        let Some(leaf) = chain.first().cloned() else {
            return Err(CertificateError::cert("there is no certificate in it", CHAIN));
        };
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(&leaf) else {
            return Err(CertificateError::cert("the certificate is malformed: its PEM block holds no X.509", CHAIN));
        };
        let key = private_key(key)?;
        let key = provider().key_provider.load_private_key(key).map_err(|_| {
            CertificateError::key(
                "the private key is of a kind that cannot be used",
                "use RSA from 2048 bits, ECDSA P-256, P-384 or P-521, or Ed25519",
            )
        })?;
        // Looked at here and not by rustls, which refuses certificates of X.509 version 1.
        if key.public_key().is_none_or(|spki| spki.as_ref() != parsed.tbs_certificate.subject_pki.raw) {
            return Err(CertificateError::key(
                "the private key does not belong to the certificate",
                "the first certificate of `certFile` must be the one that was made for this key",
            ));
        }
        let digest = chain.iter().fold(Sha256::new(), |h, c| h.chain_update(c)).finalize().into();
        let (common_name, sans) = names(&parsed);
        let lower = |s: &String| s.to_ascii_lowercase();
        let cn = (!common_name.is_empty()).then_some(&common_name);
        let mut names: Vec<String> = cn.into_iter().chain(sans.iter().filter(|s| **s != common_name)).map(lower).collect();
        names.sort_unstable();
        let validity = parsed.validity();
        Ok(Certificate {
            names,
            serial: parsed.tbs_certificate.serial.to_string(),
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
            common_name,
            sans,
            digest,
            key: Arc::new(CertifiedKey::new(chain, key)),
        })
    }

    /// One of `tls.certificates`; `key` is its path, such as `tls.certificates[0]`. `None` if it cannot be
    /// used; one out of date is used with a warning, as Traefik does.
    pub fn build(item: &Item<TlsCertificateConfig>, key: &str, loaded: &Loaded) -> Checked<Option<Arc<Certificate>>> {
        let (option, problem) = match loaded.load(&item.config.cert_file, &item.config.key_file) {
            Ok(certificate) => {
                let mut out = Checked::ok(None);
                out.diagnostics.extend(certificate.out_of_date(SystemTime::now()).map(|(message, hint)| {
                    Diagnostic::warning(format!("{key}.certFile"), message).at(&item.place_of("certFile")).hint(hint)
                }));
                out.value = Some(certificate);
                return out;
            }
            Err(e) => (e.option, e),
        };
        let d = Diagnostic::error(format!("{key}.{option}"), problem.message).at(&item.place_of(option));
        Checked { value: None, diagnostics: vec![Diagnostic { hint: problem.hint.map(str::to_owned), ..d }] }
    }

    /// The same with an OCSP answer that is sent along in handshakes.
    pub(crate) fn with_staple(&self, ocsp: &[u8]) -> Self {
        let mut key = (*self.key).clone();
        key.ocsp = Some(ocsp.to_vec());
        Certificate {
            key: Arc::new(key),
            names: self.names.clone(),
            common_name: self.common_name.clone(),
            sans: self.sans.clone(),
            serial: self.serial.clone(),
            ..*self
        }
    }

    /// What is wrong with its dates, and what to do.
    pub fn out_of_date(&self, now: SystemTime) -> Option<(String, &'static str)> {
        let names = || if self.names.is_empty() { "without a name".to_owned() } else { format!("of {}", self.names.join(", ")) };
        if now > self.not_after {
            Some((format!("the certificate {} has expired", names()), "renew it: clients refuse it"))
        } else if now < self.not_before {
            Some((
                format!("the certificate {} is not valid yet", names()),
                "look at the clock of this machine, and at the certificate's dates",
            ))
        } else {
            None
        }
    }

    /// For handshakes.
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// Common name, DNS names and addresses, in lower case and sorted; may hold one twice.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// As written in the certificate; may be empty.
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    /// DNS names and addresses, as written.
    pub fn sans(&self) -> &[String] {
        &self.sans
    }

    /// Decimal.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// SHA-256 of the chain.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

fn time(unix: i64) -> SystemTime {
    let distance = Duration::from_secs(unix.unsigned_abs());
    let time = if unix >= 0 { UNIX_EPOCH.checked_add(distance) } else { UNIX_EPOCH.checked_sub(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

/// The common name (the last one counts, as in Go), and the DNS names and addresses.
fn names(parsed: &X509Certificate<'_>) -> (String, Vec<String>) {
    let common_name = parsed.subject().iter_common_name().filter_map(|n| n.as_str().ok()).last().unwrap_or("").to_owned();
    let extension = parsed.subject_alternative_name().ok().flatten();
    let all = extension.iter().flat_map(|e| &e.value.general_names);
    let mut dns = Vec::new();
    let mut addresses = Vec::new();
    for name in all {
        match name {
            GeneralName::DNSName(n) => dns.push((*n).to_owned()),
            GeneralName::IPAddress(b) => addresses.extend(address(b).map(|ip| ip.to_string())),
            _ => {}
        }
    }
    dns.append(&mut addresses);
    (common_name, dns)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|b| IpAddr::from(b).to_canonical()),
        _ => None,
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    if memchr_text(pem, b"ENCRYPTED") {
        return Err(CertificateError::key(
            "the private key is encrypted",
            "decrypt it, for instance with `openssl pkey -in old.key -out new.key`",
        ));
    }
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => Ok(key),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => {
            Err(CertificateError::key("there is no private key in it", "it must hold a block such as `-----BEGIN PRIVATE KEY-----`"))
        }
        Err(_) => {
            Err(CertificateError::key("the private key is malformed PEM", "it must hold a block such as `-----BEGIN PRIVATE KEY-----`"))
        }
    }
}

fn memchr_text(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w == word)
}

fn read_pair(cert: &str, key: &Secret) -> Result<(Vec<u8>, Vec<u8>), CertificateError> {
    let unreadable = |option, e: std::io::Error, shown: &str| CertificateError {
        option,
        message: format!("{shown} cannot be read: {e}"),
        hint: Some("write the path of a PEM file that Torana may read, or the PEM text itself"),
    };
    // What is no path may be a piece of a key: only what has a dot, which base64 has not, is shown.
    let path = |text: &str| (text.len() <= 256 && text.contains('.') && !text.contains('\n')).then(|| format!("`{text}`"));
    let text = key.expose();
    let chain = read_or_content(cert).map_err(|e| unreadable("certFile", e, path(cert).as_deref().unwrap_or("the certificate")))?;
    let key = read_or_content(text).map_err(|e| unreadable("keyFile", e, path(text).as_deref().unwrap_or("the key")))?;
    Ok((chain, key))
}

/// A path, or PEM text.
pub(crate) fn read_or_content(text: &str) -> std::io::Result<Vec<u8>> {
    if text.contains("-----BEGIN") { Ok(text.as_bytes().to_vec()) } else { std::fs::read(text) }
}

/// Certificates that are loaded: while somebody holds one, loading the same files again gives the same one.
/// Lives as long as the process.
#[derive(Debug, Default)]
pub struct Loaded {
    certificates: Keep<[u8; 32], Certificate>,
    self_signed: Mutex<Option<Arc<Certificate>>>,
}

impl Loaded {
    /// As [`Certificate::load`]. The files are read each time, and parsed when they have changed.
    pub fn load(&self, cert: &str, key: &Secret) -> Result<Arc<Certificate>, CertificateError> {
        let (cert, key) = read_pair(cert, key)?;
        let digest =
            Sha256::new().chain_update(u64::try_from(cert.len()).unwrap_or(0).to_le_bytes()).chain_update(&cert).chain_update(&key);
        let digest: [u8; 32] = digest.finalize().into();
        self.certificates.try_get_or(digest, || Certificate::from_pem(&cert, &key))
    }

    /// What is served where no certificate has the right name and none is the default: signed by itself.
    /// Made once, and again a month before it expires.
    ///
    /// An ECDSA key, for making an RSA key takes a noticeable part of a second; and not a new one with each
    /// reload as in Traefik, so that a reload leaves handshakes and their resumption alone.
    pub fn self_signed(&self) -> Result<Arc<Certificate>, CertificateError> {
        let mut made = self.self_signed.lock().unwrap_or_else(PoisonError::into_inner);
        let soon = SystemTime::now() + Duration::from_secs(30 * 24 * 3600);
        if let Some(good) = made.as_ref().filter(|c| c.not_after > soon) {
            return Ok(good.clone());
        }
        let new = Arc::new(self_signed::make()?);
        *made = Some(new.clone());
        Ok(new)
    }

    /// Forgets certificates that nobody holds; called after each compile.
    pub fn sweep(&self) {
        self.certificates.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, make};
    use std::io::Write;
    use torana_base::Place;

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
            (&include_bytes!("testdata/v1.pem")[..], "v1.test"),
            (include_bytes!("testdata/rsa.pem"), "rsa.test"),
            (include_bytes!("testdata/ed.pem"), "ed.test"),
        ] {
            assert_eq!(Certificate::from_pem(pem, pem).unwrap().names(), [name]);
        }
        let small = include_bytes!("testdata/rsa1024.pem");
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
    fn one_that_has_expired_is_used_with_a_warning() {
        let made = testing::expired("old.test");
        let item = |cert: &str| {
            let config = TlsCertificateConfig { cert_file: cert.into(), key_file: Secret::new(made.key.clone()), ..Default::default() };
            Item::new(config, Place::new("t.yml".into(), 3, 5), 0)
        };
        let built = Certificate::build(&item(&made.cert), "tls.certificates[0]", &Loaded::default());
        assert_eq!(built.value.unwrap().names(), ["old.test"]);
        assert_eq!(
            built.diagnostics[0].to_string(),
            "warning: the certificate of old.test has expired\n  at  tls.certificates[0].certFile  (t.yml:3:5)\n  hint: renew it: clients refuse it"
        );
        let built = Certificate::build(&item("-----BEGIN"), "tls.certificates[0]", &Loaded::default());
        assert!(built.value.is_none() && built.has_errors());
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
    }
}
