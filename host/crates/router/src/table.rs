use crate::compile::CompiledRule;
use crate::index::{Bucket, Lists, first};
use crate::matcher::{HostKey, after_first_label};
use crate::request::RequestView;
use rustc_hash::FxHashMap;
use std::cmp::Ordering;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// The highest priority that a user may give a router; those above are the gateway's own.
pub const MAX_USER_PRIORITY: i64 = i64::MAX - 1000;

/// The priority of a router that names none: longer rules first.
pub fn default_priority(rule: &str) -> i64 {
    i64::try_from(rule.len()).unwrap_or(MAX_USER_PRIORITY).min(MAX_USER_PRIORITY)
}

/// One row of a table: what leads to `target`, and what decides when several rules match.
#[derive(Clone, Debug)]
pub struct Route<T> {
    pub rule: Arc<CompiledRule>,
    /// Higher first.
    pub priority: i64,
    /// The provider's precedence, lower first; decides between equal priorities.
    pub rank: u32,
    /// Decides last, ascending, so that every tie has one outcome.
    pub name: Arc<str>,
    pub target: T,
}

impl<T> Route<T> {
    fn order(&self, other: &Route<T>) -> Ordering {
        other.priority.cmp(&self.priority).then(self.rank.cmp(&other.rank)).then_with(|| self.name.cmp(&other.name))
    }
}

/// All routes of an entry point, immutable. Looking one up asks only the rules whose hosts (and, where a
/// host has many, whose paths) fit the request: the cost does not grow with the number of hosts.
///
/// Building it from compiled rules is cheap enough to be done anew for each change (10,000 routes: about
/// a millisecond); what is worth keeping between builds are the [`CompiledRule`]s.
pub struct RouteTable<T> {
    routes: Box<[Route<T>]>,
    exact: FxHashMap<Arc<str>, Bucket>,
    wildcard: FxHashMap<Arc<str>, Bucket>,
    /// Routes that any host may match.
    any: Bucket,
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        RouteTable::new([])
    }
}

impl<T> RouteTable<T> {
    /// Fastest when `routes` come sorted by name.
    pub fn new(routes: impl IntoIterator<Item = Route<T>>) -> Self {
        let mut routes: Vec<Route<T>> = routes.into_iter().collect();
        // Beyond four thousand million routes there is no position to give.
        routes.truncate(u32::MAX as usize);
        routes.sort_by(Route::order);
        let mut exact = FxHashMap::default();
        exact.reserve(routes.len());
        let mut wildcard = FxHashMap::default();
        let mut any = Bucket::Few(Vec::new());
        for (at, route) in (0..).zip(&routes) {
            let Some(keys) = route.rule.hosts() else {
                any.push(at);
                continue;
            };
            for key in keys {
                let (map, name) = match key {
                    HostKey::Exact(name) => (&mut exact, name),
                    HostKey::Wildcard(tail) => (&mut wildcard, tail),
                };
                match map.entry(name.clone()) {
                    Entry::Vacant(free) => drop(free.insert(Bucket::One(at))),
                    Entry::Occupied(mut bucket) => bucket.get_mut().push(at),
                }
            }
        }
        exact.shrink_to_fit();
        let rule = |at: u32| &*routes[at as usize].rule;
        exact.values_mut().chain(wildcard.values_mut()).chain([&mut any]).for_each(|b| b.finish(rule));
        RouteTable { routes: routes.into(), exact, wildcard, any }
    }

    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// What the first route in order leads to whose rule matches.
    pub fn find(&self, request: &RequestView<'_>) -> Option<&T> {
        self.find_route(request).map(|r| &r.target)
    }

    pub fn find_route(&self, request: &RequestView<'_>) -> Option<&Route<T>> {
        let mut lists = Lists::new();
        self.collect(request.host, request.path, &mut lists);
        if let Some(flat) = request.flat_host {
            self.collect(flat, request.path, &mut lists);
        }
        self.any.collect(request.path, &mut lists);
        let matching = |at: u32| self.routes.get(at as usize).filter(|route| route.rule.matches(request));
        first(lists, matching)
    }

    fn collect<'a>(&'a self, host: &str, path: &str, into: &mut Lists<'a>) {
        let host = host.trim_end_matches('.');
        if let Some(bucket) = self.exact.get(host) {
            bucket.collect(path, into);
        }
        if !self.wildcard.is_empty()
            && let Some(bucket) = self.wildcard.get(after_first_label(host))
        {
            bucket.collect(path, into);
        }
    }

    /// All routes, in the order in which they are tried.
    pub fn routes(&self) -> &[Route<T>] {
        &self.routes
    }
}
