//! `/api/overview` and `/api/version`.

use crate::list;
use crate::time::rfc3339;
use serde::Serialize;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;
use torana_config::install::{InstallConfig, ProvidersConfig};
use torana_control::{RuntimeStatus, State};
use torana_tls::{Certificate, Validity};

/// `/api/version`
#[derive(Serialize)]
pub(crate) struct Version<'a> {
    #[serde(rename = "Version")]
    version: &'static str,
    #[serde(rename = "Codename")]
    codename: &'static str,
    #[serde(rename = "startDate")]
    start_date: String,
    #[serde(rename = "disableDashboardAd", skip_serializing_if = "std::ops::Not::not")]
    disable_dashboard_ad: bool,
    #[serde(rename = "dashboardName", skip_serializing_if = "str::is_empty")]
    dashboard_name: &'a str,
}

pub(crate) fn version(install: &InstallConfig, started: SystemTime) -> Version<'_> {
    Version {
        version: env!("CARGO_PKG_VERSION"),
        codename: "torana",
        start_date: rfc3339(started),
        disable_dashboard_ad: install.api.as_ref().is_some_and(|a| a.disable_dashboard_ad),
        dashboard_name: install.api.as_ref().map_or("", |a| &a.dashboard_name),
    }
}

/// `/api/overview`
#[derive(Serialize)]
pub(crate) struct Overview {
    http: Tree,
    tcp: Tree,
    udp: UdpTree,
    certificates: Section,
    features: Features,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    providers: Vec<Cow<'static, str>>,
}

#[derive(Serialize)]
struct Tree {
    routers: Section,
    services: Section,
    middlewares: Section,
}

#[derive(Serialize)]
struct UdpTree {
    routers: Section,
    services: Section,
}

#[derive(Default, Serialize)]
struct Section {
    total: usize,
    warnings: usize,
    errors: usize,
}

/// Names of backends, empty for what is off or not built.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Features {
    tracing: &'static str,
    metrics: &'static str,
    access_log: bool,
}

impl Section {
    fn of(states: impl Iterator<Item = State>) -> Self {
        states.fold(Section::default(), |s, state| Section {
            total: s.total + 1,
            warnings: s.warnings + usize::from(state == State::Warning),
            errors: s.errors + usize::from(state == State::Disabled),
        })
    }
}

pub(crate) fn overview(install: &InstallConfig, status: &RuntimeStatus) -> Overview {
    let mut services = Section::of(status.services.values().map(|s| s.state));
    services.total += list::internal_services(install).filter(|n| !status.services.contains_key(*n)).count();
    Overview {
        http: Tree {
            routers: Section::of(status.routers.values().map(|r| r.state)),
            services,
            middlewares: Section::of(status.middlewares.values().map(|m| m.state)),
        },
        tcp: Tree {
            routers: Section::of(status.tcp.routers.values().map(|r| r.object.state)),
            services: Section::of(status.tcp.services.values().map(|s| s.object.state)),
            middlewares: Section::of(status.tcp.middlewares.values().map(|m| m.object.state)),
        },
        udp: UdpTree {
            routers: Section::of(status.udp.routers.values().map(|r| r.object.state)),
            services: Section::of(status.udp.services.values().map(|s| s.object.state)),
        },
        certificates: certificates(&status.certificates),
        features: features(install),
        providers: providers(&install.providers),
    }
}

fn certificates(all: &[Arc<Certificate>]) -> Section {
    let now = SystemTime::now();
    Section::of(all.iter().map(|c| match Validity::of(c.not_after(), now) {
        Validity::Enabled => State::Enabled,
        Validity::Warning => State::Warning,
        Validity::Expired => State::Disabled,
    }))
}

fn features(install: &InstallConfig) -> Features {
    let metrics = install.metrics.as_ref();
    // The first of them, as in Traefik.
    let kinds = [
        ("Prometheus", metrics.is_some_and(|m| m.prometheus.is_some())),
        ("Datadog", metrics.is_some_and(|m| m.datadog.is_some())),
        ("StatsD", metrics.is_some_and(|m| m.statsd.is_some())),
        ("InfluxDB2", metrics.is_some_and(|m| m.influxdb2.is_some())),
        ("OTLP", metrics.is_some_and(|m| m.otlp.is_some())),
    ];
    Features {
        tracing: if install.tracing.is_some() { "OTLP" } else { "" },
        metrics: kinds.iter().find(|(_, there)| *there).map_or("", |(name, _)| name),
        access_log: install.access_log.is_some(),
    }
}

/// Those that are configured, by Traefik's names and in its order; plugins come last, by their names.
fn providers(all: &ProvidersConfig) -> Vec<Cow<'static, str>> {
    let built = [
        ("Docker", all.docker.is_some()),
        ("Swarm", all.swarm.is_some()),
        ("File", all.file.is_some()),
        ("KubernetesIngress", all.kubernetes_ingress.is_some()),
        ("KubernetesCRD", all.kubernetes_crd.is_some()),
        ("KubernetesGateway", all.kubernetes_gateway.is_some()),
        ("Knative", all.knative.is_some()),
        ("Rest", all.rest.is_some()),
        ("ConsulCatalog", all.consul_catalog.is_some()),
        ("Nomad", all.nomad.is_some()),
        ("Ecs", all.ecs.is_some()),
        ("Consul", all.consul.is_some()),
        ("Etcd", all.etcd.is_some()),
        ("ZooKeeper", all.zoo_keeper.is_some()),
        ("Redis", all.redis.is_some()),
        ("HTTP", all.http.is_some()),
    ];
    let built = built.into_iter().filter(|(_, there)| *there).map(|(name, _)| Cow::Borrowed(name));
    built.chain(all.plugin.keys().map(|name| format!("plugin-{name}").into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use torana_base::Place;
    use torana_config::node::Node;

    #[test]
    fn providers_are_those_of_traefik() {
        let mut all: ProvidersConfig = serde_json::from_value(json!({
            "file": {}, "docker": {}, "swarm": {}, "kubernetesIngress": {}, "kubernetesCRD": {}, "kubernetesGateway": {},
            "rest": {}, "consulCatalog": {}, "nomad": {}, "ecs": {}, "consul": {}, "etcd": {}, "zooKeeper": {}, "redis": {},
            "http": {},
        }))
        .unwrap();
        for name in ["two", "one"] {
            all.plugin.insert(name.to_owned(), Node::empty(Place::whole("test")));
        }
        // printed by Traefik 3.7.15, but for the plugins
        let said = "Docker Swarm File KubernetesIngress KubernetesCRD KubernetesGateway Rest ConsulCatalog Nomad Ecs Consul Etcd \
            ZooKeeper Redis HTTP plugin-one plugin-two";
        assert_eq!(providers(&all).join(" "), said);
        assert!(providers(&ProvidersConfig::default()).is_empty());
    }
}
