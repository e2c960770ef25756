//! Health checks of TCP servers (Traefik `tcp.services.<name>.loadBalancer.healthCheck`).

use super::TcpServer;
use super::tcp::TcpLoadBalancer;
use std::sync::Weak;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A connection is opened; then, if they are not empty, `send` is sent and `expect` must come.
#[derive(Clone, Debug)]
pub struct TcpHealthCheck {
    /// 0: the server's.
    pub port: u16,
    pub send: String,
    pub expect: String,
    pub interval: Duration,
    /// Period for servers that are down.
    pub unhealthy_interval: Duration,
    pub timeout: Duration,
}

/// Checks all servers of a service until it is gone. The first check runs after one interval; servers start up.
pub(super) async fn run(service: Weak<TcpLoadBalancer>) {
    let Some(first) = service.upgrade() else { return };
    let Some(check) = first.health.clone() else { return };
    let mut due = vec![Instant::now() + check.interval; first.servers.len()];
    drop(first);
    loop {
        let Some(next) = due.iter().min().copied() else { return };
        tokio::time::sleep_until(next.into()).await;
        let Some(service) = service.upgrade() else { return };
        let now = Instant::now();
        let round: Vec<usize> = (0..due.len()).filter(|i| due[*i] <= now).collect();
        let probes = round.iter().filter_map(|i| service.servers.get(*i)).map(|server| probe(&check, server));
        let results = futures_util::future::join_all(probes).await;
        for (i, result) in round.into_iter().zip(results) {
            let up = result.is_ok();
            if service.rotor.set_up(i, up) {
                let address = service.servers[i].name.as_str();
                match result {
                    Err(reason) => tracing::warn!(serviceName = &*service.name, server = address, reason, "server is down"),
                    Ok(()) => tracing::info!(serviceName = &*service.name, server = address, "server is up again"),
                }
            }
            due[i] = now + if up { check.interval } else { check.unhealthy_interval };
        }
    }
}

async fn probe(check: &TcpHealthCheck, server: &TcpServer) -> Result<(), String> {
    let work = async {
        let mut address = server.address.clone();
        if check.port != 0 {
            address.port = check.port;
        }
        let mut stream = server.transport.dial(&address, server.tls, None).await.map_err(|e| format!("cannot connect: {e}"))?;
        if !check.send.is_empty() {
            stream.write_all(check.send.as_bytes()).await.map_err(|e| format!("cannot send: {e}"))?;
            stream.flush().await.map_err(|e| format!("cannot send: {e}"))?;
        }
        if !check.expect.is_empty() {
            let mut answer = vec![0; check.expect.len()];
            stream.read_exact(&mut answer).await.map_err(|e| format!("not the answer expected: {e}"))?;
            if answer != check.expect.as_bytes() {
                return Err("not the answer expected".to_owned());
            }
        }
        Ok(())
    };
    tokio::time::timeout(check.timeout, work).await.map_err(|_| "no answer in time".to_owned())?
}
