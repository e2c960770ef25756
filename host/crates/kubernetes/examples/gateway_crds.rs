//! Prints the definitions of the Gateway API's kinds, for API servers that have them not: `kubectl apply -f -`.
//!
//! Servers before 1.25 refuse some of what stands there, such as rules in CEL and a default that is empty: it is left
//! out, and made a little more permissive.

use gateway_api::apis::{experimental, standard};
use kube::CustomResourceExt;
use serde_json::{Value, json};
use std::io::Write;

fn main() -> std::io::Result<()> {
    let all = [
        definition::<standard::gatewayclasses::GatewayClass>(),
        definition::<standard::gateways::Gateway>(),
        definition::<standard::httproutes::HttpRoute>(),
        definition::<standard::grpcroutes::GrpcRoute>(),
        definition::<standard::tlsroutes::TlsRoute>(),
        definition::<standard::referencegrants::ReferenceGrant>(),
        definition::<standard::backendtlspolicies::BackendTlsPolicy>(),
        definition::<experimental::tcproutes::TcpRoute>(),
    ];
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": all });
    writeln!(std::io::stdout(), "{list:#}")
}

fn definition<K: CustomResourceExt>() -> Value {
    let mut crd = serde_json::to_value(K::crd()).unwrap_or_default();
    strip(&mut crd);
    // The gateway reads grants in the version that every release of the API serves.
    if crd["spec"]["names"]["kind"] == "ReferenceGrant"
        && let Some(versions) = crd["spec"]["versions"].as_array_mut()
        && let Some(mut old) = versions.first().cloned()
    {
        old["name"] = "v1beta1".into();
        old["storage"] = false.into();
        versions.push(old);
    }
    // Groups below `k8s.io` are protected: each definition says who has looked at it.
    crd["metadata"]["annotations"] = json!({
        "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/2466",
        "gateway.networking.k8s.io/bundle-version": "v1.5.1",
        "gateway.networking.k8s.io/channel": "experimental",
    });
    crd
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("x-kubernetes-validations");
            if map.get("default").is_some_and(|d| d.as_str() == Some("")) {
                map.remove("default");
            }
            if let Some(Value::Array(values)) = map.get_mut("enum") {
                values.retain(|v| !v.is_null());
            }
            // Some read an empty text as null.
            if map.get("type").is_some_and(|t| t.as_str() == Some("string")) {
                map.insert("nullable".into(), true.into());
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
