//! `/api/overview` and `/api/version`.

use crate::list;
use crate::time::rfc3339;
use serde::Serialize;
use std::time::SystemTime;
use torana_config::install::InstallConfig;
use torana_control::{RuntimeStatus, State};

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
    providers: Vec<&'static str>,
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
        certificates: Section::default(),
        features: Features { metrics: if install.prometheus().is_some() { "Prometheus" } else { "" }, ..Features::default() },
        providers: install.providers.file.iter().map(|_| "File").collect(),
    }
}
