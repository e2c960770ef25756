//! Redis as the place that several gateways share: account, certificates, leases and answers to challenges.
//!
//! For each resolver one hash: `account`, `uri` (of the account), `revision`, and `certificate <store> <domains>`,
//! the values in the form of `acme.json`. A key for each lease, with the gateway's name and a time to live. One hash
//! of answers for all resolvers.

use super::AcmeError;
use super::storage::{
    Cluster, SharedAnswer, Storage, Stored, StoredAccount, StoredCertificate, account, account_into, certificate, certificate_into,
};
use redis::{Client, Connection, ConnectionLike, FromRedisValue, cmd};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use torana_config::install::AcmeRedisConfig;

/// For one command, and for connecting.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long answers stay when nobody takes them away.
const ANSWERS: Duration = Duration::from_secs(600);

/// Sets the account when the one that is there is the expected one; else returns that.
const PUT_ACCOUNT: &str = "local now = redis.call('HGET', KEYS[1], 'uri') or '' \
    if now ~= ARGV[1] then return redis.call('HGET', KEYS[1], 'account') end \
    redis.call('HSET', KEYS[1], 'account', ARGV[2], 'uri', ARGV[3]) \
    redis.call('HINCRBY', KEYS[1], 'revision', 1) return false";
const PUT_CERTIFICATE: &str = "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return redis.call('HINCRBY', KEYS[1], 'revision', 1)";
/// Takes a lease that is free, or makes one's own longer.
const LEASE: &str = "local by = redis.call('GET', KEYS[1]) \
    if by and by ~= ARGV[1] then return 0 end \
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1";
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// One Redis server.
pub struct RedisStorage {
    client: Client,
    prefix: String,
    /// Name of this gateway, new at each start.
    gateway: String,
    connection: Mutex<Option<Connection>>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    by: String,
    /// Seconds of Unix time.
    until: u64,
    answer: SharedAnswer,
}

impl RedisStorage {
    /// Checks the options; does not connect.
    pub fn new(config: &AcmeRedisConfig) -> Result<Self, AcmeError> {
        // the URL has a password in it
        let wrong = |e: redis::RedisError| AcmeError::lasting(format!("cluster.redis.url: {}", e.category()));
        let client = if config.ca.is_empty() {
            Client::open(config.url.expose()).map_err(wrong)?
        } else {
            let ca = std::fs::read(&config.ca).map_err(|e| AcmeError::lasting(format!("cluster.redis.ca: `{}`: {e}", config.ca)))?;
            let tls = redis::TlsCertificates { client_tls: None, root_cert: Some(ca) };
            Client::build_with_tls(config.url.expose(), tls).map_err(wrong)?
        };
        let gateway = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        Ok(RedisStorage { client, prefix: config.prefix.clone(), gateway, connection: Mutex::default() })
    }

    fn key(&self, resolver: &str) -> String {
        format!("{}:{resolver}", self.prefix)
    }

    fn lease_key(&self, resolver: &str, names: &[String]) -> String {
        format!("{}:{resolver}:lease:{}", self.prefix, names.join(","))
    }

    fn answers_key(&self) -> String {
        format!("{}:answers", self.prefix)
    }

    /// Sends one command, on a connection that is made when there is none.
    fn send<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, AcmeError> {
        let failed = |e: redis::RedisError| match e.kind() {
            redis::ErrorKind::Moved | redis::ErrorKind::Ask | redis::ErrorKind::ClusterDown => AcmeError::local(
                "the shared storage: the server belongs to a Redis Cluster, which cannot hold certificates: name one that has all the keys",
            ),
            _ => AcmeError::local(format!("the shared storage: {e}")),
        };
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = match slot.take().filter(ConnectionLike::is_open) {
            Some(connection) => connection,
            None => {
                let connection = self.client.get_connection_with_timeout(PATIENCE).map_err(failed)?;
                connection.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
                connection.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
                connection
            }
        };
        let value = command.query(&mut connection);
        // after an error of the connection itself the next command gets a new one
        if value.as_ref().err().is_none_or(|e| !e.is_io_error()) {
            *slot = Some(connection);
        }
        value.map_err(failed)
    }
}

impl Storage for RedisStorage {
    fn load(&self, resolver: &str) -> Result<Stored, AcmeError> {
        let all: BTreeMap<String, String> = self.send(cmd("HGETALL").arg(self.key(resolver)))?;
        let mut stored = Stored::default();
        for (name, text) in all {
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            if name == "account" {
                stored.account = account(Some(&value));
                if stored.account.is_none() {
                    stored.unreadable.push("the account".to_owned());
                }
            } else if name.starts_with("certificate ") {
                match certificate(&value) {
                    Ok(c) => stored.certificates.push(c),
                    Err(why) => stored.unreadable.push(why),
                }
            }
        }
        Ok(stored)
    }

    fn put_account(&self, resolver: &str, new: &StoredAccount, over: &str) -> Result<StoredAccount, AcmeError> {
        let mut value = json!({});
        account_into(new, &mut value);
        let mut eval = cmd("EVAL");
        eval.arg(PUT_ACCOUNT).arg(1).arg(self.key(resolver)).arg(over).arg(value.to_string()).arg(&new.uri);
        match self.send::<Option<String>>(&eval)? {
            None => Ok(new.clone()),
            Some(theirs) => {
                let theirs: Value = serde_json::from_str(&theirs).unwrap_or_default();
                account(Some(&theirs)).ok_or_else(|| AcmeError::lasting("the shared storage has an account that cannot be read"))
            }
        }
    }

    fn put_certificate(&self, resolver: &str, new: &StoredCertificate) -> Result<(), AcmeError> {
        let mut value = json!({});
        certificate_into(new, &mut value);
        let field = format!("certificate {} {}", new.store, new.domains.join(","));
        let mut eval = cmd("EVAL");
        eval.arg(PUT_CERTIFICATE).arg(1).arg(self.key(resolver)).arg(field).arg(value.to_string());
        self.send::<u64>(&eval).map(|_| ())
    }

    fn cluster(&self) -> Option<&dyn Cluster> {
        Some(self)
    }
}

impl Cluster for RedisStorage {
    fn revision(&self, resolver: &str) -> Result<u64, AcmeError> {
        Ok(self.send::<Option<u64>>(cmd("HGET").arg(self.key(resolver)).arg("revision"))?.unwrap_or(0))
    }

    fn lease(&self, resolver: &str, names: &[String], time: Duration) -> Result<bool, AcmeError> {
        let mut eval = cmd("EVAL");
        eval.arg(LEASE).arg(1).arg(self.lease_key(resolver, names)).arg(&self.gateway).arg(time.as_millis().max(1) as u64);
        self.send(&eval)
    }

    fn release(&self, resolver: &str, names: &[String]) -> Result<(), AcmeError> {
        let mut eval = cmd("EVAL");
        eval.arg(RELEASE).arg(1).arg(self.lease_key(resolver, names)).arg(&self.gateway);
        self.send::<u64>(&eval).map(|_| ())
    }

    fn put_answers(&self, answers: &[SharedAnswer]) -> Result<(), AcmeError> {
        let until = seconds() + ANSWERS.as_secs();
        for answer in answers {
            let kept = Kept { by: self.gateway.clone(), until, answer: answer.clone() };
            let text = serde_json::to_string(&kept).map_err(|e| AcmeError::local(e.to_string()))?;
            self.send::<u64>(cmd("HSET").arg(self.answers_key()).arg(field(answer)).arg(text))?;
        }
        Ok(())
    }

    fn remove_answers(&self, answers: &[SharedAnswer]) -> Result<(), AcmeError> {
        for answer in answers {
            self.send::<u64>(cmd("HDEL").arg(self.answers_key()).arg(field(answer)))?;
        }
        Ok(())
    }

    fn answers(&self) -> Result<Vec<SharedAnswer>, AcmeError> {
        let all: BTreeMap<String, String> = self.send(cmd("HGETALL").arg(self.answers_key()))?;
        let now = seconds();
        let mut out = Vec::new();
        for (name, text) in all {
            match serde_json::from_str::<Kept>(&text) {
                Ok(kept) if kept.until >= now && kept.by != self.gateway => out.push(kept.answer),
                Ok(kept) if kept.until >= now => {}
                // of a gateway that is gone
                _ => drop(self.send::<u64>(cmd("HDEL").arg(self.answers_key()).arg(name))?),
            }
        }
        Ok(out)
    }
}

fn field(answer: &SharedAnswer) -> String {
    match answer {
        SharedAnswer::Http { host, token, .. } => format!("http {host} {token}"),
        SharedAnswer::Alpn { host, .. } => format!("alpn {host}"),
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
