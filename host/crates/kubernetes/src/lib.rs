//! Configuration from Kubernetes. One provider for each family of objects: `crd` (`kubernetescrd`), `ingress`
//! (`kubernetes`), `gateway` (`kubernetesgateway`), `knative`, `nginx` (`kubernetesingressnginx`).
//!
//! All of them stand on the same ground: [`client`] connects, [`watched`] keeps what is read from the API server,
//! [`cluster`] is the view of it at one moment, [`backends`] finds the servers of a service, [`run`] translates
//! when something has changed, and [`status`] writes back. What they add is a [`run::Translate`]: which kinds to
//! watch, and a pure function from a view to a document.

pub mod backends;
pub mod client;
pub mod cluster;
pub mod crd;
mod follow;
pub mod gateway;
pub mod ingress;
pub mod knative;
mod made;
pub mod nginx;
pub mod run;
mod secrets;
pub mod status;
pub mod tree;
pub mod watched;

use torana_config::install::ProvidersConfig;
use torana_extend::Provider;

/// Names behind `@` in references.
pub const NAMES: [&str; 5] = [crd::NAME, ingress::NAME, gateway::NAME, knative::NAME, nginx::NAME];

/// The providers that the static configuration switches on.
pub fn configured(config: &ProvidersConfig) -> Vec<Box<dyn Provider>> {
    [
        config.kubernetes_crd.as_ref().map(|c| run::provider(c.connection(), crd::Crd::new(c.clone()))),
        config.kubernetes_ingress.as_ref().map(|c| run::provider(c.connection(), ingress::Ingresses::new(c.clone()))),
        config.knative.as_ref().map(|c| run::provider(c.connection(), knative::Knative::new(c.clone(), knative::cluster_domain()))),
    ]
    .into_iter()
    .flatten()
    .collect()
}
