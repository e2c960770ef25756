//! The status of ingresses: under which addresses they are served.

use crate::cluster::{Cluster, Key};
use crate::ingress::publish::{external_ips, of_balancer, writes};
use crate::status::StatusWrite;
use crate::tree::Tree;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use serde_json::{Value as Json, json};
use std::net::IpAddr;
use std::sync::Arc;
use torana_base::Place;
use torana_config::install::IngressNginxConfig;

/// What should stand in the status of each ingress that is served; nothing without `publishService` and
/// `publishStatusAddress`.
pub(super) fn statuses(
    config: &IngressNginxConfig,
    cluster: &Cluster,
    served: &[(&Key, &Arc<Ingress>)],
    tree: &mut Tree,
) -> Vec<StatusWrite> {
    if !config.publish_status_address.is_empty() {
        let one = |a: &String| json!({ if a.parse::<IpAddr>().is_ok() { "ip" } else { "hostname" }: a });
        return writes(&config.publish_status_address.iter().map(one).collect(), served);
    }
    if config.publish_service.is_empty() {
        return Vec::new();
    }
    let name = &config.publish_service;
    let found = match name.split_once('/') {
        Some((namespace, service)) => cluster.service(namespace, service).ok_or_else(|| format!("there is no service {name}")),
        None => Err(format!("`{name}`: write it as namespace/name")),
    };
    match found {
        Ok(service) => writes(&Json::Array(addresses(service)), served),
        Err(why) => {
            tree.warn(&Place::whole(super::NAME), "publishService", format!("{why}: no status is written"));
            Vec::new()
        }
    }
}

/// Addresses of a service, by its type.
fn addresses(service: &Service) -> Vec<Json> {
    let spec = service.spec.as_ref();
    let own = || spec.and_then(|s| s.cluster_ip.as_ref()).map(|ip| json!({ "ip": ip })).into_iter().collect();
    match spec.and_then(|s| s.type_.as_deref()).unwrap_or("ClusterIP") {
        "ExternalName" => spec.and_then(|s| s.external_name.as_ref()).map(|h| json!({ "hostname": h })).into_iter().collect(),
        "NodePort" => match external_ips(service).collect::<Vec<_>>() {
            none if none.is_empty() => own(),
            external => external,
        },
        "LoadBalancer" => {
            let mut all = of_balancer(service);
            for external in external_ips(service) {
                if !all.iter().any(|a| a["ip"] == external["ip"] || a["hostname"] == external["ip"]) {
                    all.push(external);
                }
            }
            all
        }
        _ => own(),
    }
}
