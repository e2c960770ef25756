//! Whether a record is seen everywhere that counts, before the CA looks.

use super::super::AcmeError;
use super::ask::{PATIENCE, Resolvers, ask};
use super::wire::{self, Value};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use torana_config::install::PropagationConfig;

/// Looks until the record is there, for `patience`, with `pause` between two looks.
pub(crate) async fn wait(
    resolvers: &Resolvers,
    checks: &PropagationConfig,
    fqdn: &str,
    value: &str,
    patience: Duration,
    pause: Duration,
) -> Result<(), AcmeError> {
    let deadline = Instant::now() + patience;
    loop {
        match seen(resolvers, checks, fqdn, value).await {
            Ok(()) => return Ok(()),
            Err(why) if Instant::now() + pause > deadline => {
                return Err(AcmeError::local(format!(
                    "the record {fqdn} was not seen within {patience:?}: {why} (dnsChallenge.propagation changes what is checked)"
                )));
            }
            Err(why) => tracing::trace!(fqdn, why, "not there yet"),
        }
        sleep(pause).await;
    }
}

async fn seen(resolvers: &Resolvers, checks: &PropagationConfig, fqdn: &str, value: &str) -> Result<(), String> {
    if checks.require_all_rns {
        for server in &resolvers.servers {
            at(server, fqdn, value, true).await?;
        }
    }
    if checks.disable_ans_checks {
        return Ok(());
    }
    let zone = resolvers.zone(fqdn).await?;
    let answer = resolvers.ask(&zone, wire::NS).await?;
    let mut names: Vec<&String> = Vec::new();
    for record in answer.answers.iter().filter(|r| r.kind == wire::NS) {
        if let Value::Name(name) = &record.value {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err(format!("the zone {zone} has no servers"));
    }
    for name in names {
        let mut addresses = Vec::new();
        for kind in [wire::A, wire::AAAA] {
            let answer = resolvers.ask(name, kind).await?;
            addresses.extend(answer.answers.iter().filter_map(|r| if let Value::Ip(ip) = r.value { Some(ip) } else { None }));
        }
        // one address for each server: the others are ways to the same one
        let Some(ip) = addresses.first() else { return Err(format!("the server {name} of the zone has no address")) };
        at(&std::net::SocketAddr::new(*ip, resolvers.port).to_string(), fqdn, value, false).await.map_err(|e| format!("{name} {e}"))?;
    }
    Ok(())
}

async fn at(server: &str, fqdn: &str, value: &str, recursion: bool) -> Result<(), String> {
    let answer = ask(server, fqdn, wire::TXT, recursion, PATIENCE).await.map_err(|e| format!("({server}): {e}"))?;
    let texts = answer.answers.iter().filter_map(|r| if let Value::Text(t) = &r.value { Some(t.as_slice()) } else { None });
    let texts: Vec<_> = texts.collect();
    if texts.contains(&value.as_bytes()) {
        return Ok(());
    }
    Err(match (answer.code, texts.len()) {
        (0, 0) => format!("({server}) has no such record"),
        (0, n) => format!("({server}) has {n} such records, but not ours"),
        (code, _) => format!("({server}) says {}", wire::code_name(code)),
    })
}
