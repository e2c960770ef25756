//! `providers.etcd`: keys are read page by page at one revision, and followed from the next: what changes while
//! Torana is away, or is compacted meanwhile, is found by reading again.

mod rpc;

use crate::kv::{CONNECT, Change, Kv, Opened, PATIENCE, Pairs, Store, bounded, root};
use rpc::{EventKind, KeyValue, Member, RangeRequest, WatchCreate, WatchResponse};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::transport::{ClientTlsConfig as TonicTls, Endpoint, Identity};
use tonic::{Code, Status, Streaming};
use torana_config::install::{EtcdProviderConfig, ProvidersConfig};
use torana_base::shown;
use torana_extend::Provider;

/// Behind `@` in references.
pub const NAME: &str = "etcd";

/// Keys read at once.
const PAGE: i64 = 5000;
/// An idle connection is asked so often whether it still stands; etcd wants at least five seconds between.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// For the registry.
pub(crate) fn configured(config: &ProvidersConfig) -> Vec<Box<dyn Provider>> {
    let of = |c: &EtcdProviderConfig| {
        let root = root(&c.root_key);
        Box::new(Kv { name: NAME, store: Etcd { prefix: format!("{root}/").into(), config: c.clone(), next: 0 }, root }) as Box<dyn Provider>
    };
    config.etcd.iter().map(of).collect()
}

struct Etcd {
    config: EtcdProviderConfig,
    /// `rootKey` with its slash.
    prefix: Vec<u8>,
    /// The endpoint to begin with: after a failure another one than before.
    next: usize,
}

impl Store for Etcd {
    async fn open(&mut self) -> Result<Opened, String> {
        let endpoints: Vec<String> = self.config.endpoints.iter().map(|e| e.trim().to_owned()).filter(|e| !e.is_empty()).collect();
        let mut errors = Vec::new();
        for turn in 0..endpoints.len() {
            let at = (self.next + turn) % endpoints.len();
            match self.read(&endpoints[at]).await {
                Ok(opened) => {
                    self.next = at + 1;
                    return Ok(opened);
                }
                Err(e) => errors.push(format!("{}: {e}", shown(&endpoints[at]))),
            }
        }
        Err(errors.join("; "))
    }
}

impl Etcd {
    async fn member(&self, endpoint: &str) -> Result<Member, String> {
        let url = match (endpoint.contains("://"), &self.config.tls) {
            (true, _) => endpoint.to_owned(),
            (false, Some(_)) => format!("https://{endpoint}"),
            (false, None) => format!("http://{endpoint}"),
        };
        let mut channel = Endpoint::from_shared(url.clone())
            .map_err(|e| chain(&e))?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        if url.starts_with("https") {
            let tls = self.config.tls.clone().unwrap_or_default();
            // Files are read here.
            let read = tokio::task::spawn_blocking(move || Ok::<_, String>((torana_trust::verifier(&tls)?, torana_trust::identity(&tls)?)));
            let (verifier, identity) = read.await.map_err(|e| e.to_string())??;
            let mut tls = TonicTls::new();
            if let Some(torana_trust::Identity { cert, key }) = identity {
                tls = tls.identity(Identity::from_pem(cert, key));
            }
            channel = channel.tls_config_with_verifier(tls, verifier).map_err(|e| chain(&e))?;
        }
        let mut member = Member::new(channel.connect().await.map_err(|e| chain(&e))?);
        if !self.config.username.is_empty() {
            let (name, password) = (&self.config.username, self.config.password.expose());
            member.authenticate(name, password, PATIENCE).await.map_err(|e| told(&e))?;
        }
        Ok(member)
    }

    async fn read(&self, endpoint: &str) -> Result<Opened, String> {
        let mut member = self.member(endpoint).await?;
        let (pairs, revision) = read_all(&mut member, &self.prefix).await?;
        let (prefix, next) = (self.prefix.clone(), revision + 1);
        let watch = move |tell: mpsc::Sender<Result<Change, String>>| {
            let work = async move {
                let e = follow(member, prefix, next, &tell).await;
                let _ = tell.send(Err(e)).await;
            };
            Box::pin(work) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
        };
        Ok(Opened { pairs, watch: Box::new(watch), notes: Vec::new() })
    }
}

/// Everything below the prefix as of one revision.
async fn read_all(member: &mut Member, prefix: &[u8]) -> Result<(Pairs, i64), String> {
    let mut pairs = Pairs::new();
    let mut request = RangeRequest { key: prefix.to_vec(), range_end: rpc::end_of(prefix), limit: PAGE, revision: 0 };
    let mut size = 0;
    loop {
        let page = member.range(request.clone(), PATIENCE).await.map_err(|e| told(&e))?;
        if request.revision == 0 {
            request.revision = page.header.as_ref().map_or(0, |h| h.revision);
        }
        if let Some(last) = page.kvs.last() {
            request.key = [&last.key[..], b"\0"].concat();
        }
        for kv in page.kvs {
            size += kv.key.len() + kv.value.len();
            pairs.extend(name(&kv.key, prefix).map(|key| (key, kv.value)));
        }
        bounded(size, &String::from_utf8_lossy(prefix))?;
        if !page.more {
            return Ok((pairs, request.revision));
        }
    }
}

/// Tells of changes from a revision on; why it ended.
async fn follow(mut member: Member, prefix: Vec<u8>, mut next: i64, tell: &mpsc::Sender<Result<Change, String>>) -> String {
    loop {
        let create = WatchCreate { key: prefix.clone(), range_end: rpc::end_of(&prefix), start_revision: next, fragment: true };
        let (mut stream, _hold) = match member.watch(create).await {
            Ok(w) => w,
            Err(e) => return told(&e),
        };
        match changes(&mut stream, &prefix, &mut next, tell).await {
            Ended::Compacted => {}
            Ended::Over(e) => return e,
        }
        // What stood between is gone for good: only the whole tells what is there now.
        match read_all(&mut member, &prefix).await {
            Ok((pairs, revision)) => {
                next = revision + 1;
                if tell.send(Ok(Change::All(pairs))).await.is_err() {
                    return String::new();
                }
            }
            Err(e) => return e,
        }
    }
}

enum Ended {
    /// The revisions that were asked for are compacted.
    Compacted,
    Over(String),
}

async fn changes(
    stream: &mut Streaming<WatchResponse>,
    prefix: &[u8],
    next: &mut i64,
    tell: &mpsc::Sender<Result<Change, String>>,
) -> Ended {
    loop {
        let response = match stream.message().await {
            Ok(Some(r)) => r,
            Ok(None) => return Ended::Over("the server ended the watch".into()),
            Err(e) => return Ended::Over(told(&e)),
        };
        if response.compact_revision > 0 {
            return Ended::Compacted;
        }
        if response.canceled {
            return Ended::Over(format!("the server cancelled the watch: {}", response.cancel_reason));
        }
        let mut some = Vec::with_capacity(response.events.len());
        for event in response.events {
            let kind = event.kind();
            let Some(KeyValue { key, mod_revision, value }) = event.kv else { continue };
            *next = (*next).max(mod_revision + 1);
            if let Some(key) = name(&key, prefix) {
                some.push((key, (kind == EventKind::Put).then_some(value)));
            }
        }
        if !some.is_empty() && tell.send(Ok(Change::Some(some))).await.is_err() {
            return Ended::Over(String::new());
        }
    }
}

/// Below the prefix; `None` for folders, as other programs make them.
fn name(key: &[u8], prefix: &[u8]) -> Option<String> {
    let key = String::from_utf8_lossy(key.strip_prefix(prefix)?);
    (!key.is_empty() && !key.ends_with('/')).then(|| key.into_owned())
}

fn told(status: &Status) -> String {
    let message = match status.message() {
        "" => chain(status),
        message => message.to_owned(),
    };
    match status.code() {
        Code::InvalidArgument if message.contains("authentication is not enabled") => {
            format!("{message} (leave `username` out, or switch it on: `etcdctl auth enable`)")
        }
        Code::InvalidArgument if message.contains("user name is empty") => format!("{message} (set `username` and `password`)"),
        Code::PermissionDenied => format!("{message} (the user needs `read` on all keys below `rootKey`)"),
        _ => message,
    }
}

/// An error with what it comes of, which tonic keeps to itself.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let more = e.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = e.source();
    }
    text
}
