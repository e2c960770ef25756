//! The status of ingresses: under which addresses they are served.

use crate::cluster::{Cluster, Key};
use crate::status::StatusWrite;
use crate::tree::Tree;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::ApiResource;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use torana_base::Place;
use torana_config::install::{IngressEndpointConfig, KubernetesIngressConfig};

/// What should stand in the status of each of our ingresses; nothing without `ingressEndpoint`.
pub(super) fn statuses(
    config: &KubernetesIngressConfig,
    cluster: &Cluster,
    ours: &[(&Key, &Arc<Ingress>)],
    tree: &mut Tree,
) -> Vec<StatusWrite> {
    let Some(endpoint) = &config.ingress_endpoint else { return Vec::new() };
    let addresses = match addresses(endpoint, cluster) {
        Ok(a) => a,
        Err(why) => {
            tree.warn(&Place::whole(super::NAME), "ingressEndpoint", format!("{why}: no status is written"));
            return Vec::new();
        }
    };
    writes(&addresses, ours)
}

/// What tells `addresses` in the status of each ingress.
pub(crate) fn writes(addresses: &Json, ours: &[(&Key, &Arc<Ingress>)]) -> Vec<StatusWrite> {
    let wanted = json!({ "loadBalancer": { "ingress": addresses } });
    let write = |(key, ingress): &(&Key, &Arc<Ingress>)| StatusWrite {
        resource: ApiResource {
            group: "networking.k8s.io".into(),
            version: "v1".into(),
            api_version: "networking.k8s.io/v1".into(),
            kind: "Ingress".into(),
            plural: "ingresses".into(),
        },
        namespace: key.0.clone(),
        name: key.1.clone(),
        current: serde_json::to_value(&ingress.status).unwrap_or_default(),
        wanted: wanted.clone(),
    };
    ours.iter().map(write).collect()
}

/// Addresses as a status lists them.
fn addresses(endpoint: &IngressEndpointConfig, cluster: &Cluster) -> Result<Json, String> {
    if endpoint.published_service.is_empty() {
        let mut one = json!({});
        for (key, value) in [("ip", &endpoint.ip), ("hostname", &endpoint.hostname)] {
            if !value.is_empty() {
                one[key] = value.as_str().into();
            }
        }
        return if one == json!({}) { Err("neither `ip`, `hostname` nor `publishedService` is set".into()) } else { Ok(json!([one])) };
    }
    let name = &endpoint.published_service;
    let (namespace, service) = name.split_once('/').ok_or_else(|| format!("`publishedService` {name}: write it as namespace/name"))?;
    let found = cluster.service(namespace, service).ok_or_else(|| format!("`publishedService`: there is no service {name}"))?;
    if found.spec.as_ref().and_then(|s| s.type_.as_deref()) == Some("ExternalName") {
        let host = found.spec.as_ref().and_then(|s| s.external_name.clone()).unwrap_or_default();
        return Ok(json!([{ "hostname": host }]));
    }
    let balancer = of_balancer(found);
    // Without a balancer: what else leads to the service from outside.
    Ok(Json::Array(if balancer.is_empty() { external_ips(found).collect() } else { balancer }))
}

/// What stands in the status of a service of the type `LoadBalancer`.
pub(crate) fn of_balancer(service: &Service) -> Vec<Json> {
    let ingress = service.status.iter().flat_map(|s| s.load_balancer.iter()).flat_map(|l| l.ingress.iter().flatten());
    let one = |i: &LoadBalancerIngress| match (&i.ip, &i.hostname) {
        (Some(ip), Some(host)) => json!({ "ip": ip, "hostname": host }),
        (Some(ip), None) => json!({ "ip": ip }),
        (None, Some(host)) => json!({ "hostname": host }),
        (None, None) => json!({}),
    };
    ingress.map(one).collect()
}

pub(crate) fn external_ips(service: &Service) -> impl Iterator<Item = Json> {
    service.spec.iter().flat_map(|s| s.external_ips.iter().flatten()).map(|ip| json!({ "ip": ip }))
}
