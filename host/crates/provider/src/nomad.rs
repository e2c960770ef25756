//! `providers.nomad`: routing configuration in the tags of services that Nomad itself keeps.
//!
//! With `watch` Nomad's events tell that services have changed; then all is read again. A service that cannot be read
//! keeps what it said last.

mod api;

use crate::link::{Ended, Link, each_namespace, or_after, parsed, pause_after, refused};
use crate::tags::{Instance, Tagged, item, may_be_exposed};
use crate::web::WebError;
use api::{Api, Registration, Sleeping};
use futures_util::stream;
use futures_util::{FutureExt, StreamExt};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use torana_config::install::{NomadConfig, ProvidersConfig};
use torana_discovery::{Flavour, Item, ItemState, Source};
use torana_extend::{Provider, ProviderOut, RejectedObject, ProviderRun, Stopped};

/// Behind `@` in references.
pub const NAME: &str = "nomad";

/// Services and jobs that are asked for at the same time.
const AT_ONCE: usize = 16;
/// From one read to the next, at least, when Nomad tells of changes.
const SETTLE: Duration = Duration::from_millis(50);

/// Reads the services of one namespace.
pub struct NomadProvider {
    name: &'static str,
    namespace: String,
    config: NomadConfig,
}

/// For the registry: one for each namespace.
pub(crate) fn configured(config: &ProvidersConfig) -> Vec<Box<dyn Provider>> {
    let Some(config) = &config.nomad else { return Vec::new() };
    each_namespace(NAME, &config.namespaces, |name, namespace| NomadProvider { name, namespace: namespace.to_owned(), config: config.clone() })
}

impl Provider for NomadProvider {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, out: ProviderOut) -> ProviderRun<'_> {
        Box::pin(async move { _ = run(self, out).await })
    }
}

async fn run(provider: &NomadProvider, out: ProviderOut) -> Result<(), Stopped> {
    let NomadProvider { name, namespace, config } = provider;
    let name = *name;
    let (rule, constraints) = match parsed("providers.nomad", &config.default_rule, &config.constraints, Flavour::Tag) {
        Ok(parsed) => parsed,
        Err(wrong) => return refused(name, &out, wrong).await,
    };
    let mut source = Source::new(name, rule);
    source.prefix = config.prefix.clone();
    source.exposed_by_default = config.exposed_by_default;
    source.allow_empty_services = config.allow_empty_services;
    source.constraints = constraints;
    source.tags = true;
    let mut link = Link::new(name, out, source).at_own_pace();
    let mut services = Services { config: config.clone(), known: BTreeMap::new() };
    loop {
        let ended = match Api::new(&services.config, namespace).await {
            Ok(api) => services.follow(Arc::new(api), &mut link).await,
            Err(error) => Err(Ended::Away(error)),
        };
        link.lost(ended).await?;
    }
}

fn told(e: WebError) -> Ended {
    Ended::Away(match e {
        WebError::Status(status, words) if status == 403 => {
            format!("Nomad refuses: {words}; `endpoint.token` needs the capability `read-job` in its namespace")
        }
        e => format!("Nomad: {e}"),
    })
}

/// What was read last.
struct Services {
    config: NomadConfig,
    known: BTreeMap<String, Vec<Registration>>,
}

/// One read.
#[derive(Default)]
struct Read {
    asleep: Vec<Sleeping>,
    rejected: Vec<RejectedObject>,
}

impl Services {
    async fn follow(&mut self, api: Arc<Api>, link: &mut Link) -> Result<Infallible, Ended> {
        // Opened before the first read, so that nothing falls between.
        let mut events = if self.config.watch { Some(api.events().await.map_err(told)?) } else { None };
        let least = self.config.throttle_duration.as_duration().max(SETTLE);
        loop {
            let began = Instant::now();
            let read = self.read(&api).await.map_err(told)?;
            link.up().await?;
            let (items, seen, wrong) = self.items(read);
            link.publish(items, seen, wrong).await?;
            match &mut events {
                None => tokio::time::sleep(self.config.refresh_interval.as_duration()).await,
                Some(events) => {
                    let pause = pause_after(began.elapsed(), least);
                    // A server that may be behind can have answered with what was before the change.
                    let every = self.config.stale.then(|| self.config.refresh_interval.as_duration());
                    or_after(every, events.next()).await.map_err(told)?;
                    tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
                    // What has come meanwhile is in the next read.
                    while let Some(next) = events.next().now_or_never() {
                        next.map_err(told)?;
                    }
                }
            }
        }
    }

    /// Reads all services that may be of interest; returns those that cannot be read.
    async fn read(&mut self, api: &Arc<Api>) -> Result<Read, WebError> {
        let (prefix, by_default) = (&self.config.prefix, self.config.exposed_by_default);
        let wanted = api.services().await?.into_iter().filter(|s| may_be_exposed(&s.tags, prefix, by_default));
        let asked: Vec<_> = wanted
            .map(|stub| {
                let api = api.clone();
                async move {
                    let instances = api.instances(&stub.service_name).await;
                    (stub.service_name, instances)
                }
            })
            .collect();
        let answers: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        let (mut known, mut read, mut failed) = (BTreeMap::new(), Read::default(), None);
        let all = answers.len();
        for (name, answer) in answers {
            let instances = match answer {
                Ok(instances) => instances,
                Err(away @ WebError::Away(_)) => return Err(away),
                Err(error) => {
                    let reasons = vec![format!("it cannot be read, and stays as it was: {error}")];
                    read.rejected.push(RejectedObject { name: format!("service {name}"), reasons });
                    failed = Some(error);
                    self.known.get(&name).cloned().unwrap_or_default()
                }
            };
            known.insert(name, instances);
        }
        match failed {
            Some(error) if read.rejected.len() == all => return Err(error),
            _ => self.known = known,
        }
        if self.config.allow_empty_services {
            self.asleep(api, &mut read).await?;
        }
        Ok(read)
    }

    /// Services of jobs that are scaled to zero: Nomad knows no instance of them.
    async fn asleep(&self, api: &Arc<Api>, read: &mut Read) -> Result<(), WebError> {
        let asked: Vec<_> = api
            .jobs()
            .await?
            .into_iter()
            .map(|job| {
                let api = api.clone();
                async move {
                    let asleep = api.sleeping(&job).await;
                    (job, asleep)
                }
            })
            .collect();
        let answers: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        for (job, answer) in answers {
            match answer {
                Ok(asleep) => read.asleep.extend(asleep),
                Err(away @ WebError::Away(_)) => return Err(away),
                Err(error) => {
                    let reasons = vec![format!("it cannot be read, and its services at zero are left out: {error}")];
                    read.rejected.push(RejectedObject { name: format!("job {job}"), reasons });
                }
            }
        }
        Ok(())
    }

    fn items(&self, read: Read) -> (Vec<Item>, usize, Vec<RejectedObject>) {
        let (mut items, mut rejected) = (Vec::new(), read.rejected);
        let prefix = &self.config.prefix;
        let mut seen = read.asleep.len();
        let mut add = |made: Result<Item, RejectedObject>, state| match made {
            Ok(item) => items.push(Item { state, ..item }),
            Err(wrong) => rejected.push(wrong),
        };
        for r in self.known.values().flatten() {
            seen += 1;
            let node = r.node_id.split('-').next().unwrap_or_default();
            let instance = Instance {
                origin: format!("service {}, instance {} on {node}", r.service_name, r.id),
                service: &r.service_name,
                tags: &r.tags,
                address: &r.address,
                port: r.port,
            };
            add(item(instance, &Tagged::new(&r.tags, prefix), prefix, NAME), ItemState::Up);
        }
        for s in &read.asleep {
            let origin = format!("service {}, asleep in job {}, group {}", s.service, s.job, s.group);
            let instance = Instance { origin, service: &s.service, tags: &s.tags, address: "", port: 0 };
            add(item(instance, &Tagged::new(&s.tags, prefix), prefix, NAME), ItemState::Empty);
        }
        (items, seen, rejected)
    }
}
