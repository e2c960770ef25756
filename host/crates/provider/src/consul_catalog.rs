//! `providers.consulCatalog`: routing configuration in the tags of services that are registered with Consul.
//!
//! With `watch` two blocking queries tell that services or checks have changed; then all is read again, at once, but
//! no more than half of the time is spent reading. A service that cannot be read keeps what it said last.

mod agent;
mod mesh;

use crate::link::{Ended, Link, each_namespace, or_after, parsed, pause_after, refused};
use crate::tags::{Instance, Tagged, item, may_be_exposed};
use crate::web::WebError;
use agent::{Agent, Entry};
use mesh::{Mesh, renewed};
use futures_util::StreamExt;
use futures_util::stream;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use torana_config::install::{ConsulCatalogConfig, ProvidersConfig};
use torana_config::labels::OWN_PREFIX;
use torana_discovery::{Flavour, Item, Source};
use torana_extend::{Provider, ProviderOut, RejectedObject, ProviderRun, Stopped};

/// Behind `@` in references.
pub const NAME: &str = "consulcatalog";

/// The setting of a service that wants the mesh, behind the prefix.
const CONNECT: &str = "consulcatalog.connect";
/// Services that are asked for at the same time.
const AT_ONCE: usize = 16;
/// Between two questions for changes when nothing has changed, at least.
const IDLE: Duration = Duration::from_secs(1);
/// From one read to the next, at least, when Consul tells of changes.
const SETTLE: Duration = Duration::from_millis(50);

/// Reads the catalogue of one namespace.
pub struct ConsulCatalogProvider {
    name: &'static str,
    namespace: String,
    config: ConsulCatalogConfig,
}

/// For the registry: one for each namespace.
pub(crate) fn configured(config: &ProvidersConfig) -> Vec<Box<dyn Provider>> {
    let Some(config) = &config.consul_catalog else { return Vec::new() };
    each_namespace(NAME, &config.namespaces, |name, namespace| ConsulCatalogProvider { name, namespace: namespace.to_owned(), config: config.clone() })
}

impl Provider for ConsulCatalogProvider {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, out: ProviderOut) -> ProviderRun<'_> {
        Box::pin(async move { _ = run(self, out).await })
    }
}

async fn run(provider: &ConsulCatalogProvider, out: ProviderOut) -> Result<(), Stopped> {
    let ConsulCatalogProvider { name, namespace, config } = provider;
    let name = *name;
    let (rule, constraints) = match parsed("providers.consulCatalog", &config.default_rule, &config.constraints, Flavour::Tag) {
        Ok(parsed) => parsed,
        Err(wrong) => return refused(name, &out, wrong).await,
    };
    let mut source = Source::new(name, rule);
    source.prefix = config.prefix.clone();
    source.exposed_by_default = config.exposed_by_default;
    source.constraints = constraints;
    source.tags = true;
    let mut link = Link::new(name, out, source);
    let mut catalogue = Catalogue { config: config.clone(), known: BTreeMap::new(), mesh: None };
    loop {
        let ended = match Agent::new(&catalogue.config, namespace).await {
            Ok(agent) => catalogue.follow(Arc::new(agent), &mut link).await,
            Err(error) => Err(Ended::Away(error)),
        };
        link.lost(ended).await?;
    }
}

fn told(e: WebError) -> Ended {
    Ended::Away(match e {
        WebError::Status(status, words) if status == 403 => format!("Consul refuses: {words}; `endpoint.token` needs `service:read` and `node:read`"),
        e => format!("Consul: {e}"),
    })
}

/// What was read last.
struct Catalogue {
    config: ConsulCatalogConfig,
    known: BTreeMap<String, Vec<Entry>>,
    mesh: Option<Mesh>,
}

impl Catalogue {
    async fn follow(&mut self, agent: Arc<Agent>, link: &mut Link) -> Result<std::convert::Infallible, Ended> {
        // Asked before the first read, so that nothing falls between.
        self.mesh = if self.config.connect_aware { Some(Mesh::join(&agent, &self.config.service_name).await.map_err(told)?) } else { None };
        let mut eyes = if self.config.watch { Some(Eyes::open(&agent).await.map_err(told)?) } else { None };
        let every = self.config.refresh_interval.as_duration();
        loop {
            let began = Instant::now();
            let rejected = self.read(&agent).await.map_err(told)?;
            link.up().await?;
            let (items, mut wrong) = self.items();
            wrong.extend(rejected);
            let seen = self.known.values().map(Vec::len).sum();
            link.publish(items, seen, wrong).await?;
            let pause = pause_after(began.elapsed(), SETTLE);
            // A server that may be behind can have answered with what was before the change.
            let behind = self.config.stale || self.config.cache;
            let change = async {
                match &mut eyes {
                    Some(eyes) => or_after(behind.then_some(every), eyes.change(&agent)).await,
                    None => {
                        tokio::time::sleep(every).await;
                        Ok(())
                    }
                }
            };
            tokio::select! {
                changed = change => changed.map_err(told)?,
                renewed = renewed(&mut self.mesh, &agent) => renewed.map_err(told)?,
            }
            tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
        }
    }

    /// Reads all services that may be of interest; returns those that cannot be read.
    async fn read(&mut self, agent: &Arc<Agent>) -> Result<Vec<RejectedObject>, WebError> {
        let services = agent.services().await?;
        let wanted = services.into_iter().filter(|(_, tags)| may_be_exposed(tags, &self.config.prefix, self.config.exposed_by_default));
        let asked: Vec<_> = wanted
            .map(|(name, tags)| {
                let wants_mesh = self.meshed(&Tagged::new(&tags, &self.config.prefix)).unwrap_or(false);
                let (agent, mesh) = (agent.clone(), wants_mesh && self.mesh.is_some());
                async move {
                    let instances = agent.instances(&name, mesh).await;
                    (name, instances)
                }
            })
            .collect();
        let answers: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        let (mut known, mut rejected, mut failed) = (BTreeMap::new(), Vec::new(), None);
        let all = answers.len();
        for (name, answer) in answers {
            let entries = match answer {
                Ok(entries) => entries,
                Err(away @ WebError::Away(_)) => return Err(away),
                Err(error) => {
                    let reasons = vec![format!("it cannot be read, and stays as it was: {error}")];
                    rejected.push(RejectedObject { name: format!("service {name}"), reasons });
                    failed = Some(error);
                    self.known.get(&name).cloned().unwrap_or_default()
                }
            };
            known.insert(name, entries);
        }
        match failed {
            Some(error) if rejected.len() == all => return Err(error),
            _ => self.known = known,
        }
        Ok(rejected)
    }

    fn items(&self) -> (Vec<Item>, Vec<RejectedObject>) {
        let (mut items, mut rejected) = (Vec::new(), Vec::new());
        for (service, entries) in &self.known {
            for entry in entries {
                match self.item(service, entry) {
                    None => {}
                    Some(Ok(item)) => items.push(item),
                    Some(Err(wrong)) => rejected.push(wrong),
                }
            }
        }
        (items, rejected)
    }

    /// `None` for an instance that is not to be served.
    fn item(&self, service: &str, entry: &Entry) -> Option<Result<Item, RejectedObject>> {
        let state = entry.state();
        if !self.config.strict_checks.iter().any(|s| s == "any" || s == state) {
            return None;
        }
        let prefix = &self.config.prefix;
        let tags = &entry.service.tags;
        let tagged = Tagged::new(tags, prefix);
        let origin = format!("service {service}, instance {} on {}", entry.service.id, entry.node.node);
        let rejected = |reason: String| Some(Err(RejectedObject { name: origin.clone(), reasons: vec![reason] }));
        let transport = match (self.meshed(&tagged), &self.mesh) {
            (Err(reason), _) => return rejected(reason),
            (Ok(false), _) => None,
            (Ok(true), None) => {
                let reason = "it wants to be reached through the service mesh; set `connectAware`, or remove the tag";
                return rejected(format!("`{prefix}.{CONNECT}`: {reason}"));
            }
            (Ok(true), Some(_)) if tagged.labels.keys().any(|k| below(k, prefix, "tcp") || below(k, prefix, "udp")) => {
                return rejected("TCP and UDP through the service mesh are not built; use HTTP, or reach it directly".into());
            }
            (Ok(true), Some(mesh)) => Some(mesh.transport(&entry.service.namespace, &entry.node.datacenter, service)),
        };
        let instance = Instance { origin, service, tags, address: entry.address(), port: entry.service.port };
        Some(item(instance, &tagged, prefix, "consulcatalog").map(|item| Item { transport, ..item }))
    }

    /// Whether what has these tags is reached through the mesh.
    fn meshed(&self, tagged: &Tagged) -> Result<bool, String> {
        // Where there is no mesh the default is of no interest.
        let by_default = self.config.connect_by_default && self.config.connect_aware;
        Ok(tagged.flag(&self.config.prefix, CONNECT)?.unwrap_or(by_default))
    }
}

/// Whether a key is one of `http`, `tcp` or `udp`.
fn below(key: &str, prefix: &str, part: &str) -> bool {
    let rest = key.strip_prefix(prefix).or_else(|| key.strip_prefix(OWN_PREFIX));
    rest.and_then(|r| r.strip_prefix('.')?.split_once('.')).is_some_and(|(p, _)| p.eq_ignore_ascii_case(part))
}

/// What Consul is asked to tell the change of.
struct Eyes {
    services: u64,
    checks: u64,
}

impl Eyes {
    async fn open(agent: &Agent) -> Result<Eyes, WebError> {
        Ok(Eyes { services: agent.services_index(0).await?.1, checks: agent.checks_index(0).await?.1 })
    }

    /// Returns when something may have changed.
    async fn change(&mut self, agent: &Agent) -> Result<(), WebError> {
        tokio::select! {
            index = moved(self.services, |known| agent.services_index(known)) => self.services = index?.1,
            index = moved(self.checks, |known| agent.checks_index(known)) => self.checks = index?.1,
        }
        Ok(())
    }
}

/// Asks until the index is another one: a higher one, or a lower one where Consul was restored or has begun anew.
/// Something in between that does not wait for changes, as a proxy may, is not asked without a pause.
async fn moved<T, F: Future<Output = Result<(T, u64), WebError>>>(known: u64, ask: impl Fn(u64) -> F) -> Result<(T, u64), WebError> {
    loop {
        let begin = tokio::time::Instant::now();
        let (found, index) = ask(known).await?;
        if index != known {
            return Ok((found, index));
        }
        tokio::time::sleep_until(begin + IDLE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_wait_is_asked_once_a_second() {
        let asked = Cell::new(0);
        let ask = |known| {
            asked.set(asked.get() + 1);
            assert_eq!(known, 7);
            let index = if asked.get() == 10 { 3 } else { 7 };
            async move { Ok(((), index)) }
        };
        let begin = tokio::time::Instant::now();
        assert_eq!(moved(7, ask).await.unwrap().1, 3);
        assert_eq!(begin.elapsed(), IDLE * 9);
    }
}
