//! Where accounts and certificates are kept: Traefik's `acme.json`, so that either gateway can take the other's.

use super::AcmeError;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use torana_base::Keep;

/// An account as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAccount {
    pub email: String,
    /// Its address at the CA; empty before it is registered.
    pub uri: String,
    /// What the CA said of it.
    pub body: Value,
    /// PKCS#1, DER.
    pub key: Vec<u8>,
}

/// A certificate as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredCertificate {
    /// The main one first.
    pub domains: Vec<String>,
    /// PEM.
    pub chain: String,
    /// PEM.
    pub key: String,
    /// Default `default`.
    pub store: String,
}

impl std::fmt::Debug for StoredCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredCertificate").field("domains", &self.domains).field("store", &self.store).finish_non_exhaustive()
    }
}

/// What a resolver has stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    pub account: Option<StoredAccount>,
    pub certificates: Vec<StoredCertificate>,
    /// Entries that could not be read; they are kept as they are.
    pub unreadable: Vec<String>,
}

/// Keeps what resolvers have. All of it blocks: to be called on a thread for that.
pub trait Storage: Send + Sync {
    fn load(&self, resolver: &str) -> Result<Stored, AcmeError>;

    /// Replaces the account of `resolver` when it is the one with the address `over` (empty for none); what it is
    /// now, which may be one that another gateway put there.
    fn put_account(&self, resolver: &str, account: &StoredAccount, over: &str) -> Result<StoredAccount, AcmeError>;

    /// Adds a certificate, or replaces the one for the same domains.
    fn put_certificate(&self, resolver: &str, certificate: &StoredCertificate) -> Result<(), AcmeError>;

    /// What gateways that share the place do there beside.
    fn cluster(&self) -> Option<&dyn Cluster> {
        None
    }
}

/// A storage that several gateways share.
pub trait Cluster: Send + Sync {
    /// Changes with what [`Storage::load`] returns.
    fn revision(&self, resolver: &str) -> Result<u64, AcmeError>;

    /// Makes this gateway the only one that orders a certificate for `names`, for a time, or for a longer time; false
    /// when another one is.
    fn lease(&self, resolver: &str, names: &[String], time: Duration) -> Result<bool, AcmeError>;

    fn release(&self, resolver: &str, names: &[String]) -> Result<(), AcmeError>;

    /// Leaves answers to challenges for all gateways, for some minutes.
    fn put_answers(&self, answers: &[SharedAnswer]) -> Result<(), AcmeError>;

    fn remove_answers(&self, answers: &[SharedAnswer]) -> Result<(), AcmeError>;

    /// Those of other gateways.
    fn answers(&self) -> Result<Vec<SharedAnswer>, AcmeError>;
}

/// An answer to a challenge that any gateway may be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SharedAnswer {
    Http {
        host: String,
        token: String,
        authorization: String,
    },
    /// SHA-256 of the key authorization.
    Alpn {
        host: String,
        digest: Vec<u8>,
    },
}

/// Files that resolvers share, so that two of them never write one at the same time.
#[derive(Debug, Default)]
pub struct StorageFiles {
    files: Keep<PathBuf, Mutex<()>>,
}

/// One `acme.json`.
#[derive(Debug)]
pub struct FileStorage {
    path: PathBuf,
    writing: Arc<Mutex<()>>,
}

impl StorageFiles {
    /// Checks the file as Traefik does, and makes it when there is none: 0600, and refused when the group or
    /// others may read it. A link is followed.
    pub fn open(&self, path: &str) -> Result<FileStorage, AcmeError> {
        let wrong = |e: io::Error| AcmeError::lasting(format!("unable to get ACME account: open {path}: {e}"));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(wrong(e)),
        }
        let real = fs::canonicalize(path).map_err(wrong)?;
        let writing = self.files.get_or(real.clone(), Mutex::default);
        let storage = FileStorage { path: real, writing };
        storage.read()?;
        Ok(storage)
    }
}

impl FileStorage {
    /// The whole file; an empty one is an empty document.
    fn read(&self) -> Result<Map<String, Value>, AcmeError> {
        let shown = self.path.display();
        let wrong = |e: &dyn std::fmt::Display| AcmeError::lasting(format!("unable to get ACME account: {shown}: {e}"));
        let mode = fs::metadata(&self.path).map_err(|e| wrong(&e))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let text = format!("unable to get ACME account: permissions {mode:o} for {shown} are too open, please use 600");
            return Err(AcmeError::lasting(text));
        }
        let text = fs::read(&self.path).map_err(|e| wrong(&e))?;
        if text.is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_slice(&text) {
            Ok(Value::Object(all)) => Ok(all),
            Ok(Value::Null) => Ok(Map::new()),
            Ok(_) => Err(wrong(&"it is damaged: no JSON object; it is left as it is, restore it or move it away")),
            Err(e) => Err(wrong(&format!("it is damaged: {e}; it is left as it is, restore it or move it away"))),
        }
    }

    /// Reads, changes one resolver's part, and writes; what is not understood stays.
    fn change(&self, resolver: &str, change: impl FnOnce(&mut Map<String, Value>)) -> Result<(), AcmeError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.read()?;
        let part = all.entry(resolver).or_insert_with(|| json!({ "Account": null, "Certificates": null }));
        if !part.is_object() {
            *part = json!({ "Account": null, "Certificates": null });
        }
        if let Some(part) = part.as_object_mut() {
            change(part);
        }
        let mut text = serde_json::to_vec_pretty(&all).map_err(|e| AcmeError::local(e.to_string()))?;
        text.push(b'\n');
        self.write(&text).map_err(|e| AcmeError::local(format!("cannot write {}: {e}", self.path.display())))
    }

    /// All or nothing, keeping mode and owner. A file that cannot be replaced, such as one that is mounted into a
    /// container by itself, is written in place.
    fn write(&self, text: &[u8]) -> io::Result<()> {
        let meta = fs::metadata(&self.path)?;
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = self.path.with_file_name(name);
        let replaced = replace(&temporary, &self.path, text, &meta);
        if replaced.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        match replaced {
            Err(e) if e.kind() != io::ErrorKind::StorageFull => {
                let mut file = OpenOptions::new().write(true).open(&self.path)?;
                // never shorter than what is being written, until it is written
                file.write_all(text)?;
                file.set_len(text.len() as u64)?;
                file.sync_all()
            }
            other => other,
        }
    }
}

fn replace(temporary: &Path, path: &Path, text: &[u8], meta: &fs::Metadata) -> io::Result<()> {
    let _ = fs::remove_file(temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.set_permissions(meta.permissions())?;
    let ours = file.metadata()?;
    if (ours.uid(), ours.gid()) != (meta.uid(), meta.gid()) {
        fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
    }
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    // the new name is safe only with its directory
    path.parent().and_then(|d| File::open(d).ok()).map_or(Ok(()), |d| d.sync_all())
}

impl Storage for FileStorage {
    fn load(&self, resolver: &str) -> Result<Stored, AcmeError> {
        let all = self.read()?;
        let Some(part) = all.get(resolver) else { return Ok(Stored::default()) };
        let mut stored = Stored { account: account(field(part, "Account")), ..Stored::default() };
        for entry in field(part, "Certificates").and_then(Value::as_array).into_iter().flatten() {
            match certificate(entry) {
                Ok(c) => stored.certificates.push(c),
                Err(why) => stored.unreadable.push(why),
            }
        }
        if stored.account.is_none() && field(part, "Account").is_some_and(|a| !a.is_null()) {
            stored.unreadable.push("the account".to_owned());
        }
        Ok(stored)
    }

    fn put_account(&self, resolver: &str, account: &StoredAccount, _: &str) -> Result<StoredAccount, AcmeError> {
        self.change(resolver, |part| {
            let slot = slot(part, "Account");
            if !slot.is_object() {
                *slot = json!({});
            }
            account_into(account, slot);
        })?;
        Ok(account.clone())
    }

    fn put_certificate(&self, resolver: &str, new: &StoredCertificate) -> Result<(), AcmeError> {
        self.change(resolver, |part| {
            let slot = slot(part, "Certificates");
            if !slot.is_array() {
                *slot = json!([]);
            }
            let Some(all) = slot.as_array_mut() else { return };
            let same = |v: &Value| {
                domains(v).is_some_and(|d| d == new.domains) && field(v, "Store").and_then(Value::as_str).unwrap_or("default") == new.store
            };
            let at = all.iter().position(same).unwrap_or_else(|| {
                all.push(json!({}));
                all.len() - 1
            });
            certificate_into(new, &mut all[at]);
        })
    }
}

/// Into what is there already, which may have more members.
pub(super) fn account_into(account: &StoredAccount, slot: &mut Value) {
    slot["Email"] = account.email.as_str().into();
    slot["Registration"] = if account.uri.is_empty() { Value::Null } else { json!({ "body": account.body, "uri": account.uri }) };
    slot["PrivateKey"] = BASE64_STANDARD.encode(&account.key).into();
}

/// As [`account_into`].
pub(super) fn certificate_into(new: &StoredCertificate, slot: &mut Value) {
    let mut domain = json!({ "main": new.domains.first() });
    if new.domains.len() > 1 {
        domain["sans"] = new.domains[1..].into();
    }
    slot["domain"] = domain;
    slot["certificate"] = BASE64_STANDARD.encode(&new.chain).into();
    slot["key"] = BASE64_STANDARD.encode(&new.key).into();
    slot["Store"] = new.store.as_str().into();
}

/// Go's decoder, which reads these files too, does not care for case.
fn field<'v>(of: &'v Value, name: &str) -> Option<&'v Value> {
    let all = of.as_object()?;
    all.get(name).or_else(|| all.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

fn slot<'v>(of: &'v mut Map<String, Value>, name: &str) -> &'v mut Value {
    let key = of.keys().find(|k| k.eq_ignore_ascii_case(name)).cloned().unwrap_or_else(|| name.to_owned());
    of.entry(key).or_insert(Value::Null)
}

fn text(of: &Value, name: &str) -> Option<String> {
    field(of, name)?.as_str().map(str::to_owned)
}

pub(super) fn account(of: Option<&Value>) -> Option<StoredAccount> {
    let of = of.filter(|v| v.is_object())?;
    let registration = field(of, "Registration").cloned().unwrap_or_default();
    Some(StoredAccount {
        email: text(of, "Email").unwrap_or_default(),
        uri: text(&registration, "uri").unwrap_or_default(),
        body: field(&registration, "body").cloned().unwrap_or_default(),
        key: BASE64_STANDARD.decode(text(of, "PrivateKey")?).ok().filter(|k| !k.is_empty())?,
    })
}

fn domains(of: &Value) -> Option<Vec<String>> {
    let domain = field(of, "domain")?;
    let sans = field(domain, "sans").and_then(Value::as_array).into_iter().flatten();
    let main = text(domain, "main")?;
    Some(std::iter::once(main).chain(sans.filter_map(Value::as_str).map(str::to_owned)).collect())
}

pub(super) fn certificate(of: &Value) -> Result<StoredCertificate, String> {
    let domains = domains(of).ok_or("a certificate without domains")?;
    let pem = |name: &str| {
        let bytes = BASE64_STANDARD.decode(text(of, name).unwrap_or_default()).ok().filter(|b| !b.is_empty());
        bytes.and_then(|b| String::from_utf8(b).ok()).ok_or_else(|| format!("`{name}` of {}", domains.join(", ")))
    };
    let (chain, key) = (pem("certificate")?, pem("key")?);
    super::pem::facts(&chain, &key).map_err(|e| format!("the certificate of {}: {e}", domains.join(", ")))?;
    Ok(StoredCertificate { chain, key, store: text(of, "Store").filter(|s| !s.is_empty()).unwrap_or_else(|| "default".into()), domains })
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
