//! Consul's service mesh: who the gateway is in it, and how services in it are reached.

use super::moved;
use super::agent::{Agent, Leaf, Roots};
use crate::web::WebError;
use std::future::pending;
use std::sync::Arc;
use torana_base::{Secret, normalize};
use torana_config::routing::{CertificateConfig, ServersTransportConfig};

/// Certificates as of now, and the indexes by which their changes are seen.
pub(super) struct Mesh {
    /// Name of the gateway's own service.
    service: String,
    leaf: (Leaf, u64),
    roots: (Roots, u64),
}

impl Mesh {
    pub(super) async fn join(agent: &Agent, service: &str) -> Result<Mesh, WebError> {
        Ok(Mesh { service: service.to_owned(), leaf: agent.leaf(service, 0).await?, roots: agent.roots(0).await? })
    }

    /// Returns when a certificate is another one.
    async fn renewed(&mut self, agent: &Agent) -> Result<(), WebError> {
        tokio::select! {
            leaf = moved(self.leaf.1, |known| agent.leaf(&self.service, known)) => self.leaf = leaf?,
            roots = moved(self.roots.1, |known| agent.roots(known)) => self.roots = roots?,
        }
        Ok(())
    }

    /// How instances of a service are reached: over TLS with the gateway's own certificate, and theirs must name
    /// the service.
    pub(super) fn transport(&self, namespace: &str, datacenter: &str, service: &str) -> (String, Arc<ServersTransportConfig>) {
        let namespace = if namespace.is_empty() { "default" } else { namespace };
        let uri = format!("spiffe://{}/ns/{namespace}/dc/{datacenter}/svc/{service}", self.roots.0.trust_domain);
        let leaf = &self.leaf.0;
        let certificate = CertificateConfig { cert_file: leaf.cert.clone(), key_file: Secret::new(leaf.key.expose()) };
        let transport = ServersTransportConfig {
            root_cas: self.roots.0.roots.iter().map(|r| r.root_cert.clone()).collect(),
            certificates: vec![certificate],
            // Certificates of the mesh name no hosts; chain and URI are verified all the same.
            insecure_skip_verify: true,
            peer_cert_uri: uri,
            ..ServersTransportConfig::default()
        };
        (normalize(&format!("tls-{namespace}-{datacenter}-{service}")), Arc::new(transport))
    }
}

/// [`Mesh::renewed`], or never where the gateway is in no mesh.
pub(super) async fn renewed(mesh: &mut Option<Mesh>, agent: &Agent) -> Result<(), WebError> {
    match mesh {
        Some(mesh) => mesh.renewed(agent).await,
        None => pending().await,
    }
}
