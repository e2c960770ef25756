//! Configuration from Docker and Swarm: labels of containers and services. The engine's API is read by a small client
//! of its own, which knows when events begin to come and takes answers apart field by field.

mod address;
mod api;
mod client;
mod container;
mod docker;
mod drain;
mod endpoint;
mod engine;
mod items;
mod piped;
mod publish;
mod resync;
mod signal;
mod specific;
mod swarm;
mod tasks;

use torana_config::install::ProvidersConfig;
use torana_extend::Provider;

/// The providers that the static configuration switches on.
pub fn configured(config: &ProvidersConfig) -> Vec<Box<dyn Provider>> {
    let mut all: Vec<Box<dyn Provider>> = Vec::new();
    if let Some(config) = &config.docker {
        all.push(Box::new(docker::DockerProvider::new(config.clone())));
    }
    if let Some(config) = &config.swarm {
        all.push(Box::new(swarm::SwarmProvider::new(config.clone())));
    }
    all
}
