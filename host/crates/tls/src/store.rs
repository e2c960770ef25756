use crate::certificate::Certificate;
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The certificates by name, and the default one. Choosing takes two look-ups, however many there are.
///
/// Traefik's choice (seen at 3.7.15): the names of a certificate, sorted and joined by commas, are its rank. Of
/// those that have the name, or that name with `*` for its first label, the one wins whose rank comes last in
/// the alphabet, so mostly an exact name before a wildcard. Of two with all names in common it is the first.
#[derive(Debug, Default)]
pub struct Store {
    /// The best certificate that has this very name.
    by_name: FxHashMap<Box<str>, usize>,
    wildcards: bool,
    addresses: bool,
    certificates: Vec<Arc<Certificate>>,
    /// Of each certificate.
    ranks: Vec<Box<str>>,
    default: Option<Arc<Certificate>>,
}

/// A name longer than this is in no certificate (RFC 1035, 2.3.4).
const MAX_NAME: usize = 255;

impl Store {
    /// `certificates` in the order in which they were added. Without a default one, handshakes for which none
    /// has the right name fail.
    pub fn new(certificates: impl IntoIterator<Item = Arc<Certificate>>, default: Option<Arc<Certificate>>) -> Self {
        let mut store = Store { default, ..Store::default() };
        for certificate in certificates {
            store.add(certificate);
        }
        store
    }

    fn add(&mut self, certificate: Arc<Certificate>) {
        let rank = certificate.names().join(",").into_boxed_str();
        let index = self.certificates.len();
        // A comma in a common name makes two of it, as in Traefik.
        for name in rank.split(',').filter(|n| !n.is_empty()) {
            self.addresses |= name.parse::<IpAddr>().is_ok();
            let wildcard = name == "*" || name.starts_with("*.");
            self.wildcards |= wildcard;
            // Only at the end of a wildcard a dot does no harm.
            let short = name.trim_end_matches('.');
            for key in [Some(name), Some(short).filter(|s| wildcard && *s != name)].into_iter().flatten() {
                match self.by_name.get_mut(key) {
                    Some(there) if self.ranks.get(*there).is_some_and(|r| *r < rank) => *there = index,
                    Some(_) => {}
                    None => drop(self.by_name.insert(key.into(), index)),
                }
            }
        }
        self.certificates.push(certificate);
        self.ranks.push(rank);
    }

    /// The certificate for a name as a client wrote it, or for the address that it connected to where it names
    /// nothing. `None` where only the default one is left.
    pub fn find(&self, sni: Option<&str>, local: Option<IpAddr>) -> Option<&Arc<Certificate>> {
        match sni {
            Some(name) if !name.is_empty() => self.by_name(name.strip_suffix('.').unwrap_or(name)),
            _ if self.has_addresses() => self.by_name(&local?.to_canonical().to_string()),
            _ => None,
        }
    }

    fn by_name(&self, name: &str) -> Option<&Arc<Certificate>> {
        if name.len() > MAX_NAME {
            return None;
        }
        // One byte more in front, for the `*` in place of an empty label.
        let mut room = [0; MAX_NAME + 1];
        let end = name.len() + 1;
        let lower = room.get_mut(1..end)?;
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        let lower = std::str::from_utf8(lower).ok()?;
        let exact = self.by_name.get(lower).copied();
        let start = lower.find('.').unwrap_or(name.len());
        *room.get_mut(start)? = b'*';
        let wildcard = if self.wildcards { self.by_name.get(std::str::from_utf8(room.get(start..end)?).ok()?).copied() } else { None };
        let best = match (exact, wildcard) {
            (Some(a), Some(b)) if self.ranks.get(a) < self.ranks.get(b) => b,
            (Some(a), _) => a,
            (None, b) => b?,
        };
        self.certificates.get(best)
    }

    /// Whether a handshake without a name may need the address.
    fn has_addresses(&self) -> bool {
        self.addresses || self.wildcards
    }

    /// For names that no certificate has.
    pub fn default_certificate(&self) -> Option<&Arc<Certificate>> {
        self.default.as_ref()
    }

    /// All that were added, also those that another one hides; without the default one.
    pub fn certificates(&self) -> &[Arc<Certificate>] {
        &self.certificates
    }

    /// Whether one certificate has all these names as they are written (`*.x` is not covered by `y.x`): then
    /// none is asked of a resolver.
    pub fn covers(&self, names: &[impl AsRef<str>]) -> bool {
        let has = |c: &Arc<Certificate>, wanted: &str| {
            c.names().iter().any(|n| {
                n == wanted
                    || n.strip_prefix('*').is_some_and(|end| {
                        wanted.split_once('.').is_some_and(|(first, rest)| first != "*" && end.strip_prefix('.') == Some(rest))
                    })
            })
        };
        self.certificates.iter().any(|c| names.iter().all(|n| has(c, &n.as_ref().to_ascii_lowercase())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::make;
    use proptest::prelude::*;
    use std::sync::OnceLock;

    /// Certificates are costly to make: one for each set of names, and again for its twin.
    fn certificate(names: &[&str]) -> Arc<Certificate> {
        make("", names).certificate()
    }

    fn found(store: &Store, name: &str) -> Option<usize> {
        store.find(Some(name), None).and_then(|c| store.certificates().iter().position(|k| Arc::ptr_eq(k, c)))
    }

    #[test]
    fn exact_before_wildcard_and_one_label_only() {
        let all = [
            &["*.a.test"][..],
            &["www.a.test"],
            &["b.test", "10.0.0.1", "::1"],
            &["*.*.deep.test"],
            &["*"],
            &["*.z.test", "aaa.other.test"],
            &["*.a.other.test", "www.z.test"],
            &["*.dot.test."],
            &["exact.test."],
            &["x.*.mid.test"],
        ];
        let store = Store::new(all.map(certificate), None);
        // what Traefik 3.7.15 chooses of these
        for (name, expected) in [
            ("www.a.test", Some(1)),
            ("WWW.A.TEST", Some(1)),
            ("www.a.test.", Some(1)),
            ("x.a.test", Some(0)),
            ("a.test", None),
            ("y.x.a.test", None),
            ("b.test", Some(2)),
            ("x.b.test", None),
            ("y.x.deep.test", None),
            ("x.deep.test", None),
            ("single", Some(4)),
            (".a.test", Some(0)),
            ("..", None),
            ("é.a.test", Some(0)),
            // the wildcard, for the names of its certificate come last together
            ("www.z.test", Some(5)),
            ("x.a.other.test", Some(6)),
            ("x.dot.test", Some(7)),
            ("exact.test", None),
            ("x.y.mid.test", None),
        ] {
            assert_eq!(found(&store, name), expected, "{name}");
        }
        assert_eq!(found(&store, &format!("{}.a.test", "x".repeat(300))), None);
        let by_address = |ip: &str| store.find(None, Some(ip.parse().unwrap())).is_some();
        assert_eq!(["10.0.0.1", "::ffff:10.0.0.1", "::1", "10.0.0.2"].map(by_address), [true, true, true, false]);
        assert!(store.find(None, None).is_none());
    }

    #[test]
    fn the_first_of_twins_and_the_last_of_relatives() {
        let all = [&["a.test", "b.test"][..], &["b.test", "a.test"], &["a.test", "z.test"], &["a.test"]];
        let store = Store::new(all.map(certificate), None);
        assert_eq!((found(&store, "b.test"), found(&store, "a.test"), found(&store, "z.test")), (Some(0), Some(2), Some(2)));
    }

    #[test]
    fn covers_needs_all_names_in_one_certificate() {
        let store = Store::new([&["a.test", "*.b.test"][..], &["c.test"]].map(certificate), None);
        for (names, expected) in [
            (&["a.test"][..], true),
            (&["A.test", "x.b.test"], true),
            (&["*.b.test"], true),
            (&["a.test", "c.test"], false),
            (&["y.x.b.test"], false),
            (&["*.test"], false),
            (&["b.test"], false),
        ] {
            assert_eq!(store.covers(names), expected, "{names:?}");
        }
    }

    /// Traefik's words: all certificates in reverse order of their joined names, and the first that fits.
    fn naive(certificates: &[Arc<Certificate>], server: &str) -> Option<usize> {
        let server = server.to_lowercase();
        let mut labels: Vec<&str> = server.split('.').collect();
        labels[0] = "*";
        let wildcard = labels.join(".");
        let fits = |name: &String| *name == server || name.trim_end_matches('.') == wildcard;
        let mut all: Vec<usize> = (0..certificates.len()).collect();
        all.sort_by_key(|i| std::cmp::Reverse(certificates[*i].names().join(",")));
        all.into_iter().find(|i| certificates[*i].names().iter().any(fits))
    }

    const NAMES: [&str; 12] = ["a.t", "b.t", "*.t", "x.a.t", "*.a.t", "*.*.t", "*.*.*", "t", "*", "x.*.t", "*.x.a.t", "*.a.t."];

    fn pool() -> &'static Vec<Arc<Certificate>> {
        static POOL: OnceLock<Vec<Arc<Certificate>>> = OnceLock::new();
        POOL.get_or_init(|| {
            let mut rng = fastrand::Rng::with_seed(7);
            (0..60)
                .map(|_| {
                    let n = rng.usize(1..4);
                    certificate(&(0..n).map(|_| NAMES[rng.usize(..NAMES.len())]).collect::<Vec<_>>())
                })
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn finds_what_a_search_through_all_finds(
            chosen in prop::collection::vec(0usize..60, 0..6),
            labels in prop::collection::vec(prop::sample::select(vec!["a", "b", "x", "t", "A", "*", ""]), 1..5),
        ) {
            let certificates: Vec<_> = chosen.iter().map(|i| pool()[*i].clone()).collect();
            let store = Store::new(certificates.clone(), None);
            let name = labels.join(".");
            // a dot at the end is taken away, and nothing is no name
            let plain = name.strip_suffix('.').unwrap_or(&name);
            prop_assume!(!plain.is_empty());
            let expected = naive(&certificates, plain).map(|i| &certificates[i]);
            let got = store.find(Some(&name), None);
            prop_assert_eq!(got.map(Arc::as_ptr), expected.map(Arc::as_ptr), "{} in {:?}", name, certificates.iter().map(|c| c.names()).collect::<Vec<_>>());
        }
    }
}
