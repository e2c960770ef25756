//! From options to a resolver.

use super::super::account::Accounts;
use super::super::cluster::Answers;
use super::super::http::HttpClient;
use super::super::keys::CertificateKey;
use super::super::options::{http_options, solver};
use super::super::order::{Solver, Wishes};
use super::super::plan::Own;
use super::super::shared::RedisStorage;
use super::super::storage::{Storage, Stored};
use super::super::{AcmeError, OnDemand, pem, shared_consul, shared_etcd};
use super::{AcmeResolver, AcmeShared};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use torana_base::Diagnostic;
use torana_config::install::AcmeConfig;

impl AcmeResolver {
    /// Reads the storage and checks the options; an error leaves the resolver out, as in Traefik. Blocks a little.
    pub fn open(name: &str, config: &AcmeConfig, shared: AcmeShared) -> Result<Arc<AcmeResolver>, AcmeError> {
        if let Some((_, message, _)) = config.wrong() {
            return Err(AcmeError::lasting(message));
        }
        let (storage, stored) = open_storage(name, config, &shared)?;
        for what in &stored.unreadable {
            tracing::error!(resolver = name, storage = config.storage, "{what} cannot be read; it is left in the file and not used");
        }
        let key = CertificateKey::parse(&config.key_type).unwrap_or_else(|| {
            tracing::info!(resolver = name, "Unable to determine the key type value \"{}\": falling back on RSA4096.", config.key_type);
            CertificateKey::Rsa(aws_lc_rs::rsa::KeySize::Rsa4096)
        });
        let solver = solver(config, &shared);
        if let Err(e) = &solver {
            tracing::error!(resolver = name, error = %e, "the resolver cannot prove names");
        }
        let own: Vec<Own> = stored
            .certificates
            .into_iter()
            .filter_map(|stored| pem::facts(&stored.chain, &stored.key).ok().map(|facts| Own::new(stored, facts)))
            .collect();
        let http = HttpClient::new(http_options(config, &shared.env)?)?;
        let name: Arc<str> = name.into();
        let accounts = Accounts::new(Arc::clone(&name), config, http, Arc::clone(&storage), stored.account);
        let on_demand = config.on_demand.as_ref().map(|o| OnDemand::new(o, &shared.env).map(Arc::new)).transpose()?;
        let resolver = AcmeResolver {
            name,
            solver,
            wishes: Wishes {
                key,
                profile: config.profile.clone(),
                preferred_chain: config.preferred_chain.clone(),
                emails: config.email_addresses.clone(),
                common_name: !config.disable_common_name,
                timeout: config.certificate_timeout.as_duration(),
            },
            config: config.clone(),
            answers: Answers { challenges: Arc::clone(&shared.challenges), storage },
            shared,
            accounts,
            on_demand,
            own: Mutex::new(own),
            certificates: watch::Sender::default(),
            status: watch::Sender::default(),
            #[cfg(test)]
            plans: Default::default(),
        };
        resolver.publish();
        Ok(Arc::new(resolver))
    }

    /// What [`AcmeResolver::open`] would say, and what would keep it from ordering, without making a file, writing
    /// or connecting: for `torana check`, when plugins have been loaded.
    pub fn check(name: &str, config: &AcmeConfig, shared: &AcmeShared) -> Vec<Diagnostic> {
        let key = format!("certificatesResolvers.{name}.acme");
        match checked(name, config, shared) {
            Ok(Solver::Dns(dns)) => dns.check(&format!("{key}.dnsChallenge")),
            Ok(Solver::Http { .. } | Solver::Alpn { .. }) => Vec::new(),
            Err(e) => vec![Diagnostic::error(key, e.to_string())],
        }
    }
}

fn checked(name: &str, config: &AcmeConfig, shared: &AcmeShared) -> Result<Solver, AcmeError> {
    if let Some((_, message, _)) = config.wrong() {
        return Err(AcmeError::lasting(message));
    }
    match open_cluster(config)? {
        Some(_) => {}
        None if std::fs::symlink_metadata(&config.storage).is_ok() => drop(shared.files.open(&config.storage)?.load(name)?),
        None => {}
    }
    HttpClient::new(http_options(config, &shared.env)?)?;
    config.on_demand.as_ref().map(|o| OnDemand::new(o, &shared.env)).transpose()?;
    solver(config, shared)
}

/// The place that several gateways share, if there is one. Does not connect.
pub fn open_cluster(config: &AcmeConfig) -> Result<Option<Arc<dyn Storage>>, AcmeError> {
    let Some(cluster) = &config.cluster else { return Ok(None) };
    Ok(match (&cluster.redis, &cluster.etcd, &cluster.consul) {
        (Some(redis), ..) => Some(Arc::new(RedisStorage::new(redis)?)),
        (_, Some(etcd), _) => Some(Arc::new(shared_etcd::open(etcd)?)),
        (_, _, Some(consul)) => Some(Arc::new(shared_consul::open(consul)?)),
        (None, None, None) => None,
    })
}

/// The place of a resolver's account and certificates, and what is there. A shared place takes over what the file
/// has when it is empty itself; it need not answer yet.
fn open_storage(name: &str, config: &AcmeConfig, shared: &AcmeShared) -> Result<(Arc<dyn Storage>, Stored), AcmeError> {
    let Some(storage) = open_cluster(config)? else {
        let storage = shared.files.open(&config.storage)?;
        let stored = storage.load(name)?;
        return Ok((Arc::new(storage), stored));
    };
    let stored = match storage.load(name) {
        Ok(stored) => stored,
        Err(e) => {
            tracing::error!(resolver = name, error = %e, "the shared storage cannot be read yet");
            return Ok((storage, Stored::default()));
        }
    };
    if stored.account.is_some() || !stored.certificates.is_empty() || !std::path::Path::new(&config.storage).exists() {
        return Ok((storage, stored));
    }
    let file = shared.files.open(&config.storage)?.load(name)?;
    if let Some(account) = &file.account {
        storage.put_account(name, account, "")?;
    }
    for certificate in &file.certificates {
        storage.put_certificate(name, certificate)?;
    }
    tracing::info!(
        resolver = name,
        file = config.storage,
        certificates = file.certificates.len(),
        "the shared storage begins with what the file has"
    );
    Ok((storage, file))
}
