//! `providers.redis`: strings below `rootKey`, followed by keyspace notifications where the server sends them, and
//! looked at every few seconds where it does not.

mod connect;
mod look;

use crate::kv::{Change, Kv, News, Opened, Store, root};
use connect::{Connected, connect};
use futures_util::{FutureExt, StreamExt};
use look::{Seen, flags, mget, read_all};
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};
use torana_config::install::{ProvidersConfig, RedisProviderConfig};
use torana_extend::Provider;

/// Behind `@` in references.
pub const NAME: &str = "redis";

/// For one command.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two small looks: whether the server is there, and some of the keys still are (`FLUSHALL` is not notified).
const CHECK: Duration = Duration::from_secs(2);
/// Between two looks at everything where there are no notifications.
const POLL: Duration = Duration::from_secs(5);
/// The same where there are: notifications that nobody listens to, as during a failover, are gone.
const POLL_NOTIFIED: Duration = Duration::from_secs(60);
/// Keys of a small look.
const SAMPLE: usize = 16;
/// Keys of one batch of notifications.
const BATCH: usize = 4096;

/// For the registry.
pub(crate) fn configured(config: &ProvidersConfig) -> Vec<Box<dyn Provider>> {
    let of = |c: &RedisProviderConfig| {
        let root = root(&c.root_key);
        Box::new(Kv { name: NAME, store: Redis { prefix: format!("{root}/"), config: c.clone() }, root }) as Box<dyn Provider>
    };
    config.redis.iter().map(of).collect()
}

struct Redis {
    config: RedisProviderConfig,
    /// `rootKey` with its slash.
    prefix: String,
}

impl Store for Redis {
    async fn open(&mut self) -> Result<Opened, String> {
        let Connected { mut commands, driver, mut events } = connect(&self.config).await?;
        look::alone(&mut commands).await?;
        let begin = format!("__keyspace@{}__:", self.config.db);
        let listen = timeout(PATIENCE, events.psubscribe(format!("{begin}{}*", glob(&self.prefix)))).await;
        listen.map_err(|_| "no answer in time".to_owned())?.map_err(|e| told(&e))?;
        let flags = flags(&mut commands).await;
        let seen = read_all(&mut commands, &self.prefix).await?;
        let (sink, stream) = events.split();
        let notes = look::notes(flags.as_deref(), &seen);
        let follow = Follow {
            commands,
            sink,
            stream,
            prefix: self.prefix.clone(),
            channel: begin + &self.prefix,
            known: seen.pairs.keys().cloned().collect(),
            notified: flags.is_some_and(|f| look::notifies(&f)),
        };
        let watch = move |tell: mpsc::Sender<News>| {
            let work = async move {
                let _driver = driver;
                let error = follow.run(&tell).await;
                let _ = tell.send(Err(error)).await;
            };
            Box::pin(work) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
        };
        Ok(Opened { pairs: seen.pairs, watch: Box::new(watch), notes })
    }
}

/// A connection that is followed.
struct Follow {
    commands: MultiplexedConnection,
    sink: PubSubSink,
    stream: PubSubStream,
    prefix: String,
    /// Of notifications, before the key below the root.
    channel: String,
    known: BTreeSet<String>,
    notified: bool,
}

impl Follow {
    /// Why it is over.
    async fn run(mut self, tell: &mpsc::Sender<News>) -> String {
        let mut check = interval_at(Instant::now() + CHECK, CHECK);
        let mut last = Instant::now();
        loop {
            let told = tokio::select! {
                message = self.stream.next() => match message {
                    Some(message) => self.changed(message, tell).await,
                    None => Err("the server closed the connection".to_owned()),
                },
                _ = check.tick() => {
                    let poll = if self.notified { POLL_NOTIFIED } else { POLL };
                    match self.complete().await {
                        Ok(true) if last.elapsed() < poll => Ok(()),
                        Ok(_) => {
                            last = Instant::now();
                            self.look(tell).await
                        }
                        Err(e) => Err(e),
                    }
                }
            };
            if let Err(e) = told {
                return e;
            }
        }
    }

    /// Reads what was notified, and what else was meanwhile.
    async fn changed(&mut self, first: redis::Msg, tell: &mpsc::Sender<News>) -> Result<(), String> {
        let mut keys = BTreeSet::new();
        let mut next = Some(first);
        while let Some(message) = next {
            let channel = String::from_utf8_lossy(message.get_channel_name().as_bytes()).into_owned();
            if let Some(key) = channel.strip_prefix(&self.channel).filter(|k| !k.is_empty()) {
                keys.insert(key.to_owned());
            }
            next = if keys.len() < BATCH { self.stream.next().now_or_never().flatten() } else { None };
        }
        let keys: Vec<String> = keys.into_iter().collect();
        let values = mget(&mut self.commands, &self.prefix, &keys).await?;
        let changes: Vec<_> = keys.into_iter().zip(values).collect();
        for (key, value) in &changes {
            match value {
                Some(_) => drop(self.known.insert(key.clone())),
                None => drop(self.known.remove(key)),
            }
        }
        tell.send(Ok(Change::Some(changes))).await.map_err(|_| String::new())
    }

    /// Whether some keys are all there still. Also asks the connection for notifications for a sign of life.
    async fn complete(&mut self) -> Result<bool, String> {
        let ping = timeout(PATIENCE, self.sink.ping::<redis::Value>());
        ping.await.map_err(|_| "no answer in time".to_owned())?.map_err(|e| told(&e))?;
        let step = self.known.len().div_ceil(SAMPLE).max(1);
        let mut exists = redis::cmd("EXISTS");
        let mut asked = 0;
        for key in self.known.iter().step_by(step) {
            exists.arg(format!("{}{key}", self.prefix));
            asked += 1;
        }
        if asked == 0 {
            return Ok(true);
        }
        let found: usize = look::ask(&mut self.commands, &exists).await?;
        Ok(found == asked)
    }

    async fn look(&mut self, tell: &mpsc::Sender<News>) -> Result<(), String> {
        let flags = flags(&mut self.commands).await;
        let seen: Seen = read_all(&mut self.commands, &self.prefix).await?;
        let notes = look::notes(flags.as_deref(), &seen);
        self.notified = flags.is_some_and(|f| look::notifies(&f));
        self.known = seen.pairs.keys().cloned().collect();
        tell.send(Ok(Change::Notes(notes))).await.map_err(|_| String::new())?;
        tell.send(Ok(Change::All(seen.pairs))).await.map_err(|_| String::new())
    }
}

/// A text that stands for itself in a pattern.
fn glob(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// With what to do about it.
fn told(error: &redis::RedisError) -> String {
    let text = error.to_string();
    let hint = match error.code() {
        Some("NOAUTH") => " (set `password`)",
        Some("WRONGPASS") => " (look at `username` and `password`)",
        Some("NOPERM") => " (the user needs SCAN, MGET, EXISTS, PING and PSUBSCRIBE on the keys below `rootKey` and on `__keyspace@*`)",
        _ if text.contains("without any password configured") => " (leave `password` out)",
        _ => "",
    };
    format!("{text}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_themselves() {
        assert_eq!(glob("a*b[c]?\\"), r"a\*b\[c\]\?\\");
        assert_eq!(glob("traefik/"), "traefik/");
    }

    #[test]
    fn which_settings_notify_of_strings() {
        for (flags, notifies) in [("AKE", true), ("KEA", true), ("Kg$", true), ("Kg", false), ("EA", false), ("", false)] {
            assert_eq!(look::notifies(flags), notifies, "{flags}");
        }
    }
}
