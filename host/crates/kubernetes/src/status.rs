//! Writing statuses back: by one gateway of several, and only what differs.
//!
//! The one is found by a lease in the gateway's own namespace. Where leases cannot be had (no right to them) every
//! gateway writes: all of them write the same, and what already stands there is never written again.

use crate::client::{Connected, chain};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a lease holds after it was renewed.
const LEASE: Duration = Duration::from_secs(15);
/// How often it is renewed, and how often others look whether it has run out.
const RENEW: Duration = Duration::from_secs(5);

/// What the status of an object should be.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusWrite {
    pub resource: ApiResource,
    /// Empty for what has none.
    pub namespace: String,
    pub name: String,
    /// `status` as it stands in the cluster now, or null.
    pub current: Value,
    /// `status` as it should be; merged over what stands there (lists are replaced).
    pub wanted: Value,
}

/// Where statuses are handed in; the task behind it ends when this is dropped.
#[derive(Debug)]
pub struct Statuses(watch::Sender<Vec<StatusWrite>>);

impl Statuses {
    pub fn spawn(connected: Connected, provider: &'static str) -> Statuses {
        let (sender, receiver) = watch::channel(Vec::new());
        let lease = Election {
            api: Api::namespaced(connected.client.clone(), &connected.namespace),
            name: format!("torana-{provider}"),
            identity: identity(),
            refused: false,
        };
        tokio::spawn(write_all(connected.client, lease, receiver, provider));
        Statuses(sender)
    }

    /// All that should stand in the cluster; the newest call wins.
    pub fn write(&self, statuses: Vec<StatusWrite>) {
        self.0.send_if_modified(|s| {
            let other = *s != statuses;
            *s = statuses;
            other
        });
    }
}

/// Another one for each process.
fn identity() -> String {
    let host = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "torana".into());
    let salt = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    format!("{host}_{}-{salt:x}", std::process::id())
}

async fn write_all(client: Client, mut election: Election, mut wanted: watch::Receiver<Vec<StatusWrite>>, provider: &'static str) {
    // What stood there and what was written over it: while both are the same the answer has not come round yet.
    let mut written: BTreeMap<(String, String, String), (Value, Value)> = BTreeMap::new();
    let mut leads = false;
    let mut look = Instant::now();
    loop {
        let all = wanted.borrow_and_update().clone();
        // Nobody needs a lease who has nothing to write.
        let idle = all.is_empty();
        if !idle && Instant::now() >= look {
            leads = election.holds().await;
            look = Instant::now() + RENEW;
        }
        for status in all.into_iter().filter(|_| leads) {
            let key = (status.resource.kind.clone(), status.namespace.clone(), status.name.clone());
            let done = (status.current.clone(), status.wanted.clone());
            if covers(&status.current, &status.wanted) || written.get(&key) == Some(&done) {
                continue;
            }
            match write(&client, &status).await {
                Ok(()) => _ = written.insert(key, done),
                Err(error) => {
                    let object = format!("{} {}/{}", status.resource.kind.to_lowercase(), status.namespace, status.name);
                    tracing::warn!(providerName = provider, object, error = %chain(&error), "the status cannot be written");
                }
            }
        }
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep_until(look), if !idle => {}
        }
    }
}

async fn write(client: &Client, status: &StatusWrite) -> Result<(), kube::Error> {
    let api: Api<DynamicObject> = match status.namespace.as_str() {
        "" => Api::all_with(client.clone(), &status.resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &status.resource),
    };
    let patch = json!({ "status": status.wanted });
    match api.patch_status(&status.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        // Deleted meanwhile.
        Err(kube::Error::Api(s)) if s.code == 404 => Ok(()),
        Err(e) => Err(e),
    }
}

/// Whether a merge of `wanted` over `current` changes nothing.
fn covers(current: &Value, wanted: &Value) -> bool {
    match (current, wanted) {
        (Value::Object(have), Value::Object(want)) => {
            want.iter().all(|(k, w)| if w.is_null() { !have.contains_key(k) } else { have.get(k).is_some_and(|h| covers(h, w)) })
        }
        (have, want) => have == want,
    }
}

struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    refused: bool,
}

impl Election {
    /// Takes or renews the lease; whether this process holds it, or may write without one.
    async fn holds(&mut self) -> bool {
        match self.ask().await {
            Ok(holds) => holds,
            Err(kube::Error::Api(s)) if matches!(s.code, 401 | 403) => {
                if !std::mem::replace(&mut self.refused, true) {
                    tracing::warn!(
                        lease = self.name,
                        error = s.message,
                        "no lease: every gateway writes statuses; grant `get`, `create` and `update` of leases"
                    );
                }
                true
            }
            // Somebody else was quicker.
            Err(kube::Error::Api(s)) if s.code == 409 => false,
            Err(error) => {
                tracing::debug!(lease = self.name, error = %chain(&error), "the lease cannot be looked at");
                false
            }
        }
    }

    async fn ask(&self) -> Result<bool, kube::Error> {
        let now = Timestamp::now();
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let mut lease = Lease { spec: Some(self.spec(now)), ..Lease::default() };
            lease.metadata.name = Some(self.name.clone());
            self.api.create(&PostParams::default(), &lease).await?;
            return Ok(true);
        };
        let spec = lease.spec.take().unwrap_or_default();
        if !is_free(&spec, &self.identity, now) {
            return Ok(false);
        }
        let mine = spec.holder_identity.as_deref() == Some(&self.identity);
        let turns = spec.lease_transitions.unwrap_or(0) + i32::from(!mine);
        let acquired = if mine { spec.acquire_time } else { Some(MicroTime(now)) };
        lease.spec = Some(LeaseSpec { lease_transitions: Some(turns), acquire_time: acquired, ..self.spec(now) });
        let name = lease.name_any();
        // With the version that was read: two who try at once cannot both win.
        self.api.replace(&name, &PostParams::default(), &lease).await?;
        Ok(true)
    }

    fn spec(&self, now: Timestamp) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(LEASE.as_secs() as i32),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }
    }
}

/// Held by `identity`, by nobody, or no longer.
fn is_free(spec: &LeaseSpec, identity: &str, now: Timestamp) -> bool {
    let held = spec.holder_identity.as_deref().unwrap_or_default();
    let seconds = i64::from(spec.lease_duration_seconds.unwrap_or(0));
    let until = spec.renew_time.as_ref().and_then(|t| t.0.checked_add(SignedDuration::from_secs(seconds)).ok());
    held.is_empty() || held == identity || until.is_none_or(|u| u < now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_there_is_not_written_again() {
        let have = json!({"a": [1], "b": {"c": 1, "d": 2}});
        assert!(covers(&have, &json!({"b": {"c": 1}})) && covers(&have, &json!({"x": null})));
        assert!(!covers(&have, &json!({"a": [1, 2]})) && !covers(&Value::Null, &json!({"a": 1})));
    }

    #[test]
    fn a_lease_is_free_when_it_has_run_out() {
        let now = Timestamp::now();
        let held = |by: &str, ago: i64| LeaseSpec {
            holder_identity: Some(by.into()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(now - SignedDuration::from_secs(ago))),
            ..LeaseSpec::default()
        };
        assert!(!is_free(&held("other", 3), "me", now));
        assert!(is_free(&held("other", 16), "me", now) && is_free(&held("me", 3), "me", now) && is_free(&LeaseSpec::default(), "me", now));
    }
}
