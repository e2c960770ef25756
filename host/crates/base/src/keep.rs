use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// State that survives a reload: asking twice for the same key, while somebody still holds the value,
/// gives the same value. What no snapshot holds any more is dropped. Used when a snapshot is compiled,
/// never per request.
#[derive(Debug)]
pub struct Keep<K, V> {
    live: Mutex<HashMap<K, Weak<V>>>,
}

impl<K, V> Default for Keep<K, V> {
    fn default() -> Self {
        Keep { live: Mutex::default() }
    }
}

impl<K: Hash + Eq, V> Keep<K, V> {
    /// The live value of `key`, or the one that `make` returns.
    pub fn get_or(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(v) = live.get(&key).and_then(Weak::upgrade) {
            return v;
        }
        let v = Arc::new(make());
        live.insert(key, Arc::downgrade(&v));
        v
    }

    /// As [`Keep::get_or`], where making one may fail.
    pub fn try_get_or<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(v) = live.get(&key).and_then(Weak::upgrade) {
            return Ok(v);
        }
        let v = Arc::new(make()?);
        live.insert(key, Arc::downgrade(&v));
        Ok(v)
    }

    /// Forgets the keys whose values are gone; called after each compile.
    pub fn sweep(&self) {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, v| v.strong_count() > 0);
    }

    pub fn len(&self) -> usize {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_held_and_drops_the_rest() {
        let keep = Keep::<&str, u32>::default();
        let a = keep.get_or("a", || 1);
        assert!(Arc::ptr_eq(&a, &keep.get_or("a", || 2)));
        drop(a);
        keep.sweep();
        assert!(keep.is_empty());
        assert_eq!(*keep.get_or("a", || 3), 3);
    }
}
