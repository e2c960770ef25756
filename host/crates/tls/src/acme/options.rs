//! What the options of a resolver come to.

use super::AcmeError;
use super::dns::DnsSolver;
use super::http::HttpOptions;
use super::order::Solver;
use super::resolver::{AcmeShared, Env};
use torana_config::install::AcmeConfig;

/// DNS before HTTP before TLS, as Traefik chooses.
pub(super) fn solver(config: &AcmeConfig, shared: &AcmeShared) -> Result<Solver, AcmeError> {
    if let Some(dns) = config.dns_challenge.as_ref().filter(|d| !d.provider.is_empty()) {
        return DnsSolver::new(dns, shared).map(Solver::Dns);
    }
    if let Some(http) = config.http_challenge.as_ref().filter(|h| !h.entry_point.is_empty()) {
        return Ok(Solver::Http { delay: http.delay.as_duration() });
    }
    match &config.tls_challenge {
        Some(tls) => Ok(Solver::Alpn { delay: tls.delay.as_duration() }),
        None => Err(AcmeError::lasting("ACME challenge not specified, please select TLS or HTTP or DNS Challenge")),
    }
}

/// With what the environment says, as in Traefik.
pub(super) fn http_options(config: &AcmeConfig, env: &Env) -> Result<HttpOptions, AcmeError> {
    let var = |name: &str| env(name).filter(|v| !v.is_empty());
    let mut options = HttpOptions {
        authorities: config.ca_certificates.clone(),
        system: config.ca_system_cert_pool,
        server_name: config.ca_server_name.clone(),
        timeout: config.client_timeout.as_duration(),
        header_timeout: config.client_response_header_timeout.as_duration(),
        ..HttpOptions::default()
    };
    if options.authorities.is_empty()
        && let Some(list) = var("LEGO_CA_CERTIFICATES")
    {
        options.authorities = list.split(':').filter(|p| !p.is_empty()).map(str::to_owned).collect();
        options.system |= var("LEGO_CA_SYSTEM_CERT_POOL").is_some_and(|v| matches!(v.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True"));
    }
    if options.server_name.is_empty() {
        options.server_name = var("LEGO_CA_SERVER_NAME").unwrap_or_default();
    }
    options.with_proxy(&|name| env(name))
}
