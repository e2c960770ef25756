//! What ingresses say of the hosts that they share: the first one of them has its will.

use super::Entry;
use super::tls::ClientAuth;
use crate::cluster::Key;
use std::collections::{BTreeMap, BTreeSet};

/// What holds for a host in all ingresses.
#[derive(Default)]
pub(super) struct Hosts<'a> {
    all: BTreeSet<&'a str>,
    /// Their paths are regular expressions.
    regex: BTreeSet<&'a str>,
    /// Other names of hosts, in lower case, and who was first to have them.
    aliases: BTreeMap<String, &'a Key>,
    server_snippets: BTreeMap<&'a str, &'a str>,
    client_auth: BTreeMap<&'a str, (&'a Key, ClientAuth)>,
}

impl<'a> Hosts<'a> {
    /// The hosts of an ingress are nobody's alias.
    pub(super) fn reserve(&mut self, entry: &'a Entry<'a>) {
        self.all.extend(entry.hosts());
    }

    /// What an ingress says holds for its hosts, unless an earlier one has said it.
    pub(super) fn add(&mut self, entry: &'a Entry<'a>) {
        for alias in entry.annotations.list("server-alias").into_iter().flatten() {
            self.aliases.entry(alias.to_lowercase()).or_insert(entry.key);
        }
        let regex = entry.annotations.is("use-regex") || entry.annotations.filled("rewrite-target").is_some();
        for host in entry.hosts() {
            if regex {
                self.regex.insert(host);
            }
            if let Some(snippet) = entry.annotations.filled("server-snippet") {
                self.server_snippets.entry(host).or_insert(snippet);
            }
        }
    }

    /// Has the clients of a host verified, unless an earlier ingress says how: then it is told which.
    pub(super) fn authenticate(&mut self, host: &'a str, entry: &'a Entry<'a>, auth: &ClientAuth) -> Option<&'a Key> {
        let (first, _) = self.client_auth.entry(host).or_insert_with(|| (entry.key, auth.clone()));
        (*first != entry.key).then_some(*first)
    }

    pub(super) fn client_auth(&self, host: &str) -> Option<&ClientAuth> {
        self.client_auth.get(host).map(|(_, auth)| auth)
    }

    /// Whose say [`Hosts::client_auth`] is.
    pub(super) fn who_authenticates(&self, host: &str) -> Option<&'a Key> {
        self.client_auth.get(host).map(|(owner, _)| *owner)
    }

    pub(super) fn is_regex(&self, host: &str) -> bool {
        self.regex.contains(host)
    }

    pub(super) fn server_snippet(&self, host: &str) -> Option<&'a str> {
        self.server_snippets.get(host).copied()
    }

    pub(super) fn has(&self, host: &str) -> bool {
        self.all.contains(host)
    }

    /// The other names that an ingress gives its hosts and that are nobody else's, each once.
    pub(super) fn aliases_of(&self, entry: &Entry<'a>) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let free = |alias: &&str| {
            let name = alias.to_lowercase();
            let free = !self.all.contains(name.as_str()) && self.aliases.get(&name).is_none_or(|owner| *owner == entry.key);
            free && !alias.is_empty() && seen.insert(name)
        };
        entry.annotations.list("server-alias").into_iter().flatten().filter(free).map(str::to_owned).collect()
    }
}
