//! Which TLS options the names of an entry point have, and which routers contradict each other: options are
//! chosen by the name in the handshake, before any router is (features 4.4).

use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use torana_base::qualify;

/// The name of the options that apply where nothing is said; of no provider.
pub(crate) const DEFAULT: &str = "default";

/// The qualified name of options as a router names them.
pub(crate) fn options_name(written: &str, provider: &str) -> Arc<str> {
    if written.is_empty() || written == DEFAULT { DEFAULT.into() } else { qualify(written, provider).into() }
}

/// Why a router does not get the options that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Conflict {
    /// Another router names other options for one of its hosts.
    Host,
    /// Its rule names no host by which they could be chosen.
    NoHost,
}

/// A router on one entry point.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Qualified, with the prefix of its copy.
    pub router: Arc<str>,
    pub entry_point: Arc<str>,
    /// In lower case.
    pub hosts: Vec<Arc<str>>,
    /// Qualified name of the options.
    pub options: Arc<str>,
    /// Hosts or options may come from references: they are not told.
    pub hidden: bool,
}

/// Hosts of an entry point to their options.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Hosts {
    pub options: FxHashMap<Arc<str>, Arc<str>>,
    /// Some router is meant for any name.
    pub any: bool,
}

#[derive(Debug, Default)]
pub(crate) struct TlsPlan {
    conflicts: FxHashMap<(Arc<str>, Arc<str>), Conflict>,
    pub hosts: FxHashMap<Arc<str>, Hosts>,
    /// What is to be told: entry point, host, routers.
    pub told: Vec<String>,
}

impl TlsPlan {
    pub(crate) fn new(wishes: &[Wish]) -> Self {
        let mut plan = TlsPlan::default();
        let mut by_host: FxHashMap<(&Arc<str>, &Arc<str>), Vec<&Wish>> = FxHashMap::default();
        for w in wishes {
            let hosts = plan.hosts.entry(w.entry_point.clone()).or_default();
            hosts.any |= w.hosts.is_empty();
            if w.hosts.is_empty() && &*w.options != DEFAULT {
                plan.conflicts.insert((w.entry_point.clone(), w.router.clone()), Conflict::NoHost);
                let options = if w.hidden { String::new() } else { format!(" `{}`", w.options) };
                plan.told.push(format!(
                    "on entry point `{}`, router `{}` names no host in its rule, so its TLS options{options} cannot be chosen",
                    w.entry_point, w.router
                ));
            }
            let mut seen = FxHashSet::default();
            for h in w.hosts.iter().filter(|h| seen.insert(*h)) {
                by_host.entry((&w.entry_point, h)).or_default().push(w);
            }
        }
        for ((entry_point, host), routers) in by_host {
            let first = &routers[0].options;
            let options = if routers.iter().all(|r| r.options == *first) {
                first.clone()
            } else {
                let mut names: Vec<&str> = routers.iter().map(|r| &*r.router).collect();
                names.sort_unstable();
                let of = if routers.iter().any(|r| r.hidden) { "one host".to_owned() } else { format!("host `{host}`") };
                plan.told.push(format!("on entry point `{entry_point}`, routers of {of} name different TLS options: {}", names.join(", ")));
                for r in routers {
                    plan.conflicts.insert((entry_point.clone(), r.router.clone()), Conflict::Host);
                }
                DEFAULT.into()
            };
            plan.hosts.entry(entry_point.clone()).or_default().options.insert(host.clone(), options);
        }
        // A router that lost its options on one of its hosts has lost them on all.
        for w in wishes {
            if plan.conflict(&w.entry_point, &w.router) != Some(Conflict::Host) {
                continue;
            }
            if let Some(hosts) = plan.hosts.get_mut(&w.entry_point) {
                hosts.options.extend(w.hosts.iter().map(|h| (h.clone(), DEFAULT.into())));
            }
        }
        plan.told.sort_unstable();
        plan
    }

    pub(crate) fn conflict(&self, entry_point: &Arc<str>, router: &Arc<str>) -> Option<Conflict> {
        if self.conflicts.is_empty() {
            return None;
        }
        self.conflicts.get(&(entry_point.clone(), router.clone())).copied()
    }
}

/// What the options of a router come to, as far as it is built by that.
pub(crate) fn digest(parts: impl IntoIterator<Item = (Arc<str>, Option<Conflict>, bool)>) -> u64 {
    let mut hasher = FxHasher::default();
    for part in parts {
        part.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(router: &str, hosts: &[&str], options: &str) -> Wish {
        Wish {
            router: format!("{router}@file").into(),
            entry_point: "web".into(),
            hosts: hosts.iter().map(|h| Arc::from(*h)).collect(),
            options: options_name(options, "file"),
            hidden: false,
        }
    }

    #[test]
    fn names_of_options() {
        assert_eq!(&*options_name("", "file"), "default");
        assert_eq!(&*options_name("default", "file"), "default");
        assert_eq!(&*options_name("strict", "file"), "strict@file");
        assert_eq!(&*options_name("strict@docker", "file"), "strict@docker");
    }

    #[test]
    fn contradictions_get_the_default_options() {
        let plan = TlsPlan::new(&[
            wish("a", &["a.test"], ""),
            wish("a2", &["a.test", "a.test"], "strict"),
            wish("b", &["b.test", "*.b.test"], "strict"),
            wish("c", &[], "strict"),
            wish("d", &[], ""),
            wish("r1", &["h1.test", "h2.test"], "strict"),
            wish("r2", &["h1.test"], ""),
            wish("r3", &["h2.test"], "strict"),
        ]);
        let of = |router: &str| plan.conflict(&"web".into(), &format!("{router}@file").into());
        assert_eq!(["a", "a2", "r1", "r2"].map(of), [Some(Conflict::Host); 4]);
        assert_eq!([of("b"), of("c"), of("d"), of("r3")], [None, Some(Conflict::NoHost), None, None]);
        let hosts = &plan.hosts["web"];
        assert!(hosts.any);
        let mut shown: Vec<(&str, &str)> = hosts.options.iter().map(|(h, o)| (&**h, &**o)).collect();
        shown.sort_unstable();
        // h2.test: what the handshake gave must not serve r3, whose options were stronger
        let wanted =
            [("*.b.test", "strict@file"), ("a.test", "default"), ("b.test", "strict@file"), ("h1.test", "default"), ("h2.test", "default")];
        assert_eq!(shown, wanted);
        assert_eq!(plan.told.len(), 3);
    }
}
