//! Objects as JSON. Fields stand in Traefik's order; empty ones are left out.

use crate::index::{self, Index};
use crate::l4::RawL4;
use crate::list::{self, Router, Service};
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use torana_base::qualify;
use torana_config::install::{EntryPointConfig, InstallConfig, ObservabilityConfig};
use torana_config::routing::{MiddlewareConfig, RouterTlsConfig, ServiceConfig, StickyConfig};
use torana_control::{MiddlewareStatus, RouterStatus, RuntimeStatus, ServiceStatus, State};
use torana_upstream::balance::{CookieOptions, StickyCookie};

/// An element of `/api/entrypoints`.
#[derive(Serialize)]
pub(crate) struct EntryPointView<'a> {
    #[serde(flatten)]
    pub config: &'a EntryPointConfig,
    pub name: &'a str,
}

/// An element of `/api/http/routers`. Without name, provider and text of the priority in `/api/rawdata`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RouterView<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    entry_points: &'a [Arc<str>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    middlewares: &'a [Arc<str>],
    #[serde(skip_serializing_if = "str::is_empty")]
    service: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    rule: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    parent_refs: &'a [Arc<str>],
    #[serde(skip_serializing_if = "str::is_empty")]
    rule_syntax: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    priority: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Cow<'a, RouterTlsConfig>>,
    observability: ObservabilityConfig,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    error: &'a [String],
    status: State,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    using: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority_str: Option<String>,
}

/// An element of `/api/http/services`. Without name, provider and type in `/api/rawdata`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceView<'a> {
    #[serde(flatten)]
    config: Option<Cow<'a, ServiceConfig>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    error: &'a [String],
    status: State,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    used_by: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    server_status: BTreeMap<Cow<'a, str>, &'static str>,
}

/// An element of `/api/http/middlewares`. Without name, provider and type in `/api/rawdata`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MiddlewareView<'a> {
    #[serde(flatten)]
    config: Options<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    error: &'a [String],
    status: State,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    used_by: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    kind: String,
}

/// `{"<kind>": {...}}`
enum Options<'a> {
    Shown(&'a str, Cow<'a, Value>),
    /// They could not be read.
    Written(&'a MiddlewareConfig),
}

impl Serialize for Options<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Options::Shown(kind, options) => s.collect_map([(kind, options)]),
            Options::Written(config) => config.serialize(s),
        }
    }
}

/// `/api/rawdata`.
#[derive(Serialize)]
pub(crate) struct RawData<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    routers: BTreeMap<&'a str, RouterView<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    middlewares: BTreeMap<&'a str, MiddlewareView<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    services: BTreeMap<&'a str, ServiceView<'a>>,
    #[serde(flatten)]
    l4: RawL4<'a>,
}

impl<'a> RawData<'a> {
    pub(crate) fn new(viewer: &Viewer<'a>) -> Self {
        let status = viewer.status;
        let mut raw = RawData {
            routers: BTreeMap::new(),
            middlewares: BTreeMap::new(),
            services: BTreeMap::new(),
            l4: RawL4::new(status, &viewer.index.l4),
        };
        for (name, r) in &status.routers {
            raw.routers.insert(
                name,
                RouterView { name: None, provider: None, priority_str: None, ..viewer.router(Router::new(r, viewer.install)) },
            );
        }
        for (name, m) in &status.middlewares {
            raw.middlewares.insert(name, MiddlewareView { name: None, provider: None, kind: String::new(), ..viewer.middleware(m) });
        }
        for service in list::services(status, viewer.index) {
            let view = viewer.service(&service);
            let Some(name) = view.name else { continue };
            raw.services.insert(name, ServiceView { name: None, provider: None, kind: String::new(), ..view });
        }
        raw
    }
}

/// Makes views.
#[derive(Clone, Copy)]
pub(crate) struct Viewer<'a> {
    pub install: &'a InstallConfig,
    pub status: &'a RuntimeStatus,
    pub index: &'a Index,
}

impl<'a> Viewer<'a> {
    pub(crate) fn router(&self, router: Router<'a>) -> RouterView<'a> {
        let Router { status: r, priority } = router;
        let config = &r.item.config;
        let using: BTreeSet<&str> = index::using(r, self.install).collect();
        let using: Vec<&str> = using.into_iter().collect();
        let internal = &*r.provider == "internal";
        RouterView {
            entry_points: &r.entry_points,
            middlewares: &r.middlewares,
            service: config.service.as_deref().unwrap_or_default(),
            rule: &config.rule,
            parent_refs: &r.parents,
            rule_syntax: if internal { "default" } else { config.syntax(&r.provider, &self.install.core) },
            priority,
            tls: r.tls.as_ref().map(tls),
            observability: self.observability(r, &using),
            error: &r.errors,
            status: r.state,
            using,
            name: Some(&r.name),
            provider: Some(&r.provider),
            priority_str: Some(priority.to_string()),
        }
    }

    /// The router's own, or else the entry point's, or else everything.
    fn observability(&self, r: &RouterStatus, using: &[&str]) -> ObservabilityConfig {
        let of_entry_point = match using {
            [only] => self.install.entry_points.get(*only).and_then(|e| e.observability.clone()),
            _ => None,
        };
        let mut o = of_entry_point.unwrap_or_default();
        if let Some(own) = &r.item.config.observability {
            o.access_logs = own.access_logs.unwrap_or(o.access_logs);
            o.metrics = own.metrics.unwrap_or(o.metrics);
            o.tracing = own.tracing.unwrap_or(o.tracing);
            o.trace_verbosity = own.trace_verbosity.unwrap_or(o.trace_verbosity);
        }
        o
    }

    pub(crate) fn service(&self, service: &Service<'a>) -> ServiceView<'a> {
        let kind = service.kind().to_ascii_lowercase();
        match *service {
            Service::Internal(name) => ServiceView {
                config: None,
                error: &[],
                status: State::Enabled,
                used_by: self.index.users_of_service(name),
                name: Some(name),
                provider: Some("internal"),
                kind,
                server_status: BTreeMap::new(),
            },
            Service::Provided(s) => {
                let made = self.index.is_made(&s.name);
                let config = if made { completed(s) } else { Cow::Borrowed(&s.item.config) };
                let word = |(url, up)| (scheme_lowered(url), if up { "UP" } else { "DOWN" });
                ServiceView {
                    config: Some(config),
                    error: &s.errors,
                    status: s.state,
                    used_by: self.index.users_of_service(&s.name),
                    name: Some(&s.name),
                    provider: Some(&s.provider),
                    kind,
                    server_status: if made { index::servers(s).map(word).collect() } else { BTreeMap::new() },
                }
            }
        }
    }

    pub(crate) fn middleware(&self, m: &'a MiddlewareStatus) -> MiddlewareView<'a> {
        let kind = &m.item.config.kind;
        let config = match &m.shown {
            Value::Object(_) if !kind.is_empty() => Options::Shown(kind, self.options(m)),
            _ => Options::Written(&m.item.config),
        };
        MiddlewareView {
            config,
            error: &m.errors,
            status: m.state,
            used_by: self.index.users_of_middleware(&m.name),
            name: Some(&m.name),
            provider: Some(&m.provider),
            // As in Traefik, a plugin is called by its own name.
            kind: m.item.config.plugin().map_or(kind.as_str(), |(name, _)| name).to_ascii_lowercase(),
        }
    }

    /// The names in a chain that is made are qualified.
    fn options(&self, m: &'a MiddlewareStatus) -> Cow<'a, Value> {
        let mut options = Cow::Borrowed(&m.shown);
        if self.index.is_made_chain(&m.name)
            && let Some(members) = options.to_mut().get_mut("middlewares").and_then(Value::as_array_mut)
        {
            for member in members {
                if let Some(name) = member.as_str() {
                    *member = qualify(name, &m.provider).into();
                }
            }
        }
        options
    }
}

/// What is filled in when a service is made: the whole name of its transport, the name of its cookie.
fn completed(s: &ServiceStatus) -> Cow<'_, ServiceConfig> {
    let mut config = Cow::Borrowed(&s.item.config);
    let transport = config.load_balancer.as_ref().and_then(|l| l.servers_transport.as_deref());
    if let Some(qualified) = transport.filter(|t| !t.is_empty()).map(|t| qualify(t, &s.provider))
        && let Some(l) = &mut config.to_mut().load_balancer
    {
        l.servers_transport = Some(qualified);
    }
    let sticky =
        |c: &ServiceConfig| c.load_balancer.as_ref().and_then(|l| l.sticky.clone()).or_else(|| c.weighted.as_ref()?.sticky.clone());
    if let Some(mut cookie) = sticky(&config).and_then(|s| s.cookie) {
        let options = CookieOptions { name: cookie.name, ..CookieOptions::default() };
        cookie.name = StickyCookie::new(&options, &s.name, &[]).name().to_owned();
        let named = Some(StickyConfig { cookie: Some(cookie) });
        match config.to_mut() {
            ServiceConfig { load_balancer: Some(l), .. } => l.sticky = named,
            ServiceConfig { weighted: Some(w), .. } => w.sticky = named,
            _ => {}
        }
    }
    config
}

/// No options means those called `default`.
fn tls(config: &RouterTlsConfig) -> Cow<'_, RouterTlsConfig> {
    if config.options.is_empty() {
        Cow::Owned(RouterTlsConfig { options: "default".to_owned(), ..config.clone() })
    } else {
        Cow::Borrowed(config)
    }
}

/// A URL as Go prints it after reading it.
fn scheme_lowered(url: &str) -> Cow<'_, str> {
    match url.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().any(|b| b.is_ascii_uppercase()) => {
            Cow::Owned(format!("{}://{rest}", scheme.to_ascii_lowercase()))
        }
        _ => Cow::Borrowed(url),
    }
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}
