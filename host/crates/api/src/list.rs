//! Objects as rows of lists.

use crate::index::{self, Index};
use crate::query::{Key, Row, state_name};
use std::sync::Arc;
use torana_base::unqualified;
use torana_config::install::InstallConfig;
use torana_control::{MiddlewareStatus, RouterStatus, RuntimeStatus, ServiceStatus, State};

/// Services that the gateway answers itself, sorted. They have no configuration.
pub(crate) fn internal_services(install: &InstallConfig) -> impl Iterator<Item = &'static str> {
    let ping = install.ping.is_some();
    let all = [
        ("api@internal", install.api.is_some()),
        ("dashboard@internal", install.api.as_ref().is_some_and(|a| a.dashboard)),
        ("noop@internal", true),
        ("ping@internal", ping),
        ("prometheus@internal", install.prometheus().is_some()),
        ("ready@internal", ping),
    ];
    all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name)
}

/// A service: one of a provider, or one of the gateway itself.
#[derive(Clone, Copy)]
pub(crate) enum Service<'a> {
    Provided(&'a ServiceStatus),
    Internal(&'static str),
}

/// A router with the priority that is shown.
#[derive(Clone, Copy)]
pub(crate) struct Router<'a> {
    pub status: &'a RouterStatus,
    pub priority: i64,
}

impl<'a> Router<'a> {
    /// Only what some entry point could serve has a priority that was not written.
    pub(crate) fn new(status: &'a RouterStatus, install: &InstallConfig) -> Self {
        let behind = !status.parents.is_empty();
        let priority = if behind || index::using(status, install).next().is_some() { status.priority } else { status.item.config.priority };
        Router { status, priority }
    }
}

pub(crate) fn routers<'a>(status: &'a RuntimeStatus, install: &InstallConfig) -> Vec<Router<'a>> {
    status.routers.values().map(|r| Router::new(r, install)).collect()
}

pub(crate) fn middlewares(status: &RuntimeStatus) -> Vec<&MiddlewareStatus> {
    status.middlewares.values().map(Arc::as_ref).collect()
}

/// All services by name.
pub(crate) fn services<'a>(status: &'a RuntimeStatus, index: &Index) -> Vec<Service<'a>> {
    let provided = status.services.values().map(|s| Service::Provided(s));
    let mut all: Vec<Service<'a>> = provided.chain(index.internal.iter().map(|n| Service::Internal(n))).collect();
    // Nearly sorted already: this is linear.
    all.sort_by(|a, b| a.name().cmp(b.name()));
    all
}

pub(crate) fn service<'a>(status: &'a RuntimeStatus, index: &Index, name: &str) -> Option<Service<'a>> {
    let provided = status.services.get(name).map(|s| Service::Provided(s));
    provided.or_else(|| index.internal.iter().find(|n| **n == name).map(|n| Service::Internal(n)))
}

impl Row for Router<'_> {
    fn name(&self) -> &str {
        &self.status.name
    }

    fn provider(&self) -> &str {
        &self.status.provider
    }

    fn status(&self) -> &'static str {
        state_name(self.status.state)
    }

    fn is_found(&self, found: &dyn Fn(&str) -> bool) -> bool {
        found(self.name()) || found(&self.status.item.config.rule)
    }

    fn key(&self, by: &str) -> Option<Key<'_>> {
        match by {
            "priority" => Some(Key::Number(self.priority)),
            "rule" => Some(Key::Text(&self.status.item.config.rule)),
            "service" => Some(Key::Text(self.status.item.config.service.as_deref().unwrap_or_default())),
            "entryPoints" => Some(Key::Number(self.status.entry_points.len() as i64)),
            _ => None,
        }
    }

    /// A service that is named without a provider fits any.
    fn has_service(&self, name: &str) -> bool {
        let service = self.status.item.config.service.as_deref().unwrap_or_default();
        if service.contains('@') { service == name } else { service == unqualified(name) }
    }

    fn has_middleware(&self, name: &str) -> bool {
        self.status.middlewares.iter().any(|m| **m == *name)
    }
}

impl Service<'_> {
    /// As configured: `loadBalancer`.
    pub(crate) fn kind(&self) -> &'static str {
        let Service::Provided(s) = self else { return "" };
        s.item.config.kind()
    }
}

impl Row for Service<'_> {
    fn name(&self) -> &str {
        match self {
            Service::Provided(s) => &s.name,
            Service::Internal(name) => name,
        }
    }

    fn provider(&self) -> &str {
        match self {
            Service::Provided(s) => &s.provider,
            Service::Internal(_) => "internal",
        }
    }

    fn status(&self) -> &'static str {
        state_name(match self {
            Service::Provided(s) => s.state,
            Service::Internal(_) => State::Enabled,
        })
    }

    fn key(&self, by: &str) -> Option<Key<'_>> {
        match by {
            "type" => Some(Key::Folded(self.kind())),
            "servers" => Some(Key::Number(match self {
                Service::Provided(s) => s.item.config.load_balancer.as_ref().map_or(0, |l| l.servers.len() as i64),
                Service::Internal(_) => 0,
            })),
            _ => None,
        }
    }
}

impl Row for &MiddlewareStatus {
    fn name(&self) -> &str {
        &self.name
    }

    fn provider(&self) -> &str {
        &self.provider
    }

    fn status(&self) -> &'static str {
        state_name(self.state)
    }

    fn key(&self, by: &str) -> Option<Key<'_>> {
        (by == "type").then(|| Key::Folded(&self.item.config.kind))
    }
}
