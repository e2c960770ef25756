//! Reading keys.

use super::{PATIENCE, glob, told};
use crate::kv::{Pairs, bounded};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, cmd};
use tokio::time::timeout;
use torana_base::Diagnostic;

/// Keys of one command.
const PAGE: usize = 500;

/// All that stands below the root.
pub(super) struct Seen {
    pub(super) pairs: Pairs,
    /// Keys that hold something else than a string: how many, and one of them with its type.
    others: usize,
    other: Option<(String, String)>,
}

pub(super) async fn ask<T: FromRedisValue>(connection: &mut MultiplexedConnection, command: &Cmd) -> Result<T, String> {
    let answer = timeout(PATIENCE, command.query_async(connection)).await;
    answer.map_err(|_| "no answer in time".to_owned())?.map_err(|e| told(&e))
}

/// An error where the server has a part of the keys only: it belongs to a cluster of several.
pub(super) async fn alone(connection: &mut MultiplexedConnection) -> Result<(), String> {
    // Whoever does not say is taken for a server of its own.
    let said: String = ask(connection, cmd("CLUSTER").arg("INFO")).await.unwrap_or_default();
    match parts(&said) {
        0 | 1 => Ok(()),
        n => Err(format!(
            "the server is one of {n} that share the keys (Redis Cluster), and has a part of them only: \
             name a server that has all, or sentinels of such servers (`sentinel`)"
        )),
    }
}

/// How many servers share the keys, as `CLUSTER INFO` says.
fn parts(said: &str) -> u32 {
    said.lines().find_map(|l| l.strip_prefix("cluster_size:")).and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// Of which events the server tells (`notify-keyspace-events`); `None` when it does not say.
pub(super) async fn flags(connection: &mut MultiplexedConnection) -> Option<String> {
    let mut get = cmd("CONFIG");
    get.arg("GET").arg("notify-keyspace-events");
    let answer: Vec<String> = ask(connection, &get).await.ok()?;
    answer.into_iter().nth(1)
}

/// Whether that is enough to hear of strings that are set and of keys that go.
pub(super) fn notifies(flags: &str) -> bool {
    flags.contains('K') && (flags.contains('A') || flags.contains('g') && flags.contains('$'))
}

/// Values in the order of the keys.
pub(super) async fn mget(connection: &mut MultiplexedConnection, prefix: &str, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, String> {
    let mut values = Vec::with_capacity(keys.len());
    for page in keys.chunks(PAGE) {
        let mut get = cmd("MGET");
        for key in page {
            get.arg(format!("{prefix}{key}"));
        }
        values.extend(ask::<Vec<Option<Vec<u8>>>>(connection, &get).await?);
    }
    Ok(values)
}

pub(super) async fn read_all(connection: &mut MultiplexedConnection, prefix: &str) -> Result<Seen, String> {
    let mut seen = Seen { pairs: Pairs::new(), others: 0, other: None };
    let mut cursor = 0u64;
    let mut size = 0;
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{}*", glob(prefix))).arg("COUNT").arg(PAGE);
        let (next, found): (u64, Vec<Vec<u8>>) = ask(connection, &scan).await?;
        let below = |key: Vec<u8>| Some(String::from_utf8_lossy(key.strip_prefix(prefix.as_bytes())?).into_owned());
        // folders, as other programs make them
        let keys: Vec<String> = found.into_iter().filter_map(below).filter(|k| !k.is_empty() && !k.ends_with('/')).collect();
        let values = mget(connection, prefix, &keys).await?;
        for (key, value) in keys.into_iter().zip(values) {
            match value {
                Some(value) => {
                    size += key.len() + value.len();
                    seen.pairs.insert(key, value);
                }
                None if seen.other.is_none() => {
                    let kind: String = ask(connection, cmd("TYPE").arg(format!("{prefix}{key}"))).await?;
                    // "none": it has gone since
                    if !matches!(kind.as_str(), "none" | "string") {
                        seen.others += 1;
                        seen.other = Some((format!("{prefix}{key}"), kind));
                    }
                }
                None => seen.others += 1,
            }
        }
        bounded(size, prefix)?;
        if next == 0 {
            return Ok(seen);
        }
        cursor = next;
    }
}

/// What the user should know.
pub(super) fn notes(flags: Option<&str>, seen: &Seen) -> Vec<Diagnostic> {
    let poll = super::POLL.as_secs();
    let mut notes = Vec::new();
    match flags {
        Some(flags) if notifies(flags) => {}
        Some(_) => notes.push(
            Diagnostic::warning("providers.redis", format!("the server does not tell of changes: they are looked for every {poll} seconds"))
                .hint("switch its notifications on: `redis-cli config set notify-keyspace-events KA`, and the same in its configuration file"),
        ),
        None => notes.push(
            Diagnostic::warning("providers.redis", format!("the server does not say whether it tells of changes: they are looked for every {poll} seconds too"))
                .hint("allow the user `CONFIG GET`, and set `notify-keyspace-events KA`"),
        ),
    }
    if let Some((key, kind)) = &seen.other {
        let d = Diagnostic::warning("", format!("{} keys hold no string and are ignored: `{key}` is a {kind}", seen.others));
        notes.push(d.hint("write each option with `SET`"));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn how_many_servers_share_the_keys() {
        for (said, n) in [("cluster_state:ok\r\ncluster_size:3\r\n", 3), ("cluster_size:1\r\n", 1), ("", 0), ("cluster_size:x", 0)] {
            assert_eq!(parts(said), n, "{said}");
        }
    }
}
