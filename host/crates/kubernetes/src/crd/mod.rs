use crate::cluster::Cluster;
use crate::run::{Translate, Translated};
use crate::tree::Tree;
use crate::watched::Wanted;
use torana_config::install::KubernetesCrdConfig;

/// Behind `@` in references.
pub const NAME: &str = "kubernetescrd";

pub struct Crd {
    config: KubernetesCrdConfig,
}

impl Crd {
    pub fn new(config: KubernetesCrdConfig) -> Self {
        Crd { config }
    }
}

impl Translate for Crd {
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
