//! etcd as the place that several gateways share, by the JSON form of its API (3.4 and later).

use super::AcmeError;
use super::remote::{Remote, refused};
use super::shared_pairs::{Pair, PairStorage, Pairs};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use torana_base::Secret;
use torana_config::install::{AcmeEtcdConfig, ClientTlsConfig};

struct Etcd {
    remote: Remote,
    username: String,
    password: Secret,
    token: Mutex<Option<String>>,
}

/// Checks the options; does not connect.
pub(super) fn open(config: &AcmeEtcdConfig) -> Result<PairStorage, AcmeError> {
    let tls = ClientTlsConfig { ca: config.ca.clone(), cert: config.cert.clone(), key: config.key.clone(), insecure_skip_verify: false };
    let tls = (tls != ClientTlsConfig::default()).then_some(tls);
    let remote = Remote::new(&config.endpoints, tls.as_ref()).map_err(|e| e.during("cluster.etcd"))?;
    let etcd = Etcd { remote, username: config.username.clone(), password: config.password.clone(), token: Mutex::default() };
    Ok(PairStorage::new(Box::new(etcd), &config.prefix))
}

impl Etcd {
    fn call(&self, path: &str, body: &Value) -> Result<Value, AcmeError> {
        for last in [false, true] {
            let token = self.token()?;
            let headers = token.iter().map(|t| ("authorization", t.clone())).collect();
            let answer = self.remote.ask(Method::POST, path, Some(body.to_string().into()), headers)?;
            if answer.status == 200 {
                return serde_json::from_slice(&answer.body).map_err(|e| AcmeError::local(format!("the shared storage: {e}")));
            }
            // A token ends by itself when it is not used.
            let ended = token.is_some() && (answer.status == 401 || String::from_utf8_lossy(&answer.body).contains("auth token"));
            *self.slot() = None;
            if last || !ended {
                return Err(refused(&answer));
            }
        }
        Err(AcmeError::local("the shared storage: its token is not taken"))
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(&self) -> Result<Option<String>, AcmeError> {
        if self.username.is_empty() {
            return Ok(None);
        }
        if let Some(token) = self.slot().clone() {
            return Ok(Some(token));
        }
        let body = json!({ "name": self.username, "password": self.password.expose() });
        let answer = self.remote.ask(Method::POST, "/v3/auth/authenticate", Some(body.to_string().into()), Vec::new())?;
        if answer.status != 200 {
            return Err(refused(&answer));
        }
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let token = said["token"].as_str().map(str::to_owned);
        self.slot().clone_from(&token);
        Ok(token)
    }

    fn txn(&self, compare: Value, put: Value) -> Result<bool, AcmeError> {
        let said = self.call("/v3/kv/txn", &json!({ "compare": [compare], "success": [{ "request_put": put }] }))?;
        Ok(said["succeeded"] == true)
    }
}

fn b64(text: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(text)
}

/// Numbers of 64 bits are texts there.
fn number(value: &Value) -> u64 {
    value.as_str().and_then(|t| t.parse().ok()).or_else(|| value.as_u64()).unwrap_or(0)
}

/// The first key after all that begin with this one, which ends in a slash.
fn end(below: &str) -> String {
    let mut end = below.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    b64(end)
}

fn pairs(said: &Value) -> Vec<Pair> {
    let bytes = |v: &Value| BASE64_STANDARD.decode(v.as_str().unwrap_or_default()).unwrap_or_default();
    let pair = |kv: &Value| Pair {
        key: String::from_utf8_lossy(&bytes(&kv["key"])).into_owned(),
        value: bytes(&kv["value"]),
        version: number(&kv["mod_revision"]),
    };
    said["kvs"].as_array().map(|all| all.iter().map(pair).collect()).unwrap_or_default()
}

impl Pairs for Etcd {
    fn read(&self, key: &str) -> Result<Option<Pair>, AcmeError> {
        Ok(pairs(&self.call("/v3/kv/range", &json!({ "key": b64(key) }))?).pop())
    }

    fn list(&self, below: &str) -> Result<Vec<Pair>, AcmeError> {
        Ok(pairs(&self.call("/v3/kv/range", &json!({ "key": b64(below), "range_end": end(below) }))?))
    }

    fn revision(&self, below: &str) -> Result<u64, AcmeError> {
        let newest = json!({ "key": b64(below), "range_end": end(below), "keys_only": true, "limit": "1",
            "sort_order": "DESCEND", "sort_target": "MOD" });
        let said = self.call("/v3/kv/range", &newest)?;
        // One that was taken away is one less.
        Ok(pairs(&said).pop().map_or(0, |p| p.version).wrapping_mul(1 << 20).wrapping_add(number(&said["count"])))
    }

    fn write(&self, key: &str, value: &[u8]) -> Result<(), AcmeError> {
        self.call("/v3/kv/put", &json!({ "key": b64(key), "value": b64(value) })).map(|_| ())
    }

    fn write_over(&self, key: &str, value: &[u8], version: u64) -> Result<bool, AcmeError> {
        let compare = json!({ "target": "MOD", "result": "EQUAL", "key": b64(key), "mod_revision": version.to_string() });
        self.txn(compare, json!({ "key": b64(key), "value": b64(value) }))
    }

    fn remove(&self, key: &str) -> Result<(), AcmeError> {
        self.call("/v3/kv/deleterange", &json!({ "key": b64(key) })).map(|_| ())
    }

    fn hold(&self, key: &str, by: &str, time: Duration) -> Result<bool, AcmeError> {
        let there = self.read(key)?;
        if there.as_ref().is_some_and(|t| t.value != by.as_bytes()) {
            return Ok(false);
        }
        // A lease of its own each time: the one before has no key any more, and ends by itself.
        let lease = self.call("/v3/lease/grant", &json!({ "TTL": time.as_secs_f64().ceil().max(1.0) as u64 }))?;
        let lease = lease["ID"].clone();
        let version = there.map_or(0, |t| t.version);
        let compare = json!({ "target": "MOD", "result": "EQUAL", "key": b64(key), "mod_revision": version.to_string() });
        let held = self.txn(compare, json!({ "key": b64(key), "value": b64(by), "lease": lease }))?;
        if !held {
            let _ = self.call("/v3/lease/revoke", &json!({ "ID": lease }));
        }
        Ok(held)
    }

    fn let_go(&self, key: &str, by: &str) -> Result<(), AcmeError> {
        let compare = json!({ "target": "VALUE", "result": "EQUAL", "key": b64(key), "value": b64(by) });
        let body = json!({ "compare": [compare], "success": [{ "request_delete_range": { "key": b64(key) } }] });
        self.call("/v3/kv/txn", &body).map(|_| ())
    }
}
