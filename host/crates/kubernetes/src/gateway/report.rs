//! What is written back: the statuses of classes, gateways, routes and policies.

use super::attach::Parent;
use super::conditions::{self, Condition};
use super::listeners::Listener;
use super::model::{CONTROLLER, ClassSpec, GROUP, GatewaySpec, Object, RouteSpec};
use super::policies::Policy;
use super::{Options, ROUTES, resource};
use crate::cluster::{Cluster, Key};
use crate::status::StatusWrite;
use k8s_openapi::jiff::Timestamp;
use kube::api::ApiResource;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What of the Gateway API is there beyond its core, as it calls it.
const FEATURES: [&str; 27] = [
    "BackendTLSPolicy",
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "Gateway",
    "GatewayPort8080",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteSchemeRedirect",
    "ReferenceGrant",
    "TLSRoute",
    "TLSRouteModeMixed",
    "TLSRouteModeTerminate",
];

/// What there is to report.
pub(super) struct Seen<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) options: &'a Options,
    pub(super) classes: &'a [Object<ClassSpec>],
    pub(super) gateways: &'a [Object<GatewaySpec>],
    pub(super) listeners: &'a [Listener],
    pub(super) policies: &'a [Policy],
}

/// Remembers what was reported, so that what has not changed keeps its time.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    last: BTreeMap<(String, Key), Value>,
}

impl Report {
    pub(super) fn statuses(
        &mut self,
        seen: &Seen<'_>,
        routes: &[(&'static str, Object<RouteSpec>)],
        parents: &[Vec<Parent>],
    ) -> Vec<StatusWrite> {
        let mut writes = Vec::new();
        let mut add = |resource: ApiResource, key: &Key, current: &Value, wanted: Value| {
            writes.push(StatusWrite { resource, namespace: key.0.clone(), name: key.1.clone(), current: current.clone(), wanted });
        };
        for class in seen.classes {
            add(resource("GatewayClass", "v1", "gatewayclasses"), &class.key, &class.status, of_class(class));
        }
        for gateway in seen.gateways {
            add(resource("Gateway", "v1", "gateways"), &gateway.key, &gateway.status, seen.of_gateway(gateway));
        }
        for ((kind, route), parents) in routes.iter().zip(parents) {
            let ours = parents.iter().map(|p| {
                json!({"parentRef": p.reference, "controllerName": CONTROLLER, "conditions": conditions::list(&p.conditions, route.generation)})
            });
            let Some((_, version, plural, _)) = ROUTES.iter().find(|r| r.0 == *kind) else { continue };
            if let Some(list) = beside_others(&route.status, "parents", ours.collect()) {
                add(resource(kind, version, plural), &route.key, &route.status, json!({ "parents": list }));
            }
        }
        for policy in seen.policies {
            let object = &policy.object;
            let conditions = conditions::list(&policy.conditions(), object.generation);
            let ours = policy.gateways.iter().map(|g| {
                let ancestor = json!({"group": GROUP, "kind": "Gateway", "namespace": g.0, "name": g.1});
                json!({"ancestorRef": ancestor, "controllerName": CONTROLLER, "conditions": conditions})
            });
            if let Some(list) = beside_others(&object.status, "ancestors", ours.collect()) {
                add(resource("BackendTLSPolicy", "v1", "backendtlspolicies"), &object.key, &object.status, json!({ "ancestors": list }));
            }
        }
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut last = BTreeMap::new();
        for write in &mut writes {
            let key = (write.resource.kind.clone(), (write.namespace.clone(), write.name.clone()));
            let before: Vec<&Value> = self.last.get(&key).into_iter().chain([&write.current]).collect();
            conditions::stamp(&mut write.wanted, &before, &now);
            last.insert(key, write.wanted.clone());
        }
        self.last = last;
        writes
    }
}

/// Our entries of a list that several controllers write, after those of the others; `None` where there is nothing
/// to say and nothing to take back.
fn beside_others(status: &Value, list: &str, ours: Vec<Value>) -> Option<Vec<Value>> {
    let there = status[list].as_array().map(Vec::as_slice).unwrap_or_default();
    let (mine, mut all): (Vec<Value>, Vec<Value>) = there.iter().cloned().partition(|e| e["controllerName"] == CONTROLLER);
    if ours.is_empty() && mine.is_empty() {
        return None;
    }
    all.extend(ours);
    Some(all)
}

fn of_class(class: &Object<ClassSpec>) -> Value {
    let accepted = Condition::yes("Accepted", "Accepted", "gateways of the class are served");
    let features: Vec<Value> = FEATURES.iter().map(|f| json!({ "name": f })).collect();
    json!({"conditions": conditions::list(&[accepted], class.generation), "supportedFeatures": features})
}

impl Seen<'_> {
    fn of_gateway(&self, gateway: &Object<GatewaySpec>) -> Value {
        let own: Vec<&Listener> = self.listeners.iter().filter(|l| l.gateway == gateway.key).collect();
        let (good, wrong) = (own.iter().any(|l| l.attached), own.iter().any(|l| !l.conditions.is_empty()));
        let conditions = match (good, wrong) {
            (true, false) => [
                Condition::yes("Accepted", "Accepted", "all listeners are in order"),
                Condition::yes("Programmed", "Programmed", "all listeners are served"),
            ],
            (true, true) => [
                Condition::yes("Accepted", "ListenersNotValid", "something is wrong with some listeners, the others are in order"),
                Condition::yes("Programmed", "Programmed", "the listeners that are in order are served"),
            ],
            (false, _) => [
                Condition::no("Accepted", "ListenersNotValid", "something is wrong with every listener"),
                Condition::no("Programmed", "Invalid", "no listener can be served"),
            ],
        };
        let listeners: Vec<Value> = own.iter().map(|l| of_listener(l, gateway.generation)).collect();
        json!({
            "addresses": self.addresses(),
            "conditions": conditions::list(&conditions, gateway.generation),
            "listeners": listeners,
        })
    }

    /// What `statusAddress` says.
    fn addresses(&self) -> Vec<Value> {
        let ip = |v: &str| json!({"type": "IPAddress", "value": v});
        let host = |v: &str| json!({"type": "Hostname", "value": v});
        let Some(wanted) = &self.options.config.status_address else { return Vec::new() };
        if !wanted.ip.is_empty() {
            return vec![ip(&wanted.ip)];
        }
        if !wanted.hostname.is_empty() {
            return vec![host(&wanted.hostname)];
        }
        let service = wanted.service.as_ref().and_then(|s| self.cluster.service(&s.namespace, &s.name));
        let ingress = service.and_then(|s| s.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref());
        let of = |i: &k8s_openapi::api::core::v1::LoadBalancerIngress| match (&i.ip, &i.hostname) {
            (Some(v), _) if !v.is_empty() => Some(ip(v)),
            (_, Some(v)) if !v.is_empty() => Some(host(v)),
            _ => None,
        };
        ingress.into_iter().flatten().filter_map(of).collect()
    }
}

fn of_listener(listener: &Listener, generation: i64) -> Value {
    let mut all = listener.conditions.clone();
    let told = |all: &[Condition], kind: &str| all.iter().any(|c| c.kind == kind);
    if !told(&all, "Accepted") {
        all.push(match told(&all, "Conflicted") {
            true => Condition::no("Accepted", "Conflicted", "another listener is the same"),
            false => Condition::yes("Accepted", "Accepted", "the listener is in order"),
        });
    }
    if !told(&all, "Conflicted") {
        all.push(Condition::no("Conflicted", "NoConflicts", "no other listener is the same"));
    }
    if !told(&all, "ResolvedRefs") {
        all.push(Condition::yes("ResolvedRefs", "ResolvedRefs", "all references are resolved"));
    }
    all.push(match listener.attached {
        true => Condition::yes("Programmed", "Programmed", format!("served by the entry point {}", listener.entry_point)),
        false => Condition::no("Programmed", "Invalid", "the listener is not served"),
    });
    let kinds: Vec<Value> = listener.kinds.iter().map(|k| json!({"group": GROUP, "kind": k})).collect();
    json!({
        "name": listener.name,
        "attachedRoutes": listener.routes,
        "supportedKinds": kinds,
        "conditions": conditions::list(&all, generation),
    })
}
