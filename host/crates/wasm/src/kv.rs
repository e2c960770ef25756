//! Values that plugins keep outside their instances.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SHARDS: usize = 16;
const MAX_KEY: usize = 4 << 10;
const MAX_VALUE: usize = 2 << 20;
/// Of one plugin, all namespaces together.
const MAX_TOTAL: usize = 64 << 20;

struct Entry {
    value: Vec<u8>,
    /// Nanoseconds of the plugin's monotonic clock.
    until: Option<u64>,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<String, HashMap<String, Entry>>,
    bytes: usize,
}

/// The store of one plugin, in memory. It outlives the plugin's versions.
#[derive(Default)]
pub(crate) struct Kv {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Shard {
    fn live(&mut self, namespace: &str, key: &str, now: u64) -> Option<&mut Entry> {
        let space = self.entries.get_mut(namespace)?;
        if space.get(key)?.until.is_some_and(|u| u <= now) {
            let gone = space.remove(key)?;
            self.bytes -= key.len() + gone.value.len();
            return None;
        }
        space.get_mut(key)
    }

    fn put(&mut self, namespace: &str, key: &str, entry: Entry, now: u64) -> Result<(), TooLarge> {
        let size = key.len() + entry.value.len();
        let before = self.entries.get(namespace).and_then(|s| s.get(key)).map_or(0, |e| key.len() + e.value.len());
        if self.bytes - before + size > MAX_TOTAL / SHARDS {
            self.sweep(now);
            let before = self.entries.get(namespace).and_then(|s| s.get(key)).map_or(0, |e| key.len() + e.value.len());
            if self.bytes - before + size > MAX_TOTAL / SHARDS {
                return Err(TooLarge);
            }
        }
        let space = match self.entries.get_mut(namespace) {
            Some(s) => s,
            None => self.entries.entry(namespace.to_owned()).or_default(),
        };
        if let Some(old) = space.insert(key.to_owned(), entry) {
            self.bytes -= key.len() + old.value.len();
        }
        self.bytes += size;
        Ok(())
    }

    /// Drops what is past its time.
    fn sweep(&mut self, now: u64) {
        let mut freed = 0;
        for space in self.entries.values_mut() {
            space.retain(|k, e| {
                let gone = e.until.is_some_and(|u| u <= now);
                freed += if gone { k.len() + e.value.len() } else { 0 };
                !gone
            });
        }
        self.bytes -= freed;
    }
}

impl Kv {
    fn shard(&self, namespace: &str, key: &str) -> MutexGuard<'_, Shard> {
        self.shard_of(namespace, key).lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard_of(&self, namespace: &str, key: &str) -> &Mutex<Shard> {
        let mut h = DefaultHasher::new();
        (namespace, key).hash(&mut h);
        &self.shards[h.finish() as usize % SHARDS]
    }

    pub(crate) fn get(&self, namespace: &str, key: &str, now: u64) -> Option<Vec<u8>> {
        self.shard(namespace, key).live(namespace, key, now).map(|e| e.value.clone())
    }

    pub(crate) fn set(&self, namespace: &str, key: &str, value: Vec<u8>, ttl: Option<Duration>, now: u64) -> Result<(), TooLarge> {
        if key.len() > MAX_KEY || value.len() > MAX_VALUE {
            return Err(TooLarge);
        }
        let until = ttl.map(|t| now.saturating_add(t.as_nanos().min(u64::MAX.into()) as u64));
        self.shard(namespace, key).put(namespace, key, Entry { value, until }, now)
    }

    pub(crate) fn delete(&self, namespace: &str, key: &str) {
        let mut shard = self.shard(namespace, key);
        if let Some(gone) = shard.entries.get_mut(namespace).and_then(|s| s.remove(key)) {
            shard.bytes -= key.len() + gone.value.len();
        }
    }

    /// What is no number counts as 0; the sum stays within its bounds.
    pub(crate) fn increment(&self, namespace: &str, key: &str, by: i64, ttl: Option<Duration>, now: u64) -> Result<i64, TooLarge> {
        if key.len() > MAX_KEY {
            return Err(TooLarge);
        }
        let mut shard = self.shard(namespace, key);
        let (before, until) = match shard.live(namespace, key, now) {
            Some(e) => (std::str::from_utf8(&e.value).ok().and_then(|t| t.parse::<i64>().ok()).unwrap_or(0), e.until),
            None => (0, ttl.map(|t| now.saturating_add(t.as_nanos().min(u64::MAX.into()) as u64))),
        };
        let sum = before.saturating_add(by);
        shard.put(namespace, key, Entry { value: sum.to_string().into_bytes(), until }, now)?;
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_expire_and_numbers_add_up() {
        let kv = Kv::default();
        kv.set("a", "k", b"v".to_vec(), Some(Duration::from_nanos(10)), 100).unwrap();
        assert_eq!(kv.get("a", "k", 109), Some(b"v".to_vec()));
        assert_eq!(kv.get("b", "k", 109), None, "another namespace");
        assert_eq!(kv.get("a", "k", 110), None);
        assert_eq!(kv.increment("a", "n", 2, Some(Duration::from_nanos(5)), 0), Ok(2));
        assert_eq!(kv.increment("a", "n", 3, Some(Duration::from_nanos(5)), 4), Ok(5), "the time is that of the first");
        assert_eq!(kv.increment("a", "n", 3, None, 5), Ok(3));
        kv.delete("a", "n");
        assert_eq!(kv.get("a", "n", 5), None);
    }

    #[test]
    fn a_full_store_refuses_and_forgets_what_is_past() {
        let kv = Kv::default();
        assert_eq!(kv.set("a", "k", vec![0; MAX_VALUE + 1], None, 0), Err(TooLarge));
        let mut keys = (0..).map(|i| format!("k{i}")).filter(|k| std::ptr::eq(kv.shard_of("a", k), kv.shard_of("a", "k0")));
        let [one, two, three] = std::array::from_fn(|_| keys.next().unwrap());
        let half = MAX_TOTAL / SHARDS / 2 - 10;
        let set = |key: &str, ttl: Option<u64>, now| kv.set("a", key, vec![0; half], ttl.map(Duration::from_nanos), now);
        assert_eq!((set(&one, Some(1), 0), set(&two, None, 0)), (Ok(()), Ok(())));
        assert_eq!(set(&three, None, 0), Err(TooLarge));
        assert_eq!(set(&two, None, 0), Ok(()), "in place of what is there");
        // What is past its time makes room.
        assert_eq!(set(&three, None, 1), Ok(()));
        assert_eq!((kv.get("a", &one, 1), kv.get("a", &three, 1).map(|v| v.len())), (None, Some(half)));
        kv.delete("a", &two);
        assert_eq!(set(&one, None, 1), Ok(()));
    }
}
