//! Consul as the place that several gateways share: keys, and sessions for what goes by itself.

use super::AcmeError;
use super::http::Answer;
use super::remote::{Remote, refused};
use super::shared_pairs::{Pair, PairStorage, Pairs};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use torana_base::Secret;
use torana_config::install::{AcmeConsulConfig, ClientTlsConfig};

/// Lives that a session may have.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(86_400);

struct Consul {
    remote: Remote,
    token: Secret,
    /// By the key that it holds.
    sessions: Mutex<BTreeMap<String, Session>>,
}

#[derive(Clone)]
struct Session {
    id: String,
    life: Duration,
    /// Consul has ended it by then, unless it is renewed.
    until: Instant,
}

impl Session {
    /// It may live for up to twice the time that was asked for.
    fn new(id: String, life: Duration) -> Self {
        Session { id, life, until: Instant::now() + life * 2 + SHORTEST }
    }
}

/// Checks the options; does not connect.
pub(super) fn open(config: &AcmeConsulConfig) -> Result<PairStorage, AcmeError> {
    let tls = (!config.ca.is_empty()).then(|| ClientTlsConfig { ca: config.ca.clone(), ..ClientTlsConfig::default() });
    let remote = Remote::new(std::slice::from_ref(&config.address), tls.as_ref()).map_err(|e| e.during("cluster.consul"))?;
    let consul = Consul { remote, token: config.token.clone(), sessions: Mutex::default() };
    Ok(PairStorage::new(Box::new(consul), &config.prefix))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    value: Option<String>,
    modify_index: u64,
}

impl Consul {
    fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Answer, AcmeError> {
        let token = self.token.expose();
        let headers = if token.is_empty() { Vec::new() } else { vec![("x-consul-token", token.to_owned())] };
        self.remote.ask(method, path, body.map(Into::into), headers)
    }

    fn call(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Answer, AcmeError> {
        let answer = self.send(method, path, body)?;
        if answer.status == 200 { Ok(answer) } else { Err(refused(&answer)) }
    }

    fn pairs(&self, path: &str) -> Result<Vec<Pair>, AcmeError> {
        let answer = self.send(Method::GET, path, None)?;
        match answer.status {
            200 => {}
            404 => return Ok(Vec::new()),
            _ => return Err(refused(&answer)),
        }
        let all: Vec<Entry> = serde_json::from_slice(&answer.body).map_err(|e| AcmeError::local(format!("the shared storage: {e}")))?;
        let pair = |e: Entry| Pair {
            value: BASE64_STANDARD.decode(e.value.unwrap_or_default()).unwrap_or_default(),
            key: e.key,
            version: e.modify_index,
        };
        Ok(all.into_iter().map(pair).collect())
    }

    fn session(&self, key: &str) -> Option<Session> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn set_session(&self, key: &str, session: Option<Session>) {
        let mut all = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        match session {
            Some(session) => drop(all.insert(key.to_owned(), session)),
            None => drop(all.remove(key)),
        }
    }

    fn acquire(&self, key: &str, id: &str, by: &str) -> Result<bool, AcmeError> {
        let answer = self.call(Method::PUT, &format!("/v1/kv/{key}?acquire={id}"), Some(by.into()))?;
        Ok(answer.body.trim_ascii() == b"true")
    }

    /// Its key goes with it.
    fn destroy(&self, key: &str, id: &str) -> Result<(), AcmeError> {
        self.set_session(key, None);
        self.call(Method::PUT, &format!("/v1/session/destroy/{id}"), Some(Vec::new())).map(|_| ())
    }
}

impl Pairs for Consul {
    fn read(&self, key: &str) -> Result<Option<Pair>, AcmeError> {
        Ok(self.pairs(&format!("/v1/kv/{key}?consistent"))?.pop())
    }

    fn list(&self, below: &str) -> Result<Vec<Pair>, AcmeError> {
        self.pairs(&format!("/v1/kv/{below}?recurse&consistent"))
    }

    fn revision(&self, below: &str) -> Result<u64, AcmeError> {
        let answer = self.send(Method::GET, &format!("/v1/kv/{below}?keys"), None)?;
        let index = answer.header("x-consul-index").and_then(|i| i.parse().ok());
        index.filter(|_| matches!(answer.status, 200 | 404)).ok_or_else(|| refused(&answer))
    }

    fn write(&self, key: &str, value: &[u8]) -> Result<(), AcmeError> {
        self.call(Method::PUT, &format!("/v1/kv/{key}"), Some(value.to_vec())).map(|_| ())
    }

    fn write_over(&self, key: &str, value: &[u8], version: u64) -> Result<bool, AcmeError> {
        let answer = self.call(Method::PUT, &format!("/v1/kv/{key}?cas={version}"), Some(value.to_vec()))?;
        Ok(answer.body.trim_ascii() == b"true")
    }

    fn remove(&self, key: &str) -> Result<(), AcmeError> {
        self.call(Method::DELETE, &format!("/v1/kv/{key}"), None).map(|_| ())
    }

    fn hold(&self, key: &str, by: &str, time: Duration) -> Result<bool, AcmeError> {
        let time = time.clamp(SHORTEST, LONGEST);
        // a name that failed is not let go: its session ends by itself
        let now = Instant::now();
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, s| s.until > now);
        if let Some(Session { id, life, .. }) = self.session(key) {
            let renewed = life == time && self.send(Method::PUT, &format!("/v1/session/renew/{id}"), Some(Vec::new()))?.status == 200;
            if renewed && self.acquire(key, &id, by)? {
                self.set_session(key, Some(Session::new(id, life)));
                return Ok(true);
            }
            // It is over, or lives for another time.
            self.destroy(key, &id)?;
        }
        let wanted = json!({ "Name": "torana", "TTL": format!("{}s", time.as_secs()), "Behavior": "delete", "LockDelay": "0s" });
        let answer = self.call(Method::PUT, "/v1/session/create", Some(wanted.to_string().into_bytes()))?;
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let id = said["ID"].as_str().ok_or_else(|| refused(&answer))?.to_owned();
        match self.acquire(key, &id, by) {
            Ok(true) => {
                self.set_session(key, Some(Session::new(id, time)));
                Ok(true)
            }
            other => {
                let _ = self.destroy(key, &id);
                other
            }
        }
    }

    fn let_go(&self, key: &str, _: &str) -> Result<(), AcmeError> {
        self.session(key).map_or(Ok(()), |s| self.destroy(key, &s.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_are_over_are_forgotten() {
        let remote = Remote::new(&["127.0.0.1:1".to_owned()], None).unwrap();
        let consul = Consul { remote, token: Secret::default(), sessions: Mutex::default() };
        let life = Duration::from_secs(3600);
        consul.set_session("failed", Some(Session { until: Instant::now(), ..Session::new("1".into(), life) }));
        consul.set_session("held", Some(Session::new("2".into(), life)));
        assert!(consul.hold("new", "me", life).is_err(), "nobody is there");
        assert!(consul.session("failed").is_none());
        assert_eq!(consul.session("held").map(|s| s.id), Some("2".to_owned()));
    }
}
