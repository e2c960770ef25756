//! Positions of routes, found by host and path without looking at the others.

use crate::compile::CompiledRule;
use crate::matcher::PathKey;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;

/// Ascending positions in the table, from several places of the index at once.
pub(crate) type Lists<'a> = SmallVec<[&'a [u32]; 8]>;

/// The first result over all lists in ascending order; each position is tried once.
pub(crate) fn first<R>(mut lists: Lists<'_>, test: impl Fn(u32) -> Option<R>) -> Option<R> {
    if let [list] = lists[..] {
        return list.iter().find_map(|at| test(*at));
    }
    // The lists are ascending: always try the smallest head among them.
    let mut tried = None;
    while let Some(list) = lists.iter_mut().filter(|l| !l.is_empty()).min_by_key(|l| l[0]) {
        let at = list[0];
        *list = &list[1..];
        // A route stands in several lists when its rule has several hosts.
        if tried.replace(at) != Some(at)
            && let Some(found) = test(at)
        {
            return Some(found);
        }
    }
    None
}

/// A bucket with more routes than this is divided by path.
const FEW: usize = 16;

/// The routes of one host, ascending.
pub(crate) enum Bucket {
    One(u32),
    Few(Vec<u32>),
    Many(Box<Paths>),
}

impl Bucket {
    pub(crate) fn push(&mut self, at: u32) {
        match self {
            Bucket::One(first) => *self = Bucket::Few(vec![*first, at]),
            Bucket::Few(list) => list.push(at),
            Bucket::Many(paths) => paths.rest.push(at),
        }
    }

    /// Called once all routes are in.
    pub(crate) fn finish<'r>(&mut self, rule: impl Fn(u32) -> &'r CompiledRule) {
        match self {
            Bucket::Few(list) if list.len() > FEW => *self = Bucket::Many(Box::new(Paths::new(list, rule))),
            Bucket::Few(list) => list.shrink_to_fit(),
            _ => {}
        }
    }

    /// Adds the lists that hold every route of this bucket that a request for `path` could match.
    pub(crate) fn collect<'a>(&'a self, path: &str, into: &mut Lists<'a>) {
        match self {
            Bucket::One(at) => into.push(std::slice::from_ref(at)),
            Bucket::Few(list) => into.push(list),
            Bucket::Many(paths) => paths.collect(path, into),
        }
    }
}

/// Routes divided by the path, or the beginning of the path, that they ask for.
#[derive(Default)]
pub(crate) struct Paths {
    exact: FxHashMap<Arc<str>, Vec<u32>>,
    prefix: FxHashMap<Arc<str>, Vec<u32>>,
    /// The lengths of the keys of `prefix`, ascending.
    lengths: Vec<usize>,
    rest: Vec<u32>,
}

impl Paths {
    fn new<'r>(list: &[u32], rule: impl Fn(u32) -> &'r CompiledRule) -> Self {
        let mut paths = Paths::default();
        for &at in list {
            let Some(keys) = rule(at).paths() else {
                paths.rest.push(at);
                continue;
            };
            for key in keys {
                let list = match key {
                    PathKey::Exact(p) => paths.exact.entry(p.clone()).or_default(),
                    PathKey::Prefix(p) => paths.prefix.entry(p.clone()).or_default(),
                };
                list.push(at);
            }
        }
        paths.lengths = paths.prefix.keys().map(|p| p.len()).collect();
        paths.lengths.sort_unstable();
        paths.lengths.dedup();
        paths
    }

    fn collect<'a>(&'a self, path: &str, into: &mut Lists<'a>) {
        let mut add = |list: Option<&'a Vec<u32>>| into.extend(list.map(Vec::as_slice).filter(|l| !l.is_empty()));
        add(self.exact.get(path));
        let fitting = self.lengths.iter().take_while(|len| **len <= path.len());
        fitting.for_each(|len| add(path.get(..*len).and_then(|start| self.prefix.get(start))));
        add(Some(&self.rest));
    }
}
