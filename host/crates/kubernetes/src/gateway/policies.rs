//! `BackendTLSPolicy`: how servers of a service are spoken to by TLS.

use super::conditions::Condition;
use super::model::{Object, PolicySpec, Reference};
use crate::cluster::{Cluster, Key, secret_text};
use std::collections::{BTreeMap, BTreeSet};

/// TLS to the servers of a service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BackendTls {
    pub(super) server_name: String,
    /// PEM texts; none for the system's authorities.
    pub(super) authorities: Vec<String>,
}

/// A policy and what came of it.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) object: Object<PolicySpec>,
    outcome: Result<BackendTls, Vec<Condition>>,
    /// An older policy has the same target.
    conflicted: bool,
    /// Gateways through which it has an effect.
    pub(super) gateways: BTreeSet<Key>,
}

#[derive(Debug, Default)]
pub(super) struct Policies {
    pub(super) all: Vec<Policy>,
    /// By service and name of its port (empty for all), in order of age.
    targets: BTreeMap<(Key, String), Vec<usize>>,
}

impl Policies {
    pub(super) fn new(cluster: &Cluster, mut objects: Vec<Object<PolicySpec>>) -> Policies {
        objects.sort_by(|a, b| a.age().cmp(&b.age()));
        let mut made = Policies::default();
        for (i, object) in objects.into_iter().enumerate() {
            let mut conflicted = false;
            for target in object.spec.target_refs.iter().filter(|t| is_service(t)) {
                let service = (object.key.0.clone(), target.name.clone());
                let there = made.targets.entry((service, target.section_name.clone().unwrap_or_default())).or_default();
                conflicted |= !there.is_empty();
                there.push(i);
            }
            let outcome = resolve(cluster, &object);
            made.all.push(Policy { object, outcome, conflicted, gateways: BTreeSet::new() });
        }
        made
    }

    /// The policy for a port of a service, `None` for none; it notes that `gateway` uses it.
    pub(super) fn find(&mut self, service: &Key, port: &str, gateway: &Key) -> Option<Result<BackendTls, String>> {
        let all = [port, ""].into_iter().find_map(|section| self.targets.get(&(service.clone(), section.to_owned())))?;
        for i in all {
            self.all[*i].gateways.insert(gateway.clone());
        }
        let first = &self.all[*all.first()?];
        let name = &first.object.key;
        Some(first.outcome.clone().map_err(|c| {
            let why = c.first().map(|c| c.message.as_str()).unwrap_or_default();
            format!("the BackendTLSPolicy {}/{} cannot be used: {why}", name.0, name.1)
        }))
    }
}

impl Policy {
    pub(super) fn conditions(&self) -> Vec<Condition> {
        if self.conflicted {
            return vec![Condition::no("Accepted", "Conflicted", "an older policy has the same target")];
        }
        match &self.outcome {
            Ok(_) => vec![
                Condition::yes("Accepted", "Accepted", "the policy is in use"),
                Condition::yes("ResolvedRefs", "ResolvedRefs", "all references are resolved"),
            ],
            Err(wrong) => wrong.clone(),
        }
    }
}

fn is_service(target: &Reference) -> bool {
    let (group, kind) = target.what(("", "Service"));
    matches!(group, "" | "core") && kind == "Service"
}

fn resolve(cluster: &Cluster, policy: &Object<PolicySpec>) -> Result<BackendTls, Vec<Condition>> {
    let v = &policy.spec.validation;
    if !v.subject_alt_names.is_empty() {
        return Err(vec![Condition::no("Accepted", "Invalid", "`validation.subjectAltNames` is not supported")]);
    }
    let mut tls = BackendTls { server_name: v.hostname.clone(), authorities: Vec::new() };
    if v.ca_certificate_refs.is_empty() {
        return match v.well_known_ca_certificates.as_deref() {
            Some("System") => Ok(tls),
            _ => Err(vec![Condition::no(
                "Accepted",
                "Invalid",
                "`validation` needs `caCertificateRefs`, or `wellKnownCACertificates: System`",
            )]),
        };
    }
    for reference in &v.ca_certificate_refs {
        match authority(cluster, &policy.key.0, reference) {
            Ok(pem) => tls.authorities.push(pem),
            Err((reason, why)) => {
                return Err(vec![
                    Condition::no("Accepted", "NoValidCACertificate", why.clone()),
                    Condition::no("ResolvedRefs", reason, why),
                ]);
            }
        }
    }
    Ok(tls)
}

fn authority(cluster: &Cluster, namespace: &str, reference: &Reference) -> Result<String, (&'static str, String)> {
    let name = &reference.name;
    let wrong = |why: String| ("InvalidCACertificateRef", why);
    let text = match reference.what(("", "ConfigMap")) {
        ("" | "core", "ConfigMap") => {
            let map = cluster.config_map(namespace, name).map_err(wrong)?;
            map.data.as_ref().and_then(|d| d.get("ca.crt").cloned())
        }
        ("" | "core", "Secret") => secret_text(cluster.secret(namespace, name).map_err(wrong)?, "ca.crt"),
        (group, kind) => return Err(("InvalidKind", format!("authorities stand in ConfigMaps or Secrets, not in {group}/{kind}"))),
    };
    let pem = text.filter(|t| t.contains("-----BEGIN CERTIFICATE"));
    pem.ok_or_else(|| wrong(format!("{namespace}/{name} has no certificate under `ca.crt`")))
}
