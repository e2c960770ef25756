//! Stores of keys and values as the place that several gateways share: etcd and Consul.
//!
//! Below the prefix, for each resolver: `<resolver>/stored/account`, `<resolver>/stored/certificate-<hash>`, in the form of
//! `acme.json`, and `<resolver>/leases/<hash>` with the gateway's name, which goes by itself. For all resolvers
//! `answers/<hash>`.

use super::AcmeError;
use super::storage::{
    Cluster, SharedAnswer, Storage, Stored, StoredAccount, StoredCertificate, account, account_into, certificate, certificate_into,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime};

/// How long answers stay when nobody takes them away.
const ANSWERS: Duration = Duration::from_secs(600);
/// Tries to be the one that writes the account.
const TRIES: usize = 8;

/// A key with what it holds.
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    /// Other than 0, and another one after each change.
    pub(super) version: u64,
}

/// A store. All of it blocks.
pub(super) trait Pairs: Send + Sync {
    fn read(&self, key: &str) -> Result<Option<Pair>, AcmeError>;
    /// What stands below a key that ends in a slash.
    fn list(&self, below: &str) -> Result<Vec<Pair>, AcmeError>;
    /// Changes with what [`Pairs::list`] returns.
    fn revision(&self, below: &str) -> Result<u64, AcmeError>;
    fn write(&self, key: &str, value: &[u8]) -> Result<(), AcmeError>;
    /// Only over this version, 0 for none; whether it was.
    fn write_over(&self, key: &str, value: &[u8], version: u64) -> Result<bool, AcmeError>;
    fn remove(&self, key: &str) -> Result<(), AcmeError>;
    /// Makes a key that is not there, or one's own, last for a time; whether it is one's own then.
    fn hold(&self, key: &str, by: &str, time: Duration) -> Result<bool, AcmeError>;
    /// Takes away a key that is one's own.
    fn let_go(&self, key: &str, by: &str) -> Result<(), AcmeError>;
}

/// A storage in such a store.
pub struct PairStorage {
    pairs: Box<dyn Pairs>,
    prefix: String,
    /// Name of this gateway, new at each start.
    gateway: String,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    by: String,
    /// Seconds of Unix time.
    until: u64,
    answer: SharedAnswer,
}

impl PairStorage {
    pub(super) fn new(pairs: Box<dyn Pairs>, prefix: &str) -> Self {
        let gateway = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        PairStorage { pairs, prefix: prefix.trim_matches('/').to_owned(), gateway }
    }

    fn stored(&self, resolver: &str) -> String {
        format!("{}/{}/stored/", self.prefix, segment(resolver))
    }

    fn lease_key(&self, resolver: &str, names: &[String]) -> String {
        format!("{}/{}/leases/{}", self.prefix, segment(resolver), hash(&names.join(",")))
    }

    fn answer_key(&self, answer: &SharedAnswer) -> String {
        let text = match answer {
            SharedAnswer::Http { host, token, .. } => format!("http {host} {token}"),
            SharedAnswer::Alpn { host, .. } => format!("alpn {host}"),
        };
        format!("{}/answers/{}", self.prefix, hash(&text))
    }
}

impl Storage for PairStorage {
    fn load(&self, resolver: &str) -> Result<Stored, AcmeError> {
        let mut stored = Stored::default();
        for pair in self.pairs.list(&self.stored(resolver))? {
            let value: Value = serde_json::from_slice(&pair.value).unwrap_or_default();
            if pair.key.ends_with("/account") {
                stored.account = account(Some(&value));
                if stored.account.is_none() {
                    stored.unreadable.push("the account".to_owned());
                }
            } else {
                match certificate(&value) {
                    Ok(c) => stored.certificates.push(c),
                    Err(why) => stored.unreadable.push(why),
                }
            }
        }
        Ok(stored)
    }

    fn put_account(&self, resolver: &str, new: &StoredAccount, over: &str) -> Result<StoredAccount, AcmeError> {
        let key = format!("{}account", self.stored(resolver));
        let mut value = json!({});
        account_into(new, &mut value);
        for _ in 0..TRIES {
            let there = self.pairs.read(&key)?;
            if let Some(there) = &there {
                let theirs: Value = serde_json::from_slice(&there.value).unwrap_or_default();
                let theirs =
                    account(Some(&theirs)).ok_or_else(|| AcmeError::lasting("the shared storage has an account that cannot be read"))?;
                if theirs.uri != over {
                    return Ok(theirs);
                }
            }
            if self.pairs.write_over(&key, value.to_string().as_bytes(), there.map_or(0, |t| t.version))? {
                return Ok(new.clone());
            }
        }
        Err(AcmeError::local("the shared storage: others change the account all the time"))
    }

    fn put_certificate(&self, resolver: &str, new: &StoredCertificate) -> Result<(), AcmeError> {
        let mut value = json!({});
        certificate_into(new, &mut value);
        let key = format!("{}certificate-{}", self.stored(resolver), hash(&format!("{} {}", new.store, new.domains.join(","))));
        self.pairs.write(&key, value.to_string().as_bytes())
    }

    fn cluster(&self) -> Option<&dyn Cluster> {
        Some(self)
    }
}

impl Cluster for PairStorage {
    fn revision(&self, resolver: &str) -> Result<u64, AcmeError> {
        self.pairs.revision(&self.stored(resolver))
    }

    fn lease(&self, resolver: &str, names: &[String], time: Duration) -> Result<bool, AcmeError> {
        self.pairs.hold(&self.lease_key(resolver, names), &self.gateway, time)
    }

    fn release(&self, resolver: &str, names: &[String]) -> Result<(), AcmeError> {
        self.pairs.let_go(&self.lease_key(resolver, names), &self.gateway)
    }

    fn put_answers(&self, answers: &[SharedAnswer]) -> Result<(), AcmeError> {
        let until = seconds() + ANSWERS.as_secs();
        for answer in answers {
            let kept = Kept { by: self.gateway.clone(), until, answer: answer.clone() };
            let text = serde_json::to_vec(&kept).map_err(|e| AcmeError::local(e.to_string()))?;
            self.pairs.write(&self.answer_key(answer), &text)?;
        }
        Ok(())
    }

    fn remove_answers(&self, answers: &[SharedAnswer]) -> Result<(), AcmeError> {
        answers.iter().try_for_each(|a| self.pairs.remove(&self.answer_key(a)))
    }

    fn answers(&self) -> Result<Vec<SharedAnswer>, AcmeError> {
        let now = seconds();
        let mut out = Vec::new();
        for pair in self.pairs.list(&format!("{}/answers/", self.prefix))? {
            match serde_json::from_slice::<Kept>(&pair.value) {
                Ok(kept) if kept.until >= now && kept.by != self.gateway => out.push(kept.answer),
                Ok(kept) if kept.until >= now => {}
                // of a gateway that is gone
                _ => self.pairs.remove(&pair.key)?,
            }
        }
        Ok(out)
    }
}

/// A name as one part of a key, whatever stands in it.
fn segment(name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if plain { name.to_owned() } else { format!("+{}", hash(name)) }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
