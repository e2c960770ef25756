//! `api@internal`: what the gateway serves and how it is doing, as JSON. Documents have the form of
//! Traefik's API; `/api/providers`, `/api/plugins`, `/api/certificatesResolvers` and
//! `/api/diagnostics` are Torana's own.
//!
//! A request costs the worker one page of JSON. What is counted over all objects is counted once per
//! generation, on a blocking thread.

mod certificates;
mod dashboard;
mod index;
mod l4;
mod list;
mod overview;
mod prometheus;
mod query;
mod route;
mod time;
mod view;
mod written;

pub use crate::dashboard::Dashboard;
pub use crate::prometheus::{Prometheus, servers};

use crate::index::Index;
use crate::prometheus::takes_gzip;
use crate::query::Query;
use crate::route::{Kind, Route};
use crate::time::rfc3339;
use crate::view::{EntryPointView, RawData, Viewer};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;
use std::sync::Arc;
use std::time::SystemTime;
use torana_base::Diagnostic;
use torana_config::install::InstallConfig;
use torana_control::{AcmeStatus, Published, Resolvers, RuntimeStatus};
use torana_extend::PluginHost;
use torana_http::{Body, Endpoint, Exchange, LocalFuture, Request, Response, respond};

const NEXT_PAGE: HeaderName = HeaderName::from_static("x-next-page");

/// The endpoint of `api@internal`.
pub struct Api {
    shared: Arc<Shared>,
}

struct Shared {
    install: Arc<InstallConfig>,
    published: Published,
    plugins: Arc<dyn PluginHost>,
    resolvers: Resolvers,
    /// What goes before `/api`.
    base: String,
    dashboard: Option<Arc<Dashboard>>,
    started: SystemTime,
    index: ArcSwapOption<Index>,
    raw: ArcSwapOption<Raw>,
}

/// `/api/rawdata` of one generation and one state of all servers.
struct Raw {
    generation: u64,
    health: Vec<bool>,
    json: Bytes,
}

/// Why a request is not answered with a document.
enum Refusal {
    /// No such path.
    Path,
    Method,
    /// 404 with a text.
    Unknown(String),
    /// 400 with a text.
    Request(String),
    /// A bug: a document could not be made.
    Internal,
}

impl From<serde_json::Error> for Refusal {
    fn from(_: serde_json::Error) -> Self {
        Refusal::Internal
    }
}

impl Api {
    /// `install` says what the gateway was started with, `published` what it does now.
    pub fn new(install: Arc<InstallConfig>, published: Published, plugins: Arc<dyn PluginHost>, resolvers: Resolvers) -> Self {
        let base = install.api.as_ref().map_or("", |a| a.base_path.trim_end_matches('/')).to_owned();
        let dashboard = install.api.as_ref().is_some_and(|a| a.dashboard).then(|| Arc::new(Dashboard::new(&base)));
        let started = SystemTime::now();
        Api {
            shared: Arc::new(Shared {
                install,
                published,
                plugins,
                resolvers,
                base,
                dashboard,
                started,
                index: ArcSwapOption::empty(),
                raw: ArcSwapOption::empty(),
            }),
        }
    }

    /// The endpoint of `dashboard@internal`, if it is enabled.
    pub fn dashboard(&self) -> Option<Arc<Dashboard>> {
        self.shared.dashboard.clone()
    }
}

impl Endpoint for Api {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(async move { self.shared.answer(&exchange.request).await.unwrap_or_else(refuse) })
    }
}

impl Shared {
    async fn answer(self: &Arc<Self>, request: &Request) -> Result<Response, Refusal> {
        if let Some(dashboard) = &self.dashboard
            && let Some(answer) = self.dashboard(dashboard, request)
        {
            return answer;
        }
        let path = self.below(&request.path).and_then(|p| p.strip_prefix("/api/")).ok_or(Refusal::Path)?;
        let route = route::find(path).ok_or(Refusal::Path)?;
        if request.method != Method::GET {
            return Err(Refusal::Method);
        }
        let query = || Query::parse(request.query.as_deref().unwrap_or_default());
        let status = self.published.status.load_full();
        match route {
            Route::Version => {
                let mut response = json(&overview::version(&self.install, self.started))?;
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
                Ok(response)
            }
            Route::Overview => json(&overview::overview(&self.install, &status)),
            Route::RawData => self.raw_data(status).await,
            Route::EntryPoints => {
                let all: Vec<_> = self.install.entry_points.iter().collect();
                page(query().page(all)?, |(name, config)| EntryPointView { config, name })
            }
            Route::EntryPoint(name) => {
                let config =
                    self.install.entry_points.get(&name).ok_or_else(|| Refusal::Unknown(format!("entry point not found: {name}")))?;
                json(&EntryPointView { config, name: &name })
            }
            Route::Certificates => {
                let index = self.index(&status).await?;
                page(query().select(index.certificates.iter().collect())?, certificates::Known::view)
            }
            Route::Certificate(name) => {
                let index = self.index(&status).await?;
                let found = index.certificates.iter().find(|c| c.fingerprint() == name);
                json(&found.ok_or_else(|| Refusal::Unknown(format!("certificate not found: {name}")))?.view())
            }
            Route::Providers => json(&self.providers()),
            Route::Resolvers => page(query().page(self.resolvers.status())?, |r| AcmeStatus::clone(&r)),
            Route::Plugins => page(query().page(self.plugins.status())?, |p| p),
            Route::Plugin(name) => {
                let all = self.plugins.status();
                json(all.iter().find(|p| p.name == name).ok_or_else(|| Refusal::Unknown(format!("plugin not found: {name}")))?)
            }
            Route::Diagnostics => {
                let providers = self.published.providers.load();
                let sources = providers.values().flat_map(|p| &p.diagnostics);
                let all = sources.chain(&status.diagnostics).collect();
                page(query().whole().select(all)?, Diagnostic::to_json)
            }
            Route::TcpList(kind) => {
                let (index, query) = (self.index(&status).await?, query());
                let (tcp, l4) = (&status.tcp, &index.l4);
                match kind {
                    Kind::Router => page(query.select(tcp.routers.values().map(Arc::as_ref).collect())?, |r| l4.tcp_router(r)),
                    Kind::Service => page(query.select(tcp.services.values().map(Arc::as_ref).collect())?, |s| l4.tcp_service(s)),
                    Kind::Middleware => page(query.select(tcp.middlewares.values().map(Arc::as_ref).collect())?, l4::tcp_middleware),
                }
            }
            Route::TcpOne(kind, name) => {
                let index = self.index(&status).await?;
                let (tcp, l4) = (&status.tcp, &index.l4);
                let found = match kind {
                    Kind::Router => tcp.routers.get(name.as_str()).map(|r| json(&l4.tcp_router(r))),
                    Kind::Service => tcp.services.get(name.as_str()).map(|s| json(&l4.tcp_service(s))),
                    Kind::Middleware => tcp.middlewares.get(name.as_str()).map(|m| json(&l4::tcp_middleware(m))),
                };
                found.unwrap_or_else(|| Err(Refusal::Unknown(format!("{} not found: {name}", kind.name()))))
            }
            Route::UdpList(kind) => {
                let (index, query) = (self.index(&status).await?, query());
                match kind {
                    Kind::Router => page(query.select(status.udp.routers.values().map(Arc::as_ref).collect())?, l4::udp_router),
                    Kind::Service | Kind::Middleware => {
                        page(query.select(status.udp.services.values().map(Arc::as_ref).collect())?, |s| index.l4.udp_service(s))
                    }
                }
            }
            Route::UdpOne(kind, name) => {
                let index = self.index(&status).await?;
                let found = match kind {
                    Kind::Router => status.udp.routers.get(name.as_str()).map(|r| json(&l4::udp_router(r))),
                    Kind::Service | Kind::Middleware => status.udp.services.get(name.as_str()).map(|s| json(&index.l4.udp_service(s))),
                };
                found.unwrap_or_else(|| Err(Refusal::Unknown(format!("{} not found: {name}", kind.name()))))
            }
            Route::List(kind) => {
                let index = self.index(&status).await?;
                let viewer = Viewer { install: &self.install, status: &status, index: &index };
                let query = query();
                match kind {
                    Kind::Router => page(query.select(list::routers(&status, &self.install))?, |r| viewer.router(r)),
                    Kind::Service => page(query.select(list::services(&status, &index))?, |s| viewer.service(&s)),
                    Kind::Middleware => page(query.select(list::middlewares(&status))?, |m| viewer.middleware(m)),
                }
            }
            Route::One(kind, name) => {
                let index = self.index(&status).await?;
                let viewer = Viewer { install: &self.install, status: &status, index: &index };
                let found = match kind {
                    Kind::Router => status.routers.get(name.as_str()).map(|r| json(&viewer.router(list::Router::new(r, &self.install)))),
                    Kind::Service => list::service(&status, &index, &name).map(|s| json(&viewer.service(&s))),
                    Kind::Middleware => status.middlewares.get(name.as_str()).map(|m| json(&viewer.middleware(m))),
                };
                found.unwrap_or_else(|| Err(Refusal::Unknown(format!("{} not found: {name}", kind.name()))))
            }
        }
    }

    fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(self.base.as_str())
    }

    /// The dashboard as the API's router serves it; `None` for what is none of its paths.
    fn dashboard(&self, dashboard: &Dashboard, request: &Request) -> Option<Result<Response, Refusal>> {
        let base = self.install.api.as_ref().map_or("/", |a| &a.base_path);
        let answer = if *request.path == *base {
            dashboard::to_dashboard(base, request.header("x-forwarded-prefix"))
        } else {
            let path = self.below(&request.path)?.strip_prefix("/dashboard").filter(|p| p.starts_with('/'))?;
            dashboard.answer(request, path)
        };
        Some(if request.method == Method::GET { Ok(answer) } else { Err(Refusal::Method) })
    }

    /// The index of the generation that `status` belongs to. It must not keep `status` alive: services
    /// that are not served any more would go on checking their servers.
    async fn index(&self, status: &Arc<RuntimeStatus>) -> Result<Arc<Index>, Refusal> {
        if let Some(index) = self.index.load_full().filter(|i| i.generation == status.generation) {
            return Ok(index);
        }
        let (status, install) = (status.clone(), self.install.clone());
        let index = blocking(move || Arc::new(Index::new(&status, &install))).await?;
        self.index.store(Some(index.clone()));
        Ok(index)
    }

    async fn raw_data(&self, status: Arc<RuntimeStatus>) -> Result<Response, Refusal> {
        let index = self.index(&status).await?;
        let health = index.health(&status);
        let fresh = |r: &Arc<Raw>| r.generation == status.generation && r.health == health;
        let raw = match self.raw.load_full().filter(fresh) {
            Some(raw) => raw,
            None => {
                let install = self.install.clone();
                let generation = status.generation;
                let made = blocking(move || {
                    let viewer = Viewer { install: &install, status: &status, index: &index };
                    encode(&RawData::new(&viewer))
                });
                let raw = Arc::new(Raw { generation, health, json: made.await??.into() });
                self.raw.store(Some(raw.clone()));
                raw
            }
        };
        Ok(document(raw.json.clone()))
    }

    fn providers(&self) -> Vec<ProviderView> {
        let all = self.published.providers.load();
        let view = all.values().map(|p| ProviderView {
            name: p.provider,
            delivered: p.delivered,
            connected_since: p.connected_since.map(rfc3339),
            last_change: p.last_change.map(rfc3339),
            changes: p.changes,
            last_error: p.last_error.clone(),
            last_failure: p.last_failure.map(rfc3339),
            failures: p.failures,
            objects: p.objects.seen,
            rejected: p.objects.rejected.iter().map(|r| RejectedView { name: r.name.clone(), reasons: r.reasons.clone() }).collect(),
        });
        view.collect()
    }
}

/// An element of `/api/providers`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProviderView {
    name: &'static str,
    delivered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_change: Option<String>,
    changes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<String>,
    failures: u64,
    /// How many the source holds, those that were rejected too.
    objects: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<RejectedView>,
}

/// An object of a source that was left out.
#[derive(Serialize)]
struct RejectedView {
    name: String,
    reasons: Vec<String>,
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::Internal)
}

/// A document with a line end; `<`, `>` and `&` are escaped, so that no browser finds markup in it.
fn encode(value: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    let plain = serde_json::to_vec(value)?;
    let mut out = Vec::with_capacity(plain.len() + plain.len() / 64 + 1);
    for part in plain.split_inclusive(|b| matches!(b, b'<' | b'>' | b'&')) {
        match part.split_last() {
            Some((last @ (b'<' | b'>' | b'&'), before)) => {
                out.extend_from_slice(before);
                out.extend_from_slice(format!("\\u{last:04x}").as_bytes());
            }
            _ => out.extend_from_slice(part),
        }
    }
    out.push(b'\n');
    Ok(out)
}

fn document(json: Bytes) -> Response {
    respond::with_header(Response::new(written::body(json)), CONTENT_TYPE, HeaderValue::from_static("application/json"))
}

fn json(value: &impl Serialize) -> Result<Response, Refusal> {
    Ok(document(encode(value)?.into()))
}

/// A page of a list, and where the next one is.
fn page<R, V: Serialize>(page: query::Page<R>, view: impl FnMut(R) -> V) -> Result<Response, Refusal> {
    let items: Vec<V> = page.items.into_iter().map(view).collect();
    Ok(respond::with_header(json(&items)?, NEXT_PAGE, HeaderValue::from(page.next)))
}

fn refuse(refusal: Refusal) -> Response {
    let text = |status, message| match encode(&serde_json::json!({ "message": message })) {
        // The line end comes with the text.
        Ok(json) => respond::error_text(status, String::from_utf8_lossy(&json).trim_end()),
        Err(_) => respond::status_text(StatusCode::INTERNAL_SERVER_ERROR),
    };
    match refusal {
        Refusal::Path => respond::not_found(),
        Refusal::Method => {
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response
        }
        Refusal::Unknown(message) => text(StatusCode::NOT_FOUND, message),
        Refusal::Request(message) => text(StatusCode::BAD_REQUEST, message),
        Refusal::Internal => respond::status_text(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

#[cfg(test)]
mod tests;
