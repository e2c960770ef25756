//! Gateways: which of their listeners can be served, and on which entry point.

use super::conditions::Condition;
use super::grants::Grants;
use super::model::{GROUP, GatewaySpec, ListenerSpec, Object, Reference};
use super::{EntryPoint, Options};
use crate::cluster::{Cluster, Key, secret_text};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Http,
    Https,
    Tls,
    Tcp,
}

/// Where routes come from that a listener takes.
#[derive(Clone, Debug)]
enum From {
    All,
    Same,
    Selector(LabelSelector),
}

/// A listener of a gateway.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) gateway: Key,
    pub(super) name: String,
    pub(super) hostname: String,
    pub(super) port: i32,
    pub(super) protocol: Option<Protocol>,
    pub(super) entry_point: String,
    pub(super) passthrough: bool,
    /// Kinds of routes that it takes.
    pub(super) kinds: Vec<&'static str>,
    from: From,
    /// It is served: nothing is wrong with it.
    pub(super) attached: bool,
    /// Routes that it has accepted.
    pub(super) routes: usize,
    /// Empty where all is well.
    pub(super) conditions: Vec<Condition>,
    /// Names that routes of a kind have taken.
    pub(super) claims: Vec<(&'static str, Vec<String>)>,
}

impl Listener {
    pub(super) fn is_tls(&self) -> bool {
        self.protocol == Some(Protocol::Https)
    }

    /// Whether it takes routes of `kind` from `namespace`.
    pub(super) fn allows(&self, cluster: &Cluster, kind: &str, namespace: &str) -> bool {
        let from = match &self.from {
            From::All => true,
            From::Same => self.gateway.0 == namespace,
            From::Selector(selector) => {
                let labels = cluster.namespaces.get(&(String::new(), namespace.to_owned())).and_then(|n| n.metadata.labels.as_ref());
                selects(selector, labels.unwrap_or(&BTreeMap::new()))
            }
        };
        from && self.kinds.contains(&kind)
    }
}

/// A certificate that a listener asks for: its secret and the two PEM texts.
pub(super) type Certificate = (Key, String, String);

/// All listeners of a gateway, and their certificates.
pub(super) fn of_gateway(
    cluster: &Cluster,
    options: &Options,
    grants: &Grants,
    gateway: &Object<GatewaySpec>,
    certificates: &mut BTreeMap<Key, Certificate>,
) -> Vec<Listener> {
    let mut taken = BTreeSet::new();
    let cx = Of { cluster, options, grants, gateway };
    gateway.spec.listeners.iter().map(|spec| cx.listener(spec, &mut taken, certificates)).collect()
}

struct Of<'a> {
    cluster: &'a Cluster,
    options: &'a Options,
    grants: &'a Grants,
    gateway: &'a Object<GatewaySpec>,
}

impl Of<'_> {
    fn listener(
        &self,
        spec: &ListenerSpec,
        taken: &mut BTreeSet<(Protocol, i32, String)>,
        certificates: &mut BTreeMap<Key, Certificate>,
    ) -> Listener {
        let mut l = Listener {
            gateway: self.gateway.key.clone(),
            name: spec.name.clone(),
            hostname: spec.hostname.to_ascii_lowercase(),
            port: spec.port,
            protocol: None,
            entry_point: String::new(),
            passthrough: spec.tls.as_ref().is_some_and(|t| t.mode == "Passthrough"),
            kinds: Vec::new(),
            from: From::Same,
            attached: false,
            routes: 0,
            conditions: Vec::new(),
            claims: Vec::new(),
        };
        if let Err(wrong) = self.fill(spec, &mut l, taken, certificates) {
            l.conditions.push(wrong);
        }
        l.attached = l.protocol.is_some() && !l.kinds.is_empty() && l.conditions.iter().all(|c| c.reason == "InvalidRouteKinds");
        l
    }

    fn fill(
        &self,
        spec: &ListenerSpec,
        l: &mut Listener,
        taken: &mut BTreeSet<(Protocol, i32, String)>,
        certificates: &mut BTreeMap<Key, Certificate>,
    ) -> Result<(), Condition> {
        let refuse = |reason, message: String| Err(Condition::no("Accepted", reason, message));
        let protocol = match spec.protocol.as_str() {
            "HTTP" => Protocol::Http,
            "HTTPS" => Protocol::Https,
            "TLS" => Protocol::Tls,
            "TCP" if self.options.config.experimental_channel => Protocol::Tcp,
            "TCP" => return refuse("UnsupportedProtocol", "TCP needs `experimentalChannel` of the provider kubernetesGateway".into()),
            other => {
                return refuse(
                    "UnsupportedProtocol",
                    format!("{other} is not a protocol of this gateway: there are HTTP, HTTPS, TLS and TCP"),
                );
            }
        };
        let Some(entry_point) = self.options.entry_points.iter().find(|e| serves(e, spec.port, protocol)) else {
            let known: Vec<String> = self.options.entry_points.iter().map(|e| format!("{} ({})", e.name, e.port)).collect();
            let message =
                format!("no entry point of the gateway has port {} for {}; there are {}", spec.port, spec.protocol, known.join(", "));
            return refuse("PortUnavailable", message);
        };
        l.entry_point.clone_from(&entry_point.name);
        l.protocol = Some(protocol);
        let able: &[&'static str] = match protocol {
            Protocol::Http | Protocol::Https => &["HTTPRoute", "GRPCRoute"],
            Protocol::Tls => &["TLSRoute"],
            Protocol::Tcp => &["TCPRoute"],
        };
        l.kinds = able.to_vec();
        if !spec.allowed_routes.kinds.is_empty() {
            l.kinds.clear();
            for wanted in &spec.allowed_routes.kinds {
                let (group, kind) = wanted.what((GROUP, ""));
                match able.iter().find(|k| **k == kind && group == GROUP) {
                    Some(kind) if !l.kinds.contains(kind) => l.kinds.push(kind),
                    Some(_) => {}
                    None => {
                        let message = format!("a listener for {} takes no {group}/{kind}: it takes {}", spec.protocol, able.join(" and "));
                        l.conditions.push(Condition::no("ResolvedRefs", "InvalidRouteKinds", message));
                    }
                }
            }
            l.conditions.truncate(1);
        }
        if !taken.insert((protocol, spec.port, l.hostname.clone())) {
            let message = "another listener of the gateway has the same protocol, port and host name";
            return Err(Condition::yes("Conflicted", "DuplicateListener", message));
        }
        let namespaces = &spec.allowed_routes.namespaces;
        l.from = match (namespaces.from.as_str(), &namespaces.selector) {
            ("All", _) => From::All,
            ("Selector", Some(selector)) => From::Selector(selector.clone()),
            _ => From::Same,
        };
        self.tls(spec, l, protocol, certificates)
    }

    fn tls(
        &self,
        spec: &ListenerSpec,
        l: &mut Listener,
        protocol: Protocol,
        certificates: &mut BTreeMap<Key, Certificate>,
    ) -> Result<(), Condition> {
        let refuse = |message: &str| Err(Condition::no("Accepted", "InvalidTLSConfiguration", message));
        let tls = match (protocol, &spec.tls) {
            (Protocol::Http | Protocol::Tcp, None) => return Ok(()),
            (Protocol::Http | Protocol::Tcp, Some(_)) => return refuse("`tls` has no place in a listener for HTTP or TCP"),
            (_, None) => return refuse("a listener for HTTPS or TLS needs `tls`"),
            (Protocol::Https, Some(_)) if l.passthrough => {
                return Err(Condition::no(
                    "Accepted",
                    "UnsupportedProtocol",
                    "HTTPS is ended by the gateway: for `mode: Passthrough` take the protocol TLS",
                ));
            }
            (_, Some(_)) if l.passthrough => return Ok(()),
            (_, Some(tls)) => tls,
        };
        if tls.certificate_refs.is_empty() {
            return Err(Condition::no("ResolvedRefs", "InvalidCertificateRef", "`mode: Terminate` needs `certificateRefs`"));
        }
        for reference in &tls.certificate_refs {
            let certificate = self.certificate(reference)?;
            certificates.insert(certificate.0.clone(), certificate);
        }
        Ok(())
    }

    fn certificate(&self, reference: &Reference) -> Result<Certificate, Condition> {
        let wrong = |reason, message: String| Err(Condition::no("ResolvedRefs", reason, message));
        let (group, kind) = reference.what(("", "Secret"));
        if !matches!(group, "" | "core") || kind != "Secret" {
            return wrong("InvalidCertificateRef", format!("certificates stand in Secrets, not in {group}/{kind}"));
        }
        let own = &self.gateway.key.0;
        let namespace = reference.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or(own);
        let name = reference.name.as_str();
        if !self.grants.allow("Gateway", own, "Secret", namespace, name) {
            return wrong("RefNotPermitted", format!("no ReferenceGrant in {namespace} lets Gateways of {own} use the secret {name}"));
        }
        let secret = match self.cluster.secret(namespace, name) {
            Ok(secret) => secret,
            Err(why) => return wrong("InvalidCertificateRef", why),
        };
        let text = |key: &str| secret_text(secret, key).filter(|t| t.contains("-----BEGIN "));
        match (text("tls.crt"), text("tls.key")) {
            (Some(cert), Some(key)) => Ok(((namespace.to_owned(), name.to_owned()), cert, key)),
            _ => wrong("InvalidCertificateRef", format!("secret {namespace}/{name} has no PEM texts under `tls.crt` and `tls.key`")),
        }
    }
}

fn serves(entry_point: &EntryPoint, port: i32, protocol: Protocol) -> bool {
    i32::from(entry_point.port) == port && !entry_point.udp && (protocol != Protocol::Http || !entry_point.tls)
}

/// Whether labels are as a selector wants them.
pub(super) fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    selector.match_labels.iter().flatten().all(|(k, v)| labels.get(k) == Some(v))
        && selector.match_expressions.iter().flatten().all(|e| {
            let value = labels.get(&e.key);
            let among = value.is_some_and(|v| e.values.iter().flatten().any(|w| w == v));
            match e.operator.as_str() {
                "In" => among,
                "NotIn" => !among,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
