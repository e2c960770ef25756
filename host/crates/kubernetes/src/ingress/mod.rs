use crate::cluster::Cluster;
use crate::run::{Translate, Translated};
use crate::tree::Tree;
use crate::watched::Wanted;
use torana_config::install::KubernetesIngressConfig;

/// Behind `@` in references.
pub const NAME: &str = "kubernetes";

pub struct Ingresses {
    config: KubernetesIngressConfig,
}

impl Ingresses {
    pub fn new(config: KubernetesIngressConfig) -> Self {
        Ingresses { config }
    }
}

impl Translate for Ingresses {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wanted(&self) -> Vec<Wanted> {
        let _ = &self.config;
        vec![Wanted::Services, Wanted::EndpointSlices, Wanted::Secrets]
    }

    fn translate(&mut self, _: &Cluster) -> Translated {
        Translated { document: Tree::default().finish(NAME), statuses: Vec::new() }
    }
}
