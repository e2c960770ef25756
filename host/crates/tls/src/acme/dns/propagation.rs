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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::{Arc, Mutex};
    use tokio::net::UdpSocket;

    /// One server that is resolver and server of the zone `test.` at once; the texts of every name are `texts`.
    async fn server(texts: Arc<Mutex<Vec<String>>>) -> (u16, Arc<Mutex<Vec<String>>>) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut room = [0; 512];
            loop {
                let (len, from) = socket.recv_from(&mut room).await.unwrap();
                let mut answer = room[..len].to_vec();
                let kind = u16::from_be_bytes([answer[len - 4], answer[len - 3]]);
                let labels = answer[12..len - 5].iter().filter(|b| **b < 32).count();
                let recursion = answer[2] & 1 == 1;
                seen.lock().unwrap().push(format!("{kind} {recursion}"));
                answer[2] |= 0x84;
                let mut put = |data: &[u8]| {
                    answer.extend([0xc0, 12]);
                    answer.extend(kind.to_be_bytes());
                    answer.extend([0, 1, 0, 0, 0, 1]);
                    answer.extend((data.len() as u16).to_be_bytes());
                    answer.extend(data);
                    answer[7] += 1;
                };
                match kind {
                    // the zone has one label
                    wire::SOA if labels == 1 => put(&[0; 22]),
                    wire::NS => put(&[2, b'n', b's', 4, b't', b'e', b's', b't', 0]),
                    wire::A => put(&[127, 0, 0, 1]),
                    wire::TXT => {
                        for text in texts.lock().unwrap().iter() {
                            put(&[&[text.len() as u8], text.as_bytes()].concat());
                        }
                    }
                    _ => {}
                }
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        (port, asked)
    }

    #[tokio::test]
    async fn the_zones_own_servers_are_asked() {
        let texts = Arc::new(Mutex::new(vec!["other".to_owned()]));
        let (port, asked) = server(Arc::clone(&texts)).await;
        let resolvers = Resolvers { servers: vec![format!("127.0.0.1:{port}")], port };
        let look = |checks: PropagationConfig, patience| {
            let resolvers = &resolvers;
            async move {
                let (patience, pause) = (Duration::from_millis(patience), Duration::from_millis(20));
                wait(resolvers, &checks, "_acme-challenge.a.test.", "mine", patience, pause).await.map_err(|e| e.to_string())
            }
        };
        let said = look(PropagationConfig::default(), 100).await.unwrap_err();
        assert!(said.contains("ns.test. (127.0.0.1:") && said.contains("has 1 such records, but not ours"), "{said}");
        // without recursion
        assert!(asked.lock().unwrap().contains(&format!("{} false", wire::TXT)));
        let both = PropagationConfig { require_all_rns: true, disable_ans_checks: true, ..PropagationConfig::default() };
        assert!(look(both, 50).await.is_err());
        assert!(asked.lock().unwrap().contains(&format!("{} true", wire::TXT)));
        let none = PropagationConfig { disable_ans_checks: true, ..PropagationConfig::default() };
        assert_eq!(look(none, 0).await, Ok(()));
        let later = Arc::clone(&texts);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            later.lock().unwrap().push("mine".to_owned());
        });
        assert_eq!(look(PropagationConfig::default(), 5000).await, Ok(()));
    }
}
