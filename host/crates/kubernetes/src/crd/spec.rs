//! The specs of custom resources as written. Fields that are not known are named in a warning and left alone: a newer
//! definition may have them.

use crate::tree::Tree;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use torana_base::{Place, closest};

/// A block of options whose names are known.
pub(super) trait Spec: DeserializeOwned + Default {
    const KEYS: &'static [&'static str];
}

/// Reads a block; `path` is where it stands in the object.
pub(super) fn read<T: Spec>(value: &Json, path: &str, tree: &mut Tree, place: &Place) -> Result<T, String> {
    let Some(map) = value.as_object() else {
        return if value.is_null() { Ok(T::default()) } else { Err(format!("{path}: a block of options belongs here")) };
    };
    for name in map.keys().filter(|k| !T::KEYS.contains(&k.as_str())) {
        let hint = closest(name, T::KEYS.iter().copied()).map(|n| format!(", did you mean `{n}`?")).unwrap_or_default();
        tree.warn(place, &format!("{path}.{name}"), format!("unknown option `{name}` is ignored{hint}"));
    }
    let known = map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect();
    serde_json::from_value(Json::Object(known)).map_err(|e| format!("{path}: {e}"))
}

macro_rules! specs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $key:literal,)* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default)]
        pub(super) struct $name { $($(#[$field_doc])* #[serde(rename = $key)] pub(super) $field: $type,)* }

        impl Spec for $name {
            const KEYS: &'static [&'static str] = &[$($key),*];
        }
    )* };
}

specs! {
    /// `IngressRoute`, `IngressRouteTCP`, `IngressRouteUDP`.
    RouteSpec {
        class: Option<String> = "ingressClassName",
        entry_points: Vec<String> = "entryPoints",
        /// Read one by one: a bad one must not stop the others.
        routes: Vec<Json> = "routes",
        tls: Json = "tls",
        parents: Vec<Json> = "parentRefs",
    }
    HttpRoute {
        rule: String = "match",
        kind: String = "kind",
        priority: i64 = "priority",
        syntax: String = "syntax",
        middlewares: Vec<Json> = "middlewares",
        services: Vec<Json> = "services",
        observability: Json = "observability",
    }
    TcpRoute {
        rule: String = "match",
        priority: i64 = "priority",
        syntax: String = "syntax",
        middlewares: Vec<Json> = "middlewares",
        services: Vec<Json> = "services",
    }
    UdpRoute {
        services: Vec<Json> = "services",
    }
    RouteTls {
        secret: String = "secretName",
        options: Option<Named> = "options",
        /// Only the default store serves clients, whatever stands here.
        store: Option<Named> = "store",
        resolver: String = "certResolver",
        domains: Json = "domains",
        passthrough: bool = "passthrough",
    }
    Named {
        name: String = "name",
        namespace: String = "namespace",
    }
    /// A service where HTTP needs one.
    HttpRef {
        name: String = "name",
        kind: String = "kind",
        namespace: String = "namespace",
        port: Option<IntOrString> = "port",
        scheme: String = "scheme",
        strategy: String = "strategy",
        weight: Option<i64> = "weight",
        middlewares: Vec<Json> = "middlewares",
        sticky: Json = "sticky",
        pass_host_header: Option<bool> = "passHostHeader",
        response_forwarding: Json = "responseForwarding",
        transport: String = "serversTransport",
        native_lb: Option<bool> = "nativeLB",
        node_port_lb: bool = "nodePortLB",
        health_check: Json = "healthCheck",
        passive_health_check: Json = "passiveHealthCheck",
        /// Of a mirror alone.
        percent: Option<i64> = "percent",
    }
    /// A service where TCP or UDP need one.
    L4Ref {
        name: String = "name",
        namespace: String = "namespace",
        port: Option<IntOrString> = "port",
        weight: Option<i64> = "weight",
        tls: bool = "tls",
        proxy_protocol: Json = "proxyProtocol",
        /// Milliseconds.
        termination_delay: Option<i64> = "terminationDelay",
        transport: String = "serversTransport",
        native_lb: Option<bool> = "nativeLB",
        node_port_lb: bool = "nodePortLB",
    }
    ServiceSpec {
        weighted: Option<Weighted> = "weighted",
        mirroring: Option<serde_json::Map<String, Json>> = "mirroring",
        failover: Option<Failover> = "failover",
        highest_random_weight: Option<Weighted> = "highestRandomWeight",
    }
    Weighted {
        services: Vec<Json> = "services",
        sticky: Json = "sticky",
    }
    Failover {
        service: Json = "service",
        fallback: Json = "fallback",
        errors: Json = "errors",
    }
    StoreSpec {
        default_certificate: Option<SecretName> = "defaultCertificate",
        default_generated: Json = "defaultGeneratedCert",
        certificates: Vec<SecretName> = "certificates",
    }
    SecretName {
        secret: String = "secretName",
    }
    RootCa {
        secret: Option<String> = "secret",
        config_map: Option<String> = "configMap",
    }
}
