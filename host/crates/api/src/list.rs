//! Objects as rows of lists.

use crate::index::Index;
use crate::query::{Key, Row};
use std::sync::Arc;
use torana_base::unqualified;
use torana_config::install::InstallConfig;
use torana_control::{MiddlewareStatus, RouterStatus, RuntimeStatus, ServiceStatus, State};

/// Services that the gateway answers itself, sorted. They have no configuration.
pub(crate) fn internal_services(install: &InstallConfig) -> impl Iterator<Item = &'static str> {
    let ping = install.ping.is_some();
    let all = [("api@internal", install.api.is_some()), ("noop@internal", true), ("ping@internal", ping), ("ready@internal", ping)];
    all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name)
}

/// A service: one of a provider, or one of the gateway itself.
#[derive(Clone, Copy)]
pub(crate) enum Service<'a> {
    Provided(&'a ServiceStatus),
    Internal(&'static str),
}

pub(crate) fn routers(status: &RuntimeStatus) -> Vec<&RouterStatus> {
    status.routers.values().map(Arc::as_ref).collect()
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

impl Row for &RouterStatus {
    fn name(&self) -> &str {
        &self.name
    }

    fn provider(&self) -> &str {
        &self.provider
    }

    fn state(&self) -> State {
        self.state
    }

    fn rule(&self) -> &str {
        &self.item.config.rule
    }

    fn key(&self, by: &str) -> Option<Key<'_>> {
        match by {
            "priority" => Some(Key::Number(self.priority)),
            "rule" => Some(Key::Text(&self.item.config.rule)),
            "service" => Some(Key::Text(self.item.config.service.as_deref().unwrap_or_default())),
            "entryPoints" => Some(Key::Number(self.entry_points.len() as i64)),
            _ => None,
        }
    }

    /// A service that is named without a provider fits any.
    fn has_service(&self, name: &str) -> bool {
        let service = self.item.config.service.as_deref().unwrap_or_default();
        if service.contains('@') { service == name } else { service == unqualified(name) }
    }

    fn has_middleware(&self, name: &str) -> bool {
        self.middlewares.iter().any(|m| **m == *name)
    }
}

impl Service<'_> {
    /// As the API shows it: `loadbalancer`.
    pub(crate) fn kind(&self) -> &'static str {
        let Service::Provided(s) = self else { return "" };
        let config = &s.item.config;
        match (&config.load_balancer, &config.weighted, config.others.first().copied()) {
            (Some(_), ..) => "loadbalancer",
            (_, Some(_), _) => "weighted",
            (.., Some("highestRandomWeight")) => "highestrandomweight",
            (.., Some(other)) => other,
            _ => "",
        }
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

    fn state(&self) -> State {
        match self {
            Service::Provided(s) => s.state,
            Service::Internal(_) => State::Enabled,
        }
    }

    fn key(&self, by: &str) -> Option<Key<'_>> {
        match by {
            "type" => Some(Key::Text(self.kind())),
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

    fn state(&self) -> State {
        self.state
    }

    fn key(&self, by: &str) -> Option<Key<'_>> {
        // Types are shown in lower case, which sorts differently: `ipAllowList` beside `inFlightReq`.
        (by == "type").then(|| Key::Text(&self.item.config.kind))
    }
}
