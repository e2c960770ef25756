use crate::acme::Used;
use crate::provider;
use crate::self_signed;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use torana_base::{Keep, Secret};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

mod details;

pub use details::{Details, Validity};

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
    used: Option<Arc<Used>>,
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
            used: None,
            key: Arc::new(CertifiedKey::new(chain, key)),
        })
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
            used: self.used.clone(),
            ..*self
        }
    }

    /// The same, telling `used` when a client is shown it.
    #[must_use]
    pub fn noting(self, used: Arc<Used>) -> Self {
        Certificate { used: Some(used), ..self }
    }

    /// Notes that a client is shown it.
    pub(crate) fn shown(&self) {
        if let Some(used) = &self.used {
            used.touch();
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

/// So long before its end the one that signed itself is made again.
const SELF_SIGNED_REST: Duration = Duration::from_secs(30 * 24 * 3600);

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
    /// Made once, and again when [`Loaded::self_signed_due`] says so.
    ///
    /// An ECDSA key, for making an RSA key takes a noticeable part of a second; and not a new one with each
    /// reload as in Traefik, so that a reload leaves handshakes and their resumption alone.
    pub fn self_signed(&self) -> Result<Arc<Certificate>, CertificateError> {
        let now = SystemTime::now();
        let mut made = self.self_signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(good) = made.as_ref().filter(|c| c.not_after > now + SELF_SIGNED_REST) {
            return Ok(good.clone());
        }
        let new = Arc::new(self_signed::make(now)?);
        *made = Some(new.clone());
        Ok(new)
    }

    /// Whether the one that signed itself has been made, and is to be made again.
    pub fn self_signed_due(&self, now: SystemTime) -> bool {
        let made = self.self_signed.lock().unwrap_or_else(PoisonError::into_inner);
        made.as_ref().is_some_and(|c| c.not_after <= now + SELF_SIGNED_REST)
    }

    /// Forgets certificates that nobody holds; called after each compile.
    pub fn sweep(&self) {
        self.certificates.sweep();
    }
}

#[cfg(test)]
mod tests;
