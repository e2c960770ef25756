//! The status of an ingress, by which Knative learns that a route is served and where.

use super::model::resource;
use crate::cluster::Key;
use crate::gateway::conditions::stamp;
use crate::status::StatusWrite;
use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use torana_config::install::{GatewayNameConfig, KnativeConfig};

/// What all of them depend on.
const READY: &str = "Ready";
const NETWORK: &str = "NetworkConfigured";
const BALANCER: &str = "LoadBalancerReady";

/// What was said last, for the times of conditions that have not changed and have not come round yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    last: BTreeMap<Key, Json>,
}

impl Report {
    /// `wrong` is what is not served, by ingress.
    pub(super) fn statuses(&mut self, ours: &[(&Key, &DynamicObject, Vec<String>)], balancers: &Balancers) -> Vec<StatusWrite> {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut last = BTreeMap::new();
        let mut write = |(key, object, wrong): &(&Key, &DynamicObject, Vec<String>)| {
            let current = object.data.get("status").cloned().unwrap_or(Json::Null);
            let mut wanted = wanted(object, &current, wrong, balancers);
            let before: Vec<&Json> = self.last.get(*key).into_iter().chain([&current]).collect();
            stamp(&mut wanted, &before, &now);
            last.insert((*key).clone(), wanted.clone());
            StatusWrite { resource: resource(), namespace: key.0.clone(), name: key.1.clone(), current, wanted }
        };
        let writes = ours.iter().map(&mut write).collect();
        self.last = last;
        writes
    }
}

fn wanted(object: &DynamicObject, current: &Json, wrong: &[String], balancers: &Balancers) -> Json {
    let condition = |kind: &str, holds: bool| {
        if holds {
            json!({"type": kind, "status": "True", "lastTransitionTime": ""})
        } else {
            json!({"type": kind, "status": "False", "reason": "NotServed", "message": wrong.join("; "), "lastTransitionTime": ""})
        }
    };
    let served = wrong.is_empty();
    let others = current["conditions"].as_array().into_iter().flatten();
    let mut conditions: Vec<Json> =
        others.filter(|c| c["type"].as_str().is_some_and(|t| ![READY, NETWORK, BALANCER].contains(&t))).cloned().collect();
    conditions.extend([condition(BALANCER, true), condition(NETWORK, served), condition(READY, served)]);
    conditions.sort_by(|a, b| a["type"].as_str().cmp(&b["type"].as_str()));
    json!({
        "conditions": conditions,
        "observedGeneration": object.metadata.generation.unwrap_or(0),
        "publicLoadBalancer": { "ingress": balancers.public },
        "privateLoadBalancer": { "ingress": balancers.private },
    })
}

/// Where requests from outside and from inside of the cluster arrive, as statuses list it; null where nobody has said.
#[derive(Clone, Debug)]
pub(super) struct Balancers {
    public: Json,
    private: Json,
}

impl Balancers {
    pub(super) fn new(config: &KnativeConfig, domain: &str) -> Balancers {
        let of = |service: &Option<GatewayNameConfig>| match service {
            Some(s) if !s.name.is_empty() && !s.namespace.is_empty() => {
                json!([{ "domainInternal": format!("{}.{}.svc.{domain}", s.name, s.namespace) }])
            }
            _ => Json::Null,
        };
        Balancers { public: of(&config.public_service), private: of(&config.private_service) }
    }
}

/// The domain of the cluster's services: `CLUSTER_DOMAIN`, else what the resolver of this machine searches, else
/// `cluster.local`. That is how the parts of Knative find it.
pub fn cluster_domain() -> String {
    let written = std::env::var("CLUSTER_DOMAIN").ok().filter(|d| !d.is_empty());
    let searched = || searched(&std::fs::read_to_string("/etc/resolv.conf").ok()?);
    written.or_else(searched).unwrap_or_else(|| "cluster.local".into())
}

/// The first `svc.<domain>` that a `resolv.conf` searches.
fn searched(resolv_conf: &str) -> Option<String> {
    let lists = resolv_conf.lines().filter_map(|l| l.trim().strip_prefix("search"));
    let domain = lists.flat_map(str::split_whitespace).find_map(|d| d.strip_prefix("svc."))?;
    Some(domain.trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_of_a_cluster() {
        let pod = "nameserver 10.96.0.10\nsearch default.svc.cluster.example svc.cluster.example. cluster.example\noptions ndots:5\n";
        assert_eq!(searched(pod).as_deref(), Some("cluster.example"));
        assert_eq!(searched("search example.test\nnameserver 1.1.1.1"), None);
    }
}
