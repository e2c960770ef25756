//! `providers.zooKeeper`: nodes below `rootKey`, followed by one recursive watch (ZooKeeper 3.6), or by one watch for
//! each node where the server is older.

use crate::kv::{CONNECT, Change, Kv, News, Opened, PATIENCE, Pairs, Store, bounded, root};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use torana_config::install::{ProvidersConfig, ZooKeeperProviderConfig};
use torana_base::shown;
use torana_extend::Provider;
use zookeeper_client::{AddWatchMode, Client, Error, EventType, OneshotWatcher, PersistentWatcher, SessionState, WatchedEvent};

/// Behind `@` in references.
pub const NAME: &str = "zookeeper";

/// A session that is not heard of for so long is over.
const SESSION: Duration = Duration::from_secs(12);
/// Requests under way at the same time.
const AT_ONCE: usize = 64;
/// Where watches are made node by node: between two readings of the whole.
const PAUSE: Duration = Duration::from_millis(50);
/// Nodes that have no value are folders down to here: a tree, a section, an object. Below, an empty value is one.
const FOLDERS: usize = 3;

/// For the registry.
pub(crate) fn configured(config: &ProvidersConfig) -> Vec<Box<dyn Provider>> {
    let of = |c: &ZooKeeperProviderConfig| {
        let root = root(&c.root_key);
        Box::new(Kv { name: NAME, store: ZooKeeper { path: format!("/{root}"), config: c.clone(), recursive: true }, root }) as Box<dyn Provider>
    };
    config.zoo_keeper.iter().map(of).collect()
}

struct ZooKeeper {
    config: ZooKeeperProviderConfig,
    path: String,
    /// Ask for a recursive watch, which servers have from 3.6 on.
    recursive: bool,
}

impl Store for ZooKeeper {
    async fn open(&mut self) -> Result<Opened, String> {
        let endpoints: Vec<&str> = self.config.endpoints.iter().map(|e| e.trim()).filter(|e| !e.is_empty()).collect();
        let mut connector = Client::connector().with_session_timeout(SESSION).with_connection_timeout(CONNECT).with_fail_eagerly();
        if !self.config.username.is_empty() {
            let login = format!("{}:{}", self.config.username, self.config.password.expose());
            connector = connector.with_auth("digest", login.as_bytes());
        }
        let at = endpoints.join(",");
        let client = timeout(PATIENCE, connector.connect(&at)).await;
        let at = endpoints.iter().map(|e| shown(e)).collect::<Vec<_>>().join(",");
        let client = client.map_err(|_| format!("{at}: no answer in time"))?.map_err(|e| format!("{at}: {}", told(&e)))?;
        let tree = Tree { client, path: self.path.clone() };
        let failed = |e: Error| format!("{at}: {}", told(&e));
        let recursive = match self.recursive {
            true => match tree.client.watch(&self.path, AddWatchMode::PersistentRecursive).await {
                Ok(watcher) => Some(watcher),
                Err(Error::Unimplemented) => None,
                Err(e) => return Err(failed(e)),
            },
            false => None,
        };
        let (pairs, watches) = tree.read(recursive.is_none()).await.map_err(failed)?;
        let watch = move |tell: mpsc::Sender<News>| {
            let work = async move {
                let error = match recursive {
                    Some(watcher) => tree.follow(watcher, &tell).await,
                    None => tree.follow_each(watches, &tell).await,
                };
                let _ = tell.send(Err(error)).await;
            };
            Box::pin(work) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
        };
        Ok(Opened { pairs, watch: Box::new(watch), notes: Vec::new() })
    }
}

/// The nodes below a path.
struct Tree {
    client: Client,
    path: String,
}

/// One node that was read.
struct Read {
    path: String,
    value: Vec<u8>,
    children: Vec<String>,
    watches: Vec<OneshotWatcher>,
}

impl Tree {
    /// Everything, with watches for each node when asked. No root is an empty one.
    async fn read(&self, watch: bool) -> Result<(Pairs, Vec<OneshotWatcher>), Error> {
        let mut pairs = Pairs::new();
        let mut watches = Vec::new();
        let mut waiting = vec![self.path.clone()];
        let mut under_way = FuturesUnordered::new();
        let mut size = 0;
        loop {
            while under_way.len() < AT_ONCE
                && let Some(path) = waiting.pop()
            {
                under_way.push(self.node(path, watch));
            }
            let Some(read) = under_way.next().await else { return Ok((pairs, watches)) };
            let Some(read) = read? else { continue };
            size += read.path.len() + read.value.len();
            bounded(size, &self.path).map_err(Error::UnexpectedError)?;
            waiting.extend(read.children.iter().map(|c| format!("{}/{c}", read.path)));
            watches.extend(read.watches);
            if let Some(key) = self.key(&read.path)
                && !(read.value.is_empty() && (!read.children.is_empty() || is_folder(&key)))
            {
                pairs.insert(key, read.value);
            }
        }
    }

    /// `None` when it has gone.
    async fn node(&self, path: String, watch: bool) -> Result<Option<Read>, Error> {
        let mut watches = Vec::new();
        let read = async {
            if watch {
                let (value, _, w) = self.client.get_and_watch_data(&path).await?;
                watches.push(w);
                let (children, w) = self.client.list_and_watch_children(&path).await?;
                watches.push(w);
                return Ok((value, children));
            }
            let (value, stat) = self.client.get_data(&path).await?;
            let children = if stat.num_children > 0 { self.client.list_children(&path).await? } else { Vec::new() };
            Ok((value, children))
        };
        match read.await {
            Ok((value, children)) => Ok(Some(Read { path, value, children, watches })),
            Err(Error::NoNode) if watch && path == self.path => {
                let (_, w) = self.client.check_and_watch_stat(&path).await?;
                Ok(Some(Read { path, value: Vec::new(), children: Vec::new(), watches: vec![w] }))
            }
            Err(Error::NoNode) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn key(&self, path: &str) -> Option<String> {
        path.strip_prefix(&self.path)?.strip_prefix('/').filter(|k| !k.is_empty()).map(str::to_owned)
    }

    /// Tells of what the server tells; why it is over.
    async fn follow(&self, watcher: PersistentWatcher, tell: &mpsc::Sender<News>) -> String {
        // Events are taken as they come: they wait in memory otherwise.
        let (events, mut heard) = mpsc::unbounded_channel::<WatchedEvent>();
        let _listening = crate::kv::Aborting(tokio::spawn(async move {
            let mut watcher = watcher;
            loop {
                let event = watcher.changed().await;
                let last = event.session_state.is_terminated();
                if events.send(event).is_err() || last {
                    return;
                }
            }
        }));
        while let Some(first) = heard.recv().await {
            let mut paths = BTreeSet::new();
            let mut all = false;
            let mut next = Some(first);
            while let Some(event) = next {
                match event.event_type {
                    EventType::Session => {
                        if event.session_state.is_terminated() {
                            return format!("the session is over: {:?}", event.session_state);
                        }
                        // What happened while the connection was away is not told.
                        all |= event.session_state == SessionState::SyncConnected;
                    }
                    _ => drop(paths.insert(event.path)),
                }
                next = heard.try_recv().ok();
            }
            let news = if all { self.read(false).await.map(|(pairs, _)| Change::All(pairs)) } else { self.some(paths).await };
            match news {
                Ok(change) => {
                    if tell.send(Ok(change)).await.is_err() {
                        return String::new();
                    }
                }
                Err(Error::ConnectionLoss) => {}
                Err(e) => return told(&e),
            }
        }
        "the session is over".into()
    }

    /// The values of nodes now.
    async fn some(&self, paths: BTreeSet<String>) -> Result<Change, Error> {
        let mut reads = futures_util::stream::iter(paths.into_iter().map(|path| async move {
            let read = self.client.get_data(&path).await;
            (path, read)
        }))
        .buffer_unordered(AT_ONCE);
        let mut changes = Vec::new();
        while let Some((path, read)) = reads.next().await {
            let Some(key) = self.key(&path) else { continue };
            let value = match read {
                Ok((value, stat)) if value.is_empty() && (stat.num_children > 0 || is_folder(&key)) => None,
                Ok((value, _)) => Some(value),
                Err(Error::NoNode) => None,
                Err(e) => return Err(e),
            };
            changes.push((key, value));
        }
        Ok(Change::Some(changes))
    }

    /// As [`Tree::follow`], for servers that know watches of one node only: after any of them everything is read, and
    /// watched, again.
    async fn follow_each(&self, watches: Vec<OneshotWatcher>, tell: &mpsc::Sender<News>) -> String {
        let mut fired: FuturesUnordered<_> = watches.into_iter().map(OneshotWatcher::changed).collect();
        while let Some(event) = fired.next().await {
            if event.session_state.is_terminated() {
                return format!("the session is over: {:?}", event.session_state);
            }
            tokio::time::sleep(PAUSE).await;
            match self.read(true).await {
                Ok((pairs, watches)) => {
                    fired = watches.into_iter().map(OneshotWatcher::changed).collect();
                    if tell.send(Ok(Change::All(pairs))).await.is_err() {
                        return String::new();
                    }
                }
                Err(e) => return told(&e),
            }
        }
        "nothing is watched".into()
    }
}

/// Nodes in between have to be there, whether they say something or not, and nobody takes them away.
fn is_folder(key: &str) -> bool {
    key.split('/').count() <= FOLDERS
}

/// With what to do about it.
fn told(error: &Error) -> String {
    let hint = match error {
        Error::NoAuth => " (set `username` and `password` to those that may read the nodes, scheme `digest`)",
        Error::NoHosts => " (no server can be reached)",
        _ => "",
    };
    format!("{error}{hint}")
}

#[cfg(test)]
mod tests;
