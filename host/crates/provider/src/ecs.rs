//! `providers.ecs`: routing configuration in the labels of containers that Amazon ECS runs.
//!
//! ECS tells of no changes: all is read each `refreshSeconds`. A cluster that cannot be read keeps what it said last.

mod api;
mod aws;
mod ec2;
mod tasks;

use crate::link::{Ended, Link, parsed, refused};
use api::{Task, TaskDefinition};
use aws::{Aws, AwsError};
use futures_util::StreamExt;
use futures_util::stream;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use tasks::{Found, Machine, Made, items};
use torana_config::install::{EcsConfig, ProvidersConfig};
use torana_discovery::{Flavour, Item, Source};
use torana_extend::{Provider, ProviderOut, RejectedObject, ProviderRun, Stopped};

/// Behind `@` in references.
pub const NAME: &str = "ecs";

/// Task definitions that are asked for at the same time.
const AT_ONCE: usize = 8;
/// What instances have for names that are not EC2's own.
const EXTERNAL: &str = "mi-";

/// Reads clusters of ECS.
pub struct EcsProvider {
    config: EcsConfig,
}

/// For the registry.
pub(crate) fn configured(config: &ProvidersConfig) -> Option<Box<dyn Provider>> {
    config.ecs.clone().map(|config| Box::new(EcsProvider { config }) as Box<dyn Provider>)
}

impl Provider for EcsProvider {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, out: ProviderOut) -> ProviderRun<'_> {
        Box::pin(async move { _ = run(self.config.clone(), out).await })
    }
}

async fn run(config: EcsConfig, out: ProviderOut) -> Result<(), Stopped> {
    let (rule, constraints) = match parsed("providers.ecs", &config.default_rule, &config.constraints, Flavour::Label) {
        Ok(parsed) => parsed,
        Err(wrong) => return refused(NAME, &out, wrong).await,
    };
    let mut source = Source::new(NAME, rule);
    source.exposed_by_default = config.exposed_by_default;
    source.constraints = constraints;
    let mut link = Link::new(NAME, out, source);
    let mut account = Account { config, clusters: BTreeMap::new(), definitions: BTreeMap::new() };
    loop {
        let ended = match Aws::new(&account.config).await {
            Ok(aws) => account.follow(aws, &mut link).await,
            Err(error) => Err(Ended::Away(error)),
        };
        link.lost(ended).await?;
    }
}

impl From<AwsError> for Ended {
    fn from(e: AwsError) -> Self {
        Ended::Away(format!("AWS: {e}"))
    }
}

/// What was read last.
struct Account {
    config: EcsConfig,
    clusters: BTreeMap<String, Cluster>,
    /// They never change; by ARN.
    definitions: BTreeMap<String, Arc<TaskDefinition>>,
}

#[derive(Clone, Default)]
struct Cluster {
    tasks: Vec<Task>,
    /// By ARN of the container instance.
    machines: BTreeMap<String, Machine>,
}

impl Account {
    async fn follow(&mut self, mut aws: Aws, link: &mut Link) -> Result<Infallible, Ended> {
        loop {
            aws.refresh().await?;
            let mut rejected = self.read(&aws).await?;
            rejected.extend(self.define(&aws).await?);
            link.up().await?;
            let (items, seen, wrong) = self.items();
            rejected.extend(wrong);
            link.publish(items, seen, rejected).await?;
            tokio::time::sleep(self.config.refresh_seconds.as_duration()).await;
        }
    }

    /// Reads all clusters; returns those that cannot be read.
    async fn read(&mut self, aws: &Aws) -> Result<Vec<RejectedObject>, AwsError> {
        let names = if self.config.auto_discover_clusters { aws.clusters().await? } else { self.config.clusters.clone() };
        let (mut clusters, mut rejected, mut failed) = (BTreeMap::new(), Vec::new(), None);
        for name in &names {
            let cluster = match self.cluster(aws, name).await {
                Ok(cluster) => cluster,
                Err(away @ AwsError::Away(_)) => return Err(away),
                Err(error) => {
                    let reasons = vec![format!("it cannot be read, and stays as it was: {error}")];
                    rejected.push(RejectedObject { name: format!("cluster {name}"), reasons });
                    failed = Some(error);
                    self.clusters.get(name).cloned().unwrap_or_default()
                }
            };
            clusters.insert(name.clone(), cluster);
        }
        match failed {
            Some(error) if rejected.len() == names.len() => return Err(error),
            _ => self.clusters = clusters,
        }
        Ok(rejected)
    }

    async fn cluster(&self, aws: &Aws, name: &str) -> Result<Cluster, AwsError> {
        let mut tasks = aws.tasks(name).await?;
        tasks.retain(|t| !self.config.healthy_tasks_only || t.health_status == "HEALTHY");
        let arns: BTreeSet<&str> = tasks.iter().map(|t| t.container_instance_arn.as_str()).filter(|a| !a.is_empty()).collect();
        let ids = aws.machines(name, &arns.into_iter().collect::<Vec<_>>()).await?;
        let (external, own): (Vec<&str>, Vec<&str>) =
            ids.values().map(String::as_str).filter(|id| !id.is_empty()).partition(|id| id.starts_with(EXTERNAL));
        let mut by_id = BTreeMap::new();
        if !own.is_empty() {
            by_id.extend(aws.instances(&own).await?.into_iter().map(|i| (i.id, Machine { address: i.address, running: i.state == "running" })));
        }
        if self.config.ecs_anywhere && !external.is_empty() {
            by_id.extend(aws.managed(&external).await?.into_iter().map(|(id, address)| (id, Machine { address, running: true })));
        }
        let machines = ids.iter().filter_map(|(arn, id)| Some((arn.clone(), by_id.get(id)?.clone()))).collect();
        Ok(Cluster { tasks, machines })
    }

    /// Reads the task definitions that are new, and forgets those that no task has any more; returns those that
    /// cannot be read.
    async fn define(&mut self, aws: &Aws) -> Result<Vec<RejectedObject>, AwsError> {
        let wanted: BTreeSet<String> = self.clusters.values().flat_map(|c| &c.tasks).map(|t| t.task_definition_arn.clone()).collect();
        self.definitions.retain(|arn, _| wanted.contains(arn));
        let new: Vec<_> = wanted.into_iter().filter(|arn| !self.definitions.contains_key(arn)).collect();
        let asked = new.into_iter().map(|arn| async move {
            let definition = aws.task_definition(&arn).await;
            (arn, definition)
        });
        let answers: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
        let mut rejected = Vec::new();
        for (arn, answer) in answers {
            match answer {
                Ok(definition) => _ = self.definitions.insert(arn, Arc::new(definition)),
                Err(away @ AwsError::Away(_)) => return Err(away),
                Err(error) => {
                    let reasons = vec![format!("its tasks are left out, because it cannot be read: {error}")];
                    rejected.push(RejectedObject { name: format!("task definition {arn}"), reasons });
                }
            }
        }
        Ok(rejected)
    }

    fn items(&self) -> (Vec<Item>, usize, Vec<RejectedObject>) {
        let (mut all, mut rejected, mut seen) = (Vec::new(), Vec::new(), 0);
        for (name, cluster) in &self.clusters {
            let found = Found {
                cluster: name,
                definition: &|arn| self.definitions.get(arn).cloned(),
                machine: &|arn| cluster.machines.get(arn).cloned(),
            };
            for made in cluster.tasks.iter().flat_map(|t| items(&found, t)) {
                seen += 1;
                match made {
                    Made::Item(item) => all.push(*item),
                    Made::NotNow => {}
                    Made::Rejected(wrong) => rejected.push(wrong),
                }
            }
        }
        (all, seen, rejected)
    }
}
