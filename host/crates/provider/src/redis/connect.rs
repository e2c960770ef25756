//! Finding a server, by its address or by asking sentinels, and connecting to it.

use super::{PATIENCE, look, told};
use crate::kv::{Aborting, CONNECT};
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{ProtocolVersion, RedisConnectionInfo, cmd};
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use torana_config::install::{RedisProviderConfig, RedisSentinelConfig};
use torana_base::shown;

/// Connections to one server: one for commands, one for notifications.
pub(super) struct Connected {
    pub(super) commands: MultiplexedConnection,
    pub(super) driver: Aborting,
    pub(super) events: PubSub,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Tls = Option<Arc<rustls::ClientConfig>>;

/// To the first server that lets us.
pub(super) async fn connect(config: &RedisProviderConfig) -> Result<Connected, String> {
    let tls = match config.tls.clone() {
        Some(tls) => {
            // Files are read here.
            let read = tokio::task::spawn_blocking(move || torana_trust::client_config(&tls));
            Some(Arc::new(read.await.map_err(|e| e.to_string())??))
        }
        None => None,
    };
    let endpoints = config.endpoints.iter().map(|e| e.trim()).filter(|e| !e.is_empty()).map(str::to_owned);
    let servers = match &config.sentinel {
        None => endpoints.collect(),
        Some(sentinel) => {
            let mut errors = Vec::new();
            let mut found = None;
            for endpoint in endpoints {
                match ask_sentinel(&endpoint, sentinel, config, &tls).await {
                    Ok(servers) => {
                        found = Some(servers);
                        break;
                    }
                    Err(e) => errors.push(format!("sentinel {}: {e}", shown(&endpoint))),
                }
            }
            found.ok_or_else(|| errors.join("; "))?
        }
    };
    let mut errors = Vec::new();
    for server in servers {
        match both(&server, config, &tls).await {
            Ok(connected) => return Ok(connected),
            Err(e) => errors.push(format!("{}: {e}", shown(&server))),
        }
    }
    Err(errors.join("; "))
}

async fn both(server: &str, config: &RedisProviderConfig, tls: &Tls) -> Result<Connected, String> {
    let login = login(&config.username, config.password.expose(), config.db);
    let (commands, driver) = commands(server, &login, tls).await?;
    let stream = stream(server, tls).await?;
    let events = timeout(PATIENCE, PubSub::new(&login, stream)).await.map_err(|_| "no answer in time")?.map_err(|e| told(&e))?;
    Ok(Connected { commands, driver, events })
}

fn login(username: &str, password: &str, db: i64) -> RedisConnectionInfo {
    let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    RedisConnectionInfo { db, username: some(username), password: some(password), protocol: ProtocolVersion::RESP2 }
}

async fn commands(server: &str, login: &RedisConnectionInfo, tls: &Tls) -> Result<(MultiplexedConnection, Aborting), String> {
    let stream = stream(server, tls).await?;
    let made = timeout(PATIENCE, MultiplexedConnection::new(login, stream)).await;
    let (connection, driver) = made.map_err(|_| "no answer in time")?.map_err(|e| told(&e))?;
    Ok((connection, Aborting(tokio::spawn(driver))))
}

async fn stream(server: &str, tls: &Tls) -> Result<Pin<Box<dyn Io>>, String> {
    let with_port = if server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        server.to_owned()
    } else {
        format!("{server}:6379")
    };
    let tcp = timeout(CONNECT, TcpStream::connect(&*with_port)).await.map_err(|_| "it cannot be reached in time")?;
    let tcp = tcp.map_err(|e| e.to_string())?;
    let _ = tcp.set_nodelay(true);
    let Some(tls) = tls else { return Ok(Box::pin(tcp)) };
    let host = with_port.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(|e| e.to_string())?;
    let shaken = timeout(CONNECT, TlsConnector::from(tls.clone()).connect(name, tcp)).await;
    Ok(Box::pin(shaken.map_err(|_| "no TLS handshake in time")?.map_err(|e| e.to_string())?))
}

/// The servers to try, the best first.
async fn ask_sentinel(endpoint: &str, sentinel: &RedisSentinelConfig, config: &RedisProviderConfig, tls: &Tls) -> Result<Vec<String>, String> {
    let endpoint = if endpoint.rsplit_once(':').is_some() { endpoint.to_owned() } else { format!("{endpoint}:26379") };
    let own = login(&sentinel.username, sentinel.password.expose(), 0);
    let (mut connection, _driver) = commands(&endpoint, &own, tls).await?;
    let name = &sentinel.master_name;
    let mut ask = cmd("SENTINEL");
    ask.arg("get-master-addr-by-name").arg(name);
    let master: Option<(String, String)> = look::ask(&mut connection, &ask).await?;
    let master = master.map(|(host, port)| address(&host, &port)).ok_or_else(|| format!("it knows no master `{name}`"))?;
    if !(sentinel.latency_strategy || sentinel.random_strategy || sentinel.replica_strategy) {
        return Ok(vec![master]);
    }
    let mut ask = cmd("SENTINEL");
    ask.arg("replicas").arg(name);
    let replicas: Vec<BTreeMap<String, String>> = look::ask(&mut connection, &ask).await?;
    let usable = |r: &&BTreeMap<String, String>| {
        let flags = r.get("flags").map_or("", String::as_str);
        let down = flags.split(',').any(|f| matches!(f, "s_down" | "o_down"));
        let lost = flags.split(',').any(|f| f == "disconnected") || r.get("master-link-status").is_some_and(|s| s != "ok");
        !down && (!lost || sentinel.use_disconnected_replicas)
    };
    let mut servers: Vec<String> =
        replicas.iter().filter(usable).filter_map(|r| Some(address(r.get("ip")?, r.get("port")?))).collect();
    fastrand::shuffle(&mut servers);
    if sentinel.replica_strategy {
        // The master answers where there is no replica.
        servers.push(master);
        return Ok(servers);
    }
    servers.push(master);
    if sentinel.random_strategy {
        fastrand::shuffle(&mut servers);
        return Ok(servers);
    }
    let data = login(&config.username, config.password.expose(), config.db);
    let mut timed = Vec::new();
    for server in servers {
        let Ok((mut connection, _driver)) = commands(&server, &data, tls).await else { continue };
        let begin = Instant::now();
        if look::ask::<redis::Value>(&mut connection, &cmd("PING")).await.is_ok() {
            timed.push((begin.elapsed(), server));
        }
    }
    timed.sort();
    if timed.is_empty() {
        return Err(format!("no server of `{name}` answers"));
    }
    Ok(timed.into_iter().map(|(_, server)| server).collect())
}

fn address(host: &str, port: &str) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
